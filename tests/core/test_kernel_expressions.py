"""The scalar C expressions of the op table compute what the ops compute: compiled for this machine and run."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from nasturtium.core import OPS
from nasturtium.core.op import OpDef, Sample

COMPILER = shutil.which("g++")


def real_samples(op: OpDef) -> list[Sample]:
    """The calls with real or boolean inputs, and numbers as parameters."""
    return [
        sample
        for sample in op.samples
        if all(spec.dtype in (None, "bool") and (spec.integers is None or spec.dtype) for spec in sample.inputs)
        and all(isinstance(sample.params.get(name, default), float | int) for name, default in op.defaults.items())
    ]


REAL = [
    op
    for op in OPS.values()
    if op.kernel is not None and op.elementwise and real_samples(op) and not op.name.startswith("bitwise")
]


def function_of(op: OpDef) -> str:
    """A loop over the expression, all numbers being doubles."""
    arguments = ", ".join([*(f"const double* in_{n}" for n in op.inputs), *(f"double {n}" for n in op.defaults)])
    load = " ".join(f"const double {name} = in_{name}[i];" for name in op.inputs)
    body = f"for (long i = 0; i < n; i++) {{ {load} out[i] = (double)({op.kernel}); }}"
    return f'extern "C" void kernel_{op.name}({arguments}, double* out, long n) {{ {body} }}'


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> ctypes.CDLL:
    """All expressions, compiled."""
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    folder: Path = tmp_path_factory.mktemp("kernels")
    source = "#include <cmath>\nusing namespace std;\n" + "\n".join(map(function_of, REAL))
    (folder / "kernels.cpp").write_text(source)
    command = [COMPILER, "-O1", "-shared", "-fPIC", str(folder / "kernels.cpp"), "-o", str(folder / "kernels.so")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(folder / "kernels.so"))


def test_there_are_many():
    assert len(REAL) >= 50


@pytest.mark.parametrize("op", REAL, ids=lambda op: op.name)
def test_an_expression_is_its_op(op, library):
    kernel = getattr(library, f"kernel_{op.name}")
    for sample in real_samples(op):
        rng = np.random.default_rng(0)
        arrays = np.broadcast_arrays(*(spec.make(rng) for spec in sample.inputs))
        with np.errstate(all="ignore"):
            expected = np.asarray(op.reference(*arrays, **sample.params), np.float64)
        given = [np.ascontiguousarray(array, np.float64) for array in arrays]
        found = np.empty(expected.shape)
        params = [ctypes.c_double(sample.params.get(name, default)) for name, default in op.defaults.items()]
        *pointers, out = (array.ctypes.data_as(ctypes.c_void_p) for array in (*given, found))
        kernel(*pointers, *params, out, ctypes.c_long(found.size))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=f"{op.kernel} on {sample}")

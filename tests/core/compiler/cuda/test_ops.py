"""The op table on the cuda back end: generated CUDA C++, run on the CPU over the stand-in, is the reference."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core import MissingExtraError, NasturtiumError, device
from nasturtium.core.compiler.cuda import fused, group, segments, tiles
from nasturtium.core.compiler.cuda.decompose import decompose
from nasturtium.core.compiler.cuda.kernel import module_source
from nasturtium.core.compiler.cuda.lower import Lowering
from nasturtium.core.compiler.cuda.program import CudaProgram
from nasturtium.core.compiler.native.group import Unsupported
from nasturtium.core.compiler.passes import optimize
from nasturtium.core.compiler.reference import ReferenceProgram
from nasturtium.core.cuda import compile_cubin
from nasturtium.core.device import CPU
from nasturtium.core.shapes import spec_of

from .host_module import HostCuda, HostLibrary, same
from .op_cases import cases

pytestmark = pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")

# What it need not have: linear algebra, Fourier transforms, complex numbers, sorting.
NAMES = """
imag to_device inv solve cofactor det slogdet cholesky qr complement eigh eigvalsh eig eigvals nextafter fftn rfft irfft
svd svdvals pinv sort argsort top_places searchsorted isin
"""
LACKS = frozenset(NAMES.split())


def sources(dtype, most):
    """The cases it has kernels for, their sources, and the ops among them."""
    found, ops = [], set()
    for case in cases(dtype, most=most):
        try:
            works = Lowering(optimize(decompose(case.graph))).result.works
        except Unsupported:
            continue
        found.append((case, module_source(works)))
        ops.add(case.op)
    return found, ops


def run(strict_cupy, folder, dtype, most, **tolerance):
    found, ops = sources(dtype, most)
    library = HostLibrary(folder)
    library.add(source for _, source in found)
    HostCuda(strict_cupy, library)
    place = device("cuda:0")
    wrong = []
    for case, _ in found:
        program = CudaProgram(case.graph, place)
        try:
            expected = ReferenceProgram(case.graph, CPU)(case.arrays)
        except NasturtiumError:  # integers to negative powers
            continue
        if any(spec_of(array) != value.spec for array, value in zip(expected, case.graph.results, strict=True)):
            continue  # of booleans NumPy makes another dtype than the op says
        for _ in range(2):
            try:
                for actual, wanted in zip(program([place.put(a) for a in case.arrays]), expected, strict=True):
                    same(actual, wanted, **tolerance)
            except AssertionError as exc:
                wrong.append(f"{case.name}: {exc}")
    assert not wrong, "\n".join(wrong)
    return ops


def test_an_example_of_every_op_it_has(strict_cupy, tmp_path):
    ops = run(strict_cupy, tmp_path, np.float32, 1)
    assert {case.op for case in cases(most=1)} - ops <= LACKS


@pytest.mark.soak
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_], ids=lambda d: d.__name__)
def test_every_sample_of_every_op(strict_cupy, tmp_path, dtype):
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if dtype == np.float64 else {}
    run(strict_cupy, tmp_path, dtype, 1000, **tolerance)


@pytest.fixture
def large(monkeypatch):
    """Small tensors take the forms of large ones: shared out rows and products, linked parts."""
    monkeypatch.setattr(group, "LONG", 3)
    monkeypatch.setattr(group, "APART", 3)
    monkeypatch.setattr(fused, "PART", 2)
    monkeypatch.setattr(fused, "PART_APART", 2)
    monkeypatch.setattr(tiles, "LEAST", 2)
    monkeypatch.setattr(segments, "MANY", 0)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("most", [1, pytest.param(1000, marks=pytest.mark.soak)])
def test_the_forms_of_large_tensors(strict_cupy, tmp_path, most):
    run(strict_cupy, tmp_path, np.float32, most)


@pytest.mark.soak
@pytest.mark.usefixtures("large")
def test_the_forms_of_large_tensors_compile():
    test_what_is_generated_compiles("sm_90")


@pytest.mark.parametrize("arch", [pytest.param("sm_75", marks=pytest.mark.soak), "sm_90"])
def test_what_is_generated_compiles(arch):
    found, _ = sources(np.float32, 1)
    kernels = {}
    for case, _ in found:
        works = Lowering(optimize(decompose(case.graph))).result.works
        kernels |= {work.name: work for work in works}
    try:
        cubin = compile_cubin(module_source(list(kernels.values())), arch=arch)
    except MissingExtraError as exc:
        pytest.skip(f"{exc}")
    assert all(name.encode() in cubin for name in kernels)


@pytest.mark.gpu
def test_every_sample_on_a_gpu(gpu):
    for case, _ in sources(np.float32, 1000)[0]:
        program = CudaProgram(case.graph, gpu)
        expected = ReferenceProgram(case.graph, CPU)(case.arrays)
        for _ in range(3):  # plain, captured, replayed
            for actual, wanted in zip(program([gpu.put(a) for a in case.arrays]), expected, strict=True):
                same(actual, wanted)

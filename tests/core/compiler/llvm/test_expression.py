"""Every elementwise op of the table as a kernel, made from the expression that it declares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from nasturtium.core import OPS
from nasturtium.core.compiler.llvm.elementwise import emit_flat
from nasturtium.core.compiler.llvm.expression import term_of
from nasturtium.core.compiler.llvm.formula import Formula, Number, Term
from nasturtium.core.op import OpDef

from .fused import run, target

INTEGER_ONLY = {"bitwise_left_shift", "bitwise_right_shift", "bitwise_and", "bitwise_or", "bitwise_xor"}
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-20, 3e4, -3e4, 80.0, 0.5, 89.0, 2.0], np.float32)
PARAMETERS = {"slope": 0.1, "alpha": 1.5, "low": -1.0, "high": 2.0, "delta": 0.7, "scale": 2.0}
EXPRESSED = [op for op in OPS.values() if op.kernel and op.elementwise and op.name not in INTEGER_ONLY]
# The relative error allowed, where it is more than a few units in the last place.
LOOSE = {"log10": 1e-6, "mish": 1e-6, "acosh": 1e-6, "power": 1e-6}
# Differences of numbers near 1, as in the ops themselves.
CANCELLING = {"gelu": 2e-7, "gelu_erf": 5e-7, "hardsigmoid": 1e-7, "hardswish": 1e-7}


def kernel_of(op: OpDef, arrays: Mapping[str, np.ndarray], parameters: Mapping[str, Number]) -> np.ndarray:
    f = Formula()
    values: dict[str, Term | Number] = {
        name: f.full(name, "bool" if array.dtype == bool else "f32") for name, array in arrays.items()
    }
    assert op.kernel
    f.store("out", term_of(f, op.name, op.kernel, {**values, **parameters}))
    count = next(iter(arrays.values())).size
    out = np.zeros(count, np.float32)
    run(emit_flat(target(), f.pattern()), {"count": count, "out": out, **arrays}, threads=2)
    return out


@pytest.mark.parametrize("op", EXPRESSED, ids=lambda op: op.name)
def test_elementwise_ops(op: OpDef):
    rng = np.random.default_rng(0)
    columns = np.stack(np.meshgrid(*(SPECIAL for _ in op.inputs[:2]))).reshape(min(len(op.inputs), 2), -1)
    columns = np.concatenate([columns, rng.normal(size=(len(columns), 500)) * 2], axis=1).astype(np.float32)
    arrays = {name: columns[at % len(columns)].copy() for at, name in enumerate(op.inputs)}
    for name in ("condition", "mask"):
        if name in arrays:
            arrays[name] = columns[0] > 0
    parameters = {name: PARAMETERS[name] for name in op.defaults if name in PARAMETERS}
    out = kernel_of(op, arrays, parameters)
    exact_inputs = [a if a.dtype == bool else a.astype(np.float64) for a in arrays.values()]
    with np.errstate(all="ignore"):
        exact = np.asarray(op.forward(np, *exact_inputs, **parameters)).astype(np.float64)
        rounded = exact.astype(np.float32)
        tolerance = LOOSE.get(op.name, 6e-7) * np.abs(rounded) + CANCELLING.get(op.name, 2e-38)
        same = (np.abs(out - rounded) <= tolerance) | (out == rounded) | (np.isnan(out) & np.isnan(rounded))
    bad = ~same & ~(np.abs(exact) > 3.4e38)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        inputs = {name: array[at] for name, array in arrays.items()}
        pytest.fail(f"{op.name} of {inputs}: got {out[at]}, expected {exact[at]}; {bad.sum()} of {bad.size} differ")


@pytest.mark.parametrize("exponent", [2, 3, -1, -2, 0.5, -0.5, 1.5, 0, 7, 20])
def test_powers_known_beforehand(exponent: float):
    x = np.abs(np.random.default_rng(0).normal(size=100).astype(np.float32))
    f = Formula()
    f.store("out", term_of(f, "power", "pow(a, b)", {"a": f.full("a"), "b": exponent}))
    out = np.zeros_like(x)
    run(emit_flat(target(), f.pattern()), {"count": 100, "a": x, "out": out})
    np.testing.assert_allclose(out, x.astype(np.float64) ** exponent, rtol=2e-6, atol=1e-37)


def test_what_is_known_is_computed_beforehand():
    f = Formula()
    f.store("out", term_of(f, "op", "x / (alpha * 2 - 1) + (alpha > 1 ? 3 : 4)", {"x": f.full("x"), "alpha": 1.5}))
    assert [step.op for step in f.pattern().steps] == ["load", "constant", "div", "constant", "add"]
    with pytest.raises(KeyError):
        term_of(f, "op", "lgamma(x)", {"x": f.full("x")})

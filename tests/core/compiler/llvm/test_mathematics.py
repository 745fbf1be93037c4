"""Vector exp, log, tanh and their kin against double precision."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core.compiler.llvm.elementwise import emit_flat
from nasturtium.core.compiler.llvm.formula import Formula
from nasturtium.core.compiler.llvm.precise import LARGEST_ANGLE

from .fused import BINARY, UNARY, run, target

TINY = float(np.finfo(np.float32).tiny)
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 88.7, 88.73, 89.0, -87.3, -103.0, -110.0, 3e38, -3e38, 1e-30]
# Units in the last place, and the relative error, of results that are normal numbers.
PRECISE = dict.fromkeys(("sin", "cos", "asin", "acos", "atan", "pow", "atan2"), 1) | {"tan": 2}
LIMITS = {
    "exp": 2,
    "expm1": 2,
    "log": 2,
    "log1p": 2,
    "rsqrt": 2,
    "tanh": 4,
    "sigmoid": 4,
    "erf": 6,
    "log2": 2,
    **PRECISE,
}
EXACT = {"neg", "abs", "sqrt", "floor", "ceil", "round", "trunc"}


@pytest.mark.parametrize("width", [4, 16])
@pytest.mark.parametrize("name", sorted((LIMITS.keys() | EXACT) - {"pow", "atan2"}))
def test_functions_of_floats(name: str, width: int):
    rng = np.random.default_rng(0)
    x = np.concatenate([*(rng.normal(size=3000) * scale for scale in (1e-3, 0.1, 1, 5, 30)), SPECIAL])
    x = x.astype(np.float32)
    f = Formula()
    f.store("y", f.function(name, f.full("x")))
    y = np.zeros_like(x)
    run(emit_flat(target(width), f.pattern()), {"count": x.size, "x": x, "y": y})
    with np.errstate(all="ignore"):
        exact = UNARY[name](x.astype(np.float64))
    if name in ("sin", "cos", "tan"):
        exact[np.abs(x) > LARGEST_ANGLE] = np.nan
    _compare(name, x, exact, y)
    if name not in ("expm1", "log1p"):  # of -0.0 they are 0.0
        with np.errstate(all="ignore"):
            assert np.signbit(y[x == 0]).tolist() == np.signbit(UNARY[name](x[x == 0])).tolist()


@pytest.mark.parametrize("width", [4, 16])
@pytest.mark.parametrize("name", ["pow", "atan2", "copysign"])
def test_functions_of_two_floats(name: str, width: int):
    rng = np.random.default_rng(0)
    edges = np.array([*SPECIAL, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 4.0, -1.5], np.float32)
    pairs = np.stack(np.meshgrid(edges, edges)).reshape(2, -1)
    a, b = np.concatenate([pairs, rng.normal(size=(2, 3000)) * 3], axis=1).astype(np.float32)
    f = Formula()
    f.store("y", f.binary(name, f.full("a"), f.full("b")))
    y = np.zeros_like(a)
    run(emit_flat(target(width), f.pattern()), {"count": a.size, "a": a, "b": b, "y": y})
    with np.errstate(all="ignore"):
        exact = BINARY[name](a.astype(np.float64), b.astype(np.float64))
    _compare(name, np.stack((a, b), axis=1), exact, y)
    zero = y == 0
    assert np.array_equal(np.signbit(y[zero]), np.signbit(exact[zero]))


def _compare(name: str, x: np.ndarray, exact: np.ndarray, y: np.ndarray) -> None:
    """Within the limit, equal infinities and NaN; numbers below the smallest normal one may vanish."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        same = (rounded == y) | (np.isnan(rounded) & np.isnan(y))
        vanished = (np.abs(exact) < TINY) & (np.abs(y) <= TINY)
        distance = np.abs(y - exact) / np.spacing(np.abs(rounded))
    worst = np.where(same | vanished, 0.0, distance)
    assert not np.isnan(worst).any(), (x[np.isnan(worst)], y[np.isnan(worst)], exact[np.isnan(worst)])
    at = worst.argmax()
    assert worst[at] <= LIMITS.get(name, 0), (x[at], y[at], exact[at])

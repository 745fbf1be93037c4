"""Vector exp, log, tanh and their kin against double precision."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core.compiler.llvm.elementwise import emit_flat
from nasturtium.core.compiler.llvm.formula import Formula

from .fused import UNARY, run, target

TINY = float(np.finfo(np.float32).tiny)
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 88.7, 88.73, 89.0, -87.3, -103.0, -110.0, 3e38, -3e38, 1e-30]
# Units in the last place, and the relative error, of results that are normal numbers.
LIMITS = {"exp": 2, "expm1": 2, "log": 2, "log1p": 2, "rsqrt": 2, "tanh": 4, "sigmoid": 4, "erf": 6}


@pytest.mark.parametrize("width", [4, 8, 16])
@pytest.mark.parametrize("name", sorted({*LIMITS, "neg", "abs", "sqrt", "floor", "ceil", "round"}))
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
        rounded = exact.astype(np.float32)
        same = (rounded == y) | (np.isnan(rounded) & np.isnan(y))
        vanished = (np.abs(exact) < TINY) & (np.abs(y) <= TINY)
        distance = np.abs(y - exact) / np.spacing(np.abs(rounded))
    worst = np.where(same | vanished, 0.0, distance)
    assert not np.isnan(worst).any(), x[np.isnan(worst)]
    assert worst.max() <= LIMITS.get(name, 0), (x[worst.argmax()], y[worst.argmax()], exact[worst.argmax()])
    if name not in ("expm1", "log1p"):  # of -0.0 they are 0.0
        assert np.signbit(y[x == 0]).tolist() == np.signbit(rounded[x == 0]).tolist()

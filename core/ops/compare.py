"""Comparisons, elementwise: booleans, no gradient."""

from __future__ import annotations

import numpy as np

from ..device import Array, ArrayModule
from .declare import boolean, discrete
from .elementwise import BROADCAST, MISFIT


@discrete(reference=np.less, infer=boolean, samples=BROADCAST, invalid=MISFIT, onnx="Less", kernel="a < b")
def less(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where a < b."""
    return xp.less(a, b)


@discrete(
    reference=np.less_equal, infer=boolean, samples=BROADCAST, invalid=MISFIT, onnx="LessOrEqual", kernel="a <= b"
)
def less_equal(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where a <= b."""
    return xp.less_equal(a, b)


@discrete(reference=np.greater, infer=boolean, samples=BROADCAST, invalid=MISFIT, onnx="Greater", kernel="a > b")
def greater(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where a > b."""
    return xp.greater(a, b)


@discrete(
    reference=np.greater_equal, infer=boolean, samples=BROADCAST, invalid=MISFIT, onnx="GreaterOrEqual", kernel="a >= b"
)
def greater_equal(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where a >= b."""
    return xp.greater_equal(a, b)


@discrete(reference=np.equal, infer=boolean, samples=BROADCAST, invalid=MISFIT, onnx="Equal", kernel="a == b")
def equal(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where a equals b."""
    return xp.equal(a, b)


@discrete(reference=np.not_equal, infer=boolean, samples=BROADCAST, invalid=MISFIT, kernel="a != b")
def not_equal(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where a differs from b."""
    return xp.not_equal(a, b)

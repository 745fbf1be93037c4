"""Comparisons and logic, elementwise: booleans, no gradient."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for, and rules name their own ops.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..op import Sample, booleans, complex_normal, integers, normal
from .declare import boolean, discrete
from .elementwise import BROADCAST, MISFIT, NO_COMPLEX_PAIR, real_only, refuse_complex

EQUALS = (*BROADCAST, Sample(complex_normal(3, 4), complex_normal(4)), Sample(integers(3, 4), integers(3, 4)))
FLAGS = (
    Sample(booleans(3, 4), booleans(4)),
    Sample(booleans(), booleans(3)),
    Sample(booleans(0, 2), booleans(2)),
    Sample(integers(2, 3, 4), normal(3, 1)),
)


@discrete(
    reference=np.less,
    infer=real_only("less", boolean),
    samples=BROADCAST,
    invalid=NO_COMPLEX_PAIR,
    onnx="Less",
    kernel="a < b",
)
def less(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where a < b."""
    refuse_complex("less", a, b)
    return xp.less(a, b)


@discrete(
    reference=np.less_equal,
    infer=real_only("less_equal", boolean),
    samples=BROADCAST,
    invalid=NO_COMPLEX_PAIR,
    onnx="LessOrEqual",
    kernel="a <= b",
)
def less_equal(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where a <= b."""
    refuse_complex("less_equal", a, b)
    return xp.less_equal(a, b)


@discrete(
    reference=np.greater,
    infer=real_only("greater", boolean),
    samples=BROADCAST,
    invalid=NO_COMPLEX_PAIR,
    onnx="Greater",
    kernel="a > b",
)
def greater(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where a > b."""
    refuse_complex("greater", a, b)
    return xp.greater(a, b)


@discrete(
    reference=np.greater_equal,
    infer=real_only("greater_equal", boolean),
    samples=BROADCAST,
    invalid=NO_COMPLEX_PAIR,
    onnx="GreaterOrEqual",
    kernel="a >= b",
)
def greater_equal(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where a >= b."""
    refuse_complex("greater_equal", a, b)
    return xp.greater_equal(a, b)


@discrete(reference=np.equal, infer=boolean, samples=EQUALS, invalid=MISFIT, onnx="Equal", kernel="a == b")
def equal(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where a equals b."""
    return xp.equal(a, b)


@discrete(reference=np.not_equal, infer=boolean, samples=EQUALS, invalid=MISFIT, kernel="a != b")
def not_equal(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where a differs from b."""
    return xp.not_equal(a, b)


def _truth(value: Any) -> Any:
    """What counts as true: everything but 0, NaN included. CuPy's logic takes no complex numbers."""
    if not hasattr(value, "dtype"):
        return bool(value)
    return value if value.dtype.kind == "b" else value != 0


@discrete(
    reference=lambda a, b: (a != 0) & (b != 0),
    infer=boolean,
    samples=FLAGS,
    invalid=MISFIT,
    onnx="And",
    kernel="a && b",
)
def logical_and(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where both are true; numbers are true when they are not 0."""
    return xp.logical_and(_truth(a), _truth(b))


@discrete(
    reference=lambda a, b: (a != 0) | (b != 0), infer=boolean, samples=FLAGS, invalid=MISFIT, onnx="Or", kernel="a || b"
)
def logical_or(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where one or both are true."""
    return xp.logical_or(_truth(a), _truth(b))


@discrete(
    reference=lambda a, b: (a != 0) ^ (b != 0),
    infer=boolean,
    samples=FLAGS,
    invalid=MISFIT,
    onnx="Xor",
    kernel="!a != !b",
)
def logical_xor(xp: ArrayModule, a: Array, b: Array) -> Array:
    """True where one is true and the other is not."""
    return xp.logical_xor(_truth(a), _truth(b))


@discrete(
    reference=lambda x: x == 0,
    infer=boolean,
    samples=(
        Sample(booleans(3, 4)),
        Sample(booleans()),
        Sample(booleans(0, 2)),
        Sample(integers(2, 5)),
        Sample(normal(2)),
    ),
    onnx="Not",
    kernel="!x",
)
def logical_not(xp: ArrayModule, x: Array) -> Array:
    """True where x is not."""
    return xp.logical_not(_truth(x))

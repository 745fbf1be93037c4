"""Operations on the bits of integers; on booleans they are the logical ones."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for, and rules name their own ops.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import DTypeError, ShapeError
from ..op import Invalid, Sample, booleans, integers, normal
from ..shapes import Spec
from .declare import discrete, promoted

PAIRS = (
    Sample(integers(1000, 3, 4), integers(1000, 3, 4)),
    Sample(integers(1000, 2, 1, 4), integers(1000, 3, 1)),
    Sample(integers(1000), integers(1000, 3)),
    Sample(integers(1000, 0, 2), integers(1000, 2)),
)
FLAGS = Sample(booleans(3, 4), booleans(4))
SHIFTS = (
    Sample(integers(1000, 3, 4), integers(10, 3, 4)),
    Sample(integers(1000, 2, 1, 4), integers(10, 3, 1)),
    Sample(integers(1000), integers(10, 3)),
    Sample(integers(1000, 0, 2), integers(10, 2)),
)
MISFIT = Invalid(integers(9, 3, 4), integers(9, 3), error=ShapeError, match=r"\(3, 4\)")
NO_FLOATS = Invalid(normal(3), integers(9, 3), error=DTypeError, match="integers")


def whole(op: str, *, booleans: bool) -> Any:
    """The inference of an op on integers, and on booleans where it takes them."""

    def infer(*specs: Spec, **params: Any) -> Spec:
        for spec in specs:
            if spec.dtype.kind not in ("iub" if booleans else "iu"):
                raise DTypeError(f"{op}: expected integers{' or booleans' if booleans else ''}, got dtype {spec.dtype}")
        return promoted(*specs)

    return infer


def _each(function: Callable[[int, int], int]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function of Python integers, element by element."""

    def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        pairs = np.broadcast(a, b)
        return np.array([function(int(x), int(y)) for x, y in pairs], np.result_type(a, b)).reshape(pairs.shape)

    return reference


@discrete(
    onnx="BitwiseAnd",
    kernel="a & b",
    reference=_each(operator.and_),
    infer=whole("bitwise_and", booleans=True),
    samples=(*PAIRS, FLAGS),
    invalid=(MISFIT, NO_FLOATS),
)
def bitwise_and(xp: ArrayModule, a: Array, b: Array) -> Array:
    """The bits that are set in both."""
    return xp.bitwise_and(a, b)


@discrete(
    onnx="BitwiseOr",
    kernel="a | b",
    reference=_each(operator.or_),
    infer=whole("bitwise_or", booleans=True),
    samples=(*PAIRS, FLAGS),
    invalid=(MISFIT, NO_FLOATS),
)
def bitwise_or(xp: ArrayModule, a: Array, b: Array) -> Array:
    """The bits that are set in one or both."""
    return xp.bitwise_or(a, b)


@discrete(
    onnx="BitwiseXor",
    kernel="a ^ b",
    reference=_each(operator.xor),
    infer=whole("bitwise_xor", booleans=True),
    samples=(*PAIRS, FLAGS),
    invalid=(MISFIT, NO_FLOATS),
)
def bitwise_xor(xp: ArrayModule, a: Array, b: Array) -> Array:
    """The bits that are set in one but not in both."""
    return xp.bitwise_xor(a, b)


@discrete(
    onnx="BitwiseNot",
    reference=lambda x: np.where(x, False, True) if x.dtype == bool else -x - 1,
    infer=whole("bitwise_invert", booleans=True),
    samples=(Sample(integers(1000, 3, 4)), Sample(integers(1000)), Sample(integers(9, 0, 2)), Sample(booleans(3, 4))),
    invalid=(Invalid(normal(3), error=DTypeError, match="integers"),),
)
def bitwise_invert(xp: ArrayModule, x: Array) -> Array:
    """Every bit turned: -x - 1 of signed integers, the opposite of booleans."""
    return xp.invert(x)


def _shift(xp: ArrayModule, function: Callable[[Array, Array], Array], a: Array, b: Array) -> tuple[Array, Array, int]:
    """The shift by at most the width minus one, since a CUDA device leaves longer ones open; `b`; and the width."""
    a, b = (
        value if hasattr(value, "dtype") else xp.asarray(value, dtype=other.dtype) for value, other in ((a, b), (b, a))
    )
    dtype = np.result_type(a.dtype, b.dtype)
    if dtype.kind not in "iu":
        raise DTypeError(f"expected integers, got dtypes {a.dtype} and {b.dtype}")
    bits = dtype.itemsize * 8
    return function(a.astype(dtype, copy=False), xp.minimum(b.astype(dtype, copy=False), bits - 1)), b, bits


@discrete(
    kernel="a << b",
    reference=_each(operator.lshift),
    infer=whole("bitwise_left_shift", booleans=False),
    samples=SHIFTS,
    invalid=(MISFIT, NO_FLOATS),
)
def bitwise_left_shift(xp: ArrayModule, a: Array, b: Array) -> Array:
    """The bits of a moved up by b >= 0 places, zeros coming in: a 2^b, modulo the width."""
    shifted, b, bits = _shift(xp, xp.left_shift, a, b)
    return xp.where(b < bits, shifted, xp.zeros_like(shifted))


@discrete(
    kernel="a >> b",
    reference=_each(operator.rshift),
    infer=whole("bitwise_right_shift", booleans=False),
    samples=SHIFTS,
    invalid=(MISFIT, NO_FLOATS),
)
def bitwise_right_shift(xp: ArrayModule, a: Array, b: Array) -> Array:
    """The bits of a moved down by b >= 0 places, the sign coming in: a / 2^b rounded down."""
    shifted, b, bits = _shift(xp, xp.right_shift, a, b)
    return shifted if shifted.dtype.kind == "i" else xp.where(b < bits, shifted, xp.zeros_like(shifted))

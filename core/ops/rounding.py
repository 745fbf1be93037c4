"""Rounding, signs, and division with a remainder: steps and what is left between them."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for, and rules name their own ops.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import DTypeError
from ..op import ArraySpec, Invalid, Sample, complex_normal, integers, normal
from ..op import positive as above_zero
from .declare import discrete, elementwise, promoted
from .elementwise import MISFIT, NO_COMPLEX, UNARY, absolute, is_complex, real_only, refuse_complex, where

STEPS = (*UNARY, Sample(ArraySpec((3, 4), low=-7.5)), Sample(integers(9, 4)))
QUOTIENTS = (
    Sample(normal(3, 4), normal(3, 4, away=0.3)),
    Sample(normal(3, 4), above_zero(4, low=0.3)),
    Sample(normal(), above_zero(2, 1, low=0.3)),
    Sample(normal(0, 2), above_zero(2, low=0.3)),
)
WHOLE = Sample(integers(20, 3, 4), ArraySpec((4,), constant=3, dtype="int64"))
NO_COMPLEX_QUOTIENT = (*MISFIT, Invalid(normal(3), complex_normal(3), error=DTypeError, match="complex"))


def _each(function: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    """A function of Python numbers, element by element."""
    return lambda x: np.array([function(value) for value in x.ravel().tolist()], x.dtype).reshape(x.shape)


@discrete(
    onnx="Ceil",
    kernel="ceil(x)",
    reference=_each(math.ceil),
    infer=real_only("ceil", promoted),
    samples=STEPS,
    invalid=(NO_COMPLEX,),
)
def ceil(xp: ArrayModule, x: Array) -> Array:
    """The smallest integer not below x, in the dtype of x."""
    return xp.ceil(x)


@discrete(
    onnx="Floor",
    kernel="floor(x)",
    reference=_each(math.floor),
    infer=real_only("floor", promoted),
    samples=STEPS,
    invalid=(NO_COMPLEX,),
)
def floor(xp: ArrayModule, x: Array) -> Array:
    """The largest integer not above x, in the dtype of x."""
    return xp.floor(x)


@discrete(
    kernel="trunc(x)",
    reference=_each(math.trunc),
    infer=real_only("trunc", promoted),
    samples=STEPS,
    invalid=(NO_COMPLEX,),
)
def trunc(xp: ArrayModule, x: Array) -> Array:
    """The next integer towards 0, in the dtype of x."""
    return xp.trunc(x)


@discrete(onnx="Round", kernel="rint(x)", reference=_each(builtins.round), infer=promoted, samples=STEPS)
def round(xp: ArrayModule, x: Array) -> Array:
    """The nearest integer, of two the even one, in the dtype of x; of complex numbers both parts."""
    return x.copy() if x.dtype.kind in "iub" else xp.rint(x)


@discrete(
    name="sign",
    onnx="Sign",
    kernel="x > 0 ? 1 : x < 0 ? -1 : x",
    reference=lambda x: (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype),
    infer=real_only("sign", promoted),
    samples=STEPS,
    invalid=(NO_COMPLEX,),
)
def _real_sign(xp: ArrayModule, x: Array) -> Array:
    """1 where x > 0, -1 where x < 0, 0 where it is 0, NaN where it is NaN."""
    refuse_complex("sign", x)
    return xp.sign(x)


def sign(x: Any) -> Any:
    """1 where x > 0, -1 where x < 0, 0 where it is 0; of a complex z the direction z / |z|, which has a gradient."""
    if not is_complex(x):
        return _real_sign(x)
    modulus = absolute(x)
    return where(modulus == 0.0, 0.0, x / where(modulus == 0.0, 1.0, modulus))


@discrete(
    reference=lambda a, b: np.floor(a / b),
    infer=real_only("floor_divide", promoted),
    samples=(*QUOTIENTS, WHOLE),
    invalid=NO_COMPLEX_QUOTIENT,
)
def floor_divide(xp: ArrayModule, a: Array, b: Array) -> Array:
    """The quotient a / b rounded down. An infinite a or b counts by the sign of the quotient, as the Array API standard
    wants: infinity over 2 is infinity, where Python has NaN; 1 over minus infinity is -0, where Python has -1.
    """
    refuse_complex("floor_divide", a, b)
    if not _is_floating(a) and not _is_floating(b):
        return xp.floor_divide(a, b)
    with np.errstate(invalid="ignore"):
        rounded = xp.floor_divide(a, b)
        infinite = _is_infinite(xp, a) | _is_infinite(xp, b)
        return xp.where(infinite, xp.true_divide(a, b), rounded).astype(rounded.dtype, copy=False)


def _is_floating(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype.kind not in "iub" if dtype is not None else value.__class__ is float


def _is_infinite(xp: ArrayModule, value: Any) -> Any:
    return xp.isinf(value) if hasattr(value, "dtype") else math.isinf(value)


@elementwise(
    reference=lambda a, b: a - np.floor(a / b) * b,
    infer=real_only("remainder", promoted),
    vjp=(lambda g, y, a, b: g, lambda g, y, a, b: -(g * floor_divide(a, b))),
    saves=("a", "b"),
    samples=(*QUOTIENTS, WHOLE),
    invalid=NO_COMPLEX_QUOTIENT,
)
def remainder(xp: ArrayModule, a: Array, b: Array) -> Array:
    """What is left of a after b is taken out whole times: a - floor_divide(a, b) b, of the sign of b."""
    refuse_complex("remainder", a, b)
    return xp.remainder(a, b)

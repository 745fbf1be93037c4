"""Exponentials and logarithms beyond `exp` and `log`: other bases, precision near zero, sums in the logarithm."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for, and rules name their own ops.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..op import Sample, complex_normal
from .declare import elementwise, floating, promoted_floating
from .elementwise import BROADCAST, COMPLEX, NO_COMPLEX_PAIR, POSITIVE, UNARY, exp, real_only, refuse_complex, where

LN_2, LN_10 = math.log(2.0), math.log(10.0)


@elementwise(
    kernel="expm1(x)",
    infer=promoted_floating,
    reference=lambda x: 2.0 * np.exp(x / 2) * np.sinh(x / 2),
    vjp=(lambda g, y, x: g * (y + 1.0),),
    saves=("out",),
    samples=(*UNARY, COMPLEX, Sample(complex_normal())),
)
def expm1(xp: ArrayModule, x: Array) -> Array:
    """exp(x) - 1, exact to rounding near 0."""
    return _complex_expm1(xp, x) if x.dtype.kind == "c" else xp.expm1(floating(xp, x))


def _complex_expm1(xp: ArrayModule, z: Array) -> Array:
    """With z = a + bi: expm1(a) cos(b) - 2 sin(b/2)^2 + i exp(a) sin(b), which does not cancel near 0. At 0, infinities
    and NaN it is exp(z) - 1, whose special values are C99's; NumPy's own expm1 has neither.
    """
    a, b = z.real, z.imag
    special = ~(xp.isfinite(a) & xp.isfinite(b)) | (z == 0)
    result = xp.asarray(xp.exp(z) - 1)
    a, b = xp.where(special, 0, a), xp.where(special, 0, b)
    result.real = xp.where(special, result.real, xp.expm1(a) * xp.cos(b) - 2 * xp.square(xp.sin(b / 2)))
    result.imag = xp.where(special, result.imag, xp.exp(a) * xp.sin(b))
    return result


@elementwise(
    kernel="log1p(x)",
    infer=promoted_floating,
    reference=lambda x: np.log1p(x),
    vjp=(lambda g, y, x: g / (x + 1.0),),
    saves=("x",),
    samples=(*POSITIVE, COMPLEX),
)
def log1p(xp: ArrayModule, x: Array) -> Array:
    """log(1 + x), exact to rounding near 0; x > -1."""
    return xp.log1p(floating(xp, x))


@elementwise(
    kernel="log2(x)",
    infer=promoted_floating,
    reference=lambda x: np.log(x) / LN_2,
    vjp=(lambda g, y, x: g * (1.0 / LN_2) / x,),
    saves=("x",),
    samples=(*POSITIVE, COMPLEX),
)
def log2(xp: ArrayModule, x: Array) -> Array:
    """Logarithm to base 2; x > 0."""
    return xp.log2(floating(xp, x))


@elementwise(
    kernel="log10(x)",
    infer=promoted_floating,
    reference=lambda x: np.log(x) / LN_10,
    vjp=(lambda g, y, x: g * (1.0 / LN_10) / x,),
    saves=("x",),
    samples=(*POSITIVE, COMPLEX),
)
def log10(xp: ArrayModule, x: Array) -> Array:
    """Logarithm to base 10; x > 0."""
    return xp.log10(floating(xp, x))


def _share(x: Any, y: Any) -> Any:
    """exp(x - y), the part of x in exp(y); 0 where both are minus infinity."""
    return exp(x - where(y == -math.inf, 0.0, y))


@elementwise(
    infer=real_only("logaddexp", promoted_floating),
    reference=lambda a, b: np.log(np.exp(a) + np.exp(b)),
    vjp=(lambda g, y, a, b: g * _share(a, y), lambda g, y, a, b: g * _share(b, y)),
    saves=("a", "b", "out"),
    samples=BROADCAST,
    invalid=NO_COMPLEX_PAIR,
)
def logaddexp(xp: ArrayModule, a: Array, b: Array) -> Array:
    """log(exp(a) + exp(b)) without overflow: a sum of probabilities that are kept as logarithms."""
    refuse_complex("logaddexp", a, b)
    return xp.logaddexp(floating(xp, a), floating(xp, b))

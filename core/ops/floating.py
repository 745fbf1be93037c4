"""What floating-point numbers are beside their value: finite or not, their sign bit, their neighbours."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for, and rules name their own ops.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportGeneralTypeIssues=false

from __future__ import annotations

import math

import numpy as np

from ..device import Array, ArrayModule
from ..op import Flags, Sample, const, integers, normal
from .declare import boolean, discrete, elementwise, floating, promoted_floating
from .elementwise import BROADCAST, COMPLEX, NO_COMPLEX, NO_COMPLEX_PAIR, UNARY, real_only, refuse_complex, where

SPECIAL = (*UNARY, COMPLEX, Sample(const(math.inf, 2)), Sample(const(-math.inf)), Sample(const(math.nan, 3)))
AWAY = tuple(Sample(*(normal(*spec.shape, away=0.1) for spec in sample.inputs)) for sample in BROADCAST)


@discrete(reference=lambda x: np.abs(x) < math.inf, infer=boolean, samples=(*SPECIAL, Sample(integers(5, 3))))
def isfinite(xp: ArrayModule, x: Array) -> Array:
    """True where x is neither infinite nor NaN."""
    return xp.isfinite(x)


@discrete(
    onnx="IsInf", reference=lambda x: np.abs(x) == math.inf, infer=boolean, samples=(*SPECIAL, Sample(integers(5, 3)))
)
def isinf(xp: ArrayModule, x: Array) -> Array:
    """True where x, or a part of a complex x, is infinite."""
    return xp.isinf(x)


@discrete(onnx="IsNaN", reference=lambda x: x != x, infer=boolean, samples=(*SPECIAL, Sample(integers(5, 3))))
def isnan(xp: ArrayModule, x: Array) -> Array:
    """True where x, or a part of a complex x, is not a number."""
    return xp.isnan(x)


@discrete(
    reference=lambda x: np.copysign(1, x) < 0,
    infer=real_only("signbit", boolean),
    samples=(*UNARY, Sample(const(-0.0, 2)), Sample(const(0.0))),
    invalid=(NO_COMPLEX,),
)
def signbit(xp: ArrayModule, x: Array) -> Array:
    """True where x is negative, -0 and a NaN with a sign included."""
    return xp.signbit(floating(xp, x))


@elementwise(
    kernel="copysign(a, b)",
    infer=real_only("copysign", promoted_floating),
    reference=lambda a, b: np.abs(a) * np.where(b < 0, -1.0, 1.0),
    vjp=(lambda g, y, a, b: where(signbit(a) == signbit(y), g, -g), None),
    saves=("a", "out"),
    samples=AWAY,
    invalid=NO_COMPLEX_PAIR,
)
def copysign(xp: ArrayModule, a: Array, b: Array) -> Array:
    """The magnitude of a with the sign of b; no gradient for b."""
    refuse_complex("copysign", a, b)
    return xp.copysign(floating(xp, a), floating(xp, b))


@discrete(
    reference=np.vectorize(math.nextafter, otypes=[np.float64]),
    infer=real_only("nextafter", promoted_floating),
    samples=BROADCAST,
    invalid=NO_COMPLEX_PAIR,
    flags=Flags.HALF,
)
def nextafter(xp: ArrayModule, a: Array, b: Array) -> Array:
    """The neighbour of a, in its dtype, towards b; b where they are equal."""
    refuse_complex("nextafter", a, b)
    return xp.nextafter(floating(xp, a), floating(xp, b))

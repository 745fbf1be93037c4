"""Trigonometric and hyperbolic functions and their inverses, in radians; of complex numbers the principal branches."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for, and rules name their own ops.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..op import ArraySpec, Sample
from .declare import elementwise, floating, promoted_floating
from .elementwise import BROADCAST, COMPLEX, NO_COMPLEX_PAIR, UNARY, real_only, refuse_complex, sqrt, where

ANY = (*UNARY, COMPLEX)
# The open interval (-1, 1), and what is above 1.
INSIDE = (*(Sample(ArraySpec(shape, low=-0.9, high=0.9)) for shape in ((3, 4), (), (0, 2))), COMPLEX)
ABOVE_ONE = (*(Sample(ArraySpec(shape, low=1.1)) for shape in ((3, 4), (), (0, 2))), COMPLEX)


@elementwise(
    onnx="Sin",
    kernel="sin(x)",
    infer=promoted_floating,
    reference=np.sin,
    vjp=(lambda g, y, x: g * cos(x),),
    saves=("x",),
    samples=ANY,
)
def sin(xp: ArrayModule, x: Array) -> Array:
    """Sine."""
    return xp.sin(floating(xp, x))


@elementwise(
    onnx="Cos",
    kernel="cos(x)",
    infer=promoted_floating,
    reference=np.cos,
    vjp=(lambda g, y, x: -(g * sin(x)),),
    saves=("x",),
    samples=ANY,
)
def cos(xp: ArrayModule, x: Array) -> Array:
    """Cosine."""
    return xp.cos(floating(xp, x))


@elementwise(
    onnx="Tan",
    kernel="tan(x)",
    infer=promoted_floating,
    reference=lambda x: np.sin(x) / np.cos(x),
    vjp=(lambda g, y, x: g * (y * y + 1.0),),
    saves=("out",),
    samples=INSIDE,
)
def tan(xp: ArrayModule, x: Array) -> Array:
    """Tangent."""
    return xp.tan(floating(xp, x))


@elementwise(
    onnx="Asin",
    kernel="asin(x)",
    infer=promoted_floating,
    reference=np.arcsin,
    vjp=(lambda g, y, x: g / sqrt((1.0 - x) * (1.0 + x)),),
    saves=("x",),
    samples=INSIDE,
)
def asin(xp: ArrayModule, x: Array) -> Array:
    """Inverse sine, in [-pi/2, pi/2]; |x| <= 1, and the gradient needs |x| < 1."""
    return xp.arcsin(floating(xp, x))


@elementwise(
    onnx="Acos",
    kernel="acos(x)",
    infer=promoted_floating,
    reference=np.arccos,
    vjp=(lambda g, y, x: -(g / sqrt((1.0 - x) * (1.0 + x))),),
    saves=("x",),
    samples=INSIDE,
)
def acos(xp: ArrayModule, x: Array) -> Array:
    """Inverse cosine, in [0, pi]; |x| <= 1, and the gradient needs |x| < 1."""
    return xp.arccos(floating(xp, x))


@elementwise(
    onnx="Atan",
    kernel="atan(x)",
    infer=promoted_floating,
    reference=np.arctan,
    vjp=(lambda g, y, x: g / (x * x + 1.0),),
    saves=("x",),
    samples=ANY,
)
def atan(xp: ArrayModule, x: Array) -> Array:
    """Inverse tangent, in [-pi/2, pi/2]."""
    return xp.arctan(floating(xp, x))


def _unless_zero(length: Any) -> Any:
    """`length`, and 1 where it is 0: the direction of a vector of length 0 is 0, not NaN."""
    return where(length == 0.0, 1.0, length)


def _turn(g: Any, along: Any, a: Any, b: Any) -> Any:
    """G along / (a^2 + b^2), whose squares neither overflow nor vanish."""
    length = _unless_zero(hypot(a, b))
    return g * (along / length) / length


@elementwise(
    kernel="atan2(a, b)",
    infer=real_only("atan2", promoted_floating),
    reference=np.arctan2,
    vjp=(lambda g, y, a, b: _turn(g, b, a, b), lambda g, y, a, b: -_turn(g, a, a, b)),
    saves=("a", "b"),
    samples=BROADCAST,
    invalid=NO_COMPLEX_PAIR,
)
def atan2(xp: ArrayModule, a: Array, b: Array) -> Array:
    """The angle of the point (x=b, y=a), in [-pi, pi]; the gradient at the origin is 0."""
    refuse_complex("atan2", a, b)
    return xp.arctan2(floating(xp, a), floating(xp, b))


@elementwise(
    kernel="hypot(a, b)",
    infer=real_only("hypot", promoted_floating),
    reference=lambda a, b: np.sqrt(a * a + b * b),
    vjp=(lambda g, y, a, b: g * (a / _unless_zero(y)), lambda g, y, a, b: g * (b / _unless_zero(y))),
    saves=("a", "b", "out"),
    samples=BROADCAST,
    invalid=NO_COMPLEX_PAIR,
)
def hypot(xp: ArrayModule, a: Array, b: Array) -> Array:
    """The length of (a, b), sqrt(a^2 + b^2) without overflow; the gradient at the origin is 0."""
    refuse_complex("hypot", a, b)
    return xp.hypot(floating(xp, a), floating(xp, b))


@elementwise(
    onnx="Sinh",
    kernel="sinh(x)",
    infer=promoted_floating,
    reference=lambda x: (np.exp(x) - np.exp(-x)) / 2,
    vjp=(lambda g, y, x: g * cosh(x),),
    saves=("x",),
    samples=ANY,
)
def sinh(xp: ArrayModule, x: Array) -> Array:
    """Hyperbolic sine."""
    return xp.sinh(floating(xp, x))


@elementwise(
    onnx="Cosh",
    kernel="cosh(x)",
    infer=promoted_floating,
    reference=lambda x: (np.exp(x) + np.exp(-x)) / 2,
    vjp=(lambda g, y, x: g * sinh(x),),
    saves=("x",),
    samples=ANY,
)
def cosh(xp: ArrayModule, x: Array) -> Array:
    """Hyperbolic cosine."""
    return xp.cosh(floating(xp, x))


@elementwise(
    onnx="Asinh",
    kernel="asinh(x)",
    infer=promoted_floating,
    reference=np.arcsinh,
    vjp=(lambda g, y, x: g / sqrt(x * x + 1.0),),
    saves=("x",),
    samples=ANY,
)
def asinh(xp: ArrayModule, x: Array) -> Array:
    """Inverse hyperbolic sine."""
    return xp.arcsinh(floating(xp, x))


@elementwise(
    onnx="Acosh",
    kernel="acosh(x)",
    infer=promoted_floating,
    reference=np.arccosh,
    # Two roots: that of the product is on the other branch for complex x with a negative real part.
    vjp=(lambda g, y, x: g / (sqrt(x - 1.0) * sqrt(x + 1.0)),),
    saves=("x",),
    samples=ABOVE_ONE,
)
def acosh(xp: ArrayModule, x: Array) -> Array:
    """Inverse hyperbolic cosine, not negative; x >= 1, and the gradient needs x > 1."""
    return xp.arccosh(floating(xp, x))


@elementwise(
    onnx="Atanh",
    kernel="atanh(x)",
    infer=promoted_floating,
    reference=lambda x: (np.log1p(x) - np.log1p(-x)) / 2,
    vjp=(lambda g, y, x: g / ((1.0 - x) * (1.0 + x)),),
    saves=("x",),
    samples=INSIDE,
)
def atanh(xp: ArrayModule, x: Array) -> Array:
    """Inverse hyperbolic tangent; |x| < 1."""
    return xp.arctanh(floating(xp, x))

"""Elementwise arithmetic and functions, with NumPy's broadcasting."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import Invalid, Sample, const, integers, normal, positive
from ..tensor import Tensor
from .declare import op, unbroadcast

_BROADCAST = (
    Sample(normal(3, 4), normal(3, 4)),
    Sample(normal(3, 4), normal(4)),
    Sample(normal(2, 1, 4), normal(3, 1)),
    Sample(normal(), normal(3)),
    Sample(normal(), normal()),
    Sample(normal(0, 2), normal(2)),
)
_MISFIT = (Invalid(normal(3, 4), normal(3), error=ShapeError, match=r"\(3, 4\)"),)
_UNARY = (Sample(normal(3, 4)), Sample(normal()), Sample(normal(0, 2)))
_POSITIVE = (Sample(positive(3, 4)), Sample(positive()), Sample(positive(0, 2)))
_NONZERO = (Sample(normal(3, 4, away=0.1)), Sample(normal(away=0.1)), Sample(normal(0, 2)))


@op(
    onnx="Add",
    reference=np.add,
    vjp=(lambda g, y, a, b: unbroadcast(g, a), lambda g, y, a, b: unbroadcast(g, b)),
    samples=_BROADCAST,
    invalid=_MISFIT,
)
def add(xp: ArrayModule, a: Array, b: Array) -> Array:
    """Sum, a + b."""
    return xp.add(a, b)


@op(
    onnx="Sub",
    reference=np.subtract,
    vjp=(lambda g, y, a, b: unbroadcast(g, a), lambda g, y, a, b: unbroadcast(-g, b)),
    samples=_BROADCAST,
    invalid=_MISFIT,
)
def subtract(xp: ArrayModule, a: Array, b: Array) -> Array:
    """Difference, a - b."""
    return xp.subtract(a, b)


@op(
    onnx="Mul",
    reference=np.multiply,
    vjp=(lambda g, y, a, b: unbroadcast(g * b, a), lambda g, y, a, b: unbroadcast(g * a, b)),
    samples=_BROADCAST,
    invalid=_MISFIT,
)
def multiply(xp: ArrayModule, a: Array, b: Array) -> Array:
    """Product, a * b."""
    return xp.multiply(a, b)


@op(
    onnx="Div",
    reference=np.divide,
    vjp=(lambda g, y, a, b: unbroadcast(g / b, a), lambda g, y, a, b: unbroadcast(-(g * y / b), b)),
    samples=(
        Sample(normal(3, 4), normal(3, 4, away=0.2)),
        Sample(normal(3, 4), positive(4)),
        Sample(normal(), positive(2, 1)),
        Sample(normal(0, 2), positive(2)),
    ),
    invalid=_MISFIT,
)
def divide(xp: ArrayModule, a: Array, b: Array) -> Array:
    """Quotient, a / b."""
    return xp.divide(a, b)


@op(
    onnx="Max",
    reference=np.maximum,
    vjp=(
        lambda g, y, a, b: unbroadcast(where(a >= b, g, 0.0), a),
        lambda g, y, a, b: unbroadcast(where(a >= b, 0.0, g), b),
    ),
    samples=_BROADCAST,
    invalid=_MISFIT,
)
def maximum(xp: ArrayModule, a: Array, b: Array) -> Array:
    """The larger of a and b; where they are equal, the gradient goes to a."""
    return xp.maximum(a, b)


@op(
    onnx="Where",
    reference=lambda condition, a, b: np.where(condition.astype(bool), a, b),
    vjp=(
        None,
        lambda g, y, condition, a, b: unbroadcast(where(condition, g, 0.0), a),
        lambda g, y, condition, a, b: unbroadcast(where(condition, 0.0, g), b),
    ),
    samples=(
        Sample(integers(2, 3, 4), normal(3, 4), normal(3, 4)),
        Sample(integers(2, 3, 1), normal(4), normal()),
        Sample(integers(2, 0), normal(0), normal(0)),
    ),
    invalid=(Invalid(integers(2, 3), normal(2), normal(2), error=ShapeError, match="where"),),
)
def where(xp: ArrayModule, condition: Array, a: Array, b: Array) -> Array:
    """Elements of a where `condition` is true (non-zero), of b elsewhere."""
    return xp.where(condition.astype(bool), a, b)


@op(onnx="Neg", reference=np.negative, vjp=(lambda g, y, x: -g,), samples=_UNARY)
def negative(xp: ArrayModule, x: Array) -> Array:
    """Sign changed, -x."""
    return xp.negative(x)


@op(
    onnx="Pow",
    reference=lambda x, exponent: np.power(x, exponent),
    vjp=(lambda g, y, x, exponent: g * (x ** (exponent - 1.0)) * exponent if exponent else g * 0.0,),
    samples=(
        Sample(positive(3, 4), exponent=2.5),
        Sample(normal(3, 4, away=0.2), exponent=2.0),
        Sample(normal(), exponent=1.0),
        Sample(normal(3), exponent=0.0),
        Sample(positive(0, 2), exponent=-0.5),
    ),
)
def power(xp: ArrayModule, x: Array, *, exponent: float) -> Array:
    """X to a fixed power."""
    return xp.square(x) if exponent == 2.0 else xp.power(x, exponent)


@op(onnx="Exp", reference=np.exp, vjp=(lambda g, y, x: g * y,), samples=_UNARY)
def exp(xp: ArrayModule, x: Array) -> Array:
    """Exponential."""
    return xp.exp(x)


@op(onnx="Log", reference=np.log, vjp=(lambda g, y, x: g / x,), samples=_POSITIVE)
def log(xp: ArrayModule, x: Array) -> Array:
    """Natural logarithm; x > 0."""
    return xp.log(x)


@op(onnx="Sqrt", reference=np.sqrt, vjp=(lambda g, y, x: g * 0.5 / y,), samples=_POSITIVE)
def sqrt(xp: ArrayModule, x: Array) -> Array:
    """Square root; x >= 0, and the gradient needs x > 0."""
    return xp.sqrt(x)


@op(onnx="Abs", reference=np.abs, vjp=(lambda g, y, x: where(x >= 0.0, g, -g),), samples=_NONZERO)
def absolute(xp: ArrayModule, x: Array) -> Array:
    """Absolute value; the gradient at 0 is 1."""
    return xp.absolute(x)


@op(
    reference=lambda x, dtype: x.astype(dtype),
    vjp=(lambda g, y, x, dtype: g.astype(x.dtype),),
    samples=(Sample(normal(3, 4), dtype="float64"), Sample(normal(), dtype="float64")),
    onnx="Cast",
)
def astype(xp: ArrayModule, x: Array, *, dtype: str) -> Array:
    """The same values as another dtype."""
    return x.astype(dtype)


@op(onnx="Tanh", reference=np.tanh, vjp=(lambda g, y, x: g * (1.0 - y * y),), samples=_UNARY)
def tanh(xp: ArrayModule, x: Array) -> Array:
    """Hyperbolic tangent."""
    return xp.tanh(x)


@op(
    onnx="Sigmoid",
    reference=lambda x: np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x)))),
    vjp=(lambda g, y, x: g * y * (1.0 - y),),
    samples=(*_UNARY, Sample(const(-80.0, 2)), Sample(const(80.0))),
)
def sigmoid(xp: ArrayModule, x: Array) -> Array:
    """Logistic function, 1 / (1 + exp(-x)), through tanh: no overflow at either end."""
    return 0.5 * (xp.tanh(0.5 * x) + 1)


@op(onnx="Relu", reference=lambda x: x * (x > 0), vjp=(lambda g, y, x: where(x > 0.0, g, 0.0),), samples=_NONZERO)
def relu(xp: ArrayModule, x: Array) -> Array:
    """Positive part, max(x, 0); the gradient at 0 is 0."""
    return xp.maximum(x, 0)


def _silu_vjp(g: Tensor, y: Tensor, x: Tensor) -> Tensor:
    s = sigmoid(x)
    return g * (s + y * (1.0 - s))


@op(reference=lambda x: x / (1 + np.exp(-x)), vjp=(_silu_vjp,), samples=_UNARY)
def silu(xp: ArrayModule, x: Array) -> Array:
    """Swish, x * sigmoid(x). Source: Elfwing et al. 2017, https://arxiv.org/abs/1702.03118."""
    return x * (0.5 * (xp.tanh(0.5 * x) + 1))


_GELU_SCALE = float(np.sqrt(2 / np.pi))


def _gelu_vjp(g: Tensor, y: Tensor, x: Tensor) -> Tensor:
    squared = x * x
    t = tanh(x * (squared * 0.044715 + 1.0) * _GELU_SCALE)
    slope = (squared * (3 * 0.044715) + 1.0) * _GELU_SCALE
    return g * ((t + 1.0) * 0.5 + x * (1.0 - t * t) * slope * 0.5)


@op(
    onnx="Gelu",
    reference=lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    vjp=(_gelu_vjp,),
    samples=_UNARY,
)
def gelu(xp: ArrayModule, x: Array) -> Array:
    """Gaussian error linear unit in its tanh form. Source: Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415."""
    return 0.5 * x * (1 + xp.tanh(_GELU_SCALE * x * (1 + 0.044715 * xp.square(x))))

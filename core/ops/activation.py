"""Activation functions, elementwise."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..op import Sample, const
from .declare import elementwise, floating, promoted_floating
from .elementwise import NONZERO, UNARY, tanh, where


@elementwise(
    onnx="Sigmoid",
    kernel="0.5 * (tanh(0.5 * x) + 1)",
    infer=promoted_floating,
    reference=lambda x: np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x)))),
    vjp=(lambda g, y, x: g * y * (1.0 - y),),
    saves=("out",),
    samples=(*UNARY, Sample(const(-80.0, 2)), Sample(const(80.0))),
)
def sigmoid(xp: ArrayModule, x: Array) -> Array:
    """Logistic function, 1 / (1 + exp(-x)), through tanh: no overflow at either end."""
    return 0.5 * (xp.tanh(0.5 * floating(xp, x)) + 1)


@elementwise(
    onnx="Relu",
    kernel="x > 0 ? x : 0",
    reference=lambda x: x * (x > 0),
    vjp=(lambda g, y, x: where(y > 0.0, g, 0.0),),
    saves=("out",),
    samples=NONZERO,
)
def relu(xp: ArrayModule, x: Array) -> Array:
    """Positive part, max(x, 0); the gradient at 0 is 0."""
    return xp.maximum(x, 0)


def _silu_vjp(g: Any, y: Any, x: Any) -> Any:
    s = sigmoid(x)
    return g * (s + x * s * (1.0 - s))


@elementwise(
    kernel="x * (0.5 * (tanh(0.5 * x) + 1))",
    infer=promoted_floating,
    reference=lambda x: x / (1 + np.exp(-x)),
    vjp=(_silu_vjp,),
    saves=("x",),
    samples=UNARY,
)
def silu(xp: ArrayModule, x: Array) -> Array:
    """Swish, x * sigmoid(x). Source: Elfwing et al. 2017, https://arxiv.org/abs/1702.03118."""
    x = floating(xp, x)
    return x * (0.5 * (xp.tanh(0.5 * x) + 1))


_GELU_SCALE = float(np.sqrt(2 / np.pi))


def _gelu_vjp(g: Any, y: Any, x: Any) -> Any:
    squared = x * x
    t = tanh(x * (squared * 0.044715 + 1.0) * _GELU_SCALE)
    slope = (squared * (3 * 0.044715) + 1.0) * _GELU_SCALE
    return g * ((t + 1.0) * 0.5 + x * (1.0 - t * t) * slope * 0.5)


@elementwise(
    onnx="Gelu",
    kernel="0.5 * x * (1 + tanh(0.7978845608028654 * x * (1 + 0.044715 * x * x)))",
    infer=promoted_floating,
    reference=lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    vjp=(_gelu_vjp,),
    saves=("x",),
    samples=UNARY,
)
def gelu(xp: ArrayModule, x: Array) -> Array:
    """Gaussian error linear unit in its tanh form. Source: Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415."""
    x = floating(xp, x)
    return 0.5 * x * (1 + xp.tanh(_GELU_SCALE * x * (1 + 0.044715 * xp.square(x))))

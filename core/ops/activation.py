"""Activation functions, elementwise, and the gated units and softmax relatives composed from them."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import random
from ..device import Array, ArrayModule
from ..errors import ConfigError, ShapeError
from ..native import accelerate
from ..op import Sample, const, normal
from ..shapes import normalize_axis
from ..tensor import Tensor
from .compare import equal
from .declare import elementwise, floating, promoted_floating
from .elementwise import NONZERO, UNARY, absolute, astype, exp, masked, tanh, where
from .erf import erf, erf_of
from .reduce import max, softmax
from .shape import getitem


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


def _relu_vjp(g: Any, y: Any, x: Any) -> Any:
    if accelerate is None or g.__class__ is not np.ndarray or y.__class__ is not np.ndarray:
        return masked(y > 0.0, g)
    if g.dtype is not y.dtype or g.dtype.char not in "fd" or g.shape != y.shape:
        return masked(y > 0.0, g)
    if not (g.flags.c_contiguous and y.flags.c_contiguous):
        return masked(y > 0.0, g)
    out = np.empty_like(g)
    accelerate.mask_positive(y, g, out)
    return out


@elementwise(
    onnx="Relu",
    kernel="x > 0 ? x : 0",
    reference=lambda x: x * (x > 0),
    vjp=(_relu_vjp,),
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


_HALF_ROOT = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)


def _gelu_erf_vjp(g: Any, y: Any, x: Any) -> Any:
    if isinstance(x, Tensor):  # may be differentiated again, also where x is 0
        share = (erf(x * _HALF_ROOT) + 1.0) * 0.5
    else:  # y is x times this: the error function costs ten times as much
        share = where(x == 0.0, 0.5, y / where(x == 0.0, 1.0, x))
    return g * (share + x * exp(x * x * -0.5) * _DENSITY)


@elementwise(
    onnx="Gelu",
    kernel="0.5 * x * (1 + erf(0.7071067811865476 * x))",
    infer=promoted_floating,
    reference=lambda x: 0.5 * x * (1 + np.vectorize(math.erf, otypes=[float])(x / np.sqrt(2))),
    vjp=(_gelu_erf_vjp,),
    saves=("x", "out"),
    samples=UNARY,
)
def gelu_erf(xp: ArrayModule, x: Array) -> Array:
    """Gaussian error linear unit as it is defined, x times the normal distribution function of x; `gelu` approximates.

    Source: Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415.
    """
    x = floating(xp, x)
    result = erf_of(xp, x * _HALF_ROOT)
    result += 1
    result *= 0.5
    result *= x
    return result


@elementwise(
    onnx="LeakyRelu",
    kernel="x > 0 ? x : slope * x",
    infer=promoted_floating,
    reference=lambda x, slope: x * np.where(x > 0, 1.0, slope),
    vjp=(lambda g, y, x, slope: where(x > 0.0, g, g * slope),),
    saves=("x",),
    samples=(*(Sample(*sample.inputs, slope=0.01) for sample in NONZERO), Sample(normal(4, away=0.1), slope=-0.3)),
)
def leaky_relu(xp: ArrayModule, x: Array, *, slope: float = 0.01) -> Array:
    """X where it is positive, `slope` times x elsewhere. Source: Maas et al. 2013, Rectifier nonlinearities improve
    neural network acoustic models.
    """
    x = floating(xp, x)
    return xp.where(x > 0, x, x * slope)


@elementwise(
    onnx="PRelu",
    kernel="x > 0 ? x : slope * x",
    infer=promoted_floating,
    reference=lambda x, slope: x * np.where(x > 0, 1.0, slope),
    vjp=(lambda g, y, x, slope: where(x > 0.0, g, g * slope), lambda g, y, x, slope: where(x > 0.0, 0.0, g * x)),
    saves=("x", "slope"),
    samples=(
        Sample(normal(3, 4, away=0.1), normal(4)),
        Sample(normal(2, 3, 2, away=0.1), normal(3, 1)),
        Sample(normal(away=0.1), normal()),
        Sample(normal(0, 2), normal(2)),
    ),
)
def prelu(xp: ArrayModule, x: Array, slope: Array) -> Array:
    """X where it is positive, a learned `slope` (broadcast) times x elsewhere.

    Source: He et al. 2015, https://arxiv.org/abs/1502.01852.
    """
    x = floating(xp, x)
    return xp.where(x > 0, x, x * slope)


@elementwise(
    onnx="Elu",
    kernel="x > 0 ? x : alpha * expm1(x)",
    infer=promoted_floating,
    reference=lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1)),
    vjp=(lambda g, y, x, alpha: where(y > 0.0, g, g * (y + alpha)),),
    saves=("out",),
    samples=(
        *(Sample(*sample.inputs, alpha=1.0) for sample in NONZERO),
        Sample(normal(5, away=0.1), alpha=0.4),
        Sample(const(800.0), alpha=1.0),
    ),
)
def elu(xp: ArrayModule, x: Array, *, alpha: float = 1.0) -> Array:
    """X where it is positive, alpha (exp(x) - 1) elsewhere; alpha > 0.

    Source: Clevert et al. 2015, https://arxiv.org/abs/1511.07289.
    """
    x = floating(xp, x)
    return xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0)) * alpha)


_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


@elementwise(
    onnx="Selu",
    kernel="1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * expm1(x))",
    infer=promoted_floating,
    reference=lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(np.minimum(x, 0)) - 1)),
    vjp=(lambda g, y, x: where(y > 0.0, g * _SELU_SCALE, g * (y + _SELU_SCALE * _SELU_ALPHA)),),
    saves=("out",),
    samples=(*NONZERO, Sample(const(800.0))),
)
def selu(xp: ArrayModule, x: Array) -> Array:
    """Self-normalising unit: a scaled `elu` that keeps mean 0 and variance 1 from layer to layer.

    Source: Klambauer et al. 2017, https://arxiv.org/abs/1706.02515.
    """
    x = floating(xp, x)
    return _SELU_SCALE * xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0)) * _SELU_ALPHA)


@elementwise(
    onnx="Celu",
    kernel="x > 0 ? x : alpha * expm1(x / alpha)",
    infer=promoted_floating,
    reference=lambda x, alpha: np.maximum(x, 0) + np.minimum(0, alpha * (np.exp(np.minimum(x, 0) / alpha) - 1)),
    vjp=(lambda g, y, x, alpha: where(y > 0.0, g, g * (y * (1 / alpha) + 1.0)),),
    saves=("out",),
    samples=(*(Sample(*sample.inputs, alpha=1.0) for sample in NONZERO), Sample(normal(5, away=0.1), alpha=0.4)),
)
def celu(xp: ArrayModule, x: Array, *, alpha: float = 1.0) -> Array:
    """X where it is positive, alpha (exp(x / alpha) - 1) elsewhere: an `elu` with a smooth slope for every alpha > 0.

    Source: Barron 2017, https://arxiv.org/abs/1704.07483.
    """
    x = floating(xp, x)
    return xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0) * (1 / alpha)) * alpha)


@elementwise(
    onnx="Softplus",
    kernel="(x > 0 ? x : 0) + log1p(exp(x > 0 ? -x : x))",
    infer=promoted_floating,
    reference=lambda x: np.logaddexp(x, 0),
    vjp=(lambda g, y, x: g * sigmoid(x),),
    saves=("x",),
    samples=(*UNARY, Sample(const(-800.0)), Sample(const(800.0, 2))),
)
def softplus(xp: ArrayModule, x: Array) -> Array:
    """Smooth ReLU, log(1 + exp(x)); no overflow for large |x|. Source: Dugas et al. 2000."""
    x = floating(xp, x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.absolute(x)))


def logsigmoid(x: Any) -> Any:
    """Logarithm of the logistic function, -log(1 + exp(-x)); no overflow at either end."""
    return -softplus(-x)


def _mish_vjp(g: Any, y: Any, x: Any) -> Any:
    t = tanh(softplus(x))
    return g * (t + x * sigmoid(x) * (1.0 - t * t))


@elementwise(
    onnx="Mish",
    kernel="x * tanh(log1p(exp(x)))",
    infer=promoted_floating,
    reference=lambda x: x * np.tanh(np.logaddexp(x, 0)),
    vjp=(_mish_vjp,),
    saves=("x",),
    samples=(*UNARY, Sample(const(-80.0)), Sample(const(80.0, 2))),
)
def mish(xp: ArrayModule, x: Array) -> Array:
    """X tanh(softplus(x)). Source: Misra 2019, https://arxiv.org/abs/1908.08681."""
    x = floating(xp, x)
    grown = xp.exp(xp.minimum(x, 20))  # beyond 20 the quotient below is 1 in float64 too
    grown *= grown + 2  # tanh(log(1 + e)) = (e^2 + 2 e) / (e^2 + 2 e + 2)
    return x * (grown / (grown + 2))


def _softsign_vjp(g: Any, y: Any, x: Any) -> Any:
    slope = 1.0 - absolute(y)  # 1 / (1 + |x|)
    return g * slope * slope


@elementwise(
    onnx="Softsign",
    kernel="x / (1 + fabs(x))",
    infer=promoted_floating,
    reference=lambda x: x / (1 + np.abs(x)),
    vjp=(_softsign_vjp,),
    saves=("out",),
    samples=NONZERO,
)
def softsign(xp: ArrayModule, x: Array) -> Array:
    """X / (1 + |x|)."""
    x = floating(xp, x)
    return x / (1 + xp.absolute(x))


def tanhshrink(x: Any) -> Any:
    """X - tanh(x)."""
    return x - tanh(x)


@elementwise(
    onnx="Clip",
    kernel="x < low ? low : x > high ? high : x",
    infer=promoted_floating,
    reference=lambda x, low, high: np.where(x < low, low, np.where(x > high, high, x)),
    vjp=(lambda g, y, x, low, high: where(y > low, where(y < high, g, 0.0), 0.0),),
    saves=("out",),
    samples=(
        *(Sample(*sample.inputs, low=-1.0, high=1.0) for sample in UNARY),
        Sample(normal(3, 4), low=0.0, high=6.0),
        Sample(const(9.0), low=-1.0, high=1.0),
    ),
)
def hardtanh(xp: ArrayModule, x: Array, *, low: float = -1.0, high: float = 1.0) -> Array:
    """X limited to [low, high]; the gradient at the limits and beyond is 0.

    Source: Collobert 2004, Large scale machine learning.
    """
    return xp.clip(floating(xp, x), low, high)


def relu6(x: Any) -> Any:
    """ReLU limited to 6. Source: Howard et al. 2017, https://arxiv.org/abs/1704.04861."""
    return hardtanh(x, low=0.0, high=6.0)


@elementwise(
    onnx="HardSigmoid",
    kernel="x <= -3 ? 0 : x >= 3 ? 1 : x / 6 + 0.5",
    infer=promoted_floating,
    reference=lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6,
    vjp=(lambda g, y, x: where(y > 0.0, where(y < 1.0, g * (1 / 6), 0.0), 0.0),),
    saves=("out",),
    samples=(*UNARY, Sample(const(-4.0)), Sample(const(4.0, 2))),
)
def hardsigmoid(xp: ArrayModule, x: Array) -> Array:
    """Piecewise linear logistic function, x / 6 + 1/2 limited to [0, 1].

    Source: Howard et al. 2019, https://arxiv.org/abs/1905.02244.
    """
    return xp.clip(floating(xp, x) * (1 / 6) + 0.5, 0, 1)


@elementwise(
    onnx="HardSwish",
    kernel="x <= -3 ? 0 : x >= 3 ? x : x * (x / 6 + 0.5)",
    infer=promoted_floating,
    reference=lambda x: x * np.minimum(np.maximum(x + 3, 0), 6) / 6,
    vjp=(lambda g, y, x: where(x > -3.0, where(x < 3.0, g * (x * (1 / 3) + 0.5), g), 0.0),),
    saves=("x",),
    samples=(*UNARY, Sample(const(-4.0)), Sample(const(4.0, 2))),
)
def hardswish(xp: ArrayModule, x: Array) -> Array:
    """X times its `hardsigmoid`: a cheap `silu`. Source: Howard et al. 2019, https://arxiv.org/abs/1905.02244."""
    x = floating(xp, x)
    return x * xp.clip(x * (1 / 6) + 0.5, 0, 1)


def _halves(x: Any, axis: int, name: str) -> tuple[Any, Any]:
    axis = normalize_axis(axis, len(x.shape), op=name)
    half, rest = divmod(x.shape[axis], 2)
    if rest:
        raise ShapeError(f"{name}: expected an even length along axis {axis}, got shape {tuple(x.shape)}")
    before = (slice(None),) * axis
    return getitem(x, key=(*before, slice(0, half))), getitem(x, key=(*before, slice(half, None)))


def glu(x: Any, *, axis: int = -1) -> Any:
    """Gated linear unit: the first half of an axis times the sigmoid of the second.

    Source: Dauphin et al. 2016, https://arxiv.org/abs/1612.08083.
    """
    value, gate = _halves(x, axis, "glu")
    return value * sigmoid(gate)


def swiglu(x: Any, *, axis: int = -1) -> Any:
    """`silu` of the first half of an axis times the second, as language models do it; `glu` gates with the second half.

    Source: Shazeer 2020, https://arxiv.org/abs/2002.05202.
    """
    gate, value = _halves(x, axis, "swiglu")
    return silu(gate) * value


def geglu(x: Any, *, axis: int = -1) -> Any:
    """`gelu_erf` of the first half of an axis times the second. Source: Shazeer 2020, https://arxiv.org/abs/2002.05202."""
    gate, value = _halves(x, axis, "geglu")
    return gelu_erf(gate) * value


def softmin(x: Any, *, axis: int = -1) -> Any:
    """`softmax` of -x."""
    return softmax(-x, axis=axis)


def gumbel_softmax(
    logits: Tensor, *, key: random.Key, temperature: float = 1.0, hard: bool = False, axis: int = -1
) -> Tensor:
    """A differentiable draw from the distribution softmax(logits) along one axis.

    Args:
        logits: floating, unnormalised log-probabilities.
        key: what the draw is a function of. Under `vmap` all examples share it.
        temperature: > 0; towards 0 the result approaches a one-hot vector, and its gradient explodes.
        hard: return the one-hot vector, with the gradient of the soft one (straight through).
        axis: of the categories.

    Source: Jang et al. 2016, https://arxiv.org/abs/1611.01144; Maddison et al. 2016, https://arxiv.org/abs/1611.00712.
    """
    if not temperature > 0:
        raise ConfigError(f"gumbel_softmax: expected temperature > 0, got {temperature}")
    noise = Tensor(random.gumbel(key, logits.shape, dtype=logits.dtype, device=logits.device))
    soft = softmax((logits + noise) * (1.0 / temperature), axis=axis)
    if not hard:
        return soft
    from ..autograd import stop_gradient  # imports the ops

    fixed = stop_gradient(soft)
    chosen = astype(equal(fixed, max(fixed, axis=axis, keepdims=True)), dtype=logits.dtype.name)
    return (chosen - fixed) + soft

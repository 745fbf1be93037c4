"""Normalisation, composed from `standardize` and `rms_standardize`: over the batch, over features, over groups.

All but `batch_norm` treat the samples of a batch one by one. `weight` and `bias` (each may be None) scale and shift
what was normalised, one element per channel or feature.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import Invalid, Sample, normal
from ..tensor import Tensor
from .declare import floating, op
from .pool import avg_pool2d
from .reduce import along_spec, mean, reduction_batch, reduction_keeps_samples, standardize
from .shape import reshape


def _rms_vjp(g: Any, y: Any, x: Any, *, axis: tuple[int, ...], epsilon: float) -> Any:
    inverse = (mean(x * x, axis=axis, keepdims=True) + epsilon) ** -0.5
    y = x * inverse
    return (g - y * mean(g * y, axis=axis, keepdims=True)) * inverse


def _rms_batch(*args: Any, **params: Any) -> Any:
    return rms_standardize(*args, **params)


@op(
    infer=along_spec,
    reference=lambda x, axis, epsilon: x / np.sqrt(np.mean(x**2, axis=axis, keepdims=True) + epsilon),
    vjp=(_rms_vjp,),
    saves=("x",),
    jvp=(lambda t, y, x, axis, epsilon: _rms_vjp(t, y, x, axis=axis, epsilon=epsilon),),  # symmetric
    batch=reduction_batch(_rms_batch),
    per_sample=reduction_keeps_samples,
    samples=(
        Sample(normal(3, 6), axis=(-1,), epsilon=1e-5),
        Sample(normal(2, 3, 4), axis=(1, 2), epsilon=1e-3),
        Sample(normal(5), axis=(0,), epsilon=1e-5),
        Sample(normal(0, 4), axis=(-1,), epsilon=1e-5),
    ),
    invalid=(Invalid(normal(3), axis=(1,), epsilon=1e-5, error=ShapeError, match="axis 1"),),
)
def rms_standardize(xp: ArrayModule, x: Array, *, axis: tuple[int, ...], epsilon: float = 1e-5) -> Array:
    """Root mean square 1 over `axis`: x / sqrt(mean(x^2) + epsilon)."""
    x = floating(xp, x)
    return x * (1 / xp.sqrt(xp.mean(xp.square(x), axis=axis, keepdims=True) + epsilon)).astype(x.dtype)


def batch_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    statistics: tuple[Tensor, Tensor] | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalise each channel.

    Args:
        x: (N, C, ...).
        weight, bias: (C,).
        statistics: mean and variance of each channel, shape (C,), to normalise by: those a network has seen in
            training. None takes those of the batch (biased variance), which mixes its samples.
        epsilon: added to the variance, > 0.

    Source: Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167.
    """
    _check_channels("batch_norm", x, weight, bias, *(statistics or ()))
    if statistics is None:
        return _affine(standardize(x, axis=(0, *range(2, x.ndim)), epsilon=epsilon), weight, bias, axis=1)
    mean_seen, variance_seen = statistics
    scale = (variance_seen + epsilon) ** -0.5
    scale = scale if weight is None else weight * scale
    shift = -(mean_seen * scale) if bias is None else bias - mean_seen * scale
    return _affine(x, scale, shift, axis=1)


def layer_norm(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, *, axes: int = 1, epsilon: float = 1e-5
) -> Tensor:
    """Normalise over the last `axes` axes; `weight` and `bias` have the shape of these.

    Source: Ba et al. 2016, https://arxiv.org/abs/1607.06450.
    """
    _check_trailing("layer_norm", x, axes, weight, bias)
    y = standardize(x, axis=tuple(range(x.ndim - axes, x.ndim)), epsilon=epsilon)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def rms_norm(x: Tensor, weight: Tensor | None = None, *, axes: int = 1, epsilon: float = 1e-5) -> Tensor:
    """Divide by the root mean square over the last `axes` axes; `weight` has the shape of these.

    Source: Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467.
    """
    _check_trailing("rms_norm", x, axes, weight)
    y = rms_standardize(x, axis=tuple(range(x.ndim - axes, x.ndim)), epsilon=epsilon)
    return y if weight is None else y * weight


def group_norm(
    x: Tensor, groups: int, weight: Tensor | None = None, bias: Tensor | None = None, *, epsilon: float = 1e-5
) -> Tensor:
    """Normalise each sample over each of `groups` runs of channels, x (N, C, ...), `weight` and `bias` (C,).

    One group is layer norm of images. Source: Wu & He 2018, https://arxiv.org/abs/1803.08494.
    """
    _check_channels("group_norm", x, weight, bias)
    if groups < 1 or x.shape[1] % groups:
        raise ShapeError(f"group_norm: expected a number of groups that divides {x.shape[1]} channels, got {groups}")
    rows = reshape(x, shape=(x.shape[0], groups, prod(x.shape[1:]) // groups))
    y = reshape(standardize(rows, axis=(-1,), epsilon=epsilon), shape=x.shape)
    return _affine(y, weight, bias, axis=1)


def instance_norm(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, *, epsilon: float = 1e-5
) -> Tensor:
    """Normalise each channel of each sample over its positions, x (N, C, ...), `weight` and `bias` (C,).

    Source: Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022.
    """
    _check_channels("instance_norm", x, weight, bias)
    if x.ndim < 3:
        raise ShapeError(f"instance_norm: expected (N, C, ...) with positions, got shape {x.shape}")
    return _affine(standardize(x, axis=tuple(range(2, x.ndim)), epsilon=epsilon), weight, bias, axis=1)


def local_response_norm(x: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divide each element of x (N, C, ...) by (k + alpha times a mean of squares) ** beta, a mean over `size` channels
    with the element's own in the middle, zeros beyond the first and last.

    Source: Krizhevsky et al. 2012, ImageNet classification with deep convolutional neural networks, section 3.3.
    """
    if x.ndim < 3 or size < 1:
        raise ShapeError(f"local_response_norm: expected (N, C, ...) and size >= 1, got {x.shape} and {size}")
    squares = reshape(x * x, shape=(x.shape[0], 1, x.shape[1], prod(x.shape[2:])))
    means = avg_pool2d(squares, size=(size, 1), stride=1, padding=((size // 2, (size - 1) // 2), (0, 0)))
    return x * (reshape(means, shape=x.shape) * alpha + k) ** -beta


def _affine(y: Tensor, weight: Tensor | None, bias: Tensor | None, *, axis: int) -> Tensor:
    """Scale and shift along one axis."""
    spread = (-1, *(1,) * (y.ndim - axis - 1))
    if weight is not None:
        y = y * reshape(weight, shape=spread)
    return y if bias is None else y + reshape(bias, shape=spread)


def _check_channels(name: str, x: Tensor, *parameters: Tensor | None) -> None:
    if x.ndim < 2:
        raise ShapeError(f"{name}: expected x (N, C, ...), got shape {x.shape}")
    for parameter in parameters:
        if parameter is not None and parameter.shape != (x.shape[1],):
            raise ShapeError(f"{name}: expected one element for each of {x.shape[1]} channels, got {parameter.shape}")


def _check_trailing(name: str, x: Tensor, axes: int, *parameters: Tensor | None) -> None:
    if not 1 <= axes <= x.ndim:
        raise ShapeError(f"{name}: expected 1 to {x.ndim} axes of shape {x.shape}, got {axes}")
    for parameter in parameters:
        if parameter is not None and parameter.shape != x.shape[x.ndim - axes :]:
            raise ShapeError(f"{name}: expected a weight or bias of shape {x.shape[-axes:]}, got {parameter.shape}")

"""Dropout: zeros at random places, drawn from a key, so that the same call drops the same elements on every device."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import random
from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import Invalid, Sample, booleans, normal
from ..shapes import Spec, broadcast_shapes, to_floating
from ..tensor import Tensor
from .declare import elementwise, floating
from .elementwise import where


def _scaled_spec(x: Spec, mask: Spec, *, scale: float) -> Spec:
    return Spec(broadcast_shapes(x.shape, mask.shape, op="masked_scale"), to_floating(x.dtype))


def _scaled_vjp(g: Any, y: Any, x: Any, mask: Any, *, scale: float) -> Any:
    return masked_scale(g, mask, scale=scale)


@elementwise(
    kernel="mask ? scale * x : 0 * x",
    infer=_scaled_spec,
    reference=lambda x, mask, scale: x * (mask * scale),
    vjp=(_scaled_vjp, None),
    saves=("mask",),
    samples=(
        Sample(normal(3, 4), booleans(3, 4), scale=2.0),
        Sample(normal(2, 3, 4), booleans(2, 3, 1), scale=1.25),
        Sample(normal(), booleans(), scale=1.0),
        Sample(normal(0, 2), booleans(0, 2), scale=2.0),
    ),
    invalid=(Invalid(normal(3), booleans(2), scale=2.0, error=ShapeError, match="do not broadcast"),),
)
def masked_scale(xp: ArrayModule, x: Array, mask: Array, *, scale: float) -> Array:
    """`scale` times x where `mask` (bool) is true, zero elsewhere: a dropout that keeps one byte per element."""
    x = floating(xp, x)
    factor = mask.astype(x.dtype)
    factor *= scale
    return x * factor


def dropout(x: Tensor, *, key: random.Key, rate: float, shared: tuple[int, ...] = ()) -> Tensor:
    """Zero each element with probability `rate`, and scale the rest so that the mean stays.

    Args:
        x: floating.
        key: what the mask is a function of; fold the step and the place in the network into it. Under `vmap` all
            examples share one mask.
        rate: in [0, 1); rounded to a multiple of 2^-16.
        shared: axes along which the mask is the same. (2, 3) drops whole channels of images (N, C, H, W), (1, 2, 3)
            whole samples.

    Raises:
        ConfigError: the rate is out of range.

    Source: Srivastava et al. 2014, in its inverted form; Tompson et al. 2014 for channels,
    https://arxiv.org/abs/1411.4280; Huang et al. 2016 for samples (stochastic depth), https://arxiv.org/abs/1603.09382.
    """
    mask, scale = random.dropout_mask(key, _mask_shape(x, shared), rate=rate, device=x.device)
    return dropped(x, mask, scale)


def dropped(x: Tensor, mask: Array, scale: float) -> Tensor:
    """`scale` times x where `mask` (bool, on the device of x) is true, zero elsewhere; the mask belongs to the samples
    that x is of.
    """
    return masked_scale(x, of_samples(x, mask), scale=scale)


# The value that a scaled exponential unit tends to for x -> -inf: what alpha dropout puts in place of zero.
_SATURATED = -1.0507009873554805 * 1.6732632423543772


def alpha_dropout(x: Tensor, *, key: random.Key, rate: float, shared: tuple[int, ...] = ()) -> Tensor:
    """Dropout for `selu` networks: dropped elements take its saturated value, and an affine map restores mean 0 and
    variance 1. Arguments as for `dropout`.

    Source: Klambauer et al. 2017, https://arxiv.org/abs/1706.02515.
    """
    mask, scale = random.dropout_mask(key, _mask_shape(x, shared), rate=rate, device=x.device)
    keep = 1 / scale
    a = 1 / math.sqrt(keep * (1 + (1 - keep) * _SATURATED**2))
    offsets = np.asarray(
        [a * (keep - 1) * _SATURATED, a * keep * _SATURATED], to_floating(x.dtype)
    )  # offsets: kept, dropped
    choose = where if isinstance(mask, Tensor) else x.device.xp.where
    offset = choose(mask, *(x.device.put(value.reshape(())) for value in offsets))
    return dropped(x, mask, a) + of_samples(x, offset)


def of_samples(x: Tensor, array: Array) -> Tensor:
    """An array as a tensor; for per-sample gradients as one whose leading axis is the samples of x."""
    from ..per_sample import Sampled  # imports the ops

    tensor = array if isinstance(array, Tensor) else Tensor(array)
    return Sampled.make(x.level, tensor) if isinstance(x, Sampled) and array.shape[0] > 1 else tensor


def _mask_shape(x: Tensor, shared: tuple[int, ...]) -> tuple[int, ...]:
    axes = {axis % x.ndim for axis in shared if -x.ndim <= axis < x.ndim}
    if len(axes) != len(shared):
        raise ShapeError(f"dropout: expected distinct axes of a tensor with {x.ndim} axes, got {shared}")
    return tuple(1 if axis in axes else length for axis, length in enumerate(x.shape))

"""Bounding gradients before a step. All work in place on the vector that `OptimizerState.gather` gives."""

from __future__ import annotations

from math import inf, isfinite, sqrt

import numpy as np

from .. import ops
from ..device import Array, device_of
from ..dispatch import Traced
from ..errors import ConfigError
from ..tensor import Tensor


def clip_by_norm(gradient: Array, bound: float) -> float:
    """Scale a gradient down, in place, so that its L2 norm is at most `bound`; its direction stays.

    Args:
        gradient: all gradients in one vector, floating. A norm that is not finite leaves it as it is.
        bound: > 0 and finite.

    Returns:
        The norm before.

    Raises:
        ConfigError: the bound is out of range.

    Source: Pascanu et al. 2013, https://arxiv.org/abs/1211.5063, algorithm 1.
    """
    _check_bound(bound)
    if isinstance(gradient, Traced):
        norm = _traced_norm(gradient)
        clipped = ops.isfinite(norm) & (norm > bound)
        gradient.data = (gradient * ops.where(clipped, bound / ops.maximum(norm, bound), 1.0)).data
        return norm  # pyright: ignore[reportReturnType] - a number when it runs
    norm = l2_norm(gradient)
    if isfinite(norm) and norm > bound:
        factor = bound / norm
        if factor < float(np.finfo(gradient.dtype).tiny):  # rounding such a factor may lengthen: in two steps
            gradient *= sqrt(factor)
            factor = sqrt(factor)
        gradient *= factor
    return norm


def clip_by_value(gradient: Array, bound: float) -> float:
    """Limit every element to [-bound, bound], in place; NaN stays.

    Args:
        gradient: all gradients in one vector, floating.
        bound: > 0 and finite.

    Returns:
        The L2 norm before.

    Raises:
        ConfigError: the bound is out of range.
    """
    _check_bound(bound)
    if isinstance(gradient, Traced):
        norm = _traced_norm(gradient)
        gradient.data = ops.minimum(ops.maximum(gradient, -bound), bound).data
        return norm  # pyright: ignore[reportReturnType]
    norm = l2_norm(gradient)
    device_of(gradient).xp.clip(gradient, -bound, bound, out=gradient)
    return norm


def l2_norm(vector: Array) -> float:
    """The Euclidean norm of a floating array of any shape; squares that overflow or vanish are scaled first."""
    xp = device_of(vector).xp
    flat = vector.reshape(-1)
    square = float(xp.vdot(flat, flat))
    if 1e-20 < square < inf:
        return sqrt(square)
    largest = float(xp.abs(flat).max()) if flat.size else 0.0
    if largest == 0 or not isfinite(largest):
        return largest
    flat = flat.astype("float64") / largest
    return largest * sqrt(float(xp.vdot(flat, flat)))


def _traced_norm(vector: Tensor) -> Tensor:
    """`l2_norm` where a function is being compiled: always scaled, for it cannot look."""
    largest = ops.max(ops.absolute(vector))
    scale = ops.where(ops.isfinite(largest) & (largest > 0.0), largest, 1.0)
    part = vector / scale
    return scale * ops.sqrt(ops.sum(part * part))


def _check_bound(bound: float) -> None:
    if not 0 < bound < inf:
        raise ConfigError(f"expected a bound > 0 and finite, got {bound}")

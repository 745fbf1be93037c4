"""Pooling to a size: windows that cover the input evenly, whatever its lengths; and pooling over all of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..device import device_of
from ..errors import ConfigError, ShapeError
from ..tensor import Tensor
from .gather import take
from .interpolate import resample
from .pool import pool_maxima
from .reduce import mean
from .shape import reshape
from .window import SHAPES

# One length for all spatial axes, or one per axis; None keeps an axis as long as it is.
Size = int | None | Sequence[int | None]


def _lengths(rank: int, x: Any, size: Size) -> tuple[int, ...]:
    """The output lengths that are asked for."""
    if len(x.shape) != rank + 2:
        raise ShapeError(f"adaptive pool: expected {rank + 2} axes, (N, C, ...), got {x.shape}")
    sizes = (size,) * rank if size is None or isinstance(size, int) else tuple(size)
    if len(sizes) != rank:
        raise ConfigError(f"adaptive pool: expected one size or {rank}, got {size!r}")
    lengths = tuple(length if wanted is None else wanted for wanted, length in zip(sizes, x.shape[2:], strict=True))
    if min(*lengths, *x.shape[2:]) < 1:
        raise ShapeError(f"adaptive pool: expected lengths >= 1, got {x.shape} and size {lengths}")
    return lengths


def _adaptive_avg(rank: int, x: Any, size: Size) -> Any:
    lengths = _lengths(rank, x, size)
    pieces: list[int] = []
    for length, wanted in zip(x.shape[2:], lengths, strict=True):
        pieces += [wanted, length // wanted]
    if all(length % wanted == 0 for length, wanted in zip(x.shape[2:], lengths, strict=True)):
        return mean(reshape(x, shape=(*x.shape[:2], *pieces)), axis=tuple(range(3, 3 + 2 * rank, 2)))
    for axis, wanted in enumerate(lengths, 2):
        if wanted != x.shape[axis]:
            x = resample(
                x,
                axis=axis,
                source=x.shape[axis],
                target=wanted,
                mode="area",
                align_corners=False,
                scale=None,
                transposed=False,
            )
    return x


@lru_cache(SHAPES)
def _covers(source: int, target: int) -> np.ndarray:
    """For each of `target` elements the places it covers among `source`, one after the other; a cover that is shorter
    than others repeats its last place.
    """
    edges = np.arange(target + 1) * source
    starts, ends = edges[:-1] // target, -(-edges[1:] // target)
    offsets = np.arange(int(np.max(ends - starts)))
    return np.minimum(starts[:, None] + offsets, ends[:, None] - 1)


def _adaptive_max(rank: int, x: Any, size: Size) -> Any:
    windows: list[int] = []
    for axis, wanted in enumerate(_lengths(rank, x, size), 2):
        covers = _covers(x.shape[axis], wanted)
        windows.append(covers.shape[1])
        if covers.size != x.shape[axis]:
            place = x.device if isinstance(x, Tensor) else device_of(x)
            x = take(x, place.put(covers.ravel()), axis=axis)
    return pool_maxima(rank, x, tuple(windows))


def adaptive_avg_pool1d(x: Any, *, size: Size) -> Any:
    """Means to a given length, (N, C, L) -> (N, C, size). See `adaptive_avg_pool2d`."""
    return _adaptive_avg(1, x, size)


def adaptive_avg_pool2d(x: Any, *, size: Size) -> Any:
    """Means to a given size, (N, C, H, W) -> (N, C, *size).

    Along each axis, element i is the mean of the places from floor(i L / size) to ceil((i + 1) L / size).

    Args:
        x: the images.
        size: one length for both axes or one each; None keeps an axis as it is.

    Raises:
        ShapeError: `x` has another rank, or a length is less than 1.
        ConfigError: `size` has too many or too few entries.
    """
    return _adaptive_avg(2, x, size)


def adaptive_avg_pool3d(x: Any, *, size: Size) -> Any:
    """Means to a given size, (N, C, D, H, W) -> (N, C, *size). See `adaptive_avg_pool2d`."""
    return _adaptive_avg(3, x, size)


def adaptive_max_pool1d(x: Any, *, size: Size) -> Any:
    """Maxima to a given length, (N, C, L) -> (N, C, size). See `adaptive_max_pool2d`."""
    return _adaptive_max(1, x, size)


def adaptive_max_pool2d(x: Any, *, size: Size) -> Any:
    """Maxima to a given size, (N, C, H, W) -> (N, C, *size). See `adaptive_avg_pool2d` for what each is the maximum of;
    the gradient goes to the first of equal ones.
    """
    return _adaptive_max(2, x, size)


def adaptive_max_pool3d(x: Any, *, size: Size) -> Any:
    """Maxima to a given size, (N, C, D, H, W) -> (N, C, *size). See `adaptive_max_pool2d`."""
    return _adaptive_max(3, x, size)


def global_avg_pool(x: Any, *, keepdims: bool = False) -> Any:
    """Mean over all spatial axes, (N, C, *spatial) -> (N, C); with `keepdims` (N, C, 1, ...)."""
    return mean(x, axis=_spatial(x), keepdims=keepdims)


def global_max_pool(x: Any, *, keepdims: bool = False) -> Any:
    """Maximum over all spatial axes, (N, C, *spatial) -> (N, C); with `keepdims` (N, C, 1, ...). The gradient goes to
    the first of equal ones.
    """
    y = _adaptive_max(len(_spatial(x)), x, 1)
    return y if keepdims else reshape(y, shape=tuple(y.shape[:2]))


def _spatial(x: Any) -> tuple[int, ...]:
    if len(x.shape) < 3:
        raise ShapeError(f"global pool: expected (N, C, *spatial), got {x.shape}")
    return tuple(range(2, len(x.shape)))

"""Pooling over square windows of (N, C, H, W); a border that does not fill a window is left out.

Maximum pooling is a selection: `pool_select(h, x)` takes from h the element at the place of each window's maximum in
x, and `pool_scatter` is its adjoint. Both are linear in their first input, so they differentiate into each other.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import Batch, Invalid, Jvp, Sample, everywhere, normal
from ..shapes import Spec
from ..tensor import Tensor
from .declare import op


def _output_size(shape: tuple[int, ...], size: int, stride: int) -> tuple[int, int]:
    if len(shape) != 4:
        raise ShapeError(f"pool: expected (N, C, H, W), got {shape}")
    if size < 1 or stride < 1 or size > min(shape[2:]):
        raise ShapeError(f"pool: expected 1 <= size <= {min(shape[2:])} and stride >= 1, got {size=}, {stride=}")
    return (shape[2] - size) // stride + 1, (shape[3] - size) // stride + 1


def _offsets(shape: tuple[int, ...], size: int, stride: int) -> Iterator[tuple[Any, ...]]:
    """For every place in a window, the slice of the input that it takes over all windows."""
    oh, ow = _output_size(shape, size, stride)
    for i in range(size):
        for j in range(size):
            yield (..., slice(i, i + stride * oh, stride), slice(j, j + stride * ow, stride))


def _windows(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]
    return view.reshape(*view.shape[:4], size * size)


def _select_reference(h: np.ndarray, x: np.ndarray, size: int, stride: int) -> np.ndarray:
    best = _windows(x, size, stride).argmax(-1)[..., None]
    return np.take_along_axis(_windows(h, size, stride), best, -1)[..., 0]


def _scatter_reference(g: np.ndarray, x: np.ndarray, size: int, stride: int) -> np.ndarray:
    result = np.zeros_like(x)
    best = _windows(x, size, stride).argmax(-1)
    for n, c, i, j in np.ndindex(*g.shape):
        a, b = divmod(int(best[n, c, i, j]), size)
        result[n, c, i * stride + a, j * stride + b] += g[n, c, i, j]
    return result


_SAMPLES = (
    Sample(normal(2, 3, 4, 6), normal(2, 3, 4, 6), size=2, stride=2),
    Sample(normal(1, 2, 5, 5), normal(1, 2, 5, 5), size=3, stride=2),
    Sample(normal(2, 1, 5, 4), normal(2, 1, 5, 4), size=2, stride=1),
)


@op(
    infer=lambda h, x, size, stride: Spec((*h.shape[:2], *_output_size(x.shape, size, stride)), h.dtype),
    saves=("x",),
    jvp=Jvp.MULTILINEAR,
    batch=Batch.LOOP,
    per_sample=everywhere,
    reference=_select_reference,
    vjp=(lambda g, y, h, x, size, stride: pool_scatter(g, x, size=size, stride=stride), None),
    samples=_SAMPLES,
    invalid=(
        Invalid(normal(1, 1, 2, 2), normal(1, 1, 2, 2), size=3, stride=1, error=ShapeError, match="size <= 2"),
        Invalid(normal(1, 2, 2), normal(1, 2, 2), size=2, stride=2, error=ShapeError, match="N, C, H, W"),
    ),
)
def pool_select(xp: ArrayModule, h: Array, x: Array, *, size: int, stride: int) -> Array:
    """From each window of h the element where the same window of x is largest; the first of equal maxima."""
    best = chosen = None
    for place in _offsets(x.shape, size, stride):
        if best is None:
            best, chosen = x[place], h[place]
        else:
            larger = x[place] > best
            best, chosen = xp.maximum(best, x[place]), xp.where(larger, h[place], chosen)
    return chosen


@op(
    infer=lambda g, x, size, stride: Spec(x.shape, g.dtype),
    saves=("x",),
    jvp=Jvp.MULTILINEAR,
    batch=Batch.LOOP,
    per_sample=everywhere,
    reference=_scatter_reference,
    vjp=(lambda h, y, g, x, size, stride: pool_select(h, x, size=size, stride=stride), None),
    samples=(
        Sample(normal(2, 3, 2, 3), normal(2, 3, 4, 6), size=2, stride=2),
        Sample(normal(1, 2, 2, 2), normal(1, 2, 5, 5), size=3, stride=2),
    ),
)
def pool_scatter(xp: ArrayModule, g: Array, x: Array, *, size: int, stride: int) -> Array:
    """Adjoint of `pool_select`: each element of g added at the place of its window's maximum in x."""
    maxima = pool_select_max(xp, x, size, stride)
    free = xp.ones(g.shape, bool)
    result = xp.zeros_like(x)
    for place in _offsets(x.shape, size, stride):
        hit = free & (x[place] == maxima)
        free &= ~hit
        result[place] += xp.where(hit, g, 0).astype(x.dtype)
    return result


def pool_select_max(xp: ArrayModule, x: Array, size: int, stride: int) -> Array:
    """The largest element of each window, on arrays."""
    best = None
    for place in _offsets(x.shape, size, stride):
        best = x[place] if best is None else xp.maximum(best, x[place])
    return best


def max_pool2d(x: Tensor, *, size: int, stride: int | None = None) -> Tensor:
    """Largest element of each size x size window, (N, C, H, W) -> (N, C, OH, OW); `stride` is `size` by default."""
    return pool_select(x, x.detach(), size=size, stride=stride or size)


def _avg_reference(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    return _windows(x, size, stride).mean(-1)


def _spread_reference(g: np.ndarray, shape: tuple[int, int], size: int, stride: int) -> np.ndarray:
    result = np.zeros((*g.shape[:2], *shape))
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            window = result[:, :, i * stride : i * stride + size, j * stride : j * stride + size]
            window += g[:, :, i : i + 1, j : j + 1] / size**2
    return result


@op(
    infer=lambda x, size, stride: Spec((*x.shape[:2], *_output_size(x.shape, size, stride)), x.dtype),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=Batch.LOOP,
    per_sample=everywhere,
    onnx="AveragePool",
    reference=_avg_reference,
    vjp=(lambda g, y, x, size, stride: pool_spread(g, shape=x.shape[2:], size=size, stride=stride),),
    samples=(Sample(normal(2, 3, 4, 6), size=2, stride=2), Sample(normal(1, 2, 5, 5), size=3, stride=1)),
    invalid=(Invalid(normal(1, 1, 2, 2), size=3, stride=1, error=ShapeError, match="size <= 2"),),
)
def avg_pool2d(xp: ArrayModule, x: Array, *, size: int, stride: int) -> Array:
    """Mean of each size x size window, (N, C, H, W) -> (N, C, OH, OW)."""
    total = None
    for place in _offsets(x.shape, size, stride):
        total = x[place].copy() if total is None else xp.add(total, x[place], out=total)
    assert total is not None
    total *= total.dtype.type(1 / size**2)
    return total


@op(
    infer=lambda g, shape, size, stride: Spec((*g.shape[:2], *shape), g.dtype),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=Batch.LOOP,
    per_sample=everywhere,
    reference=_spread_reference,
    vjp=(lambda h, y, g, shape, size, stride: avg_pool2d(h, size=size, stride=stride),),
    samples=(
        Sample(normal(2, 3, 2, 3), shape=(4, 6), size=2, stride=2),
        Sample(normal(1, 2, 3, 3), shape=(5, 5), size=3, stride=1),
    ),
)
def pool_spread(xp: ArrayModule, g: Array, *, shape: tuple[int, int], size: int, stride: int) -> Array:
    """Adjoint of `avg_pool2d` for an input of height and width `shape`: each element shared out over its window."""
    result = xp.zeros((*g.shape[:2], *shape), g.dtype)
    part = g * g.dtype.type(1 / size**2)
    for place in _offsets(result.shape, size, stride):
        result[place] += part
    return result

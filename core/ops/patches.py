"""Convolution on arrays as matrix products over patches, in channels-last memory order.

Results are (N, C, *spatial) views of channels-last memory, so that between convolutions a patch is copied in runs of
many contiguous elements. Patches are copied for a block of the outputs at a time, small enough to stay in the cache
until they are multiplied: that is faster than the whole patch matrix (3x3, 16 channels, 32 x 32 pixels, batch 64:
6.3 ms against 15.7) and bounds the memory. The blocks do not change the result by a bit, see `_MULTIPLICATIONS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import prod

import numpy as np

from ..device import Array, ArrayModule
from .window import SHAPES, Window, cropped, padded

# Bytes of patches that are copied at once, to be read from the second-level cache.
_BLOCK = 2 << 20
_BLOCK_ON_GPU = 256 << 20  # there, few launches count
# Up to here a weight gradient is one sum over all samples; beyond, the sum of the blocks' gradients.
_WHOLE = 64 << 20
# OpenBLAS multiplies matrices with fewer multiplications than 100**3 by other kernels, which round otherwise: no block
# is that small, unless all of the convolution is.
_MULTIPLICATIONS = 2 << 20


def convolve(xp: ArrayModule, x: Array, w: Array, window: Window, groups: int) -> Array:
    """Cross-correlation of x (N, C, *spatial) with w (O, C / groups, *size): (N, O, *outputs)."""
    outputs = window.outputs(x.shape[2:])
    result = xp.empty((x.shape[0] * prod(outputs), groups, w.shape[0] // groups), x.dtype)
    by_group, weights = result.transpose(1, 0, 2), _weight_matrices(w, groups)
    for rows, patches in _patches(xp, x, window, groups, weights.shape[2]):
        _multiply(xp, patches, weights, by_group[:, rows])
    return channels_second(result.reshape(x.shape[0], *outputs, w.shape[0]))


def weight_gradient(xp: ArrayModule, x: Array, g: Array, window: Window, groups: int) -> Array:
    """What `convolve` sends back to w for an output gradient g (N, O, *outputs): (O, C / groups, *size)."""
    inputs, outputs = x.shape[1] // groups, g.shape[1] // groups
    gradients = _rows(xp, g, groups)
    length = prod(window.size) * inputs
    nbytes = gradients.shape[1] * groups * length * x.itemsize
    limit = _limit(xp, x.itemsize, outputs)
    if nbytes > max(_WHOLE, limit):
        result = xp.zeros((groups, length, outputs), x.dtype)
        for rows, patches in _patches(xp, x, window, groups, outputs):
            result += _multiply(xp, patches.transpose(0, 2, 1), gradients[:, rows])
    else:
        fields = _fields(xp, _by_group(xp, x, window.padding, groups), window)
        if nbytes <= limit * window.size[0]:
            patches = fields.reshape(groups, gradients.shape[1], length)
            result = _multiply(xp, patches.transpose(0, 2, 1), gradients)
        else:
            result = _by_kernel_rows(xp, fields, gradients, window.size[0])
    weights = result.reshape(groups, *window.size, inputs, outputs)
    last = weights.ndim - 1
    return weights.transpose(0, last, last - 1, *range(1, last - 1)).reshape(-1, inputs, *window.size)


def _by_kernel_rows(xp: ArrayModule, fields: Array, gradients: Array, size: int) -> Array:
    """The products of `weight_gradient` for one entry of the kernel's first axis after the other: with the memory of
    one, and the bits of a single product, which sums over blocks of samples would not have.
    """
    groups, rows, outputs = gradients.shape
    result: Array = None
    axis = fields.ndim // 2 + 1
    for i in range(size):
        patches = fields[(*(slice(None),) * axis, i)]
        patches = patches.reshape(groups, rows, -1)
        if result is None:
            result = xp.empty((groups, size, patches.shape[2], outputs), gradients.dtype)
        _multiply(xp, patches.transpose(0, 2, 1), gradients, result[:, i])
    return result


def input_gradient(xp: ArrayModule, g: Array, w: Array, lengths: Sequence[int], window: Window, groups: int) -> Array:
    """What `convolve` sends back to x, of these spatial lengths, for an output gradient g: (N, C, *lengths)."""
    turned = turned_window(window)
    if turned is not None:
        # The same sum as a convolution of g with the kernel turned round: one product, no additions of patches.
        return convolve(xp, g, _turned(w, groups), turned, groups)
    n, outputs = g.shape[0], g.shape[2:]
    inputs, positions, line = w.shape[1], prod(outputs), prod(outputs[1:])
    gradients, weights = _rows(xp, g, groups), _weight_matrices(w, groups).transpose(0, 2, 1)
    ends = [length + low + high for length, (low, high) in zip(lengths, window.padding, strict=True)]
    result = xp.zeros((n, *ends, groups, inputs), g.dtype)
    limit = _limit(xp, g.itemsize, w.shape[0])
    nbytes = positions * groups * weights.shape[2] * g.itemsize
    before = (slice(None),) * (len(outputs) + 2)
    for start, stop, low, high in _blocks(n, outputs[0], nbytes, limit, max(_WHOLE, limit)):
        rows = slice(start * positions + low * line, (stop - 1) * positions + high * line)
        fields = xp.empty((rows.stop - rows.start, groups, weights.shape[2]), g.dtype)
        _multiply(xp, gradients[:, rows], weights, fields.transpose(1, 0, 2))
        fields = fields.reshape(stop - start, high - low, *outputs[1:], groups, *window.size, inputs)
        target = result[start:stop, low * window.stride[0] :]
        for place, element in zip(window.places((high - low, *outputs[1:])), window.elements, strict=True):
            target[(slice(None), *place)] += fields[(*before, *element)]
    return channels_second(cropped(result, window.padding, first=1).reshape(n, *lengths, groups * inputs))


@lru_cache(SHAPES)
def turned_window(window: Window) -> Window | None:
    """The window of the convolution that is the input gradient of one with `window`; None where there is none."""
    if not window.dense:
        return None
    pads = tuple(
        (span - 1 - low, span - 1 - high) for span, (low, high) in zip(window.span, window.padding, strict=True)
    )
    return window._replace(padding=pads) if all(min(pair) >= 0 for pair in pads) else None


def channels_last(xp: ArrayModule, x: Array, padding: tuple[tuple[int, int], ...] | None = None) -> Array:
    """(N, C, *spatial) -> (N, *spatial, C), contiguous; zero-padded where `padding` says."""
    moved = x.transpose(0, *range(2, x.ndim), 1)
    return xp.ascontiguousarray(padded(xp, moved, padding, first=1, order="C") if padding else moved)


def channels_second(x: Array) -> Array:
    """(N, *spatial, C) -> (N, C, *spatial), a view."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def blocks_of(xp: ArrayModule, samples: int, nbytes: int) -> Iterator[tuple[int, int]]:
    """Ranges of samples that are worked on at a time, when each touches `nbytes` bytes."""
    return _evenly(samples, max(1, samples * nbytes // (_BLOCK if xp is np else _BLOCK_ON_GPU)))


def _patches(xp: ArrayModule, x: Array, window: Window, groups: int, outputs: int) -> Iterator[tuple[slice, Array]]:
    """Every receptive field as a row of prod(size) * C / groups elements, some at a time.

    Args:
        x: (N, C, *spatial).
        window: how the fields lie.
        groups: parts of the channels that are convolved on their own.
        outputs: the number of columns that each group's patches will be multiplied with.

    Yields:
        Which of the N * prod(outputs) rows, and (groups, rows, prod(size) * C / groups).
    """
    n, c = x.shape[:2]
    lengths = window.outputs(x.shape[2:])
    positions, line = prod(lengths), prod(lengths[1:])
    nbytes = positions * prod(window.size) * c * x.itemsize
    # A window of one element needs no copy: nothing to keep small.
    limit = _limit(xp, x.itemsize, outputs) if prod(window.size) > 1 else max(n * nbytes, 1)
    if n * nbytes <= limit:
        yield (
            slice(None),
            _fields(xp, _by_group(xp, x, window.padding, groups), window).reshape(
                groups, n * positions, prod(window.size) * c // groups
            ),
        )
        return
    source, last = None, -1
    for start, stop, low, high in _blocks(n, lengths[0], nbytes, limit, limit):
        if source is None or start != last:
            source, last = _fields(xp, _by_group(xp, x[start:stop], window.padding, groups), window), start
        rows = slice(start * positions + low * line, (stop - 1) * positions + high * line)
        yield rows, source[:, :, low:high].reshape(groups, rows.stop - rows.start, -1)


def _multiply(xp: ArrayModule, a: Array, b: Array, out: Array | None = None) -> Array:
    """The product of two stacks of matrices, one per group. A single one goes without the stack: CuPy copies transposed
    matrices in a stack.
    """
    if len(a) > 1:
        return xp.matmul(a, b, out=out)
    return xp.matmul(a[0], b[0], out=None if out is None else out[0])[None]


def _limit(xp: ArrayModule, itemsize: int, outputs: int) -> int:
    return max(_BLOCK, _MULTIPLICATIONS * itemsize // max(outputs, 1)) if xp is np else _BLOCK_ON_GPU


def _blocks(
    samples: int, lines: int, nbytes: int, limit: int, sample_limit: int
) -> Iterator[tuple[int, int, int, int]]:
    """Ranges of samples, of `nbytes` bytes each, that have about `limit` bytes; where one sample has more than
    `sample_limit`, ranges of its lines, the entries of its first axis: (first sample, last, first line, last).
    """
    bands = max(1, min(lines, nbytes // sample_limit)) if nbytes > sample_limit else 1
    for start, stop in _evenly(samples, max(1, samples * nbytes // limit)):
        for low, high in _evenly(lines, bands):
            yield start, stop, low, high


def _evenly(total: int, parts: int) -> Iterator[tuple[int, int]]:
    parts = min(parts, total)
    return ((total * i // parts, total * (i + 1) // parts) for i in range(parts))


def _by_group(xp: ArrayModule, x: Array, padding: tuple[tuple[int, int], ...], groups: int) -> Array:
    """(N, C, *spatial) -> (groups, N, *spatial, C / groups), zero-padded; contiguous."""
    n, c, *lengths = x.shape
    parts = x.reshape(n, groups, c // groups, *lengths).transpose(1, 0, *range(3, x.ndim + 1), 2)
    return xp.ascontiguousarray(padded(xp, parts, padding, first=2, order="C"))


def _fields(xp: ArrayModule, source: Array, window: Window) -> Array:
    """Every receptive field of (groups, N, *spatial, c), as a view: (groups, N, *outputs, *size, c)."""
    shape, strides = _field_layout(source.shape, source.strides, window)
    if window.dense and prod(window.size) == 1:
        return source.reshape(shape)
    if xp is np:  # without the conversions of as_strided, which cost more than a small product
        return np.ndarray(shape, source.dtype, source, 0, strides)
    return xp.lib.stride_tricks.as_strided(source, shape, strides)


@lru_cache(SHAPES)
def _field_layout(
    shape: tuple[int, ...], strides: tuple[int, ...], window: Window
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape and strides of `_fields`."""
    outputs = window.unpadded().outputs(shape[2:-1])
    moves = [step * s for step, s in zip(strides[2:-1], window.stride, strict=True)]
    steps = [step * d for step, d in zip(strides[2:-1], window.dilation, strict=True)]
    return (*shape[:2], *outputs, *window.size, shape[-1]), (*strides[:2], *moves, *steps, strides[-1])


def _rows(xp: ArrayModule, g: Array, groups: int) -> Array:
    """(N, O, *outputs) -> (groups, N * prod(outputs), O / groups)."""
    return channels_last(xp, g).reshape(-1, groups, g.shape[1] // groups).transpose(1, 0, 2)


def _weight_matrices(w: Array, groups: int) -> Array:
    """(O, C / groups, *size) -> (groups, prod(size) * C / groups, O / groups)."""
    parts = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    return parts.transpose(0, *range(3, parts.ndim), 2, 1).reshape(groups, -1, parts.shape[1])


def _turned(w: Array, groups: int) -> Array:
    """The weight of the convolution back: (O, C / groups, *size) -> (C, O / groups, *size), every axis reversed."""
    parts = w[(..., *(slice(None, None, -1),) * (w.ndim - 2))].reshape(groups, -1, *w.shape[1:])
    return parts.transpose(0, 2, 1, *range(3, parts.ndim)).reshape(-1, parts.shape[1], *w.shape[2:])

"""Sums and maxima over groups of rows, on arrays: what scattering with repeated indices comes down to.

The order of every sum depends on the group numbers alone, so the same call gives the same bits on every run. On a GPU
that rules out atomic additions; there, rows are sorted by group and summed by a segmented scan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import BoundsError, DTypeError

# np.bincount costs 6 ns an element, a round of `_add_by_rank` 8 us (2.1 GHz Xeon): up to this many elements a round.
_BINCOUNT_PER_ROUND = 1300


def wrapped(xp: ArrayModule, indices: Array, length: int, *, op: str) -> Array:
    """Indices into an axis of `length` as int64 that count from its start; negative ones counted from its end.

    Raises:
        DTypeError: not integers.
        BoundsError: an index is out of bounds. On a GPU, where looking would mean waiting, such an index is taken
            modulo `length`, as CuPy does.
    """
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"{op}: expected integers as indices, got dtype {indices.dtype}")
    indices = indices.astype(np.int64, copy=False)
    if xp is not np:
        return xp.remainder(indices, length) if length else indices
    if not indices.size or int(indices.view(np.uint64).max()) < length:  # negative numbers are large ones there
        return indices
    low, high = int(indices.min()), int(indices.max())
    if low < -length or high >= length:
        shown = high if high >= length else low
        raise BoundsError(f"{op}: index {shown} is out of bounds: expected [{-length}, {length}) for length {length}")
    return xp.where(indices < 0, indices + length, indices)


def batched_places(xp: ArrayModule, indices: Array, length: int, rows: int, *, op: str) -> Array:
    """Indices into `rows` axes of `length` each as indices into one axis of rows * length, shape (indices.size,)."""
    places = wrapped(xp, indices, length, op=op).reshape(rows, indices.size // rows if rows else 0)
    return (places + (length * xp.arange(rows))[:, None]).reshape(-1) if rows != 1 else places.reshape(-1)


def group_sum(xp: ArrayModule, x: Array, groups: Array, count: int) -> Array:
    """Sum the rows of each group.

    Args:
        x: shape (outer, rows, inner); numbers of any dtype, which the sums keep. Floats of one element per row are
            added up in float64.
        groups: the group of each row, int64 in [0, count), shape (rows,); in any order.
        count: how many groups there are.

    Returns:
        Shape (outer, count, inner); zeros where a group has no rows.
    """
    outer, _, inner = x.shape
    if not x.size:
        return xp.zeros((outer, count, inner), x.dtype)
    if xp is not np:
        return _scan(xp, x, groups, count, xp.add, neutral=0, empty=0)
    sizes = np.bincount(groups, minlength=count)
    rounds = int(sizes.max())
    if rounds == 1:
        result = np.zeros((outer, count, inner), x.dtype)
        result[:, groups] = x
        return result
    if x.dtype.kind in "iu":
        result = np.zeros((outer, count, inner), x.dtype)
        xp.add.at(result, (slice(None), groups), x)
        return result
    if outer * inner > 1 and rounds * _BINCOUNT_PER_ROUND < x.size:
        return _add_by_rank(x, groups, sizes)
    places = groups if outer == inner == 1 else _flat_places(groups, outer, count, inner)
    return _bincount(places, x.reshape(-1), outer * count * inner).reshape(outer, count, inner)


def _flat_places(groups: Array, outer: int, count: int, inner: int) -> Array:
    """Where each element of (outer, rows, inner) goes in a flat (outer, count, inner)."""
    places = (np.arange(outer) * count)[:, None] + groups
    return ((places * inner)[..., None] + np.arange(inner)).reshape(-1)


def _bincount(places: Array, values: Array, size: int) -> Array:
    if values.dtype.kind == "c":
        parts = (np.bincount(places, part, size) for part in (values.real, values.imag))
        return (next(parts) + 1j * next(parts)).astype(values.dtype, copy=False)
    return np.bincount(places, values, size).astype(values.dtype, copy=False)


def _add_by_rank(x: Array, groups: Array, sizes: Array) -> Array:
    """First the first row of every group, then the second rows, and so on: few, wide additions."""
    order = np.argsort(groups, kind="stable")
    present = np.flatnonzero(sizes)
    starts, lengths = (np.cumsum(sizes) - sizes)[present], sizes[present]
    result = np.zeros((x.shape[0], len(sizes), x.shape[2]), x.dtype)
    result[:, present] = x[:, order[starts]]
    for rank in range(1, int(lengths.max())):
        longer = lengths > rank
        present, starts, lengths = present[longer], starts[longer], lengths[longer]
        result[:, present] += x[:, order[starts + rank]]
    return result


def group_max(xp: ArrayModule, x: Array, groups: Array, count: int, *, empty: Any) -> Array:
    """The largest element of each group of rows; arguments as for `group_sum`.

    Args:
        empty: what a group without rows has.
    """
    outer, _, inner = x.shape
    if not x.size:
        return xp.full((outer, count, inner), empty, x.dtype)
    if xp is not np:
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        return _scan(xp, x, groups, count, xp.maximum, neutral=lowest, empty=empty)
    order = np.argsort(groups, kind="stable")
    present, starts = np.unique(groups[order], return_index=True)
    result = np.full((outer, count, inner), empty, x.dtype)
    result[:, present] = np.maximum.reduceat(x[:, order], starts, axis=1)
    return result


def _scan(
    xp: ArrayModule, x: Array, groups: Array, count: int, combine: Callable[..., Array], *, neutral: Any, empty: Any
) -> Array:
    """Sort the rows by group, and let each row take in those before it at distances 1, 2, 4, ... while they are of its
    group: the last row of a group then holds the whole of it. The same order of additions on every run, and no thread
    waits for a large group.

    Source: Hillis & Steele 1986, Data parallel algorithms; Blelloch 1990, Prefix sums and their applications, 1.5.
    """
    rows = x.shape[1]
    order = xp.argsort(groups)  # CuPy's sort is stable
    ordered, total = groups[order], x[:, order]
    distance = 1
    while distance < rows:
        same = (ordered[distance:] == ordered[:-distance])[:, None]
        total[:, distance:] = combine(total[:, distance:], xp.where(same, total[:, :-distance], x.dtype.type(neutral)))
        distance *= 2
    numbers = xp.arange(count)
    ends = xp.searchsorted(ordered, numbers, side="right")
    found = (ends > xp.searchsorted(ordered, numbers, side="left"))[:, None]
    return xp.where(found, total[:, xp.maximum(ends - 1, 0)], x.dtype.type(empty))


def last_of_each(xp: ArrayModule, groups: Array) -> Array:
    """Which rows are the last of their group: booleans, of the shape (rows,) of `groups`."""
    rows = groups.shape[0]
    order = np.argsort(groups, kind="stable") if xp is np else xp.argsort(groups)
    ordered = groups[order]
    result = xp.ones(rows, bool)
    result[order[:-1]] = ordered[1:] != ordered[:-1]
    return result

"""Picking parts of a tensor by integers, and its adjoint, adding parts up where they are numbered: `take` and
`segment_sum`, on which all advanced indexing rests.

`batch_dims` says that the first axes of the tensor and of the indices run in step: with `batch_dims=1`, row i of the
indices picks from row i of the tensor. Indices may be negative, as in NumPy.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import BoundsError, DTypeError, ShapeError
from ..op import Flags, Invalid, Jvp, Sample, integers, normal
from ..shapes import Spec, broadcast_shapes, normalize_axis
from .declare import op
from .elementwise import where
from .grouping import batched_places, group_sum, wrapped
from .shape import broadcast_to, getitem, move_axis, reshape, swap_last


def check_indices(x: Spec, indices: Spec, axis: int, batch_dims: int, *, op: str) -> int:
    """The axis counted from the front, after checking that `indices` can pick from it.

    Raises:
        DTypeError: the indices are no integers.
        ShapeError: no such axis, or the batch axes differ.
    """
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"{op}: expected integers as indices, got dtype {indices.dtype}")
    axis = normalize_axis(axis, x.ndim, op=op)
    if not 0 <= batch_dims <= min(axis, indices.ndim) or x.shape[:batch_dims] != indices.shape[:batch_dims]:
        raise ShapeError(f"{op}: expected the first {batch_dims=} axes, before {axis=}, to be those of the indices")
    return axis


def _take_spec(x: Spec, indices: Spec, *, axis: int, batch_dims: int) -> Spec:
    axis = check_indices(x, indices, axis, batch_dims, op="take")
    if not x.shape[axis] and indices.size:
        raise BoundsError(f"take: axis {axis} of shape {x.shape} has no elements to pick from")
    return Spec((*x.shape[:axis], *indices.shape[batch_dims:], *x.shape[axis + 1 :]), x.dtype)


def _take_batch(size: int, batched: Sequence[bool], x: Any, indices: Any, *, axis: int, batch_dims: int) -> Any:
    axis = axis % (len(x.shape) - batched[0])
    if all(batched):
        return take(x, indices, axis=axis + 1, batch_dims=batch_dims + 1)
    if batched[0]:
        picked = take(move_axis(x, 0, batch_dims), indices, axis=axis + 1, batch_dims=batch_dims)
        return move_axis(picked, batch_dims, 0)
    return move_axis(take(x, move_axis(indices, 0, batch_dims), axis=axis, batch_dims=batch_dims), axis, 0)


def _take_keeps_samples(carries: Sequence[bool], x: Spec, indices: Spec, *, axis: int, batch_dims: int) -> bool:
    if tuple(carries) == (False, True):  # an embedding: samples of indices into one table
        return axis % x.ndim == 0 and indices.ndim > 0
    return axis % x.ndim != 0 and (batch_dims > 0) == carries[1]


def _embedding_norm(g: Any, y: Any, x: Any, indices: Any, *, axis: int, batch_dims: int) -> Any:
    """Squared norms of each sample's gradient of the table: the sum of <g_s, g_t> over positions s, t of one row."""
    samples = indices.shape[0]
    rows = reshape(g, shape=(samples, prod(indices.shape[1:]), prod(x.shape[1:])))
    numbers = reshape(where(indices < 0, indices + x.shape[0], indices), shape=(samples, prod(indices.shape[1:]), 1))
    pairs = rows @ swap_last(rows)
    return where(numbers == swap_last(numbers), pairs, 0.0).sum((1, 2))


@op(
    onnx="Gather",
    infer=_take_spec,
    reference=lambda x, indices, axis, batch_dims: _take_reference(x, indices, axis, batch_dims),
    vjp=(
        lambda g, y, x, indices, axis, batch_dims: segment_sum(
            g, indices, num_segments=x.shape[axis], axis=axis % len(x.shape), batch_dims=batch_dims
        ),
        None,
    ),
    saves=("indices",),
    jvp=Jvp.MULTILINEAR,
    batch=_take_batch,
    per_sample=_take_keeps_samples,
    ghost={0: _embedding_norm},
    samples=(
        Sample(normal(5, 3), integers(5, 4), axis=0, batch_dims=0),
        Sample(normal(3, 5), integers(5, 2, 4), axis=-1, batch_dims=0),
        Sample(normal(2, 4, 3), integers(4), axis=1, batch_dims=0),
        Sample(normal(2, 4, 3), integers(4, 2, 6), axis=1, batch_dims=1),
        Sample(normal(2, 3, 4, 2), integers(4, 2, 5), axis=2, batch_dims=1),
        Sample(normal(4, 0), integers(4, 3), axis=0, batch_dims=0),
        Sample(normal(0, 2), integers(1, 0), axis=0, batch_dims=0),
    ),
    invalid=(
        Invalid(normal(3), integers(9, 20), axis=0, batch_dims=0, error=ShapeError, match="out of bounds"),
        Invalid(normal(2, 3), integers(9, 2, 20), axis=1, batch_dims=1, error=ShapeError, match="take: index"),
        Invalid(normal(3), integers(3, 2), axis=1, batch_dims=0, error=ShapeError, match="take: axis 1"),
        Invalid(normal(3), normal(3), axis=0, batch_dims=0, error=DTypeError, match="expected integers"),
        Invalid(normal(2, 3), integers(3, 4), axis=1, batch_dims=1, error=ShapeError, match="batch_dims=1"),
    ),
    flags=Flags.HALF,
)
def take(xp: ArrayModule, x: Array, indices: Array, *, axis: int = 0, batch_dims: int = 0) -> Array:
    """Parts of `x` along one axis, by integers.

    Args:
        x: shape (*before, n, *after), any dtype.
        indices: integers in [-n, n). Their shape takes the place of the axis: (*before, *indices.shape, *after) is the
            shape of the result, where the first `batch_dims` axes, common to `x` and indices, are there once.
        axis: which axis to pick along.
        batch_dims: how many leading axes of both belong together.

    Raises:
        BoundsError: an index is out of bounds. On a GPU, where looking would mean waiting, it is taken modulo n.
        DTypeError: the indices are no integers; booleans select by `index`.
    """
    if batch_dims or indices.dtype.kind not in "iu" or not x.ndim:
        axis = check_indices(Spec(x.shape, x.dtype), Spec(indices.shape, indices.dtype), axis, batch_dims, op="take")
    if not batch_dims:
        if x.flags.c_contiguous:
            try:
                return xp.take(x, indices, axis)
            except IndexError as exc:
                raise BoundsError(f"take: {exc}") from exc
        return x[(slice(None),) * (axis % x.ndim) + (wrapped(xp, indices, x.shape[axis], op="take"),)]
    lead, before, length, after = x.shape[:batch_dims], x.shape[batch_dims:axis], x.shape[axis], x.shape[axis + 1 :]
    rest = indices.shape[batch_dims:]
    rows = prod(lead)
    places = batched_places(xp, indices, length, rows, op="take").reshape(*lead, *rest)
    if axis == batch_dims:
        return xp.take(x.reshape(rows * length, *after), places, 0)
    picked = xp.take(xp.moveaxis(x, axis, batch_dims).reshape(rows * length, *before, *after), places, 0)
    return xp.moveaxis(picked, range(batch_dims, batch_dims + len(rest)), range(axis, axis + len(rest)))


def _take_reference(x: np.ndarray, indices: np.ndarray, axis: int, batch_dims: int) -> np.ndarray:
    if not batch_dims:
        return x[(slice(None),) * (axis % x.ndim) + (indices,)]
    pairs = zip(x, indices, strict=True)
    return np.stack([_take_reference(a, b, axis % x.ndim - 1, batch_dims - 1) for a, b in pairs])


def segments_spec(
    x: Spec, segments: Spec, *, num_segments: int, axis: int, batch_dims: int, op: str = "segment_sum"
) -> Spec:
    """Inference of functions of groups of parts."""
    rank = x.ndim - (segments.ndim - batch_dims) + 1
    room = Spec((*segments.shape[:batch_dims], *(0,) * (rank - batch_dims)), x.dtype)
    axis = check_indices(room, segments, axis, batch_dims, op=op)
    end = axis + segments.ndim - batch_dims
    if x.shape[:batch_dims] != segments.shape[:batch_dims] or x.shape[axis:end] != segments.shape[batch_dims:]:
        raise ShapeError(f"{op}: expected one segment number for each part of the tensor at {axis=}")
    if x.dtype.kind == "b":
        raise DTypeError(f"{op}: expected numbers to add", hint="convert them with .astype('int64')")
    return Spec((*x.shape[:axis], num_segments, *x.shape[end:]), x.dtype)


def segments_batch(function: Any) -> Any:
    """The batching rule of a function of groups of parts."""

    def rule(
        size: int, batched: Sequence[bool], x: Any, segments: Any, *, axis: int, batch_dims: int, **rest: Any
    ) -> Any:
        axis = axis % (len(x.shape) - batched[0] - (len(segments.shape) - batched[1] - batch_dims) + 1)
        if not batched[1]:
            result = function(move_axis(x, 0, batch_dims), segments, axis=axis + 1, batch_dims=batch_dims, **rest)
            return move_axis(result, batch_dims, 0)
        if not batched[0]:
            x = broadcast_to(x, shape=(size, *x.shape))
        return function(x, segments, axis=axis + 1, batch_dims=batch_dims + 1, **rest)

    return rule


def segments_keep_samples(
    carries: Sequence[bool], x: Spec, segments: Spec, *, axis: int, batch_dims: int, **rest: Any
) -> bool:
    """Sample rule of functions of groups: samples are not grouped, and have the same groups or groups of their own."""
    rank = x.ndim - (segments.ndim - batch_dims) + 1
    return axis % rank != 0 and carries[0] and (batch_dims > 0) == carries[1]


def segments_apply(
    xp: ArrayModule, x: Array, segments: Array, num_segments: int, axis: int, batch_dims: int, function: Any, *, op: str
) -> Array:
    """Run a function of `grouping.py`, of (outer, rows, inner), on parts anywhere in a tensor."""
    spec = segments_spec(
        Spec(x.shape, x.dtype),
        Spec(segments.shape, segments.dtype),
        num_segments=num_segments,
        axis=axis,
        batch_dims=batch_dims,
        op=op,
    )
    axis = axis % len(spec.shape)
    count = segments.ndim - batch_dims
    lead, before, after = x.shape[:batch_dims], x.shape[batch_dims:axis], x.shape[axis + count :]
    rows = prod(lead)
    groups = batched_places(xp, segments, num_segments, rows, op=op)
    if not batch_dims:
        flat = x.reshape(prod(before), segments.size, prod(after))
        return function(xp, flat, groups, num_segments).reshape(spec.shape)
    front = xp.moveaxis(x, range(axis, axis + count), range(batch_dims, batch_dims + count))
    flat = front.reshape(1, segments.size, prod(before) * prod(after))
    result = function(xp, flat, groups, rows * num_segments)
    return xp.moveaxis(result.reshape(*lead, num_segments, *before, *after), batch_dims, axis)


def _segment_sum_reference(
    x: np.ndarray, segments: np.ndarray, num_segments: int, axis: int, batch_dims: int
) -> np.ndarray:
    if batch_dims:
        return np.stack(
            [
                _segment_sum_reference(a, b, num_segments, axis - 1, batch_dims - 1)
                for a, b in zip(x, segments, strict=True)
            ]
        )
    front = np.moveaxis(x, range(axis, axis + segments.ndim), range(segments.ndim))
    result = np.zeros((num_segments, *front.shape[segments.ndim :]))
    np.add.at(result, segments, front)
    return np.moveaxis(result, 0, axis)


SEGMENTS = (
    Sample(normal(6, 3), integers(4, 6), num_segments=4, axis=0, batch_dims=0),
    Sample(normal(3, 2, 5), integers(4, 2, 5), num_segments=4, axis=1, batch_dims=0),
    Sample(normal(3, 6), integers(2, 6), num_segments=3, axis=1, batch_dims=0),
    Sample(normal(2, 6, 3), integers(4, 2, 6), num_segments=4, axis=1, batch_dims=1),
    Sample(normal(2, 3, 5, 2), integers(4, 2, 5), num_segments=4, axis=2, batch_dims=1),
    Sample(normal(4, 3), integers(4), num_segments=5, axis=0, batch_dims=0),
    Sample(normal(40, 70), integers(4, 40), num_segments=4, axis=0, batch_dims=0),
    Sample(normal(0, 3), integers(4, 0), num_segments=4, axis=0, batch_dims=0),
)


@op(
    infer=segments_spec,
    reference=_segment_sum_reference,
    vjp=(
        lambda g, y, x, segments, num_segments, axis, batch_dims: take(
            g, segments, axis=axis % len(g.shape), batch_dims=batch_dims
        ),
        None,
    ),
    saves=("segments",),
    jvp=Jvp.MULTILINEAR,
    batch=segments_batch(lambda *args, **params: segment_sum(*args, **params)),
    per_sample=segments_keep_samples,
    samples=SEGMENTS,
    invalid=(
        Invalid(
            normal(30), integers(9, 30), num_segments=3, axis=0, batch_dims=0, error=ShapeError, match="out of bound"
        ),
        Invalid(
            normal(3),
            integers(3, 4),
            num_segments=3,
            axis=0,
            batch_dims=0,
            error=ShapeError,
            match="one segment number",
        ),
        Invalid(
            normal(3), normal(3), num_segments=3, axis=0, batch_dims=0, error=DTypeError, match="expected integers"
        ),
    ),
)
def segment_sum(
    xp: ArrayModule, x: Array, segments: Array, *, num_segments: int, axis: int = 0, batch_dims: int = 0
) -> Array:
    """Sum the parts of `x` that have the same number: the adjoint of `take`.

    Deterministic on every device: the order of each sum follows from the numbers alone, sorted or not.

    Args:
        x: shape (*before, *segments.shape, *after); numbers.
        segments: integers in [-num_segments, num_segments), the number of each part.
        num_segments: the length of the axis that takes the place of the segments' axes; a segment without parts sums
            to 0.
        axis: where that axis is in the result.
        batch_dims: how many leading axes of `x` and `segments` belong together, as for `take`.

    Raises:
        ShapeError: the shapes do not fit, or a number is out of bounds. On a GPU, where looking would mean waiting, it
            is taken modulo `num_segments`.
    """
    return segments_apply(xp, x, segments, num_segments, axis, batch_dims, group_sum, op="segment_sum")


def take_along_axis(x: Any, indices: Any, *, axis: int = -1) -> Any:
    """One element of `x` for each index, found along `axis` in the line the index lies in.

    Args:
        x: any dtype.
        indices: integers, as many axes as `x`; along all axes but `axis` the two broadcast.
        axis: the axis that `indices` count along.

    Returns:
        The shape of `indices` (after broadcasting), the dtype of `x`.

    Raises:
        ShapeError: the ranks differ, the other axes do not broadcast, or an index is out of bounds.
    """
    x, indices, axis = in_lines(x, indices, axis, op="take_along_axis")
    rank = len(x.shape)
    return move_axis(take(x, indices, axis=rank - 1, batch_dims=rank - 1), rank - 1, axis)


def in_lines(x: Any, indices: Any, axis: int, *, op: str) -> tuple[Any, Any, int]:
    """Both tensors broadcast but for `axis`, which is moved to the end; and where it was."""
    if len(x.shape) != len(indices.shape):
        raise ShapeError(f"{op}: expected as many axes as {tuple(x.shape)} has, got indices {tuple(indices.shape)}")
    axis = normalize_axis(axis, len(x.shape), op=op)
    x, indices = move_axis(x, axis, -1), move_axis(indices, axis, -1)
    if x.shape[:-1] == indices.shape[:-1]:
        return x, indices, axis
    lead = broadcast_shapes(tuple(x.shape[:-1]), tuple(indices.shape[:-1]), op=op)
    x, indices = (
        array if array.shape[:-1] == lead else broadcast_to(array, shape=(*lead, array.shape[-1]))
        for array in (x, indices)
    )
    return x, indices, axis


def gather(x: Any, indices: Any, *, axis: int = -1) -> Any:
    """As `take_along_axis`, where `indices` may also be shorter than `x` along the other axes: the rest of `x` is left
    out. The same as `torch.gather` and ONNX's GatherElements.
    """
    if len(x.shape) == len(indices.shape):
        x = getitem(x, key=leading_part(x, indices, axis, op="gather"))
    return take_along_axis(x, indices, axis=axis)


def leading_part(x: Any, indices: Any, axis: int, *, op: str) -> tuple[slice, ...]:
    """The key of the part of `x` that is as long as `indices` along all axes but one."""
    axis = normalize_axis(axis, len(x.shape), op=op)
    if any(i != axis and long < short for i, (long, short) in enumerate(zip(x.shape, indices.shape, strict=True))):
        raise ShapeError(
            f"{op}: expected indices no longer than {tuple(x.shape)} but for axis {axis}, got {tuple(indices.shape)}"
        )
    return tuple(slice(None) if i == axis else slice(0, length) for i, length in enumerate(indices.shape))

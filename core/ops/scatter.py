"""Changing parts of a tensor by integers: a changed copy is returned, and the gradient flows to the tensor and to what
was written. Where an index is repeated, the last value stays, or all are added, in a fixed order on every device.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..device import Array, ArrayModule, Device, device_of
from ..errors import DTypeError, ShapeError
from ..op import Flags, Invalid, Sample, integers, normal
from ..shapes import Spec, as_dtype
from ..tensor import Scalar, Tensor, as_array
from .declare import discrete, op, sum_to
from .elementwise import astype, where
from .gather import check_indices, leading_part, segment_sum, take
from .grouping import batched_places, last_of_each, wrapped
from .shape import broadcast_to, getitem, move_axis, place, replace, reshape


def _occurrences_spec(indices: Spec, *, length: int, batch_dims: int) -> Spec:
    if indices.dtype.kind not in "iu":
        raise DTypeError("last_occurrences: expected integers")
    return Spec(indices.shape, as_dtype("bool"))


def _occurrences_reference(indices: np.ndarray, length: int, batch_dims: int) -> np.ndarray:
    if batch_dims:
        return np.stack([_occurrences_reference(row, length, batch_dims - 1) for row in indices])
    flat = indices.ravel() % length
    later = [index in flat[position + 1 :] for position, index in enumerate(flat)]
    return ~np.array(later, bool).reshape(indices.shape)


def _occurrences_batch(size: int, batched: Sequence[bool], indices: Any, *, length: int, batch_dims: int) -> Any:
    return last_occurrences(indices, length=length, batch_dims=batch_dims + 1)


@discrete(
    infer=_occurrences_spec,
    reference=_occurrences_reference,
    batch=_occurrences_batch,
    per_sample=lambda carries, indices, length, batch_dims: batch_dims > 0,
    samples=(
        Sample(integers(4, 9), length=4, batch_dims=0),
        Sample(integers(4, 3, 5), length=4, batch_dims=1),
        Sample(integers(4, 2, 3, 2), length=4, batch_dims=1),
        Sample(integers(4), length=4, batch_dims=0),
        Sample(integers(4, 0), length=4, batch_dims=0),
    ),
    invalid=(Invalid(normal(3), length=3, batch_dims=0, error=DTypeError, match="expected integers"),),
)
def last_occurrences(xp: ArrayModule, indices: Array, *, length: int, batch_dims: int = 0) -> Array:
    """Which indices into an axis of `length` are not repeated further on, in C order within each batch."""
    rows = prod(indices.shape[:batch_dims])
    places = batched_places(xp, indices, length, rows, op="last_occurrences")
    return last_of_each(xp, places).reshape(indices.shape)


def _copy_spec(x: Spec, indices: Spec, values: Spec, *, axis: int, batch_dims: int) -> Spec:
    axis = check_indices(x, indices, axis, batch_dims, op="index_copy")
    room = (*x.shape[:axis], *indices.shape[batch_dims:], *x.shape[axis + 1 :])
    if values.shape not in ((), room):
        raise ShapeError(f"index_copy: expected values of shape {room}, or one for all")
    return x


def _copy_batch(
    size: int, batched: Sequence[bool], x: Any, indices: Any, values: Any, *, axis: int, batch_dims: int
) -> Any:
    axis = axis % (len(x.shape) - batched[0])
    single = not batched[2] and not getattr(values, "shape", ())  # a Python number, or 0-d
    if batched[2] and len(values.shape) == 1:  # one number per example
        one, each = x.shape[batched[0] :], indices.shape[batched[1] :]
        room = (*one[:axis], *each[batch_dims:], *one[axis + 1 :])
        values = broadcast_to(reshape(values, shape=(size, *(1,) * len(room))), shape=(size, *room))
    elif not (batched[2] or single):
        values = broadcast_to(values, shape=(size, *values.shape))
    if not batched[0]:
        x = broadcast_to(x, shape=(size, *x.shape))
    if batched[1]:
        return index_copy(x, indices, values, axis=axis + 1, batch_dims=batch_dims + 1)
    x, values = move_axis(x, 0, batch_dims), values if single else move_axis(values, 0, batch_dims)
    return move_axis(index_copy(x, indices, values, axis=axis + 1, batch_dims=batch_dims), batch_dims, 0)


def _copy_keeps_samples(
    carries: Sequence[bool], x: Spec, indices: Spec, values: Spec, *, axis: int, batch_dims: int
) -> bool:
    written = carries[2] == bool(values.ndim)
    return carries[0] and axis % x.ndim != 0 and (batch_dims > 0) == carries[1] and written


def _stays(g: Any, indices: Any, length: int, axis: int, batch_dims: int) -> Any:
    """What was written from each place: the parts of `g` at `indices`, zeros where a later value took the place."""
    last = last_occurrences(indices, length=length, batch_dims=batch_dims)
    lead, rest = indices.shape[:batch_dims], indices.shape[batch_dims:]
    behind = len(g.shape) - axis - len(rest)
    return where(reshape(last, shape=(*lead, *(1,) * (axis - batch_dims), *rest, *(1,) * behind)), g, 0.0)


def _copy_cut(g: Any, y: Any, x: Any, indices: Any, values: Any, *, axis: int, batch_dims: int) -> Any:
    return index_copy(g, indices, 0.0, axis=axis, batch_dims=batch_dims)


def _copy_values_vjp(g: Any, y: Any, x: Any, indices: Any, values: Any, *, axis: int, batch_dims: int) -> Any:
    axis = axis % len(x.shape)
    parts = take(g, indices, axis=axis, batch_dims=batch_dims)
    return sum_to(_stays(parts, indices, x.shape[axis], axis, batch_dims), values.shape)


def _copy_values_jvp(t: Any, y: Any, x: Any, indices: Any, values: Any, *, axis: int, batch_dims: int) -> Any:
    axis = axis % len(x.shape)
    room = (*x.shape[:axis], *indices.shape[batch_dims:], *x.shape[axis + 1 :])
    written = _stays(broadcast_to(t, shape=room), indices, x.shape[axis], axis, batch_dims)
    return segment_sum(written, indices, num_segments=x.shape[axis], axis=axis, batch_dims=batch_dims)


def _copy_reference(x: np.ndarray, indices: np.ndarray, values: np.ndarray, axis: int, batch_dims: int) -> np.ndarray:
    if batch_dims:
        values = np.broadcast_to(values, (*x.shape[:axis], *indices.shape[batch_dims:], *x.shape[axis + 1 :]))
        rows = zip(x, indices, values, strict=True)
        return np.stack([_copy_reference(*row, axis=axis - 1, batch_dims=batch_dims - 1) for row in rows])
    result = x.copy()
    for where_to in np.ndindex(indices.shape):
        before = (slice(None),) * axis
        result[(*before, indices[where_to])] = values[(*before, *where_to)] if values.ndim else values
    return result


@op(
    infer=_copy_spec,
    reference=_copy_reference,
    vjp=(_copy_cut, None, _copy_values_vjp),
    saves=("indices",),
    jvp=(_copy_cut, None, _copy_values_jvp),
    batch=_copy_batch,
    per_sample=_copy_keeps_samples,
    samples=(
        Sample(normal(5, 3), integers(5, 4), normal(4, 3), axis=0, batch_dims=0),
        Sample(normal(2, 5, 3), integers(5, 2, 3), normal(2, 2, 3, 3), axis=1, batch_dims=0),
        Sample(normal(3, 4), integers(4, 3, 6), normal(3, 6), axis=1, batch_dims=1),
        Sample(normal(3, 2, 4), integers(4, 3, 2), normal(3, 2, 2), axis=2, batch_dims=1),
        Sample(normal(5), integers(5, 3), normal(), axis=0, batch_dims=0),
        Sample(normal(5), integers(5), normal(), axis=0, batch_dims=0),
        Sample(normal(5, 2), integers(5, 0), normal(0, 2), axis=0, batch_dims=0),
    ),
    invalid=(
        Invalid(normal(3), integers(9, 20), normal(20), axis=0, batch_dims=0, error=ShapeError, match="out of bounds"),
        Invalid(
            normal(3, 2), integers(3, 4), normal(4), axis=0, batch_dims=0, error=ShapeError, match=r"shape \(4, 2\)"
        ),
        Invalid(normal(3), normal(2), normal(2), axis=0, batch_dims=0, error=DTypeError, match="expected integers"),
    ),
    flags=Flags.HALF,
)
def index_copy(
    xp: ArrayModule, x: Array, indices: Array, values: Array, *, axis: int = 0, batch_dims: int = 0
) -> Array:
    """A copy of `x` with `values` written where `take` with the same arguments would read; the last of equal indices
    stays.

    Args:
        x: shape (*before, n, *after).
        indices: integers in [-n, n).
        values: of the shape that `take` would give, or one number for all; converted to the dtype of `x`.
        axis, batch_dims: as for `take`.

    Raises:
        ShapeError: an index is out of bounds (on a GPU it is taken modulo n), or the shapes do not fit.
    """
    single = not getattr(values, "ndim", 0)
    specs = (Spec(x.shape, x.dtype), Spec(indices.shape, indices.dtype), Spec(() if single else values.shape, x.dtype))
    _copy_spec(*specs, axis=axis, batch_dims=batch_dims)
    axis = axis % x.ndim
    lead, before, length, after = x.shape[:batch_dims], x.shape[batch_dims:axis], x.shape[axis], x.shape[axis + 1 :]
    if not batch_dims and xp is np:
        result = np.array(x)
        result[(slice(None),) * axis + (wrapped(xp, indices, length, op="index_copy"),)] = values
        return result
    rows, picks, width = prod(lead), indices.shape[batch_dims:], prod(before) * prod(after)
    places = batched_places(xp, indices, length, rows, op="index_copy")
    table = xp.moveaxis(x, axis, batch_dims).reshape(rows * length, width)
    if not single:
        front = xp.moveaxis(values, range(axis, axis + len(picks)), range(batch_dims, batch_dims + len(picks)))
        values = front.reshape(places.size, width).astype(x.dtype, copy=False)
    table = _written(xp, table, places, values)
    return xp.moveaxis(table.reshape(*lead, length, *before, *after), batch_dims, axis)


def _written(xp: ArrayModule, table: Array, places: Array, values: Array) -> Array:
    """A copy of (n, width) with rows replaced; the last of equal places stays."""
    if xp is np:
        result = np.array(table)
        result[places] = values
        return result
    # On a GPU it is open which of several writes to one place comes last. So every place looks for its value instead.
    order = xp.argsort(places)  # CuPy's sort is stable
    ordered, numbers = places[order], xp.arange(table.shape[0])
    if not places.size:
        return xp.array(table)
    found = xp.maximum(xp.searchsorted(ordered, numbers, side="right") - 1, 0)
    hit = (ordered[found] == numbers)[:, None]
    return xp.where(hit, values[order[found]] if getattr(values, "ndim", 0) else table.dtype.type(values), table)


def index_add(x: Any, indices: Any, values: Any, *, axis: int = 0) -> Any:
    """A copy of `x` with `values` added where `take(x, indices, axis=axis)` would read; equal indices add up.

    Args:
        x: shape (*before, n, *after).
        indices: integers in [-n, n).
        values: broadcast to the shape that `take` would give.
        axis: which axis the indices count along.
    """
    axis = axis % len(x.shape) if x.shape else axis
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    values = as_values(values, x, shape, op="index_add")
    return x + segment_sum(values, indices, num_segments=x.shape[axis], axis=axis)


def scatter(x: Any, indices: Any, values: Any, *, axis: int = -1) -> Any:
    """A copy of `x` with `values` written where `gather(x, indices, axis=axis)` would read; the last of equal indices
    stays. The same as `torch.scatter` and ONNX's ScatterElements.

    Args:
        x: any shape.
        indices: integers; no longer than `x` along the axes other than `axis`.
        values: broadcast to the shape of `indices`.
        axis: which axis the indices count along.
    """
    key, whole, axis = _lines(x, indices, axis, op="scatter")
    values = as_values(values, x, tuple(indices.shape), op="scatter")
    part = move_axis(x if whole else getitem(x, key=key), axis, -1)
    indices, values = move_axis(indices, axis, -1), move_axis(values, axis, -1)
    rank = len(x.shape)
    changed = move_axis(index_copy(part, indices, values, axis=rank - 1, batch_dims=rank - 1), -1, axis)
    return changed if whole else replace(x, changed, key=key)


def scatter_add(x: Any, indices: Any, values: Any, *, axis: int = -1) -> Any:
    """As `scatter`, but the values are added, and equal indices add up. The same as `torch.scatter_add`."""
    key, whole, axis = _lines(x, indices, axis, op="scatter_add")
    values = move_axis(as_values(values, x, tuple(indices.shape), op="scatter_add"), axis, -1)
    rank = len(x.shape)
    lines = move_axis(indices, axis, -1)
    total = segment_sum(values, lines, num_segments=x.shape[axis], axis=rank - 1, batch_dims=rank - 1)
    total = move_axis(total, -1, axis)
    return x + (total if whole else place(total, shape=tuple(x.shape), key=key))


def _lines(x: Any, indices: Any, axis: int, *, op: str) -> tuple[tuple[slice, ...], bool, int]:
    """The part of `x` as long as `indices` but along `axis`; whether that is all of `x`; the axis from the front."""
    if len(x.shape) != len(indices.shape) or not x.shape:
        raise ShapeError(f"{op}: expected as many axes as {tuple(x.shape)} has, got indices {tuple(indices.shape)}")
    key = leading_part(x, indices, axis, op=op)
    axis = axis % len(x.shape)
    return key, all(i == axis or x.shape[i] == length for i, length in enumerate(indices.shape)), axis


def as_values(values: Any, x: Any, shape: tuple[int, ...], *, op: str) -> Any:
    """Values to write into `x`, of its dtype and broadcast to `shape`.

    Raises:
        DTypeError: the dtype of `x` cannot hold their kind of number: floats into integers, complex into real.
        ShapeError: they do not broadcast.
    """
    values = as_number_of(values, x, op=op)
    return values if values.shape == shape else broadcast_to(values, shape=shape)


def as_number_of(values: Any, x: Any, *, op: str) -> Any:
    """Values (or a Python number) as a tensor or array of the dtype of `x`; see `as_values`."""
    if isinstance(values, Scalar):
        kind = np.result_type(values.__class__).kind
        if _KINDS[kind] <= _KINDS.get(x.dtype.kind, 2):
            try:
                return home_of(x).put(np.asarray(values, x.dtype))
            except OverflowError:
                pass
        raise DTypeError(f"{op}: a tensor of {x.dtype} cannot hold {values!r}")
    if not hasattr(values, "dtype"):
        single = as_array(values)  # checks that these are numbers, and makes float32 of floats
        values = home_of(x).put(single if single.dtype.itemsize >= x.dtype.itemsize else np.asarray(values))
    if _KINDS.get(values.dtype.kind, 2) > _KINDS.get(x.dtype.kind, 2):
        raise DTypeError(f"{op}: a tensor of {x.dtype} cannot hold {values.dtype}", hint="convert one with .astype()")
    if values.dtype == x.dtype:
        return values
    return astype(values, dtype=x.dtype.name)


def number_beside(number: Any, x: Any, *, op: str) -> Any:
    """A Python number as a 0-d array beside `x`: of its dtype if that can hold it, else of 64 bits."""
    try:
        return as_number_of(number, x, op=op)
    except DTypeError:
        return home_of(x).put(np.asarray(number))


def home_of(x: Any) -> Device:
    """The device of a tensor or array: where numbers and lists beside it go, which have no place of their own."""
    return x.device if isinstance(x, Tensor) else device_of(x)


_KINDS = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}  # bfloat16 has the kind "V"

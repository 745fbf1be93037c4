"""Statistics of the parts of a tensor that have the same number: maximum, mean, count; the sum is in `gather.py`."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import DTypeError, ShapeError
from ..op import Invalid, Sample, complex_normal, distinct, integers, normal
from ..shapes import Spec, accumulate_dtype, as_dtype, to_floating
from .declare import constant, discrete, op
from .elementwise import astype, maximum
from .gather import SEGMENTS, segment_sum, segments_apply, segments_batch, segments_keep_samples, segments_spec, take
from .grouping import batched_places, group_max
from .shape import reshape


def _count_spec(segments: Spec, *, num_segments: int, batch_dims: int) -> Spec:
    if segments.dtype.kind not in "iu":
        raise DTypeError("segment_count: expected integers")
    return Spec((*segments.shape[:batch_dims], num_segments), as_dtype("int64"))


def _count_reference(segments: np.ndarray, num_segments: int, batch_dims: int) -> np.ndarray:
    lead = segments.shape[:batch_dims]
    rows = segments.reshape(*lead, 1, prod(segments.shape[batch_dims:]))
    return (rows == np.arange(num_segments)[:, None]).sum(-1)


def _count_batch(size: int, batched: Sequence[bool], segments: Any, *, num_segments: int, batch_dims: int) -> Any:
    return segment_count(segments, num_segments=num_segments, batch_dims=batch_dims + 1)


@discrete(
    infer=_count_spec,
    reference=_count_reference,
    batch=_count_batch,
    per_sample=lambda carries, segments, num_segments, batch_dims: batch_dims > 0,
    samples=(
        Sample(integers(4, 9), num_segments=5, batch_dims=0),
        Sample(integers(4, 2, 9), num_segments=5, batch_dims=1),
        Sample(integers(4, 2, 3, 2), num_segments=5, batch_dims=1),
        Sample(integers(4), num_segments=5, batch_dims=0),
        Sample(integers(4, 0), num_segments=5, batch_dims=0),
    ),
    invalid=(
        Invalid(integers(9, 30), num_segments=3, batch_dims=0, error=ShapeError, match="out of bounds"),
        Invalid(normal(3), num_segments=3, batch_dims=0, error=DTypeError, match="expected integers"),
    ),
)
def segment_count(xp: ArrayModule, segments: Array, *, num_segments: int, batch_dims: int = 0) -> Array:
    """How many parts have each number: int64, shape (*segments.shape[:batch_dims], num_segments)."""
    lead = segments.shape[:batch_dims]
    _count_spec(Spec(segments.shape, segments.dtype), num_segments=num_segments, batch_dims=batch_dims)
    places = batched_places(xp, segments, num_segments, prod(lead), op="segment_count")
    return xp.bincount(places, minlength=prod(lead) * num_segments).reshape(*lead, num_segments)


def segment_mean(x: Any, segments: Any, *, num_segments: int, axis: int = 0, batch_dims: int = 0) -> Any:
    """Mean of the parts of `x` that have the same number, 0 where there are none; arguments as for `segment_sum`. The
    mean of integers is a float32.
    """
    dtype = to_floating(x.dtype)
    wide = accumulate_dtype(dtype)
    x = x if x.dtype == wide else astype(x, dtype=wide.name)
    total = segment_sum(x, segments, num_segments=num_segments, axis=axis, batch_dims=batch_dims)
    axis = axis % len(total.shape)
    counts = maximum(segment_count(segments, num_segments=num_segments, batch_dims=batch_dims), 1)
    lead = total.shape[:batch_dims]
    aligned = (*lead, *(1,) * (axis - batch_dims), num_segments, *(1,) * (len(total.shape) - axis - 1))
    mean = total / astype(reshape(counts, shape=aligned), dtype=wide.name)
    return mean if dtype == wide else astype(mean, dtype=dtype.name)


def _extremes(y: Any, x: Any, segments: Any, params: dict[str, Any]) -> Any:
    """The share of each element in the maximum of its segment: 1 / ties, or 0."""
    back = {"axis": params["axis"] % len(y.shape), "batch_dims": params["batch_dims"]}
    hit = constant(astype(x == take(y, segments, **back), dtype=x.dtype.name))
    ties = segment_sum(hit, segments, num_segments=params["num_segments"], **back)
    return hit / take(ties, segments, **back)


def _max_vjp(g: Any, y: Any, x: Any, segments: Any, **params: Any) -> Any:
    spread = take(g, segments, axis=params["axis"] % len(y.shape), batch_dims=params["batch_dims"])
    return _extremes(y, x, segments, params) * spread


def _max_jvp(t: Any, y: Any, x: Any, segments: Any, *, empty: float, **params: Any) -> Any:
    return segment_sum(_extremes(y, x, segments, params) * t, segments, **params)


def _max_spec(x: Spec, segments: Spec, *, empty: float, **params: Any) -> Spec:
    if x.dtype.kind == "c":
        raise DTypeError("segment_max: complex numbers have no order")
    return segments_spec(x, segments, op="segment_max", **params)


def _max_batch(size: int, batched: Sequence[bool], *inputs: Any, **params: Any) -> Any:
    return segments_batch(segment_max)(size, batched, *inputs, **params)


def _max_reference(
    x: np.ndarray, segments: np.ndarray, num_segments: int, axis: int, batch_dims: int, empty: float
) -> np.ndarray:
    if batch_dims:
        rows = zip(x, segments, strict=True)
        return np.stack([_max_reference(*row, num_segments, axis - 1, batch_dims - 1, empty) for row in rows])
    front = np.moveaxis(x, range(axis, axis + segments.ndim), range(segments.ndim))
    result = np.full((num_segments, *front.shape[segments.ndim :]), -np.inf)
    np.maximum.at(result, segments, front)
    return np.moveaxis(np.where(result == -np.inf, empty, result), 0, axis)


@op(
    infer=_max_spec,
    reference=_max_reference,
    vjp=(_max_vjp, None),
    saves=("x", "segments", "out"),
    jvp=(_max_jvp, None),
    batch=_max_batch,
    per_sample=segments_keep_samples,
    samples=tuple(
        Sample(distinct(*sample.inputs[0].shape), sample.inputs[1], **sample.params, empty=0.25)
        for sample in SEGMENTS
        if sample.inputs[0].shape != (40, 70)
    ),
    invalid=(
        Invalid(
            normal(9),
            integers(9, 9),
            num_segments=3,
            axis=0,
            batch_dims=0,
            empty=0.0,
            error=ShapeError,
            match="of bound",
        ),
        Invalid(
            complex_normal(3),
            integers(2, 3),
            num_segments=3,
            axis=0,
            batch_dims=0,
            empty=0.0,
            error=DTypeError,
            match="order",
        ),
    ),
)
def segment_max(
    xp: ArrayModule,
    x: Array,
    segments: Array,
    *,
    num_segments: int,
    axis: int = 0,
    batch_dims: int = 0,
    empty: float = -np.inf,
) -> Array:
    """The largest of the parts of `x` that have the same number; arguments as for `segment_sum`.

    A segment without parts has the value `empty`; give one for integers. Equal maxima share the gradient evenly.
    """
    if x.dtype.kind == "c":
        raise DTypeError("segment_max: complex numbers have no order")
    if x.dtype.kind in "iu" and not float(empty).is_integer():
        raise DTypeError("segment_max: integers need an integer `empty` for segments without parts")
    function = partial(group_max, empty=empty)
    return segments_apply(xp, x, segments, num_segments, axis, batch_dims, function, op="segment_max")

"""Order: sorting, and the largest and smallest elements and where they are.

Equal elements keep their order, on every device, whichever way is sorted: of equal extremes, the first counts. NaN is
larger than any number.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import DTypeError, ShapeError
from ..op import Invalid, Sample, complex_normal, distinct, integers, normal
from ..shapes import Spec, as_dtype, normalize_axis
from .declare import discrete, op
from .gather import take_along_axis
from .shape import reshape


def has_order(x: Spec, *, op: str) -> None:
    """Refuse complex numbers."""
    if x.dtype.kind == "c":
        raise DTypeError(f"{op}: complex numbers have no order", hint="sort by their .real or abs()")


def _sort_spec(x: Spec, *, axis: int, descending: bool) -> Spec:
    has_order(x, op="sort")
    normalize_axis(axis, x.ndim, op="sort")
    return x


def _argsort_spec(x: Spec, *, axis: int, descending: bool) -> Spec:
    return Spec(_sort_spec(x, axis=axis, descending=descending).shape, as_dtype("int64"))


def _along(carries: Sequence[bool], x: Spec, *, axis: int, **params: Any) -> bool:
    """Sample rule of what works along one axis: not that of the samples."""
    return axis % x.ndim != 0


def _sort_batch(size: int, batched: Sequence[bool], x: Any, *, axis: int, descending: bool) -> Any:
    return _sort(x, axis=axis % (len(x.shape) - 1) + 1, descending=descending)


def _argsort_batch(size: int, batched: Sequence[bool], x: Any, *, axis: int, descending: bool) -> Any:
    return _argsort(x, axis=axis % (len(x.shape) - 1) + 1, descending=descending)


def _argsort_reference(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    lines = np.moveaxis(x, axis, -1)
    result = np.empty(lines.shape, np.int64)
    for line in np.ndindex(lines.shape[:-1]):
        keys = [-value if descending else value for value in lines[line].tolist()]
        result[line] = sorted(range(len(keys)), key=keys.__getitem__)
    return np.moveaxis(result, -1, axis)


_SAMPLES = (
    Sample(distinct(3, 4), axis=-1, descending=False),
    Sample(distinct(3, 4), axis=0, descending=True),
    Sample(distinct(2, 3, 4), axis=1, descending=True),
    Sample(distinct(5), axis=0, descending=False),
    Sample(normal(0, 3), axis=-1, descending=True),
)
_INVALID = (
    Invalid(normal(3), axis=1, descending=False, error=ShapeError, match="axis 1"),
    Invalid(complex_normal(3), axis=0, descending=False, error=DTypeError, match="no order"),
)


def places_in_order(xp: ArrayModule, x: Array, axis: int, *, descending: bool) -> Array:
    """Stable argsort of arrays; descending too keeps the order of equal elements."""
    if x.dtype.kind == "b":
        x = x.astype(np.uint8)
    if descending:
        x = xp.flip(x, axis)
    order = np.argsort(x, axis, kind="stable") if xp is np else xp.argsort(x, axis)  # CuPy's sort is stable
    return x.shape[axis] - 1 - xp.flip(order, axis) if descending else order


def _sort_vjp(g: Any, y: Any, x: Any, *, axis: int, descending: bool) -> Any:
    ranks = _argsort(_argsort(x, axis=axis, descending=descending), axis=axis, descending=False)
    return take_along_axis(g, ranks, axis=axis)


def _sort_jvp(t: Any, y: Any, x: Any, *, axis: int, descending: bool) -> Any:
    return take_along_axis(t, _argsort(x, axis=axis, descending=descending), axis=axis)


@op(
    name="sort",
    infer=_sort_spec,
    reference=lambda x, axis, descending: np.take_along_axis(x, _argsort_reference(x, axis, descending), axis),
    vjp=(_sort_vjp,),
    saves=("x",),
    jvp=(_sort_jvp,),
    batch=_sort_batch,
    per_sample=_along,
    samples=_SAMPLES,
    invalid=_INVALID,
)
def _sort(xp: ArrayModule, x: Array, *, axis: int = -1, descending: bool = False) -> Array:
    """Elements in order along an axis."""
    _sort_spec(Spec(x.shape, x.dtype), axis=axis, descending=descending)
    ordered = xp.sort(x, axis)
    return xp.flip(ordered, axis) if descending else ordered


def sort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The elements in order along `axis`; the gradient goes back to where they came from, among equal ones in their
    order. `stable` is there for the array API: sorting always is.
    """
    return _sort(x, axis=axis, descending=descending)


@discrete(
    name="argsort",
    infer=_argsort_spec,
    reference=_argsort_reference,
    batch=_argsort_batch,
    per_sample=_along,
    samples=(
        *_SAMPLES,
        Sample(integers(3, 9), axis=0, descending=False),
        Sample(integers(3, 9), axis=0, descending=True),
        Sample(integers(2, 4, 5), axis=0, descending=True),
    ),
    invalid=_INVALID,
)
def _argsort(xp: ArrayModule, x: Array, *, axis: int = -1, descending: bool = False) -> Array:
    """The places of the elements in order along an axis."""
    _argsort_spec(Spec(x.shape, x.dtype), axis=axis, descending=descending)
    return places_in_order(xp, x, axis, descending=descending)


def argsort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The int64 places along `axis` that `sort` takes its elements from. `stable` is there for the array API."""
    return _argsort(x, axis=axis, descending=descending)


def _top_spec(x: Spec, *, k: int, axis: int, largest: bool) -> Spec:
    has_order(x, op="topk")
    axis = normalize_axis(axis, x.ndim, op="topk")
    if not 0 <= k <= x.shape[axis]:
        raise ShapeError(f"topk: expected 0 <= k <= {x.shape[axis]}, the length of axis {axis}")
    return Spec((*x.shape[:axis], k, *x.shape[axis + 1 :]), as_dtype("int64"))


def _top_batch(size: int, batched: Sequence[bool], x: Any, *, k: int, axis: int, largest: bool) -> Any:
    return top_places(x, k=k, axis=axis % (len(x.shape) - 1) + 1, largest=largest)


@discrete(
    onnx="TopK",
    infer=_top_spec,
    reference=lambda x, k, axis, largest: np.take(_argsort_reference(x, axis, largest), range(k), axis),
    batch=_top_batch,
    per_sample=_along,
    samples=(
        Sample(distinct(3, 7), k=2, axis=-1, largest=True),
        Sample(distinct(7, 2), k=3, axis=0, largest=False),
        Sample(integers(3, 2, 90), k=5, axis=-1, largest=True),
        Sample(integers(3, 90, 2), k=9, axis=0, largest=False),
        Sample(distinct(200), k=4, axis=0, largest=True),
        Sample(normal(0, 3), k=1, axis=1, largest=True),
        Sample(normal(3), k=0, axis=0, largest=True),
    ),
    invalid=(
        Invalid(normal(3), k=4, axis=0, largest=True, error=ShapeError, match="0 <= k <= 3"),
        Invalid(complex_normal(3), k=1, axis=0, largest=True, error=DTypeError, match="no order"),
    ),
)
def top_places(xp: ArrayModule, x: Array, *, k: int, axis: int = -1, largest: bool = True) -> Array:
    """The int64 places of the k largest (or smallest) elements along an axis, the most extreme first."""
    _top_spec(Spec(x.shape, x.dtype), k=k, axis=axis, largest=largest)
    lines = xp.moveaxis(x, axis, -1)
    places = _by_extremes(lines, k, largest=largest) if xp is np and 0 < _WORTH_SORTING * k <= x.shape[axis] else None
    if places is None:
        places = places_in_order(xp, lines, -1, descending=largest)[..., :k]
    return xp.moveaxis(places, -1, axis)


_WORTH_SORTING = 16  # an argmax takes a sixteenth of the time of a stable argsort, and less of long lines


def _by_extremes(lines: Array, k: int, *, largest: bool) -> Array | None:
    """K times the first extreme of what is left; None where that is not decisive: where NaN comes first but shall be
    last, or where an element is as low as what stands for those taken.
    """
    if lines.dtype.kind not in "fiu":
        return None
    if lines.dtype.kind == "f":
        taken = -np.inf if largest else np.inf
    else:
        taken = np.iinfo(lines.dtype).min if largest else np.iinfo(lines.dtype).max
    left, places = np.array(lines), np.empty((*lines.shape[:-1], k), np.int64)
    for rank in range(k):
        found = (np.argmax if largest else np.argmin)(left, -1, keepdims=True)
        values = np.take_along_axis(left, found, -1)
        if (values == taken).any() or (not largest and lines.dtype.kind == "f" and np.isnan(values).any()):
            return None
        np.put_along_axis(left, found, taken, -1)
        places[..., rank] = found[..., 0]
    return places


def topk(x: Any, k: int, *, axis: int = -1, largest: bool = True) -> tuple[Any, Any]:
    """The k largest (or smallest) elements along an axis and their places.

    Args:
        x: real numbers.
        k: how many, at most the length of the axis.
        axis: along which axis.
        largest: False for the smallest.

    Returns:
        Values and int64 places, both with length k along the axis, the most extreme first; of equal elements, the
        first come first. The gradient goes to the elements that were taken.
    """
    places = top_places(x, k=k, axis=axis, largest=largest)
    return take_along_axis(x, places, axis=axis), places


def _extreme_spec(x: Spec, *, axis: int | None, keepdims: bool) -> Spec:
    has_order(x, op="argmax and argmin")
    if axis is None:
        shape = (1,) * x.ndim if keepdims else ()
        length = x.size
    else:
        axis = normalize_axis(axis, x.ndim, op="argmax and argmin")
        shape = (*x.shape[:axis], *((1,) if keepdims else ()), *x.shape[axis + 1 :])
        length = x.shape[axis]
    if not length:
        raise ShapeError("an empty axis has no largest or smallest element")
    return Spec(shape, as_dtype("int64"))


def _extreme_reference(better: Any, x: np.ndarray, axis: int | None, keepdims: bool) -> np.ndarray:
    lines = x.reshape(1, -1) if axis is None else np.moveaxis(x, axis, -1)
    found = np.empty(lines.shape[:-1], np.int64)
    for line in np.ndindex(found.shape):
        best = 0
        for place, value in enumerate(lines[line]):
            best = place if better(value, lines[line][best]) else best
        found[line] = best
    if axis is None:
        return found.reshape((1,) * x.ndim if keepdims else ())
    return np.expand_dims(found, axis) if keepdims else found


def _extreme_batch(
    function: Any, size: int, batched: Sequence[bool], x: Any, *, axis: int | None, keepdims: bool
) -> Any:
    if axis is not None:
        return function(x, axis=axis % (len(x.shape) - 1) + 1, keepdims=keepdims)
    found = function(reshape(x, shape=(size, int(np.prod(x.shape[1:])))), axis=1, keepdims=False)
    return reshape(found, shape=(size, *(1,) * (len(x.shape) - 1))) if keepdims else found


def _argmax_batch(*args: Any, **params: Any) -> Any:
    return _extreme_batch(argmax, *args, **params)


def _argmin_batch(*args: Any, **params: Any) -> Any:
    return _extreme_batch(argmin, *args, **params)


def _extreme_apart(carries: Sequence[bool], x: Spec, *, axis: int | None, keepdims: bool) -> bool:
    return axis is not None and axis % x.ndim != 0


_EXTREMES = (
    Sample(distinct(3, 4), axis=None, keepdims=False),
    Sample(distinct(3, 4), axis=None, keepdims=True),
    Sample(distinct(3, 4), axis=0, keepdims=True),
    Sample(integers(3, 2, 5, 3), axis=-2, keepdims=False),
    Sample(normal(), axis=None, keepdims=False),
    Sample(normal(0, 4), axis=1, keepdims=False),
)
_NO_EXTREME = (
    Invalid(normal(3, 0), axis=1, keepdims=False, error=ShapeError, match="empty axis"),
    Invalid(normal(0), axis=None, keepdims=False, error=ShapeError, match="empty axis"),
    Invalid(normal(3), axis=1, keepdims=False, error=ShapeError, match="axis 1"),
    Invalid(complex_normal(3), axis=0, keepdims=False, error=DTypeError, match="no order"),
)


@discrete(
    onnx="ArgMax",
    infer=_extreme_spec,
    reference=lambda x, axis, keepdims: _extreme_reference(np.greater, x, axis, keepdims),
    batch=_argmax_batch,
    per_sample=_extreme_apart,
    samples=_EXTREMES,
    invalid=_NO_EXTREME,
)
def argmax(xp: ArrayModule, x: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """The int64 place of the largest element along `axis`, by default in the flattened tensor. Of equal ones it is the
    first; NaN comes before any number.
    """
    _extreme_spec(Spec(x.shape, x.dtype), axis=axis, keepdims=keepdims)
    return xp.argmax(x, axis, keepdims=keepdims)


@discrete(
    onnx="ArgMin",
    infer=_extreme_spec,
    reference=lambda x, axis, keepdims: _extreme_reference(np.less, x, axis, keepdims),
    batch=_argmin_batch,
    per_sample=_extreme_apart,
    samples=_EXTREMES,
    invalid=_NO_EXTREME,
)
def argmin(xp: ArrayModule, x: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """The int64 place of the smallest element along `axis`, by default in the flattened tensor. Of equal ones it is the
    first; NaN comes before any number.
    """
    _extreme_spec(Spec(x.shape, x.dtype), axis=axis, keepdims=keepdims)
    return xp.argmin(x, axis, keepdims=keepdims)


def max_with_indices(x: Any, *, axis: int, keepdims: bool = False) -> tuple[Any, Any]:
    """The largest elements along one axis and their int64 places. Unlike with `max`, the first of equal ones gets the
    whole gradient.
    """
    return _with_indices(argmax, x, axis, keepdims=keepdims)


def min_with_indices(x: Any, *, axis: int, keepdims: bool = False) -> tuple[Any, Any]:
    """The smallest elements along one axis and their int64 places. Unlike with `min`, the first of equal ones gets the
    whole gradient.
    """
    return _with_indices(argmin, x, axis, keepdims=keepdims)


def _with_indices(function: Any, x: Any, axis: int, *, keepdims: bool) -> tuple[Any, Any]:
    places = function(x, axis=axis, keepdims=True)
    values = take_along_axis(x, places, axis=axis)
    if keepdims:
        return values, places
    axis = axis % len(x.shape)
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    return reshape(values, shape=shape), reshape(places, shape=shape)

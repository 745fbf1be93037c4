"""Quantiles and the median, by sorting."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import Any

from ..errors import ConfigError, ShapeError
from ..shapes import normalize_axis, to_floating
from .elementwise import astype, where
from .shape import getitem, reshape, stack
from .sort import sort


def quantile(x: Any, q: float | Sequence[float], *, axis: int | None = None, keepdims: bool = False) -> Any:
    """Quantiles, by linear interpolation between the two nearest elements; NaN where an element is.

    Args:
        x: real numbers; integers are taken as float32.
        q: a probability in [0, 1], or several, which come to lie along a new first axis.
        axis: along which axis; by default of all elements.
        keepdims: keep the axis, with length 1.

    Returns:
        The gradient goes to the two elements, in proportion to their weights.
    """
    if not isinstance(q, int | float):
        return stack([quantile(x, item, axis=axis, keepdims=keepdims) for item in q], axis=0)
    if not 0.0 <= q <= 1.0:
        raise ConfigError(f"quantile: expected probabilities in [0, 1], got {q}")
    rank = len(x.shape)
    if axis is None:
        found = quantile(reshape(x, shape=(-1,)), q, axis=0)
        return reshape(found, shape=(1,) * rank) if keepdims else found
    axis = normalize_axis(axis, rank, op="quantile")
    length = x.shape[axis]
    if not length:
        raise ShapeError(f"quantile: axis {axis} of shape {tuple(x.shape)} is empty")
    dtype = to_floating(x.dtype)
    ordered = sort(x if x.dtype == dtype else astype(x, dtype=dtype.name), axis=axis)
    at = q * (length - 1)
    low, high, last = (
        getitem(ordered, key=(*(slice(None),) * axis, slice(place, place + 1)))
        for place in (floor(at), ceil(at), length - 1)
    )
    found = low if floor(at) == at else low + (high - low) * (at - floor(at))
    found = where(last == last, found, last)  # NaN is sorted to the end
    return found if keepdims else reshape(found, shape=(*x.shape[:axis], *x.shape[axis + 1 :]))


def median(x: Any, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """The middle element in order, or the mean of the two in the middle; see `quantile`."""
    return quantile(x, 0.5, axis=axis, keepdims=keepdims)

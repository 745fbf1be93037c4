"""Binary search in sorted lines."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ConfigError, DTypeError, ShapeError
from ..op import ArraySpec, Invalid, Sample, complex_normal, integers, normal
from ..shapes import Spec, as_dtype, result_dtype
from .declare import discrete
from .gather import take
from .scatter import number_beside
from .shape import broadcast_to
from .sort import has_order, places_in_order


@dataclass(frozen=True)
class _Ascending(ArraySpec):
    """Lines in order."""

    def make(self, rng: np.random.Generator, dtype: Any = np.float64) -> np.ndarray:
        return np.sort(ArraySpec.make(self, rng, dtype), -1)


def _search_spec(x: Spec, values: Spec, *, side: str) -> Spec:
    if side not in ("left", "right"):
        raise ConfigError(f"searchsorted: expected side 'left' or 'right', got {side!r}")
    has_order(Spec((), result_dtype(x.dtype, values.dtype)), op="searchsorted")
    if not x.ndim or (x.ndim > 1 and values.shape[: x.ndim - 1] != x.shape[:-1]):
        raise ShapeError("searchsorted: expected one axis, or a stack of lines and values of the same leading axes")
    return Spec(values.shape, as_dtype("int64"))


def _search_batch(size: int, batched: Sequence[bool], x: Any, values: Any, *, side: str) -> Any:
    if not batched[0] and len(x.shape) == 1:
        return _search(x, values, side=side)
    x, values = (
        item if own else broadcast_to(item, shape=(size, *item.shape))
        for item, own in zip((x, values), batched, strict=True)
    )
    return _search(x, values, side=side)


@discrete(
    name="searchsorted",
    infer=_search_spec,
    reference=lambda x, values, side: _search_reference(x, values, side),
    batch=_search_batch,
    per_sample=lambda carries, x, values, side: carries[1] and (not carries[0] or x.ndim > 1),
    samples=(
        Sample(_Ascending((5,), integers=4), integers(6, 4), side="left"),
        Sample(_Ascending((5,), integers=4), integers(6, 2, 3), side="right"),
        Sample(_Ascending((3, 9), integers=4), integers(6, 3, 4, 2), side="left"),
        Sample(_Ascending((3, 9), integers=4), integers(6, 3, 4), side="right"),
        Sample(_Ascending((0,)), normal(3), side="left"),
        Sample(_Ascending((7,)), normal(), side="left"),
    ),
    invalid=(
        Invalid(normal(), normal(3), side="left", error=ShapeError, match="one axis"),
        Invalid(normal(2, 3), normal(3), side="left", error=ShapeError, match="same leading axes"),
        Invalid(complex_normal(2), normal(3), side="left", error=DTypeError, match="no order"),
        Invalid(normal(2), normal(3), side="middle", error=ConfigError, match="'left' or 'right', got 'middle'"),
    ),
)
def _search(xp: ArrayModule, x: Array, values: Array, *, side: str = "left") -> Array:
    """Where values belong in sorted lines."""
    _search_spec(Spec(x.shape, x.dtype), Spec(values.shape, values.dtype), side=side)
    dtype = result_dtype(x, values)
    x, values = x.astype(dtype, copy=False), values.astype(dtype, copy=False)
    if x.ndim == 1:
        return xp.searchsorted(x, values, side=side).astype(np.int64, copy=False)
    # A stack of lines: sort lines and values together; before each value, count what came from the line.
    *lead, length = x.shape
    sought = values.reshape(*lead, int(np.prod(values.shape[len(lead) :])))
    first, second = (sought, x) if side == "left" else (x, sought)
    order = places_in_order(xp, xp.concatenate([first, second], -1), -1, descending=False)
    offset = 0 if side == "left" else length
    of_line = (order >= sought.shape[-1]) if side == "left" else (order < length)
    before = xp.cumsum(of_line, -1)
    ranks = places_in_order(xp, order, -1, descending=False)[..., offset : offset + sought.shape[-1]]
    return xp.take_along_axis(before, ranks, -1).reshape(values.shape)


def _search_reference(x: np.ndarray, values: np.ndarray, side: str) -> np.ndarray:
    compare = np.less if side == "left" else np.less_equal
    lines = x.reshape(*x.shape[:-1], *(1,) * (values.ndim - x.ndim + 1), x.shape[-1])
    return compare(lines, values[..., None]).sum(-1)


def searchsorted(x: Any, values: Any, *, side: str = "left", sorter: Any = None) -> Any:
    """Where each value would have to be inserted to keep `x` sorted.

    Args:
        x: sorted real numbers, shape (n,); or a stack of sorted lines, shape (*lead, n).
        values: what to insert: a number, or a tensor, whose shape begins with `lead`.
        side: "left": before equal elements; "right": behind them.
        sorter: integers of shape (n,) that sort `x`, if it is not.

    Returns:
        int64 in [0, n], the shape of `values`.
    """
    if not hasattr(values, "dtype"):
        values = number_beside(values, x, op="searchsorted")
    return _search(x if sorter is None else take(x, sorter, axis=0), values, side=side)

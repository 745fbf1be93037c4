"""Shapes and dtypes without data: what inference passes around, and the rules that many ops share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .errors import BoundsError, DTypeError, ShapeError

Axis = int | Sequence[int] | None


class Spec(NamedTuple):
    """Shape and dtype of an array that need not exist."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)


def spec_of(array: Any) -> Spec:
    """The spec of anything with a shape and a dtype."""
    return Spec(tuple(array.shape), array.dtype)


@cache
def bfloat16() -> np.dtype[Any]:
    """The dtype of `ml_dtypes`, which is imported when it is first asked for."""
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """A dtype from its name or NumPy type; "bfloat16" is known too.

    Raises:
        DTypeError: there is no such dtype, or it is none of ours (numbers and booleans).
    """
    if isinstance(dtype, str) and dtype == "bfloat16":
        return bfloat16()
    try:
        found = np.dtype(dtype)
    except TypeError as exc:
        raise DTypeError(f"unknown dtype {dtype!r}: expected a name such as 'float32'") from exc
    if found.kind not in "fiubc" and found.name != "bfloat16":
        raise DTypeError(f"expected a dtype of numbers, got {found}")
    return found


def is_floating(dtype: np.dtype[Any]) -> bool:
    """True for real floating dtypes, bfloat16 included (whose NumPy kind is "V")."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def is_inexact(dtype: np.dtype[Any]) -> bool:
    """True for the dtypes that have gradients: real and complex floating."""
    return dtype.kind in "fc" or dtype.name == "bfloat16"


def accumulate_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype sums and products are accumulated in: float32 for the 16-bit floats, else the dtype itself."""
    return np.dtype(np.float32) if dtype.itemsize == 2 and is_floating(dtype) else dtype


@cache
def promote(first: np.dtype[Any], second: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of a result of two: NumPy's promotion, where float16 with bfloat16 is float32, bfloat16 with an integer
    bfloat16.

    Raises:
        DTypeError: there is none.
    """
    if first == second:
        return first
    names = {first.name, second.name}
    if "bfloat16" in names:
        other = second if first.name == "bfloat16" else first
        if other.kind in "iub":
            return bfloat16()
        if other.name == "float16":
            return np.dtype(np.float32)
    try:
        return np.promote_types(first, second)
    except TypeError as exc:
        raise DTypeError(f"no dtype holds both {first} and {second}", hint="convert one with .astype()") from exc


def result_dtype(*dtypes: Any) -> np.dtype[Any]:
    """The dtype of a result of several arrays (or dtypes): the one promotion rule of the library."""
    found = [np.dtype(getattr(item, "dtype", item)) for item in dtypes]
    result = found[0]
    for dtype in found[1:]:
        result = promote(result, dtype)
    return result


def to_floating(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of a mathematical function of `dtype`: inexact dtypes stay, integers become float32, the default."""
    return dtype if is_inexact(dtype) else np.dtype(np.float32)


def normalize_axis(axis: int, ndim: int, *, op: str) -> int:
    """A non-negative axis.

    Raises:
        BoundsError: there is no such axis.
    """
    if not -ndim <= axis < ndim:
        raise BoundsError(f"{op}: axis {axis} does not exist: expected one of an array with {ndim} axes")
    return axis % ndim


def normalize_axes(axis: Axis, ndim: int, *, op: str) -> tuple[int, ...]:
    """Non-negative axes in ascending order; None means all.

    Raises:
        BoundsError: an axis does not exist.
        ShapeError: an axis is named twice.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(normalize_axis(int(item), ndim, op=op) for item in (axis if isinstance(axis, Sequence) else (axis,)))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{op}: an axis is named twice in {axis}")
    return tuple(sorted(axes))


def broadcast_shapes(*shapes: tuple[int, ...], op: str) -> tuple[int, ...]:
    """The common shape of arrays that broadcast together.

    Raises:
        ShapeError: they do not.
    """
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError as exc:
        shown = " and ".join(map(str, shapes))
        raise ShapeError(
            f"{op}: shapes {shown} do not broadcast: expected lengths that are equal or 1, counted from the last axis",
            hint="add an axis of length 1 with x[:, None], or reshape",
        ) from exc


def reduced_shape(shape: tuple[int, ...], axis: Axis, *, keepdims: bool, op: str) -> tuple[int, ...]:
    """The shape left by a reduction over `axis`."""
    axes = normalize_axes(axis, len(shape), op=op)
    if keepdims:
        return tuple(1 if i in axes else length for i, length in enumerate(shape))
    return tuple(length for i, length in enumerate(shape) if i not in axes)

"""Searching, sorting, sets."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .. import ops
from ..tensor import Tensor
from .elementwise import Operand


class UniqueAll(NamedTuple):
    """The distinct values; where each is first; which of them each element is; how often each is there."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """The distinct values, and how often each is there."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """The distinct values, and which of them each element is."""

    values: Tensor
    inverse_indices: Tensor


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first largest element along `axis`; None counts in the flattened tensor."""
    return ops.argmax(x, axis=axis, keepdims=keepdims)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first smallest element along `axis`; None counts in the flattened tensor."""
    return ops.argmin(x, axis=axis, keepdims=keepdims)


def argsort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices that would sort along `axis`."""
    return ops.argsort(x, axis=axis, descending=descending, stable=stable)


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The elements in order along `axis`."""
    return ops.sort(x, axis=axis, descending=descending, stable=stable)


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """The indices of the elements that are not 0, one tensor per axis."""
    return tuple(ops.nonzero(x))


def searchsorted(
    x1: Tensor, x2: Operand, /, *, side: Literal["left", "right"] = "left", sorter: Tensor | None = None
) -> Tensor:
    """Where elements `x2` would have to be put into sorted `x1` to keep it sorted."""
    return ops.searchsorted(x1, x2, side=side, sorter=sorter)


def where(condition: Tensor, x1: Operand, x2: Operand, /) -> Tensor:
    """Elements of `x1` where `condition` is true, of `x2` elsewhere."""
    return ops.where(condition, x1, x2)


def isin(x1: Operand, x2: Operand, /, *, invert: bool = False) -> Tensor:
    """Whether each element of `x1` is among those of `x2`; with `invert` whether it is not."""
    return ops.isin(x1, x2, invert=invert)


def unique_all(x: Tensor, /) -> UniqueAll:
    """The distinct values with all there is to know of them; every NaN is distinct."""
    return UniqueAll(*ops.unique_all(x))


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """The distinct values and how often each is there; every NaN is distinct."""
    return UniqueCounts(*ops.unique_counts(x))


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """The distinct values and which of them each element is; every NaN is distinct."""
    return UniqueInverse(*ops.unique_inverse(x))


def unique_values(x: Tensor, /) -> Tensor:
    """The distinct values; every NaN is distinct."""
    return ops.unique_values(x)

"""Statistics over axes, running sums and products, tests of all elements, differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from ..creation import DTypeLike
from ..tensor import Tensor
from .dtypes import astype

Axes = int | tuple[int, ...] | None


def max(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest element over `axis`."""
    return ops.max(x, axis=axis, keepdims=keepdims)


def min(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The smallest element over `axis`."""
    return ops.min(x, axis=axis, keepdims=keepdims)


def mean(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over `axis`."""
    return ops.mean(x, axis=axis, keepdims=keepdims)


def var(x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance over `axis`; see `ops.var`."""
    return ops.var(x, axis=axis, correction=correction, keepdims=keepdims)


def std(x: Tensor, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The standard deviation over `axis`; see `ops.var` for `correction`."""
    return ops.std(x, axis=axis, correction=correction, keepdims=keepdims)


def sum(x: Tensor, /, *, axis: Axes = None, dtype: DTypeLike = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis`, in `dtype`; None leaves floats as they are and sums integers in 64 bits."""
    return _in_dtype(ops.sum, x, dtype, axis=axis, keepdims=keepdims)


def prod(x: Tensor, /, *, axis: Axes = None, dtype: DTypeLike = None, keepdims: bool = False) -> Tensor:
    """The product over `axis`, in `dtype`; None leaves floats as they are and multiplies integers in 64 bits."""
    return _in_dtype(ops.prod, x, dtype, axis=axis, keepdims=keepdims)


def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: DTypeLike = None, include_initial: bool = False
) -> Tensor:
    """The sums of the first elements along `axis`, in `dtype`; see `ops.cumulative_sum`."""
    return _in_dtype(ops.cumulative_sum, x, dtype, axis=axis, include_initial=include_initial)


def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: DTypeLike = None, include_initial: bool = False
) -> Tensor:
    """The products of the first elements along `axis`, in `dtype`; see `ops.cumulative_prod`."""
    return _in_dtype(ops.cumulative_prod, x, dtype, axis=axis, include_initial=include_initial)


def _in_dtype(function: Callable[..., Any], x: Tensor, dtype: DTypeLike, **params: Any) -> Tensor:
    """Converted before, so that it is computed in `dtype`, and again after, where integers come back in 64 bits."""
    if dtype is None:
        return function(x, **params)
    return astype(function(astype(x, dtype, copy=False), **params), dtype, copy=False)


def all(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether all elements over `axis` are true."""
    return ops.all(x, axis=axis, keepdims=keepdims)


def any(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether any element over `axis` is true."""
    return ops.any(x, axis=axis, keepdims=keepdims)


def count_nonzero(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """How many elements over `axis` are not 0."""
    return ops.count_nonzero(x, axis=axis, keepdims=keepdims)


def diff(
    x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The differences of neighbours along `axis`, taken `n` times."""
    return ops.diff(x, axis=axis, n=n, prepend=prepend, append=append)

"""Norms of vectors and matrices."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from math import inf
from typing import Any

from ..errors import ConfigError, ShapeError
from ..shapes import Axis, to_floating
from .compare import not_equal
from .elementwise import absolute, astype, conjugate, real, sqrt, where
from .reduce import max as max_op
from .reduce import min as min_op
from .reduce import sum as sum_op
from .shape import reshape
from .svd import svdvals


def vector_norm(x: Any, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Any:
    """The p-norm of vectors, (sum |x|^p)^(1/p).

    Args:
        x: numbers; of integers the norm is a float32.
        axis: along which axes; by default all elements are one vector.
        keepdims: keep the axes, with length 1.
        ord: p; `inf` and `-inf` are the largest and the smallest absolute value, 0 counts elements that are not zero.

    Returns:
        Real. Where the norm is 0, the gradient is 0 for p = 2 and p > 1 (a subgradient).
    """
    dtype = to_floating(x.dtype)
    x = x if x.dtype == dtype else astype(x, dtype=dtype.name)
    if ord == 2:
        squares = real(conjugate(x) * x) if dtype.kind == "c" else x * x
        return _root(sum_op(squares, axis=axis, keepdims=keepdims), 0.5)
    size = absolute(x)
    if ord in (inf, -inf):
        return (max_op if ord > 0 else min_op)(size, axis=axis, keepdims=keepdims)
    if ord == 0:
        counted = astype(not_equal(size, 0.0), dtype=size.dtype.name)
        return sum_op(counted, axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum_op(size, axis=axis, keepdims=keepdims)
    return _root(sum_op(size**ord, axis=axis, keepdims=keepdims), 1.0 / ord)


def _root(total: Any, exponent: float) -> Any:
    """A power of sums >= 0, whose gradient is 0 where they are 0."""
    positive = where(total == 0.0, 1.0, total)
    if exponent < 0.0:
        return where(total == 0.0, inf, positive**exponent)
    return where(total == 0.0, 0.0, sqrt(positive) if exponent == 0.5 else positive**exponent)


def matrix_norm(x: Any, *, keepdims: bool = False, ord: float | str | None = "fro") -> Any:
    """Norms of the matrices in the last two axes.

    Args:
        x: numbers; of integers the norm is a float32.
        keepdims: keep the last two axes, with length 1.
        ord: "fro" (or None): root of the sum of squares; "nuc": sum of singular values; 2 and -2: largest and smallest
            singular value; 1 and -1: largest and smallest sum of a column's absolute values; inf and -inf: of a row's.
    """
    if len(x.shape) < 2:
        raise ShapeError(f"matrix_norm: expected at least two axes, got shape {tuple(x.shape)}")
    if ord in ("fro", None):
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in ("nuc", 2, -2):
        values = svdvals(x)
        found = sum_op(values, axis=-1) if ord == "nuc" else (max_op if ord == 2 else min_op)(values, axis=-1)
    elif ord in (1, -1, inf, -inf):
        sums = vector_norm(x, axis=-2 if abs(ord) == 1 else -1, ord=1)  # pyright: ignore[reportArgumentType]
        found = (max_op if ord in (1, inf) else min_op)(sums, axis=-1)
    else:
        raise ConfigError(f"matrix_norm: expected 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")
    return reshape(found, shape=(*found.shape, 1, 1)) if keepdims else found

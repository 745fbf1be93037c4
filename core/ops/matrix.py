"""Parts of matrices: triangles and diagonals, of the last two axes of a stack of them."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import ArraySpec, Batch, Flags, Invalid, Jvp, Sample, normal
from ..shapes import Spec, as_dtype, normalize_axis
from .declare import op
from .elementwise import astype
from .reduce import sum as sum_op
from .shape import getitem, move_axis, place, reshape


def _triangle_spec(x: Spec, *, k: int) -> Spec:
    if x.ndim < 2:
        raise ShapeError("expected at least two axes")
    return x


_TRIANGLES = (
    Sample(normal(3, 4), k=0),
    Sample(normal(2, 4, 3), k=-1),
    Sample(normal(4, 4), k=2),
    Sample(normal(3, 3), k=-5),
    Sample(normal(0, 2), k=0),
)
_NO_MATRIX = (Invalid(normal(3), k=0, error=ShapeError, match="at least two axes"),)


def _rows_apart(carries: Sequence[bool], x: Spec, **params: Any) -> bool:
    """Sample rule: the samples are matrices, not their rows."""
    return x.ndim > 2


@op(
    onnx="Trilu",
    infer=_triangle_spec,
    reference=lambda x, k: np.where(np.subtract.outer(np.arange(x.shape[-2]), np.arange(x.shape[-1])) >= -k, x, 0.0),
    vjp=(lambda g, y, x, k: tril(g, k=k),),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=Batch.LEADING,
    per_sample=_rows_apart,
    samples=_TRIANGLES,
    invalid=_NO_MATRIX,
    flags=Flags.HALF,
)
def tril(xp: ArrayModule, x: Array, *, k: int = 0) -> Array:
    """The lower triangle of each matrix: zeros above the diagonal `k`, which counts upwards from the main one."""
    _triangle_spec(Spec(x.shape, x.dtype), k=k)
    return xp.tril(x, k)


@op(
    onnx="Trilu",
    infer=_triangle_spec,
    reference=lambda x, k: np.where(np.subtract.outer(np.arange(x.shape[-2]), np.arange(x.shape[-1])) <= -k, x, 0.0),
    vjp=(lambda g, y, x, k: triu(g, k=k),),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=Batch.LEADING,
    per_sample=_rows_apart,
    samples=_TRIANGLES,
    invalid=_NO_MATRIX,
    flags=Flags.HALF,
)
def triu(xp: ArrayModule, x: Array, *, k: int = 0) -> Array:
    """The upper triangle of each matrix: zeros below the diagonal `k`, which counts upwards from the main one."""
    _triangle_spec(Spec(x.shape, x.dtype), k=k)
    return xp.triu(x, k)


def _diagonal_key(rows: int, columns: int, offset: int) -> slice:
    """Where a diagonal is in a flattened matrix."""
    length = max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)
    start = offset if offset >= 0 else -offset * columns
    return slice(start, start + length * (columns + 1), columns + 1)


def diagonal(x: Any, *, offset: int = 0, axis1: int = -2, axis2: int = -1) -> Any:
    """A diagonal of each matrix, along a new last axis.

    Args:
        x: at least two axes.
        offset: which diagonal, counted upwards from the main one.
        axis1, axis2: the axes of the matrices.
    """
    rank = len(x.shape)
    first, second = (normalize_axis(axis, rank, op="diagonal") for axis in (axis1, axis2))
    if first == second:
        raise ShapeError(f"diagonal: expected two axes, got {axis1} and {axis2} of shape {tuple(x.shape)}")
    if (first, second) != (rank - 2, rank - 1):
        x = move_axis(move_axis(x, first, -1), second - (second > first), -1)
    *lead, rows, columns = x.shape
    flat = reshape(x, shape=(*lead, rows * columns))
    return getitem(flat, key=(Ellipsis, _diagonal_key(rows, columns, offset)))


def diagonal_matrix(x: Any, *, offset: int = 0) -> Any:
    """Square matrices with the last axis of `x` on a diagonal, zeros elsewhere: the opposite of `diagonal`."""
    if not x.shape:
        raise ShapeError("diagonal_matrix: expected at least one axis, got a 0-d tensor")
    *lead, length = x.shape
    side = length + abs(offset)
    key = (*(slice(None),) * len(lead), _diagonal_key(side, side, offset))
    return reshape(place(x, shape=(*lead, side * side), key=key), shape=(*lead, side, side))


def trace(x: Any, *, offset: int = 0, dtype: Any = None) -> Any:
    """Sum of a diagonal of each matrix of the last two axes, as `dtype` if it is given (int64 for smaller integers)."""
    elements = diagonal(x, offset=offset)
    return sum_op(elements if dtype is None else astype(elements, dtype=as_dtype(dtype).name), axis=-1)


@dataclass(frozen=True)
class Matrices(ArraySpec):
    """A recipe for random test matrices that an op of linear algebra is at home with.

    Attributes:
        kind: "regular": far from singular; "definite": Hermitian, all eigenvalues above 1; "spread": singular values
            that are the numbers from 1 on; "real": square, with eigenvalues that are the numbers from 1 on;
            "rank-2": of that rank.
    """

    kind: str = "regular"

    def make(self, rng: np.random.Generator, dtype: Any = np.float64) -> np.ndarray:
        """Draw the stack of matrices."""
        values = ArraySpec.make(self, rng, dtype)
        rows, columns = self.shape[-2:]
        count = min(rows, columns)
        if self.kind == "regular":
            return 0.4 * values + 2.0 * np.eye(rows, columns, dtype=values.dtype)
        if self.kind == "definite":
            return values @ np.conj(values.swapaxes(-1, -2)) + np.eye(rows, dtype=values.dtype)
        if self.kind == "real":
            basis = np.eye(rows) + 0.2 * values
            return basis @ np.diag(np.arange(1.0, rows + 1)) @ np.linalg.inv(basis)
        left, _, right = np.linalg.svd(values, full_matrices=False)
        kept = np.arange(count, 0, -1) if self.kind == "spread" else np.where(np.arange(count) < 2, 1.5, 0.0)
        return (left * kept) @ right

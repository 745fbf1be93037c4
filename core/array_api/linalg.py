"""The extension of linear algebra: matrices are the last two axes, leading ones are stacks of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from .. import ops
from ..creation import DTypeLike
from ..tensor import Tensor


class Eigen(NamedTuple):
    """Eigenvalues (..., n), and the eigenvectors in the columns of (..., n, n)."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QR(NamedTuple):
    """Orthonormal columns times an upper triangle."""

    Q: Tensor
    R: Tensor


class SlogDet(NamedTuple):
    """A determinant as sign and logarithm of the absolute value."""

    sign: Tensor
    logabsdet: Tensor


class SVD(NamedTuple):
    """Left singular vectors in columns, singular values in descending order, right singular vectors in rows."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """The triangle L of positive definite matrices L L^H, or U of U^H U."""
    return ops.cholesky(x, upper=upper)


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The cross product of vectors with three components along `axis`."""
    return ops.cross(x1, x2, axis=axis)


def det(x: Tensor, /) -> Tensor:
    """Determinants."""
    return ops.det(x)


def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """The diagonals of matrices, `offset` columns to the right of the main one."""
    return ops.diagonal(x, offset=offset)


def eigh(x: Tensor, /) -> Eigen:
    """Eigenvalues, ascending, and eigenvectors of Hermitian matrices."""
    return Eigen(*ops.eigh(x))


def eigvalsh(x: Tensor, /) -> Tensor:
    """Eigenvalues of Hermitian matrices, ascending."""
    return ops.eigvalsh(x)


def eig(x: Tensor, /) -> Eigen:
    """Complex eigenvalues and eigenvectors of any square matrices."""
    return Eigen(*ops.eig(x))


def eigvals(x: Tensor, /) -> Tensor:
    """Complex eigenvalues of any square matrices."""
    return ops.eigvals(x)


def inv(x: Tensor, /) -> Tensor:
    """Inverses of square matrices."""
    return ops.inv(x)


def matmul(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Products of matrices; an operand with one axis is a row in front, a column behind."""
    return ops.matmul(x1, x2)


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: float | Literal["fro", "nuc"] | None = "fro") -> Tensor:
    """Norms of matrices."""
    return ops.matrix_norm(x, keepdims=keepdims, ord=ord)


def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """Square matrices multiplied with themselves; negative powers are those of the inverse."""
    return ops.matrix_power(x, n)


def matrix_rank(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """How many singular values are larger than `rtol` times the largest one."""
    return ops.matrix_rank(x, rtol=rtol)


def matrix_transpose(x: Tensor, /) -> Tensor:
    """Rows and columns exchanged."""
    return ops.swap_last(x)


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Every element of one vector times every element of another."""
    return ops.outer(x1, x2)


def pinv(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """The Moore-Penrose inverse, which takes singular values up to `rtol` times the largest one as 0."""
    return ops.pinv(x, rtol=rtol)


def qr(x: Tensor, /, *, mode: Literal["reduced", "complete"] = "reduced") -> QR:
    """Matrices as orthonormal columns times an upper triangle."""
    return QR(*ops.qr(x, mode=mode))


def slogdet(x: Tensor, /) -> SlogDet:
    """Sign and logarithm of the absolute value of determinants, which themselves may overflow."""
    return SlogDet(*ops.slogdet(x))


def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """X of x1 x = x2."""
    return ops.solve(x1, x2)


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVD:
    """The singular value decomposition U diag(S) Vh."""
    return SVD(*ops.svd(x, full_matrices=full_matrices))


def svdvals(x: Tensor, /) -> Tensor:
    """Singular values, descending."""
    return ops.svdvals(x)


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """The sum of products over axes of both: the last of one with the first of the other, or those named."""
    return ops.tensordot(x1, x2, axes=axes)


def trace(x: Tensor, /, *, offset: int = 0, dtype: DTypeLike = None) -> Tensor:
    """The sums of diagonals, in `dtype`; None leaves floats as they are and sums integers in 64 bits."""
    from .reduction import sum

    return sum(ops.diagonal(x, offset=offset), axis=-1, dtype=dtype)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The sum of products along `axis`, the first factor conjugated."""
    return ops.vecdot(x1, x2, axis=axis)


def vector_norm(
    x: Tensor, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, ord: float = 2
) -> Tensor:
    """Norms of vectors along `axis`; None takes all elements as one vector."""
    return ops.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)

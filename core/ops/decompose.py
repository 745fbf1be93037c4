"""Triangular decompositions of matrices in the last two axes, Cholesky and QR, and what the rules of all decompositions
share. CuPy and NumPy may choose other signs (or phases) of vectors, which are open by nature.

The rules are written for gradients in the direction of steepest ascent, as in the literature; inside the graph run
their conjugates, hence `conj` where a rule begins and ends.

Sources: Murray 2016, https://arxiv.org/abs/1602.07527, for Cholesky; Walter & Lehmann 2010,
https://arxiv.org/abs/1001.1654, and Roberts & Roberts 2020, https://arxiv.org/abs/2009.10071, for QR.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ConfigError, DataError, ShapeError
from ..op import Batch, Invalid, Sample, const, normal
from ..shapes import Spec, to_floating
from .declare import discrete, floating, op
from .elementwise import conjugate, imag, real, where
from .linalg import matmul
from .matrix import Matrices, diagonal, diagonal_matrix, tril, triu
from .shape import concatenate, expand_dims, getitem
from .solve import NOT_SQUARE, adjoint, solve, square, stacks_apart


def conj(x: Any) -> Any:
    """The complex conjugate; what is real stays itself."""
    return conjugate(x) if x.dtype.kind == "c" else x


def real_part(x: Any) -> Any:
    """The real part; what is real stays itself."""
    return real(x) if x.dtype.kind == "c" else x


def hermitian(x: Any) -> Any:
    """The Hermitian part of matrices."""
    return (x + adjoint(x)) * 0.5


def hermitian_part(xp: ArrayModule, x: Array) -> Array:
    """The Hermitian part of matrices, on arrays: both triangles count, so that the result is a function of both."""
    x = floating(xp, x)
    return (x + xp.conj(xp.swapaxes(x, -1, -2))) * x.dtype.type(0.5)


def gaps(values: Any) -> Any:
    """1 / (v_j - v_i) at (i, j), 0 where the values are equal."""
    gap = expand_dims(values, axis=-2) - expand_dims(values, axis=-1)
    same = gap == 0.0
    return where(same, 0.0, 1.0 / where(same, 1.0, gap))


def scale_columns(x: Any, factors: Any) -> Any:
    """The columns of matrices times one factor each."""
    return x * expand_dims(factors, axis=-2)


def computed(op: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a function of LAPACK or cuSOLVER.

    Raises:
        DataError: it does not succeed on this matrix.
    """
    try:
        return function(*args, **kwargs)
    except np.linalg.LinAlgError as exc:
        raise DataError(f"{op}: {str(exc).lower()}", hint="look for NaN, and for rows or columns that repeat") from exc


# --- Cholesky ---


def _cholesky_vjp(g: Any, y: Any, x: Any) -> Any:
    triangle = tril(matmul(adjoint(y), conj(g)))
    inner = (triangle + adjoint(tril(triangle, k=-1))) * 0.5
    left = solve(adjoint(y), inner)
    return conj(hermitian(adjoint(solve(adjoint(y), adjoint(left)))))


def _cholesky_jvp(t: Any, y: Any, x: Any) -> Any:
    inner = adjoint(solve(y, adjoint(solve(y, hermitian(t)))))
    return matmul(y, (tril(inner) + tril(inner, k=-1)) * 0.5)


def _cholesky_reference(x: np.ndarray) -> np.ndarray:
    x = (x + np.conj(x.swapaxes(-1, -2))) / 2
    result = np.zeros_like(x)
    for j in range(x.shape[-1]):
        done = result[..., j, :j]
        result[..., j, j] = np.sqrt((x[..., j, j] - np.sum(np.abs(done) ** 2, -1)).real)
        below = x[..., j + 1 :, j] - np.einsum("...ik,...k->...i", result[..., j + 1 :, :j], np.conj(done))
        result[..., j + 1 :, j] = below / result[..., j, j, None]
    return result


@op(
    name="cholesky",
    infer=lambda x: square(x, op="cholesky"),
    reference=_cholesky_reference,
    vjp=(_cholesky_vjp,),
    saves=("out",),
    jvp=(_cholesky_jvp,),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(
        Sample(Matrices((3, 3), kind="definite")),
        Sample(Matrices((2, 4, 4), kind="definite")),
        Sample(Matrices((3, 3), kind="definite", dtype="complex128")),
        Sample(normal(0, 2, 2)),
    ),
    invalid=(*NOT_SQUARE, Invalid(const(-1.0, 2, 2), error=DataError, match="not positive definite")),
)
def _cholesky(xp: ArrayModule, x: Array) -> Array:
    """The lower triangle L of matrices L L^H."""
    square(Spec(x.shape, x.dtype), op="cholesky")
    return computed("cholesky", xp.linalg.cholesky, hermitian_part(xp, x))


def cholesky(x: Any, *, upper: bool = False) -> Any:
    """The triangle of positive definite matrices.

    Args:
        x: Hermitian positive definite matrices; their Hermitian part is taken, so the gradient is Hermitian.
        upper: True for U of U^H U instead of L of L L^H.

    Raises:
        DataError: not positive definite; on a GPU, where looking would mean waiting, the result is not a number.
    """
    lower = _cholesky(x)
    return adjoint(lower) if upper else lower


# --- QR ---


def _qr_spec(x: Spec) -> tuple[Spec, Spec]:
    if x.ndim < 2:
        raise ShapeError("qr: expected matrices in the last two axes")
    *lead, m, n = x.shape
    dtype = to_floating(x.dtype)
    return Spec((*lead, m, min(m, n)), dtype), Spec((*lead, min(m, n), n), dtype)


def _right_solve(x: Any, r: Any) -> Any:
    """X R^-H."""
    return adjoint(solve(r, adjoint(x)))


def _split(x: Any, width: int) -> tuple[Any, Any]:
    """The first `width` columns, and the others."""
    return getitem(x, key=(Ellipsis, slice(0, width))), getitem(x, key=(Ellipsis, slice(width, None)))


def _qr_square_vjp(gq: Any, gr: Any, q: Any, r: Any) -> Any:
    inner = matmul(gr, adjoint(r)) - matmul(adjoint(q), gq)
    above = triu(inner, k=1)
    symmetric = above + adjoint(above) + diagonal_matrix(real_part(diagonal(inner)))
    return _right_solve(gq + matmul(q, symmetric), r)


def _qr_vjp(g: Any, y: Any, x: Any) -> tuple[Any]:
    (gq, gr), (q, r) = (conj(part) for part in g), y
    rank = q.shape[-1]
    if r.shape[-1] == rank:
        return (conj(_qr_square_vjp(gq, gr, q, r)),)
    (first, rest), (g_first, g_rest) = _split(r, rank), _split(gr, rank)
    gq = gq + matmul(q, matmul(rest, adjoint(g_rest)))
    parts = _qr_square_vjp(gq, g_first, q, first), matmul(q, g_rest)
    return (conj(concatenate(*parts, axis=-1)),)


def _qr_jvp(t: Any, y: Any, x: Any) -> tuple[Any, Any]:
    q, r = y
    rank = q.shape[-1]
    (first, rest), (t_first, t_rest) = _split(r, rank), _split(t, rank)
    moved = _right_solve(t_first, adjoint(first))
    inner = matmul(adjoint(q), moved)
    below = tril(inner, k=-1)
    turn = below - adjoint(below)
    if inner.dtype.kind == "c":  # so that the diagonal of R stays real
        turn = turn + diagonal_matrix(imag(diagonal(inner)) * 1j)
    dq = matmul(q, turn) + moved - matmul(q, inner)
    dr = matmul(inner - turn, first)
    if r.shape[-1] == rank:
        return dq, dr
    d_rest = matmul(adjoint(dq), matmul(q, rest)) + matmul(adjoint(q), t_rest)
    return dq, concatenate(dr, d_rest, axis=-1)


def _qr_reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Householder reflections, by the signs of LAPACK: the diagonal of R is opposite to what it eliminates."""
    *lead, m, n = x.shape
    q, r = np.broadcast_to(np.eye(m, dtype=x.dtype), (*lead, m, m)).copy(), x.copy()
    for j in range(min(m - (x.dtype.kind != "c"), n)):
        column = r[..., j:, j]
        sign = np.where(np.real(column[..., 0]) >= 0, 1.0, -1.0)
        beta = -sign * np.linalg.norm(column, axis=-1)
        v = column.copy()
        v[..., 0] = v[..., 0] - beta
        tau = ((beta - column[..., 0]) / beta)[..., None, None]
        v = (v / np.where(v[..., :1] == 0, 1, v[..., :1]))[..., None]
        reflect = np.eye(m - j) - tau * v * np.conj(v.swapaxes(-1, -2))
        r[..., j:, :] = np.conj(reflect.swapaxes(-1, -2)) @ r[..., j:, :]
        q[..., :, j:] = q[..., :, j:] @ reflect
    rank = min(m, n)
    return q[..., :rank], np.triu(r[..., :rank, :])


@op(
    name="qr",
    infer=_qr_spec,
    reference=_qr_reference,
    vjp=_qr_vjp,
    saves=("out",),
    jvp=(_qr_jvp,),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(
        Sample(Matrices((3, 3))),
        Sample(Matrices((2, 4, 3))),
        Sample(Matrices((3, 5))),
        Sample(Matrices((4, 3), dtype="complex128")),
        Sample(normal(0, 2, 2)),
    ),
    invalid=(Invalid(normal(3), error=ShapeError, match="qr: expected matrices"),),
)
def _qr(xp: ArrayModule, x: Array) -> tuple[Array, Array]:
    """Orthonormal columns times an upper triangle, as small as they can be."""
    _qr_spec(Spec(x.shape, x.dtype))
    q, r = computed("qr", xp.linalg.qr, floating(xp, x))
    return q, r


def _completed_spec(q: Spec) -> Spec:
    return Spec((*q.shape[:-1], q.shape[-2] - q.shape[-1]), q.dtype)


@discrete(
    infer=_completed_spec,
    reference=lambda q: np.linalg.svd(q)[0][..., q.shape[-1] :] if q.shape[-1] else np.eye(q.shape[-2]),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(Sample(const(1.0, 1, 1)), Sample(normal(2, 2, 2)), Sample(normal(0, 3, 2))),
)
def complement(xp: ArrayModule, q: Array) -> Array:
    """Orthonormal columns that are orthogonal to those of `q`, so that both together are a basis. Which ones is open:
    they are constants, and gradients stop here.
    """
    return xp.linalg.qr(q, mode="complete")[0][..., q.shape[-1] :]


def qr(x: Any, *, mode: str = "reduced") -> tuple[Any, Any]:
    """Matrices (..., m, n) as orthonormal columns Q times an upper triangle R.

    Args:
        x: matrices; the gradient needs their first min(m, n) columns to be independent.
        mode: "reduced": Q (..., m, k), R (..., k, n) with k = min(m, n); "complete": Q (..., m, m), R (..., m, n),
            where what is more than reduced is constant.

    Returns:
        Q and R, with the signs that LAPACK chooses.
    """
    if mode not in ("reduced", "complete"):
        raise ConfigError(f"qr: expected the mode 'reduced' or 'complete', got {mode!r}")
    q, r = _qr(x)
    missing = q.shape[-2] - q.shape[-1]
    if mode == "reduced" or not missing:
        return q, r
    from .move import pad

    return completed(q), pad(r, (*((0, 0),) * (len(r.shape) - 2), (0, missing), (0, 0)))


def completed(q: Any) -> Any:
    """Orthonormal columns with others, constant, that make them a basis."""
    return concatenate(q, complement(q), axis=-1)

"""Least squares: the pseudo-inverse, the solutions it gives, and the rank, by singular values."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import DataError, ShapeError
from ..op import Invalid, Sample, const, normal, positive
from ..shapes import Spec, broadcast_shapes, to_floating
from .declare import floating, op
from .elementwise import astype, conjugate
from .linalg import matmul
from .matrix import Matrices
from .reduce import max as max_op
from .reduce import sum as sum_op
from .shape import broadcast_to, expand_dims, reshape
from .solve import adjoint
from .svd import svdvals


def _pinv_spec(x: Spec, rtol: Spec) -> Spec:
    if x.ndim < 2:
        raise ShapeError("pinv: expected matrices in the last two axes")
    lead = broadcast_shapes(x.shape[:-2], rtol.shape, op="pinv")
    if lead != x.shape[:-2]:
        raise ShapeError("pinv: expected one rtol, or one per matrix")
    return Spec((*lead, x.shape[-1], x.shape[-2]), to_floating(x.dtype))


def _pinv_vjp(g: Any, y: Any, x: Any, rtol: Any) -> Any:
    # dP = -P dX P + P P^H dX^H (1 - X P) + (1 - P X) dX^H P^H P, Golub & Pereyra 1973, and its adjoint.
    p, g = y, (conjugate(g) if g.dtype.kind == "c" else g)
    back, square_left, square_right = adjoint(p), matmul(p, adjoint(p)), matmul(adjoint(p), p)
    gh = adjoint(g)
    total = (
        matmul(gh - matmul(matmul(x, p), gh), square_left)
        + matmul(square_right, gh - matmul(gh, matmul(p, x)))
        - matmul(back, matmul(g, back))
    )
    return conjugate(total) if total.dtype.kind == "c" else total


def _pinv_jvp(t: Any, y: Any, x: Any, rtol: Any) -> Any:
    p, th = y, adjoint(t)
    square_left, square_right = matmul(p, adjoint(p)), matmul(adjoint(p), p)
    return (
        matmul(square_left, th - matmul(th, matmul(x, p)))
        + matmul(th - matmul(matmul(p, x), th), square_right)
        - matmul(matmul(p, t), p)
    )


def _pinv_batch(size: int, batched: Sequence[bool], x: Any, rtol: Any) -> Any:
    if not batched[0]:
        x = broadcast_to(x, shape=(size, *x.shape))
    if batched[1]:
        rtol = reshape(rtol, shape=(size, *(1,) * (len(x.shape) - 2 - len(rtol.shape)), *rtol.shape[1:]))
    return _pinv(x, rtol)


@op(
    name="pinv",
    infer=_pinv_spec,
    reference=lambda x, rtol: np.linalg.pinv(x, rtol=rtol),
    vjp=(_pinv_vjp, None),
    saves=("x", "out"),
    jvp=(_pinv_jvp, None),
    batch=_pinv_batch,
    per_sample=lambda carries, x, rtol: x.ndim > 2 and carries == (True, False) and rtol.ndim < x.ndim - 2,
    samples=(
        Sample(Matrices((3, 3)), const(1e-9)),
        Sample(Matrices((2, 4, 3), kind="spread"), const(1e-9)),
        Sample(Matrices((2, 3, 4), kind="spread"), const(1e-9, 2)),
        Sample(Matrices((2, 3), dtype="complex128"), const(1e-9)),
        Sample(normal(0, 2, 3), const(1e-9)),
    ),
    invalid=(
        Invalid(normal(3), const(1e-9), error=ShapeError, match="expected matrices"),
        Invalid(normal(3, 3), positive(2), error=ShapeError, match="one rtol"),
    ),
)
def _pinv(xp: ArrayModule, x: Array, rtol: Array) -> Array:
    """Pseudo-inverses."""
    x = floating(xp, x)
    _pinv_spec(Spec(x.shape, x.dtype), Spec(getattr(rtol, "shape", ()), x.dtype))
    if not x.size:
        return xp.zeros((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)
    try:
        u, s, vh = xp.linalg.svd(x, full_matrices=False)
    except np.linalg.LinAlgError as exc:
        raise DataError(f"pinv: {str(exc).lower()}", hint="look for NaN") from exc
    least = rtol * s[..., 0] if getattr(rtol, "ndim", 0) == 0 else rtol.astype(s.dtype) * s[..., 0]
    kept = s > least.astype(s.dtype)[..., None]
    inverse = xp.where(kept, 1 / xp.where(kept, s, s.dtype.type(1)), s.dtype.type(0))
    return xp.conj(xp.swapaxes(xp.matmul(u * inverse[..., None, :], vh), -1, -2))


def pinv(x: Any, *, rtol: Any = None) -> Any:
    """The Moore-Penrose inverses of matrices (..., m, n), shape (..., n, m).

    Args:
        x: real or complex matrices; the gradient holds where the rank does not change (Golub & Pereyra 1973, The
            differentiation of pseudo-inverses and nonlinear least squares problems whose variables separate).
        rtol: singular values up to `rtol` times the largest count as 0: a number, or a tensor with one per matrix;
            max(m, n) times the precision of the dtype by default.
    """
    return _pinv(x, _tolerance(x, rtol))


def _tolerance(x: Any, rtol: Any) -> Any:
    if rtol is not None:
        return rtol
    dtype = to_floating(x.dtype)
    precision = np.finfo(np.float32 if dtype.itemsize == 2 else dtype).eps
    return float(max(x.shape[-2:], default=0) * precision)


def lstsq(a: Any, b: Any, *, rtol: Any = None) -> Any:
    """X with the least |a X - b|; of several the one with the least |X|.

    Args:
        a: shape (..., m, n), of any rank.
        b: one vector, shape (m,), or matrices, shape (..., m, k).
        rtol: as for `pinv`, by which it is solved.

    Returns:
        Shape (..., n) for a vector, (..., n, k) for matrices.
    """
    return matmul(pinv(a, rtol=rtol), b)


def matrix_rank(x: Any, *, rtol: Any = None) -> Any:
    """How many singular values are larger than `rtol` times the largest; int64, shape (...)."""
    values = svdvals(x)
    if not values.shape[-1]:
        return sum_op(astype(values, dtype="int64"), axis=-1)
    bound = max_op(values, axis=-1) * _tolerance(x, rtol)
    return sum_op(astype(values > expand_dims(bound, axis=-1), dtype="int64"), axis=-1)

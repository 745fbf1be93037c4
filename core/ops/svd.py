"""Singular values and vectors of matrices in the last two axes.

Where two singular values are equal, their vectors are not functions of the matrix and have no gradient; the part of
the rule that would divide by the difference is left out. That is right for what does not depend on the choice of
vectors, such as a projection on their common space, and for the values themselves. Close values give large,
ill-conditioned gradients.
The same holds for the vectors of the value 0.

Sources: Giles 2008, https://people.maths.ox.ac.uk/gilesm/files/NA-08-01.pdf, section 3.2; Wan & Zhang 2019,
https://arxiv.org/abs/1909.02659, for complex matrices. On `conj` in the rules see `decompose.py`.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import Batch, Invalid, Sample, Tolerance, normal
from ..shapes import Spec, to_floating
from .declare import floating, op
from .decompose import completed, computed, conj, gaps, real_part, scale_columns
from .elementwise import imag, where
from .linalg import matmul
from .matrix import Matrices, diagonal, diagonal_matrix
from .shape import expand_dims
from .solve import adjoint, real_dtype, stacks_apart


def inverse(values: Any) -> Any:
    """1 / v, 0 where v is 0."""
    return where(values == 0.0, 0.0, 1.0 / where(values == 0.0, 1.0, values))


def _svd_spec(x: Spec) -> tuple[Spec, Spec, Spec]:
    if x.ndim < 2:
        raise ShapeError("svd: expected matrices in the last two axes")
    *lead, m, n = x.shape
    count, dtype = min(m, n), to_floating(x.dtype)
    return Spec((*lead, m, count), dtype), Spec((*lead, count), real_dtype(dtype)), Spec((*lead, count, n), dtype)


def _svd_vjp(g: Any, y: Any, x: Any) -> tuple[Any]:
    (gu, gs, gvh), (u, s, vh) = (conj(part) for part in g), y
    left, right = matmul(adjoint(u), gu), matmul(vh, adjoint(gvh))
    apart = gaps(s * s)
    inner = scale_columns((left - adjoint(left)) * apart, s) + expand_dims(s, axis=-1) * (
        (right - adjoint(right)) * apart
    )
    small = inverse(s)
    inner = inner + diagonal_matrix(gs)
    if left.dtype.kind == "c":
        inner = inner + diagonal_matrix((imag(diagonal(left)) - imag(diagonal(right))) * small * 0.5j)
    rows, columns, count = u.shape[-2], vh.shape[-1], s.shape[-1]
    total = matmul(matmul(u, inner), vh)
    if rows > count:
        scaled = scale_columns(gu, small)
        total = total + matmul(scaled - matmul(u, matmul(adjoint(u), scaled)), vh)
    if columns > count:
        scaled = expand_dims(small, axis=-1) * gvh
        total = total + matmul(u, scaled - matmul(matmul(scaled, adjoint(vh)), vh))
    return (conj(total),)


def _svd_jvp(t: Any, y: Any, x: Any) -> tuple[Any, Any, Any]:
    u, s, vh = y
    moved, turned = matmul(t, adjoint(vh)), matmul(adjoint(u), t)
    inner = matmul(adjoint(u), moved)
    apart, small = gaps(s * s), inverse(s)
    scaled, rows_scaled = scale_columns(inner, s), expand_dims(s, axis=-1) * inner
    turn_u, turn_v = (scaled + adjoint(scaled)) * apart, (rows_scaled + adjoint(rows_scaled)) * apart
    if inner.dtype.kind == "c":
        phase = diagonal_matrix(imag(diagonal(inner)) * small * 0.5j)
        turn_u, turn_v = turn_u + phase, turn_v - phase
    du, dvh = matmul(u, turn_u), matmul(adjoint(turn_v), vh)
    if u.shape[-2] > s.shape[-1]:
        du = du + scale_columns(moved - matmul(u, inner), small)
    if vh.shape[-1] > s.shape[-1]:
        dvh = dvh + expand_dims(small, axis=-1) * (turned - matmul(inner, vh))
    return du, real_part(diagonal(inner)), dvh


@op(
    name="svd",
    infer=_svd_spec,
    reference=lambda x: tuple(np.linalg.svd(x, full_matrices=False)),
    vjp=_svd_vjp,
    saves=("out",),
    jvp=(_svd_jvp,),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(
        Sample(Matrices((3, 3), kind="spread")),
        Sample(Matrices((2, 4, 3), kind="spread")),
        Sample(Matrices((2, 5), kind="spread")),
        Sample(normal(0, 2, 2)),
    ),
    invalid=(Invalid(normal(3), error=ShapeError, match="svd: expected matrices"),),
    tolerance=Tolerance(float32=(2e-3, 2e-4)),
)
def _svd(xp: ArrayModule, x: Array) -> tuple[Array, Array, Array]:
    """Singular values and vectors, as few as suffice."""
    _svd_spec(Spec(x.shape, x.dtype))
    u, s, vh = computed("svd", xp.linalg.svd, floating(xp, x), full_matrices=False)
    return u, s, vh


def svd(x: Any, *, full_matrices: bool = True) -> tuple[Any, Any, Any]:
    """Matrices (..., m, n) as U diag(S) Vh.

    Args:
        x: real or complex matrices.
        full_matrices: True gives U (..., m, m) and Vh (..., n, n), where what is more than k = min(m, n) columns or
            rows is constant; False gives U (..., m, k) and Vh (..., k, n).

    Returns:
        Orthonormal columns U; the singular values, real and descending, (..., k); orthonormal rows Vh. For the gradient
        of the vectors, the values must differ from each other and from 0, and what is computed from complex vectors
        must not depend on their phases; see above.
    """
    u, s, vh = _svd(x)
    if not full_matrices:
        return u, s, vh
    if u.shape[-2] > u.shape[-1]:
        u = completed(u)
    if vh.shape[-1] > vh.shape[-2]:
        vh = adjoint(completed(adjoint(vh)))
    return u, s, vh


def _svdvals_vjp(g: Any, y: Any, x: Any) -> Any:
    u, _, vh = _svd(x)
    return conj(matmul(scale_columns(u, g), vh))


def _svdvals_jvp(t: Any, y: Any, x: Any) -> Any:
    u, _, vh = _svd(x)
    return real_part(diagonal(matmul(matmul(adjoint(u), t), adjoint(vh))))


@op(
    infer=lambda x: _svd_spec(x)[1],
    reference=lambda x: np.linalg.svd(x, full_matrices=False)[1],
    vjp=(_svdvals_vjp,),
    saves=("x",),
    jvp=(_svdvals_jvp,),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(
        Sample(Matrices((3, 3), kind="spread")),
        Sample(Matrices((2, 4, 3), kind="spread")),
        Sample(Matrices((2, 5), kind="spread", dtype="complex128")),
        Sample(normal(0, 2, 2)),
    ),
    invalid=(Invalid(normal(3), error=ShapeError, match="expected matrices"),),
)
def svdvals(xp: ArrayModule, x: Array) -> Array:
    """Singular values, real and descending, shape (..., min(m, n)). The gradient is right for equal values too."""
    _svd_spec(Spec(x.shape, x.dtype))
    return computed("svdvals", xp.linalg.svd, floating(xp, x), compute_uv=False)

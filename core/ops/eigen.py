"""Eigenvalues and eigenvectors of matrices in the last two axes.

Where two eigenvalues are equal, their vectors are not functions of the matrix and have no gradient; the part of
the rule that would divide by the difference is left out. That is right for what does not depend on the choice of
vectors, such as a projection on their common space, and for the values themselves. Close values give large,
ill-conditioned gradients.

Sources: Giles 2008, https://people.maths.ox.ac.uk/gilesm/files/NA-08-01.pdf, section 3.1; Boeddeker et al. 2017,
https://arxiv.org/abs/1701.00392, for complex matrices. On `conj` in the rules see `decompose.py`.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..op import Batch, Sample, Tolerance, complex_normal, normal
from ..shapes import Spec, to_floating
from .declare import floating, op
from .decompose import computed, conj, gaps, hermitian, hermitian_part, real_part, scale_columns
from .elementwise import real
from .linalg import matmul
from .matrix import Matrices, diagonal, diagonal_matrix
from .solve import NOT_SQUARE, adjoint, real_dtype, solve, square, stacks_apart


def _eigh_spec(x: Spec) -> tuple[Spec, Spec]:
    spec = square(x, op="eigh")
    return Spec(spec.shape[:-1], real_dtype(spec.dtype)), spec


def _eigh_vjp(g: Any, y: Any, x: Any) -> tuple[Any]:
    (of_values, of_vectors), (values, vectors) = g, y
    inner = matmul(adjoint(vectors), conj(of_vectors)) * gaps(values) + diagonal_matrix(of_values)
    return (conj(hermitian(matmul(matmul(vectors, inner), adjoint(vectors)))),)


def _eigh_jvp(t: Any, y: Any, x: Any) -> tuple[Any, Any]:
    values, vectors = y
    inner = matmul(matmul(adjoint(vectors), hermitian(t)), vectors)
    return real_part(diagonal(inner)), matmul(vectors, inner * gaps(values))


@op(
    infer=_eigh_spec,
    reference=lambda x: tuple(np.linalg.eigh((x + np.conj(x.swapaxes(-1, -2))) / 2)),
    vjp=_eigh_vjp,
    saves=("out",),
    jvp=(_eigh_jvp,),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(Sample(Matrices((3, 3))), Sample(Matrices((2, 4, 4), kind="definite")), Sample(normal(0, 2, 2))),
    invalid=NOT_SQUARE,
    tolerance=Tolerance(float32=(2e-3, 2e-4)),
)
def eigh(xp: ArrayModule, x: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of Hermitian matrices.

    Args:
        x: Hermitian; the Hermitian part is taken, so the gradient is Hermitian.

    Returns:
        The values, real and ascending, shape (..., n), and orthonormal vectors in the columns of (..., n, n). For the
        gradient of the vectors, the values must differ; see above.
    """
    square(Spec(x.shape, x.dtype), op="eigh")
    values, vectors = computed("eigh", xp.linalg.eigh, hermitian_part(xp, x))
    return values, vectors


def _eigvalsh_vjp(g: Any, y: Any, x: Any) -> Any:
    vectors = eigh(x)[1]
    return conj(hermitian(matmul(scale_columns(vectors, g), adjoint(vectors))))


def _eigvalsh_jvp(t: Any, y: Any, x: Any) -> Any:
    vectors = eigh(x)[1]
    return real_part(diagonal(matmul(matmul(adjoint(vectors), hermitian(t)), vectors)))


@op(
    infer=lambda x: _eigh_spec(x)[0],
    reference=lambda x: np.linalg.eigvalsh((x + np.conj(x.swapaxes(-1, -2))) / 2),
    vjp=(_eigvalsh_vjp,),
    saves=("x",),
    jvp=(_eigvalsh_jvp,),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(
        Sample(Matrices((3, 3))),
        Sample(Matrices((2, 4, 4), kind="definite")),
        Sample(complex_normal(3, 3)),
        Sample(normal(0, 2, 2)),
    ),
    invalid=NOT_SQUARE,
)
def eigvalsh(xp: ArrayModule, x: Array) -> Array:
    """Eigenvalues of Hermitian matrices, as those of `eigh`; the gradient is right for equal values too."""
    square(Spec(x.shape, x.dtype), op="eigvalsh")
    return computed("eigvalsh", xp.linalg.eigvalsh, hermitian_part(xp, x))


# --- eigenvalues of any square matrices ---


def _complex_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.result_type(to_floating(dtype), np.complex64)


def _eig_spec(x: Spec) -> tuple[Spec, Spec]:
    spec = square(x, op="eig")
    dtype = _complex_dtype(spec.dtype)
    return Spec(spec.shape[:-1], dtype), Spec(spec.shape, dtype)


def _of_input(gradient: Any, x: Any) -> Any:
    """A gradient of the kind of the input: its real part for a real one."""
    return conj(gradient) if x.dtype.kind == "c" else real(gradient)


def _eig_vjp(g: Any, y: Any, x: Any) -> tuple[Any]:
    (of_values, of_vectors), (values, vectors) = (conj(part) for part in g), y
    across = matmul(adjoint(vectors), of_vectors)
    # The vectors keep their length: what would change it is taken off.
    across = across - matmul(adjoint(vectors), scale_columns(vectors, real(diagonal(across))))
    inner = across * conj(gaps(values)) + diagonal_matrix(of_values)
    return (_of_input(solve(adjoint(vectors), matmul(inner, adjoint(vectors))), x),)


def _eig_jvp(t: Any, y: Any, x: Any) -> tuple[Any, Any]:
    values, vectors = y
    inner = solve(vectors, matmul(t, vectors))
    change = matmul(vectors, inner * gaps(values))
    along = real(diagonal(matmul(adjoint(vectors), change)))
    return diagonal(inner), change - scale_columns(vectors, along)


@op(
    infer=_eig_spec,
    reference=lambda x: tuple(part.astype(np.complex128) for part in np.linalg.eig(x)),
    vjp=_eig_vjp,
    saves=("out",),
    jvp=(_eig_jvp,),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(Sample(Matrices((3, 3), kind="real")), Sample(normal(0, 2, 2))),
    invalid=NOT_SQUARE,
    tolerance=Tolerance(float32=(2e-3, 2e-4)),
)
def eig(xp: ArrayModule, x: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of square matrices, always complex.

    Returns:
        The values in no order, shape (..., n), and vectors of length 1 in the columns of (..., n, n). For the gradient
        of the vectors, the values must differ, and what is computed from them must not depend on their phases.
    """
    square(Spec(x.shape, x.dtype), op="eig")
    dtype = _complex_dtype(x.dtype)
    values, vectors = computed("eig", xp.linalg.eig, floating(xp, x))
    return values.astype(dtype, copy=False), vectors.astype(dtype, copy=False)


def _eigvals_vjp(g: Any, y: Any, x: Any) -> Any:
    vectors = eig(x)[1]
    scaled = matmul(diagonal_matrix(conj(g)), adjoint(vectors))
    return _of_input(solve(adjoint(vectors), scaled), x)


def _eigvals_jvp(t: Any, y: Any, x: Any) -> Any:
    vectors = eig(x)[1]
    return diagonal(solve(vectors, matmul(t, vectors)))


@op(
    infer=lambda x: _eig_spec(x)[0],
    reference=lambda x: np.linalg.eig(x)[0].astype(np.complex128),
    vjp=(_eigvals_vjp,),
    saves=("x",),
    jvp=(_eigvals_jvp,),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(
        Sample(Matrices((3, 3), kind="real")),
        Sample(normal(2, 3, 3)),
        Sample(complex_normal(3, 3)),
        Sample(normal(0, 2, 2)),
    ),
    invalid=NOT_SQUARE,
    tolerance=Tolerance(float32=(2e-3, 2e-4)),
)
def eigvals(xp: ArrayModule, x: Array) -> Array:
    """Eigenvalues of square matrices, as those of `eig`."""
    square(Spec(x.shape, x.dtype), op="eigvals")
    return computed("eigvals", xp.linalg.eigvals, floating(xp, x)).astype(_complex_dtype(x.dtype), copy=False)

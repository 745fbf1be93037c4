"""Inverses, linear systems and determinants, of matrices in the last two axes.

The gradients are those of Giles 2008, Collected matrix derivative results for forward and reverse mode algorithmic
differentiation, https://people.maths.ox.ac.uk/gilesm/files/NA-08-01.pdf, section 2. A matrix that is singular to the
last bit is an error on the CPU; on a GPU, where looking would mean waiting, the result is not a number.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import DataError, ShapeError
from ..op import Batch, Invalid, Sample, complex_normal, const, normal
from ..shapes import Spec, broadcast_shapes, result_dtype, to_floating
from ..tensor import Tensor, wrap
from .declare import floating, op, sum_to
from .elementwise import conjugate, imag, real
from .linalg import matmul
from .matrix import Matrices
from .reduce import sum as sum_op
from .scatter import home_of
from .shape import broadcast_to, expand_dims, reshape, swap_last


def regular(*shape: int) -> Matrices:
    """Matrices far from singular."""
    return Matrices(shape)


def adjoint(x: Any) -> Any:
    """The conjugate transposes of matrices."""
    return swap_last(conjugate(x) if x.dtype.kind == "c" else x)


def square(x: Spec, *, op: str) -> Spec:
    """Inference: square matrices, floating.

    Raises:
        ShapeError: they are not square.
    """
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{op}: expected square matrices in the last two axes")
    return Spec(x.shape, to_floating(x.dtype))


def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the parts of complex numbers; a real dtype itself."""
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def stacks_apart(carries: Sequence[bool], *specs: Spec, **params: Any) -> bool:
    """Sample rule of what works on matrices: samples are matrices of a stack, aligned with those of the result."""
    rank = max(spec.ndim for spec in specs)
    return rank > 2 and all(
        spec.ndim == rank if carried else spec.ndim < rank or spec.shape[0] == 1
        for spec, carried in zip(specs, carries, strict=True)
    )


NOT_SQUARE = (
    Invalid(normal(3, 4), error=ShapeError, match="expected square matrices"),
    Invalid(normal(3), error=ShapeError, match="expected square matrices"),
)


def _inv_reference(x: np.ndarray) -> np.ndarray:
    return np.linalg.solve(x, np.broadcast_to(np.eye(x.shape[-1]), x.shape))


@op(
    infer=lambda x: square(x, op="inv"),
    reference=_inv_reference,
    vjp=(lambda g, y, x: -matmul(matmul(swap_last(y), g), swap_last(y)),),
    saves=("out",),
    jvp=(lambda t, y, x: -matmul(matmul(y, t), y),),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(
        Sample(regular(3, 3)),
        Sample(regular(2, 4, 4)),
        Sample(regular(1, 1)),
        Sample(Matrices((3, 3), dtype="complex128")),
        Sample(normal(0, 0)),
        Sample(normal(0, 2, 2)),
    ),
    invalid=(*NOT_SQUARE, Invalid(const(1.0, 2, 2), error=DataError, match="inv: the matrix is singular")),
)
def inv(xp: ArrayModule, x: Array) -> Array:
    """Inverses of square matrices."""
    square(Spec(x.shape, x.dtype), op="inv")
    try:
        return xp.linalg.inv(floating(xp, x))
    except np.linalg.LinAlgError as exc:
        raise singular("inv") from exc


def singular(op: str) -> DataError:
    """The error for a matrix that has no inverse."""
    return DataError(f"{op}: the matrix is singular", hint="use pinv or lstsq, or add a multiple of the identity")


def _solve_spec(a: Spec, b: Spec) -> Spec:
    square(a, op="solve")
    if b.ndim < 2 or b.shape[-2] != a.shape[-1]:
        raise ShapeError("solve: expected a right side with as many rows as the matrices")
    lead = broadcast_shapes(a.shape[:-2], b.shape[:-2], op="solve")
    return Spec((*lead, *b.shape[-2:]), to_floating(result_dtype(a.dtype, b.dtype)))


def _solve_vjp(g: Any, y: Any, a: Any, b: Any) -> tuple[Any, Any]:
    of_b = _solve(swap_last(a), g)
    return sum_to(-matmul(of_b, swap_last(y)), a.shape), sum_to(of_b, b.shape)


def _solve_matrix_jvp(t: Any, y: Any, a: Any, b: Any) -> Any:
    return -_solve(a, matmul(t, y))


def _solve_right_jvp(t: Any, y: Any, a: Any, b: Any) -> Any:
    return _solve(a, t)


def _solve_reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.inv(a) @ b


@op(
    name="solve",
    infer=_solve_spec,
    reference=_solve_reference,
    vjp=_solve_vjp,
    saves=("a", "out"),
    jvp=(_solve_matrix_jvp, _solve_right_jvp),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(
        Sample(regular(3, 3), normal(3, 2)),
        Sample(regular(2, 3, 3), normal(2, 3, 1)),
        Sample(regular(2, 1, 3, 3), normal(4, 3, 2)),
        Sample(Matrices((2, 2), dtype="complex128"), complex_normal(2, 3)),
        Sample(regular(0, 2, 2), normal(2, 3)),
    ),
    invalid=(
        Invalid(normal(3, 4), normal(3, 2), error=ShapeError, match="expected square matrices"),
        Invalid(normal(3, 3), normal(4, 2), error=ShapeError, match="as many rows"),
        Invalid(const(0.0, 2, 2), normal(2, 2), error=DataError, match="solve: the matrix is singular"),
    ),
)
def _solve(xp: ArrayModule, a: Array, b: Array) -> Array:
    """X of a X = b for matrices b."""
    spec = _solve_spec(Spec(a.shape, a.dtype), Spec(b.shape, b.dtype))
    a, b = a.astype(spec.dtype, copy=False), b.astype(spec.dtype, copy=False)
    if xp is not np:  # CuPy does not broadcast stacks
        a = xp.broadcast_to(a, (*spec.shape[:-2], *a.shape[-2:]))
        b = xp.broadcast_to(b, spec.shape)
    try:
        return xp.linalg.solve(a, b)
    except np.linalg.LinAlgError as exc:
        raise singular("solve") from exc


def solve(a: Any, b: Any) -> Any:
    """X of a X = b.

    Args:
        a: invertible matrices, shape (..., n, n).
        b: one vector, shape (n,), or matrices, shape (..., n, k); stacks broadcast.

    Returns:
        Shape (..., n) for a vector, (..., n, k) for matrices. Of integers a float32.

    Raises:
        DataError: a matrix is singular to the last bit; on a GPU the result is not a number instead.
    """
    if len(b.shape) != 1:
        return _solve(a, b)
    x = _solve(a, expand_dims(b, axis=-1))
    return reshape(x, shape=tuple(x.shape[:-1]))


def _scalars(x: Any) -> Any:
    """One number per matrix, as a stack of 1 x 1 matrices."""
    return expand_dims(x, axis=(-2, -1))


def _cofactor_reference(x: np.ndarray) -> np.ndarray:
    result = np.empty_like(x)
    for *lead, i, j in np.ndindex(x.shape):
        minor = np.delete(np.delete(x[tuple(lead)], i, -2), j, -1)
        result[(*lead, i, j)] = (-1) ** (i + j) * np.linalg.det(minor)
    return result


def _cofactor_rule(g: Any, y: Any, x: Any) -> Any:
    # y = det(x) x^-T, so dy = (<y, dx> y - y dx^T y) / det(x): symmetric in dx and the cotangent.
    inner = _scalars(sum_op(g * y, axis=(-2, -1)))
    return (inner * y - matmul(matmul(y, swap_last(g)), y)) / _scalars(det(x))


@op(
    infer=lambda x: square(x, op="cofactor"),
    reference=_cofactor_reference,
    vjp=(_cofactor_rule,),
    saves=("x", "out"),
    jvp=(_cofactor_rule,),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(
        Sample(regular(3, 3)),
        Sample(regular(2, 4, 4)),
        Sample(regular(1, 1)),
        Sample(Matrices((3, 3), dtype="complex128")),
        Sample(normal(0, 2, 2)),
    ),
    invalid=NOT_SQUARE,
)
def cofactor(xp: ArrayModule, x: Array) -> Array:
    """The derivatives of the determinants by each element, det(x) x^-T, also of singular matrices: from the singular
    values, each of which is left out of one product. Its own gradient divides by the determinant.
    """
    square(Spec(x.shape, x.dtype), op="cofactor")
    u, s, vh = xp.linalg.svd(floating(xp, x), full_matrices=False)
    count = x.shape[-1]
    others = xp.where(xp.eye(count, dtype=bool), s.dtype.type(1), s[..., None, :])
    signs = (xp.linalg.det(u) * xp.linalg.det(vh))[..., None, None]
    return signs * xp.matmul(xp.conj(u) * xp.prod(others, -1)[..., None, :], xp.conj(vh))


def _det_reference(x: np.ndarray) -> np.ndarray:
    if not x.shape[-1]:
        return np.ones(x.shape[:-2])
    parts = [(-1) ** j * x[..., 0, j] * _det_reference(np.delete(x[..., 1:, :], j, -1)) for j in range(x.shape[-1])]
    return np.sum(parts, axis=0)


def _matrix_number(x: Spec, *, op: str) -> Spec:
    return Spec(x.shape[:-2], square(x, op=op).dtype)


@op(
    onnx="Det",
    infer=lambda x: _matrix_number(x, op="det"),
    reference=_det_reference,
    vjp=(lambda g, y, x: _scalars(g) * cofactor(x),),
    saves=("x",),
    jvp=(lambda t, y, x: sum_op(cofactor(x) * t, axis=(-2, -1)),),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(
        Sample(regular(3, 3)),
        Sample(regular(2, 4, 4)),
        Sample(regular(1, 1)),
        Sample(Matrices((2, 2), dtype="complex128")),
        Sample(normal(0, 0)),
        Sample(normal(0, 2, 2)),
    ),
    invalid=NOT_SQUARE,
)
def det(xp: ArrayModule, x: Array) -> Array:
    """Determinants of square matrices. The gradient is right for singular ones too; that of the gradient is not."""
    square(Spec(x.shape, x.dtype), op="det")
    return xp.linalg.det(floating(xp, x))


def _slogdet_spec(x: Spec) -> tuple[Spec, Spec]:
    spec = _matrix_number(x, op="slogdet")
    return spec, Spec(spec.shape, real_dtype(spec.dtype))


def _slogdet_vjp(g: Any, y: Any, x: Any) -> tuple[Any]:
    # d log(det) = tr(x^-1 dx): its real part moves the logarithm, its imaginary part turns the sign.
    of_sign, factor = g
    if x.dtype.kind == "c":
        factor = factor + 1j * imag(of_sign * y[0])
    return (_scalars(factor) * swap_last(inv(x)),)


def _slogdet_jvp(t: Any, y: Any, x: Any) -> tuple[Any, Any]:
    change = sum_op(swap_last(inv(x)) * t, axis=(-2, -1))
    if x.dtype.kind == "c":
        return y[0] * 1j * imag(change), real(change)
    return y[0] * 0.0, change


def _slogdet_reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    det = np.asarray(_det_reference(x))
    return det / np.abs(det), np.log(np.abs(det))


@op(
    infer=_slogdet_spec,
    reference=_slogdet_reference,
    vjp=_slogdet_vjp,
    saves=("x", "out"),
    jvp=(_slogdet_jvp,),
    batch=Batch.LEADING,
    per_sample=stacks_apart,
    samples=(
        Sample(regular(3, 3)),
        Sample(regular(2, 4, 4)),
        Sample(Matrices((2, 3, 3), dtype="complex128")),
        Sample(normal(0, 2, 2)),
    ),
    invalid=NOT_SQUARE,
)
def slogdet(xp: ArrayModule, x: Array) -> tuple[Array, Array]:
    """Determinants as sign (of modulus 1) and logarithm of the absolute value: exp(log) would overflow early. Of a
    singular matrix 0 and -inf, without a gradient.
    """
    square(Spec(x.shape, x.dtype), op="slogdet")
    sign, logarithm = xp.linalg.slogdet(floating(xp, x))
    return sign, logarithm


def matrix_power(x: Any, n: int) -> Any:
    """Square matrices multiplied with themselves, by repeated squaring; `n` < 0 are powers of the inverse."""
    if len(x.shape) < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"matrix_power: expected square matrices, got shape {tuple(x.shape)}")
    if n < 0:
        return matrix_power(inv(x), -n)
    if n == 0:
        eye = home_of(x).xp.eye(x.shape[-1], dtype=x.dtype)
        return broadcast_to(wrap(eye) if isinstance(x, Tensor) else eye, shape=tuple(x.shape))
    result = None
    while True:
        if n % 2:
            result = x if result is None else matmul(result, x)
        n //= 2
        if not n:
            return result
        x = matmul(x, x)

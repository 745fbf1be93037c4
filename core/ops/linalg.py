"""Products of matrices, vectors and tensors."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import Batch, Flags, Invalid, Jvp, Sample, normal
from ..shapes import Spec, accumulate_dtype, broadcast_shapes, normalize_axis, result_dtype
from .declare import op, sum_to
from .einsum import einsum
from .elementwise import conjugate
from .move import roll
from .shape import move_axis, reshape, swap_last


def _matmul_spec(a: Spec, b: Spec) -> Spec:
    if a.ndim < 2 or b.ndim < 2:
        raise ShapeError(
            f"matmul: expected at least two axes, got {a.shape} @ {b.shape}", hint="ops.matmul takes vectors too"
        )
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"matmul: inner sizes differ: expected a.shape[-1] == b.shape[-2], got {a.shape} @ {b.shape}",
            hint="transpose the second operand, or check the layer's `in_features`",
        )
    lead = broadcast_shapes(a.shape[:-2], b.shape[:-2], op="matmul")
    return Spec((*lead, a.shape[-2], b.shape[-1]), result_dtype(a.dtype, b.dtype))


def _matmul_keeps_samples(carries: Sequence[bool], a: Spec, b: Spec) -> bool:
    """Rows of the first operand are samples of a plain product; else the leading axis of a stack of matrices."""
    if a.ndim == b.ndim == 2:
        return carries == (True, False)
    rank = max(a.ndim, b.ndim)
    return all(
        spec.ndim == rank if carried else spec.ndim < rank or spec.shape[0] == 1
        for carried, spec in zip(carries, (a, b), strict=True)
    )


def _matmul_norm(g: Any, y: Any, a: Any, b: Any) -> Any:
    """Squared norms of the per-sample gradients of b: |g_i|^2 |a_i|^2 for rows, else by Gram matrices.

    Source: Goodfellow 2015, https://arxiv.org/abs/1510.01799; Li et al. 2022, https://arxiv.org/abs/2110.05679, 4.
    """
    if len(b.shape) > 2:  # a stack of matrices: each sample's gradient, summed over what the stack was broadcast to
        full = matmul(swap_last(a), g)
        rank = len(full.shape)
        full = sum_to(full, (full.shape[0], *(1,) * (rank - 1 - len(b.shape)), *b.shape))
        return (full * full).sum(tuple(range(1, rank)))
    if len(g.shape) == 2:
        return (g * g).sum(-1) * (a * a).sum(-1)
    samples = g.shape[0]
    g, a = g.reshape(samples, -1, g.shape[-1]), a.reshape(samples, -1, a.shape[-1])
    positions = g.shape[1]
    if positions * positions > g.shape[-1] * a.shape[-1]:  # the gradient itself is smaller than the Gram matrices
        full = swap_last(a) @ g
        return (full * full).sum((1, 2))
    return ((g @ swap_last(g)) * (a @ swap_last(a))).sum((1, 2))


@op(
    name="matmul",
    onnx="MatMul",
    infer=_matmul_spec,
    reference=lambda a, b: np.einsum("...ij,...jk->...ik", a, b),
    vjp=(
        lambda g, y, a, b: sum_to(_matmul(g, swap_last(b)), a.shape),
        lambda g, y, a, b: _second_gradient(g, a, b),
    ),
    saves=("a", "b"),
    jvp=Jvp.MULTILINEAR,
    batch=Batch.LEADING,
    per_sample=_matmul_keeps_samples,
    ghost={1: _matmul_norm},
    macs=lambda specs, out: out.size * specs[0].shape[-1],
    samples=(
        Sample(normal(3, 4), normal(4, 2)),
        Sample(normal(5, 3, 4), normal(4, 2)),
        Sample(normal(5, 3, 4), normal(5, 4, 2)),
        Sample(normal(2, 1, 3, 4), normal(5, 4, 2)),
        Sample(normal(0, 4), normal(4, 2)),
    ),
    invalid=(
        Invalid(normal(3, 4), normal(3, 4), error=ShapeError, match="inner sizes differ"),
        Invalid(normal(4), normal(4, 2), error=ShapeError, match="at least two axes"),
    ),
    flags=Flags.HALF | Flags.SAVED_ONLY,
)
def _matmul(xp: ArrayModule, a: Array, b: Array) -> Array:
    """Matrix product over the last two axes, (..., m, k) @ (..., k, n); leading axes broadcast.

    16-bit floats are multiplied in float32 on the CPU, where NumPy's own product of them is 70 times slower.
    """
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        _matmul_spec(Spec(a.shape, a.dtype), Spec(b.shape, b.dtype))
    dtype = a.dtype
    if dtype is b.dtype and dtype.kind in "fc" and dtype.itemsize > 2:
        return xp.matmul(a, b)
    dtype = result_dtype(a, b)
    wide = accumulate_dtype(dtype)
    return xp.matmul(a.astype(wide, copy=False), b.astype(wide, copy=False)).astype(dtype, copy=False)


def _second_gradient(g: Any, a: Any, b: Any) -> Any:
    if len(b.shape) == 2 and len(a.shape) > 2:  # one product of long matrices instead of many that are summed
        rows = int(np.prod(a.shape[:-1]))
        return _matmul(swap_last(a.reshape((rows, a.shape[-1]))), g.reshape((rows, g.shape[-1])))
    return sum_to(_matmul(swap_last(a), g), b.shape)


def matmul(a: Any, b: Any) -> Any:
    """Matrix product over the last two axes, (..., m, k) @ (..., k, n); leading axes broadcast. A vector is a row in
    front and a column behind, and the result is without that axis.
    """
    first, second = len(a.shape), len(b.shape)
    if first > 1 and second > 1:
        return _matmul(a, b)
    if not first or not second:
        raise ShapeError(f"matmul: expected at least one axis, got {tuple(a.shape)} @ {tuple(b.shape)}", hint="use *")
    row = reshape(a, shape=(1, *a.shape)) if first == 1 else a
    column = reshape(b, shape=(*b.shape, 1)) if second == 1 else b
    product = _matmul(row, column)
    *lead, rows, columns = product.shape
    return reshape(product, shape=(*lead, *((rows,) if first > 1 else ()), *((columns,) if second > 1 else ())))


def vecdot(a: Any, b: Any, *, axis: int = -1) -> Any:
    """Sum of products along `axis`, the first factor conjugated.

    Args:
        a, b: tensors that broadcast but for `axis`, which is as long in both.
        axis: counted from the end after broadcasting.
    """
    if a.dtype.kind == "c":
        a = conjugate(a)
    rank = max(len(a.shape), len(b.shape))
    if not a.shape or not b.shape:
        raise ShapeError(f"vecdot: expected at least one axis, got {tuple(a.shape)} and {tuple(b.shape)}")
    behind = normalize_axis(axis, rank, op="vecdot") - rank
    a, b = move_axis(a, behind, -1), move_axis(b, behind, -1)
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(
            f"vecdot: expected vectors of one length, got {tuple(a.shape)} and {tuple(b.shape)} at {axis=}"
        )
    return einsum("...i,...i->...", a, b)


def outer(a: Any, b: Any) -> Any:
    """Every element of one vector times every element of another: (m,) and (n,) to (m, n)."""
    if (len(a.shape), len(b.shape)) != (1, 1):
        raise ShapeError(f"outer: expected two vectors, got {tuple(a.shape)} and {tuple(b.shape)}")
    return reshape(a, shape=(-1, 1)) * b


def tensordot(a: Any, b: Any, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Any:
    """Sum of products over axes of both tensors.

    Args:
        axes: so many, the last of `a` with the first of `b`; or the axes of `a` and those of `b` that belong to them.

    Returns:
        The other axes of `a`, then the other axes of `b`.
    """
    first, second = len(a.shape), len(b.shape)
    if isinstance(axes, int):
        if not 0 <= axes <= min(first, second):
            raise ShapeError(f"tensordot: expected 0 <= axes <= {min(first, second)}, the lower rank, got {axes}")
        axes = (range(first - axes, first), range(axes))
    left, right = (
        [normalize_axis(int(axis), rank, op="tensordot") for axis in given]
        for given, rank in zip(axes, (first, second), strict=True)
    )
    if len(left) != len(right) or any(a.shape[i] != b.shape[j] for i, j in zip(left, right, strict=True)):
        raise ShapeError(f"tensordot: axes {axes} of {tuple(a.shape)} and {tuple(b.shape)} do not fit each other")
    names_a = list(range(first))
    names_b = [left[right.index(axis)] if axis in right else first + axis for axis in range(second)]
    kept = [axis for axis in names_a if axis not in left] + [name for name in names_b if name >= first]
    return einsum(a, names_a, b, names_b, kept)


def cross(a: Any, b: Any, *, axis: int = -1) -> Any:
    """The cross product of vectors with three components along `axis`; the other axes broadcast."""
    if a.shape[axis] != 3 or b.shape[axis] != 3:
        raise ShapeError(f"cross: expected 3 components along {axis=}, got {tuple(a.shape)} and {tuple(b.shape)}")
    return roll(a, -1, axis=axis) * roll(b, 1, axis=axis) - roll(a, 1, axis=axis) * roll(b, -1, axis=axis)

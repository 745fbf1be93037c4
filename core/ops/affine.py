"""The affine map of a linear layer, as one op: most of what small networks compute."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import Flags, Invalid, Sample, normal
from ..shapes import Spec, accumulate_dtype, result_dtype
from .declare import op
from .linalg import matmul
from .reduce import sum
from .shape import reshape, swap_last


def _linear_spec(x: Spec, w: Spec, b: Spec) -> Spec:
    if x.ndim < 1 or w.ndim != 2 or b.shape != w.shape[:1]:
        given = f"{x.shape}, {w.shape} and {b.shape}"
        raise ShapeError(f"linear: expected x (..., in), w (out, in) and b (out,), got {given}")
    if x.shape[-1] != w.shape[1]:
        raise ShapeError(
            f"linear: features differ: x has {x.shape[-1]}, the weight expects {w.shape[1]}",
            hint="check the layer's `in_features`, or flatten images first",
        )
    return Spec((*x.shape[:-1], w.shape[0]), result_dtype(x.dtype, w.dtype, b.dtype))


def _rows(x: Any) -> Any:
    """All leading axes as one."""
    return x if len(x.shape) == 2 else reshape(x, shape=(prod(x.shape[:-1]), x.shape[-1]))


def _fast(g: Any) -> bool:
    """Whether NumPy's own product of plain arrays will do: it is slow for 16-bit floats."""
    return g.__class__ is np.ndarray and g.dtype.itemsize > 2


def _input_gradient(g: Any, y: Any, x: Any, w: Any, b: Any) -> Any:
    if _fast(g):
        return g @ w
    return matmul(g, w) if len(g.shape) > 1 else reshape(matmul(_rows(g), w), shape=x.shape)


def _linear_batch(size: int, batched: Sequence[bool], x: Any, w: Any, b: Any) -> Any:
    if not batched[1] and not batched[2]:
        return linear(x, w, b)
    lead = x.shape[batched[0] : -1]
    rows = reshape(x, shape=(*x.shape[: batched[0]], prod(lead), x.shape[-1]))
    product = matmul(rows, swap_last(w))
    shift = reshape(b, shape=(size, 1, b.shape[-1])) if batched[2] else b
    result = product + shift
    return reshape(result, shape=(size, *lead, b.shape[-1]))


def _weight_norm(g: Any, y: Any, x: Any, w: Any, b: Any) -> Any:
    """Squared norms of the weight's gradients. See `linalg.matmul` for the sources."""
    if len(g.shape) == 2:
        return sum(g * g, axis=1) * sum(x * x, axis=1)
    g, x = (reshape(item, shape=(item.shape[0], prod(item.shape[1:-1]), item.shape[-1])) for item in (g, x))
    if g.shape[1] ** 2 > g.shape[2] * x.shape[2]:
        full = matmul(swap_last(g), x)
        return sum(full * full, axis=(1, 2))
    return sum(matmul(g, swap_last(g)) * matmul(x, swap_last(x)), axis=(1, 2))


def _bias_norm(g: Any, y: Any, x: Any, w: Any, b: Any) -> Any:
    total = sum(g, axis=tuple(range(1, len(g.shape) - 1))) if len(g.shape) > 2 else g
    return sum(total * total, axis=1)


@op(
    onnx="Gemm",
    infer=_linear_spec,
    reference=lambda x, w, b: np.einsum("...i,oi->...o", x, w) + b,
    vjp=(
        _input_gradient,
        lambda g, y, x, w, b: _rows(g).T @ _rows(x) if _fast(g) else matmul(swap_last(_rows(g)), _rows(x)),
        lambda g, y, x, w, b: _rows(g).sum(0) if _fast(g) else sum(g, axis=tuple(range(len(g.shape) - 1))),
    ),
    saves=("x", "w"),
    jvp=(
        lambda t, y, x, w, b: matmul(_rows(t), swap_last(w)).reshape(y.shape),
        lambda t, y, x, w, b: matmul(_rows(x), swap_last(t)).reshape(y.shape),
        lambda t, y, x, w, b: t,
    ),
    batch=_linear_batch,
    per_sample=lambda carries, x, w, b: tuple(carries) == (True, False, False) and x.ndim > 1,
    ghost={1: _weight_norm, 2: _bias_norm},
    macs=lambda specs, out: out.size * specs[0].shape[-1],
    samples=(
        Sample(normal(3, 4), normal(2, 4), normal(2)),
        Sample(normal(5, 3, 4), normal(2, 4), normal(2)),
        Sample(normal(2, 3, 2, 4), normal(6, 4), normal(6)),
        Sample(normal(4), normal(2, 4), normal(2)),
        Sample(normal(0, 4), normal(2, 4), normal(2)),
    ),
    invalid=(
        Invalid(normal(3, 4), normal(2, 3), normal(2), error=ShapeError, match="features differ"),
        Invalid(normal(3, 4), normal(2, 4), normal(3), error=ShapeError, match=r"expected x \(\.\.\., in\)"),
    ),
    flags=Flags.HALF | Flags.SAVED_ONLY,
)
def linear(xp: ArrayModule, x: Array, w: Array, b: Array) -> Array:
    """Affine map of rows, x @ w.T + b: (..., in) -> (..., out) with w (out, in) and b (out,).

    16-bit floats are computed in float32 on the CPU, and rounded once.
    """
    dtype = x.dtype
    if dtype is w.dtype and dtype is b.dtype and dtype.itemsize > 2 and w.shape[0] == b.size:
        y = xp.matmul(x, w.T)
        y += b
        return y
    _linear_spec(Spec(x.shape, x.dtype), Spec(w.shape, w.dtype), Spec(b.shape, b.dtype))
    dtype = result_dtype(x, w, b)
    wide = accumulate_dtype(dtype)
    y = xp.matmul(x.astype(wide, copy=False), w.T.astype(wide, copy=False)) + b.astype(wide, copy=False)
    return y.astype(dtype, copy=False)

"""Running sums and products along one axis, and differences of neighbours."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for, and rules name their own ops.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ConfigError, ShapeError
from ..op import Invalid, Jvp, Sample, complex_normal, integers, normal
from ..shapes import Spec, normalize_axis
from .compare import not_equal
from .declare import op
from .elementwise import subtract
from .shape import concatenate, getitem, move_axis

SAMPLES = (
    Sample(normal(4), axis=None, include_initial=False),
    Sample(normal(3, 4), axis=-1, include_initial=False),
    Sample(normal(3, 4), axis=0, include_initial=True),
    Sample(normal(2, 3, 4), axis=1, include_initial=False),
    Sample(normal(0, 4), axis=0, include_initial=True),
    Sample(normal(2, 1), axis=1, include_initial=False),
    Sample(integers(5, 3, 4), axis=1, include_initial=True),
    Sample(complex_normal(3, 4), axis=1, include_initial=False),
)
INVALID = (
    Invalid(normal(3, 4), axis=2, include_initial=False, error=ShapeError, match="axis 2"),
    Invalid(normal(3, 4), axis=None, include_initial=False, error=ShapeError, match="one axis"),
    Invalid(normal(), axis=None, include_initial=False, error=ShapeError, match="one axis"),
)


def _axis_of(shape: tuple[int, ...], axis: int | None, op: str) -> int:
    """The axis to run along; None for the only one."""
    if axis is None and len(shape) != 1:
        raise ShapeError(f"{op}: expected a tensor with one axis, or `axis`, got shape {shape}")
    return normalize_axis(axis or 0, len(shape), op=op)


def _running_spec(op: str) -> Callable[..., Spec]:
    def infer(x: Spec, *, axis: int | None, include_initial: bool) -> Spec:
        along = _axis_of(x.shape, axis, op)
        shape = tuple(length + (include_initial and i == along) for i, length in enumerate(x.shape))
        return Spec(shape, running_dtype(x.dtype))

    return infer


def running_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that sums and products of `dtype` have: 64 bits for integers and booleans."""
    if dtype.kind not in "iub":
        return dtype
    return np.dtype(np.uint64 if dtype.kind == "u" else np.int64)


def _running_batch(function: Any) -> Any:
    """The batching rule of ops that run along one axis: the same, counted behind the batch axis."""

    def rule(size: int, batched: Sequence[bool], x: Any, *, axis: int | None, include_initial: bool) -> Any:
        return function(x, axis=_axis_of(x.shape[1:], axis, "cumulative") + 1, include_initial=include_initial)

    return rule


def _running_samples(carries: Sequence[bool], x: Spec, *, axis: int | None, include_initial: bool) -> bool:
    return _axis_of(x.shape, axis, "cumulative") != 0


def _part(x: Any, axis: int, part: slice) -> Any:
    """A slice of one axis."""
    return getitem(x, key=(*(slice(None),) * axis, part))


def _running(xp: ArrayModule, function: Any, x: Array, axis: int | None, first: Array | None, name: str) -> Array:
    along = _axis_of(x.shape, axis, name)
    dtype = running_dtype(x.dtype)
    if first is not None:
        shape = tuple(1 if i == along else length for i, length in enumerate(x.shape))
        x = xp.concatenate([xp.broadcast_to(first, shape), x.astype(dtype, copy=False)], axis=along)
    return function(x, axis=along, dtype=dtype)


def _sum_vjp(g: Any, y: Any, x: Any, *, axis: int | None, include_initial: bool) -> Any:
    along = _axis_of(x.shape, axis, "cumulative_sum")
    if include_initial:
        g = _part(g, along, slice(1, None))
    back = slice(None, None, -1)
    return _part(cumulative_sum(_part(g, along, back), axis=along, include_initial=False), along, back)


def _reference(function: Callable[..., np.ndarray], first: float) -> Callable[..., np.ndarray]:
    def reference(x: np.ndarray, axis: int | None, include_initial: bool) -> np.ndarray:
        along = np.moveaxis(x, axis or 0, 0)
        rows = [function(along[: i + 1], axis=0) for i in range(len(along))]
        if include_initial:
            rows.insert(0, np.full(along.shape[1:], first))
        return np.moveaxis(np.stack(rows), 0, axis or 0)

    return reference


@op(
    onnx="CumSum",
    infer=_running_spec("cumulative_sum"),
    reference=_reference(np.sum, 0.0),
    vjp=(_sum_vjp,),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=_running_batch(lambda *args, **params: cumulative_sum(*args, **params)),
    per_sample=_running_samples,
    samples=SAMPLES,
    invalid=INVALID,
)
def cumulative_sum(xp: ArrayModule, x: Array, *, axis: int | None = None, include_initial: bool = False) -> Array:
    """Sums of the first elements along an axis, which may be left out where there is one only. With `include_initial`
    they begin with the sum of none, 0, and are one more. Integers and booleans are summed in 64 bits.
    """
    first = xp.zeros((), running_dtype(x.dtype)) if include_initial else None
    return _running(xp, xp.cumsum, x, axis, first, "cumulative_sum")


def _product_vjp(g: Any, y: Any, x: Any, *, axis: int | None, include_initial: bool) -> Any:
    """The gradient of x_i is P_i (g_i + x_{i+1} (g_{i+1} + x_{i+2} (...))), P_i the product of those before i: no
    division, so zeros need no care.
    """
    along = _axis_of(x.shape, axis, "cumulative_prod")
    g, x = move_axis(g, along, -1), move_axis(x, along, -1)
    if include_initial:
        g = getitem(g, key=(Ellipsis, slice(1, None)))
    before = getitem(cumulative_prod(x, axis=-1, include_initial=True), key=(Ellipsis, slice(None, -1)))
    return move_axis(before * _nested(g, x), -1, along)


def _nested(g: Any, x: Any) -> Any:
    """s_i = g_i + x_{i+1} s_{i+1} along the last axis, in log2(n) steps: after the k-th, s_i and a_i are the sum and
    the factor of the 2^k elements from i on.

    Source: Hillis & Steele 1986, Data parallel algorithms, https://doi.org/10.1145/7902.7903.
    """
    length = x.shape[-1]
    s = g
    # a_i = x_{i+1}; the last one is never read.
    a = concatenate(getitem(x, key=(Ellipsis, slice(1, None))), getitem(x, key=(Ellipsis, slice(0, 1))), axis=-1)
    step = 1
    while step < length:
        head, tail = (Ellipsis, slice(None, length - step)), (Ellipsis, slice(step, None))
        rest = (Ellipsis, slice(length - step, None))
        factor = getitem(a, key=head)
        s = concatenate(getitem(s, key=head) + factor * getitem(s, key=tail), getitem(s, key=rest), axis=-1)
        a = concatenate(factor * getitem(a, key=tail), getitem(a, key=rest), axis=-1)
        step *= 2
    return s


@op(
    infer=_running_spec("cumulative_prod"),
    reference=_reference(np.prod, 1.0),
    vjp=(_product_vjp,),
    saves=("x",),
    jvp=Jvp.TRANSPOSED,
    batch=_running_batch(lambda *args, **params: cumulative_prod(*args, **params)),
    per_sample=_running_samples,
    samples=(*SAMPLES, Sample(normal(5), axis=0, include_initial=False)),
    invalid=INVALID,
)
def cumulative_prod(xp: ArrayModule, x: Array, *, axis: int | None = None, include_initial: bool = False) -> Array:
    """Products of the first elements along an axis, which may be left out where there is one only. With
    `include_initial` they begin with the product of none, 1, and are one more. Integers are multiplied in 64 bits.
    """
    first = xp.ones((), running_dtype(x.dtype)) if include_initial else None
    return _running(xp, xp.cumprod, x, axis, first, "cumulative_prod")


def diff(x: Any, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Any:
    """The differences of neighbours along an axis, taken `n` times: each time one element fewer.

    Args:
        x: at least one axis. Of booleans the differences are booleans too, whether two neighbours differ.
        axis: the axis to run along.
        n: how often, >= 0.
        prepend: put before `x` first, a tensor of the same shape but for `axis`.
        append: put behind `x` first, likewise.
    """
    if n < 0:
        raise ConfigError(f"diff: expected n >= 0, got {n}")
    along = normalize_axis(axis, len(x.shape), op="diff")
    parts = [part for part in (prepend, x, append) if part is not None]
    result = concatenate(*parts, axis=along) if len(parts) > 1 else x
    for _ in range(n):
        function = not_equal if result.dtype.kind == "b" else subtract
        result = function(_part(result, along, slice(1, None)), _part(result, along, slice(None, -1)))
    return result

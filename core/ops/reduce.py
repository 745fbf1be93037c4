"""Reductions over axes. `axis` is None (all axes), an axis or a tuple of axes.

16-bit floats are accumulated in float32, as everything is computed that does not say otherwise.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for, and rules name their own ops.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import DTypeError, ShapeError
from ..op import Invalid, Jvp, Sample, booleans, complex_normal, distinct, integers, normal
from ..shapes import Axis, Spec, normalize_axes, reduced_shape, to_floating
from .compare import not_equal
from .cumulative import cumulative_prod, running_dtype
from .declare import constant, discrete, floating, op
from .elementwise import conjugate, exp, real, real_only, refuse_complex, sqrt, square, where
from .shape import broadcast_to, getitem, reshape, transpose

SAMPLES = (
    Sample(normal(3, 4), axis=None, keepdims=False),
    Sample(normal(3, 4), axis=(0,), keepdims=False),
    Sample(normal(2, 3, 4), axis=(0, -1), keepdims=True),
    Sample(normal(2, 3, 4), axis=-1, keepdims=False),
    Sample(normal(), axis=None, keepdims=False),
    Sample(normal(3, 2, 4, 5), axis=(0, 2, 3), keepdims=False),
)
EMPTY = Sample(normal(0, 4), axis=(1,), keepdims=False)
OTHER_DTYPES = (
    Sample(integers(5, 3, 4), axis=(0,), keepdims=False),
    Sample(complex_normal(3, 4), axis=(0,), keepdims=False),
)
INVALID = (
    Invalid(normal(3, 4), axis=(2,), keepdims=False, error=ShapeError, match="axis 2"),
    Invalid(normal(3, 4), axis=(1, -1), keepdims=False, error=ShapeError, match="twice"),
)


def reduction_spec(x: Spec, *, axis: Axis, keepdims: bool) -> Spec:
    """Inference of reductions that keep the dtype."""
    return Spec(reduced_shape(x.shape, axis, keepdims=keepdims, op="reduction"), x.dtype)


def reduction_batch(function: Any) -> Any:
    """The batching rule of a reduction: the same axes, counted behind the batch axis."""

    def rule(size: int, batched: Sequence[bool], x: Any, *, axis: Axis, **params: Any) -> Any:
        return function(x, axis=_behind(axis, len(x.shape) - 1), **params)

    return rule


def reduction_keeps_samples(carries: Sequence[bool], x: Spec, *, axis: Axis, **params: Any) -> bool:
    """Sample rule of reductions: not over the leading axis."""
    return 0 not in normalize_axes(axis, x.ndim, op="reduction")


def _behind(axis: Axis, ndim: int) -> tuple[int, ...]:
    return tuple(item + 1 for item in normalize_axes(axis, ndim, op="reduction"))


_ROWS_PER_BLOCK = 4096  # summed in one product; blocks are then added pairwise, which keeps float32 sums accurate


def _sum(xp: ArrayModule, x: Array, axis: Axis, *, keepdims: bool) -> Array:
    """Sum on arrays. NumPy is slow at sums that leave only the last axis of memory, such as those of batch norm over
    channels-last images: a product with ones is ten times faster (measured: 64 x 16 x 8 x 8, 83 us against 4).
    """
    if xp is not np or x.ndim != 4 or axis != (0, 2, 3) or x.dtype.kind != "f" or not x.size:
        return x.sum(axis=axis, keepdims=keepdims)
    rows = x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
    ones = np.ones(builtins.min(len(rows), _ROWS_PER_BLOCK), x.dtype)
    parts = [ones[: len(block)] @ block for block in np.split(rows, range(_ROWS_PER_BLOCK, len(rows), _ROWS_PER_BLOCK))]
    total = parts[0] if len(parts) == 1 else np.sum(parts, axis=0)
    return total[None, :, None, None] if keepdims else total


def _mean(xp: ArrayModule, x: Array, axis: Axis, *, keepdims: bool) -> Array:
    """Mean on arrays; see `_sum`."""
    if axis != (0, 2, 3) or x.ndim != 4:
        return x.mean(axis=axis, keepdims=keepdims)
    return _sum(xp, x, axis, keepdims=keepdims) / x.dtype.type(_count(x, axis) or 1)


def spread(reduced: Any, x: Any, axis: Axis) -> Any:
    """A reduced tensor brought back to the rank of `x`, the reduced axes having length 1."""
    kept = normalize_axes(axis, len(x.shape), op="reduction")
    return reshape(reduced, shape=tuple(1 if i in kept else length for i, length in enumerate(x.shape)))


def _count(x: Any, axis: Axis) -> int:
    return int(np.prod([x.shape[position] for position in normalize_axes(axis, len(x.shape), op="reduction")]))


def _sum_spec(x: Spec, *, axis: Axis, keepdims: bool) -> Spec:
    shape = reduced_shape(x.shape, axis, keepdims=keepdims, op="sum")
    return Spec(shape, running_dtype(x.dtype))


@op(
    onnx="ReduceSum",
    infer=_sum_spec,
    reference=lambda x, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims),
    vjp=(lambda g, y, x, axis, keepdims: broadcast_to(spread(g, x, axis), shape=x.shape),),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=reduction_batch(lambda *args, **params: sum(*args, **params)),
    per_sample=reduction_keeps_samples,
    samples=(*SAMPLES, EMPTY, *OTHER_DTYPES),
    invalid=INVALID,
)
def sum(xp: ArrayModule, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum over `axis`; 0 for an empty axis. Integers and booleans are summed in the default integer."""
    return _sum(xp, x, axis, keepdims=keepdims)


def _prod_vjp(g: Any, y: Any, x: Any, *, axis: Axis, keepdims: bool) -> Any:
    """The product of all others, as that of those before times that of those behind: zeros need no care."""
    axes = normalize_axes(axis, len(x.shape), op="prod")
    order = (*(i for i in range(len(x.shape)) if i not in axes), *axes)
    moved = transpose(x, axes=order)
    kept = moved.shape[: len(order) - len(axes)]
    flat = reshape(moved, shape=(*kept, _count(x, axis)))
    before = getitem(cumulative_prod(flat, axis=-1, include_initial=True), key=(Ellipsis, slice(None, -1)))
    back = getitem(flat, key=(Ellipsis, slice(None, None, -1)))
    behind = getitem(cumulative_prod(back, axis=-1, include_initial=True), key=(Ellipsis, slice(-2, None, -1)))
    others = reshape(before * behind, shape=moved.shape)
    return spread(g, x, axis) * transpose(others, axes=tuple(int(i) for i in np.argsort(order)))


@op(
    onnx="ReduceProd",
    infer=_sum_spec,
    reference=lambda x, axis, keepdims: np.prod(x, axis=axis, keepdims=keepdims),
    vjp=(_prod_vjp,),
    saves=("x",),
    jvp=Jvp.TRANSPOSED,
    batch=reduction_batch(lambda *args, **params: prod(*args, **params)),
    per_sample=reduction_keeps_samples,
    samples=(*SAMPLES, EMPTY, *OTHER_DTYPES),
    invalid=INVALID,
)
def prod(xp: ArrayModule, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Product over `axis`; 1 for an empty axis. Integers and booleans are multiplied in the default integer."""
    return xp.prod(x, axis=axis, dtype=running_dtype(x.dtype), keepdims=keepdims)


def _truth_spec(x: Spec, *, axis: Axis, keepdims: bool) -> Spec:
    return Spec(reduced_shape(x.shape, axis, keepdims=keepdims, op="reduction"), np.dtype(bool))


_TRUTHS = (
    Sample(booleans(3, 4), axis=None, keepdims=False),
    Sample(booleans(2, 3, 4), axis=(0, -1), keepdims=True),
    Sample(booleans(), axis=None, keepdims=False),
    Sample(integers(3, 3, 4), axis=1, keepdims=False),
    Sample(normal(0, 4), axis=0, keepdims=False),
)


@discrete(
    reference=lambda x, axis, keepdims: np.sum(x == 0, axis=axis, keepdims=keepdims) == 0,
    infer=_truth_spec,
    batch=reduction_batch(lambda *args, **params: all(*args, **params)),
    per_sample=reduction_keeps_samples,
    samples=_TRUTHS,
    invalid=INVALID,
)
def all(xp: ArrayModule, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """True where every element over `axis` is; numbers are true when they are not 0, and so is an empty axis."""
    return xp.all(x, axis=axis, keepdims=keepdims)


@discrete(
    reference=lambda x, axis, keepdims: np.sum(x != 0, axis=axis, keepdims=keepdims) > 0,
    infer=_truth_spec,
    batch=reduction_batch(lambda *args, **params: any(*args, **params)),
    per_sample=reduction_keeps_samples,
    samples=_TRUTHS,
    invalid=INVALID,
)
def any(xp: ArrayModule, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """True where some element over `axis` is; numbers are true when they are not 0, an empty axis is false."""
    return xp.any(x, axis=axis, keepdims=keepdims)


def count_nonzero(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """How many elements over `axis` are not 0, int64."""
    return sum(not_equal(x, 0), axis=axis, keepdims=keepdims)


def _mean_spec(x: Spec, *, axis: Axis, keepdims: bool) -> Spec:
    return Spec(reduced_shape(x.shape, axis, keepdims=keepdims, op="mean"), to_floating(x.dtype))


@op(
    onnx="ReduceMean",
    infer=_mean_spec,
    reference=lambda x, axis, keepdims: np.mean(x, axis=axis, keepdims=keepdims),
    vjp=(
        lambda g, y, x, axis, keepdims: broadcast_to(
            spread(g, x, axis) * (1.0 / (_count(x, axis) or 1)), shape=x.shape
        ),
    ),
    saves=(),
    jvp=Jvp.LINEAR,
    batch=reduction_batch(lambda *args, **params: mean(*args, **params)),
    per_sample=reduction_keeps_samples,
    samples=(*SAMPLES, EMPTY),
    invalid=INVALID,
)
def mean(xp: ArrayModule, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Arithmetic mean over `axis`; of integers a float32."""
    return _mean(xp, floating(xp, x), axis, keepdims=keepdims)


def var(x: Any, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """Mean squared distance from the mean over `axis`; real for complex x, of integers a float32.

    Args:
        x: the elements.
        axis: None for all axes, one or several.
        correction: the sum of squares is divided by the number of elements minus this: 0 gives the variance of `x`
            itself, 1 an unbiased estimate of that of what `x` was drawn from. NaN where nothing is left to divide by.
        keepdims: keep the reduced axes with length 1.
    """
    centred = x - mean(x, axis=axis, keepdims=True)
    squares = real(centred * conjugate(centred)) if centred.dtype.kind == "c" else centred * centred
    left = _count(x, axis) - correction
    return sum(squares, axis=axis, keepdims=keepdims) * (1.0 / left if left > 0 else math.nan)


def std(x: Any, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """Standard deviation, the root of `var`; its gradient is 0 where it is 0."""
    variance = var(x, axis=axis, correction=correction, keepdims=keepdims)
    constant = variance == 0.0
    return where(constant, 0.0, sqrt(where(constant, 1.0, variance)))


def _extremum_vjp(g: Any, y: Any, x: Any, *, axis: Axis, keepdims: bool) -> Any:
    hit = where(x == spread(y, x, axis), spread(g, x, axis) * 0.0 + 1.0, 0.0)
    hit = constant(hit)
    return hit / sum(hit, axis=axis, keepdims=True) * spread(g, x, axis)


NO_ORDER = Invalid(complex_normal(3), axis=None, keepdims=False, error=DTypeError, match="complex")
_EXTREMA = tuple(Sample(distinct(*sample.inputs[0].shape), **sample.params) for sample in SAMPLES)


@op(
    onnx="ReduceMax",
    infer=real_only("max", reduction_spec),
    reference=lambda x, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims),
    vjp=(_extremum_vjp,),
    saves=("x", "out"),
    jvp=Jvp.TRANSPOSED,
    batch=reduction_batch(lambda *args, **params: max(*args, **params)),
    per_sample=reduction_keeps_samples,
    samples=_EXTREMA,
    invalid=(*INVALID, NO_ORDER, Invalid(normal(0, 4), axis=(0,), keepdims=False, error=ShapeError, match="max")),
)
def max(xp: ArrayModule, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest element over `axis`; equal maxima share the gradient evenly."""
    refuse_complex("max", x)
    return xp.max(x, axis=axis, keepdims=keepdims)


@op(
    onnx="ReduceMin",
    infer=real_only("min", reduction_spec),
    reference=lambda x, axis, keepdims: np.min(x, axis=axis, keepdims=keepdims),
    vjp=(_extremum_vjp,),
    saves=("x", "out"),
    jvp=Jvp.TRANSPOSED,
    batch=reduction_batch(lambda *args, **params: min(*args, **params)),
    per_sample=reduction_keeps_samples,
    samples=_EXTREMA,
    invalid=(*INVALID, NO_ORDER, Invalid(normal(0, 4), axis=(0,), keepdims=False, error=ShapeError, match="min")),
)
def min(xp: ArrayModule, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Smallest element over `axis`; equal minima share the gradient evenly."""
    refuse_complex("min", x)
    return xp.min(x, axis=axis, keepdims=keepdims)


def _log_softmax_reference(x: np.ndarray, axis: int) -> np.ndarray:
    return x - np.log(np.sum(np.exp(x), axis=axis, keepdims=True))


def along_spec(x: Spec, *, axis: int, **params: Any) -> Spec:
    """Inference of ops that keep the shape and work along one axis or some: floating, and the axes exist."""
    normalize_axes(axis, x.ndim, op="op")
    return Spec(x.shape, to_floating(x.dtype))


def along_batch(function: Any) -> Any:
    """The batching rule of ops that keep the shape and work along one axis."""

    def rule(size: int, batched: Sequence[bool], x: Any, *, axis: int, **params: Any) -> Any:
        return function(x, axis=axis % (len(x.shape) - 1) + 1, **params)

    return rule


@op(
    onnx="LogSoftmax",
    infer=along_spec,
    reference=_log_softmax_reference,
    vjp=(lambda g, y, x, axis: g - exp(y) * sum(g, axis=axis, keepdims=True),),
    saves=("out",),
    jvp=(lambda t, y, x, axis: t - sum(exp(y) * t, axis=axis, keepdims=True),),
    batch=along_batch(lambda *args, **params: log_softmax(*args, **params)),
    per_sample=reduction_keeps_samples,
    samples=(Sample(normal(3, 4), axis=-1), Sample(normal(2, 3, 4), axis=1), Sample(normal(0, 4), axis=-1)),
    invalid=(Invalid(normal(3), axis=1, error=ShapeError, match="axis 1"),),
)
def log_softmax(xp: ArrayModule, x: Array, *, axis: int = -1) -> Array:
    """Logarithm of the softmax along one axis, shifted by the maximum so that nothing overflows."""
    x = floating(xp, x)
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - xp.log(_sum(xp, xp.exp(shifted), axis, keepdims=True))


def softmax(x: Any, *, axis: int = -1) -> Any:
    """Exponentials normalised to sum to 1 along one axis."""
    return exp(log_softmax(x, axis=axis))


def _standardize_reference(x: np.ndarray, axis: tuple[int, ...], epsilon: float) -> np.ndarray:
    return (x - np.mean(x, axis=axis, keepdims=True)) / np.sqrt(np.var(x, axis=axis, keepdims=True) + epsilon)


def _standardize_vjp(g: Any, y: Any, x: Any, *, axis: tuple[int, ...], epsilon: float) -> Any:
    # dL/dx = (g - mean(g) - y mean(g y)) / sqrt(var + epsilon), Ioffe & Szegedy 2015, section 3.
    centred = x - mean(x, axis=axis, keepdims=True)
    inverse = (mean(centred * centred, axis=axis, keepdims=True) + epsilon) ** -0.5
    return (g - mean(g, axis=axis, keepdims=True) - y * mean(g * y, axis=axis, keepdims=True)) * inverse


@op(
    infer=along_spec,
    reference=_standardize_reference,
    vjp=(_standardize_vjp,),
    saves=("x", "out"),
    jvp=(lambda t, y, x, axis, epsilon: _standardize_vjp(t, y, x, axis=axis, epsilon=epsilon),),  # symmetric
    batch=reduction_batch(lambda *args, **params: standardize(*args, **params)),
    per_sample=reduction_keeps_samples,
    samples=(
        Sample(normal(5, 4), axis=(0,), epsilon=1e-5),
        Sample(normal(4, 3, 2, 2), axis=(0, 2, 3), epsilon=1e-5),
        Sample(normal(3, 6), axis=(-1,), epsilon=1e-3),
    ),
    invalid=(Invalid(normal(3), axis=(1,), epsilon=1e-5, error=ShapeError, match="axis 1"),),
)
def standardize(xp: ArrayModule, x: Array, *, axis: tuple[int, ...], epsilon: float = 1e-5) -> Array:
    """Mean 0 and variance 1 over `axis`: (x - mean) / sqrt(var + epsilon), with the biased variance in its two-pass
    form. The core of batch norm (Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167) and layer norm.
    """
    centred = x - _mean(xp, x, axis, keepdims=True)
    variance = _mean(xp, xp.square(centred), axis, keepdims=True)
    return centred * (1 / xp.sqrt(variance + epsilon)).astype(x.dtype)


def moments(x: Any, axis: tuple[int, ...]) -> tuple[Any, Any]:
    """Mean and biased variance over `axis`: what batch norm keeps a running average of."""
    mean_kept = mean(x, axis=axis, keepdims=True)
    variance = mean(square(x - mean_kept), axis=axis, keepdims=False)
    return reshape(mean_kept, shape=variance.shape), variance

"""Pooling over the windows of (N, C, *spatial): the largest or the mean element of each.

Maximum pooling is a selection: `pool_select(h, x)` takes from h the element at the place of each window's maximum in
x, and `pool_scatter` is its adjoint. Both are linear in their first input, so they differentiate into each other. The
ops take their windows in one form, a number (for padding a pair) per spatial axis; `max_pool1d` to `avg_pool3d` take
what users write.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from functools import lru_cache, reduce
from math import prod
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import Invalid, Jvp, Sample, distinct, everywhere, normal
from ..shapes import Spec, to_floating
from .declare import constant, floating, op
from .window import SHAPES, Padding, Pairs, PerAxis, Window, cropped, hashable, merged_batch, padded, pads, per_axis

Numbers = tuple[int, ...]


@lru_cache(SHAPES)
def _checked(shape: Numbers, size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers) -> Window:
    """The window over an input (N, C, *spatial).

    Raises:
        ShapeError: it does not fit, or some windows would hold padding only.
    """
    if len(shape) < 3:
        raise ShapeError(f"op: expected (N, C, *spatial), got {shape}")
    window = Window(size, stride, padding, dilation)
    window.check(shape[2:])
    for axis, (length, count, k, s, (low, _), d) in enumerate(
        zip(shape[2:], window.outputs(shape[2:]), *window, strict=True), 2
    ):
        seen = np.arange(count)[:, None] * s - low + np.arange(k) * d
        if not ((seen >= 0) & (seen < length)).any(1).all():
            raise ShapeError(
                f"op: some windows hold padding only along axis {axis}, of length {length}: {window}",
                hint="use less padding than the window is long, and less dilation than the input",
            )
    return window


def _select_spec(h: Spec, x: Spec, *, size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers) -> Spec:
    window = _checked(x.shape, size, stride, padding, dilation)
    if h.shape != x.shape:
        raise ShapeError(f"pool_select: expected two inputs of one shape, got {h.shape} and {x.shape}")
    return Spec((*x.shape[:2], *window.outputs(x.shape[2:])), h.dtype)


def _scatter_spec(g: Spec, x: Spec, *, size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers) -> Spec:
    window = _checked(x.shape, size, stride, padding, dilation)
    expected = (*x.shape[:2], *window.outputs(x.shape[2:]))
    if g.shape != expected:
        raise ShapeError(f"pool_scatter: expected a gradient of shape {expected}, got {g.shape}")
    return Spec(x.shape, g.dtype)


def _smallest(dtype: Any) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min if dtype.kind in "iu" else 0


def _maxima(xp: ArrayModule, x: Array, window: Window) -> Array:
    """The largest element of each window of a padded input, along one axis after the other."""
    for axis, (length, k, s, d) in enumerate(
        zip(window.unpadded().outputs(x.shape[2:]), window.size, window.stride, window.dilation, strict=True), 2
    ):
        before = (slice(None),) * axis
        parts = [x[(*before, slice(i * d, i * d + s * length, s))] for i in range(k)]
        x = xp.maximum(parts[0], parts[1]) if k > 1 else parts[0]
        for part in parts[2:]:
            xp.maximum(x, part, out=x)
    return x if max(window.size) > 1 else x.copy(order="K")  # never the input itself


def _windows(x: np.ndarray, window: Window, value: float) -> np.ndarray:
    """(N, C, *outputs, prod(size)), for the references."""
    x = np.pad(x, ((0, 0), (0, 0), *window.padding), constant_values=value)
    view = np.lib.stride_tricks.sliding_window_view(x, window.span, axis=tuple(range(2, x.ndim)))
    view = view[(slice(None), slice(None), *(slice(None, None, s) for s in window.stride))]
    view = view[(..., *(slice(None, None, d) for d in window.dilation))]
    return view.reshape(*view.shape[: x.ndim], prod(window.size))


def _select_reference(h: np.ndarray, x: np.ndarray, **window: Any) -> np.ndarray:
    best = _windows(x, Window(**window), -np.inf).argmax(-1)[..., None]
    return np.take_along_axis(_windows(h, Window(**window), 0), best, -1)[..., 0]


def _scatter_reference(g: np.ndarray, x: np.ndarray, **window: Any) -> np.ndarray:
    """One element of the gradient after the other, to where a picture of the places was selected."""
    places = np.arange(1, x.size + 1, dtype=float).reshape(x.shape)
    result = np.zeros(x.size + 1)
    np.add.at(result, _select_reference(places, x, **window).astype(int), g)
    return result[1:].reshape(x.shape)


def _moves(size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers) -> dict[str, Any]:
    return {"size": size, "stride": stride, "padding": padding, "dilation": dilation}


_TILES = _moves((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
_OVERLAP = _moves((3, 2), (2, 1), ((1, 0), (0, 1)), (1, 1))
_WIDE = _moves((2, 3), (1, 2), ((1, 1), (2, 1)), (2, 2))
_LINE = _moves((3,), (2,), ((1, 1),), (1,))
_CUBE = _moves((2, 1, 2), (1, 1, 2), ((0, 0), (0, 0), (1, 0)), (1, 1, 1))
_SELECTIONS = (
    Sample(normal(2, 3, 4, 6), distinct(2, 3, 4, 6), **_TILES),
    Sample(normal(1, 2, 5, 5), distinct(1, 2, 5, 5), **_OVERLAP),
    Sample(normal(2, 1, 5, 4), distinct(2, 1, 5, 4), **_WIDE),
    Sample(normal(2, 2, 7), distinct(2, 2, 7), **_LINE),
    Sample(normal(1, 2, 3, 2, 5), distinct(1, 2, 3, 2, 5), **_CUBE),
)


@op(
    infer=_select_spec,
    saves=("x",),
    jvp=Jvp.MULTILINEAR,
    batch=merged_batch("pool_select"),
    per_sample=lambda carries, *specs, **window: all(carries),
    reference=_select_reference,
    vjp=(lambda g, y, h, x, **window: pool_scatter(g, x, **window), None),
    samples=_SELECTIONS,
    invalid=(Invalid(normal(1, 2, 4, 6), normal(1, 2, 4, 4), **_TILES, error=ShapeError, match="two inputs of one"),),
)
def pool_select(
    xp: ArrayModule, h: Array, x: Array, *, size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers
) -> Array:
    """From each window of h the element where the same window of x is largest; the first of equal maxima."""
    shape = _select_spec(
        Spec(h.shape, h.dtype), Spec(x.shape, x.dtype), **_moves(size, stride, padding, dilation)
    ).shape
    window = Window(size, stride, padding, dilation)
    x = padded(xp, x, padding, first=2, value=_smallest(x.dtype))
    h = padded(xp, h, padding, first=2)
    best: Array = None
    chosen: Array = None
    for place in window.places(shape[2:]):
        part = x[(..., *place)]
        if best is None:
            best, chosen = part, h[(..., *place)]
        else:
            larger = part > best
            best, chosen = xp.maximum(best, part), xp.where(larger, h[(..., *place)], chosen)
    return chosen if max(size) > 1 else chosen.copy(order="K")  # never the input itself


@op(
    infer=_scatter_spec,
    saves=("x",),
    jvp=Jvp.MULTILINEAR,
    batch=merged_batch("pool_scatter"),
    per_sample=lambda carries, *specs, **window: all(carries),
    reference=_scatter_reference,
    vjp=(lambda h, y, g, x, **window: pool_select(h, x, **window), None),
    samples=(
        Sample(normal(2, 3, 2, 3), distinct(2, 3, 4, 6), **_TILES),
        Sample(normal(1, 2, 2, 5), distinct(1, 2, 5, 5), **_OVERLAP),
        Sample(normal(2, 1, 5, 2), distinct(2, 1, 5, 4), **_WIDE),
        Sample(normal(2, 2, 4), distinct(2, 2, 7), **_LINE),
    ),
    invalid=(Invalid(normal(1, 2, 2, 2), normal(1, 2, 4, 6), **_TILES, error=ShapeError, match="gradient of shape"),),
)
def pool_scatter(
    xp: ArrayModule, g: Array, x: Array, *, size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers
) -> Array:
    """Adjoint of `pool_select`: each element of g added at the place of its window's maximum in x."""
    _scatter_spec(Spec(g.shape, g.dtype), Spec(x.shape, x.dtype), **_moves(size, stride, padding, dilation))
    window = Window(size, stride, padding, dilation)
    x = padded(xp, x, padding, first=2, value=_smallest(x.dtype))
    maxima = _maxima(xp, x, window)
    result = xp.zeros_like(x, dtype=g.dtype)
    free = xp.ones_like(maxima, dtype=bool)
    # A product of integers with 0 or 1 is `where(hit, g, 0)` at half the cost.
    words = g.view(f"i{g.dtype.itemsize}")
    for place in window.places(g.shape[2:]):
        hit = x[(..., *place)] == maxima
        hit &= free
        free ^= hit
        result[(..., *place)] += (words * hit).view(g.dtype)
    return cropped(result, padding, first=2)


@op(
    infer=lambda x, **window: _select_spec(x, x, **window),
    saves=("x",),
    jvp=(lambda t, y, x, **window: pool_select(t, constant(x), **window),),
    batch=merged_batch("max_pool"),
    per_sample=everywhere,
    onnx="MaxPool",
    reference=lambda x, **window: _windows(x, Window(**window), -np.inf).max(-1),
    vjp=(lambda g, y, x, **window: pool_scatter(g, constant(x), **window),),
    samples=tuple(Sample(sample.inputs[1], **sample.params) for sample in _SELECTIONS),
    invalid=(
        Invalid(normal(1, 1, 1, 4), **_TILES, error=ShapeError, match="larger than"),
        Invalid(normal(1, 4), **_TILES, error=ShapeError, match="N, C"),
        Invalid(normal(1, 1, 9), **{**_LINE, "padding": ((3, 0),)}, error=ShapeError, match="padding only"),
    ),
)
def max_pool(xp: ArrayModule, x: Array, *, size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers) -> Array:
    """Largest element of each window of x (N, C, *spatial); the gradient goes to the first of equal maxima."""
    window = _checked(x.shape, size, stride, padding, dilation)
    return _maxima(xp, padded(xp, x, padding, first=2, value=_smallest(x.dtype)), window)


@lru_cache(SHAPES)
def _rounded_up(lengths: Numbers, window: Window) -> Window:
    """The window with so much padding behind that one more fits where the last one left elements out, unless all it
    would see were padding.
    """
    ends: list[tuple[int, int]] = []
    for length, span, s, (low, high) in zip(lengths, window.span, window.stride, window.padding, strict=True):
        steps = -((span - length - low - high) // s)  # rounded up
        if steps * s >= length + low:
            steps -= 1
        ends.append((low, max(high, steps * s + span - length - low)))
    return window._replace(padding=tuple(ends))


@lru_cache(SHAPES)
def _counts(lengths: Numbers, window: Window, ceil_mode: bool, count_include_pad: bool) -> np.ndarray | None:
    """How many elements each window is the mean of; None where that is its size for all of them."""
    axes: list[np.ndarray] = []
    outputs = (_rounded_up(lengths, window) if ceil_mode else window).outputs(lengths)
    for length, count, k, s, (low, high) in zip(
        lengths, outputs, window.size, window.stride, window.padding, strict=True
    ):
        starts = np.arange(count) * s - low
        first, last = (-low, length + high) if count_include_pad else (0, length)
        axes.append(np.minimum(starts + k, last) - np.maximum(starts, first))
    counts = reduce(np.multiply.outer, axes)
    return None if (counts == prod(window.size)).all() else counts


def _divide(xp: ArrayModule, x: Array, size: Numbers, counts: np.ndarray | None, out: Array | None = None) -> Array:
    """`x` divided by the size of the windows, or by what they count."""
    if counts is None:
        return xp.multiply(x, x.dtype.type(1 / prod(size)), out=out)
    return xp.divide(x, xp.asarray(counts.astype(x.dtype)), out=out)


def _average_window(
    shape: Numbers, size: Numbers, stride: Numbers, padding: Pairs, ceil_mode: bool, count_include_pad: bool
) -> tuple[Window, np.ndarray | None]:
    window = _checked(shape, size, stride, padding, (1,) * len(size))
    counts = _counts(shape[2:], window, ceil_mode, count_include_pad)
    return (_rounded_up(shape[2:], window) if ceil_mode else window), counts


def _average_spec(x: Spec, **params: Any) -> Spec:
    window, _ = _average_window(x.shape, **params)
    return Spec((*x.shape[:2], *window.outputs(x.shape[2:])), to_floating(x.dtype))


def _spread_spec(g: Spec, *, lengths: Numbers, **params: Any) -> Spec:
    window, _ = _average_window((*g.shape[:2], *lengths), **params)
    if g.shape[2:] != window.outputs(lengths):
        raise ShapeError(f"pool_spread: expected (N, C, *{window.outputs(lengths)}), got {g.shape}")
    return Spec((*g.shape[:2], *lengths), g.dtype)


def _average_reference(
    x: np.ndarray, size: Numbers, stride: Numbers, padding: Pairs, ceil_mode: bool, count_include_pad: bool
) -> np.ndarray:
    """By the definition: one window after the other."""
    axes: list[list[tuple[slice, int]]] = []
    for length, k, s, (low, high) in zip(x.shape[2:], size, stride, padding, strict=True):
        start, windows = -low, list[tuple[slice, int]]()
        while start + k <= length + high or (ceil_mode and start - s + k < length + high and start < length):
            seen = slice(max(start, 0), min(start + k, length))
            counted = min(start + k, length + high) - start if count_include_pad else seen.stop - seen.start
            windows.append((seen, counted))
            start += s
        axes.append(windows)
    y = np.zeros((*x.shape[:2], *map(len, axes)))
    for place in np.ndindex(y.shape[2:]):
        window = [axis[i] for axis, i in zip(axes, place, strict=True)]
        part = x[(..., *(seen for seen, _ in window))].reshape(*x.shape[:2], -1)
        y[(..., *place)] = part.sum(-1) / prod(counted for _, counted in window)
    return y


def _spread_reference(g: np.ndarray, lengths: Numbers, **params: Any) -> np.ndarray:
    """The matrix of the pooling, turned round."""
    images = np.eye(prod(lengths)).reshape(-1, 1, *lengths)
    answers = _average_reference(images, **params)[:, 0]
    axes = tuple(range(2, g.ndim)), tuple(range(1, answers.ndim))
    return np.tensordot(g, answers, axes=axes).reshape(*g.shape[:2], *lengths)


def _averages(
    size: Numbers, stride: Numbers, padding: Pairs, *, ceil_mode: bool = False, count_include_pad: bool = True
) -> dict[str, Any]:
    return {
        "size": size,
        "stride": stride,
        "padding": padding,
        "ceil_mode": ceil_mode,
        "count_include_pad": count_include_pad,
    }


_MEAN_TILES = _averages((2, 2), (2, 2), ((0, 0), (0, 0)))
_MEAN_INSIDE = _averages((3, 2), (2, 1), ((1, 1), (0, 1)), count_include_pad=False)
_MEAN_UP = _averages((3, 2), (2, 3), ((1, 0), (1, 1)), ceil_mode=True)
_MEAN_LINE = _averages((3,), (2,), ((0, 1),), ceil_mode=True, count_include_pad=False)


@op(
    infer=_average_spec,
    saves=(),
    jvp=Jvp.LINEAR,
    batch=merged_batch("avg_pool"),
    per_sample=everywhere,
    onnx="AveragePool",
    reference=_average_reference,
    vjp=(lambda g, y, x, **params: pool_spread(g, lengths=tuple(x.shape[2:]), **params),),
    samples=(
        Sample(normal(2, 3, 4, 6), **_MEAN_TILES),
        Sample(normal(1, 2, 5, 4), **_MEAN_INSIDE),
        Sample(normal(1, 2, 7, 7), **_MEAN_UP),
        Sample(normal(2, 2, 6), **_MEAN_LINE),
    ),
    invalid=(
        Invalid(normal(1, 1, 1, 2), **_MEAN_TILES, error=ShapeError, match="larger than"),
        Invalid(
            normal(1, 1, 4, 4),
            **{**_MEAN_TILES, "padding": ((2, 0), (0, 0))},
            error=ShapeError,
            match="padding only",
        ),
    ),
)
def avg_pool(
    xp: ArrayModule,
    x: Array,
    *,
    size: Numbers,
    stride: Numbers,
    padding: Pairs,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """Mean of each window of x (N, C, *spatial); of integers a float32."""
    window, counts = _average_window(x.shape, size, stride, padding, ceil_mode, count_include_pad)
    outputs = window.outputs(x.shape[2:])
    x = padded(xp, floating(xp, x), window.padding, first=2)
    total: Array = None
    for place in window.places(outputs):
        part = x[(..., *place)]
        total = part.copy() if total is None else xp.add(total, part, out=total)
    return _divide(xp, total, size, counts, out=total)


@op(
    infer=_spread_spec,
    saves=(),
    jvp=Jvp.LINEAR,
    batch=merged_batch("pool_spread"),
    per_sample=everywhere,
    reference=_spread_reference,
    vjp=(lambda h, y, g, lengths, **params: avg_pool(h, **params),),
    samples=(
        Sample(normal(2, 3, 2, 3), lengths=(4, 6), **_MEAN_TILES),
        Sample(normal(1, 2, 3, 4), lengths=(5, 4), **_MEAN_INSIDE),
        Sample(normal(1, 2, 4, 3), lengths=(7, 7), **_MEAN_UP),
    ),
    invalid=(Invalid(normal(2, 3, 2, 2), lengths=(4, 6), **_MEAN_TILES, error=ShapeError, match="pool_spread"),),
)
def pool_spread(
    xp: ArrayModule,
    g: Array,
    *,
    lengths: Numbers,
    size: Numbers,
    stride: Numbers,
    padding: Pairs,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """Adjoint of `avg_pool` for an input of these spatial lengths: each element shared out over its window."""
    params = _averages(size, stride, padding, ceil_mode=ceil_mode, count_include_pad=count_include_pad)
    _spread_spec(Spec(g.shape, g.dtype), lengths=lengths, **params)
    window, counts = _average_window((*g.shape[:2], *lengths), **params)
    ends = [length + low + high for length, (low, high) in zip(lengths, window.padding, strict=True)]
    result = xp.zeros((*g.shape[:2], *ends), g.dtype)
    part = _divide(xp, g, size, counts)
    for place in window.places(g.shape[2:]):
        result[(..., *place)] += part
    return cropped(result, window.padding, first=2)


@lru_cache(SHAPES)
def _window(
    rank: int,
    shape: Numbers,
    size: PerAxis,
    stride: PerAxis | None,
    padding: Padding,
    dilation: PerAxis,
    ceil_mode: bool,
) -> Window:
    """The window over an input of this shape, from what users write."""
    if len(shape) != rank + 2:
        raise ShapeError(f"pool{rank}d: expected {rank + 2} axes, (N, C, ...), got {shape}")
    size = per_axis(size, rank, name="size")
    stride = size if stride is None else per_axis(stride, rank, name="stride")
    window = Window(size, stride, ((0, 0),) * rank, per_axis(dilation, rank, name="dilation"))
    if min(*size, *stride, *window.dilation) < 1:
        raise ShapeError(
            f"pool{rank}d: expected size, stride and dilation >= 1, got {size}, {stride}, {window.dilation}"
        )
    window = window._replace(padding=pads(padding, shape[2:], window))
    return _rounded_up(shape[2:], window) if ceil_mode else window


_LARGE = 16  # elements of a window; larger ones are pooled along one axis after the other, which is fewer comparisons


def pool_maxima(
    rank: int,
    x: Any,
    size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    *,
    ceil_mode: bool = False,
) -> Any:
    """`max_pool2d` for any number of spatial axes."""
    window = _window(
        rank, tuple(x.shape), hashable(size), hashable(stride), hashable(padding), hashable(dilation), ceil_mode
    )
    if prod(window.size) <= _LARGE or rank == 1:
        return max_pool(x, **dict(zip(_MOVES, window, strict=True)))
    for axis in reversed(range(rank)):  # the last first: of equal maxima, that finds the first in C order
        if window.size[axis] > 1 or window.stride[axis] > 1:
            x = max_pool(x, **dict(zip(_MOVES, _along(window, axis), strict=True)))
    return x


_MOVES = ("size", "stride", "padding", "dilation")


@lru_cache(SHAPES)
def _along(window: Window, axis: int) -> Window:
    """The window along one axis, of one element along the others."""

    def only(field: tuple[Any, ...], still: Any) -> tuple[Any, ...]:
        return (*(still,) * axis, field[axis], *(still,) * (len(field) - axis - 1))

    return Window(only(window.size, 1), only(window.stride, 1), only(window.padding, (0, 0)), only(window.dilation, 1))


def _avg_pool(
    rank: int, x: Any, size: PerAxis, stride: PerAxis | None, padding: Padding, ceil_mode: bool, count_include_pad: bool
) -> Any:
    window = _window(rank, tuple(x.shape), hashable(size), hashable(stride), hashable(padding), 1, False)
    return avg_pool(
        x,
        size=window.size,
        stride=window.stride,
        padding=window.padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )


def max_pool1d(
    x: Any,
    *,
    size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Any:
    """Largest element of each window, (N, C, L) -> (N, C, OL). See `max_pool2d`."""
    return pool_maxima(1, x, size, stride, padding, dilation, ceil_mode=ceil_mode)


def max_pool2d(
    x: Any,
    *,
    size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Any:
    """Largest element of each window, (N, C, H, W) -> (N, C, OH, OW).

    Args:
        x: the images.
        size: of the window, one number or one per axis.
        stride: by how much the window moves; its size by default.
        padding: around the image, smaller than the window, and never the largest element: one number; one per axis;
            pairs (before, behind) per axis; "same" for an output of ceil(length / stride), "valid" for none.
        dilation: the distance between the elements of the window.
        ceil_mode: a window for elements left over at the end, too; they are left out otherwise.

    Raises:
        ShapeError: the window is larger than the padded image, or the padding as large as the window.
        ConfigError: a parameter has too many or too few entries.
    """
    return pool_maxima(2, x, size, stride, padding, dilation, ceil_mode=ceil_mode)


def max_pool3d(
    x: Any,
    *,
    size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
) -> Any:
    """Largest element of each window, (N, C, D, H, W) -> (N, C, OD, OH, OW). See `max_pool2d`."""
    return pool_maxima(3, x, size, stride, padding, dilation, ceil_mode=ceil_mode)


def avg_pool1d(
    x: Any,
    *,
    size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Mean of each window, (N, C, L) -> (N, C, OL). See `avg_pool2d`."""
    return _avg_pool(1, x, size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    x: Any,
    *,
    size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Mean of each window, (N, C, H, W) -> (N, C, OH, OW).

    Args:
        x: the images.
        size: of the window, one number or one per axis.
        stride: by how much the window moves; its size by default.
        padding: zeros around the image, as in `max_pool2d`.
        ceil_mode: a window for elements left over at the end, too; the mean is over what it holds of the padded image.
        count_include_pad: whether the padding counts as elements.

    Raises:
        ShapeError: the window is larger than the padded image, or the padding as large as the window.
        ConfigError: a parameter has too many or too few entries.
    """
    return _avg_pool(2, x, size, stride, padding, ceil_mode, count_include_pad)


def avg_pool3d(
    x: Any,
    *,
    size: PerAxis,
    stride: PerAxis | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Mean of each window, (N, C, D, H, W) -> (N, C, OD, OH, OW). See `avg_pool2d`."""
    return _avg_pool(3, x, size, stride, padding, ceil_mode, count_include_pad)

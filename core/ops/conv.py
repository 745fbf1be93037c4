"""Convolution over any number of spatial axes, its two gradients, and the transposed convolution.

`conv`, `conv_input_grad` and `conv_weight_grad` are bilinear and closed under differentiation: the gradients of each
are the other two. They take their parameters in one form, a number (for padding a pair) per spatial axis; `conv1d` to
`conv3d` and `conv_transpose1d` to `conv_transpose3d` take what users write. How they are computed is in `patches.py`
and `depthwise.py`.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import Invalid, Jvp, Sample, normal
from ..shapes import Spec, result_dtype
from . import depthwise, patches
from .declare import op
from .reduce import sum as sum_op
from .shape import concatenate, reshape, swap_last, transpose
from .unfold import unfold
from .window import SHAPES, Padding, Pairs, PerAxis, Window, hashable, merge_batch, pads, per_axis, split_batch

Numbers = tuple[int, ...]


@lru_cache(SHAPES)
def _checked(
    x: Numbers, w: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers, groups: int
) -> tuple[Window, Numbers]:
    """The window of a convolution of the shapes (N, C, *spatial) and (O, C / groups, *size), and the result's shape.

    Raises:
        ShapeError: they do not fit each other.
    """
    if len(x) < 3 or len(w) != len(x):
        raise ShapeError(f"op: expected (N, C, *spatial) and (O, C / groups, *size) of the same rank, got {x} and {w}")
    if groups < 1 or w[0] % groups or x[1] % groups:
        raise ShapeError(f"op: expected groups that divide {x[1]} input and {w[0]} output channels, got {groups}")
    if x[1] != w[1] * groups:
        raise ShapeError(
            f"op: channels differ: the input has {x[1]}, the weight expects {w[1] * groups}",
            hint="check the layer's `in_channels`",
        )
    window = Window(tuple(w[2:]), stride, padding, dilation)
    window.check(x[2:])
    return window, (x[0], w[0], *window.outputs(x[2:]))


def _by_channel(w: Any, groups: int) -> bool:
    """Whether each channel has kernels of its own, and few of them."""
    return groups > 1 and w.shape[1] == 1 and w.shape[0] <= groups * depthwise.MOST_KERNELS


def _alike(a: Array, b: Array) -> tuple[Array, Array]:
    """Two arrays of one dtype."""
    if a.dtype == b.dtype:
        return a, b
    dtype = result_dtype(a, b)
    return a.astype(dtype, copy=False), b.astype(dtype, copy=False)


def _keeps_samples(carries: Sequence[bool], *specs: Spec, **params: Any) -> bool:
    return tuple(carries) == (True, False)


# Batching. With a batch in front of the first input it becomes more samples; with one in front of both, or of the
# weight, it becomes more groups, or more channels where the other input is shared.


def _grouped(x: Any, size: int) -> Any:
    """(B, N, C, ...) -> (N, B * C, ...)."""
    moved = transpose(x, axes=(1, 0, *range(2, len(x.shape))))
    return reshape(moved, shape=(moved.shape[0], size * moved.shape[2], *moved.shape[3:]))


def _ungrouped(y: Any, size: int) -> Any:
    """(N, B * C, ...) -> (B, N, C, ...)."""
    parts = reshape(y, shape=(y.shape[0], size, y.shape[1] // size, *y.shape[2:]))
    return transpose(parts, axes=(1, 0, *range(2, len(parts.shape))))


def _within_groups(x: Any, size: int, groups: int, axis: int) -> Any:
    """(B, ..., groups * C, ...) -> (..., groups * B * C, ...): the batch within each group of an axis.

    `axis` counts without the batch.
    """
    shape = tuple(x.shape[1:])
    parts = reshape(x, shape=(size, *shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :]))
    order = (*range(1, axis + 2), 0, *range(axis + 2, len(parts.shape)))
    return reshape(transpose(parts, axes=order), shape=(*shape[:axis], size * shape[axis], *shape[axis + 1 :]))


def _out_of_groups(y: Any, size: int, groups: int, axis: int) -> Any:
    """(..., groups * B * C, ...) -> (B, ..., groups * C, ...): the inverse of `_within_groups`."""
    shape = tuple(y.shape)
    channels = shape[axis] // (groups * size)
    parts = reshape(y, shape=(*shape[:axis], groups, size, channels, *shape[axis + 1 :]))
    order = (axis + 1, *range(axis + 1), *range(axis + 2, len(parts.shape)))
    return reshape(transpose(parts, axes=order), shape=(size, *shape[:axis], groups * channels, *shape[axis + 1 :]))


def _conv_batch(size: int, batched: Sequence[bool], x: Any, w: Any, /, *, groups: int, **window: Any) -> Any:
    if not batched[1]:
        return split_batch(conv(merge_batch(x), w, groups=groups, **window), size)
    if batched[0]:
        return _ungrouped(conv(_grouped(x, size), merge_batch(w), groups=size * groups, **window), size)
    return _out_of_groups(conv(x, _within_groups(w, size, groups, 0), groups=groups, **window), size, groups, 1)


def _input_grad_batch(size: int, batched: Sequence[bool], g: Any, w: Any, /, *, groups: int, **window: Any) -> Any:
    if not batched[1]:
        return split_batch(conv_input_grad(merge_batch(g), w, groups=groups, **window), size)
    if batched[0]:
        return _ungrouped(conv_input_grad(_grouped(g, size), merge_batch(w), groups=size * groups, **window), size)
    wide = transpose(w, axes=(1, 0, *range(2, len(w.shape))))
    wide = reshape(wide, shape=(wide.shape[0], size * wide.shape[2], *wide.shape[3:]))
    return _out_of_groups(conv_input_grad(g, wide, groups=groups, **window), size, groups, 1)


def _weight_grad_batch(size: int, batched: Sequence[bool], x: Any, g: Any, /, *, groups: int, **window: Any) -> Any:
    if all(batched):
        result = conv_weight_grad(_grouped(x, size), _grouped(g, size), groups=size * groups, **window)
        return split_batch(result, size)
    if batched[0]:
        result = conv_weight_grad(_within_groups(x, size, groups, 1), g, groups=groups, **window)
        return _ungrouped(result, size)
    result = conv_weight_grad(x, _within_groups(g, size, groups, 1), groups=groups, **window)
    return _out_of_groups(result, size, groups, 0)


_NORM_BYTES = 64 << 20  # of the patches that are held at once


def _weight_norm(
    g: Any, y: Any, x: Any, w: Any, *, stride: Numbers, padding: Pairs, dilation: Numbers, groups: int
) -> Any:
    """Squared norms of the per-sample gradients of w, exact: by Gram matrices over the positions of the window, or of
    the gradients themselves, whichever is smaller.

    Source: Bu et al. 2022, https://arxiv.org/abs/2205.10683, section 3.
    """
    size, samples = tuple(w.shape[2:]), g.shape[0]
    positions, rows, outputs = prod(g.shape[2:]), prod(size) * (x.shape[1] // groups), g.shape[1] // groups
    step = max(1, _NORM_BYTES // max(1, positions * rows * groups * x.dtype.itemsize))
    norms: list[Any] = []
    for start in range(0, max(samples, 1), step):
        part, upper = x[start : start + step], g[start : start + step]
        fields = unfold(part, size=size, stride=stride, padding=padding, dilation=dilation)
        fields = reshape(fields, shape=(part.shape[0], groups, rows, positions))
        upper = reshape(upper, shape=(part.shape[0], groups, outputs, positions))
        if positions * positions < rows * outputs:
            squares = (swap_last(fields) @ fields) * (swap_last(upper) @ upper)
        else:
            gradient = fields @ swap_last(upper)
            squares = gradient * gradient
        norms.append(sum_op(squares, axis=(1, 2, 3)))
    return norms[0] if len(norms) == 1 else concatenate(*norms, axis=0)


def _conv_reference(
    x: np.ndarray, w: np.ndarray, stride: Numbers, padding: Pairs, dilation: Numbers, groups: int
) -> np.ndarray:
    """By the definition: one output element after the other."""
    x = np.pad(x, ((0, 0), (0, 0), *padding))
    spans = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    outputs = [(length - span) // s + 1 for length, span, s in zip(x.shape[2:], spans, stride, strict=True)]
    x = x.reshape(x.shape[0], groups, w.shape[1], *x.shape[2:])
    w = w.reshape(groups, -1, *w.shape[1:])
    y = np.zeros((x.shape[0], groups, w.shape[1], *outputs))
    for place in np.ndindex(*outputs):
        field = x[
            (..., *(slice(p * s, p * s + n, d) for p, s, n, d in zip(place, stride, spans, dilation, strict=True)))
        ]
        along = "def"[: len(outputs)]
        y[(..., *place)] = np.einsum(f"ngc{along},goc{along}->ngo", field, w)
    return y.reshape(y.shape[0], groups * w.shape[1], *outputs)


def _input_grad_reference(g: np.ndarray, w: np.ndarray, lengths: Numbers, groups: int, **window: Any) -> np.ndarray:
    """The matrix of the convolution with w, turned round."""
    shape = (w.shape[1] * groups, *lengths)
    images = np.eye(prod(shape)).reshape(-1, *shape)
    answers = _conv_reference(images, w, groups=groups, **window)
    return np.tensordot(g, answers, axes=(range(1, g.ndim), range(1, g.ndim))).reshape(g.shape[0], *shape)


def _weight_grad_reference(x: np.ndarray, g: np.ndarray, size: Numbers, groups: int, **window: Any) -> np.ndarray:
    """The matrix of the convolution of x, turned round."""
    shape = (g.shape[1], x.shape[1] // groups, *size)
    result = np.zeros(shape)
    for place in np.ndindex(shape):
        one = np.zeros(shape)
        one[place] = 1
        result[place] = np.sum(_conv_reference(x, one, groups=groups, **window) * g)
    return result


def _moves(stride: Numbers, padding: Pairs, dilation: Numbers, groups: int = 1) -> dict[str, Any]:
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


_SAME = _moves((1, 1), ((1, 1), (1, 1)), (1, 1))
_PLAIN = _moves((1, 1), ((0, 0), (0, 0)), (1, 1))
_SKEW = _moves((2, 1), ((0, 1), (2, 0)), (1, 2), groups=2)
_DEEP = _moves((1, 1), ((1, 1), (1, 0)), (2, 1), groups=3)
_DEEP_STRIDED = _moves((1, 2), ((1, 0), (1, 1)), (1, 1), groups=2)
_LINE = _moves((2,), ((1, 1),), (1,))
_CUBE = _moves((1, 2, 1), ((1, 1), (0, 0), (0, 1)), (1, 1, 1))


def _conv_spec(x: Spec, w: Spec, *, stride: Numbers, padding: Pairs, dilation: Numbers, groups: int) -> Spec:
    _, shape = _checked(x.shape, w.shape, stride, padding, dilation, groups)
    return Spec(shape, result_dtype(x.dtype, w.dtype))


@op(
    infer=_conv_spec,
    saves=("x", "w"),
    jvp=Jvp.MULTILINEAR,
    batch=_conv_batch,
    per_sample=_keeps_samples,
    ghost={1: _weight_norm},
    onnx="Conv",
    reference=_conv_reference,
    vjp=(
        lambda g, y, x, w, **moves: conv_input_grad(g, w, lengths=tuple(x.shape[2:]), **moves),
        lambda g, y, x, w, **moves: conv_weight_grad(x, g, size=tuple(w.shape[2:]), **moves),
    ),
    samples=(
        Sample(normal(2, 3, 5, 4), normal(4, 3, 3, 3), **_SAME),
        Sample(normal(1, 2, 4, 4), normal(3, 2, 1, 1), **_PLAIN),
        Sample(normal(2, 4, 6, 5), normal(6, 2, 3, 2), **_SKEW),
        Sample(normal(2, 3, 5, 4), normal(3, 1, 2, 3), **_DEEP),
        Sample(normal(2, 2, 4, 6), normal(4, 1, 2, 3), **_DEEP_STRIDED),
        Sample(normal(2, 3, 7), normal(2, 3, 3), **_LINE),
        Sample(normal(1, 2, 3, 4, 3), normal(2, 2, 3, 2, 2), **_CUBE),
        Sample(normal(0, 2, 4, 4), normal(3, 2, 3, 3), **_SAME),
    ),
    invalid=(
        Invalid(normal(2, 3, 5, 5), normal(4, 2, 3, 3), **_PLAIN, error=ShapeError, match="conv: channels differ"),
        Invalid(normal(2, 3, 2, 5), normal(4, 3, 3, 3), **_PLAIN, error=ShapeError, match="larger than"),
        Invalid(normal(3, 5, 5), normal(4, 3, 3, 3), **_PLAIN, error=ShapeError, match="N, C"),
        Invalid(normal(2, 3, 5, 5), normal(4, 1, 3, 3), **_SKEW, error=ShapeError, match="groups that divide 3"),
        Invalid(
            normal(2, 3, 5, 5), normal(4, 3, 3, 3), **{**_PLAIN, "stride": (0, 1)}, error=ShapeError, match="stride"
        ),
    ),
)
def conv(
    xp: ArrayModule, x: Array, w: Array, *, stride: Numbers, padding: Pairs, dilation: Numbers, groups: int
) -> Array:
    """Cross-correlation of x (N, C, *spatial) with w (O, C / groups, *size), zero-padded: (N, O, *outputs)."""
    window, _ = _checked(x.shape, w.shape, stride, padding, dilation, groups)
    x, w = _alike(x, w)
    if _by_channel(w, groups):
        return depthwise.convolve(xp, x, w, window)
    return patches.convolve(xp, x, w, window, groups)


def _input_grad_spec(
    g: Spec, w: Spec, *, lengths: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers, groups: int
) -> Spec:
    _, shape = _checked_back(g.shape, w.shape, lengths, stride, padding, dilation, groups)
    return Spec(shape, result_dtype(g.dtype, w.dtype))


@lru_cache(SHAPES)
def _checked_back(
    g: Numbers, w: Numbers, lengths: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers, groups: int
) -> tuple[Window, Numbers]:
    """The window of the convolution that g is an output gradient of, and the shape of its input."""
    shape = (*g[:1], *(length * groups for length in w[1:2]), *lengths)
    window, expected = _checked(shape, w, stride, padding, dilation, groups)
    if g != expected:
        raise ShapeError(f"conv_input_grad: expected a gradient of shape {expected}, got {g}")
    return window, shape


@op(
    infer=_input_grad_spec,
    saves=("g", "w"),
    jvp=Jvp.MULTILINEAR,
    batch=_input_grad_batch,
    per_sample=_keeps_samples,
    ghost={1: lambda h, y, g, w, lengths, **moves: _weight_norm(g, None, h, w, **moves)},
    onnx="ConvTranspose",
    reference=_input_grad_reference,
    vjp=(
        lambda h, y, g, w, lengths, **moves: conv(h, w, **moves),
        lambda h, y, g, w, lengths, **moves: conv_weight_grad(h, g, size=tuple(w.shape[2:]), **moves),
    ),
    samples=(
        Sample(normal(2, 4, 5, 4), normal(4, 3, 3, 3), lengths=(5, 4), **_SAME),
        Sample(normal(2, 4, 3, 5), normal(4, 2, 3, 2), lengths=(5, 6), **_PLAIN),
        Sample(normal(2, 6, 3, 5), normal(6, 2, 3, 2), lengths=(6, 5), **_SKEW),
        Sample(normal(2, 3, 5, 3), normal(3, 1, 2, 3), lengths=(5, 4), **_DEEP),
        Sample(normal(2, 4, 4, 3), normal(4, 1, 2, 3), lengths=(4, 6), **_DEEP_STRIDED),
        Sample(normal(2, 2, 4), normal(2, 3, 3), lengths=(7,), **_LINE),
        Sample(normal(1, 2, 3, 2, 3), normal(2, 2, 3, 2, 2), lengths=(3, 4, 3), **_CUBE),
    ),
    invalid=(
        Invalid(
            normal(2, 4, 5, 5), normal(4, 3, 3, 3), lengths=(5, 4), **_SAME, error=ShapeError, match="gradient of shape"
        ),
    ),
)
def conv_input_grad(
    xp: ArrayModule,
    g: Array,
    w: Array,
    *,
    lengths: Numbers,
    stride: Numbers,
    padding: Pairs,
    dilation: Numbers,
    groups: int,
) -> Array:
    """Gradient of `conv` for its input of these spatial lengths: a transposed convolution of g (N, O, *outputs)."""
    window, _ = _checked_back(g.shape, w.shape, lengths, stride, padding, dilation, groups)
    g, w = _alike(g, w)
    if _by_channel(w, groups):
        return depthwise.input_gradient(xp, g, w, lengths, window, groups)
    return patches.input_gradient(xp, g, w, lengths, window, groups)


def _weight_grad_spec(
    x: Spec, g: Spec, *, size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers, groups: int
) -> Spec:
    _, shape = _checked_pair(x.shape, g.shape, size, stride, padding, dilation, groups)
    return Spec(shape, result_dtype(x.dtype, g.dtype))


@lru_cache(SHAPES)
def _checked_pair(
    x: Numbers, g: Numbers, size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers, groups: int
) -> tuple[Window, Numbers]:
    """The window of the convolution of x that g is an output gradient of, and the shape of its weight."""
    shape = (*g[1:2], *(length // max(groups, 1) for length in x[1:2]), *size)
    window, expected = _checked(x, shape, stride, padding, dilation, groups)
    if g != expected:
        raise ShapeError(f"conv_weight_grad: expected a gradient of shape {expected}, got {g}")
    return window, shape


@op(
    infer=_weight_grad_spec,
    saves=("x", "g"),
    jvp=Jvp.MULTILINEAR,
    batch=_weight_grad_batch,
    per_sample=None,
    reference=_weight_grad_reference,
    vjp=(
        lambda v, y, x, g, size, **moves: conv_input_grad(g, v, lengths=tuple(x.shape[2:]), **moves),
        lambda v, y, x, g, size, **moves: conv(x, v, **moves),
    ),
    samples=(
        Sample(normal(2, 3, 5, 4), normal(2, 4, 5, 4), size=(3, 3), **_SAME),
        Sample(normal(2, 4, 6, 5), normal(2, 6, 3, 5), size=(3, 2), **_SKEW),
        Sample(normal(2, 3, 5, 4), normal(2, 3, 5, 3), size=(2, 3), **_DEEP),
        Sample(normal(2, 2, 4, 6), normal(2, 4, 4, 3), size=(2, 3), **_DEEP_STRIDED),
        Sample(normal(2, 3, 7), normal(2, 2, 4), size=(3,), **_LINE),
        Sample(normal(1, 2, 3, 4, 3), normal(1, 2, 3, 2, 3), size=(3, 2, 2), **_CUBE),
        Sample(normal(0, 3, 5, 4), normal(0, 4, 5, 4), size=(3, 3), **_SAME),
    ),
    invalid=(
        Invalid(
            normal(2, 3, 5, 4), normal(1, 4, 5, 4), size=(3, 3), **_SAME, error=ShapeError, match="gradient of shape"
        ),
    ),
)
def conv_weight_grad(
    xp: ArrayModule,
    x: Array,
    g: Array,
    *,
    size: Numbers,
    stride: Numbers,
    padding: Pairs,
    dilation: Numbers,
    groups: int,
) -> Array:
    """Gradient of `conv` for its weight of this size: (O, C / groups, *size)."""
    window, _ = _checked_pair(x.shape, g.shape, size, stride, padding, dilation, groups)
    x, g = _alike(x, g)
    if groups > 1 and x.shape[1] == groups and g.shape[1] <= groups * depthwise.MOST_KERNELS:
        return depthwise.weight_gradient(xp, x, g, window)
    return patches.weight_gradient(xp, x, g, window, groups)


@lru_cache(SHAPES)
def _window(size: Numbers, stride: PerAxis, dilation: PerAxis) -> Window:
    """A window without padding from what users write."""
    rank = len(size)
    moves, steps = per_axis(stride, rank, name="stride"), per_axis(dilation, rank, name="dilation")
    if min(*moves, *steps) < 1:
        raise ShapeError(f"conv{rank}d: expected stride and dilation >= 1, got {stride} and {dilation}")
    return Window(size, moves, ((0, 0),) * rank, steps)


def _conv(rank: int, x: Any, w: Any, stride: PerAxis, padding: Padding, dilation: PerAxis, groups: int) -> Any:
    if len(x.shape) != rank + 2 or len(w.shape) != rank + 2:
        raise ShapeError(
            f"conv{rank}d: expected {rank + 2} axes, (N, C, ...) and (O, C / groups, ...), got {x.shape} and {w.shape}",
            hint="a single image needs a batch axis in front: x[None]",
        )
    window = _window(tuple(w.shape[2:]), hashable(stride), hashable(dilation))
    sides = pads(padding, x.shape[2:], window)
    return conv(x, w, stride=window.stride, padding=sides, dilation=window.dilation, groups=groups)


def _conv_transpose(
    rank: int,
    x: Any,
    w: Any,
    stride: PerAxis,
    padding: Padding,
    output_padding: PerAxis,
    dilation: PerAxis,
    groups: int,
) -> Any:
    name = f"conv_transpose{rank}d"
    if len(x.shape) != rank + 2 or len(w.shape) != rank + 2:
        raise ShapeError(
            f"{name}: expected {rank + 2} axes, (N, C, ...) and (C, O / groups, ...), got {x.shape} and {w.shape}"
        )
    if x.shape[1] != w.shape[0]:
        raise ShapeError(f"{name}: channels differ: the input has {x.shape[1]}, the weight expects {w.shape[0]}")
    window = _window(tuple(w.shape[2:]), hashable(stride), hashable(dilation))
    extra = per_axis(output_padding, rank, name="output_padding")
    if not all(0 <= e < s for e, s in zip(extra, window.stride, strict=True)):
        raise ShapeError(f"{name}: expected 0 <= output_padding < stride, got {extra} and {window.stride}")
    sides = pads(padding, [length * s for length, s in zip(x.shape[2:], window.stride, strict=True)], window)
    if padding == "same":
        lengths = tuple(length * s for length, s in zip(x.shape[2:], window.stride, strict=True))
    else:
        lengths = tuple(
            (length - 1) * s + span - low - high + e
            for length, s, span, (low, high), e in zip(
                x.shape[2:], window.stride, window.span, sides, extra, strict=True
            )
        )
    if min(lengths) < 1:
        raise ShapeError(f"{name}: nothing is left of {x.shape} with padding {sides}", hint="use less padding")
    return conv_input_grad(
        x, w, lengths=lengths, stride=window.stride, padding=sides, dilation=window.dilation, groups=groups
    )


def conv1d(x: Any, w: Any, *, stride: PerAxis = 1, padding: Padding = 0, dilation: PerAxis = 1, groups: int = 1) -> Any:
    """Cross-correlation of x (N, C, L) with w (O, C / groups, k): (N, O, OL). See `conv2d`."""
    return _conv(1, x, w, stride, padding, dilation, groups)


def conv2d(x: Any, w: Any, *, stride: PerAxis = 1, padding: Padding = 0, dilation: PerAxis = 1, groups: int = 1) -> Any:
    """Cross-correlation of x (N, C, H, W) with w (O, C / groups, kh, kw), zero-padded: (N, O, OH, OW).

    Args:
        x: the images.
        w: one kernel per output channel, over the input channels of its group.
        stride: by how much the kernel moves, one number or one per axis.
        padding: zeros around the image: one number; one per axis; pairs (before, behind) per axis; "same" for an
            output of ceil(length / stride), "valid" for none.
        dilation: the distance between the elements of the kernel, one number or one per axis.
        groups: parts of the channels that are convolved on their own; with as many as input channels, each channel has
            its own kernels (depthwise).

    Returns:
        Along each axis (length + padding - dilation * (k - 1) - 1) // stride + 1 elements.

    Raises:
        ShapeError: the shapes do not fit, or the kernel is larger than the padded image.
        ConfigError: a parameter has too many or too few entries.
    """
    return _conv(2, x, w, stride, padding, dilation, groups)


def conv3d(x: Any, w: Any, *, stride: PerAxis = 1, padding: Padding = 0, dilation: PerAxis = 1, groups: int = 1) -> Any:
    """Cross-correlation of x (N, C, D, H, W) with w (O, C / groups, kd, kh, kw): (N, O, OD, OH, OW). See `conv2d`."""
    return _conv(3, x, w, stride, padding, dilation, groups)


def conv_transpose1d(
    x: Any,
    w: Any,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Any:
    """Adjoint of `conv1d`: x (N, C, L) with w (C, O / groups, k) to (N, O, OL). See `conv_transpose2d`."""
    return _conv_transpose(1, x, w, stride, padding, output_padding, dilation, groups)


def conv_transpose2d(
    x: Any,
    w: Any,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Any:
    """Adjoint of `conv2d`, also called deconvolution: x (N, C, H, W) with w (C, O / groups, kh, kw) to (N, O, OH, OW).

    Every element of x adds a multiple of the kernel to the result, `stride` apart; `padding` is cut off the result.

    Args:
        x: the images.
        w: one kernel per input channel, over the output channels of its group.
        stride: the distance between the kernels, one number or one per axis.
        padding: as in `conv2d`; "same" makes the result stride times as long.
        output_padding: elements more at the end of the result, >= 0 and less than the stride: several lengths of an
            input have the same length of the output under `conv2d`.
        dilation: the distance between the elements of the kernel.
        groups: parts of the channels that are convolved on their own.

    Returns:
        Along each axis (length - 1) * stride - padding + dilation * (k - 1) + output_padding + 1 elements.

    Raises:
        ShapeError: the shapes do not fit, or nothing is left.
        ConfigError: a parameter has too many or too few entries.
    """
    return _conv_transpose(2, x, w, stride, padding, output_padding, dilation, groups)


def conv_transpose3d(
    x: Any,
    w: Any,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Any:
    """Adjoint of `conv3d`: x (N, C, D, H, W) with w (C, O / groups, kd, kh, kw). See `conv_transpose2d`."""
    return _conv_transpose(3, x, w, stride, padding, output_padding, dilation, groups)

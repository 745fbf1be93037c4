"""The elements under a sliding window as columns, and the sum of such columns back: `unfold` (im2col) and `fold`."""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from math import prod

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ShapeError
from ..op import Invalid, Jvp, Sample, everywhere, normal
from ..shapes import Spec
from .declare import op
from .window import Pairs, Window, cropped, merged_batch, padded

Numbers = tuple[int, ...]


def _unfold_spec(x: Spec, *, size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers) -> Spec:
    window = Window(size, stride, padding, dilation)
    if x.ndim < 3:
        raise ShapeError(f"unfold: expected (N, C, *spatial), got {x.shape}")
    window.check(x.shape[2:])
    return Spec((x.shape[0], x.shape[1] * prod(size), prod(window.outputs(x.shape[2:]))), x.dtype)


def _fold_spec(x: Spec, *, lengths: Numbers, size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers) -> Spec:
    window = Window(size, stride, padding, dilation)
    window.check(lengths)
    rows, columns = prod(size), prod(window.outputs(lengths))
    if x.ndim != 3 or x.shape[1] % rows or x.shape[2] != columns:
        raise ShapeError(f"fold: expected (N, C * {rows}, {columns}) for lengths {lengths} and {window}, got {x.shape}")
    return Spec((x.shape[0], x.shape[1] // rows, *lengths), x.dtype)


def _unfold_reference(x: np.ndarray, size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), *padding))
    span = tuple((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(x, span, axis=tuple(range(2, x.ndim)))
    view = view[(slice(None), slice(None), *(slice(None, None, s) for s in stride))]
    view = view[(..., *(slice(None, None, d) for d in dilation))]
    rank = len(size)
    columns = view.transpose(0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
    return columns.reshape(*x.shape[:1], x.shape[1] * prod(size), prod(columns.shape[2 + rank :]))


def _fold_reference(
    x: np.ndarray, lengths: Numbers, size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers
) -> np.ndarray:
    """The matrix of `unfold`, column by column, turned round."""
    shape = (x.shape[0], x.shape[1] // prod(size), *lengths)
    result = np.zeros(shape)
    for place in np.ndindex(shape):
        one = np.zeros(shape)
        one[place] = 1
        result[place] = np.sum(_unfold_reference(one, size, stride, padding, dilation) * x)
    return result


_WINDOW = {"size": (3, 2), "stride": (2, 1), "padding": ((1, 0), (0, 1)), "dilation": (1, 2)}
_LINE = {"size": (2,), "stride": (1,), "padding": ((0, 0),), "dilation": (1,)}


@op(
    infer=_unfold_spec,
    saves=(),
    jvp=Jvp.LINEAR,
    batch=merged_batch("unfold"),
    per_sample=everywhere,
    reference=_unfold_reference,
    vjp=(lambda g, y, x, **window: fold(g, lengths=tuple(x.shape[2:]), **window),),
    samples=(
        Sample(normal(2, 3, 5, 4), **_WINDOW),
        Sample(normal(2, 2, 4), **_LINE),
        Sample(normal(0, 2, 4), **_LINE),
    ),
    invalid=(
        Invalid(normal(2, 4), **_LINE, error=ShapeError, match="N, C"),
        Invalid(normal(2, 2, 1), **_LINE, error=ShapeError, match="larger than"),
    ),
)
def unfold(xp: ArrayModule, x: Array, *, size: Numbers, stride: Numbers, padding: Pairs, dilation: Numbers) -> Array:
    """The elements under each place of a window over x (N, C, *spatial), zero-padded: (N, C * prod(size), places)."""
    shape = _unfold_spec(Spec(x.shape, x.dtype), size=size, stride=stride, padding=padding, dilation=dilation).shape
    window = Window(size, stride, padding, dilation)
    source = padded(xp, x, padding, first=2)
    along = source.strides[2:]
    view = xp.lib.stride_tricks.as_strided(
        source,
        (*source.shape[:2], *size, *window.outputs(x.shape[2:])),
        (
            *source.strides[:2],
            *[step * d for step, d in zip(along, dilation, strict=True)],
            *[step * s for step, s in zip(along, stride, strict=True)],
        ),
    )
    return view.reshape(shape)


@op(
    infer=_fold_spec,
    saves=(),
    jvp=Jvp.LINEAR,
    batch=merged_batch("fold"),
    per_sample=everywhere,
    reference=_fold_reference,
    vjp=(lambda h, y, x, lengths, **window: unfold(h, **window),),
    samples=(Sample(normal(2, 12, 6), lengths=(5, 4), **_WINDOW), Sample(normal(2, 4, 3), lengths=(4,), **_LINE)),
    invalid=(Invalid(normal(2, 4, 4), lengths=(4,), **_LINE, error=ShapeError, match="fold: expected"),),
)
def fold(
    xp: ArrayModule,
    x: Array,
    *,
    lengths: Numbers,
    size: Numbers,
    stride: Numbers,
    padding: Pairs,
    dilation: Numbers,
) -> Array:
    """Adjoint of `unfold`: columns (N, C * prod(size), places) added up at their places: (N, C, *lengths)."""
    shape = _fold_spec(
        Spec(x.shape, x.dtype), lengths=lengths, size=size, stride=stride, padding=padding, dilation=dilation
    ).shape
    window = Window(size, stride, padding, dilation)
    outputs = window.outputs(lengths)
    columns = x.reshape(*shape[:2], *size, *outputs)
    ends = [length + low + high for length, (low, high) in zip(lengths, padding, strict=True)]
    result = xp.zeros((*shape[:2], *ends), x.dtype)
    for place, element in zip(window.places(outputs), window.elements, strict=True):
        result[(..., *place)] += columns[(slice(None), slice(None), *element)]
    return cropped(result, padding, first=2)

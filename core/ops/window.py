"""Windows that slide over the spatial axes of (N, C, *spatial): what convolution, pooling and unfolding share.

The ops take their windows in one canonical form, one entry per spatial axis in every field; `per_axis` and
`pads` make it from what users write.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from math import ceil
from operator import index
from typing import Any, NamedTuple

from ..device import Array, ArrayModule
from ..dispatch import apply
from ..errors import ConfigError, ShapeError
from ..op import OPS, Rule
from .shape import broadcast_to, reshape

PerAxis = int | Sequence[int]
Pairs = tuple[tuple[int, int], ...]
Padding = str | int | Sequence[int | Sequence[int]]

# Networks call with few shapes and many times: their geometry is computed once. How many are remembered.
SHAPES = 1024


class Window(NamedTuple):
    """A window and how it moves.

    Attributes:
        size: how many elements it takes along each axis, >= 1.
        stride: by how many it moves, >= 1.
        padding: how many stand before and behind the input, >= 0.
        dilation: the distance between two elements it takes, >= 1.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Pairs
    dilation: tuple[int, ...]

    @property
    def span(self) -> tuple[int, ...]:
        """The length from the first to the last element of the window."""
        return tuple([(k - 1) * d + 1 for k, d in zip(self.size, self.dilation, strict=True)])

    @property
    def dense(self) -> bool:
        """Whether it moves by one element along every axis."""
        return set(self.stride) <= {1}

    def outputs(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        """How many windows fit along each axis of an input of these lengths."""
        return _outputs(self, lengths)

    def unpadded(self) -> Window:
        """The same window over an input that has its padding already."""
        return _unpadded(self)

    def places(self, lengths: tuple[int, ...]) -> tuple[tuple[slice, ...], ...]:
        """For every element of the window, in C order, which part of the padded input it runs over.

        Args:
            lengths: how many windows there are along each axis.
        """
        return _places(self, lengths)

    @property
    def elements(self) -> tuple[tuple[int, ...], ...]:
        """The place of every element in the window, in C order."""
        return _elements(self.size)

    def check(self, lengths: Sequence[int]) -> None:
        """Refuse numbers out of range, and windows that are larger than the padded input.

        Raises:
            ShapeError: names the axis.
        """
        rank = len(lengths)
        if not all(len(field) == rank for field in self):
            raise ShapeError(f"op: expected a window for {rank} spatial axes, got {self}")
        if not all(
            k >= 1 and s >= 1 and d >= 1 and low >= 0 and high >= 0 for k, s, (low, high), d in zip(*self, strict=True)
        ):
            raise ShapeError(f"op: expected size, stride and dilation >= 1 and padding >= 0, got {self}")
        for axis, (length, span, (low, high)) in enumerate(zip(lengths, self.span, self.padding, strict=True)):
            if span > length + low + high:
                raise ShapeError(
                    f"op: the window is larger than the padded input along axis {axis + 2}: "
                    f"{span} > {length} + {low} + {high}",
                    hint="use padding, or a smaller window",
                )


@lru_cache(SHAPES)
def _outputs(window: Window, lengths: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(
        (length + low + high - span) // s + 1
        for length, span, s, (low, high) in zip(lengths, window.span, window.stride, window.padding, strict=True)
    )


@lru_cache(SHAPES)
def _places(window: Window, lengths: tuple[int, ...]) -> tuple[tuple[slice, ...], ...]:
    axes = [
        [slice(i * d, i * d + s * length, s) for i in range(k)]
        for length, k, s, d in zip(lengths, window.size, window.stride, window.dilation, strict=True)
    ]
    return tuple(product(*axes))


@lru_cache(SHAPES)
def _elements(size: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(product(*map(range, size)))


@lru_cache(SHAPES)
def _unpadded(window: Window) -> Window:
    return window._replace(padding=((0, 0),) * len(window.size))


def per_axis(value: PerAxis, rank: int, *, name: str) -> tuple[int, ...]:
    """One number for every spatial axis, from one for all or one for each.

    Raises:
        ConfigError: there are more or fewer than axes.
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    if len(values) != rank:
        raise ConfigError(f"expected one {name} or {rank}, got {value!r}")
    return tuple(_whole(item, name) for item in values)


def _whole(value: Any, name: str) -> int:
    try:
        return index(value)
    except TypeError as exc:
        raise ConfigError(f"expected whole numbers as {name}, got {value!r}") from exc


def hashable(value: Any) -> Any:
    """Lists as tuples, for what remembers its arguments."""
    if value.__class__ is list or value.__class__ is tuple:
        return tuple(map(hashable, value))
    return value


def pads(padding: Padding, lengths: Sequence[int], window: Window) -> Pairs:
    """The padding before and behind every spatial axis.

    Args:
        padding: one number for all sides; or one entry per axis, a number for both its sides or a pair (before,
            behind); "valid" for none; "same" for as much as makes the output ceil(length / stride) long, the odd
            element behind.
        lengths: of the input.
        window: its padding is not read.

    Raises:
        ConfigError: it is none of these.
    """
    if not isinstance(padding, str):
        return _pairs(hashable(padding), len(lengths))
    if padding == "valid":
        return ((0, 0),) * len(lengths)
    if padding != "same":
        raise ConfigError(f"expected padding 'same', 'valid' or numbers, got {padding!r}")
    totals = [
        max((ceil(length / s) - 1) * s + span - length, 0)
        for length, s, span in zip(lengths, window.stride, window.span, strict=True)
    ]
    return tuple((total // 2, total - total // 2) for total in totals)


@lru_cache(SHAPES)
def _pairs(padding: int | tuple[int | tuple[int, ...], ...], rank: int) -> Pairs:
    entries = padding if isinstance(padding, tuple) else (padding,) * rank
    pairs = tuple(
        tuple(_whole(side, "padding") for side in (item if isinstance(item, tuple) else (item, item)))
        for item in entries
    )
    if len(pairs) != rank or any(len(pair) != 2 for pair in pairs):
        raise ConfigError(
            f"expected one padding or {rank}, each a number or a pair (before, behind), got {padding!r}",
            hint="write [(before, behind)] for one axis",
        )
    return pairs  # pyright: ignore[reportReturnType]


def padded(xp: ArrayModule, x: Array, padding: Pairs, *, first: int, value: float = 0, order: str = "K") -> Array:
    """A copy of `x` with `value` around it, from axis `first` on, in the memory order of `x` (or "C"); `x` itself where
    there is nothing to pad.
    """
    if padding in _NO_PADDING:
        return x
    shape, inner = _frame(x.shape, padding, first)
    if value:
        result = xp.full_like(x, value, order=order, shape=shape)
    else:
        result = xp.zeros(shape, x.dtype) if order == "C" else xp.zeros_like(x, order=order, shape=shape)
    result[inner] = x
    return result


_NO_PADDING = {((0, 0),) * rank for rank in range(4)}


@lru_cache(SHAPES)
def _frame(shape: tuple[int, ...], padding: Pairs, first: int) -> tuple[tuple[int, ...], tuple[slice, ...]]:
    """The shape with padding from axis `first` on, and where in it the array lies."""
    ends, inner = list(shape), [slice(None)] * len(shape)
    for axis, (low, high) in enumerate(padding, first):
        inner[axis] = slice(low, low + shape[axis])
        ends[axis] += low + high
    return tuple(ends), tuple(inner)


def cropped(x: Array, padding: Pairs, *, first: int) -> Array:
    """The view of `x` without what `padded` puts around it."""
    if padding in _NO_PADDING:
        return x
    shape = (
        *x.shape[:first],
        *(x.shape[first + i] - low - high for i, (low, high) in enumerate(padding)),
        *x.shape[first + len(padding) :],
    )
    return x[_frame(shape, padding, first)[1]]


def merged_batch(name: str) -> Rule:
    """The batching rule of the op of this name, whose inputs all have the samples in front: the batch becomes more
    samples.
    """

    def rule(size: int, batched: Sequence[bool], /, *inputs: Any, **params: Any) -> Any:
        spread = [
            item if own else broadcast_to(item, shape=(size, *item.shape))
            for item, own in zip(inputs, batched, strict=True)
        ]
        return split_batch(apply(OPS[name], [merge_batch(item) for item in spread], params), size)

    return rule


def merge_batch(x: Any) -> Any:
    """(B, N, ...) -> (B * N, ...)."""
    return reshape(x, shape=(x.shape[0] * x.shape[1], *x.shape[2:]))


def split_batch(x: Any, size: int) -> Any:
    """(B * N, ...) -> (B, N, ...)."""
    return reshape(x, shape=(size, x.shape[0] // size, *x.shape[1:]))

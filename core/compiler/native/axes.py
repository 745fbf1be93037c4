"""Sums and norms over any axes, as ones that kernels have: over the last axis, all but the last, or those between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ..graph import Node
from .group import REDUCTIONS, ROW_OPS, Unsupported, reduction_of

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """Axes that are reduced and lie side by side, with what stands before and behind: lengths."""

    before: int
    length: int
    behind: int

    @property
    def shape(self) -> Shape:
        """In which its sum is one of those that kernels have; the axis of length `length` is reduced."""
        if self.behind == 1:
            return (self.length,) if self.before == 1 else (self.before, self.length)
        return (self.length, self.behind) if self.before == 1 else (self.before, self.length, self.behind)

    @property
    def axis(self) -> int:
        """Which axis of `shape` is reduced."""
        return 0 if self.before == 1 else 1


def axes_of(node: Node) -> tuple[int, ...]:
    """The axes that a node goes along, in order, those of length 1 left out."""
    shape = next(node.values).shape
    axis: int | tuple[int, ...] | None = node.params["axis"]
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(sorted({a % len(shape) for a in axes if shape[a] != 1})) if shape else ()


def is_plain(node: Node) -> bool:
    """Whether kernels have it as it is, or it goes along no axes."""
    name = node.op.name
    if name in ROW_OPS:
        rank = len(next(node.values).shape)
        axis: int | tuple[int, ...] = node.params["axis"]
        return [a % rank for a in (axis if isinstance(axis, tuple) else (axis,))] == [rank - 1]
    if name not in REDUCTIONS:
        return True
    try:
        reduction_of(node)
    except Unsupported:
        return False
    return True


def runs_of(shape: Shape, axes: Sequence[int]) -> list[Run]:
    """The runs of reduced axes, from the last to the first; each is what is left when those behind it are gone."""
    kept = [(length, axis in axes) for axis, length in enumerate(shape) if length != 1]
    found: list[Run] = []
    end = len(kept)
    while any(reduced for _, reduced in kept[:end]):
        while not kept[end - 1][1]:
            end -= 1
        start = end
        while start and kept[start - 1][1]:
            start -= 1
        lengths = [length for length, _ in kept]
        found.append(Run(prod(lengths[:start]), prod(lengths[start:end]), prod(lengths[end:])))
        kept, end = kept[:start] + kept[end:], start
    return found


def trailing(shape: Shape, axes: Sequence[int]) -> bool:
    """Whether axes are the last ones, those of length 1 aside."""
    runs = runs_of(shape, axes)
    return len(runs) == 1 and runs[0].behind == 1


def last_order(rank: int, axes: Sequence[int]) -> tuple[int, ...]:
    """An order of axes with some of them at the end."""
    return (*(a for a in range(rank) if a not in axes), *axes)


def back(order: Sequence[int]) -> tuple[int, ...]:
    """The order that undoes another."""
    return tuple(order.index(a) for a in range(len(order)))

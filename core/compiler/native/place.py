"""`Place`: where the elements of a value lie. Moving axes about, repeating and slicing are other places, not work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any, cast

from ..graph import Node


@dataclass(frozen=True, slots=True)
class Place:
    """A strided view of a buffer; all in elements.

    Attributes:
        buffer: what it is a view of.
        shape: the length of each axis.
        strides: from an element to the next along each axis; 0 where it repeats.
        origin: of the first element.
    """

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    origin: int = 0

    @classmethod
    def dense(
        cls, buffer: Buffer, shape: tuple[int, ...], order: Sequence[int] | None = None, *, origin: int = 0
    ) -> Place:
        """All of a buffer, or a part of it, without gaps.

        Args:
            buffer: of as many elements.
            shape: of the value.
            order: its axes from the outermost to the innermost; as they come by default.
            origin: of the first element.
        """
        strides, step = [0] * len(shape), 1
        for axis in reversed(range(len(shape)) if order is None else order):
            strides[axis] = step
            step *= shape[axis]
        return cls(buffer, shape, tuple(strides), origin)

    @property
    def is_dense(self) -> bool:
        """Whether the elements lie in order and without gaps."""
        return self.strides == Place.dense(self.buffer, self.shape).strides or prod(self.shape) <= 1

    def transposed(self, axes: Sequence[int]) -> Place:
        """Axes in another order."""
        return replace(self, shape=tuple(self.shape[a] for a in axes), strides=tuple(self.strides[a] for a in axes))

    def broadcast(self, shape: tuple[int, ...]) -> Place:
        """Repeated along new and unit axes."""
        lead = len(shape) - len(self.shape)
        own = zip(self.shape, self.strides, shape[lead:], strict=True)
        strides = (0,) * lead + tuple(0 if length == 1 and wanted != 1 else step for length, step, wanted in own)
        return replace(self, shape=shape, strides=strides)

    def reshaped(self, shape: tuple[int, ...]) -> Place | None:
        """Another shape of as many elements; None where the elements would have to move."""
        if not prod(shape):
            return replace(self, shape=shape, strides=(0,) * len(shape))
        old = [(n, step) for n, step in zip(self.shape, self.strides, strict=True) if n != 1]
        strides: list[int] = []
        at = 0
        while len(strides) < len(shape):
            if shape[len(strides)] == 1:
                strides.append(0)
                continue
            taken, given, first, axes = 1, 1, len(strides), 0  # axes of both shapes that hold the same elements
            start = at
            while given == 1 or taken != given:
                if given == 1 or given < taken:
                    given *= old[at][0]
                    at += 1
                else:
                    taken *= shape[first + axes]
                    axes += 1
            run = old[start:at]
            if any(step != inner * length for (_, step), (length, inner) in pairwise(run)):
                return None
            step, steps = run[-1][1], list[int]()
            for length in reversed(shape[first : first + axes]):
                steps.append(step)
                step *= length
            strides += reversed(steps)
        return replace(self, shape=shape, strides=tuple(strides))

    def indexed(self, key: object) -> Place | None:
        """A basic index: integers, slices, None, Ellipsis; None for any other. Steps backwards are negative strides."""
        parts: list[Any] = list(cast("tuple[Any, ...]", key)) if isinstance(key, tuple) else [key]
        if not all(part is None or part is Ellipsis or type(part) in (int, slice) for part in parts):
            return None
        used = sum(part is not None and part is not Ellipsis for part in parts)
        rest = [slice(None)] * (len(self.shape) - used)
        where = next((i for i, part in enumerate(parts) if part is Ellipsis), None)
        parts = [*parts, *rest] if where is None else [*parts[:where], *rest, *parts[where + 1 :]]
        shape, strides, origin, axis = list[int](), list[int](), self.origin, 0
        for part in parts:
            if part is None:
                shape.append(1)
                strides.append(0)
                continue
            length, step = self.shape[axis], self.strides[axis]
            axis += 1
            if isinstance(part, slice):
                start, stop, by = part.indices(length)
                count = len(range(start, stop, by))
                origin += start * step if count else 0
                shape.append(count)
                strides.append(step * by)
            else:
                origin += (part % length) * step
        return replace(self, shape=tuple(shape), strides=tuple(strides), origin=origin)

    def part(self, axis: int, number: int) -> Place:
        """One element along an axis, which is gone."""
        rest = [a for a in range(len(self.shape)) if a != axis]
        moved = self.origin + number * self.strides[axis]
        return replace(self.transposed(rest), origin=moved)

    def order(self) -> tuple[int, ...]:
        """The axes from the outermost to the innermost in memory; repeated ones where they stand."""
        return tuple(sorted(range(len(self.shape)), key=lambda axis: (-self.strides[axis] or -(1 << 60), axis)))


def view_of(node: Node, source: Place) -> Place | None:
    """Where the output of a view lies whose input lies there; None where its elements would have to move."""
    match node.op.name:
        case "transpose":
            return source.transposed(node.params["axes"])
        case "broadcast_to":
            return source.broadcast(node.outputs[0].shape)
        case "getitem":
            return source.indexed(node.params["key"])
        case _:
            return source.reshaped(node.outputs[0].shape)


@dataclass(slots=True, eq=False)
class Buffer:
    """Memory that a program works on.

    Attributes:
        name: "arena" for what the planner places; else one that is bound before each run.
        elements: how many.
        itemsize: bytes of each.
        offset: of the first element, in bytes; the planner's.
        first, last: the first and last record that touches it.
        in_parts: whether launches for different nodes write different parts of it.
    """

    name: str
    elements: int
    itemsize: int = 4
    offset: int = 0
    first: int = 1 << 60
    last: int = -1
    in_parts: bool = False

    @property
    def nbytes(self) -> int:
        """Its size."""
        return self.elements * self.itemsize

    def touch(self, record: int) -> None:
        """A record reads or writes it."""
        self.first, self.last = min(self.first, record), max(self.last, record)

"""A row of launches, replayed as CUDA graphs where that works.

A launch from Python costs some microseconds, often more than the kernel takes. A graph of launches that was captured
once is launched as one. CuPy refuses cuBLAS while it captures, so large products stand between graphs; memory must not
be allocated either, so everything lies in the arena. Addresses are part of a graph: when one has changed it is captured
anew.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ...device import Array, ArrayModule

CHANGES: Final = 16  # captures of one program before it is launched step by step for good

logger = logging.getLogger(__name__)

Bound = Sequence[Array]  # the arrays that are bound for a run, by their number


@dataclass(frozen=True, slots=True)
class Slot:
    """Stands for an array that is bound before each run."""

    number: int


class Step(Protocol):
    """Something that is queued on the device."""

    @property
    def can_be_captured(self) -> bool:
        """Whether it may become part of a graph."""
        ...

    def run(self, bound: Bound) -> None:
        """Queue it."""
        ...


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel and its arguments.

    Attributes:
        function: compiled.
        grid, block: how many blocks, and threads of a block.
        arguments: arrays, and slots for those that are bound later.
    """

    function: Any
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    arguments: tuple[Array | Slot, ...]
    can_be_captured: bool = True

    def run(self, bound: Bound) -> None:
        """Queue it."""
        self.function(self.grid, self.block, tuple(resolved(item, bound) for item in self.arguments))


@dataclass(frozen=True, slots=True)
class Multiply:
    """A product of matrices by cuBLAS.

    Attributes:
        xp: CuPy.
        operands: a, b and where the result goes: the array or slot, and the strided view of it that is meant.
    """

    xp: ArrayModule
    operands: tuple[tuple[Array | Slot, View], ...]
    can_be_captured: bool = False

    def run(self, bound: Bound) -> None:
        """Queue it."""
        a, b, made = (view.of(self.xp, resolved(item, bound)) for item, view in self.operands)
        self.xp.matmul(a, b, out=made)


@dataclass(frozen=True, slots=True)
class View:
    """A strided view of a flat array; strides and origin in elements."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    origin: int

    def of(self, xp: ArrayModule, array: Array) -> Array:
        """The view of an array."""
        flat = array.reshape(-1)[self.origin :]
        return xp.lib.stride_tricks.as_strided(flat, self.shape, tuple(step * array.itemsize for step in self.strides))


def resolved(item: Array | Slot, bound: Bound) -> Array:
    """An array, or what is bound to a slot."""
    return bound[item.number] if isinstance(item, Slot) else item


class Replay:
    """Runs steps: one by one the first time, as graphs from then on.

    Args:
        xp: CuPy; its current device is that of the steps.
        steps: in order.

    Attributes:
        graphs: how many graphs were captured for the present addresses; 0 while there are none.
    """

    def __init__(self, xp: ArrayModule, steps: Sequence[Step]) -> None:
        self._xp = xp
        self._steps = steps
        self._segments: list[Step | Any] | None = None
        self._key: tuple[int, ...] | None = None
        self._changes = 0
        self.graphs = 0

    def run(self, bound: Bound) -> None:
        """Queue all steps.

        Args:
            bound: the arrays of the slots.
        """
        key = tuple(array.data.ptr for array in bound)
        if key != self._key:  # the first run also loads the kernels, which a capture may not
            self._segments, self._key, self.graphs = None, key, 0
            self._changes += 1
            self._plainly(bound)
            return
        if self._segments is None and self._changes <= CHANGES:
            self._segments = self._captured(bound)
        if self._segments is None:
            self._plainly(bound)
            return
        for segment in self._segments:
            if isinstance(segment, _Captured):
                segment.graph.launch()
            else:
                segment.run(bound)

    def _plainly(self, bound: Bound) -> None:
        for step in self._steps:
            step.run(bound)

    def _captured(self, bound: Bound) -> list[Step | Any] | None:
        """The steps with graphs in place of those that can be captured; None where CUDA or CuPy refuse."""
        segments: list[Step | Any] = []
        pending: list[Step] = []
        try:
            for step in self._steps:
                if step.can_be_captured:
                    pending.append(step)
                    continue
                segments += self._graph(pending, bound)
                segments.append(step)
                pending = []
            segments += self._graph(pending, bound)
        except RuntimeError as exc:  # CuPy's errors of the runtime and the driver, and NotImplementedError
            logger.info("no CUDA graph of this step, it is launched kernel by kernel: %s", exc)
            self._changes = CHANGES + 1
            return None
        self.graphs = sum(isinstance(segment, _Captured) for segment in segments)
        return segments

    def _graph(self, steps: Sequence[Step], bound: Bound) -> list[Step | Any]:
        if len(steps) < 2:  # a graph of one kernel saves nothing
            return list(steps)
        stream = self._xp.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            try:
                for step in steps:
                    step.run(bound)
            finally:
                graph = stream.end_capture()
        return [_Captured(graph)]


@dataclass(frozen=True, slots=True)
class _Captured:
    """A CUDA graph."""

    graph: Any

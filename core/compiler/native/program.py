"""The `llvm` back end: one native call per run, over one block of memory that is planned beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ...device import Array, Device
from ..arithmetic import macs_of, operations_of
from ..channels_last import channels_last
from ..graph import Graph, Value
from ..llvm import BARRIER, Call, Pointer, Program, Record, default_cache, default_pool
from ..passes import Pass, optimize
from ..undisturbed import undisturbed
from .arena import ALIGNMENT, plan
from .decompose import decompose, even_pools
from .lower import lower
from .lowered import Lowered, Work
from .place import Buffer, Place

BEYOND: Final = 4096  # bytes behind the arena that kernels may read
READ_BEHIND: Final = 64  # bytes behind anything else
# What is done to a graph before it is lowered, in order.
STAGES: Final[tuple[tuple[str, Pass], ...]] = (
    ("even pools", even_pools),
    ("channels last", lambda graph: graph if (turned := channels_last(graph)) is graph else optimize(turned)),
    ("decomposed", decompose),
)
PAGE: Final = 4096
# What one core does, roughly, and what work a barrier must save to be worth it, among two threads.
MACS_PER_NS: Final = 100.0
OPERATIONS_PER_NS: Final = 10.0
BARRIER_NS: Final = 2500.0


class NativeProgram:
    """A graph ready to run as native code.

    Args:
        graph: verified.
        device: the CPU.

    Attributes:
        arena_bytes: memory that the program keeps.
        barriers: of every launch, whether all threads meet before it.

    Raises:
        Unsupported: the graph has something that there are no kernels for.
        CompilerUnavailable: no native code can be made here.
    """

    def __init__(self, graph: Graph, device: Device) -> None:
        cache, pool = default_cache(), default_pool()
        for _, stage in STAGES:
            graph = stage(graph)
        self._graph = graph
        self._lowered = lowered = lower(graph, cache.engine.target)
        self._most_threads = pool.threads
        scratch = Buffer("arena", max((work.scratch for work in lowered.works), default=0) * pool.threads)
        self.barriers = barriers = _barriers(lowered, scratch)
        self.arena_bytes = plan(
            [*(b for b in lowered.buffers if b.last >= 0), *([scratch] if scratch.elements else [])]
        )
        self._usual_threads = pool.threads if _nanoseconds(graph) > BARRIER_NS * sum(barriers) else 1
        records: list[Record] = []
        for work, barrier in zip(lowered.works, barriers, strict=True):
            if barrier:
                records.append(BARRIER)
            records.append(work.launch.call(**{n: Pointer(b.name, b.offset) for n, b in work.memory.items()}))
        self._program = Program(records, cache, pool)
        block = np.zeros(self.arena_bytes + ALIGNMENT + BEYOND, np.uint8)
        self._arena = block[-block.ctypes.data % ALIGNMENT :][: self.arena_bytes]
        self._program.bind("arena", self._arena.ctypes.data, block)
        self._given: dict[Value, Array] = {}  # what was bound last
        self._held: dict[Value, Array] = {}  # the same, in order and without gaps
        for value, array in graph.constants.items():
            self._bind(value, array)
        fixed = {buffer.name: numbers for buffer, numbers in lowered.tables.items()}
        for name, array in [*fixed.items(), *(each for step in lowered.steps for each in step.vectors.items())]:
            self._program.bind(name, array.ctypes.data, array)
        self._effects = graph.effects[len(lowered.steps) :]
        self._sources = {buffer: value for value, buffer in lowered.sources.items()}
        self._views = {value: self._view(place) for value, place in lowered.places.items()}

    @property
    def works(self) -> Sequence[Work]:
        """The launches, in order."""
        return self._lowered.works

    @property
    def lowered(self) -> Lowered:
        """The graph as launches."""
        return self._lowered

    def __call__(self, arguments: Sequence[Array], *, threads: int = 0) -> list[Array]:
        """Run it. What it returns is nobody else's memory.

        Args:
            arguments: arrays of the graph's arguments, of any layout.
            threads: at most so many; 0 for as many as there are cores, or one where the work is little. The results
                have the same bits for any.
        """
        graph, steps = self._graph, self._lowered.steps
        self._prepare(arguments)
        self._program.run(threads=min(threads or self._usual_threads, self._most_threads))
        for step in steps:
            step.state.advanced()
        results = [self._read(value).copy() for value in graph.results]
        values = [self._read(update.value).copy() for update in graph.updates]
        for update, array in zip(graph.updates, values, strict=True):
            update.target.read()[...] = array
        for effect in self._effects:
            effect.run(*(self._read(value) for value in effect.inputs))
        return results

    def time(self) -> list[tuple[Work | None, int]]:
        """Run once more with one thread, with what was bound last: each launch, None for a barrier, and nanoseconds."""
        works = iter(self.works)
        times = self._program.time(threads=1).tolist()
        return [
            (next(works) if isinstance(record, Call) else None, time)
            for record, time in zip(self._program.records, times, strict=True)
        ]

    def rehearse(self, arguments: Sequence[Array], *, runs: int) -> tuple[list[list[int]], list[Array]]:
        """Run as often with one thread, and leave nothing behind: no parameter moves, and no generator.

        Args:
            arguments: as of a run.
            runs: at least 1.

        Returns:
            Of every record the nanoseconds of each run, and the results.
        """
        with undisturbed(self._graph.draws):
            self._prepare(arguments)
        own = {name: array for step in self._lowered.steps for name, array in step.vectors.items()}
        try:
            for name, array in own.items():  # what the steps of optimisers change
                copy = array.copy()
                self._program.bind(name, copy.ctypes.data, copy)
            times = [self._program.time(threads=1) for _ in range(runs)]
        finally:
            for name, array in own.items():
                self._program.bind(name, array.ctypes.data, array)
        return np.transpose(times).tolist(), [self._read(value).copy() for value in self._graph.results]

    def _prepare(self, arguments: Sequence[Array]) -> None:
        """Bind what a run reads."""
        graph = self._graph
        for value, array in zip(graph.arguments, arguments, strict=True):
            self._bind(value, array)
        for capture in graph.captures:
            self._bind(capture.value, capture.read())
        for draw in graph.draws:
            made = draw.make()
            if draw.value is not None:
                self._bind(draw.value, made)
        for bounds in self._lowered.bounds:
            bounds.check(self._held[bounds.numbers])
        for step in self._lowered.steps:
            step.prepare(self._program, self._held.__getitem__)

    def _bind(self, value: Value, array: Array) -> None:
        if self._given.get(value) is array:
            return  # the same memory, whatever is in it
        dense = array if type(array) is np.ndarray and array.flags.c_contiguous else np.ascontiguousarray(array)
        end = dense.ctypes.data + dense.nbytes
        if -end % PAGE < READ_BEHIND:  # what kernels read behind it may not be ours
            padded = np.empty(dense.nbytes + READ_BEHIND, np.uint8)
            copy = padded[: dense.nbytes].view(dense.dtype).reshape(dense.shape)
            copy[...] = dense
            dense = copy
        self._program.bind(self._lowered.sources[value].name, dense.ctypes.data, dense)
        self._held[value] = dense
        if dense is array:
            self._given[value] = array
        else:
            self._given.pop(value, None)

    def _read(self, value: Value) -> Array:
        view = self._views[value]
        if view is None:
            source = self._sources[self._lowered.places[value].buffer]
            return self._held[source].reshape(value.shape)
        return view

    def _view(self, place: Place) -> Array | None:
        """A value in the arena."""
        if place.buffer.name != "arena":
            return None
        start = place.buffer.offset
        part = self._arena[start : start + place.buffer.nbytes]
        dtype = next(value.dtype for value, known in self._lowered.places.items() if known is place)
        return part.view(dtype).reshape(place.shape)


def _nanoseconds(graph: Graph) -> float:
    """About how long one thread takes."""
    macs = sum(macs_of(node) for node in graph.nodes)
    return macs / MACS_PER_NS + sum(operations_of(node) for node in graph.nodes) / OPERATIONS_PER_NS


def _barriers(lowered: Lowered, scratch: Buffer) -> list[bool]:
    """Whether a barrier stands before each launch: it touches what others have. Notes lifetimes, in barriers."""
    barriers: list[bool] = []
    read: set[Buffer] = set()
    written: set[Buffer] = set()
    phase = 0
    for number, work in enumerate(lowered.works):
        if work.beside:
            barriers.append(False)
            for buffer in work.memory.values():
                buffer.touch(phase)
            continue
        writes = {work.memory[name] for name in work.writes if name in work.memory}
        reads = {buffer for name, buffer in work.memory.items() if name not in work.writes}
        if work.scratch:
            work.memory["scratch"] = scratch
            writes = writes | {scratch}
        again = {buffer for buffer in writes & written if not buffer.in_parts}
        conflict = bool(reads & written or again or writes & read) or number in lowered.barriers
        barriers.append(conflict)
        if conflict:
            phase += 1
            read, written = set(), set()
        read |= reads
        written |= writes
        for buffer in work.memory.values():
            buffer.touch(phase)
    for place in lowered.places.values():
        place.buffer.touch(phase + 1)
    return barriers

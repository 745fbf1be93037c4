"""The `llvm` back end: one native call per run, over one block of memory that is planned beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ...device import Array, Device
from ..channels_last import channels_last
from ..graph import Graph, Value
from ..llvm import BARRIER, Pointer, Program, Record, default_cache, default_pool
from ..llvm.pool import usable_threads
from ..passes import optimize
from .arena import ALIGNMENT, plan
from .decompose import decompose
from .lower import lower
from .lowered import Lowered, Work
from .place import Buffer

BEYOND: Final = 4096  # bytes behind the arena that kernels may read


class NativeProgram:
    """A graph ready to run as native code.

    Args:
        graph: verified.
        device: the CPU.

    Raises:
        Unsupported: the graph has something that there are no kernels for.
        CompilerUnavailable: no native code can be made here.
    """

    def __init__(self, graph: Graph, device: Device) -> None:
        cache = default_cache()
        self._graph = graph = decompose(optimize(channels_last(graph)))
        self._held: dict[Value, Array] = {}
        self._lowered = lowered = lower(graph, cache.engine.target)
        scratch = Buffer("arena", max((work.scratch for work in lowered.works), default=0) * usable_threads())
        order, barriers = _ordered(lowered, scratch)
        self.arena_bytes = plan(
            [*(b for b in lowered.buffers if b.last >= 0), *([scratch] if scratch.elements else [])]
        )
        records: list[Record] = []
        for work, barrier in zip(order, barriers, strict=True):
            if barrier:
                records.append(BARRIER)
            records.append(work.launch.call(**{n: Pointer(b.name, b.offset) for n, b in work.memory.items()}))
        self._program = Program(records, cache, default_pool())
        block = np.zeros(self.arena_bytes + ALIGNMENT + BEYOND, np.uint8)
        self._arena = block[-block.ctypes.data % ALIGNMENT :][: self.arena_bytes]
        self._program.bind("arena", self._arena.ctypes.data, block)
        for value, array in graph.constants.items():
            self._bind(value, array)
        for buffer, numbers in lowered.tables.items():
            self._program.bind(buffer.name, numbers.ctypes.data, numbers)

    @property
    def works(self) -> Sequence[Work]:
        """The launches, in order."""
        return self._lowered.works

    def __call__(self, arguments: Sequence[Array], *, threads: int = 0) -> list[Array]:
        """Run it. What it returns is nobody else's memory.

        Args:
            arguments: arrays of the graph's arguments, of any layout.
            threads: at most so many; 0 for as many as there are cores. The results have the same bits for any.
        """
        graph = self._graph
        for value, array in zip(graph.arguments, arguments, strict=True):
            self._bind(value, array)
        for capture in graph.captures:
            self._bind(capture.value, capture.read())
        for draw in graph.draws:
            made = draw.make()
            if draw.value is not None:
                self._bind(draw.value, made)
        self._program.run(threads=threads)
        results = [self._read(value).copy() for value in graph.results]
        values = [self._read(update.value).copy() for update in graph.updates]
        for update, array in zip(graph.updates, values, strict=True):
            update.target.read()[...] = array
        for effect in graph.effects:
            effect.run(*(self._read(value) for value in effect.inputs))
        return results

    def _bind(self, value: Value, array: Array) -> None:
        dense = np.ascontiguousarray(array)
        self._program.bind(self._lowered.sources[value].name, dense.ctypes.data, dense)
        self._held[value] = dense

    def _read(self, value: Value) -> Array:
        place = self._lowered.places[value]
        if place.buffer.name != "arena":
            return self._held_array(value, place.buffer)
        start = place.buffer.offset
        part = self._arena[start : start + place.buffer.nbytes]
        return part.view(value.dtype).reshape(value.shape)

    def _held_array(self, value: Value, buffer: Buffer) -> Array:
        source = next(each for each, known in self._lowered.sources.items() if known is buffer)
        return self._held[source].reshape(value.shape)


def _ordered(lowered: Lowered, scratch: Buffer) -> tuple[list[Work], list[bool]]:
    """The launches with a barrier before each that touches what others have, and lifetimes in numbers of barriers."""
    barriers: list[bool] = []
    read: set[Buffer] = set()
    written: set[Buffer] = set()
    phase = 0
    for work in lowered.works:
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
        conflict = bool((reads | writes) & written or writes & read)
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
    return lowered.works, barriers

"""Where threads have to wait for each other: launches in phases, with a barrier between one phase and the next.

In small programs waiting costs as much as work. There, threads that have the same rows in one launch after the other do
not wait: a batch of examples goes through all layers of a network and back again without a barrier, every thread with
its own examples. What other threads made, such as weights that were packed or gradients that are summed over all
examples, is put off to a later phase, together with all else that has to wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..graph import Node
from ..llvm import BARRIER, Barrier
from .lowered import Lowered, Work
from .place import Buffer

SMALL_BYTES: Final = 4 << 20  # of all values of a program: what caches hold

# Who has which part of a buffer: origin, stride, and the first row of each thread; None: anybody any part.
_Part = tuple[int, int, tuple[int, ...]] | None
_Touch = tuple[bool, _Part, tuple[Node, ...]]  # whether it was written, which part by whom, and for what


def phased(lowered: Lowered, scratch: Buffer, threads: int) -> list[Barrier | None]:
    """The barrier before each launch, if one is needed; the launches of a small program get another order.

    Lifetimes of buffers are noted, in phases.

    Args:
        lowered: launches in an order in which they can run.
        scratch: memory of threads, that launches may ask for.
        threads: of the pool that runs it.
    """
    for work in lowered.works:
        if work.launch.scratch:
            work.memory["scratch"] = scratch
    small = sum(buffer.nbytes for buffer in lowered.buffers) <= SMALL_BYTES
    by_rows = small and threads > 1 and not any(work.beside for work in lowered.works)
    if by_rows:
        _sort(lowered, threads)
    barriers: list[Barrier | None] = []
    phase = 0
    anybody, others = Touched(1), Touched(threads)
    for number, work in enumerate(lowered.works):
        barrier: Barrier | None = None
        if not work.beside:
            waits = number in lowered.barriers or anybody.clashes(work)
            if number in lowered.barriers or (others.clashes(work) if by_rows else waits):
                barrier, others = BARRIER, Touched(threads)
                phase += 1
            elif waits:
                barrier = Barrier(unless=threads)
            if barrier is not None:
                anybody = Touched(1)
            anybody.add(work)
            others.add(work)
        barriers.append(barrier)
        for buffer in work.memory.values():
            buffer.touch(phase)
    for place in lowered.places.values():
        place.buffer.touch(phase + 1)
    return barriers


def _sort(lowered: Lowered, threads: int) -> None:
    """Put launches into the first phase in which they can run; none passes a barrier that is there."""
    works = lowered.works
    ends = sorted(lowered.barriers | {len(works)})
    found: list[Work] = []
    for start, end in zip([0, *ends], ends, strict=False):
        waiting = works[start:end]
        while waiting:
            touched, late = Touched(threads), Touched(1)
            phase: list[Work] = []
            rest: list[Work] = []
            for work in waiting:
                if touched.clashes(work) or late.clashes(work):
                    rest.append(work)
                    late.add(work)
                else:
                    phase.append(work)
                    touched.add(work)
            found += phase
            waiting = rest
    lowered.works = found


class Touched:
    """What launches touch.

    Args:
        threads: who divide rows among themselves; 1 for anybody.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._touches: dict[Buffer, set[_Touch]] = {}

    def add(self, work: Work) -> None:
        """One more launch."""
        for buffer, written, part in self._of(work):
            self._touches.setdefault(buffer, set()).add((written, part, work.nodes))

    def clashes(self, work: Work) -> bool:
        """Whether a thread would read or write in a launch what another one may have written before, or write what
        another one may still read.
        """
        for buffer, written, part in self._of(work):
            for before, other, nodes in self._touches.get(buffer, ()):
                apart = part is not None and part == other
                if buffer.in_parts and written and before:
                    apart |= not nodes or nodes != work.nodes
                if (written or before) and not apart:
                    return True
        return False

    def _of(self, work: Work) -> Iterator[tuple[Buffer, bool, _Part]]:
        share, offsets = work.launch.share, work.launch.offsets
        for name, buffer in work.memory.items():
            part: _Part = None
            if self._threads > 1 and share is not None and name in share.strides:
                start = offsets[name] - share.columns.get(name, 0)
                part = start, share.strides[name], share.bounds(self._threads)
            yield buffer, name in work.writes or name == "scratch", part

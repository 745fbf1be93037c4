"""`Team`: how many threads a program runs with."""

from __future__ import annotations

from array import array
from time import perf_counter_ns
from typing import Final

from ..llvm import Program

FIRST: Final = 4  # runs before the first comparison: memory is touched, and caches are filled
COMPARED: Final = 8  # runs of a comparison for each number
MOVING: Final = 2  # of these, in which what threads made before still moves from core to core
SOON, LATE = 64, 1024  # runs between two comparisons: after a change, and twice as many each time there was none
LONG_NS: Final = 1_000_000  # of what takes longer, waiting is a small part


class Team:
    """All threads or, for a short program, one, whichever was faster lately: on a core that has other work, or where
    cores are slow to hear from each other, it is faster alone. The results have the same bits for any number.

    Args:
        threads: of the whole team.

    Attributes:
        counts: how many run between comparisons, and how often before the next one; below 0: there is none.
    """

    def __init__(self, threads: int) -> None:
        self.counts = array("q", [threads, FIRST if threads > 1 else -1])
        self._all = threads
        self._pause = SOON
        self._times: dict[int, list[int]] = {1: [], threads: []}

    @property
    def best(self) -> int:
        """How many run, between comparisons."""
        return self.counts[0]

    def run(self, program: Program) -> None:
        """Run a program once."""
        threads, left = self.counts
        if left:
            self.counts[1] = left - 1
            program.run(threads=threads)
        else:
            self._compare(program)

    def _compare(self, program: Program) -> None:
        one, every = self._times[1], self._times[self._all]
        threads = self._all if len(every) < COMPARED else 1
        if not every:
            program.rouse()  # who was not wanted for long sleeps, and would be slow to come each time
        start = perf_counter_ns()
        program.run(threads=threads)
        self._times[threads].append(perf_counter_ns() - start)
        if len(every) == COMPARED and min(every) > LONG_NS:
            self.counts[1] = -1
        elif len(one) == COMPARED:
            best: int = 1 if _usual(one) < _usual(every) else self._all
            self._pause = min(2 * self._pause, LATE) if best == self.best else SOON
            self.counts[0], self.counts[1] = best, self._pause
            one.clear()
            every.clear()


def _usual(times: list[int]) -> int:
    """What a run takes that nobody disturbs; not the luckiest."""
    return sorted(times[MOVING:])[1]

"""`Team`: how many threads a program runs with."""

from __future__ import annotations

from statistics import median
from time import perf_counter_ns
from typing import Final

from ..llvm import Program

FIRST: Final = 4  # runs before the first comparison: memory is touched, and caches are filled
COMPARED: Final = 10  # runs of a comparison for each number
MOVING: Final = 3  # of these, in which what threads made before still moves from core to core
EVERY: Final = 2000  # runs between two comparisons


class Team:
    """All threads or one, whichever was faster lately: on a core that has other work, or where cores are slow to hear
    from each other, a small program is faster alone. The results have the same bits for any number.

    Args:
        threads: of the whole team.

    Attributes:
        best: how many run, between comparisons.
    """

    def __init__(self, threads: int) -> None:
        self.best = threads
        self._all = threads
        self._left = FIRST if threads > 1 else -1  # runs before the next comparison; -1: there is none
        self._times: dict[int, list[int]] = {1: [], threads: []}

    def run(self, program: Program) -> None:
        """Run a program once."""
        if self._left:
            self._left -= 1
            program.run(threads=self.best)
        else:
            self._compare(program)

    def _compare(self, program: Program) -> None:
        one, every = self._times[1], self._times[self._all]
        threads = self._all if len(every) < COMPARED else 1
        start = perf_counter_ns()
        program.run(threads=threads)
        self._times[threads].append(perf_counter_ns() - start)
        if len(one) == COMPARED:
            self.best = 1 if median(one[MOVING:]) < median(every[MOVING:]) else self._all
            self._left = EVERY
            one.clear()
            every.clear()

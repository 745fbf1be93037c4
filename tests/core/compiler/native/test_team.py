"""A program runs with as many threads as are worth it."""

from __future__ import annotations

import pytest

from nasturtium.core.compiler.native import team
from nasturtium.core.compiler.native.team import COMPARED, EVERY, FIRST, LONG_NS, Team


class Timed:
    """A program whose time depends on the number of threads, on a clock of its own."""

    def __init__(self, times):
        self.times = times
        self.now = 0
        self.ran: list[int] = []

    def run(self, *, threads):
        self.ran.append(threads)
        self.now += self.times[threads]


@pytest.fixture
def timed(monkeypatch):
    def make(times):
        program = Timed(times)
        monkeypatch.setattr(team, "perf_counter_ns", lambda: program.now)
        return program

    return make


@pytest.mark.parametrize(("times", "best"), [({1: 40, 2: 30}, 2), ({1: 30, 2: 40}, 1), ({1: 30, 2: 30}, 2)])
def test_what_was_faster_runs_on(times, best, timed):
    program, chosen = timed(times), Team(2)
    for _ in range(FIRST + 2 * COMPARED + EVERY):
        chosen.run(program)
    assert program.ran[:FIRST] == [2] * FIRST
    assert program.ran[FIRST : FIRST + 2 * COMPARED] == [2] * COMPARED + [1] * COMPARED
    assert program.ran[FIRST + 2 * COMPARED :] == [best] * EVERY
    program.times = {1: times[2], 2: times[1]}  # the other core is free, or busy, by now
    for _ in range(2 * COMPARED):
        chosen.run(program)
    assert chosen.best == (2 if times[1] == times[2] else 3 - best)


def test_what_takes_long_runs_with_all(timed):
    program, chosen = timed({1: LONG_NS, 2: LONG_NS + 1}), Team(2)
    for _ in range(FIRST + COMPARED + 100):
        chosen.run(program)
    assert set(program.ran) == {2}


def test_one_thread_is_not_compared(timed):
    program, chosen = timed({1: 10}), Team(1)
    for _ in range(100):
        chosen.run(program)
    assert program.ran == [1] * 100

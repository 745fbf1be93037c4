"""A program runs with as many threads as are worth it."""

from __future__ import annotations

import pytest

from nasturtium.core.compiler.native import team
from nasturtium.core.compiler.native.team import COMPARED, FIRST, LATE, LONG_NS, SOON, Team


class Timed:
    """A program whose time depends on the number of threads, on a clock of its own."""

    def __init__(self, times):
        self.times = times
        self.now = 0
        self.ran: list[int] = []

    def rouse(self):
        pass

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
    for _ in range(FIRST + 2 * COMPARED + SOON):
        chosen.run(program)
    assert program.ran[:FIRST] == [2] * FIRST
    assert program.ran[FIRST : FIRST + 2 * COMPARED] == [2] * COMPARED + [1] * COMPARED
    assert program.ran[FIRST + 2 * COMPARED :] == [best] * SOON


def test_it_is_looked_at_again_soon_after_a_change_and_seldom_where_there_is_none(timed):
    program, chosen = timed({1: 30, 2: 40}), Team(2)
    pauses = []
    for times in [{1: 30, 2: 40}] * 7 + [{1: 40, 2: 30}] * 2:  # in the end the other core is free
        program.times = times
        before = len(program.ran)
        while not chosen._times[2]:
            chosen.run(program)
        pauses.append(len(program.ran) - before - 1)
        for _ in range(2 * COMPARED - 1):
            chosen.run(program)
    assert pauses == [FIRST, 64, 128, 256, 512, LATE, LATE, LATE, SOON]
    assert chosen.best == 2


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

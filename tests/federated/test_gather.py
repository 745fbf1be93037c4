"""When a round closes: all have answered, or enough and a grace, or the deadline; on any Grid."""

from __future__ import annotations

import threading
from math import inf, nan

import pytest
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError
from nasturtium.federated import Closing, LocalGrid
from nasturtium.federated.protocol import gather as module
from nasturtium.federated.protocol.gather import gather
from nasturtium.federated.simulation.virtual_nodes import partition_id


class Clock:
    """Time passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


class Timetable:
    """A grid whose nodes answer when they are to; `inf` is never, an error where the second is true."""

    def __init__(self, clock: Clock, times: list[tuple[float, bool]]) -> None:
        self.clock, self.times = clock, times
        self.looks = 0

    def push_messages(self, messages):
        self.sent = {}
        for index, message in enumerate(messages):
            message.metadata.__dict__["_message_id"] = f"m{index}"
            self.sent[f"m{index}"] = message
        return list(self.sent)

    def pull_messages(self, ids):
        self.looks += 1
        due = [i for i in ids if self.times[int(i[1:])][0] <= self.clock.now]
        return [
            Message(Error(2, "no") if self.times[int(i[1:])][1] else RecordDict(), reply_to=self.sent.pop(i))
            for i in due
            if i in self.sent
        ]


@pytest.fixture
def ask(monkeypatch):
    LocalGrid(ClientApp(), 0).close()  # tells Flower who we are

    def run(times: list[tuple[float, bool]], **closing: float) -> tuple[list[int], Clock, Timetable]:
        clock = Clock()
        monkeypatch.setattr(module, "time", clock)
        grid = Timetable(clock, times)
        replies = gather(grid, [Message(RecordDict(), 2 + i, "train") for i in range(len(times))], Closing(**closing))
        return sorted(r.metadata.src_node_id - 2 for r in replies), clock, grid

    return run


def test_it_closes_when_all_have_answered(ask):
    came, clock, _ = ask([(1.0, False), (2.0, False), (5.0, True)], deadline=100, min_replies=9)
    assert came == [0, 1, 2]
    assert 5 <= clock.now < 6.5


def test_it_closes_a_grace_after_enough_have_answered(ask):
    came, clock, _ = ask([(1, False), (2, False), (8, False), (30, False)], deadline=100, min_replies=2, grace=10)
    assert came == [0, 1, 2]
    assert 12 <= clock.now < 14


def test_errors_are_no_answers_that_are_waited_for(ask):
    came, clock, _ = ask([(1, True), (2, True), (20, False)], deadline=100, min_replies=1, grace=5)
    assert came == [0, 1, 2]
    assert clock.now >= 20


def test_it_closes_at_the_deadline_also_in_the_grace(ask):
    came, clock, _ = ask([(1, False), (inf, False)], deadline=7, min_replies=9)
    assert (came, clock.now) == ([0], 7)
    came, clock, _ = ask([(1, False), (inf, False)], deadline=7, min_replies=1, grace=60)
    assert (came, clock.now) == ([0], 7)


def test_without_messages_there_is_nothing_to_wait_for(ask):
    assert ask([])[:1] == ([],)


def test_it_looks_often_at_first_and_seldom_later(ask):
    _, _, grid = ask([(600.0, False)], deadline=1000)
    assert 600 <= grid.looks < 640


@settings(deadline=None, max_examples=60)
@given(
    times=st.lists(st.tuples(st.floats(0, 50) | st.just(inf), st.booleans()), max_size=8),
    deadline=st.floats(1, 60),
    enough=st.integers(1, 9),
    grace=st.floats(0, 20),
)
def test_who_came_in_time_is_in(times, deadline, enough, grace):
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(module, "time", clock)
        grid = Timetable(clock, times)
        messages = [Message(RecordDict(), 2 + i, "train") for i in range(len(times))]
        replies = gather(grid, messages, Closing(deadline=deadline, min_replies=enough, grace=grace))
        came = {reply.metadata.src_node_id - 2 for reply in replies}
    usable = sorted(at for at, failed in times if not failed and at <= deadline)
    least = min(deadline, usable[enough - 1] + grace) if len(usable) >= enough else deadline
    assert {i for i, (at, _) in enumerate(times) if at <= least} <= came
    assert clock.now <= deadline
    assert all(times[i][0] <= clock.now for i in came)


def test_what_check_raises_ends_the_wait(ask, monkeypatch):
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    with pytest.raises(Stop):
        gather(Timetable(clock, [(9, False)]), [Message(RecordDict(), 2, "train")], Closing(), check=stop)


def test_a_real_grid_wakes_it_and_late_answers_are_dropped():
    release = threading.Event()
    app = ClientApp()

    @app.train()
    def answer(message: Message, context: Context) -> Message:
        if partition_id(context) == 2:
            release.wait(60)
        return Message(RecordDict(), reply_to=message)

    try:
        with LocalGrid(app, 3, workers=3) as grid:
            first = [Message(RecordDict(), node, "train") for node in grid.get_node_ids()]
            closing = Closing(deadline=60, min_replies=2, grace=0.0)
            assert {each.metadata.src_node_id for each in gather(grid, first, closing)} == {2, 3}
            release.set()
            second = [Message(RecordDict(), node, "train") for node in grid.get_node_ids()]
            replies = gather(grid, second, Closing(deadline=60, min_replies=3))
            assert {each.metadata.reply_to_message_id for each in replies} == {
                each.metadata.message_id for each in second
            }
    finally:
        release.set()


@pytest.mark.parametrize(
    "changes",
    [{"deadline": 0.0}, {"deadline": nan}, {"min_replies": 0}, {"grace": -1.0}, {"grace": nan}],
    ids=str,
)
def test_a_closing_that_cannot_be_is_refused(changes):
    with pytest.raises(ConfigError, match="expected deadline > 0"):
        Closing(**changes)

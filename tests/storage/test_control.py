"""Brokers that live, die and are asked to stop, on this machine and on others; how far a search is."""

import os

import pytest
from sqlalchemy import text

from nasturtium.core import ConfigError
from nasturtium.storage import (
    ArchitectureEntry,
    LeaseGrant,
    Leases,
    OutcomeEntry,
    ProposalEntry,
    RunBusyError,
    SearchControl,
    UnknownRunError,
)

SECOND = 1_000_000
NETWORK = ArchitectureEntry(sha256="ab" * 32, space="mlp", choices={}, spec={}, parameters=1, macs=1)


@pytest.fixture
def search(tracker, start_search):
    return start_search(tracker, objectives=(("loss", "minimize"), ("macs", "minimize")))


@pytest.fixture
def control(database, search, clock):
    return SearchControl(database, search.uid, clock=clock)


def propose(tracker, search, *numbers, **changes):
    entries = [
        ProposalEntry(number=number, architecture=NETWORK, hyperparameters={}, seed=number, **changes)
        for number in numbers
    ]
    return tracker.record_proposals(search.uid, entries)


def move(database, search, *, host="elsewhere", alive_seconds=None) -> None:
    """Let a process of another machine have the search, which beat in the time of the database."""
    with database.write() as session:
        session.execute(text("UPDATE nst_run SET host = :host WHERE uid = :uid"), {"host": host, "uid": search.uid})
        if alive_seconds is not None:
            shift = text("UPDATE nst_search SET alive_until_us = heartbeat_us + :more")
            session.execute(shift, {"more": int(alive_seconds * SECOND)})


def test_a_stop_is_asked_for_once_and_taken_back_by_resuming(tracker, history, search, control, clock):
    assert (control.stop_requested(), control.beat(30)) == (False, False)
    control.request_stop()
    asked = history.search_status(search.uid).stop_requested
    clock.us += 5 * SECOND
    control.request_stop()
    assert (control.stop_requested(), control.beat(30)) == (True, True)
    assert history.search_status(search.uid).stop_requested == asked
    tracker.finish(search.uid, state="interrupted", metrics={})
    with pytest.raises(ConfigError, match="is interrupted: there is nothing to stop"):
        control.request_stop()
    tracker.resume(search.uid)
    assert control.stop_requested() is False


def test_a_search_gets_more_trials_and_forgets_a_stop_by_whoever_has_it(database, tracker, history, search, control):
    control.request_stop()
    control.forget_stop()
    assert control.stop_requested() is False
    control.extend(search.trials + 2)
    control.extend(search.trials + 2)
    longer = history.search(search.uid)
    assert (longer.trials, longer.run.config) == (search.trials + 2, search.run.config)
    with pytest.raises(ConfigError, match="cannot be shorter"):
        control.extend(search.trials)
    move(database, search)
    for change in (control.forget_stop, lambda: control.extend(9)):
        with pytest.raises(RunBusyError, match="taken over"):
            change()


def test_time_at_work_is_what_lies_between_beats(history, search, control, clock):
    assert history.search_status(search.uid).active_seconds == 0
    control.beat(30)
    for seconds, counted in ((10, 10), (30, 40), (31, 40), (1, 41)):  # 31: it was away
        clock.us += seconds * SECOND
        control.beat(30)
        assert history.search_status(search.uid, clock=clock).active_seconds == counted
    with pytest.raises(ConfigError, match="some seconds, got 0"):
        control.beat(0)


def test_a_broker_that_lost_its_search_hears_of_it(database, search, control):
    control.beat(30)
    move(database, search)
    with pytest.raises(RunBusyError, match=rf"taken over by process {os.getpid()} on elsewhere"):
        control.beat(30)


def test_a_broker_that_lost_its_search_changes_nothing_of_it(database, tracker, history, search):
    """It may have been away for a while, and hears of it when it next writes."""
    uids = propose(tracker, search, 0)
    move(database, search)
    with pytest.raises(RunBusyError, match="taken over"):
        propose(tracker, search, 1)
    with pytest.raises(RunBusyError, match="taken over"):
        tracker.record_outcomes(search.uid, [OutcomeEntry(uid=uids[0], state="completed", metrics={"loss": 1.0})])
    with pytest.raises(RunBusyError), tracker.ending(search.uid):
        SearchControl(database, search.uid).beat(30)
    assert history.search(search.uid).run.state == "running"
    assert [(trial.number, trial.state) for trial in history.trials(search.uid)] == [(0, "running")]


def test_time_that_is_not_at_work_does_not_count(history, search, control, clock):
    control.beat(30)
    for at_work, counted in ((False, 0), (True, 10), (False, 10)):
        clock.us += 10 * SECOND
        control.beat(30, at_work=at_work)
        assert history.search_status(search.uid, clock=clock).active_seconds == counted
    clock.us += 40 * SECOND
    assert not control.beat(30, at_work=False)


def test_a_search_of_a_live_broker_elsewhere_is_not_resumed(database, tracker, history, search):
    SearchControl(database, search.uid).beat(3600)
    move(database, search)
    assert history.search_status(search.uid).broker_alive
    with pytest.raises(RunBusyError, match=r"in the hands of process \d+ on elsewhere, which was alive at"):
        tracker.resume(search.uid)
    move(database, search, alive_seconds=-1)
    assert not history.search_status(search.uid).broker_alive
    tracker.resume(search.uid)
    assert history.search_status(search.uid).broker_alive
    move(database, search)
    with pytest.raises(RunBusyError, match="on elsewhere"):  # it has been taken, and is about to say that it lives
        tracker.resume(search.uid)


def test_a_search_that_ended_elsewhere_is_resumed_at_once(database, tracker, search):
    SearchControl(database, search.uid).beat(3600)
    tracker.finish(search.uid, state="failed", metrics={})
    move(database, search)
    tracker.resume(search.uid)
    assert SearchControl(database, search.uid).beat(30) is False


def test_only_searches_are_controlled(database, tracker):
    uid = tracker.start_run("mine")
    for verb in (SearchControl(database, uid).request_stop, SearchControl(database, uid).stop_requested):
        with pytest.raises(UnknownRunError, match="expected search"):
            verb()
    with pytest.raises(UnknownRunError, match="expected search"):
        Leases(database, uid)


def test_the_status_of_a_search(database, tracker, history, search, control, clock):
    empty = history.search_status(search.uid)
    assert (empty.trials, empty.in_flight, empty.best, empty.cpu_seconds, empty.leases) == ({}, [], None, 0, {})
    uids = propose(tracker, search, 0, 1, 2, 3)
    tracker.record_outcomes(
        search.uid,
        [
            OutcomeEntry(uid=uids[0], state="completed", metrics={"loss": 2.0}, cpu_seconds=1.5, transferred_bytes=10),
            OutcomeEntry(uid=uids[1], state="completed", metrics={"loss": 1.0}, cpu_seconds=2.0, transferred_bytes=5),
            OutcomeEntry(uid=uids[2], state="pruned", metrics={"loss": 0.1}),
            OutcomeEntry(uid=uids[3], state="interrupted", cpu_seconds=0.5),
        ],
    )
    again = propose(tracker, search, 3, job={"x": 1})
    propose(tracker, search, 4, lease=LeaseGrant(worker="here/7", ttl_seconds=60))
    propose(tracker, search, 5)
    leased = Leases(database, search.uid, clock=clock).claim("there/8", 30)
    control.beat(30)
    status = history.search_status(search.uid, clock=clock)
    assert status.trials == {"completed": 2, "pruned": 1, "running": 3}
    assert status.leases == {"leased": 2}
    assert [(each.number, each.attempt, each.worker) for each in status.in_flight] == [
        (3, 2, "there/8"),
        (4, 1, "here/7"),
        (5, 1, None),
    ]
    assert status.in_flight[0].trial == again[3] == leased.trial
    assert (status.in_flight[0].leased, status.in_flight[0].expires) == (status.at, leased.expires)
    assert (status.best.uid, status.cpu_seconds, status.transferred_bytes) == (uids[1], 4.0, 15)
    assert (status.heartbeat, status.broker_alive, status.search) == (status.at, True, history.search(search.uid))


def test_what_a_dead_broker_left_is_interrupted(database, tracker, history, search):
    propose(tracker, search, 0)
    propose(tracker, search, 1, job={"x": 1})
    with database.write() as session:
        session.execute(text("UPDATE nst_run SET pid = 1, born = 'long ago'"))
    status = history.search_status(search.uid)
    assert (status.broker_alive, status.trials) == (False, {"interrupted": 1, "running": 1})
    assert [(each.number, each.state) for each in status.in_flight] == [(1, "open")]

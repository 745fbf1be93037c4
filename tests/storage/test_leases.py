"""Trials at workers: one has each, a dead one loses it, and what was reported waits for whoever takes it."""

import math
import signal
import subprocess
import sys

import pytest

from nasturtium.core import ConfigError
from nasturtium.storage import (
    ArchitectureEntry,
    Curator,
    History,
    LeaseGrant,
    LeaseLostError,
    Leases,
    OutcomeEntry,
    ProposalEntry,
    StorageError,
    Tracker,
    UnknownRunError,
    open_database,
)

from .together import run_together

SECOND = 1_000_000
NETWORK = ArchitectureEntry(sha256="ab" * 32, space="mlp", choices={}, spec={}, parameters=1, macs=1)


@pytest.fixture
def search(tracker, start_search):
    return start_search(tracker)


@pytest.fixture
def leases(database, search, clock):
    return Leases(database, search.uid, clock=clock)


def propose(tracker, search, *numbers, **changes):
    entries = [
        ProposalEntry(
            number=number,
            architecture=NETWORK,
            hyperparameters={},
            seed=number,
            **{"job": {"number": number, "deep": {"lr": 0.1}}} | changes,
        )
        for number in numbers
    ]
    return tracker.record_proposals(search.uid, entries)


def test_a_worker_gets_what_was_offered_lowest_number_first(tracker, search, leases):
    uids = propose(tracker, search, 3, 1)
    assert leases.counts() == {"open": 2}
    first = leases.claim("here/1", 30)
    assert (first.number, first.attempt, first.trial, first.search) == (1, 1, uids[1], search.uid)
    assert (first.job, first.worker) == ({"number": 1, "deep": {"lr": 0.1}}, "here/1")
    assert leases.claim("here/2", 30).number == 3
    assert leases.claim("here/3", 30) is None
    assert leases.counts() == {"leased": 2}


def test_what_is_reported_is_taken_once_and_waits_for_its_outcome(database, tracker, search, leases):
    uids = propose(tracker, search, 0)
    lease = leases.claim("w", 30)
    assert leases.take_reports() == []
    leases.report(lease, {"val_accuracy": 0.5})
    leases.report(lease, {"val_accuracy": 0.5})
    (report,) = leases.take_reports()
    assert (report.number, report.attempt, report.trial, report.worker) == (0, 1, uids[0], "w")
    assert report.report == {"val_accuracy": 0.5}
    assert leases.take_reports() == []
    assert Leases(database, search.uid).take_reports() == [report]  # a broker after one that was killed
    tracker.record_outcomes(search.uid, [OutcomeEntry(uid=uids[0], state="completed")])
    assert (Leases(database, search.uid).take_reports(), leases.counts()) == ([], {})


def test_a_worker_that_says_nothing_loses_its_trial(tracker, search, leases, clock):
    uids = propose(tracker, search, 0, 1, 2)
    slow, alive = leases.claim("slow", 30), leases.claim("alive", 30)
    clock.us += 20 * SECOND
    leases.renew(alive, 30)
    clock.us += 11 * SECOND
    assert leases.expire() == [0]
    assert leases.expire() == [0]  # until its outcome is recorded
    assert leases.counts() == {"leased": 1, "lost": 1, "open": 1}
    for speak in (lambda: leases.renew(slow, 30), lambda: leases.report(slow, {})):
        with pytest.raises(LeaseLostError, match="trial 0 is no longer that of worker slow: its lease ran out"):
            speak()
    tracker.record_outcomes(search.uid, [OutcomeEntry(uid=uids[0], state="interrupted", cause="lease expired")])
    propose(tracker, search, 0)
    assert (leases.expire(), leases.claim("next", 30).attempt) == ([], 2)
    with pytest.raises(LeaseLostError, match="it was given to somebody else, or the search has ended"):
        leases.report(slow, {})
    assert leases.expire(clock.us + 31 * SECOND) == [0, 1]


def test_a_late_report_counts_while_nobody_missed_it(tracker, search, leases, clock):
    propose(tracker, search, 0)
    lease = leases.claim("slow", 30)
    clock.us += 60 * SECOND
    leases.report(lease, {"x": 1})
    assert (leases.expire(), len(leases.take_reports())) == ([], 1)
    with pytest.raises(LeaseLostError, match="its result was reported already"):
        leases.renew(lease, 30)


def test_a_broker_may_have_workers_of_its_own(tracker, search, leases, clock):
    propose(tracker, search, 0, job=None, lease=LeaseGrant(worker="here/7", ttl_seconds=5))
    assert (leases.claim("other", 30), leases.counts()) == (None, {"leased": 1})
    (flight,) = leases.in_flight()
    assert (flight.number, flight.state, flight.worker) == (0, "leased", "here/7")
    assert leases.expire(flight.expires.timestamp() * 2 * SECOND) == []  # whether it lives the broker knows


def test_running_trials_are_offered_afterwards(tracker, search, leases):
    propose(tracker, search, 0, 1, job=None)
    assert leases.counts() == {}
    leases.offer({})
    leases.offer({1: {"again": True}, 0: {"again": False}})
    claimed = leases.claim("w", 30)
    assert (claimed.number, claimed.job) == (0, {"again": False})
    leases.offer({0: {"third": 1}})
    with pytest.raises(LeaseLostError, match="given to somebody else"):
        leases.renew(claimed, 30)
    with pytest.raises(UnknownRunError, match="has no running trial 5"):
        leases.offer({5: {}})
    assert leases.counts() == {"open": 2}


@pytest.mark.parametrize("end", ["trial", "search", "purge"])
def test_leases_go_with_what_they_are_of(database, tracker, search, leases, end):
    uids = propose(tracker, search, 0)
    lease = leases.claim("w", 30)
    tracker.finish(uids[0] if end == "trial" else search.uid, state="failed", metrics={})
    if end == "purge":
        Curator(database).delete(search.uid)
        Curator(database).purge()
    assert leases.counts() == {}
    with pytest.raises(LeaseLostError, match="the search has ended"):
        leases.report(lease, {})


def test_what_cannot_be_is_refused(tracker, search, leases):
    propose(tracker, search, 0)
    for seconds in (0, -1, math.nan):
        with pytest.raises(ConfigError, match="some seconds"):
            leases.claim("w", seconds)
    lease = leases.claim("w", 30)
    with pytest.raises(StorageError, match="cannot store this as JSON"):
        leases.report(lease, {"bad": math.nan})
    leases.report(lease, {"good": 1})


CLAIM = """
with open_database(target) as database:
    leases = Leases(database, {uid!r})
    while (lease := leases.claim(name, 60)) is not None:
        said.append(lease.number)
        leases.report(lease, {{"by": name}})
"""


def test_processes_that_claim_at_once_never_get_the_same(database_url, start_search):
    with open_database(database_url) as database, Tracker(database) as tracker:
        search = start_search(tracker)
        propose(tracker, search, *range(60))
        imports = "from nasturtium.storage import Leases, open_database"
        said = run_together(imports, CLAIM.format(uid=search.uid), database_url, "abc")
        claims = {number: name for name, numbers in said.items() for number in numbers}
        reports = Leases(database, search.uid).take_reports()
        assert {each.number: each.report["by"] for each in reports} == claims
        assert [each.number for each in reports] == list(range(60))


KILLED = """
import os, signal, sys
from nasturtium.storage import Leases, open_database
with open_database(sys.argv[1]) as database:
    leases = Leases(database, sys.argv[2])
    leases.report(leases.claim("reporter", 60), {"x": 1})
    leases.claim("claimer", 60)
    print("done", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_worker_said_survives_it_and_a_new_broker(database_url, start_search):
    with open_database(database_url) as database, Tracker(database) as tracker:
        search = start_search(tracker)
        uids = propose(tracker, search, 0, 1, 2)
        own = propose(tracker, search, 3, job=None, lease=LeaseGrant(worker="own", ttl_seconds=60))
        unknown = propose(tracker, search, 4, job=None)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, database_url, search.uid], capture_output=True, text=True, check=False
        )
        assert (done.stdout, done.returncode) == ("done\n", -signal.SIGKILL)
        tracker.resume(search.uid)
        leases = Leases(database, search.uid)
        assert leases.counts() == {"leased": 1, "open": 1, "reported": 1}
        assert [each.report for each in leases.take_reports()] == [{"x": 1}]
        states = {trial.uid: trial.state for trial in History(database).trials(search.uid)}
        assert [states[uid] for uid in uids.values()] == ["running"] * 3
        assert [states[own[3]], states[unknown[4]]] == ["interrupted"] * 2

"""Federations are begun by one coordinator at a time, gone on with after a crash, and closed round by round."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from nasturtium.core import ConfigError
from nasturtium.storage import (
    ContributionRecord,
    Curator,
    FederatedRounds,
    Federations,
    History,
    IntegrityError,
    LeaseLostError,
    Ledger,
    RoundRecord,
    RunBusyError,
    Spend,
    StorageError,
    UnknownRunError,
    process,
)

SECOND = 1_000_000
CONFIG = {"rounds": 3, "data": {"target": "y"}}


@pytest.fixture
def jobs(database, clock):
    return Federations(database, clock=clock)


@pytest.fixture
def run(tracker):
    return tracker.start_federated(
        name="rows",
        seed=1,
        config={},
        dataset=None,
        clients=3,
        rounds=3,
        strategy="fedavg",
        scheme="packed",
        alpha=None,
        model_run=None,
        spec={},
    ).uid


@pytest.fixture
def rounds(database, run):
    return FederatedRounds(database, run)


def make_round(number: int, **changes) -> RoundRecord:
    fields = {
        "number": number,
        "participants": 2,
        "rejected": 1,
        "loss": None,
        "accuracy": None,
        "bytes_up": 10,
        "bytes_down": 20,
        "seconds": 0.5,
        "started": datetime(2026, 1, 2, tzinfo=UTC),
    }
    return RoundRecord(**fields | changes)


def gave(name: str, **changes) -> ContributionRecord:
    fields = {"client": name, "state": "accepted", "reason": None, "bytes_up": 5, "bytes_down": 6, "seconds": 0.1}
    return ContributionRecord(**fields | changes)


def test_the_oldest_job_is_claimed_and_is_one_coordinators(jobs):
    first, second = (jobs.queue("train", name, CONFIG) for name in ("one", "two"))
    assert [(each.name, each.state, each.alive) for each in jobs.jobs()] == [
        ("one", "queued", False),
        ("two", "queued", False),
    ]
    claim = jobs.claim("here/1", 30)
    assert (claim.uid, claim.config, claim.run, claim.epoch) == (first.uid, CONFIG, None, 1)
    assert jobs.claim("here/2", 30).uid == second.uid
    assert jobs.claim("here/3", 30) is None
    found = jobs.find(first.uid[:26])
    assert (found.state, found.holder, found.alive) == ("running", "here/1", True)


def test_a_job_whose_coordinator_says_nothing_is_claimed_by_another(jobs, clock):
    job = jobs.queue("search", "one", CONFIG)
    first = jobs.claim("here/1", 30)
    clock.us += 29 * SECOND
    assert jobs.claim("there/2", 30) is None
    assert jobs.renew(first, 30) is False
    clock.us += 31 * SECOND
    second = jobs.claim("there/2", 30)
    assert (second.uid, second.epoch) == (job.uid, 2)
    for late in (
        lambda: jobs.renew(first, 30),
        lambda: jobs.attach(first, "x"),
        lambda: jobs.end(first, "completed"),
    ):
        with pytest.raises(LeaseLostError, match="was taken over by there/2"):
            late()
    jobs.end(second, "completed")
    with pytest.raises(LeaseLostError, match="is completed"):
        jobs.renew(second, 30)
    assert jobs.claim("here/1", 30) is None


def test_a_job_whose_process_is_gone_is_claimed_at_once(jobs, monkeypatch):
    jobs.queue("train", "one", CONFIG)
    jobs.claim("here/1", 1e6)
    assert jobs.claim("here/2", 30) is None
    monkeypatch.setattr(process, "is_alive", lambda pid, born: False)
    assert jobs.claim("here/2", 30).epoch == 2


def test_a_job_keeps_its_run_over_coordinators(jobs, run, clock):
    jobs.queue("train", "one", CONFIG)
    claim = jobs.attach(jobs.claim("here/1", 30), run)
    assert claim.run == run
    clock.us += 31 * SECOND
    assert jobs.claim("here/2", 30).run == run
    assert jobs.find(run).run == run


def test_who_is_asked_to_stop_finds_out_and_the_job_is_resumed(jobs):
    job = jobs.queue("train", "one", CONFIG)
    claim = jobs.claim("here/1", 30)
    assert jobs.request_stop(job.uid) == "running"
    assert jobs.find(job.uid).stop_requested is not None
    assert jobs.renew(claim, 30)
    jobs.end(claim, "stopped", error="asked for")
    assert (jobs.find(job.uid).state, jobs.find(job.uid).error) == ("stopped", "asked for")
    with pytest.raises(ConfigError, match="is stopped: there is nothing to stop"):
        jobs.request_stop(job.uid)
    jobs.resume(job.uid)
    again = jobs.claim("here/1", 30)
    assert (again.epoch, jobs.renew(again, 30)) == (2, False)


def test_what_waits_stops_at_once_and_so_does_what_nobody_is_at(jobs, clock):
    waiting = jobs.queue("train", "one", CONFIG)
    assert jobs.request_stop(waiting.uid) == "stopped"
    assert jobs.claim("here/1", 30) is None
    left = jobs.queue("train", "two", CONFIG)
    claim = jobs.claim("here/1", 30)
    clock.us += 31 * SECOND
    assert jobs.request_stop(left.uid) == "stopped"
    with pytest.raises(LeaseLostError):
        jobs.renew(claim, 30)


def test_a_stop_that_nobody_has_seen_is_taken_back(jobs):
    job = jobs.queue("train", "one", CONFIG)
    claim = jobs.claim("here/1", 30)
    jobs.request_stop(job.uid)
    jobs.resume(job.uid)
    assert not jobs.renew(claim, 30)
    with pytest.raises(ConfigError, match="is running: there is nothing to resume"):
        jobs.resume(job.uid)


@pytest.mark.parametrize("ref", ["", "nothing", "0"])
def test_a_job_that_is_not_there_is_said_so(jobs, ref):
    jobs.queue("train", "one", CONFIG)
    jobs.queue("train", "two", CONFIG)
    with pytest.raises(UnknownRunError):
        jobs.find(ref)
    with pytest.raises(UnknownRunError, match="there is no federation"):
        jobs.request_stop("01JNONE")


@pytest.mark.parametrize("ttl", [0.0, -1.0, float("nan")])
def test_a_claim_lives_for_some_time(jobs, ttl):
    with pytest.raises(ConfigError, match="expected a time to live"):
        jobs.claim("here/1", ttl)
    with pytest.raises(ConfigError, match="expected a state of"):
        jobs.end(None, "queued")


CLAIM = """
import sys
from nasturtium.storage import Federations, open_database
print("ready", flush=True)
input()
with open_database(sys.argv[1], create=False) as database:
    claim = Federations(database).claim("child", 1e6)
    print(claim and claim.name, flush=True)
    input()
"""


def test_of_processes_that_ask_at_once_each_gets_another_job(database, jobs):
    for name in ("one", "two"):
        jobs.queue("train", name, CONFIG)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with ExitStack() as stack:
        children = [
            stack.enter_context(subprocess.Popen([sys.executable, "-c", CLAIM, database.url], text=True, **pipes))
            for _ in range(4)
        ]
        for child in children:
            stack.callback(child.kill)
        for child in children:
            assert child.stdout.readline() == "ready\n", child.stderr.read()
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        said = sorted(child.stdout.readline().strip() for child in children)
        assert said == ["None", "None", "one", "two"]
        assert jobs.claim("parent", 30) is None
    assert jobs.claim("parent", 30).epoch == 2  # they were killed


def test_attempts_are_numbered_on_whoever_makes_them(database, run, rounds):
    assert [rounds.open_attempt(1, "train") for _ in range(2)] == [1, 2]
    rounds.fail_attempt(1, 2, "too few", {"site-1": "no answer in time"})
    assert FederatedRounds(database, run).open_attempt(1, "train") == 3
    assert rounds.survivors(1) is None
    rounds.note_survivors(1, 3, ["bb", "aa"])
    found = History(database).attempts(run)
    assert [(each.attempt, each.failure, each.ended is None) for each in found] == [
        (1, None, True),
        (2, "too few", False),
        (3, None, True),
    ]
    assert found[1].refusals == {"site-1": "no answer in time"}
    assert (found[2].survivors, rounds.survivors(1)) == (["aa", "bb"], frozenset({"aa", "bb"}))
    assert [each.kind for each in History(database).events(run)] == ["started", "attempt failed"]


def test_a_round_is_closed_whole(database, run, rounds):
    spend = Spend(subject="data", run=run, round=1, mechanism="sum", epsilon=0.5, delta=0.0)
    rounds.open_attempt(1, "train")
    rounds.close(
        1,
        1,
        "train",
        b"a sum",
        record=make_round(1),
        contributions=[gave("site-1", rows=7, update_norm=0.5, clipped=True), gave("site-2")],
        and_then=lambda session: Ledger(database).spend(spend, session),
    )
    history = History(database)
    [closed] = history.closed_rounds(run)
    assert (closed.number, closed.attempt, closed.phase, closed.size_bytes) == (1, 1, "train", 5)
    assert [each.participants for each in history.rounds(run)] == [2]
    told = history.contributions(run, 1)
    assert [(each.client, each.rows, each.update_norm, each.clipped) for each in told] == [
        ("site-1", 7, 0.5, True),
        ("site-2", None, None, None),
    ]
    assert Ledger(database).spent("data").epsilon == 0.5
    point = rounds.resume_point()
    assert (point.next_round, point.total) == (2, b"a sum")
    rounds.open_attempt(2, "evaluate")
    rounds.close(2, 1, "evaluate", b"", figures=(1, 0.25, 0.75))
    assert (rounds.resume_point().next_round, rounds.resume_point().total) == (3, b"")
    assert [(each.loss, each.accuracy) for each in history.rounds(run)] == [(0.25, 0.75)]


def test_of_a_round_that_cannot_be_closed_nothing_is_written(database, run, rounds):
    def refuse(session):
        Ledger(database).spend(Spend(subject="data", run=run, round=1, mechanism="m", epsilon=1.0, delta=0.0), session)
        raise ZeroDivisionError

    rounds.open_attempt(1, "train")
    with pytest.raises(ZeroDivisionError):
        rounds.close(1, 1, "train", b"a sum", record=make_round(1), contributions=[gave("site-1")], and_then=refuse)
    history = History(database)
    assert history.rounds(run) == history.closed_rounds(run) == history.artifacts(run) == []
    assert Ledger(database).spent("data").releases == 0
    assert rounds.resume_point().next_round == 1
    for number in (2, 0):
        with pytest.raises(StorageError, match="the last closed one is 0"):
            rounds.close(number, 1, "train", b"a sum")
    rounds.close(1, 1, "train", b"a sum")
    with pytest.raises(StorageError, match="is closed, and is not run again"):
        rounds.open_attempt(1, "train")


def test_a_run_of_another_process_is_not_written_to(database, run, rounds, monkeypatch):
    monkeypatch.setattr(process, "is_own", lambda *args: False)
    with pytest.raises(RunBusyError, match="was taken over"):
        rounds.open_attempt(1, "train")


def test_a_later_claim_fences_an_earlier_one_off(database, run, jobs, clock):
    jobs.queue("train", "one", CONFIG)
    first = jobs.attach(jobs.claim("here/1", 30), run)
    old = FederatedRounds(database, run, claim=first)
    old.open_attempt(1, "train")
    clock.us += 31 * SECOND
    new = FederatedRounds(database, run, claim=jobs.claim("here/2", 30))
    for late in (
        lambda: old.open_attempt(1, "train"),
        lambda: old.close(1, 1, "train", b"x"),
        lambda: old.fail_attempt(1, 1, "late", {}),
        lambda: old.note_survivors(1, 1, ["aa"]),
    ):
        with pytest.raises(LeaseLostError, match="was taken over by here/2"):
            late()
    assert new.open_attempt(1, "train") == 2
    new.close(1, 2, "train", b"x")


@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_a_run_goes_on_from_the_last_round_whose_file_is_whole(database, run, rounds, damage):
    for number in (1, 2):
        rounds.open_attempt(number, "train")
        rounds.close(number, 1, "train", f"sum {number}".encode())
    last = History(database).closed_rounds(run)[-1]
    path = database.artifacts_dir / last.sha256[:2] / last.sha256
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"sum" if damage == "cut" else b"SUM 2")
    point = rounds.resume_point()
    assert (point.next_round, point.total) == (2, b"sum 1")
    assert rounds.open_attempt(2, "train") == 2
    rounds.close(2, 2, "train", b"sum 2")
    rounds.open_attempt(3, "train")
    path.write_bytes(b"none")
    with pytest.raises(IntegrityError, match="cannot go on after round 2"):
        rounds.resume_point()


def test_purging_a_run_takes_its_rounds_along(database, tracker, run, rounds, jobs):
    jobs.queue("train", "one", CONFIG)
    job = jobs.attach(jobs.claim("here/1", 30), run)
    rounds.open_attempt(1, "train")
    rounds.close(1, 1, "train", b"sum", record=make_round(1), contributions=[gave("site-1")])
    tracker.finish(run, state="completed", metrics={})
    Curator(database).delete(run)
    Curator(database).purge()
    assert jobs.find(job.uid).run is None
    with pytest.raises(UnknownRunError):
        History(database).attempts(run)

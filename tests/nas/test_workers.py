"""Workers that take trials from the database, and a broker's trials in the history.

This file is also a worker: `python test_workers.py DATABASE SEARCH` trains without end.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from nasturtium.core import Evaluation, FormatError
from nasturtium.nas.fidelity import SCHEDULERS, Rungs, Scoreboard
from nasturtium.nas.runner import (
    Begun,
    Broker,
    Heartbeat,
    HistoryStore,
    InlineEngine,
    Job,
    LeaseEngine,
    Outcome,
    Plan,
    SearchBudget,
    run_worker,
)
from nasturtium.nas.runner import heartbeat as heartbeat_module
from nasturtium.nas.runner import lease_engine as lease_engine_module
from nasturtium.nas.runner import worker as worker_module
from nasturtium.nas.runner.climb import climb
from nasturtium.nas.space import Space
from nasturtium.nas.strategies import Proposer
from nasturtium.storage import DatasetEntry, History, Leases, RunBusyError, SearchControl, Tracker, open_database

SPACE = Space.categorical("table", {f"x{i}": tuple(range(5)) for i in range(5)})
TRIALS = 12


class Table:
    """Looks a score up; one point of four diverges."""

    def evaluate(self, candidate, budget):
        x = [candidate.flat[f"x{i}"] for i in range(5)]
        if sum(x) % 4 == 3:
            return Evaluation(objectives={}, epochs=budget.epochs, diverged=True)
        best = sum(value * 5**-i for i, value in enumerate(x))
        curve = {epoch: best * (1 - 0.5 / epoch) for epoch in range(1, budget.epochs + 1)}
        return Evaluation(objectives={"score": curve[budget.epochs]}, curves={"score": curve}, epochs=budget.epochs)


class Endless:
    """An evaluator that is never done."""

    def evaluate(self, candidate, budget):
        print("training", flush=True)
        time.sleep(600)


class Died(BaseException):
    """The broker was killed."""


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch):
    for module in (lease_engine_module, worker_module):
        monkeypatch.setattr(module, "POLL_S", 0.02)
    monkeypatch.setattr(heartbeat_module, "INTERVAL_S", 0.05)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.db"


@pytest.fixture
def database(path):
    with open_database(path) as opened:
        yield opened


def start_search(database) -> str:
    with Tracker(database) as tracker:
        search = tracker.start_search(
            name="table",
            seed=1,
            config={},
            dataset=DatasetEntry(fingerprint="table", name="table", rows=1, body={}),
            space=SPACE.name,
            space_sha256=SPACE.sha256,
            sampler="evolution",
            pruner="asha",
            trials=TRIALS,
            objectives=[("score", "maximize")],
        )
        return search.run.uid


def search_with(database, uid, engine, *, observe=lambda event: None, trials=TRIALS, strategy="tpe"):
    with Tracker(database) as tracker, Heartbeat(database, uid) as heartbeat:
        broker = Broker(
            Plan(
                seed=1,
                objectives=("score",),
                judge=lambda evaluation: ((evaluation.objectives["score"],), 0.0),
                budget=SearchBudget(trials=trials),
                window=3,
            ),
            proposer=Proposer(SPACE, strategy, 1, ("maximize",)),
            scheduler=Scoreboard(SCHEDULERS["asha"](Rungs(total=9), ("maximize",))),
            engine=engine,
            store=HistoryStore(
                database, tracker, uid, SPACE, objectives=("score",), stepwise=True, heartbeat=heartbeat
            ),
            observe=observe,
        )
        return broker.run()


def resume(database, uid) -> None:
    with Tracker(database) as tracker:
        tracker.resume(uid)


def outline(database, uid):
    history = History(database)
    last = {trial.number: trial for trial in history.trials(uid)}
    return [
        (trial.number, trial.state, trial.cause, trial.flat, dict(trial.metrics), history.curves(trial.uid))
        for trial in last.values()
    ]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What the search finds in one go, in one process."""
    with open_database(tmp_path_factory.mktemp("whole") / "history.db") as opened:
        uid = start_search(opened)
        search_with(opened, uid, InlineEngine(Table()))
        found = outline(opened, uid)
    assert {"completed", "pruned", "failed"} == {row[1] for row in found}
    return found


@pytest.fixture
def workers(path):
    """Starts workers in threads, each with a connection of its own, and waits for them."""
    threads, failures = [], []

    def work(uid, **options):
        try:
            with open_database(path) as opened:
                run_worker(opened, uid, InlineEngine(Table()), **{"patience_seconds": 0.1, **options})
        except BaseException as exc:
            failures.append(exc)

    def add(uid, **options):
        threads.append(threading.Thread(target=work, args=(uid,), kwargs=options))
        threads[-1].start()

    yield add
    for thread in threads:
        thread.join()
    assert failures == []


def end(database, uid) -> None:
    with Tracker(database) as tracker:
        tracker.finish(uid, state="completed", metrics={})


def test_workers_train_what_one_process_would(database, expected, workers):
    uid = start_search(database)
    for _ in range(2):
        workers(uid)
    ending = search_with(database, uid, LeaseEngine(database, uid, slots=3))
    end(database, uid)
    assert ending.trials == TRIALS
    assert outline(database, uid) == expected
    assert Leases(database, uid).counts() == {}


@pytest.mark.parametrize("strategy", ["tpe", "evolution"])
@pytest.mark.parametrize("dies_after", [0, 1, 4, 9])
def test_a_search_in_the_history_goes_on_after_its_broker_died(database, dies_after, strategy):
    whole = start_search(database)
    search_with(database, whole, InlineEngine(Table()), strategy=strategy)
    uid = start_search(database)
    ended = []

    def die(event):
        if isinstance(event, Outcome):
            ended.append(event.number)
        if len(ended) > dies_after:
            raise Died

    with pytest.raises(Died):
        search_with(database, uid, InlineEngine(Table(), slots=2), observe=die, strategy=strategy)
    before = outline(database, uid)
    resume(database, uid)
    search_with(database, uid, InlineEngine(Table()), strategy=strategy)
    assert outline(database, uid) == outline(database, whole)
    assert [row for row in before if row[1] != "running"] == [
        row for row, was in zip(outline(database, uid), before, strict=False) if was[1] != "running"
    ]
    again = {trial.number for trial in History(database).trials(uid) if trial.attempt > 1}
    assert again == {row[0] for row in before if row[1] == "running"}
    assert search_with(database, uid, InlineEngine(Table()), strategy=strategy).trials == TRIALS  # nothing to do


def test_what_workers_have_outlives_the_broker(database, expected, workers):
    """A broker dies with trials on offer; they are trained meanwhile, and taken over by the next one."""
    uid = start_search(database)

    def die(event):
        if isinstance(event, Begun) and event.number == 2:
            raise Died

    engine = LeaseEngine(database, uid, slots=3)
    with pytest.raises(Died):
        search_with(database, uid, engine, observe=die)
    engine = LeaseEngine(database, uid, slots=3)
    assert engine.adopt() == {}  # nothing was on offer when it died
    resume(database, uid)
    begun = []

    def die_later(event):
        if isinstance(event, Begun):
            begun.append(event.number)
        if begun and isinstance(event, Outcome) and event.number == 3:
            raise Died

    workers(uid, patience_seconds=20)
    with pytest.raises(Died):
        search_with(database, uid, engine, observe=die_later)
    resume(database, uid)
    adopted = LeaseEngine(database, uid, slots=3).adopt()
    search_with(database, uid, LeaseEngine(database, uid, slots=3))
    end(database, uid)
    assert outline(database, uid) == expected
    tried = {trial.number: trial.attempt for trial in History(database).trials(uid)}
    assert all(tried[number] == attempt for number, attempt in adopted.items())


def test_a_trial_whose_worker_died_is_tried_again(database, expected, workers, monkeypatch):
    monkeypatch.setattr(lease_engine_module, "EXPIRE_S", 0.0)
    uid = start_search(database)
    causes = []

    def observe(event):
        if isinstance(event, Outcome) and event.state == "lost":
            causes.append((event.number, event.cause))

    engine = LeaseEngine(database, uid, slots=3)
    stolen = []
    submit = engine.submit

    def submit_and_steal(job):
        submit(job)
        if job.number == 0 and not stolen:
            engine.wait(0)
            stolen.append(Leases(database, uid).claim("dead", 0.05))
        if job.number == 2:
            workers(uid)

    engine.submit = submit_and_steal
    search_with(database, uid, engine, observe=observe)
    end(database, uid)
    assert [lease.number for lease in stolen] == [0]
    assert causes == [(0, "lease expired")]
    assert outline(database, uid) == expected


def test_a_report_that_cannot_be_read_costs_an_attempt(database, expected, workers):
    uid = start_search(database)
    engine = LeaseEngine(database, uid, slots=3)
    lost, submit = [], engine.submit

    def submit_and_garble(job):
        submit(job)
        if job.number == 0 and not lost:
            engine.wait(0)
            leases = Leases(database, uid)
            leases.report(leases.claim("garbler", 60), {"state": "splendid"})
        if job.number == 2:
            workers(uid)

    engine.submit = submit_and_garble
    search_with(
        database,
        uid,
        engine,
        observe=lambda event: lost.append(event) if isinstance(event, Outcome) and event.state == "lost" else None,
    )
    end(database, uid)
    assert [(outcome.number, outcome.cause) for outcome in lost] == [(0, "unreadable report")]
    assert outline(database, uid) == expected


def test_a_worker_that_is_asked_to_end_gives_its_trial_back(path, database):
    uid = start_search(database)
    engine = LeaseEngine(database, uid, slots=3)
    given_back = []

    def observe(event):
        if isinstance(event, Begun) and event.attempt == 1 and event.number == 2:
            worker.append(
                subprocess.Popen([sys.executable, __file__, str(path), uid], stdout=subprocess.PIPE, text=True)
            )
        if isinstance(event, Outcome):
            given_back.append(event)
            raise Died

    worker = []

    def wait(timeout):
        if worker and not told and Leases(database, uid).counts().get("leased"):
            told.append(worker[0].send_signal(signal.SIGTERM))
        return inner(timeout)

    told, inner = [], engine.wait
    engine.wait = wait
    with pytest.raises(Died):
        search_with(database, uid, engine, observe=observe)
    worker[0].communicate(timeout=60)
    assert worker[0].returncode == 0
    assert [(event.number, event.state, event.cause) for event in given_back] == [(0, "lost", "given back")]


def test_a_worker_whose_trial_is_no_longer_its_own_drops_it(database):
    uid = start_search(database)
    engine = LeaseEngine(database, uid, slots=3)
    cancelled = []

    class Overtaken(InlineEngine):
        """Trains while the search is ended."""

        def wait(self, timeout):
            if not cancelled:
                end(database, uid)
            time.sleep(0.02)
            return []

        def cancel(self, number, attempt):
            cancelled.append((number, attempt))

    def work(timeout):
        offer(0)
        assert run_worker(database, uid, Overtaken(Table()), ttl_seconds=0.03) == 0
        raise Died

    offer, engine.wait = engine.wait, work
    with pytest.raises(Died):
        search_with(database, uid, engine)
    assert cancelled == [(0, 1)]


@pytest.mark.parametrize(
    ("garbled", "match"),
    [
        pytest.param(lambda job: {"version": 99}, "job: missing or unknown fields", id="another-version"),
        pytest.param(lambda job: {**job, "number": 1}, "has the job of trial 1", id="of-another-trial"),
        pytest.param(lambda job: {**job, "attempt": 2}, "has the job of trial 0, attempt 2", id="of-another-attempt"),
    ],
)
def test_a_job_that_is_not_that_of_its_trial_is_given_back(database, garbled, match):
    uid = start_search(database)
    engine = LeaseEngine(database, uid, slots=3)
    offer = engine.wait

    def garble(timeout):
        offer(0)
        job = Leases(database, uid).claim("somebody", 60).job
        Leases(database, uid).offer({0: garbled(job)})
        with pytest.raises(FormatError, match=match):
            run_worker(database, uid, InlineEngine(Table()))
        raise Died

    engine.wait = garble
    with pytest.raises(Died):
        search_with(database, uid, engine)
    [report] = [each for each in Leases(database, uid).take_reports() if each.number == 0]
    assert report.report["cause"] == "given back"


@pytest.mark.parametrize(
    ("text", "parses"),
    [
        pytest.param("[1,", False, id="cut-off"),
        pytest.param("[" * 100_000, False, id="too-deep"),
        pytest.param('{"a": ' + "9" * 6000 + "}", False, id="too-large"),
        pytest.param('"text"', True, id="text"),
        pytest.param("[]", True, id="list"),
        pytest.param('{"state": "completed"}', True, id="no-outcome"),
    ],
)
def test_a_row_that_nobody_of_ours_wrote_is_an_error_of_format_or_a_lost_attempt(path, database, text, parses):
    uid = start_search(database)
    engine = LeaseEngine(database, uid, slots=3)
    offer = engine.wait

    def spoil(timeout):
        offer(0)
        leases = Leases(database, uid)
        leases.report(leases.claim("somebody", 60), {})
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE nst_lease SET report = ? WHERE number = 0", (text,))
        if not parses:
            with pytest.raises(FormatError, match="no JSON"):
                offer(0)
        else:
            [outcome] = offer(0)
            assert (outcome.number, outcome.state, outcome.cause) == (0, "lost", "unreadable report")
        raise Died

    engine.wait = spoil
    with pytest.raises(Died):
        search_with(database, uid, engine)


def test_a_request_to_stop_takes_back_what_no_worker_has_taken(database, expected):
    """There is no worker at all, or just one who has the first trial; nobody waits for those that never come."""
    uid = start_search(database)
    engine = LeaseEngine(database, uid, slots=3)
    offer, taken = engine.wait, []

    def ask(timeout):
        events = offer(0)
        leases = Leases(database, uid)
        if not taken:
            taken.append(leases.claim("the only one", 60))
            SearchControl(database, uid).request_stop()
        elif "open" not in leases.counts() and taken[0] is not None:
            lease, taken[0] = taken[0], None
            job = Job.from_dict(lease.job)
            *_, outcome = climb(Table(), job)
            leases.report(lease, outcome.to_dict())
        time.sleep(0.02)
        return events

    engine.wait = ask
    ending = search_with(database, uid, engine)
    assert (ending.reason, ending.trials) == ("request", 1)
    assert [(trial.number, trial.state, trial.cause) for trial in History(database).trials(uid)] == [
        (0, expected[0][1], expected[0][2]),
        (1, "interrupted", "abandoned"),
        (2, "interrupted", "abandoned"),
    ]
    assert Leases(database, uid).counts() == {}
    resume(database, uid)
    search_with(database, uid, InlineEngine(Table()))
    assert outline(database, uid) == expected


def test_a_request_to_stop_reaches_the_broker(database):
    uid = start_search(database)

    def ask(event):
        if isinstance(event, Outcome) and event.number == 1:
            SearchControl(database, uid).request_stop()
        time.sleep(0.1)  # the heart beats more often

    ending = search_with(database, uid, InlineEngine(Table()), observe=ask, trials=1000)
    assert ending.reason == "request"
    resume(database, uid)
    assert History(database).search_status(uid).stop_requested is None
    assert History(database).search_status(uid).active_seconds > 0.1


def test_a_broker_whose_search_was_taken_over_ends(database, monkeypatch):
    uid = start_search(database)
    with Heartbeat(database, uid) as heartbeat:
        monkeypatch.setattr("nasturtium.storage.control.process.host", lambda: "elsewhere")
        with pytest.raises(RunBusyError, match="taken over"):
            [heartbeat.stop_requested() or time.sleep(0.05) for _ in range(400)]


def main(path: str, uid: str) -> None:
    from nasturtium.nas.runner import ProcessEngine

    with open_database(path) as database:
        engine = ProcessEngine(Endless, 1)
        try:
            run_worker(database, uid, engine)
        finally:
            engine.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

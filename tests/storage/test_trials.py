"""Many trials in one transaction are the trials that were started and ended one by one."""

import math
import os
import signal
import subprocess
import sys

import pytest
from sqlalchemy import text

from nasturtium.core import ConfigError
from nasturtium.storage import (
    ArchitectureEntry,
    History,
    LeaseGrant,
    OutcomeEntry,
    ProposalEntry,
    StorageError,
    Tracker,
    UnknownRunError,
    open_database,
)
from nasturtium.storage.maintenance import check_database
from nasturtium.storage.models import Base

FIGURES = {"val_accuracy": 0.5, "val_loss": math.nan, "macs": math.inf}
CURVES = {"val_accuracy": {1: 0.25, 2: 0.75, 3: 0.5}, "loss": {0: math.nan, 5: -1.5}}
COST = {"cpu_seconds": 1.5, "peak_memory_bytes": 2**40, "rung": 9, "wall_seconds": 2.5, "transferred_bytes": 12}


def network(number: int) -> ArchitectureEntry:
    return ArchitectureEntry(
        sha256=f"{number:064x}",
        space="mlp",
        choices={"hidden": number, "layers": [{"units": number, "act": "relu"}]},
        spec={"layers": [64, number, 10]},
        parameters=number,
        macs=2 * number,
    )


def proposal(number: int, **changes: object) -> ProposalEntry:
    entry = {"number": number, "architecture": network(number // 2), "hyperparameters": {"lr": 0.1, "warm": True}}
    return ProposalEntry(**entry | {"seed": number} | changes)


def rows(database) -> dict[str, list[tuple[object, ...]]]:
    """All rows, without keys that depend on the order of writing, times and uids."""
    unlike = {"started_us", "ended_us", "at_us", "uid", "created_us", "study_name"}
    found: dict[str, list[tuple[object, ...]]] = {}
    with database.read() as session:
        names = dict(iter(session.execute(text("SELECT id, name FROM nst_name"))))
        for table in Base.metadata.sorted_tables:
            if table.name in {"nst_meta", "nst_name"}:
                continue
            columns = [column for column in table.columns if column.name not in unlike]
            if table.name == "nst_event":
                columns = [column for column in columns if column.name != "id"]
            found[table.name] = sorted(
                tuple(
                    repr(names[value] if column.name == "name_id" else value)
                    for column, value in zip(columns, row, strict=True)
                )
                for row in session.execute(table.select().with_only_columns(*columns))
            )
    return found


@pytest.mark.parametrize("state", ["completed", "pruned", "failed", "interrupted"])
def test_the_rows_are_those_of_trials_written_one_by_one(database, tmp_path, start_search, state):
    numbers = range(5)
    with open_database(tmp_path / "one-by-one.db") as other, Tracker(other) as tracker:
        search = start_search(tracker)
        uids = [
            tracker.start_trial(
                search.uid,
                number=number,
                architecture=network(number // 2),
                hyperparameters={"lr": 0.1, "warm": True},
                seed=number,
                optuna_number=None,
            )
            for number in numbers
        ]
        for uid in uids:
            tracker.finish(uid, state=state, metrics=FIGURES, error="no\0 luck", curves=CURVES)
        expected = rows(other)
    with Tracker(database) as tracker:
        search = start_search(tracker)
        made = tracker.record_proposals(search.uid, [proposal(number) for number in numbers])
        assert list(made) == list(numbers)
        outcomes = [
            OutcomeEntry(uid=uid, state=state, metrics=FIGURES, error="no\0 luck", curves=CURVES)
            for uid in made.values()
        ]
        tracker.record_outcomes(search.uid, outcomes)
    assert rows(database) == expected
    assert not check_database(database).findings


def test_what_is_new_of_a_trial_comes_back(tracker, history, start_search):
    search = start_search(tracker)
    flat = {"op": "relu", "width": 32, "lr": 0.1 + 0.2, "bias": True}
    uids = tracker.record_proposals(search.uid, [proposal(0, flat=flat, optuna_number=4), proposal(1)])
    tracker.record_outcomes(search.uid, [OutcomeEntry(uid=uids[0], state="failed", cause="out of memory", **COST)])
    first, second = history.trials(search.uid)
    assert (first.flat, first.optuna_number, first.cause) == (flat, 4, "out of memory")
    assert {name: getattr(first, name) for name in COST} == COST
    assert (second.flat, second.optuna_number, second.cause) == (None, None, None)
    assert [trial.number for trial in history.trials(search.uid, first=1)] == [1]
    assert history.trial(uids[0]) == first


def test_outcomes_and_proposals_are_written_together_or_not_at_all(tracker, history, start_search):
    search = start_search(tracker)
    uids = tracker.record(search.uid, proposals=[proposal(0)])
    done = OutcomeEntry(uid=uids[0], state="completed", metrics={"val_accuracy": 1.0})
    with pytest.raises(StorageError, match="cannot store this as JSON"):
        tracker.record(search.uid, outcomes=[done], proposals=[proposal(1, job={"bad": math.nan})])
    assert [trial.state for trial in history.trials(search.uid)] == ["running"]
    assert list(tracker.record(search.uid, outcomes=[done], proposals=[proposal(1, job={"good": 1})])) == [1]
    assert [trial.state for trial in history.trials(search.uid)] == ["completed", "running"]


def test_an_outcome_that_is_recorded_again_changes_nothing(database, tracker, start_search):
    search = start_search(tracker)
    uids = tracker.record_proposals(search.uid, [proposal(0)])
    done = OutcomeEntry(uid=uids[0], state="pruned", metrics=FIGURES, curves=CURVES, cause="asha", **COST)
    tracker.record_outcomes(search.uid, [done])
    before = rows(database), History(database).trials(search.uid)[0].ended
    tracker.record_outcomes(search.uid, [done])
    tracker.record_outcomes(search.uid, [done, done])
    assert (rows(database), History(database).trials(search.uid)[0].ended) == before


def test_a_trial_that_is_tried_again_has_its_next_attempt(tracker, history, start_search):
    search = start_search(tracker)
    first = tracker.record_proposals(search.uid, [proposal(0, job={"try": 1}), proposal(1)])
    tracker.record_outcomes(search.uid, [OutcomeEntry(uid=first[1], state="completed")])
    second = tracker.record_proposals(search.uid, [proposal(0, job={"try": 2}), proposal(2)])
    trials = history.trials(search.uid)
    assert [(trial.number, trial.attempt, trial.state) for trial in trials] == [
        (0, 1, "interrupted"),
        (0, 2, "running"),
        (1, 1, "completed"),
        (2, 1, "running"),
    ]
    assert [trial.uid for trial in trials] == [first[0], second[0], first[1], second[2]]


def test_points_that_were_logged_are_summed_up_with_those_of_the_outcome(tracker, history, start_search):
    search = start_search(tracker)
    uids = tracker.record_proposals(search.uid, [proposal(0)])
    tracker.log(uids[0], {"loss": 3.0}, step=1)
    tracker.record_outcomes(search.uid, [OutcomeEntry(uid=uids[0], state="completed", curves={"loss": {2: 1.0}})])
    assert history.curves(uids[0]) == {"loss": {1: 3.0, 2: 1.0}}
    assert history.trial_curves(search.uid, "loss") == {uids[0]: {1: 3.0, 2: 1.0}}
    assert history.trial_curves(search.uid, "loss", first=1) == {}
    summary = history.summaries(uids[0])["loss"]
    assert (summary.points, summary.min, summary.max, summary.value) == (2, 1.0, 3.0, 1.0)


def test_thousands_of_trials_are_one_call(sqlite_database, start_search):
    with Tracker(sqlite_database) as tracker:
        search = start_search(tracker)
        uids = tracker.record_proposals(search.uid, [proposal(number) for number in range(1200)])
        outcomes = [OutcomeEntry(uid=uid, state="completed", metrics={"m": 1.0}) for uid in uids.values()]
        tracker.record_outcomes(search.uid, outcomes)
    trials = History(sqlite_database).trials(search.uid)
    assert [(trial.number, trial.state) for trial in trials] == [(number, "completed") for number in range(1200)]


@pytest.mark.parametrize(
    ("record", "error", "message"),
    [
        pytest.param({"proposals": [proposal(0, seed=-1)]}, ConfigError, "trial 0: expected 0 <= seed", id="seed"),
        pytest.param(
            {"proposals": [proposal(-1, seed=0, architecture=network(1))]}, ConfigError, "from 0, got -1", id="number"
        ),
        pytest.param({"proposals": [proposal(3), proposal(3)]}, ConfigError, r"once, got \[3, 3\]", id="twice"),
        pytest.param(
            {"proposals": [proposal(3, lease=LeaseGrant(worker="w", ttl_seconds=0))]}, ConfigError, "got 0", id="ttl"
        ),
        pytest.param({"outcomes": [OutcomeEntry(uid="U", state="lost")]}, ConfigError, "got 'lost'", id="state"),
        pytest.param(
            {"outcomes": [OutcomeEntry(uid="U", state="failed", rung=-1)]}, ConfigError, "rung >= 0, got -1", id="rung"
        ),
        pytest.param(
            {"outcomes": [OutcomeEntry(uid="U", state="failed", cpu_seconds=math.nan)]},
            ConfigError,
            "cpu_seconds >= 0, got nan",
            id="nan",
        ),
        pytest.param(
            {"outcomes": [OutcomeEntry(uid="U", state="failed", metrics={"": 1.0})]}, ConfigError, "a name", id="name"
        ),
        pytest.param({"outcomes": [OutcomeEntry(uid="U", state="failed")]}, UnknownRunError, "trial U", id="unknown"),
    ],
)
def test_what_cannot_be_is_refused(sqlite_database, start_search, record, error, message):
    with Tracker(sqlite_database) as tracker:
        search = start_search(tracker)
        with pytest.raises(error, match=message):
            tracker.record(search.uid, **record)
    assert History(sqlite_database).trials(search.uid) == []


def test_a_completed_trial_stays_completed(tracker, history, start_search):
    search, other = start_search(tracker), start_search(tracker)
    uids = tracker.record_proposals(search.uid, [proposal(0), proposal(1)])
    tracker.record_outcomes(search.uid, [OutcomeEntry(uid=uids[0], state="completed")])
    changed = [OutcomeEntry(uid=uids[1], state="completed"), OutcomeEntry(uid=uids[0], state="failed")]
    with pytest.raises(ConfigError, match="is completed and cannot become failed"):
        tracker.record_outcomes(search.uid, changed)
    with pytest.raises(UnknownRunError, match=f"the search has no trial {uids[1]}"):
        tracker.record_outcomes(other.uid, changed[:1])
    assert [trial.state for trial in history.trials(search.uid)] == ["completed", "running"]


KILLED = """
import os, signal, sys
from nasturtium.storage import ArchitectureEntry, OutcomeEntry, ProposalEntry, Tracker, open_database
with open_database(sys.argv[1]) as database:
    tracker = Tracker(database)
    uid, last, number = sys.argv[2], {}, 0
    tracker.resume(uid)
    while True:
        network = ArchitectureEntry(sha256=f"{number:064x}", space="mlp", choices={}, spec={}, parameters=1, macs=1)
        done = [OutcomeEntry(uid=each, state="completed", metrics={"m": 1.0}) for each in last.values()]
        new = [
            ProposalEntry(number=number + place, architecture=network, hyperparameters={}, seed=0) for place in range(8)
        ]
        last = tracker.record(uid, outcomes=done, proposals=new)
        number += 8
        print(number, flush=True)
"""


def test_what_was_recorded_survives_the_process(database_url, start_search):
    with open_database(database_url) as database, Tracker(database) as tracker:
        search = start_search(tracker)
        tracker.finish(search.uid, state="interrupted", metrics={})
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, database_url, search.uid], stdout=subprocess.PIPE, text=True
        )
        with child:
            for line in child.stdout:
                if int(line) >= 40:
                    os.kill(child.pid, signal.SIGKILL)
                    break
        trials = History(database).trials(search.uid)
        assert len(trials) >= 40
        assert len(trials) % 8 == 0
        states = [trial.state for trial in trials]
        assert states == ["completed"] * (len(trials) - 8) + ["interrupted"] * 8
        assert not [each for each in check_database(database).findings if each.severity == "error"]

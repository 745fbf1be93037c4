"""What Optuna and its command line read of a search that we recorded, on both engines."""

import json
import math
import os
import subprocess
import sys
from datetime import UTC
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from sqlalchemy import create_engine, make_url, text

from nasturtium.core import ConfigError
from nasturtium.nas.runner.mirror import StudyMirror, mirror_study
from nasturtium.nas.runner.optuna_tables import SCHEMA
from nasturtium.storage import (
    ArchitectureEntry,
    Curator,
    DatasetEntry,
    History,
    OutcomeEntry,
    ProposalEntry,
    StorageError,
    Tracker,
    open_database,
)
from nasturtium.storage.maintenance import check_database

optuna.logging.set_verbosity(optuna.logging.ERROR)
DISTRIBUTIONS = {
    "op": CategoricalDistribution(["relu", True, 1.5, "a\tb\\n\n"]),
    "width": IntDistribution(8, 64, step=8),
    "lr": FloatDistribution(1e-4, 1.0, log=True),
}
FLATS = [
    {"op": "relu", "width": 8, "lr": 1e-3},
    {"op": True, "width": 64, "lr": 0.1 + 0.2},
    {"op": 1.5, "width": 16, "lr": 1.0},
    {"op": "a\tb\\n\n", "width": 24, "lr": 1e-4},
    {"op": "relu", "width": 32, "lr": 0.5},
    {"op": "relu", "width": 40, "lr": 0.5},
]
OBJECTIVES = (("val_accuracy", "maximize"), ("macs", "minimize"))


@pytest.fixture
def database(database_url):
    with open_database(database_url) as database:
        yield database


@pytest.fixture
def tracker(database):
    with Tracker(database) as tracker:
        yield tracker


def start_search(tracker, objectives=OBJECTIVES, name="digits"):
    return tracker.start_search(
        name=name,
        seed=1,
        config={},
        dataset=DatasetEntry(fingerprint="sha256:11", name="digits", rows=9, body={}),
        space="mlp",
        space_sha256="cd" * 32,
        sampler="evolution",
        pruner="asha",
        trials=9,
        objectives=objectives,
    )


def proposal(number, flat=None):
    network = ArchitectureEntry(
        sha256=f"{number:064x}", space="mlp", choices={"n": number}, spec={}, parameters=10, macs=20
    )
    flat = FLATS[number] if flat is None else flat
    return ProposalEntry(number=number, architecture=network, hyperparameters={}, seed=number, flat=flat)


def load(database, search) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.RDBStorage(database.url)
    study = optuna.load_study(study_name=search.study_name, storage=storage)
    trials = study.trials
    storage.remove_session()
    storage.engine.dispose()
    return trials


def counts(database) -> dict[str, int]:
    tables = ["studies", "study_directions", "study_user_attributes", "study_system_attributes", "trials"]
    tables += ["trial_params", "trial_values", "trial_intermediate_values", "trial_user_attributes"]
    with database.read() as session:
        return {table: session.scalar(text(f"SELECT count(*) FROM {table}")) for table in tables}


@pytest.fixture
def filled(database, tracker):
    """A search with a trial in every state, and what its trials are to be in Optuna."""
    search = start_search(tracker)
    uids = tracker.record_proposals(search.uid, [proposal(number) for number in range(len(FLATS))])
    figures = {"val_accuracy": 0.9, "macs": 20.0, "gap": math.nan}
    curve = {"val_accuracy": {1: 0.5, 2: math.nan, 4: math.inf, 9: -math.inf}}
    outcomes = [
        OutcomeEntry(uid=uids[0], state="completed", metrics=figures, curves=curve, rung=9),
        OutcomeEntry(uid=uids[1], state="completed", metrics={"val_accuracy": -math.inf, "macs": 0.1}),
        OutcomeEntry(uid=uids[2], state="completed", metrics={"val_accuracy": math.nan, "macs": 20.0}),
        OutcomeEntry(uid=uids[3], state="pruned", metrics={"val_accuracy": 0.1, "macs": 7.0}, rung=3),
        OutcomeEntry(uid=uids[4], state="failed", error="no\tmemory\\", cause="out of memory"),
    ]
    tracker.record_outcomes(search.uid, outcomes)
    states = ["COMPLETE", "COMPLETE", "FAIL", "PRUNED", "FAIL", "RUNNING"]
    values = [[0.9, 20.0], [-math.inf, 0.1], None, [0.1, 7.0], None, None]
    return search, uids, states, values


def test_optuna_reads_what_we_recorded(database, filled):
    search, uids, states, values = filled
    assert mirror_study(database, search, DISTRIBUTIONS) == len(FLATS)
    trials = load(database, search)
    assert [trial.number for trial in trials] == list(range(len(FLATS)))
    assert [trial.state.name for trial in trials] == states
    assert [trial.values for trial in trials] == values
    assert [trial.params for trial in trials] == FLATS
    assert [list(map(type, trial.params.values())) for trial in trials] == [
        list(map(type, flat.values())) for flat in FLATS
    ]
    assert [trial.distributions for trial in trials] == [DISTRIBUTIONS] * len(FLATS)
    points = trials[0].intermediate_values
    assert math.isnan(points.pop(2))
    assert points == {1: 0.5, 4: math.inf, 9: -math.inf}
    ours = History(database).trials(search.uid)
    for trial, record in zip(trials, ours, strict=True):
        assert trial.datetime_start.astimezone(UTC) == record.started
        ended = trial.datetime_complete
        assert (None if ended is None else ended.astimezone(UTC)) == record.ended
        assert (trial.user_attrs["uid"], trial.user_attrs["macs"]) == (uids[trial.number], 20)
    assert trials[0].user_attrs["metrics"] == {"macs": 20.0, "val_accuracy": 0.9}
    assert (trials[0].user_attrs["epochs"], trials[4].user_attrs["cause"]) == (9, "out of memory")
    assert trials[4].user_attrs["error"] == "no\tmemory\\"
    assert not check_database(database).findings


def test_the_study_says_what_is_searched_for(database, filled):
    search, *_ = filled
    mirror_study(database, search, DISTRIBUTIONS)
    storage = optuna.storages.RDBStorage(database.url)
    study = optuna.load_study(study_name=search.study_name, storage=storage)
    assert [each.name for each in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["val_accuracy", "macs"]
    assert study.user_attrs == {"uid": search.uid, "space": "mlp", "strategy": "evolution"}
    assert sorted(trial.number for trial in study.best_trials) == [0, 1]
    storage.remove_session()
    storage.engine.dispose()


def test_writing_it_again_changes_nothing(database, filled):
    search, *_ = filled
    mirror = StudyMirror(database, search, DISTRIBUTIONS)
    mirror.update()
    before = counts(database)
    assert mirror.update() == 0
    assert mirror_study(database, search, DISTRIBUTIONS) == 0
    assert counts(database) == before
    assert before["trial_params"] == 3 * len(FLATS)


def test_a_search_that_goes_on_is_followed(database, tracker):
    """A trial that is tried again stays one trial, which runs until it has ended."""
    search = start_search(tracker, objectives=(("loss", "minimize"),))
    mirror = StudyMirror(database, search, DISTRIBUTIONS)
    assert (mirror.update(), load(database, search)) == (0, [])
    uids = tracker.record_proposals(search.uid, [proposal(0), proposal(1)])
    tracker.log_points(uids[0], {"loss": {1: 3.0}})
    assert mirror.update() == 2
    tracker.log_points(uids[0], {"loss": {2: 2.0}})
    assert mirror.update() == 0
    assert [trial.intermediate_values for trial in load(database, search)] == [{1: 3.0, 2: 2.0}, {}]
    tracker.record_outcomes(search.uid, [OutcomeEntry(uid=uids[1], state="completed", metrics={"loss": 1.0})])
    tracker.record_outcomes(search.uid, [OutcomeEntry(uid=uids[0], state="interrupted")])
    assert mirror.update() == 1
    assert [trial.state for trial in load(database, search)] == [TrialState.RUNNING, TrialState.COMPLETE]
    again = tracker.record_proposals(search.uid, [proposal(0), proposal(2)])
    done = OutcomeEntry(uid=again[0], state="completed", metrics={"loss": 0.5}, curves={"loss": {1: 3.0, 2: 2.0}})
    tracker.record_outcomes(search.uid, [done])
    assert mirror.update() == 2
    trials = load(database, search)
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "RUNNING"]
    assert (trials[0].value, trials[0].user_attrs["uid"], trials[0].user_attrs["attempt"]) == (0.5, again[0], 2)
    assert trials[0].intermediate_values == {1: 3.0, 2: 2.0}
    tracker.finish(search.uid, state="completed", metrics={})
    assert mirror.update() == 1
    assert [trial.state.name for trial in load(database, search)] == ["COMPLETE", "COMPLETE", "FAIL"]
    assert mirror.update() == 0


def test_what_people_add_with_optuna_stays(database, tracker):
    search = start_search(tracker)
    uids = tracker.record_proposals(search.uid, [proposal(0)])
    mirror = StudyMirror(database, search, DISTRIBUTIONS)
    mirror.update()
    storage = optuna.storages.RDBStorage(database.url)
    (trial,) = optuna.load_study(study_name=search.study_name, storage=storage).trials
    storage.set_trial_user_attr(trial._trial_id, "seen", "by Ada")
    storage.remove_session()
    storage.engine.dispose()
    figures = {"val_accuracy": 0.9, "macs": 1.0}
    tracker.record_outcomes(search.uid, [OutcomeEntry(uid=uids[0], state="completed", metrics=figures)])
    mirror.update()
    (trial,) = load(database, search)
    assert (trial.user_attrs["seen"], trial.user_attrs["metrics"]) == ("by Ada", figures)


def test_two_searches_share_a_database(database, tracker, monkeypatch):
    monkeypatch.setattr("nasturtium.nas.runner.mirror.BATCH", 2)
    searches = [start_search(tracker, name=name) for name in ("one", "two")]
    mirrors = [StudyMirror(database, search, DISTRIBUTIONS) for search in searches]
    for numbers in ([0, 1, 2], [3], [4, 5]):
        for search, mirror in zip(searches, mirrors, strict=True):
            tracker.record_proposals(search.uid, [proposal(number) for number in numbers])
            assert mirror.update() == len(numbers)
    for search in searches:
        assert [trial.params for trial in load(database, search)] == FLATS
    assert counts(database)["studies"] == 2


def test_a_study_that_was_deleted_comes_back(database, filled):
    search, *_ = filled
    mirror_study(database, search, DISTRIBUTIONS)
    storage = optuna.storages.RDBStorage(database.url)
    optuna.delete_study(study_name=search.study_name, storage=storage)
    storage.remove_session()
    storage.engine.dispose()
    assert mirror_study(database, search, DISTRIBUTIONS) == len(FLATS)
    assert [trial.params for trial in load(database, search)] == FLATS


@pytest.mark.parametrize(
    ("flat", "message"),
    [
        pytest.param({"op": "gelu"}, "trial 0: op = 'gelu' is not in CategoricalDistribution", id="no-choice"),
        pytest.param({"depth": 3}, "trial 0 has a leaf 'depth' that its space does not have", id="no-leaf"),
    ],
)
def test_a_point_of_another_space_is_refused(database, tracker, flat, message):
    search = start_search(tracker)
    tracker.record_proposals(search.uid, [proposal(0, flat)])
    with pytest.raises(ConfigError, match=message):
        mirror_study(database, search, DISTRIBUTIONS)
    assert counts(database)["trials"] == 0


def test_tables_of_another_optuna_are_left_alone(database, filled):
    search, *_ = filled
    mirror_study(database, search, DISTRIBUTIONS)
    engine = create_engine(make_url(database.url))
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == SCHEMA
        connection.execute(text("UPDATE alembic_version SET version_num = 'v2.6.0.a'"))
    engine.dispose()
    with pytest.raises(StorageError, match=r"tables of Optuna are of version v2.6.0.a, expected v3.2.0.a"):
        mirror_study(database, search, DISTRIBUTIONS)


def run_optuna(*arguments: str) -> object:
    program = Path(sys.executable).with_name("optuna")
    command = [str(program), *arguments, "--format", "json"]
    quiet = os.environ | {"PYTHONWARNINGS": "ignore"}
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=quiet).stdout)


def test_the_command_line_of_optuna_lists_it(database, filled):
    search, _, states, _ = filled
    mirror_study(database, search, DISTRIBUTIONS)
    (study,) = run_optuna("studies", "--storage", database.url)
    assert (study["name"], study["n_trials"]) == (search.study_name, len(FLATS))
    trials = run_optuna("trials", "--study-name", search.study_name, "--storage", database.url)
    assert [trial["state"] for trial in trials] == states
    assert [trial["params"]["width"] for trial in trials] == [flat["width"] for flat in FLATS]


def test_a_purged_search_leaves_nothing_with_optuna(database, tracker, filled):
    search, *_ = filled
    other = start_search(tracker, name="other")
    tracker.record_proposals(other.uid, [proposal(0)])
    mirror_study(database, other, DISTRIBUTIONS)
    before = counts(database)
    mirror_study(database, search, DISTRIBUTIONS)
    tracker.finish(search.uid, state="completed", metrics={})
    Curator(database).delete(search.uid)
    Curator(database).purge()
    assert counts(database) == before
    assert [trial.params for trial in load(database, other)] == FLATS[:1]

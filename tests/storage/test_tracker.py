"""What the verbs write is what the history reads, on both engines."""

import hashlib
import math
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from nasturtium.core import ConfigError
from nasturtium.storage import (
    ArtifactRecord,
    ContributionRecord,
    History,
    RoundRecord,
    RunBusyError,
    Tracker,
    UnknownRunError,
    describe_environment,
    process,
    unpack_model,
)

ROUND = RoundRecord(
    number=1,
    participants=3,
    rejected=1,
    loss=math.inf,
    accuracy=None,
    bytes_up=3000,
    bytes_down=2**40,
    seconds=1.5,
    started=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
)
CONTRIBUTIONS = [
    ContributionRecord(client="site-2", state="accepted", reason=None, bytes_up=1000, bytes_down=9, seconds=0.5),
    ContributionRecord(
        client="site-3", state="rejected", reason="bad signature", bytes_up=1, bytes_down=9, seconds=0.0
    ),
    ContributionRecord(client="site-10", state="accepted", reason=None, bytes_up=1999, bytes_down=9, seconds=1.0),
]


@pytest.fixture
def start_federated(dataset):
    def start(tracker, **changes):
        planned = {"name": "digits", "seed": 1, "config": {}, "dataset": dataset, "clients": 3, "rounds": 2}
        how = {"strategy": "fedavg", "scheme": "ckks", "alpha": 0.5, "model_run": None, "spec": {"layers": [64, 10]}}
        return tracker.start_federated(**planned | how | changes)

    return start


def test_a_search_is_told_as_it_was_started(tracker, history, start_search, dataset):
    search = start_search(tracker, seed=2**63 - 1, config={"z": [1, None, "é\0"], "a": 0.1})
    assert search == history.search(search.uid)
    assert (search.space, search.sampler, search.pruner, search.trials) == ("mlp", "tpe", "none", 3)
    assert search.study_name == f"nasturtium-{search.uid}"
    run = search.run
    assert (run.number, run.kind, run.state, run.parent) == (1, "search", "running", None)
    assert (run.seed, run.ended, run.seconds, run.error, run.metrics) == (2**63 - 1, None, None, None, {})
    assert list(run.config.items()) == [("z", [1, None, "é\0"]), ("a", 0.1)]  # in the order it was given
    assert history.dataset(search.uid) == dataset
    assert history.environment(search.uid) == describe_environment().body


def test_numbers_count_top_level_runs_only(tracker, history, start_search, start_trial, start_federated):
    first = start_search(tracker)
    trial = start_trial(tracker, first)
    second = start_federated(tracker)
    assert [first.run.number, history.find(trial).number, second.run.number] == [1, None, 2]
    assert [run.uid for run in history.runs()] == [second.uid, first.uid]
    assert [run.uid for run in history.runs(kind="search")] == [first.uid]
    assert [run.uid for run in history.runs(limit=1)] == [second.uid]


def test_a_trial_tried_again_is_another_attempt_at_the_same_architecture(
    database, tracker, history, start_search, start_trial
):
    search = start_search(tracker)
    uids = [
        start_trial(tracker, search, 1, hidden=16),
        start_trial(tracker, search, 0, hidden=32),
        start_trial(tracker, search, 1, hidden=16),
    ]
    start_trial(tracker, start_search(tracker), 1, hidden=16)
    tracker.finish(uids[0], state="failed", metrics={}, error="out of memory")
    tracker.finish(uids[2], state="completed", metrics={"val_accuracy": 0.9})
    trials = history.trials(search.uid)
    assert [(trial.number, trial.attempt) for trial in trials] == [(0, 1), (1, 1), (1, 2)]
    assert [trial.uid for trial in trials] == [uids[1], uids[0], uids[2]]
    assert [trial.state for trial in trials] == ["running", "failed", "completed"]
    assert [trial.error for trial in trials] == [None, "out of memory", None]
    assert trials[1].architecture == trials[2].architecture != trials[0].architecture
    assert trials[2].architecture.choices == {"hidden": 16, "activation": "relu"}
    assert trials[2].metrics == {"val_accuracy": 0.9}
    assert (trials[2].hyperparameters, trials[2].seed, trials[2].optuna_number) == ({"lr": 0.01}, 3, 1)
    assert history.find(uids[0]).parent == search.uid
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM nst_architecture")).scalar_one() == 2
        assert session.execute(text("SELECT count(*) FROM nst_dataset")).scalar_one() == 1
        assert session.execute(text("SELECT count(*) FROM nst_environment")).scalar_one() == 1


def test_writing_twice_is_writing_once(tracker, history, start_search, tmp_path):
    uid = start_search(tracker).uid
    (tmp_path / "notes.txt").write_bytes(b"notes")
    for _ in range(2):
        tracker.log_points(uid, {"loss": {1: 2.0, 2: 1.0}, "accuracy": {1: 0.5}})
        tracker.finish(uid, state="completed", metrics={"x": 1.0}, curves={"loss": {2: 0.9, 3: 0.5}})
        tracker.record_artifact(uid, tmp_path / "notes.txt", role="report", media_type="text/plain")
        record = history.find(uid)
        assert history.curves(uid) == {"accuracy": {1: 0.5}, "loss": {1: 2.0, 2: 0.9, 3: 0.5}}
        assert (record.state, record.metrics) == ("completed", {"accuracy": 0.5, "loss": 0.5, "x": 1.0})
        sha256 = hashlib.sha256(b"notes").hexdigest()
        assert history.artifacts(uid) == [
            ArtifactRecord(role="report", name="notes.txt", sha256=sha256, size_bytes=5, media_type="text/plain")
        ]
        ended = record.ended
    assert record.ended == ended


def test_seconds_run_from_start_to_end(database, history, start_search):
    now = [1_700_000_000_000_000]
    tracker = Tracker(database, clock=lambda: now[0])
    search = start_search(tracker)
    now[0] += 1_500_000
    tracker.finish(search.uid, state="completed", metrics={})
    assert history.find(search.uid).seconds == 1.5


def test_an_error_of_any_letters_can_be_told(tracker, history, start_search):
    uid = start_search(tracker).uid
    tracker.finish(uid, state="failed", metrics={}, error="bad \0 name \udcff in 数据")
    assert history.find(uid).error == "bad \N{REPLACEMENT CHARACTER} name ? in 数据"


def test_nothing_runs_below_a_finished_run(tracker, history, start_search, start_trial):
    search = start_search(tracker)
    running, done = start_trial(tracker, search, 0), start_trial(tracker, search, 1)
    tracker.finish(done, state="pruned", metrics={})
    retrain = tracker.start_child(search.uid, kind="retrain", seed=5, config={"epochs": 50})
    tracker.finish(search.uid, state="failed", metrics={}, error="disk full")
    assert [trial.state for trial in history.trials(search.uid)] == ["interrupted", "pruned"]
    assert history.trials(search.uid)[0].ended is not None
    assert [(run.uid, run.state) for run in history.children(search.uid, "retrain")] == [(retrain, "interrupted")]
    assert [run.uid for run in history.children(search.uid, "trial")] == [running, done]
    assert history.dataset(retrain) == history.dataset(search.uid)


def test_a_completed_run_stays_completed(tracker, history, start_search):
    uid = start_search(tracker).uid
    tracker.finish(uid, state="completed", metrics={})
    with pytest.raises(ConfigError, match="cannot become failed"):
        tracker.finish(uid, state="failed", metrics={})
    with pytest.raises(ConfigError, match="already finished"):
        tracker.resume(uid)
    assert history.find(uid).state == "completed"


@pytest.mark.parametrize("state", ["failed", "interrupted", "running"])
def test_resume_goes_on_where_it_stopped(tracker, history, start_search, start_trial, state):
    search = start_search(tracker)
    trial = start_trial(tracker, search)
    if state != "running":
        tracker.finish(search.uid, state=state, metrics={}, error="stopped")
    tracker.resume(search.uid)
    run = history.find(search.uid)
    assert (run.state, run.ended, run.error) == ("running", None, None)
    assert history.find(trial).state == "interrupted"


def dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    return child.pid


@pytest.mark.parametrize(
    ("pid", "host", "born", "reported"),
    [
        pytest.param(os.getpid, None, None, "running", id="ours"),
        pytest.param(os.getppid, None, None, "running", id="alive"),
        pytest.param(dead_process, None, None, "interrupted", id="dead"),
        pytest.param(os.getppid, None, "an earlier boot/7", "interrupted", id="number-taken-over"),
        pytest.param(dead_process, None, "an earlier boot/7", "interrupted", id="dead-and-known"),
        pytest.param(dead_process, "elsewhere", None, "running", id="other-machine"),
    ],
)
def test_a_run_whose_process_is_gone_is_interrupted_and_can_be_resumed(
    database, tracker, history, start_search, pid, host, born, reported
):
    uid, pid = start_search(tracker).uid, pid()
    with database.write() as session:
        holder = {"pid": pid, "host": host or process.host(), "born": born}
        session.execute(text("UPDATE nst_run SET pid = :pid, host = :host, born = :born"), holder)
    assert [run.state for run in history.runs()] == [reported]
    if reported == "running" and host is None and pid != os.getpid():
        with pytest.raises(RunBusyError, match=f"run 1 .* process {pid}"):
            tracker.resume(uid)
    else:
        tracker.resume(uid)
        assert history.find(uid).state == "running"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not tell births")
def test_a_process_is_alive_until_it_is_dead_even_unburied():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        born = process.birth(child.pid)
        assert born == process.birth(child.pid) != process.birth(os.getpid())
        assert process.is_alive(child.pid, born)
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table of processes
        assert not process.is_alive(child.pid, born)
    assert not process.is_alive(child.pid, born)


def test_a_federated_training_is_told_round_by_round(tracker, history, start_search, start_federated):
    model = start_search(tracker)
    federated = start_federated(tracker, model_run=model.uid, alpha=math.inf)
    assert federated == history.federated(federated.uid)
    assert (federated.model_run, federated.alpha, federated.scheme) == (model.uid, math.inf, "ckks")
    assert (federated.clients, federated.rounds, federated.strategy) == (3, 2, "fedavg")
    assert federated.spec == {"layers": [64, 10]}
    second = replace(ROUND, number=2, loss=0.25, accuracy=math.nan)
    for _ in range(2):
        tracker.record_round(federated.uid, second, CONTRIBUTIONS[:1])
        tracker.record_round(federated.uid, ROUND, CONTRIBUTIONS[::-1])
    assert list(map(repr, history.rounds(federated.uid))) == [repr(ROUND), repr(second)]  # NaN is not equal to itself
    assert history.contributions(federated.uid, 1) == CONTRIBUTIONS
    assert history.contributions(federated.uid, 2) == CONTRIBUTIONS[:1]
    tracker.update_round_metrics(federated.uid, 1, loss=math.nan, accuracy=0.75)
    assert repr(history.rounds(federated.uid)[0]) == repr(replace(ROUND, loss=math.nan, accuracy=0.75))
    with pytest.raises(ConfigError, match="no round 3"):
        tracker.update_round_metrics(federated.uid, 3, loss=None, accuracy=None)


def test_a_federated_training_may_have_no_data_and_no_model_of_ours(tracker, history, start_federated):
    federated = start_federated(tracker, dataset=None, alpha=None)
    assert (federated.alpha, federated.model_run, history.dataset(federated.uid)) == (None, None, None)


NOBODY = "0" * 26


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda t, h: t.resume(NOBODY), id="resume"),
        pytest.param(lambda t, h: t.start_child(NOBODY, seed=1, config={}), id="start-child"),
        pytest.param(lambda t, h: t.log_points(NOBODY, {}), id="log-points"),
        pytest.param(lambda t, h: t.finish(NOBODY, state="completed", metrics={}), id="finish"),
        pytest.param(lambda t, h: t.record_round(NOBODY, ROUND, []), id="record-round"),
        pytest.param(lambda t, h: h.search(NOBODY), id="search"),
        pytest.param(lambda t, h: h.trials(NOBODY), id="trials"),
        pytest.param(lambda t, h: h.curves(NOBODY), id="curves"),
        pytest.param(lambda t, h: h.metrics(NOBODY), id="metrics"),
        pytest.param(lambda t, h: h.artifacts(NOBODY), id="artifacts"),
        pytest.param(lambda t, h: h.environment(NOBODY), id="environment"),
        pytest.param(lambda t, h: h.children(NOBODY, "trial"), id="children"),
    ],
)
def test_an_unknown_uid_is_an_error(sqlite_database, use):
    with pytest.raises(UnknownRunError, match=f"no run {NOBODY}.*nasturtium history list"):
        use(Tracker(sqlite_database), History(sqlite_database))


@pytest.mark.parametrize(
    ("use", "message"),
    [
        pytest.param(lambda t, h, uid: h.federated(uid), "is of kind search, expected federated", id="kind"),
        pytest.param(lambda t, h, uid: t.finish(uid, state="done", metrics={}), "got 'done'", id="state"),
        pytest.param(lambda t, h, uid: t.start_child(uid, seed=-1, config={}), "got -1", id="negative-seed"),
        pytest.param(lambda t, h, uid: t.start_child(uid, seed=2**63, config={}), "seed < 2", id="long-seed"),
        pytest.param(
            lambda t, h, uid: t.resume(t.start_child(uid, seed=1, config={})), "is a retrain: only", id="resume-child"
        ),
    ],
)
def test_a_wrong_request_is_an_error(sqlite_database, start_search, use, message):
    tracker = Tracker(sqlite_database)
    with pytest.raises((ConfigError, UnknownRunError), match=message):
        use(tracker, History(sqlite_database), start_search(tracker).uid)


@pytest.mark.parametrize(
    ("error", "state", "text"),
    [
        pytest.param(RuntimeError("no room"), "failed", "RuntimeError: no room", id="failed"),
        pytest.param(KeyboardInterrupt(), "interrupted", "interrupted", id="interrupted"),
    ],
)
def test_what_ends_a_run_early_is_recorded_and_goes_on(tracker, history, start_search, error, state, text):
    uid = start_search(tracker).uid
    with pytest.raises(type(error)), tracker.ending(uid):
        raise error
    run = history.find(uid)
    assert (run.state, run.error) == (state, text)


def test_what_is_raised_after_the_end_changes_nothing(tracker, history, start_search):
    uid = start_search(tracker).uid
    tracker.finish(uid, state="completed", metrics={})
    with pytest.raises(KeyboardInterrupt), tracker.ending(uid):
        raise KeyboardInterrupt
    assert history.find(uid).state == "completed"


def test_a_model_folder_is_kept_file_by_file(database, tracker, history, start_search, tmp_path):
    uid = start_search(tracker).uid
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"weights")
    (folder / "model.json").write_bytes(b"{}")
    tracker.record_model(uid, folder)
    description, weights = history.artifacts(uid)
    assert (description.role, description.name, description.media_type) == ("model", "model.json", "application/json")
    assert (weights.name, weights.size_bytes) == ("weights.safetensors", 7)
    assert weights.sha256 == hashlib.sha256(b"weights").hexdigest()
    unpack_model(database, [description, weights], tmp_path / "again")
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == {
        "model.json": b"{}",
        "weights.safetensors": b"weights",
    }

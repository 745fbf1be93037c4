"""An architecture search across real sites: everything of a deployment but its servers."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nasturtium.core import load_model
from nasturtium.federated import AuditLog
from nasturtium.federated.deployment import (
    FederationConfig,
    JobGoesOn,
    ModelKept,
    ModelReleased,
    load_job,
    read_clients,
    read_jobs,
    read_rounds,
    remove_site,
    resume_job,
    start_job,
    stop_job,
)
from nasturtium.federated.errors import PausedError, StoppedError
from nasturtium.nas import SearchReport, read_report
from nasturtium.storage import Federations, History, Ledger, ModelRegistry, open_database

from . import household
from .household import Household, make_household, meet

TRIALS, ROUNDS = 3, 2
SEARCH = f"""\
version = 1
name = "tiny"
seed = 3
[search]
trials = {TRIALS}
rounds = {ROUNDS}
together = 2
strategy = "random"
scheduler = "none"
[model]
rounds = {ROUNDS}
[training]
epochs = 1
"""


def ask(folder: Path, text: str = SEARCH, **changes: object) -> FederationConfig:
    folder.mkdir(exist_ok=True)
    hub = make_household(folder, **changes)
    (folder / "search.toml").write_text(text)
    start_job(hub, load_job(folder / "search.toml"))
    meet(folder)
    return hub


def outline(folder: Path) -> list[tuple[object, ...]]:
    """What the trials of the only search are, and what came of them, but for their runs."""
    with open_database(folder / "hub" / "history.db") as database:
        history = History(database)
        [run] = [run for run in history.runs(kind="search") if run.state == "completed"]
        last = {trial.number: trial for trial in history.trials(run.uid)}
        return [
            (trial.state, trial.architecture.sha256, trial.hyperparameters, trial.metrics["val_loss"])
            for trial in last.values()
        ]


def weights(folder: Path) -> set[bytes]:
    found = [path.read_bytes() for path in folder.glob("?/state/models/*/*.safetensors")]
    assert len(found) == 3
    return set(found)


class StopAfter:
    """Asks for the job to stop once some trials are finished."""

    def __init__(self, config: FederationConfig, trials: int) -> None:
        self.config, self.left, self.said = config, trials, list[str]()

    def __call__(self, event: object) -> None:
        if isinstance(event, JobGoesOn):
            self.said.append(event.what)
            self.left -= "completed" in event.what
            if self.left == 0:
                self.left = -1
                stop_job(self.config, "1")


def test_a_search_that_is_stopped_goes_on_and_ends_with_a_model_at_every_site(tmp_path, monkeypatch):
    monkeypatch.setattr("nasturtium.federated.deployment.preparation._BEAT_S", 0.0)
    config = ask(tmp_path)
    with open_database(tmp_path / "hub" / "history.db") as database:
        hears = StopAfter(config, 1)
        with pytest.raises(StoppedError):
            Household(tmp_path, database, hears).work()
        [status] = read_jobs(config)
        assert (status.state, status.kind) == ("stopped", "search")
        history = History(database)
        job = Federations(database).find(status.uid)
        assert history.search(job.run).run.state == "interrupted"
        done = [trial for trial in history.trials(job.run) if trial.state == "completed"]
        assert 1 <= len(done) < TRIALS
        assert status.trials == f"{len(done)}/{TRIALS}"

        resume_job(config, "1")
        home = Household(tmp_path, database)
        run = home.work()
        [status] = read_jobs(config)
        assert (status.state, status.trials, status.accuracy) == ("completed", "3/3", run.accuracy)
        trials = history.trials(job.run)
        assert all(trial in trials for trial in done)  # they were not tried again
        assert {trial.number for trial in trials if trial.state == "completed"} == {0, 1, 2}
        # The sites keep the model, the same one, and none of a candidate; the coordinator has no weights.
        assert len(weights(tmp_path)) == 1
        [model] = history.children(job.run, "retrain")
        kept = [event for event in home.heard if isinstance(event, ModelKept)]
        assert [event.run for event in kept] == [model.uid] * 3
        assert not list((tmp_path / "hub").rglob("*.safetensors"))
        assert history.metrics(job.run)["val_accuracy"] == run.accuracy
        report = read_report(database, job.run)
        assert report is not None
        assert SearchReport.from_dict(report.to_dict()) == report
        assert "the model stays there" in report.to_text()
        assert "test" not in report.rows
        assert history.ask("val_accuracy >= 0 and kind == 'trial'")
        Ledger(database).verify(signatures=True)
    rounds = read_rounds(config, "1")
    assert read_rounds(config) == rounds
    assert {row["trial"] for row in rounds} == {"1", "2", "3", "model"}
    assert [row["round"] for row in rounds if row["trial"] == "model"] == [1, 2]
    assert all(row["participants"] == 3 for row in rounds if not row["why"])
    assert all(row["accepted"] >= (TRIALS + 1) * ROUNDS for row in read_clients(config, "1"))
    actions = {entry.action for entry in AuditLog(tmp_path / "a" / "state" / "audit").entries()}
    assert actions >= {"agree", "search", "train", "evaluate", "report"}


def test_sites_that_take_part_in_no_search_pause_it(tmp_path):
    allowed = '"train", "evaluate", "search", "checkpoint"'
    config = ask(
        tmp_path,
        policy=lambda name, text: text if name == "a" else text.replace(allowed, '"train", "evaluate"'),
    )
    forbidden = pytest.raises(PausedError, match="its policy does not allow it to search")
    with open_database(tmp_path / "hub" / "history.db") as database, forbidden:
        Household(tmp_path, database).work()
    [status] = read_jobs(config)
    assert (status.state, status.trials) == ("paused", "0/3")


@pytest.mark.parametrize("willing", ["abc", pytest.param("ab", marks=pytest.mark.soak)])
def test_the_model_of_a_search_goes_to_whom_the_sites_give_it(tmp_path, willing):
    def policy(name: str, text: str) -> str:
        if name not in willing:
            return text
        text = text.replace('"search", "checkpoint"', '"search", "checkpoint", "release"')
        return text.replace("release_to = []", 'release_to = ["coordinator"]')

    text = SEARCH.replace(f"trials = {TRIALS}", "trials = 1").replace(f"rounds = {ROUNDS}", "rounds = 1")
    config = ask(tmp_path, text.replace("[search]", 'release_to = "coordinator"\n[search]'), policy=policy)
    with open_database(tmp_path / "hub" / "history.db") as database:
        events = list[object]()
        home = Household(tmp_path, database, events.append)
        run = home.work()
        home.close()
        [model] = History(database).children(run.claim.run, "retrain")
        released = [event for event in events if isinstance(event, ModelReleased)]
        if willing == "ab":
            assert run.note is not None
            assert run.note.startswith("the model was not given out: 2 sites of 3 give the model to coordinator")
            assert released == []
            return
        assert run.note is None
        assert [(event.run, event.opened) for event in released] == [(model.uid, True)]
        assert ModelRegistry(database).find("tiny").run == run.claim.run
        assert load_model(database.models_dir / run.claim.run).metadata["from"] == ["a", "b", "c"]
    [weights] = {path.read_bytes() for path in tmp_path.glob("?/state/models/*/*.safetensors")}
    assert (database.models_dir / run.claim.run / "weights.safetensors").read_bytes() == weights
    assert read_jobs(config)[0].state == "completed"


def test_where_nothing_searches_a_search_fails_and_says_so(tmp_path):
    from threading import Event

    from nasturtium.core import ConfigError
    from nasturtium.federated.deployment.search_run import SearchRun

    hub = make_household(tmp_path)
    (tmp_path / "search.toml").write_text(SEARCH)
    start_job(hub, load_job(tmp_path / "search.toml"))
    with open_database(tmp_path / "hub" / "history.db") as database:
        claim = Federations(database).claim("here", 60)
        with pytest.raises(ConfigError, match="this server only trains"):
            SearchRun(replace(Household(tmp_path, database).hub), claim, Event()).main(None)  # pyright: ignore


@pytest.mark.soak
@pytest.mark.parametrize(
    "said",
    [
        pytest.param(
            SEARCH.replace('scheduler = "none"', 'scheduler = "asha"').replace("rounds = 2", "rounds = 3", 1), id="asha"
        ),
        pytest.param(SEARCH.replace('scheduler = "none"', 'evaluate = "supernet"'), id="supernet"),
        pytest.param(SEARCH + '[protection]\nscheme = "plain"\nmasked = false\n', id="plain"),
        pytest.param(SEARCH.replace('scheduler = "none"', 'control = "equal"\nscheduler = "none"'), id="control"),
        pytest.param(
            SEARCH.replace('scheduler = "none"', 'objectives = ["val_accuracy", "upload_bytes"]\nstrategy = "nsga2"'),
            id="goals",
        ),
    ],
)
def test_searches_of_every_kind(tmp_path, said):
    plain = "plain" in said
    said = said.replace('strategy = "random"\n', "") if "nsga2" in said else said
    config = ask(
        tmp_path,
        said,
        policy=lambda name, text: (
            text.replace("require_masks = true", "require_masks = false").replace(
                "allow_plain = false", "allow_plain = true"
            )
            if plain
            else text
        ),
    )
    with open_database(tmp_path / "hub" / "history.db") as database:
        Household(tmp_path, database).work()
    [status] = read_jobs(config)
    assert (status.state, status.trials) == ("completed", f"{TRIALS}/{TRIALS}")
    assert len(weights(tmp_path)) == 1


@pytest.mark.soak
def test_a_search_outlives_a_site_and_the_key_it_began_with(tmp_path, monkeypatch):
    monkeypatch.setattr("nasturtium.federated.deployment.preparation._BEAT_S", 0.0)
    config = ask(tmp_path, sites="abcd")
    with open_database(tmp_path / "hub" / "history.db") as database:
        with pytest.raises(StoppedError):
            Household(tmp_path, database, StopAfter(config, 1)).work()
        history = History(database)
        [job] = Federations(database).jobs()
        done = [trial for trial in history.trials(job.run) if trial.state == "completed"]
        assert 1 <= len(done) < TRIALS
        remove_site(config, "d")
        home = Household(tmp_path, database)
        for _ in range(4):
            resume_job(config, "1")
            try:
                home.work()
                break
            except PausedError:
                home.approve()
        [status] = read_jobs(config)
        assert (status.state, status.trials) == ("completed", f"{TRIALS}/{TRIALS}")
        assert all(trial in history.trials(job.run) for trial in done)
    assert len(weights(tmp_path)) == 1


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, household.__file__, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.soak
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_search_that_is_killed_again_and_again_ends_with_the_same_trials(tmp_path):
    whole, broken, rng = tmp_path / "whole", tmp_path / "broken", random.Random(7)
    for folder in (whole, broken):
        ask(folder)
    killed = 0
    for place, folder in enumerate([whole, *[broken] * 8]):
        with start(folder) as process:
            for _ in range(0 if not place else rng.randint(1, 3)):
                process.stdout.readline()
            try:
                process.wait(None if not place else rng.uniform(0.0, 2.0))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed += 1
            process.communicate()
    with open_database(broken / "hub" / "history.db") as database:
        done = Federations(database).jobs()[0].state == "completed"
    if not done:
        with start(broken) as process:
            _, errors = process.communicate()
            assert process.returncode == 0, errors
    assert killed >= 2
    assert outline(broken) == outline(whole)
    assert len(weights(broken)) == 1
    with open_database(broken / "hub" / "history.db") as database:
        history = History(database)
        [job] = Federations(database).jobs()
        assert job.state == "completed"
        [model] = [run for run in history.children(job.run, "retrain") if run.state == "completed"]
        assert [each.number for each in history.closed_rounds(model.uid)] == list(range(1, ROUNDS + 3))
        Ledger(database).verify(signatures=True)

"""`nasturtium federate search`: candidates that sites train, left and gone on with, reported like any search."""

from __future__ import annotations

import json

import pytest

from nasturtium.cli import library
from nasturtium.core import ConfigError
from nasturtium.nas import TrialFinished
from nasturtium.storage import History, Ledger, open_database

SITES = {"clients": 3, "epochs": 1, "rounds": 2}
SEARCH = {"space": "mlp", "trials": 5, "epochs": 2, "workers": 2, "strategy": "evolution", "seed": 3}


def run(db, **changes):
    return library.federated_search("digits", db=db, federation=SITES, **{**SEARCH, **changes})


def of_trials(db, uid):
    with library.open_history(db) as history:
        done = {trial.number: trial for trial in history.trials(uid)}
        return [(dict(done[number].flat), dict(done[number].metrics), done[number].state) for number in sorted(done)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A search at one candidate at a time but for the window, and its database."""
    db = tmp_path_factory.mktemp("search") / "history.db"
    return run(db), db


def test_it_ends_with_a_model_that_was_tested_once(finished):
    result, db = finished
    assert result.model.is_dir()
    assert result.report.rows["test"] == 364
    assert {model.name for model in result.report.models} == {"model", "winner", "random search"}
    assert result.report.trials == {"searched": 5, "random": 4}
    assert "trained where the rows are" in result.report.to_text()
    assert library.search_report(db=db).to_dict() == result.report.to_dict()
    saved = library.load_run_model(result.search.uid, db=db)
    assert saved.metadata["test_accuracy"] == result.test["accuracy"]


def test_trials_have_rounds_and_every_release_is_charged(finished):
    result, db = finished
    with open_database(db, create=False) as database:
        history, ledger = History(database), Ledger(database)
        trials = [trial for trial in history.trials(result.search.uid) if trial.state == "completed"]
        assert trials
        for trial in trials:
            rounds = history.rounds(trial.uid)
            assert [each.number for each in rounds] == [1, 2]
            assert rounds[-1].accuracy == trial.metrics["val_accuracy"]
            assert trial.transferred_bytes > sum(each.bytes_up for each in rounds)
            subject = history.dataset(result.search.uid).fingerprint
            said = [each.body["mechanism"] for each in ledger.entries(subject=subject, run=trial.uid, kind="spend")]
            assert said == ["exact sum of updates"] * 2 + ["exact counts"]
        [model, *_] = history.children(result.search.uid, "retrain")
        assert len(history.rounds(model.uid)) == SITES["rounds"]


class Left(KeyboardInterrupt):
    """Somebody pressed Ctrl-C."""


@pytest.mark.parametrize("after", [1, 4])
def test_left_and_gone_on_with_it_is_the_same(finished, tmp_path, after):
    result, db = finished
    done = []

    def leave(event):
        if isinstance(event, TrialFinished):
            done.append(event)
            if len(done) == after:
                raise Left

    with pytest.raises(Left):
        run(tmp_path / "left.db", observe=leave)
    with pytest.raises(ConfigError, match="at sites, and none were opened"):
        library.search(db=tmp_path / "left.db", resume="@last")
    with pytest.raises(ConfigError, match="was started with federation="):
        library.federated_search(db=tmp_path / "left.db", resume="@last", federation={"clients": 4})
    again = library.federated_search(db=tmp_path / "left.db", resume="@last")
    assert of_trials(tmp_path / "left.db", again.search.uid) == of_trials(db, result.search.uid)
    assert again.test == result.test


def test_a_supernet_is_shared_by_the_sites(tmp_path):
    """Who goes on trains it again: it was with the sites, which ended."""
    asked = {"evaluate": "supernet", "trials": 4, "space": "mlp"}
    result = run(tmp_path / "whole.db", **asked)
    done = []

    def leave(event):
        if isinstance(event, TrialFinished):
            done.append(event)
            if len(done) == 2:
                raise Left

    with pytest.raises(Left):
        run(tmp_path / "left.db", observe=leave, **asked)
    again = library.federated_search(db=tmp_path / "left.db", resume="@last")
    assert of_trials(tmp_path / "left.db", again.search.uid) == of_trials(tmp_path / "whole.db", result.search.uid)
    assert again.test == result.test
    with open_database(tmp_path / "whole.db", create=False) as database:
        charged = Ledger(database).entries(run=result.search.uid, kind="spend")
        assert len(charged) == 2 * SEARCH["epochs"]  # paths, two in a message
        trials = History(database).trials(result.search.uid)
        assert {len(History(database).rounds(trial.uid)) for trial in trials} == {1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"evaluate": "zero-cost", "objectives": ("nwot",)}, "are evaluated by that", id="zero-cost"),
        pytest.param({"fidelity": "rows"}, "fewer epochs at first", id="rows"),
        pytest.param({"zero_cost": "nwot"}, "zero-cost scores need rows", id="score"),
        pytest.param({"trial_seconds": 3.0}, "limits of single trials", id="limits"),
        pytest.param({"constraints": ("latency_ms <= 2",)}, "not measured for latency_ms", id="latency"),
        pytest.param({"workers": 65}, "1 to 64 candidates", id="workers"),
    ],
)
def test_what_sites_cannot_evaluate_is_refused(tmp_path, changes, said):
    with pytest.raises(ConfigError, match=said):
        run(tmp_path / "none.db", **changes)


@pytest.mark.parametrize(
    ("federation", "said"),
    [
        pytest.param({"sites": 3}, "cannot be simulated so", id="unknown"),
        pytest.param({"clients": 2}, "expected 3 to 10000 clients", id="few"),
        pytest.param({"epsilon": 8.0}, "exact", id="noise"),
        pytest.param({"preprocessing": "agreed"}, "pooled", id="agreed"),
        pytest.param({"scheme": "plain", "strategy": "fedbuff"}, "choose another strategy", id="buffered"),
    ],
)
def test_sites_that_cannot_be_are_refused(tmp_path, federation, said):
    with pytest.raises(ConfigError, match=said):
        library.federated_search("digits", db=tmp_path / "none.db", federation=SITES | federation, **SEARCH)


def test_the_command_searches_and_says_what_it_found(command, tmp_path):
    config = tmp_path / "search.toml"
    config.write_text('space = "mlp"\nstrategy = "random"\nworkers = 3\n[federation]\nclients = 3\nepochs = 1\n')
    words = ("--data", "digits", "--config", config, "--trials", 3, "--rounds", 1, "--final-rounds", 1, "--masked")
    answer = command("federate", "search", *words, "--objective", "val_accuracy", "--objective", "upload_bytes")
    assert answer.code == 0, answer.err
    assert "best: trial" in answer.out
    shown = json.loads(command("history", "show", "@last", "--json").out)
    assert shown["config"]["federation"] == {"clients": 3, "epochs": 1, "masked": True, "rounds": 1}
    assert shown["config"]["workers"] == 3
    refused = command("search", "--resume", 1)
    assert refused.code == 2
    assert "federate search --resume" in refused.err
    assert command("federate", "search").code == 2

"""Real processes, really killed: what was finished stays, resuming ends where the uninterrupted search ends."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from nasturtium.cli.app import run

PROGRAM = [sys.executable, "-c", "from nasturtium.cli import main; main()"]


@pytest.fixture(scope="module")
def small(few_digits):
    """The words of a search that ends soon, but for its length."""
    data = ["--data", str(few_digits), "--target", "label"]
    return ["search", *data, "--space", "mlp", "--folds", "none", "--top", "1", "--repeats", "1"]


@pytest.fixture(scope="module")
def search(small):
    return [*small, "--trials", "3", "--epochs", "4", "--seed", "1"]


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


def finish(folder: Path, *words: str) -> str:
    process = start(folder, *words)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def ask(folder: Path, *words: str) -> Any:
    """What a command prints as JSON, run in this process: an interpreter starts for a second."""
    printed, handler = io.StringIO(), signal.getsignal(signal.SIGTERM)
    with chdir(folder), redirect_stdout(printed):
        assert run([*words, "--json"]) == 0
    signal.signal(signal.SIGTERM, handler)
    return json.loads(printed.getvalue())


def stop_after(process: subprocess.Popen[str], line: str, how: signal.Signals) -> str:
    """Send a signal as soon as stderr shows a line; the rest of stderr."""
    assert process.stderr is not None
    for said in process.stderr:
        if said.startswith(line):
            break
    process.send_signal(how)
    return process.communicate(timeout=120)[1]


def outline(folder: Path) -> list[tuple]:
    details = ask(folder, "history", "show", "1")
    trials = [trial for trial in details["trials"] if trial["state"] in {"completed", "pruned"}]
    found = [(t["trial"], t["state"], t["architecture_sha256"], t["val_accuracy"]) for t in trials]
    return [*found, ("test", details["metrics"]["test_loss"])]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, search):
    folder = tmp_path_factory.mktemp("whole")
    ask(folder, *search, "--here")
    return outline(folder)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("search 1", id="in-the-first-trial"),
        pytest.param("trial 2/3", id="after-two-trials", marks=pytest.mark.soak),
        pytest.param("training on all rows", id="in-the-retraining"),
    ],
)
def test_a_killed_search_goes_on(tmp_path, search, uninterrupted, line):
    process = start(tmp_path, *search)
    stop_after(process, line, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    with sqlite3.connect(tmp_path / "nasturtium.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    [row] = ask(tmp_path, "history", "list")
    assert row["state"] == "interrupted"
    ask(tmp_path, *search, "--resume", "1")
    assert outline(tmp_path) == uninterrupted


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)])
def test_a_stopped_search_says_how_to_go_on(tmp_path, search, uninterrupted, how):
    process = start(tmp_path, *search)
    said = stop_after(process, "trial 1/3", how)
    assert process.returncode == 130
    assert "nasturtium search --resume 1" in said
    assert "Traceback" not in said
    finish(tmp_path, "search", "--resume", "1")
    assert outline(tmp_path) == uninterrupted


def test_a_killed_federation_keeps_its_rounds(tmp_path):
    words = ["federate", "simulate", "--data", "digits", "--rounds", "50", "--epochs", "1", "--clients", "3"]
    process = start(tmp_path, *words)
    stop_after(process, "round 3/50", signal.SIGKILL)
    shown = ask(tmp_path, "history", "show", "1")
    assert shown["state"] == "interrupted"
    assert len(shown["rounds"]) >= 3
    assert not list(tmp_path.glob("nasturtium.models/*"))


def test_several_first_searches_share_a_new_database(tmp_path, small):
    """All of them create the database and Optuna's tables at once."""
    words = [*small, "--trials", "1", "--epochs", "1", "--here"]
    started = [start(tmp_path, *words, "--seed", str(seed)) for seed in range(3)]
    for process in started:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    rows = ask(tmp_path, "history", "list")
    assert [(row["id"], row["state"]) for row in rows] == [(3, "completed"), (2, "completed"), (1, "completed")]


LOSING = """
import signal, weakref
from nasturtium.cli import main
from nasturtium.cli.progress import SearchProgress

class Loaded: pass

def lose(progress, event, see=SearchProgress._finish):
    see(progress, event)
    loaded = Loaded()
    watcher = weakref.ref(loaded, lambda _: signal.raise_signal(signal.{name}))
    del loaded

SearchProgress._finish = lose
main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_comes_in_a_callback_of_the_garbage_collection_is_not_lost(tmp_path, search, name):
    """As those of SQLAlchemy, one in ten of which made Ctrl-C be ignored."""
    program = [sys.executable, "-c", LOSING.format(name=name), *search]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 130, done.stderr
    assert "interrupted; go on with: nasturtium search --resume 1" in done.stderr
    assert "ignored" not in done.stderr
    [row] = ask(tmp_path, "history", "list")
    assert row["state"] == "interrupted"

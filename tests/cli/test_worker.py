"""`nasturtium worker`: trains trials of a search that another process runs, and says what it does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest

from nasturtium.cli import library
from nasturtium.cli.schema import DIALECT, SCHEMAS
from nasturtium.storage import Tracker, open_database

PROGRAM = [sys.executable, "-c", "from nasturtium.cli import main; main()"]
SEARCH = ["search", "--data", "digits", "--space", "mlp", "--trials", "3", "--epochs", "2", "--seed", "0"]
SEARCH += ["--top", "1", "--repeats", "1", "--remote", "--workers", "2"]


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


def wait_for(process: subprocess.Popen[str], said: str) -> str:
    """Read stderr to the line that has some words."""
    for line in process.stderr:
        if said in line:
            return line
    pytest.fail(f"ended without saying {said!r}")


def test_trials_are_trained_by_workers_of_which_one_is_told_to_end(command, tmp_path):
    search = start(tmp_path, *SEARCH)
    wait_for(search, "nasturtium worker --study 1")
    first = start(tmp_path, "worker", "--study", "1")
    wait_for(first, "taken, attempt 1")
    first.send_signal(signal.SIGTERM)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert "of search 1 trained here; told to end" in out
    second = command("worker", "--study", 1, "--workers", 2)
    assert second.code == 0, second.err
    assert "the search is over" in second.out
    assert "completed: val_accuracy 0." in second.err
    out, err = search.communicate(timeout=120)
    assert search.returncode == 0, err
    assert "Pareto front" in out


@pytest.fixture
def waiting(digits, tmp_path):
    """A search that nobody runs any more."""
    with open_database(tmp_path / "nasturtium.db") as database, Tracker(database) as tracker:
        tracker.start_run("mine")
    return digits


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--study", "1"], 2, "search 1 is completed: there is nothing to train"),
        (["--study", "2"], 2, "run 2 is of kind train, expected a search"),
        (["--study", "9"], 3, "there is no run 9"),
        (["--study", "1", "--workers", "0"], 2, "expected workers >= 1"),
        (["--study", "1", "--db", "absent.db"], 3, "there is no database"),
        ([], 2, "Missing option '--study'"),
    ],
    ids=str,
)
def test_what_there_is_nothing_to_do_for(waiting, words, code, said):
    answer = waiting("worker", *words)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err


def interrupt(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "nasturtium.db")) as connection, connection:
        connection.execute("UPDATE nst_run SET state = 'interrupted' WHERE number = 1")


def test_data_that_is_not_that_of_the_search(waiting, tmp_path):
    interrupt(tmp_path)
    (tmp_path / "other.csv").write_text("x,label\n" + "\n".join(f"{i},{'ab'[i % 2]}" for i in range(40)))
    answer = waiting("worker", "--study", "1", "--data", "other.csv")
    assert answer.code in {1, 2}
    assert "Traceback" not in answer.err
    answer = waiting("worker", "--study", "1", "--data", "absent.csv")
    assert (answer.code, "absent.csv" in answer.err) == (2, True)


def test_other_rows_are_not_the_data_of_a_search(measured, tmp_path):
    interrupt(tmp_path)
    shutil.copy(tmp_path / "measured.csv", tmp_path / "more.csv")
    with (tmp_path / "more.csv").open("a") as file:
        file.write("\n1,2,3,4\n")
    answer = measured("worker", "--study", "1", "--data", "more.csv")
    assert (answer.code, "is not the data it started with" in answer.err) == (2, True)


def test_a_search_that_nobody_runs_is_left(waiting, tmp_path, monkeypatch):
    interrupt(tmp_path)
    monkeypatch.setattr("nasturtium.nas.runner.run_worker", lambda *args, **options: 0, raising=False)
    began = []
    assert library.work(1, begin=began.append) == 0
    assert began[0].run.number == 1
    document = json.loads(waiting("worker", "--study", "1", "--json").out)
    jsonschema.Draft202012Validator({"$schema": DIALECT, **SCHEMAS["worker"]}).validate(document)
    assert (document["id"], document["state"], document["trials"]) == (1, "interrupted", 0)
    answer = waiting("worker", "--study", "1")
    assert answer.code == 0
    assert "0 trials of search 1 trained here; nobody runs the search any more" in answer.out
    assert "trials of search 1" in answer.err

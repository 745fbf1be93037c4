"""Several processes on one file: first starts, writers at once, and one that is killed."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from nasturtium.storage import History, open_database

START = """
import sys
from nasturtium.storage import DatasetEntry, Tracker, migrate, open_database
import alembic.command
target = sys.argv[1]
def start(tracker, name):
    return tracker.start_search(
        name=name, seed=0, config={}, dataset=DatasetEntry(fingerprint="f", name="digits", rows=1, body={}),
        space="mlp", space_sha256="cd" * 32, sampler="random", pruner="none", trials=1,
    ).uid
print("ready", flush=True)
input()
"""
FIRST_START = """
with open_database(target) as database:
    start(Tracker(database), "first")
"""
WRITE = """
with open_database(target) as database:
    tracker = Tracker(database)
    uid = start(tracker, "writer")
    for step in range(10):
        tracker.log_points(uid, {"loss": {step: float(step)}})
    tracker.finish(uid, state="completed", metrics={"val_accuracy": 0.5})
"""
WRITE_FOR_EVER = """
database = open_database(target)
tracker = Tracker(database)
uid, step = start(tracker, "killed"), 0
while True:
    tracker.log_points(uid, {name: {step: 0.5} for name in ("loss", "accuracy")})
    print(uid, step, flush=True)
    step += 1
"""


@contextmanager
def child(script: str, target: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has imported all it needs and waits for a line on its standard input."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", START + script, str(target)], text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def run_together(script: str, target: str | Path, count: int) -> None:
    """Let `count` processes run `script` at the same moment and end well."""
    with ExitStack() as stack:
        children = [stack.enter_context(child(script, target)) for _ in range(count)]
        for process in children:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        for process in children:
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in children:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors


def test_the_first_start_may_be_several_at_once(database_url):
    run_together(FIRST_START, database_url, 8)
    with open_database(database_url, create=False) as database:
        assert [run.number for run in History(database).runs()] == list(range(8, 0, -1))


def test_eight_writers_wait_for_each_other(tmp_path):
    path = tmp_path / "history.db"
    open_database(path).close()
    run_together(WRITE, path, 8)
    with open_database(path, create=False) as database:
        history = History(database)
        runs = history.runs()
        assert [run.number for run in runs] == list(range(8, 0, -1))
        assert {run.state for run in runs} == {"completed"}
        assert all(len(history.curves(run.uid)["loss"]) == 10 for run in runs)


@pytest.mark.parametrize("points", [1, 7, 40])
def test_a_writer_killed_in_the_middle_loses_nothing_it_was_told_is_written(tmp_path, points):
    path = tmp_path / "history.db"
    with child(WRITE_FOR_EVER, path) as process:
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        for _ in range(points):
            uid, step = process.stdout.readline().split()
        process.kill()
        process.wait()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    with open_database(path, create=False) as database:
        history = History(database)
        curves = history.curves(uid)
        assert curves["loss"] == curves["accuracy"]  # a transaction is there wholly or not at all
        assert list(curves["loss"])[: int(step) + 1] == list(range(int(step) + 1))
        assert history.find("@last").state == "interrupted"

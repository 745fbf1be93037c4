"""Several processes on one file: first starts, writers at once, and one that is killed."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from nasturtium.storage import History, open_database

from .together import run_together

EIGHT = "abcdefgh"  # processes
START = """
import sys
from nasturtium.storage import DatasetEntry, Tracker, migrate, open_database
import alembic.command
def start(tracker, name):
    return tracker.start_search(
        name=name, seed=0, config={}, dataset=DatasetEntry(fingerprint="f", name="digits", rows=1, body={}),
        space="mlp", space_sha256="cd" * 32, sampler="random", pruner="none", trials=1,
    ).uid
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
database = open_database(sys.argv[1])
tracker = Tracker(database)
uid, step = start(tracker, "killed"), 0
while True:
    tracker.log_points(uid, {name: {step: 0.5} for name in ("loss", "accuracy")})
    print(uid, step, flush=True)
    step += 1
"""


def test_the_first_start_may_be_several_at_once(database_url):
    run_together(START, FIRST_START, database_url, EIGHT)
    with open_database(database_url, create=False) as database:
        assert [run.number for run in History(database).runs()] == list(range(8, 0, -1))


def test_eight_writers_wait_for_each_other(tmp_path):
    path = tmp_path / "history.db"
    open_database(path).close()
    run_together(START, WRITE, path, EIGHT)
    with open_database(path, create=False) as database:
        history = History(database)
        runs = history.runs()
        assert [run.number for run in runs] == list(range(8, 0, -1))
        assert {run.state for run in runs} == {"completed"}
        assert all(len(history.curves(run.uid)["loss"]) == 10 for run in runs)


@pytest.mark.parametrize("points", [1, 7, 40])
def test_a_writer_killed_in_the_middle_loses_nothing_it_was_told_is_written(tmp_path, points):
    path = tmp_path / "history.db"
    command = [sys.executable, "-c", START + WRITE_FOR_EVER, str(path)]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
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

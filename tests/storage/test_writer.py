"""Points that are logged arrive, whatever happens between the call and the disk; summaries equal points."""

import logging
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from nasturtium.core import ConfigError
from nasturtium.storage import (
    DatabaseLockedError,
    History,
    MetricSummary,
    StorageError,
    Tracker,
    UnknownRunError,
    open_database,
    writer,
)
from nasturtium.storage.curate import Curator

NOBODY = "0" * 26


def expected_summary(points: dict[int, float]) -> MetricSummary:
    """The summary by its definition."""
    steps = sorted(points)
    finite = [(points[step], step) for step in steps if not math.isnan(points[step])]
    low, high = min(finite, default=(None, None)), max(((v, -s) for v, s in finite), default=(None, None))
    return MetricSummary(
        value=points[steps[-1]],
        reported=False,
        points=len(steps),
        first_step=steps[0],
        last_step=steps[-1],
        last=points[steps[-1]],
        min=low[0],
        min_step=low[1],
        max=high[0],
        max_step=None if high[1] is None else -high[1],
    )


@pytest.fixture
def run(tracker):
    return tracker.start_run("logged")


def test_what_is_logged_is_there_after_a_flush(tracker, history, run):
    for step in range(100):
        tracker.log(run, {"loss": 1.0 / (step + 1), "accuracy": math.nan}, step=step)
    tracker.flush()
    assert history.curves(run)["loss"] == {step: 1.0 / (step + 1) for step in range(100)}
    curve = history.curve(run, "accuracy")
    assert np.isnan(curve.values).all()
    assert (curve.seconds >= 0).all()
    assert (np.diff(curve.seconds) >= 0).all()


def test_finishing_and_closing_wait_for_what_was_logged(database, history):
    with Tracker(database) as tracker:
        run = tracker.start_run("finished")
        tracker.log(run, {"loss": 0.5}, step=1)
        tracker.finish(run, state="completed", metrics={})
        assert history.curves(run) == {"loss": {1: 0.5}}
        tracker.log(run, {"loss": 0.25}, step=2)
    assert history.curves(run) == {"loss": {1: 0.5, 2: 0.25}}
    with pytest.raises(StorageError, match="closed"):
        tracker.log(run, {"loss": 0.25}, step=3)


floats = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0])
batches = st.lists(st.dictionaries(st.integers(-5, 12), floats, max_size=6), max_size=6)


@given(batches=batches)
@example(batches=[{0: -0.0}])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_summaries_equal_points_in_whatever_order_they_come(tracker, history, batches):
    """Appended, replaced, out of order, written twice: the summary is that of the curve that is there."""
    run = tracker.start_run("any order")
    points: dict[int, float] = {}
    for batch in batches:
        for step, value in batch.items():
            tracker.log(run, {"x": value}, step=step)
        tracker.flush()
        tracker.log_points(run, {"x": batch})
        points |= batch
    assert repr(history.curves(run).get("x", {})) == repr({step: points[step] + 0.0 for step in sorted(points)})
    if points:
        assert repr(history.summaries(run)["x"]) == repr(
            expected_summary({step: value + 0.0 for step, value in points.items()})
        )


def test_a_reported_figure_stands_over_the_points(tracker, history, run):
    tracker.log_points(run, {"accuracy": {1: 0.9, 2: 0.8}})
    assert history.metrics(run) == {"accuracy": 0.8}
    tracker.finish(run, state="completed", metrics={"accuracy": 0.9})
    tracker.log_points(run, {"accuracy": {3: 0.7}})
    summary = history.summaries(run)["accuracy"]
    assert (summary.value, summary.reported, summary.last, summary.points) == (0.9, True, 0.7, 3)


def test_the_caller_may_change_what_it_logged(tracker, history, run):
    figures = {"loss": 1.0}
    for step in range(3):
        tracker.log(run, figures, step=step)
        figures["loss"] += 1.0
    tracker.flush()
    assert history.curves(run)["loss"] == {0: 1.0, 1: 2.0, 2: 3.0}


def test_numbers_of_other_kinds_are_taken(tracker, history, run):
    tracker.log(run, {"a": np.float32(0.5), "b": 3, "c": True, "d": np.array(2.5)}, step=np.int64(7))
    tracker.flush()
    assert history.curves(run) == {"a": {7: 0.5}, "b": {7: 3.0}, "c": {7: 1.0}, "d": {7: 2.5}}


@pytest.mark.parametrize(
    ("figures", "step", "message"),
    [
        pytest.param({"loss": "low"}, 1, "'loss': expected a number, got 'low'", id="text"),
        pytest.param({"loss": None}, 1, "'loss': expected a number", id="none"),
        pytest.param({"loss": 10**400}, 1, "'loss': expected a number", id="too-large"),
        pytest.param({"": 1.0}, 1, "expected a name", id="no-name"),
        pytest.param({"a\0b": 1.0}, 1, "expected a name", id="nul"),
        pytest.param({"x" * 251: 1.0}, 1, "expected a name", id="long-name"),
        pytest.param({3: 1.0}, 1, "expected a name", id="number-as-name"),
        pytest.param({"loss": 1.0}, 1.5, "whole number as step, got 1.5", id="broken-step"),
        pytest.param({"loss": 1.0}, "1", "whole number as step, got '1'", id="text-step"),
        pytest.param({"loss": 1.0}, 2**63, "a step of 64 bits", id="long-step"),
    ],
)
def test_what_cannot_be_logged_is_refused_at_once(sqlite_database, figures, step, message):
    with Tracker(sqlite_database) as tracker:
        run = tracker.start_run("refused")
        with pytest.raises(ConfigError, match=message):
            tracker.log(run, figures, step=step)
        tracker.log(run, {"loss": 1.0}, step=2)
        tracker.flush()
    assert History(sqlite_database).curves(run) == {"loss": {2: 1.0}}


def test_a_run_nobody_started_is_refused(tracker):
    with pytest.raises(UnknownRunError, match=NOBODY):
        tracker.log(NOBODY, {"loss": 1.0}, step=1)


def test_many_threads_log_at_once(tracker, history, run):
    def work(index: int) -> None:
        for step in range(500):
            tracker.log(run, {f"thread {index}": float(step)}, step=step)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracker.flush()
    curves = history.curves(run)
    assert sorted(curves) == [f"thread {i}" for i in range(8)]
    assert all(curve == {step: float(step) for step in range(500)} for curve in curves.values())


def test_where_the_database_is_slower_logging_waits(database, history, monkeypatch):
    monkeypatch.setattr(writer, "CAPACITY", 10)
    monkeypatch.setattr(writer, "BATCH", 3)
    with Tracker(database) as tracker:
        run = tracker.start_run("crowded")
        for step in range(200):
            tracker.log(run, {"loss": float(step)}, step=step)
    assert history.curves(run)["loss"] == {step: float(step) for step in range(200)}


def test_a_locked_database_is_waited_for(sqlite_database, monkeypatch):
    failures = iter([DatabaseLockedError("locked"), DatabaseLockedError("locked"), None])
    write = writer.PointWriter._write

    def stutter(self, entries):
        failure = next(failures, None)
        if failure is not None:
            raise failure
        write(self, entries)

    monkeypatch.setattr(writer.PointWriter, "_write", stutter)
    with Tracker(sqlite_database) as tracker:
        run = tracker.start_run("waiting")
        tracker.log(run, {"loss": 1.0}, step=1)
        tracker.flush()
    assert History(sqlite_database).curves(run) == {"loss": {1: 1.0}}


def test_what_cannot_be_written_is_kept_and_said(sqlite_database, monkeypatch, caplog):
    write = writer.PointWriter._write
    broken = True

    def fail(self, entries):
        if broken:
            raise StorageError("the disk is full", hint="free some disk space")
        write(self, entries)

    monkeypatch.setattr(writer.PointWriter, "_write", fail)
    with Tracker(sqlite_database) as tracker:
        run = tracker.start_run("full")
        tracker.log(run, {"loss": 1.0}, step=1)
        with pytest.raises(StorageError, match=r"1 steps wait in memory: the disk is full") as caught:
            tracker.flush()
        assert caught.value.hint == "free some disk space"
        tracker.log(run, {"loss": 2.0}, step=2)
        broken = False
        tracker.flush()
    assert History(sqlite_database).curves(run) == {"loss": {1: 1.0, 2: 2.0}}
    assert "the disk is full" in caplog.text


def test_points_of_a_purged_run_do_not_stop_the_others(database, history, caplog):
    with Tracker(database) as tracker:
        gone, kept = tracker.start_run("gone"), tracker.start_run("kept")
        tracker.log(gone, {"loss": 1.0}, step=1)
        tracker.finish(gone, state="completed", metrics={})
        curator = Curator(database)
        curator.delete(gone)
        curator.purge()
        with caplog.at_level(logging.WARNING):
            tracker.log(gone, {"loss": 1.0}, step=2)
            tracker.log(kept, {"loss": 1.0}, step=2)
            tracker.flush()
    assert history.curves(kept) == {"loss": {2: 1.0}}
    assert "purged" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_logs_by_itself_and_leaves_the_parents_points_alone(tmp_path):
    script = """
import os, sys, warnings
warnings.simplefilter("ignore")  # Python warns of forking with threads, which is what is tried here
from nasturtium.storage import Tracker, open_database
database = open_database(sys.argv[1])
tracker = Tracker(database)
run = tracker.start_run("forked")
tracker.log(run, {"warm": 0.0}, step=0)
tracker.flush()
for step in range(10):
    tracker.log(run, {"parent": float(step)}, step=step)
child = os.fork()
if child == 0:
    with open_database(sys.argv[1]) as own:
        with Tracker(own) as other:
            other.log(run, {"child": 1.0}, step=0)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
tracker.close()
database.close()
print(run)
"""
    path = tmp_path / "history.db"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    with open_database(path) as database:
        curves = History(database).curves(done.stdout.strip())
    assert curves == {"warm": {0: 0.0}, "parent": {step: float(step) for step in range(10)}, "child": {0: 1.0}}


def test_a_program_that_forgets_to_close_loses_nothing(tmp_path):
    script = """
import sys
from nasturtium.storage import Tracker, open_database
tracker = Tracker(open_database(sys.argv[1]))
run = tracker.start_run("careless")
tracker.log(run, {"loss": 1.0}, step=1)
print(run)
"""
    path = tmp_path / "history.db"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    with open_database(path) as database:
        assert History(database).curves(done.stdout.strip()) == {"loss": {1: 1.0}}


KILLED = """
import os, random, signal, sys, time
from nasturtium.storage import History, Tracker, open_database
from nasturtium.storage.maintenance import check_database

path = sys.argv[1]
rng = random.Random(7)
open_database(path).close()
for turn in range(int(sys.argv[2])):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        tracker = Tracker(open_database(path))
        run = tracker.start_run(f"turn {turn}")
        step = 0
        while True:
            for _ in range(rng.randint(1, 400)):
                tracker.log(run, {"loss": float(step), "accuracy": -float(step)}, step=step)
                step += 1
            if rng.random() < 0.3:
                tracker.flush()
                os.write(writer, f"{run} {step}\\n".encode())
    os.close(writer)
    said = b""
    for _ in range(rng.randint(1, 4)):  # after some acknowledged flushes, at any moment
        said += os.read(reader, 4096)
    time.sleep(rng.random() * 0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    run, steps = said.decode().split("\\n")[-2].split()
    with open_database(path, create=False) as database:
        curves = History(database).curves(run)
        for sign, name in ((1, "loss"), (-1, "accuracy")):
            have = curves[name]
            assert list(have) == list(range(len(have))), "a hole"
            assert all(value == sign * step for step, value in have.items())
            assert len(have) >= int(steps), f"{len(have)} of {steps} acknowledged steps"
with open_database(path, create=False) as database:
    report = check_database(database)
    assert not [finding for finding in report.findings if finding.severity == "error"], report.findings
print("clean")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("kills", [12, pytest.param(50, marks=pytest.mark.soak)])
def test_kills_in_the_middle_of_writing_leave_a_clean_database(tmp_path: Path, kills):
    script = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "history.db"), str(kills)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=300)
    assert done.stdout == "clean\n", done.stderr


def test_thirty_two_threads_and_their_trackers_write_one_file(tmp_path):
    """Each tracker has connections of its own, as processes would: none of them finds the database locked."""
    path = tmp_path / "history.db"
    open_database(path).close()
    failures: list[BaseException] = []

    def work(index: int) -> None:
        try:
            with open_database(path) as database, Tracker(database) as tracker:
                run = tracker.start_run(f"writer {index}")
                for step in range(300):
                    tracker.log(run, {"loss": float(step)}, step=step)
                tracker.finish(run, state="completed", metrics={"done": float(index)})
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with open_database(path) as database, database.read() as session:
        assert session.execute(text("SELECT count(*) FROM nst_metric_point")).scalar_one() == 32 * 300

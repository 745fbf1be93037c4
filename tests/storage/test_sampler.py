"""Samples of the machine."""

import threading

import pytest

from nasturtium.core import ConfigError
from nasturtium.storage import SystemSampler, Tracker, UnknownRunError, sampler


def test_cpu_and_memory_are_sampled_until_the_end(database, tracker, history, monkeypatch):
    monkeypatch.setattr(sampler, "GATHERED", 2)
    run = tracker.start_run("watched")
    with SystemSampler(database, run, interval=0.1) as watching:
        watching._thread.join(0.25)
    curves = history.system_curves(run)
    assert {"cpu_percent", "memory_bytes", "system_cpu_percent", "system_memory_percent"} <= set(curves)
    memory = curves["memory_bytes"]
    assert len(memory) >= 1
    assert (memory.values > 1e6).all()
    assert (memory.steps >= 0).all()
    assert history.curves(run) == {}  # they are none of the run's own


def test_the_last_sample_is_taken_at_the_end_however_short_the_run(sqlite_database):
    tracker = Tracker(sqlite_database)
    run = tracker.start_run("short")
    with SystemSampler(sqlite_database, run, interval=60):
        pass
    assert threading.active_count() < 50


@pytest.mark.parametrize("interval", [0, -1, 0.05, float("nan"), float("inf")])
def test_an_interval_that_makes_no_sense_is_refused(sqlite_database, interval):
    run = Tracker(sqlite_database).start_run("x")
    with pytest.raises(ConfigError, match="interval of at least"):
        SystemSampler(sqlite_database, run, interval=interval)


def test_a_run_nobody_started_is_not_watched(sqlite_database):
    with pytest.raises(UnknownRunError):
        SystemSampler(sqlite_database, "0" * 26)

"""Trials on a local Ray cluster of two CPUs: the same results and causes as everywhere."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from nasturtium.core import Budget, Candidate, ConfigError, Evaluation, MissingExtraError, ModelSpec
from nasturtium.core.nn import layer_spec
from nasturtium.nas.runner import Job, Limits, Outcome, Progress, WorkerStartError
from nasturtium.nas.runner.ray_engine import RayEngine

SPEC = ModelSpec((1,), (layer_spec("flatten"),))


class Acting:
    """An evaluator that does what the candidate's point says."""

    def evaluate(self, candidate, budget):
        match candidate.flat.get("act", ""):
            case "segfault":
                ctypes.string_at(0)
            case "hang":
                time.sleep(600)
            case "end the task":
                task = psutil.Process(os.getppid())
                task.kill()
                time.sleep(600)
            case _:
                pass
        return Evaluation(objectives={"score": float(budget.epochs)}, epochs=budget.epochs)


def broken() -> Acting:
    raise OSError("the data is not on this node")


def make_job(number, *, limits=None, epochs=(1,), **flat) -> Job:
    return Job(
        number=number,
        attempt=1,
        candidate=Candidate(id="one", spec=SPEC, hyperparameters={}, seed=0, flat=flat),
        budgets=tuple(Budget(epochs=each, total=max(epochs)) for each in epochs),
        objectives=("score",),
        limits=limits or Limits(),
    )


def collect(engine, *jobs) -> list:
    for job in jobs:
        engine.submit(job)
    events: list = []
    while sum(isinstance(event, Outcome) for event in events) < len(jobs):
        events += engine.wait(60)
    return events


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"nasturtium\[ray\]"):
        RayEngine(Acting)


@pytest.mark.filterwarnings("ignore")  # Ray's own
class TestCluster:
    @pytest.fixture(scope="class")
    def cluster(self):
        ray = pytest.importorskip("ray", reason="Ray is not installed")
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])  # for this file, on every node
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield ray
        ray.shutdown()
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)

    @pytest.fixture
    def engine(self, cluster):
        made = RayEngine(Acting)
        yield made
        made.close()
        assert cluster.is_initialized()  # it was not ours

    def test_it_has_room_for_as_many_trials_as_the_cluster(self, engine):
        assert engine.slots == 2
        assert engine.adopt() == {}

    def test_trials_report_on_their_way(self, engine):
        events = collect(engine, make_job(0, epochs=(1, 3)), make_job(1))
        assert [(event.number, event.epochs) for event in events if isinstance(event, Progress)] == [(0, 1)]
        ended = {event.number: event for event in events if isinstance(event, Outcome)}
        assert {number: outcome.evaluation.objectives["score"] for number, outcome in ended.items()} == {0: 3.0, 1: 1.0}
        assert all(outcome.cpu_seconds > 0 for outcome in ended.values())

    def test_causes_are_those_of_other_engines(self, engine):
        crashed, slow = make_job(0, act="segfault"), make_job(1, act="hang", limits=Limits(seconds=0.2))
        found = sorted(collect(engine, crashed, slow), key=lambda event: event.number)
        assert [(event.state, event.cause) for event in found] == [
            ("failed", "signal 11 (SIGSEGV)"),
            ("failed", "time limit"),
        ]

    def test_a_task_that_is_killed_is_no_doing_of_the_trial(self, engine):
        [outcome] = collect(engine, make_job(0, act="end the task"))
        assert (outcome.state, outcome.cause) == ("lost", "node lost")
        assert collect(engine, make_job(0))[0].state == "completed"

    def test_a_cancelled_job_says_nothing(self, engine):
        engine.submit(make_job(0, act="hang"))
        engine.submit(make_job(1))
        engine.cancel(0, 1)
        while not (events := engine.wait(60)):
            pass
        assert [event.number for event in events] == [1]
        assert engine.wait(0.1) == []

    def test_an_evaluator_that_cannot_be_made_ends_the_search(self, cluster):
        engine = RayEngine(broken, slots=1)
        engine.submit(make_job(0))
        with pytest.raises(WorkerStartError, match="the data is not on this node"):
            engine.wait(60)
        engine.close()

    def test_what_the_cluster_has_no_room_for_is_refused(self, cluster):
        with pytest.raises(ConfigError, match=r"no room for a trial of 1 CPUs, 0 GPUs, \{'tpu': 1\}"):
            RayEngine(Acting, resources={"tpu": 1})

"""The coordinator's loop over jobs, with an engine that fails as real ones do; all else is real."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import pytest

from nasturtium.federated.deployment import FederationConfig, TrainJob, init_coordinator, serve, start_job
from nasturtium.federated.deployment import server as module
from nasturtium.federated.deployment.events import JobEnded, JobWaits
from nasturtium.federated.flower import LinkLostError
from nasturtium.federated.transport import parse_address
from nasturtium.storage import DatabaseLockedError, DatabaseUnreachableError, DiskFullError, Federations, open_database


class Engine:
    """Stands in for the servers: each job ends as `outcomes` says, in turn."""

    outcomes: Iterator[Exception | None]
    address = parse_address("localhost:1")
    members = ()
    sites: Mapping[int, object] = MappingProxyType({})

    def __init__(self, config, *, listen):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def online(self):
        raise LinkLostError("the SuperLink does not answer")

    def serve(self, main):
        outcome = next(self.outcomes)
        if outcome is not None:
            raise outcome


@pytest.fixture
def config(tmp_path, monkeypatch) -> FederationConfig:
    monkeypatch.setattr(module, "CoordinatorEngine", Engine)
    for name in ("_AGAIN_S", "_LOOK_S"):
        monkeypatch.setattr(module, name, 0.01)
    return FederationConfig.load(init_coordinator(tmp_path / "hub", "localhost").config)


FULL = DiskFullError("history.db: No space left on device", hint="free some disk space")
AWAY = DatabaseUnreachableError("connection refused", hint="check that the server runs")


def test_a_job_waits_for_what_passes_and_goes_on(config, monkeypatch):
    job = start_job(config, TrainJob(rounds=1))
    Engine.outcomes, events = iter([LinkLostError("gone"), FULL, AWAY, AWAY, FULL, FULL, None]), []
    more = 2**21
    space = iter([100, 100, 200, 100 + more, 0, more, 0, more])
    monkeypatch.setattr(module, "_free", lambda path: next(space))
    serve(config, stop=threading.Event(), until_idle=True, observe=events.append)
    assert [event.reason for event in events if isinstance(event, JobWaits)] == [
        "history.db: No space left on device; free some disk space",
        "connection refused; check that the server runs",
        "history.db: No space left on device; free some disk space",
        "history.db: No space left on device; free some disk space",  # there was space in between
    ]
    assert [event.state for event in events if isinstance(event, JobEnded)] == ["completed"]
    assert next(space, None) is None  # nothing was tried before there was more space
    with open_database(config.database) as database:
        assert Federations(database).find(job.uid).state == "completed"


def test_that_a_job_ended_is_written_once_it_can_be(config, monkeypatch):
    start_job(config, TrainJob(rounds=1))
    Engine.outcomes, events = iter([None]), []
    real, refusals = Federations.end, iter([DatabaseLockedError("database is locked"), None])

    def end(*arguments, **options):
        if (refusal := next(refusals)) is not None:
            raise refusal
        real(*arguments, **options)

    monkeypatch.setattr(Federations, "end", end)
    serve(config, stop=threading.Event(), until_idle=True, observe=events.append)
    assert [event.reason for event in events if isinstance(event, JobWaits)] == ["database is locked"]
    assert [event.state for event in events if isinstance(event, JobEnded)] == ["completed"]


def test_an_idle_coordinator_outlives_its_superlink(config):
    stop, looks = threading.Event(), []

    class Looking(Engine):
        def online(self):
            looks.append(1)
            if len(looks) == 3:
                stop.set()
            return super().online()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CoordinatorEngine", Looking)
        serve(config, stop=stop)
    assert len(looks) == 3


def test_a_coordinator_that_is_stopped_while_it_waits_leaves_the_job_to_the_next(config):
    job, stop = start_job(config, TrainJob(rounds=1)), threading.Event()
    Engine.outcomes = iter([AWAY])

    def observe(event):
        if isinstance(event, JobWaits):
            stop.set()

    serve(config, stop=stop, observe=observe)
    with open_database(config.database) as database:
        assert Federations(database).find(job.uid).state == "running"
        claim = Federations(database).claim("another", 60)
    assert claim is None or claim.uid == job.uid

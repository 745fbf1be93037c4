"""The jobs of a federation: asked for, watched, stopped and resumed by whoever can use the coordinator's database."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...core import ConfigError
from ...storage import Database, Federations, History, JobRecord, UnknownRunError, open_database
from ..transport import Authority
from .federation_config import FederationConfig
from .train_job import TrainJob


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How far a job is.

    Attributes:
        uid: its ULID.
        name: of its run.
        state: "queued", "running", "completed", "paused", "stopped" or "failed".
        rounds: closed training rounds of all, as "3/20".
        accuracy: of the newest model the sites have reported on; None: of none yet.
        why: what keeps it, or ended it.
        run: number of its run in the history; None: it has none yet.
    """

    uid: str
    name: str
    state: str
    rounds: str
    accuracy: float | None
    why: str
    run: int | None


def start_job(config: FederationConfig, job: TrainJob) -> JobRecord:
    """Ask for a job; a coordinator that runs begins it when it has nothing older to do.

    Raises:
        StorageError: the database cannot be written.
    """
    with open_database(config.database) as database:
        return Federations(database).queue("train", job.name, job.to_dict())


def read_jobs(config: FederationConfig) -> list[JobStatus]:
    """All jobs, oldest first."""
    with _database(config) as database:
        return [_status(database, each) for each in Federations(database).jobs()]


def stop_job(config: FederationConfig, ref: str) -> tuple[JobRecord, str]:
    """Ask for a job to stop; the state it is in now.

    Raises:
        UnknownRunError: there is no such job.
        ConfigError: it has ended.
    """
    with _database(config) as database:
        jobs = Federations(database)
        record = _find(jobs, ref)
        return record, jobs.request_stop(record.uid)


def resume_job(config: FederationConfig, ref: str) -> JobRecord:
    """Queue a job that is paused, stopped or failed again.

    Raises:
        UnknownRunError: there is no such job.
        ConfigError: it is none of that.
    """
    with _database(config) as database:
        jobs = Federations(database)
        record = _find(jobs, ref)
        jobs.resume(record.uid)
        return record


def read_rounds(config: FederationConfig, ref: str) -> list[dict[str, Any]]:
    """The rounds of a job in order, with the attempts that gave no sum between them."""
    with _database(config) as database:
        run = _run_of(_find(Federations(database), ref))
        history = History(database)
        rows: list[dict[str, Any]] = [
            {
                "round": each.number,
                "state": each.state,
                "participants": each.participants,
                "rejected": each.rejected,
                "loss": each.loss,
                "accuracy": each.accuracy,
                "bytes_up": each.bytes_up,
                "bytes_down": each.bytes_down,
                "seconds": round(each.seconds, 3),
                "why": "",
            }
            for each in history.rounds(run)
        ]
        failed = [
            {
                "round": each.round,
                "state": f"attempt {each.attempt} failed",
                "participants": 0,
                "rejected": len(each.refusals),
                "loss": None,
                "accuracy": None,
                "bytes_up": None,
                "bytes_down": None,
                "seconds": None,
                "why": each.failure,
            }
            for each in history.attempts(run)
            if each.failure
        ]
    return sorted([*rows, *failed], key=lambda row: (row["round"], not row["why"]))


def read_clients(config: FederationConfig, ref: str | None = None) -> list[dict[str, Any]]:
    """The admitted sites, and what each gave to a job, or to all.

    Args:
        config: of the coordinator.
        ref: of the job; None: all.
    """
    given: dict[str, dict[str, Any]] = {}
    with _database(config) as database:
        jobs, history = Federations(database), History(database)
        runs = [_run_of(_find(jobs, ref))] if ref else [job.run for job in jobs.jobs() if job.run]
        for run in runs:
            for number, contributions in history.all_contributions(run).items():
                for each in contributions:
                    row = given.setdefault(
                        each.client, {"accepted": 0, "rejected": 0, "bytes_up": 0, "last_reason": ""}
                    )
                    row["accepted" if each.state == "accepted" else "rejected"] += 1
                    row["bytes_up"] += each.bytes_up
                    if each.reason:
                        row["last_reason"] = f"round {number}: {each.reason}"
    nothing = {"accepted": 0, "rejected": 0, "bytes_up": 0, "last_reason": ""}
    return [
        {
            "site": member.name,
            "admitted": member.admitted.isoformat(),
            "expires": member.expires.isoformat(),
            **given.get(member.name, nothing),
            "fingerprint": member.identity.fingerprint,
        }
        for member in Authority(config.authority).members.read().members
    ]


def _status(database: Database, job: JobRecord) -> JobStatus:
    planned, closed, accuracy, number = job.config.get("rounds"), 0, None, None
    if job.run is not None:
        history = History(database)
        rounds = history.rounds(job.run)
        closed = len(rounds)
        accuracy = next((each.accuracy for each in reversed(rounds) if each.accuracy is not None), None)
        number = history.federated(job.run).run.number
    why = job.error or ""
    if job.state == "queued":
        why = why or "waits for the server"
    elif job.state == "running":
        why = "is asked to stop" if job.stop_requested else "" if job.alive else "its server is gone: start it again"
    return JobStatus(
        uid=job.uid,
        name=job.name,
        state=job.state,
        rounds=f"{closed}/{planned}",
        accuracy=accuracy,
        why=why,
        run=number,
    )


def _find(jobs: Federations, ref: str) -> JobRecord:
    """A job by its place among all, from 1, or as `Federations.find` takes it."""
    if ref.isdecimal() and len(ref) < 10:
        known = jobs.jobs()
        if not 1 <= int(ref) <= len(known):
            raise UnknownRunError(f"there is no job {ref}", hint="list them: nasturtium federate status")
        return known[int(ref) - 1]
    return jobs.find(ref)


def _run_of(job: JobRecord) -> str:
    if job.run is None:
        raise ConfigError(f"{job.name} has no run yet: it is {job.state}", hint="nasturtium federate status")
    return job.run


@contextmanager
def _database(config: FederationConfig) -> Generator[Database]:
    with open_database(config.database, create=False) as database:
        yield database

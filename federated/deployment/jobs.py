"""The jobs of a federation: asked for, watched, stopped and resumed by whoever can use the coordinator's database."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...core import ConfigError, canonical_json, read_settings
from ...storage import Database, DatabaseNotFoundError, Federations, History, JobRecord, UnknownRunError, open_database
from ..coordinator.relay import LOOKED
from ..transport import Authority
from .federation_config import FederationConfig
from .search_job import SearchJob
from .train_job import TrainJob

_UNDONE: Final = frozenset({"queued", "running", "paused"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How far a job is.

    Attributes:
        uid: its ULID.
        kind: "train" or "search".
        name: of its run.
        state: "queued", "running", "completed", "paused", "stopped" or "failed".
        trials: of a search, those that are finished of those planned, as "7/20"; None: it is none.
        rounds: closed training rounds of all, as "3/20"; of a search those of all its trials and its model.
        accuracy: of the newest model the sites have reported on, or of the best trial; None: of none yet.
        why: what keeps it, or ended it.
        run: number of its run in the history; None: it has none yet.
    """

    uid: str
    kind: str
    name: str
    state: str
    trials: str | None
    rounds: str
    accuracy: float | None
    why: str
    run: int | None


def load_job(path: str | Path) -> TrainJob | SearchJob:
    """What a file asks for: a search if it has a table [search], else one model to be trained.

    Raises:
        ConfigError: the file cannot be read, or a key does not fit.
    """
    return SearchJob.load(path) if "search" in read_settings(path, example="version = 1") else TrainJob.load(path)


def start_job(config: FederationConfig, job: TrainJob | SearchJob, *, again: bool = False) -> JobRecord:
    """Ask for a job; a coordinator that runs begins it when it has nothing older to do.

    Args:
        config: of the coordinator.
        job: what is asked for.
        again: ask for it although the very same one is not done yet.

    Raises:
        ConfigError: the same job waits, runs or is paused; see `again`.
        StorageError: the database cannot be written.
    """
    kind = "search" if isinstance(job, SearchJob) else "train"
    document = job.to_dict()
    with open_database(config.database) as database:
        jobs = Federations(database)
        known = [] if again else jobs.jobs()
        for number, record in enumerate(known, 1):
            same = record.kind == kind and canonical_json(record.config) == canonical_json(document)
            if same and record.state in _UNDONE:
                go_on = f"go on with it: nasturtium federate resume {number}" if record.state == "paused" else "wait"
                raise ConfigError(
                    f"{job.name} is job {number} already, and {record.state}",
                    hint=f"{go_on}; or ask for the same once more with --again",
                )
        return jobs.queue(kind, job.name, document)


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


def read_rounds(config: FederationConfig, ref: str | None = None) -> list[dict[str, Any]]:
    """The rounds of a job in order, with the attempts that gave no sum between them; those of a search say of which
    trial they are, and its model comes last. Without `ref`, of the newest job that has begun.
    """
    with _database(config) as database:
        jobs = Federations(database)
        begun = [job for job in jobs.jobs() if job.run is not None] if ref is None else []
        if ref is None and not begun:
            return []
        job = begun[-1] if ref is None else _find(jobs, ref)
        run, history = _run_of(job), History(database)
        return [row for trial, uid in _runs_of(history, job, run) for row in _rounds_of(history, trial, uid)]


def _runs_of(history: History, job: JobRecord, run: str) -> list[tuple[str | None, str]]:
    """The runs of a job that have rounds, each with the trial it is of: its number from 1, or "model"."""
    if job.kind == "train":
        return [(None, run)]
    trials = [(str(trial.number + 1), trial.uid) for trial in history.trials(run)]
    return [*trials, *(("model", child.uid) for child in history.children(run, "retrain"))]


def _rounds_of(history: History, trial: str | None, run: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "trial": trial,
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
            "trial": trial,
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
        if each.failure and each.failure != LOOKED
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
        asked = [_find(jobs, ref)] if ref else [job for job in jobs.jobs() if job.run]
        runs = [run for job in asked for _, run in _runs_of(history, job, _run_of(job))]
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
    why = job.error or ""
    if job.state == "queued":
        why = why or "waits for the server"
    elif job.state == "running":
        why = "is asked to stop" if job.stop_requested else "" if job.alive else "its server is gone: start it again"
    progress = _search_progress if job.kind == "search" else _training_progress
    return JobStatus(
        uid=job.uid, kind=job.kind, name=job.name, state=job.state, why=why, **progress(History(database), job)
    )


def _training_progress(history: History, job: JobRecord) -> dict[str, Any]:
    closed = [] if job.run is None else history.rounds(job.run)
    return {
        "trials": None,
        "rounds": f"{sum(each.state == 'completed' for each in closed)}/{job.config.get('rounds')}",
        "accuracy": next((each.accuracy for each in reversed(closed) if each.accuracy is not None), None),
        "run": None if job.run is None else history.federated(job.run).run.number,
    }


def _search_progress(history: History, job: JobRecord) -> dict[str, Any]:
    if job.run is None:
        return {"trials": f"0/{job.config['search']['trials']}", "rounds": "0", "accuracy": None, "run": None}
    found = history.search_status(job.run)
    ended = sum(found.trials.get(state, 0) for state in ("completed", "pruned", "failed"))
    accuracy = history.metrics(job.run).get("val_accuracy")  # of its model
    if accuracy is None and found.best is not None:
        accuracy = found.best.metrics.get("val_accuracy")
    return {
        "trials": f"{ended}/{found.search.trials}",
        "rounds": str(sum(len(history.rounds(run)) for _, run in _runs_of(history, job, job.run))),
        "accuracy": accuracy,
        "run": found.search.run.number,
    }


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
    try:
        database = open_database(config.database, create=False)
    except DatabaseNotFoundError as exc:
        raise DatabaseNotFoundError(exc.message, hint="the first job makes it: nasturtium federate start") from exc
    with database:
        yield database

"""Federations that wait for a coordinator: queued by anybody, claimed by one at a time, gone on with after a crash.

A coordinator that dies stops renewing; another one claims its job when the claim has run out, or at once where it sees
that the process is gone. One that was only slow finds out when it next writes: its claim has an older epoch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session
from ulid import ULID

from ..core import ConfigError
from . import process
from .clock import shared_now_us
from .database import Database, serialise
from .errors import LeaseLostError, UnknownRunError
from .models import Job, Run, from_us
from .params import storable
from .records import JobClaim, JobKind, JobRecord, JobState
from .runs import require_run

_HINT: Final = "list them: nasturtium federate status"
_ENDS: Final[Sequence[JobState]] = ("completed", "failed", "paused", "stopped")


class Federations:
    """The jobs of a database.

    Args:
        database: stays the caller's.
        clock: tells the time in microseconds UTC; by default that of the database, which all machines share.
    """

    def __init__(self, database: Database, *, clock: Callable[[], int] | None = None) -> None:
        self._database = database
        self._clock = clock

    def queue(self, kind: JobKind, name: str, config: Mapping[str, Any]) -> JobRecord:
        """Ask for a federation; a coordinator begins it when it has nothing older to do."""
        with self._database.write(durable=True) as session:
            job = Job(
                uid=str(ULID()),
                kind=kind,
                state="queued",
                name=name,
                config=dict(config),
                epoch=0,
                queued_us=shared_now_us(session, self._clock),
            )
            session.add(job)
            session.flush()
            return self._record(session, job, None)

    def jobs(self) -> list[JobRecord]:
        """All jobs, oldest first."""
        with self._database.read() as session:
            rows = session.execute(select(Job, Run.uid).outerjoin(Run, Run.id == Job.run_id).order_by(Job.id))
            return [self._record(session, job, run) for job, run in rows]

    def find(self, ref: str) -> JobRecord:
        """The one job that `ref` names: its ULID or the first letters of it, or those of its run.

        Raises:
            UnknownRunError: no job answers to that, or several do.
        """
        wanted = ref.strip().upper()
        found = [job for job in self.jobs() if wanted and (job.uid.startswith(wanted) or job.run == wanted)]
        if len(found) != 1:
            raise UnknownRunError(f"{'several federations start with' if found else 'no federation'} {ref}", hint=_HINT)
        return found[0]

    def claim(self, holder: str, ttl_seconds: float) -> JobClaim | None:
        """Take the oldest job that nobody is at; None where there is none. Of several that ask each gets another.

        Args:
            holder: who asks, in words that a person can find it by, such as "host/pid".
            ttl_seconds: how long it is the caller's unless it renews the claim.
        """
        _check_ttl(ttl_seconds)
        with self._database.write(durable=True) as session:
            serialise(session)
            now = shared_now_us(session, self._clock)
            waiting = select(Job).where(Job.state.in_(("queued", "running"))).order_by(Job.id)
            job = next((job for job in session.scalars(waiting) if job.state == "queued" or not _alive(job, now)), None)
            if job is None:
                return None
            if job.state == "running" and job.stop_us is not None:  # its coordinator died before it looked
                job.state, job.ended_us = "stopped", now
                return None
            job.state, job.epoch, job.holder = "running", job.epoch + 1, holder
            job.host, job.pid, job.born = process.host(), os.getpid(), process.birth(os.getpid())
            job.claimed_us = job.heartbeat_us = now
            job.expires_us, job.ended_us, job.error = now + round(ttl_seconds * 1e6), None, None
            return JobClaim(
                uid=job.uid,
                kind=job.kind,
                name=job.name,
                config=job.config,
                run=_run_uid(session, job),
                epoch=job.epoch,
            )

    def renew(self, claim: JobClaim, ttl_seconds: float) -> bool:
        """Say that a coordinator is at a job, for `ttl_seconds` from now.

        Returns:
            Whether somebody asked for it to stop.

        Raises:
            LeaseLostError: it is another coordinator's by now, or has ended.
        """
        _check_ttl(ttl_seconds)
        with self._database.write() as session:
            job, now = check_claim(session, claim), shared_now_us(session, self._clock)
            job.heartbeat_us, job.expires_us = now, now + round(ttl_seconds * 1e6)
            return job.stop_us is not None

    def attach(self, claim: JobClaim, run_uid: str) -> JobClaim:
        """Say which run a job became, so that whoever claims it next goes on with that.

        Raises:
            LeaseLostError: it is another coordinator's by now, or has ended.
        """
        with self._database.write(durable=True) as session:
            job = check_claim(session, claim)
            job.run_id = require_run(session, run_uid)
        return JobClaim(
            uid=claim.uid, kind=claim.kind, name=claim.name, config=claim.config, run=run_uid, epoch=claim.epoch
        )

    def end(self, claim: JobClaim, state: JobState, *, error: str | None = None) -> None:
        """Give a job back: completed, failed, paused (it can be resumed) or stopped.

        Raises:
            LeaseLostError: it is another coordinator's by now, or has ended.
        """
        if state not in _ENDS:
            raise ConfigError(f"expected a state of {', '.join(_ENDS)}, got {state!r}")
        with self._database.write(durable=True) as session:
            job = check_claim(session, claim)
            job.state, job.error = state, None if error is None else storable(error)
            job.ended_us = shared_now_us(session, self._clock)
            job.expires_us = None

    def release(self, claim: JobClaim) -> None:
        """Give a job back as it is, for whoever asks next: its coordinator ends, and the job is not over.

        Raises:
            LeaseLostError: it is another coordinator's by now, or has ended.
        """
        with self._database.write(durable=True) as session:
            job = check_claim(session, claim)
            job.state, job.expires_us = "queued", None

    def request_stop(self, uid: str) -> JobState:
        """Ask for a job to stop; one that nobody is at stops at once.

        Returns:
            Its state now: "running" where its coordinator will stop when it next looks.

        Raises:
            ConfigError: it has ended.
        """
        with self._database.write(durable=True) as session:
            job, now = _require(session, uid), shared_now_us(session, self._clock)
            if job.state in {"queued", "paused"} or (job.state == "running" and not _alive(job, now)):
                job.state, job.stop_us, job.ended_us = "stopped", now, now
                job.epoch += 1  # whoever still has it writes nothing more
            elif job.state == "running":
                job.stop_us = job.stop_us or now
            else:
                raise ConfigError(f"job {uid} is {job.state}: there is nothing to stop", hint=_HINT)
            return job.state

    def resume(self, uid: str) -> None:
        """Queue a job that is paused, stopped or failed again: it goes on where it was.

        Raises:
            ConfigError: it is none of that.
        """
        with self._database.write(durable=True) as session:
            job = _require(session, uid)
            if job.state == "running" and job.stop_us is not None:
                job.stop_us = None  # nobody has looked yet
                return
            if job.state not in {"paused", "stopped", "failed"}:
                raise ConfigError(f"job {uid} is {job.state}: there is nothing to resume", hint=_HINT)
            job.state, job.stop_us, job.ended_us, job.error = "queued", None, None, None

    def _record(self, session: Session, job: Job, run: str | None) -> JobRecord:
        now = shared_now_us(session, self._clock)
        return JobRecord(
            uid=job.uid,
            kind=job.kind,
            state=job.state,
            name=job.name,
            config=job.config,
            run=run,
            holder=job.holder,
            alive=job.state == "running" and _alive(job, now),
            queued=from_us(job.queued_us),
            claimed=None if job.claimed_us is None else from_us(job.claimed_us),
            heartbeat=None if job.heartbeat_us is None else from_us(job.heartbeat_us),
            stop_requested=None if job.stop_us is None else from_us(job.stop_us),
            ended=None if job.ended_us is None else from_us(job.ended_us),
            error=job.error,
        )


def check_claim(session: Session, claim: JobClaim) -> Job:
    """The row of a job, locked, which must be the caller's: to be asked in the transaction that writes for it.

    Raises:
        LeaseLostError: it is another coordinator's by now, or has ended.
    """
    job = _require(session, claim.uid)
    if job.epoch != claim.epoch or job.state != "running":
        why = f"is {job.state}" if job.epoch == claim.epoch else f"was taken over by {job.holder}"
        raise LeaseLostError(
            f"federation {claim.uid} {why}: what epoch {claim.epoch} of it still does is not written",
            hint="let the other coordinator go on",
        )
    return job


def _require(session: Session, uid: str) -> Job:
    job = session.scalar(select(Job).where(Job.uid == uid).with_for_update())
    if job is None:
        raise UnknownRunError(f"there is no federation {uid}", hint=_HINT)
    return job


def _alive(job: Job, now: int) -> bool:
    """Whether the coordinator of a running job is at it, as far as can be seen from here."""
    if job.host == process.host() and job.pid is not None and not process.is_alive(job.pid, job.born):
        return False
    return job.expires_us is not None and now <= job.expires_us


def _run_uid(session: Session, job: Job) -> str | None:
    return None if job.run_id is None else session.scalar(select(Run.uid).where(Run.id == job.run_id))


def _check_ttl(ttl_seconds: float) -> None:
    if not ttl_seconds > 0:
        raise ConfigError(f"expected a time to live of some seconds, got {ttl_seconds}")

"""Trials that workers on any machine evaluate: offered by a broker, claimed, renewed and reported by workers.

A worker that dies stops renewing, its lease runs out, and the broker tries the trial again. A worker that was only slow
finds out when it next says something: its claim has a token that no longer fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session
from ulid import ULID

from ..core import ConfigError
from .clock import shared_now_us
from .database import Database
from .errors import LeaseLostError, UnknownRunError
from .models import Lease, Run, Trial, from_us
from .records import FlightRecord, LeaseRecord, LeaseState, ReportRecord
from .runs import check_holder, require_run
from .upsert import put_rows

_GONE_HINT: Final = "drop the trial and claim another one"


class Leases:
    """The leases of one search.

    Args:
        database: stays the caller's; workers and broker may each have one of their own.
        search_uid: the search.
        clock: tells the time in microseconds UTC; by default that of the database, which all machines share.
    """

    def __init__(self, database: Database, search_uid: str, *, clock: Callable[[], int] | None = None) -> None:
        self._database = database
        self._uid = search_uid
        self._clock = clock
        with database.read() as session:
            self._search_id = require_run(session, search_uid, kind="search")
        self._taken: set[str] = set()  # tokens of reports that were given out

    def offer(self, jobs: Mapping[int, Mapping[str, Any]]) -> None:
        """Let any worker claim some trials that run, by number; what was known of leases of them is forgotten.

        Trials are offered as they are started, too: a `ProposalEntry` has a job.

        Raises:
            UnknownRunError: there is no such trial, or it has ended.
            RunBusyError: another process has taken the search over, and its trials with it.
        """
        if not jobs:
            return
        with self._database.write() as session:
            check_holder(session.get_one(Run, self._search_id, with_for_update={"read": True}))
            now = shared_now_us(session, self._clock)
            rows: list[dict[str, Any]] = []
            for number, job in jobs.items():
                last = session.execute(
                    select(Trial.run_id, Trial.attempt, Run.state)
                    .join(Run, Run.id == Trial.run_id)
                    .where(Trial.search_id == self._search_id, Trial.number == number)
                    .order_by(Trial.attempt.desc())
                    .limit(1)
                ).one_or_none()
                if last is None or last.state != "running":
                    raise UnknownRunError(f"search {self._uid} has no running trial {number}", hint="start it first")
                emptied = dict.fromkeys(("token", "worker", "leased_us", "heartbeat_us", "expires_us", "report"))
                row = {"search_id": self._search_id, "number": number, "attempt": last.attempt, "run_id": last.run_id}
                rows.append({**row, "job": dict(job), "state": "open", "offered_us": now, **emptied})
            put_rows(session, Lease, rows)

    def claim(self, worker: str, ttl_seconds: float) -> LeaseRecord | None:
        """Take the offered trial of the lowest number; None where none is on offer.

        Of several workers that ask at once each gets another one.

        Args:
            worker: who asks, in words that a person can find it by, such as "host/pid".
            ttl_seconds: how long the trial is the worker's unless it renews the lease.
        """
        _check_ttl(ttl_seconds)
        offered = (Lease.search_id == self._search_id, Lease.state == "open")
        with self._database.read() as session:  # most often there is nothing, and a file has one writer at a time
            if session.scalar(select(Lease.number).where(*offered).limit(1)) is None:
                return None
        with self._database.write() as session:
            row = session.execute(
                select(Lease, Run.uid)
                .join(Run, Run.id == Lease.run_id)
                .where(*offered)
                .order_by(Lease.number)
                .limit(1)
                .with_for_update(of=Lease, skip_locked=True)
            ).one_or_none()
            if row is None:
                return None
            lease, trial = row
            now = shared_now_us(session, self._clock)
            lease.state, lease.worker, lease.token = "leased", worker, str(ULID())
            lease.leased_us = lease.heartbeat_us = now
            lease.expires_us = now + round(ttl_seconds * 1e6)
            return LeaseRecord(
                search=self._uid,
                trial=trial,
                number=lease.number,
                attempt=lease.attempt,
                job=lease.job or {},
                worker=worker,
                token=lease.token,
                expires=from_us(lease.expires_us),
            )

    def renew(self, lease: LeaseRecord, ttl_seconds: float) -> None:
        """Say, as the worker that has a trial, that it is being evaluated, for `ttl_seconds` from now.

        Raises:
            LeaseLostError: it is the worker's no longer: whatever comes of it counts for nothing.
        """
        _check_ttl(ttl_seconds)
        with self._database.write() as session:
            now = shared_now_us(session, self._clock)
            self._change(session, lease, heartbeat_us=now, expires_us=now + round(ttl_seconds * 1e6))

    def report(self, lease: LeaseRecord, report: Mapping[str, Any]) -> None:
        """Say what came of a trial, which ends the lease; saying it twice is harmless.

        Raises:
            LeaseLostError: it was the worker's no longer: the report counts for nothing.
        """
        with self._database.write() as session:
            now = shared_now_us(session, self._clock)
            said = select(Lease.number).where(_is_claim(self._search_id, lease), Lease.state == "reported")
            if session.scalar(said) is None:
                self._change(session, lease, state="reported", heartbeat_us=now, report=dict(report))

    def take_reports(self) -> list[ReportRecord]:
        """What workers reported, by number, and was not given out by this object before.

        The reports stay until the outcomes of their trials are recorded: a broker that comes after one that was killed
        gets them again.
        """
        with self._database.read() as session:
            rows = session.execute(
                select(Lease.token, Lease.number, Lease.attempt, Lease.worker, Run.uid)
                .join(Run, Run.id == Lease.run_id)
                .where(Lease.search_id == self._search_id, Lease.state == "reported")
                .order_by(Lease.number)
            ).all()
            new = [row for row in rows if row.token not in self._taken]
            if not new:
                return []
            said = dict(
                iter(
                    session.execute(
                        select(Lease.number, Lease.report).where(
                            Lease.search_id == self._search_id, Lease.number.in_([row.number for row in new])
                        )
                    )
                )
            )
        self._taken = {row.token for row in rows}
        return [
            ReportRecord(
                trial=row.uid,
                number=row.number,
                attempt=row.attempt,
                worker=row.worker or "",
                report=said[row.number] or {},
            )
            for row in new
        ]

    def expire(self, now: int | None = None) -> list[int]:
        """The numbers of the trials whose workers are taken for dead: their leases ran out. They are nobody's from now
        on, and named again and again until their outcome is recorded.

        Args:
            now: microseconds UTC; by default as the clock says.
        """
        of_search = Lease.search_id == self._search_id
        lost = select(Lease.number).where(of_search, Lease.state == "lost").order_by(Lease.number)
        # A broker knows of its own workers, whose leases have no token, whether they live.
        claimed = and_(of_search, Lease.state == "leased", Lease.token.is_not(None))
        with self._database.read() as session:  # most often there is none, and a file has one writer at a time
            at = shared_now_us(session, self._clock) if now is None else now
            if session.scalar(select(Lease.number).where(claimed, Lease.expires_us < at).limit(1)) is None:
                return list(session.scalars(lost))
        with self._database.write() as session:
            session.execute(
                update(Lease)
                .where(claimed, Lease.expires_us < at)
                .values(state="lost")
                .execution_options(synchronize_session=False)
            )
            return list(session.scalars(lost))

    def counts(self) -> dict[LeaseState, int]:
        """How many trials are offered, leased, reported and lost; only those that there are."""
        with self._database.read() as session:
            return count_leases(session, self._search_id)

    def in_flight(self) -> list[FlightRecord]:
        """The trials that have a lease, by number."""
        with self._database.read() as session:
            return [flight for flight in read_flights(session, self._search_id) if flight.state is not None]

    def _change(self, session: Session, lease: LeaseRecord, **columns: Any) -> None:
        result = session.execute(
            update(Lease)
            .where(_is_claim(self._search_id, lease), Lease.state == "leased")
            .values(columns)
            .execution_options(synchronize_session=False)
        )
        if isinstance(result, CursorResult) and result.rowcount == 1:
            return
        state = session.scalar(select(Lease.state).where(_is_claim(self._search_id, lease)))
        why = {"lost": "its lease ran out", "reported": "its result was reported already"}.get(
            str(state), "it was given to somebody else, or the search has ended"
        )
        raise LeaseLostError(f"trial {lease.number} is no longer that of worker {lease.worker}: {why}", hint=_GONE_HINT)


def is_at_workers() -> ColumnElement[bool]:
    """Whether a row of `nst_lease` goes on without the broker that made it: offered, claimed by workers, reported."""
    return or_(Lease.state.in_(("open", "reported")), and_(Lease.state == "leased", Lease.token.is_not(None)))


def count_leases(session: Session, search_id: int) -> dict[LeaseState, int]:
    """See `Leases.counts`."""
    found = select(Lease.state, func.count()).where(Lease.search_id == search_id).group_by(Lease.state)
    return dict(sorted(session.execute(found)))


def read_flights(session: Session, search_id: int) -> list[FlightRecord]:
    """The running trials of a search, by number, with what their leases say."""
    rows = session.execute(
        select(Run.uid, Run.started_us, Trial.number, Trial.attempt)
        .add_columns(Lease.state, Lease.worker, Lease.leased_us, Lease.heartbeat_us, Lease.expires_us)
        .join(Trial, Trial.run_id == Run.id)
        .outerjoin(Lease, Lease.run_id == Run.id)
        .where(Trial.search_id == search_id, Run.state == "running")
        .order_by(Trial.number, Trial.attempt)
    )
    return [
        FlightRecord(
            trial=row.uid,
            number=row.number,
            attempt=row.attempt,
            state=row.state,
            worker=row.worker,
            started=from_us(row.started_us),
            leased=_time(row.leased_us),
            heartbeat=_time(row.heartbeat_us),
            expires=_time(row.expires_us),
        )
        for row in rows
    ]


def _time(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def _is_claim(search_id: int, lease: LeaseRecord) -> ColumnElement[bool]:
    return and_(Lease.search_id == search_id, Lease.number == lease.number, Lease.token == lease.token)


def _check_ttl(ttl_seconds: float) -> None:
    if not ttl_seconds > 0:
        raise ConfigError(f"expected a time to live of some seconds, got {ttl_seconds}")

"""How far a search is, in a fixed number of queries however many trials it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Subquery, func, select
from sqlalchemy.orm import Session

from . import process
from .clock import shared_now_us
from .leases import count_leases, read_flights
from .models import Metric, Name, Run, Search, Trial, from_us
from .records import RunState, SearchRecord, SearchStatus, TrialRecord


def read_status(
    session: Session,
    search_id: int,
    *,
    search: SearchRecord,
    trial: Callable[[int], TrialRecord],
    clock: Callable[[], int] | None,
) -> SearchStatus:
    """The status of a search.

    Args:
        session: sees one state of the database.
        search_id: its key.
        search: its record.
        trial: reads the record of a trial by its key, in the same session.
        clock: tells the time instead of the database's, microseconds UTC.
    """
    row = session.get_one(Search, search_id)
    now = shared_now_us(session, clock)
    alive = _is_alive(session, search_id, search, now, row.alive_until_us)
    last = _last_attempts(search_id)
    found = select(Run.state, func.count()).join(last, last.c.run_id == Run.id).group_by(Run.state)
    states: dict[RunState, int] = dict(iter(session.execute(found)))
    flights = read_flights(session, search_id)
    if not alive:  # nobody evaluates what its broker had in workers of its own
        flights, left = [flight for flight in flights if flight.state is not None], states.get("running", 0)
        waiting = min(left, len(flights))
        states |= {"running": waiting, "interrupted": states.get("interrupted", 0) + left - waiting}
    best = _best(session, last, search)
    cost = select(func.sum(Trial.cpu_seconds), func.sum(Trial.transferred_bytes)).where(Trial.search_id == search_id)
    cpu_seconds, transferred = session.execute(cost).one()
    return SearchStatus(
        search=search,
        at=from_us(now),
        trials={state: count for state, count in sorted(states.items()) if count},
        in_flight=flights,
        leases=count_leases(session, search_id),
        best=None if best is None else trial(best),
        cpu_seconds=float(cpu_seconds or 0),
        transferred_bytes=int(transferred or 0),
        active_seconds=(row.active_us or 0) / 1e6,
        heartbeat=None if row.heartbeat_us is None else from_us(row.heartbeat_us),
        broker_alive=alive,
        stop_requested=None if row.stop_us is None else from_us(row.stop_us),
    )


def _is_alive(session: Session, search_id: int, search: SearchRecord, now: int, until_us: int | None) -> bool:
    """Whether there is a broker: on this machine its process says so, on another one its heartbeat, if it has one."""
    if search.run.state != "running":
        return False
    here = session.scalar(select(Run.host).where(Run.id == search_id)) == process.host()
    return here or until_us is None or now <= until_us


def _last_attempts(search_id: int) -> Subquery:
    """The keys of the last attempts at the trials of a search."""
    newest = (
        select(Trial.number, func.max(Trial.attempt).label("attempt"))
        .where(Trial.search_id == search_id)
        .group_by(Trial.number)
        .subquery()
    )
    return (
        select(Trial.run_id)
        .join(newest, (newest.c.number == Trial.number) & (newest.c.attempt == Trial.attempt))
        .where(Trial.search_id == search_id)
        .subquery()
    )


def _best(session: Session, last: Subquery, search: SearchRecord) -> int | None:
    """The key of the completed trial that is best by the first objective; of equal ones the first."""
    metric, direction = search.objectives[0]
    value: Any = Metric.value
    return session.scalar(
        select(Run.id)
        .join(last, last.c.run_id == Run.id)
        .join(Metric, Metric.run_id == Run.id)
        .join(Name, (Name.id == Metric.name_id) & (Name.name == metric))
        .where(Run.state == "completed", value.is_not(None))
        .order_by(value.desc() if direction == "maximize" else value, Run.id)
        .limit(1)
    )

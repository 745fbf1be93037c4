"""Many trials in one transaction: a broker that starts and ends eight at a time writes as often as one that does one.

The rows are those that a trial started and ended alone has; whoever reads them cannot tell.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, cast, get_args

from sqlalchemy import Table, bindparam, delete, func, select, update
from sqlalchemy.orm import Session
from ulid import ULID

from ..core import ConfigError
from . import process
from .database import Database, serialise
from .environment import EnvironmentEntry
from .errors import UnknownRunError
from .lineage import link
from .models import Architecture, Base, Environment, Event, Lease, Param, Run, Trial, to_column
from .names import NameBook, check_name
from .params import Scalar, flatten_params, param_row, storable
from .points import Point, put_figures, put_points
from .records import ArchitectureEntry, EndState, NodeKind, OutcomeEntry, ProposalEntry
from .runs import HINT, check_holder, require_run
from .upsert import ensure_row, insert

_CHUNK: Final = 500  # keys in one statement: SQLite takes 32,766 parameters, older ones 999
_COST: Final = ("cause", "cpu_seconds", "peak_memory_bytes", "rung", "wall_seconds", "transferred_bytes")
_MEASURED: Final = ("cpu_seconds", "wall_seconds")
_COUNTED: Final = ("peak_memory_bytes", "rung", "transferred_bytes")


class TrialRecorder:
    """Writes the trials of searches.

    Args:
        database: stays the caller's.
        names: of the same database.
        environment: what trials are made with; asked for when the first one starts.
        clock: tells the time in microseconds UTC.
    """

    def __init__(
        self,
        database: Database,
        names: NameBook,
        *,
        environment: Callable[[], EnvironmentEntry],
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._names = names
        self._environment = environment
        self._clock = clock

    def record(
        self, search_uid: str, *, outcomes: Iterable[OutcomeEntry] = (), proposals: Sequence[ProposalEntry] = ()
    ) -> dict[int, str]:
        """End some trials of a search and start others, all or none; see `Tracker.record`."""
        ended = {entry.uid: entry for entry in outcomes}
        for entry in ended.values():
            _check_outcome(entry)
        for entry in proposals:
            _check_proposal(entry)
        if len({entry.number for entry in proposals}) < len(proposals):
            raise ConfigError(f"expected each trial once, got {[entry.number for entry in proposals]}")
        params = [flatten_params({**each.architecture.choices, **each.hyperparameters}) for each in proposals]
        figures = {name for entry in ended.values() for name in (*entry.metrics, *entry.curves)}
        for name in figures:
            check_name(name)
        ids = self._names.ids(figures.union(*params))
        environment = asdict(self._environment()) if proposals else None  # git takes its time: not in the transaction
        with self._database.write() as session:
            serialise(session)  # attempts are counted on from the last one
            # Held until this is written: a broker that takes the search over afterwards knows of all of it.
            lock = {"read": True}
            search = session.get_one(Run, require_run(session, search_uid, kind="search"), with_for_update=lock)
            check_holder(search)
            if ended:
                self._end(session, search.id, ended, ids)
            if environment is None:
                return {}
            if search.deleted_us is not None:
                raise ConfigError(
                    f"run {search.uid} is deleted", hint=f"bring it back: nasturtium history restore {search.uid}"
                )
            environment_id = ensure_row(session, Environment, "sha256", environment)
            return self._start(session, search, proposals, params, ids, environment_id)

    def _start(
        self,
        session: Session,
        search: Run,
        proposals: Sequence[ProposalEntry],
        params: Sequence[Mapping[str, Scalar]],
        ids: Mapping[str, int],
        environment_id: int,
    ) -> dict[int, str]:
        now = self._clock()
        attempts = self._make_way(session, search.id, [entry.number for entry in proposals], now)
        uids = [str(ULID()) for _ in proposals]
        holder = {"host": process.host(), "pid": os.getpid(), "born": process.birth(os.getpid())}
        runs: list[dict[str, Any]] = [
            {
                "uid": uid,
                "number": None,
                "kind": "trial",
                "state": "running",
                "experiment_id": search.experiment_id,
                "parent_id": search.id,
                "name": search.name,
                "seed": entry.seed,
                "config": {},
                "environment_id": environment_id,
                **holder,
                "started_us": now,
            }
            for uid, entry in zip(uids, proposals, strict=True)
        ]
        _insert(session, Run, runs)
        by_uid = _keys(session, Run, Run.uid, uids)
        run_ids = [by_uid[uid] for uid in uids]
        architectures = _ensure_architectures(session, [entry.architecture for entry in proposals])
        trials = list(zip(run_ids, proposals, strict=True))
        _insert(
            session,
            Trial,
            [
                {
                    "run_id": run_id,
                    "search_id": search.id,
                    "number": entry.number,
                    "attempt": attempts.get(entry.number, 0) + 1,
                    "architecture_id": architectures[entry.architecture.sha256],
                    "hyperparameters": dict(entry.hyperparameters),
                    "optuna_number": entry.optuna_number,
                    "flat": None if entry.flat is None else dict(entry.flat),
                }
                for run_id, entry in trials
            ],
        )
        _insert(
            session,
            Param,
            [
                {"run_id": run_id, "name_id": ids[name], **param_row(value)}
                for run_id, named in zip(run_ids, params, strict=True)
                for name, value in named.items()
            ],
        )
        edges: list[tuple[tuple[NodeKind, int], str, tuple[NodeKind, int]]] = []
        for run_id, entry in trials:
            edges.append((("run", search.id), "proposed", ("run", run_id)))
            architecture_id = architectures[entry.architecture.sha256]
            edges.append((("architecture", architecture_id), "evaluated by", ("run", run_id)))
        link(session, *edges)
        _insert(session, Event, [{"run_id": run_id, "at_us": now, "kind": "started", "body": {}} for run_id in run_ids])
        _insert(
            session,
            Lease,
            [
                _lease_row(search.id, run_id, attempts.get(entry.number, 0) + 1, entry, now)
                for run_id, entry in trials
                if entry.job is not None or entry.lease is not None  # else nobody else needs to know
            ],
        )
        return {entry.number: uid for uid, entry in zip(uids, proposals, strict=True)}

    def _make_way(self, session: Session, search_id: int, numbers: Sequence[int], now: int) -> dict[int, int]:
        """The last attempts at some trials, which are over from now on whoever is still at them."""
        attempts: dict[int, int] = {}
        for chunk in _chunks(numbers):
            of_chunk = (Trial.search_id == search_id, Trial.number.in_(chunk))
            found = select(Trial.number, func.max(Trial.attempt)).where(*of_chunk).group_by(Trial.number)
            attempts |= dict(iter(session.execute(found)))
        for chunk in _chunks(list(attempts)):
            earlier = select(Trial.run_id).where(Trial.search_id == search_id, Trial.number.in_(chunk))
            session.execute(
                update(Run)
                .where(Run.id.in_(earlier), Run.state == "running")
                .values(state="interrupted", ended_us=now)
                .execution_options(synchronize_session=False)
            )
            session.execute(delete(Lease).where(Lease.search_id == search_id, Lease.number.in_(chunk)))
        return attempts

    def _end(self, session: Session, search_id: int, ended: Mapping[str, OutcomeEntry], ids: Mapping[str, int]) -> None:
        now = self._clock()
        runs = _lock_trials(session, search_id, list(ended))
        keys = {uid: runs[uid].id for uid in ended}
        changes: list[dict[str, Any]] = []
        told: list[dict[str, Any]] = []
        for uid, entry in ended.items():
            run = runs[uid]
            if run.state == "completed" and entry.state != "completed":
                raise ConfigError(f"run {uid} is completed and cannot become {entry.state}")
            changes.append(
                {
                    "key": run.id,
                    "new_state": entry.state,
                    "new_ended": now if run.ended_us is None else run.ended_us,
                    "new_error": None if entry.error is None else storable(entry.error),
                }
            )
            if run.ended_us is None or run.state != entry.state:  # or it was told before
                told.append({"run_id": run.id, "at_us": now, "kind": "ended", "body": {"state": entry.state}})
        connection = session.connection()
        connection.execute(_END_RUN, changes)
        connection.execute(_END_TRIAL, [_cost_row(keys[uid], entry) for uid, entry in ended.items()])
        for chunk in _chunks(list(keys.values())):
            session.execute(
                update(Run)
                .where(Run.parent_id.in_(chunk), Run.state == "running")
                .values(state="interrupted", ended_us=now)
                .execution_options(synchronize_session=False)
            )
            session.execute(delete(Lease).where(Lease.run_id.in_(chunk)))
        curves: dict[tuple[int, int], list[Point]] = {}
        figures: dict[tuple[int, int], float] = {}
        for uid, entry in ended.items():
            for name, curve in entry.curves.items():
                curves[keys[uid], ids[name]] = [(int(step), to_column(value), None) for step, value in curve.items()]
            for name, value in entry.metrics.items():
                figures[keys[uid], ids[name]] = float(value)
        put_points(session, curves)
        put_figures(session, figures)
        _insert(session, Event, told)


def _lease_row(search_id: int, run_id: int, attempt: int, entry: ProposalEntry, now: int) -> dict[str, Any]:
    grant = entry.lease
    return {
        "search_id": search_id,
        "number": entry.number,
        "attempt": attempt,
        "run_id": run_id,
        "job": None if entry.job is None else dict(entry.job),
        "state": "open" if grant is None else "leased",
        "worker": None if grant is None else grant.worker,
        "offered_us": now,
        "leased_us": None if grant is None else now,
        "heartbeat_us": None if grant is None else now,
        "expires_us": None if grant is None else now + round(grant.ttl_seconds * 1e6),
    }


_RUN, _TRIAL = cast(Table, Run.__table__), cast(Table, Trial.__table__)
_END_RUN: Final = (
    update(_RUN)
    .where(_RUN.c.id == bindparam("key"))
    .values(state=bindparam("new_state"), ended_us=bindparam("new_ended"), error=bindparam("new_error"))
)
_END_TRIAL: Final = (
    update(_TRIAL).where(_TRIAL.c.run_id == bindparam("key")).values({name: bindparam(f"new_{name}") for name in _COST})
)


def _check_proposal(entry: ProposalEntry) -> None:
    if not 0 <= entry.seed < 2**63:
        raise ConfigError(f"trial {entry.number}: expected 0 <= seed < 2**63, got {entry.seed}")
    if entry.number < 0:
        raise ConfigError(f"expected the number of a trial, from 0, got {entry.number}")
    if entry.lease is not None and not entry.lease.ttl_seconds > 0:
        raise ConfigError(f"trial {entry.number}: expected a lease of some seconds, got {entry.lease.ttl_seconds}")


def _check_outcome(entry: OutcomeEntry) -> None:
    if entry.state not in get_args(EndState):
        raise ConfigError(f"expected a state of {', '.join(get_args(EndState))}, got {entry.state!r}")
    for name in (*_MEASURED, *_COUNTED):
        value = getattr(entry, name)
        if value is not None and not 0 <= value < 2**63:
            raise ConfigError(f"trial {entry.uid}: expected {name} >= 0, got {value}")


def _cost_row(run_id: int, entry: OutcomeEntry) -> dict[str, Any]:
    row = {f"new_{name}": getattr(entry, name) for name in _COST}
    row["new_cause"] = None if entry.cause is None else storable(entry.cause)
    for name in _COUNTED:
        row[f"new_{name}"] = None if row[f"new_{name}"] is None else int(row[f"new_{name}"])
    return {"key": run_id, **row}


def _lock_trials(session: Session, search_id: int, uids: Sequence[str]) -> dict[str, Any]:
    """The runs of some trials of a search by uid, held against other writers of their points."""
    found: dict[str, Any] = {}
    for chunk in _chunks(uids):
        rows = session.execute(
            select(Run.id, Run.uid, Run.state, Run.ended_us)
            .join(Trial, Trial.run_id == Run.id)
            .where(Run.uid.in_(chunk), Trial.search_id == search_id)
            .order_by(Run.id)  # in one order, or two writers wait for each other
            .with_for_update(of=Run)
        )
        found |= {row.uid: row for row in rows}
    for uid in uids:
        if uid not in found:
            raise UnknownRunError(f"the search has no trial {uid}", hint=HINT)
    return found


def _ensure_architectures(session: Session, entries: Iterable[ArchitectureEntry]) -> dict[str, int]:
    """The keys of some networks by their hash; those that are missing are made."""
    rows = {entry.sha256: _architecture_row(entry) for entry in entries}
    found = _keys(session, Architecture, Architecture.sha256, rows)
    missing = [row for sha256, row in sorted(rows.items()) if sha256 not in found]
    if missing:
        # Another writer of PostgreSQL may be about to make one of them.
        session.execute(insert(session, Architecture).on_conflict_do_nothing(index_elements=["sha256"]), missing)
        found |= _keys(session, Architecture, Architecture.sha256, [row["sha256"] for row in missing])
    return found


def _architecture_row(entry: ArchitectureEntry) -> dict[str, Any]:
    return {
        "sha256": entry.sha256,
        "space": entry.space,
        "choices": dict(entry.choices),
        "spec": dict(entry.spec),
        "parameters": entry.parameters,
        "macs": entry.macs,
    }


def _keys(session: Session, table: Any, column: Any, values: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for chunk in _chunks(list(values)):
        found |= dict(iter(session.execute(select(column, table.id).where(column.in_(chunk)))))
    return found


def _insert(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Make new rows, all with the same columns: past the mapped class, which costs several times as much."""
    if rows:
        session.connection().execute(cast(Table, table.__table__).insert(), rows)


def _chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))

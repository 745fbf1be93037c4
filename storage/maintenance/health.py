"""What a user should know about a database before trusting it with work: one line a fact, each with what to do."""

import os
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import Connection, func, select, text, update

from ..artifacts import ArtifactStore
from ..clock import now_us
from ..database import Database, locate_database, open_database, serialise
from ..errors import DatabaseNotFoundError, DatabaseVersionError, StorageError
from ..filesystem import network_file_system
from ..models import Run, from_us
from .backup import last_backup
from .check import dead_runs, orphan_studies
from .status import DatabaseStatus, database_status

Level = Literal["ok", "warn", "fail"]
BACKUP_DAYS: Final = 7
_SECRET_MODE: Final = 0o600
_LITTLE_BYTES: Final = 1 << 30
_TOO_LITTLE_BYTES: Final = 100 << 20
_CLOCK_SLACK: Final = timedelta(minutes=5)
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One fact, and what to do about it."""

    level: Level  # "warn": look into it; "fail": it does not work, or is not safe
    code: str  # a word for programs
    message: str
    hint: str | None = None


Diagnoses = Generator[Diagnosis]


def diagnose_database(
    target: str | Path | None = None, *, fix: bool = False, clock: Callable[[], int] = now_us
) -> Sequence[Diagnosis]:
    """Look at a database and what is around it. Never raises for what is wrong with it.

    Args:
        target: as `open_database` takes it.
        fix: end runs whose process died, give the key file its mode, remove what dead processes left unfinished.
        clock: tells the time in microseconds UTC.
    """
    return list(_diagnose(target, fix, from_us(clock())))


def interrupt_dead_runs(database: Database) -> Sequence[str]:
    """Mark runs whose process on this machine is gone as interrupted, without an end; their names."""
    with database.write() as session:
        serialise(session)
        dead = dead_runs(session.connection())
        session.execute(
            update(Run)
            .where(Run.id.in_([id_ for id_, _ in dead]), Run.state == "running")
            .values(state="interrupted")
            .execution_options(synchronize_session=False)
        )
    return [name for _, name in dead]


def _diagnose(target: str | Path | None, fix: bool, now: datetime) -> Diagnoses:
    with locate_database(target) as place:
        if place.path is not None:
            yield from _disk(place.path)
        yield from _key_file(place.key_file, fix)
    try:
        database = open_database(target, create=False, upgrade=False)
    except DatabaseNotFoundError as exc:
        yield Diagnosis(level="warn", code="database", message=exc.message, hint=exc.hint)
        return
    except (DatabaseVersionError, StorageError) as exc:
        yield Diagnosis(level="fail", code="database", message=exc.message, hint=exc.hint)
        return
    with database:
        try:
            yield from _inside(database, fix, now)
        except StorageError as exc:
            yield Diagnosis(level="fail", code="database", message=exc.message, hint=exc.hint)


def _inside(database: Database, fix: bool, now: datetime) -> Diagnoses:
    status = database_status(database)
    yield Diagnosis(level="ok", code="database", message=f"{status.location} answers: {status.engine} {status.version}")
    current = status.revision == status.newest_revision
    yield Diagnosis(
        level="ok" if current else "warn",
        code="revision",
        message=f"its tables have revision {status.revision}"
        + ("" if current else f", this nasturtium's {status.newest_revision}"),
        hint=None if current else "nasturtium db upgrade, which backs it up first",
    )
    if database.path is not None:
        yield from _journal(database, database.path)
    yield from _room(status)
    yield from _runs(database, fix and current)
    with database.read() as session:
        connection = session.connection()
        yield from _backup(status, last_backup(connection), now)
        yield from _studies(connection)
        yield from _clock(connection, now)
    yield from _drafts(ArtifactStore(database.artifacts_dir), fix)


def _disk(path: Path) -> Diagnoses:
    kind = network_file_system(path)
    if kind is None:
        yield Diagnosis(level="ok", code="disk", message=f"{path} is on a local disk")
    else:
        yield Diagnosis(
            level="warn",
            code="disk",
            message=f"{path} is on a network file system ({kind}), where SQLite's locks and its log cannot be trusted",
            hint="use a local disk, or PostgreSQL if several machines share the history",
        )


def _key_file(path: Path, fix: bool) -> Diagnoses:
    try:
        status = path.stat()
    except OSError:
        yield Diagnosis(level="ok", code="key", message="there is no key for the ledger yet: its first entry makes one")
        return
    mode = status.st_mode & 0o777
    if os.name == "posix" and mode & ~_SECRET_MODE:
        if not fix:
            message = f"{path} can be read by others: its mode is {mode:04o}, expected {_SECRET_MODE:04o}"
            hint = f"chmod 600 {path}, or nasturtium doctor --fix"
            yield Diagnosis(level="fail", code="key", message=message, hint=hint)
            return
        try:
            path.chmod(_SECRET_MODE)
        except OSError as exc:
            yield Diagnosis(level="fail", code="key", message=f"{path}: {exc.strerror or exc}", hint="ask its owner")
            return
        message = f"{path} could be read by others, mode {mode:04o}: fixed"
        hint = "whoever could read it may have signed entries: look at the ledger, and renew the key if in doubt"
        yield Diagnosis(level="warn", code="key", message=message, hint=hint)
        return
    yield Diagnosis(level="ok", code="key", message=f"only its owner reads {path}")


def _journal(database: Database, path: Path) -> Diagnoses:
    with database.read() as session:
        mode = session.connection().exec_driver_sql("PRAGMA journal_mode").scalar_one()
    if mode == "wal":
        yield Diagnosis(level="ok", code="journal", message="SQLite keeps a write-ahead log: readers never wait")
    else:
        yield Diagnosis(
            level="warn",
            code="journal",
            message=f"SQLite's journal is {mode!r} instead of WAL: readers and writers wait for each other",
            hint=f"use a disk that can share memory between processes for {path}",
        )


def _room(status: DatabaseStatus) -> Diagnoses:
    free = status.free_bytes
    if free is None:
        return
    size = status.size_bytes + (status.log_bytes or 0)
    level: Level = "fail" if free < _TOO_LITTLE_BYTES else "warn" if free < max(_LITTLE_BYTES, size) else "ok"
    yield Diagnosis(
        level=level,
        code="room",
        message=f"the database has {_bytes(size)}, and its disk {_bytes(free)} free",
        hint=None if level == "ok" else "free some disk space: a backup or a compaction needs as much again",
    )


def _runs(database: Database, fix: bool) -> Diagnoses:
    if fix:
        names = interrupt_dead_runs(database)
        said = f"their processes had died, now marked interrupted: {_some(names)}"
        yield Diagnosis(level="ok", code="runs", message=said if names else "every running run has its process")
        return
    with database.read() as session:
        names = [name for _, name in dead_runs(session.connection())]
    if names:
        message = f"said to be running, and their processes are gone: {_some(names)}"
        yield Diagnosis(
            level="warn", code="runs", message=message, hint="nasturtium doctor --fix marks them interrupted"
        )
    else:
        yield Diagnosis(level="ok", code="runs", message="every running run has its process")


def _backup(status: DatabaseStatus, last: datetime | None, now: datetime) -> Diagnoses:
    if not status.runs:
        yield Diagnosis(level="ok", code="backup", message="nothing was run yet that needs a backup")
        return
    age = None if last is None else now - last
    if age is not None and age <= timedelta(days=BACKUP_DAYS):
        yield Diagnosis(level="ok", code="backup", message=f"the last backup is of {last:%Y-%m-%d %H:%M} UTC")
        return
    message = "there was never a backup" if age is None else f"the last backup is {age.days} days old"
    yield Diagnosis(level="warn", code="backup", message=message, hint="nasturtium db backup")


def _studies(connection: Connection) -> Diagnoses:
    names = orphan_studies(connection)
    if names:
        message = f"Optuna studies of searches that are gone: {_some(names)}"
        yield Diagnosis(level="warn", code="optuna", message=message, hint="optuna.delete_study removes one")
    else:
        yield Diagnosis(level="ok", code="optuna", message="every Optuna study of ours has its search")


def _clock(connection: Connection, now: datetime) -> Diagnoses:
    newest = connection.scalar(select(func.max(Run.started_us)))
    ahead = None if newest is None else from_us(newest) - now
    if ahead is not None and ahead > _CLOCK_SLACK:
        message = f"the clock says {now:%Y-%m-%d %H:%M} UTC, and the newest run started {_span(ahead)} later"
        yield Diagnosis(level="warn", code="clock", message=message, hint="set the clock of this machine")
        return
    if connection.dialect.name == "postgresql":
        theirs = connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())"))
        apart = timedelta(seconds=abs(float(theirs or 0) - time.time()))
        if apart > _CLOCK_SLACK:
            message = f"the clocks of this machine and of the server are {_span(apart)} apart"
            yield Diagnosis(level="warn", code="clock", message=message, hint="set both by NTP")
            return
    yield Diagnosis(level="ok", code="clock", message=f"{now:%Y-%m-%d %H:%M} UTC is after all that was run")


def _drafts(store: ArtifactStore, fix: bool) -> Diagnoses:
    count = store.clean() if fix else len(store.drafts())
    if count:
        message = f"{count} unfinished files in {store.root}" + (" removed" if fix else "")
        hint = None if fix else "a process may be writing them; nasturtium doctor --fix removes old ones"
        yield Diagnosis(level="ok", code="artifacts", message=message, hint=hint)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _bytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _span(time: timedelta) -> str:
    return f"{time.days} days" if time.days else f"{time.seconds // 60} minutes"

"""Making a database small: what has had its time, what nothing points to, and the room that deleted rows left."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import NullPool, create_engine, delete, select
from sqlalchemy.engine import CursorResult

from ...core import ConfigError
from .. import sqlite
from ..artifacts import MIN_AGE_SECONDS, ArtifactStore
from ..clock import now_us
from ..database import Database, serialise
from ..errors import DatabaseLockedError, StorageError
from ..models import Artifact, Base, Event, Lineage, Run, SystemPoint
from .orphans import is_loose_edge, is_unused_artifact
from .status import database_bytes, file_bytes

_BATCH: Final = 10_000  # rows of one transaction: writers wait no longer than for that
_DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactReport:
    """What a compaction did. The bytes are those of the database, its log and its artifacts."""

    bytes_before: int
    bytes_after: int
    removed: Mapping[str, int]  # events, system_points, edges, artifacts (rows), files, drafts


def compact(
    database: Database, *, events_days: int = 90, system_days: int = 30, clock: Callable[[], int] = now_us
) -> CompactReport:
    """Remove old events and samples of machines, and what nothing points to; give the room back to the disk.

    Others may go on writing; they wait while SQLite copies the file, which takes as much room on the disk again.

    Args:
        database: of the newest revision.
        events_days: how long events are kept.
        system_days: how long samples of a machine are kept.
        clock: tells the time in microseconds UTC.

    Raises:
        ConfigError: a negative number of days.
        DatabaseLockedError: another process has been writing for long. What is removed by then is removed.
    """
    if events_days < 0 or system_days < 0:
        raise ConfigError(f"expected days >= 0, got {events_days} and {system_days}")
    now, store = clock(), ArtifactStore(database.artifacts_dir)
    before = _bytes(database, store)
    removed = {
        "events": _remove_events(database, now - events_days * _DAY_US),
        "system_points": _remove_system_points(database, now - system_days * _DAY_US),
        "edges": 0,
        "artifacts": 0,
        "files": 0,
        "drafts": store.clean(),
    }
    with database.write() as session:
        serialise(session)
        removed["artifacts"] = _count(session.execute(delete(Artifact).where(is_unused_artifact())))
        removed["edges"] = _count(session.execute(delete(Lineage).where(is_loose_edge())))
    removed["files"] = _remove_files(database, store)
    if database.path is None:
        _vacuum_postgresql(database)
    else:
        _vacuum_sqlite(database.path)
    return CompactReport(bytes_before=before, bytes_after=_bytes(database, store), removed=removed)


def _remove_events(database: Database, before_us: int) -> int:
    old = select(Event.id).where(Event.at_us < before_us).order_by(Event.id).limit(_BATCH)
    return _repeat(database, lambda: delete(Event).where(Event.id.in_(old)))


def _remove_system_points(database: Database, before_us: int) -> int:
    with database.read() as session:
        started = select(Run.id, Run.started_us).where(
            Run.started_us < before_us, Run.id.in_(select(SystemPoint.run_id))
        )
        runs = [(id_, (before_us - started_us) // 1000) for id_, started_us in session.execute(started)]
    removed = 0
    for run_id, before_ms in runs:
        with database.write() as session:
            old = delete(SystemPoint).where(SystemPoint.run_id == run_id, SystemPoint.at_ms < before_ms)
            removed += _count(session.execute(old))
    return removed


def _repeat(database: Database, statement: Callable[[], Any]) -> int:
    total = 0
    while True:
        with database.write() as session:
            count = _count(session.execute(statement()))
        total += count
        if count < _BATCH:
            return total


def _count(result: Any) -> int:
    return result.rowcount if isinstance(result, CursorResult) else 0


def _remove_files(database: Database, store: ArtifactStore) -> int:
    """Remove the files that no row tells of. Whoever adds a row looks, within its transaction, whether its file is
    there: this one waits for that, or that for this.
    """
    old = [sha256 for sha256 in store if store.age_seconds(sha256) > MIN_AGE_SECONDS]
    with database.write() as session:
        serialise(session)
        known = set(session.scalars(select(Artifact.sha256)))
        # Asked again: adding content that is there makes it new.
        loose = [sha for sha in old if sha not in known and store.age_seconds(sha) > MIN_AGE_SECONDS]
        for sha256 in loose:
            store.remove(sha256)
    return len(loose)


def _vacuum_sqlite(path: Path) -> None:
    try:
        with closing(sqlite.connect(path)) as connection:
            connection.execute("PRAGMA analysis_limit = 1000")
            connection.execute("ANALYZE")
            connection.execute("PRAGMA optimize")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise DatabaseLockedError(
                f"{path}: another process has been writing for long", hint="try again when it is done"
            ) from exc
        raise StorageError(f"{path}: {exc}", hint=f"free {file_bytes(path)} bytes of disk space") from exc
    except sqlite3.DatabaseError as exc:
        raise StorageError(f"{path}: {exc}", hint="see nasturtium db check") from exc


def _vacuum_postgresql(database: Database) -> None:
    engine = create_engine(database.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        for table in Base.metadata.sorted_tables:
            connection.exec_driver_sql(f"VACUUM (ANALYZE) {table.name}")


def _bytes(database: Database, store: ArtifactStore) -> int:
    path = database.path
    with database.read() as session:
        size = database_bytes(session.connection(), path)
    log = 0 if path is None else file_bytes(Path(f"{path}-wal"))
    return size + log + sum(file_bytes(store.path(sha256)) for sha256 in store)

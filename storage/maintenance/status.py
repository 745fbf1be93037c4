"""What is in a database, how large it is and how old its last backup: for people, at any revision of the tables."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from .. import migrate
from ..database import Database
from .backup import last_backup


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStatus:
    """A database in figures. None: its revision has no such table, or nobody knows."""

    engine: str  # "sqlite" or "postgresql"
    version: str  # of the engine
    location: str  # the file, or the URL without its password
    revision: str | None  # of the tables; None: there are none
    newest_revision: str  # that this nasturtium knows
    size_bytes: int
    log_bytes: int | None  # of SQLite's write-ahead log; None on PostgreSQL
    free_bytes: int | None  # on the disk of the file; None on PostgreSQL
    runs: Mapping[str, int]  # by kind, deleted ones left out
    deleted_runs: int | None
    points: int | None
    rounds: int | None
    ledger_entries: int | None
    artifacts: int | None
    artifact_bytes: int | None
    last_backup: datetime | None  # UTC


def database_status(database: Database) -> DatabaseStatus:
    """Describe a database; it may be of an older revision."""
    path = database.path
    with database.read() as session:
        connection = session.connection()
        columns = _columns(connection)
        runs = columns.get("nst_run", set())
        alive = " WHERE deleted_us IS NULL" if "deleted_us" in runs else ""
        by_kind = connection.execute(text(f"SELECT kind, count(*) FROM nst_run{alive} GROUP BY kind")) if runs else ()  # noqa: S608

        def ask(table: str, column: str, expression: str, rest: str = "") -> int | None:
            if column not in columns.get(table, set()):
                return None
            return int(connection.scalar(text(f"SELECT {expression} FROM {table}{rest}")) or 0)  # noqa: S608

        points = ask("nst_metric", "points", "sum(points)")
        return DatabaseStatus(
            engine="sqlite" if path is not None else "postgresql",
            version=_version(connection),
            location=str(database),
            revision=migrate.current_revision(connection),
            newest_revision=migrate.REVISIONS[-1],
            size_bytes=database_bytes(connection, path),
            log_bytes=None if path is None else file_bytes(Path(f"{path}-wal")),
            free_bytes=None if path is None else shutil.disk_usage(path.parent).free,
            runs=dict(sorted((kind, count) for kind, count in by_kind)),
            deleted_runs=ask("nst_run", "deleted_us", "count(*)", " WHERE deleted_us IS NOT NULL"),
            points=ask("nst_metric_point", "step", "count(*)") if points is None else points,
            rounds=ask("nst_round", "number", "count(*)"),
            ledger_entries=ask("nst_ledger", "sequence", "count(*)"),
            artifacts=ask("nst_artifact", "id", "count(*)"),
            artifact_bytes=ask("nst_artifact", "size_bytes", "sum(size_bytes)"),
            last_backup=last_backup(connection),
        )


def database_bytes(connection: Connection, path: Path | None) -> int:
    """What the database takes on its disk: the file without its log, or our tables with their indexes."""
    if path is not None:
        return file_bytes(path)
    size = text(
        "SELECT sum(pg_total_relation_size(pg_class.oid)) FROM pg_class"
        " WHERE relkind = 'r' AND relname LIKE 'nst\\_%' AND pg_table_is_visible(pg_class.oid)"
    )
    return int(connection.scalar(size) or 0)


def file_bytes(path: Path) -> int:
    """The size of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _columns(connection: Connection) -> dict[str, set[str]]:
    tables = inspect(connection)
    ours = [name for name in tables.get_table_names() if name.startswith("nst_")]
    return {name: {column["name"] for column in tables.get_columns(name)} for name in ours}


def _version(connection: Connection) -> str:
    question = "SHOW server_version" if connection.dialect.name == "postgresql" else "SELECT sqlite_version()"
    answer: Any = connection.scalar(text(question))
    return str(answer)

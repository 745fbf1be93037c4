"""Rows that may be there already: writing them twice is the same as writing them once, on SQLite and on PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from .models import Architecture, Base, Dataset, Environment


def put_rows(
    session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]], *, key: Sequence[str] | None = None
) -> None:
    """Insert `rows`; one whose `key` (unique; the primary key unless given) is taken replaces the row that has it."""
    if not rows:
        return
    key = key or [column.name for column in inspect(table).primary_key]
    statement = _insert(session, table)
    replaced = {name: statement.excluded[name] for name in rows[0] if name not in key}
    session.execute(statement.on_conflict_do_update(index_elements=key, set_=replaced), rows)


def ensure_row(
    session: Session, table: type[Environment | Dataset | Architecture], key: str, row: Mapping[str, Any]
) -> int:
    """Insert `row` unless there is one with the same value of the unique column `key`; the id of that one."""
    session.execute(_insert(session, table).on_conflict_do_nothing(index_elements=[key]), [row])
    return session.execute(select(table.id).where(getattr(table, key) == row[key])).scalar_one()


def _insert(session: Session, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    return postgresql.insert(table) if is_postgresql else sqlite.insert(table)

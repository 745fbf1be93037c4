"""Rows that may be there already: writing them twice is the same as writing them once, on SQLite and on PostgreSQL."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Table, case, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

from .models import Architecture, Artifact, Base, Dataset, Environment, Model, Node

_AT_ONCE: Final = 500  # values in a query: databases have their limits


def insert(session: Session, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """An INSERT of the session's engine, which can say what to do with a row that is there.

    Into the table and not through the class: that costs several times as much. Nothing is flushed before it.
    """
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    into = cast(Table, table.__table__)
    return postgresql.insert(into) if is_postgresql else sqlite.insert(into)


def put_rows(
    session: Session,
    table: type[Base],
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[str] | None = None,
    only: Collection[str] | None = None,
    keep: Mapping[str, InstrumentedAttribute[bool]] | None = None,
) -> None:
    """Insert `rows`; one whose `key` is taken replaces the row that has it.

    Args:
        session: of a write transaction.
        table: where to.
        rows: all with the same columns.
        key: unique columns; the primary key by default.
        only: what is replaced; all of the row's columns by default.
        keep: columns that are not replaced where that column of the old row is true.
    """
    if not rows:
        return
    key = key or [column.name for column in inspect(table).primary_key]
    statement = insert(session, table)
    replaced: dict[str, ColumnElement[Any]] = {
        name: statement.excluded[name] for name in rows[0] if name not in key and (only is None or name in only)
    }
    for name, kept in (keep or {}).items():
        replaced[name] = case((kept, getattr(table, name)), else_=statement.excluded[name])
    session.flush()  # rows may point to objects that wait in the session
    session.execute(statement.on_conflict_do_update(index_elements=key, set_=replaced), rows)


def ensure_row(
    session: Session,
    table: type[Environment | Dataset | Architecture | Artifact | Model | Node],
    key: str,
    row: Mapping[str, Any],
) -> int:
    """Insert `row` unless there is one with the same value of the unique column `key`; the id of that one."""
    session.flush()
    session.execute(insert(session, table).on_conflict_do_nothing(index_elements=[key]), [row])
    return session.execute(select(table.id).where(getattr(table, key) == row[key])).scalar_one()


def ensure_rows(
    session: Session,
    table: type[Environment | Dataset | Architecture | Artifact | Model | Node],
    key: str,
    rows: Sequence[Mapping[str, Any]],
) -> dict[str, int]:
    """As `ensure_row`, for thousands: the ids by the value of `key`, a text."""
    if rows:
        session.flush()
        session.execute(insert(session, table).on_conflict_do_nothing(index_elements=[key]), rows)
    return find_ids(session, table, key, [row[key] for row in rows])


def find_ids(
    session: Session,
    table: type[Environment | Dataset | Architecture | Artifact | Model | Node],
    key: str,
    values: Sequence[str],
) -> dict[str, int]:
    """The ids of rows by the value of their unique column `key`, of those that are there."""
    column = getattr(table, key)
    ids: dict[str, int] = {}
    for start in range(0, len(values), _AT_ONCE):
        found = select(column, table.id).where(column.in_(values[start : start + _AT_ONCE]))
        ids |= {row[0]: row[1] for row in session.execute(found)}
    return ids

"""Optuna's tables, written in bulk and past its classes: rows as Optuna 5.0 would write them, schema v3.2.0.a."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from optuna.storages import RDBStorage
from sqlalchemy import BindParameter, Connection, TextClause, bindparam, text
from sqlalchemy.exc import SQLAlchemyError

from ...storage import Database, SearchRecord, StorageError, configure_sqlite

SCHEMA: Final = "v3.2.0.a"
FIRST_START_DELAYS: Final = (0.1, 0.3, 1.0, 3.0)  # seconds
METRIC_NAMES: Final = "study:metric_names"  # what Optuna keeps the names of a study's objectives under
_CHUNK: Final = 500  # keys in one statement


def ensure_tables(database: Database) -> None:
    """Make Optuna's tables where there are none.

    Optuna makes them without a lock, so of several first searches at once all but one fail at it; a moment later the
    tables are there.

    Raises:
        StorageError: they cannot be made, or they are of an Optuna that has others.
    """
    for delay in (*FIRST_START_DELAYS, None):
        try:
            storage = RDBStorage(database.url, skip_compatibility_check=True)
        except SQLAlchemyError as exc:
            if delay is not None:
                time.sleep(delay)
                continue
            reason = str(exc.__cause__ or exc).splitlines()[0]
            raise StorageError(
                f"database {database}: Optuna cannot use it: {reason}", hint="see that it can be written, then resume"
            ) from exc
        try:
            configure_sqlite(storage.engine)
            version, older = storage.get_current_version(), storage.get_all_versions()
        finally:
            storage.remove_session()
            storage.engine.dispose()
        if version != SCHEMA:
            raise StorageError(
                f"database {database}: its tables of Optuna are of version {version}, expected {SCHEMA}",
                hint="optuna storage upgrade brings them up to date"
                if version in older
                else 'pip install "optuna>=5.0,<5.1"; the search itself is safe in tables of our own',
            )
        return


def figure_columns(value: float) -> tuple[float | None, str]:
    """The columns `value` and `value_type` of a figure."""
    if math.isnan(value):
        return None, "NAN"
    if math.isinf(value):
        return None, "INF_POS" if value > 0 else "INF_NEG"
    return value, "FINITE"


def ensure_study(connection: Connection, search: SearchRecord) -> int:
    """The key of the study, which is made if need be; nobody else copies this search until the transaction ends."""
    named = {"name": search.study_name}
    lock = " FOR UPDATE" if connection.dialect.name == "postgresql" else ""
    find = text(f"SELECT study_id FROM studies WHERE study_name = :name{lock}")  # noqa: S608 - our own constant
    study_id = connection.scalar(find, named)
    if study_id is None:
        made = text("INSERT INTO studies (study_name) VALUES (:name) ON CONFLICT (study_name) DO NOTHING")
        connection.execute(made, named)
        study_id = connection.execute(find, named).scalar_one()
    directed = text("SELECT 1 FROM study_directions WHERE study_id = :study LIMIT 1")
    if connection.scalar(directed, {"study": study_id}) is None:
        names = json.dumps([metric for metric, _ in search.objectives])
        directions = [(study_id, index, way.upper()) for index, (_, way) in enumerate(search.objectives)]
        insert_rows(connection, "study_directions", ("study_id", "objective", "direction"), directions)
        columns = ("study_id", "key", "value_json")
        insert_rows(connection, "study_system_attributes", columns, [(study_id, METRIC_NAMES, names)])
        facts = {"uid": search.uid, "space": search.space, "strategy": search.sampler}
        rows = [(study_id, key, json.dumps(value)) for key, value in facts.items()]
        insert_rows(connection, "study_user_attributes", columns, rows)
    return study_id


def read_trials(connection: Connection, study_id: int, first: int, last: int) -> dict[int, tuple[int, str]]:
    """Trials of a study by number: their keys and states."""
    rows = connection.execute(
        text(
            "SELECT number, trial_id, state FROM trials WHERE study_id = :study AND number BETWEEN :first AND :last"
            " ORDER BY trial_id DESC"  # of two with one number, which only others can have made, the first counts
        ),
        {"study": study_id, "first": first, "last": last},
    )
    return {number: (trial_id, state) for number, trial_id, state in rows}


def change_trials(
    connection: Connection, rows: Sequence[tuple[int, str, str, str | None]], *, attributes: Sequence[str]
) -> None:
    """Give trials another state and other times, and take away what is to be written of them anew.

    Args:
        connection: in a transaction that `ensure_study` was asked in.
        rows: key, state, start and end of each.
        attributes: keys of user attributes that go; others, which people made, stay. Values go, too.
    """
    if not rows:
        return
    names = ("key", "state", "started", "ended")
    connection.execute(_CHANGE, [dict(zip(names, row, strict=True)) for row in rows])
    for some in _slices([row[0] for row in rows]):
        connection.execute(_FORGET_VALUES, {"keys": some})
        connection.execute(_FORGET_ATTRIBUTES, {"keys": some, "names": list(attributes)})


def last_steps(connection: Connection, keys: Sequence[int]) -> dict[int, int]:
    """The last step that has an intermediate value, of those trials that have some."""
    found: dict[int, int] = {}
    for some in _slices(keys):
        found |= dict(iter(connection.execute(_LAST_STEPS, {"keys": some})))
    return found


def _slices(keys: Sequence[int]) -> Iterator[list[int]]:
    return (list(keys[start : start + _CHUNK]) for start in range(0, len(keys), _CHUNK))


def _several(statement: str, *names: str) -> TextClause:
    parameters: list[BindParameter[Any]] = [bindparam(name, expanding=True) for name in names]
    return text(statement).bindparams(*parameters)


_CHANGE: Final = text(
    "UPDATE trials SET state = :state, datetime_start = :started, datetime_complete = :ended WHERE trial_id = :key"
)
_FORGET_VALUES: Final = _several("DELETE FROM trial_values WHERE trial_id IN :keys", "keys")
_FORGET_ATTRIBUTES: Final = _several(
    "DELETE FROM trial_user_attributes WHERE trial_id IN :keys AND key IN :names", "keys", "names"
)
_LAST_STEPS: Final = _several(
    "SELECT trial_id, max(step) FROM trial_intermediate_values WHERE trial_id IN :keys GROUP BY trial_id", "keys"
)


def insert_rows(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Make new rows as fast as the engine takes them; words are those of Optuna's enumerations."""
    if not rows:
        return
    names = ", ".join(columns)
    if connection.dialect.name == "postgresql":
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            copy.write("".join(_lines(rows)))
        cursor.close()
        return
    places = ", ".join("?" * len(columns))
    connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({places})", list(rows))  # noqa: S608


def _lines(rows: Iterable[tuple[Any, ...]]) -> Iterable[str]:
    """Rows as PostgreSQL's COPY reads them: tabs between columns, a backslash before what would be taken for one."""
    for row in rows:
        yield "\t".join(
            "\\N" if value is None else value.translate(_ESCAPES) if isinstance(value, str) else repr(value)
            for value in row
        )
        yield "\n"


_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

"""One SQL statement of a user, which may read everything and change nothing.

It is for people who may see the whole history: it does not hide tables from anybody. What it keeps out:

- Writing. SQLite: the file is opened read-only, and an authorizer lets a statement do nothing but select; other files
  cannot be attached, nor settings changed, nor extensions loaded. PostgreSQL: the transaction is READ ONLY and rolled
  back, its connection is closed after it, and only one statement goes through the extended protocol.
- What a READ ONLY transaction of PostgreSQL still lets through: functions that take advisory locks, stop other
  sessions, read or write files of the server, open connections of their own or sleep. All of them are declared
  volatile, so every word of the statement is looked up, and one that names a volatile function is refused (a few
  harmless ones are allowed), as are those few functions that run SQL out of a text.
- Running away: there are limits to the time, the number of rows and the size of what is returned.

What it cannot keep out: on PostgreSQL a function that somebody installed and wrongly declared stable, and operators or
views that call one; a role that may only SELECT is the answer to that. A single slow step inside SQLite, such as one
LIKE over a very long text, is only stopped after it.
"""

import difflib
import math
import re
import sqlite3
import time
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from ..core import ConfigError
from . import sqlite
from .database import Database
from .errors import QueryError, StorageError
from .models import Base

MAX_ROWS: Final = 100_000
MAX_STATEMENT: Final = 100_000  # letters
_MAX_RETURNED: Final = 256 << 20  # letters and bytes, of all texts and blobs together
_MAX_CELL: Final = 64 << 20  # bytes, SQLite
_MAX_PATTERN: Final = 1000  # of LIKE, whose time grows with the number of its % on SQLite
_STEPS: Final = 10_000  # of SQLite's machine between two looks at the clock

_SPACE: Final = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/|\()*+", re.DOTALL)
_READS: Final = ("SELECT", "WITH", "VALUES", "EXPLAIN", "TABLE")
_ALLOWED: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_REFUSED: Final = frozenset({"load_extension", "fts3_tokenizer"})  # SQLite's that reach out of the database
_WORD: Final = re.compile(r"[\w$]+")
_RUN_TEXT: Final = ("connectby", "crosstab", "query_to_xml", "ts_rewrite", "ts_stat", "xpath_table")
_VOLATILE: Final = "SELECT proname FROM pg_catalog.pg_proc WHERE provolatile = 'v' AND proname = ANY(%s) LIMIT 1"
_HARMLESS: Final = frozenset(
    {
        "clock_timestamp",
        "gen_random_uuid",
        "pg_database_size",
        "pg_indexes_size",
        "pg_relation_size",
        "pg_table_size",
        "pg_total_relation_size",
        "random",
        "timeofday",
    }
)
_READ_ONLY_HINT: Final = "only reading is allowed here: one SELECT"


@dataclass(frozen=True, slots=True)
class SqlResult:
    """What a statement returned: values as the database's driver has them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    cut: bool = False  # whether there was more than what is here


def run_sql(database: Database, statement: str, *, limit: int | None = None, timeout: float = 30.0) -> SqlResult:
    """Run one statement that reads.

    Args:
        database: stays the caller's; the statement gets a connection of its own.
        statement: SELECT, WITH, VALUES, TABLE or EXPLAIN, in the dialect of the database.
        limit: how many rows at most; never more than `MAX_ROWS`.
        timeout: seconds it may take.

    Raises:
        ConfigError: a limit or a timeout that is not positive.
        QueryError: it is something else, the database refuses it, or it took too long.
        StorageError: the database cannot be reached.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"expected a limit of at least 1, got {limit}")
    if not (timeout > 0 and math.isfinite(timeout)):
        raise ConfigError(f"expected a timeout of some seconds, got {timeout}")
    _check(statement)
    most = MAX_ROWS if limit is None else min(limit, MAX_ROWS)
    if database.path is not None:
        return _run_sqlite(database.path, statement, most, timeout)
    return _run_postgresql(database, statement, most, timeout)


def _check(statement: str) -> None:
    if len(statement) > MAX_STATEMENT:
        raise QueryError(f"the statement has {len(statement):,} letters; expected at most {MAX_STATEMENT:,}")
    if re.search("[\0\ud800-\udfff]", statement):
        raise QueryError("the statement has a letter that is in no text: NUL, or half a surrogate pair")
    space = _SPACE.match(statement)
    word = re.match(r"\w*", statement[space.end() if space else 0 :])
    first = word[0] if word else ""
    if first.upper() not in _READS:
        shown = f", got {first[:40]}" if first else ""
        raise QueryError(f"expected a statement that reads: {', '.join(_READS)}{shown}", hint=_READ_ONLY_HINT)


def _run_sqlite(path: Path, statement: str, limit: int, timeout: float) -> SqlResult:
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(closing(sqlite.connect(path, mode="ro")))
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')")  # made before nothing may be made
        except sqlite3.Error as exc:
            raise StorageError(f"cannot read {path}: {exc}") from exc
        connection.text_factory = _decode
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_CELL)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _MAX_PATTERN)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_authorizer(_authorise)
        give_up = time.monotonic() + timeout
        connection.set_progress_handler(lambda: time.monotonic() > give_up, _STEPS)
        try:
            cursor = connection.execute(statement)
            columns = tuple(column[0] for column in cursor.description or ())
            return _collect(columns, cursor, limit)
        # Warning, which is no Error: more than one statement, as Python 3.11 says it.
        except (sqlite3.Error, sqlite3.Warning, MemoryError, OverflowError) as exc:
            code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_INTERRUPT:
                raise _too_slow(timeout) from exc
            hint = _READ_ONLY_HINT if code == sqlite3.SQLITE_AUTH else _table_hint(str(exc), "no such table: ")
            raise _refused(str(exc), hint) from exc


def _authorise(action: int, _table: str | None, name: str | None, _database: str | None, _source: str | None) -> int:
    if action not in _ALLOWED or (action == sqlite3.SQLITE_FUNCTION and (name or "").lower() in _REFUSED):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _decode(data: bytes) -> str:
    return data.decode(errors="replace")  # a cast can make a text of any bytes


def _run_postgresql(database: Database, statement: str, limit: int, timeout: float) -> SqlResult:
    import psycopg

    with database.read() as session:
        connection = session.connection()
        driver: Any = connection.connection.driver_connection
        connection.detach()  # closed at the end, not used again: whatever the statement set on it is gone
        try:
            _refuse_functions(driver, statement)
            milliseconds = min(max(1, round(timeout * 1000)), 2**31 - 1)
            driver.execute("SELECT set_config('statement_timeout', %s, true)", (str(milliseconds),))
            # One row at a time; and always in the extended protocol, which takes one statement only.
            with driver.cursor() as cursor, closing(cursor.stream(statement.encode())) as rows:
                first = next(rows, None)
                if first is None:
                    return SqlResult(_described(driver, statement), ())
                columns = tuple(column.name for column in cursor.description or ())
                return _collect(columns, chain([first], rows), limit)
        except psycopg.errors.QueryCanceled as exc:
            raise _too_slow(timeout) from exc
        # The others: values that Python's types have no room for.
        except (psycopg.Error, ValueError, ArithmeticError, MemoryError) as exc:
            diagnosis = exc.diag if isinstance(exc, psycopg.Error) else None
            message = (diagnosis.message_primary if diagnosis else None) or str(exc)
            hint = (diagnosis.message_hint if diagnosis else None) or _table_hint(message, 'relation "')
            if isinstance(exc, psycopg.errors.ReadOnlySqlTransaction):
                hint = _READ_ONLY_HINT
            raise _refused(message, hint and hint.rstrip(".")) from exc


def _refuse_functions(driver: Any, statement: str) -> None:
    if re.search(r'\bU&"', statement, re.IGNORECASE):
        raise QueryError('names written as U&"..." are not allowed here', hint="write the letters themselves")
    words = {*_WORD.findall(statement), *statement.split('"')}  # between quotes a name may have odd letters
    words |= {word.lower() for word in words}
    for word in words:
        if word.startswith(_RUN_TEXT):
            raise _function_refused(word)
    row = driver.execute(_VOLATILE, (sorted(words - _HARMLESS),)).fetchone()
    if row is not None:
        raise _function_refused(row[0])


def _function_refused(name: str) -> QueryError:
    return QueryError(f"{name} is a function that may do more than read, and is not allowed here", hint=_READ_ONLY_HINT)


def _described(driver: Any, statement: str) -> tuple[str, ...]:
    """The columns of a statement, which the driver does not tell where there are no rows."""
    driver.pgconn.prepare(b"", statement.encode())
    description = driver.pgconn.describe_prepared(b"")
    return tuple((description.fname(i) or b"").decode() for i in range(description.nfields))


def _collect(columns: tuple[str, ...], rows: Iterable[Any], limit: int) -> SqlResult:
    kept: list[tuple[Any, ...]] = []
    size = 0
    for row in rows:
        size += sum(len(cell) for cell in row if isinstance(cell, str | bytes))
        if len(kept) == limit or size > _MAX_RETURNED:
            return SqlResult(columns, tuple(kept), cut=True)
        kept.append(tuple(row))
    return SqlResult(columns, tuple(kept))


def _too_slow(timeout: float) -> QueryError:
    return QueryError(f"the statement took longer than {timeout:g} s", hint="ask for less, or allow it more time")


def _refused(message: str, hint: str | None) -> QueryError:
    return QueryError(f"the database refused the statement: {' '.join(message.split())}", hint=hint)


def _table_hint(message: str, before: str) -> str | None:
    """The nearest of our tables where `message` says that there is no such table."""
    _, found, rest = message.partition(before)
    if not found:
        return None
    name = re.split(r'"|\s', rest)[0].removeprefix("nst_")
    near = difflib.get_close_matches(name, [table.removeprefix("nst_") for table in Base.metadata.tables], n=1)
    return f"did you mean nst_{near[0]}?" if near else "the tables of the history begin with nst_"

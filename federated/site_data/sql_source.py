"""Rows from one SQL query, by SQLAlchemy: read, and nothing else.

A query is one SELECT, which is looked at here and then run in a transaction that only reads: SQLite opens the file so,
PostgreSQL, MySQL and MariaDB refuse to write in it. What a function in a query does is up to the database: give the
site a user that may do no more than read.

The password comes from a variable of the environment or a file of its owner's alone. It is taken out of every message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import numpy as np

from ...core import ConfigError, DataError, MissingExtraError
from ...privacy import read_file
from .config import DataConfig

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

MAX_ROWS: Final = 20_000_000
MAX_CELLS: Final = 1_000_000_000
_CHUNK: Final = 10_000  # rows at a time from the database
_MAX_PASSWORD_BYTES: Final = 4096
# What no SELECT has in it, outside of texts and quoted names. That nothing is written the transaction sees to.
_WRITES: Final = re.compile(
    r"\b(insert|update|delete|merge|replace\s+into|into|create|alter|drop|truncate|grant|revoke|attach|detach|pragma|"
    r"vacuum|copy|call|do|execute|exec|set|lock|load_extension|outfile|dumpfile)\b",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]")
_COMMENT: Final = re.compile(r"--[^\n]*(?:\n|$)|/\*.*?\*/", re.DOTALL)
_DRIVERS: Final = {"postgresql": "postgres"}  # dialect -> our extra with its driver


@dataclass(frozen=True, slots=True)
class SqlTable:
    """What a query gave.

    Attributes:
        source: how messages call it.
        names: of its columns.
        cells: shape (rows, columns), objects: numbers, booleans, text, and None where a value is missing.
    """

    source: str
    names: tuple[str, ...]
    cells: np.ndarray


def read_query(config: DataConfig) -> SqlTable:
    """Run the query of a configuration.

    Raises:
        ConfigError: it is no single SELECT, the database cannot be reached, or there is no password where one is named.
        DataError: there are no rows, too many, two columns of one name, or values that are neither numbers nor text.
        MissingExtraError: the driver is not installed.
        KeyFileError: the file of the password cannot be read, or others can.
    """
    assert config.database is not None
    assert config.query is not None
    query = check_query(config.query)
    password = _password(config)
    with _engine(config.database, password) as engine:
        source = f"the query on {config.database}"
        with _reading(engine, source, password) as connection:
            result = connection.exec_driver_sql(query)
            names = tuple(map(str, result.keys()))
            if twice := [name for name in names if names.count(name) > 1]:
                raise DataError(f"{source}: two columns are called {twice[0]!r:.80}", hint="name them with AS")
            rows: list[Sequence[Any]] = []
            for chunk in result.partitions(_CHUNK):
                rows.extend(chunk)
                if len(rows) > MAX_ROWS or len(rows) * len(names) > MAX_CELLS:
                    raise DataError(f"{source}: more than {len(rows)} rows of {len(names)} columns", hint="add a LIMIT")
    if not rows:
        raise DataError(f"{source}: there are no rows")
    cells = np.empty((len(rows), len(names)), object)
    for place, name in enumerate(names):
        cells[:, place] = [_cell(row[place], source, name, number) for number, row in enumerate(rows, 1)]
    return SqlTable(source, names, cells)


def check_query(query: str) -> str:
    """A query without the semicolon at its end, if it is one SELECT as far as its text says.

    Raises:
        ConfigError: it is not. The text is not shown: it may hold values.
    """
    query = query.strip().rstrip("; \t\r\n")
    bare = _COMMENT.sub(" ", query).strip()
    outside = _QUOTED.sub("''", bare)
    first = re.match(r"\(*\s*(\w+)", bare)
    said = None
    if first is None or first[1].lower() not in {"select", "with"}:
        said = f"a statement that begins with {first[1][:20]!r}" if first else "none"
    elif writes := _WRITES.search(outside):
        said = f"the word {writes[0][:20]!r}"
    if ";" in query or "/*!" in query:
        said = "a second statement, or a comment that is executed"
    if said is not None:
        raise ConfigError(
            f"[data] query: expected one SELECT, got {said}",
            hint="quote names that are words of SQL; a semicolon in a text counts, too: make a view for what needs one",
        )
    return query


def _password(config: DataConfig) -> str | None:
    """The password, if the configuration says where it is.

    Raises:
        ConfigError: the variable is not set.
        KeyFileError: the file cannot be read, or others can.
    """
    if config.password_env is not None:
        password = os.environ.get(config.password_env)
        if password is None:
            raise ConfigError(
                f"[data] password_env: the environment has no variable {config.password_env!r}",
                hint="set it where the site is started",
            )
        return password
    if config.password_file is not None:
        return read_file(config.password_file, _MAX_PASSWORD_BYTES, secret=True).rstrip("\r\n")
    return None


@contextmanager
def _engine(address: str, password: str | None) -> Generator[Engine]:
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    try:
        url = make_url(address)
        options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
        if url.get_backend_name() == "sqlite":
            if not url.database or url.database == ":memory:":
                raise ConfigError("[data] database: expected the path of an SQLite file", hint="sqlite:///clinic.db")
            if not Path(url.database).is_file():
                raise ConfigError(f"[data] database: no such file: {url.database}", hint="check the path")
            # mode=ro: SQLite opens the file to read, and makes none.
            file = Path(url.database).absolute().as_uri().removeprefix("file://")
            url = url.set(database=f"file:{file}", query={**url.query, "mode": "ro", "uri": "true"})
        elif password is not None:
            url = url.set(password=password)
        engine = create_engine(url, **options)
    except (ArgumentError, NoSuchModuleError, ValueError) as exc:
        if isinstance(exc, ConfigError):
            raise
        raise ConfigError(
            "[data] database: not an address SQLAlchemy knows", hint="such as postgresql+psycopg://user@host/name"
        ) from None
    except ImportError as exc:
        dialect = address.partition(":")[0]
        extra = _DRIVERS.get(dialect.partition("+")[0])
        if extra is not None:
            raise MissingExtraError(f"a database of {dialect}", extra) from exc
        raise ConfigError(
            f"[data] database: the driver of {dialect} is not installed", hint=f"pip install {exc.name or 'it'}"
        ) from exc
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _reading(engine: Engine, source: str, password: str | None) -> Generator[Connection]:
    """A connection in a transaction that only reads, which is rolled back."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with engine.connect().execution_options(no_parameters=True) as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")
                # Where an address asks for autocommit, every statement is a transaction of its own.
                connection.exec_driver_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            elif engine.dialect.name in {"mysql", "mariadb"}:
                connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
                connection.rollback()  # it counts from the next one on
            elif engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA query_only = ON")
            else:
                raise ConfigError(f"[data] database: no transaction of {engine.dialect.name} is known to only read")
            yield connection
            connection.rollback()
    except SQLAlchemyError as exc:
        # Not `str(exc)`, which has the query in it, nor its cause, which may have an address: only what the database
        # says in one line, without the password.
        told = str(getattr(exc, "orig", None) or type(exc).__name__).strip().splitlines()
        line = (told[0] if told else type(exc).__name__).replace(password or "\0", "***")
        raise ConfigError(
            f"{source} failed: {line[:300]}", hint="try it with the database's own client, as the user of the site"
        ) from None


def _cell(value: object, source: str, column: str, row: int) -> object:
    """A value as the core reads tables: a number, a boolean, a text, or None."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID):
        return str(value)
    raise DataError(
        f"{source}: row {row}, column {column!r}: expected a number or text, got {type(value).__name__}",
        hint="convert it in the query with CAST, or leave the column out",
    )

"""SQLite files: looking at one before touching it, the settings of a connection, a copy before an upgrade.

Why two kinds of transactions: with SQLite's default (deferred) one, a reader that turns writer while another one
writes gets "database is locked" at once, whatever the timeout (measured: 8 threads, 9 of 10 transactions lost). So a
transaction that may write takes the write lock at its BEGIN, where waiting works, and readers have their own engine.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import URL, Connection, Engine, Pool, QueuePool, create_engine, event
from sqlalchemy.exc import OperationalError

from .errors import DatabaseLockedError, DatabaseNotFoundError, ForeignDatabaseError, StorageError
from .filesystem import network_file_system

APPLICATION_ID: Final = 0x4E535430  # "NST0", at offset 68 of the file
BUSY_TIMEOUT_MS: Final = 20_000
_TURN_MS: Final = 60  # SQLite sleeps 1, 2, 5, 10, 15, 20 ms between its looks for a lock, and longer from then on
_HEADER = b"SQLite format 3\0"
_OURS = "nst_alembic_version"
_OPTUNA = {"studies", "version_info"}


def check_file(path: Path, *, create: bool) -> None:
    """Make sure that `path` is a file we may use: ours, Optuna's, or new; a file of someone else stays as it is.

    Args:
        path: absolute.
        create: make an empty file where there is none.

    Raises:
        DatabaseNotFoundError: there is no file, and `create` is false.
        ForeignDatabaseError: a SQLite database with the tables of another program.
        StorageError: not a SQLite file, or one that cannot be read or written.
    """
    try:
        if path.is_dir():
            raise StorageError(f"{path} is a folder", hint=f"name a file in it: {path / 'nasturtium.db'}")
        if not path.exists():
            if not create:
                raise DatabaseNotFoundError(f"there is no database {path}", hint="check the path; a search creates it")
            if not path.parent.is_dir():
                raise StorageError(f"there is no folder {path.parent} for {path.name}", hint="create the folder first")
            path.touch()
        if not path.is_file():
            raise StorageError(f"{path} is not a regular file", hint="name a file on a local disk")
        with path.open("rb") as file:
            header = file.read(len(_HEADER))
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise StorageError(f"cannot open {path}: {reason}", hint="check its permissions, or use another path") from exc
    if header and header != _HEADER:
        raise StorageError(f"{path} is not a SQLite database", hint="use another path; the file was not touched")
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        # Reading needs it too: SQLite keeps a log and a lock file beside the database.
        raise StorageError(f"{path} is read-only, or its folder is", hint="copy it to a folder you can write to")
    if header:
        _check_owner(path)


def _check_owner(path: Path) -> None:
    try:
        with closing(connect(path, mode="ro")) as connection:
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise DatabaseLockedError(f"{path} is locked by another process", hint="wait for it, or stop it") from exc
        raise StorageError(f"cannot read {path}: {exc}", hint="restore it from a copy") from exc
    except (sqlite3.Error, UnicodeDecodeError) as exc:  # the latter: a name in it is damaged
        raise StorageError(f"cannot read {path}: {exc}", hint="restore it from a copy") from exc
    if names and application_id != APPLICATION_ID and _OURS not in names and not names >= _OPTUNA:
        tables = ", ".join(sorted(names)[:3])
        raise ForeignDatabaseError(
            f"{path} is a database of another program (it holds {tables})", hint="use another path; it was not touched"
        )


def connect(path: Path, *, mode: Literal["ro", "rw"] = "rw") -> sqlite3.Connection:
    """Connect to an existing file; transactions begin only where we say so."""
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",  # without "c": a file that vanished is an error, not a new empty file
        uri=True,
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,  # the pool hands a connection to one thread at a time
    )


def create_sqlite_engine(
    path: Path,
    *,
    begin: Literal["BEGIN", "BEGIN IMMEDIATE"],
    pragmas: tuple[str, ...],
    poolclass: type[Pool] = QueuePool,
    **options: Any,
) -> Engine:
    """An engine on the file `path` whose transactions start with `begin`; `pragmas` are set on each connection."""
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, creator=lambda: connect(path), poolclass=poolclass, **options)
    configure_sqlite(engine)

    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    def start(connection: Connection) -> None:
        if begin == "BEGIN":
            connection.exec_driver_sql(begin)
            return
        # SQLite looks for the lock less and less often, so that of many writers some wait for seconds (measured with
        # 32: 7 s at worst). Asked anew again and again it never sleeps for more than 20 ms.
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {_TURN_MS}")
        _retry_while_busy(lambda: connection.exec_driver_sql(begin), pause=0.0)
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", start)
    return engine


def configure_sqlite(engine: Engine) -> None:
    """Give `engine` the settings all writers of one file should share: WAL, synchronous=NORMAL, a long busy timeout.

    For engines that others build on our file, as Optuna's. Idle connections are closed, so that the next one has them;
    an engine of another database is left as it is.
    """
    if engine.dialect.name != "sqlite":
        return
    # WAL lives in memory that all processes share, which the disks of a network do not give.
    on_network = network_file_system(Path(engine.url.database or "")) is not None

    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        _use_journal(connection, "TRUNCATE" if on_network else "WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if on_network else 'NORMAL'}")

    event.listen(engine, "connect", prepare)
    engine.dispose()


def _use_journal(connection: sqlite3.Connection, mode: Literal["WAL", "TRUNCATE"]) -> None:
    """Switch the file to a kind of journal; where processes do so at once, SQLite fails instead of waiting."""
    _retry_while_busy(lambda: connection.execute(f"PRAGMA journal_mode = {mode}"), pause=0.005)


def _retry_while_busy(work: Callable[[], object], *, pause: float) -> None:
    """Do `work`, again and again while another connection has the lock it needs, for `BUSY_TIMEOUT_MS` in all."""
    give_up = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            work()
        except (sqlite3.OperationalError, OperationalError) as exc:
            cause = exc.orig if isinstance(exc, OperationalError) else exc
            code = cause.sqlite_errorcode if isinstance(cause, sqlite3.OperationalError) else 0
            if code & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(pause)
        else:
            return


def back_up(path: Path, destination: Path) -> None:
    """Copy the database at `path` to `destination` as one consistent file; a copy of that name is replaced."""
    unfinished = destination.with_name(f"{destination.name}.part")
    try:
        unfinished.unlink(missing_ok=True)
        with closing(connect(path)) as source, closing(sqlite3.connect(unfinished)) as target:
            source.backup(target)
        unfinished.replace(destination)
    except (OSError, sqlite3.Error) as exc:
        raise StorageError(f"cannot back {path} up to {destination}: {exc}", hint="free some disk space") from exc

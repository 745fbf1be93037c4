"""Opening a database: where it is, whether it is ours and of our version, and the two engines that work on it."""

import json
import os
import weakref
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, func, make_url, select
from sqlalchemy.exc import ArgumentError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from ..core import ConfigError, FormatError, MissingExtraError
from . import migrate, sqlite
from .artifacts import ArtifactStore
from .errors import (
    DatabaseLockedError,
    DatabaseNotFoundError,
    DatabaseUnreachableError,
    DatabaseVersionError,
    DiskFullError,
    IntegrityError,
    StorageError,
)
from .model_files import adopt_models

DEFAULT_FILE: Final = "nasturtium.db"
_SQLITE = {"sqlite", "sqlite+pysqlite"}
_POSTGRESQL = {"postgres", "postgresql", "postgresql+psycopg"}
_LOCK = int.from_bytes(b"nst_lock")  # of PostgreSQL's advisory locks
_BUSY = "another process has been writing for long; try again when it is done"
_FULL = "free some disk space"
_DAMAGED = "the file is damaged: nasturtium db restore brings a backup back"
_ERRORS: Sequence[tuple[str, type[StorageError], str]] = (  # what the driver says, what it means, what the user can do
    ("is locked", DatabaseLockedError, _BUSY),
    ("deadlock", DatabaseLockedError, _BUSY),
    ("lock timeout", DatabaseLockedError, _BUSY),
    ("readonly", StorageError, "check the permissions of the file and of its folder"),
    ("disk is full", DiskFullError, _FULL),
    ("No space left on device", DiskFullError, _FULL),  # PostgreSQL's
    ("malformed", IntegrityError, _DAMAGED),
    ("not a database", IntegrityError, _DAMAGED),
    ("append-only", IntegrityError, "entries of the ledger are added, never changed"),
    ("resolve host", DatabaseUnreachableError, "check the address of the server"),
    ("translate host", DatabaseUnreachableError, "check the address of the server"),
    ("connection", DatabaseUnreachableError, "check that the server runs, and its address, user and password"),
)


def open_database(target: str | Path | None = None, *, create: bool = True, upgrade: bool = True) -> "Database":
    """Open a database, make it or bring it to our version where that is needed, and check that it is ours.

    Args:
        target: a file, or the URL of a SQLite or PostgreSQL database; by default what the environment variable
            NASTURTIUM_DB names, else `nasturtium.db` in the working directory.
        create: whether a database that is not there, or has none of our tables, may be made.
        upgrade: whether an older one is brought to our version; one that is not can only be looked at.

    Returns:
        The database; the caller closes it, best by `with`.

    Raises:
        ConfigError: a URL of another kind.
        DatabaseNotFoundError: nothing to open, and `create` is false.
        DatabaseVersionError: a newer nasturtium made it.
        ForeignDatabaseError: the SQLite file of another program; it is not touched.
        MissingExtraError: PostgreSQL, and its driver is not installed.
        StorageError: the file or the server cannot be used.
    """
    database = locate_database(target)
    if database.path is not None:
        sqlite.check_file(database.path, create=create)
    try:
        database.prepare(create=create, upgrade=upgrade)
    except BaseException:
        database.close()
        raise
    return database


def locate_database(target: str | Path | None = None) -> "Database":
    """The database that `open_database` would open, unopened: it need not be there, be ours, or be whole."""
    url = _parse(os.environ.get("NASTURTIUM_DB") or DEFAULT_FILE if target is None else target)
    return Database(url, path=Path(url.database or "") if url.get_backend_name() == "sqlite" else None)


class Database:
    """One database, with an engine that writes and one that only reads. `open_database` makes it.

    Args:
        url: of a SQLite file (`path`, absolute) or of a PostgreSQL database.
        path: the SQLite file; None for PostgreSQL.
    """

    def __init__(self, url: URL, *, path: Path | None) -> None:
        self._url = url
        self.path = path
        _opened.add(self)
        if path is not None:
            self._writer = sqlite.create_sqlite_engine(
                path,
                begin="BEGIN IMMEDIATE",
                pragmas=("foreign_keys = ON",),
                json_serializer=_json,
                json_deserializer=_parsed,
            )
            self._durable = sqlite.create_sqlite_engine(
                path,
                begin="BEGIN IMMEDIATE",
                pragmas=("foreign_keys = ON", "synchronous = FULL"),
                json_serializer=_json,
                json_deserializer=_parsed,
            )
            self._reader = sqlite.create_sqlite_engine(
                path, begin="BEGIN", pragmas=("query_only = ON",), json_deserializer=_parsed
            )
            return
        try:
            self._writer = create_engine(
                _patient(url), pool_pre_ping=True, json_serializer=_json, json_deserializer=_parsed
            )
        except ModuleNotFoundError as exc:
            raise MissingExtraError(f"database {self}", "postgres") from exc
        self._durable = self._writer  # the server answers a commit when it is on the disk
        # One state of the database for all queries of a session, as a SQLite read transaction has.
        self._reader = self._writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def __str__(self) -> str:
        return str(self.path or _public(self._url))

    def __repr__(self) -> str:
        return f"Database({str(self)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._reader.dispose()
        self._durable.dispose()
        self._writer.dispose()  # last: SQLite's last connection folds its log into the file

    def forget_connections(self) -> None:
        """Let go of all connections without closing them."""
        for engine in (self._reader, self._durable, self._writer):
            engine.dispose(close=False)

    @property
    def url(self) -> str:
        """The URL for other libraries, such as Optuna, with its password: never show it."""
        return self._url.render_as_string(hide_password=False)

    @property
    def models_dir(self) -> Path:
        """Where model folders live: `<name>.models` beside the database; see `_beside`."""
        return self._beside(".models")

    @property
    def artifacts_dir(self) -> Path:
        """Where the content of artifacts lies: `<name>.artifacts` beside the database."""
        return self._beside(".artifacts")

    @property
    def heads_dir(self) -> Path:
        """Where the heads of the ledger lie that simulated sites keep: `<name>.heads` beside the database."""
        return self._beside(".heads")

    @property
    def key_file(self) -> Path:
        """Where the key that signs the ledger lies: `<name>.ledger-key` beside the database."""
        return self._beside(".ledger-key")

    def _beside(self, suffix: str) -> Path:
        """A path that belongs to this database alone: named as its SQLite file, without `.db`; for a server as
        NASTURTIUM_FILES says, or as its database, in the working directory.
        """
        if self.path is not None:
            name = self.path.name.removesuffix(".db") if self.path.suffix else f"{self.path.name}.files"
            return self.path.with_name(f"{name}{suffix}")
        stem = Path(os.environ.get("NASTURTIUM_FILES") or f"nasturtium-{self._url.database}").absolute()
        return stem.with_name(f"{stem.name}{suffix}")

    @contextmanager
    def write(self, *, durable: bool = False) -> Generator[Session]:
        """A session in one transaction: committed at the end of the block, rolled back when the block raises.

        Args:
            durable: whether the commit waits for the disk, so that a power cut does not take it back either.
        """
        engine = self._durable if durable else self._writer
        with self._wrap_errors(), Session(engine) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Generator[Session]:
        """A session that sees one state of the database and cannot change it."""
        with self._wrap_errors(), Session(self._reader) as session:
            yield session

    def prepare(self, *, create: bool, upgrade: bool = True) -> None:
        """Make our tables where there are none, upgrade them where they are old; see `open_database`."""
        revision = self.revision()
        if revision is None and not create:
            raise DatabaseNotFoundError(f"{self} holds no history", hint="check the path; a search creates it")
        if revision != migrate.REVISIONS[-1] and (upgrade or revision is None):
            with self._wrap_errors():
                self._upgrade()

    def revision(self) -> str | None:
        """The revision of the tables; None where there are none yet.

        Raises:
            DatabaseVersionError: a newer nasturtium made them.
        """
        with self._wrap_errors(), self._reader.connect() as connection:
            return self._known_revision(connection)

    def _known_revision(self, connection: Connection) -> str | None:
        revision = migrate.current_revision(connection)
        if revision is not None and revision not in migrate.REVISIONS:
            raise DatabaseVersionError(
                f"{self} was made by a newer nasturtium: its tables have revision {revision}, this one knows"
                f" {migrate.REVISIONS[-1]}",
                hint="upgrade nasturtium",
            )
        return revision

    def _upgrade(self) -> None:
        """Migrate in one transaction that holds a lock, so that of several first starts one does the work."""
        with self._migrating_engine() as engine, engine.begin() as connection:
            serialise(connection)
            revision = self._known_revision(connection)  # again: another process may have been first
            newest = migrate.REVISIONS[-1]
            if revision == newest:
                return
            if self.path is not None:
                if revision is not None:
                    sqlite.back_up(self.path, self.path.with_name(f"{self.path.name}.before-{newest}.bak"))
                connection.exec_driver_sql(f"PRAGMA application_id = {sqlite.APPLICATION_ID}")
            migrate.upgrade(connection)
            if revision == "0001":  # which had no artifacts; where they cannot be made, nothing is upgraded
                with Session(connection) as session:
                    adopt_models(session, self.models_dir, ArtifactStore(self.artifacts_dir))

    @contextmanager
    def _migrating_engine(self) -> Generator[Engine]:
        if self.path is None:
            yield self._writer
            return
        # SQLite alters a table by copying it and dropping the old one, which must not cascade to the rows below it.
        off = ("foreign_keys = OFF",)
        engine = sqlite.create_sqlite_engine(self.path, begin="BEGIN IMMEDIATE", pragmas=off, poolclass=NullPool)
        try:
            yield engine
        finally:
            engine.dispose()

    @contextmanager
    def _wrap_errors(self) -> Generator[None]:
        try:
            yield
        except UnicodeDecodeError as exc:  # of a text that was damaged on the disk
            raise IntegrityError(f"database {self}: a text in it is none: {exc}", hint=_DAMAGED) from exc
        except (StatementError, PoolTimeoutError) as exc:  # the driver's errors, values it cannot take, a crowded pool
            cause = exc.orig if isinstance(exc, StatementError) else None
            if isinstance(cause, StorageError):
                raise cause from cause.__cause__
            reason = str(cause or exc).strip()
            known = ((kind, hint) for fragment, kind, hint in _ERRORS if fragment in reason)
            kind, hint = next(known, (StorageError, None))
            raise kind(f"database {self}: {reason}", hint=hint) from exc


_opened: weakref.WeakSet[Database] = weakref.WeakSet()


def _leave_connections() -> None:
    """In a forked child: the connections are the parent's, who goes on using them; ours are made anew."""
    for database in list(_opened):
        database.forget_connections()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_connections)


def serialise(connection: Connection | Session) -> None:
    """Let this write transaction and the others that ask for it run one after another; to be asked before it writes.

    SQLite's write transactions do so anyway; PostgreSQL's take a lock that ends with the transaction.
    """
    bind = connection.get_bind() if isinstance(connection, Session) else connection
    if bind.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def _parse(target: str | Path) -> URL:
    if isinstance(target, Path) or "://" not in target:
        return _file(target)
    scheme = target.partition("://")[0]
    if scheme not in _SQLITE | _POSTGRESQL:
        raise ConfigError(
            f"unknown kind of database {scheme!r}", hint="name a file, sqlite:///FILE or postgresql://USER@HOST/NAME"
        )
    try:
        url = make_url(target)
    except (ArgumentError, ValueError) as exc:  # ValueError: a port that is no number
        raise ConfigError(f"cannot read this {scheme} URL", hint=f"expected {scheme}://USER@HOST:PORT/NAME") from exc
    if scheme in _POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    return _file(url.database or "")


def _file(path: str | Path) -> URL:
    if str(path) in {"", ".", ":memory:"} or str(path).startswith("file:"):
        raise ConfigError(f"expected the path of a database file, got {str(path)!r}", hint=f"use {DEFAULT_FILE}")
    try:
        file = Path(path).expanduser()
    except RuntimeError:  # ~nobody: a user that there is not
        file = Path(path)
    return URL.create("sqlite", database=str(file.absolute()))


def _patient(url: URL) -> URL:
    """The URL of a server with an end to every wait, where it does not say one itself."""
    query = dict(url.query)
    query.setdefault("connect_timeout", "10")
    options = str(query.get("options", ""))
    if "lock_timeout" not in options:
        query["options"] = f"{options} -clock_timeout={sqlite.BUSY_TIMEOUT_MS}".strip()
    return url.set(query=query)


def _public(url: URL) -> str:
    secrets = {name: "***" for name in url.query if "password" in name}
    return url.update_query_dict(secrets).render_as_string(hide_password=True)


def _json(value: object) -> str:
    try:
        # PostgreSQL refuses the NaN that Python would write, so SQLite gets none either.
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise StorageError(f"cannot store this as JSON: {exc}", hint="use text, finite numbers, lists, dicts") from exc


def _parsed(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise FormatError(
            f"the database holds what is no JSON: {exc}", hint="it was not written by nasturtium; restore a backup"
        ) from exc

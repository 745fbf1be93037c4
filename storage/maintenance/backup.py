"""Backups: one file that holds the database, its artifacts and its model folders, and the way back.

A backup is taken while others write, and holds one state of the database. It does not hold the key that signs the
ledger: keep that apart, as a backup may be read by more people than may sign. Restore only backups that you trust as
much as the database: on PostgreSQL a dump is a program that `pg_restore` runs.
"""

import filecmp
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, cast

from sqlalchemy import URL, Connection, NullPool, create_engine, inspect, select, text

from ...core import ConfigError
from .. import migrate, process, sqlite
from ..artifacts import ArtifactStore, sync_folder
from ..clock import now_us
from ..database import Database, locate_database
from ..errors import (
    DatabaseLockedError,
    DatabaseVersionError,
    ForeignDatabaseError,
    IntegrityError,
    RunBusyError,
    StorageError,
)
from ..models import Artifact, Meta, from_us
from ..upsert import put_rows
from . import postgres
from .archive import ARTIFACTS, DATABASES, MODELS, Archive, ArchiveWriter, Engine, Manifest, is_member_name

SUFFIX: Final = ".nstbackup"
BACKUP_KEY: Final = "backup_us"  # in `nst_meta`: when the last backup was taken
_LOCK_WAIT_MS: Final = 2000
_SPARE_BYTES: Final = 1 << 20
_ATTEMPTS: Final = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restoration did."""

    database: str  # its file, or its URL without the password
    kept: Sequence[Path]  # what was there before, under the names it has now
    manifest: Manifest


def back_up(database: Database, destination: Path | None = None, *, clock: Callable[[], int] = now_us) -> Path:
    """Write a backup and read it back. Others may go on writing; what they commit meanwhile is not in it.

    Artifacts that are missing or altered, and model files with names no backup can hold, are logged and left out: the
    manifest lists them (`read_backup`).

    Args:
        database: of any revision.
        destination: the file to write, or a folder; by default one beside the database, named after the time.
        clock: tells the time in microseconds UTC.

    Returns:
        The file.

    Raises:
        ConfigError: there is a file of that name.
        IntegrityError: the database is damaged; nothing was written.
        StorageError: the disk refuses, or PostgreSQL's `pg_dump` is not installed.
    """
    now = clock()
    created = from_us(now)
    target = _destination(database, destination, created)
    with (
        _disk_errors(target),
        tempfile.TemporaryDirectory(prefix=f"{target.name}.", suffix=".part", dir=target.parent) as scratch,
    ):
        unfinished = Path(scratch) / target.name
        with unfinished.open("xb") as file:
            _write(database, ArchiveWriter(file, created), Path(scratch))
            file.flush()
            os.fsync(file.fileno())
        with Archive(unfinished) as archive:
            archive.verify()
        unfinished.replace(target)
        sync_folder(target.parent)
    _remember(database, now)
    return target


def read_backup(backup: Path, *, deep: bool = True) -> Manifest:
    """What is in a backup.

    Args:
        backup: what `back_up` wrote.
        deep: read all of it and compare the hashes; else only what its manifest says, and that it is all there.

    Raises:
        FormatError: not a backup, or one of a newer version.
        IntegrityError: it is damaged.
    """
    with Archive(backup) as archive:
        if deep:
            archive.verify()
        return archive.manifest


def restore(
    backup: Path, target: str | Path | None = None, *, force: bool = False, clock: Callable[[], int] = now_us
) -> Restored:
    """Put the database, the artifacts and the models of a backup where `target` says.

    The backup is checked as a whole before anything is touched. What was in the place of a SQLite file is kept under
    other names; a PostgreSQL schema must be empty, and artifacts and models are added to those in its folders.

    Args:
        backup: what `back_up` wrote.
        target: as `open_database` takes it; need not be there.
        force: whether also a database is replaced that other processes use, which go on with the old one, or whose
            ledger tells of privacy that was spent since the backup, which would be forgotten.
        clock: tells the time in microseconds UTC.

    Raises:
        ConfigError: the backup is of the other kind of database.
        DatabaseLockedError, RunBusyError: another process has the database open, or runs something that it records.
        DatabaseVersionError: a newer nasturtium made the backup.
        ForeignDatabaseError: the target is a file of another program.
        FormatError, IntegrityError: it is no backup, or a damaged one.
        StorageError: the disk or the server refuses, or the ledger would lose entries. All is as it was.
    """
    with Archive(backup) as archive:
        manifest = archive.manifest
        if manifest.revision not in migrate.REVISIONS:
            raise DatabaseVersionError(
                f"{backup} was made by a newer nasturtium ({manifest.nasturtium}): its tables have revision"
                f" {manifest.revision}, this one knows {migrate.REVISIONS[-1]}",
                hint="upgrade nasturtium",
            )
        with locate_database(target) as database:
            engine: Engine = "postgresql" if database.path is None else "sqlite"
            if manifest.engine != engine:
                raise ConfigError(
                    f"{backup} is a backup of {manifest.engine}, {database} is {engine}",
                    hint="use nasturtium history export and import to go from one to the other",
                )
            stamp = f"before-restore-{_stamp(from_us(clock()))}"
            with _disk_errors(backup):
                if database.path is None:
                    kept = _restore_postgresql(archive, database, stamp)
                else:
                    kept = _restore_sqlite(archive, database, database.path, stamp, force=force)
            return Restored(database=str(database), kept=kept, manifest=manifest)


def last_backup(connection: Connection) -> datetime | None:
    """When the last backup was taken; None: never, or nobody knows."""
    if not inspect(connection).has_table(Meta.__tablename__):
        return None
    value = connection.scalar(select(Meta.value).where(Meta.key == BACKUP_KEY))
    return None if value is None or not value.isdecimal() else from_us(int(value))


def _destination(database: Database, destination: Path | None, created: datetime) -> Path:
    if destination is None:
        destination = database.artifacts_dir.parent if database.path is None else database.path.parent
    if destination.is_dir():
        name = database.artifacts_dir.stem if database.path is None else database.path.stem
        destination /= f"{name}-{_stamp(created)}{SUFFIX}"
    if destination.exists():
        raise ConfigError(f"{destination} is there already", hint="name another file")
    if not destination.parent.is_dir():
        raise StorageError(f"there is no folder {destination.parent}", hint="create the folder first")
    return destination.absolute()


def _stamp(time: datetime) -> str:
    return f"{time:%Y%m%dT%H%M%SZ}"


def _write(database: Database, writer: ArchiveWriter, scratch: Path) -> None:
    if database.path is None:
        with database.read() as session:
            connection = session.connection()
            schema = postgres.schema_of(connection)
            if schema is None:
                raise StorageError(f"{database} holds no history", hint="check the URL")
            copy = scratch / DATABASES["postgresql"]
            snapshot = connection.scalar(text("SELECT pg_export_snapshot()"))
            postgres.dump(database, copy, schema=schema, snapshot=snapshot)
            postgres.check_dump(copy)
            _write_members(database, writer, connection, copy, engine="postgresql", schema=schema)
        return
    copy = scratch / DATABASES["sqlite"]
    sqlite.back_up(database.path, copy)
    _settle(copy)
    engine = create_engine(URL.create("sqlite", database=str(copy)), poolclass=NullPool)
    with engine.connect() as connection:
        _write_members(database, writer, connection, copy, engine="sqlite", schema=None)


def _write_members(
    database: Database, writer: ArchiveWriter, connection: Connection, copy: Path, *, engine: Engine, schema: str | None
) -> None:
    revision = migrate.current_revision(connection)
    if revision is None:
        raise StorageError(f"{database} holds no history", hint="check the path")
    tables = inspect(connection)
    has_meta, has_store = tables.has_table(Meta.__tablename__), tables.has_table("nst_run_artifact")
    instance = connection.scalar(select(Meta.value).where(Meta.key == "instance")) if has_meta else None
    with copy.open("rb") as file:
        writer.add(DATABASES[engine], file, size_bytes=copy.stat().st_size)
    left_out: list[str] = []
    if has_store:
        rows = connection.execute(select(Artifact.sha256, Artifact.size_bytes).order_by(Artifact.sha256))
        left_out += _write_artifacts(writer, ArtifactStore(database.artifacts_dir), [(row[0], row[1]) for row in rows])
    left_out += _write_models(writer, database.models_dir)
    for name in left_out:
        logger.warning("%s is not in the backup: it is missing, altered, or has a name no backup can hold", name)
    writer.finish(engine=engine, revision=revision, instance=instance, schema=schema, left_out=left_out)


def _write_artifacts(writer: ArchiveWriter, store: ArtifactStore, rows: Iterable[tuple[str, int]]) -> list[str]:
    left_out: list[str] = []
    for sha256, size_bytes in rows:
        name = f"{ARTIFACTS}/{sha256}"
        try:
            store.verify(sha256, size_bytes=size_bytes)
        except (IntegrityError, ConfigError):
            left_out.append(name)
            continue
        with store.open(sha256) as file:
            writer.add(name, file, size_bytes=size_bytes)
    return left_out


def _write_models(writer: ArchiveWriter, models: Path) -> list[str]:
    left_out: list[str] = []
    for folder in sorted(models.iterdir()) if models.is_dir() else []:
        if folder.name.startswith("."):
            continue  # a draft
        if not folder.is_dir() or folder.is_symlink():
            left_out.append(f"{MODELS}/{folder.name}")
            continue
        with _open_files(folder) as files:
            for path, file in files.items():
                name = f"{MODELS}/{path.relative_to(models).as_posix()}"
                if file is None or not is_member_name(name):
                    left_out.append(name)
                else:
                    writer.add(name, file, size_bytes=os.fstat(file.fileno()).st_size)
    return left_out


@contextmanager
def _open_files(folder: Path) -> Generator[dict[Path, BinaryIO | None]]:
    """All files of a folder, open, and all of one state of it: a model folder that is replaced is opened again.

    What is not a regular file is None.
    """
    for attempt in range(_ATTEMPTS):
        with ExitStack() as stack:
            try:
                before = folder.stat().st_ino
                paths = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
                files = {path: stack.enter_context(path.open("rb")) if _is_plain(path) else None for path in paths}
                same = folder.stat().st_ino == before
            except FileNotFoundError:
                if not folder.exists() or attempt == _ATTEMPTS - 1:
                    break  # deleted, and so is its run
                continue
            if same or attempt == _ATTEMPTS - 1:
                yield cast("dict[Path, BinaryIO | None]", files)
                return
    yield {}


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _settle(copy: Path) -> None:
    """Make a copy of a SQLite database one plain file, and make sure that it is whole.

    Raises:
        IntegrityError: it is damaged.
    """
    try:
        with closing(sqlite.connect(copy)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA journal_mode = DELETE")
            found = [word for (word,) in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.DatabaseError as exc:
        found = [str(exc)]
    if found != ["ok"]:
        raise IntegrityError(
            f"the database is damaged: {'; '.join(found)}",
            hint="see nasturtium db check; an older backup may be whole",
        )


def _remember(database: Database, now: int) -> None:
    try:
        with database.read() as session:
            if not inspect(session.connection()).has_table(Meta.__tablename__):
                return
        with database.write() as session:
            put_rows(session, Meta, [{"key": BACKUP_KEY, "value": str(now)}])
    except StorageError as exc:
        logger.warning("the time of the backup could not be noted in the database: %s", exc)


def _restore_sqlite(archive: Archive, database: Database, path: Path, stamp: str, *, force: bool) -> list[Path]:
    if not path.parent.is_dir():
        raise StorageError(f"there is no folder {path.parent} for {path.name}", hint="create the folder first")
    _check_room(path.parent, archive.size_bytes)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.restoring-", dir=path.parent) as scratch:
        staged = Path(scratch)
        archive.extract(lambda name: _place(staged, name))
        _sync(staged)
        copy = staged / DATABASES["sqlite"]
        _check_copy(copy, archive.manifest)
        _check_target(path)
        if not force:
            _check_replaceable(path, copy)
        return _swap(
            [
                # The database goes first and comes last: what a crash leaves is no database, never one with the files
                # of another.
                (copy, path),
                (staged / MODELS, database.models_dir),
                (staged / ARTIFACTS, database.artifacts_dir),
            ],
            stamp,
        )


def _restore_postgresql(archive: Archive, database: Database, stamp: str) -> list[Path]:
    manifest, store = archive.manifest, ArtifactStore(database.artifacts_dir)
    with database.read() as session:
        schema = postgres.empty_schema(session.connection())
    if schema != manifest.schema:
        raise StorageError(
            f"{archive.path} is of the schema {manifest.schema}, {database} uses {schema}",
            hint=f"name a database with an empty schema {manifest.schema}",
        )
    database.models_dir.mkdir(parents=True, exist_ok=True)
    _check_room(database.models_dir, archive.size_bytes)
    with (
        tempfile.TemporaryDirectory(prefix=".restoring-", dir=database.models_dir) as scratch,
        ExitStack() as undo,  # the inner one: it moves back into what the outer one removes
    ):
        staged = Path(scratch)
        archive.extract(lambda name: _place(staged, name))
        dump = staged / DATABASES["postgresql"]
        postgres.check_dump(dump)
        for sha256 in ArtifactStore(staged / ARTIFACTS):  # others may share the store, which hashes make harmless
            store.add(staged / ARTIFACTS / sha256[:2] / sha256, link=True)
        folders = sorted((staged / MODELS).iterdir()) if (staged / MODELS).is_dir() else []
        moves = [(folder, database.models_dir / folder.name) for folder in folders]
        kept = _swap([(new, place) for new, place in moves if not _equal(new, place)], stamp, undo=undo)
        postgres.load(database, dump)
        undo.pop_all()
    return kept


def _equal(one: Path, other: Path) -> bool:
    files, others = (
        {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} for folder in (one, other)
    )
    return files == others and all(filecmp.cmp(one / name, other / name, shallow=False) for name in files)


def _place(staged: Path, name: str) -> Path:
    head, _, rest = name.partition("/")
    return staged / head / rest[:2] / rest if head == ARTIFACTS else staged / name


def _sync(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            sync_folder(path)


def _check_room(folder: Path, size_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size_bytes + _SPARE_BYTES:
        raise StorageError(
            f"restoring needs {size_bytes} bytes on the disk of {folder}, {free} are free",
            hint="free some disk space",
        )


def _check_target(path: Path) -> None:
    """Refuse what is clearly no history. A file that cannot be read may be a damaged one, and is kept anyway."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise StorageError(f"{path} is a folder, a link or a device", hint="name the file itself")
    try:
        if path.exists():
            sqlite.check_file(path, create=False)
    except ForeignDatabaseError:
        raise
    except StorageError as exc:
        logger.warning("%s; it will be kept beside the restored one", exc.message)


def _check_copy(copy: Path, manifest: Manifest) -> None:
    """Make sure that the database of a backup is whole, ours, and the one its manifest tells of."""
    sqlite.check_file(copy, create=False)
    _settle(copy)
    engine = create_engine(URL.create("sqlite", database=str(copy)), poolclass=NullPool)
    with engine.connect() as connection:
        revision = migrate.current_revision(connection)
    if revision != manifest.revision:
        raise IntegrityError(
            f"the database in the backup has revision {revision}, its manifest says {manifest.revision}",
            hint="use another backup",
        )


def _check_replaceable(path: Path, copy: Path) -> None:
    """Refuse to replace a database of a live run, one that another process has open, or one that knows of privacy spent
    that the copy knows nothing of. What is not refused becomes one plain file.

    SQLite deletes the log of a database by its name: a process that has the old file open would take the new one's.
    """
    if not path.exists() or not _is_sqlite(path):
        return  # SQLite would throw away the log of a file that it does not know
    try:
        with closing(sqlite.connect(path)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {_LOCK_WAIT_MS}")
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if "nst_run" in names:
                _check_no_live_run(connection)
            if "nst_ledger" in names:
                _check_ledger_is_kept(connection, copy)
            connection.execute("PRAGMA journal_mode = DELETE")  # leaving WAL takes the whole database for oneself
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return
        raise DatabaseLockedError(
            f"another process has {path} open", hint="end it first: it would go on with the database that was there"
        ) from exc
    except sqlite3.DatabaseError as exc:
        logger.info("%s is damaged (%s), so nobody can be using it", path, exc)


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _check_ledger_is_kept(connection: sqlite3.Connection, copy: Path) -> None:
    question = "SELECT sequence, hash FROM nst_ledger ORDER BY sequence"
    with closing(sqlite.connect(copy)) as restored:
        there = "SELECT name FROM sqlite_master WHERE name = 'nst_ledger'"
        known = set(restored.execute(question)) if restored.execute(there).fetchone() else set[tuple[int, str]]()
    lost = [entry for entry in connection.execute(question) if entry not in known]
    if lost:
        raise StorageError(
            f"{len(lost)} entries of the privacy ledger, from number {lost[0][0]} on, are not in the backup: what they"
            " say was spent would be forgotten",
            hint="export the ledger first; --force restores all the same",
        )


def _check_no_live_run(connection: sqlite3.Connection) -> None:
    running = connection.execute("SELECT uid, number, host, pid, born FROM nst_run WHERE state = 'running'")
    for uid, number, host, pid, born in running:
        if host == process.host() and process.is_alive(pid, born):
            name = uid if number is None else f"{number} ({uid})"
            raise RunBusyError(f"run {name} is in the hands of process {pid}", hint="wait for it, or stop it")


def _swap(moves: Sequence[tuple[Path, Path]], stamp: str, *, undo: ExitStack | None = None) -> list[Path]:
    """Move what is there aside and what is new in, the first of `moves` out first and in last; or change nothing.

    Args:
        moves: new files and folders, which need not be there, and their places.
        stamp: what the names of the old ones end in.
        undo: gets what is to be done to have it all back; the caller's, who may still fail.
    """
    kept: list[Path] = []
    with ExitStack() as stack:
        for _, place in moves:
            aside = _free_name(place, stamp)
            for old, name in [(place, aside), *((Path(f"{place}{end}"), f"{aside}{end}") for end in ("-wal", "-shm"))]:
                if old.exists():
                    _move(old, Path(name), stack)
                    kept.append(Path(name))
        for new, place in reversed(moves):
            if new.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                _move(new, place, stack)
        for folder in {place.parent for _, place in moves}:
            sync_folder(folder)
        done = stack.pop_all()
    if undo is not None:
        undo.push(done)
    return kept


def _move(old: Path, new: Path, undo: ExitStack) -> None:
    old.rename(new)
    undo.callback(new.rename, old)


def _free_name(place: Path, stamp: str) -> Path:
    name = place.with_name(f"{place.name}.{stamp}")
    count = 1
    while name.exists():
        count += 1
        name = place.with_name(f"{place.name}.{stamp}-{count}")
    return name


@contextmanager
def _disk_errors(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageError(
            f"{exc.filename or path}: {exc.strerror or exc}", hint="free some disk space, check permissions"
        ) from exc

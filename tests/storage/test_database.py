"""Opening: what is made, what is refused, and that what is refused stays as it was."""

import os
import shutil
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from nasturtium.core import ConfigError, MissingExtraError
from nasturtium.storage import (
    Database,
    DatabaseNotFoundError,
    DatabaseVersionError,
    ForeignDatabaseError,
    History,
    StorageError,
    UnknownRunError,
    configure_sqlite,
    open_database,
)


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def contents(folder: Path) -> dict[str, bytes | None]:
    """What is in a folder, except for SQLite's lock file beside a log."""
    files = [file for file in folder.iterdir() if not file.name.endswith("-shm")]
    return {file.name: file.read_bytes() if file.is_file() else None for file in files}


def garbage(path: Path) -> None:
    path.write_bytes(b"accuracy,loss\n0.9,0.1\n" * 9)


def damaged(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4080)


def foreign(path: Path) -> None:
    execute(path, "CREATE TABLE album (title TEXT)", "CREATE TABLE studies (title TEXT)")


def foreign_with_a_log(path: Path) -> None:
    """As a killed program leaves it: the copy is made while the log holds what the file does not."""
    original = path.with_name("original.db")
    with closing(sqlite3.connect(original)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE album (title TEXT)")
        shutil.copy(original, path)
        shutil.copy(f"{original}-wal", f"{path}-wal")
    original.unlink()


def newer(path: Path) -> None:
    open_database(path).close()
    execute(path, "UPDATE nst_alembic_version SET version_num = '9999'")


def pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        pytest.param(garbage, StorageError, "is not a SQLite database", id="garbage"),
        pytest.param(damaged, StorageError, "not a database", id="damaged"),
        pytest.param(foreign, ForeignDatabaseError, r"another program \(it holds album", id="foreign"),
        pytest.param(foreign_with_a_log, ForeignDatabaseError, r"it holds album", id="foreign-with-a-log"),
        pytest.param(newer, DatabaseVersionError, "newer nasturtium.*9999.*upgrade nasturtium", id="newer"),
        pytest.param(Path.mkdir, StorageError, "is a folder", id="folder"),
        pytest.param(pipe, StorageError, "not a regular file", id="pipe"),
    ],
)
@pytest.mark.parametrize("create", [True, False])
def test_what_is_not_ours_is_refused_and_stays_as_it_was(tmp_path, make, error, message, create):
    path = tmp_path / "some.db"
    make(path)
    before = contents(tmp_path)
    with pytest.raises(error, match=message):
        open_database(path, create=create)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        pytest.param("mysql://me:secret@host/db", ConfigError, "'mysql'", id="mysql"),
        pytest.param("postgresql+asyncpg://me:secret@host/db", ConfigError, "asyncpg", id="other-driver"),
        pytest.param("postgresql://me:secret@host:port/db", ConfigError, "cannot read this postgresql", id="port"),
        pytest.param("sqlite://", ConfigError, "expected the path", id="memory-url"),
        pytest.param(":memory:", ConfigError, "expected the path", id="memory"),
        pytest.param("missing/some.db", StorageError, "no folder .*missing", id="missing-folder"),
        pytest.param("a-file/some.db", StorageError, "a-file", id="file-as-folder"),
        pytest.param("nul\0.db", StorageError, "cannot open", id="nul"),
        pytest.param("x" * 300, StorageError, "cannot open", id="long-name"),
    ],
)
def test_a_target_that_cannot_be_opened_is_refused(tmp_path, monkeypatch, target, error, message):
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    with pytest.raises(error, match=message) as caught:
        open_database(target)
    assert "secret" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["a-file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("locked", ["file", "folder"])
def test_a_read_only_database_is_refused(tmp_path, locked):
    path = tmp_path / "some.db"
    open_database(path).close()
    target, mode = (path, 0o444) if locked == "file" else (tmp_path, 0o555)
    target.chmod(mode)
    with pytest.raises(StorageError, match="read-only"):
        open_database(path)
    tmp_path.chmod(0o755)


def test_reading_creates_nothing(tmp_path):
    with pytest.raises(DatabaseNotFoundError, match=r"no database .*absent\.db"):
        open_database(tmp_path / "absent.db", create=False)
    assert not list(tmp_path.iterdir())
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(DatabaseNotFoundError, match="holds no history"):
        open_database(empty, create=False)


def test_a_file_that_vanishes_is_not_made_again(tmp_path):
    path = tmp_path / "some.db"
    with open_database(path) as database:
        database.close()
        path.unlink()
        with pytest.raises(StorageError, match="unable to open"):
            History(database).runs()
        assert not path.exists()


@pytest.mark.parametrize(
    ("environment", "target", "expected"),
    [
        pytest.param(None, None, "nasturtium.db", id="default"),
        pytest.param("", None, "nasturtium.db", id="empty-variable"),
        pytest.param("team.db", None, "team.db", id="variable"),
        pytest.param("sqlite:///team.db", None, "team.db", id="variable-url"),
        pytest.param("team.db", "mine.db", "mine.db", id="argument-wins"),
        pytest.param(None, Path("a:\\//b.db"), "a:\\/b.db", id="path"),
        pytest.param(None, "día 50%#?&x=1.db", "día 50%#?&x=1.db", id="odd-letters"),
    ],
)
def test_where_the_database_is(tmp_path, monkeypatch, environment, target, expected):
    monkeypatch.chdir(tmp_path)
    Path("a:\\").mkdir()
    if environment is None:
        monkeypatch.delenv("NASTURTIUM_DB", raising=False)
    else:
        monkeypatch.setenv("NASTURTIUM_DB", environment)
    with open_database(target) as database:
        assert database.path == tmp_path / expected
        assert database.models_dir == (tmp_path / expected).with_suffix(".models")
        engine = create_engine(database.url)  # as another library does
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM nst_run")).scalar_one() == 0
        engine.dispose()


def test_a_closed_database_is_one_plain_file(tmp_path):
    path = tmp_path / "some.db"
    open_database(path).close()
    assert [file.name for file in tmp_path.iterdir()] == ["some.db"]
    assert path.read_bytes()[68:72] == b"NST0"


def test_connections_have_the_settings_we_promise(sqlite_database):
    other = create_engine(sqlite_database.url)
    with other.connect() as connection:  # made before, goes back to the pool
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    configure_sqlite(other)
    with sqlite_database.write() as writer, other.connect() as theirs:
        for connection, foreign_keys in ((writer.connection(), 1), (theirs, 0)):
            values = {
                pragma: connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()
                for pragma in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
            }
            wanted = {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 20_000, "foreign_keys": foreign_keys}
            assert values == wanted
    other.dispose()


class Contended(sqlite3.Connection):
    """Other processes are switching to WAL too: seen in 1 of 90 first starts of six processes."""

    refusals = 2

    def execute(self, statement, *parameters):
        if "journal_mode" in statement and self.refusals:
            self.refusals -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return super().execute(statement, *parameters)


def test_switching_to_wal_is_tried_again(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'some.db'}", connect_args={"factory": Contended})
    configure_sqlite(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    engine.dispose()


def test_a_read_session_cannot_write(database):
    with pytest.raises(StorageError, match=r"readonly|read-only"), database.read() as session:
        session.execute(text("DELETE FROM nst_run"))


def test_a_write_session_that_raises_leaves_nothing(database, tracker, history, start_search):
    search = start_search(tracker)

    def rename_and_fail():
        with database.write() as session:
            session.execute(text("UPDATE nst_run SET name = 'other'"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rename_and_fail()
    assert history.find(search.uid).name == "digits"


@pytest.mark.parametrize("value", [float("inf"), {1, 2}], ids=["infinity", "set"])
def test_a_value_json_cannot_hold_is_an_error_of_ours(tracker, history, start_search, value):
    with pytest.raises(StorageError, match="cannot store this as JSON"):
        start_search(tracker, config={"clip": value})
    with pytest.raises(UnknownRunError):
        history.find("@last")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://me:hunter2@127.0.0.1:1/db", id="password"),
        pytest.param("postgres://me@127.0.0.1:1/db?password=hunter2", id="query"),
    ],
)
def test_a_server_that_is_not_there_is_an_error_without_the_password(url):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with pytest.raises(StorageError, match=r"127\.0\.0\.1") as caught:
        open_database(url)
    assert "hunter2" not in str(caught.value)
    assert "check that the server runs" in str(caught.value)


def test_without_its_driver_postgresql_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"nasturtium\[postgres\]") as caught:
        open_database("postgresql://me:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


def test_two_databases_in_a_folder_share_no_files(tmp_path):
    names = ["lab.db", "lab.sqlite", "lab", "other.db"]
    with ExitStack() as stack:
        opened = [stack.enter_context(open_database(tmp_path / name)) for name in names]
        assert len({database.artifacts_dir for database in opened}) == len(names)
        assert opened[0].models_dir.name == "lab.models"


def test_files_of_a_server_live_where_the_variable_says(monkeypatch, tmp_path):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    from sqlalchemy import make_url

    with Database(make_url("postgresql+psycopg://host/db"), path=None) as database:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("NASTURTIUM_FILES", raising=False)
        assert database.models_dir == tmp_path / "nasturtium-db.models"
        monkeypatch.setenv("NASTURTIUM_FILES", "/srv/team")
        assert database.models_dir == Path("/srv/team.models")
        assert database.key_file == Path("/srv/team.ledger-key")

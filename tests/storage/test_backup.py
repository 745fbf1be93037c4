"""Backups hold one state and come back as they were; what is no backup, or would lose something, changes nothing."""

import errno
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, inspect, make_url, text

from nasturtium.core import ConfigError, FormatError
from nasturtium.storage import (
    Database,
    DatabaseLockedError,
    DatabaseVersionError,
    ForeignDatabaseError,
    History,
    IntegrityError,
    Ledger,
    RunBusyError,
    StorageError,
    Tracker,
    migrate,
    open_database,
)
from nasturtium.storage.artifacts import ArtifactStore
from nasturtium.storage.database import locate_database
from nasturtium.storage.maintenance import back_up, database_status, postgres, read_backup, restore
from nasturtium.storage.maintenance.archive import MANIFEST, is_member_name
from nasturtium.storage.models import Base

Rows = Mapping[str, list[tuple[object, ...]]]
NOW = 1_764_338_400_000_000  # 2025-11-28 14:00:00 UTC
STAMP = "20251128T140000Z"


def fill(database: Database, start_search: Callable[..., object], start_trial: Callable[..., str]) -> None:
    """A search with a trial, NaN and infinities, a model folder whose files are artifacts, an entry in the ledger."""
    with Tracker(database) as tracker:
        search = start_search(tracker)
        trial = start_trial(tracker, search)
        tracker.log_points(trial, {"loss": {1: float("nan"), 2: float("inf"), 5: -1.5}})
        tracker.finish(trial, state="completed", metrics={"val_accuracy": 0.9})
        folder = database.models_dir / search.uid
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(bytes(range(256)) * 40)
        (folder / "model.json").write_text('{"format": "nasturtium.model"}')
        tracker.record_model(search.uid, folder)
        tracker.finish(search.uid, state="completed", metrics={"val_accuracy": 0.9})
    Ledger(database).append("config", {"noise": 1.1}, run=search.uid)


def rows_of(database: Database) -> Rows:
    """All rows of our tables but the one that says when the last backup was."""
    with database.read() as session:
        connection = session.connection()
        names = [name for name in inspect(connection).get_table_names() if name in Base.metadata.tables]
        return {
            name: sorted(
                (
                    tuple(row)
                    for row in connection.execute(Base.metadata.tables[name].select())
                    if row[0] != "backup_us"
                ),
                key=repr,
            )
            for name in names
        }


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def state_of(folder: Path) -> dict[str, bytes]:
    """Everything in a folder but SQLite's lock files."""
    return {name: content for name, content in files_of(folder).items() if not name.endswith("-shm")}


def need_programs(url: str) -> None:
    if url.startswith("postgresql") and shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not installed, which backups of PostgreSQL need")


@pytest.fixture
def filled(database: Database, start_search, start_trial) -> Database:
    need_programs(database.url)
    fill(database, start_search, start_trial)
    return database


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first test makes and the others copy."""
    return tmp_path_factory.mktemp("template")


@pytest.fixture
def backup(template: Path, tmp_path: Path, start_search, start_trial) -> Path:
    """A backup of a SQLite database that is closed."""
    if not (template / "whole.nstbackup").exists():
        (template / "home").mkdir()
        with open_database(template / "home" / "history.db") as database:
            fill(database, start_search, start_trial)
            back_up(database, template / "whole.nstbackup", clock=lambda: NOW)
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path / "whole.nstbackup"


@pytest.fixture
def home(tmp_path: Path, backup: Path) -> Path:
    """The database that `backup` is of."""
    return tmp_path / "home" / "history.db"


@pytest.fixture
def elsewhere(filled: Database, tmp_path: Path) -> Iterator[str]:
    """An empty place for a backup of `filled`: a new file, or a new database with the same schema, `public`."""
    if filled.path is not None:
        (tmp_path / "elsewhere").mkdir()
        yield str(tmp_path / "elsewhere" / "other.db")
        return
    url = make_url(filled.url)
    other = url.set(database=f"restored_{url.database}")
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {other.database}"))
    yield other.render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {other.database} WITH (FORCE)"))
    server.dispose()


def test_what_is_restored_is_what_was_backed_up(filled, elsewhere, tmp_path, monkeypatch):
    before, models, artifacts = rows_of(filled), files_of(filled.models_dir), files_of(filled.artifacts_dir)
    assert len(models) == len(artifacts) == 2
    backup = back_up(filled, tmp_path / "my.nstbackup", clock=lambda: NOW)
    assert rows_of(filled) == before
    monkeypatch.setenv("NASTURTIUM_FILES", str(tmp_path / "elsewhere" / "other"))
    restored = restore(backup, elsewhere)
    assert restored.kept == []
    assert "hunter2" not in restored.database
    with open_database(elsewhere, create=False) as database:
        assert rows_of(database) == before
        assert files_of(database.models_dir) == models
        assert files_of(database.artifacts_dir) == artifacts
        Ledger(database).verify()
        with Tracker(database) as tracker:  # and it can be written to, also where numbers count on
            tracker.finish(tracker.start_run("next"), state="completed", metrics={})
        assert History(database).find("@last").number == 2


@given(damage=st.lists(st.integers(0, 2**20), min_size=1, max_size=3, unique=True), cut=st.integers(0, 2))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_backup_with_any_changed_byte_is_refused_or_the_same(backup, tmp_path_factory, damage, cut):
    content = bytearray(backup.read_bytes())
    for place in damage:
        content[place % len(content)] ^= 0x41
    folder = tmp_path_factory.mktemp("damaged")
    bad = folder / "bad.nstbackup"
    bad.write_bytes(content[: len(content) // (cut + 1)])
    try:
        manifest = read_backup(bad)
    except (FormatError, IntegrityError):
        with pytest.raises((FormatError, IntegrityError, DatabaseVersionError)):
            restore(bad, folder / "new.db")
        assert [path.name for path in folder.iterdir()] == ["bad.nstbackup"]
    else:  # bytes that nobody reads: a mode, an owner, a time; or facts of the manifest that are no longer true
        assert manifest.members == read_backup(backup).members


def test_a_backup_is_a_plain_tar_without_the_key(backup, home):
    assert home.with_suffix(".ledger-key").exists()
    with tarfile.open(backup) as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile(MANIFEST))
    assert names[0] == "database.sqlite"
    assert names[-1] == MANIFEST
    assert [name.split("/")[0] for name in names[1:-1]] == ["artifacts"] * 2 + ["models"] * 2
    assert (manifest["format"], manifest["version"], manifest["engine"]) == ("nasturtium.backup", 1, "sqlite")
    assert manifest["created"] == "2025-11-28T14:00:00+00:00"
    assert manifest["revision"] == migrate.REVISIONS[-1]
    key = home.with_suffix(".ledger-key").read_bytes()
    assert key not in backup.read_bytes()
    with open_database(home) as database, database.read() as session:
        instance = session.execute(text("SELECT value FROM nst_meta WHERE key = 'instance'")).scalar_one()
    assert manifest["instance"] == instance


def test_the_time_of_the_last_backup_is_kept(filled, tmp_path):
    assert database_status(filled).last_backup is None
    back_up(filled, tmp_path / "one", clock=lambda: NOW)
    assert f"{database_status(filled).last_backup:%Y-%m-%d %H:%M %Z}" == "2025-11-28 14:00 UTC"


def test_where_a_backup_goes(sqlite_database, tmp_path):
    assert back_up(sqlite_database, clock=lambda: NOW) == tmp_path / f"history-{STAMP}.nstbackup"
    with pytest.raises(ConfigError, match="is there already"):
        back_up(sqlite_database, clock=lambda: NOW)
    (tmp_path / "shelf").mkdir()
    assert back_up(sqlite_database, tmp_path / "shelf", clock=lambda: NOW).parent == tmp_path / "shelf"
    with pytest.raises(StorageError, match="no folder"):
        back_up(sqlite_database, tmp_path / "nowhere" / "x.nstbackup")


WRITE = """
import sys
from nasturtium.storage import Tracker, open_database
with open_database(sys.argv[1], create=False) as database, Tracker(database) as tracker:
    uid = tracker.start_run("busy")
    print("ready", flush=True)
    step = 0
    while True:
        step += 1
        tracker.log_points(uid, {"a": {step: step}, "b": {step: -step}})
        print(step, flush=True)
"""


def test_a_backup_taken_while_another_process_writes_is_one_state(database, database_url, tmp_path):
    need_programs(database_url)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE, database_url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        for _ in range(3):
            writer.stdout.readline()
        backup = back_up(database, tmp_path / "busy.nstbackup")
        after = int(writer.stdout.readline())
        writer.kill()
    assert after > 3
    if database.path is None:
        return
    restore(backup, tmp_path / "other.db")
    with open_database(tmp_path / "other.db") as restored:
        history = History(restored)
        curves = history.curves(history.find("@last").uid)
        assert {step: -value for step, value in curves["a"].items()} == curves["b"]
        assert len(curves["a"]) >= 3


def test_what_is_lost_already_is_left_out_and_told(filled, tmp_path, caplog):
    store = ArtifactStore(filled.artifacts_dir)
    gone, altered = sorted(store)
    store.remove(gone)
    store.path(altered).write_bytes(b"x" * store.path(altered).stat().st_size)
    (filled.models_dir / "a name with blanks").mkdir()
    (filled.models_dir / "a name with blanks" / "file").touch()
    (filled.models_dir / "link").symlink_to(tmp_path)
    (filled.models_dir / ".draft-1").mkdir()
    manifest = read_backup(back_up(filled, tmp_path / "rest.nstbackup"))
    lost = {f"artifacts/{gone}", f"artifacts/{altered}", "models/a name with blanks/file", "models/link"}
    assert set(manifest.left_out) == lost
    assert {record.args[0] for record in caplog.records} == lost
    assert len([name for name in manifest.members if name.startswith("models/")]) == 2


def test_a_model_that_is_replaced_while_it_is_read_is_read_again(sqlite_database, tmp_path, monkeypatch):
    folder = sqlite_database.models_dir / "one"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / name).write_text("old")
    plain, calls = Path.is_file, []

    def is_file(path: Path) -> bool:
        if path == folder / "b" and not calls:
            calls.append(path)
            folder.rename(tmp_path / "moved")
            folder.mkdir()
            for name in ("a", "b"):
                (folder / name).write_text("new!")
        return plain(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    manifest = read_backup(back_up(sqlite_database))
    assert calls
    assert [manifest.members[f"models/one/{name}"].size_bytes for name in ("a", "b")] == [4, 4]


def test_a_damaged_database_is_not_backed_up(home, tmp_path):
    damage(home, "nst_run")
    with open_database(home) as database, pytest.raises(IntegrityError, match=r"is damaged.*db check"):
        back_up(database, tmp_path / "bad.nstbackup")
    assert not list(tmp_path.glob("bad*"))


def damage(path: Path, table: str) -> None:
    """Overwrite the page at the root of a table."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * 100)


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_disk_that_refuses_leaves_no_backup(sqlite_database, tmp_path, monkeypatch, step):
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "write":
        monkeypatch.setattr("nasturtium.storage.maintenance.archive._copy", refuse)
    else:
        monkeypatch.setattr(os if step == "fsync" else Path, step, refuse)
    with pytest.raises(StorageError, match="No space left"):
        back_up(sqlite_database, tmp_path / "full.nstbackup")
    assert not list(tmp_path.glob("full*"))


def test_what_was_there_is_kept(backup, home, tmp_path):
    with open_database(home) as database, Tracker(database) as tracker:
        tracker.finish(tracker.start_run("later"), state="completed", metrics={})
        later = rows_of(database)
    (home.with_suffix(".models") / "later").mkdir()
    restored = restore(backup, home, clock=lambda: NOW)
    assert restored.database == str(home)
    end = f"before-restore-{STAMP}"
    assert {path.name for path in restored.kept} == {f"history.{what}.{end}" for what in ("db", "models", "artifacts")}
    with open_database(home) as database:
        assert [run.number for run in History(database).runs()] == [1]
    with open_database(home.with_name(f"history.db.{end}")) as database:
        assert rows_of(database) == later
    assert home.with_name(f"history.models.{end}").joinpath("later").is_dir()
    assert not home.with_suffix(".models").joinpath("later").exists()
    again = restore(backup, home, clock=lambda: NOW)  # at the same second
    assert home.with_name(f"history.db.{end}-2") in again.kept
    assert home.with_suffix(".ledger-key").exists()


def garbage(path: Path) -> None:
    path.write_bytes(b"\0" * 5000)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096])


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(garbage, id="header-gone"),
        pytest.param(truncated, id="truncated"),
        pytest.param(lambda path: damage(path, "nst_run"), id="page"),
        pytest.param(lambda path: damage(path, "nst_ledger"), id="ledger"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(Path.unlink, id="gone"),
    ],
)
def test_a_damaged_database_is_replaced_and_kept(backup, home, spoil):
    with open_database(home) as database:
        before = rows_of(database)
    spoil(home)
    damaged = home.read_bytes() if home.exists() else None
    restored = restore(backup, home, clock=lambda: NOW)
    with open_database(home) as database:
        assert rows_of(database) == before
    if damaged is not None:
        kept = home.with_name(f"history.db.before-restore-{STAMP}")
        assert kept in restored.kept
        assert kept.stat().st_size == len(damaged)


def test_a_log_goes_with_its_database(backup, home, tmp_path):
    """As a killed process leaves it; the header is gone, so SQLite cannot fold the log in."""
    home.write_bytes(b"\0" * 5000)
    Path(f"{home}-wal").write_bytes(b"log")
    Path(f"{home}-shm").write_bytes(b"lock")
    restore(backup, home, clock=lambda: NOW)
    assert Path(f"{home}.before-restore-{STAMP}-wal").read_bytes() == b"log"
    assert Path(f"{home}.before-restore-{STAMP}-shm").read_bytes() == b"lock"
    with open_database(home) as database:
        assert len(History(database).runs()) == 1


RUN = """
import sys
from nasturtium.storage import Tracker, open_database
database = open_database(sys.argv[1], create=False)
tracker = Tracker(database)
if sys.argv[2] == "run":
    tracker.start_run("live")
database.close()
if sys.argv[2] == "open":
    with database.read() as session:
        from sqlalchemy import text
        session.execute(text("SELECT count(*) FROM nst_run")).all()
        print("ready", flush=True)
        sys.stdin.readline()
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        pytest.param("run", RunBusyError, r"run 2 \(\w{26}\) is in the hands of process \d+", id="runs-something"),
        pytest.param("open", DatabaseLockedError, "another process has .* open", id="has-it-open"),
    ],
)
def test_a_database_in_use_is_not_replaced_unless_told_so(backup, home, what, error, message):
    words = [sys.executable, "-c", RUN, str(home), what]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == "ready\n"
        with open_database(home) as database:
            before = rows_of(database)
        with pytest.raises(error, match=message):
            restore(backup, home)
        with open_database(home) as database:
            assert rows_of(database) == before
        assert restore(backup, home, force=True).kept
        with open_database(home) as database:
            assert len(History(database).runs()) == 1
        user.kill()


def test_a_run_whose_process_died_is_no_obstacle(backup, home):
    with open_database(home) as database, Tracker(database) as tracker:
        tracker.start_run("dead")
        with database.write() as session:
            session.execute(text("UPDATE nst_run SET pid = 4194305, born = 'x'"))
    assert restore(backup, home).kept


def test_privacy_that_was_spent_since_is_not_forgotten(backup, home):
    with open_database(home) as database:
        Ledger(database).append("config", {"noise": 0.9})
        before = rows_of(database)
    with pytest.raises(StorageError, match=r"1 entries of the privacy ledger, from number 2 on.*--force"):
        restore(backup, home)
    with open_database(home) as database:
        assert rows_of(database) == before
    restore(backup, home, force=True)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(Path.mkdir, StorageError, id="folder"),
        pytest.param(lambda path: path.symlink_to("history.db"), StorageError, id="link"),
        pytest.param(
            lambda path: sqlite3.connect(path).execute("CREATE TABLE album (title TEXT)").connection.close(),
            ForeignDatabaseError,
            id="foreign",
        ),
    ],
)
def test_what_is_no_history_is_not_replaced(backup, tmp_path, make, error):
    (tmp_path / "place").mkdir()
    make(tmp_path / "place" / "some.db")
    with pytest.raises(error):
        restore(backup, tmp_path / "place" / "some.db")
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["some.db"]


@pytest.mark.parametrize("fail_at", range(1, 7))
def test_a_swap_that_fails_changes_nothing(backup, home, monkeypatch, fail_at):
    before = state_of(home.parent)
    rename, calls = Path.rename, []

    def refuse(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == fail_at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StorageError, match="Input/output error"):
        restore(backup, home)
    after = state_of(home.parent)
    assert {name: content for name, content in after.items() if name != "history.db"} == {
        name: content for name, content in before.items() if name != "history.db"
    }
    with open_database(home) as database:
        assert len(History(database).runs()) == 1


def test_restoring_needs_room(backup, tmp_path, monkeypatch):
    (tmp_path / "small").mkdir()
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr("nasturtium.storage.maintenance.backup.shutil.disk_usage", lambda path: usage)
    with pytest.raises(StorageError, match="10 are free"):
        restore(backup, tmp_path / "small" / "new.db")
    assert not list((tmp_path / "small").iterdir())


def test_a_backup_of_the_other_engine_is_refused(backup):
    with pytest.raises(ConfigError, match=r"is a backup of sqlite, postgresql.* is postgresql"):
        restore(backup, "postgresql://me:hunter2@127.0.0.1:1/db")


def test_a_backup_of_an_older_revision_comes_back_and_is_upgraded(tmp_path, start_search):
    sql = (Path(__file__).parent / "schemas" / "0001.sqlite.sql").read_text()
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(sql)
    with locate_database(old) as database:
        status = database_status(database)
        backup = back_up(database, tmp_path / "old.nstbackup")
    assert (status.revision, status.ledger_entries, status.last_backup) == ("0001", None, None)
    assert sum(status.runs.values()) > 0
    manifest = read_backup(backup)
    assert (manifest.revision, manifest.instance) == ("0001", None)
    restore(backup, tmp_path / "new.db")
    with open_database(tmp_path / "new.db") as database:
        assert database_status(database).revision == migrate.REVISIONS[-1]


# What a hostile file may hold. Each takes the members of a good backup and says what is written instead.
Members = list[tuple[tarfile.TarInfo, bytes]]


def regular(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    return header, content


def with_member(name: str, content: bytes = b"x", **fields: object) -> Callable[[Members], Members]:
    def change(members: Members) -> Members:
        header, data = regular(name, content)
        for field, value in fields.items():
            setattr(header, field, value)
        return [*members[:-1], (header, data), members[-1]]

    return change


def with_manifest(change: Callable[[dict[str, object]], object]) -> Callable[[Members], Members]:
    def rewrite(members: Members) -> Members:
        manifest = json.loads(members[-1][1])
        change(manifest)
        return [*members[:-1], regular(MANIFEST, json.dumps(manifest).encode())]

    return rewrite


def listed(name: str, content: bytes = b"x", **said: object) -> Callable[[Members], Members]:
    """A member that the manifest tells of."""
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)} | said
    add = with_member(name, content)
    tell = with_manifest(lambda manifest: manifest["members"].update({name: facts}))
    return lambda members: tell(add(members))


def without(index: int) -> Callable[[Members], Members]:
    return lambda members: [member for number, member in enumerate(members) if number != index % len(members)]


HOSTILE = [
    pytest.param(with_member("../escaped"), FormatError, "escaped", id="parent"),
    pytest.param(with_member("/tmp/escaped"), FormatError, "escaped", id="absolute"),
    pytest.param(listed("models/../../escaped/x"), FormatError, "escaped", id="listed-parent"),
    pytest.param(listed("models/one/../x"), FormatError, "models/one", id="listed-dots"),
    pytest.param(listed("models/.hidden/x"), FormatError, "hidden", id="listed-hidden"),
    pytest.param(listed("models/one"), FormatError, "models/one", id="file-for-folder"),
    pytest.param(listed("models/one/a\\b"), FormatError, "a", id="backslash"),
    pytest.param(listed("artifacts/ab"), FormatError, "artifacts/ab", id="artifact-without-hash"),
    pytest.param(listed(f"artifacts/{'ab' * 32}"), FormatError, "named after its SHA-256", id="artifact-of-other-hash"),
    pytest.param(listed("history.ledger-key"), FormatError, "ledger-key", id="key"),
    pytest.param(with_member("models/one/x"), IntegrityError, "models/one/x", id="unlisted"),
    pytest.param(
        with_member("models/one/x", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        FormatError,
        "link",
        id="symlink",
    ),
    pytest.param(
        with_member("models/one/x", b"", type=tarfile.LNKTYPE, linkname="database.sqlite"),
        FormatError,
        "link",
        id="hardlink",
    ),
    pytest.param(with_member("models/one/x", b"", type=tarfile.DIRTYPE), FormatError, "link", id="directory"),
    pytest.param(with_member("models/one/x", b"", type=tarfile.CHRTYPE), FormatError, "link", id="device"),
    pytest.param(with_member("models/one/x", b"", type=tarfile.FIFOTYPE), FormatError, "link", id="fifo"),
    pytest.param(with_member("models/one/x", type=tarfile.GNUTYPE_SPARSE), FormatError, "link", id="sparse"),
    pytest.param(with_member("models/one/x", type=tarfile.XHDTYPE), FormatError, "link", id="pax"),
    pytest.param(with_member("models/one/" + "x" * 200), FormatError, "LongLink", id="long-name"),
    pytest.param(lambda members: [members[0], *members], FormatError, "twice", id="twice"),
    pytest.param(without(0), IntegrityError, "database.sqlite has no bytes", id="no-database"),
    pytest.param(without(1), IntegrityError, "artifacts/", id="no-artifact"),
    pytest.param(without(-1), FormatError, "has no manifest.json", id="no-manifest"),
    pytest.param(lambda members: [*members[:-1], regular(MANIFEST, b"{")], FormatError, "JSON", id="broken-manifest"),
    pytest.param(
        lambda members: [*members[:-1], regular(MANIFEST, b"[" * 100_000)], FormatError, "JSON", id="deep-manifest"
    ),
    pytest.param(with_manifest(lambda m: m.update(version=2)), FormatError, "upgrade nasturtium", id="newer-format"),
    pytest.param(with_manifest(lambda m: m.update(format="x")), FormatError, "nasturtium.backup", id="other-format"),
    pytest.param(with_manifest(lambda m: m.update(members=[])), FormatError, "members", id="members-as-list"),
    pytest.param(with_manifest(lambda m: m.update(engine="mysql")), FormatError, "mysql", id="other-engine"),
    pytest.param(with_manifest(lambda m: m.update(engine="postgresql")), FormatError, "database.dump", id="no-dump"),
    pytest.param(with_manifest(lambda m: m.update(created="soon")), FormatError, "soon", id="no-time"),
    pytest.param(with_manifest(lambda m: m.update(revision=None)), FormatError, "revision", id="no-revision"),
    pytest.param(
        with_manifest(lambda m: m.update(revision="9999")),
        DatabaseVersionError,
        "newer nasturtium",
        id="newer-revision",
    ),
    pytest.param(
        with_manifest(lambda m: m.update(revision="0001")), IntegrityError, "manifest says 0001", id="other-revision"
    ),
    pytest.param(
        with_manifest(lambda m: m["members"]["database.sqlite"].update(size_bytes=2**60)),
        IntegrityError,
        "database.sqlite has",
        id="bomb-in-manifest",
    ),
    pytest.param(
        with_manifest(lambda m: m["members"]["database.sqlite"].update(sha256="ab" * 32)),
        IntegrityError,
        "expected abab",
        id="other-hash",
    ),
    pytest.param(
        with_manifest(lambda m: m["members"]["database.sqlite"].update(size_bytes=-1)),
        FormatError,
        "size",
        id="negative",
    ),
]


def rewrite(backup: Path, bad: Path, change: Callable[[Members], Members]) -> None:
    with tarfile.open(backup) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]
    with bad.open("wb") as file:
        for header, content in change(members):
            file.write(header.tobuf(tarfile.GNU_FORMAT))
            file.write(content + bytes(-len(content) % 512))
        file.write(bytes(10240))


@pytest.mark.parametrize(("change", "error", "message"), HOSTILE)
def test_a_hostile_backup_touches_nothing(backup, home, tmp_path, change, error, message):
    bad = tmp_path / "bad.nstbackup"
    rewrite(backup, bad, change)
    before = state_of(tmp_path)
    for target in (home, home.with_name("new.db")):
        with pytest.raises(error, match=message):
            restore(bad, target, force=True)
        assert state_of(tmp_path) == before
    assert not list(tmp_path.glob(".*"))


def test_a_good_backup_written_by_tar_is_taken(backup, tmp_path):
    """That the refusals above are not for something else."""
    rewrite(backup, tmp_path / "same.nstbackup", lambda members: members)
    assert read_backup(tmp_path / "same.nstbackup") == read_backup(backup)
    rewrite(backup, tmp_path / "more.nstbackup", listed("models/one/x"))
    assert "models/one/x" in read_backup(tmp_path / "more.nstbackup").members


def bomb(path: Path) -> None:
    """A header that tells of more than the file has, in the base-256 form of GNU that reaches beyond 8 GiB."""
    header = tarfile.TarInfo("database.sqlite")
    header.size = 2**62
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10240))


def negative(path: Path) -> None:
    header = tarfile.TarInfo("database.sqlite")
    header.size = -512
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10240))


def packed(path: Path) -> None:
    with tarfile.open(path, "w:gz") as tar:
        header, content = regular(MANIFEST, b"{}")
        tar.addfile(header, io.BytesIO(content))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(lambda path: path.write_bytes(b""), FormatError, id="empty"),
        pytest.param(lambda path: path.write_bytes(bytes(10240)), FormatError, id="zeros"),
        pytest.param(lambda path: path.write_bytes(b"some text, not a tar\n" * 99), FormatError, id="text"),
        pytest.param(lambda path: path.write_bytes(os.urandom(5000)), FormatError, id="noise"),
        pytest.param(bomb, IntegrityError, id="bomb"),
        pytest.param(negative, FormatError, id="negative-size"),
        pytest.param(packed, FormatError, id="gzip"),
        pytest.param(Path.mkdir, StorageError, id="folder"),
        pytest.param(lambda path: None, StorageError, id="missing"),
    ],
)
def test_what_is_no_backup_is_refused(tmp_path, make, error):
    make(tmp_path / "bad")
    with pytest.raises(error, match="bad"):
        restore(tmp_path / "bad", tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


def test_a_foreign_or_broken_database_in_a_backup_is_refused(backup, tmp_path):
    """With all hashes right: who made the file may have meant it."""
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE album (title TEXT)")

    def replace(content: bytes) -> Callable[[Members], Members]:
        facts = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
        tell = with_manifest(lambda manifest: manifest["members"].update({"database.sqlite": facts}))
        return lambda members: tell([regular("database.sqlite", content), *members[1:]])

    rewrite(backup, tmp_path / "a", replace(foreign.read_bytes()))
    with pytest.raises(ForeignDatabaseError):
        restore(tmp_path / "a", tmp_path / "new.db")
    with tarfile.open(backup) as tar:
        (tmp_path / "broken.db").write_bytes(tar.extractfile("database.sqlite").read())
    damage(tmp_path / "broken.db", "nst_run")
    rewrite(backup, tmp_path / "b", replace((tmp_path / "broken.db").read_bytes()))
    with pytest.raises(IntegrityError, match="is damaged"):
        restore(tmp_path / "b", tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


@given(st.text())
def test_names_of_members_stay_inside(name):
    if is_member_name(name):
        assert not Path(name).is_absolute()
        assert ".." not in Path(name).parts
        assert "\\" not in name


on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def server_backup(database_url: str, start_search, start_trial, tmp_path: Path) -> tuple[str, Path]:
    need_programs(database_url)
    with open_database(database_url) as database:
        fill(database, start_search, start_trial)
        return database_url, back_up(database, tmp_path / "server.nstbackup")


@on_postgresql
def test_a_schema_that_is_not_empty_is_not_restored_into(server_backup):
    url, backup = server_backup
    with open_database(url) as database:
        before = rows_of(database)
        with pytest.raises(StorageError, match=r"the schema test_\w+ is not empty"):
            restore(backup, url)
        assert rows_of(database) == before


@on_postgresql
def test_a_schema_of_another_name_is_refused(server_backup):
    url, backup = server_backup
    other = make_url(url).update_query_dict({"options": "-csearch_path=test_other"})
    engine = create_engine(other)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS test_other"))
    try:
        with pytest.raises(StorageError, match=r"is of the schema test_\w+, .* uses test_other"):
            restore(backup, other.render_as_string(hide_password=False))
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA test_other CASCADE"))
        engine.dispose()


@on_postgresql
def test_without_its_programs_postgresql_says_what_to_install(server_backup, tmp_path, monkeypatch):
    url, _ = server_backup
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        open_database(url) as database,
        pytest.raises(StorageError, match=r"pg_dump is not installed.*postgresql-client"),
    ):
        back_up(database, tmp_path / "second.nstbackup")
    assert not list(tmp_path.glob("second*"))


def test_the_password_is_never_an_argument(monkeypatch):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    calls = []

    def run(words, **options):
        calls.append((words, options["env"]))
        return subprocess.CompletedProcess(words, 1, "", "pg_dump: error: no\n such server")

    monkeypatch.setattr("nasturtium.storage.maintenance.postgres.subprocess.run", run)
    monkeypatch.setattr("nasturtium.storage.maintenance.postgres.shutil.which", lambda name: f"/usr/bin/{name}")
    url = "postgresql://me:hun ter2@db.example:5433/our%20db?sslmode=require"
    with (
        locate_database(url) as database,
        pytest.raises(StorageError, match=r"pg_dump failed: .*no such server") as caught,
    ):
        postgres.dump(database, Path("out"), schema='odd"name', snapshot="1-1")
    [(words, environment)] = calls
    assert "hun ter2" not in " ".join(words)
    assert "hun ter2" not in str(caught.value)
    assert environment["PGPASSWORD"] == "hun ter2"
    assert '--schema="odd""name"' in words
    connection = next(word for word in words if word.startswith("--dbname="))
    for part in ("host=db.example", "port=5433", "user=me", "dbname='our db'", "sslmode=require"):
        assert part in connection


def test_a_secret_that_only_an_argument_could_carry_is_refused():
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    need_programs("postgresql")
    url = "postgresql://me@h/db?sslpassword=hunter2"
    with locate_database(url) as database, pytest.raises(StorageError, match="sslpassword") as caught:
        postgres.dump(database, Path("out"), schema="s", snapshot="1-1")
    assert "hunter2" not in str(caught.value)

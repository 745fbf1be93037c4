"""What is said of a database's health: every fact once, with what to do, and mended where that is asked for."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from nasturtium.storage import Database, History, Ledger, Tracker, open_database
from nasturtium.storage.artifacts import ArtifactStore
from nasturtium.storage.maintenance import Diagnosis, back_up, diagnose_database, interrupt_dead_runs

DAY_US = 86_400_000_000
NOW = 1_764_338_400_000_000
CODES = ["disk", "key", "database", "revision", "journal", "room", "runs", "backup", "optuna", "clock"]


def facts_of(target: object, *, fix: bool = False, now: int = NOW) -> dict[str, Diagnosis]:
    return {fact.code: fact for fact in diagnose_database(target, fix=fix, clock=lambda: now)}


@pytest.fixture
def filled(database: Database, start_search, start_trial) -> Database:
    """A search that is running in this process."""
    with Tracker(database, clock=lambda: NOW) as tracker:
        search = start_search(tracker)
        start_trial(tracker, search)
    return database


def test_a_healthy_database(filled, database_url, tmp_path, monkeypatch):
    monkeypatch.setattr("nasturtium.storage.maintenance.health.time.time", lambda: NOW / 1e6)
    with filled.write() as session:
        session.execute(text("INSERT INTO nst_meta (key, value) VALUES ('backup_us', :now)"), {"now": str(NOW)})
    facts = facts_of(database_url)
    if filled.path is not None:
        assert list(facts) == CODES
        assert {fact.level for fact in facts.values()} == {"ok"}
    else:  # whose clock is the server's
        assert set(facts) == set(CODES) - {"disk", "journal", "room"}
        assert {fact.code for fact in facts.values() if fact.level != "ok"} == {"clock"}


def test_no_database_is_no_failure(tmp_path):
    facts = facts_of(tmp_path / "absent.db")
    assert (facts["database"].level, facts["database"].hint) == ("warn", "check the path; a search creates it")
    assert not list(tmp_path.iterdir())


def garbage(path: Path) -> None:
    path.write_bytes(b"accuracy,loss\n" * 99)


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE nst_alembic_version SET version_num = '9999'")


def damaged(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xa5" * (len(content) - 100))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(garbage, "is not a SQLite database", id="garbage"),
        pytest.param(newer, "newer nasturtium", id="newer"),
        pytest.param(damaged, "malformed", id="damaged"),
    ],
)
def test_what_cannot_be_opened_fails_and_says_why(tmp_path, spoil, message):
    path = tmp_path / "some.db"
    open_database(path).close()
    spoil(path)
    fact = facts_of(path)["database"]
    assert fact.level == "fail"
    assert message in fact.message
    assert fact.hint


def test_a_server_that_is_not_there_fails_without_its_password():
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    fact = facts_of("postgresql://me:hunter2@127.0.0.1:1/db")["database"]
    assert fact.level == "fail"
    assert "hunter2" not in fact.message


def test_an_older_revision_is_looked_at_and_left(tmp_path):
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((Path(__file__).parent / "schemas" / "0001.sqlite.sql").read_text())
    facts = facts_of(path, fix=True, now=NOW + 10_000 * DAY_US)
    assert facts["revision"].level == "warn"
    assert "revision 0001" in facts["revision"].message
    assert "nasturtium db upgrade" in (facts["revision"].hint or "")
    assert {fact.level for fact in facts.values()} <= {"ok", "warn"}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM nst_alembic_version").fetchall() == [("0001",)]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o700])
def test_a_key_that_others_can_read_fails_and_is_mended(tmp_path, mode):
    with open_database(tmp_path / "some.db") as database:
        Ledger(database).append("config", {"n": 1})
        key = database.key_file
    assert facts_of(tmp_path / "some.db")["key"].level == "ok"
    key.chmod(mode)
    fact = facts_of(tmp_path / "some.db")["key"]
    assert (fact.level, "0600" in fact.message) == ("fail", True)
    assert key.stat().st_mode & 0o777 == mode
    assert "fixed" in facts_of(tmp_path / "some.db", fix=True)["key"].message
    assert key.stat().st_mode & 0o777 == 0o600
    assert facts_of(tmp_path / "some.db")["key"].level == "ok"


def test_runs_whose_process_died_are_told_and_ended(filled, database_url):
    assert interrupt_dead_runs(filled) == []
    with filled.write() as session:
        session.execute(text("UPDATE nst_run SET pid = 4194305, born = 'x'"))
    facts = facts_of(database_url)
    assert (facts["runs"].level, facts["runs"].hint) == ("warn", "nasturtium doctor --fix marks them interrupted")
    run = History(filled).find(1)
    assert f"search 1 ({run.uid})" in facts["runs"].message
    assert "now marked interrupted" in facts_of(database_url, fix=True)["runs"].message
    with filled.read() as session:
        assert session.execute(text("SELECT DISTINCT state, ended_us FROM nst_run")).all() == [("interrupted", None)]
    assert facts_of(database_url, fix=True)["runs"].message == "every running run has its process"


@pytest.mark.parametrize(
    ("days", "level", "message"),
    [
        pytest.param(None, "warn", "there was never a backup", id="never"),
        pytest.param(0, "ok", "the last backup is of 2025-11-28 14:00 UTC", id="now"),
        pytest.param(7, "ok", "the last backup is of 2025-11-28 14:00 UTC", id="a-week"),
        pytest.param(8, "warn", "the last backup is 8 days old", id="old"),
    ],
)
def test_an_old_backup_is_told(tmp_path, days, level, message):
    with open_database(tmp_path / "some.db") as database:
        assert facts_of(tmp_path / "some.db")["backup"].level == "ok"  # there is nothing to lose
        with Tracker(database, clock=lambda: NOW) as tracker:
            tracker.start_run("some")
        if days is not None:
            back_up(database, clock=lambda: NOW)
    fact = facts_of(tmp_path / "some.db", now=NOW + (days or 0) * DAY_US)["backup"]
    assert (fact.level, fact.message) == (level, message)


@pytest.mark.parametrize(("minutes", "level"), [(0, "ok"), (4, "ok"), (6, "warn"), (3000, "warn")])
def test_a_clock_that_is_behind_is_told(tmp_path, minutes, level):
    with open_database(tmp_path / "some.db") as database, Tracker(database, clock=lambda: NOW) as tracker:
        tracker.start_run("some")
    fact = facts_of(tmp_path / "some.db", now=NOW - minutes * 60_000_000)["clock"]
    assert fact.level == level
    assert (fact.hint is None) == (level == "ok")


def test_a_network_disk_is_told(tmp_path, monkeypatch):
    open_database(tmp_path / "some.db").close()
    monkeypatch.setattr("nasturtium.storage.maintenance.health.network_file_system", lambda path: "nfs4")
    fact = facts_of(tmp_path / "some.db")["disk"]
    assert (fact.level, "(nfs4)" in fact.message, "PostgreSQL" in (fact.hint or "")) == ("warn", True, True)


@pytest.mark.parametrize(("free", "level"), [(1 << 40, "ok"), (500 << 20, "warn"), (1 << 20, "fail")])
def test_a_disk_with_little_room_is_told(tmp_path, monkeypatch, free, level):
    open_database(tmp_path / "some.db").close()
    monkeypatch.setattr(
        "nasturtium.storage.maintenance.status.shutil.disk_usage", lambda path: type("Usage", (), {"free": free})
    )
    fact = facts_of(tmp_path / "some.db")["room"]
    assert (fact.level, fact.hint is None) == (level, level == "ok")


def test_a_study_without_its_search_is_told(tmp_path):
    with open_database(tmp_path / "some.db") as database, database.write() as session:
        session.execute(text("CREATE TABLE studies (study_id INTEGER PRIMARY KEY, study_name TEXT)"))
        session.execute(text("INSERT INTO studies (study_name) VALUES ('nasturtium-GONE'), ('mine')"))
    fact = facts_of(tmp_path / "some.db")["optuna"]
    assert fact.level == "warn"
    assert fact.message.endswith(": nasturtium-GONE")


def test_what_dead_processes_left_is_removed(tmp_path, monkeypatch):
    with open_database(tmp_path / "some.db") as database:
        store = ArtifactStore(database.artifacts_dir)
        store.add_bytes(b"abc")
    draft = store.root / ".draft-killed"
    draft.touch()
    assert "1 unfinished files" in facts_of(tmp_path / "some.db")["artifacts"].message
    later = draft.stat().st_ctime + 7200
    monkeypatch.setattr("nasturtium.storage.artifacts.time.time", lambda: later)
    assert "removed" in facts_of(tmp_path / "some.db", fix=True)["artifacts"].message
    assert "artifacts" not in facts_of(tmp_path / "some.db")

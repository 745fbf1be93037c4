"""A compaction removes what has had its time and what nothing points to, and nothing else."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from nasturtium.core import ConfigError
from nasturtium.storage import Database, DatabaseLockedError, History, StorageError, Tracker, open_database
from nasturtium.storage.artifacts import ArtifactStore
from nasturtium.storage.maintenance import check_database, compact, database_status
from nasturtium.storage.maintenance.compaction import _vacuum_sqlite

DAY_US = 86_400_000_000
START = 1_764_338_400_000_000


@pytest.fixture
def filled(database: Database, start_search, tmp_path: Path) -> Database:
    """Two runs, 100 days apart, each with samples of the machine on 100 days, and a file."""
    for number in range(2):
        with Tracker(database, clock=lambda: START + number * 100 * DAY_US) as tracker:  # noqa: B023
            search = start_search(tracker)
            (tmp_path / f"{number}.txt").write_text(f"of run {number}")
            tracker.record_artifact(search.uid, tmp_path / f"{number}.txt", role="log", media_type="text/plain")
            tracker.finish(search.uid, state="completed", metrics={"loss": 1.0}, curves={"loss": {1: 2.0}})
    samples = "INSERT INTO nst_system_point (run_id, name_id, at_ms, value) VALUES (:run, :name, :at, 1)"
    with database.write() as session:
        (name,) = session.execute(text("SELECT min(id) FROM nst_name")).one()
        for (run,) in session.execute(text("SELECT id FROM nst_run ORDER BY id")).all():
            session.execute(text(samples), [{"run": run, "name": name, "at": day * 86_400_000} for day in range(100)])
    return database


def count(database: Database, table: str) -> int:
    with database.read() as session:
        return session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


def grow_old(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    later = max(path.stat().st_ctime for path in database.artifacts_dir.rglob("*")) + 7200
    monkeypatch.setattr("nasturtium.storage.artifacts.time.time", lambda: later)


def test_what_is_young_and_used_stays(filled):
    report = compact(filled, clock=lambda: START)
    assert set(report.removed.values()) == {0}
    assert check_database(filled).findings == []


@pytest.mark.parametrize(
    ("day", "events", "samples"),
    [
        pytest.param(30, 0, 0, id="nothing-is-old"),
        pytest.param(40, 0, 10, id="samples"),
        pytest.param(90, 0, 60, id="not-yet-events"),
        pytest.param(91, 1, 61, id="events"),
        pytest.param(400, 2, 200, id="everything"),
    ],
)
def test_old_events_and_samples_go_by_their_day(filled, day, events, samples):
    before = count(filled, "nst_event"), count(filled, "nst_system_point")
    report = compact(filled, clock=lambda: START + day * DAY_US)
    assert report.removed["system_points"] == samples
    assert report.removed["events"] == before[0] * events // 2
    assert count(filled, "nst_event") == before[0] - report.removed["events"]
    assert count(filled, "nst_system_point") == before[1] - samples
    assert len(History(filled).runs()) == 2
    assert compact(filled, clock=lambda: START + day * DAY_US).removed == dict.fromkeys(report.removed, 0)


def test_how_long_things_are_kept_can_be_said(filled):
    report = compact(filled, events_days=1, system_days=95, clock=lambda: START + 100 * DAY_US)
    assert (report.removed["system_points"], count(filled, "nst_event") > 0) == (5, True)
    assert report.removed["events"] > 0
    with pytest.raises(ConfigError, match="days >= 0"):
        compact(filled, events_days=-1)


def test_many_rows_go_in_batches(filled, monkeypatch):
    monkeypatch.setattr("nasturtium.storage.maintenance.compaction._BATCH", 2)
    events = count(filled, "nst_event")
    assert events > 2
    assert compact(filled, clock=lambda: START + 400 * DAY_US).removed["events"] == events


def test_what_nothing_points_to_goes(filled, monkeypatch):
    store = ArtifactStore(filled.artifacts_dir)
    with filled.write() as session:
        session.execute(text("DELETE FROM nst_run WHERE number = 1"))
    stranger = store.add_bytes(b"of nobody")
    draft = store.root / ".draft-killed"
    draft.touch()
    young = compact(filled, clock=lambda: START)
    assert (young.removed["artifacts"], young.removed["files"], young.removed["drafts"]) == (1, 0, 0)
    assert young.removed["edges"] > 0
    assert stranger.sha256 in store  # it may be about to get its row
    grow_old(filled, monkeypatch)
    old = compact(filled, clock=lambda: START)
    assert (old.removed["files"], old.removed["drafts"]) == (2, 1)
    assert len(list(store)) == 1
    assert not draft.exists()
    assert old.bytes_after < old.bytes_before
    assert check_database(filled).findings == []


def test_content_that_is_added_again_stays(filled, monkeypatch):
    """A process adds a file that no row tells of any more, while another one compacts."""
    store = ArtifactStore(filled.artifacts_dir)
    stranger = store.add_bytes(b"of nobody")
    grow_old(filled, monkeypatch)
    plain, asked = ArtifactStore.age_seconds, []

    def age(self: ArtifactStore, sha256: str) -> float:
        asked.append(sha256)
        return 0.0 if asked.count(stranger.sha256) > 1 else plain(self, sha256)

    monkeypatch.setattr(ArtifactStore, "age_seconds", age)
    assert compact(filled, clock=lambda: START).removed["files"] == 0
    assert stranger.sha256 in store


def test_a_file_becomes_smaller(tmp_path):
    with open_database(tmp_path / "some.db") as database:
        with Tracker(database) as tracker:
            uid = tracker.start_run("large")
            tracker.finish(uid, state="completed", metrics={}, curves={"loss": {i: i / 3 for i in range(50_000)}})
        with database.write() as session:
            session.execute(text("DELETE FROM nst_run"))
        report = compact(database)
        assert report.bytes_after < report.bytes_before / 3
        status = database_status(database)
        assert report.bytes_after == status.size_bytes + status.log_bytes
        assert status.log_bytes == 0
        with closing(sqlite3.connect(database.path)) as connection:
            assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
            assert connection.execute("SELECT count(*) FROM sqlite_stat1").fetchone() != (0,)


def test_a_database_that_is_being_written_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    open_database(tmp_path / "some.db").close()
    monkeypatch.setattr("nasturtium.storage.sqlite.BUSY_TIMEOUT_MS", 10)
    with closing(sqlite3.connect(tmp_path / "some.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseLockedError, match="try again"):
            _vacuum_sqlite(tmp_path / "some.db")


class FullDisk(sqlite3.Connection):
    def execute(self, statement, *parameters):
        if statement == "VACUUM":
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return super().execute(statement, *parameters)


def test_a_disk_that_is_full_is_an_error_of_ours(tmp_path, monkeypatch):
    open_database(tmp_path / "some.db").close()
    monkeypatch.setattr("nasturtium.storage.sqlite.connect", lambda path: sqlite3.connect(path, factory=FullDisk))
    with pytest.raises(StorageError, match=r"is full.*free \d+ bytes"):
        _vacuum_sqlite(tmp_path / "some.db")


def test_status_counts_what_is_there(filled):
    with filled.write() as session:
        session.execute(text("UPDATE nst_run SET deleted_us = 1 WHERE number = 2"))
    status = database_status(filled)
    assert (status.runs, status.deleted_runs) == ({"search": 1}, 1)
    assert (status.points, status.rounds, status.ledger_entries) == (2, 0, 0)
    assert (status.artifacts, status.artifact_bytes) == (2, 16)
    assert status.size_bytes + (status.log_bytes or 0) > 10_000
    assert status.revision == status.newest_revision
    assert status.version[0].isdecimal()
    if filled.path is None:
        assert (status.engine, status.log_bytes, status.free_bytes) == ("postgresql", None, None)
    else:
        assert (status.engine, status.location) == ("sqlite", str(filled.path))
        assert status.log_bytes > 0
        assert status.free_bytes > 0

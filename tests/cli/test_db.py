"""`nasturtium db`: what each command prints, how it exits, and that nothing is replaced without being asked for."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from nasturtium.storage import History, Ledger, RunBusyError, Tracker, open_database

SCHEMAS = Path(__file__).parents[1] / "storage" / "schemas"


@pytest.fixture
def home(tmp_path):
    """`nasturtium.db` with a finished run, its curve and its file, and an entry in the ledger."""
    with open_database(tmp_path / "nasturtium.db") as database:
        with Tracker(database) as tracker:
            uid = tracker.start_run("digits", config={"lr": 0.1})
            (tmp_path / "notes.txt").write_text("kept")
            tracker.record_artifact(uid, tmp_path / "notes.txt", role="log", media_type="text/plain")
            tracker.finish(uid, state="completed", metrics={"acc": 0.5}, curves={"loss": {1: 0.5, 2: 0.25}})
        Ledger(database).append("config", {"noise": 1.0})
    return tmp_path


@pytest.fixture
def old(tmp_path):
    with closing(sqlite3.connect(tmp_path / "nasturtium.db")) as connection:
        connection.executescript((SCHEMAS / "0001.sqlite.sql").read_text())
    return tmp_path


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def terminal(monkeypatch, answer: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))


def test_status(command, home):
    answer = command("db", "status", "--json")
    status = json.loads(answer.out)
    assert (answer.code, answer.err) == (0, "")
    assert set(status) == {
        *("engine", "version", "location", "revision", "newest_revision", "size_bytes", "log_bytes", "free_bytes"),
        *("runs", "deleted_runs", "points", "rounds", "ledger_entries", "artifacts", "artifact_bytes", "last_backup"),
    }
    assert status["runs"] == {"train": 1}
    assert (status["points"], status["artifacts"], status["artifact_bytes"], status["ledger_entries"]) == (2, 1, 4, 1)
    people = command("db", "status").out
    for part in (str(home / "nasturtium.db"), "1 train", "never", "1 entries"):
        assert part in people


def test_an_older_database_is_described_then_upgraded(command, old):
    described = command("db", "status")
    assert "0001 (newest: 0004)" in described.out
    assert "nasturtium db upgrade" in described.err
    upgraded = command("db", "upgrade")
    assert upgraded.code == 0
    assert "upgraded from revision 0001 to 0004" in upgraded.out
    copy = Path(upgraded.out.splitlines()[-1].partition(": ")[2])
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT version_num FROM nst_alembic_version").fetchall() == [("0001",)]
    again = command("db", "upgrade")
    assert (again.code, "is of the newest revision, 0004" in again.out) == (0, True)


def test_an_older_database_is_backed_up_as_it_is(command, old):
    said = json.loads(command("db", "backup", "--json").out)
    assert said["revision"] == "0001"
    assert "0001" in command("db", "status").out


def test_back_up_lose_and_restore(command, home):
    made = command("db", "backup")
    assert made.code == 0
    backup = Path(made.out.strip())
    assert backup.parent == home
    assert "read back" in made.err
    assert str(home / "nasturtium.ledger-key") in made.err
    with open_database(home / "nasturtium.db") as database:
        before = History(database).runs()
    for path in (home / "nasturtium.db", *(home / "nasturtium.artifacts").rglob("*")):
        if path.is_file():
            path.unlink()
    restored = command("db", "restore", backup, "--yes")
    assert restored.code == 0
    assert restored.out.splitlines()[0] == f"restored {home / 'nasturtium.db'}"
    with open_database(home / "nasturtium.db") as database:
        assert History(database).runs() == before
    checked = command("db", "check")
    assert (checked.code, checked.err) == (0, "all is whole\n")


def test_where_a_backup_goes_and_what_is_said_of_it(command, home):
    said = json.loads(command("db", "backup", "-o", home / "my.tar", "--json").out)
    assert said["path"] == str(home / "my.tar")
    assert said["size_bytes"] == (home / "my.tar").stat().st_size
    assert (said["members"], said["left_out"]) == (2, [])
    with tarfile.open(home / "my.tar") as tar:
        assert len(tar.getnames()) == 3
    taken = command("db", "backup", "-o", home / "my.tar")
    assert (taken.code, "is there already" in taken.err, taken.out) == (2, True, "")


def test_restoring_is_asked_for_on_a_terminal(command, home, monkeypatch):
    backup = command("db", "backup").out.strip()
    before = (home / "nasturtium.db").stat().st_ino
    terminal(monkeypatch, "n\n")
    answer = command("db", "restore", backup)
    assert (answer.code, answer.out) == (1, "")
    assert "Replace the database by the backup of" in answer.err
    assert "nothing was changed" in answer.err
    assert (home / "nasturtium.db").stat().st_ino == before
    terminal(monkeypatch, "y\n")
    answer = command("db", "restore", backup)
    assert answer.code == 0
    assert answer.out.count("kept ") == 2
    assert (home / "nasturtium.db").stat().st_ino != before


def test_restoring_elsewhere_is_refused_without_yes(command, home):
    backup = command("db", "backup").out.strip()
    answer = command("db", "restore", backup, "--db", "other.db")
    assert (answer.code, "--yes" in answer.err, answer.out) == (2, True, "")
    assert not (home / "other.db").exists()
    said = json.loads(command("db", "restore", backup, "--db", "other.db", "--yes", "--json").out)
    assert (said["database"], said["kept"], said["revision"]) == (str(home / "other.db"), [], "0004")
    with open_database(home / "other.db") as database:
        assert len(History(database).runs()) == 1


def test_a_ledger_that_would_become_shorter_needs_force(command, home):
    backup = command("db", "backup").out.strip()
    with open_database(home / "nasturtium.db") as database:
        Ledger(database).append("config", {"noise": 2.0})
    answer = command("db", "restore", backup, "--yes")
    assert answer.code == 1
    assert "would be forgotten" in answer.err
    assert "--force" in answer.err
    assert command("db", "restore", backup, "--yes", "--force").code == 0


def test_a_database_in_use_is_a_conflict(command, home, monkeypatch):
    backup = command("db", "backup").out.strip()

    def refuse(*arguments: object, **options: object) -> None:
        raise RunBusyError("run 2 is in the hands of process 7", hint="wait for it, or stop it")

    monkeypatch.setattr("nasturtium.cli.db.restore", refuse)
    answer = command("db", "restore", backup, "--yes")
    assert (answer.code, answer.err) == (
        4,
        "error: run 2 is in the hands of process 7\nhint: wait for it, or stop it\n",
    )


def test_findings_are_printed_and_end_in_the_code_of_integrity(command, home):
    execute(home / "nasturtium.db", "UPDATE nst_metric SET points = 7 WHERE points > 0")
    for words in (("db", "check"), ("db", "check", "--quick")):
        answer = command(*words)
        assert answer.code == 6
        assert "metric loss of train 1" in answer.out
    [row] = json.loads(command("db", "check", "--json").out)
    assert set(row) == {"severity", "code", "message", "hint"}
    assert (row["severity"], row["code"]) == ("error", "summary")
    [row] = csv.DictReader(io.StringIO(command("db", "check", "--format", "csv").out))
    assert "points = 7, its points 2" in row["message"]


def test_findings_on_a_terminal_have_their_hint_below(command, home, monkeypatch):
    execute(home / "nasturtium.db", "UPDATE nst_metric SET points = 7 WHERE points > 0")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    answer = command("db", "check")
    assert "error: metric loss of train 1" in answer.out
    assert "\n  hint: restore a backup" in answer.out


def test_a_warning_is_no_failure(command, home):
    execute(
        home / "nasturtium.db",
        "INSERT INTO nst_lineage (source_kind, source_id, target_kind, target_id, relation)"
        " VALUES ('run', 99, 'run', 1, 'x')",
    )
    answer = command("db", "check", "--json")
    assert answer.code == 0
    assert [row["severity"] for row in json.loads(answer.out)] == ["warning"]
    assert "1 edges" in command("db", "compact").out
    assert json.loads(command("db", "check", "--json").out) == []


def test_compact(command, home):
    execute(home / "nasturtium.db", "UPDATE nst_event SET at_us = 1")
    said = json.loads(command("db", "compact", "--json").out)
    assert set(said) == {"bytes_before", "bytes_after", "removed"}
    assert set(said["removed"]) == {"events", "system_points", "edges", "artifacts", "files", "drafts"}
    assert said["removed"]["events"] > 0
    assert "removed nothing" in command("db", "compact").out
    assert command("db", "compact", "--events", -1).code == 2


@pytest.mark.parametrize("words", [("status",), ("upgrade",), ("backup",), ("check",), ("compact",)])
def test_a_database_that_is_not_there(command, tmp_path, words):
    answer = command("db", *words, "--db", "absent.db")
    assert (answer.code, answer.out) == (3, "")
    assert "there is no database" in answer.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        pytest.param(lambda good: None, 1, "No such file", id="missing"),
        pytest.param(lambda good: b"no backup" * 99, 1, "is not a backup of ours", id="garbage"),
        pytest.param(lambda good: good[:20_000], 6, "ends within database.sqlite", id="cut-off"),
        pytest.param(
            lambda good: good.replace(b"nst_metric", b"nst_mortic"), 6, "database.sqlite has the SHA", id="bytes"
        ),
    ],
)
def test_what_is_no_backup_is_refused(command, home, content, code, message):
    command("db", "backup", "-o", "good")
    bad = content((home / "good").read_bytes())
    if bad is not None:
        (home / "bad").write_bytes(bad)
    before = sorted(home.iterdir())
    answer = command("db", "restore", "bad", "--yes")
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert [path for path in sorted(home.iterdir()) if not path.name.endswith(("-shm", "-wal"))] == before

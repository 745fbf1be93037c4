"""`nasturtium doctor`: every line says how it stands and what to do; only a failure is one for the shell."""

from __future__ import annotations

import json
import os

import pytest
from sqlalchemy import text

from nasturtium.cli import doctor
from nasturtium.storage import History, Ledger, Tracker, open_database


@pytest.fixture
def home(tmp_path):
    with open_database(tmp_path / "nasturtium.db") as database:
        with Tracker(database) as tracker:
            tracker.finish(tracker.start_run("digits"), state="completed", metrics={})
        Ledger(database).append("config", {"noise": 1.0})
    return tmp_path


def checks_of(answer) -> dict[str, dict[str, object]]:
    return {check["code"]: check for check in json.loads(answer.out)["checks"]}


def test_a_fine_installation(command, home):
    command("db", "backup")
    answer = command("doctor", "--json")
    assert answer.code == 0
    said = json.loads(answer.out)
    assert set(said) == {"ok", "checks"}
    assert said["ok"] is True
    assert all(set(check) == {"level", "code", "message", "hint"} for check in said["checks"])
    assert {check["level"] for check in said["checks"]} <= {"ok", "warn"}
    codes = ["python", "packages", "cpu", "gpu", "extras", "disk", "key", "database", "revision", "journal", "room"]
    assert [check["code"] for check in said["checks"]] == [*codes, "runs", "backup", "optuna", "clock"]


def test_lines_for_people(command, home):
    answer = command("doctor")
    assert answer.code == 0
    assert "warn  backup     there was never a backup\n                 hint: nasturtium db backup\n" in answer.out
    assert "ok    cpu" in answer.out


def test_no_database_yet_is_no_failure(command, tmp_path):
    answer = command("doctor", "--json")
    assert answer.code == 0
    assert checks_of(answer)["database"]["level"] == "warn"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_failure_is_one_for_the_shell_and_can_be_mended(command, home):
    key = home / "nasturtium.ledger-key"
    key.chmod(0o644)
    answer = command("doctor", "--json")
    assert (answer.code, json.loads(answer.out)["ok"]) == (1, False)
    assert checks_of(answer)["key"]["level"] == "fail"
    assert command("doctor", "--fix").code == 0
    assert key.stat().st_mode & 0o777 == 0o600
    assert command("doctor").code == 0


def test_a_file_of_something_else_fails(command, tmp_path):
    (tmp_path / "some.db").write_bytes(b"no database" * 99)
    answer = command("doctor", "--db", "some.db")
    assert answer.code == 1
    assert "fail  database" in answer.out
    assert "Traceback" not in answer.err


def test_a_run_whose_process_died_is_ended_when_asked(command, home):
    with open_database(home / "nasturtium.db") as database:
        with Tracker(database) as tracker:
            uid = tracker.start_run("dead")
        with database.write() as session:
            session.execute(text("UPDATE nst_run SET pid = 4194305, born = 'x' WHERE number = 2"))
        assert checks_of(command("doctor", "--json"))["runs"]["level"] == "warn"
        assert "now marked interrupted" in str(checks_of(command("doctor", "--fix", "--json"))["runs"]["message"])
        assert History(database).find(uid).state == "interrupted"


def test_an_unknown_kind_of_database_is_a_wrong_usage(command):
    answer = command("doctor", "--db", "mysql://x/y")
    assert (answer.code, "mysql" in answer.err) == (2, True)


@pytest.mark.parametrize(
    ("devices", "driver", "module", "level", "message"),
    [
        pytest.param(2, True, True, "ok", "2 CUDA devices", id="used"),
        pytest.param(0, False, False, "ok", "on the CPU", id="none"),
        pytest.param(0, True, False, "warn", "CuPy is not installed", id="no-cupy"),
        pytest.param(0, True, True, "warn", "no device can be used", id="misfit"),
    ],
)
def test_the_gpu(tmp_path, monkeypatch, devices, driver, module, level, message):
    if driver:
        (tmp_path / "version").touch()
    monkeypatch.setattr(doctor, "_DRIVER", tmp_path / "version")
    monkeypatch.setattr(doctor, "cuda_count", lambda: devices)
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: object() if module else None)
    fact = next(fact for fact in doctor.examine(tmp_path / "absent.db") if fact.code == "gpu")
    assert (fact.level, message in fact.message) == (level, True)
    assert (fact.hint is None) == (level == "ok")


def test_extras_that_are_absent_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None if name in {"cupy", "matplotlib"} else object())
    fact = next(fact for fact in doctor.examine(tmp_path / "absent.db") if fact.code == "extras")
    assert fact.message.endswith("; not installed: gpu, plot")
    assert fact.message.startswith("installed: arrow, cmaes, compiler, dp-sgd, images, ")
    assert 'pip install "nasturtium[EXTRA]"' in (fact.hint or "")


def test_a_package_that_is_missing_fails(tmp_path, monkeypatch):
    plain = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "numpy" else plain(name))
    facts = [fact for fact in doctor.examine(tmp_path / "absent.db") if fact.level == "fail"]
    assert [(fact.code, fact.hint) for fact in facts] == [("packages", "pip install nasturtium")]
    assert facts[0].message.endswith(": numpy")

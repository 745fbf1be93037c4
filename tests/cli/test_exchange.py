"""`history export` and `import`: files that are whole or not there, and commands that say what they did."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from nasturtium.storage import Curator, History, ModelRegistry, Tracker, open_database

FORMATS = ["ndjson", "json", "csv", "parquet"]


@pytest.fixture
def past(command, tmp_path) -> Path:
    """Two runs, one with a model, in the database that commands use here."""
    with open_database(tmp_path / "nasturtium.db") as database, Tracker(database) as tracker:
        one = tracker.start_run("digits", config={"lr": 0.1})
        tracker.log_points(one, {"loss": {1: 2.5, 2: float("nan")}})
        (tmp_path / "weights.safetensors").write_bytes(b"weights")
        tracker.record_model(one, _folder(tmp_path))
        tracker.finish(one, state="completed", metrics={"val_accuracy": 0.9})
        two = tracker.start_run("wine", config={"lr": 0.2})
        tracker.finish(two, state="completed", metrics={"val_accuracy": 0.8})
        ModelRegistry(database).register("digits", one)
    return tmp_path


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "weights.safetensors").rename(folder / "weights.safetensors")
    return folder


def uids(content: str) -> list[str]:
    return [json.loads(line)["runs"][0]["uid"] for line in content.splitlines()[1:]]


def test_from_one_database_to_another_and_back(command, past):
    assert command("history", "export", "-o", "out.ndjson").err == "2 runs in out.ndjson\n"
    said = command("history", "import", "out.ndjson", "--db", "other.db")
    assert (said.code, said.out) == (0, "imported 2 runs\n")
    assert "the contents of 1 file are not here: copy them from the other database's folder .artifacts to" in said.err
    answer = command("history", "export", "--db", "other.db")
    assert answer.out == Path("out.ndjson").read_text()
    again = command("history", "import", "out.ndjson", "--db", "other.db")
    assert again.out == "imported 0 runs\n2 runs were here already\n"


def test_the_contents_of_files_can_be_copied_beside_it(command, past):
    command("history", "export", "-o", "out.json")
    (past / "nasturtium.artifacts").rename(past / "other.artifacts")
    assert command("history", "import", "out.json", "--db", "other.db").err == ""
    assert command("db", "check", "--db", "other.db").code == 0


@pytest.mark.parametrize("form", FORMATS)
def test_the_ending_of_the_file_is_the_format(command, past, form):
    assert command("history", "export", "-o", f"by-name.{form}").code == 0
    assert command("history", "export", "-o", "by-option", "--format", form).code == 0
    assert Path("by-name." + form).read_bytes() == Path("by-option").read_bytes()


@pytest.mark.parametrize("form", ["ndjson", "json", "csv"])
def test_text_goes_to_standard_output(command, past, form):
    answer = command("history", "export", "--format", form)
    assert (answer.code, answer.err) == (0, "")
    command("history", "export", "--format", form, "-o", "file")
    assert answer.out == Path("file").read_text()


def test_parquet_is_nothing_for_a_terminal(command, past, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    answer = command("history", "export", "--format", "parquet")
    assert answer.code == 2
    assert "hint: name a file: -o history.parquet" in answer.err


def test_parquet_goes_into_a_pipe(past):
    words = ["-m", "nasturtium.cli", "history", "export", "--format", "parquet", "--db", str(past / "nasturtium.db")]
    answer = subprocess.run([sys.executable, *words], capture_output=True, check=True)
    assert pl.read_parquet(io.BytesIO(answer.stdout))["name"].to_list() == ["digits", "wine"]


def test_tables(command, past):
    rows = list(csv.DictReader(io.StringIO(command("history", "export", "--format", "csv").out)))
    assert [(row["number"], row["param.lr"], row["metric.loss"]) for row in rows] == [
        ("1", "0.1", "NaN"),
        ("2", "0.2", ""),
    ]
    points = list(csv.DictReader(io.StringIO(command("history", "export", "--format", "csv", "--points").out)))
    assert [(point["metric"], point["step"], point["value"]) for point in points] == [
        ("loss", "1", "2.5"),
        ("loss", "2", "NaN"),
    ]
    command("history", "export", "--points", "-o", "points.parquet")
    assert pl.read_parquet("points.parquet").height == 2


def test_chosen_runs(command, past):
    with open_database(past / "nasturtium.db") as database:
        one, two = (History(database).find(number).uid for number in (1, 2))
        assert uids(command("history", "export").out)[:2] == [one, two]
        assert uids(command("history", "export", "2", "@last").out) == [two]
        assert uids(command("history", "export", "--where", "val_accuracy > 0.85").out) == [one]
        Curator(database).delete(one)
        assert uids(command("history", "export").out) == [two]
        assert uids(command("history", "export", "--deleted").out) == [one, two]
        assert command("history", "export", "1").code == 2
        assert command("history", "export", "17").code == 3
        assert command("history", "export", "--where", "nonsense ==").code == 2


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        pytest.param(
            lambda: Path("out.json").write_text("mine"), "out.json is there already", "add --force", id="file"
        ),
        pytest.param(lambda: Path("out.json").mkdir(), "out.json is a folder", "name a file in it", id="folder"),
        pytest.param(lambda: os.mkfifo("out.json"), "no regular file", "leave -o out", id="pipe"),
    ],
)
def test_what_is_there_stays(command, past, make: Callable[[], object], message, hint):
    make()
    before = Path("out.json").stat().st_mode
    answer = command("history", "export", "-o", "out.json")
    assert answer.code == 2
    assert message in answer.err
    assert hint in answer.err
    assert Path("out.json").stat().st_mode == before


def test_force_replaces_a_file_but_nothing_else(command, past):
    Path("out.json").write_text("old")
    assert command("history", "export", "-o", "out.json", "--force").code == 0
    assert json.loads(Path("out.json").read_text())["format"] == "nasturtium.history"
    assert stat.S_IMODE(Path("out.json").stat().st_mode) == 0o666 & ~umask()
    os.mkfifo("pipe.json")
    assert command("history", "export", "-o", "pipe.json", "--force").code == 2


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_no_folder(command, past):
    answer = command("history", "export", "-o", "no such/out.json")
    assert answer.code == 2
    assert "hint: make it: mkdir -p 'no such'" in answer.err


def test_a_full_disk_leaves_the_old_file_and_no_draft(command, past, monkeypatch):
    Path("out.json").write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    answer = command("history", "export", "-o", "out.json", "--force")
    assert (answer.code, "cannot write out.json: No space left on device" in answer.err) == (1, True)
    assert Path("out.json").read_text() == "old"
    assert not list(past.glob(".out.json*"))


def test_an_export_that_fails_leaves_no_file(command, past):
    assert command("history", "export", "17", "-o", "out.json").code == 3
    assert not list(past.glob("*out.json*"))


def test_a_dry_run_makes_no_database(command, past):
    command("history", "export", "-o", "out.json")
    said = command("history", "import", "out.json", "--db", "other.db", "--dry-run")
    assert (said.code, said.out) == (0, "would import 2 runs\n")
    assert not Path("other.db").exists()
    assert (
        command("history", "import", "out.json", "--dry-run").out == "would import 0 runs\n2 runs were here already\n"
    )


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        pytest.param("absent.json", None, 2, "cannot read absent.json", id="absent"),
        pytest.param("out.csv", b"uid,number\n", 2, "out.csv is a CSV file, which is not imported", id="csv"),
        pytest.param("out.parquet", b"PAR1", 2, "out.parquet is a Parquet file", id="parquet"),
        pytest.param("out.json", b"\x80garbage", 1, "out.json: line 1: not UTF-8", id="garbage"),
    ],
)
def test_what_is_not_imported_makes_no_database(command, name, content, code, message):
    if content is not None:
        Path(name).write_bytes(content)
    answer = command("history", "import", name)
    assert answer.code == code
    assert message in answer.err
    assert "hint: " in answer.err
    assert not Path("nasturtium.db").exists()


def test_import_says_as_json_what_it_did(command, past):
    command("history", "export", "-o", "out.json")
    with open_database(past / "nasturtium.db") as database:
        uid = History(database).find(1).uid
        Curator(database).tag(uid, "changed")
    with open_database(past / "other.db") as database, Tracker(database) as tracker:
        tracker.start_run("here")
    assert json.loads(command("history", "import", "out.json", "--json", "--db", "other.db").out) == {
        "imported": 2,
        "below": 0,
        "already_here": 0,
        "differing": [],
        "renumbered": {"1": 2, "2": 3},
        "left_out": 0,
        "missing_files": 1,
        "dry_run": False,
    }
    said = json.loads(command("history", "import", "out.json", "--json").out)
    assert (said["already_here"], said["differing"]) == (2, [uid])
    people = command("history", "import", "out.json")
    assert f"run {uid} is not as in the file; it stays as it is here" in people.err


def test_people_are_told_of_new_numbers_and_of_what_was_left_out(command, past):
    with open_database(past / "nasturtium.db") as database, Tracker(database) as tracker:
        one = History(database).find(1).uid
        tracker.start_federated(
            name="digits",
            seed=1,
            config={},
            dataset=None,
            clients=2,
            rounds=1,
            strategy="fedavg",
            scheme="plain",
            alpha=None,
            model_run=one,
            spec={},
        )
    with open_database(past / "other.db") as database, Tracker(database) as tracker:
        for _ in range(3):
            tracker.start_run("here")
    command("history", "export", "3", "-o", "out.json")
    said = command("history", "import", "out.json", "--db", "other.db")
    assert said.out == "imported 1 run\nrun 3 of the file is run 4 here\n"
    assert said.err == "left out 2 references to what is neither in the file nor here\n"


def test_people_are_told_of_some_of_many(command, past):
    with open_database(past / "nasturtium.db") as database, Tracker(database) as tracker:
        for _ in range(30):
            tracker.start_run("more")
    with open_database(past / "other.db") as database, Tracker(database) as tracker:
        tracker.start_run("here")
    command("history", "export", "-o", "out.ndjson")
    said = command("history", "import", "out.ndjson", "--db", "other.db").out.splitlines()
    assert said[:2] == ["imported 32 runs", "run 1 of the file is run 2 here"]
    assert said[-1] == "and so for 12 more; --json has all of them"

"""Bad input gets one clear message on stderr, the right exit code, no traceback, and leaves nothing behind."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from nasturtium.storage import open_database

GOOD = ["x,y,label", *(f"{i % 7}.5,{i % 3},{'ab'[i % 2]}" for i in range(40))]


def lines(*changes: tuple[int, str], until: int = 41) -> str:
    rows = list(GOOD[:until])
    for index, row in changes:
        rows[index] = row
    return "\n".join(rows) + "\n"


FILES = {
    "good.csv": lines(),
    "text.csv": lines((3, "red,1,a")),
    "nan.csv": lines((3, "nan,1,a")),
    "missing.csv": lines((3, ",1,a")),
    "one.csv": "\n".join(row.replace(",b", ",a") for row in GOOD),
    "few.csv": lines(until=4),
    "measured.csv": "x,y,label\n" + "\n".join(f"1,2,{i}.25" for i in range(30)),
    "untargeted.csv": lines((3, "1,1,")),
    "empty.csv": "",
    "header.csv": GOOD[0] + "\n",
    "garbage.csv": bytes(range(256)) * 8,
    "garbage.parquet": b"x" * 300,
    "garbage.npz": b"PK\x03\x04" + b"x" * 300,
}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    np.savez(tmp_path / "nokeys.npz", stuff=np.zeros(3))
    (tmp_path / "garbage.db").write_bytes(b"this is no database" * 100)
    with sqlite3.connect(tmp_path / "foreign.db") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with open_database(tmp_path / "newer.db"):
        pass
    with sqlite3.connect(tmp_path / "newer.db") as connection:
        connection.execute("UPDATE nst_alembic_version SET version_num = '9999'")
    connection.close()
    (tmp_path / "folder.db").mkdir()
    return tmp_path


def search(file: str, *more: object) -> tuple[object, ...]:
    return ("search", "--data", file, "--target", "label", "--trials", 2, *more)


CASES = [
    pytest.param(("search",), 2, "no data was named", id="no-data"),
    pytest.param(("search", "--data", "nosuch"), 2, "unknown data set 'nosuch'", id="unknown-data-set"),
    pytest.param(search("absent.csv"), 2, "no such file: absent.csv", id="no-such-file"),
    pytest.param(search("x" * 300 + ".csv"), 2, "File name too long", id="name-too-long"),
    pytest.param(("search", "--data", "good.csv"), 2, "no target column was named", id="no-target"),
    pytest.param(("search", "--data", "good.csv", "--target", "z"), 2, "there is no column 'z'", id="unknown-target"),
    pytest.param(search("text.csv"), 1, "row 3, column 'x': expected a number, got 'red'", id="text-in-a-feature"),
    pytest.param(search("nan.csv"), 1, "row 3, column 'x': the value is missing", id="nan-in-a-feature"),
    pytest.param(search("missing.csv"), 1, "row 3, column 'x': the value is missing", id="missing-value"),
    pytest.param(search("untargeted.csv"), 1, "row 3, column 'label': the target is missing", id="missing-label"),
    pytest.param(search("one.csv"), 1, "only one class: a", id="one-class"),
    pytest.param(search("few.csv"), 1, "at least 3 are needed", id="few-rows-of-a-class"),
    pytest.param(search("measured.csv", "--task", "classification"), 1, "looks like a measurement", id="regression"),
    pytest.param(search("empty.csv"), 1, "empty.csv: cannot be read", id="empty-file"),
    pytest.param(search("header.csv"), 1, "header.csv: there are no rows", id="header-only"),
    pytest.param(search("garbage.csv"), 1, "garbage.csv: cannot be read", id="garbage-csv"),
    pytest.param(search("garbage.parquet"), 1, "garbage.parquet: cannot be read", id="garbage-parquet"),
    pytest.param(search("garbage.npz"), 1, "garbage.npz: cannot be read", id="garbage-npz"),
    pytest.param(search("nokeys.npz"), 2, "there is no array for the target", id="npz-without-arrays"),
    pytest.param(search("good.csv", "--trials", 0), 2, "expected trials >= 1", id="zero-trials"),
    pytest.param(search("good.csv", "--seed", -1), 2, "expected 0 <= seed", id="negative-seed"),
    pytest.param(search("good.csv", "--trials", "many"), 2, "not a valid integer", id="trials-not-a-number"),
    pytest.param(search("good.csv", "--space", "cnn"), 2, "space 'cnn' needs images", id="space-for-images"),
    pytest.param(search("good.csv", "--space", "x"), 2, "unknown space 'x'", id="unknown-space"),
    pytest.param(search("good.csv", "--strategy", "x"), 2, "unknown strategy 'x'", id="unknown-strategy"),
    pytest.param(search("good.csv", "--device", "tpu"), 2, "unknown device", id="unknown-device"),
    pytest.param(search("good.csv", "--db", "garbage.db"), 1, "is not a SQLite database", id="garbage-database"),
    pytest.param(search("good.csv", "--db", "foreign.db"), 1, "another program", id="foreign-database"),
    pytest.param(search("good.csv", "--db", "newer.db"), 1, "made by a newer nasturtium", id="newer-database"),
    pytest.param(search("good.csv", "--db", "folder.db"), 1, "is a folder", id="folder-as-database"),
    pytest.param(search("good.csv", "--db", "no/such.db"), 1, "there is no folder", id="no-folder"),
    pytest.param(search("good.csv", "--db", "mysql://x/y"), 2, "mysql", id="unknown-database-kind"),
    pytest.param(("history", "list", "--db", "garbage.db"), 1, "is not a SQLite database", id="list-garbage"),
    pytest.param(("history", "list", "--db", "absent.db"), 3, "there is no database", id="list-absent"),
    pytest.param(("history", "list", "--kind", "x"), 2, "unknown kind 'x'", id="unknown-kind"),
    pytest.param(("history", "lst"), 2, "No such command 'lst'", id="unknown-command"),
    pytest.param(("history", "show"), 2, "Missing argument", id="missing-argument"),
    pytest.param(("predict", "@best", "absent.csv", "--db", "newer.db"), 1, "newer", id="predict-newer"),
    pytest.param(
        ("federate", "simulate", "--data", "digits", "--clients", 1000), 2, "1000 clients need", id="clients-over-rows"
    ),
    pytest.param(
        ("federate", "simulate", "--data", "digits", "--clients", 5000),
        2,
        "1000 participants in a round, got 5000",
        id="clients-over-sum",
    ),
    pytest.param(
        ("federate", "simulate", "--data", "digits", "--clients", 2), 2, "expected 3 to 10000 clients", id="two-clients"
    ),
    pytest.param(
        ("federate", "simulate", "--data", "digits", "--clients", 1), 2, "expected 3 to 10000 clients", id="one-client"
    ),
    pytest.param(("federate", "simulate", "--data", "digits", "--bits", 0), 2, "1 to 16 bits", id="no-bits"),
    pytest.param(("federate", "simulate", "--data", "digits", "--bits", 17), 2, "1 to 16 bits", id="too-many-bits"),
    pytest.param(
        ("federate", "simulate", "--data", "digits", "--plain", "--ckks"), 2, "exclude each other", id="plain-and-ckks"
    ),
    pytest.param(("federate", "simulate", "--data", "digits", "--rounds", 0), 2, "rounds", id="no-rounds"),
    pytest.param(("federate", "simulate", "--data", "digits", "--alpha", 0), 2, "alpha > 0", id="alpha-zero"),
    pytest.param(("federate", "simulate"), 2, "no data was named", id="simulate-without-data"),
    pytest.param(
        ("federate", "simulate", "--data", "digits", "--strategy", "fedsgd"), 2, "expected one of", id="no-strategy"
    ),
    pytest.param(
        ("federate", "simulate", "--data", "digits", "--strategy", "krum"), 2, "not under the scheme packed", id="krum"
    ),
    pytest.param(
        ("federate", "simulate", "--data", "digits", "--strategy-option", "mu"),
        2,
        "expected NAME=NUMBER, got 'mu'",
        id="no-value",
    ),
    pytest.param(
        ("federate", "simulate", "--data", "digits", "--strategy-option", "mu=x"),
        2,
        "expected NAME=NUMBER",
        id="no-number",
    ),
    pytest.param(
        ("federate", "simulate", "--data", "digits", "--strategy-option", "mu=1"),
        2,
        "fedavg has no parameter 'mu'",
        id="no-mu",
    ),
    pytest.param(
        ("federate", "simulate", "--data", "digits", "--compression", "zip"),
        2,
        "unknown compression 'zip'",
        id="no-compression",
    ),
    pytest.param(
        ("federate", "simulate", "--data", "digits", "--compression", "top-k"),
        2,
        "tells which elements changed",
        id="top-k",
    ),
]


@pytest.mark.parametrize(("words", "code", "message"), CASES)
def test_bad_input_is_refused_clearly(command, folder, words, code, message):
    before = {path.name for path in folder.iterdir()}
    answer = command(*words)
    assert answer.code == code
    assert message in answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert {path.name for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("history", "show", "7"), id="show-number"),
        pytest.param(("history", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV"), id="show-ulid"),
        pytest.param(("history", "show", "@best"), id="show-best-of-none"),
        pytest.param(("search", "--resume", "7"), id="resume"),
        pytest.param(("predict", "7", "good.csv"), id="predict"),
        pytest.param(("federate", "simulate", "--data", "digits", "--model", "7"), id="federate-model"),
    ],
)
def test_an_unknown_run_is_not_found(command, folder, words):
    with open_database(folder / "nasturtium.db"):
        pass
    answer = command(*words)
    assert answer.code == 3
    assert answer.err.startswith("error: ")
    assert "hint: " in answer.err
    assert answer.out == ""

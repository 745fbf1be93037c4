"""What the shell is told: every situation has its code, programs get their error as a document, nothing raises."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import click
import jsonschema
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

import nasturtium
from nasturtium.cli.app import app, run
from nasturtium.cli.schema import SCHEMAS
from nasturtium.storage import Curator, History, Tracker, open_database

DB = "nasturtium.db"


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits_folder):
    """The folder of a history that is only copied: a search, a federated run, runs of one's own in several states."""
    folder = tmp_path_factory.mktemp("codes")
    shutil.copytree(digits_folder, folder, dirs_exist_ok=True)
    nasturtium.federate("digits", rounds=1, clients=3, epochs=1, db=folder / DB, scheme="plain")
    with open_database(folder / DB) as database, Tracker(database) as tracker:
        tracker.start_run("runs", config={"op": "sep3"})
        gone = tracker.start_run("gone")
        tracker.log(gone, {"loss": float("nan")}, step=1)
        tracker.finish(gone, state="failed", error="said \x1b[31mred", metrics={"worst": float("inf")})
        tracker.finish(tracker.start_run("deleted"), state="completed", metrics={})
        Curator(database).delete(History(database).find(5).uid)
    (folder / "garbage.csv").write_text("no,columns\n1,2\n")
    return folder


@pytest.fixture
def history(made, command, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return command


def case(code: int, said: str, *words: object, id: str):
    return pytest.param(code, said, words, id=id)


SITUATIONS = [
    case(0, "", "history", "list", id="fine"),
    case(0, "", "--version", id="version"),
    case(1, "the model", "predict", "1", "garbage.csv", id="rows-of-another-model"),
    case(1, "not a regular file", "history", "list", "--db", "/dev/null", id="no-database-file"),
    case(2, "No such option", "history", "list", "--nothing", id="unknown-option"),
    case(2, "No such command", "nothing", id="unknown-command"),
    case(2, "Missing argument", "history", "show", id="missing-argument"),
    case(2, "'x' is not one of", "history", "list", "--format", "x", id="unknown-format"),
    case(2, "", "history", "list", "--limit", "0", id="out-of-range"),
    case(2, "unknown kind", "history", "list", "--kind", "x", id="unknown-kind"),
    case(2, "", "history", "list", "--where", "val_accuracy >", id="query-that-ends-early"),
    case(2, "", "history", "query", "nobodys_name > 1", id="query-for-a-name-nobody-used"),
    case(2, "", "history", "query", 'state == "finished"', id="query-for-a-state-there-is-not"),
    case(2, "", "history", "sql", "DELETE FROM nst_run", id="sql-that-writes"),
    case(2, "", "history", "sql", "SELECT", id="sql-that-is-none"),
    case(2, "two runs", "history", "compare", "1", id="one-run-to-compare"),
    case(2, "expected a search", "history", "pareto", "2", id="front-of-no-search"),
    case(2, "mysql", "history", "list", "--db", "mysql://x/y", id="unknown-kind-of-database"),
    case(2, "--yes", "history", "purge", "--older-than", "0d", id="purge-without-a-terminal"),
    case(2, "already finished", "search", "--resume", "1", id="resume-what-is-finished"),
    case(2, "expected a search", "search", "status", "2", id="status-of-no-search"),
    case(2, "expected a search", "search", "report", "2", id="report-of-no-search"),
    case(2, "nothing to stop", "search", "stop", "1", id="stop-what-is-finished"),
    case(2, "nothing to train", "worker", "--study", "1", id="worker-for-what-is-finished"),
    case(2, "no data", "federate", "simulate", id="no-data"),
    case(2, "absent.csv", "predict", "1", "absent.csv", id="no-such-file"),
    case(2, "schema", "schema", "nothing", id="no-schema"),
    case(3, "there is no run 99", "history", "show", "99", id="unknown-number"),
    case(3, "there is no run 99", "search", "status", "99", id="status-of-an-unknown-number"),
    case(3, "there is no run 99", "worker", "--study", "99", id="worker-for-an-unknown-number"),
    case(3, "there is no database", "worker", "--study", "1", "--db", "absent.db", id="worker-without-a-database"),
    case(3, "", "history", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV", id="unknown-ulid"),
    case(3, "", "history", "tag", "@worst", "x", id="unknown-word"),
    case(3, "", "history", "curve", "1", "nothing", id="unknown-curve"),
    case(3, "", "history", "lineage", "feedfacefeedface", id="unknown-hash"),
    case(3, "", "model", "show", "nothing", id="unknown-model"),
    case(3, "", "model", "show", "digits:99", id="unknown-version"),
    case(3, "", "model", "promote", "digits@nothing", "x", id="unknown-alias"),
    case(3, "no saved model", "predict", "3", "garbage.csv", id="run-without-a-model"),
    case(3, "", "privacy", "show", "nobody", id="unknown-subject"),
    case(3, "there is no database", "history", "list", "--db", "absent.db", id="no-such-database"),
    case(4, "in the hands of process", "history", "delete", "3", id="run-of-a-live-process"),
    case(5, "refused", "history", "list", "--db", "postgresql://nobody@127.0.0.1:1/nothing", id="no-server"),
]


def seen(answer, code: int, said: str) -> None:
    assert answer.code == code, answer.err
    assert said in answer.err
    assert "Traceback" not in answer.err
    if code:
        assert answer.out == ""


@pytest.mark.parametrize(("code", "said", "words"), SITUATIONS)
def test_a_situation_has_its_code(history, code, said, words):
    if "postgresql" in str(words):
        pytest.importorskip("psycopg", reason="psycopg is not installed (extra: postgres)")
    seen(history(*words), code, said)


def told(answer) -> dict[str, object]:
    """The error as programs get it."""
    assert answer.out == ""
    document = json.loads(answer.err)
    jsonschema.Draft202012Validator(SCHEMAS["error"]).validate(document)
    assert document["error"]["code"] == answer.code
    return document["error"]


@pytest.mark.parametrize("form", [("--json",), ("--format", "json"), ("--format=ndjson",)], ids=" ".join)
@pytest.mark.parametrize(
    ("code", "said", "words"),
    [each for each in SITUATIONS if each.values[2][:2] == ("history", "list") and "format" not in str(each.id)][1:],
)
def test_a_program_gets_a_document(history, code, said, words, form):
    answer = history(*words, *form)
    error = told(answer)
    assert answer.code == code
    assert said in error["message"]


@pytest.mark.parametrize(("code", "said", "words"), [each for each in SITUATIONS if each.values[0] in {3, 4}])
def test_a_program_is_told_what_to_do(history, code, said, words):
    answer = history(*words, "--json")
    assert answer.code == code
    assert said in told(answer)["message"]


@pytest.mark.parametrize(
    "words",
    [
        ("history", "tag", "1", "x"),
        ("history", "note", "1", "x"),
        ("history", "delete", "1"),
        ("history", "restore", "1"),
        ("history", "purge", "--yes"),
        ("model", "promote", "digits", "production"),
        ("model", "register", "other", "1"),
        ("privacy", "budget", "1", "--epsilon", "1", "--delta", "0"),
        ("db", "compact"),
        ("search", "--data", "digits", "--here"),
        ("federate", "simulate", "--data", "digits", "--plain"),
    ],
    ids=" ".join,
)
def test_a_database_that_others_write_to_is_busy(history, monkeypatch, words):
    monkeypatch.setattr("nasturtium.storage.sqlite.BUSY_TIMEOUT_MS", 50)
    with closing(sqlite3.connect(DB, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = history(*words, "--json")
        assert history("history", "list").code == 0  # who reads does not wait
        other.execute("ROLLBACK")
    assert answer.code == 4
    assert "locked" in told(answer)["message"]


def alter(statement: str) -> None:
    with closing(sqlite3.connect(DB)) as connection, connection:
        named = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'nst_ledger'"
        for (name,) in connection.execute(named).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)


def test_an_altered_ledger_is_named(history):
    alter("UPDATE nst_ledger SET body = replace(body, 'inf', '0.1') WHERE sequence = 1")
    seen(history("privacy", "verify"), 6, "entry 1 of the ledger")
    assert "entry 1 of the ledger" in told(history("privacy", "verify", "--json"))["message"]
    assert history("db", "check").code == 6


def test_a_damaged_page_is_found(history):
    with closing(sqlite3.connect(DB)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'nst_metric'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with Path(DB).open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    answer = history("db", "check", "--json")
    assert answer.code == 6
    assert {finding["severity"] for finding in json.loads(answer.out)} == {"error"}
    seen(history("history", "show", "1"), 6, "damaged")


def test_a_spent_budget_is_refused_before_a_round(history):
    assert history("privacy", "budget", "1", "--epsilon", "1", "--delta", "1e-5").code == 0
    before = json.loads(history("privacy", "show", "--json").out)
    words = ("federate", "simulate", "--data", "digits", "--plain", "--rounds", "1", "--clients", "3", "--json")
    answer = history(*words)
    assert (answer.code, answer.out) == (7, "")
    document = json.loads(answer.err.splitlines()[-1])  # after what was said of the progress
    assert document["error"]["code"] == 7
    assert json.loads(history("privacy", "show", "--json").out) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, EOFError])
def test_an_interruption_is_one(history, monkeypatch, error):
    def interrupt(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("nasturtium.cli.library.open_history", interrupt)
    assert (answer := history("history", "list")).code == 130
    assert answer.out == ""


def test_sigterm_is_an_interruption(history, monkeypatch):
    def stop(*arguments: object, **options: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    monkeypatch.setattr("nasturtium.cli.library.search", stop)
    assert history("search", "--data", "digits").code == 130


def program(words: list[str], folder: Path, **options):
    environment = {name: value for name, value in os.environ.items() if name != "NASTURTIUM_DB"}
    command = [sys.executable, "-m", "nasturtium.cli", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, timeout=60, check=False, **options
    )


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["history", "list"], id="little-written-at-the-end"),
        pytest.param(["history", "export", "--format", "json"], id="bytes"),
        pytest.param(["history", "sql", "SELECT hex(zeroblob(1000000))"], id="more-than-a-pipe-holds"),
        pytest.param(["history", "--help"], id="help"),
    ],
)
def test_nobody_reads_on(made, words):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = program(words, made, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "words",
    [["history", "list"], ["history", "sql", "SELECT hex(zeroblob(1000000))"], ["history", "export"]],
    ids=" ".join,
)
def test_there_is_no_room_for_the_output(made, words):
    with Path("/dev/full").open("w") as full:
        done = program(words, made, stdout=full)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_output_that_is_closed_is_none(made):
    done = program(["history", "list"], made, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")


def test_words_that_are_no_text_are_wrong_usage_or_not_found(made):
    for words, code in (
        ([b"history", b"show", b"\xff"], 3),
        ([b"history", b"query", b"\xff > 1"], 2),
        ([b"history", b"sql", b"SELECT '\xff'"], 2),
        ([b"\xff"], 2),
        ([b"history", b"list", b"--db", b"\xff.db"], 3),
    ):
        done = program(words, made, stdout=subprocess.PIPE)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr


READERS = [
    *(f"history {name}" for name in "list show compare curve pareto lineage query sql export".split()),  # noqa: SIM905
    *("model list", "model show", "privacy show", "privacy verify", "privacy export", "privacy head"),
    *("db status", "db check", "doctor", "schema"),
    *(f"search {name}" for name in ("status", "report", "spaces", "space", "strategies", "draw")),
]
WRITERS = {"--output", "--fix", "--watch"}
QUERIES = [
    "val_accuracy > 0.5 and params < 20000",
    "op == 'sep3' or worst > 1 order by worst desc limit 2",
    "min(loss) is null and not kind in ('search', 'trial')",
    "SELECT * FROM nst_run",
    "SELECT 1e999, x'00', 'a' || char(10, 27, 155), NULL",
    "SELECT count(*) FROM nst_metric_point; DROP TABLE nst_run",
    "started > '7d ago'",
    "((((",
]
VALUES = [
    *(
        "1",
        "2",
        "3",
        "4",
        "5",
        "0",
        "-1",
        "99",
        "01",
        "1e9",
        "9223372036854775808",
        "@last",
        "@best",
        "@worst",
        "@",
        ".",
    ),
    *("digits", "digits:1", "digits@production", "digits:99", "feedfacefeedface", "val_accuracy", "loss", "default"),
    *("-val_accuracy,started", "cpu_percent", "history", "list", "error", "trial", "garbage.csv", "nothing.db", DB),
    *("-x", "--", "--json", "--help", "--format", "json"),
]
GARBAGE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), max_size=12)
WORDS = st.sampled_from(VALUES) | st.sampled_from(QUERIES) | GARBAGE


def find_command(name: str) -> click.Command:
    command = typer.main.get_command(app)
    for word in name.split():
        command = command.get_command(click.Context(command), word)
    return command


@st.composite
def command_lines(draw) -> list[str]:
    """A command with words for its arguments, some of its options, and perhaps a word too many or too few."""
    name = draw(st.sampled_from(READERS))
    words = name.split()
    for parameter in find_command(name).params:
        if isinstance(parameter, click.Argument):
            words += draw(st.lists(WORDS, min_size=int(parameter.nargs != -1), max_size=parameter.nargs % 4))
        elif draw(st.integers(0, 4)) == 0 and not WRITERS & set(parameter.opts):
            words.append(parameter.opts[0])
            choices = list(getattr(parameter.type, "choices", []))
            words += [] if parameter.is_flag else [draw(st.sampled_from(choices) if choices else WORDS)]
    words += draw(st.lists(WORDS, max_size=1))
    return words[: draw(st.sampled_from([len(words), len(words), len(words) - 1]))]


@pytest.fixture(scope="module")
def fuzzed(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed")
    shutil.copytree(made, folder, dirs_exist_ok=True)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("NASTURTIUM_DB", raising=False)
        yield folder
    signal.signal(signal.SIGTERM, handler)


class Stream(io.TextIOWrapper):
    """Standard output or error that takes bytes, too."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self.isatty = lambda: terminal

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(errors="replace")


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@settings(max_examples=50, deadline=None)
@given(words=command_lines())
def test_no_command_line_raises(fuzzed, terminal, words):
    out, err = Stream(terminal=terminal), Stream(terminal=terminal)
    with contextlib.chdir(fuzzed), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    assert code in {*range(8), 130}
    assert "Traceback" not in err.text()
    assert code != 1 or err.text() or words[0] == "doctor"
    if terminal and code == 0 and "--help" not in words:
        assert "\x1b" not in out.text()

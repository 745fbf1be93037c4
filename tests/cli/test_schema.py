"""What commands print with `--json` is what `nasturtium schema` says."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import get_args

import click
import jsonschema
import pytest
import typer

import nasturtium
from nasturtium.cli import app as program
from nasturtium.cli.schema import DIALECT, SCHEMAS
from nasturtium.storage import Ledger, Tracker, open_database
from nasturtium.storage.chain import LedgerKind
from nasturtium.storage.maintenance.check import Severity
from nasturtium.storage.maintenance.health import Level
from nasturtium.storage.records import ContributionState, NodeKind, RoundState, RunKind, RunState

QUICK = ("--here", "--top", 1, "--repeats", 1)
OLD = Path(__file__).parents[1] / "storage" / "schemas" / "0001.sqlite.sql"


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits_folder):
    """The folder of a history that is only copied."""
    folder = tmp_path_factory.mktemp("schema")
    db = folder / "nasturtium.db"
    shutil.copytree(digits_folder, folder, dirs_exist_ok=True)
    nasturtium.federate("digits", model=1, rounds=2, clients=3, epochs=1, db=db, scheme="plain")
    with open_database(db) as database, Tracker(database) as tracker:
        run = tracker.start_run("mine", config={"op": "sep3", "flag": True, "trials": "many", "deep": {"x": None}})
        tracker.log_points(run, {"loss": {-1: float("nan"), 1: float("inf"), 2: 0.5}})
        odd = {"worst": float("-inf"), "parameters": float("nan"), "macs": float("inf"), "state": 0.5}
        tracker.finish(run, state="completed", metrics=odd)
        tracker.start_run("runs")
        Ledger(database).set_budget("sha256:ab", epsilon=float("inf"), delta=1e-5)
    rows = ",".join(f"pixel_{i}_{j}" for i in range(8) for j in range(8)) + "\n" + ",".join(["1"] * 64)
    (folder / "my.csv").write_text(rows)
    return folder


@pytest.fixture
def history(made, command, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return command


def check(name: str, text: str) -> None:
    document = json.loads(text)
    validator(name).validate(document)


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$schema": DIALECT, **SCHEMAS[name]})


CASES = [
    pytest.param("search", ["--data", "digits", "--trials", 1, "--epochs", 1, "--space", "mlp", *QUICK], id="search"),
    pytest.param(
        "federate simulate",
        ["--data", "digits", "--rounds", 1, "--epochs", 1, "--clients", 3, "--plain"],
        id="federate-simulate",
    ),
    pytest.param("search status", [], id="search-status"),
    pytest.param("search report", [1], id="search-report"),
    pytest.param("search spaces", [], id="search-spaces"),
    pytest.param("search spaces", ["--data", "digits"], id="search-spaces-for-data"),
    pytest.param("search strategies", [], id="search-strategies"),
    pytest.param("predict", ["@best", "my.csv"], id="predict"),
    pytest.param("history list", [], id="history-list"),
    pytest.param("history list", ["--kind", "trial"], id="history-list-trials"),
    pytest.param("history show", [1], id="history-show-search"),
    pytest.param("history show", [2], id="history-show-federated"),
    pytest.param("history show", [3], id="history-show-ones-own"),
    pytest.param("history show", [4], id="history-show-running"),
    pytest.param("history compare", [1, 3], id="history-compare"),
    pytest.param("history compare", [1, 2, 3, 4, "--changed"], id="history-compare-changed"),
    pytest.param("history curve", [3, "loss"], id="history-curve"),
    pytest.param("history curve", [3], id="history-curves"),
    pytest.param("history curve", [1, "--system"], id="history-curves-system"),
    pytest.param("history curve", [1, "cpu_percent", "--system"], id="history-curve-system"),
    pytest.param("history pareto", [1], id="history-pareto"),
    pytest.param("history lineage", ["digits:2"], id="history-lineage"),
    pytest.param("history lineage", [2], id="history-lineage-federated"),
    pytest.param("history lineage", [1, "--results"], id="history-lineage-results"),
    pytest.param("history query", ["val_acc > .1 or worst < 0"], id="history-query"),
    pytest.param("history query", ["metric.state > 0 or flag"], id="history-query-names-of-fields"),
    pytest.param("history sql", ["select * from nst_metric"], id="history-sql"),
    pytest.param("history sql", ["select x'00ff', 1e999, 1 as a, 2 as a, null"], id="history-sql-odd"),
    pytest.param("history export", [], id="history-export"),
    pytest.param("history tag", [1, "paper", "owner=Ada"], id="history-tag"),
    pytest.param("history note", [1, "noted"], id="history-note"),
    pytest.param("history delete", [1, 2], id="history-delete"),
    pytest.param("history restore", [1], id="history-restore"),
    pytest.param("history purge", ["--dry-run"], id="history-purge"),
    pytest.param("history plot", [3, "-o", "x.svg"], id="history-plot"),
    pytest.param("history import", ["all.ndjson", "--dry-run"], id="history-import"),
    pytest.param("model list", [], id="model-list"),
    pytest.param("model list", ["nothing"], id="model-list-none"),
    pytest.param("model show", ["digits"], id="model-show"),
    pytest.param("model register", ["other", 1], id="model-register"),
    pytest.param("model promote", ["digits:1", "production"], id="model-promote"),
    pytest.param("privacy show", [], id="privacy-show"),
    pytest.param("privacy show", ["--entries"], id="privacy-show-entries"),
    pytest.param("privacy export", [], id="privacy-export"),
    pytest.param("privacy budget", [1, "--epsilon", "inf", "--delta", "1e-5"], id="privacy-budget"),
    pytest.param("privacy head", [], id="privacy-head"),
    pytest.param("privacy verify", [], id="privacy-verify"),
    pytest.param("db status", [], id="db-status"),
    pytest.param("db upgrade", [], id="db-upgrade"),
    pytest.param("db backup", ["-o", "x.nstbackup"], id="db-backup"),
    pytest.param("db restore", ["y.nstbackup", "--yes", "--force"], id="db-restore"),
    pytest.param("db check", [], id="db-check"),
    pytest.param("db compact", [], id="db-compact"),
    pytest.param("doctor", [], id="doctor"),
]


@pytest.mark.parametrize(("name", "words"), CASES)
def test_what_is_printed_is_what_was_promised(history, name, words):
    if name == "history plot":
        pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra: plot)")
    if name == "history import":
        assert history("history", "export", "-o", "all.ndjson").code == 0
    if name == "db restore":
        assert history("db", "backup", "-o", "y.nstbackup").code == 0
    answer = history(*name.split(), *words, "--json")
    assert answer.code == 0, answer.err
    check(name, answer.out)


@pytest.mark.parametrize("kind", ["trial", "retrain"])
def test_runs_below_others_are_as_promised(history, kind):
    rows = json.loads(history("history", "list", "--kind", kind, "--json").out)
    for row in rows:
        check("history show", history("history", "show", row["uid"], "--json").out)
    assert rows


def test_lines_of_ndjson_are_the_items(history):
    for name in ("history list", "model list", "privacy show", "db check"):
        lines = history(*name.split(), "--format", "ndjson").out.splitlines()
        check(name, f"[{','.join(lines)}]")
        assert json.loads(history(*name.split(), "--json").out) == [json.loads(line) for line in lines]
    [line] = history("history", "show", 1, "--format", "ndjson").out.splitlines()
    check("history show", line)


def test_findings_are_as_promised(history, tmp_path):
    with closing(sqlite3.connect(tmp_path / "nasturtium.db")) as connection, connection:
        connection.execute("UPDATE nst_metric SET points = 7 WHERE points > 0")
    answer = history("db", "check", "--json")
    assert answer.code == 6
    check("db check", answer.out)
    assert "summary" in {finding["code"] for finding in json.loads(answer.out)}


def test_a_database_of_an_older_revision_is_as_promised(command, tmp_path):
    with closing(sqlite3.connect(tmp_path / "nasturtium.db")) as connection:
        connection.executescript(OLD.read_text())
    for name in ("db status", "db upgrade", "privacy verify", "doctor"):
        check(name, command(*name.split(), "--json").out)


@pytest.mark.parametrize("name", ["history list", "history show", "privacy verify", "db status", "error"])
def test_a_promise_is_no_less_and_no_more(history, name):
    """Without any of its fields, or with one more, a document is another one."""
    words = {"history show": ["1"], "error": []}.get(name, [])
    answer = history("history", "show", 99, "--json") if name == "error" else history(*name.split(), *words, "--json")
    document = json.loads(answer.out or answer.err)
    changed = document[0] if isinstance(document, list) else document
    assert validator(name).is_valid(document)
    for field in [*changed]:
        value = changed.pop(field)
        assert not validator(name).is_valid(document), field
        changed[field] = value
    changed["more"] = 1
    assert not validator(name).is_valid(document)


def words_in(schema: object) -> Iterator[frozenset[str]]:
    """Every choice of words in a schema."""
    if isinstance(schema, Mapping):
        if schema.get("type") == "string" and "enum" in schema:
            yield frozenset(schema["enum"])
        for inner in schema.values():
            yield from words_in(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from words_in(inner)


@pytest.mark.parametrize(
    "type_",
    [RunKind, RunState, RoundState, ContributionState, LedgerKind, Severity, Level],
    ids=lambda each: repr(each),
)
def test_words_are_those_that_are_written(type_):
    assert frozenset(get_args(type_)) in set(words_in([*SCHEMAS.values()]))


def test_a_lineage_tells_the_kinds_of_runs_and_of_other_things():
    assert frozenset([*get_args(RunKind), *get_args(NodeKind)]) in set(words_in(SCHEMAS["history lineage"]))


def test_an_error_is_a_document_too(history):
    answer = history("history", "show", 99, "--json")
    assert (answer.code, answer.out) == (3, "")
    check("error", answer.err)
    assert json.loads(answer.err)["error"]["code"] == 3
    answer = history("history", "list", "--nothing", "--json")
    assert answer.code == 2
    check("error", answer.err)


def commands(group: click.Group, context: click.Context, *above: str) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield " ".join((*above, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, click.Context(command), *above, name)


def test_every_command_with_json_has_a_schema_and_no_other_has():
    root = typer.main.get_command(program.app)
    with_json = {
        name
        for name, command in commands(root, click.Context(root))
        if any("--json" in getattr(parameter, "opts", ()) for parameter in command.params)
    }
    assert with_json == set(SCHEMAS) - {"error"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(command, name):
    answer = command("schema", *name.split())
    document = json.loads(answer.out)
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["title"] == f"nasturtium {name} --json"


def test_all_schemas_are_one_document_and_others_are_refused(command):
    everything = json.loads(command("schema", "--all").out)
    jsonschema.Draft202012Validator.check_schema(everything)
    assert len(everything["$defs"]) == len(SCHEMAS)
    assert command("schema").out.splitlines() == list(SCHEMAS)
    assert command("schema", "model").out.split("\n") == [
        "model list",
        "model show",
        "model register",
        "model promote",
        "",
    ]
    for words in (["nothing"], ["mod"], ["history", "show", "1"]):
        answer = command("schema", *words)
        assert (answer.code, answer.out, "has a schema" in answer.err) == (2, "", True)

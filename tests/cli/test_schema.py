"""What commands print with `--json` is what `nasturtium schema` says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import click
import jsonschema
import pytest
import typer

import nasturtium
from nasturtium.cli import app as program
from nasturtium.cli.schema import DIALECT, SCHEMAS
from nasturtium.storage import Tracker, open_database


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a history that is only copied."""
    folder = tmp_path_factory.mktemp("schema")
    db = folder / "nasturtium.db"
    nasturtium.search("digits", trials=2, epochs=2, space="mlp", seed=0, db=db)
    nasturtium.federate("digits", model=1, rounds=2, clients=2, epochs=1, db=db, encrypted=False)
    with open_database(db) as database, Tracker(database) as tracker:
        run = tracker.start_run("mine", config={"op": "sep3", "flag": True})
        tracker.log_points(run, {"loss": {0: float("nan"), 1: float("inf"), 2: 0.5}})
        tracker.finish(run, state="completed", metrics={"worst": float("-inf"), "nothing": float("nan")})
    rows = ",".join(f"pixel_{i}_{j}" for i in range(8) for j in range(8)) + "\n" + ",".join(["1"] * 64)
    (folder / "my.csv").write_text(rows)
    return folder


@pytest.fixture
def history(made, command, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return command


def check(name: str, text: str) -> None:
    document = json.loads(text)
    schema = {"$schema": DIALECT, **SCHEMAS[name]}
    jsonschema.Draft202012Validator(schema).validate(document)


CASES = [
    pytest.param("search", ["--data", "digits", "--trials", 1, "--epochs", 1, "--space", "mlp"], id="search"),
    pytest.param(
        "federate simulate",
        ["--data", "digits", "--rounds", 1, "--epochs", 1, "--clients", 2, "--plain"],
        id="federate-simulate",
    ),
    pytest.param("predict", ["@best", "my.csv"], id="predict"),
    pytest.param("history list", [], id="history-list"),
    pytest.param("history list", ["--kind", "trial"], id="history-list-trials"),
    pytest.param("history show", [1], id="history-show-search"),
    pytest.param("history show", [2], id="history-show-federated"),
    pytest.param("history show", [3], id="history-show-ones-own"),
    pytest.param("history compare", [1, 3], id="history-compare"),
    pytest.param("history curve", [3, "loss"], id="history-curve"),
    pytest.param("history curve", [3], id="history-curves"),
    pytest.param("history pareto", [1], id="history-pareto"),
    pytest.param("history lineage", ["digits:2"], id="history-lineage"),
    pytest.param("history lineage", [1, "--results"], id="history-lineage-results"),
    pytest.param("history query", ["val_acc > .1 or worst < 0"], id="history-query"),
    pytest.param("history sql", ["select * from nst_metric"], id="history-sql"),
    pytest.param("history tag", [1, "paper", "owner=Ada"], id="history-tag"),
    pytest.param("history note", [1, "noted"], id="history-note"),
    pytest.param("history delete", [1, 2], id="history-delete"),
    pytest.param("history restore", [1], id="history-restore"),
    pytest.param("history purge", ["--dry-run"], id="history-purge"),
    pytest.param("history plot", [3, "-o", "x.svg"], id="history-plot"),
    pytest.param("history import", ["all.ndjson", "--dry-run"], id="history-import"),
    pytest.param("model list", [], id="model-list"),
    pytest.param("model show", ["digits"], id="model-show"),
    pytest.param("model register", ["other", 1], id="model-register"),
    pytest.param("model promote", ["digits:1", "production"], id="model-promote"),
    pytest.param("privacy show", [], id="privacy-show"),
    pytest.param("privacy budget", [1, "--epsilon", "inf", "--delta", "1e-5"], id="privacy-budget"),
    pytest.param("privacy head", [], id="privacy-head"),
    pytest.param("privacy verify", [], id="privacy-verify"),
    pytest.param("db status", [], id="db-status"),
    pytest.param("db upgrade", [], id="db-upgrade"),
    pytest.param("db backup", ["-o", "x.nstbackup"], id="db-backup"),
    pytest.param("db restore", ["y.nstbackup", "--yes"], id="db-restore"),
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
    assert command("schema", "nothing").code == 2

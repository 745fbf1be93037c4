"""`nasturtium model`: published models."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..storage import ModelRegistry, VersionRecord
from . import library
from .options import Db, FormatOption, Json, argument, chosen
from .output import Format, print_json, print_rows, stdout

app = typer.Typer(no_args_is_help=True, suggest_commands=False, add_completion=False, help="Published models.")
Ref = Annotated[str, argument(help="NAME:VERSION, NAME@ALIAS, or NAME for the newest.")]


@app.callback()
def model() -> None:
    """Published models: a finished search or federated run publishes its model under the name of its data."""


@app.command("list")
def list_models(
    name: Annotated[str | None, argument(help="Only of this model.")] = None,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """List all versions, newest first."""
    with library.open_history(db) as past:
        rows = [_row(version) for version in ModelRegistry(past.database).versions(name)]
    form = chosen(fmt, as_json=as_json)
    if form not in {Format.JSON, Format.NDJSON}:
        rows = [{**row, "aliases": ", ".join(row["aliases"])} for row in rows]
    columns = {name: name for name in ("model", "version", "aliases", "run", "sha256", "created")}
    print_rows(rows, columns, form)


@app.command("show")
def show(ref: Ref, db: Db = None, as_json: Json = False) -> None:
    """Show one version: its file, the run it came from, its aliases."""
    with library.open_history(db) as past:
        _print(ModelRegistry(past.database).find(ref), as_json=as_json)


@app.command("register")
def register(
    name: Annotated[str, argument(help="The model's name.")],
    run: Annotated[str, argument(help="The run whose model it is.")],
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Publish the model of a run under another name."""
    with library.open_history(db) as past:
        _print(ModelRegistry(past.database).register(name, past.find(run).uid), as_json=as_json)


@app.command("promote")
def promote(
    ref: Ref,
    alias: Annotated[str, argument(help="Such as production.")],
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Let an alias point to a version; the ledger keeps when it did."""
    with library.open_history(db) as past:
        _print(ModelRegistry(past.database).promote(ref, alias), as_json=as_json)


def _row(version: VersionRecord) -> dict[str, Any]:
    return {
        "model": version.model,
        "version": version.version,
        "aliases": list(version.aliases),
        "run": version.run,
        "sha256": version.sha256,
        "opset": version.opset,
        "created": version.created,
    }


def _print(version: VersionRecord, *, as_json: bool) -> None:
    if as_json:
        print_json({**_row(version), "signature": version.signature})
        return
    for name, value in {**_row(version), "aliases": ", ".join(version.aliases)}.items():
        if value not in {None, ""}:
            stdout().print(f"{name:<10}{value}", soft_wrap=True)

"""`nasturtium history`: every search and federated run, read from the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import typer

from ..core import ConfigError
from ..storage import DatabaseNotFoundError, RunKind
from .describe import SUMMARY, describe, summarise
from .options import Db, FormatOption, Json, argument, chosen, option
from .output import (
    Format,
    count,
    duration,
    print_json,
    print_rows,
    print_table,
    show,
    size,
    sparkline,
    stderr,
    stdout,
)

app = typer.Typer(no_args_is_help=True, suggest_commands=False, help="Ask what was searched and trained.")
KINDS = ("search", "federated")
LISTED = {
    "id": "id",
    "kind": "kind",
    "data": "data",
    "size": "size",
    "val_accuracy": "val acc",
    "test_accuracy": "test acc",
    "parameters": "params",
    "state": "state",
    "duration": "took",
    "started": "started",
}
WIDE = 100  # columns of a terminal from which on there is room for all of `LISTED`


@app.callback()
def history() -> None:
    """Ask what was searched and trained."""


@app.command("list")
def list_runs(
    kind: Annotated[str | None, option(help="search or federated.", show_default="both")] = None,
    limit: Annotated[int | None, option(help="Only the newest.", min=1, show_default="all")] = None,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """List every run, newest first."""
    from . import library

    if kind is not None and kind not in KINDS:
        raise ConfigError(f"unknown kind {kind!r}: expected {' or '.join(KINDS)}")
    rows: list[dict[str, Any]] = []
    try:
        with library.open_history(db) as past:
            rows = [summarise(past, run) for run in past.runs(kind=cast(RunKind | None, kind), limit=limit)]
    except DatabaseNotFoundError as exc:
        if db is not None:
            raise
        stderr().print(f"{exc.message}: nothing was run here yet", soft_wrap=True)
    form = chosen(fmt, as_json=as_json)
    if form is not Format.TABLE:
        print_rows(rows, {name: name for name in SUMMARY}, form)
        return
    columns = dict(LISTED)
    if stdout().width < WIDE:
        del columns["started"]
    shown = [{**row, "size": _size(row), "duration": duration(row["seconds"])} for row in rows]
    print_rows(shown, columns, form)


@app.command("show")
def show_run(
    run: Annotated[str, argument()],
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Show one run: results, best architecture, curves, environment.

    RUN is a number, a ULID or a unique beginning of one, @last or @best.
    """
    from . import library

    with library.open_history(db) as past:
        details = describe(past, past.find(run))
    form = chosen(fmt, as_json=as_json)
    if form is Format.JSON:
        print_json(details)
    elif form is Format.CSV:
        rows = cast(list[dict[str, Any]], details["trials"] if details["kind"] == "search" else details["rounds"])
        flat = [{k: v for k, v in row.items() if not isinstance(v, Mapping)} for row in rows]
        print_rows(flat, {name: name for name in flat[0]} if flat else {}, Format.CSV)
    else:
        _print_details(details)


def _accuracy(value: float | None) -> str | None:
    return None if value is None else f"accuracy {show(value)}"


def _size(row: Mapping[str, Any]) -> str:
    return count(row["trials"], "trial") if row["kind"] == "search" else count(row["rounds"], "round")


def _print_details(details: Mapping[str, Any]) -> None:
    out = stdout()

    def say(text: str) -> None:
        out.print(text, soft_wrap=True)

    number = details["id"] if details["id"] is not None else details["uid"]
    say(f"{details['kind']} {number} on {details['data']}: {details['state']}")
    dataset = details["dataset"]
    model = cast(Mapping[str, Any], details["artifacts"].get("model", {}))
    facts: dict[str, Any] = {
        "ulid": details["uid"],
        "started": f"{show(details['started'])}, took {duration(details['seconds'])}",
        "seed": details["seed"],
        "data": f"{dataset['name']}, {dataset['rows']:,} rows, sha256 {dataset['fingerprint'][:12]}"
        if dataset
        else None,
        "validation": _accuracy(details["val_accuracy"]),
        "test": _accuracy(details["test_accuracy"]),
        "model": model.get("path"),
        "error": details["error"],
    }
    for name, value in facts.items():
        if value is not None:
            say(f"  {name:<11}{value}")
    if details["kind"] == "search":
        _print_search(details, say)
    elif details["kind"] == "federated":
        _print_federation(details, say)
    _print_curves(details["curves"], say)
    environment = details["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in environment.get("packages", {}).items())
    say("\nEnvironment")
    for name in ("nasturtium", "python", "platform", "machine", "cpus", "commit"):
        if environment.get(name):
            say(f"  {name:<11}{environment[name]}")
    say(f"  {'packages':<11}{packages}")


def _print_search(details: Mapping[str, Any], say: Any) -> None:
    search, best = details["search"], details["best"]
    states = [trial["state"] for trial in details["trials"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    say(f"  {'trials':<11}{counts or 'none yet'}; space {search['space']}, strategy {search['strategy']}\n")
    front = [
        [
            *map(show, (trial["trial"], trial["val_accuracy"], trial["parameters"], trial["macs"])),
            duration(trial["seconds"]),
        ]
        for trial in details["front"]
    ]
    print_table(["trial", "accuracy", "parameters", "MACs", "took"], front, title="Pareto front")
    if best is None:
        return
    say(f"\nBest architecture: trial {best['trial']}, sha256 {best['architecture_sha256'][:12]}")
    for name, value in best["hyperparameters"].items():
        say(f"  {name:<14}{value:.4g}")
    for line in _layers(best["spec"]["layers"]):
        say(f"  {line}")


def _print_federation(details: Mapping[str, Any], say: Any) -> None:
    federation = details["federation"]
    said = f"{federation['clients']} clients, {federation['strategy']}, updates under {federation['scheme']}"
    say(f"  {'federation':<11}{said}, alpha {federation['alpha']}\n")
    rounds = [
        [
            *map(show, (each["round"], each["participants"], each["rejected"], each["loss"], each["accuracy"])),
            *map(size, (each["bytes_up"], each["bytes_down"])),
            duration(each["seconds"]),
        ]
        for each in details["rounds"]
    ]
    headings = ["round", "participants", "rejected", "loss", "accuracy", "up", "down", "took"]
    print_table(headings, rounds, title="Rounds")
    for each in details["rounds"]:
        for client, given in each["contributions"].items():
            if given["state"] == "rejected":
                say(f"round {each['round']}: {client} was refused: {given['reason']}")


def _print_curves(curves: Mapping[str, Sequence[Sequence[float]]], say: Any) -> None:
    if not curves:
        return
    say("\nCurves")
    for name, points in curves.items():
        values = [value for _, value in points]
        if values:
            say(f"  {name:<22}{sparkline(values)}  {show(float(values[0]))} to {show(float(values[-1]))}")


def _layers(layers: Sequence[Mapping[str, Any]], indent: str = "") -> list[str]:
    """A network for people, one line a layer."""
    lines: list[str] = []
    for layer in layers:
        nested: dict[str, Sequence[Mapping[str, Any]]] = {k: v for k, v in layer.items() if isinstance(v, list)}
        words = [f"{name}={value}" for name, value in layer.items() if name != "kind" and name not in nested]
        lines.append(" ".join([indent + layer["kind"], *words]))
        for name, inner in nested.items():
            if inner:
                lines.append(f"{indent}  {name}:")
                lines.extend(_layers(inner, indent + "    "))
    return lines

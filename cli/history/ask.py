"""`history list`, `query` and `sql`: which runs there are, and which of them answer a question."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args

from ...core import ConfigError
from ...storage import DatabaseNotFoundError, RunKind, RunRecord
from .. import library
from ..describe import SUMMARY, summarise
from ..fronts import heading
from ..options import Db, FormatOption, Json, argument, chosen, option
from ..output import Format, count, duration, print_rows, print_table, show, stderr, stdout

KINDS: tuple[RunKind, ...] = get_args(RunKind)
COLUMNS = {
    "id": "id",
    "kind": "kind",
    "data": "data",
    "size": "size",
    "goal": "goal",
    "value": "best",
    "test_value": "test",
    "parameters": "params",
    "state": "state",
    "duration": "took",
    "started": "started",
    "experiment": "experiment",
}
OPTIONAL = (
    "goal",
    "data",
    "size",
    "params",
    "test",
    "test acc",
    "took",
    "started",
    "experiment",
)  # the last goes first
Where = Annotated[str, option("--where", help="Only those, as 'val_accuracy > 0.97 and params < 20000'.")]
Sort = Annotated[str, option("--sort", help="By this, as -val_accuracy or started; a - is for descending.")]
Limit = Annotated[int | None, option("--limit", min=1, help="At most this many.", show_default="all")]


def list_runs(
    kind: Annotated[
        str | None, option("--kind", help=f"{', '.join(KINDS)}.", show_default="searches and federated runs")
    ] = None,
    where: Where = "",
    sort: Sort = "",
    limit: Limit = None,
    experiment: Annotated[str | None, option("--experiment", help="Only of this experiment.")] = None,
    deleted: Annotated[bool, option("--deleted", help="Those that were deleted and can be restored.")] = False,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"unknown kind {kind!r}: expected {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    rows: list[dict[str, Any]] = []
    try:
        with library.open_history(db) as past:
            runs = past.runs(
                kind=kind,
                where=where,
                sort=sort,
                limit=limit,
                experiment=experiment,
                deleted=deleted,
            )
            rows = summarise(past, runs)
    except DatabaseNotFoundError as exc:
        if db is not None:
            raise
        stderr().print(f"{exc.message}: nothing was run here yet", soft_wrap=True)
    print_rows(
        rows,
        {name: name for name in SUMMARY},
        chosen(fmt, as_json=as_json),
        table=lambda: _print_list(rows),
    )


def query(
    question: Annotated[str, argument(help="As 'val_acc > .9 and op == \"sep3\" order by val_acc desc limit 10'.")],
    show_sql: Annotated[bool, option("--sql", help="Print the SQL instead of running it.")] = False,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Ask for runs of every kind, in a small language.

    Names are fields of a run (kind, state, data, experiment, started, seconds, ...), metrics, parameters and tags;
    min(x), max(x), last(x) and steps(x) ask the curves. Compare with == != < <= > >= ~ (contains), in (...), is null;
    join with and, or, not; end with order by ... limit N. cli/README.md has the whole language.
    """
    with library.open_history(db) as past:
        if show_sql:
            stdout().print(past.explain(question), soft_wrap=True)
            return
        runs = past.ask(question)
        names = past.names_in(question)
        numbers = past.trial_numbers([run.uid for run in runs if run.kind == "trial"])
    rows = [_answer(run, names, numbers) for run in runs]
    form = chosen(fmt, as_json=as_json)
    if form in {Format.JSON, Format.NDJSON}:
        print_rows(rows, {}, form)
        return
    fields = ["id", "uid", "kind", "data", "trial", "state", *names, "started"]
    flat = [{**row, **row["values"]} for row in rows]
    print_rows(flat, {name: name for name in fields}, form, table=lambda: _print_answers(flat, fields))


def sql(
    statement: Annotated[str, argument(help="One SELECT; nothing can be changed.")],
    timeout: Annotated[float, option("--timeout", min=0.1, help="Seconds it may take.")] = 30.0,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Run a SELECT on the database, read-only. The tables are described in storage/README.md."""
    with library.open_history(db) as past:
        result = past.sql(statement, timeout=timeout)
    names = _distinct(result.columns)
    rows = [dict(zip(names, row, strict=True)) for row in result.rows]
    print_rows(rows, {name: name for name in names}, chosen(fmt, as_json=as_json))
    if result.cut:
        stderr().print(f"only the first {count(len(rows), 'row')}; add a LIMIT to the statement", soft_wrap=True)


def _distinct(columns: Sequence[str]) -> list[str]:
    """Names for columns of which two may have one name, as rows are told by name."""
    names: list[str] = []
    for name in columns:
        free = (f"{name}_{i}" for i in itertools.count(2))
        names.append(name if name not in names else next(each for each in free if each not in {*names, *columns}))
    return names


def _value(run: RunRecord, kind: str, names: Sequence[str]) -> Any:
    """What a run has under one of the names of a metric, a parameter or a tag."""
    of: Mapping[str, Any] = {"metric": run.metrics, "param": run.params, "tag": run.tags}[kind]
    return next((of[name] for name in names if name in of), None)


def _answer(
    run: RunRecord, names: Mapping[str, tuple[str, Sequence[str]]], numbers: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "id": run.number,
        "uid": run.uid,
        "kind": run.kind,
        "data": run.name,
        "trial": numbers[run.uid] + 1 if run.uid in numbers else None,
        "state": run.state,
        "started": run.started,
        "experiment": run.experiment,
        "values": {name: _value(run, kind, own) for name, (kind, own) in names.items()},
        "metrics": run.metrics,
        "params": run.params,
        "tags": run.tags,
    }


def _print_list(rows: Sequence[Mapping[str, Any]]) -> None:
    columns = dict(COLUMNS)
    if {row["goal"] for row in rows} <= {"val_accuracy", None}:  # what it is goes without a column
        columns |= {"value": "val acc", "test_value": "test acc"}
        del columns["goal"]
    cells = [[show({**row, **_shown_of(row)}[name]) for name in columns] for row in rows]
    print_table(list(columns.values()), cells, optional=OPTIONAL, whole=("id",))


def _shown_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a table says otherwise than the row: runs below another one have no number to be named by."""
    goal = None if row["goal"] is None else heading(row["goal"])
    return {"id": _ref(row), "size": _size(row), "goal": goal, "duration": duration(row["seconds"])}


def _ref(row: Mapping[str, Any]) -> str:
    return str(row["uid"] if row["id"] is None else row["id"])


def _print_answers(rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> None:
    shown = [field for field in fields if field != "uid"]
    cells = [[_ref(row) if name == "id" else show(row[name]) for name in shown] for row in rows]
    print_table(shown, cells, optional=("data", "state", "started"), whole=("id",))


def _size(row: Mapping[str, Any]) -> str:
    if row["trials"] is not None:
        return count(row["trials"], "trial")
    return "-" if row["rounds"] is None else count(row["rounds"], "round")

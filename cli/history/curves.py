"""`history curve`: what a metric did over the steps of a run, drawn or as points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from ...storage import Curve, History, RunRecord, UnknownRunError
from .. import library
from ..describe import saved_network
from ..fronts import first_goal
from ..options import Db, FormatOption, Json, argument, chosen, option
from ..output import Format, print_json, print_rows, print_table, show, sparkline, stderr, stdout

MAX_WIDTH, HEIGHT = 100, 16  # of a drawing, in characters


def curve(
    run: Annotated[str, argument(help="The run; of a search, its retraining or best trial is meant.")],
    metric: Annotated[str | None, argument(help="Such as val_accuracy; without it, all curves in a line each.")] = None,
    system: Annotated[bool, option("--system", help="What --monitor sampled: cpu_percent, memory_bytes, ...")] = False,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Draw a curve on a terminal; elsewhere, or with --format, print its points."""
    form = chosen(fmt, as_json=as_json)
    with library.open_history(db) as past:
        home, curves = _find_curves(past, past.find(run), metric, system=system)
    if metric is None:
        _print_overview(curves, form)
    else:
        _print_curve(home, curves[metric], form)


def _find_curves(
    past: History, run: RunRecord, metric: str | None, *, system: bool
) -> tuple[RunRecord, Mapping[str, Curve]]:
    """The run that has the curves, which is said if it is another one, and the one asked for among them, or all."""
    if system:
        curves = past.system_curves(run.uid)
        if not curves:
            raise UnknownRunError(f"run {run.number or run.uid} was not sampled", hint="start it with --monitor")
        if metric is not None and metric not in curves:
            raise UnknownRunError(f"nothing called {metric!r} was sampled", hint=f"there is {', '.join(curves)}")
        return run, curves
    homes = _homes(past, run)
    for home in homes if metric is not None else reversed(homes):
        names = [name for name, summary in past.summaries(home.uid).items() if summary.points]
        if metric in names or (metric is None and names):
            if home is not run:
                stderr().print(f"of its {home.kind} {home.uid}", soft_wrap=True)
            return home, {name: past.curve(home.uid, name) for name in names if metric in {None, name}}
    if metric is not None:
        past.curve(homes[-1].uid, metric)  # says what there is instead
    raise UnknownRunError(f"run {run.number or run.uid} has no curves", hint="points are logged by Tracker.log")


def _homes(past: History, run: RunRecord) -> list[RunRecord]:
    """Where curves of a run may be: itself, its retraining, its best trial."""
    homes = [run]
    if (saved := saved_network(past, run.uid)) is not None:
        homes.append(past.find(saved))
    if (goal := first_goal(past, run)) is not None and run.kind == "search":
        name, direction = goal
        trials = [trial for trial in past.children(run.uid, "trial") if trial.state == "completed"]
        told = [trial for trial in trials if math.isfinite(trial.metrics.get(name, math.nan))]
        sign = 1 if direction == "maximize" else -1
        homes += sorted(told, key=lambda trial: -sign * trial.metrics[name])[:1] or trials[:1]
    return homes


def _print_curve(home: RunRecord, found: Curve, form: Format) -> None:
    columns = {name: name for name in ("step", "value", "seconds")}
    points = zip(found.steps.tolist(), found.values.tolist(), found.seconds.tolist(), strict=True)
    rows = [{"step": step, "value": value, "seconds": _known(seconds)} for step, value, seconds in points]
    if form is Format.JSON:
        print_json(
            {
                "uid": home.uid,
                "metric": found.name,
                "columns": list(columns),
                "points": [list(row.values()) for row in rows],
            }
        )
        return
    print_rows(rows, columns, form, table=lambda: _draw(home, found))


def _draw(home: RunRecord, found: Curve) -> None:
    from ..plots.terminal import line_chart

    out = stdout()
    out.print(f"{found.name} of {home.kind} {home.number or home.uid} on {home.name}", soft_wrap=True)
    width = min(out.width, MAX_WIDTH)
    out.print(line_chart(found.values.tolist(), found.steps.tolist(), width=width, height=HEIGHT), soft_wrap=True)
    told = [f"{name} {show(value)} at {step:,}" for name, (value, step) in _extremes(found).items()]
    out.print(", ".join([f"{len(found):,} points", *told]), soft_wrap=True)


def _print_overview(curves: Mapping[str, Curve], form: Format) -> None:
    rows: list[dict[str, Any]] = []
    for name, found in curves.items():
        extremes = {key: value for key, (value, _) in _extremes(found).items()}
        figures = {"first": float(found.values[0]), "last": float(found.values[-1])}
        extremes = {"min": extremes.get("min"), "max": extremes.get("max")}
        rows.append({"metric": name, "points": len(found), **figures, **extremes})
    columns = {name: name for name in ("metric", "points", "first", "last", "min", "max")}

    def draw() -> None:
        figures = list(columns)[1:]
        sparks = {name: sparkline(found.values.tolist()) for name, found in curves.items()}
        cells = [[row["metric"], sparks[row["metric"]], *(show(row[name]) for name in figures)] for row in rows]
        print_table(["metric", "curve", *figures], cells)

    print_rows(rows, columns, form, table=draw)


def _extremes(found: Curve) -> dict[str, tuple[float, int]]:
    """The least, the greatest and the last value, each with its step; NaN is neither of the first two."""
    numbers = np.flatnonzero(~np.isnan(found.values))
    places = {"last": len(found) - 1}
    if len(numbers):
        low, high = found.values[numbers].argmin(), found.values[numbers].argmax()
        places = {"min": int(numbers[low]), "max": int(numbers[high]), **places}
    return {name: (float(found.values[place]), int(found.steps[place])) for name, place in places.items()}


def _known(seconds: float) -> float | None:
    return None if np.isnan(seconds) else seconds

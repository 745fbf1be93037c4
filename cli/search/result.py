"""What `nasturtium search` prints when the search is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..fronts import figure_names, figure_of, front_of_search, heading, said_figures, shown_goals
from ..library import open_history
from ..output import Format, show, wrapped
from ..result import print_result

if TYPE_CHECKING:
    from ...nas import SearchResult
    from ...nas.finale import ScoredModel, SearchReport


def print_search(result: SearchResult, fmt: Format, *, db: str | None) -> None:
    """The front and what came of the test, for people; the front as CSV; all the history knows of it as JSON."""
    search, goals = result.search, shown_goals(result.search)
    with open_history(db) as history:
        front = front_of_search(search, history.trials(search.uid))
    names = figure_names(goals)
    rows: list[dict[str, Any]] = [
        {"trial": trial.number + 1, **{name: figure_of(trial, name) for name in names}} for trial in front
    ]
    print_result(
        search.run,
        rows,
        {"trial": "trial", **{name: heading(name) for name in names}},
        fmt,
        title=f"Pareto front ({said_figures([goal.name for goal in goals])})",
        closing=[*closing_lines(result.report), f"saved: {result.model}"],
        more=f"search report {search.run.number}",
        db=db,
    )


def closing_lines(report: SearchReport) -> list[str]:
    """What a search came to, in a few lines: the model on the test rows, and what the figures mean."""
    model = report.model
    said = {name: value for name, value in model.test.items() if name == report.metric}
    figures = ", ".join(f"test {heading(name)} {show(value)}" for name, value in said.items())
    lines = [f"best: {model.what}, trained again: {figures}{_right(model, report)}"]
    return [*lines, *(wrapped(f"- {said}") for said in (*report.verdicts, *report.notes))]


def _right(model: ScoredModel, report: SearchReport) -> str:
    rows = report.rows["test"]
    if report.metric == "accuracy":
        return f" ({round(model.test['accuracy'] * rows)} of {rows} rows)"
    others = ", ".join(f"{heading(name)} {show(model.test[name])}" for name in ("mae", "rmse") if name in model.test)
    return f" on {rows} rows ({others})"

"""What `nasturtium search` prints when the search is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..fronts import figure_names, figure_of, front_of_search, heading, said_figures, shown_goals
from ..library import open_history
from ..options import with_db
from ..output import Format, show, wrapped
from ..result import print_result

if TYPE_CHECKING:
    from ...nas import SearchResult
    from ...nas.finale import SearchReport
    from ..progress import SearchProgress


def watch_search(
    search: Callable[[SearchProgress], SearchResult],
    *,
    resume: str,
    fmt: Format,
    db: str | None,
    remote: bool = False,
) -> None:
    """Run a search, with progress on stderr, and print what came of it; say how to go on with one that is interrupted.

    Args:
        search: runs it, and is watched by what it is given.
        resume: the command that goes on with it, without its number.
        fmt: how to print the end.
        db: the database as the user named it.
        remote: whether trials wait for workers.
    """
    from ...nas import SearchStoppedError
    from ..progress import SearchProgress

    with SearchProgress(db=db, remote=remote) as progress:
        try:
            result = search(progress)
        except KeyboardInterrupt as exc:
            if progress.number is not None:
                how = "stopped" if isinstance(exc, SearchStoppedError) else "interrupted"
                progress.say(f"{how}; go on with: {with_db(f'{resume} {progress.number}', db)}")
            raise
    print_search(result, fmt, db=db)


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
    model, rows = report.model, report.rows["test"]
    names = report.test_metrics
    if report.metric != "accuracy":
        names = list(dict.fromkeys([*names, *(name for name in ("mae", "rmse") if name in model.test)]))
    figures = ", ".join(
        f"test {heading(f'val_{name}')} {show(model.test[name])}{_right(name, report)}" for name in names
    )
    where = "" if "accuracy" in names else f" on {rows} rows"
    lines = [f"best: {model.what}, trained again: {figures}{where}"]
    return [*lines, *(wrapped(f"- {said}") for said in (*report.verdicts, *report.notes))]


def _right(name: str, report: SearchReport) -> str:
    """On how many rows the model is right, beside the share of them."""
    rows = report.rows["test"]
    return f" ({round(report.model.test[name] * rows)} of {rows} rows)" if name == "accuracy" else ""

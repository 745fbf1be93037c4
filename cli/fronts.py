"""Which trials of a search are shown first, and by which figures: those the search was for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..storage import History, RunRecord, SearchRecord, TrialRecord

if TYPE_CHECKING:
    from ..nas.objectives import Constraint, Goal

_SIZES = ("parameters", "macs")
_HEADINGS: Mapping[str, str] = {
    "macs": "MACs",
    "val_r2": "R2",
    "val_auroc": "AUROC",
    "val_f1": "F1",
    "val_mae": "MAE",
    "val_rmse": "RMSE",
}
_UNITS: Mapping[str, str] = {"_bytes": " bytes", "_ms": " ms", "_seconds": " s"}


def goals_of(search: SearchRecord) -> tuple[Goal, ...]:
    """What a search is for, the most important first."""
    from ..nas.objectives import parse_goal

    return tuple(parse_goal(f"{direction} {name}") for name, direction in search.objectives)


def constraints_of(search: SearchRecord) -> tuple[Constraint, ...]:
    """What every candidate of a search must keep."""
    from ..nas.objectives import parse_constraint

    return tuple(parse_constraint(text) for text in search.run.config.get("constraints") or ())


def shown_goals(search: SearchRecord) -> tuple[Goal, ...]:
    """By what the trials of a search are on its front, wherever it is shown."""
    from ..nas.objectives import front_goals

    return front_goals(goals_of(search))


def front_of_search(search: SearchRecord, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials of a search that no other beats in its `shown_goals`, the best by the first goal first."""
    from ..nas.objectives import front_of

    last = {trial.number: trial for trial in trials}  # attempts come in order
    return front_of([*last.values()], shown_goals(search), constraints_of(search))


def closest_of(search: SearchRecord, trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """Where no trial keeps to the constraints, the completed one that breaks them least; None where none is."""
    from ..nas.objectives import closest_to

    last = {trial.number: trial for trial in trials}
    return closest_to([*last.values()], goals_of(search)[:1], constraints_of(search))


def figure_names(goals: Sequence[Goal]) -> list[str]:
    """What a table of trials says of each: the goals, then the size."""
    return list(dict.fromkeys([*(goal.name for goal in goals), *_SIZES]))


def figure_of(trial: TrialRecord, name: str) -> float | int | None:
    """One figure of a trial, whole where it counts something; None where nobody told it."""
    size = {"parameters": trial.architecture.parameters, "macs": trial.architecture.macs}
    value: Any = size.get(name, trial.metrics.get(name))
    if isinstance(value, float) and value.is_integer() and name.endswith(("_bytes", "parameters", "macs", "buffers")):
        return int(value)
    return value


def heading(name: str) -> str:
    """A figure over a column: "accuracy", "latency ms"."""
    said = _HEADINGS.get(name, name.removeprefix("val_"))
    for ending, unit in _UNITS.items():
        if said.endswith(ending):
            said = said.removesuffix(ending) + unit
    return said.replace("_", " ")


def said_figures(names: Sequence[str]) -> str:
    """Figures in words, for a title: "validation accuracy, parameters, MACs"."""
    return ", ".join(f"validation {heading(name)}" if name.startswith("val_") else heading(name) for name in names)


def first_goal(past: History, run: RunRecord) -> tuple[str, str] | None:
    """The figure a run is judged by and its direction, without loading what searches; None where there is none."""
    if run.kind == "search":
        if run.config.get("objectives"):
            name, direction = past.search(run.uid).objectives[0]
            return name, direction
        return ("val_r2" if run.config.get("task") == "regression" else "val_accuracy"), "maximize"
    if run.kind == "federated":
        return "val_accuracy", "maximize"
    return next(((name, "maximize") for name in ("val_accuracy", "val_r2") if name in run.metrics), None)


def test_figure(metrics: Mapping[str, float], goal: str) -> float | None:
    """What a goal was on the test rows; where it is none of rows, how often the model was right, or its R2."""
    names = [f"test_{goal.removeprefix('val_')}"] if goal.startswith("val_") else ["test_accuracy", "test_r2"]
    return next((metrics[name] for name in names if name in metrics), None)

"""Which of a search's trials are worth a look: the Pareto front of its goals, and the best by the first of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isnan
from typing import TYPE_CHECKING

from ...core import NasturtiumError
from .constraints import Constraint, total_violation
from .goals import Goal, parse_goal
from .pareto import pareto_front

if TYPE_CHECKING:  # a process that only trains starts in half the time without the database
    from ...storage import TrialRecord

_SIZES = ("parameters", "macs")


def figures_of(trial: TrialRecord) -> dict[str, float]:
    """All that is known of a trial by name: its network's size, and what its evaluation told."""
    size = {"parameters": float(trial.architecture.parameters), "macs": float(trial.architecture.macs)}
    return {**size, **trial.metrics}


def front_goals(goals: Sequence[Goal]) -> tuple[Goal, ...]:
    """By what the trials of a search are on its front: its goals; of a single one also the parameters and the MACs,
    because a front of one figure is one trial.
    """
    if len(goals) > 1:
        return tuple(goals)
    known = {goal.name for goal in goals}
    return (*goals, *(parse_goal(name) for name in _SIZES if name not in known))


def front_of(
    trials: Sequence[TrialRecord], goals: Sequence[Goal], constraints: Sequence[Constraint] = ()
) -> list[TrialRecord]:
    """The Pareto front of the completed trials that keep to the constraints, the best by the first goal first.

    Of trials that are equal in all goals the smaller network stays, then that with the lower validation loss, then the
    earlier one. Trials for which a goal was not told, or is not a number, are left out.
    """
    kept: list[tuple[tuple[float, ...], TrialRecord]] = []
    for trial in trials:
        figures = figures_of(trial)
        if trial.state == "completed" and _is_told(figures, goals) and not total_violation(constraints, figures):
            kept.append((_order(trial, figures, goals), trial))
    ordered = [trial for _, trial in sorted(kept, key=lambda pair: pair[0])]
    points = [[goal.value(figures_of(trial)) for goal in goals] for trial in ordered]
    return [ordered[i] for i in pareto_front(points, [goal.direction for goal in goals])]


def choose_best(
    trials: Sequence[TrialRecord], goals: Sequence[Goal], constraints: Sequence[Constraint] = ()
) -> TrialRecord:
    """The completed trial that is best by the first goal among those that keep to the constraints.

    Of equals the better by the other goals in their order, then the smaller network, then the lower validation loss.
    It is the first of the Pareto front.

    Raises:
        NasturtiumError: no trial completed, or none keeps to the constraints; says which comes closest.
    """
    front = front_of(trials, goals, constraints)
    if front:
        return front[0]
    closest = closest_to(trials, goals, constraints)
    if closest is None:
        raise NasturtiumError(
            f"none of {len(trials)} trials could be trained to the end",
            hint=f"see why the last one was not: nasturtium history show {trials[-1].uid}" if trials else None,
        )
    figures = figures_of(closest)
    broken = [constraint for constraint in constraints if constraint.violation(figures)]
    told = ", ".join(f"{figures.get(c.objective.name, 'not told')} where {c} is asked" for c in broken)
    raise NasturtiumError(
        f"none of {sum(trial.state == 'completed' for trial in trials)} trained networks keeps to the constraints; "
        f"trial {closest.number + 1} comes closest: {told}",
        hint="loosen the constraints, or search a space of smaller networks",
    )


def closest_to(
    trials: Sequence[TrialRecord], goals: Sequence[Goal], constraints: Sequence[Constraint]
) -> TrialRecord | None:
    """The completed trial that breaks the constraints least, the first of several; None where none is completed."""
    completed = [t for t in trials if t.state == "completed" and _is_told(figures_of(t), goals)]
    return min(completed, key=lambda t: total_violation(constraints, figures_of(t)), default=None)


def _is_told(figures: Mapping[str, float], goals: Sequence[Goal]) -> bool:
    return all(not isnan(figures.get(goal.name, float("nan"))) for goal in goals)


def _order(trial: TrialRecord, figures: Mapping[str, float], goals: Sequence[Goal]) -> tuple[float, ...]:
    """What comes first in a sorted list is better."""
    return (
        *(-goal.sign * figures[goal.name] for goal in goals),
        figures["parameters"],
        figures["macs"],
        figures.get("val_loss", inf),
        trial.number,
    )

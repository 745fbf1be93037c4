"""Who wins, by validation rows alone: the best candidates over several seeds, and the average of some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from ...core import ModelSpec, NasturtiumError, derive_rng
from ...core.data import Task
from ...storage import TrialRecord
from ..costs import costs
from ..objectives import Goal, figures_of, total_violation
from ..training import Recipe, all_figures
from .ensemble import average, join_specs, select_greedily, strongest
from .members import Member, Validated
from .options import FinaleOptions


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What was chosen.

    Attributes:
        winner: the trial that is best on average over seeds.
        members: networks of the model that is to be saved, with their weights, which add up to 1: one, or several.
        figures: of that model on validation rows.
        refused: why an ensemble that did better was not taken; empty where it was, or did not.
    """

    winner: TrialRecord
    members: Sequence[tuple[Validated, float]]
    figures: dict[str, float]
    refused: str = ""


def best_trials(trials: Sequence[TrialRecord], options: FinaleOptions, count: int) -> list[TrialRecord]:
    """The completed trials that keep to the constraints, best first, at most `count`.

    Ordered by the first goal alone, of equals the lower validation loss, then the smaller network, then the earlier.
    """
    goal = options.goals[0]
    kept: list[tuple[tuple[float, ...], TrialRecord]] = []
    for trial in trials:
        figures = figures_of(trial)
        value = figures.get(goal.name, float("nan"))
        if trial.state == "completed" and np.isfinite(value) and not total_violation(options.constraints, figures):
            loss = figures.get("val_loss", float("inf"))
            kept.append(((-goal.sign * value, loss, figures["parameters"], trial.number), trial))
    return [trial for _, trial in sorted(kept, key=lambda pair: pair[0])[:count]]


def select(validated: Sequence[Validated], labels: np.ndarray, task: Task, options: FinaleOptions) -> Selection:
    """Choose the winner, and the model: the winner's first seed, or an average that does better than the winner.

    Args:
        validated: every seed of every candidate.
        labels: of the validation rows.
        task: of the rows.
        options: the goal, and what an ensemble may be.

    Raises:
        NasturtiumError: all of them diverged.
    """
    goal = options.goals[0]
    sound = [each for each in validated if each.figures]
    if not sound:
        raise NasturtiumError(
            f"all of {len(validated)} trainings of the best candidates diverged",
            hint="start a new search with lower learning rates",
        )
    by_trial: dict[str, list[Validated]] = {}
    for each in sound:
        by_trial.setdefault(each.member.trial.uid, []).append(each)
    # A candidate of which a seed diverged is behind those that always train.
    winner = max(by_trial.values(), key=lambda seeds: (len(seeds), *_mean_rank(seeds, goal)))
    mean = {name: fmean(each.figures[name] for each in winner) for name in winner[0].figures if name != "best_epoch"}
    single = Selection(winner[0].member.trial, [(winner[0], 1.0)], mean)
    if not options.ensemble or len(sound) == 1:
        return single
    rng = derive_rng(options.seed, "ensemble")
    weights = strongest(select_greedily([each.predicted for each in sound], labels, task, rng), options.members)
    members = [(sound[index], weight) for index, weight in weights.items()]
    if len(members) == 1:
        return single
    scale = labels.astype(np.float64).std(0) if task.kind == "regression" else np.ones(())
    said = average([each.predicted for each, _ in members], list(weights.values()))
    figures = {f"val_{name}": value for name, value in all_figures(said, labels, task, scale).items()}
    # What an average costs or how long it takes is never better than a network's: it is for goals of validation only.
    if goal.name not in figures or goal.sign * figures[goal.name] < goal.sign * mean[goal.name]:
        return single
    joined = join_specs([network_of(each.member) for each, _ in members], [weight for _, weight in members])
    broken = [c for c in options.constraints if c.static and c.violation(costs(joined).figures())]
    if broken:
        return Selection(single.winner, single.members, mean, refused=f"it breaks {broken[0]}")
    return Selection(single.winner, members, figures)


def network_of(member: Member) -> ModelSpec:
    """The network of a member as it is trained."""
    spec = ModelSpec.from_dict(member.trial.architecture.spec)
    return Recipe.of(member.trial.hyperparameters).network(spec)


def _mean_rank(seeds: Sequence[Validated], goal: Goal) -> tuple[float, float]:
    """The mean of the goal, or where it is no figure of validation that of the trial, then the mean loss."""
    values = [each.figures.get(goal.name, figures_of(each.member.trial)[goal.name]) for each in seeds]
    return goal.sign * fmean(values), -fmean(each.figures["val_loss"] for each in seeds)

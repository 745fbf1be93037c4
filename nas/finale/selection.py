"""Who wins, by validation rows alone: the simplest of the best over several seeds, and an average of some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from ...core import ModelSpec, NasturtiumError, derive_rng
from ...core.data import Task
from ...storage import TrialRecord
from ..costs import costs
from ..objectives import Goal, figures_of, total_violation
from ..training import Recipe, all_figures
from .ensemble import average, join_specs, row_losses, select_greedily, strongest
from .members import Member, Validated
from .options import FinaleOptions

_OF_CLASSES = {"val_accuracy", "val_f1"}


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What was chosen.

    Attributes:
        winner: the smallest network that is not clearly worse than the best, see `select`.
        best: the trial that is best on average over seeds.
        members: networks of the model that is to be saved, with their weights, which add up to 1: one, or several.
        figures: of that model on validation rows.
        refused: why an ensemble that did better was not taken; empty where it was, or did not.
    """

    winner: TrialRecord
    best: TrialRecord
    members: Sequence[tuple[Validated, float]]
    figures: dict[str, float]
    refused: str = ""


def best_trials(trials: Sequence[TrialRecord], options: FinaleOptions, count: int) -> list[TrialRecord]:
    """The completed trials that keep to the constraints, best first, at most `count`.

    Ordered by the first goal alone, of equals the lower validation loss, then the smaller network, then the earlier.
    """
    return _ranked([trial for trial in trials if trial.state == "completed"], options)[:count]


def finalists(trials: Sequence[TrialRecord], options: FinaleOptions, *, cautious: bool) -> list[TrialRecord]:
    """What is trained again: the best trials, and where there are few rows the smallest network of the search.

    Validation rows that so many candidates were compared on favour the large ones, whose figures vary most: a small
    network that is as good may not be among the first few. Its best trial stands here even where it was stopped early.
    Without a completed trial there is none.
    """
    best = best_trials(trials, options, options.top)
    if not cautious or not best or options.goals[0].objective.source != "validation":
        return best
    ranked = _ranked([trial for trial in trials if trial.state in {"completed", "pruned"}], options)
    smallest = min(ranked, key=lambda trial: (figures_of(trial)["parameters"], trial.state != "completed"))
    return best if smallest in best else [*best, smallest]


def _ranked(trials: Sequence[TrialRecord], options: FinaleOptions) -> list[TrialRecord]:
    """Those that have the goal's figure and keep to the constraints, best first; see `best_trials`."""
    goal = options.goals[0]
    kept: list[tuple[tuple[float, ...], TrialRecord]] = []
    for trial in trials:
        figures = figures_of(trial)
        value = figures.get(goal.name, float("nan"))
        if np.isfinite(value) and not total_violation(options.constraints, figures):
            loss = figures.get("val_loss", float("inf"))
            kept.append(((-goal.sign * value, loss, figures["parameters"], trial.number), trial))
    return [trial for _, trial in sorted(kept, key=lambda pair: pair[0])]


def select(
    validated: Sequence[Validated], labels: np.ndarray, task: Task, options: FinaleOptions, *, cautious: bool
) -> Selection:
    """Choose the winner, and the model: the winner's first seed, or an average that does better than the winner.

    Where it is `cautious`, the winner is the smallest network whose errors on validation rows, each row's mean over
    seeds, are not more than one standard error above those of the best: the standard error of the paired difference.
    With few rows the best of many is so by luck for a good part, and a small network loses less of what it promised.
    Otherwise, and where the goal is no figure of validation rows, the winner is the best on average.

    Half of the weight in an average is that of the winner's seeds, the rest is chosen greedily; the members of the
    least weight are left out where the average would break a constraint.

    Args:
        validated: every seed of every candidate.
        labels: of the validation rows.
        task: of the rows.
        options: the goal, and what an ensemble may be.
        cautious: there are few rows.

    Raises:
        NasturtiumError: all of them diverged.

    Source: Breiman et al. 1984, Classification and Regression Trees, section 3.4.3, the 1 SE rule; ours pairs rows.
    """
    goal = options.goals[0]
    sound = [each for each in validated if each.figures]
    if not sound:
        raise NasturtiumError(
            f"all of {len(validated)} trainings of the best candidates diverged",
            hint="start a new search with lower learning rates",
        )
    winner, best = _choose_winner(sound, labels, task, goal, cautious=cautious)
    mean = {name: fmean(each.figures[name] for each in winner) for name in winner[0].figures if name != "best_epoch"}
    single = Selection(winner[0].member.trial, best[0].member.trial, [(winner[0], 1.0)], mean)
    if not options.ensemble or len(sound) == 1:
        return single
    rng = derive_rng(options.seed, "ensemble")
    weights = select_greedily([each.predicted for each in sound], labels, task, rng)
    weights = _lean(weights, [sound.index(each) for each in winner])
    scale = labels.astype(np.float64).std(0) if task.kind == "regression" else np.ones(())
    refused = ""
    for count in range(min(options.members, len(weights)), 1, -1):
        members = [(sound[index], weight) for index, weight in strongest(weights, count).items()]
        said = average([each.predicted for each, _ in members], [weight for _, weight in members])
        figures = {f"val_{name}": value for name, value in all_figures(said, labels, task, scale).items()}
        # What an average costs or how long it takes is never better than a network's: it is for goals of validation.
        if goal.name not in figures or goal.sign * figures[goal.name] < goal.sign * mean[goal.name]:
            continue
        joined = join_specs([network_of(each.member) for each, _ in members], [weight for _, weight in members])
        broken = [c for c in options.constraints if c.static and c.violation(costs(joined).figures())]
        if not broken:
            return replace(single, members=members, figures=figures)
        refused = refused or f"it breaks {broken[0]}"
    return replace(single, refused=refused)


def _choose_winner(
    sound: Sequence[Validated], labels: np.ndarray, task: Task, goal: Goal, *, cautious: bool
) -> tuple[list[Validated], list[Validated]]:
    """All seeds of the winner and of the best; see `select`."""
    by_trial: dict[str, list[Validated]] = {}
    for each in sound:
        by_trial.setdefault(each.member.trial.uid, []).append(each)
    # A candidate of which a seed diverged is behind those that always train.
    ranked = sorted(by_trial.values(), key=lambda seeds: (len(seeds), *_mean_rank(seeds, goal)), reverse=True)
    best = ranked[0]
    if not cautious or goal.name not in best[0].figures:
        return best, best
    rivals = [seeds for seeds in ranked if len(seeds) == len(best)]
    errors = [np.mean([_row_errors(each.predicted, labels, task, goal) for each in seeds], axis=0) for seeds in rivals]
    as_good = [seeds for seeds, own in zip(rivals, errors, strict=True) if not _clearly_worse(own, errors[0])]
    return min(as_good, key=_parameters), best


def _lean(weights: Mapping[int, float], winner: Sequence[int]) -> dict[int, float]:
    """Half of the weights, and the other half for the seeds of the winner.

    What is chosen by the rows of one table believes too much in them. Against all of the weights, half brought 0.4
    points of R2 (mean of 5 splits of a table of 330 rows), and on five other small tables no more harm than good.
    """
    shared = dict.fromkeys(winner, 0.5 / len(winner))
    return {index: weights.get(index, 0.0) / 2 + shared.get(index, 0.0) for index in sorted({*weights, *winner})}


def network_of(member: Member) -> ModelSpec:
    """The network of a member as it is trained."""
    spec = ModelSpec.from_dict(member.trial.architecture.spec)
    return Recipe.of(member.trial.hyperparameters).network(spec)


def _mean_rank(seeds: Sequence[Validated], goal: Goal) -> tuple[float, float, int]:
    """The mean of the goal, or where it is no figure of validation that of the trial, the mean loss, and the size."""
    values = [each.figures.get(goal.name, figures_of(each.member.trial)[goal.name]) for each in seeds]
    return goal.sign * fmean(values), -fmean(each.figures["val_loss"] for each in seeds), -_parameters(seeds)


def _parameters(seeds: Sequence[Validated]) -> int:
    """Of the network that all seeds share."""
    return network_of(seeds[0].member).plan().parameters


def _row_errors(predicted: np.ndarray, labels: np.ndarray, task: Task, goal: Goal) -> np.ndarray:
    """What is wrong with each row: 1 for a wrong class where those are what counts, else its loss."""
    if task.kind == "classification" and goal.name in _OF_CLASSES:
        return (predicted.argmax(-1) != labels).astype(np.float64)
    return row_losses(predicted, labels, task)


def _clearly_worse(errors: np.ndarray, best: np.ndarray) -> bool:
    """Whether errors are more than one standard error of the paired difference above the best's."""
    more = errors - best
    return float(more.mean()) > float(more.std(ddof=1)) / len(more) ** 0.5 if len(more) > 1 else float(more[0]) > 0

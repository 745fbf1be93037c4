"""Which of some trials are better, for one objective and for several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

import numpy as np

from ..objectives import Direction, crowding_distance, non_dominated_ranks
from .observation import Observation

Spread = Callable[[np.ndarray, Sequence[Direction]], np.ndarray]


def standing(trial: Observation) -> tuple[float, float]:
    """What counts before the objectives, the best last: whether a trial keeps the constraints, and how far it came.

    Of trials that break the constraints the one that breaks them less is better; one that was trained to the end is
    better than any that was stopped on the way, whose objectives cannot be compared with its own.
    """
    return -trial.violation, float(trial.steps) if trial.state == "pruned" else inf


def merit(trial: Observation, direction: Direction) -> tuple[float, float, float]:
    """A key that sorts trials with values by one objective, the best last."""
    assert trial.values is not None
    value = trial.values[0]
    return *standing(trial), value if direction == "maximize" else -value


def best_first(
    trials: Sequence[Observation],
    directions: Sequence[Direction],
    spread: Spread = lambda values, directions: crowding_distance(values),
) -> list[Observation]:
    """The trials that have values, the best first: by standing, then front by front, on a front the loneliest first.

    Source: Deb et al. 2002, the crowded comparison of NSGA-II, https://doi.org/10.1109/4235.996017.
    """
    groups: dict[tuple[float, float], list[Observation]] = {}
    for trial in trials:
        if trial.values is not None:
            groups.setdefault(standing(trial), []).append(trial)
    ordered: list[Observation] = []
    for key in sorted(groups, reverse=True):
        group = groups[key]
        values = np.array([trial.values for trial in group])
        ranks = non_dominated_ranks(values, directions)
        for rank in range(int(ranks.max()) + 1):
            front = np.flatnonzero(ranks == rank)
            lonely = np.argsort(-spread(values[front], directions), kind="stable")
            ordered += [group[i] for i in front[lonely]]
    return ordered

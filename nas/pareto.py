"""Pareto fronts, and the best of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import TypeVar

import numpy as np

from ..core import NasturtiumError
from ..storage import TrialRecord

# The objectives of a search and their directions: +1 is maximised, -1 minimised.
OBJECTIVES: Mapping[str, int] = {"val_accuracy": 1, "parameters": -1, "macs": -1}

T = TypeVar("T")


def pareto_front(items: Sequence[T], objectives: Sequence[Mapping[str, float]]) -> list[T]:
    """The items that no other beats: none is as good in every one of `OBJECTIVES` and better in one.

    Args:
        items: whatever is compared; of items with equal objectives the first stays.
        objectives: one mapping per item, with a value for each of `OBJECTIVES`.

    Returns:
        The front, most accurate first.
    """
    if not items:
        return []
    scores = np.array([[sign * row[name] for name, sign in OBJECTIVES.items()] for row in objectives])
    order = sorted(range(len(items)), key=lambda i: (*(-scores[i]), i))
    front: list[int] = []
    for i in order:
        if not any((scores[j] >= scores[i]).all() for j in front):
            front.append(i)
    return [items[i] for i in front]


def choose_best(trials: Sequence[TrialRecord]) -> TrialRecord:
    """The completed trial with the highest validation accuracy; of equals the smaller network, then the lower loss.

    It is the first of the Pareto front.

    Raises:
        NasturtiumError: no trial completed.
    """
    completed = front_of(trials)
    if not completed:
        raise NasturtiumError(
            f"none of {len(trials)} trials could be trained to the end", hint="see why with: nasturtium history show"
        )
    return completed[0]


def front_of(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The Pareto front of the completed trials, most accurate first; of equals the one with the lowest loss."""
    completed = sorted(
        (t for t in trials if t.state == "completed" and "val_accuracy" in t.metrics),
        key=lambda t: t.metrics.get("val_loss", inf),
    )
    sizes = [{"parameters": float(t.architecture.parameters), "macs": float(t.architecture.macs)} for t in completed]
    return pareto_front(completed, [{**size, **t.metrics} for size, t in zip(sizes, completed, strict=True)])

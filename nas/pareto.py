"""Pareto fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

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

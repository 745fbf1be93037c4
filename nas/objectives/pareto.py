"""Fronts: which points no other beats, how many fronts lie before a point, and how lonely it is on its own.

Points are rows, their directions "maximize" or "minimize" for each column. A point with a NaN is worse than all
others; infinite values are compared as numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...core import ConfigError
from .registry import Direction

Rows = np.ndarray[Any, np.dtype[np.float64]]
Places = np.ndarray[Any, np.dtype[np.int64]]


def as_losses(points: ArrayLike, directions: Sequence[Direction]) -> Rows:
    """Points as rows of float64 in which less is better.

    Args:
        points: shape (n, m); n may be 0.
        directions: m of them, at least one.

    Raises:
        ConfigError: another shape, or a direction that is none.
    """
    if not directions or any(direction not in ("maximize", "minimize") for direction in directions):
        raise ConfigError(f'expected "maximize" or "minimize" for every objective, got {list(directions)}')
    rows = np.asarray(points, np.float64)
    if rows.size == 0 and rows.ndim <= 2:
        rows = rows.reshape(0, len(directions))
    if rows.ndim != 2 or rows.shape[1] != len(directions):
        raise ConfigError(f"expected points of shape (n, {len(directions)}), got {rows.shape}")
    return rows * np.array([-1.0 if direction == "maximize" else 1.0 for direction in directions])


def pareto_front(points: ArrayLike, directions: Sequence[Direction]) -> list[int]:
    """The points that no other beats: none is as good in every objective and better in one.

    Args:
        points: shape (n, m).
        directions: of the m objectives.

    Returns:
        Their places, the best in the first objective first; of equal points the first.
    """
    rows = as_losses(points, directions)
    known = np.flatnonzero(~np.isnan(rows).any(axis=1))
    unique, first, _ = _unique(rows[known])
    return known[first[_on_front(unique)]].tolist()


def non_dominated_ranks(points: ArrayLike, directions: Sequence[Direction]) -> Places:
    """How many fronts lie before each point: 0 on the Pareto front, 1 on that of the others, and so on.

    Equal points have equal ranks; points with a NaN share the rank behind all others.

    Returns:
        Shape (n,) int64.

    Source: Zhang et al. 2015, an efficient approach to nondominated sorting (ENS), for three objectives and more.
    """
    rows = as_losses(points, directions)
    unknown = np.isnan(rows).any(axis=1)
    ranks = np.zeros(len(rows), np.int64)
    unique, _, place = _unique(rows[~unknown])
    ranks[~unknown] = _ranks(unique)[place]
    ranks[unknown] = 1 + ranks[~unknown].max(initial=-1)
    return ranks


def crowding_distance(points: ArrayLike) -> Rows:
    """How far apart the neighbours of each point of one front are, as parts of the front's extent, over all objectives.

    The ends of the front in any objective are infinitely far; of equal points, one is an end. An objective in which all
    are equal, or that is infinite beside a point, adds nothing. Directions do not matter.

    Args:
        points: shape (n, m), of one front, without NaN.

    Returns:
        Shape (n,) float64, >= 0.

    Source: Deb et al. 2002, NSGA-II, https://doi.org/10.1109/4235.996017.
    """
    rows = np.asarray(points, np.float64)
    if rows.size == 0:
        return np.zeros(0)
    if rows.ndim != 2:
        raise ConfigError(f"expected points of shape (n, m), got {rows.shape}")
    if len(rows) == 1:
        return np.full(1, np.inf)
    distances = np.zeros(len(rows))
    for column in rows.T:
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        if ordered[0] == ordered[-1]:
            continue
        with np.errstate(invalid="ignore", over="ignore"):
            gaps = (ordered[2:] - ordered[:-2]) / (ordered[-1] - ordered[0])
        distances[order[1:-1]] += np.where(np.isfinite(gaps), gaps, 0.0)
        distances[order[[0, -1]]] = np.inf
    return distances


def non_dominated(losses: Rows) -> Rows:
    """The rows that no other beats, in lexicographic order, each once; less is better, and there is no NaN."""
    unique, _, _ = _unique(losses)
    return unique[_on_front(unique)]


def _unique(rows: Rows) -> tuple[Rows, Places, Places]:
    """The rows in lexicographic order, each once; where each stood first; and where each of all stands now."""
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    new = np.ones(len(rows), np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    place = np.empty(len(rows), np.int64)
    place[order] = np.cumsum(new) - 1
    return ordered[new], order[new], place


def _on_front(rows: Rows) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of rows in lexicographic order, each once, no other beats."""
    kept = np.ones(len(rows), np.bool_)
    if rows.shape[1] == 1:
        kept[1:] = False
    elif rows.shape[1] == 2:
        kept[1:] = rows[1:, 1] < np.minimum.accumulate(rows[:-1, 1])
    else:
        for i in range(len(rows)):
            if kept[i]:
                kept[i + 1 :] &= (rows[i + 1 :] < rows[i]).any(axis=1)
    return kept


def _ranks(rows: Rows) -> Places:
    """Ranks of rows in lexicographic order, each once, so that none beats one before it."""
    ranks = np.zeros(len(rows), np.int64)
    if rows.shape[1] <= 2:
        # The last row of a front is its lowest in the second objective, and those last rows rise from front to front.
        lows: list[float] = []
        seconds: list[float] = rows[:, 1].tolist() if rows.shape[1] == 2 else [0.0] * len(rows)
        for i, second in enumerate(seconds):
            rank = bisect_right(lows, second)
            lows[rank : rank + 1] = [second]
            ranks[i] = rank
        return ranks
    fronts: list[_Front] = []
    for i, row in enumerate(rows):
        low, high = 0, len(fronts)
        while low < high:  # the first front in which nothing beats the row: then nothing does in a later one
            middle = (low + high) // 2
            low, high = (middle + 1, high) if fronts[middle].beats(row) else (low, middle)
        if low == len(fronts):
            fronts.append(_Front(rows.shape[1]))
        fronts[low].add(row)
        ranks[i] = low
    return ranks


class _Front:
    """Rows of one rank, in an array that grows."""

    def __init__(self, width: int) -> None:
        self._rows: Rows = np.empty((4, width))
        self._count = 0

    def add(self, row: Rows) -> None:
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._count] = row
        self._count += 1

    def beats(self, row: Rows) -> bool:
        """Whether one of the rows is nowhere worse; none is equal."""
        return bool((self._rows[: self._count] <= row).all(axis=1).any())

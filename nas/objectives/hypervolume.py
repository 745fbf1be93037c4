"""Hypervolume: how much of the space before a reference point a set of points dominates. Exact, for any number of
objectives.

With gains over the reference, g = reference - point > 0 in every objective to be minimised, it is the volume of the
union of the boxes [0, g]. Two and three objectives are a sweep. More are the sum over the points, by their last gain
from the smallest on, of what each adds to those behind it: there all last gains are cut to its own, so that one
objective less is left. That is the exclusive hypervolume of While et al. 2012,
https://doi.org/10.1109/TEVC.2010.2077298 (WFG), with the slices of its section IV.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ...core import ConfigError
from .pareto import Rows, as_losses, non_dominated
from .registry import Direction


def hypervolume(points: ArrayLike, reference: ArrayLike, directions: Sequence[Direction]) -> float:
    """The volume that is dominated by at least one of the points and dominates the reference.

    Args:
        points: shape (n, m). Those that are not better than the reference in every objective add nothing, nor do those
            with a NaN.
        reference: shape (m,), finite.
        directions: of the m objectives.

    Returns:
        >= 0 in the product of the objectives' units; infinite if a point that adds something is infinitely good.

    Raises:
        ConfigError: the shapes do not fit, or the reference is not finite.
    """
    return _volume(_in_no_box(_gains(points, reference, directions)))


def normalised_hypervolume(
    points: ArrayLike, true_front: ArrayLike, reference: ArrayLike, directions: Sequence[Direction]
) -> float:
    """The hypervolume of points as a part of that of the true front: 1 is all there is to find.

    Args:
        points: shape (n, m), found.
        true_front: shape (k, m), the best there are; others among them do no harm.
        reference, directions: as for `hypervolume`.

    Raises:
        ConfigError: as for `hypervolume`, or the true front dominates nothing before the reference, or infinitely much.
    """
    whole = hypervolume(true_front, reference, directions)
    if not 0 < whole < np.inf:
        raise ConfigError(
            f"the true front has a hypervolume of {whole} before the reference {reference}",
            hint="choose a reference that is worse than the true front in every objective, and a finite front",
        )
    return hypervolume(points, reference, directions) / whole


def hypervolume_contributions(points: ArrayLike, reference: ArrayLike, directions: Sequence[Direction]) -> Rows:
    """What each point adds to the hypervolume of all others: shape (n,), 0 for what is dominated or stands twice."""
    gains = _gains(points, reference, directions)
    contributions = np.zeros(len(gains))
    useful = gains[(gains > 0).all(axis=1)]
    for box in _in_no_box(useful):
        same = np.flatnonzero((gains == box).all(axis=1))
        if len(same) > 1:
            continue
        others = useful[(useful != box).any(axis=1)]
        # Infinite volumes cannot be taken from each other, but a box that is in no other one reaches infinitely beyond.
        finite = bool(np.isfinite(box).all())
        contributions[same] = np.prod(box) - _volume(_in_no_box(np.minimum(box, others))) if finite else np.inf
    return np.maximum(contributions, 0.0)


def _in_no_box(gains: Rows) -> Rows:
    """Those of positive gains that are not in the box of others, each once."""
    return -non_dominated(-gains[(gains > 0).all(axis=1)])


def _gains(points: ArrayLike, reference: ArrayLike, directions: Sequence[Direction]) -> Rows:
    """By how much points are better than the reference; NaN where a point is NaN."""
    rows = as_losses(points, directions)
    bound = np.asarray(reference, np.float64).reshape(1, -1)
    if not np.isfinite(bound).all():
        raise ConfigError(f"expected a finite reference, got {bound[0].tolist()}")
    return as_losses(bound, directions) - rows


def _volume(gains: Rows) -> float:
    """The volume of the union of the boxes [0, g], all positive."""
    if not len(gains):
        return 0.0
    if not np.isfinite(gains).all():
        return float("inf")
    if gains.shape[1] == 1:
        return float(gains.max())
    if gains.shape[1] == 2:
        ordered = gains[np.argsort(-gains[:, 0], kind="stable")]
        widths = ordered[:, 0] - np.append(ordered[1:, 0], 0.0)
        return float(widths @ np.maximum.accumulate(ordered[:, 1]))
    if gains.shape[1] == 3:
        return _volume_of_three(gains)
    ordered = gains[np.argsort(gains[:, -1], kind="stable")]
    heights, bases = ordered[:, -1], ordered[:, :-1]
    total = 0.0
    for i in range(len(bases)):
        base: Rows = bases[i]
        covered = np.minimum(base, bases[i + 1 :])
        if covered.shape[1] > 3:  # else a sweep takes less time than the search for what can be left out
            covered = _in_no_box(covered)
        total += float(heights[i]) * (float(np.prod(base)) - _volume(covered))
    return total


def _volume_of_three(gains: Rows) -> float:
    """A sweep along the first gain from the largest on, with the highest third gain before every second one."""
    gains = gains[np.argsort(-gains[:, 0], kind="stable")]
    by_second = np.argsort(-gains[:, 1], kind="stable")
    place = np.argsort(by_second)
    widths = gains[by_second, 1] - np.append(gains[by_second[1:], 1], 0.0)
    depths = gains[:, 0] - np.append(gains[1:, 0], 0.0)
    heights, areas = np.zeros(len(gains)), np.empty(len(gains))
    for i in range(len(gains)):
        lower = heights[place[i] :]
        np.maximum(lower, gains[i, 2], out=lower)
        areas[i] = widths @ heights
    return float(depths @ areas)

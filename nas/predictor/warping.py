"""Objectives as targets of Gaussian processes: comparable, and not ruled by the worst.

The accuracies of networks have a long lower tail, down to chance. Left as it is, the tail is most of the variance, and
what tells the good from the best drowns in the noise that is fitted to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..objectives import Direction, pareto_front
from .features import Matrix

BELOW = 0.25  # of the front's extent: how far below the front an objective still counts
UPPER = 0.85  # the distance from the median to this quantile is the unit


def warped(values: ArrayLike, *, maximize: bool) -> Matrix:
    """Values of mean 0 and variance 1 in the same order, more is better: linear above the median, logarithmic below.

    Args:
        values: shape (n,), finite, n >= 1.
        maximize: whether more is better in `values`.

    Returns:
        Shape (n,); zeros if all values are equal.
    """
    gains = np.asarray(values, np.float64) * (1.0 if maximize else -1.0)
    median = float(np.median(gains))
    unit = float(np.quantile(gains, UPPER)) - median or float(np.ptp(gains))
    if not unit > 0:
        return np.zeros(len(gains))
    relative = (gains - median) / unit
    bent = np.where(relative < 0, -np.log1p(np.maximum(-relative, 0.0)), relative)
    return (bent - bent.mean()) / bent.std()


def clipped(values: Matrix, directions: Sequence[Direction]) -> tuple[Matrix, Matrix]:
    """Several objectives on linear scales, of mean 0 and variance 1 each, more is better.

    An area is measured in the objectives themselves, so they are not bent; but what lies far below the front is as good
    as at a little below it.

    Args:
        values: shape (n, objectives), finite, n >= 1.
        directions: of the objectives.

    Returns:
        The targets, shape (n, objectives), and the worst value of each objective on the same scales, not clipped.
    """
    gains = values * np.array([1.0 if direction == "maximize" else -1.0 for direction in directions])
    front = gains[pareto_front(values, directions)]
    extent = np.ptp(front, axis=0)
    floor = front.min(axis=0) - BELOW * np.where(extent > 0, extent, gains.std(axis=0))
    kept = np.maximum(gains, floor)
    scale = np.where(np.ptp(kept, axis=0) > 0, kept.std(axis=0), 1.0)
    return (kept - kept.mean(axis=0)) / scale, (gains.min(axis=0) - kept.mean(axis=0)) / scale

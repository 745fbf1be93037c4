"""Objectives as targets of Gaussian processes: comparable, and not ruled by the worst.

The accuracies of networks have a long lower tail, down to chance. Left as it is, the tail is most of the variance, and
what tells the good from the best drowns in the noise that is fitted to it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .features import Matrix

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

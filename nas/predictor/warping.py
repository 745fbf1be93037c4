"""Objectives as targets of Gaussian processes: comparable, and not ruled by the worst.

The accuracies of networks have a long lower tail, down to chance. Left as it is, the tail is most of the variance, and
what tells the good from the best drowns in the noise that is fitted to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from .features import Matrix

UPPER = 0.85  # the distance from the median to this quantile is the unit
LONGEST = 50.0  # of logarithms that are undone: of any result that is worse it is enough to know that


@dataclass(frozen=True, slots=True)
class Warp:
    """A scale that keeps the order: linear down to some way below the median, logarithmic from there on.

    Attributes:
        median, unit: of the gains: the objective, or its negative where less is better.
        bend: how far below the median the logarithm begins, in units.
        mean, deviation: of what comes out of that.
    """

    median: float
    unit: float
    bend: float
    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def fit(cls, gains: ArrayLike, *, bend: float = 0.0) -> Warp:
        """The scale on which these gains, shape (n,), finite, n >= 1, have mean 0 and, if they differ, variance 1."""
        values = np.asarray(gains, np.float64)
        median = float(np.median(values))
        unit = float(np.quantile(values, UPPER)) - median or float(np.ptp(values))
        plain = cls(median, unit if unit > 0 else 1.0, bend)
        bent = plain.targets(values)
        return cls(plain.median, plain.unit, bend, float(bent.mean()), float(bent.std()) or 1.0)

    def targets(self, gains: ArrayLike) -> Matrix:
        """Gains on the scale, same shape."""
        relative = (np.asarray(gains, np.float64) - self.median) / self.unit + self.bend
        bent = np.where(relative < 0, -np.log1p(np.maximum(-relative, 0.0)), relative) - self.bend
        return cast(Matrix, (bent - self.mean) / self.deviation)

    def gains(self, targets: Matrix) -> Matrix:
        """Back from the scale, same shape; very low targets give very low gains, but finite ones."""
        bent = targets * self.deviation + self.mean + self.bend
        lower = cast(Matrix, -np.expm1(np.clip(-bent, 0.0, LONGEST)))
        return (np.where(bent < 0, lower, bent) - self.bend) * self.unit + self.median

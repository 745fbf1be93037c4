"""Krum's choice, and of that the values next to the median."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import ConfigError
from .base import FederatedStrategy, strategy
from .median import IN_THE_CLEAR
from .robust import RobustRule, krum_scores, lowest


@strategy("bulyan")
@dataclass(frozen=True, slots=True, kw_only=True)
class Bulyan(FederatedStrategy):
    """theta = n - 2 f changes are chosen by Krum, one after the other, each from those that are left; then, coordinate
    by coordinate, the mean of the theta - 2 f values nearest to their median.

    Flower chooses the theta changes with the lowest scores at once. Distances are those of `Krum`. Sites count alike.

    Args:
        liars: f, how many sites may lie, >= 0; a round needs 4 f + 3 updates.

    Source: El Mhamdi et al. 2018, https://arxiv.org/abs/1802.07927, section 4.
    """

    in_the_clear: ClassVar[str] = IN_THE_CLEAR
    equal_weights: ClassVar[bool] = True

    liars: int = 1

    def __post_init__(self) -> None:
        if self.liars < 0:
            raise ConfigError(f"expected liars >= 0, got {self.liars}")

    def rule(self) -> RobustRule:
        """See `FederatedStrategy.rule`."""
        return BulyanRule(self.liars)


@dataclass(frozen=True, slots=True)
class BulyanRule:
    """Krum again and again, then a mean around the median."""

    liars: int

    @property
    def fewest(self) -> int:
        """4 f + 3."""
        return 4 * self.liars + 3

    @property
    def needs_distances(self) -> bool:
        """Yes."""
        return True

    def choose(self, distances: np.ndarray) -> np.ndarray:
        """The first of Krum's choices from those that are left, n - 2 f times."""
        left = np.arange(len(distances))
        chosen: list[int] = []
        while len(chosen) < len(distances) - 2 * self.liars:
            best = int(lowest(krum_scores(distances[np.ix_(left, left)], self.liars), 1)[0])
            chosen.append(int(left[best]))
            left = np.delete(left, best)
        return np.array(chosen)

    def join(self, values: np.ndarray) -> np.ndarray:
        """The mean of the values nearest to the median; of two as near, one above and one below it, the lower."""
        values = np.sort(values, axis=0)
        away = np.abs(values - np.median(values, axis=0))
        nearest = np.argsort(away, axis=0, kind="stable")[: len(values) - 2 * self.liars]
        return np.take_along_axis(values, nearest, axis=0).mean(axis=0)

"""The median of all changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import FederatedStrategy, strategy
from .robust import RobustRule

IN_THE_CLEAR = "compares single updates, of which an encrypted sum tells nothing"


@strategy("median")
@dataclass(frozen=True, slots=True, kw_only=True)
class Median(FederatedStrategy):
    """Coordinate by coordinate the median of the sites' changes, which fewer than half of the sites cannot choose.

    Sites count alike: a weight would be one more thing to lie about.

    Source: Yin et al. 2018, https://arxiv.org/abs/1803.01498, algorithm 1, option I.
    """

    in_the_clear: ClassVar[str] = IN_THE_CLEAR
    equal_weights: ClassVar[bool] = True

    def rule(self) -> RobustRule:
        """See `FederatedStrategy.rule`."""
        return MedianRule()


class MedianRule:
    """The median of all updates."""

    fewest = 1
    needs_distances = False

    def choose(self, distances: np.ndarray) -> np.ndarray:
        """All."""
        return np.arange(len(distances))

    def join(self, values: np.ndarray) -> np.ndarray:
        """The median; of an even number the mean of the middle two."""
        return np.median(values, axis=0, overwrite_input=True)

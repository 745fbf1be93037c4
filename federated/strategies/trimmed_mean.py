"""The mean without the extremes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import ConfigError
from .base import FederatedStrategy, strategy
from .median import IN_THE_CLEAR
from .robust import RobustRule


@strategy("trimmed-mean")
@dataclass(frozen=True, slots=True, kw_only=True)
class TrimmedMean(FederatedStrategy):
    """Coordinate by coordinate the mean of the sites' changes without the lowest and the highest.

    Sites count alike: a weight would be one more thing to lie about.

    Args:
        fraction: of the sites that is left out at either end, rounded down, in [0, 1/2): at least the fraction of
            sites that may lie.

    Source: Yin et al. 2018, https://arxiv.org/abs/1803.01498, algorithm 1, option II.
    """

    in_the_clear: ClassVar[str] = IN_THE_CLEAR
    equal_weights: ClassVar[bool] = True

    fraction: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.fraction < 0.5:
            raise ConfigError(f"expected 0 <= fraction < 0.5, got {self.fraction}")

    def rule(self) -> RobustRule:
        """See `FederatedStrategy.rule`."""
        return TrimmedMeanRule(self.fraction)


@dataclass(frozen=True, slots=True)
class TrimmedMeanRule:
    """The mean of what is left of all updates."""

    fraction: float

    @property
    def fewest(self) -> int:
        """One: of few updates none is left out."""
        return 1

    @property
    def needs_distances(self) -> bool:
        """No."""
        return False

    def choose(self, distances: np.ndarray) -> np.ndarray:
        """All."""
        return np.arange(len(distances))

    def join(self, values: np.ndarray) -> np.ndarray:
        """The mean between the ends."""
        cut = int(self.fraction * len(values))
        return np.sort(values, axis=0)[cut : len(values) - cut].mean(axis=0)

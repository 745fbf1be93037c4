"""The updates that most others are close to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import ConfigError
from .base import FederatedStrategy, strategy
from .median import IN_THE_CLEAR
from .robust import RobustRule, krum_scores, lowest


@strategy("krum")
@dataclass(frozen=True, slots=True, kw_only=True)
class Krum(FederatedStrategy):
    """The mean of the `chosen` changes with the lowest sum of squared distances to their n - liars - 2 nearest others.

    With one that is Krum, which takes one site's change as it is; with more, Multi-Krum. Distances are taken in
    units of the range of each tensor, which all sites know, so that no tensor weighs more for its size alone; where all
    ranges are the same (the first round, the rule "fixed") the choice is the paper's. Sites count alike.

    Args:
        liars: f, how many sites may lie, >= 0; a round needs 2 f + 3 updates.
        chosen: how many changes are averaged, >= 1.

    Source: Blanchard et al. 2017, https://arxiv.org/abs/1703.02757, sections 4 and 5.
    """

    in_the_clear: ClassVar[str] = IN_THE_CLEAR
    equal_weights: ClassVar[bool] = True

    liars: int = 1
    chosen: int = 1

    def __post_init__(self) -> None:
        if self.liars < 0 or self.chosen < 1:
            raise ConfigError(f"expected liars >= 0 and chosen >= 1, got {self.liars} and {self.chosen}")

    def rule(self) -> RobustRule:
        """See `FederatedStrategy.rule`."""
        return KrumRule(self.liars, self.chosen)


@dataclass(frozen=True, slots=True)
class KrumRule:
    """The mean of the updates with the lowest scores."""

    liars: int
    chosen: int

    @property
    def fewest(self) -> int:
        """2 f + 3, and as many honest ones as are averaged."""
        return max(2 * self.liars + 3, self.chosen + self.liars)

    @property
    def needs_distances(self) -> bool:
        """Yes."""
        return True

    def choose(self, distances: np.ndarray) -> np.ndarray:
        """Those with the lowest scores."""
        return lowest(krum_scores(distances, self.liars), self.chosen)

    def join(self, values: np.ndarray) -> np.ndarray:
        """The mean."""
        return values.mean(axis=0)

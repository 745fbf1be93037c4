"""Rounds that wait for nobody."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np

from ...core import ConfigError
from .base import FederatedStrategy, State, check_positive, strategy


@strategy("fedbuff")
@dataclass(frozen=True, slots=True, kw_only=True)
class FedBuff(FederatedStrategy):
    """A round closes as soon as `buffer` changes have come, whatever model they began from; who is still training goes
    on, and counts in a later round. A change that is s rounds old counts (1 + s)^-staleness of a new one.

    In the clear only: the changes of a sum belong to several rounds, whose masks do not cancel, whose tags do not add
    up, and whose weights the coordinator sets.

    Args:
        buffer: K, how many changes close a round, >= 3.
        staleness: how fast old changes lose their weight, >= 0; the paper has 1/2.
        oldest: changes of more rounds ago are refused, >= 0.
        learning_rate: the model moves by so much of the mean, > 0.

    Source: Nguyen et al. 2022, https://arxiv.org/abs/2106.06639, algorithm 1.
    """

    in_the_clear: ClassVar[str] = (
        "adds up updates of several rounds, whose masks do not cancel and whose tags do not add up"
    )
    asynchronous: ClassVar[bool] = True

    buffer: int = 3
    staleness: float = 0.5
    oldest: int = 10
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        if self.buffer < 3 or self.oldest < 0:
            raise ConfigError(f"expected buffer >= 3 and oldest >= 0, got {self.buffer} and {self.oldest}")
        if not (isfinite(self.staleness) and self.staleness >= 0):
            raise ConfigError(f"expected staleness >= 0 and finite, got {self.staleness}")
        check_positive(learning_rate=self.learning_rate)

    @property
    def fewest(self) -> int:
        """As many as close a round."""
        return self.buffer

    def step(self, vector: np.ndarray, change: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """See `FederatedStrategy.step`."""
        return vector + np.float32(self.learning_rate) * change, state

    def weight(self, rounds: int) -> float:
        """What a change that is `rounds` rounds old counts."""
        return (1.0 + rounds) ** -self.staleness

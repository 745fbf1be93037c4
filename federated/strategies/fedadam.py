"""Adam at the server."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .adaptive import AdaptiveStrategy
from .base import check_decay, strategy


@strategy("fedadam")
@dataclass(frozen=True, slots=True, kw_only=True)
class FedAdam(AdaptiveStrategy):
    """v = beta2 v + (1 - beta2) change^2; see `AdaptiveStrategy`.

    Args:
        learning_rate: > 0; about how far a weight moves in a round.
        beta1: memory of the average of changes, in [0, 1).
        beta2: memory of the average of their squares, in [0, 1).
        tau: changes much smaller than this are not scaled up, > 0.

    Source: Reddi et al. 2021, https://arxiv.org/abs/2003.00295, algorithm 2.
    """

    beta2: float = 0.99

    def __post_init__(self) -> None:
        AdaptiveStrategy.__post_init__(self)
        check_decay(beta2=self.beta2)

    def _second(self, second: np.ndarray, squares: np.ndarray) -> np.ndarray:
        return np.float32(self.beta2) * second + np.float32(1 - self.beta2) * squares

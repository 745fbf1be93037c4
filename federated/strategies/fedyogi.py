"""Yogi at the server."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .adaptive import AdaptiveStrategy
from .base import check_decay, strategy


@strategy("fedyogi")
@dataclass(frozen=True, slots=True, kw_only=True)
class FedYogi(AdaptiveStrategy):
    """v = v - (1 - beta2) change^2 sign(v - change^2), which forgets large squares slowly; see `AdaptiveStrategy`.

    Args:
        learning_rate: > 0; about how far a weight moves in a round.
        beta1: memory of the average of changes, in [0, 1).
        beta2: how slowly v moves, in [0, 1).
        tau: changes much smaller than this are not scaled up, > 0.

    Source: Reddi et al. 2021, https://arxiv.org/abs/2003.00295, algorithm 2; Zaheer et al. 2018.
    """

    beta2: float = 0.99

    def __post_init__(self) -> None:
        AdaptiveStrategy.__post_init__(self)
        check_decay(beta2=self.beta2)

    def _second(self, second: np.ndarray, squares: np.ndarray) -> np.ndarray:
        return second - np.float32(1 - self.beta2) * squares * np.sign(second - squares)

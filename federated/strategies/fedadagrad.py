"""Adagrad at the server."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .adaptive import AdaptiveStrategy
from .base import strategy


@strategy("fedadagrad")
@dataclass(frozen=True, slots=True, kw_only=True)
class FedAdagrad(AdaptiveStrategy):
    """v = v + change^2, so steps become shorter and shorter; see `AdaptiveStrategy`.

    Args:
        learning_rate: > 0; about how far a weight moves in the first rounds.
        beta1: memory of the average of changes, in [0, 1); the paper has 0.
        tau: changes much smaller than this are not scaled up, > 0.

    Source: Reddi et al. 2021, https://arxiv.org/abs/2003.00295, algorithm 2.
    """

    beta1: float = 0.0

    def _second(self, second: np.ndarray, squares: np.ndarray) -> np.ndarray:
        return second + squares

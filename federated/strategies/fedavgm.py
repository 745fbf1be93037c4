"""Federated averaging with momentum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .base import FederatedStrategy, State, check_decay, check_positive, strategy


@strategy("fedavgm")
@dataclass(frozen=True, slots=True, kw_only=True)
class FedAvgM(FederatedStrategy):
    """The mean change joins a velocity, v = momentum v + change, and the model moves by it: w += rate v.

    With a rate of 1 and no momentum it is federated averaging, bit for bit.

    Args:
        learning_rate: > 0.
        momentum: in [0, 1).

    Source: Hsu et al. 2019, https://arxiv.org/abs/1909.06335, section 4 (without Nesterov's look ahead).
    """

    learning_rate: float = 1.0
    momentum: float = 0.9

    def __post_init__(self) -> None:
        check_positive(learning_rate=self.learning_rate)
        check_decay(momentum=self.momentum)

    def init(self, size: int) -> State:
        """The velocity, zero."""
        return {"velocity": np.zeros(size, np.float32)}

    def step(self, vector: np.ndarray, change: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """See `FederatedStrategy.step`."""
        velocity = np.float32(self.momentum) * state["velocity"] + change
        return vector + np.float32(self.learning_rate) * velocity, {"velocity": velocity}

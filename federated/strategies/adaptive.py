"""What the adaptive server optimisers have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from .base import FederatedStrategy, State, check_decay, check_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveStrategy(FederatedStrategy):
    """Steps scaled by a running average of the squared changes: w += rate m / (sqrt(v) + tau), where
    m = beta1 m + (1 - beta1) change, and a sub-class says how v moves.

    As in the paper, v begins at tau^2 and there is no correction of the averages' bias: the first steps are short.
    Flower's strategies of these names begin v at 0, and its FedAdam corrects the bias, counting rounds from 2.

    Source: Reddi et al. 2021, https://arxiv.org/abs/2003.00295, algorithm 2.
    """

    learning_rate: float = 0.03
    beta1: float = 0.9
    tau: float = 1e-3

    def __post_init__(self) -> None:
        check_positive(learning_rate=self.learning_rate, tau=self.tau)
        check_decay(beta1=self.beta1)

    def init(self, size: int) -> State:
        """The averages m and v."""
        tau = np.float32(self.tau)
        return {"first": np.zeros(size, np.float32), "second": np.full(size, tau * tau, np.float32)}

    def step(self, vector: np.ndarray, change: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """See `FederatedStrategy.step`."""
        first = np.float32(self.beta1) * state["first"] + np.float32(1 - self.beta1) * change
        second = self._second(state["second"], change * change)
        scaled = first / (np.sqrt(second) + np.float32(self.tau))
        return vector + np.float32(self.learning_rate) * scaled, {"first": first, "second": second}

    @abstractmethod
    def _second(self, second: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """What v becomes with the squares of a change."""

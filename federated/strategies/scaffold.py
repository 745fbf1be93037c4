"""Control variates against the drift of sites whose data differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ...core import ConfigError
from ...core.optim import SGD, Optimizer
from ..protocol.rounds import LocalTraining
from .base import Correction, FederatedStrategy, LocalStart, State, check_positive, strategy

CONTROL = "control"


@strategy("scaffold")
@dataclass(frozen=True, slots=True, kw_only=True)
class Scaffold(FederatedStrategy):
    """Every local step corrects the site's gradient by what sites in all differ from it: y -= rate (g - c_i + c).

    After K steps from x to y a site's control becomes c_i - c + (x - y) / (K rate) (option II), and what it changed by
    travels in the protected sum beside the change of the model; c moves by the sum over the number of all sites. c_i
    stays at the site. It moves by what was sent, rounded to levels as it was, so c is the mean of all c_i exactly, and
    only once the update is known to be in a sum. Sites count alike, as in the paper, and train by plain SGD, for which
    alone (x - y) / (K rate) is a mean of gradients.

    Args:
        learning_rate: of the local steps, > 0; in place of the plan's.
        server_learning_rate: the model moves by so much of the mean change, > 0.
        sites: how many there are, those that sit a round out included; 0 takes those in the sum.

    Source: Karimireddy et al. 2020, https://arxiv.org/abs/1910.06378, algorithm 1.
    """

    equal_weights: ClassVar[bool] = True
    private: ClassVar[str] = (
        "a site's control travels beside its change, and its size, that of a gradient, is bounded by no clip"
    )

    learning_rate: float = 0.05
    server_learning_rate: float = 1.0
    sites: int = 0

    def __post_init__(self) -> None:
        check_positive(learning_rate=self.learning_rate, server_learning_rate=self.server_learning_rate)
        if self.sites < 0:
            raise ConfigError(f"expected sites >= 0, got {self.sites}")

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The change of a site's control."""
        return (CONTROL,)

    def among(self, sites: int) -> Scaffold:
        """With the number of sites."""
        return self if self.sites else replace(self, sites=sites)

    def init(self, size: int) -> State:
        """The mean of all controls, zero."""
        return {CONTROL: np.zeros(size, np.float32)}

    def step(self, vector: np.ndarray, change: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """See `FederatedStrategy.step`."""
        return vector + np.float32(self.server_learning_rate) * change, state

    def absorb(self, extra: Mapping[str, np.ndarray], sites: int, state: State) -> State:
        """Move c by |S| / N of the mean."""
        part = np.float32(sites / max(self.sites, sites))
        return state | {CONTROL: state[CONTROL] + part * extra[CONTROL]}

    def optimizer(self, training: LocalTraining) -> Optimizer:
        """SGD; the decay of weights is a part of the loss."""
        return SGD(learning_rate=self.learning_rate, weight_decay=training.weight_decay)

    def correction(self, start: LocalStart) -> Correction | None:
        """See `FederatedStrategy.correction`: c - c_i."""
        own = start.own.get(CONTROL)
        difference = start.server[CONTROL] if own is None else start.server[CONTROL] - own

        def correct(parameters: Any, gradient: Any) -> None:
            gradient += difference

        return correct

    def extras(self, start: LocalStart, trained: np.ndarray, steps: int, learning_rate: float) -> State:
        """See `FederatedStrategy.extras`: -c + (x - y) / (K rate)."""
        moved = (start.parameters.astype(np.float64) - trained) / (steps * learning_rate)
        return {CONTROL: moved - start.server[CONTROL]}

    def keep(self, own: Mapping[str, np.ndarray], sent: Mapping[str, np.ndarray]) -> State:
        """c_i after the round."""
        before = own.get(CONTROL)
        return {CONTROL: sent[CONTROL] if before is None else before + sent[CONTROL]}

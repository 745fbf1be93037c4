"""Lion: the sign of momentum."""

from __future__ import annotations

from dataclasses import dataclass

from ..device import Array, ArrayModule
from .optimizer import ElementwiseOptimizer, Rule, check_below_one, check_range


@dataclass(frozen=True, slots=True, kw_only=True)
class Lion(ElementwiseOptimizer):
    """Every element moves by the learning rate, up or down: w -= rate (sign(beta1 m + (1 - beta1) g) + decay w).

    One running average only; rates three to ten times lower than Adam's, decay as much higher.

    Args:
        learning_rate: >= 0.
        beta1: weight of the average in the step, in [0, 1).
        beta2: memory of the average, in [0, 1).
        weight_decay: decoupled, >= 0.

    Source: Chen et al. 2023, https://arxiv.org/abs/2302.06675, algorithm 2.
    """

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_range(learning_rate=self.learning_rate, weight_decay=self.weight_decay)
        check_below_one(beta1=self.beta1, beta2=self.beta2)

    def _moments(self) -> tuple[str, ...]:
        return ("first",)

    def _rule(self, xp: ArrayModule, count: int, rate: float) -> Rule:
        shrink = 1 - rate * self.weight_decay

        def rule(w: Array, g: Array, s: Array, t: Array, first: Array) -> None:
            xp.multiply(first, self.beta1, out=s)
            xp.multiply(g, 1 - self.beta1, out=t)
            xp.add(s, t, out=t)
            xp.sign(t, out=t)
            xp.multiply(t, rate, out=t)
            if self.weight_decay:
                xp.multiply(w, shrink, out=w)
            xp.subtract(w, t, out=w)
            xp.multiply(first, self.beta2, out=first)
            xp.multiply(g, 1 - self.beta2, out=t)
            xp.add(first, t, out=first)

        return rule

"""Steps scaled by the history of squared gradients: Adagrad and RMSprop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..device import Array, ArrayModule
from ..tensor import Tensor
from .optimizer import ElementwiseOptimizer, OptimizerState, Rule, check_below_one, check_range, decayed


@dataclass(frozen=True, slots=True, kw_only=True)
class Adagrad(ElementwiseOptimizer):
    """Divide by the root of the sum of all squared gradients so far: w -= rate g / (sqrt(sum) + epsilon).

    Args:
        learning_rate: >= 0; the rate of step t is learning_rate / (1 + (t - 1) rate_decay).
        rate_decay: >= 0.
        initial_sum: what the sum starts from, >= 0.
        epsilon: >= 0.
        weight_decay: added to the gradient, >= 0.

    Source: Duchi et al. 2011, https://jmlr.org/papers/v12/duchi11a.html, with the diagonal matrix.
    """

    learning_rate: float = 1e-2
    rate_decay: float = 0.0
    initial_sum: float = 0.0
    epsilon: float = 1e-10
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_range(
            learning_rate=self.learning_rate,
            rate_decay=self.rate_decay,
            initial_sum=self.initial_sum,
            epsilon=self.epsilon,
            weight_decay=self.weight_decay,
        )

    def _moments(self) -> tuple[str, ...]:
        return ("sum",)

    def init(self, parameters: Sequence[Tensor]) -> OptimizerState:
        """Fresh state; the parameters become views of one buffer. See `ParameterBuffer`."""
        state = ElementwiseOptimizer.init(self, parameters)
        state.moments["sum"][...] = self.initial_sum
        return state

    def _rule(self, xp: ArrayModule, count: int, rate: float) -> Rule:
        size = rate / (1 + (count - 1) * self.rate_decay)

        def rule(w: Array, g: Array, s: Array, t: Array, total: Array) -> None:
            g = decayed(xp, w, g, self.weight_decay, s)
            xp.multiply(g, g, out=t)
            xp.add(total, t, out=total)
            xp.sqrt(total, out=t)
            xp.add(t, self.epsilon, out=t)
            xp.divide(g, t, out=t)
            xp.multiply(t, size, out=t)
            xp.subtract(w, t, out=w)

        return rule


@dataclass(frozen=True, slots=True, kw_only=True)
class RMSprop(ElementwiseOptimizer):
    """Divide by the root of a running average of squared gradients: w -= rate g / (sqrt(average) + epsilon).

    Args:
        learning_rate: >= 0.
        alpha: memory of the average, in [0, 1).
        epsilon: added outside the root, as in PyTorch, >= 0.
        momentum: of the scaled steps, in [0, 1).
        centered: divide by the root of the variance instead: the average of squares less the square of the average.
        weight_decay: added to the gradient, >= 0.

    Source: Hinton, Neural Networks for Machine Learning, lecture 6e; centred: Graves 2013,
    https://arxiv.org/abs/1308.0850, section 4.2.
    """

    learning_rate: float = 1e-2
    alpha: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    centered: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_range(learning_rate=self.learning_rate, epsilon=self.epsilon, weight_decay=self.weight_decay)
        check_below_one(alpha=self.alpha, momentum=self.momentum)

    def _moments(self) -> tuple[str, ...]:
        return ("second", *(("first",) if self.centered else ()), *(("velocity",) if self.momentum else ()))

    def _rule(self, xp: ArrayModule, count: int, rate: float) -> Rule:
        alpha, keep = self.alpha, 1 - self.alpha

        def rule(w: Array, g: Array, s: Array, t: Array, second: Array, *others: Array) -> None:
            g = decayed(xp, w, g, self.weight_decay, s)
            xp.multiply(second, alpha, out=second)
            xp.multiply(g, g, out=t)
            xp.multiply(t, keep, out=t)
            xp.add(second, t, out=second)
            if self.centered:
                first = others[0]
                xp.multiply(first, alpha, out=first)
                xp.multiply(g, keep, out=t)
                xp.add(first, t, out=first)
                xp.multiply(first, first, out=t)
                xp.subtract(second, t, out=t)
                xp.maximum(t, 0.0, out=t)  # rounding may leave a variance just below zero
                xp.sqrt(t, out=t)
            else:
                xp.sqrt(second, out=t)
            xp.add(t, self.epsilon, out=t)
            xp.divide(g, t, out=t)
            if self.momentum:
                velocity = others[-1]
                xp.multiply(velocity, self.momentum, out=velocity)
                xp.add(velocity, t, out=velocity)
                xp.multiply(velocity, rate, out=t)
            else:
                xp.multiply(t, rate, out=t)
            xp.subtract(w, t, out=w)

        return rule

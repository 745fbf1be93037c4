"""Adam and AdamW."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from ..device import Array, ArrayModule
from ..native import accelerate
from .optimizer import ElementwiseOptimizer, Rule, check_below_one, check_range, decayed


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam(ElementwiseOptimizer):
    """Steps scaled by running averages of the gradient and of its square.

    Args:
        learning_rate: >= 0.
        beta1: memory of the average of gradients, in [0, 1).
        beta2: memory of the average of their squares, in [0, 1).
        epsilon: added to the root of the second average, >= 0.
        weight_decay: added to the gradient, as part of the loss, >= 0; `AdamW` has the decoupled one.

    Source: Kingma & Ba 2015, https://arxiv.org/abs/1412.6980, algorithm 1.
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_range(learning_rate=self.learning_rate, weight_decay=self.weight_decay, epsilon=self.epsilon)
        check_below_one(beta1=self.beta1, beta2=self.beta2)

    def _moments(self) -> tuple[str, ...]:
        return ("first", "second")

    def _rule(self, xp: ArrayModule, count: int, rate: float) -> Rule:
        direction = adam_direction(xp, count, self.beta1, self.beta2, self.epsilon)
        size = rate / (1 - self.beta1**count)

        def rule(w: Array, g: Array, s: Array, t: Array, first: Array, second: Array) -> None:
            direction(decayed(xp, w, g, self.weight_decay, s), t, first, second)
            xp.multiply(t, size, out=t)
            xp.subtract(w, t, out=w)

        return rule


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamW(ElementwiseOptimizer):
    """Adam with decoupled weight decay: w -= rate weight_decay w, beside the adaptive step.

    Args:
        learning_rate: >= 0.
        beta1: memory of the average of gradients, in [0, 1).
        beta2: memory of the average of their squares, in [0, 1).
        epsilon: added to the root of the second average, >= 0.
        weight_decay: decoupled, >= 0.

    Source: Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101, algorithm 2.
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        check_range(learning_rate=self.learning_rate, weight_decay=self.weight_decay, epsilon=self.epsilon)
        check_below_one(beta1=self.beta1, beta2=self.beta2)

    def _moments(self) -> tuple[str, ...]:
        return ("first", "second")

    def _rule(self, xp: ArrayModule, count: int, rate: float) -> Rule:
        direction = adam_direction(xp, count, self.beta1, self.beta2, self.epsilon)
        size, shrink = rate / (1 - self.beta1**count), 1 - rate * self.weight_decay

        def rule(w: Array, g: Array, s: Array, t: Array, first: Array, second: Array) -> None:
            direction(g, t, first, second)
            if self.weight_decay:
                xp.multiply(w, shrink, out=w)
            xp.multiply(t, size, out=t)
            xp.subtract(w, t, out=w)

        return rule


def adam_direction(xp: ArrayModule, count: int, beta1: float, beta2: float, epsilon: float) -> Rule:
    """Update the averages and write first / (sqrt(second / (1 - beta2^count)) + epsilon) into scratch memory.

    What is left to the caller is the correction of the first average, 1 / (1 - beta1^count): it is a number, and
    joins the learning rate. The other is moved out of the root for the same reason.

    Returns:
        `(gradient, scratch, first, second) -> None`; `scratch` receives the direction.
    """
    keep1, keep2 = 1 - beta1, 1 - beta2
    correction = 1 / sqrt(1 - beta2**count)
    multiply, add = xp.multiply, xp.add

    def compiled(g: Array, t: Array, first: Array, second: Array) -> None:
        assert accelerate is not None
        accelerate.adam_direction(first, second, g, t, beta1, keep1, beta2, keep2, correction, epsilon)

    if accelerate is not None and xp.__name__ == "numpy":
        return compiled  # the same bits in one pass

    def direction(g: Array, t: Array, first: Array, second: Array) -> None:
        multiply(first, beta1, out=first)
        multiply(g, keep1, out=t)
        add(first, t, out=first)
        multiply(second, beta2, out=second)
        multiply(g, g, out=t)
        multiply(t, keep2, out=t)
        add(second, t, out=second)
        xp.sqrt(second, out=t)
        multiply(t, correction, out=t)
        add(t, epsilon, out=t)
        xp.divide(first, t, out=t)

    return direction

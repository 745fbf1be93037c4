"""Stochastic gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

from ..device import Array, ArrayModule
from ..errors import ConfigError
from ..native import accelerate
from .optimizer import ElementwiseOptimizer, Rule, check_below_one, check_range, decayed


@dataclass(frozen=True, slots=True, kw_only=True)
class SGD(ElementwiseOptimizer):
    """Gradient descent with momentum, in PyTorch's arrangement: v = momentum v + g, w -= rate v.

    Args:
        learning_rate: >= 0.
        momentum: in [0, 1).
        nesterov: look ahead by one step of momentum: w -= rate (g + momentum v); needs momentum > 0.
        weight_decay: added to the gradient, >= 0.

    Source: Sutskever et al. 2013, http://proceedings.mlr.press/v28/sutskever13.html.
    """

    learning_rate: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_range(learning_rate=self.learning_rate, weight_decay=self.weight_decay)
        check_below_one(momentum=self.momentum)
        if self.nesterov and not self.momentum:
            raise ConfigError("nesterov needs momentum > 0, got 0")

    def _moments(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def _rule(self, xp: ArrayModule, count: int, rate: float) -> Rule:
        momentum, decay = self.momentum, self.weight_decay

        def compiled(w: Array, g: Array, s: Array, t: Array) -> None:
            assert accelerate is not None
            accelerate.descend(w, g, rate)

        if accelerate is not None and xp.__name__ == "numpy" and not momentum and not decay:
            return compiled  # the same bits in one pass

        def plain(w: Array, g: Array, s: Array, t: Array) -> None:
            xp.multiply(decayed(xp, w, g, decay, s), rate, out=t)
            xp.subtract(w, t, out=w)

        def heavy_ball(w: Array, g: Array, s: Array, t: Array, velocity: Array) -> None:
            g = decayed(xp, w, g, decay, s)
            xp.multiply(velocity, momentum, out=velocity)
            xp.add(velocity, g, out=velocity)
            if self.nesterov:
                xp.multiply(velocity, momentum, out=t)
                xp.add(t, g, out=t)
                xp.multiply(t, rate, out=t)
            else:
                xp.multiply(velocity, rate, out=t)
            xp.subtract(w, t, out=w)

        return heavy_ball if momentum else plain

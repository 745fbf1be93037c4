"""Loss scaling: gradients in float16 that do not vanish."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from ..device import Array, device_of
from ..errors import ConfigError


@dataclass(frozen=True, slots=True)
class ScalerState:
    """Where a scaler stands: the factor on the loss, and steps with finite gradients since it last changed."""

    scale: float
    good_steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LossScaler:
    """Dynamic loss scaling: as high as the gradients stay finite.

    Multiply the loss by `state.scale`, take gradients, `unscale` them, and step only if they were finite:

    >>> import numpy as np
    >>> scaler = LossScaler()
    >>> state = scaler.init()
    >>> gradient = np.array([0.5, -0.25], np.float32) * state.scale  # of the scaled loss
    >>> state, finite = scaler.unscale(state, gradient)
    >>> finite, gradient.tolist()
    (True, [0.5, -0.25])
    >>> state, finite = scaler.unscale(state, np.array([np.inf], np.float32))
    >>> finite, state.scale
    (False, 32768.0)

    Args:
        initial: the first scale.
        growth: factor on the scale after `interval` good steps, > 1.
        backoff: factor on the scale after a step that was not finite, in (0, 1).
        interval: >= 1.
        lowest: the scale goes no lower, > 0: there is no use in shrinking what is infinite in itself.
        highest: the scale goes no higher.

    Powers of two throughout keep scaling exact. Source: Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740,
    section 3.2.
    """

    initial: float = 2.0**16
    growth: float = 2.0
    backoff: float = 0.5
    interval: int = 2000
    lowest: float = 2.0**-14
    highest: float = 2.0**24

    def __post_init__(self) -> None:
        if not (1 < self.growth < inf and 0 < self.backoff < 1 and self.interval >= 1):
            raise ConfigError(
                f"expected growth > 1, 0 < backoff < 1 and interval >= 1, "
                f"got {self.growth}, {self.backoff} and {self.interval}"
            )
        if not 0 < self.lowest <= self.initial <= self.highest < inf:
            raise ConfigError(
                f"expected 0 < lowest <= initial <= highest < inf, got {self.lowest}, {self.initial}, {self.highest}"
            )

    def init(self) -> ScalerState:
        """The state before the first step."""
        return ScalerState(self.initial)

    def unscale(self, state: ScalerState, gradient: Array) -> tuple[ScalerState, bool]:
        """Divide a gradient by the scale, in place, and adapt the scale.

        Args:
            state: as the loss was scaled.
            gradient: all gradients in one float32 vector, as `OptimizerState.gather` gives.

        Returns:
            The next state, and whether every element was finite; where not, the step is to be left out.
        """
        if not bool(device_of(gradient).xp.isfinite(gradient).all()):
            return ScalerState(max(state.scale * self.backoff, self.lowest)), False
        gradient *= 1 / state.scale
        if state.good_steps + 1 < self.interval:
            return ScalerState(state.scale, state.good_steps + 1), True
        return ScalerState(min(state.scale * self.growth, self.highest)), True

"""LAMB: Adam whose step in every tensor is as long as the tensor itself, times the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..device import Array
from ..tensor import Tensor
from .adam import adam_direction
from .buffer import ParameterBuffer
from .clip import l2_norm
from .optimizer import OptimizerState, blocks_of, check_below_one, check_range, checked_rate, staged, zero_moments


@dataclass(frozen=True, slots=True, kw_only=True)
class LAMB:
    """Layer-wise adaptive moments, for large batches: w -= rate |w| / |u| u with u Adam's direction plus decay w.

    Where a norm is zero, as that of a fresh bias, the factor |w| / |u| is 1.

    Args:
        learning_rate: >= 0.
        beta1: memory of the average of gradients, in [0, 1).
        beta2: memory of the average of their squares, in [0, 1).
        epsilon: added to the root of the second average, >= 0.
        weight_decay: >= 0; part of u.

    Source: You et al. 2020, https://arxiv.org/abs/1904.00962, algorithm 2 with the identity for phi.
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        check_range(learning_rate=self.learning_rate, weight_decay=self.weight_decay, epsilon=self.epsilon)
        check_below_one(beta1=self.beta1, beta2=self.beta2)

    def init(self, parameters: Sequence[Tensor]) -> OptimizerState:
        """Fresh state, moments zero; the parameters become views of one buffer. See `ParameterBuffer`."""
        buffer = ParameterBuffer(parameters)
        moments = zero_moments(buffer, ("first", "second"))
        update = buffer.empty(buffer.size)
        tensors = [(buffer.part(buffer.vector, place), buffer.part(update, place)) for place in buffer.segments]
        return OptimizerState(0, buffer, moments, blocks_of(buffer, moments, update=update), tensors)

    @staged
    def step(
        self, state: OptimizerState, gradients: Sequence[Tensor] | Array, *, learning_rate: float | None = None
    ) -> OptimizerState:
        """Update the parameters in place; see `ElementwiseOptimizer.step`."""
        rate = checked_rate(self.learning_rate if learning_rate is None else learning_rate)
        state.gather(gradients)
        xp, count = state.buffer.xp, state.step + 1
        direction = adam_direction(xp, count, self.beta1, self.beta2, self.epsilon)
        correction = 1 / (1 - self.beta1**count)
        for w, g, s, u, first, second in state.blocks:
            direction(g, u, first, second)
            xp.multiply(u, correction, out=u)
            if self.weight_decay:
                xp.multiply(w, self.weight_decay, out=s)
                xp.add(u, s, out=u)
        for w, u in state.tensors:
            long, step = l2_norm(w), l2_norm(u)
            ratio = long / step if long > 0 and step > 0 else 1.0
            xp.multiply(u, rate * ratio, out=u)
            xp.subtract(w, u, out=w)
        state.buffer.publish()
        return state.advanced()

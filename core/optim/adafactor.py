"""Adafactor: second moments kept as one row and one column per matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod, sqrt

import numpy as np

from ..device import Array
from ..errors import ConfigError
from ..tensor import Tensor
from .buffer import ParameterBuffer
from .clip import l2_norm
from .optimizer import OptimizerState, check_range, checked_rate, staged


@dataclass(frozen=True, slots=True, kw_only=True)
class Adafactor:
    """Adam without first moments, its second moments factored: memory of R + C numbers for an (R, C) matrix.

    A tensor of more than two axes is a stack of matrices over its last two; vectors and numbers keep all their second
    moments. The step's length follows the size of the tensor, and its root mean square is clipped.

    Args:
        learning_rate: the highest relative step, >= 0; step t takes at most 1 / sqrt(t).
        decay: the memory of step t is 1 - t**decay; <= 0.
        epsilon1: floor of the second moments' root, >= 0; None is the dtype's machine epsilon.
        epsilon2: floor of the tensor's root mean square, >= 0.
        clip: largest root mean square of an update before the learning rate, >= 1.
        weight_decay: w -= learning_rate weight_decay w, >= 0.

    Source: Shazeer & Stern 2018, https://arxiv.org/abs/1804.04235, algorithms 4 and 5; in PyTorch's arrangement.
    """

    learning_rate: float = 1e-2
    decay: float = -0.8
    epsilon1: float | None = None
    epsilon2: float = 1e-3
    clip: float = 1.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_range(
            learning_rate=self.learning_rate,
            minus_decay=-self.decay,
            epsilon1=self.epsilon1 or 0.0,
            epsilon2=self.epsilon2,
            weight_decay=self.weight_decay,
        )
        if not self.clip >= 1:
            raise ConfigError(f"expected clip >= 1, got {self.clip}")

    def init(self, parameters: Sequence[Tensor]) -> OptimizerState:
        """Fresh state; the moments are "row" and "column" for matrices, one after the other, and "second" for the rest.

        The parameters become views of one buffer; see `ParameterBuffer`.
        """
        buffer = ParameterBuffer(parameters)
        shapes = [_moment_shapes(segment.shape) for segment in buffer.segments]
        moments: dict[str, Array] = {
            name: buffer.xp.zeros(sum(prod(shape[name]) for shape in shapes if name in shape), buffer.vector.dtype)
            for name in ("row", "column", "second")
        }
        update = buffer.empty(buffer.size)
        tensors: list[tuple[Array, ...]] = []
        start = dict.fromkeys(moments, 0)
        for segment, shape in zip(buffer.segments, shapes, strict=True):
            own: list[Array] = []
            for name, wanted in shape.items():
                stop = start[name] + prod(wanted)
                own.append(moments[name][start[name] : stop].reshape(wanted))
                start[name] = stop
            views = (buffer.part(vector, segment) for vector in (buffer.vector, buffer.gradient, update))
            tensors.append((*views, *own))
        return OptimizerState(0, buffer, moments, tensors=tensors)

    @staged
    def step(
        self, state: OptimizerState, gradients: Sequence[Tensor] | Array, *, learning_rate: float | None = None
    ) -> OptimizerState:
        """Update the parameters in place; see `ElementwiseOptimizer.step`."""
        rate = checked_rate(self.learning_rate if learning_rate is None else learning_rate)
        state.gather(gradients)
        xp, count = state.buffer.xp, state.step + 1
        epsilon1 = float(np.finfo(state.parameters.dtype).eps) if self.epsilon1 is None else self.epsilon1
        new = count**self.decay  # part of the newest gradient in the moments
        relative = min(rate, 1 / sqrt(count))
        for w, g, u, *moments in state.tensors:
            if not w.size:
                continue
            size = max(self.epsilon2, l2_norm(w) / sqrt(w.size)) * relative
            if self.weight_decay:
                xp.multiply(w, 1 - rate * self.weight_decay, out=w)
            xp.multiply(g, g, out=u)
            if len(moments) == 2:
                row, column = moments
                row += new * (u.mean(-1, keepdims=True) - row)
                column += new * (u.mean(-2, keepdims=True) - column)
                xp.multiply(row / xp.maximum(row.mean(-2, keepdims=True), epsilon1), column, out=u)
            else:
                (second,) = moments
                second += new * (u - second)
                u[...] = second
            xp.maximum(u, epsilon1**2, out=u)
            xp.sqrt(u, out=u)
            xp.divide(g, u, out=u)
            excess = max(1.0, l2_norm(u) / (sqrt(u.size) * self.clip))
            xp.multiply(u, size / excess, out=u)
            xp.subtract(w, u, out=w)
        state.buffer.publish()
        return state.advanced()


def _moment_shapes(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    if len(shape) < 2:
        return {"second": shape}
    return {"row": (*shape[:-1], 1), "column": (*shape[:-2], 1, shape[-1])}

"""Gradients of a large batch from small ones."""

from __future__ import annotations

from collections.abc import Sequence

from ..device import Array
from ..errors import ConfigError
from ..tensor import Tensor
from .optimizer import OptimizerState


class GradientAccumulator:
    """The mean of the gradients of micro-batches, weighted by their rows: the gradient of the whole batch's mean loss.

    (Layers that look at the whole batch, such as batch normalisation, see the micro-batch.)

    Args:
        state: of the optimiser that will take the step; its buffer receives the mean.

    Attributes:
        rows: seen since the last mean.
    """

    def __init__(self, state: OptimizerState) -> None:
        self._buffer = state.buffer
        self._total: Array = state.buffer.xp.zeros_like(state.buffer.gradient)
        self.rows = 0

    def add(self, gradients: Sequence[Tensor] | Array, rows: int) -> None:
        """Add the gradients of the mean loss over `rows` rows; see `ParameterBuffer.gather`.

        Raises:
            ConfigError: `rows` is less than 1.
        """
        if rows < 1:
            raise ConfigError(f"expected a micro-batch of at least one row, got {rows}")
        part = self._buffer.gather(gradients)
        part *= rows
        self._total += part
        self.rows += rows

    def mean(self) -> Array:
        """The mean as one vector, for `step`; begins anew.

        Raises:
            ConfigError: nothing was added.
        """
        if not self.rows:
            raise ConfigError("no gradients were added since the last mean")
        gradient = self._buffer.gradient
        self._buffer.xp.multiply(self._total, 1 / self.rows, out=gradient)
        self._total[...] = 0
        self.rows = 0
        return gradient

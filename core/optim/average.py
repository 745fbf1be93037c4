"""Averages of the parameters along the way, which often generalise better than the last ones."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from ..device import Array
from ..state import current_stage
from .optimizer import OptimizerState, check_below_one


@dataclass(slots=True, eq=False)
class Average:
    """An average of parameters: steps it has seen, and its values, shape (n,). The next step changes it in place."""

    step: int
    values: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class EMA:
    """Exponential moving average of all parameters: average = decay average + (1 - decay) parameters.

    Buffers of a model, such as running means, are averages already and are not part of it.

    Args:
        decay: memory, in [0, 1).
        warmup: let the memory grow, min(decay, (1 + t) / (10 + t)) at step t, so that the beginning is soon forgotten.

    Source: Polyak & Juditsky 1992 for averaging; the warm-up as in TensorFlow's `ExponentialMovingAverage`.
    """

    decay: float = 0.999
    warmup: bool = True

    def __post_init__(self) -> None:
        check_below_one(decay=self.decay)

    def init(self, state: OptimizerState) -> Average:
        """An average of the parameters as they are."""
        return Average(0, state.parameters.copy())

    def step(self, average: Average, state: OptimizerState) -> Average:
        """Take in the parameters after a step of the optimiser. `average` is changed in place; go on with the result.

        The optimiser's gradient buffer serves as scratch memory.
        """
        stage = current_stage()
        if stage is not None:
            stage.effect("EMA.step", partial(self._step, average, state), (), touches=[average.values], subject=None)
            return average
        self._step(average, state)
        return average

    def _step(self, average: Average, state: OptimizerState) -> None:
        count = average.step + 1
        decay = min(self.decay, (1 + count) / (10 + count)) if self.warmup else self.decay
        scratch, xp = state.buffer.gradient, state.buffer.xp
        xp.subtract(state.parameters, average.values, out=scratch)
        xp.multiply(scratch, 1 - decay, out=scratch)
        xp.add(average.values, scratch, out=average.values)
        average.step = count


@contextmanager
def swapped(average: Average, state: OptimizerState) -> Generator[None]:
    """Exchange parameters and average for the length of the block, to measure or save the averaged model."""
    _exchange(average, state)
    try:
        yield
    finally:
        _exchange(average, state)


def _exchange(average: Average, state: OptimizerState) -> None:
    held = average.values.copy()
    average.values[...] = state.parameters
    state.parameters[...] = held
    state.buffer.publish()

"""Reals as a few levels, without bias: what is encrypted are small integers, so sums are exact.

A value x in [-c, c] lies between two of L equidistant levels, and is rounded to one of them at random so that its mean
is x (Alistarh et al. 2017, https://arxiv.org/abs/1610.02132, with one scale for all). Of a mean over n updates, the
error is at most one step, 2c / (L - 1), and its standard deviation at most c / ((L - 1) sqrt n). Values beyond the
range are moved to its ends. With an odd L, zero is a level and stays zero. The arithmetic is float32, which moves the
mean by at most 2^-22 of |x| + step.

The randomness need not be secret: it protects from bias, not from readers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core import ConfigError
from .blocks import blocks
from .errors import PrivacyError
from .presets import MAX_LEVELS

_BLOCK = 1 << 16  # values handled at once
_BOUNDS = (1e-30, 1e30)  # float32 holds the step and sums of any


@dataclass(frozen=True, slots=True)
class StochasticQuantizer:
    """Rounds to levels and back.

    Attributes:
        levels: L, 2 to 65,536.
        bound: c, the end of the range, in the values' unit; 1e-30 to 1e30.

    Raises:
        ConfigError: out of range.
    """

    levels: int
    bound: float

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= MAX_LEVELS or not _BOUNDS[0] <= self.bound <= _BOUNDS[1]:
            raise ConfigError(
                f"expected 2 to {MAX_LEVELS} levels and a bound from {_BOUNDS[0]} to {_BOUNDS[1]}, "
                f"got {self.levels} and {self.bound}"
            )

    @property
    def step(self) -> float:
        """Between two levels."""
        return 2 * self.bound / (self.levels - 1)

    def encode(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The levels of values.

        Args:
            values: shape (n,), floating; not modified.
            rng: rounds up or down.

        Returns:
            Shape (n,), the smallest unsigned dtype that holds L - 1.

        Raises:
            PrivacyError: a value is not finite.
        """
        symbols = np.empty(len(values), np.min_scalar_type(self.levels - 1))
        middle = (self.levels - 1) // 2
        end = np.float32((self.levels - 1) / 2)
        shift = end - np.float32(middle)  # one half where no level is zero
        for part in blocks(len(values), _BLOCK):
            with np.errstate(over="ignore"):  # what is beyond float32 is beyond the range
                wide = np.divide(values[part], self.step, dtype=np.result_type(values, np.float32))
                scaled = wide.astype(np.float32, copy=False)
            finite = np.isfinite(scaled.min()) and np.isfinite(scaled.max())
            if not finite and not np.isfinite(values[part]).all():
                raise PrivacyError(
                    "a value to be summed is not finite", hint="the training diverged: lower the learning rate"
                )
            np.clip(scaled, -end, end, out=scaled)
            scaled += shift
            below = np.floor(scaled)
            scaled -= below  # exactly 0 for a level, so that zero stays zero
            below += rng.random(len(scaled), dtype=np.float32) < scaled
            below += middle
            symbols[part] = below
        return symbols

    def decode(self, sums: np.ndarray, summands: int) -> np.ndarray:
        """The values of sums of levels.

        Args:
            sums: shape (n,), integers.
            summands: how many updates are in them, >= 1.

        Returns:
            Shape (n,) float32: the sums of the rounded values.
        """
        values = np.empty(len(sums), np.float32)
        zero = summands * (self.levels - 1) / 2
        for part in blocks(len(sums), _BLOCK):
            values[part] = (sums[part].astype(np.float64) - zero) * self.step
        return values

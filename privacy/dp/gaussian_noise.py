"""Continuous Gaussian noise from the operating system, in sums that are released on a grid.

Who reads a noisy sum knows everything but the noise: it must be independent of all that went before, so its bits come
from the operating system, never from a generator with a seed. And the low digits of a floating-point sum tell which
pairs of value and noise can have made it, often only one (Mironov 2012, https://doi.org/10.1145/2382196.2382264). So
the noise is added in float64 and the sum rounded to a grid that depends on the deviation alone, about a million steps
to a deviation. Rounding what is private already costs no privacy, and it takes those digits away: of one step of the
grid some 2**30 float64 values are merged.

What is left is that the noise is not quite Gaussian. Its values are those of exact noise moved by about 1e-9
deviations, and none lies beyond 9.5 deviations, where exact noise has a mass of about 2**-69. Both are small against
any delta in use, and neither is part of the accounting. Where exactness is wanted to the letter, the noise of a
client's update is: see `client_dp`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Final

import numpy as np

from ...core import ConfigError

RandomBytes = Callable[[int], bytes]
GRID_BITS: Final = 20  # steps of the grid to a deviation, as a power of two; up to twice as many
_UNIT = 2.0**-64


def add_gaussian(total: np.ndarray, deviation: float, random_bytes: RandomBytes = os.urandom) -> np.ndarray:
    """A sum with Gaussian noise, rounded to the grid of the deviation.

    Args:
        total: shape (n,), finite; not modified.
        deviation: of the noise in each element, in [1e-30, 1e30].
        random_bytes: gives that many random bytes; another source than the operating system is for tests.

    Returns:
        Shape (n,), float64.

    Raises:
        ConfigError: the deviation is out of range.
    """
    if not 1e-30 <= deviation <= 1e30:
        raise ConfigError(f"expected noise of a deviation in [1e-30, 1e30], got {deviation}")
    step = math.ldexp(1.0, math.frexp(deviation)[1] - 1 - GRID_BITS)
    noisy = standard_gaussian(total.size, random_bytes)
    noisy *= deviation
    noisy += total
    noisy /= step  # a power of two: exact
    return np.rint(noisy, out=noisy) * step


def standard_gaussian(count: int, random_bytes: RandomBytes = os.urandom) -> np.ndarray:
    """Independent Gaussian values of mean 0 and deviation 1, shape (count,), float64.

    Source: Box and Muller 1958, https://doi.org/10.1214/aoms/1177706645; two values of 128 random bits.
    """
    pairs = (count + 1) // 2
    words = np.frombuffer(random_bytes(16 * pairs), "<u8").reshape(2, pairs)
    radius = np.sqrt(-2.0 * np.log((words[0] + 0.5) * _UNIT))
    angle = words[1] * (2.0 * math.pi * _UNIT)
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]

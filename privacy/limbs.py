"""Integers that must stay exact, as digits in base L: counts travel in the same sum as quantised values.

An integer below L^m becomes m symbols, the least significant first. Sums of symbols do not carry, so the sum of the
integers is the sum of L^i times the i-th sum.
"""

from __future__ import annotations

import numpy as np

from ..core import ConfigError
from .errors import PrivacyError

_MAX_SUM = 2**63 - 1


def limbs_for(largest: int, levels: int) -> int:
    """How many symbols of `levels` levels hold integers from 0 to `largest`."""
    if largest < 0 or levels < 2:
        raise ConfigError(f"expected largest >= 0 and levels >= 2, got {largest} and {levels}")
    count = 1
    while levels**count <= largest:
        count += 1
    return count


def encode_limbs(integers: np.ndarray, levels: int, limbs: int) -> np.ndarray:
    """Integers as symbols.

    Args:
        integers: shape (n,), an integer dtype, from 0 to levels**limbs - 1 and below 2**63.

    Returns:
        Shape (n * limbs,), the limbs of one integer side by side, the smallest unsigned dtype that holds levels - 1.

    Raises:
        PrivacyError: not integers, or one out of range.
    """
    if integers.dtype.kind not in "iu":
        raise PrivacyError(f"expected integers to be summed, got {integers.dtype}")
    rest = integers.astype(np.int64)
    symbols = np.empty((len(rest), limbs), np.min_scalar_type(levels - 1))
    if (rest < 0).any():
        raise PrivacyError("an integer to be summed is negative, or beyond 63 bits")
    for place in range(limbs):
        rest, symbols[:, place] = np.divmod(rest, levels)
    if rest.any():
        raise PrivacyError(f"an integer to be summed is not below {levels}**{limbs}")
    return symbols.reshape(-1)


def decode_limbs(sums: np.ndarray, levels: int, limbs: int) -> np.ndarray:
    """The sums of the integers: shape (n,) int64.

    Args:
        sums: of symbols, shape (n * limbs,), integers.

    Raises:
        PrivacyError: a sum is beyond 64 bits.
    """
    columns = sums.reshape(-1, limbs)
    if limbs and sum(int(columns[:, i].max(initial=0)) * levels**i for i in range(limbs)) > _MAX_SUM:
        raise PrivacyError("a sum of integers is beyond 64 bits")
    total = np.zeros(len(columns), np.int64)
    for place in range(limbs - 1, -1, -1):
        total = total * levels + columns[:, place].astype(np.int64)
    return total

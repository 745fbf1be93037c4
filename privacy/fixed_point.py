"""Fixed-point numbers: what is summed are integers, so a sum is exact and the same with and without encryption.

CKKS computes with noise of about 1e-4 on integers of this size (measured: 200 updates of 32 bits), far below one half,
so rounding a decrypted sum gives the exact integer. That also keeps the noise, which depends on the key, from leaving
with the result (Li & Micciancio 2021, https://eprint.iacr.org/2020/1533).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core import ConfigError
from .errors import PrivacyError

MAX_BITS = 32  # of the absolute value of one summand
MAX_SUMMANDS = 1024  # MAX_BITS + 10 + the 40 bits of the CKKS scale stay below its 100-bit modulus


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Reals as integers: x is stored as round(x * 2**fraction_bits), of magnitude at most 2**MAX_BITS.

    Attributes:
        fraction_bits: binary places; the error of one value is at most 2**-(fraction_bits + 1).
    """

    fraction_bits: int = 24

    def __post_init__(self) -> None:
        if not 0 <= self.fraction_bits <= MAX_BITS:
            raise ConfigError(f"expected 0 <= fraction_bits <= {MAX_BITS}, got {self.fraction_bits}")

    @property
    def bound(self) -> float:
        """The largest absolute value; larger ones are refused, for a silent clip would be a silent error."""
        return 2.0 ** (MAX_BITS - self.fraction_bits)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Real values, shape (n,), to int64.

        Raises:
            PrivacyError: a value is not finite, or beyond `bound`.
        """
        if not (np.abs(values) <= self.bound).all():  # NaN fails every comparison
            raise PrivacyError(
                f"a value to be summed is not finite or beyond {self.bound:g}",
                hint="the training diverged: lower the learning rate",
            )
        return np.rint(values.astype(np.float64) * 2.0**self.fraction_bits).astype(np.int64)

    def decode(self, integers: np.ndarray) -> np.ndarray:
        """Sums of encoded values, shape (n,) int64, to float64."""
        return integers.astype(np.float64) * 2.0**-self.fraction_bits

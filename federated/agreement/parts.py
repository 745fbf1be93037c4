"""Integers of different sizes as one vector of symbols that is summed: what a contribution looks like.

A part is some numbers of one kind, each from 0 (or minus its bound) to its bound. A flag takes one symbol, a count of
rows five or six at 255 levels: see `privacy.limbs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...privacy import decode_limbs, encode_limbs, limbs_for
from ..errors import AgreementError, Refusal


@dataclass(frozen=True, slots=True)
class Part:
    """Some numbers of a contribution.

    Attributes:
        name: of the part.
        count: how many numbers it has; may be 0.
        largest: of one number of one site, at most 2**52: sums of a thousand fit in 63 bits.
        signed: whether numbers may be as far below 0.
    """

    name: str
    count: int
    largest: int
    signed: bool = False

    def limbs(self, levels: int) -> int:
        """Symbols of one number."""
        return limbs_for(self._span, levels)

    @property
    def _span(self) -> int:
        return 2 * self.largest if self.signed else self.largest

    def encode(self, numbers: np.ndarray, levels: int) -> np.ndarray:
        """Numbers, shape (count,), as symbols.

        Raises:
            AgreementError: not so many numbers, or one out of range.
        """
        low = -self.largest if self.signed else 0
        if numbers.shape != (self.count,) or numbers.dtype.kind not in "iub":
            raise AgreementError(f"{self.name}: expected {self.count} integers, got {numbers.dtype} {numbers.shape}")
        wide = numbers.astype(np.int64)
        if not ((wide >= low) & (wide <= self.largest)).all():
            raise AgreementError(
                f"{self.name}: a number is not from {low} to {self.largest}",
                hint="this site's data is not what the question was made for: it may have changed since the last one",
                refusal=Refusal.DATA,
            )
        return encode_limbs(wide - low, levels, self.limbs(levels))

    def decode(self, sums: np.ndarray, levels: int, summands: int) -> np.ndarray:
        """Sums of symbols as sums of numbers, shape (count,) int64.

        Raises:
            AgreementError: a sum that so many sites' numbers cannot have.
        """
        numbers = decode_limbs(sums, levels, self.limbs(levels))
        if self.signed:
            numbers = numbers - summands * self.largest
        if (numbers > summands * self.largest).any():
            raise false_values()
        return numbers


def symbol_count(parts: tuple[Part, ...], levels: int) -> int:
    """How many symbols a contribution has."""
    return sum(part.count * part.limbs(levels) for part in parts)


def encode_parts(parts: tuple[Part, ...], numbers: Mapping[str, np.ndarray], levels: int) -> np.ndarray:
    """A contribution as symbols: shape (symbol_count,), the smallest unsigned dtype that holds levels - 1."""
    return np.concatenate([part.encode(numbers[part.name], levels) for part in parts])


def decode_parts(parts: tuple[Part, ...], sums: np.ndarray, levels: int, summands: int) -> dict[str, np.ndarray]:
    """A sum of symbols, shape (symbol_count,), as the sums of each part's numbers."""
    found: dict[str, np.ndarray] = {}
    start = 0
    for part in parts:
        stop = start + part.count * part.limbs(levels)
        found[part.name] = part.decode(sums[start:stop], levels, summands)
        start = stop
    return found


def false_values() -> AgreementError:
    """What is said of a sum that honest contributions cannot add up to."""
    return AgreementError(
        "a sum that contributions cannot add up to: a site has sent false values",
        hint="ask the sites which of them runs something else, or has other data than it says",
        refusal=Refusal.SUM,
    )

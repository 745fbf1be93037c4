"""Updates of several rounds as the sum of one: older changes count less, and sites open it like any sum.

Ranges are the same in all rounds (the rule "fixed"), so levels mean the same. What is added up is rounded to whole
steps, by at most half a step in the sum; weights and counts are added as they are, so that a stale change shortens the
step instead of leaving more to the others, as in the paper of `strategies.FedBuff`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ...privacy import Adder, PlainAdder
from .symbols import UpdateSymbols

_BLOCK: Final = 1 << 16  # symbols handled at once


@dataclass(frozen=True, slots=True)
class BufferedUpdate:
    """An update in the clear.

    Attributes:
        symbols: shape (values,), unsigned.
        factor: what its change counts, in (0, 1].
    """

    symbols: np.ndarray
    factor: float


def add_stale(updates: Sequence[BufferedUpdate], symbols: UpdateSymbols, levels: int) -> np.ndarray:
    """The sums of symbols: shape (values,) uint32; those of plain addition where all factors are 1.

    Args:
        updates: at least one.
        symbols: what they mean.
        levels: of a symbol.
    """
    count, half = len(updates), (levels - 1) / 2
    sums = np.empty(symbols.values, np.uint32)
    for start in range(0, symbols.quantised, _BLOCK):
        part = slice(start, min(start + _BLOCK, symbols.quantised))
        away = np.zeros(part.stop - part.start)
        for update in updates:
            away += update.factor * (update.symbols[part] - half)
        sums[part] = np.rint(away + count * half)
    integers = [symbols.integers(update.symbols) for update in updates]
    exact = np.sum(integers, axis=0)
    buffers = sum(part.size for part in symbols.layout.parts if not part.quantised)
    scaled = [update.factor * own[:buffers] for update, own in zip(updates, integers, strict=True)]
    exact[:buffers] = np.rint(np.sum(scaled, axis=0))
    sums[symbols.quantised :] = symbols.as_if_said(exact, count)
    return sums


class KeepingAdder(PlainAdder):
    """A `PlainAdder` that keeps the symbols of what was added last, for who adds up in another way.

    Args:
        inner: of the scheme.
    """

    def __init__(self, inner: PlainAdder) -> None:
        super().__init__(inner.preset, sparse=not inner.fixed_length)
        self.last = np.empty(0, np.uint32)

    def read(self, body: bytes | memoryview, values: int) -> np.ndarray:
        """See `PlainAdder.read`."""
        self.last = super().read(body, values)
        return self.last


def keep_what_is_added(adder: Adder) -> KeepingAdder:
    """Such an adder around one that can read updates."""
    assert isinstance(adder, PlainAdder)
    return KeepingAdder(adder)

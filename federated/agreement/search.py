"""Medians and ranges by protected counts: the k-th smallest number, eight bits at a time.

Doubles are read as integers of the same order. Each step counts, over all sites, how many numbers have the bits that
are known already, and each of the 256 values of the next eight; from these counts every site sees in which the k-th
lies. Four steps give 32 bits: sign, exponent and 20 bits of the fraction, the rest counts as 0. So whole numbers below
2^21 and other short ones come out exactly, all others within 2^-20 of themselves, towards 0.

Threat model: as for all sums here. What comes out is close to one number of one row; that is what a median or a range
is, and a job that asks for them says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .numbers import MAX_COUNT
from .parts import Part, false_values

LEVELS: Final = 4
BUCKETS: Final = 256
_SIGN: Final = np.uint64(1 << 63)


@dataclass(frozen=True, slots=True)
class Search:
    """How far a search is; the same at every site, and of no one else's concern.

    Attributes:
        prefixes: for every group and rank the bits that are known, shape (groups, ranks).
        ranks: which of the numbers with these bits is looked for, from 0; None before the counts are known.
        level: how many times eight bits are known.
        senders: whose numbers are counted: a step with others begins again.
    """

    prefixes: tuple[tuple[int, ...], ...]
    ranks: tuple[tuple[int, ...], ...] = ()
    level: int = 0
    senders: tuple[str, ...] = ()

    @classmethod
    def begin(cls, groups: int, ranks: int) -> Search:
        """Nothing is known."""
        return cls(tuple((0,) * ranks for _ in range(groups)))

    @property
    def done(self) -> bool:
        """Whether 32 bits are known."""
        return self.level == LEVELS

    def count(self, numbers: Iterable[np.ndarray]) -> np.ndarray:
        """A site's counts: shape (groups * ranks * 256,) int64.

        Args:
            numbers: of each group, shape (n,), float64, finite.
        """
        counts: list[np.ndarray] = []
        known, shift = np.uint64(64 - 8 * self.level), np.uint64(56 - 8 * self.level)
        for values, prefixes in zip(numbers, self.prefixes, strict=True):
            keys = _keys(values)
            for prefix in prefixes:
                inside = keys if self.level == 0 else keys[keys >> known == np.uint64(prefix)]
                counts.append(np.bincount((inside >> shift & np.uint64(255)).astype(np.int64), minlength=BUCKETS))
        return np.concatenate(counts) if counts else np.zeros(0, np.int64)

    def narrow(self, sums: np.ndarray, senders: tuple[str, ...], quantiles: tuple[str, ...]) -> Search:
        """What the sums of all counts tell.

        Args:
            sums: shape (groups * ranks * 256,).
            senders: whose counts they are.
            quantiles: what each rank stands for, see `ranks_of`.

        Raises:
            AgreementError: counts no numbers have.
        """
        tables = sums.reshape(len(self.prefixes), len(quantiles), BUCKETS)
        if self.level and senders != self.senders:  # the ranks are those of other numbers
            return Search.begin(len(self.prefixes), len(quantiles))
        prefixes: list[tuple[int, ...]] = []
        ranks: list[tuple[int, ...]] = []
        for group, table in enumerate(tables):
            wanted = self.ranks[group] if self.level else ranks_of(int(table[0].sum()), quantiles)  # -1: none at all
            found = [self._place(row, rank) for row, rank in zip(table, wanted, strict=True)]
            prefixes.append(tuple(p << 8 | place for p, (place, _) in zip(self.prefixes[group], found, strict=True)))
            ranks.append(tuple(rank for _, rank in found))
        return Search(tuple(prefixes), tuple(ranks), self.level + 1, senders)

    def values(self) -> np.ndarray:
        """The numbers that were found: shape (groups, ranks) float64."""
        keys = np.asarray(self.prefixes, np.uint64).reshape(len(self.prefixes), -1) << np.uint64(32)
        positive = keys & _SIGN != 0
        bits = np.where(positive, keys ^ _SIGN, ~keys & np.uint64(0xFFFFFFFF00000000))
        return bits.view(np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"prefixes": self.prefixes, "ranks": self.ranks, "level": self.level, "senders": self.senders}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Search:
        """The inverse of `to_dict`, of what this site wrote."""
        prefixes, ranks = (tuple(tuple(row) for row in fields[name]) for name in ("prefixes", "ranks"))
        return cls(prefixes, ranks, fields["level"], tuple(fields["senders"]))

    def _place(self, counts: np.ndarray, rank: int) -> tuple[int, int]:
        """The bucket that holds a rank, and the rank within it."""
        if rank < 0:
            return (0 if self.level else 0x80), rank  # 0 stands for the numbers of a group that has none
        until = np.cumsum(counts)
        place = int(np.searchsorted(until, rank, side="right"))
        if place == BUCKETS:
            raise false_values()
        return place, rank - int(until[place - 1]) if place else rank


def ranks_of(count: int, quantiles: tuple[str, ...]) -> tuple[int, ...]:
    """Which of `count` sorted numbers are looked for."""
    last = count - 1
    known = {"lowest": 0, "lower middle": last // 2, "upper middle": (last + 1) // 2, "highest": last}
    return tuple(known[name] if count else -1 for name in quantiles)


def search_part(groups: int, ranks: int) -> Part:
    """What a step of a search adds up."""
    return Part("search: counts", groups * ranks * BUCKETS, MAX_COUNT)


def _keys(values: np.ndarray) -> np.ndarray:
    """Doubles as unsigned integers of the same order; -0 counts as 0."""
    bits = (values + 0.0).view(np.uint64)
    return np.where(bits & _SIGN != 0, ~bits, bits | _SIGN)

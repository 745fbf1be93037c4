"""Matrices of low rank in place of matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import numpy as np

from ...core import ConfigError, derive_rng
from ..updates.layout import UpdateLayout, UpdatePart
from .base import Bases, Compression, compression

_ROUNDS = "rounds"


@compression("low-rank")
@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank(Compression):
    """Of every matrix M of changes, m x n, its product with a basis travels, and M is taken to be what that spans.

    In turn M Q with a basis Q of n x rank, and M^T P with one of m x rank: the next basis is that of the columns of
    what the sum said, so the two follow the largest singular vectors. All sites have the same basis, which makes the
    sum of what they say the same of their sum: it may be encrypted and masked. Convolutions are matrices of as many
    rows as output channels; tensors that would not get smaller travel whole.

    Args:
        rank: r, >= 1.

    Source: Zhang et al. 2023, https://arxiv.org/abs/2306.08881 (ACP-SGD: PowerSGD of Vogels et al. 2019,
    https://arxiv.org/abs/1905.13727, in halves). What travels is as long in odd rounds as in even ones, with zeros.
    """

    lossy: ClassVar[bool] = True

    rank: int = 4

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"expected rank >= 1, got {self.rank}")

    def layout(self, full: UpdateLayout) -> UpdateLayout:
        """See `Compression.layout`."""
        parts = tuple(
            UpdatePart(part.name, (self.rank, max(_sides(part))), True, part.first_range) if self._cuts(part) else part
            for part in full.parts
        )
        return UpdateLayout(parts, full.tensors)

    def init(self, full: UpdateLayout, seed: int) -> Bases:
        """A random basis Q for every matrix, each column as a row: shape (rank, longer side) float64, with zeros."""
        bases: Bases = {_ROUNDS: np.zeros(1, np.int64)}
        for part in full.parts:
            if self._cuts(part):
                signs = derive_rng(seed, "low rank", part.name).integers(0, 2, (self.rank, _sides(part)[1]))
                bases[part.name] = _padded(_orthonormal(2.0 * signs - 1.0), part)
        return bases

    def compress(self, update: np.ndarray, full: UpdateLayout, bases: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `Compression.compress`."""
        said: list[np.ndarray] = []
        for part, place in zip(full.parts, full.slices, strict=True):
            if not self._cuts(part):
                said.append(update[place])
                continue
            matrix = update[place].reshape(_sides(part))
            product = self._basis(part, bases) @ (matrix if self._turned(bases) else matrix.T)
            said.append(_padded(product, part).reshape(-1))
        return np.concatenate(said)

    def expand(self, said: np.ndarray, full: UpdateLayout, bases: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `Compression.expand`: sums over the rank in order, for a product of matrices has no fixed one."""
        meant: list[np.ndarray] = []
        start = 0
        for part in full.parts:
            if not self._cuts(part):
                meant.append(said[start : start + part.size])
                start += part.size
                continue
            product, basis = self._product(said, start, part, bases), self._basis(part, bases)
            matrix = np.zeros(_sides(part))
            for column, own in zip(product, basis, strict=True):
                matrix += own[:, None] * column if self._turned(bases) else column[:, None] * own
            meant.append(matrix.reshape(-1).astype(np.float32))
            start += self.rank * max(_sides(part))
        return np.concatenate(meant)

    def advance(self, said: np.ndarray, full: UpdateLayout, bases: Bases) -> Bases:
        """See `Compression.advance`."""
        moved: Bases = {_ROUNDS: bases[_ROUNDS] + 1}
        start = 0
        for part in full.parts:
            if self._cuts(part):
                moved[part.name] = _padded(_orthonormal(self._product(said, start, part, bases)), part)
                start += self.rank * max(_sides(part))
            else:
                start += part.size
        return moved

    def _cuts(self, part: UpdatePart) -> bool:
        """Whether a part gets smaller."""
        return part.quantised and len(part.shape) > 1 and self.rank * max(_sides(part)) < part.size

    def _turned(self, bases: Mapping[str, np.ndarray]) -> bool:
        """Whether it is the turn of M^T P."""
        return bool(bases[_ROUNDS][0] % 2)

    def _basis(self, part: UpdatePart, bases: Mapping[str, np.ndarray]) -> np.ndarray:
        """P of a matrix in its turn, shape (rank, m), else Q, shape (rank, n)."""
        rows, columns = _sides(part)
        return bases[part.name][:, : rows if self._turned(bases) else columns]

    def _product(self, said: np.ndarray, start: int, part: UpdatePart, bases: Mapping[str, np.ndarray]) -> np.ndarray:
        """What was said of a matrix: shape (rank, n) float64 in the turn of M^T P, else (rank, m)."""
        rows, columns = _sides(part)
        longest = max(rows, columns)
        padded = said[start : start + self.rank * longest].reshape(self.rank, longest)
        return padded[:, : columns if self._turned(bases) else rows].astype(np.float64)


def _sides(part: UpdatePart) -> tuple[int, int]:
    """The rows and columns of a tensor as a matrix."""
    return part.shape[0], part.size // max(1, part.shape[0])


def _padded(rows: np.ndarray, part: UpdatePart) -> np.ndarray:
    """Rows as long as the longer side of a matrix, with zeros: what is kept and sent has one shape in all rounds."""
    padded = np.zeros((len(rows), max(_sides(part))))
    padded[:, : rows.shape[1]] = rows
    return padded


def _orthonormal(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1 that span what the given ones do: shape (rank, n) float64, by modified Gram-Schmidt.

    A row that is spanned by those before gives way to another direction. Sums run in order (`cumsum`), for the sites'
    machines must agree on every bit.
    """
    rows: list[np.ndarray] = []
    for vector in vectors:
        row = _against(rows, vector, 1e-6)
        # Of k + 1 unit vectors, one is at least 1 / sqrt(k + 1) away from what k rows span.
        units = (np.eye(1, len(vector), place)[0] for place in range(len(rows) + 1))
        while row is None:
            row = _against(rows, next(units), 0.9 / sqrt(len(rows) + 1))
        rows.append(row)
    return np.stack(rows)


def _against(rows: list[np.ndarray], vector: np.ndarray, least: float) -> np.ndarray | None:
    """What a vector has beyond some orthonormal rows, at length 1; None where it is not `least` of the vector."""
    left = vector
    for _ in range(2):  # twice is enough (Giraud et al. 2005)
        for row in rows:
            left = left - _dot(left, row) * row
    rest = sqrt(_dot(left, left))
    return left / rest if rest > least * sqrt(_dot(vector, vector)) else None


def _dot(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.cumsum(left * right)[-1])

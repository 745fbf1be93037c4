"""Models that compare rows, in NumPy alone: nearest neighbours, and a least-squares machine with a Gaussian kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

_CHUNK = 1 << 24  # distances in memory at a time


@dataclass(frozen=True, slots=True, eq=False)
class NearestNeighbours:
    """The mean of the targets of the `count` nearest rows; class frequencies, where targets are one-hot."""

    rows: np.ndarray
    targets: np.ndarray
    count: int

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Outputs, shape (N, outputs), for rows (N, features)."""
        return neighbour_means(self.rows, self.targets, rows, [self.count])[0]


def neighbour_means(
    rows: np.ndarray, targets: np.ndarray, queries: np.ndarray, counts: Sequence[int]
) -> list[np.ndarray]:
    """Means over the nearest rows for each number of neighbours, shape (queries, outputs) each.

    Of rows at equal distance the first is nearer. Counts beyond the number of rows take all.
    """
    most = min(max(counts), len(rows))
    size = max(1, _CHUNK // len(rows))
    sums: list[np.ndarray] = []
    for start in range(0, len(queries), size):
        distances = squared_distances(queries[start : start + size], rows)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :most]
        sums.append(targets[nearest].cumsum(1))
    running = np.concatenate(sums) if sums else np.zeros((0, most, targets.shape[1]))
    return [running[:, min(count, most) - 1] / min(count, most) for count in counts]


@dataclass(frozen=True, slots=True, eq=False)
class KernelMachine:
    """A weighted sum of Gaussians around the training rows, plus a constant."""

    rows: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    gamma: float

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Outputs, shape (N, outputs), for rows (N, features)."""
        size = max(1, _CHUNK // len(self.rows))
        parts = [
            np.exp(-self.gamma * squared_distances(rows[start : start + size], self.rows)) @ self.weights
            for start in range(0, max(len(rows), 1), size)
        ]
        return np.concatenate(parts) + self.bias


def fit_kernel(rows: np.ndarray, targets: np.ndarray, gamma: float, alpha: float) -> KernelMachine:
    """Minimise the squared error plus alpha |f|^2 in the space of the kernel exp(-gamma |x - y|^2).

    Args:
        rows: float64, shape (N, features).
        targets: float64, shape (N, outputs): measurements, or one-hot classes, which makes it a classifier.
        gamma: inverse squared width, > 0.
        alpha: > 0.

    Source: Suykens & Vandewalle 1999, https://doi.org/10.1023/A:1018628609742; ours takes the mean of the targets as
        the constant.
    """
    return fit_kernels(rows, targets, gamma, [alpha])[0]


def fit_kernels(rows: np.ndarray, targets: np.ndarray, gamma: float, alphas: Sequence[float]) -> list[KernelMachine]:
    """`fit_kernel` for several alphas, which share the distances."""
    bias = targets.mean(0)
    gram = np.exp(-gamma * squared_distances(rows, rows))
    machines: list[KernelMachine] = []
    for alpha in alphas:
        ridge = gram.copy()
        ridge.flat[:: len(rows) + 1] += alpha
        weights = cast(np.ndarray, np.linalg.solve(ridge, targets - bias))
        machines.append(KernelMachine(rows, weights, bias, gamma))
    return machines


def squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """|x - y|^2 of every pair, shape (N, M), >= 0."""
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)
    return np.maximum(squares - 2 * first @ second.T, 0.0)

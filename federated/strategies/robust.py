"""Rules that a few false updates cannot move far: what is asked of one, and the distances some of them need."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class RobustRule(Protocol):
    """Takes the place of the mean of n updates. First it chooses updates, then it joins the chosen, coordinate by
    coordinate. Where sites come in another order, it gives the same.
    """

    @property
    def fewest(self) -> int:
        """How many updates it needs at least."""
        ...

    @property
    def needs_distances(self) -> bool:
        """Whether `choose` looks at distances; where it does not, it is not called."""
        ...

    def choose(self, distances: np.ndarray) -> np.ndarray:
        """Which updates are joined.

        Args:
            distances: squared L2 distances of n updates, shape (n, n) float64.

        Returns:
            Indices, shape (m,), 1 <= m <= n; where several choices are as good, those of the first.
        """
        ...

    def join(self, values: np.ndarray) -> np.ndarray:
        """One value for each coordinate.

        Args:
            values: of the chosen updates, shape (m, b) float64; may be reordered.

        Returns:
            Shape (b,) float64.
        """
        ...


def krum_scores(distances: np.ndarray, liars: int) -> np.ndarray:
    """The sum of the squared distances of each update to its n - f - 2 nearest others, at least one: shape (n,).

    Source: Blanchard et al. 2017, https://arxiv.org/abs/1703.02757, section 4.
    """
    others = distances.astype(np.float64)
    np.fill_diagonal(others, np.inf)  # not itself
    nearest = max(1, len(distances) - liars - 2)
    return np.sort(others, axis=1)[:, :nearest].sum(axis=1)


def lowest(scores: np.ndarray, count: int) -> np.ndarray:
    """The indices of the `count` lowest scores, the first of equal ones: shape (count,)."""
    return np.argsort(scores, kind="stable")[:count]

"""Poisson samples of records, the batches whose randomness hides who is in them.

The accountant's benefit of sampling is for those who cannot tell whether a record was in a batch: the samples come from
the operating system, not from a seed that others may know, and neither they nor their sizes leave the site.
"""

from __future__ import annotations

import os

import numpy as np

from ...core import Device
from ...core.train import ArrayFeed, Batches, Order
from .gaussian_noise import RandomBytes


class PoissonFeed(ArrayFeed):
    """Batches of which every row is part with the same chance, independently of the others and of other batches.

    Args:
        inputs: as of `ArrayFeed`, and so on.
        batch_size: how many rows a batch has in the mean, where there are so many.
        random_bytes: gives that many random bytes.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        batch_size: int,
        device: Device,
        dtype: np.dtype[np.generic],
        random_bytes: RandomBytes = os.urandom,
    ) -> None:
        super().__init__(inputs, targets, batch_size, device, dtype)
        self.expected_rows = min(batch_size, self._rows)
        self._random_bytes = random_bytes

    def begin(self, rng: np.random.Generator) -> Order:
        """Nothing decides an epoch beforehand."""
        return 0

    def rest(self, order: Order, done: int) -> Batches:
        """As many batches as are left; some may be empty."""
        # Rounded down: the chance is never more than is accounted for.
        below = int(self.expected_rows / self._rows * 2.0**64)
        for _ in range(done, self.batches):
            words = np.frombuffer(self._random_bytes(8 * self._rows), "<u8")
            chosen = np.flatnonzero(words < below) if self.expected_rows < self._rows else np.arange(self._rows)
            batch = self._device.put(chosen)
            yield self._inputs[batch], self._targets[batch]

"""Numbers of rows and classes, looked at before a run: kernels trust them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ...device import Array
from ...errors import BoundsError, ShapeError
from ...native import accelerate

UNSIGNED: Final = {4: np.uint32, 8: np.uint64}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What numbers must be for a run.

    Attributes:
        numbers: the source that holds them.
        length: how many rows there are.
        op: that reads them.
    """

    numbers: str
    length: int
    op: str

    def check(self, array: Array) -> None:
        """Look at the numbers of a run.

        Raises:
            BoundsError: a number is out of bounds; for classes a `ShapeError`.
        """
        if not array.size or _below(array, self.length):
            return
        lowest, highest = int(array.min()), int(array.max())
        first = 0 if self.op == "one_hot" else -self.length
        if first <= lowest and highest < self.length:
            return
        wrong = highest if highest >= self.length else lowest
        if self.op == "one_hot":
            raise ShapeError(
                f"one_hot: an index names class {wrong} of {self.length}: expected [0, {self.length})"
            )  # fmt: skip
        raise BoundsError(f"{self.op}: index {wrong} is out of bounds for {self.length}")


def _below(array: Array, limit: int) -> bool:
    """Whether integers are from 0 up to a limit: read without their sign, those below zero are the largest."""
    if accelerate is not None:
        return accelerate.below(array, limit)
    return bool(array.view(UNSIGNED[array.dtype.itemsize]).max() < limit)

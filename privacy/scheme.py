"""What a protection scheme offers: a `Cipher` to the sites and an `Adder` to the coordinator.

Both sides handle vectors of integers within `FixedPoint`'s range. A new scheme implements these two protocols.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Cipher(Protocol):
    """The sites' side: protects updates and opens sums."""

    @property
    def scheme(self) -> str:
        """Its name, as in `Header.scheme`."""
        ...

    @property
    def key_id(self) -> str:
        """Names the key; empty where there is none."""
        ...

    def encrypt(self, values: np.ndarray) -> bytes:
        """Protect integers, shape (n,) int64."""
        ...

    def decrypt(self, body: bytes, count: int) -> np.ndarray:
        """Open a sum of `count` integers: shape (count,) int64, exact.

        Raises:
            PrivacyError: the body cannot be opened; without detail.
        """
        ...


class Adder(Protocol):
    """The coordinator's side: adds what it cannot read."""

    @property
    def scheme(self) -> str:
        """Its name, as in `Header.scheme`."""
        ...

    @property
    def key_id(self) -> str:
        """Names the key that updates must be under; empty where there is none."""
        ...

    @property
    def parameters_sha256(self) -> str | None:
        """Hash of the parameters all parties agree on; None where there are none."""
        ...

    @property
    def public_key_sha256(self) -> str | None:
        """Hash of what of the key is public; None where there is none."""
        ...

    def parse(self, body: bytes, count: int) -> list[object]:
        """Check the length of an update's body and parse it into summands.

        Raises:
            UpdateRejectedError: it is not `count` protected integers.
        """
        ...

    def add(self, total: list[object], update: list[object]) -> list[object]:
        """The sum of two parsed bodies, a new one.

        Raises:
            UpdateRejectedError: the update cannot be added.
        """
        ...

    def serialise(self, total: list[object]) -> bytes:
        """The body of a sum."""
        ...

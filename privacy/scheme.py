"""What a protection scheme offers: a `Cipher` to the sites and an `Adder` to the coordinator.

Both sides handle vectors of symbols, integers from 0 to `preset.symbols - 1`, of which sums over at most
`preset.clients` updates are exact. Bodies are arrays of numbers whose lengths follow from the preset and the number of
symbols: nothing in them is parsed. A new scheme implements these protocols.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from .presets import Preset

NO_KEY: Final = "00" * 16


class Mask(Protocol):
    """Uniform numbers modulo t, one per coefficient, that are added to what is encrypted, and cancel in the sum."""

    def take(self, count: int) -> np.ndarray:
        """The next `count` numbers: shape (count,) uint64, each below `preset.plain_modulus`."""
        ...


class Scheme(Protocol):
    """What both sides know."""

    @property
    def scheme(self) -> str:
        """Its name."""
        ...

    @property
    def preset(self) -> Preset:
        """What the parties agreed on."""
        ...

    @property
    def key_id(self) -> str:
        """Names the key: 16 bytes as hex; `NO_KEY` where there is none."""
        ...

    def ciphertexts(self, values: int) -> int:
        """How many ciphertexts an update of `values` symbols has; 0 where it is no ciphertext."""
        ...


class Cipher(Scheme, Protocol):
    """The sites' side: protects updates and opens sums."""

    def derive_key(self, purpose: bytes) -> bytes | None:
        """A key for another purpose, 32 bytes, of all who have this one; None where there is none.

        It tells nothing of the key, nor of those for other purposes.
        """
        ...

    def encrypt(self, symbols: np.ndarray, mask: Mask | None = None) -> bytes:
        """Protect symbols, shape (n,), an unsigned integer dtype.

        Raises:
            PrivacyError: a symbol out of range, or a mask where the scheme has none.
        """
        ...

    def decrypt(self, body: bytes | memoryview, count: int) -> np.ndarray:
        """Open a sum of `count` symbols: shape (count,) uint32, exact.

        Raises:
            PrivacyError: the body cannot be opened; without detail.
        """
        ...


class Accumulator(Protocol):
    """A sum that grows."""

    def add(self, body: memoryview) -> None:
        """Add an update's body.

        Raises:
            MalformedUpdateError: it is none; the sum is unchanged.
        """
        ...

    def remove(self, mask: Mask) -> None:
        """Take away what the masks of the updates add up to.

        Raises:
            PrivacyError: the scheme has no masks.
        """
        ...

    def add_noise(self, noise: np.ndarray) -> None:
        """Add integers to the sums of the symbols.

        Args:
            noise: shape (values,), signed; no sum may leave the range of its digit.

        Raises:
            PrivacyError: the scheme cannot.
        """
        ...

    def body(self) -> bytes | memoryview:
        """The sum's body."""
        ...


class Adder(Scheme, Protocol):
    """The coordinator's side: adds what it cannot read."""

    @property
    def parameters_sha256(self) -> str | None:
        """Hash of the parameters all parties agree on; None where there are none."""
        ...

    @property
    def fixed_length(self) -> bool:
        """Whether all bodies of as many values are equally long."""
        ...

    def update_bytes(self, values: int) -> int:
        """The length of an update's body; the longest where they differ."""
        ...

    def sum_bytes(self, values: int) -> int:
        """The length of a sum's body; the longest where they differ."""
        ...

    def start(self, values: int) -> Accumulator:
        """An empty sum of `values` symbols."""
        ...

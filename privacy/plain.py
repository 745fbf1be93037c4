"""No protection: the same integers in the clear, for comparison and for data that is not secret.

Threat model: none. The coordinator reads every update.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .errors import MalformedUpdateError, PrivacyError
from .packing import check_symbols, pack_words, unpack_words, words_bytes
from .presets import Preset
from .scheme import NO_KEY, Mask
from .sparse_numbers import longest_sparse, pack_sparse, unpack_sparse

SCHEME: Final = "plain"
SPARSE_SCHEME: Final = "plain-sparse"


class PlainCipher:
    """The sites' side of `plain`.

    Args:
        preset: of the sums.
        sparse: only symbols other than that of zero travel: for updates most of which is zero.
    """

    key_id = NO_KEY

    def __init__(self, preset: Preset, *, sparse: bool = False) -> None:
        self.preset = preset
        self.scheme = SPARSE_SCHEME if sparse else SCHEME
        self._sparse = sparse

    def ciphertexts(self, values: int) -> int:
        """None."""
        return 0

    def derive_key(self, purpose: bytes) -> bytes | None:
        """None."""
        return None

    def encrypt(self, symbols: np.ndarray, mask: Mask | None = None) -> bytes:
        """The symbols, with no bit to spare."""
        if mask is not None:
            raise PrivacyError("masks go under an encryption", hint='use the scheme "packed"')
        check_symbols(symbols, self.preset)
        bits = _update_bits(self.preset)
        return pack_sparse(symbols, _zero(self.preset), bits) if self._sparse else _pack(symbols, bits)

    def decrypt(self, body: bytes | memoryview, count: int) -> np.ndarray:
        """The sums again: shape (count,) uint32."""
        if count < 1:
            raise PrivacyError("the sum cannot be opened")
        try:
            return _read(body, count, _sum_bits(self.preset), sparse=self._sparse)
        except MalformedUpdateError as exc:
            raise PrivacyError("the sum cannot be opened") from exc


class PlainAdder:
    """The coordinator's side of `plain`; arguments as for `PlainCipher`."""

    key_id = NO_KEY
    parameters_sha256: str | None = None

    def __init__(self, preset: Preset, *, sparse: bool = False) -> None:
        self.preset = preset
        self.scheme = SPARSE_SCHEME if sparse else SCHEME
        self.fixed_length = not sparse
        self._sparse = sparse

    def ciphertexts(self, values: int) -> int:
        """None."""
        return 0

    def update_bytes(self, values: int) -> int:
        """The length of an update's body; the longest where they differ."""
        bits = _update_bits(self.preset)
        return longest_sparse(values, bits) if self._sparse else _bytes(values, bits)

    def sum_bytes(self, values: int) -> int:
        """The length of a sum's body; the longest where they differ."""
        bits = _sum_bits(self.preset)
        return longest_sparse(values, bits) if self._sparse else _bytes(values, bits)

    def start(self, values: int) -> PlainSum:
        """An empty sum of `values` symbols."""
        return PlainSum(self, values)

    def read(self, body: bytes | memoryview, values: int) -> np.ndarray:
        """The symbols of an update: shape (values,) uint32.

        Raises:
            MalformedUpdateError: it is none.
        """
        symbols = _read(body, values, _update_bits(self.preset), sparse=self._sparse)
        if int(symbols.max()) >= self.preset.symbols:  # unseen under encryption, but a sum could overflow here
            raise MalformedUpdateError(f"a symbol is beyond the {self.preset.symbols} of {self.preset.name}")
        return symbols

    def write(self, sums: np.ndarray, summands: int) -> bytes:
        """A sum's body.

        Args:
            sums: of the symbols of that many updates, shape (values,).
            summands: how many.
        """
        bits = _sum_bits(self.preset)
        return pack_sparse(sums, summands * _zero(self.preset), bits) if self._sparse else _pack(sums, bits)


class PlainSum:
    """A growing sum of symbols."""

    def __init__(self, adder: PlainAdder, values: int) -> None:
        self._adder = adder
        self._sum = np.zeros(values, np.uint32)
        self._summands = 0

    def add(self, body: memoryview) -> None:
        """Add an update's body."""
        self._sum += self._adder.read(body, len(self._sum))
        self._summands += 1

    def remove(self, mask: Mask) -> None:
        """There are no masks here."""
        raise PrivacyError("masks go under an encryption", hint='use the scheme "packed"')

    def add_noise(self, noise: np.ndarray) -> None:
        """Add integers to the sums of the symbols."""
        self._sum += noise.astype(np.uint32)  # modulo 2^32

    def body(self) -> bytes:
        """The sum's body."""
        return self._adder.write(self._sum, self._summands)


def _zero(preset: Preset) -> int:
    """The symbol of zero."""
    return (preset.levels - 1) // 2


def _update_bits(preset: Preset) -> int:
    return (preset.symbols - 1).bit_length()


def _sum_bits(preset: Preset) -> int:
    return (preset.base - 1).bit_length()


def _bytes(count: int, bits: int) -> int:
    return words_bytes(_padded(count), bits)


def _padded(count: int) -> int:
    return -(-count // 8) * 8


def _pack(numbers: np.ndarray, bits: int) -> bytes:
    words = np.zeros((1, _padded(len(numbers))), np.uint64)
    words[0, : len(numbers)] = numbers
    return pack_words(words, bits).tobytes()


def _read(body: bytes | memoryview, count: int, bits: int, *, sparse: bool) -> np.ndarray:
    if sparse:
        return unpack_sparse(body, count, bits)
    if len(body) != _bytes(count, bits):
        raise MalformedUpdateError(f"expected {_bytes(count, bits)} bytes, got {len(body)}")
    packed = np.frombuffer(body, np.uint8).reshape(1, -1)
    return unpack_words(packed, _padded(count), bits)[0, :count].astype(np.uint32)

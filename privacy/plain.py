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

SCHEME: Final = "plain"


class PlainCipher:
    """The sites' side of `plain`."""

    scheme = SCHEME
    key_id = NO_KEY

    def __init__(self, preset: Preset) -> None:
        self.preset = preset

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
        return _pack(symbols, _update_bits(self.preset))

    def decrypt(self, body: bytes | memoryview, count: int) -> np.ndarray:
        """The sums again: shape (count,) uint32."""
        if count < 1 or len(body) != _bytes(count, _sum_bits(self.preset)):
            raise PrivacyError("the sum cannot be opened")
        return _unpack(body, count, _sum_bits(self.preset))


class PlainAdder:
    """The coordinator's side of `plain`."""

    scheme = SCHEME
    key_id = NO_KEY
    parameters_sha256: str | None = None

    def __init__(self, preset: Preset) -> None:
        self.preset = preset

    def ciphertexts(self, values: int) -> int:
        """None."""
        return 0

    def update_bytes(self, values: int) -> int:
        """The length of an update's body."""
        return _bytes(values, _update_bits(self.preset))

    def sum_bytes(self, values: int) -> int:
        """The length of a sum's body."""
        return _bytes(values, _sum_bits(self.preset))

    def start(self, values: int) -> PlainSum:
        """An empty sum of `values` symbols."""
        return PlainSum(self.preset, values)


class PlainSum:
    """A growing sum of symbols."""

    def __init__(self, preset: Preset, values: int) -> None:
        self._preset = preset
        self._sum = np.zeros(values, np.uint32)

    def add(self, body: memoryview) -> None:
        """Add an update's body."""
        bits = _update_bits(self._preset)
        if len(body) != _bytes(len(self._sum), bits):
            raise MalformedUpdateError(f"expected {_bytes(len(self._sum), bits)} bytes, got {len(body)}")
        symbols = _unpack(body, len(self._sum), bits)
        if int(symbols.max()) >= self._preset.symbols:  # unseen under encryption, but a sum could overflow here
            raise MalformedUpdateError(f"a symbol is beyond the {self._preset.symbols} of {self._preset.name}")
        self._sum += symbols

    def remove(self, mask: Mask) -> None:
        """There are no masks here."""
        raise PrivacyError("masks go under an encryption", hint='use the scheme "packed"')

    def add_noise(self, noise: np.ndarray) -> None:
        """Add integers to the sums of the symbols."""
        self._sum += noise.astype(np.uint32)  # modulo 2^32

    def body(self) -> bytes:
        """The sum's body."""
        return _pack(self._sum, _sum_bits(self._preset))


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


def _unpack(body: bytes | memoryview, count: int, bits: int) -> np.ndarray:
    packed = np.frombuffer(body, np.uint8).reshape(1, -1)
    return unpack_words(packed, _padded(count), bits)[0, :count].astype(np.uint32)

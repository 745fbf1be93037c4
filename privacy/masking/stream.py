"""Streams of uniform numbers modulo t, grown from 32-byte keys, and their signed sums: the masks of coefficients.

A stream is AES-256 in counter mode over zeros, from a zero block on (NIST SP 800-38A), read as little-endian words of
64 bits. A word x counts if x < floor(2^64 / t) t, and gives x mod t: exactly uniform, if AES is a random function. The
numbers do not depend on how many are taken at a time.

Whoever has a key has the stream; who has not cannot tell it from chance. A key grows one stream, ever: two updates
under one mask would show their difference. Keys appear in no text, log or pickle; that they stay in the process's
memory until it is reused cannot be helped in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NoReturn

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ...core import ConfigError
from ..presets import MODULUS_BITS

STREAM_KEY_BYTES: Final = 32
_BLOCK: Final = (
    8192  # words at a time: what a sum touches stays in the second-level cache (16,384 take 1.1 times as long)
)
_ZEROS: Final = memoryview(bytes(8 * _BLOCK))
_SPARE: Final = 2  # words: `update_into` wants a block more room than it fills


class UniformStream:
    """The uniform numbers modulo t of one key.

    Args:
        key: 32 bytes, used for this alone.
        modulus: t, from 2 to 2^54.

    Raises:
        ConfigError: out of range.
    """

    __slots__ = ("_encryptor", "_last", "_modulus")

    def __init__(self, key: bytes, modulus: int) -> None:
        if len(key) != STREAM_KEY_BYTES:
            raise ConfigError(f"a stream's key is {STREAM_KEY_BYTES} bytes, got {len(key)}")
        check_modulus(modulus)
        self._encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
        self._modulus = np.uint64(modulus)
        self._last = np.uint64(2**64 // modulus * modulus - 1)  # the largest word that counts

    def take(self, count: int) -> np.ndarray:
        """The next `count` numbers, shape (count,) uint64, each below t."""
        numbers = np.empty(count + _SPARE, "<u8")
        for start in range(0, count, _BLOCK):
            self.fill_words(numbers[start:], min(_BLOCK, count - start))
        return numbers[:count] % self._modulus

    def fill_words(self, buffer: np.ndarray, count: int) -> None:
        """Put the next `count` words that count at the front of `buffer`, not yet reduced modulo t.

        Args:
            buffer: shape (at least count + 2,) little-endian uint64; the two after the words are overwritten or not.
            count: at most 8192.
        """
        start = 0
        while start < count:  # the last round keeps all it draws
            self._encryptor.update_into(_ZEROS[: 8 * (count - start)], buffer[start:].view(np.uint8).data)
            drawn = buffer[start:count]
            counts = drawn <= self._last
            if counts.all():
                return
            kept = drawn[counts]
            drawn[: len(kept)] = kept
            start += len(kept)

    def __reduce__(self) -> NoReturn:
        raise TypeError("the key of a stream is not pickled or copied")


class MaskSum:
    """The sum of streams modulo t, some of them negated: a `Mask`. Its memory does not grow with how much is taken.

    Args:
        terms: keys and their signs, +1 or -1; may be none: the sum is then zero.
        modulus: t, from 2 to 2^54.

    Raises:
        ConfigError: out of range, or one key stands twice.
    """

    __slots__ = ("_modulus", "_terms")

    def __init__(self, terms: Sequence[tuple[bytes, int]], modulus: int) -> None:
        check_modulus(modulus)
        if any(sign not in (1, -1) for _, sign in terms):
            raise ConfigError("a mask is added with the sign +1 or -1")
        if len({key for key, _ in terms}) != len(terms):
            raise ConfigError("one key stands twice in a sum of masks")
        self._terms = [(UniformStream(key, modulus), sign) for key, sign in terms]
        self._modulus = modulus

    def take(self, count: int) -> np.ndarray:
        """The next `count` numbers, shape (count,) uint64, each below t."""
        total = np.empty(count, np.uint64)
        for start in range(0, count, _BLOCK):
            block = total[start : start + _BLOCK]
            block[:] = self._next(len(block))
        return total

    def _next(self, count: int) -> np.ndarray:
        """Words are summed exactly and reduced modulo t once: as their sum modulo 2^64, and the sum of upper halves."""
        buffer = np.empty(count + _SPARE, "<u8")
        words = buffer[:count]
        upper = np.empty(count, np.uint64)
        wrapped_sum, upper_sum = np.zeros((2, count), np.uint64)
        for stream, sign in self._terms:
            stream.fill_words(buffer, count)
            np.right_shift(words, 32, out=upper)
            accumulate = np.add if sign > 0 else np.subtract
            accumulate(wrapped_sum, words, out=wrapped_sum)
            accumulate(upper_sum, upper, out=upper_sum)
        # Fewer than 2^31 terms: both halves' sums fit a signed word, and two's complement gives them back.
        lower_sum = (wrapped_sum - (upper_sum << np.uint64(32))).view(np.int64)
        total = upper_sum.view(np.int64) % self._modulus
        for _ in range(4):
            total = (total << 8) % self._modulus  # t is at most 2^54: no more than 8 bits at a time
        return (total + lower_sum % self._modulus) % self._modulus

    def __reduce__(self) -> NoReturn:
        raise TypeError("the keys of a mask are not pickled or copied")


def check_modulus(modulus: int) -> None:
    """Refuse what cannot be t.

    Raises:
        ConfigError: not an integer from 2 to 2^54.
    """
    if type(modulus) is not int or not 2 <= modulus <= 2**MODULUS_BITS:
        raise ConfigError(f"masks are modulo an integer from 2 to 2^{MODULUS_BITS}, got {modulus!r:.40}")

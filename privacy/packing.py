"""Arrays of small integers as fewer, larger ones, and as bytes with no bit to spare; all in vectorised NumPy.

Two steps, each with its inverse: several digits become one coefficient in base B (`pack_digits`), and words of any
number of bits become bytes (`pack_words`). Both work on whole ciphertexts, so that a vector of any length can be
handled in blocks, and the bytes do not depend on the blocks.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .errors import PrivacyError
from .presets import DEGREE, Preset

BLOCK: Final = 16  # ciphertexts handled at once: their coefficients fit a second-level cache


def check_symbols(symbols: np.ndarray, preset: Preset) -> None:
    """Hold symbols against a preset.

    Raises:
        PrivacyError: not unsigned integers of shape (n,), none, or one that is not below `preset.symbols`.
    """
    if symbols.ndim != 1 or symbols.dtype.kind != "u" or not len(symbols):
        raise PrivacyError(f"expected unsigned integers of shape (n,), got {symbols.dtype} of {symbols.shape}")
    if int(symbols.max()) >= preset.symbols:
        raise PrivacyError(f"a symbol is beyond the {preset.symbols} of {preset.name}: {int(symbols.max())}")


def pack_digits(symbols: np.ndarray, preset: Preset) -> np.ndarray:
    """Coefficients of whole ciphertexts; digits beyond the last symbol are zero.

    Args:
        symbols: shape (n,), unsigned, as `check_symbols` wants them.

    Returns:
        Shape (ciphertexts, 2048) uint64, below t. Digit i of coefficient j of a ciphertext is its symbol 2048 i + j,
        the most significant digit that with the highest i.
    """
    count = preset.ciphertexts(len(symbols))
    digits = np.zeros(count * preset.block, symbols.dtype)
    digits[: len(symbols)] = symbols
    digits = digits.reshape(count, preset.packing, DEGREE)
    coefficients = digits[:, -1].astype(np.uint64)
    for place in range(preset.packing - 2, -1, -1):
        coefficients *= np.uint64(preset.base)
        coefficients += digits[:, place]
    return coefficients


def pack_signed(digits: np.ndarray, preset: Preset) -> np.ndarray:
    """Coefficients of signed digits, laid out as by `pack_digits`: shape (ciphertexts, 2048) int64, between -t and t.

    Args:
        digits: shape (n,), signed, of magnitude below B.
    """
    count = preset.ciphertexts(len(digits))
    padded = np.zeros(count * preset.block, np.int64)
    padded[: len(digits)] = digits
    padded = padded.reshape(count, preset.packing, DEGREE)
    coefficients = padded[:, -1].copy()
    for place in range(preset.packing - 2, -1, -1):
        coefficients *= preset.base
        coefficients += padded[:, place]
    return coefficients


def unpack_digits(coefficients: np.ndarray, preset: Preset) -> np.ndarray:
    """The inverse of `pack_digits`, also of sums, with the padding: shape (ciphertexts * k * 2048,) uint32."""
    base = np.uint64(preset.base)
    digits = np.empty((len(coefficients), preset.packing, DEGREE), np.uint32)
    for place in range(preset.packing - 1):
        quotient = coefficients // base
        digits[:, place] = coefficients - quotient * base
        coefficients = quotient
    digits[:, -1] = coefficients
    return digits.reshape(-1)


def words_bytes(count: int, bits: int) -> int:
    """The length of `count` packed words; `count` is a multiple of 8."""
    return count * bits // 8


def pack_words(words: np.ndarray, bits: int) -> np.ndarray:
    """Rows of words as rows of bytes.

    Args:
        words: shape (rows, n) uint64, n a multiple of 8, each below 2**bits.
        bits: of a word, 1 to 64.

    Returns:
        Shape (rows, n * bits / 8) uint8: of each row first the whole low bytes of all words, little-endian, then what
        is left of every eight words in `bits % 8` bytes.
    """
    rows, count = words.shape
    whole, rest = divmod(bits, 8)
    packed = np.empty((rows, words_bytes(count, bits)), np.uint8)
    in_bytes = np.ascontiguousarray(words, "<u8").view(np.uint8).reshape(rows, count, 8)
    packed[:, : whole * count].reshape(rows, count, whole)[:] = in_bytes[:, :, :whole]
    if rest:
        high = in_bytes[:, :, whole].reshape(rows, count // 8, 8).astype("<u8")
        joined = high[:, :, 0].copy()
        for place in range(1, 8):
            joined |= high[:, :, place] << np.uint64(rest * place)
        last = joined.view(np.uint8).reshape(rows, count // 8, 8)[:, :, :rest]
        packed[:, whole * count :].reshape(rows, count // 8, rest)[:] = last
    return packed


def unpack_words(packed: np.ndarray, count: int, bits: int) -> np.ndarray:
    """The inverse of `pack_words`: shape (rows, count) uint64, each below 2**bits, whatever the bytes are.

    Args:
        packed: shape (rows, count * bits / 8) uint8.
        count: words in a row, a multiple of 8.
        bits: of a word, 1 to 64.
    """
    rows = len(packed)
    whole, rest = divmod(bits, 8)
    in_bytes = np.zeros((rows, count, 8), np.uint8)
    in_bytes[:, :, :whole] = packed[:, : whole * count].reshape(rows, count, whole)
    if rest:
        last = np.zeros((rows, count // 8, 8), np.uint8)
        last[:, :, :rest] = packed[:, whole * count :].reshape(rows, count // 8, rest)
        joined = last.view("<u8")[:, :, 0]
        high = in_bytes[:, :, whole].reshape(rows, count // 8, 8)
        for place in range(8):
            high[:, :, place] = (joined >> np.uint64(rest * place)) & np.uint64(2**rest - 1)
    return in_bytes.view("<u8")[:, :, 0].astype(np.uint64, copy=False)

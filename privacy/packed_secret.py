"""The packed scheme, the sites' side: it encrypts updates and opens sums. The coordinator never imports this.

A site's symbols become coefficients (`packing`), a mask is added modulo t where there is one, and the scaled
coefficients are added to c0 of fresh encryptions of zero (`rlwe_secret`): SEAL's symmetric BFV, with the message added
outside it. The low bits of c0 that the preset drops are rounded away, which is public and only adds a bounded error.

Threat model: see `packed`. A sum decrypts to exactly the integer sum, for every preset that exists, and to nothing
else: no error of the encryption, which depends on the key, leaves with it (Li & Micciancio 2021).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .blocks import Workers, blocks
from .derived_key import derive_key
from .errors import PrivacyError
from .packed import SCHEME, scale
from .packing import BLOCK, check_symbols, pack_digits, pack_words, unpack_digits, unpack_words, words_bytes
from .presets import DEGREE, MODULUS, MODULUS_BITS, SEED_BYTES, Preset
from .rlwe_secret import SecretKey
from .scheme import Mask

_Q = np.uint64(MODULUS)
_worker_key: SecretKey | None = None  # of a process of `Workers`


class PackedCipher:
    """Encrypts under the shared key and opens sums.

    Args:
        key: the sites' key.
        preset: what the parties agreed on.
        workers: processes for large updates; 1 for none. They get the key over a pipe.
    """

    scheme = SCHEME

    def __init__(self, key: SecretKey, preset: Preset, *, workers: int = 1) -> None:
        self._key = key
        self.preset = preset
        self.key_id = key.key_id
        self._workers = workers
        self._pool = Workers(workers, _start_worker, (key.to_bytes(),) if workers > 1 else ())

    def ciphertexts(self, values: int) -> int:
        """How many ciphertexts an update of `values` symbols has."""
        return self.preset.ciphertexts(values)

    def derive_key(self, purpose: bytes) -> bytes:
        """A key for another purpose, 32 bytes, of all who have this one."""
        return derive_key(self._key.to_bytes(), purpose)

    def encrypt(self, symbols: np.ndarray, mask: Mask | None = None) -> bytes:
        """Protect symbols, shape (n,), an unsigned integer dtype.

        Args:
            symbols: each below `preset.symbols`.
            mask: added to the coefficients modulo t; used once.

        Raises:
            PrivacyError: not such symbols, or none; or a worker process ended.
        """
        preset = self.preset
        check_symbols(symbols, preset)
        count = preset.ciphertexts(len(symbols))
        body = np.empty(preset.update_bytes(len(symbols)), np.uint8)
        seeds = body[: SEED_BYTES * count].reshape(count, SEED_BYTES)
        words = body[SEED_BYTES * count :].reshape(count, words_bytes(DEGREE, preset.word_bits))
        parts = blocks(count, BLOCK)
        for part, (c0, seed) in zip(parts, self._zeros(part.stop - part.start for part in parts), strict=True):
            coefficients = pack_digits(symbols[preset.block * part.start : preset.block * part.stop], preset)
            if mask is not None:
                coefficients += mask.take(coefficients.size).reshape(coefficients.shape)
                reduce(coefficients, preset.plain_modulus)
            c0 += scale(coefficients, preset)
            reduce(c0, MODULUS)
            words[part] = pack_words(_drop(c0, preset), preset.word_bits)
            seeds[part] = np.frombuffer(seed, np.uint8).reshape(-1, SEED_BYTES)
        return body.tobytes()

    def decrypt(self, body: bytes | memoryview, count: int) -> np.ndarray:
        """Open a sum of `count` symbols: shape (count,) uint32, exact.

        Raises:
            PrivacyError: the body has another length; without detail.
        """
        preset = self.preset
        if count < 1 or len(body) != preset.sum_bytes(count):
            raise PrivacyError("the sum cannot be opened")
        ciphertexts = preset.ciphertexts(count)
        rows = np.frombuffer(body, np.uint8).reshape(ciphertexts, -1)
        parts = blocks(ciphertexts, BLOCK)
        opened = np.empty(count, np.uint32)
        for part, coefficients in zip(parts, self._opened(rows[part] for part in parts), strict=True):
            digits = unpack_digits(coefficients, preset)[: count - preset.block * part.start]
            opened[preset.block * part.start :][: len(digits)] = digits
        return opened

    def close(self) -> None:
        """End the processes, if there are any."""
        self._pool.close()

    def _zeros(self, counts: Iterator[int]) -> Iterator[tuple[np.ndarray, bytes]]:
        return self._pool.map(self._key.encrypt_zeros if self._workers == 1 else _encrypt_zeros, counts)

    def _opened(self, parts: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        t = self.preset.plain_modulus
        if self._workers == 1:
            return (open_rows(self._key, rows, t) for rows in parts)
        return self._pool.map(_open_rows, ((rows, t) for rows in parts))


def reduce(numbers: np.ndarray, modulus: int) -> None:
    """Numbers below twice the modulus, modulo it, in place: what underflows is larger than what does not."""
    np.minimum(numbers, numbers - np.uint64(modulus), out=numbers)


def open_rows(key: SecretKey, rows: np.ndarray, plain_modulus: int) -> np.ndarray:
    """The coefficients of a sum's ciphertexts, each row the bytes of c0 and c1: shape (n, 2048) uint64."""
    both = unpack_words(rows.reshape(2 * len(rows), -1), DEGREE, MODULUS_BITS) % _Q
    return key.decrypt(both[::2], both[1::2], plain_modulus)


def _drop(c0: np.ndarray, preset: Preset) -> np.ndarray:
    """Words of what is sent of c0. Rounding up past 2^54 gives zero, which is as near to c0 modulo q."""
    if not preset.dropped_bits:
        return c0
    rounded = (c0 + np.uint64(2 ** (preset.dropped_bits - 1))) >> np.uint64(preset.dropped_bits)
    return rounded & np.uint64(2**preset.word_bits - 1)


def _start_worker(key: bytes) -> None:
    global _worker_key
    _worker_key = SecretKey.from_bytes(key)


def _encrypt_zeros(count: int) -> tuple[np.ndarray, bytes]:
    assert _worker_key is not None
    return _worker_key.encrypt_zeros(count)


def _open_rows(work: tuple[np.ndarray, int]) -> np.ndarray:
    assert _worker_key is not None
    return open_rows(_worker_key, *work)

"""SEAL's ring learning with errors, the side with the key: encryptions of zero, and decryption. Not for coordinators.

Threat model: whoever has the key opens every ciphertext under it. It is made from the operating system's randomness by
SEAL, is never pickled or shown, and leaves this process only as `SecretKey.to_bytes`, which is for sealing.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, NoReturn

import numpy as np

from .errors import PrivacyError
from .presets import DEGREE, MODULUS, SEED_BYTES
from .rlwe import (
    Scratch,
    ciphertext_bytes,
    expand_seeds,
    key_bytes,
    make_context,
    read_plaintext,
    read_polynomials,
    require,
    required,
    seal,
    seed_bytes,
    seeded_bytes,
)

KEY_BYTES: Final = 8 * DEGREE
_PLAIN_MODULUS = 2  # an encryption of zero is the same for every t; the message is added by the caller


class SecretKey:
    """The key all sites of a federation share: a ternary polynomial. It serves every preset.

    Args:
        numbers: in NTT form, shape (2048,) uint64, each below q. `generate` and `from_bytes` are how to get a key.
    """

    __slots__ = ("_numbers", "key_id")

    def __init__(self, numbers: np.ndarray) -> None:
        if numbers.shape != (DEGREE,) or not (numbers < MODULUS).all() or not numbers.any():
            raise PrivacyError("the numbers are no secret key")
        self._numbers = numbers
        self.key_id: Final = hashlib.sha256(b"nasturtium key v1\0" + self.to_bytes()).hexdigest()[:32]

    @classmethod
    def generate(cls) -> SecretKey:
        """A fresh key."""
        with Scratch() as scratch:
            key = seal.KeyGenerator(make_context(_PLAIN_MODULUS)).secret_key()
            return cls(read_plaintext(scratch.dump(key)).copy())

    @classmethod
    def from_bytes(cls, data: bytes) -> SecretKey:
        """The key of `to_bytes`.

        Raises:
            PrivacyError: not 16,384 bytes of numbers below q.
        """
        if len(data) != KEY_BYTES:
            raise PrivacyError(f"expected a secret key of {KEY_BYTES} bytes, got {len(data)}")
        return cls(np.frombuffer(data, "<u8").astype(np.uint64))

    def to_bytes(self) -> bytes:
        """The key itself, 16,384 bytes: to be sealed to a member or kept in a file only its owner can read."""
        return self._numbers.astype("<u8", copy=False).tobytes()

    def encrypt_zeros(self, count: int) -> tuple[np.ndarray, bytes]:
        """Fresh encryptions of zero.

        Returns:
            c0, shape (count, 2048) uint64 below q, to which a scaled message is added; and the seeds of the second
            polynomials, 64 bytes each.
        """
        encryptor = seal.Encryptor(make_context(_PLAIN_MODULUS), self.as_seal(_PLAIN_MODULUS))
        c0 = np.empty((count, DEGREE), np.uint64)
        seeds = bytearray()
        with Scratch() as scratch:
            for row in range(count):
                written = scratch.dump(encryptor.encrypt_zero_symmetric())
                c0[row] = read_polynomials(written, 1)
                seeds += written[-SEED_BYTES:]
        return c0, bytes(seeds)

    def decrypt(self, c0: np.ndarray, c1: np.ndarray, plain_modulus: int) -> np.ndarray:
        """The messages of ciphertexts, exact where the error is below q / 2t.

        Args:
            c0: shape (n, 2048) uint64, below q.
            c1: as c0.
            plain_modulus: t.

        Returns:
            Shape (n, 2048) uint64, below t.
        """
        decryptor = seal.Decryptor(make_context(plain_modulus), self.as_seal(plain_modulus))
        messages = np.zeros(c0.shape, np.uint64)
        plain = seal.Plaintext()
        with Scratch() as scratch:
            for row, pair in enumerate(zip(c0, c1, strict=True)):
                body = ciphertext_bytes(pair, plain_modulus)
                decryptor.decrypt(scratch.load(seal.Ciphertext(), body, plain_modulus=plain_modulus), plain)
                coefficients = read_plaintext(scratch.dump(plain))
                messages[row, : len(coefficients)] = coefficients
        return messages

    def as_seal(self, plain_modulus: int) -> Any:
        """SEAL's object of the key, which belongs to one t."""
        with Scratch() as scratch:
            body = key_bytes(self._numbers, plain_modulus)
            return scratch.load(seal.SecretKey(), body, plain_modulus=plain_modulus)

    def __repr__(self) -> str:
        return f"SecretKey({self.key_id})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key is not pickled")


def _check_layout() -> None:
    """Hold what SEAL writes with a key against what we read, and one message against its decryption."""
    with Scratch() as scratch, required("a secret key"):
        key = SecretKey.generate()
        as_seal = key.as_seal(_PLAIN_MODULUS)
        encryptor = seal.Encryptor(make_context(_PLAIN_MODULUS), as_seal)
        numbers = np.frombuffer(key.to_bytes(), "<u8")
        require(scratch.dump(as_seal) == key_bytes(numbers, _PLAIN_MODULUS), "a secret key")
        written = scratch.dump(encryptor.encrypt_zero_symmetric())
    seed = written[-SEED_BYTES:]
    require(written.endswith(seed_bytes(seed)), "the seed of a ciphertext")
    require(written == seeded_bytes(read_polynomials(written, 1)[0], seed, _PLAIN_MODULUS), "a ciphertext with a seed")
    message = np.arange(DEGREE, dtype=np.uint64)[np.newaxis] % 7
    with required("a decryption"):
        c0, seeds = key.encrypt_zeros(1)
        scaled = message * np.uint64(MODULUS // 7)
        opened = key.decrypt((c0 + scaled) % np.uint64(MODULUS), expand_seeds(seeds), 7)
    require((opened == message).all(), "a decryption")


_check_layout()

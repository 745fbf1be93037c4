"""CKKS as others aggregate with it, the sites' side: TenSEAL's CKKS vectors, their key, and the rounding of sums.

Read the warning in `approximate_ckks` first: decrypted CKKS values carry a noise that depends on the key (Li &
Micciancio 2021). `ApproximateCkksCipher.decrypt` therefore gives integers or nothing; nobody should add a way to the
real values.

TenSEAL encrypts and decrypts. What goes on the wire are the bare numbers of its ciphertexts, and what comes from there
is checked and laid out anew before TenSEAL parses it (`approximate_ckks_layout`).

Threat model: see `approximate_ckks`. The coordinator never imports this module.
"""

from __future__ import annotations

import hashlib
from typing import Final, NoReturn, Self

import numpy as np

from .approximate_ckks import (
    CIPHERTEXT_BYTES,
    KEY_PRIMES,
    POLY_MODULUS_DEGREE,
    SCHEME,
    SLOTS,
    count_ciphertexts,
    pack_residues,
    split_ciphertexts,
    unpack_residues,
)
from .approximate_ckks_layout import KEY_SHAPE, context_with, decrypt_slots, encrypt_slots, fresh_context, read_key
from .derived_key import derive_key
from .errors import PrivacyError
from .packing import check_symbols
from .presets import Preset
from .rlwe import Scratch
from .scheme import Mask

KEY_BYTES: Final = 8 * len(KEY_PRIMES) * POLY_MODULUS_DEGREE
_KEY_PRIMES: Final = np.array(KEY_PRIMES, np.uint64)[:, None]
_MAX_RESIDUE: Final = 2.0**-6  # of a decrypted value to its integer; below 2**-18 is normal, also for sums near 2**32


class CkksSecretKey:
    """The CKKS key all sites of a federation share; SEAL draws it from the operating system's randomness.

    Args:
        residues: modulo the three primes, in NTT form, shape (3, 8192) uint64. `generate` and `from_bytes` are how to
            get a key.
    """

    __slots__ = ("_residues", "key_id")

    def __init__(self, residues: np.ndarray) -> None:
        if not (residues < _KEY_PRIMES).all() or not residues.any():
            raise PrivacyError("the numbers are no secret key")
        self._residues = residues
        self.key_id: Final = hashlib.sha256(b"nasturtium ckks key v1\0" + self.to_bytes()).hexdigest()[:32]

    @classmethod
    def generate(cls) -> Self:
        """A fresh key."""
        return cls(read_key(fresh_context()))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The key of `to_bytes`.

        Raises:
            PrivacyError: not 196,608 bytes of numbers below the primes.
        """
        if len(data) != KEY_BYTES:
            raise PrivacyError(f"expected a CKKS key of {KEY_BYTES} bytes, got {len(data)}")
        return cls(np.frombuffer(data, "<u8").astype(np.uint64).reshape(KEY_SHAPE))

    @property
    def residues(self) -> np.ndarray:
        """The key itself, for `ApproximateCkksCipher`; not to be modified."""
        return self._residues

    def to_bytes(self) -> bytes:
        """The key itself, 196,608 bytes: to be sealed to a member or kept in a file only its owner can read."""
        return self._residues.astype("<u8", copy=False).tobytes()

    def __repr__(self) -> str:
        return f"CkksSecretKey({self.key_id})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key is not pickled")


class ApproximateCkksCipher:
    """Encrypts symmetrically under the shared key, 4096 symbols to a ciphertext, and opens sums to exact integers.

    Args:
        key: the sites' key.
        preset: the levels and the number of clients; its packing is not used.
    """

    scheme = SCHEME

    def __init__(self, key: CkksSecretKey, preset: Preset) -> None:
        self.preset = preset
        self.key_id = key.key_id
        self._key = key
        self._context = context_with(key.residues)

    def ciphertexts(self, values: int) -> int:
        """How many ciphertexts an update of `values` symbols has."""
        return count_ciphertexts(values)

    def derive_key(self, purpose: bytes) -> bytes:
        """A key for another purpose, 32 bytes, of all who have this one."""
        return derive_key(self._key.to_bytes(), purpose)

    def encrypt(self, symbols: np.ndarray, mask: Mask | None = None) -> bytes:
        """Protect symbols, shape (n,), an unsigned integer dtype, each below `preset.symbols`.

        Raises:
            PrivacyError: a symbol out of range, or a mask: CKKS has none.
        """
        if mask is not None:
            raise PrivacyError(f"{SCHEME} has no masks", hint='use the scheme "packed"')
        check_symbols(symbols, self.preset)
        rows = count_ciphertexts(len(symbols))
        slots = np.zeros((rows, SLOTS))
        slots.reshape(-1)[: len(symbols)] = symbols
        packed = np.empty((rows, CIPHERTEXT_BYTES), np.uint8)
        with Scratch() as scratch:
            for row, reals in zip(packed, slots, strict=True):
                row[:] = pack_residues(encrypt_slots(self._context, reals, scratch))
        return packed.tobytes()

    def decrypt(self, body: bytes | memoryview, count: int) -> np.ndarray:
        """Open a sum of `count` symbols: shape (count,) uint32, exact.

        Raises:
            PrivacyError: the body is none, or a value is not close to an integer that a sum can be; without detail.
        """
        reals = np.empty((count_ciphertexts(count), SLOTS))
        try:
            for row, packed in zip(reals, split_ciphertexts(body, count), strict=True):
                row[:] = decrypt_slots(self._context, unpack_residues(packed))
        except (PrivacyError, ValueError, RuntimeError) as exc:
            raise PrivacyError("the sum cannot be opened") from exc
        reals = reals.reshape(-1)
        integers = np.rint(reals)
        # The range too: what another key decrypts is so large that a float64 has no fraction left to judge by.
        largest = np.where(np.arange(reals.size) < count, self.preset.base - 1, 0)
        # `all` of what must hold, for NaN fails every comparison.
        if not ((np.abs(reals - integers) < _MAX_RESIDUE) & (integers >= 0) & (integers <= largest)).all():
            raise PrivacyError("the sum cannot be opened")
        return integers[:count].astype(np.uint32)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a cipher holds a secret key and is not pickled")

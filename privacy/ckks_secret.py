"""CKKS on TenSEAL, the sites' side: the secret key, encryption and decryption. The coordinator never imports this.

Threat model: see `ckks`. Decrypted sums are rounded to exact integers before anything leaves, because CKKS noise
depends on the key (Li & Micciancio 2021); a decryption that is out of range or not near integers is refused without
detail.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from .chunks import join_chunks, split_chunks
from .ckks import (
    COEFF_MOD_BIT_SIZES,
    MAX_CIPHERTEXT_BYTES,
    POLY_MODULUS_DEGREE,
    SCALE,
    SCHEME,
    SLOTS,
    PublicContext,
    ciphertexts,
    key_name,
    load_context,
    load_vector,
    slots,
    ts,
)
from .errors import PrivacyError, UpdateRejectedError
from .fixed_point import MAX_BITS, MAX_SUMMANDS

_MAX_RESIDUE = 0.1  # of a decrypted value to the nearest integer; about 1e-6 is normal
_MAX_SUM = MAX_SUMMANDS * 2.0**MAX_BITS + 1


class SecretKey:
    """The key all sites of a federation share. Made from the operating system's randomness; kept in memory."""

    def __init__(self, serialised: bytes) -> None:
        self._serialised = serialised
        self.key_id = key_name(serialised)

    @classmethod
    def generate(cls) -> SecretKey:
        """A fresh key."""
        context = ts.context(
            ts.SCHEME_TYPE.CKKS,
            POLY_MODULUS_DEGREE,
            coeff_mod_bit_sizes=list(COEFF_MOD_BIT_SIZES),
            encryption_type=ts.ENCRYPTION_TYPE.SYMMETRIC,
        )
        context.global_scale = SCALE
        return cls(_serialise(context, secret=True))

    @cached_property
    def context(self) -> Any:
        """TenSEAL's object, with the secret key."""
        return load_context(self._serialised, secret=True)

    def public(self) -> PublicContext:
        """What the coordinator gets."""
        return PublicContext(self.key_id, _serialise(self.context, secret=False))

    def __repr__(self) -> str:
        return f"SecretKey({self.key_id})"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a secret key is not pickled")


class CkksCipher:
    """Encrypts symmetrically under the shared key, 4096 values to a ciphertext, with fresh randomness from SEAL."""

    scheme = SCHEME

    def __init__(self, key: SecretKey) -> None:
        self._key = key
        self.key_id = key.key_id

    def encrypt(self, values: np.ndarray) -> bytes:
        """Ciphertexts of integers, shape (n,)."""
        reals = values.astype(np.float64)
        parts = [reals[start : start + SLOTS] for start in range(0, len(reals), SLOTS)]
        return join_chunks([ts.ckks_vector(self._key.context, part.tolist()).serialize() for part in parts])

    def decrypt(self, body: bytes, count: int) -> np.ndarray:
        """The exact integers of a sum."""
        chunks = split_chunks(body, count=ciphertexts(count), max_bytes=MAX_CIPHERTEXT_BYTES)
        try:
            vectors = [load_vector(self._key.context, *each) for each in zip(chunks, slots(count), strict=True)]
            parts = [np.asarray(vector.decrypt()) for vector in vectors]
        except (UpdateRejectedError, ValueError, RuntimeError) as exc:
            raise PrivacyError("the sum cannot be decrypted") from exc
        reals = np.concatenate(parts)
        integers = np.rint(reals)
        # The range first: what another key decrypts is so large that a float64 has no fraction left to judge by.
        in_range = reals.shape == (count,) and (np.abs(reals) < _MAX_SUM).all()
        if not in_range or not (np.abs(reals - integers) < _MAX_RESIDUE).all():
            raise PrivacyError("the sum cannot be decrypted")
        return integers.astype(np.int64)


def _serialise(context: Any, *, secret: bool) -> bytes:
    return context.serialize(
        save_public_key=False, save_secret_key=secret, save_galois_keys=False, save_relin_keys=False
    )

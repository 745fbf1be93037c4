"""CKKS on TenSEAL, the coordinator's side: public parameters, and the sum of ciphertexts it cannot read.

Threat model: the coordinator is honest but curious. It sees ciphertexts and their number, never a key. All sites share
one secret key (`ckks_secret`), so the coordinator together with any one site can read every update; masks under the
encryption, which prevent that, are not here yet. This module holds no decryptor and must stay importable without one.

Parameters: N = 8192, moduli of 60 + 40 + 40 bits, scale 2**40; SEAL enforces 128-bit security (the limit for this N is
218 bits). They are NVIDIA FLARE's, about 57 bytes a value.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import tenseal  # pyright: ignore[reportMissingTypeStubs]

from .chunks import join_chunks, split_chunks
from .errors import PrivacyError, UpdateRejectedError

SCHEME = "ckks"
POLY_MODULUS_DEGREE = 8192
COEFF_MOD_BIT_SIZES = (60, 40, 40)
SCALE = 2.0**40
SLOTS = POLY_MODULUS_DEGREE // 2  # values in one ciphertext
MAX_CIPHERTEXT_BYTES = 262_144  # two polynomials of 8192 coefficients with 100 bits, 8 bytes each, and a header
_MAX_CONTEXT_BYTES = 2**20
# Polynomials, moduli and scale of a fresh ciphertext. Of fewer moduli, it would silently pull the sum down to its
# own, smaller modulus, which the sum overflows.
_FRESH = (2, len(COEFF_MOD_BIT_SIZES) - 1, SCALE)

# TenSEAL ships no types; this module and `ckks_secret` are the foreign edge.
ts: Any = tenseal


@dataclass(frozen=True)
class PublicContext:
    """The parameters all parties agree on, with the name of the key; nothing secret.

    Attributes:
        key_id: names the sites' key.
        serialised: TenSEAL's bytes, without any key.
    """

    key_id: str
    serialised: bytes

    @cached_property
    def context(self) -> Any:
        """TenSEAL's object.

        Raises:
            PrivacyError: the bytes are no context, or one that holds a secret key.
        """
        return load_context(self.serialised, secret=False)


def load_context(serialised: bytes, *, secret: bool) -> Any:
    """Parse TenSEAL context bytes and check that they hold a secret key, or none, as expected."""
    if len(serialised) > _MAX_CONTEXT_BYTES:
        raise PrivacyError(f"a context of {len(serialised)} bytes is larger than any of ours")
    try:
        context = ts.context_from(serialised)
    except (ValueError, RuntimeError) as exc:
        raise PrivacyError("the bytes are not a TenSEAL context") from exc
    if context.has_secret_key() != secret:
        raise PrivacyError(f"expected a context {'with' if secret else 'without'} a secret key")
    return context


def key_name(secret: bytes) -> str:
    """A public name for a secret key: 128 bits of its hash."""
    return hashlib.sha256(b"nasturtium.key" + secret).hexdigest()[:32]


def ciphertexts(count: int) -> int:
    """How many ciphertexts hold `count` values."""
    return -(-count // SLOTS)


def slots(count: int) -> list[int]:
    """How many values each of those ciphertexts holds."""
    full = ciphertexts(count) - 1
    return [SLOTS] * full + [count - SLOTS * full]


def load_vector(context: Any, chunk: bytes, size: int) -> Any:
    """Parse a ciphertext of `size` values: SEAL checks it against the parameters, we against what a fresh one is.

    Raises:
        UpdateRejectedError: it does not parse, or has another size, scale or modulus than agreed.
    """
    try:
        vector = ts.ckks_vector_from(context, chunk)
    except (ValueError, RuntimeError) as exc:
        raise UpdateRejectedError("a ciphertext does not parse under the agreed parameters") from exc
    if vector.size() != size or [_shape(inside) for inside in vector.ciphertext()] != [_FRESH]:
        raise UpdateRejectedError("a ciphertext has another size, scale or modulus than agreed")
    return vector


class CkksAdder:
    """Adds ciphertexts under a public context."""

    scheme = SCHEME

    def __init__(self, public: PublicContext) -> None:
        self._public = public

    @property
    def key_id(self) -> str:
        """Names the key that updates must be under."""
        return self._public.key_id

    @property
    def parameters_sha256(self) -> str:
        """Hash of the scheme's parameters, the same for every key."""
        parameters = (SCHEME, POLY_MODULUS_DEGREE, *COEFF_MOD_BIT_SIZES, SCALE)
        return hashlib.sha256(repr(parameters).encode()).hexdigest()

    @property
    def public_key_sha256(self) -> str:
        """Hash of the public context, which goes with one key."""
        return hashlib.sha256(self._public.serialised).hexdigest()

    def parse(self, body: bytes, count: int) -> list[object]:
        """Check lengths, then let SEAL check each ciphertext against the parameters."""
        chunks = split_chunks(body, count=ciphertexts(count), max_bytes=MAX_CIPHERTEXT_BYTES)
        sizes = slots(count)
        return [load_vector(self._public.context, chunk, size) for chunk, size in zip(chunks, sizes, strict=True)]

    def add(self, total: list[object], update: list[object]) -> list[object]:
        """Sum, ciphertext by ciphertext."""
        try:
            return [cast(Any, a) + cast(Any, b) for a, b in zip(total, update, strict=True)]
        except (ValueError, RuntimeError) as exc:  # SEAL gives out no sum that shows its content, as of c and -c
            raise UpdateRejectedError("a ciphertext cannot be added to the sum") from exc

    def serialise(self, total: list[object]) -> bytes:
        """The ciphertexts one after the other."""
        return join_chunks([cast(Any, vector).serialize() for vector in total])


def _shape(ciphertext: Any) -> tuple[int, int, float]:
    return ciphertext.size(), ciphertext.coeff_modulus_size(), ciphertext.scale

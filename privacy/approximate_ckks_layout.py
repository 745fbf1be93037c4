"""TenSEAL's objects of CKKS as bytes that are built and read here, for the sites' side of `approximate_ckks`.

TenSEAL takes and gives its vectors and contexts only as protobuf messages around SEAL's objects. Of those only the
numbers leave or enter this machine; everything around them is laid out here, so that neither parser sees a byte that
came from a network. The layout is held against TenSEAL's own when this module is imported; where they differ nothing
works, with the versions in the message.

Threat model: what is opened with a key here is CKKS's approximation, with its noise; `approximate_ckks_secret` rounds
it before anyone sees it. The coordinator never imports this module.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any, Final

import numpy as np
import tenseal  # pyright: ignore[reportMissingTypeStubs]

from .approximate_ckks import (
    COEFF_MOD_BIT_SIZES,
    KEY_PRIMES,
    POLY_MODULUS_DEGREE,
    PRIMES,
    RESIDUES_SHAPE,
    SCALE,
    SLOTS,
)
from .rlwe import ARRAY_BYTES, CIPHERTEXT, PLAINTEXT, Scratch, array_bytes, require, saved_header

# TenSEAL ships no types; this module is a foreign edge.
ts: Any = tenseal

KEY_SHAPE: Final = (len(KEY_PRIMES), POLY_MODULUS_DEGREE)
_NTT_FORM = 1
_SECRET_KEY_FIELD = 3  # of TenSEAL's context; a message whose first field is SEAL's key


def fresh_context() -> Any:
    """A TenSEAL context with a new key."""
    context = ts.context(
        ts.SCHEME_TYPE.CKKS,
        POLY_MODULUS_DEGREE,
        coeff_mod_bit_sizes=list(COEFF_MOD_BIT_SIZES),
        encryption_type=ts.ENCRYPTION_TYPE.SYMMETRIC,
    )
    context.global_scale = SCALE
    return context


def context_with(key: np.ndarray) -> Any:
    """A TenSEAL context with a key, shape (3, 8192) uint64: residues in NTT form."""
    seal_key = PLAINTEXT.pack(_parameters_id(of_keys=True), key.size, 1.0) + array_bytes(key)
    return ts.context_from(_parameters() + _field(_SECRET_KEY_FIELD, _field(1, _saved(seal_key))))


def read_key(context: Any) -> np.ndarray:
    """The key of a context: shape (3, 8192) uint64."""
    with Scratch() as scratch:
        written = scratch.dump(context.secret_key().data)
    numbers = np.frombuffer(written, "<u8", offset=PLAINTEXT.size + ARRAY_BYTES)
    return numbers.astype(np.uint64).reshape(KEY_SHAPE)


def encrypt_slots(context: Any, slots: np.ndarray, scratch: Scratch) -> np.ndarray:
    """The numbers of a fresh ciphertext of `SLOTS` reals: shape (2, 2, 8192) uint64, in NTT form."""
    return read_residues(ts.ckks_vector(context, slots.tolist()), scratch)


def decrypt_slots(context: Any, residues: np.ndarray) -> np.ndarray:
    """What the ciphertext with these numbers decrypts to, approximately: `SLOTS` reals.

    Raises:
        ValueError: TenSEAL or SEAL refuses it; also RuntimeError.
    """
    return np.asarray(make_vector(context, residues).decrypt())


def read_residues(vector: Any, scratch: Scratch) -> np.ndarray:
    """The numbers of a vector of one ciphertext."""
    return _residues_in(scratch.dump(vector.ciphertext()[0]))


def make_vector(context: Any, residues: np.ndarray) -> Any:
    """TenSEAL's vector of one full ciphertext with these numbers."""
    size = bytes([SLOTS & 127 | 128, SLOTS >> 7])  # a varint
    scale = b"\x19" + struct.pack("<d", SCALE)
    return ts.ckks_vector_from(context, _field(1, size) + _field(2, _saved(_ciphertext(residues))) + scale)


@cache
def _any_context() -> Any:
    """With a key that protects nothing: for what does not depend on the key."""
    return fresh_context()


@cache
def _parameters() -> bytes:
    """TenSEAL's bytes of a context without a key."""
    return _any_context().serialize(
        save_public_key=False, save_secret_key=False, save_galois_keys=False, save_relin_keys=False
    )


@cache
def _parameters_id(*, of_keys: bool) -> bytes:
    """SEAL's hash of the parameters: of keys, with the special prime, or of ciphertexts."""
    context = _any_context().seal_context().data
    return np.asarray(context.key_parms_id() if of_keys else context.first_parms_id(), "<u8").tobytes()


def _saved(content: bytes) -> bytes:
    """An uncompressed object as SEAL writes it."""
    return saved_header(len(content)) + content


def _field(number: int, content: bytes) -> bytes:
    """Bytes as a field of a protobuf message."""
    length, varint = len(content), bytearray()
    while length > 127:
        varint.append(length & 127 | 128)
        length >>= 7
    return bytes([number << 3 | 2, *varint, length]) + content


def _residues_in(written: bytes) -> np.ndarray:
    """The numbers of a ciphertext that SEAL wrote."""
    return np.frombuffer(written, "<u8", offset=CIPHERTEXT.size + ARRAY_BYTES).reshape(RESIDUES_SHAPE)


def _ciphertext(residues: np.ndarray) -> bytes:
    """What SEAL writes of a fresh ciphertext with these numbers, without the header."""
    shape = CIPHERTEXT.pack(_parameters_id(of_keys=False), _NTT_FORM, 2, POLY_MODULUS_DEGREE, len(PRIMES), SCALE, 1)
    return shape + array_bytes(residues)


def check_layout() -> None:
    """Hold all of the above against what TenSEAL writes and reads.

    Raises:
        SealLayoutError: they differ.
    """
    seal_context = _any_context().seal_context().data
    for data, primes in ((seal_context.key_context_data(), KEY_PRIMES), (seal_context.first_context_data(), PRIMES)):
        found = tuple(modulus.value() for modulus in data.parms().coeff_modulus())
        require(found == primes, "the moduli for n = 8192 and 60, 40, 40 bits")
    slots = np.arange(SLOTS, dtype=np.float64)
    vector = ts.ckks_vector(_any_context(), slots.tolist())
    with Scratch() as scratch:
        written = scratch.dump(vector.ciphertext()[0])
    require(len(written) == len(_ciphertext(np.zeros(RESIDUES_SHAPE, np.uint64))), "the length of a CKKS ciphertext")
    residues = _residues_in(written)
    require(written == _ciphertext(residues), "a CKKS ciphertext")
    try:
        opened = decrypt_slots(context_with(read_key(_any_context())), residues)
    except (ValueError, RuntimeError):
        opened = np.empty(0)
    require(opened.shape == slots.shape and (np.rint(opened) == slots).all(), "a CKKS vector or its key")


check_layout()

"""SEAL's ring learning with errors, the side that needs no key: its parameters, its bytes, and what a seed expands to.

SEAL is the cryptography: it draws keys, seeds and errors, expands seeds and decrypts. It takes and gives objects only
as files in its own format, so we build and read those bytes, of objects made on this machine: nothing that came from a
network reaches its parser but a 64-byte seed and numbers, in bytes laid out here. The layout is held against SEAL's
own when this module is imported; where they differ nothing works, with the versions in the message.

Threat model: a coordinator imports this module and not `rlwe_secret`. What it sees of an update, a seed and c0, cannot
be told from random numbers without the key (decision ring-LWE, n = 2048, log q = 54, ternary secret).
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import tenseal  # pyright: ignore[reportMissingTypeStubs]
import tenseal.sealapi  # pyright: ignore[reportMissingTypeStubs]

from .errors import PrivacyError, SealLayoutError
from .presets import DEGREE, MODULUS, MODULUS_BITS, SEED_BYTES

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd  # the same module; a twelfth of what `zstandard` weighs

# SEAL's bindings have no types; this module and `rlwe_secret` are the foreign edge.
seal: Any = tenseal.sealapi

_HEADER = struct.Struct("<HBBBBHQ")  # magic, its own size, version (2), compression, reserved, size of all
_MAGIC = 0xA15E
_UNCOMPRESSED, _ZSTD = 0, 2
_COUNT = struct.Struct("<Q")  # of the numbers in an array
CIPHERTEXT = struct.Struct("<32sBQQQdQ")  # parms_id, NTT form, polynomials, n, primes, scale, correction factor
PLAINTEXT = struct.Struct("<32sQd")  # parms_id (of a key; zeros otherwise), coefficients, scale
ARRAY_BYTES = _HEADER.size + _COUNT.size  # before the numbers of an array
_BLAKE2XB = b"\1"  # the generator that expands a seed
# What the seed 0, 1, ..., 63 expands to: SHA-256 of the numbers, little-endian.
_KNOWN_SEED = bytes(range(SEED_BYTES))
_KNOWN_EXPANSION = "d61d16d13c021cfb09351a00410c74244fb1ac8edff79ff9f72c531010d85055"
_ANY_PLAIN_MODULUS = 2  # where t does not matter


class Scratch:
    """A file in memory through which SEAL's objects go in and out; a private temporary file where there is no memfd."""

    def __init__(self) -> None:
        self._in_memory = hasattr(os, "memfd_create")
        if self._in_memory:
            self._descriptor = os.memfd_create("nasturtium")
            self._path = f"/proc/self/fd/{self._descriptor}"
        else:
            self._descriptor, self._path = tempfile.mkstemp(prefix="nasturtium")  # 0600

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        if not self._in_memory:
            Path(self._path).unlink()

    def dump(self, thing: Any) -> bytes:
        """The bytes of a SEAL object, decompressed and without the header."""
        data = self._save(thing)
        magic, size, _, _, compression, _, total = _HEADER.unpack_from(data)
        known = (magic, size, total) == (_MAGIC, _HEADER.size, len(data)) and compression in {_UNCOMPRESSED, _ZSTD}
        require(known, "the header of an object")
        body = data[_HEADER.size :]
        return zstd.decompress(body) if compression == _ZSTD else body

    def load(self, thing: Any, body: bytes, *, plain_modulus: int = _ANY_PLAIN_MODULUS) -> Any:
        """Fill a SEAL object from bytes that were laid out here; returns it."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, saved_header(len(body)) + body, 0)
        thing.load(make_context(plain_modulus), self._path)
        return thing

    def version(self) -> tuple[int, int]:
        """Of SEAL, as it writes it into headers."""
        return _HEADER.unpack_from(self._save(seal.Plaintext()))[2:4]

    def _save(self, thing: Any) -> bytes:
        os.ftruncate(self._descriptor, 0)
        thing.save(self._path)
        return os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)


@cache
def make_context(plain_modulus: int) -> Any:
    """SEAL's BFV parameters with a t; SEAL refuses what is not 128-bit secure."""
    parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.BFV)
    parameters.set_poly_modulus_degree(DEGREE)
    parameters.set_coeff_modulus(seal.CoeffModulus.Create(DEGREE, [MODULUS_BITS]))
    parameters.set_plain_modulus(plain_modulus)
    context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
    if not context.parameters_set():
        raise PrivacyError(f"SEAL refuses the parameters: {context.parameters_error_message()}")
    return context


@cache
def parameters_id(plain_modulus: int) -> bytes:
    """SEAL's hash of the parameters, which stands in its objects."""
    return np.asarray(make_context(plain_modulus).first_parms_id(), "<u8").tobytes()


def ciphertext_bytes(polynomials: Iterable[np.ndarray], plain_modulus: int) -> bytes:
    """A ciphertext of two polynomials, each shape (2048,) uint64 below q, for `Scratch.load`."""
    return _ciphertext_shape(plain_modulus) + array_bytes(np.concatenate(list(polynomials)))


def seeded_bytes(c0: np.ndarray, seed: bytes, plain_modulus: int) -> bytes:
    """A ciphertext whose second polynomial is given by a seed, for `Scratch.load`."""
    return _ciphertext_shape(plain_modulus) + array_bytes(c0) + seed_bytes(seed)


def seed_bytes(seed: bytes) -> bytes:
    """A seed as SEAL writes it at the end of a ciphertext."""
    return saved_header(len(_BLAKE2XB) + SEED_BYTES) + _BLAKE2XB + seed


def key_bytes(numbers: np.ndarray, plain_modulus: int) -> bytes:
    """A polynomial in NTT form, shape (2048,) uint64 below q, as SEAL writes a key."""
    return PLAINTEXT.pack(parameters_id(plain_modulus), DEGREE, 1.0) + array_bytes(numbers)


def read_polynomials(body: bytes, count: int) -> np.ndarray:
    """The first `count` polynomials of a ciphertext that SEAL wrote: shape (count, 2048) uint64."""
    return np.frombuffer(body, "<u8", count * DEGREE, CIPHERTEXT.size + ARRAY_BYTES).reshape(count, DEGREE)


def read_plaintext(body: bytes) -> np.ndarray:
    """The coefficients of a plaintext, or the numbers of a key, that SEAL wrote: shape (n,) uint64, n <= 2048."""
    return np.frombuffer(body, "<u8", offset=PLAINTEXT.size + ARRAY_BYTES)


def expand_seeds(seeds: memoryview | bytes) -> np.ndarray:
    """The second polynomials of ciphertexts, which their seeds stand for.

    Args:
        seeds: 64 bytes for each; from anywhere.

    Returns:
        Shape (n, 2048) uint64, uniform below q.
    """
    count = len(seeds) // SEED_BYTES
    expanded = np.empty((count, DEGREE), np.uint64)
    zero = np.zeros(DEGREE, np.uint64)
    shape = _ciphertext_shape(_ANY_PLAIN_MODULUS) + array_bytes(zero)
    with Scratch() as scratch:
        for row in range(count):
            seed = bytes(seeds[SEED_BYTES * row : SEED_BYTES * (row + 1)])
            expanded[row] = read_polynomials(
                scratch.dump(scratch.load(seal.Ciphertext(), shape + seed_bytes(seed))), 2
            )[1]
    return expanded


def saved_header(size: int) -> bytes:
    """SEAL's header of an uncompressed object whose content has `size` bytes."""
    return _HEADER.pack(_MAGIC, _HEADER.size, *seal_version(), _UNCOMPRESSED, 0, _HEADER.size + size)


def array_bytes(numbers: np.ndarray) -> bytes:
    """Numbers as SEAL writes them, with a header of their own."""
    data = numbers.astype("<u8", copy=False).tobytes()
    return saved_header(_COUNT.size + len(data)) + _COUNT.pack(numbers.size) + data


def _ciphertext_shape(plain_modulus: int) -> bytes:
    return CIPHERTEXT.pack(parameters_id(plain_modulus), 0, 2, DEGREE, 1, 1.0, 1)


@cache
def seal_version() -> tuple[int, int]:
    """Of SEAL, as it writes it into headers."""
    with Scratch() as scratch:
        return scratch.version()


def require(holds: bool, what: str) -> None:
    """Say what differs between our layout and SEAL's.

    Raises:
        SealLayoutError: something does.
    """
    if not holds:
        raise _differs(what)


@contextmanager
def required(what: str) -> Generator[None]:
    """The same, where SEAL or we fail to read what the other wrote."""
    try:
        yield
    except SealLayoutError:
        raise
    except (RuntimeError, ValueError, struct.error) as error:
        raise _differs(what) from error


def _differs(what: str) -> SealLayoutError:
    major, minor = seal_version()
    return SealLayoutError(
        f"{what} is not as we know it of SEAL: this is TenSEAL {tenseal.__version__} with SEAL {major}.{minor}",
        hint="install the version of tenseal that pyproject.toml names",
    )


def _check_layout() -> None:
    modulus = make_context(_ANY_PLAIN_MODULUS).first_context_data().parms().coeff_modulus()[0].value()
    require(modulus == MODULUS, "the modulus for n = 2048 and 54 bits")
    c0 = np.arange(DEGREE, dtype=np.uint64)
    with Scratch() as scratch, required("a ciphertext with a seed"):
        seeded = scratch.load(seal.Ciphertext(), seeded_bytes(c0, _KNOWN_SEED, _ANY_PLAIN_MODULUS))
        written = scratch.dump(seeded)
        both = read_polynomials(written, 2)
        require(written == ciphertext_bytes(both, _ANY_PLAIN_MODULUS), "a ciphertext")
    require((both[0] == c0).all(), "the place of c0 in a ciphertext")
    require(hashlib.sha256(both[1].astype("<u8").tobytes()).hexdigest() == _KNOWN_EXPANSION, "what a seed expands to")


_check_layout()

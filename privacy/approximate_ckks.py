"""CKKS as others aggregate with it, the coordinator's side: ciphertexts as arrays of numbers, and their sum.

For those who need the numbers of a system built on CKKS beside ours: N = 8192, moduli of 60 + 40 + 40 bits, scale
2**40, which are NVIDIA FLARE's parameters (128 bits of security allow 218 bits of modulus; the last 40 are SEAL's
special prime and in no ciphertext). A value takes 50 bytes; the packed scheme does the same sum in 1.7.

**Approximate.** CKKS decrypts to the sum plus a noise that depends on the key: a few decrypted values, published as
they are, give the key away (Li & Micciancio 2021, https://eprint.iacr.org/2020/1533). Here only sums of integers,
rounded to the exact integer, leave the sites, so that nothing of the noise does as long as every update is what a
site's cipher makes. That is a weaker promise than the packed scheme's: a forged update can put the sum between two
integers, and whether it is then refused tells something of the noise. Where a coordinator or a site may be malicious,
use the packed scheme.

Threat model: the coordinator is honest but curious; it sees ciphertexts and their number, never a key, and loads no
cryptographic library: adding is arithmetic modulo two primes, on numbers that were checked. All sites share one key and
there are no masks under this encryption, so the coordinator together with any one site can read every update. Nothing
here is authenticated; the envelope is.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from .errors import MalformedUpdateError, PrivacyError
from .packing import pack_words, unpack_words, words_bytes
from .presets import Preset
from .scheme import Mask

SCHEME: Final = "ckks-approximate"
POLY_MODULUS_DEGREE: Final = 8192
COEFF_MOD_BIT_SIZES: Final = (60, 40, 40)
SCALE: Final = 2.0**40
SLOTS: Final = POLY_MODULUS_DEGREE // 2  # values in a ciphertext
# What SEAL takes for N = 8192 and these sizes; `approximate_ckks_secret` holds them against the installed one.
KEY_PRIMES: Final = (0xFFFFFFFFFFFC001, 0xFFFFF4C001, 0xFFFFFDC001)
PRIMES: Final = KEY_PRIMES[:2]
PRIME_BITS: Final = COEFF_MOD_BIT_SIZES[:2]
RESIDUES_SHAPE: Final = (2, len(PRIMES), POLY_MODULUS_DEGREE)  # of a ciphertext: polynomials, primes, coefficients
_PRIME_WORDS: Final = 2 * POLY_MODULUS_DEGREE  # of one prime in a ciphertext
CIPHERTEXT_BYTES: Final = sum(words_bytes(_PRIME_WORDS, bits) for bits in PRIME_BITS)
_BROADCAST_PRIMES: Final = np.array(PRIMES, np.uint64)[:, None]


def count_ciphertexts(values: int) -> int:
    """How many ciphertexts hold `values` numbers."""
    return -(-values // SLOTS)


def pack_residues(residues: np.ndarray) -> np.ndarray:
    """A ciphertext's numbers, shape (2, 2, 8192) uint64, as `CIPHERTEXT_BYTES` uint8: prime by prime, bit-packed."""
    parts = [pack_words(residues[:, place].reshape(1, _PRIME_WORDS), bits)[0] for place, bits in enumerate(PRIME_BITS)]
    return np.concatenate(parts)


def unpack_residues(packed: np.ndarray) -> np.ndarray:
    """The inverse of `pack_residues`.

    Raises:
        MalformedUpdateError: a number is not below its prime.
    """
    residues = np.empty(RESIDUES_SHAPE, np.uint64)
    start = 0
    for place, (prime, bits) in enumerate(zip(PRIMES, PRIME_BITS, strict=True)):
        end = start + words_bytes(_PRIME_WORDS, bits)
        words = unpack_words(packed[None, start:end], _PRIME_WORDS, bits)
        if words.max() >= prime:
            raise MalformedUpdateError("a ciphertext has a number that is not below its modulus")
        residues[:, place] = words.reshape(2, POLY_MODULUS_DEGREE)
        start = end
    return residues


def split_ciphertexts(body: bytes | memoryview, values: int) -> np.ndarray:
    """The packed ciphertexts of a body of `values` numbers: shape (ciphertexts, CIPHERTEXT_BYTES) uint8, no copy.

    Raises:
        MalformedUpdateError: the body has another length.
    """
    count = count_ciphertexts(values)
    if len(body) != count * CIPHERTEXT_BYTES:
        raise MalformedUpdateError(
            f"expected {count * CIPHERTEXT_BYTES} bytes for {values} values under {SCHEME}, got {len(body)}"
        )
    return np.frombuffer(body, np.uint8).reshape(count, CIPHERTEXT_BYTES)


class ApproximateCkksAdder:
    """Adds approximate-CKKS ciphertexts, see the module's warning.

    Args:
        preset: the levels and the number of clients; its packing is not used.
        key_id: names the sites' key, 32 hex digits.
    """

    scheme = SCHEME
    fixed_length = True

    def __init__(self, preset: Preset, key_id: str) -> None:
        self.preset = preset
        self.key_id = key_id

    @property
    def parameters_sha256(self) -> str:
        """Hash of what all parties agree on, the same for every key."""
        parameters = (SCHEME, POLY_MODULUS_DEGREE, KEY_PRIMES, SCALE, self.preset.name)
        return hashlib.sha256(repr(parameters).encode()).hexdigest()

    def ciphertexts(self, values: int) -> int:
        """How many ciphertexts an update of `values` symbols has."""
        return count_ciphertexts(values)

    def update_bytes(self, values: int) -> int:
        """The exact length of an update's body."""
        return count_ciphertexts(values) * CIPHERTEXT_BYTES

    def sum_bytes(self, values: int) -> int:
        """The exact length of a sum's body: that of an update."""
        return self.update_bytes(values)

    def start(self, values: int) -> ApproximateCkksSum:
        """An empty sum of `values` symbols."""
        return ApproximateCkksSum(values)


class ApproximateCkksSum:
    """A sum of ciphertexts that grows; 64 bytes a value."""

    def __init__(self, values: int) -> None:
        self._values = values
        self._total = np.zeros((count_ciphertexts(values), *RESIDUES_SHAPE), np.uint64)

    def add(self, body: memoryview) -> None:
        """Add an update's body, once all of it is checked.

        Raises:
            MalformedUpdateError: another length, or a number that is not below its modulus; the sum is unchanged.
        """
        rows = split_ciphertexts(body, self._values)
        for row in rows:
            unpack_residues(row)
        for total, row in zip(self._total, rows, strict=True):
            total += unpack_residues(row)  # below 2**61
            np.minimum(total, total - _BROADCAST_PRIMES, out=total)  # where it was below, the difference wraps around

    def remove(self, mask: Mask) -> None:
        """CKKS has no masks: its values are no numbers modulo t.

        Raises:
            PrivacyError: always.
        """
        raise PrivacyError(f"{SCHEME} has no masks to remove", hint='use the scheme "packed"')

    def add_noise(self, noise: np.ndarray) -> None:
        """CKKS sums take no noise of the coordinator's."""
        raise PrivacyError(f"{SCHEME} takes no noise from the coordinator", hint='use the scheme "packed"')

    def body(self) -> bytes:
        """The sum's body."""
        return b"".join(pack_residues(total).tobytes() for total in self._total)

"""A tag in every update that adds up with it: sites open only sums that are of whole updates, each once.

Ciphertexts that can be added can also be tampered with: who holds one can add to what is in it, multiply it, or say
that one update is the sum of three. Who then sees what a site does with the sum has a way to read it. So each update
carries a keyed linear checksum of its symbols,

    tag = sum_j a_j x_j + b_sender   modulo p = 2^31 - 19, four times,

with a_j and b drawn from the sites' key anew for each attempt at a round. Tags travel as digits in the same sum, and
the sum of the tags must be that of the symbols' sums and of the senders the coordinator names. Without the key, a
change of what is in a sum, or another set of senders, passes with a chance of at most 2^-119. Sums are exact, so
nothing else than a change is ever refused.

Source: Agrawal & Boneh 2009, homomorphic MACs for network coding, https://doi.org/10.1007/978-3-642-01957-9_18.

Threat model: the coordinator, or whoever is on the way, knows all ciphertexts and not the key. It can still choose
which (whole) updates it sums. A site answers an attempt once: of two updates with one pad, any multiple of their
difference has a tag. Sites hold the key and are trusted with it: one in league with the coordinator can forge tags.

What is opened of a sum's tags are sums of digits, which do not carry and so would tell more than the sum of the
numbers: enough for a curious site to check a guess of a single update, noise and all. So a tag travels as tag + p r,
with r of 256 bits from the operating system. Of two tags or more, what the sums of the digits tell beyond the sum
modulo p, which the sum of the updates tells anyway, is then small: computed for the characters modulo p that digits
favour, 2^-80 for two levels and less for more. A prime beside a power of two, as 2^31 - 1, would give 2^-11.

Whether a site refuses a sum tells if a ciphertext was changed so little that it still decrypted to the same, which can
be a coefficient of the key, of which there are 2048. So a site that has refused a sum follows nothing under that key
any more, and n sites tell about n coefficients: too few to help with a hundred sites, not with a thousand.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Final, NoReturn

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .blocks import blocks
from .derived_key import hkdf
from .errors import PrivacyError
from .limbs import limbs_for
from .presets import MAX_BASE, Preset

TAGS: Final = 4
_PRIME: Final = MAX_BASE  # above all sums: a change of one is never a multiple of it
_BLINDING_BITS: Final = 256
_BLOCK: Final = 1 << 14  # symbols: sums of that many products of 16-bit numbers are exact in float64
_ZEROS: Final = memoryview(bytes(4 * TAGS * _BLOCK))
_LOW: Final = np.uint32(0xFFFF)


def tag_symbols(preset: Preset) -> int:
    """How many symbols a tag has."""
    return TAGS * _limbs(preset)


class SumTag:
    """Makes and checks the tags of one attempt at a round.

    Args:
        key: 32 bytes that only the sites have.
        context: what the attempt is, unambiguous.
        preset: of the sums.
    """

    __slots__ = ("_context", "_key", "_preset")

    def __init__(self, key: bytes, context: bytes, preset: Preset) -> None:
        self._key = key
        self._context = hashlib.sha256(context).digest()
        self._preset = preset

    def make(self, symbols: np.ndarray, sender: str) -> np.ndarray:
        """The tag of an update: shape (tag_symbols,), unsigned, below `preset.symbols`.

        Args:
            symbols: shape (n,), unsigned.
            sender: id of the site.
        """
        tags = (self._checksums(symbols) + self._pad(sender)) % _PRIME
        limbs, base = _limbs(self._preset), self._preset.symbols
        digits = np.empty((TAGS, limbs), np.min_scalar_type(base - 1))
        for tag in range(TAGS):
            rest = int(tags[tag]) + _PRIME * secrets.randbits(_BLINDING_BITS)
            for place in range(limbs):
                rest, digits[tag, place] = divmod(rest, base)
        return digits.reshape(-1)

    def check(self, sums: np.ndarray, tags: np.ndarray, senders: Iterable[str]) -> None:
        """Check that sums are of the updates of exactly these senders.

        Args:
            sums: shape (n,), unsigned, below 2^31 - 19.
            tags: the sums of their tags, shape (tag_symbols,).
            senders: ids of the sites.

        Raises:
            PrivacyError: they are not; without detail.
        """
        expected = self._checksums(sums)
        for sender in senders:
            expected = (expected + self._pad(sender)) % _PRIME
        found = np.zeros(TAGS, np.int64)
        columns = tags.reshape(TAGS, -1).astype(np.int64)
        for place in range(columns.shape[1] - 1, -1, -1):
            found = (found * self._preset.symbols + columns[:, place]) % _PRIME
        if not (found == expected).all():
            raise PrivacyError("the sum cannot be opened")

    def _checksums(self, symbols: np.ndarray) -> np.ndarray:
        """sum_j a_j x_j modulo p for each tag: shape (TAGS,) int64."""
        stream = Cipher(algorithms.AES(self._derive(b"coefficients")), modes.CTR(bytes(16))).encryptor()
        totals = [0] * TAGS
        wide = symbols.dtype.itemsize > 2
        for part in blocks(len(symbols), _BLOCK):
            block = symbols[part]
            # Each coefficient is a lower half of 16 bits and an upper one of 15: a row of each for each tag.
            halves = np.frombuffer(stream.update(_ZEROS[: 4 * TAGS * len(block)]), "<u2").reshape(2 * TAGS, len(block))
            rows = halves.astype(np.float64)
            rows[TAGS:] = halves[TAGS:] >> np.uint16(1)
            pieces = (block & _LOW, block >> np.uint32(16)) if wide else (block,)
            for place, piece in enumerate(pieces):
                products = rows @ piece.astype(np.float64)
                for tag in range(TAGS):
                    both = int(products[tag]) + (int(products[TAGS + tag]) << 16)
                    totals[tag] = (totals[tag] + (both << (16 * place))) % _PRIME
        return np.array(totals, np.int64)

    def _pad(self, sender: str) -> np.ndarray:
        words = np.frombuffer(self._derive(b"sender" + bytes.fromhex(sender), 8 * TAGS), "<u8")
        return (words % np.uint64(_PRIME)).astype(np.int64)

    def _derive(self, purpose: bytes, length: int = 32) -> bytes:
        return hkdf(self._key, b"nasturtium sum tag v1\0" + self._context + purpose, length=length)

    def __reduce__(self) -> NoReturn:
        raise TypeError("the key of a tag is not pickled or copied")


def _limbs(preset: Preset) -> int:
    return limbs_for((_PRIME << _BLINDING_BITS) - 1, preset.symbols)

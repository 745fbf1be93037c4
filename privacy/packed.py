"""The packed scheme, the coordinator's side: it adds ciphertexts modulo q, and cannot read them.

An update's body is a seed of 64 bytes for each ciphertext, then c0 of each, whose coefficients have `word_bits` bits. A
sum's body is c0 and c1 of each ciphertext, with 54 bits a coefficient. All lengths follow from the preset.

Threat model: the coordinator is honest but curious and holds no key. Without masks, one that shares what it has with a
site can open every update, for the sites share one key; with masks under the encryption it cannot (`masking`). A site
may send any numbers: each counts for at most t - 1 in every coefficient, and no body makes this module fail.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from .blocks import Workers, blocks
from .errors import MalformedUpdateError, PrivacyError
from .packing import BLOCK, pack_signed, pack_words, unpack_words, words_bytes
from .presets import DEGREE, MODULUS, MODULUS_BITS, SEED_BYTES, Preset
from .rlwe import expand_seeds
from .scheme import Mask

SCHEME: Final = "packed"
_Q = np.uint64(MODULUS)


class PackedAdder:
    """Adds ciphertexts of the packed scheme.

    Args:
        preset: what the parties agreed on.
        key_id: names the sites' key.
        workers: processes that expand seeds of large updates; 1 for none.
    """

    scheme = SCHEME
    fixed_length = True

    def __init__(self, preset: Preset, key_id: str, *, workers: int = 1) -> None:
        self.preset = preset
        self.key_id = key_id
        self._workers = Workers(workers)

    @property
    def parameters_sha256(self) -> str:
        """Hash of all that the parties agree on but the key."""
        return hashlib.sha256(f"{SCHEME} {self.preset.name} {MODULUS}".encode()).hexdigest()

    def ciphertexts(self, values: int) -> int:
        """How many ciphertexts an update of `values` symbols has."""
        return self.preset.ciphertexts(values)

    def update_bytes(self, values: int) -> int:
        """The length of an update's body."""
        return self.preset.update_bytes(values)

    def sum_bytes(self, values: int) -> int:
        """The length of a sum's body."""
        return self.preset.sum_bytes(values)

    def close(self) -> None:
        """End the processes, if there are any."""
        self._workers.close()

    def start(self, values: int) -> PackedSum:
        """An empty sum of `values` symbols."""
        return PackedSum(self.preset, values, self._workers)


class PackedSum:
    """A growing sum of ciphertexts. Up to 1000 numbers below 2^54 fit in 64 bits, so it is reduced when it is read."""

    def __init__(self, preset: Preset, values: int, workers: Workers) -> None:
        self._preset = preset
        self._values = values
        self._workers = workers
        self._sum = np.zeros((2, preset.ciphertexts(values), DEGREE), np.uint64)  # of c0 and c1
        self._whole = True  # no update is in it by half

    def add(self, body: memoryview) -> None:
        """Add an update's body.

        Raises:
            MalformedUpdateError: it has another length; the sum is unchanged.
            PrivacyError: a worker process ended, and the sum is lost; or it was lost before.
        """
        self._check_whole()
        preset = self._preset
        if len(body) != preset.update_bytes(self._values):
            raise MalformedUpdateError(f"expected a body of {preset.update_bytes(self._values)} bytes, got {len(body)}")
        count = preset.ciphertexts(self._values)
        seeds, words = body[: SEED_BYTES * count], np.frombuffer(body, np.uint8, offset=SEED_BYTES * count)
        rows = words.reshape(count, words_bytes(DEGREE, preset.word_bits))
        c0, c1 = self._sum
        parts = blocks(count, BLOCK)
        expanded = self._workers.map(
            expand_seeds, (bytes(seeds[SEED_BYTES * p.start : SEED_BYTES * p.stop]) for p in parts)
        )
        self._whole = False
        for part, second in zip(parts, expanded, strict=True):
            received = unpack_words(rows[part], DEGREE, preset.word_bits)
            received <<= np.uint64(preset.dropped_bits)
            c0[part] += received
            c1[part] += second
        self._whole = True

    def remove(self, mask: Mask) -> None:
        """Take away what the masks of the updates add up to, modulo t; this rounds once."""
        c0 = self._sum[0]
        t = np.uint64(self._preset.plain_modulus)
        for part in blocks(len(c0), BLOCK):
            masked = mask.take(c0[part].size).reshape(c0[part].shape)
            c0[part] %= _Q
            c0[part] += scale(np.where(masked == 0, masked, t - masked), self._preset)

    def add_noise(self, noise: np.ndarray) -> None:
        """Add integers to the sums of the symbols; this rounds once, as `remove` does, so a sum has one of the two.

        Args:
            noise: shape (values,), signed; no sum may leave the range of its digit.
        """
        preset, c0 = self._preset, self._sum[0]
        for part in blocks(len(c0), BLOCK):
            digits = noise[preset.block * part.start : preset.block * part.stop]
            signed = pack_signed(digits, preset)
            c0[part] %= _Q
            c0[part] += scale(np.where(signed < 0, signed + preset.plain_modulus, signed).astype(np.uint64), preset)

    def body(self) -> bytes | memoryview:
        """The sum's body: of each ciphertext c0, then c1.

        Raises:
            PrivacyError: adding an update failed half-way.
        """
        self._check_whole()
        count = self._sum.shape[1]
        packed = np.empty((count, 2, words_bytes(DEGREE, MODULUS_BITS)), np.uint8)
        for part in blocks(count, BLOCK):
            for index in (0, 1):
                packed[part, index] = pack_words(self._sum[index, part] % _Q, MODULUS_BITS)
        return packed.reshape(-1).data

    def _check_whole(self) -> None:
        if not self._whole:
            raise PrivacyError("adding an update failed half-way: the sum is lost")


def scale(coefficients: np.ndarray, preset: Preset) -> np.ndarray:
    """round(q m / t), exactly: what stands for m in a ciphertext.

    Args:
        coefficients: uint64, each below t.

    Returns:
        The same shape, uint64, each at most q.
    """
    t = preset.plain_modulus
    whole, rest = divmod(MODULUS, t)
    # q m / t = whole m + rest m / t, whose second part overflows 64 bits: guess it, and see how far off the guess is.
    guess = np.rint(coefficients.astype(np.float64) * (rest / t)).astype(np.uint64)
    off = (coefficients * np.uint64(rest) - guess * np.uint64(t)).view(np.int64)  # modulo 2^64, and small
    guess += (off > t // 2).astype(np.uint64)
    guess -= (off < -(t // 2)).astype(np.uint64)
    return coefficients * np.uint64(whole) + guess

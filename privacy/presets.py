"""Parameters of the packed scheme, as frozen values that cannot be wrong: a preset exists only if its sums are exact.

A site's values are integers of `levels` levels, and `packing` of them share one coefficient of a polynomial as digits
in base B = K(L - 1 + 2T) + 1, so that the digits of K summed updates do not carry (K clients, L levels, noise up to T
either way). A coefficient is a number modulo t = B^k, and stands in a ciphertext as round(q m / t) plus an error.

Exactness. SEAL draws a centred binomial error of at most 21, the scaling rounds by at most 1/2, and dropping the low d
bits of c0 rounds by at most 2^(d - 1); removing the masks of a sum rounds once more. SEAL's decryption gives the exact
sum while the total is below q / 2t (its gamma correction needs |error| t / q < 1/2 - 2^-60, and error t is an integer).
So a preset is accepted only if, in integers,

    K (43 + [d > 0] 2^d) + 1  <  q / t,

twice the worst case. No decryption of what `PackedCipher` encrypted can then fail, whatever the values, which also
keeps out the attacks that learn a key from failures (D'Anvers et al. 2018, https://eprint.iacr.org/2018/1089; Checri et
al. 2024, https://eprint.iacr.org/2024/116). The bound is for at most K updates: the aggregator refuses more. Sums are
held in 32 bits and tagged modulo 2^31 - 19 (`sum_tag`), so B <= 2^31 - 19 too.

Security: n = 2048 with a 54-bit modulus is 128 bits by the Homomorphic Encryption Standard
(https://eprint.iacr.org/2019/939, table 1), which SEAL enforces.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, Self

from ..core import ConfigError

DEGREE: Final = 2048  # n: coefficients of a polynomial
MODULUS: Final = 0x3FFFFFFFFED001  # q: the prime SEAL takes for n = 2048 and 54 bits
MODULUS_BITS: Final = 54
SEED_BYTES: Final = 64
MIN_SUMMANDS: Final = 3  # each of two sites could subtract its own update from the sum and read the other's
MAX_CLIENTS: Final = 1000
MAX_LEVELS: Final = 65_536
_MAX_NOISE_BOUND: Final = 2**24
MAX_BASE: Final = 2**31 - 19  # the prime of tags: no two sums are the same modulo it
_ERROR: Final = 21  # of a fresh encryption: SEAL's centred binomial distribution
_NAME = re.compile(r"rlwe2048-k(\d{1,4})-l(\d{1,5})-p(\d{1,2})-d(\d{1,2})(?:-t(\d{1,8}))?")

Minimise = Literal["traffic", "upload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What the parties of a sum agree on.

    Attributes:
        clients: K, how many updates a sum may have; 2 to 1000.
        levels: L, how many values a number can have; 2 to 65,536. An odd number has a level for zero.
        packing: k, numbers in a coefficient; >= 1.
        dropped_bits: d, low bits of c0 that are not sent; 0 to 40.
        noise_bound: T, how far integer noise may move a number either way; >= 0.

    Raises:
        ConfigError: out of range, or sums could be wrong.
    """

    clients: int
    levels: int
    packing: int
    dropped_bits: int = 0
    noise_bound: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "clients": (2, MAX_CLIENTS),
            "levels": (2, MAX_LEVELS),
            "packing": (1, MODULUS_BITS),
            "dropped_bits": (0, 40),
            "noise_bound": (0, _MAX_NOISE_BOUND),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f"a preset's {name}: expected an integer from {low} to {high}, got {value!r:.40}")
        if self.base > MAX_BASE:
            raise ConfigError(f"sums under {self.name} reach {self.base - 1}, expected less than 2**31 - 19")
        if not self._worst_case() * self.plain_modulus < MODULUS:
            raise ConfigError(
                f"sums under {self.name} could be wrong: twice the worst error, {self._worst_case()}, is not below "
                f"q / t = {MODULUS / self.plain_modulus:.6g}",
                hint="choose one with smallest_preset(clients, bits)",
            )

    @property
    def name(self) -> str:
        """For people; `named` reads it."""
        noise = f"-t{self.noise_bound}" if self.noise_bound else ""
        return f"rlwe2048-k{self.clients}-l{self.levels}-p{self.packing}-d{self.dropped_bits}{noise}"

    @classmethod
    def named(cls, name: str) -> Self:
        """The preset of a name.

        Raises:
            ConfigError: no such name, or its sums could be wrong.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            raise ConfigError(f"no name of a preset: {name!r:.80}", hint="a name is like rlwe2048-k10-l255-p4-d0")
        clients, levels, packing, dropped, noise = (int(group or 0) for group in found.groups())
        preset = cls(clients=clients, levels=levels, packing=packing, dropped_bits=dropped, noise_bound=noise)
        if preset.name != name:  # leading zeros: two names of one preset would be two ids
            raise ConfigError(f"no name of a preset: {name!r:.80}", hint=f"did you mean {preset.name}?")
        return preset

    def identifier(self, scheme: str) -> str:
        """Names scheme and parameters in an envelope: 8 bytes as hex."""
        return hashlib.sha256(f"nasturtium preset v1 {scheme} {self.name}".encode()).hexdigest()[:16]

    @property
    def symbols(self) -> int:
        """How many values a digit of one update can have: L + 2T."""
        return self.levels + 2 * self.noise_bound

    @property
    def base(self) -> int:
        """B: what separates the digits of a sum."""
        return self.clients * (self.symbols - 1) + 1

    @property
    def plain_modulus(self) -> int:
        """The number t = B^k below which coefficients are."""
        return self.base**self.packing

    @property
    def word_bits(self) -> int:
        """Bits of a coefficient of c0 in an update."""
        return MODULUS_BITS - self.dropped_bits

    @property
    def block(self) -> int:
        """Numbers in a ciphertext."""
        return self.packing * DEGREE

    def ciphertexts(self, values: int) -> int:
        """How many ciphertexts hold `values` numbers."""
        return -(-values // self.block)

    def update_bytes(self, values: int) -> int:
        """Bytes of a protected update of `values` numbers, without its envelope: seeds, then c0."""
        return self.ciphertexts(values) * (SEED_BYTES + DEGREE * self.word_bits // 8)

    def sum_bytes(self, values: int) -> int:
        """Bytes of a protected sum, without its envelope: c0 and c1."""
        return self.ciphertexts(values) * 2 * DEGREE * MODULUS_BITS // 8

    def _worst_case(self) -> int:
        """Twice the largest error of a sum of K updates whose masks are removed."""
        dropped = 2**self.dropped_bits if self.dropped_bits else 0
        return self.clients * (2 * _ERROR + 1 + dropped) + 1


def smallest_preset(
    clients: int, bits: int, *, noise_bound: int = 0, values: int | None = None, minimise: Minimise = "traffic"
) -> Preset:
    """The preset with the fewest bytes for `clients` updates of `bits` bits whose sums are exact in the worst case.

    Args:
        clients: 2 to 1000.
        bits: 1 to 16; L = 2^bits - 1 levels, of which the middle one is zero (two levels for one bit).
        noise_bound: room for integer noise, >= 0.
        values: how many numbers an update has, >= 1; None for many. Where they fill a ciphertext or two, it is better
            to drop bits than to pack more.
        minimise: "traffic", what a site sends and receives in a round, or "upload", what it sends.

    Raises:
        ConfigError: out of range, or there is none: so much noise of so many clients does not fit.
    """
    if not 1 <= bits <= 16:
        raise ConfigError(f"expected 1 to 16 bits, got {bits}")
    if not 2 <= clients <= MAX_CLIENTS:
        raise ConfigError(
            f"expected 2 to {MAX_CLIENTS} clients, got {clients}",
            hint="the sum of one would reveal it; more than that are summed in groups",
        )
    found = list(_candidates(clients, max(2, 2**bits - 1), noise_bound))
    if not found:
        raise ConfigError(f"no exact preset for {clients} clients of {bits} bits with noise up to {noise_bound}")

    def cost(preset: Preset) -> tuple[float, int]:
        ciphertexts = 1 / preset.packing if values is None else preset.ciphertexts(values)
        up = SEED_BYTES + DEGREE * preset.word_bits / 8
        down = 2 * DEGREE * MODULUS_BITS / 8 if minimise == "traffic" else 0
        return ciphertexts * (up + down), preset.packing

    return min(found, key=cost)


def _candidates(clients: int, levels: int, noise_bound: int) -> Iterator[Preset]:
    """For each packing the preset that drops most bits."""
    base = clients * (levels - 1 + 2 * noise_bound) + 1
    if base > MAX_BASE:
        return
    for packing in range(1, MODULUS_BITS):
        room = (MODULUS - 1) // base**packing - 43 * clients - 1  # for what dropping bits adds
        if room < 0:
            return
        dropped = min((room // clients).bit_length() - 1, 40) if room >= 2 * clients else 0
        yield Preset(clients=clients, levels=levels, packing=packing, dropped_bits=dropped, noise_bound=noise_bound)

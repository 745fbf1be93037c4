"""Integer noise drawn exactly: the discrete Gaussian and Skellam distributions, truncated to [-T, T].

Sampling inverts the cumulative distribution F: a uniform number u in [0, 1), bit after bit from the operating system,
falls between two steps of F. The first 16 bits mostly decide, then 64; where these fall on a step itself, bits are
drawn until they do not, against the steps at that precision. Steps come from integer intervals that enclose them, so
that the numbers have the stated distribution, not one near it: noise in floating point gives away what it hides
(Mironov 2012,
https://www.microsoft.com/en-us/research/publication/on-significance-of-the-least-significant-bits/).

Threat model: the operating system's generator is trusted, and who draws is honest. Drawing takes a little longer for
some numbers than for others: somebody who can time a site to microseconds is not kept out.

Sources: Canonne, Kamath, Steinke 2020, https://arxiv.org/abs/2004.00010; Agarwal, Kairouz, Liu 2021,
https://arxiv.org/abs/2110.04995 (ours is by inversion, and truncates).
"""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from typing import Final, Protocol, TypeAlias

import numpy as np

from ...core import ConfigError

MAX_BOUND: Final = 2**20  # a table of 2T steps is held
_GUARD_BITS: Final = 64
_TAIL_BITS: Final = 320
_CHUNK: Final = 2**20  # numbers drawn at once

Interval: TypeAlias = tuple[int, int]  # lower <= x 2^bits <= upper
RandomBytes: TypeAlias = Callable[[int], bytes]


class IntegerNoise(Protocol):
    """A symmetric distribution over the integers that falls off ever faster: P(k + 1) / P(k) decreases in k >= 0."""

    @property
    def variance(self) -> float:
        """In squared steps."""
        ...

    def ratios(self, count: int, bits: int) -> Sequence[Interval]:
        """Enclosures of P(k + 1) / P(k) for k from 0 to count - 1, in units of 2^-bits."""
        ...


@dataclass(frozen=True, slots=True)
class DiscreteGaussian:
    """P(k) in proportion to exp(-k^2 / (2 sigma^2)).

    Attributes:
        sigma: scale in steps, from 0.25 to 2^20, taken as the exact rational number the float is.

    Raises:
        ConfigError: out of range.
    """

    sigma: float

    def __post_init__(self) -> None:
        if not 0.25 <= self.sigma <= MAX_BOUND:
            raise ConfigError(f"expected a sigma from 0.25 to {MAX_BOUND} steps, got {self.sigma!r:.40}")

    @property
    def variance(self) -> float:
        """Close to sigma^2, and never more; below sigma = 1 it falls behind (Canonne et al. 2020, corollary 9)."""
        reach = math.ceil(12 * self.sigma) + 1
        squares = np.arange(-reach, reach + 1, dtype=np.float64) ** 2
        weights = np.exp(-squares / (2 * self.sigma**2))
        return float((squares * weights).sum() / weights.sum())

    def ratios(self, count: int, bits: int) -> Sequence[Interval]:
        """See `IntegerNoise`."""
        low, high = _exp(-1 / (2 * Fraction(self.sigma) ** 2), bits)
        step_low, step_high = low * low >> bits, (high * high >> bits) + 1
        found: list[Interval] = []
        for _ in range(count):  # exp(-(2k + 1) / (2 sigma^2)), each the one before times exp(-1 / sigma^2)
            found.append((low, high))
            low, high = low * step_low >> bits, (high * step_high >> bits) + 1
        return found


@dataclass(frozen=True, slots=True)
class Skellam:
    """The difference of two Poisson numbers of equal mean: P(k) = exp(-v) I_k(v), I the modified Bessel function.

    Attributes:
        variance: v in squared steps, from 0.01 to 2^40, taken as the exact rational number the float is.

    Raises:
        ConfigError: out of range.
    """

    variance: float

    def __post_init__(self) -> None:
        if not 0.01 <= self.variance <= MAX_BOUND**2:
            raise ConfigError(f"expected a variance from 0.01 to 2^40 squared steps, got {self.variance!r:.40}")

    def ratios(self, count: int, bits: int) -> Sequence[Interval]:
        """See `IntegerNoise`. From I_(k-1) = I_(k+1) + (2k / v) I_k, downwards, where errors shrink."""
        top, bottom = Fraction(self.variance).as_integer_ratio()
        margin = 64 + int(0.4 * bits * self.variance / count)  # at r = exp(-k / v), errors are down by 2^-bits
        while True:
            low, high = 0, 1 << bits
            found: list[Interval] = []
            for k in range(count + margin, 0, -1):
                base = 2 * k * bottom << bits
                low, high = (top << 2 * bits) // (base + top * high), (top << 2 * bits) // (base + top * low) + 1
                if k <= count:
                    found.append((low, high))
            last_low, last_high = found[0]
            if last_high - last_low <= 4 * margin:  # rounding alone: what was assumed at the top no longer matters
                return found[::-1]
            margin *= 2


class NoiseSampler:
    """Draws integers of a distribution given that they are in [-bound, bound].

    Args:
        noise: the distribution.
        bound: T, from 1 to 2^20, and at most 40 standard deviations + 40.
        random_bytes: uniform bytes; other than the operating system's only in tests.

    Raises:
        ConfigError: `bound` out of range.
    """

    def __init__(self, noise: IntegerNoise, bound: int, *, random_bytes: RandomBytes = os.urandom) -> None:
        _check_bound(bound)
        if bound > 40 * math.sqrt(noise.variance) + 40:  # its last steps would take thousands of bits to tell apart
            raise ConfigError(
                f"expected truncation near the noise of variance {noise.variance:.6g}, got {bound} steps",
                hint="tail_bound gives one",
            )
        self._noise = noise
        self._bound = bound
        self._random_bytes = random_bytes
        self._edges = np.array(_steps(noise, bound, 64), np.uint64)
        cells = (self._edges >> np.uint64(48)).astype(np.int64)
        self._by_16_bits = np.searchsorted(cells, np.arange(2**16)).astype(np.int32)
        self._by_16_bits[cells] = -1  # a step within: more bits decide

    @property
    def bound(self) -> int:
        """No number is further from zero."""
        return self._bound

    def sample(self, count: int) -> np.ndarray:
        """Independent numbers, shape (count,) int32."""
        noise = np.empty(count, np.int32)
        for start in range(0, count, _CHUNK):
            part = noise[start : start + _CHUNK]
            words = np.frombuffer(self._random_bytes(2 * len(part)), "<u2")
            np.take(self._by_16_bits, words, out=part)
            open_places = np.flatnonzero(part < 0)
            part[open_places] = self._by_64_bits(words[open_places])
        noise -= self._bound
        return noise

    def _by_64_bits(self, first: np.ndarray) -> np.ndarray:
        """How many steps are below each number of which the first 16 bits are known."""
        rest = np.frombuffer(self._random_bytes(8 * len(first)), "<u8")
        words = (first.astype(np.uint64) << np.uint64(48)) | (rest >> np.uint64(16))
        below = np.searchsorted(self._edges, words)
        on_a_step = (below < len(self._edges)) & (self._edges[np.minimum(below, len(self._edges) - 1)] == words)
        for place in np.flatnonzero(on_a_step):
            below[place] = self._by_all_bits(int(words[place]))
        return below

    def _by_all_bits(self, word: int) -> int:
        bits = 64
        while True:
            bits += 64
            word = word << 64 | int.from_bytes(self._random_bytes(8), "little")
            steps = _steps(self._noise, self._bound, bits)
            below = bisect_left(steps, word)
            if below == len(steps) or steps[below] != word:
                return below


def tail_mass(noise: IntegerNoise, bound: int, *, samples: int = 1) -> float:
    """A tight upper bound for the chance that any of `samples` numbers, untruncated, is outside [-bound, bound].

    Raises:
        ConfigError: `bound` out of range.
    """
    _check_bound(bound)
    return min(1.0, math.nextafter(samples * _tails(noise, bound + 1)[bound] / 2**_TAIL_BITS, math.inf))


def tail_bound(noise: IntegerNoise, *, samples: int, mass: float) -> int:
    """The smallest T for which `tail_mass` is at most `mass`.

    Args:
        noise: the distribution.
        samples: how many numbers are drawn: the vector's length times the number of vectors; >= 1.
        mass: > 0 and at least 1e-60.

    Raises:
        ConfigError: `mass` out of range, or T is above 2^20.
    """
    if not 1e-60 <= mass < 1:
        raise ConfigError(f"expected a tail mass from 1e-60 to 1, got {mass!r:.40}")
    allowed = int(Fraction(mass) * (1 - Fraction(2) ** -50) * 2**_TAIL_BITS) // samples  # less what a float rounds up
    count = 32 + math.ceil(1.05 * math.sqrt(2 * noise.variance * math.log(2 * samples / mass)))
    while True:
        for bound, tail in enumerate(_tails(noise, min(count, MAX_BOUND + 1))):
            if bound and tail <= allowed:
                return bound
        if count > MAX_BOUND:
            raise ConfigError(
                f"noise of variance {noise.variance:.6g} passes {MAX_BOUND} steps with a chance above {mass}",
                hint="fewer levels: a coarser step needs fewer steps of noise",
            )
        count *= 2


def _tails(noise: IntegerNoise, count: int) -> list[int]:
    """Upper bounds of P(|X| > T) 2^320 for T from 0 to count - 1: the rest is at most a geometric series."""
    one = 1 << _TAIL_BITS
    ratios = noise.ratios(count + 1, _TAIL_BITS)
    low, high, total = one, one, one  # of P(k) / P(0), and at least what all up to k is
    nexts: list[int] = []
    for ratio_low, ratio_high in ratios[:-1]:
        low, high = low * ratio_low >> _TAIL_BITS, (high * ratio_high >> _TAIL_BITS) + 1
        total += 2 * low
        nexts.append(high)
    return [
        (2 * first << 2 * _TAIL_BITS) // (total * (one - min(ratio_high, one - 1))) + 1
        for first, (_, ratio_high) in zip(nexts, ratios[1:], strict=True)
    ]


def _steps(noise: IntegerNoise, bound: int, bits: int) -> list[int]:
    """floor(2^bits F(x)), exactly, for x from -bound to bound - 1."""
    precision = bits + _GUARD_BITS + 3 * bound.bit_length()
    while True:
        upper = _upper_steps(noise, bound, bits, precision)
        if upper is not None:
            full = (1 << bits) - 1
            return [full - step for step in reversed(upper)] + upper  # F(-x - 1) = 1 - F(x), no multiple of 2^-bits
        precision *= 2
        assert precision < 2**20  # bounds near the noise need some 30,000 bits at most


def _upper_steps(noise: IntegerNoise, bound: int, bits: int, precision: int) -> list[int] | None:
    """The steps from x = 0; None where the precision leaves one open."""
    low = high = inside = 1 << precision
    error = 0
    within: list[int] = []  # P(|X| <= k) / P(0) from below, short of it by `error` at most
    for ratio_low, ratio_high in noise.ratios(bound, precision):
        within.append(inside)
        low, high = low * ratio_low >> precision, (high * ratio_high >> precision) + 1
        inside += 2 * low
        error += 2 * (high - low)
    found: list[int] = []
    for part in within:  # F(k) = 1/2 + P(|X| <= k) / 2
        step = (inside + part << bits) // (2 * (inside + error))
        if (inside + part + 2 * error << bits) // (2 * inside) != step:
            return None
        found.append(step)
    return found


def _exp(exponent: Fraction, bits: int) -> Interval:
    """Encloses exp(exponent) 2^bits for an exponent in [-8, 0)."""
    digits = math.ceil(0.30103 * bits) + 8
    context = Context(prec=digits, Emax=MAX_EMAX, Emin=MIN_EMIN)
    value = context.exp(context.divide(Decimal(exponent.numerator), Decimal(exponent.denominator)))
    # The quotient is off by 8 10^-digits at most, `exp` and the product are rounded correctly: together below 1 here.
    scaled = int(context.multiply(value, Decimal(1 << bits)))
    return max(0, scaled - 1), min(1 << bits, scaled + 2)


def _check_bound(bound: int) -> None:
    if not 1 <= bound <= MAX_BOUND:
        raise ConfigError(f"expected noise to be truncated to 1 to {MAX_BOUND} steps, got {bound!r:.40}")

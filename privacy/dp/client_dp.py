"""Client-level differential privacy: a site bounds its update, rounds it to integers, and adds integer noise.

The update is weighted, clipped in L2, clipped to the quantiser's range and rounded at random to integer steps. Rounding
may lengthen, so the integers' own norm is checked, exactly, against a declared bound: rounding is repeated until it
fits, and after a few failures done towards zero, which never lengthens. Noise is drawn exactly (`integer_noise`), never
beyond +-T, so that the preset's sums stay exact. The event says what the sum then costs; `accountant` adds up.

Threat model. Every site is honest about its update and its noise. A site may be curious: it reads the sum, knows what
it put in itself, its noise included, and may pool that with up to `colluders` - 1 others and, where there are masks,
with the coordinator; without masks those two open single updates, whose noise is a share of what is accounted for. Of
the S >= `fewest_sites` updates in a sum, at least H = `fewest_sites` - `colluders` then carry noise that these readers
do not know, and each site adds variance sigma^2 / H: they learn no more of whether another site's update was there or
was zero than the event says. That holds for sums of at least `fewest_sites` updates: `decode` refuses others, and masks
whose threshold is no lower keep them shut against a reader who does not ask `decode`.

With `noise_by="coordinator"` one noise of variance sigma^2 is added to the encrypted sum instead. It takes less room,
and holds against any number of sites, as long as the coordinator is honest and in league with none of them: it knows
the noise, and a site's key opens the rest.

Not protected: who takes part, how many they are, and that a site refuses an update that is not finite. A site that
lies about its noise weakens the others' privacy; one that lies about its norm only its own.

Sources: Kairouz, Liu, Steinke 2021, algorithm 1 and section 4, https://arxiv.org/abs/2102.06387 (ours does not rotate
the update, and has no modular wrap: digits have room for all noise); Agarwal, Kairouz, Liu 2021,
https://arxiv.org/abs/2110.04995.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from ...core import ConfigError
from ..blocks import blocks
from ..errors import PrivacyError, TooFewSitesError
from ..presets import Preset
from ..quantizer import StochasticQuantizer
from .events import DiscreteGaussianSum, SkellamSum, integer_l1
from .integer_noise import DiscreteGaussian, IntegerNoise, NoiseSampler, RandomBytes, Skellam, tail_mass

_ATTEMPTS: Final = 16  # at rounding; each fails with a chance of at most exp(-1/2)
_BLOCK: Final = 1 << 16  # numbers handled at once

Distribution: TypeAlias = Literal["discrete-gaussian", "skellam"]
NoiseBy: TypeAlias = Literal["sites", "coordinator"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientDp:
    """What the sites of a federation agree on. `calibrate_client_dp` finds one for a budget.

    Attributes:
        preset: of the sums; its levels are odd in number, and its `noise_bound` is T.
        clip: largest L2 norm of a weighted update, in the update's unit; > 0.
        value_range: largest magnitude of a single value, in the same unit; > 0. A step is 2 value_range / (levels - 1).
        dimension: length of an update; >= 1.
        sigma: standard deviation of the noise that the readers of a sum do not know, in steps; > 0. For the discrete
            Gaussian it is the scale parameter, which above one step is nearly the same.
        distribution: of the noise. Sums of Skellam noise are Skellam noise, however many sites there are; those of
            discrete Gaussians cost more when a site's share is small, about a step or less.
        fewest_sites: how many updates a sum has at least; 2 to the preset's clients.
        colluders: how many sites pool what they know to read a sum, the reader itself counted; from 1 to
            `fewest_sites` - 1.
        noise_by: who adds noise.

    Raises:
        ConfigError: out of range.
    """

    preset: Preset
    clip: float
    value_range: float
    dimension: int
    sigma: float
    distribution: Distribution = "skellam"
    fewest_sites: int
    colluders: int = 1
    noise_by: NoiseBy = "sites"

    def __post_init__(self) -> None:
        if self.preset.levels % 2 == 0 or self.preset.noise_bound == 0:
            raise ConfigError(
                f"expected a preset with an odd number of levels and room for noise, got {self.preset.name}",
                hint="calibrate_client_dp(...) or smallest_preset(clients, bits, noise_bound=T) with two bits or more",
            )
        for name in ("clip", "value_range", "sigma"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ConfigError(f"expected {name} > 0 and finite, got {value!r:.40}")
        if self.dimension < 1:
            raise ConfigError(f"expected a dimension of at least 1, got {self.dimension}")
        if not 1 <= self.colluders < self.fewest_sites <= self.preset.clients:
            raise ConfigError(
                f"expected 1 <= colluders < fewest sites <= {self.preset.clients} clients, "
                f"got {self.colluders} and {self.fewest_sites}"
            )
        if self.distribution not in ("discrete-gaussian", "skellam") or self.noise_by not in ("sites", "coordinator"):
            raise ConfigError(f"expected known noise, got {self.distribution!r:.40} by {self.noise_by!r:.40}")

    @property
    def quantizer(self) -> StochasticQuantizer:
        """Rounds values to levels."""
        return StochasticQuantizer(self.preset.levels, self.value_range)

    @property
    def l2_squared(self) -> int:
        """The largest squared L2 norm of a site's integers before noise."""
        return rounded_l2_squared(self.clip / self.quantizer.step, self.dimension)

    @property
    def noise_sources(self) -> int:
        """H: how many noises are in a sum that its readers do not know."""
        return self.fewest_sites - self.colluders if self.noise_by == "sites" else 1

    @property
    def noise(self) -> IntegerNoise:
        """The distribution of one noise: of a site, or of the coordinator."""
        return noise_of(self.distribution, self.sigma / math.sqrt(self.noise_sources))

    @property
    def truncation(self) -> int:
        """Beyond how many steps a noise never is: T for a site, and what the sites leave room for together else."""
        return self.preset.noise_bound * (1 if self.noise_by == "sites" else self.fewest_sites)

    def noise_to_clip(self, summands: int) -> float:
        """How long the noise in the mean of `summands` updates is, its L2 norm, in clips.

        What the updates have in common is at most one clip long, so above 1 it is less than the noise. The figure is
        that of one sum, and falls with the number of updates.
        """
        noises = summands if self.noise_by == "sites" else 1
        deviation = self.sigma * math.sqrt(noises / self.noise_sources) * self.quantizer.step / summands
        return deviation * math.sqrt(self.dimension) / self.clip

    def event(self) -> DiscreteGaussianSum | SkellamSum:
        """What one sum costs each site.

        Raises:
            ConfigError: a noise for which no bound is known.
        """
        tail = tail_mass(self.noise, self.truncation, samples=self.noise_sources * self.dimension)
        return sum_event(
            self.distribution,
            self.sigma,
            sources=self.noise_sources,
            l2=math.sqrt(self.l2_squared),
            dimension=self.dimension,
            tail_delta=tail,
        )

    def decode(self, sums: np.ndarray, summands: int) -> np.ndarray:
        """The values of a sum of updates: without bias but for clipping.

        Args:
            sums: shape (dimension,), integers: sums of symbols.
            summands: how many updates are in them.

        Returns:
            Shape (dimension,) float32, the sum of the weighted updates, with noise.

        Raises:
            TooFewSitesError: so few that the noise in them is less than was accounted for.
            PrivacyError: more updates than the preset allows.
        """
        if summands < self.fewest_sites:
            raise TooFewSitesError(f"a sum of {summands} updates has too little noise: it is not opened")
        if summands > self.preset.clients:
            raise PrivacyError(f"a sum has at most {self.preset.clients} updates, got {summands}")
        values = np.empty(len(sums), np.float32)
        for part in blocks(len(sums), _BLOCK):
            values[part] = self.quantizer.decode(
                sums[part].astype(np.int64) - summands * self.preset.noise_bound, summands
            )
        return values


class ClientDpSite:
    """A site's part: from its update to symbols that may be encrypted.

    Args:
        agreed: what the sites agreed on.
        random_bytes: uniform bytes for the noise; other than the operating system's only in tests.

    Raises:
        ConfigError: T is out of all proportion to the noise.
    """

    def __init__(self, agreed: ClientDp, *, random_bytes: RandomBytes = os.urandom) -> None:
        self._agreed = agreed
        self._sampler = (
            NoiseSampler(agreed.noise, agreed.truncation, random_bytes=random_bytes)
            if agreed.noise_by == "sites"
            else None
        )

    def symbols(self, update: np.ndarray, rng: np.random.Generator, *, weight: float = 1.0) -> np.ndarray:
        """Protect an update.

        Args:
            update: shape (dimension,), floating; not modified.
            rng: rounds up or down; the bound on the norm holds whatever it gives.
            weight: in [0, 1]: the site's number of examples / the largest number that any site may count with. It is
                not released; to divide by the sum of weights, let each site send its own as one more value.

        Returns:
            Shape (dimension,) uint32, from 0 to `preset.symbols` - 1.

        Raises:
            PrivacyError: a value is not finite.
            ConfigError: another length, or a weight out of range.
        """
        agreed = self._agreed
        if update.shape != (agreed.dimension,) or not np.issubdtype(update.dtype, np.floating):
            raise ConfigError(
                f"expected an update of shape ({agreed.dimension},) and a floating dtype, "
                f"got {update.shape} of {update.dtype}"
            )
        if not 0 <= weight <= 1:
            raise ConfigError(f"expected a weight in [0, 1], got {weight}", hint="divide by the largest allowed")
        if not np.isfinite(update).all():
            raise PrivacyError(
                "a value to be summed is not finite", hint="the training diverged: lower the learning rate"
            )
        integers = self._round(clip_l2(update, agreed.clip, weight), rng)
        if self._sampler is not None:
            integers += self._sampler.sample(agreed.dimension)
        integers += (agreed.preset.levels - 1) // 2 + agreed.preset.noise_bound
        return integers.view(np.uint32)

    def _round(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Integers of at most the declared norm, shape (n,) int32."""
        quantizer, allowed = self._agreed.quantizer, self._agreed.l2_squared
        middle = (quantizer.levels - 1) // 2
        for _ in range(_ATTEMPTS):
            integers = quantizer.encode(values, rng).astype(np.int32)
            integers -= middle
            if _squared_norm(integers) <= allowed:
                return integers
        scaled = np.clip(values / quantizer.step, -middle, middle)
        integers = np.trunc(scaled).astype(np.int32)
        assert _squared_norm(integers) <= allowed
        return integers


class ClientDpCoordinator:
    """The coordinator's part where it adds the noise.

    Args:
        agreed: what the sites agreed on, with `noise_by="coordinator"`.
        random_bytes: uniform bytes for the noise; other than the operating system's only in tests.

    Raises:
        ConfigError: the sites add the noise themselves, or T is out of all proportion to the noise.
    """

    def __init__(self, agreed: ClientDp, *, random_bytes: RandomBytes = os.urandom) -> None:
        if agreed.noise_by != "coordinator":
            raise ConfigError("the sites add the noise, so the coordinator adds none")
        self._agreed = agreed
        self._sampler = NoiseSampler(agreed.noise, agreed.truncation, random_bytes=random_bytes)

    def noise(self) -> np.ndarray:
        """What to add to the symbols of a sum before anybody opens it, once: shape (dimension,) int32.

        The sum of `fewest_sites` updates or more stays within its digits, as each left room for T.
        """
        return self._sampler.sample(self._agreed.dimension)


def clip_l2(update: np.ndarray, bound: float, weight: float) -> np.ndarray:
    """The weighted update scaled down to an L2 norm of at most `bound`, but for rounding: shape (n,) float64."""
    with np.errstate(over="ignore", under="ignore"):  # a norm beyond float64 scales to zero
        weighted = update.astype(np.float64) * weight
        norm = math.sqrt(np.dot(weighted, weighted))
        if norm > bound:
            weighted *= bound / norm
    return weighted


def rounded_l2_squared(length: float, dimension: int) -> int:
    """Up to which squared norm a vector of norm `length`, in steps, may be rounded.

    Rounding at random stays within it with a chance of at least 1 - exp(-1/2), whatever the vector.

    Source: Kairouz, Liu, Steinke 2021, proposition 22 with beta = exp(-1/2), https://arxiv.org/abs/2102.06387.
    """
    likely = length**2 + dimension / 4 + length + math.sqrt(dimension) / 2
    return math.floor(min(likely, (length + math.sqrt(dimension)) ** 2))


def noise_of(distribution: Distribution, sigma: float) -> IntegerNoise:
    """The noise of a standard deviation, for the discrete Gaussian of a scale, of `sigma` steps."""
    return DiscreteGaussian(sigma) if distribution == "discrete-gaussian" else Skellam(sigma**2)


def sum_event(
    distribution: Distribution, sigma: float, *, sources: int, l2: float, dimension: int, tail_delta: float
) -> DiscreteGaussianSum | SkellamSum:
    """A sum with noise of deviation `sigma` from `sources` equal noises, each as exact as a float of its parameter."""
    if distribution == "discrete-gaussian":
        return DiscreteGaussianSum(
            sigma=sigma / math.sqrt(sources), sites=sources, l2=l2, dimension=dimension, tail_delta=tail_delta
        )
    variance = (sigma / math.sqrt(sources)) ** 2 * sources
    return SkellamSum(
        variance=variance, l1=integer_l1(l2, dimension), l2=l2, dimension=dimension, tail_delta=tail_delta
    )


def _squared_norm(integers: np.ndarray) -> int:
    return sum(int(np.square(integers[part].astype(np.int64)).sum()) for part in blocks(len(integers), _BLOCK))

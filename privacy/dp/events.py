"""What was released, with all an accountant needs and nothing else. Mechanisms emit events, accountants consume them.

Each event has one unit of privacy, what may change without the reader noticing. A `GaussianRelease` protects a record:
two data sets are neighbours when one has a record more. `DiscreteGaussianSum` and `SkellamSum` protect a whole site:
neighbours differ in one site's update, which is there or is zero (Kairouz et al. 2021 call it zeroing out); for one
update instead of another the sensitivities are twice as large. Events only say what a mechanism claims to have done:
who must be honest for the claim to hold stands with the mechanism.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from ...core import ConfigError, FormatError


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianRelease:
    """A sum of clipped records plus continuous Gaussian noise, of a Poisson sample of the records.

    Attributes:
        noise_multiplier: standard deviation of the noise / clip bound, dimensionless; > 0.
        sampling_probability: chance of a record to be in the sample, independently of the others; in (0, 1].

    Raises:
        ConfigError: out of range.
    """

    noise_multiplier: float
    sampling_probability: float = 1.0

    def __post_init__(self) -> None:
        _check_positive(self, "noise_multiplier")
        _check_probability(self, "sampling_probability", zero=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscreteGaussianSum:
    """A sum of integer vectors to which each of `sites` honest sites added discrete Gaussian noise.

    Attributes:
        sigma: scale of the noise of one site, in integer steps; >= 1/2, below which no bound is known.
        sites: how many independent noises are in the sum that the reader does not know; >= 1.
        l2: largest L2 norm of one site's integers before noise; > 0.
        dimension: length of the vector; >= 1.
        tail_delta: largest chance that any of the noises, untruncated, would have passed the truncation; in [0, 1).

    Raises:
        ConfigError: out of range.
    """

    sigma: float
    sites: int
    l2: float
    dimension: int
    tail_delta: float

    def __post_init__(self) -> None:
        for name in ("sigma", "l2"):
            _check_positive(self, name)
        for name in ("sites", "dimension"):
            _check_count(self, name)
        _check_probability(self, "tail_delta", zero=True)
        if self.sigma < 0.5:
            raise ConfigError(
                f"expected a sigma of at least 1/2 step at each site, got {self.sigma}",
                hint="more levels, fewer sites, or Skellam noise",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SkellamSum:
    """A sum of integer vectors plus Skellam noise, whatever number of honest sites it came from.

    Attributes:
        variance: of the noise in the sum that the reader does not know, in squared integer steps; > 0.
        l1: largest L1 norm of one site's integers before noise; > 0.
        l2: largest L2 norm of the same; > 0.
        dimension: length of the vector; >= 1.
        tail_delta: largest chance that any of the noises, untruncated, would have passed the truncation; in [0, 1).

    Raises:
        ConfigError: out of range.
    """

    variance: float
    l1: float
    l2: float
    dimension: int
    tail_delta: float

    def __post_init__(self) -> None:
        for name in ("variance", "l1", "l2"):
            _check_positive(self, name)
        _check_count(self, "dimension")
        _check_probability(self, "tail_delta", zero=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactRelease:
    """A release without noise: its epsilon is infinite.

    Attributes:
        what: names it, for people.

    Raises:
        ConfigError: no name.
    """

    what: str

    def __post_init__(self) -> None:
        if not self.what:
            raise ConfigError("expected the name of what was released exactly, got ''")


Event: TypeAlias = GaussianRelease | DiscreteGaussianSum | SkellamSum | ExactRelease
_KINDS: Final = {kind.__name__: kind for kind in (GaussianRelease, DiscreteGaussianSum, SkellamSum, ExactRelease)}


def integer_l1(l2: float, dimension: int) -> float:
    """The largest L1 norm of integers, `dimension` of them, whose L2 norm is at most `l2`."""
    return l2 * min(l2, math.sqrt(dimension))


def event_to_json(event: Event) -> dict[str, Any]:
    """The event as a JSON object; `event_from_json` reads it."""
    return {"event": type(event).__name__, **asdict(event)}


def event_from_json(fields: Mapping[str, Any]) -> Event:
    """The event of a JSON object.

    Raises:
        FormatError: it is none.
    """
    rest = dict(fields)
    kind = _KINDS.get(str(rest.pop("event", None)))
    if kind is None:
        raise FormatError(f"no privacy event: expected one of {', '.join(_KINDS)}, got {fields.get('event')!r:.40}")
    try:
        return kind(**rest)
    except (ConfigError, TypeError) as error:
        raise FormatError(f"no {kind.__name__}: {error}") from error


def _check_positive(event: Event, name: str) -> None:
    value = getattr(event, name)
    if not (value > 0 and math.isfinite(value)):
        raise ConfigError(f"{type(event).__name__}: expected {name} > 0 and finite, got {value!r:.40}")


def _check_count(event: Event, name: str) -> None:
    value = getattr(event, name)
    if type(value) is not int or value < 1:
        raise ConfigError(f"{type(event).__name__}: expected {name} to be an integer >= 1, got {value!r:.40}")


def _check_probability(event: Event, name: str, *, zero: bool) -> None:
    value = getattr(event, name)
    allowed = 0 <= value < 1 if zero else 0 < value <= 1
    if not allowed:
        raise ConfigError(
            f"{type(event).__name__}: expected {name} in {'[0, 1)' if zero else '(0, 1]'}, got {value!r:.40}"
        )

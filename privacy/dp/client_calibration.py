"""How much noise client-level privacy asks for, and with which preset it fits.

>>> agreed = calibrate_client_dp(8.0, 1e-5, rounds=20, clients=10, clip=1.0, bits=4, dimension=1000)
>>> agreed.preset.name
'rlwe2048-k10-l15-p3-d10-t471'
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Final

from ...core import ConfigError
from ..presets import smallest_preset
from ..quantizer import StochasticQuantizer
from .accountant import Accountant
from .client_dp import ClientDp, Distribution, NoiseBy, noise_of, rounded_l2_squared, sum_event
from .integer_noise import MAX_BOUND, IntegerNoise, tail_bound

_TAIL_SHARE: Final = 1e-3  # of delta that is spent on truncation
_PRECISION: Final = 1e-5  # of sigma
_LEAST_SHARE: Final = {"discrete-gaussian": 0.5, "skellam": 0.1}  # sigma of one noise, in steps
_MOST_SIGMA: Final = 1e8


def calibrate_client_dp(
    epsilon: float,
    delta: float,
    *,
    rounds: int,
    clients: int,
    clip: float,
    bits: int,
    dimension: int,
    value_range: float | None = None,
    distribution: Distribution = "skellam",
    fewest_sites: int | None = None,
    colluders: int = 1,
    noise_by: NoiseBy = "sites",
) -> ClientDp:
    """The least noise by which `rounds` sums cost each site at most (epsilon, delta), and the smallest preset for it.

    Noise takes far more room than levels do. More bits make the steps finer, the noise more steps, and the update
    larger for nothing: with many values, 3 or 4 bits are enough.

    Args:
        epsilon: > 0 and finite.
        delta: in (0, 1).
        rounds: how many sums are released; >= 1.
        clients: the most updates in a sum; 2 to 1000.
        clip: largest L2 norm of a weighted update.
        bits: 2 to 16; 2^bits - 1 levels.
        dimension: values in an update.
        value_range: largest magnitude of a value. None: the smaller of `clip` and 4 clip / sqrt(dimension), four times
            the deviation of the values of an update that is as long as it may be; larger ones are cut off.
        distribution, fewest_sites, colluders, noise_by: see `ClientDp`; by default a sum has all `clients` updates.

    Raises:
        ConfigError: out of range, no noise is enough, or no preset has room for it.
    """
    if not (0 < epsilon < math.inf and 0 < delta < 1 and rounds >= 1):
        raise ConfigError(f"expected epsilon > 0, 0 < delta < 1, rounds >= 1, got {epsilon}, {delta} and {rounds}")
    if not (0 < clip < math.inf and dimension >= 1 and 2 <= bits <= 16):
        raise ConfigError(f"expected clip > 0, dimension >= 1, 2 to 16 bits, got {clip}, {dimension} and {bits}")
    fewest_sites = clients if fewest_sites is None else fewest_sites
    if not 1 <= colluders < fewest_sites <= clients:
        raise ConfigError(
            f"expected 1 <= colluders < fewest sites <= {clients} clients, got {colluders} and {fewest_sites}"
        )
    value_range = min(clip, 4 * clip / math.sqrt(dimension)) if value_range is None else value_range
    length = clip / StochasticQuantizer(2**bits - 1, value_range).step
    l2 = math.sqrt(rounded_l2_squared(length, dimension))
    sources = fewest_sites - colluders if noise_by == "sites" else 1
    tail = max(1e-60, _TAIL_SHARE * delta / (rounds * (1 + math.exp(min(epsilon, 100)))))

    def is_enough(sigma: float) -> bool:
        accountant = Accountant()
        accountant.add(
            sum_event(distribution, sigma, sources=sources, l2=l2, dimension=dimension, tail_delta=tail), rounds
        )
        return accountant.epsilon(delta) <= epsilon

    try:
        sigma = _least(is_enough, _LEAST_SHARE[distribution] * math.sqrt(sources) * (1 + 1e-12))
        noise = noise_of(distribution, sigma / math.sqrt(sources))
        _check_reach(noise, tail / (sources * dimension))
        bound = tail_bound(noise, samples=sources * dimension, mass=tail)
        room = bound if noise_by == "sites" else -(-bound // fewest_sites)
        preset = smallest_preset(clients, bits, noise_bound=room)
    except ConfigError as exc:
        raise ConfigError(
            f"epsilon {epsilon:g} over {rounds} rounds with {bits} bits needs more noise than fits",
            hint="fewer bits (3 or 4 are enough), fewer rounds or a larger epsilon",
        ) from exc
    return ClientDp(
        preset=preset,
        clip=clip,
        value_range=value_range,
        dimension=dimension,
        sigma=sigma,
        distribution=distribution,
        fewest_sites=fewest_sites,
        colluders=colluders,
        noise_by=noise_by,
    )


def _check_reach(noise: IntegerNoise, chance: float) -> None:
    """Refuse noise that is clearly too wide before its tails are computed exactly, which then takes a minute."""
    reach = -NormalDist().inv_cdf(chance / 2) * math.sqrt(noise.variance)  # Skellam noise reaches further
    if 0.99 * reach > MAX_BOUND:
        raise ConfigError(f"noise reaches beyond {MAX_BOUND} steps, to about {reach:.0f}")


def _least(is_enough: Callable[[float], bool], floor: float) -> float:
    """The least number from `floor` on that is enough, or a little more."""
    enough = floor
    while not is_enough(enough):
        enough *= 2
        if enough > _MOST_SIGMA:
            raise ConfigError(f"noise of {_MOST_SIGMA:.0f} steps is not enough")
    too_little = max(floor, enough / 2)
    while enough > too_little * (1 + _PRECISION):
        middle = math.sqrt(enough * too_little)
        enough, too_little = (middle, too_little) if is_enough(middle) else (enough, middle)
    return enough

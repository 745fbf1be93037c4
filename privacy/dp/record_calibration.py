"""How much noise a budget asks for."""

from __future__ import annotations

import math
from typing import Final

from ...core import ConfigError
from .accountant import Accountant
from .events import GaussianRelease

MOST_NOISE: Final = 1e6  # largest multiplier that is tried
NOISE_STEP: Final = 1e-3  # how near to the least noise the result is


def noise_multiplier_for(epsilon: float, delta: float, *, steps: int, sampling_probability: float) -> float:
    """The least noise by which `steps` steps cost no more than (epsilon, delta), by the accountant of record-level
    privacy; at most 0.1 % more.

    Args:
        epsilon: in [1e-6, 1e4].
        delta: in (0, 1).
        steps: >= 1; epochs times `steps_per_epoch`.
        sampling_probability: chance of a record to be in a batch, in (0, 1]; batch size / records.

    Raises:
        ConfigError: out of range, or no noise of a multiplier up to a million is enough.
    """
    if not (1e-6 <= epsilon <= 1e4 and 0 < delta < 1 and steps >= 1):
        raise ConfigError(
            f"expected epsilon in [1e-6, 1e4], delta in (0, 1) and steps >= 1, got {epsilon}, {delta} and {steps}"
        )

    def cost(noise: float) -> float:
        accountant = Accountant()
        accountant.add(GaussianRelease(noise_multiplier=noise, sampling_probability=sampling_probability), steps)
        return min(max(accountant.epsilon(delta), 1e-9), 1e9)  # with a logarithm

    enough = 1.0
    cost_enough = cost(enough)
    little, cost_little = enough, cost_enough
    while cost_enough > epsilon:
        little, cost_little = enough, cost_enough
        enough *= 2
        if enough > MOST_NOISE:
            raise ConfigError(f"no noise is enough for epsilon {epsilon} at delta {delta} over {steps} steps")
        cost_enough = cost(enough)
    while cost_little <= epsilon:
        enough, cost_enough = little, cost_little
        little /= 2
        cost_little = cost(little)
    while enough > little * (1 + NOISE_STEP):
        # Between the two, the cost falls about as a power of the noise: try both sides of where that would meet.
        way = math.log(cost_little / epsilon) / math.log(cost_little / cost_enough)
        guess = little * (enough / little) ** min(max(way, 0.05), 0.95)
        for noise in (guess * (1 + 0.4 * NOISE_STEP), guess / (1 + 0.4 * NOISE_STEP)):
            if little < noise < enough:
                found = cost(noise)
                if found <= epsilon:
                    enough, cost_enough = noise, found
                else:
                    little, cost_little = noise, found
    return enough

"""What a sum with integer noise costs, as Renyi divergences: bounds that hold for vectors.

Two sums that differ in one site's update, of norms D1 and D2 at most and length d, have a divergence of order a

- under sums of n discrete Gaussians of scale sigma >= 1/2 of at most the least of a D2^2 / 2s^2 + tau d,
  a/2 (D2^2 / s^2 + 2 tau D1 / s + tau^2 d) and a/2 (D2 / s + tau sqrt(d))^2, where s = sqrt(n) sigma and
  tau = 10 sum_{k=1}^{n-1} exp(-2 pi^2 sigma^2 k / (k + 1)): Kairouz, Liu, Steinke 2021, theorem 1 and proposition 14,
  https://arxiv.org/abs/2102.06387;
- under Skellam noise of variance v, for an integer a, of at most
  a D2^2 / 2v + min(((2a - 1) D2^2 + 6 D1) / 4v^2, 3 D1 / 2v): Agarwal, Kairouz, Liu 2021, theorem 3.1,
  https://arxiv.org/abs/2110.04995. For other orders, (a - 1) times the divergence is convex in a, so that a line
  between two integers bounds it.

The privacy loss distribution of one number would be no bound. Continuous Gaussian noise looks the same from all
directions, so a vector of norm D2 costs what the number D2 does. Noise on a grid does not: the loss of the shift
(1, 1, 1, 1) is a sum of four independent losses, and can be worse than that of the shift (2, 0, 0, 0).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from .events import DiscreteGaussianSum, SkellamSum, integer_l1

ORDERS: Final = np.unique(
    np.concatenate([np.arange(1.05, 4, 0.05), np.arange(4, 64), np.rint(np.geomspace(64, 2**20, 300))])
)


def renyi_divergences(event: DiscreteGaussianSum | SkellamSum) -> np.ndarray:
    """Bounds for `ORDERS`, shape (len(ORDERS),) float64; tails are not in them."""
    if isinstance(event, DiscreteGaussianSum):
        return _discrete_gaussian(event)
    below = np.floor(ORDERS)
    share = ORDERS - below
    low, high = ((order - 1) * _skellam(event, order) for order in (below, below + 1))
    return ((1 - share) * low + share * high) / (ORDERS - 1)


def epsilon_from_renyi(divergences: np.ndarray, delta: float) -> float:
    """The least epsilon that divergences of `ORDERS` give at a delta, >= 0.

    Args:
        divergences: of everything released, added up; shape (len(ORDERS),), >= 0.
        delta: in (0, 1).

    Source: Canonne, Kamath, Steinke 2020, proposition 12, https://arxiv.org/abs/2004.00010; and 0 where already the
    bound of the total variation, sqrt(1 - e^-divergence), is below delta. The figure is that of dp-accounting's
    `rdp.compute_epsilon`, bit for bit, so that a site counts its noise without that library and SciPy, 119 MB.
    """
    least = math.inf
    for order, divergence in zip(ORDERS.tolist(), divergences.tolist(), strict=True):
        if delta**2 + math.expm1(-divergence) > 0:
            return 0.0
        least = min(least, divergence + math.log1p(-1 / order) - math.log(delta * order) / (order - 1))
    return max(0.0, least)


def _discrete_gaussian(event: DiscreteGaussianSum) -> np.ndarray:
    d = event.dimension
    k = np.arange(1, event.sites)
    tau = 10 * float(np.exp(-2 * (math.pi * event.sigma) ** 2 * k / (k + 1)).sum())
    s = math.sqrt(event.sites) * event.sigma
    l1, l2 = integer_l1(event.l2, d) / s, event.l2 / s
    factor = min(l2**2 + 2 * tau * l1 + tau**2 * d, (l2 + tau * math.sqrt(d)) ** 2)
    return np.minimum(ORDERS / 2 * l2**2 + tau * d, ORDERS / 2 * factor)


def _skellam(event: SkellamSum, order: np.ndarray) -> np.ndarray:
    v, l1, l2 = event.variance, event.l1, event.l2
    return order * l2**2 / (2 * v) + np.minimum(((2 * order - 1) * l2**2 + 6 * l1) / (4 * v**2), 3 * l1 / (2 * v))

"""How much a point promises, from what is predicted of it: expected improvement, of one objective or of a front.

Targets are to be maximised here. What is expected is the next observation, noise and all: a network that is as good as
the best may be better by luck, and that is worth a trial as much as knowledge is.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from .features import Matrix

TAIL = -6.0  # standard deviations: where `cumulative` is not exact enough to be subtracted from
ERFC = np.array(
    [
        *(0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807),
        *(-0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223),
    ]
)

NODES = 10  # of a Gauss-Hermite rule
PLACES, _weights = np.polynomial.hermite_e.hermegauss(NODES)
WEIGHTS = _weights / _weights.sum()


def expected_improvement(mean: Matrix, variance: Matrix, best: float) -> Matrix:
    """The expectation of max(0, y - best) for normal y, shape as `mean`; >= 0.

    Source: Jones et al. 1998, equation 15.
    """
    return _excess(mean, variance, np.float64(best))


def expected_hypervolume_improvement(first: Matrix, second: Matrix, front: Matrix, reference: Matrix) -> Matrix:
    """The expectation of what a point adds to the area that a front dominates, for independent objectives.

    Args:
        first, second: the objectives as `outcomes`, on any scale; shape (n, NODES).
        front: shape (k, 2); points that dominate no other, in any order; k may be 0.
        reference: shape (2,), below the front in both objectives.

    Returns:
        Shape (n,), >= 0.

    Source: Emmerich et al. 2016, https://arxiv.org/abs/1605.07533 (the sum over the cells beside the front); ours adds
    up the expected excess over a staircase, which is the same.
    """
    ordered = front[np.argsort(front[:, 0])]
    edges = np.append(reference[0], ordered[:, 0])
    heights = np.append(ordered[:, 1], reference[1])  # of the staircase between neighbouring edges
    total = np.zeros(len(first))
    # From the right: the expectation of the length of y0 in each interval, and of y1 above the staircase there.
    further = np.zeros(len(first))
    for edge, height in zip(edges[::-1], heights[::-1], strict=True):
        reach = np.maximum(first - edge, 0.0) @ WEIGHTS
        total += (reach - further) * (np.maximum(second - height, 0.0) @ WEIGHTS)
        further = reach
    return total


def outcomes(mean: Matrix, variance: Matrix) -> Matrix:
    """What normal variables may turn out to be, shape (n, NODES), with the weights `WEIGHTS`."""
    return mean[:, None] + np.sqrt(variance)[:, None] * PLACES


def feasibility(mean: Matrix, variance: Matrix, bound: float) -> Matrix:
    """The probability that a normal variable is at most `bound`, shape as `mean`."""
    return cumulative((bound - mean) / np.sqrt(variance))


def _excess(mean: Matrix, variance: Matrix, bounds: Matrix | np.float64) -> Matrix:
    """The expectation of max(0, y - bound), broadcast."""
    deviation = np.sqrt(variance)
    distance = (mean - bounds) / deviation
    density = np.exp(-0.5 * distance * distance) / np.sqrt(2 * np.pi)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        inverse = 1 / (distance * distance)
        tail = density * inverse * (1 - inverse * (3 - 15 * inverse))  # where the two terms below cancel
    body = np.maximum(distance * cumulative(distance) + density, 0.0)
    return deviation * cast(Matrix, np.where(distance < TAIL, tail, body))


def cumulative(x: Matrix) -> Matrix:
    """The distribution function of the standard normal distribution, within 1.2e-7 of itself.

    Source: the Chebyshev fit of erfc in Press et al., Numerical Recipes, section 6.2.
    """
    z = np.abs(x) / np.sqrt(2)
    t = 1 / (1 + 0.5 * z)
    upper = 0.5 * t * np.exp(cast(Matrix, np.polyval(ERFC, t)) - z * z)
    return cast(Matrix, np.where(x > 0, 1 - upper, upper))

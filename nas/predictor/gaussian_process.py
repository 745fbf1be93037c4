"""A Gaussian process over vectors in groups, with weights of the groups and noise by the marginal likelihood.

The covariance of two points is amplitude * exp(-r), r^2 = sum over groups of weight * squared distance. Its functions
are rough: a network may be much better than one that differs in a single operation. Weights, amplitude and noise are
where posterior density is highest under wide log-normal priors, so that a few observations do not lead astray.

Source: Rasmussen and Williams 2006, chapters 2 and 5 (algorithm 2.1, equation 5.9); the search of the maximum is Rprop,
Riedmiller and Braun 1993.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .features import Mask, Matrix, Rows, squared_distances

STEPS = 30  # of Rprop: more change proposals little, and each costs two inversions
FITTED_ROWS = 200  # the hyperparameters are fitted to these many observations
JITTER = 1e-8
TINY = 1e-12


class Prior(NamedTuple):
    """Means and standard deviations of the logarithms of: amplitude, noise, noise of discounted rows, weights."""

    mean: Matrix
    deviation: Matrix


@dataclass(frozen=True, slots=True, eq=False)
class GaussianProcess:
    """A process that was fitted to observations.

    Attributes:
        rows: shape (n, elements); of the observations.
        targets: shape (n,); their mean should be near 0 and their variance near 1.
        discounted: shape (n,); whose noise is larger, because they come from elsewhere.
        groups: the columns of each group.
        parameters: logarithms, in the order of `Prior`.
        inverse: of the observations' covariance, with noise.
    """

    rows: Rows
    targets: Matrix
    discounted: Mask
    groups: Sequence[slice]
    parameters: Matrix
    inverse: Matrix

    @classmethod
    def fit(
        cls,
        rows: Rows,
        targets: Matrix,
        groups: Sequence[slice],
        *,
        discounted: Mask | None = None,
    ) -> GaussianProcess:
        """Fit to observations, at least one; the later ones matter where there are more than `FITTED_ROWS`.

        Ties, repeated rows and constant targets do no harm.
        """
        extra = np.zeros(len(rows), np.bool_) if discounted is None else discounted
        distances = squared_distances(rows, rows, groups).astype(np.float64)
        prior = default_prior(len(groups))
        some = slice(max(0, len(rows) - FITTED_ROWS), None)
        parameters = _maximum(distances[:, some, some], targets[some], extra[some], prior)
        return cls(rows, targets, extra, groups, parameters, _inverse(distances, extra, parameters))

    @property
    def noise(self) -> float:
        """Variance of an observation around the function."""
        return float(np.exp(self.parameters[1]))

    def predict(self, rows: Rows) -> tuple[Matrix, Matrix]:
        """Mean and variance of the function, both of shape (rows,); the variance is positive."""
        near = _covariance(squared_distances(rows, self.rows, self.groups), self.parameters)
        mean = near @ (self.inverse @ self.targets)
        explained = np.einsum("ij,ij->i", near @ self.inverse, near)
        amplitude = float(np.exp(self.parameters[0]))
        return mean, np.maximum(amplitude - explained, TINY + JITTER * amplitude)

    def believing(self, rows: Rows) -> GaussianProcess:
        """The process as if further points had turned out as it predicts: its mean is the same, its variance is less.

        Source: the kriging believer of Ginsbourger et al. 2010.
        """
        if not len(rows):
            return self
        all_rows = np.concatenate([self.rows, rows])
        targets = np.concatenate([self.targets, self.predict(rows)[0]])
        discounted = np.concatenate([self.discounted, np.zeros(len(rows), np.bool_)])
        distances = squared_distances(all_rows, all_rows, self.groups).astype(np.float64)
        inverse = _inverse(distances, discounted, self.parameters)
        return GaussianProcess(all_rows, targets, discounted, self.groups, self.parameters, inverse)


def default_prior(groups: int) -> Prior:
    """Amplitude near 1, noise near 1/20 of the variance, and weights with which random points are hardly related."""
    mean = np.log([1.0, 0.05, 0.1, *[1.5 / np.sqrt(max(groups, 1))] * groups])
    return Prior(mean, np.array([0.7, 1.5, 1.0, *[1.2] * groups]))


def log_density(
    distances: Matrix, targets: Matrix, discounted: Mask, parameters: Matrix, prior: Prior
) -> tuple[float, Matrix]:
    """The logarithm of the posterior density of the parameters, up to a constant, and its gradient.

    Raises:
        np.linalg.LinAlgError: the covariance is not positive definite in floating point.
    """
    weights = np.exp(parameters[3:])
    radius: Matrix = np.sqrt(np.tensordot(weights, distances, 1) + TINY)
    covariance: Matrix = np.exp(parameters[0] - radius)
    noise, extra = float(np.exp(parameters[1])), np.exp(parameters[2]) * discounted
    noisy: Matrix = covariance + np.diag(noise + extra + JITTER)
    lower: Matrix = np.linalg.cholesky(noisy)
    inverse: Matrix = np.linalg.inv(noisy)
    solved: Matrix = inverse @ targets
    offset = (parameters - prior.mean) / prior.deviation
    density = -0.5 * float(targets @ solved) - float(np.log(np.diag(lower)).sum()) - 0.5 * float(offset @ offset)
    outer: Matrix = 0.5 * (np.outer(solved, solved) - inverse)  # the derivative by the covariance
    slope = np.empty(len(parameters))
    slope[0] = np.vdot(outer, covariance)
    slope[1] = noise * np.trace(outer)
    slope[2] = np.diag(outer) @ extra
    slope[3:] = weights * np.tensordot(distances, outer * covariance * (-0.5 / radius), 2)
    return density, slope - offset / prior.deviation


def _maximum(distances: Matrix, targets: Matrix, discounted: Mask, prior: Prior) -> Matrix:
    here = prior.mean.copy()
    best, best_density = here, -np.inf
    steps, before = np.full(len(here), 0.3), np.zeros(len(here))
    for _ in range(STEPS):
        try:
            density, slope = log_density(distances, targets, discounted, here, prior)
        except np.linalg.LinAlgError:
            break
        if density > best_density:
            best, best_density = here, density
        agreement = slope * before
        steps = np.where(agreement > 0, np.minimum(steps * 1.3, 1.0), np.where(agreement < 0, steps * 0.5, steps))
        if steps.max() < 0.02:
            break
        before = slope
        low, high = prior.mean - 5 * prior.deviation, prior.mean + 4 * prior.deviation
        here = np.clip(here + np.sign(slope) * steps, low, high)
    return best


def _covariance(distances: Rows | Matrix, parameters: Matrix) -> Matrix:
    squares = np.tensordot(np.exp(parameters[3:]), distances.astype(np.float64, copy=False), 1)
    return np.exp(parameters[0] - np.sqrt(squares + TINY))


def _inverse(distances: Matrix, discounted: Mask, parameters: Matrix) -> Matrix:
    noise = np.exp(parameters[1]) + np.exp(parameters[2]) * discounted
    noisy = _covariance(distances, parameters)
    noisy[np.diag_indices(len(noisy))] += noise + JITTER
    inverse: Matrix = np.linalg.inv(noisy)
    return (inverse + inverse.T) / 2

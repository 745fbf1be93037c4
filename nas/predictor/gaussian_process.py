"""A Gaussian process over vectors in groups, with weights of the groups and noise by the marginal likelihood.

The covariance of two points is slope * x.y + amplitude * exp(-r), r^2 = sum over groups of weight * squared distance.
So its functions are a linear one, which a few trials show (much of an accuracy and nearly all of a cost is a sum over
the operations), and a rough one: a network may be much better than one that differs in a single operation. Slope,
weights, amplitude and noise are where posterior density is highest under wide log-normal priors, so that a few
observations do not lead astray.

Source: Rasmussen and Williams 2006, chapters 2 and 5 (algorithm 2.1, equation 5.9); the search of the maximum is Rprop,
Riedmiller and Braun 1993.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .features import Columns, Mask, Matrix, Rows, squared_distances

STEPS = 30  # of Rprop: more change proposals little, and each costs two inversions
FITTED_ROWS = 200  # the hyperparameters are fitted to these many observations
JITTER = 1e-8
TINY = 1e-12


class Prior(NamedTuple):
    """Means and deviations of the logarithms of: amplitude, noise, noise of discounted rows, slope, weights."""

    mean: Matrix
    deviation: Matrix


class Between(NamedTuple):
    """What the covariance of the points of two sets is made from.

    Attributes:
        distances: squared, shape (groups, points of one, points of the other).
        products: of the linear columns, centred and scaled; shape (points of one, points of the other).
    """

    distances: Matrix
    products: Matrix


@dataclass(frozen=True, slots=True, eq=False)
class GaussianProcess:
    """A process that was fitted to observations.

    Attributes:
        rows: shape (n, elements); of the observations.
        targets: shape (n,); their mean should be near 0 and their variance near 1.
        discounted: shape (n,); whose noise is larger, because they come from elsewhere.
        columns: in groups, and those of the linear part.
        centre: of the linear part: zero there, as the mean of the targets is; shape (linear columns,).
        scale: of the linear part: the mean squared distance of the rows from the centre, > 0.
        parameters: logarithms, in the order of `Prior`.
        inverse: of the observations' covariance, with noise.
    """

    rows: Rows
    targets: Matrix
    discounted: Mask
    columns: Columns
    centre: Rows
    scale: float
    parameters: Matrix
    inverse: Matrix

    @classmethod
    def fit(
        cls,
        rows: Rows,
        targets: Matrix,
        columns: Columns,
        *,
        discounted: Mask | None = None,
    ) -> GaussianProcess:
        """Fit to observations, at least one; the later ones matter where there are more than `FITTED_ROWS`.

        Ties, repeated rows and constant targets do no harm.
        """
        extra = np.zeros(len(rows), np.bool_) if discounted is None else discounted
        linear = rows[:, columns.linear]
        centre: Rows = linear.mean(axis=0)
        scale = float(((linear - centre) ** 2).sum(axis=1).mean()) or 1.0
        between = _between(rows, rows, columns, centre, scale)
        prior = default_prior(len(columns.groups))
        some = slice(max(0, len(rows) - FITTED_ROWS), None)
        fitted = Between(between.distances[:, some, some], between.products[some, some])
        parameters = _maximum(fitted, targets[some], extra[some], prior)
        return cls(rows, targets, extra, columns, centre, scale, parameters, _inverse(between, extra, parameters))

    @property
    def noise(self) -> float:
        """Variance of an observation around the function."""
        return float(np.exp(self.parameters[1]))

    def predict(self, rows: Rows) -> tuple[Matrix, Matrix]:
        """Mean and variance of the function, both of shape (rows,); the variance is positive."""
        near = _covariance(_between(rows, self.rows, self.columns, self.centre, self.scale), self.parameters)
        mean = near @ (self.inverse @ self.targets)
        explained = np.einsum("ij,ij->i", near @ self.inverse, near)
        lengths = ((rows[:, self.columns.linear] - self.centre) ** 2).sum(axis=1) / self.scale
        before = np.exp(self.parameters[0]) + np.exp(self.parameters[3]) * lengths.astype(np.float64)
        return mean, np.maximum(before - explained, TINY + JITTER * before)

    def believing(self, rows: Rows) -> GaussianProcess:
        """The process as if further points had turned out as it predicts: its mean is the same, its variance is less.

        Source: the kriging believer of Ginsbourger et al. 2010.
        """
        if not len(rows):
            return self
        all_rows = np.concatenate([self.rows, rows])
        targets = np.concatenate([self.targets, self.predict(rows)[0]])
        discounted = np.concatenate([self.discounted, np.zeros(len(rows), np.bool_)])
        between = _between(all_rows, all_rows, self.columns, self.centre, self.scale)
        inverse = _inverse(between, discounted, self.parameters)
        return replace(self, rows=all_rows, targets=targets, discounted=discounted, inverse=inverse)


def default_prior(groups: int) -> Prior:
    """Amplitude near 1, noise near 1/20 of the variance, a linear part of half of it, and weights with which random
    points are hardly related.
    """
    mean = np.log([1.0, 0.05, 0.1, 0.5, *[1.5 / np.sqrt(max(groups, 1))] * groups])
    return Prior(mean, np.array([0.7, 1.5, 1.0, 1.0, *[1.2] * groups]))


def log_density(
    between: Between, targets: Matrix, discounted: Mask, parameters: Matrix, prior: Prior
) -> tuple[float, Matrix]:
    """The logarithm of the posterior density of the parameters, up to a constant, and its gradient.

    Raises:
        np.linalg.LinAlgError: the covariance is not positive definite in floating point.
    """
    weights = np.exp(parameters[4:])
    radius: Matrix = np.sqrt(np.tensordot(weights, between.distances, 1) + TINY)
    rough: Matrix = np.exp(parameters[0] - radius)
    linear: Matrix = np.exp(parameters[3]) * between.products
    noise, extra = float(np.exp(parameters[1])), np.exp(parameters[2]) * discounted
    noisy: Matrix = rough + linear + np.diag(noise + extra + JITTER)
    lower: Matrix = np.linalg.cholesky(noisy)
    inverse: Matrix = np.linalg.inv(noisy)
    solved: Matrix = inverse @ targets
    offset = (parameters - prior.mean) / prior.deviation
    density = -0.5 * float(targets @ solved) - float(np.log(np.diag(lower)).sum()) - 0.5 * float(offset @ offset)
    outer: Matrix = 0.5 * (np.outer(solved, solved) - inverse)  # the derivative by the covariance
    slope = np.empty(len(parameters))
    slope[0] = np.vdot(outer, rough)
    slope[1] = noise * np.trace(outer)
    slope[2] = np.diag(outer) @ extra
    slope[3] = np.vdot(outer, linear)
    slope[4:] = weights * np.tensordot(between.distances, outer * rough * (-0.5 / radius), 2)
    return density, slope - offset / prior.deviation


def _maximum(between: Between, targets: Matrix, discounted: Mask, prior: Prior) -> Matrix:
    here = prior.mean.copy()
    best, best_density = here, -np.inf
    steps, before = np.full(len(here), 0.3), np.zeros(len(here))
    for _ in range(STEPS):
        try:
            density, slope = log_density(between, targets, discounted, here, prior)
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


def _between(a: Rows, b: Rows, columns: Columns, centre: Rows, scale: float) -> Between:
    products = (a[:, columns.linear] - centre) @ (b[:, columns.linear] - centre).T
    distances = squared_distances(a, b, columns.groups)
    return Between(distances.astype(np.float64), products.astype(np.float64) / scale)


def _covariance(between: Between, parameters: Matrix) -> Matrix:
    squares = np.tensordot(np.exp(parameters[4:]), between.distances, 1)
    return np.exp(parameters[0] - np.sqrt(squares + TINY)) + np.exp(parameters[3]) * between.products


def _inverse(between: Between, discounted: Mask, parameters: Matrix) -> Matrix:
    noise = np.exp(parameters[1]) + np.exp(parameters[2]) * discounted
    noisy = _covariance(between, parameters)
    noisy[np.diag_indices(len(noisy))] += noise + JITTER
    inverse: Matrix = np.linalg.inv(noisy)
    return (inverse + inverse.T) / 2

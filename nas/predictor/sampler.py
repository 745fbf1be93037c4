"""`PredictorSampler`: proposes what a model of the trials so far expects the most of."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial

from ..objectives import pareto_front
from ..space import Flat, Space
from ..strategies import CandidateSampler, Observation, StrategyContext, best_first, known, observations
from .acquisition import expected_hypervolume_improvement, expected_improvement, feasibility
from .features import Features, Matrix, Rows
from .gaussian_process import GaussianProcess
from .initial import spread_out
from .observed import Observed, observed
from .pool import Pool, everything, pool_of, surroundings

FIRST = 10  # trials that are chosen without a model
PARENTS = 20  # the best trials, around which a large space is looked at
_PREPARED: deque[tuple[Space, tuple[Features, Pool | None]]] = deque(maxlen=4)
MARGIN = 0.1  # of the range of an objective: how far the reference of the hypervolume is below the worst results
TINY = 1e-6


def prepared(space: Space) -> tuple[Features, Pool | None]:
    """The features of a space and all of its candidates if it is small; kept for the next search of the space."""
    for known_space, found in _PREPARED:
        if known_space is space:
            return found
    features = Features(space)
    found = features, everything(space, features)
    _PREPARED.append((space, found))
    return found


class PredictorSampler(CandidateSampler):
    """A Gaussian process over the canonical networks and the hyperparameters, and expected improvement.

    The first trials are spread out over the space. Then a process is fitted to the results, for each objective its own,
    and the candidates are proposed in the order of the improvement that is expected of them: over the best result, over
    the area that the front dominates with two objectives, or over the best of a random scalarisation with more. With
    constraints, improvement is over the best that keeps them, and weighed by the probability that the candidate does.
    Trials still running count as if they had turned out as predicted.

    Every proposal follows from the seed, its number and the trials before it; nothing is kept but caches.

    Args:
        context: of the search. Trials of earlier searches count, with more noise.

    Source: Ru et al. 2021 (NAS-BOWL), https://arxiv.org/abs/2006.07556; Knowles 2006 (ParEGO) for more than two
    objectives; Gardner et al. 2014 for the constraints.
    """

    def __init__(self, context: StrategyContext) -> None:
        super().__init__(context)
        self._features, self._everything = prepared(context.space)

    def candidates(self, study: Study, trial: FrozenTrial) -> Iterator[Flat]:
        """New candidates, the most promising first."""
        own = observations(study)
        prior = self.context.prior
        tried = known(study, self.space).numbers
        rng = self.rng(trial)
        have = sum(each.values is not None for each in (*prior, *own))
        if not have or len(own) + len(prior) < FIRST:
            rows = self._features.rows(each.flat for each in (*prior, *own))
            # Where something is to be kept small, every other first trial may be.
            large = self.context.directions == ("maximize",) or len(own) % 2 == 1
            yield from spread_out(rows, self.space, self._features, self._everything, rng, large=large)
            return
        pool = self._everything or self._nearby(prior, own, rng)
        places = pool.untried(tried)
        if not len(places):
            return
        results = observed(prior, own, self.context.directions, self._features, rng)
        running = self._features.rows(each.flat for each in own if each.state == "running")
        score, mean = self._promise(results, running, pool.rows[places], rng)
        order: list[int] = places[np.lexsort((rng.permutation(len(places)), -mean, -score))].tolist()
        for place in order:
            members = pool.points[place]
            yield members[int(rng.integers(len(members)))]

    def _nearby(self, prior: Sequence[Observation], own: Sequence[Observation], rng: np.random.Generator) -> Pool:
        ranked = best_first((*prior, *own), self.context.directions)
        return pool_of(
            surroundings([trial.flat for trial in ranked[:PARENTS]], self.space, rng), self.space, self._features
        )

    def _promise(self, results: Observed, running: Rows, rows: Rows, rng: np.random.Generator) -> tuple[Matrix, Matrix]:
        """What is expected of candidates, and the mean that is predicted, to tell those apart of which nothing is."""
        targets = results.targets
        if targets.shape[1] > 2:
            targets = scalarised(targets, rng)[:, None]
        fits = [self._fit(results, targets[:, place]).believing(running) for place in range(targets.shape[1])]
        predicted = [fit.predict(rows) for fit in fits]
        means = np.stack([mean for mean, _ in predicted], axis=1)
        variances = np.stack([variance + fit.noise for (_, variance), fit in zip(predicted, fits, strict=True)], axis=1)
        total = means.sum(axis=1)
        likely = self._likely(results, rows)
        best = results.comparable
        if not len(best):
            return likely, total
        if targets.shape[1] == 1:
            improvement = expected_improvement(means[:, 0], variances[:, 0], float(targets[best, 0].max()))
        else:
            front = targets[best][pareto_front(targets[best], ("maximize", "maximize"))]
            reference = targets.min(axis=0) - MARGIN * np.ptp(targets, axis=0) - TINY
            improvement = expected_hypervolume_improvement(means, variances, front, reference)
        return improvement * likely, total

    def _fit(self, results: Observed, targets: Matrix) -> GaussianProcess:
        return GaussianProcess.fit(results.rows, targets, self._features.groups, discounted=results.discounted)

    def _likely(self, results: Observed, rows: Rows) -> Matrix:
        """The probability that candidates keep the constraints."""
        broken = results.violations > 0
        if not broken.any():
            return np.ones(len(rows))
        # Only the sign counts: violations have any scale, and add up over constraints.
        signs = np.where(broken, 1.0, -1.0)
        fit = GaussianProcess.fit(results.rows, signs - signs.mean(), self._features.groups)
        mean, variance = fit.predict(rows)
        return feasibility(mean, variance + fit.noise, -float(signs.mean()))


def scalarised(targets: Matrix, rng: np.random.Generator) -> Matrix:
    """Several objectives as one by random weights, shape (n,), of mean 0 and variance 1; more is better.

    Source: the augmented Chebyshev function of Knowles 2006 (ParEGO), https://doi.org/10.1109/TEVC.2005.851274.
    """
    span = np.ptp(targets, axis=0)
    lack = (targets.max(axis=0) - targets) / np.where(span > 0, span, 1.0)
    weighed = lack * rng.dirichlet(np.ones(targets.shape[1]))
    total = -weighed.max(axis=1) - 0.05 * weighed.sum(axis=1)
    return (total - total.mean()) / (total.std() or 1.0)

"""`PredictorSampler`: proposes what a model of the trials so far expects the most of."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial

from ...core import derive_rng
from ..objectives import pareto_front
from ..space import Flat, Space
from ..strategies import CandidateSampler, best_first, known, observations
from .acquisition import expected_hypervolume_improvement, expected_improvement, feasibility, outcomes
from .features import Columns, Features, Matrix, Places, Rows
from .gaussian_process import GaussianProcess
from .initial import spread_out
from .observed import Observed, observed
from .pool import NEIGHBOURS, Pool, everything, pool_of, random_points, surroundings

FIRST = 10  # trials that are chosen without a model
PARENTS = 20  # the best trials, around which a large space is looked at
ROUND = 10  # trials that look at the same random points: of a narrow constraint one draw in a hundred may be allowed
LOCAL_FROM = 20  # trials, from which on
LOCAL = 2  # of so many trials one is a neighbour
CENTRES = 3  # of one of the best
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


class Promise(NamedTuple):
    """What is expected of candidates, each of shape (candidates,).

    Attributes:
        improvement: over the best results, >= 0.
        likely: the probability of keeping the constraints.
        mean: the sum of the predicted targets; tells those apart of which no improvement is expected.
    """

    improvement: Matrix
    likely: Matrix
    mean: Matrix


class PredictorSampler(CandidateSampler):
    """A Gaussian process over the canonical networks and the hyperparameters, and expected improvement.

    The first trials are spread out over the space. Then a process is fitted to the results, for each objective its own,
    and the candidates are proposed in the order of the improvement that is expected of them: over the best result, over
    the area that the front dominates with two objectives, or over the best of a random scalarisation with more. With
    constraints, improvement is over the best that keeps them, and weighed by the probability that the candidate does.
    Later, with one objective, every other proposal is a neighbour of one of the best trials, chosen in the same way by
    a process that knows the decisions alone: where one model is wrong about the best candidates the other is seldom.
    Trials still running count as if they had turned out as predicted.

    Every proposal follows from the seed, its number and the trials before it; nothing is kept but caches.

    Args:
        context: of the search. Trials of earlier searches count, with more noise.

    Source: Ru et al. 2021 (NAS-BOWL), https://arxiv.org/abs/2006.07556; White et al. 2021 (BANANAS),
    https://arxiv.org/abs/1910.11858, for the neighbours; Knowles 2006 (ParEGO) for more than two
    objectives; Gardner et al. 2014 for the constraints.
    """

    _drawn: tuple[int, list[Flat]] | None = None  # the round, and its random points

    @property
    def _features(self) -> Features:
        """Made when they are first needed: a search that is only set up needs none, and a large space takes seconds."""
        return prepared(self.space)[0]

    @property
    def _everything(self) -> Pool | None:
        return prepared(self.space)[1]

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
        ranked = [trial.flat for trial in best_first((*prior, *own), self.context.directions)]
        local = len(self.context.directions) == 1 and len(own) >= LOCAL_FROM and len(own) % LOCAL == 0
        pool, places = (
            self._near(ranked[:CENTRES], tried) if local else self._anywhere(ranked[:PARENTS], tried, trial.number, rng)
        )
        if local and not len(places):
            local = False
            pool, places = self._anywhere(ranked[:PARENTS], tried, trial.number, rng)
        if not len(places):
            return
        results = observed(prior, own, self.context.directions, self._features, rng)
        running = self._features.rows(each.flat for each in own if each.state == "running")
        columns = self._features.plain if local else self._features.columns
        promise = self._promise(results, running, pool.rows[places], columns, rng)
        merit = promise.improvement * promise.likely
        order: list[int] = places[np.lexsort((rng.permutation(len(places)), -promise.mean, -merit))].tolist()
        for place in order:
            members = pool.points[place]
            yield members[int(rng.integers(len(members)))]

    def _near(self, centres: Sequence[Flat], tried: Container[str]) -> tuple[Pool, Places]:
        """The neighbours of some points, and the places of those not tried."""
        points = [point for centre in centres for point in islice(self.space.neighbours(centre), NEIGHBOURS)]
        pool = pool_of(points, self.space, self._features)
        return pool, pool.untried(tried)

    def _anywhere(
        self, parents: Sequence[Flat], tried: Container[str], number: int, rng: np.random.Generator
    ) -> tuple[Pool, Places]:
        """All candidates, or of a large space some near the best and random ones; and the places of those not tried."""
        pool = self._everything
        if pool is None:
            points = [*self._random_points(number // ROUND), *surroundings(parents, self.space, rng)]
            pool = pool_of(points, self.space, self._features)
        return pool, pool.untried(tried)

    def _random_points(self, round: int) -> list[Flat]:
        if self._drawn is None or self._drawn[0] != round:
            rng = derive_rng(self.context.seed, "proposal", "round", round)
            self._drawn = round, random_points(self.space, rng)
        return self._drawn[1]

    def _promise(
        self, results: Observed, running: Rows, rows: Rows, columns: Columns, rng: np.random.Generator
    ) -> Promise:
        """What is expected of candidates."""
        targets = results.targets
        if targets.shape[1] > 2:
            targets = scalarised(targets, rng)[:, None]
        fits = [
            GaussianProcess.fit(results.rows, column, columns, discounted=results.discounted).believing(running)
            for column in targets.T
        ]
        predicted = [fit.predict(rows) for fit in fits]
        means = [mean for mean, _ in predicted]
        variances = [variance + fit.noise for (_, variance), fit in zip(predicted, fits, strict=True)]
        likely = self._likely(results, rows)
        best = targets[results.comparable]
        if not len(best):
            improvement = np.ones(len(rows))
        elif len(means) == 1:
            improvement = expected_improvement(means[0], variances[0], float(best.max()))
        else:
            # An area is of the objectives themselves: on the scale of the targets one end of a front hardly counts.
            gains = np.stack(
                [warp.gains(column) for warp, column in zip(results.warps, targets.T, strict=True)], axis=1
            )
            front = gains[results.comparable]
            front = front[pareto_front(front, ("maximize", "maximize"))]
            reference = gains.min(axis=0) - MARGIN * np.ptp(gains, axis=0) - TINY
            first, second = (
                warp.gains(outcomes(mean, variance))
                for warp, mean, variance in zip(results.warps, means, variances, strict=True)
            )
            improvement = expected_hypervolume_improvement(first, second, front, reference)
        return Promise(improvement, likely, np.sum(means, axis=0))

    def _likely(self, results: Observed, rows: Rows) -> Matrix:
        """The probability that candidates keep the constraints."""
        broken = results.violations > 0
        if not broken.any():
            return np.ones(len(rows))
        # Only the sign counts: violations have any scale, and add up over constraints.
        signs = np.where(broken, 1.0, -1.0)
        fit = GaussianProcess.fit(results.rows, signs - signs.mean(), self._features.columns)
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

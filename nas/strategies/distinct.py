"""`DistinctSampler`: no candidate is proposed twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ...core import NasturtiumError, derive_rng
from ..space import Flat
from ..zero_cost import zero_cost_filter
from .observation import Known, known
from .registry import StrategyContext
from .sampler import CandidateSampler, shuffled

ATTEMPTS = 40  # at a new candidate, of the strategy; each may cost a fit of its model
POOL = 8  # proposals among which a score chooses
RANDOM_ATTEMPTS = 200
ENUMERABLE = 50_000  # points: spaces up to here are gone through one by one when nothing new turns up


class SpaceUsedUpError(NasturtiumError, LookupError):
    """Every candidate of the space was proposed already, or nearly: none is left that could be found."""


class DistinctSampler(CandidateSampler):
    """Asks a strategy until it proposes a candidate that no earlier trial has.

    A strategy that insists on known candidates gives way to chance, and chance to going through the space one by one.

    Args:
        context: of the search.
        strategy: any sampler. What it leaves open is drawn at random.
        first: points that are proposed before the strategy is asked.
        score: of a point: of several that the strategy proposes, the one with the highest is taken.
        pool: how many are compared.
    """

    def __init__(
        self,
        context: StrategyContext,
        strategy: BaseSampler,
        *,
        first: Sequence[Flat] = (),
        score: Callable[[Flat], float] | None = None,
        pool: int = POOL,
    ) -> None:
        super().__init__(context)
        self._strategy = strategy
        self._first = first
        self._score = score
        self._pool = pool

    def candidates(self, study: Study, trial: FrozenTrial) -> Iterator[Flat]:
        """New ones only."""
        tried = known(study, self.space)
        yield from (flat for flat in self._first if flat not in tried)
        proposed = (flat for flat in islice(self._proposals(study, trial), ATTEMPTS) if flat not in tried)
        if self._score is not None:
            yield from zero_cost_filter(list(islice(proposed, self._pool)), self._score, self._pool)
        yield from proposed
        rng = derive_rng(self.context.seed, "proposal", trial.number, "random")
        drawn = (self.space.sample(rng) for _ in range(RANDOM_ATTEMPTS))
        yield from (flat for flat in drawn if flat not in tried)
        yield from self._left_over(tried, rng)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A point whose candidate is new.

        Raises:
            SpaceUsedUpError: there is none left.
        """
        for flat in self.candidates(study, trial):
            return dict(flat)
        tried = len(known(study, self.space).numbers)
        raise SpaceUsedUpError(
            f"nothing left to try in space {self.space.name}: {tried} candidates were proposed, and no other was found",
            hint="ask for fewer trials, or search a larger space",
        )

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Passed on."""
        self._strategy.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Passed on."""
        self._strategy.after_trial(study, trial, state, values)

    def _proposals(self, study: Study, trial: FrozenTrial) -> Iterator[Flat]:
        if isinstance(self._strategy, CandidateSampler):
            yield from self._strategy.candidates(study, trial)
            return
        open_decisions = {path: d for path, d in self.distributions.items() if not d.single()}
        before: Mapping[str, Any] | None = None
        for attempt in range(ATTEMPTS):
            proposed = self._strategy.sample_relative(study, trial, open_decisions)
            if proposed == before and proposed.keys() >= open_decisions.keys():
                return  # it will not change its mind, and leaves nothing open
            before = proposed
            rest = self.space.sample(derive_rng(self.context.seed, "proposal", trial.number, attempt))
            flat = {**rest, **proposed}
            if self.space.allows(flat):
                yield flat

    def _left_over(self, tried: Known, rng: np.random.Generator) -> Iterator[Flat]:
        """What is left of a space that is nearly used up, in random order: of a small one everything, of another what
        is next to the points that were tried.
        """
        if self._everything is not None:
            left = [flat for identity, flat in self._everything.items() if identity not in tried.numbers]
            yield from shuffled(left, rng)
            return
        for point in shuffled(tried.points, rng):
            yield from (flat for flat in self.space.neighbours(point) if flat not in tried)

    @cached_property
    def _everything(self) -> Mapping[str, Flat] | None:
        """Every candidate of a small space by its identity."""
        if self.space.size > ENUMERABLE:
            return None
        return {self.space.identity(flat): flat for flat in self.space.points() if self.space.allows(flat)}

"""Evolution for several objectives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial

from ...core import ConfigError
from ..space import Flat
from .evolution import tournament_size
from .observation import Observation, observations
from .ranking import best_first
from .registry import StrategyContext, strategy
from .sampler import CandidateSampler


@strategy("mo-evolution", multi_objective=True, description="evolution towards the whole Pareto front")
class MultiObjectiveEvolution(CandidateSampler):
    """Cross and mutate winners of tournaments; of the population and each new trial the worst leaves.

    The population is a fold over the trials that gave a result, in order of number: better is who keeps the
    constraints, then who is on an earlier front, then who is lonelier on it. As long as there are fewer trials than
    `startup`, points are random.

    Source: Deb et al. 2002, NSGA-II, https://doi.org/10.1109/4235.996017; with one survivor decided at a time (steady
    state), as in Durillo et al. 2009, https://doi.org/10.1007/978-3-642-01020-0_18. Ours never tries a candidate twice.

    Args:
        context: of the search; trials of earlier searches are the first of the population.
        population: trials that can be parents, >= 2.
        tournament: how many of them are drawn for each parent, in [1, population].
        crossover: the chance that a child has two parents, in [0, 1].
        startup: random trials before the first child, in [1, population].
    """

    def __init__(
        self,
        context: StrategyContext,
        *,
        population: int = 20,
        tournament: int = 10,
        crossover: float = 0.2,
        startup: int = 10,
    ) -> None:
        super().__init__(context)
        if population < 2 or not (1 <= tournament <= population and 1 <= startup <= population and 0 <= crossover <= 1):
            raise ConfigError(
                f"expected population >= 2, tournament and startup in [1, population], and crossover in [0, 1], "
                f"got {population=}, {tournament=}, {startup=} and {crossover=}"
            )
        self._size = population
        self._tournament = tournament
        self._crossover = crossover
        self._startup = startup
        self._population: list[Observation] = []  # the best first
        self._next = 0  # trials before it have been taken in
        self._study: Study | None = None

    def candidates(self, study: Study, trial: FrozenTrial) -> Iterator[Flat]:
        """One child after another, without end."""
        rng = self.rng(trial)
        self._follow(study)
        for attempt in count():
            size = tournament_size(self._tournament, attempt)
            yield self._child(size, rng) if len(self._population) >= self._startup else self.space.sample(rng)

    def _child(self, size: int, rng: np.random.Generator) -> Flat:
        flat = self._parent(size, rng)
        if rng.random() < self._crossover:
            flat = self.space.crossover(flat, self._parent(size, rng), rng)
        return self.space.mutate(flat, rng)

    def _parent(self, size: int, rng: np.random.Generator) -> Flat:
        drawn = rng.choice(len(self._population), min(size, len(self._population)), replace=False)
        return self._population[int(drawn.min())].flat

    def _follow(self, study: Study) -> None:
        if study is not self._study:
            self._study, self._next, self._population = study, 0, []
            self._take(self.context.prior)
        trials = observations(study)
        while self._next < len(trials) and trials[self._next].state != "running":
            self._take([trials[self._next]])
            self._next += 1

    def _take(self, trials: Sequence[Observation]) -> None:
        for trial in trials:
            self._population = best_first([*self._population, trial], self.context.directions)[: self._size]

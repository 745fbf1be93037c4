"""Regularized evolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial

from ...core import ConfigError
from ..space import Flat
from .observation import Observation, observations
from .ranking import merit
from .registry import StrategyContext, strategy
from .sampler import CandidateSampler

PATIENCE = 8  # attempts at a new child before a tournament is made smaller


@strategy("evolution", description="regularized evolution: the best of a few of the youngest, changed in one decision")
class RegularizedEvolution(CandidateSampler):
    """Mutate the best of a random tournament among the youngest trials; the oldest die.

    The population is read from the trials: the last `population` of them that gave a result, those of earlier searches
    before all others. As long as there are fewer than `startup`, points are random.

    Source: Real et al. 2019, https://arxiv.org/abs/1802.01548, algorithm 1. Ours never tries a candidate twice (another
    tournament is held instead, see `tournament_size`), and begins to evolve before the population is full.

    Args:
        context: of the search.
        population: trials that can be parents, >= 2.
        tournament: how many of them are drawn, in [1, population].
        startup: random trials before the first mutation, in [1, population].
    """

    def __init__(
        self, context: StrategyContext, *, population: int = 50, tournament: int = 25, startup: int = 10
    ) -> None:
        super().__init__(context)
        if population < 2 or not 1 <= tournament <= population or not 1 <= startup <= population:
            raise ConfigError(
                f"expected population >= 2, and tournament and startup in [1, population], "
                f"got {population=}, {tournament=} and {startup=}"
            )
        self._population = population
        self._tournament = tournament
        self._startup = startup

    def candidates(self, study: Study, trial: FrozenTrial) -> Iterator[Flat]:
        """Children of one tournament after another, without end."""
        rng = self.rng(trial)
        population = youngest(self.context.prior, observations(study), self._population)
        for attempt in count():
            size = tournament_size(self._tournament, attempt)
            yield self._child(population, size, rng) if len(population) >= self._startup else self.space.sample(rng)

    def _child(self, population: Sequence[Observation], size: int, rng: np.random.Generator) -> Flat:
        drawn: list[int] = rng.choice(len(population), min(size, len(population)), replace=False).tolist()
        direction = self.context.directions[0]
        # Of equals the oldest: `max` takes the first.
        parent = max((population[i] for i in sorted(drawn)), key=lambda one: merit(one, direction))
        return self.space.mutate(parent.flat, rng)


def tournament_size(size: int, attempt: int) -> int:
    """How many are drawn at an attempt at a new child: half as many after every few, so that parents whose children are
    all known make room for others.
    """
    return max(1, size >> (attempt // PATIENCE))


def youngest(prior: Sequence[Observation], own: Sequence[Observation], size: int) -> list[Observation]:
    """The last `size` trials with a result, oldest first; those of earlier searches are older than a search's own."""
    found: list[Observation] = []
    for trials in (own, prior):
        for trial in reversed(trials):
            if len(found) == size:
                break
            if trial.values is not None:
                found.append(trial)
    return found[::-1]

"""Optuna's own samplers.

Each is made anew for every attempt at a proposal, with a seed derived from the search's: a generator that lives on in
memory would make a search that was interrupted propose something else than one that was not. What a sampler leaves
open (its first trials, parameters it cannot model) is drawn at random from a derived generator, too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial

from ...core import ConfigError, derive_rng, derive_seed
from ..space import Choice, Flat
from .registry import Extra, StrategyContext, strategy
from .sampler import CandidateSampler

STARTUP_TRIALS = 10  # drawn at random before a model is made, Optuna's default
ATTEMPTS = 12  # at a new candidate: a model that proposes known ones so often has nothing new to say
POPULATION = 30  # of the genetic algorithms; Optuna's 50 leaves a search of 100 trials one generation

SamplerMaker = Callable[[int], BaseSampler]  # seed -> sampler


class OptunaSampler(CandidateSampler):
    """A sampler of Optuna's.

    Args:
        context: of the search.
        make: gives the sampler for one attempt from its seed.
        handles: whether the sampler can model a parameter.
    """

    def __init__(
        self, context: StrategyContext, make: SamplerMaker, handles: Callable[[BaseDistribution], bool] = lambda _: True
    ) -> None:
        super().__init__(context)
        self._make = make
        # Optuna's samplers expect that what has one value only is left out.
        self._modelled = {path: d for path, d in self.distributions.items() if not d.single() and handles(d)}

    def candidates(self, study: Study, trial: FrozenTrial) -> Iterator[Flat]:
        """What the sampler proposes with one seed after another."""
        for attempt in range(ATTEMPTS):
            path = ("proposal", trial.number, attempt)
            sampler = self._make(derive_seed(self.context.seed, *path) % 2**32)
            proposed = sampler.sample_relative(study, trial, self._modelled) if self._modelled else {}
            flat = {**self.space.sample(derive_rng(self.context.seed, *path)), **proposed}
            if self.space.allows(flat):
                yield flat


@strategy("random", multi_objective=True, description="uniformly random points")
class RandomSearch(CandidateSampler):
    """Uniformly random points of the encoding.

    Source: Bergstra and Bengio 2012, https://jmlr.org/papers/v13/bergstra12a.html.
    """

    def candidates(self, study: Study, trial: FrozenTrial) -> Iterator[Flat]:
        """Without end."""
        rng = self.rng(trial)
        while True:
            yield self.space.sample(rng)


@strategy("tpe", multi_objective=True, description="tree-structured Parzen estimator (Optuna)")
def tpe(context: StrategyContext) -> BaseSampler:
    """Parzen estimators of the good and of the other points, over all decisions together.

    Source: Watanabe 2023, https://arxiv.org/abs/2304.11127.
    """
    return OptunaSampler(
        context, lambda seed: TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True)
    )


@strategy(
    "optuna-gp",
    multi_objective=True,
    extra=Extra("gp", ("torch", "scipy")),
    description="Gaussian process over the encoding (Optuna)",
)
def gaussian_process(context: StrategyContext) -> BaseSampler:
    """A Gaussian process and expected improvement; its hyperparameters are fitted from the same start every time.

    Source: Optuna's `GPSampler`; Ament et al. 2023, https://arxiv.org/abs/2310.20708.
    """
    return OptunaSampler(context, lambda seed: GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS))


@strategy("nsga2", stateless=False, multi_objective=True, description="NSGA-II genetic algorithm (Optuna)")
def nsga2(context: StrategyContext) -> BaseSampler:
    """Generations of crossover and mutation, the fittest by non-domination and crowding.

    Source: Deb et al. 2002, https://doi.org/10.1109/4235.996017.
    """
    return OptunaSampler(context, lambda seed: NSGAIISampler(seed=seed, population_size=POPULATION))


@strategy("nsga3", stateless=False, multi_objective=True, description="NSGA-III, for many objectives (Optuna)")
def nsga3(context: StrategyContext) -> BaseSampler:
    """As NSGA-II, but spread along reference directions.

    Source: Deb and Jain 2014, https://doi.org/10.1109/TEVC.2013.2281535.
    """
    return OptunaSampler(context, _quiet(lambda seed: NSGAIIISampler(seed=seed, population_size=POPULATION)))


@strategy(
    "cmaes",
    stateless=False,
    constraints=False,
    extra=Extra("cmaes", ("cmaes",)),
    description="CMA-ES over the numbers of a space (Optuna)",
)
def cma_es(context: StrategyContext) -> BaseSampler:
    """A multivariate normal distribution over the numbers of a space; what is no number is drawn at random.

    Source: Hansen 2016, https://arxiv.org/abs/1604.00772.

    Raises:
        ConfigError: the space has no numbers.
    """
    numbers = [leaf for leaf in context.space.leaves().values() if not isinstance(leaf, Choice)]
    if not numbers:
        raise ConfigError(
            f"strategy 'cmaes' moves numbers only, and space {context.space.name} has none",
            hint="take evolution, which moves everything",
        )
    return OptunaSampler(
        context, lambda seed: CmaEsSampler(seed=seed), handles=lambda d: not isinstance(d, CategoricalDistribution)
    )


@strategy(
    "qmc",
    stateless=False,
    multi_objective=True,
    extra=Extra("qmc", ("scipy",)),
    description="Sobol' sequence: even coverage (Optuna)",
)
def quasi_random(context: StrategyContext) -> BaseSampler:
    """A scrambled Sobol' sequence: one for the whole search, of which each attempt takes the next point. A choice is an
    axis cut into equal parts: its options have no order for the sequence to be even in.

    Source: Bergstra and Bengio 2012, https://jmlr.org/papers/v13/bergstra12a.html, section 4.3.
    """
    scramble = derive_seed(context.seed, "qmc") % 2**32
    return OptunaSampler(context, _quiet(lambda _: QMCSampler(seed=scramble, scramble=True)))


def _quiet(make: SamplerMaker) -> SamplerMaker:
    """Without Optuna's warning that a sampler may change: we pin its version and test what it proposes."""

    def made(seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return make(seed)

    return made

"""Search strategies as Optuna samplers over the fixed flat encoding of a space.

Every proposal is a function of the seed and of the finished trials: the generator is derived from the seed and the
number of finished trials, nothing is kept between proposals. So a search that was killed and resumed proposes what the
uninterrupted one would have. Optuna's own seeded samplers keep their generator in memory and do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ..core import NasturtiumError, Registry, derive_rng, derive_seed
from .architecture import Architecture
from .space import Choice, Flat, Float, Int, Leaf, Scalar, Space, draw

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
MAX_PROPOSALS = 100  # attempts at an architecture that was not trained before

# (study, trial, distributions, seed) -> a flat point, or an empty mapping for "anything"
Proposer = Callable[[Study, FrozenTrial, dict[str, BaseDistribution], int], Mapping[str, Any]]
STRATEGIES: Registry[Proposer] = Registry("strategy")


def strategy(name: str) -> Callable[[Proposer], Proposer]:
    """Register a strategy under the name users type."""
    return partial(STRATEGIES.add, name)


@strategy("random")
def propose_random(
    study: Study, trial: FrozenTrial, distributions: dict[str, BaseDistribution], seed: int
) -> Mapping[str, Any]:
    """Uniformly random."""
    return {}


@strategy("tpe")
def propose_tpe(
    study: Study, trial: FrozenTrial, distributions: dict[str, BaseDistribution], seed: int
) -> Mapping[str, Any]:
    """Multivariate tree-structured Parzen estimator, random for the first trials.

    Source: Bergstra et al. 2011; Optuna's implementation, Watanabe 2023, https://arxiv.org/abs/2304.11127.
    """
    # Trials run one after the other: there is no other one to keep away from.
    sampler = TPESampler(seed=seed % 2**32, n_startup_trials=8, constant_liar=False)
    return sampler.sample_relative(study, trial, distributions)


class SpaceUsedUpError(NasturtiumError, LookupError):
    """Every architecture that is proposed was trained already."""


class DistinctSampler(BaseSampler):
    """Asks a strategy until it proposes an architecture that no finished trial has.

    Args:
        space: what to search.
        name: a strategy of the registry.
        seed: the search's seed.
    """

    def __init__(self, space: Space, name: str, seed: int) -> None:
        self._space = space
        self._propose = STRATEGIES.find(name)
        self._seed = seed
        self._leaves = space.leaves()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space, always: nothing is left to independent sampling."""
        return distributions(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A point whose architecture is new.

        Raises:
            SpaceUsedUpError: `MAX_PROPOSALS` in a row were all known: the space is used up.
        """
        finished = study.get_trials(deepcopy=False, states=FINISHED)
        known = {Architecture.from_flat(self._space, cast(Flat, other.params)).id for other in finished}
        for attempt in range(MAX_PROPOSALS):
            path = ("proposal", len(finished), attempt)
            point = dict(self._propose(study, trial, search_space, derive_seed(self._seed, *path)))
            if not point or attempt >= MAX_PROPOSALS // 2:  # a strategy that insists on known ones gives way to chance
                rng = derive_rng(self._seed, *path)
                point = {name: draw(leaf, rng) for name, leaf in self._leaves.items()}
            if Architecture.from_flat(self._space, point).id not in known:
                return point
        raise SpaceUsedUpError(
            f"no architecture left to try: {MAX_PROPOSALS} proposals in a row were all among the {len(known)} trained",
            hint="ask for fewer trials, or search a larger space",
        )

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never reached: the relative space is the whole space."""
        raise AssertionError(f"{param_name} is not in the space's encoding")


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The flat encoding in Optuna's terms."""
    return {path: _distribution(leaf) for path, leaf in space.leaves().items()}


def _distribution(leaf: Leaf) -> BaseDistribution:
    match leaf:
        case Choice(options):
            return CategoricalDistribution(cast(Sequence[Scalar], options))
        case Int(low, high):
            return IntDistribution(low, high)
        case Float(low, high, log):
            return FloatDistribution(low, high, log=log)

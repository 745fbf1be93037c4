"""`CandidateSampler`: the base of our strategies, and the flat encoding of a space in Optuna's terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from ...core import derive_rng
from ..space import Choice, Flat, Float, Int, Leaf, Space
from .registry import StrategyContext

T = TypeVar("T")


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The flat encoding in Optuna's terms: every decision, active or not, so that it is the same for all points."""
    return {path: _distribution(leaf) for path, leaf in space.leaves().items()}


def _distribution(leaf: Leaf) -> BaseDistribution:
    match leaf:
        case Choice():
            return CategoricalDistribution(leaf.values)
        case Int(low, high, step, log):
            # A step that does not end at `high` never reaches it; Optuna warns where it has to lower it.
            return IntDistribution(low, high if log else leaf.values[-1], step=step, log=log)
        case Float(low, high, log):
            return FloatDistribution(low, high, log=log)


def shuffled(items: Sequence[T], rng: np.random.Generator) -> list[T]:
    """The items in random order."""
    order: list[int] = rng.permutation(len(items)).tolist()
    return [items[place] for place in order]


class CandidateSampler(BaseSampler, ABC):
    """A strategy that proposes whole points.

    A subclass names candidates, the one it likes best first; whoever asks takes the first that is new. So a strategy
    need not know what was tried where it does not matter to it.

    Args:
        context: of the search.
    """

    def __init__(self, context: StrategyContext) -> None:
        self.context = context
        self.space = context.space

    @abstractmethod
    def candidates(self, study: Study, trial: FrozenTrial) -> Iterator[Flat]:
        """Points that the space allows in order of preference, as many as there are; some may have been tried.

        All that is drawn comes from `self.rng(trial)`, so that the same trials give the same points.
        """

    def rng(self, trial: FrozenTrial) -> np.random.Generator:
        """The generator for this trial's proposal."""
        return derive_rng(self.context.seed, "proposal", trial.number)

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """See the function."""
        return distributions(self.space)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space, always: nothing is left to independent sampling."""
        return self.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The candidate it likes best, tried before or not."""
        return dict(next(self.candidates(study, trial)))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never reached: the relative space is the whole space."""
        raise AssertionError(f"{param_name} is not in the space's encoding")

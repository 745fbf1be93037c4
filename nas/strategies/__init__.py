"""Search strategies: Optuna samplers over the fixed flat encoding of a space, and the `Proposer` that asks them.

The order of the modules: observation, ranking, registry, sampler; then the strategies (optuna_samplers, evolution,
local_search, pareto_evolution, predicted); distinct, proposer.
"""

from .. import optuna_extra as _optuna_extra  # noqa: F401  # pyright: ignore[reportUnusedImport]
from . import predicted as _predicted  # noqa: F401 - fills STRATEGIES  # pyright: ignore[reportUnusedImport]
from .distinct import DistinctSampler, SpaceUsedUpError
from .evolution import RegularizedEvolution
from .local_search import LocalSearch
from .observation import Known, Observation, State, known, observations
from .optuna_samplers import OptunaSampler, RandomSearch
from .pareto_evolution import MultiObjectiveEvolution
from .proposer import Proposal, Proposer
from .ranking import best_first
from .registry import STRATEGIES, Strategy, StrategyContext, strategy
from .sampler import CandidateSampler, distributions

__all__ = [
    "STRATEGIES",
    "CandidateSampler",
    "DistinctSampler",
    "Known",
    "LocalSearch",
    "MultiObjectiveEvolution",
    "Observation",
    "OptunaSampler",
    "Proposal",
    "Proposer",
    "RandomSearch",
    "RegularizedEvolution",
    "SpaceUsedUpError",
    "State",
    "Strategy",
    "StrategyContext",
    "best_first",
    "distributions",
    "known",
    "observations",
    "strategy",
]

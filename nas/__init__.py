"""Architecture search: spaces, strategies as Optuna samplers, evaluators, and the runner that joins them."""

from .architecture import Architecture
from .evaluate import Evaluator, LocalEvaluator
from .events import (
    RetrainStarted,
    SearchEvent,
    SearchObserver,
    SearchStarted,
    SpaceUsedUp,
    TrialFinished,
    TrialProgress,
)
from .pareto import OBJECTIVES, choose_best, front_of, pareto_front
from .search import SearchResult, TrialFailedError, resume_search, run_search
from .setup import SearchConfig, SearchSetup
from .space import SPACES, Branch, Choice, Float, Group, Int, Repeat, Space, space
from .strategies import STRATEGIES, DistinctSampler, SpaceUsedUpError

__all__ = [
    "OBJECTIVES",
    "SPACES",
    "STRATEGIES",
    "Architecture",
    "Branch",
    "Choice",
    "DistinctSampler",
    "Evaluator",
    "Float",
    "Group",
    "Int",
    "LocalEvaluator",
    "Repeat",
    "RetrainStarted",
    "SearchConfig",
    "SearchEvent",
    "SearchObserver",
    "SearchResult",
    "SearchSetup",
    "SearchStarted",
    "Space",
    "SpaceUsedUp",
    "SpaceUsedUpError",
    "TrialFailedError",
    "TrialFinished",
    "TrialProgress",
    "choose_best",
    "front_of",
    "pareto_front",
    "resume_search",
    "run_search",
    "space",
]

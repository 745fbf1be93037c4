"""Architecture search: spaces, strategies as Optuna samplers, evaluators, and the runner that joins them.

The packages below have faces of their own: `space` (what a space is written with), `strategies`, `objectives`,
`fidelity`, `runner`, `training`, `finale`, `zero_cost`, `supernet`, `predictor`, `drawing`. Names are loaded on first
use: a worker process needs neither strategies nor a database.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .architecture import Architecture
    from .drawing import draw_svg
    from .engines import EngineChoice, SetupEvaluators, check_batch, evaluator_of, open_engine, remote_evaluators
    from .evaluate import BatchEvaluator, Evaluator
    from .events import (
        SearchEvent,
        SearchObserver,
        SearchStarted,
        TrialFinished,
        TrialLost,
        TrialProgress,
        TrialsEnded,
        TrialStarted,
        Working,
    )
    from .finale import SearchReport, read_report
    from .objectives import OBJECTIVES, Goal, choose_best, front_of, pareto_front, parse_constraint, parse_goal
    from .search import SearchResult, SearchStoppedError, resume_search, run_search, setup_of
    from .setup import DEFAULT_STRATEGY, DataFacts, SearchConfig, SearchRows, SearchSetup
    from .space import (
        Cell,
        Chain,
        Choice,
        Float,
        Incoming,
        Int,
        Optional,
        Outputs,
        Repeat,
        Residual,
        Space,
        layers,
        load_space,
    )
    from .spaces import SPACES, default_space
    from .strategies import STRATEGIES, CandidateSampler, Proposer, strategy
    from .tables import LookupEvaluator, TableSearch, search_table
    from .zero_cost import ZERO_COST

_HOMES = {
    "DEFAULT_STRATEGY": "setup",
    "OBJECTIVES": "objectives",
    "SPACES": "spaces",
    "STRATEGIES": "strategies",
    "ZERO_COST": "zero_cost",
    "Architecture": "architecture",
    "BatchEvaluator": "evaluate",
    "CandidateSampler": "strategies",
    "Cell": "space",
    "Chain": "space",
    "Choice": "space",
    "EngineChoice": "engines",
    "DataFacts": "setup",
    "Evaluator": "evaluate",
    "Float": "space",
    "Goal": "objectives",
    "Incoming": "space",
    "Int": "space",
    "LookupEvaluator": "tables",
    "Optional": "space",
    "Outputs": "space",
    "Proposer": "strategies",
    "Repeat": "space",
    "Residual": "space",
    "SearchConfig": "setup",
    "SearchEvent": "events",
    "SearchObserver": "events",
    "SearchReport": "finale",
    "SearchResult": "search",
    "SearchStoppedError": "search",
    "SearchRows": "setup",
    "SearchSetup": "setup",
    "SearchStarted": "events",
    "SetupEvaluators": "engines",
    "Space": "space",
    "TableSearch": "tables",
    "TrialFinished": "events",
    "TrialLost": "events",
    "TrialProgress": "events",
    "TrialStarted": "events",
    "TrialsEnded": "events",
    "Working": "events",
    "choose_best": "objectives",
    "default_space": "spaces",
    "draw_svg": "drawing",
    "check_batch": "engines",
    "evaluator_of": "engines",
    "front_of": "objectives",
    "layers": "space",
    "load_space": "space",
    "open_engine": "engines",
    "pareto_front": "objectives",
    "parse_constraint": "objectives",
    "parse_goal": "objectives",
    "read_report": "finale",
    "remote_evaluators": "engines",
    "resume_search": "search",
    "run_search": "search",
    "search_table": "tables",
    "setup_of": "search",
    "strategy": "strategies",
}

__all__ = [
    "DEFAULT_STRATEGY",
    "OBJECTIVES",
    "SPACES",
    "STRATEGIES",
    "ZERO_COST",
    "Architecture",
    "BatchEvaluator",
    "CandidateSampler",
    "Cell",
    "Chain",
    "Choice",
    "DataFacts",
    "EngineChoice",
    "Evaluator",
    "Float",
    "Goal",
    "Incoming",
    "Int",
    "LookupEvaluator",
    "Optional",
    "Outputs",
    "Proposer",
    "Repeat",
    "Residual",
    "SearchConfig",
    "SearchEvent",
    "SearchObserver",
    "SearchReport",
    "SearchResult",
    "SearchRows",
    "SearchSetup",
    "SearchStarted",
    "SearchStoppedError",
    "SetupEvaluators",
    "Space",
    "TableSearch",
    "TrialFinished",
    "TrialLost",
    "TrialProgress",
    "TrialStarted",
    "TrialsEnded",
    "Working",
    "check_batch",
    "choose_best",
    "default_space",
    "draw_svg",
    "evaluator_of",
    "front_of",
    "layers",
    "load_space",
    "open_engine",
    "pareto_front",
    "parse_constraint",
    "parse_goal",
    "read_report",
    "remote_evaluators",
    "resume_search",
    "run_search",
    "search_table",
    "setup_of",
    "strategy",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

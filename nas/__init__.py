"""Architecture search: spaces, strategies as Optuna samplers, evaluators, and the runner that joins them.

Names are loaded on first use: a worker process needs neither strategies nor a database.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .architecture import Architecture
    from .engines import EngineChoice, SetupEvaluators, evaluator_of, open_engine, remote_evaluators
    from .evaluate import Evaluator
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
    from .search import SearchResult, resume_search, run_search, setup_of
    from .setup import DEFAULT_STRATEGY, SearchConfig, SearchSetup

_HOMES = {
    "Architecture": "architecture",
    "DEFAULT_STRATEGY": "setup",
    "EngineChoice": "engines",
    "Evaluator": "evaluate",
    "SearchConfig": "setup",
    "SearchEvent": "events",
    "SearchObserver": "events",
    "SearchResult": "search",
    "SearchSetup": "setup",
    "SearchStarted": "events",
    "SetupEvaluators": "engines",
    "TrialFinished": "events",
    "TrialLost": "events",
    "TrialProgress": "events",
    "TrialStarted": "events",
    "TrialsEnded": "events",
    "Working": "events",
    "evaluator_of": "engines",
    "open_engine": "engines",
    "remote_evaluators": "engines",
    "resume_search": "search",
    "run_search": "search",
    "setup_of": "search",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

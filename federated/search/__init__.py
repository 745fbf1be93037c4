"""Federated search: candidates of an architecture search trained by the sites, many of them in the same messages.

**The one idea:** a candidate is a run of its own, under the id that its trial has. A round of it is a round like any
other: protected, checked, charged to the privacy ledger, written down. What is new is only that the plans of several
candidates travel together, so that eight of them cost the exchanges of one, and that one epoch of a `Budget` is one
round.

The rows are where they are, so what a candidate is measured by comes out of its rounds: every update carries the site's
counts on its validation rows under the same protection, of the model that the round began with. The figures of a model
after `n` rounds are in the sum of the round after it. At the end of the schedule that is one that only measures; before
it, one that trains, so that who goes on has lost nothing, and rounds are the same whether anybody looked in between.

Threat model: that of a run. The coordinator learns what it is told of every run: who takes part, sizes, times, and the
counts over all sites that a majority of them reports; it chooses the networks and sees no weights. Each candidate's
sums are releases of their own: a search of a hundred candidates tells a site's partners a hundred times as much as one
run, and the ledger says so. With a privacy budget there is nothing to search by, because counts are exact releases.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .candidate_rounds import CandidateRounds
    from .evaluator import CandidateEvaluator
    from .shared_weights import SharedWeights
    from .simulated_search import SimulatedSearch, open_simulated_search, read_federation
    from .terms import SearchTerms

_HOMES = {
    "CandidateEvaluator": "evaluator",
    "CandidateRounds": "candidate_rounds",
    "SearchTerms": "terms",
    "SharedWeights": "shared_weights",
    "SimulatedSearch": "simulated_search",
    "open_simulated_search": "simulated_search",
    "read_federation": "simulated_search",
}

__all__ = [
    "CandidateEvaluator",
    "CandidateRounds",
    "SearchTerms",
    "SharedWeights",
    "SimulatedSearch",
    "open_simulated_search",
    "read_federation",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

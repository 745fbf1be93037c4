"""`Evaluator`: whatever evaluates candidates, by training them here or at federated sites, by a table, by a score."""

from __future__ import annotations

from typing import Protocol

from ..core import Budget, Candidate, Evaluation


class Evaluator(Protocol):
    """Evaluates a candidate at a budget.

    Asked again for the same candidate at a higher budget, it goes on where it was; the result is the same as from
    scratch. Divergence is a result, not an error.
    """

    def evaluate(self, candidate: Candidate, budget: Budget) -> Evaluation:
        """Train `candidate` to the end of `budget` and measure it on validation data."""
        ...

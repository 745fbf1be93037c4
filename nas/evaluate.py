"""`Evaluator`: whatever evaluates candidates, by training them here or at federated sites, by a table, by a score.

`BatchEvaluator` is one that evaluates several at a time, where that is cheaper than one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..core import Budget, Candidate, Evaluation, SavedModel


class Evaluator(Protocol):
    """Evaluates a candidate at a budget.

    Asked again for the same candidate at a higher budget, it goes on where it was; the result is the same as from
    scratch. Divergence is a result, not an error.
    """

    def evaluate(self, candidate: Candidate, budget: Budget) -> Evaluation:
        """Train `candidate` to the end of `budget` and measure it on validation data."""
        ...


class BatchEvaluator(Protocol):
    """Evaluates several candidates side by side, in the caller's thread, and trains the model that a search ends with.

    An evaluation is the same whatever is evaluated beside it; see `Evaluator` for what holds of each.
    """

    def begin(self, search: str, say: Callable[[str], object]) -> None:
        """The candidates that follow are of a search.

        Args:
            search: its uid.
            say: hears of what takes its time before them; what it raises ends the search.
        """
        ...

    def submit(self, candidate: Candidate, budget: Budget) -> None:
        """Ask for an evaluation; it is worked on in `wait`."""
        ...

    def wait(self) -> Sequence[tuple[str, Evaluation | Exception]]:
        """Work until something that was asked for is done.

        Returns:
            By the id of its candidate what came of it; nothing where nothing is asked for.
        """
        ...

    def forget(self, candidate: str) -> None:
        """Nothing more is asked of the candidate with that id, and what was asked is not wanted."""
        ...

    def train(self, candidate: Candidate) -> SavedModel | Evaluation:
        """The network of a candidate trained as the model that is saved; `id` is that of a run of its own.

        Returns:
            The model; of a search whose rows are elsewhere, where it stays, what was measured of it there.

        Raises:
            NasturtiumError: it cannot be had, as where it diverges.
        """
        ...

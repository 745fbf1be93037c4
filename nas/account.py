"""`Account`: the CPU time of a whole search, of which its trials are only a part."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import isfinite

from ..storage import TrialRecord
from .finale import FinaleOptions, TrialCost, end_seconds
from .objectives import figures_of, total_violation
from .runner import Outcome


class Account:
    """Says how much of a budget of CPU time must be left beside what the finished trials took.

    Args:
        options: of the end of the search.
        epochs: the longest a trial is trained.
        folds: that trials are trained on.
        rows: that a fold trains on, as a part of all but the test rows, in (0, 1].
        window: trials in work at a time.
        random: so many trials at the start were proposed at random; None: as many follow, to compare with.
        trains: a trial's time says how long its network trains: not where it was scored, or elsewhere.
        here: trials are trained in this process, whose time has theirs in it.
        clock: CPU seconds of this process.
    """

    def __init__(
        self,
        options: FinaleOptions,
        *,
        epochs: int,
        folds: int,
        rows: float,
        window: int,
        random: int | None = 0,
        trains: bool = True,
        here: bool = False,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._options = options
        self._epochs = epochs
        self._folds = folds
        self._rows = rows
        self._window = window
        self._random = random
        self._trains = trains
        self._here = here
        self._clock = clock
        self._began = clock()
        self._inside = 0.0  # seconds of trials in this process
        self._costs: list[TrialCost] = []
        self._trials = self._end = 0.0

    def recall(self, trial: TrialRecord) -> None:
        """Add a trial that an earlier process finished."""
        self._add(trial.number, trial.state, trial.cpu_seconds or 0.0, trial.rung, figures_of(trial))

    def tell(self, outcome: Outcome, *, control: bool = False) -> None:
        """Add a trial that ended; `control`: of the random search that follows."""
        if self._here:
            self._inside += outcome.cpu_seconds
        found = outcome.evaluation
        if found is not None and not control:
            self._add(outcome.number, outcome.state, outcome.cpu_seconds, found.epochs, found.objectives)

    def reserve(self) -> float:
        """CPU seconds that are to be left beside those of the finished trials: for this process, the trials in work,
        the end, and the random search that is to compare with.

        A trial in work, or about to begin, may take as long as the longest so far. What earlier processes took for
        anything but trials is not known.
        """
        searches = 2 if self._random is None else 1
        follows = self._trials if self._random is None else 0.0
        return self._own() + self._end + searches * self._next() + follows

    def reserve_of_control(self) -> float:
        """The same for the random search that follows, beside what its own trials took."""
        return self._own() + self._end + self._next() + self._trials

    def _own(self) -> float:
        return max(0.0, self._clock() - self._began - self._inside)

    def _next(self) -> float:
        return self._window * max((cost.seconds for cost in self._costs), default=0.0)

    def _add(self, number: int, state: str, seconds: float, epochs: int | None, figures: Mapping[str, float]) -> None:
        if state not in {"completed", "pruned"} or not seconds > 0:
            return
        goal = self._options.goals[0]
        value = figures.get(goal.name, float("nan"))
        taken = state == "completed" and isfinite(value) and not total_violation(self._options.constraints, figures)
        # Patience ends a training early; that of another seed may last to the end.
        part = min(1.0, epochs / self._epochs) if epochs else 1.0
        self._trials += seconds
        self._costs.append(
            TrialCost(
                seconds=seconds,
                part=part,
                order=(-goal.sign * value, figures.get("val_loss", float("inf")), number) if taken else None,
                parameters=figures.get("parameters", float("inf")),
                random=self._random is None or number < self._random,
            )
        )
        if self._trains:
            self._end = end_seconds(self._costs, self._options, folds=self._folds, rows=self._rows)

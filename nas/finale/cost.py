"""`end_seconds`: what the end of a search will take, reckoned from what its trials took, for a budget to hold it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .options import FinaleOptions

MARGIN: Final = 1.1  # beside the trainings: simple models to compare with, the test, saving


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialCost:
    """A trial that was trained, as far as the end of a search cares.

    Attributes:
        seconds: of processors, > 0.
        part: of the longest training, which it got, in (0, 1].
        order: by what the best is found, lower is better; None where it cannot be taken.
        parameters: of its network.
        random: proposed at random: the best of these is the control.
    """

    seconds: float
    part: float
    order: tuple[float, ...] | None
    parameters: float
    random: bool

    @property
    def full(self) -> float:
        """Seconds of a training to the end, on all folds."""
        return self.seconds / self.part


def end_seconds(trials: Iterable[TrialCost], options: FinaleOptions, *, folds: int, rows: float) -> float:
    """CPU seconds that the end would take if the search ended now; 0 while it has nothing to end with.

    As dear as it can become: every training lasts to its last epoch, and an average has the networks that take
    longest.

    Args:
        trials: all that were trained.
        options: of the end.
        folds: that every trial was trained on, >= 1.
        rows: that a fold trains on, as a part of all but the test rows, in (0, 1].
    """
    trials = list(trials)
    ranked = sorted((trial for trial in trials if trial.order is not None), key=lambda trial: trial.order or ())
    if not ranked:
        return 0.0
    best = ranked[: options.top]
    smallest = min(trials, key=lambda trial: trial.parameters)
    if folds > 1 and smallest not in best:  # see `finalists`
        best = [*best, smallest]
    again = options.seeds * sum(trial.full for trial in best)
    # A network on all rows, where the trial trained one on each fold.
    whole = sorted((trial.full / (folds * rows) for trial in best for _ in range(options.seeds)), reverse=True)
    model = sum(whole[: options.seeds + (options.members if options.ensemble else 0)])
    control = [trial.full / (folds * rows) for trial in ranked if trial.random and trial is not ranked[0]][:1]
    return MARGIN * (again + model + options.seeds * sum(control))

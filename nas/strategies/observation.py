"""What has been tried so far, read from an Optuna study: points with their results, and which candidates they are.

All of it is a cache of what the study says and could be rebuilt from it at any time. A look at a study reads only the
trials that were still running at the last one, so that looking costs the same after ten trials and ten thousand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast
from weakref import WeakKeyDictionary

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ..space import Flat, Scalar, Space

State = Literal["completed", "pruned", "failed", "running"]

PRIOR = "prior"  # user attribute of trials of earlier searches; they stand before the study's own
VALUES = "values"  # user attribute of a pruned trial: its objectives where it was stopped
STEPS = "steps"  # user attribute of a pruned trial: the budgets it went through
_STATES: Mapping[TrialState, State] = {
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


@dataclass(frozen=True, slots=True)
class Observation:
    """A point that was tried, and what became of it.

    Attributes:
        number: of the trial, from 0 on; of an earlier search's trials whatever it was there.
        flat: the point.
        values: the objectives in the search's order, finite; None while it runs, and if it failed. Those of a pruned
            trial are what it had reached when it was stopped.
        state: how far it is.
        violation: by how much it breaks the search's constraints, all together; 0 for one that keeps them.
        steps: of a pruned trial: how many budgets it went through.
    """

    number: int
    flat: Flat
    values: tuple[float, ...] | None
    state: State
    violation: float = 0.0
    steps: int = 1


def observations(study: Study) -> list[Observation]:
    """The trials of a study that have a point, in order of number: entry n is trial n. Not to be modified.

    Trials of earlier searches that a study begins with are left out; strategies get them from their context.
    """
    return _look(study).observations


@dataclass(slots=True)
class Known:
    """The candidates that a search has proposed or knows from earlier searches.

    Attributes:
        space: says which points are the same candidate.
        numbers: identity -> the first trial that has it, -1 for an earlier search's.
        points: of all trials, those of earlier searches first.
    """

    space: Space
    numbers: dict[str, int] = field(default_factory=dict[str, int])
    points: list[Flat] = field(default_factory=list[Flat])

    def add(self, flat: Flat, number: int) -> None:
        """Note a trial's point."""
        self.numbers.setdefault(self.space.identity(flat), number)
        self.points.append(flat)

    def __contains__(self, flat: Flat) -> bool:
        return self.space.identity(flat) in self.numbers


def known(study: Study, space: Space) -> Known:
    """The candidates that a study has trials of. Not to be modified."""
    look = _look(study)
    if look.known is None or look.known.space is not space:
        look.known = Known(space)
        for flat in look.prior:
            look.known.add(flat, -1)
    noted = len(look.known.points) - len(look.prior)
    for observation in look.observations[noted:]:
        look.known.add(observation.flat, observation.number)
    return look.known


class _Look:
    """What was read of a study."""

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        self.prior: list[Flat] = []
        for trial in trials:
            if PRIOR not in trial.user_attrs:
                break
            self.prior.append(cast(Mapping[str, Scalar], trial.params))
        self.observations: list[Observation] = []
        self.known: Known | None = None
        self._settled = 0  # trials before it are finished, and were read

    def read(self, trials: Sequence[FrozenTrial]) -> None:
        first = len(self.prior)
        for trial in trials[first + self._settled :]:
            if not trial.params:
                break  # it is being proposed
            observation = _observed(trial, trial.number - first)
            if observation.number == len(self.observations):
                self.observations.append(observation)
            else:
                self.observations[observation.number] = observation
            if observation.number == self._settled and observation.state != "running":
                self._settled += 1


_LOOKS: WeakKeyDictionary[Study, _Look] = WeakKeyDictionary()


def _look(study: Study) -> _Look:
    trials = study.get_trials(deepcopy=False)
    look = _LOOKS.get(study)
    if look is None:
        look = _LOOKS[study] = _Look(trials)
    look.read(trials)
    return look


def _observed(trial: FrozenTrial, number: int) -> Observation:
    values = trial.user_attrs.get(VALUES) if trial.state is TrialState.PRUNED else trial.values
    return Observation(
        number,
        cast(Flat, trial.params),
        None if values is None else tuple(values),
        _STATES[trial.state],
        violation=sum(value for value in trial.constraints.values() if value > 0),
        steps=trial.user_attrs.get(STEPS, 1),
    )

"""What a search may learn from earlier ones in the same history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core import ConfigError
from ..storage import History, TrialRecord
from .objectives import figures_of, total_violation
from .setup import SearchSetup
from .strategies import Observation


@dataclass(frozen=True, slots=True)
class Prior:
    """Trials of earlier searches.

    Attributes:
        trials: oldest first, numbered anew.
        points_only: they were of other data, where their results are worth nothing here, but good networks may be good
            here too.
    """

    trials: tuple[Observation, ...] = ()
    points_only: bool = False


def prior_of(history: History, setup: SearchSetup) -> Prior:
    """The trials of the searches that a search is to learn from.

    Raises:
        ConfigError: one of them is no search, or in another space or for other goals.
        UnknownRunError: there is no such run.
    """
    found: list[TrialRecord] = []
    points_only = False
    goals = [goal.name for goal in setup.goals]
    for ref in setup.config.warm_start:
        run = history.find(ref)
        if run.kind != "search":
            raise ConfigError(f"run {ref} is a {run.kind}, expected a search to learn from")
        search = history.search(run.uid)
        if search.space_sha256 != setup.space.sha256:
            raise ConfigError(
                f"search {ref} was in space {search.space!r}, which is not the space of this one",
                hint="learn from searches in the same space for the same kind of data",
            )
        data = history.dataset(run.uid)
        points_only |= data is None or data.fingerprint != setup.data.fingerprint
        found += history.trials(run.uid)
    told = [trial for trial in found if trial.flat is not None and trial.state in {"completed", "pruned"}]
    told = [trial for trial in told if all(goal in trial.metrics for goal in goals)]
    return Prior(tuple(_observation(number, trial, setup) for number, trial in enumerate(told)), points_only)


def _observation(number: int, trial: TrialRecord, setup: SearchSetup) -> Observation:
    figures = figures_of(trial)
    values = tuple(goal.value(figures) for goal in setup.goals)
    state = "completed" if trial.state == "completed" else "pruned"
    violation = total_violation(setup.constraints, figures)
    return Observation(number, dict(trial.flat or {}), values, state, violation)


def uids_of(history: History, refs: Sequence[str]) -> tuple[str, ...]:
    """The uids of runs that people named by number or otherwise: what a configuration keeps, as numbers are of one
    database.
    """
    return tuple(history.find(ref).uid for ref in refs)

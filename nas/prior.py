"""What a search may learn from earlier ones in the same history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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


def prior_of(history: History, setup: SearchSetup, *, before: datetime | None = None) -> Prior:
    """The trials of the searches that a search is to learn from.

    Args:
        history: of all of them.
        setup: of the search that learns.
        before: leaves out trials that ended later. A search that is resumed may learn no more than it did when it was
            started, or it would go on as another one: an earlier search may have gone on meanwhile.

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
        points_only |= data is None or data.fingerprint != setup.known.fingerprint
        ended = [trial for trial in history.trials(run.uid) if _is_known(trial, before)]
        told = [trial for trial in ended if all(goal in figures_of(trial) for goal in goals)]
        if ended and not told:
            raise ConfigError(
                f"search {ref} was for other goals: none of its trials says {', '.join(goals)}",
                hint="learn from searches for the same goals",
            )
        found += told
    return Prior(tuple(_observation(number, trial, setup) for number, trial in enumerate(found)), points_only)


def _is_known(trial: TrialRecord, before: datetime | None) -> bool:
    """Whether a trial had a result by then."""
    if trial.flat is None or trial.ended is None or trial.state not in {"completed", "pruned"}:
        return False
    return before is None or trial.ended <= before


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

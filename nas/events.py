"""What a running search tells whoever watches it, as it happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..storage import RunState, SearchRecord


@dataclass(frozen=True, slots=True)
class SearchStarted:
    """The search is in the history; if it was resumed, `finished` of its trials are done, the best with `best`.

    `goal` is what values are of: the first of its goals; `states` says how many of the finished ended how.
    """

    search: SearchRecord
    goal: str
    finished: int
    best: float | None
    states: Mapping[RunState, int] = field(default_factory=dict[RunState, int])


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A trial begins, or begins again: `attempt` > 1 after one that was lost."""

    number: int
    attempt: int


@dataclass(frozen=True, slots=True)
class TrialProgress:
    """A trial reached a rung: `epochs` epochs of `total`, with these figures."""

    number: int
    epochs: int
    total: int
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """A trial ended; `value` is of the first goal, `best` that of the best completed trial, None before the first.

    `cause` says in a few words why it failed.
    """

    number: int
    state: RunState
    value: float | None
    best: float | None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class TrialLost:
    """An attempt at a trial came to nothing by no fault of its own; it is tried again."""

    number: int
    cause: str


@dataclass(frozen=True, slots=True)
class TrialsEnded:
    """No more trials: why, and how many were finished of those planned."""

    reason: str
    finished: int
    planned: int


@dataclass(frozen=True, slots=True)
class Working:
    """Something else that takes its time, in words: the best are trained again, references are fitted, ..."""

    what: str


SearchEvent = SearchStarted | TrialStarted | TrialProgress | TrialFinished | TrialLost | TrialsEnded | Working
SearchObserver = Callable[[SearchEvent], None]

"""What a running search tells whoever watches it, as it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..storage import RunState, SearchRecord


@dataclass(frozen=True, slots=True)
class SearchStarted:
    """The search is in the history; if it was resumed, `finished` of its trials are done, the best with `best`."""

    search: SearchRecord
    finished: int
    best: float | None


@dataclass(frozen=True, slots=True)
class TrialProgress:
    """A trial reached a rung: `epochs` epochs of `total`."""

    number: int
    epochs: int
    total: int
    val_accuracy: float


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """A trial ended; `best` is the highest validation accuracy of the completed ones, None before the first."""

    number: int
    state: RunState
    val_accuracy: float | None
    best: float | None


@dataclass(frozen=True, slots=True)
class SpaceUsedUp:
    """No architecture is left to try: the search goes on to its end after `finished` of `planned` trials."""

    finished: int
    planned: int


@dataclass(frozen=True, slots=True)
class RetrainStarted:
    """The best architecture is trained again, on training and validation rows together."""

    number: int


SearchEvent = SearchStarted | TrialProgress | TrialFinished | SpaceUsedUp | RetrainStarted
SearchObserver = Callable[[SearchEvent], None]

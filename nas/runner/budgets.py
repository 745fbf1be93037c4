"""When a search ends: what it may use, and rules that look at what it has found.

The same seed gives the same trials as long as nothing but these end it: the number of trials, the bytes they send, and
the stop rules, which look at trials in the order of their numbers. Limits of time (by the clock, or of processors) and
a request to stop end it wherever it happens to be; up to there its trials are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ...core import ConfigError
from ..objectives import Direction
from ..strategies import Observation

Reason = Literal[
    "trials", "wall time", "CPU time", "bytes", "target", "no improvement", "stagnation", "space used up", "request"
]
INEXACT: frozenset[Reason] = frozenset({"wall time", "CPU time", "request"})  # may come after any trial


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBudget:
    """What a search may use, over all the processes that run it one after the other; None does not limit it.

    Attributes:
        trials: that are proposed, >= 1.
        wall_seconds: by the clock, while a broker is at it; what trains when it is over is given up.
        cpu_seconds: of processors, by the trials and what `Plan.reserve` says; what trains when it is over is finished.
        bytes: as `bytes_figure` counts them over all trials; what trains when it is over is finished.
        bytes_figure: which figure of an evaluation is counted.
    """

    trials: int | None = None
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    bytes: float | None = None
    bytes_figure: str = "upload_bytes"

    def __post_init__(self) -> None:
        for name in ("trials", "wall_seconds", "cpu_seconds", "bytes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"expected {name} > 0, got {value}")


class EndRule(Protocol):
    """Ends a search by what it has found."""

    @property
    def reason(self) -> Reason:
        """Which rule it is."""
        ...

    def tell(self, trial: Observation) -> bool:
        """Whether the search ends with this trial; called in the order of numbers."""
        ...


class TargetReached:
    """Ends a search when a trial is at least as good as the target in every objective that has one.

    Args:
        target: by objective; None does not ask for anything.
        directions: by objective.
    """

    reason: Reason = "target"

    def __init__(self, target: Sequence[float | None], directions: Sequence[Direction]) -> None:
        if len(target) != len(directions) or all(goal is None for goal in target):
            raise ConfigError(f"expected a target for some of {len(directions)} objectives, got {list(target)}")
        self._target = target
        self._directions = directions

    def tell(self, trial: Observation) -> bool:
        """See `EndRule`."""
        if trial.values is None or not _is_result(trial):
            return False
        asked = zip(trial.values, self._target, self._directions, strict=True)
        return all(
            goal is None or (value >= goal if direction == "maximize" else value <= goal)
            for value, goal, direction in asked
        )


class NoImprovement:
    """Ends a search when the last trials found nothing better: of several objectives, nothing that the best so far do
    not dominate.

    Args:
        patience: how many trials in a row, >= 1.
        directions: by objective.
    """

    reason: Reason = "no improvement"

    def __init__(self, patience: int, directions: Sequence[Direction]) -> None:
        if patience < 1:
            raise ConfigError(f"expected a patience of at least 1 trial, got {patience}")
        self._patience = patience
        self._front = _Front(directions)
        self._waited = 0

    def tell(self, trial: Observation) -> bool:
        """See `EndRule`."""
        self._waited += 1
        if self._front.add(trial):
            self._waited = 0
        return self._waited >= self._patience and bool(self._front.points)


class Stagnation:
    """Ends a search when the hypervolume of its front has grown by less than a part of itself over the last trials.

    Args:
        patience: over how many trials, >= 1.
        tolerance: the part, >= 0.
        directions: by objective.
        hypervolume: of the objectives of some trials.
    """

    reason: Reason = "stagnation"

    def __init__(
        self,
        patience: int,
        tolerance: float,
        directions: Sequence[Direction],
        hypervolume: Callable[[Sequence[tuple[float, ...]]], float],
    ) -> None:
        if patience < 1 or not tolerance >= 0:
            raise ConfigError(f"expected patience >= 1 and tolerance >= 0, got {patience} and {tolerance}")
        self._patience = patience
        self._tolerance = tolerance
        self._hypervolume = hypervolume
        self._front = _Front(directions)
        self._volumes: list[float] = []  # after each trial

    def tell(self, trial: Observation) -> bool:
        """See `EndRule`."""
        volume = self._volumes[-1] if self._volumes else 0.0
        if self._front.add(trial):
            volume = self._hypervolume(self._front.points)
        self._volumes.append(volume)
        if len(self._volumes) <= self._patience:
            return False
        before = self._volumes[-1 - self._patience]
        return before > 0 and volume - before <= self._tolerance * before


def _is_result(trial: Observation) -> bool:
    return trial.state == "completed" and trial.violation <= 0


class _Front:
    """The results that no other dominates."""

    def __init__(self, directions: Sequence[Direction]) -> None:
        self._signs = [1.0 if direction == "maximize" else -1.0 for direction in directions]
        self.points: list[tuple[float, ...]] = []

    def add(self, trial: Observation) -> bool:
        """Whether a trial is on it, and not equal to one that was."""
        point = trial.values
        if point is None or not _is_result(trial) or any(self._covers(other, point) for other in self.points):
            return False
        self.points = [other for other in self.points if not self._covers(point, other)] + [point]
        return True

    def _covers(self, a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        """Whether a is at least as good as b in everything."""
        return all(sign * x >= sign * y for sign, x, y in zip(self._signs, a, b, strict=True))

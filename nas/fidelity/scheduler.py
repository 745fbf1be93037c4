"""Schedulers: how far each trial is trained, and what it is compared with on the way.

All of it follows from the number of the trial and from trials that the proposal may see: who is faster does not matter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, isfinite
from typing import Protocol

from ...core import Budget, ConfigError, Registry
from ..objectives import Direction
from .rungs import Rungs
from .stop_rule import Scores, StopRule

FEWEST = 4  # trials that a rung has seen before it stops any: among fewer the best third is chance
WINDOW = 300  # trials that one is compared with at most: a rule travels, and may not grow with the search


@dataclass(frozen=True, slots=True)
class RungScores:
    """What a trial had reached at the end of each of its budgets, as far as it came."""

    number: int
    scores: tuple[Scores, ...]


class Scheduler(Protocol):
    """Says how far trials are trained."""

    def budgets(self, number: int) -> tuple[Budget, ...]:
        """The budgets of trial `number`, ascending; the last one is the whole."""
        ...

    def bracket(self, number: int) -> int:
        """Trials of the same bracket are compared with each other."""
        ...

    def rule(self, number: int, visible: Sequence[RungScores]) -> StopRule:
        """The rule for trial `number`.

        Args:
            number: of the trial.
            visible: trials that its proposal may see, in order of number.
        """
        ...


SchedulerMaker = Callable[[Rungs, tuple[Direction, ...]], Scheduler]
SCHEDULERS: Registry[SchedulerMaker] = Registry("scheduler")


@dataclass(frozen=True)
class FullBudget:
    """Every trial is trained to the end."""

    rungs: Rungs
    directions: tuple[Direction, ...]

    def budgets(self, number: int) -> tuple[Budget, ...]:
        """The whole, at once."""
        return self.rungs.budgets[-1:]

    def bracket(self, number: int) -> int:
        """One for all."""
        return 0

    def rule(self, number: int, visible: Sequence[RungScores]) -> StopRule:
        """One that keeps all."""
        return StopRule(eta=self.rungs.eta, directions=self.directions)


@dataclass(frozen=True)
class Asha:
    """Successive halving, one trial after the other: at each rung only the best 1/eta go on.

    A trial is compared with the `WINDOW` trials before it at most, which is where ours differs from the source besides
    what `StopRule` says.

    Source: Li et al. 2020, https://arxiv.org/abs/1810.05934.
    """

    rungs: Rungs
    directions: tuple[Direction, ...]

    @cached_property
    def _budgets(self) -> tuple[Budget, ...]:
        return self.rungs.budgets

    def budgets(self, number: int) -> tuple[Budget, ...]:
        """All rungs."""
        return self._budgets

    def bracket(self, number: int) -> int:
        """One for all."""
        return 0

    def rule(self, number: int, visible: Sequence[RungScores]) -> StopRule:
        """Compare with the trials before it."""
        return StopRule(
            eta=self.rungs.eta,
            directions=self.directions,
            rungs=_by_rung(visible[-WINDOW:], len(self.budgets(number)) - 1),
        )


@dataclass(frozen=True)
class Hyperband:
    """Successive halving with several lowest budgets side by side, for who does not know how early a trial shows what
    it is worth.

    Bracket s begins at rung s; the last one trains all its trials to the end. Of a round of trials a bracket gets as
    many as in the source, ceil(brackets / (k + 1) * eta^k), where k is the number of rungs it can stop at; they are
    dealt out evenly over the round. Trials are compared within their bracket.

    Source: Li et al. 2018, https://arxiv.org/abs/1603.06560. There a bracket waits until all its trials are at a rung;
    ours never waits, see `StopRule`.
    """

    rungs: Rungs
    directions: tuple[Direction, ...]

    @cached_property
    def _budgets(self) -> tuple[Budget, ...]:
        return self.rungs.budgets

    @cached_property
    def _round(self) -> tuple[int, ...]:
        """The brackets of one round of trials: always the one that lags most behind its share."""
        count = len(self._budgets)
        shares = [ceil(count * self.rungs.eta**k / (k + 1) - 1e-9) for k in reversed(range(count))]
        total = sum(shares)
        dealt = [0] * count
        order: list[int] = []
        for place in range(total):
            bracket = max(range(count), key=lambda s: (shares[s] * (place + 1) - dealt[s] * total, -s))
            dealt[bracket] += 1
            order.append(bracket)
        return tuple(order)

    def budgets(self, number: int) -> tuple[Budget, ...]:
        """The rungs from where the trial's bracket begins."""
        return self._budgets[self.bracket(number) :]

    def bracket(self, number: int) -> int:
        """By its place in the round."""
        return self._round[number % len(self._round)]

    def rule(self, number: int, visible: Sequence[RungScores]) -> StopRule:
        """Compare with the trials before it in its bracket."""
        bracket = self.bracket(number)
        same: list[RungScores] = []
        for trial in reversed(visible):
            if len(same) == WINDOW:
                break
            if self.bracket(trial.number) == bracket:
                same.append(trial)
        return StopRule(
            eta=self.rungs.eta,
            directions=self.directions,
            rungs=_by_rung(same[::-1], len(self.budgets(number)) - 1),
        )


SCHEDULERS.add("none", FullBudget)
SCHEDULERS.add("asha", Asha)
SCHEDULERS.add("hyperband", Hyperband)


@dataclass(slots=True)
class Scoreboard:
    """A scheduler together with the trials it was told of: as much of them as rules are made from.

    Told the same trials in the same order, it gives the same rules as the scheduler itself.
    """

    scheduler: Scheduler
    _recent: dict[int, deque[RungScores]] = field(default_factory=dict[int, deque[RungScores]])
    _next: int = 0

    def tell(self, number: int, scores: Sequence[Sequence[float]]) -> None:
        """The objectives of a trial at the end of each of its budgets that it reached, none if it failed.

        Raises:
            ConfigError: a trial with a lower number than one before.
        """
        if number < self._next:
            raise ConfigError(f"trial {number} cannot be told after trial {self._next - 1}: tell trials in order")
        self._next = number + 1
        recent = self._recent.setdefault(self.scheduler.bracket(number), deque(maxlen=WINDOW))
        recent.append(RungScores(number, tuple(tuple(float(value) for value in values) for values in scores)))

    def budgets(self, number: int) -> tuple[Budget, ...]:
        """See `Scheduler`."""
        return self.scheduler.budgets(number)

    def rule(self, number: int) -> StopRule:
        """The rule for a trial, from the trials told so far."""
        return self.scheduler.rule(number, tuple(self._recent.get(self.scheduler.bracket(number), ())))


def _by_rung(trials: Sequence[RungScores], count: int) -> tuple[tuple[Scores, ...], ...]:
    """What the trials had reached at each of the first `count` rungs, as far as it can be compared: nothing at a rung
    that has seen fewer than `FEWEST`.
    """
    rungs = [
        tuple(trial.scores[rung] for trial in trials if rung < len(trial.scores) and _finite(trial.scores[rung]))
        for rung in range(count)
    ]
    return tuple(scores if len(scores) >= FEWEST else () for scores in rungs)


def _finite(scores: Scores) -> bool:
    return all(map(isfinite, scores))

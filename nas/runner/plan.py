"""What a broker is to do, and what it tells whoever watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...core import ConfigError, Evaluation, NasturtiumError
from ..space import Flat
from .budgets import INEXACT, EndRule, Reason, SearchBudget
from .jobs import Limits, Outcome, Progress


@dataclass(frozen=True, slots=True)
class Begun:
    """A trial begins, or begins again."""

    number: int
    attempt: int
    flat: Flat


@dataclass(frozen=True, slots=True)
class Ending:
    """A search has ended.

    Attributes:
        reason: why.
        trials: that were finished.
    """

    reason: Reason
    trials: int

    @property
    def exact(self) -> bool:
        """Whether the same seed would end it here again."""
        return self.reason not in INEXACT


RunnerEvent = Begun | Progress | Outcome | Ending
Judge = Callable[[Evaluation], tuple[tuple[float, ...], float]]  # its objectives, and by how much it breaks constraints


class TrialsFailedError(NasturtiumError, RuntimeError):
    """Trial after trial fails: it is not their fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a broker is to do.

    Attributes:
        seed: of the search; gives each trial its own.
        objectives: which figures of an evaluation are compared, in the order of `judge`.
        judge: reads the objectives of an evaluation.
        budget: what the search may use.
        window: trials in work at a time, as far as proposals are concerned: W. Two searches with one window have the
            same trials, however many slots their engines have.
        end_rules: end it by what it has found.
        limits: of each trial.
        reserve: CPU seconds that the budget has to hold beside those of finished trials, asked after every trial.
        finish_on_request: train what is in work to its end when the search is asked to stop; otherwise give it up.
    """

    seed: int
    objectives: tuple[str, ...]
    judge: Judge
    budget: SearchBudget
    window: int
    end_rules: Sequence[EndRule] = ()
    limits: Limits = field(default_factory=Limits)
    reserve: Callable[[], float] = lambda: 0.0
    finish_on_request: bool = True

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ConfigError(f"expected a window of at least 1 trial, got {self.window}")

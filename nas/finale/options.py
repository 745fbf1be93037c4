"""What the end of a search is asked for, and the rows it works on."""

from __future__ import annotations

from dataclasses import dataclass

from ...core import ConfigError
from ...core.data import Dataset
from ..objectives import Constraint, Goal, parse_goal
from ..training import Folds
from .references import REFERENCES


@dataclass(frozen=True, slots=True, kw_only=True)
class FinaleOptions:
    """How the best is found among the best.

    Attributes:
        epochs: the length of the schedule, >= 1; that of the search.
        goals: of the search; the first is what candidates are compared by.
        constraints: of the search; an ensemble is only taken where it keeps to them.
        top: how many of the search's best candidates are trained again, beside its smallest network, >= 1.
        seeds: with how many seeds each, >= 1.
        ensemble: whether the model may be an average of networks, where that does better on validation rows.
        members: networks in it at most, >= 1.
        references: names of `REFERENCES` to compare with; None takes all that fit the task.
        folds, patience: as the search's evaluator, see `EvaluatorOptions`.
        seed: of the search, in [0, 2**63).
        device: where to train, such as "cpu".
        workers: trainings at a time, >= 1: one is done in this process, more in processes of their own. It decides
            nothing but the time.
    """

    epochs: int
    goals: tuple[Goal, ...] = (parse_goal("val_accuracy"),)
    constraints: tuple[Constraint, ...] = ()
    top: int = 3
    seeds: int = 2
    ensemble: bool = True
    members: int = 8
    references: tuple[str, ...] | None = None
    folds: Folds = None
    patience: int | None = 8
    seed: int = 0
    device: str = "cpu"
    workers: int = 1

    def __post_init__(self) -> None:
        if min(self.epochs, self.top, self.seeds, self.members) < 1:
            raise ConfigError(
                f"expected epochs, top, seeds and members >= 1, "
                f"got {self.epochs}, {self.top}, {self.seeds} and {self.members}"
            )
        if self.workers < 1:
            raise ConfigError(f"expected workers >= 1, got {self.workers}")
        if not self.goals:
            raise ConfigError("expected at least one goal, got none")
        for name in self.references or ():
            REFERENCES.find(name)


@dataclass(frozen=True, slots=True, eq=False)
class FinaleData:
    """All rows of a search. Those of `test` are looked at in one place: see `touch_test`."""

    name: str
    fingerprint: str
    train: Dataset
    validation: Dataset
    test: Dataset

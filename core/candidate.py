"""What a search asks and what it is told: a `Candidate` at a `Budget`, and its `Evaluation`.

The values live here because two packages speak them that do not know each other: `nas` proposes candidates, and
whatever trains them (this machine, a pool, federated sites) answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import ConfigError
from .spec import ModelSpec
from .train import Curves

Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One network to be trained.

    Attributes:
        id: unique; the history keeps what becomes of the candidate under it.
        spec: the network.
        hyperparameters: how the search wants it trained, such as learning_rate.
        seed: decides initial weights and shuffling; the same candidate gives the same evaluation.
        flat: the point of the search space it stands at, for evaluators that look it up or share weights.
    """

    id: str
    spec: ModelSpec
    hyperparameters: Mapping[str, Scalar]
    seed: int
    flat: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How far to train: the first `epochs` of a schedule that is `total` epochs long.

    Raising `epochs` in steps and comparing in between is how a search stops early what does not learn.

    Attributes:
        epochs: to train, 1 <= epochs <= total.
        total: the length of the schedule.
        rows: the part of the training rows that is learned from, in (0, 1].
        resolution: the side of images as a part of their own, in (0, 1].
    """

    epochs: int
    total: int
    rows: float = 1.0
    resolution: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.epochs <= self.total:
            raise ConfigError(f"expected 1 <= epochs <= total, got {self.epochs} and {self.total}")
        if not (0 < self.rows <= 1 and 0 < self.resolution <= 1):
            raise ConfigError(f"expected rows and resolution in (0, 1], got {self.rows} and {self.resolution}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How a candidate did at a budget.

    Attributes:
        objectives: by name, as in val_accuracy or parameters; empty if the training diverged.
        curves: metric -> epoch -> value, from the first epoch on.
        epochs: epochs trained, fewer than the budget's if patience ran out.
        diverged: the loss was not finite.
    """

    objectives: Mapping[str, float]
    curves: Curves = field(default_factory=dict[str, dict[int, float]])
    epochs: int
    diverged: bool = False

"""`Evaluator`: whatever trains candidates. Here the protocol and the one that trains in this process."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from ..core import CPU, Budget, Candidate, Device, Evaluation, Trainer, TrainingConfig, build, derive_rng
from ..core.data import Dataset, Preprocessing

KEPT_RUNS = 4  # candidates kept in memory, so that a higher budget goes on from a lower one


class Evaluator(Protocol):
    """Trains a candidate at a budget.

    Asked again for the same candidate at a higher budget, it goes on where it was; the result is the same as from
    scratch. Divergence is a result, not an error.
    """

    def evaluate(self, candidate: Candidate, budget: Budget) -> Evaluation:
        """Train `candidate` to the end of `budget` and measure it on validation data."""
        ...


class LocalEvaluator:
    """Trains in this process.

    Args:
        train: raw rows to learn from; the preprocessing is fitted on them alone.
        validation: raw rows to measure on and to stop early by.
        device: where to train.
    """

    def __init__(self, train: Dataset, validation: Dataset, *, device: Device = CPU) -> None:
        preprocessing = Preprocessing.fit(train.inputs, train.task)
        self._train = preprocessing.apply(train.inputs), train.labels
        self._validation = preprocessing.apply(validation.inputs), validation.labels
        self._device = device
        self._runs: OrderedDict[str, Trainer] = OrderedDict()

    def evaluate(self, candidate: Candidate, budget: Budget) -> Evaluation:
        """Train `candidate` to the end of `budget`, or until it stops improving, and measure its best epoch."""
        trainer = self._runs.pop(candidate.id, None) or self._start(candidate, budget)
        trainer.fit(*self._train, self._validation, until=budget.epochs)
        self._runs[candidate.id] = trainer
        if len(self._runs) > KEPT_RUNS:
            self._runs.popitem(last=False)
        curves = {name: dict(points) for name, points in trainer.curves.items()}
        if trainer.diverged:
            return Evaluation(objectives={}, curves=curves, epochs=trainer.epoch, diverged=True)
        plan = candidate.spec.plan()
        objectives = {
            "val_accuracy": curves["val_accuracy"][trainer.best_epoch],
            "val_loss": curves["val_loss"][trainer.best_epoch],
            "parameters": float(plan.parameters),
            "macs": float(plan.macs),
        }
        return Evaluation(objectives=objectives, curves=curves, epochs=trainer.epoch)

    def _start(self, candidate: Candidate, budget: Budget) -> Trainer:
        model = build(candidate.spec, derive_rng(candidate.seed, "weights"))
        return Trainer(
            model, training_config(candidate, budget), derive_rng(candidate.seed, "shuffle"), device=self._device
        )


def training_config(candidate: Candidate, budget: Budget, *, patience: int | None = 8) -> TrainingConfig:
    """The training a candidate asks for."""
    return TrainingConfig(
        learning_rate=candidate.hyperparameters["learning_rate"],
        weight_decay=candidate.hyperparameters["weight_decay"],
        epochs=budget.total,
        patience=patience,
    )

"""`FoldedRun`: one candidate trained on all folds in step, stopped by what it says of the rows held out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...core import Candidate, Device, ModelSpec, derive_seed
from ...core.train import Curves
from .figures import all_figures, pooled, predictions, quick_figures
from .folds import Fold
from .network import NetworkTraining
from .recipe import Recipe


@dataclass(slots=True)
class _Best:
    epoch: int = 0
    loss: float = float("inf")
    predicted: list[np.ndarray] = field(default_factory=list[np.ndarray])  # one per fold


class FoldedRun:
    """One candidate on all folds, trained in step.

    Args:
        candidate: gives the seed.
        spec: the network, of the folds' input shape.
        recipe: how to train it.
        folds: at least one.
        epochs: the length of the schedule.
        patience: see `EvaluatorOptions`.
        device: where to train.

    Attributes:
        epoch: epochs done.
        diverged: a loss or an output was not finite; training ended there.
        curves: train_loss and val_ with each of the quick figures.
        seconds: CPU time that training and measuring took.
    """

    def __init__(
        self,
        candidate: Candidate,
        spec: ModelSpec,
        recipe: Recipe,
        folds: Sequence[Fold],
        *,
        epochs: int,
        patience: int | None,
        device: Device,
    ) -> None:
        self.spec = spec
        self.device = device
        self.epoch = 0
        self.diverged = False
        self.curves: Curves = {}
        self.seconds = 0.0
        self._folds = folds
        self._patience = patience
        self._best = _Best()
        seed = candidate.seed
        self._trainings = [
            NetworkTraining(
                spec,
                recipe,
                fold.inputs,
                fold.targets,
                fold.task,
                epochs=epochs,
                seed=seed if i == 0 else derive_seed(seed, "fold", i),
                device=device,
            )
            for i, fold in enumerate(folds)
        ]
        self._labels = pooled([fold.held_labels for fold in folds])
        self._scale = np.asarray(np.mean([fold.preprocessing.target_scale for fold in folds], axis=0))

    @property
    def best_epoch(self) -> int:
        """The epoch of the lowest validation loss so far, 0 where there is none."""
        return self._best.epoch

    @property
    def labels(self) -> np.ndarray:
        """Of the rows that are predicted, fold by fold."""
        return self._labels

    @property
    def predicted(self) -> np.ndarray:
        """What the best epoch says of rows that were not trained on; see `predictions`."""
        return pooled(self._best.predicted)

    @property
    def stopped(self) -> bool:
        """Whether patience ran out, or the training diverged."""
        waited = self.epoch - self._best.epoch
        return self.diverged or (self._patience is not None and waited >= self._patience)

    def advance(self, until: int) -> None:
        """Train to the end of an epoch, counted from 1, or to where patience ends it."""
        started = time.process_time()
        while self.epoch < until and not self.stopped:
            self._run_epoch()
        self.seconds += time.process_time() - started

    def figures(self) -> dict[str, float]:
        """Of the best epoch; see `all_figures`."""
        return all_figures(self.predicted, self._labels, self._folds[0].task, self._scale)

    def _run_epoch(self) -> None:
        epoch = self.epoch = self.epoch + 1
        predicted: list[np.ndarray] = []
        for fold, training in zip(self._folds, self._trainings, strict=True):
            training.advance(epoch)
            outputs = None if training.diverged else training.outputs(fold.held_inputs)
            if outputs is None or not np.isfinite(outputs).all():
                self.diverged = True
                return
            predicted.append(predictions(outputs, fold.preprocessing))
        figures = quick_figures(pooled(predicted), self._labels, self._folds[0].task, self._scale)
        rows = [len(fold.inputs) for fold in self._folds]
        losses = [training.loss(epoch) for training in self._trainings]
        self._log("train_loss", float(np.average(losses, weights=rows)))
        for name, value in figures.items():
            self._log(f"val_{name}", value)
        if figures["loss"] < self._best.loss:
            self._best = _Best(epoch, figures["loss"], predicted)

    def _log(self, name: str, value: float) -> None:
        self.curves.setdefault(name, {})[self.epoch] = value

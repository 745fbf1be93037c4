"""Training one network on some rows: what an evaluation does for each fold, and the end of a search for all rows."""

from __future__ import annotations

import numpy as np

from ...core import CPU, Device, ModelSpec, Trainer, build, derive_rng, predict_logits
from ...core.data import Loader, Task
from ...core.nn import Module
from .recipe import Recipe


class NetworkTraining:
    """A training that can be continued epoch by epoch; the same bits however it is divided.

    Args:
        spec: the network; see `Recipe.network`.
        recipe: how to train it.
        inputs: preprocessed rows, float32, shape (N, *spec.input_shape).
        targets: as `Preprocessing.apply_targets` gives them.
        task: what is to be learned.
        epochs: the length of the schedule.
        seed: decides initial weights, shuffling and augmentation.
        device: where to train.

    Raises:
        ConfigError: the recipe does not fit the task.
    """

    def __init__(
        self,
        spec: ModelSpec,
        recipe: Recipe,
        inputs: np.ndarray,
        targets: np.ndarray,
        task: Task,
        *,
        epochs: int,
        seed: int,
        device: Device = CPU,
    ) -> None:
        augment = recipe.make_augmentation(task)
        size = _batch_size(recipe.batch_size, len(inputs))
        self._rows = inputs, targets
        self._device = device
        # Without prefetching: a thread beside the training costs more than it hides on batches of small rows.
        self._loader = Loader(inputs, targets, batch_size=size, augment=augment, prefetch=0) if augment else None
        steps = epochs * -(-len(inputs) // size)
        self.trainer = Trainer(
            build(spec, derive_rng(seed, "weights")),
            recipe.config(epochs, batch_size=size),
            derive_rng(seed, "shuffle"),
            device=device,
            criterion=recipe.make_criterion(task),
            optimizer=recipe.make_optimizer(),
            schedule=recipe.make_schedule(steps),
            average=recipe.make_average(),
            keep_best=False,
        )

    @property
    def model(self) -> Module:
        """The network as it is trained; `averaged` of the trainer brings forth its average."""
        return self.trainer.model

    @property
    def diverged(self) -> bool:
        """Whether the loss was not finite."""
        return self.trainer.diverged

    def advance(self, epoch: int) -> None:
        """Train to the end of an epoch, counted from 1; nothing happens where that is done."""
        if self._loader is None:
            self.trainer.fit(*self._rows, until=epoch)
        else:
            self.trainer.fit_batches(self._loader, until=epoch)

    def outputs(self, inputs: np.ndarray) -> np.ndarray:
        """What the network, averaged where that is wanted, gives for preprocessed rows, shape (N, task.outputs)."""
        with self.trainer.averaged():
            return predict_logits(self.model, inputs, device=self._device)

    def loss(self, epoch: int) -> float:
        """The mean training loss of an epoch."""
        return self.trainer.curves["train_loss"][epoch]


def _batch_size(wanted: int, rows: int) -> int:
    """At most one more row than is wanted, or a few, so that no batch has a single one, which has no spread to
    normalise by.
    """
    size = min(wanted, rows)
    while size > 1 and rows % size == 1:
        size += 1
    return size

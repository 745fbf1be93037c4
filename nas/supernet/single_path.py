"""`SinglePathTrainer`: trains a supernet one random network at a time, with the largest and smallest at every step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import numpy as np

from ...core import ConfigError, Curves, FormatError, Tensor, derive_rng, grad
from ...core.data import Task
from ...core.optim import AdamW, clip_by_norm, cosine_schedule
from ...core.train import (
    Criterion,
    CrossEntropy,
    MeanSquaredError,
    Snapshot,
    SnapshotReader,
    description,
    predict_logits,
)
from ..space import Flat
from .recalibration import recalibrate
from .store import Supernet

Rows = tuple[np.ndarray, np.ndarray]  # inputs and targets, prepared as for training
MAX_TRIES = 100  # random points until one is known to the supernet
CALIBRATION_ROWS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class SinglePathConfig:
    """How to train a supernet.

    Attributes:
        epochs: over the training rows, >= 1.
        batch_size: rows a step, >= 1.
        paths: random networks a step, >= 1; their gradients are added.
        sandwich: the largest and the smallest network take part in every step. That is for spaces of sizes; where
            networks differ in their operations, three random ones rank better (Spearman with accuracies of networks
            trained on their own, 20 cells on digits: 0.51 against 0.44, in half the time).
        learning_rate: the highest of a cosine schedule with warm-up, > 0.
        weight_decay: decoupled, >= 0.
        clip_norm: scale the sum of the gradients down to this L2 norm, > 0; None does not.
    """

    epochs: int = 30
    batch_size: int = 64
    paths: int = 2
    sandwich: bool = True
    learning_rate: float = 4e-3
    weight_decay: float = 1e-3
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.paths) < 1:
            raise ConfigError(
                f"expected epochs, batch_size and paths >= 1, got {self.epochs}, {self.batch_size} and {self.paths}"
            )
        if not (0 < self.learning_rate < inf and 0 <= self.weight_decay < inf):
            raise ConfigError(
                f"expected learning_rate > 0 and weight_decay >= 0, got {self.learning_rate} and {self.weight_decay}"
            )
        if self.clip_norm is not None and not 0 < self.clip_norm < inf:
            raise ConfigError(f"expected clip_norm > 0 and finite, got {self.clip_norm}")


def usual_criterion(task: Task | None) -> Criterion:
    """The loss that belongs to a task."""
    return MeanSquaredError() if task is not None and task.kind == "regression" else CrossEntropy()


class SinglePathTrainer:
    """Trains all networks of a supernet: each step adds the gradients of a few uniformly random ones (single path, Guo
    et al. 2020, https://arxiv.org/abs/1904.00420) and of the largest and smallest (sandwich rule, Yu & Huang 2019,
    https://arxiv.org/abs/1903.05134).

    `fit(until=3)` then `fit(until=9)` gives the bits of `fit(until=9)`, and so does a run that was saved after an epoch
    and loaded into a new process: see `save_checkpoint`.

    Args:
        supernet: trained in place.
        config: see `SinglePathConfig`.
        seed: decides the order of the rows, the paths and dropout.
        criterion: the loss; by default that of the space's task.

    Attributes:
        epoch: epochs done.
        curves: train_loss, the mean over rows and paths; with the sandwich rule also largest_loss and smallest_loss;
            with validation rows largest_val_ and smallest_val_ and each name the criterion measures.
        diverged: the loss was not finite; training stops there.
    """

    def __init__(
        self, supernet: Supernet, config: SinglePathConfig, *, seed: int, criterion: Criterion | None = None
    ) -> None:
        self.supernet = supernet
        self.config = config
        self.epoch = 0
        self.curves: Curves = {}
        self.diverged = False
        self._seed = seed
        self._criterion = criterion or usual_criterion(supernet.space.task)
        self._optimizer = AdamW(learning_rate=config.learning_rate, weight_decay=config.weight_decay)
        self._state = self._optimizer.init(list(supernet.weights.values()))
        positions = zip(supernet.weights.values(), self._state.buffer.segments, strict=True)
        self._segments = {id(weight): segment for weight, segment in positions}

    @property
    def finished(self) -> bool:
        """True when the schedule is done or the loss diverged."""
        return self.diverged or self.epoch >= self.config.epochs

    def fit(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        validation: Rows | None = None,
        *,
        until: int | None = None,
        after_epoch: Callable[[SinglePathTrainer], None] = lambda trainer: None,
    ) -> Curves:
        """Train to the end of epoch `until` (all of the schedule by default), or until `finished`.

        Args:
            inputs: prepared as for training, shape (N, *input_shape), float32.
            targets: N rows, as the criterion takes them.
            validation: rows on which the largest and smallest network are measured after each epoch.
            until: an epoch, counted from 1.
            after_epoch: called with this trainer, as to save it.

        Returns:
            All curves since the start.

        Raises:
            ConfigError: inputs and targets differ in length, or there are none.
        """
        if not len(inputs) or len(inputs) != len(targets):
            raise ConfigError(f"expected as many targets as inputs, at least one, got {len(inputs)} and {len(targets)}")
        while not self.finished and (until is None or self.epoch < until):
            with np.errstate(over="ignore", invalid="ignore"):  # seen in the loss, and reported there
                losses = self._run_epoch(inputs, targets)
            self.epoch += 1
            for name, value in losses.items():
                self._log(name, value)
            self.diverged = not all(map(isfinite, losses.values()))
            if validation is not None and not self.diverged:
                for name, flat in (("largest", self.supernet.largest), ("smallest", self.supernet.smallest)):
                    for metric, value in self.measure(flat, inputs, validation).items():
                        self._log(f"{name}_val_{metric}", value)
            after_epoch(self)
        return self.curves

    def measure(self, flat: Flat, inputs: np.ndarray, validation: Rows) -> dict[str, float]:
        """What the criterion measures of one network with the shared weights.

        Args:
            flat: its point.
            inputs: training rows, of which some recalibrate its batch norms.
            validation: rows to measure on.
        """
        network = self.supernet.inherit(flat, derive_rng(self._seed, "measure"))
        recalibrate(network, inputs[:CALIBRATION_ROWS])
        return dict(self._criterion.measure(predict_logits(network, validation[0]), validation[1]))

    def snapshot(self) -> Snapshot:
        """Everything that the rest of the run depends on, copied; for `save_checkpoint`."""
        arrays = {name: np.array(array) for name, array in self._state.arrays().items()}
        arrays |= {f"curve.{name}": np.array(list(curve.items()), np.float64) for name, curve in self.curves.items()}
        document = {
            "run": self._identity(),
            "epoch": self.epoch,
            "step": self._state.step,
            "diverged": self.diverged,
            "curves": list(self.curves),
        }
        return Snapshot(document, arrays)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of a trainer that was made as this one was: same space, seed and configuration.

        Raises:
            FormatError: it is of another run, or incomplete; nothing was changed then.
        """
        found = SnapshotReader(snapshot)
        found.expect_run(self._identity())
        epoch, step, diverged = found.count("epoch"), found.count("step"), found.value("diverged", bool)
        curves = {str(name): found.curve(name) for name in found.value("curves", list)}
        if epoch > self.config.epochs:
            raise FormatError(f"expected at most {self.config.epochs} epochs, got {epoch}")
        arrays = {name: found.like(name, array) for name, array in self._state.arrays().items()}
        self._state = self._state.restored(step, arrays)
        self.epoch, self.curves, self.diverged = epoch, curves, diverged

    def _identity(self) -> dict[str, Any]:
        shapes = {key: list(weight.shape) for key, weight in self.supernet.weights.items()}
        return {
            "space": self.supernet.space.sha256,
            "weights": shapes,
            "seed": self._seed,
            "criterion": description(self._criterion),
            "config": description(self.config),
        }

    def _run_epoch(self, inputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        config = self.config
        order = derive_rng(self._seed, "order", self.epoch).permutation(len(inputs))
        schedule = cosine_schedule(config.epochs * -(-len(inputs) // config.batch_size))
        sums: dict[str, float] = {}
        paths = 0
        for start in range(0, len(inputs), config.batch_size):
            rows = order[start : start + config.batch_size]
            gradient = self._state.buffer.gradient
            gradient[...] = 0
            flats = self._paths()
            for number, (name, flat) in enumerate(flats):
                loss = self._add_gradient(flat, number, inputs[rows], targets[rows]) * len(rows)
                sums["train_loss"] = sums.get("train_loss", 0.0) + loss
                if name is not None:
                    sums[name] = sums.get(name, 0.0) + loss
            paths = len(flats)
            if config.clip_norm is not None:
                clip_by_norm(gradient, config.clip_norm)
            rate = config.learning_rate * schedule(self._state.step)
            self._state = self._optimizer.step(self._state, gradient, learning_rate=rate)
        return {name: total / len(inputs) / (paths if name == "train_loss" else 1) for name, total in sums.items()}

    def _paths(self) -> list[tuple[str | None, Flat]]:
        """The networks of a step, with the curves that the extremes have."""
        rng = derive_rng(self._seed, "paths", self._state.step)
        found: list[tuple[str | None, Flat]] = []
        if self.config.sandwich:
            found += [("largest_loss", self.supernet.largest), ("smallest_loss", self.supernet.smallest)]
        for _ in range(self.config.paths):
            found.append((None, self._draw(rng)))
        return found

    def _draw(self, rng: np.random.Generator) -> Flat:
        for _ in range(MAX_TRIES):
            flat = self.supernet.space.sample(rng)
            if self.supernet.covers(flat):
                return flat
        raise ConfigError(
            f"the supernet knows none of {MAX_TRIES} random points", hint="make the supernet with more points"
        )

    def _add_gradient(self, flat: Flat, number: int, inputs: np.ndarray, targets: np.ndarray) -> float:
        """Add the gradient of one network's loss to the buffer's; returns the loss."""
        network, used = self.supernet.path(flat, derive_rng(self._seed, "dropout", self._state.step, number))
        network.train()
        loss = self._criterion.loss(network(Tensor(inputs)), targets)
        buffer = self._state.buffer
        if loss.requires_grad:  # a network of zeros has nothing to learn
            for weight, gradient in zip(used, grad(loss, used), strict=True):
                buffer.part(buffer.gradient, self._segments[id(weight)])[...] += gradient.data
        return float(loss)

    def _log(self, name: str, value: float) -> None:
        self.curves.setdefault(name, {})[self.epoch] = value

"""Training a classifier on arrays: epochs of shuffled batches, a warm-up and cosine schedule, early stopping."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from math import cos, pi
from typing import Literal, get_args

import numpy as np

from . import ops
from .autograd import grad
from .device import CPU, Array, Device
from .errors import ConfigError
from .nn.module import Module
from .optim import AdamW, Optimizer
from .tape import no_grad
from .tensor import Tensor

WARMUP = 0.05  # part of the schedule spent raising the learning rate from zero
EVALUATION_BATCH = 512  # rows at once when nothing is recorded


Schedule = Literal["cosine", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How to train.

    Attributes:
        learning_rate: the highest of the schedule, > 0.
        schedule: "cosine" warms up and then falls to zero over `epochs`; "constant" stays.
        weight_decay: decoupled, >= 0.
        batch_size: rows a step, >= 1.
        epochs: the length of the schedule; training may stop before.
        patience: stop after this many epochs without a lower validation loss; None never stops early.
        label_smoothing: in [0, 1); see `ops.cross_entropy`.
    """

    learning_rate: float = 2e-3
    schedule: Schedule = "cosine"
    weight_decay: float = 1e-3
    batch_size: int = 64
    epochs: int = 30
    patience: int | None = 8
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.learning_rate) and self.learning_rate > 0 and self.weight_decay >= 0):
            raise ConfigError(
                f"expected learning_rate > 0 and weight_decay >= 0, got {self.learning_rate} and {self.weight_decay}"
            )
        if self.batch_size < 1 or self.epochs < 1 or (self.patience is not None and self.patience < 1):
            raise ConfigError(
                f"expected batch_size, epochs and patience >= 1, "
                f"got {self.batch_size}, {self.epochs} and {self.patience}"
            )
        if self.schedule not in get_args(Schedule):
            raise ConfigError(f"expected a schedule of {', '.join(get_args(Schedule))}, got {self.schedule!r}")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"expected 0 <= label_smoothing < 1, got {self.label_smoothing}")


@dataclass(frozen=True, slots=True)
class Metrics:
    """How a model did on some rows, as counts that can be added."""

    loss_sum: float  # nats
    correct: int
    rows: int

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return self.loss_sum / self.rows

    @property
    def accuracy(self) -> float:
        """Part of the rows classified correctly."""
        return self.correct / self.rows


Curves = dict[str, dict[int, float]]  # metric name -> epoch -> value


class Trainer:
    """One training run that can be continued: `fit(until=3)` then `fit(until=9)` gives the bits of `fit(until=9)`.

    Args:
        model: trained in place, by AdamW.
        config: see `TrainingConfig`.
        rng: shuffles the rows.
        device: where to train; the model is moved there.

    Attributes:
        epoch: epochs done.
        best_epoch: the epoch with the lowest validation loss; 0 where there was no validation.
        curves: train_loss, and with validation rows val_loss and val_accuracy.
        diverged: True once the loss was not finite; training stops there.
    """

    def __init__(
        self, model: Module, config: TrainingConfig, rng: np.random.Generator, *, device: Device = CPU
    ) -> None:
        self.model = model.to(device)
        self.config = config
        self.rng = rng
        self.device = device
        self.epoch = 0
        self.best_epoch = 0
        self.curves: Curves = {}
        self.diverged = False
        self._best: tuple[float, dict[str, Array]] | None = None
        self._parameters = model.parameters()
        self._optimizer: Optimizer = AdamW(learning_rate=config.learning_rate, weight_decay=config.weight_decay)
        self._state = self._optimizer.init(self._parameters)

    @property
    def finished(self) -> bool:
        """True when the schedule is done, patience has run out, or the loss diverged."""
        waited = self.epoch - self.best_epoch if self._best is not None else 0
        patience = self.config.patience
        return self.diverged or self.epoch >= self.config.epochs or (patience is not None and waited >= patience)

    def fit(
        self,
        inputs: np.ndarray,
        labels: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        *,
        until: int | None = None,
    ) -> Curves:
        """Train to the end of epoch `until` (all of the schedule by default), or until `finished`.

        Args:
            inputs: float32, shape (N, ...); labels: class indices, shape (N,).
            validation: inputs and labels for early stopping; the weights of the best epoch are kept for
                `restore_best`.

        Returns:
            All curves since the start.
        """
        inputs, labels = self.device.put(inputs), self.device.put(labels)
        while not self.finished and (until is None or self.epoch < until):
            loss = self._run_epoch(inputs, labels)
            self._log("train_loss", loss)
            if not np.isfinite(loss):
                self.diverged = True
            elif validation is not None:
                self._validate(*validation)
        return self.curves

    def restore_best(self) -> None:
        """Put back the weights of the epoch with the lowest validation loss, if there was validation."""
        if self._best is not None:
            self.model.load_state(self._best[1])

    def _run_epoch(self, inputs: Array, labels: Array) -> float:
        self.epoch += 1
        self.model.train()
        rows = len(labels)
        order = self.rng.permutation(rows)
        total_steps = self.config.epochs * -(-rows // self.config.batch_size)
        loss_sum = 0.0
        # Overflow on the way to divergence is seen in the loss, and reported there.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for start in range(0, rows, self.config.batch_size):
                batch = self.device.put(order[start : start + self.config.batch_size])
                logits = self.model(Tensor(inputs[batch]))
                loss = ops.cross_entropy(logits, labels[batch], label_smoothing=self.config.label_smoothing)
                rate = self._learning_rate(total_steps)
                self._state = self._optimizer.step(self._state, grad(loss, self._parameters), learning_rate=rate)
                loss_sum += float(loss) * len(batch)
        return loss_sum / rows

    def _learning_rate(self, total_steps: int) -> float:
        if self.config.schedule == "constant":
            return self.config.learning_rate
        return self.config.learning_rate * cosine_schedule(self._state.step, total_steps)

    def _validate(self, inputs: np.ndarray, labels: np.ndarray) -> None:
        metrics = evaluate(self.model, inputs, labels, device=self.device)
        self._log("val_loss", metrics.loss)
        self._log("val_accuracy", metrics.accuracy)
        if not np.isfinite(metrics.loss):
            self.diverged = True
        elif self._best is None or metrics.loss < self._best[0]:
            self._best = (metrics.loss, self.model.state())
            self.best_epoch = self.epoch

    def _log(self, name: str, value: float) -> None:
        self.curves.setdefault(name, {})[self.epoch] = value


def cosine_schedule(step: int, total: int) -> float:
    """Factor on the learning rate: a linear warm-up, then half a cosine down to zero.

    Source: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983, without restarts.
    """
    warmup = max(1, int(WARMUP * total))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + cos(pi * (step - warmup) / max(1, total - warmup)))


def predict_logits(model: Module, inputs: np.ndarray, *, device: Device = CPU) -> np.ndarray:
    """Outputs in evaluation mode, shape (N, classes), in batches and without recording."""
    model.eval()
    with no_grad(), np.errstate(over="ignore", invalid="ignore"):
        return np.concatenate([CPU.put(model(batch).data) for batch in _batches(inputs, device)])


def evaluate(model: Module, inputs: np.ndarray, labels: np.ndarray, *, device: Device = CPU) -> Metrics:
    """Cross-entropy and accuracy in evaluation mode."""
    logits = predict_logits(model, inputs, device=device)
    with np.errstate(over="ignore", invalid="ignore"):
        loss = float(ops.cross_entropy(Tensor(logits), labels))
    return Metrics(loss * len(labels), int((logits.argmax(-1) == labels).sum()), len(labels))


def _batches(inputs: np.ndarray, device: Device) -> Generator[Tensor]:
    for start in range(0, max(len(inputs), 1), EVALUATION_BATCH):  # no rows are one batch of none
        yield Tensor(inputs[start : start + EVALUATION_BATCH], device=device)

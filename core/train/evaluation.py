"""Outputs and figures of a model in evaluation mode, without recording."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from .. import ops
from ..device import CPU, Device
from ..nn.module import Module
from ..tape import no_grad
from ..tensor import Tensor

EVALUATION_BATCH = 512  # rows at once when nothing is recorded


@dataclass(frozen=True, slots=True)
class Metrics:
    """How a classifier did on some rows, as counts that can be added."""

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

    def __add__(self, other: Metrics) -> Metrics:
        return Metrics(self.loss_sum + other.loss_sum, self.correct + other.correct, self.rows + other.rows)


def predict_logits(model: Module, inputs: np.ndarray, *, device: Device = CPU) -> np.ndarray:
    """Outputs in evaluation mode, shape (N, classes) for a classifier, in batches and without recording."""
    model.eval()
    with no_grad(), np.errstate(over="ignore", invalid="ignore"):
        return np.concatenate([CPU.put(model(batch).data) for batch in _batches(inputs, device)])


def evaluate(model: Module, inputs: np.ndarray, labels: np.ndarray, *, device: Device = CPU) -> Metrics:
    """Cross-entropy and accuracy in evaluation mode."""
    return count_correct(predict_logits(model, inputs, device=device), labels)


def count_correct(logits: np.ndarray, labels: np.ndarray) -> Metrics:
    """Cross-entropy and accuracy of logits, shape (N, classes), for labels, shape (N,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        loss = float(ops.cross_entropy(Tensor(logits), labels))
    return Metrics(loss * len(labels), int((logits.argmax(-1) == labels).sum()), len(labels))


def _batches(inputs: np.ndarray, device: Device) -> Generator[Tensor]:
    for start in range(0, max(len(inputs), 1), EVALUATION_BATCH):  # no rows are one batch of none
        yield Tensor(inputs[start : start + EVALUATION_BATCH], device=device)

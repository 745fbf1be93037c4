"""What is said of outputs on rows that were not trained on, in the units of the task."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from ...core import DataError, metrics
from ...core.data import Preprocessing, Task
from ...core.train import CrossEntropy


def predictions(outputs: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """What a network's outputs say: log-probabilities, float64, shape (N, classes), or measurements in their own
    units, shape (N, targets).
    """
    if preprocessing.task.kind == "regression":
        return outputs.astype(np.float64) * preprocessing.target_scale + preprocessing.target_offset
    wide = outputs.astype(np.float64)
    top = wide.max(-1, keepdims=True)
    return wide - top - np.log(np.exp(wide - top).sum(-1, keepdims=True))


def quick_figures(predicted: np.ndarray, labels: np.ndarray, task: Task, scale: np.ndarray) -> dict[str, float]:
    """The figures of every epoch: loss and accuracy, or loss, rmse, mae and r2.

    Args:
        predicted: see `predictions`.
        labels: as the data set has them.
        task: of the rows.
        scale: standard deviations of the targets: the loss of a regression is that of standardised targets.
    """
    if task.kind == "regression":
        sums = metrics.ErrorSums.of(predicted, labels.astype(np.float64), center=labels.mean(0, dtype=np.float64))
        figures = {
            "loss": float((((predicted - labels) / scale) ** 2).mean()),
            "rmse": sums.root_mean_squared_error,
            "mae": sums.mean_absolute_error,
        }
        with suppress(DataError):  # equal targets have no R2
            figures["r2"] = sums.r2
        return figures
    return dict(CrossEntropy().measure(predicted, labels))


def all_figures(predicted: np.ndarray, labels: np.ndarray, task: Task, scale: np.ndarray) -> dict[str, float]:
    """`quick_figures`, and for classes macro F1 and, where every class has rows, the area under the ROC curve."""
    figures = quick_figures(predicted, labels, task, scale)
    if task.kind == "classification":
        figures["f1"] = metrics.f1_score(predicted.argmax(-1), labels, classes=len(task.classes))
        with suppress(DataError):
            figures["auroc"] = metrics.auroc(np.exp(predicted), labels)
    return figures


def pooled(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The predictions or labels of all folds, one after the other."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)

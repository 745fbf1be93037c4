"""Classification: the confusion matrix and what follows from it, top-k accuracy, log loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ..errors import ConfigError, DataError, ShapeError
from .check import check_choice, check_labels, check_same_rows, check_scores

Average = Literal["micro", "macro", "weighted"]


@dataclass(frozen=True, slots=True, eq=False)
class ConfusionMatrix:
    """How often each class was taken for each: counts, so that matrices of separate rows add up to that of all.

    Attributes:
        counts: int64, shape (classes, classes): `counts[true, predicted]`.
    """

    counts: np.ndarray

    @classmethod
    def of(cls, predicted: np.ndarray, labels: np.ndarray, *, classes: int) -> ConfusionMatrix:
        """Count rows.

        Args:
            predicted: class indices, shape (N,), integer.
            labels: the true ones, shape (N,), integer.
            classes: how many there are, >= 1.

        Raises:
            DTypeError: not integers.
            ShapeError: not of equal shapes (N,).
            DataError: no rows, or an index outside [0, classes).
        """
        check_labels(predicted, "predictions", classes)
        check_labels(labels, "labels", classes)
        check_same_rows(predicted, labels)
        cells = labels.astype(np.int64) * classes + predicted.astype(np.int64)
        return cls(np.bincount(cells, minlength=classes * classes).reshape(classes, classes))

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        if self.counts.shape != other.counts.shape:
            raise ShapeError(f"matrices of different classes: {self.counts.shape} and {other.counts.shape}")
        return ConfusionMatrix(self.counts + other.counts)

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """Part of the rows on the diagonal."""
        return _ratio(float(np.trace(self.counts)), self.rows)

    def precision(self, average: Average = "macro") -> float:
        """Of the rows taken for a class, the part that belongs to it; averaged as in `f1_score`."""
        return self._averaged(self.per_class()[0], average)

    def recall(self, average: Average = "macro") -> float:
        """Of the rows of a class, the part taken for it; averaged as in `f1_score`."""
        return self._averaged(self.per_class()[1], average)

    def f1(self, average: Average = "macro") -> float:
        """Harmonic mean of precision and recall of each class; averaged as in `f1_score`."""
        return self._averaged(self.per_class()[2], average)

    def per_class(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Precision, recall and F1 of every class, each of shape (classes,), float64; 0 where it would be 0 / 0."""
        right = np.diag(self.counts).astype(np.float64)
        taken, there = self.counts.sum(0), self.counts.sum(1)
        return _divide(right, taken), _divide(right, there), _divide(2 * right, taken + there)

    def _averaged(self, values: np.ndarray, average: Average) -> float:
        check_choice(average, get_args(Average), "average")
        if not self.rows:
            raise DataError("no rows were counted")
        if average == "micro":  # every row is one prediction: precision, recall and F1 are all the accuracy
            return self.accuracy
        there = self.counts.sum(1)
        if average == "weighted":
            return float(values @ there / there.sum())
        return float(values[(there + self.counts.sum(0)) > 0].mean())


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Part of the rows whose class index, shape (N,), is right."""
    check_labels(predicted, "predictions")
    check_labels(labels, "labels")
    check_same_rows(predicted, labels)
    return float((predicted == labels).mean())


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, *, k: int) -> float:
    """Part of the rows whose true class is among the `k` highest scores.

    Args:
        scores: logits or probabilities, shape (N, classes), finite.
        labels: class indices, shape (N,).
        k: in [1, classes].

    Classes of equal scores are taken by index, the higher first, as scikit-learn does.
    """
    if scores.ndim != 2:
        raise ShapeError(f"expected scores of shape (N, classes), got {scores.shape}")
    classes = scores.shape[1]
    check_scores(scores, "scores")
    check_labels(labels, "labels", classes)
    check_same_rows(scores, labels)
    if not 1 <= k <= classes:
        raise ConfigError(f"expected 1 <= k <= {classes}, got {k}")
    # Stable, then reversed: of equal scores the higher index comes first.
    best = np.argsort(scores, axis=1, kind="stable")[:, ::-1][:, :k]
    return float((best == labels[:, None]).any(1).mean())


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, *, classes: int) -> np.ndarray:
    """Counts, int64, shape (classes, classes), `[true, predicted]`; see `ConfusionMatrix.of`."""
    return ConfusionMatrix.of(predicted, labels, classes=classes).counts


def precision(predicted: np.ndarray, labels: np.ndarray, *, classes: int, average: Average = "macro") -> float:
    """Of the rows taken for a class, the part that belongs to it; see `f1_score`."""
    return ConfusionMatrix.of(predicted, labels, classes=classes).precision(average)


def recall(predicted: np.ndarray, labels: np.ndarray, *, classes: int, average: Average = "macro") -> float:
    """Of the rows of a class, the part taken for it; see `f1_score`."""
    return ConfusionMatrix.of(predicted, labels, classes=classes).recall(average)


def f1_score(predicted: np.ndarray, labels: np.ndarray, *, classes: int, average: Average = "macro") -> float:
    """Harmonic mean of precision and recall.

    Args:
        predicted: class indices, shape (N,), integer.
        labels: the true ones, shape (N,), integer.
        classes: how many there are.
        average: "macro" is the mean over the classes that occur, in labels or predictions; "weighted" the mean
            weighted by rows of the class; "micro" counts all classes together, and equals the accuracy.

    A class without predictions has precision 0, as in scikit-learn with `zero_division=0`.

    Raises:
        DTypeError, ShapeError, DataError: see `ConfusionMatrix.of`.
    """
    return ConfusionMatrix.of(predicted, labels, classes=classes).f1(average)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-probability of the true class, in nats.

    Args:
        probabilities: shape (N, classes), rows that sum to 1 within 1e-4. A probability of the true class below the
            dtype's machine epsilon counts as that.
        labels: class indices, shape (N,).

    Raises:
        DataError: a row that is not a distribution.
    """
    if probabilities.ndim != 2:
        raise ShapeError(f"expected probabilities of shape (N, classes), got {probabilities.shape}")
    check_scores(probabilities, "probabilities")
    check_labels(labels, "labels", probabilities.shape[1])
    check_same_rows(probabilities, labels)
    wide = probabilities.astype(np.float64)
    if wide.min() < 0 or np.abs(wide.sum(1) - 1).max() > 1e-4:
        raise DataError("expected probabilities: rows of values >= 0 that sum to 1", hint="apply softmax to logits")
    epsilon = float(np.finfo(probabilities.dtype).eps)
    true = wide[np.arange(len(labels)), labels].clip(epsilon, 1 - epsilon)
    return float(-np.log(true).mean())


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _ratio(part: float, whole: int) -> float:
    if not whole:
        raise DataError("no rows were counted")
    return part / whole

"""How well scores order the rows: the area under the ROC curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ..errors import ConfigError, DataError, ShapeError
from .check import check_choice, check_labels, check_same_rows, check_scores


def auroc(scores: np.ndarray, labels: np.ndarray, *, average: Literal["macro", "weighted"] = "macro") -> float:
    """Chance that a random row of a class scores higher for it than one of the others; equal scores count half.

    Args:
        scores: shape (N,) for labels 0 and 1, the higher the more 1; or (N, classes), each class against the rest.
            Only the order of a column matters: logits do as well as probabilities.
        labels: class indices, shape (N,).
        average: over the classes: "macro" counts them alike, "weighted" by their rows.

    Raises:
        DataError: a class has no rows, or all of them: the area is not defined.
        ShapeError, DTypeError: not of these shapes, not floating scores, not integer labels.

    Source: Hanley & McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747: Wilcoxon's statistic of the ranks.
    """
    check_choice(average, get_args(Literal["macro", "weighted"]), "average")
    if scores.ndim not in {1, 2} or (scores.ndim == 2 and scores.shape[1] < 2):
        raise ShapeError(f"expected scores of shape (N,) or (N, classes >= 2), got {scores.shape}")
    check_scores(scores, "scores")
    classes = 2 if scores.ndim == 1 else scores.shape[1]
    check_labels(labels, "labels", classes)
    check_same_rows(scores, labels)
    if scores.ndim == 1:
        return _binary(scores, labels == 1, 1)
    areas = np.array([_binary(scores[:, index], labels == index, index) for index in range(classes)])
    weights = np.bincount(labels, minlength=classes) if average == "weighted" else np.ones(classes)
    return float(areas @ weights / weights.sum())


def _binary(scores: np.ndarray, positive: np.ndarray, index: int) -> float:
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not (positives and negatives):
        raise DataError(
            f"AUROC needs rows of class {index} and of others, got {positives} and {negatives}",
            hint="measure it on more rows",
        )
    _, position, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = counts.cumsum() - (counts - 1) / 2  # mean rank, from 1, of the rows that share a score
    return float((ranks[position][positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


@dataclass(frozen=True, slots=True, eq=False)
class ScoreHistogram:
    """Scores of positive and negative rows counted in bins, so that an AUROC can be had of rows that may not meet.

    The area is that of scores rounded to bins: off by at most half the chance that a positive and a negative row fall
    into the same one.

    Attributes:
        counts: int64, shape (2, bins): of negative and positive rows.
    """

    counts: np.ndarray

    @classmethod
    def of(cls, probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 1000) -> ScoreHistogram:
        """Count rows.

        Args:
            probabilities: of class 1, shape (N,), in [0, 1].
            labels: 0 or 1, shape (N,).
            bins: of equal width over [0, 1], >= 2.
        """
        if bins < 2:
            raise ConfigError(f"expected bins >= 2, got {bins}")
        if probabilities.ndim != 1:
            raise ShapeError(f"expected probabilities of shape (N,), got {probabilities.shape}")
        check_scores(probabilities, "probabilities")
        check_labels(labels, "labels", 2)
        check_same_rows(probabilities, labels)
        if probabilities.min() < 0 or probabilities.max() > 1:
            raise DataError(f"expected probabilities, got {probabilities.min()} to {probabilities.max()}")
        position = np.minimum((probabilities.astype(np.float64) * bins).astype(np.int64), bins - 1)
        return cls(np.bincount(labels.astype(np.int64) * bins + position, minlength=2 * bins).reshape(2, bins))

    def __add__(self, other: ScoreHistogram) -> ScoreHistogram:
        if self.counts.shape != other.counts.shape:
            raise ShapeError(f"histograms of different bins: {self.counts.shape[1]} and {other.counts.shape[1]}")
        return ScoreHistogram(self.counts + other.counts)

    @property
    def auroc(self) -> float:
        """The area under the ROC curve of the binned scores.

        Raises:
            DataError: rows of one class only.
        """
        negative, positive = self.counts.astype(np.float64)
        if not (negative.sum() and positive.sum()):
            raise DataError(f"AUROC needs rows of both classes, got {negative.sum():g} and {positive.sum():g}")
        below = negative.cumsum() - negative / 2
        return float(positive @ below / (positive.sum() * negative.sum()))

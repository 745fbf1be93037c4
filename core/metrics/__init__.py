"""Figures of predictions: functions on arrays, and counts that can be added where rows may not be brought together.

Everywhere the predictions come first, then the truth. A figure that is not defined for its rows is an error.

>>> import numpy as np
>>> predicted, labels = np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])
>>> round(f1_score(predicted, labels, classes=3), 3)
0.778
>>> here, there = (ConfusionMatrix.of(predicted[rows], labels[rows], classes=3) for rows in ([0, 1], [2, 3]))
>>> (here + there).accuracy
0.75
"""

from .classification import (
    Average,
    ConfusionMatrix,
    accuracy,
    confusion_matrix,
    f1_score,
    log_loss,
    precision,
    recall,
    top_k_accuracy,
)
from .ranking import ScoreHistogram, auroc
from .regression import ErrorSums, mean_absolute_error, mean_squared_error, r2_score, root_mean_squared_error

__all__ = [
    "Average",
    "ConfusionMatrix",
    "ErrorSums",
    "ScoreHistogram",
    "accuracy",
    "auroc",
    "confusion_matrix",
    "f1_score",
    "log_loss",
    "mean_absolute_error",
    "mean_squared_error",
    "precision",
    "r2_score",
    "recall",
    "root_mean_squared_error",
    "top_k_accuracy",
]

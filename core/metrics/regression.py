"""Regression: squared and absolute errors, and the part of the variance explained."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError, ShapeError
from .check import check_scores


@dataclass(frozen=True, slots=True, eq=False)
class ErrorSums:
    """Sums over rows from which all figures of a regression follow, for rows that may not be brought together.

    All are plain sums, so that they can be added under encryption. Targets enter relative to a `center` that all
    parties share: the nearer it is to their mean, the less is lost to cancellation in `r2`.

    Attributes:
        rows: counted.
        squared: sum of squared errors, per output, shape (outputs,), float64.
        absolute: sum of absolute errors, per output.
        offset: sum of target - center, per output.
        offset_squared: sum of (target - center)^2, per output.
        center: see above; per output, shape (outputs,).
    """

    rows: int
    squared: np.ndarray
    absolute: np.ndarray
    offset: np.ndarray
    offset_squared: np.ndarray
    center: np.ndarray

    @classmethod
    def of(cls, predicted: np.ndarray, targets: np.ndarray, *, center: ArrayLike = 0.0) -> ErrorSums:
        """Sum over rows, in float64.

        Args:
            predicted: shape (N,) or (N, outputs), floating, finite, N >= 1.
            targets: of the same shape.
            center: near the mean of the targets, a number or one per output.

        Raises:
            ShapeError: the shapes differ, or have more axes.
            DTypeError: not floating.
            DataError: no rows, or values that are not finite.
        """
        if predicted.shape != targets.shape or predicted.ndim not in {1, 2}:
            raise ShapeError(
                f"expected predictions and targets of one shape, (N,) or (N, outputs), "
                f"got {predicted.shape} and {targets.shape}"
            )
        if not predicted.size:
            raise DataError("expected at least one row and one output, got none")
        check_scores(predicted, "predictions")
        check_scores(targets, "targets")
        rows = len(predicted)
        errors = (predicted.astype(np.float64) - targets).reshape(rows, -1)
        about = np.broadcast_to(np.asarray(center, np.float64), errors.shape[1:])
        offsets = targets.astype(np.float64).reshape(rows, -1) - about
        return cls(rows, (errors**2).sum(0), np.abs(errors).sum(0), offsets.sum(0), (offsets**2).sum(0), about)

    def __add__(self, other: ErrorSums) -> ErrorSums:
        if not np.array_equal(self.center, other.center):
            raise ShapeError(
                f"sums that do not fit: {self.squared.size} outputs about {self.center}, "
                f"and {other.squared.size} about {other.center}"
            )
        return ErrorSums(
            self.rows + other.rows,
            self.squared + other.squared,
            self.absolute + other.absolute,
            self.offset + other.offset,
            self.offset_squared + other.offset_squared,
            self.center,
        )

    @property
    def mean_squared_error(self) -> float:
        """Over rows and outputs, in the targets' unit squared."""
        return float(self.squared.mean()) / self.rows

    @property
    def root_mean_squared_error(self) -> float:
        """The root of the mean squared error over rows and outputs, in the targets' unit."""
        return sqrt(self.mean_squared_error)

    @property
    def mean_absolute_error(self) -> float:
        """Over rows and outputs, in the targets' unit."""
        return float(self.absolute.mean()) / self.rows

    @property
    def r2(self) -> float:
        """1 - squared errors / squared differences to the mean, averaged over outputs; see `r2_score`."""
        spread = self.offset_squared - self.offset**2 / self.rows
        # What cancellation leaves of equal targets is no spread.
        if (spread <= 1e-14 * self.offset_squared).any():
            raise DataError(
                f"R2 needs targets that differ, got {self.rows} rows without spread", hint="use the mean squared error"
            )
        return float((1 - self.squared / spread).mean())


def mean_squared_error(predicted: np.ndarray, targets: np.ndarray) -> float:
    """Mean of squared differences over rows and outputs; see `ErrorSums.of`."""
    return ErrorSums.of(predicted, targets).mean_squared_error


def root_mean_squared_error(predicted: np.ndarray, targets: np.ndarray) -> float:
    """Root of the mean of squared differences over rows and outputs; see `ErrorSums.of`."""
    return ErrorSums.of(predicted, targets).root_mean_squared_error


def mean_absolute_error(predicted: np.ndarray, targets: np.ndarray) -> float:
    """Mean of absolute differences over rows and outputs; see `ErrorSums.of`."""
    return ErrorSums.of(predicted, targets).mean_absolute_error


def r2_score(predicted: np.ndarray, targets: np.ndarray) -> float:
    """Part of the targets' variance that is explained: 1 is perfect, 0 as good as their mean, below that worse.

    Several outputs count alike.

    Raises:
        DataError: the targets of an output are all equal: R2 is not defined.
        ShapeError, DTypeError: see `ErrorSums.of`.
    """
    center = targets.mean(0, dtype=np.float64) if targets.size and targets.ndim else 0.0
    return ErrorSums.of(predicted, targets, center=center).r2

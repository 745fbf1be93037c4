"""Checks that the metrics share."""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError, DataError, DTypeError, ShapeError


def check_labels(labels: np.ndarray, name: str, classes: int | None = None) -> None:
    """Class indices: integers >= 0 of shape (N,), N >= 1, and below `classes` where that is known.

    Raises:
        DTypeError: not integers.
        ShapeError: not one axis.
        DataError: no rows, or an index out of range.
    """
    if labels.dtype.kind not in "iu":
        raise DTypeError(
            f"expected {name} as integers, got {labels.dtype}", hint="use argmax on scores, astype on rest"
        )
    if labels.ndim != 1:
        raise ShapeError(f"expected {name} of shape (N,), got {labels.shape}")
    if not labels.size:
        raise DataError(f"expected at least one row, got no {name}")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or (classes is not None and highest >= classes):
        raise DataError(f"expected {name} in [0, {classes or 'classes'}), got {lowest} to {highest}")


def check_same_rows(first: np.ndarray, second: np.ndarray) -> None:
    """Two arrays have equally many rows.

    Raises:
        ShapeError: they have not.
    """
    if len(first) != len(second):
        raise ShapeError(f"expected equally many rows, got {len(first)} predictions and {len(second)} targets")


def check_scores(scores: np.ndarray, name: str) -> None:
    """Finite floating numbers, one row each.

    Raises:
        DTypeError: not floating.
        DataError: NaN or infinite.
    """
    if scores.dtype.kind != "f":
        raise DTypeError(f"expected {name} as floating numbers, got {scores.dtype}")
    if not np.isfinite(scores).all():
        raise DataError(f"expected finite {name}, got NaN or infinite values")


def check_choice(value: str, choices: tuple[str, ...], name: str) -> None:
    """A name out of a few.

    Raises:
        ConfigError: another one.
    """
    if value not in choices:
        raise ConfigError(f"expected {name} of {', '.join(choices)}, got {value!r}")

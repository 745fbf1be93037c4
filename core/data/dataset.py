"""`Dataset` and `Task`: rows with class labels, and what a model has to know of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What there is to learn: the shape of a row and the classes to tell apart.

    Attributes:
        input_shape: (features,) for a table, (C, H, W) for images.
        features: the name of each input element in row-major order.
        classes: class names; a label is an index into them.
    """

    input_shape: tuple[int, ...]
    features: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def is_image(self) -> bool:
        """True for (C, H, W) rows."""
        return len(self.input_shape) == 3

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "input_shape": list(self.input_shape),
            "features": list(self.features),
            "classes": list(self.classes),
        }


@dataclass(frozen=True)
class Dataset:
    """Rows and labels, checked once.

    Args:
        name: what the user calls it, as in the history.
        inputs: shape (N, *task.input_shape), float32 or float64, finite.
        labels: shape (N,), int64, indices into `task.classes`.
        task: see `Task`.

    Raises:
        DataError: no rows, one class only, or values that are not finite.
    """

    name: str
    inputs: np.ndarray
    labels: np.ndarray
    task: Task

    def __post_init__(self) -> None:
        if self.inputs.shape != (len(self.labels), *self.task.input_shape):
            raise DataError(
                f"{self.name}: expected inputs of shape {(len(self.labels), *self.task.input_shape)}, "
                f"got {self.inputs.shape}"
            )
        if len(self.labels) == 0:
            raise DataError(f"{self.name}: there are no rows")
        if len(self.task.classes) < 2:
            raise DataError(
                f"{self.name}: nothing to learn, the target has only one class: {', '.join(self.task.classes)}",
                hint="check the target column, or add rows of another class",
            )
        if not np.isfinite(self.inputs).all():
            row, element = divmod(int(np.argmin(np.isfinite(self.inputs))), len(self.task.features))
            raise DataError(
                f"{self.name}: feature {self.task.features[element]!r} is missing or not finite in row {row + 1}",
                hint="fill or drop missing values first",
            )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the values, the labels and the task, in hex: the same data under any name."""
        digest = hashlib.sha256(repr((self.task, self.inputs.dtype.str, self.labels.dtype.str)).encode())
        digest.update(np.ascontiguousarray(self.inputs).tobytes())
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()

    def take(self, rows: np.ndarray) -> Dataset:
        """The rows at some indices, shape (n,), in that order."""
        return Dataset(self.name, self.inputs[rows], self.labels[rows], self.task)

    def join(self, other: Dataset) -> Dataset:
        """These rows, then those of another part of the same data."""
        inputs, labels = (self.inputs, other.inputs), (self.labels, other.labels)
        return Dataset(self.name, np.concatenate(inputs), np.concatenate(labels), self.task)

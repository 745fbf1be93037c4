"""`Preprocessing`: how raw rows become a model's inputs. Fitted on training rows, stored with the model as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ..errors import FormatError, ShapeError
from .dataset import Task


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Shift and scale every input element: `(x - offset) / scale`, both of the task's input shape, or scalar arrays.

    A table's columns are standardised one by one; the pixels of images together, so that they stay comparable.
    """

    task: Task
    offset: np.ndarray  # float64
    scale: np.ndarray  # float64, > 0

    @classmethod
    def fit(cls, inputs: np.ndarray, task: Task) -> Preprocessing:
        """Measure mean and standard deviation on training rows of shape (N, *task.input_shape)."""
        axes = None if task.is_image else 0
        offset = np.mean(inputs, axis=axes, dtype=np.float64)
        scale = np.std(inputs, axis=axes, dtype=np.float64)
        # A constant column carries nothing: it becomes 0, and stays small if it varies in new rows.
        return cls(task, np.asarray(offset), np.where(_single(scale) > 0, scale, 1.0))

    def apply(self, inputs: np.ndarray) -> np.ndarray:
        """Raw rows, shape (N, *task.input_shape) or (N, features), to float32 model inputs (N, *task.input_shape)."""
        if int(np.prod(inputs.shape[1:])) != len(self.task.features):
            raise ShapeError(f"expected rows with {len(self.task.features)} features, got shape {inputs.shape[1:]}")
        rows = inputs.reshape(len(inputs), *self.task.input_shape)
        return ((rows - self.offset) / self.scale).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values. Floats are written exactly."""
        return {"task": self.task.to_dict(), "offset": self.offset.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, value: object) -> Preprocessing:
        """Parse and check.

        Raises:
            FormatError: fields are missing, of the wrong type or shape, or a scale is not positive.
        """
        try:
            fields = cast(dict[str, Any], value)
            task = Task(
                input_shape=tuple(int(length) for length in fields["task"]["input_shape"]),
                features=tuple(str(name) for name in fields["task"]["features"]),
                classes=tuple(str(name) for name in fields["task"]["classes"]),
            )
            offset, scale = (np.asarray(fields[name], np.float64) for name in ("offset", "scale"))
            shapes = {(), task.input_shape}
            fits = len(task.features) == int(np.prod(task.input_shape)) and {offset.shape, scale.shape} <= shapes
        except (KeyError, TypeError, ValueError, OverflowError) as exc:
            raise FormatError(f"damaged preprocessing: {exc!r}") from exc
        sound = np.isfinite(_single(offset)) & np.isfinite(_single(scale)) & (_single(scale) > 0)
        if not fits or not sound.all():
            raise FormatError("damaged preprocessing: shapes or values do not fit the task")
        return cls(task, offset, scale)


def _single(values: np.ndarray) -> np.ndarray:
    """As float32, the precision that models see: what is beyond its range counts as infinite or zero."""
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float32)

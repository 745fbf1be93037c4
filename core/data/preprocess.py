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
    offset: np.ndarray  # float32
    scale: np.ndarray  # float32, > 0

    @classmethod
    def fit(cls, inputs: np.ndarray, task: Task) -> Preprocessing:
        """Measure mean and standard deviation on training rows of shape (N, *task.input_shape)."""
        axes = None if task.is_image else 0
        offset = np.mean(inputs, axis=axes, dtype=np.float64)
        scale = np.asarray(np.std(inputs, axis=axes, dtype=np.float64), np.float32)
        # A constant column carries nothing: it becomes 0, and stays small if it varies in new rows.
        scale = np.where(scale > 0, scale, np.float32(1))
        return cls(task, np.asarray(offset, np.float32), scale)

    def apply(self, inputs: np.ndarray) -> np.ndarray:
        """Raw rows, shape (N, *task.input_shape) or (N, features), to float32 model inputs (N, *task.input_shape)."""
        if int(np.prod(inputs.shape[1:])) != len(self.task.features):
            raise ShapeError(f"expected rows with {len(self.task.features)} features, got shape {inputs.shape[1:]}")
        rows = inputs.reshape(len(inputs), *self.task.input_shape)
        return ((rows - self.offset) / self.scale).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values. Floats are written exactly: a float32 is a float64."""
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
            with np.errstate(over="ignore"):  # what overflows is not finite, and refused below
                offset, scale = (np.asarray(fields[name], float).astype(np.float32) for name in ("offset", "scale"))
            shapes = {(), task.input_shape}
            fits = len(task.features) == int(np.prod(task.input_shape)) and {offset.shape, scale.shape} <= shapes
        except (KeyError, TypeError, ValueError, OverflowError) as exc:
            raise FormatError(f"damaged preprocessing: {exc!r}") from exc
        if not fits or not np.isfinite(offset).all() or not (np.isfinite(scale) & (scale > 0)).all():
            raise FormatError("damaged preprocessing: shapes or values do not fit the task")
        return cls(task, offset, scale)

"""`Dataset`: rows with labels or measurements, checked once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..errors import DataError
from .cells import CellError
from .task import Column, Task

FILL_HINT = (
    "fill or drop missing values first, or read them: missing='fill' or 'indicate', in a shell --missing fill, "
    'in site.toml missing = "fill"'
)


@dataclass(frozen=True)
class Dataset:
    """Rows and what is to be learned of them.

    Args:
        name: what the user calls it, as in the history.
        inputs: shape (N, *task.row_shape), float32 or float64, finite. A table's columns are as `Column` says: one that
            allows missing values may hold NaN.
        labels: for a classification shape (N,), int64, indices into `task.classes`; for a regression the measurements,
            shape (N, len(task.targets)), float32, finite.
        task: see `Task`.
        extra: columns that are no input, by name, shape (N,): what rows are grouped by. Not part of the fingerprint.

    Raises:
        DataError: no rows, one class only, labels that are no classes, or shapes that do not fit.
        CellError: a value is missing, not finite, or no category.
    """

    name: str
    inputs: np.ndarray
    labels: np.ndarray
    task: Task
    extra: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])

    def __post_init__(self) -> None:
        if self.inputs.shape != (len(self.labels), *self.task.row_shape):
            raise DataError(
                f"{self.name}: expected inputs of shape {(len(self.labels), *self.task.row_shape)}, "
                f"got {self.inputs.shape}"
            )
        if len(self.labels) == 0:
            raise DataError(f"{self.name}: there are no rows")
        if self.task.kind == "classification" and len(self.task.classes) < 2:
            raise DataError(
                f"{self.name}: nothing to learn, the target has only one class: {', '.join(self.task.classes)}",
                hint="check the target column, add rows of another class, or name all classes that there are: classes",
            )
        self._check_labels()
        check_rows(self.inputs, self.task, self.name)
        for name, values in self.extra.items():
            if values.shape != self.labels.shape[:1]:
                raise DataError(f"{self.name}: {name!r} has shape {values.shape}, expected ({len(self)},)")

    def _check_labels(self) -> None:
        labels, task = self.labels, self.task
        if task.kind == "regression":
            if labels.dtype != np.float32 or labels.shape != (len(labels), task.outputs):
                raise DataError(
                    f"{self.name}: expected measurements of shape {(len(labels), task.outputs)} and dtype float32, "
                    f"got {labels.shape} and {labels.dtype}"
                )
            bad = np.argwhere(~np.isfinite(labels))
            if len(bad):
                row, column = int(bad[0, 0]), int(bad[0, 1])
                problem = f"expected a finite number, got {labels[row, column]}"
                raise CellError(self.name, row + 1, task.targets[column], problem)
            return
        if labels.dtype != np.int64 or labels.ndim != 1:
            raise DataError(
                f"{self.name}: expected labels of shape ({len(labels)},) and dtype int64, "
                f"got {labels.shape} and {labels.dtype}"
            )
        wrong = np.flatnonzero((labels < 0) | (labels >= len(task.classes)))
        if len(wrong):
            raise DataError(
                f"{self.name}: row {wrong[0] + 1}: expected a label from 0 to {len(task.classes) - 1}, "
                f"got {labels[wrong[0]]}",
                hint="labels are indices into `task.classes`",
            )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the values, the labels and the task, in hex: the same data under any name.

        Histories keep it, so what it is made of stays: tasks of plain numbers and classes are described as version 0.1
        did, by the text of its three fields.
        """
        task = self.task
        described = f"Task(input_shape={task.input_shape!r}, features={task.features!r}, classes={task.classes!r})"
        text = f"({described}, {self.inputs.dtype.str!r}, {self.labels.dtype.str!r})"
        if task.columns or task.kind != "classification":
            text += json.dumps(task.to_dict(), sort_keys=True)
        digest = hashlib.sha256(text.encode())
        digest.update(np.ascontiguousarray(self.inputs).tobytes())
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()

    def take(self, rows: np.ndarray) -> Dataset:
        """The rows at some indices, shape (n,), in that order."""
        extra = {name: values[rows] for name, values in self.extra.items()}
        return Dataset(self.name, self.inputs[rows], self.labels[rows], self.task, extra)

    def join(self, other: Dataset) -> Dataset:
        """These rows, then those of another part of the same data."""
        inputs, labels = (self.inputs, other.inputs), (self.labels, other.labels)
        extra = {name: np.concatenate((values, other.extra[name])) for name, values in self.extra.items()}
        return Dataset(self.name, np.concatenate(inputs), np.concatenate(labels), self.task, extra)


def check_rows(rows: np.ndarray, task: Task, source: str) -> None:
    """Refuse values that a task's rows cannot have.

    Args:
        rows: shape (N, *task.row_shape) or (N, features), of any number type.
        task: says what each value is.
        source: how the rows are called in messages.

    Raises:
        CellError: a value is missing, not finite, or no category; names the first such row.
    """
    flat = rows.reshape(len(rows), len(task.features))
    if not task.columns:
        finite = np.isfinite(flat)
        if not finite.all():
            row, element = divmod(int(np.argmin(finite)), flat.shape[1])
            _refuse(float(flat[row, element]), source, row, task.features[element])
        return
    for index, column in enumerate(task.columns):
        values = flat[:, index]
        wrong = np.flatnonzero(~_allowed(values, column))
        if len(wrong):
            _refuse(float(values[wrong[0]]), source, int(wrong[0]), column.name, column)


def _allowed(values: np.ndarray, column: Column) -> np.ndarray:
    if column.kind == "numeric":
        known = np.isfinite(values)
    else:
        lowest = -1 if column.unknown == "zeros" else 0
        with np.errstate(invalid="ignore"):  # NaN is compared too, and is not in the range
            known = (values >= lowest) & (values < len(column.categories)) & (np.floor(values) == values)
    return known if column.missing == "refuse" else known | np.isnan(values)


def _refuse(value: float, source: str, row: int, name: str, column: Column | None = None) -> None:
    if np.isnan(value):
        raise CellError(source, row + 1, name, "the value is missing", hint=FILL_HINT)
    if column is not None and column.kind == "categorical":
        expected = f"the index of one of {len(column.categories)} categories"
        raise CellError(source, row + 1, name, f"expected {expected}, got {value}")
    raise CellError(source, row + 1, name, f"expected a finite number, got {value}")

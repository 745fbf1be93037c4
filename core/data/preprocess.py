"""`Preprocessing`: how raw rows become a model's inputs. Fitted on training rows, stored with the model as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, DataError, FormatError, ShapeError
from ..spec import check_header
from .dataset import check_rows
from .task import Task

Fill = Literal["mean", "median", "most_frequent"]
Standardise = Literal["each", "channel", "together", "none"]

FORMAT = "nasturtium.preprocessing"
VERSION = 2  # 1, without a header: shift and scale alone


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Turn rows into inputs: fill missing values, one element for every category, then `(x - offset) / scale`.

    Attributes:
        task: what the rows are; its schema says which columns have categories, may be missing, and how that is shown.
        offset, scale: float64, of the task's input shape or one that broadcasts to it; scale > 0.
        fill: what stands in for a missing value, one per column: a number, or the index of a category; float64,
            shape (features,). Empty where the task has no `columns`.
        unseen: input elements of categories that no training row had, int64; they stay 0, as nothing was learned
            of them.
        target_offset, target_scale: of a regression's measurements, float64, shape (targets,); () elsewhere.
    """

    task: Task
    offset: np.ndarray
    scale: np.ndarray
    fill: np.ndarray = field(default_factory=lambda: np.zeros(0))
    unseen: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    target_offset: np.ndarray = field(default_factory=lambda: np.zeros(()))
    target_scale: np.ndarray = field(default_factory=lambda: np.ones(()))

    @classmethod
    def fit(
        cls,
        inputs: np.ndarray,
        task: Task,
        labels: np.ndarray | None = None,
        *,
        fill: Fill = "mean",
        standardise: Standardise | None = None,
    ) -> Preprocessing:
        """Measure everything on training rows alone.

        Args:
            inputs: shape (N, *task.row_shape), N >= 1.
            task: of the rows.
            labels: the measurements of a regression, to standardise them too; not looked at for a classification.
            fill: what stands in for a missing number: of the values that are there, the mean, the median, or the most
                frequent (the smallest of several). A missing category is always the most frequent. A column without
                any value in these rows is filled with 0, or its first category.
            standardise: to mean 0 and standard deviation 1, after filling: "each" element, each "channel" of an image
                or feature of a sequence, all elements "together", or "none". By default a table's columns one by one,
                a sequence's features over its length, and the pixels of images together, so that they stay comparable.
                Categories and indicators stay 0 and 1.

        Raises:
            ConfigError: there is no such way to fill or to standardise these rows.
            ShapeError: the rows are not the task's, or there are none.
            CellError: a value is not as the task says.
        """
        if fill not in get_args(Fill):
            raise ConfigError(f"expected fill as one of {', '.join(get_args(Fill))}, got {fill!r}")
        if inputs.shape[1:] != task.row_shape or len(inputs) == 0:
            raise ShapeError(f"expected at least one row of shape {task.row_shape}, got {inputs.shape}")
        check_rows(inputs, task, "the training rows")
        filled, unseen, numeric = np.zeros(0), np.zeros(0, np.int64), None
        if task.columns:
            filled = _measure_fill(inputs, task, fill)
            inputs, numeric = _encode(inputs, task, filled)
            unseen = np.flatnonzero(~numeric & ~inputs.any(axis=0) & _is_category(task))
        axes = _axes(task, standardise)
        if standardise == "none":
            offset, scale = np.zeros(()), np.ones(())
        else:
            offset = np.mean(inputs, axis=axes, dtype=np.float64)
            scale = np.std(inputs, axis=axes, dtype=np.float64)
            # A constant column carries nothing: it becomes 0, and stays small if it varies in new rows.
            offset, scale = np.asarray(offset), np.where(_single(scale) > 0, scale, 1.0)
            if task.modality == "image" and offset.ndim == 1:
                offset, scale = offset[:, None, None], scale[:, None, None]
            if numeric is not None:
                offset, scale = np.where(numeric, offset, 0.0), np.where(numeric, scale, 1.0)
        if task.kind == "classification" or labels is None:
            return cls(task, offset, scale, filled, unseen)
        spread = np.std(labels, axis=0, dtype=np.float64)
        target_offset = np.asarray(np.mean(labels, axis=0, dtype=np.float64))
        return cls(task, offset, scale, filled, unseen, target_offset, np.where(_single(spread) > 0, spread, 1.0))

    def apply(self, inputs: np.ndarray) -> np.ndarray:
        """Raw rows, shape (N, *task.row_shape) or (N, features), to float32 model inputs (N, *task.input_shape).

        Raises:
            ShapeError: the rows have another number of values.
            CellError: a value is missing, not finite, or no category.
        """
        task = self.task
        if prod(inputs.shape[1:]) != len(task.features) or inputs.ndim < 2:
            raise ShapeError(f"expected rows with {len(task.features)} features, got shape {inputs.shape[1:]}")
        rows = inputs.reshape(len(inputs), *task.row_shape)
        check_rows(rows, task, "the rows")
        if task.columns:
            rows, _ = _encode(rows, task, self.fill)
            rows[:, self.unseen] = 0
        return ((rows - self.offset) / self.scale).astype(np.float32)

    def apply_targets(self, labels: np.ndarray) -> np.ndarray:
        """Measurements, shape (N, targets), to what a network is trained on, float32; labels of classes as they are."""
        if self.task.kind == "classification":
            return labels
        return ((labels - self.target_offset) / self.target_scale).astype(np.float32)

    def restore_targets(self, outputs: np.ndarray) -> np.ndarray:
        """A regression's outputs, shape (N, targets), to measurements in their own units, float32."""
        return (outputs * self.target_scale + self.target_offset).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values. Floats are written exactly."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "task": self.task.to_dict(),
            "offset": self.offset.tolist(),
            "scale": self.scale.tolist(),
            "fill": self.fill.tolist(),
            "unseen": self.unseen.tolist(),
            "target_offset": self.target_offset.tolist(),
            "target_scale": self.target_scale.tolist(),
        }

    @classmethod
    def from_dict(cls, value: object) -> Preprocessing:
        """Parse and check a document of this version or of an older one.

        Raises:
            FormatError: of a newer version, or fields are missing, of the wrong type or shape, or a scale is not
                positive.
        """
        fields = cast(dict[str, Any], value)
        if isinstance(value, dict) and ("format" in fields or "version" in fields):
            check_header(fields, FORMAT, VERSION)
        try:
            task = Task.from_dict(fields["task"])
            offset, scale = (np.asarray(fields[name], np.float64) for name in ("offset", "scale"))
            fill = np.asarray(fields.get("fill", []), np.float64)
            unseen = np.asarray(fields.get("unseen", []), np.float64)
            target_offset = np.asarray(fields.get("target_offset", 0.0), np.float64)
            target_scale = np.asarray(fields.get("target_scale", 1.0), np.float64)
        except FormatError as exc:
            raise FormatError(f"damaged preprocessing: {exc.message}") from exc
        except (KeyError, TypeError, ValueError, OverflowError) as exc:
            raise FormatError(f"damaged preprocessing: {exc!r}") from exc
        targets = (len(task.targets),) if task.kind == "regression" else ()
        sound = (
            offset.shape == scale.shape
            and _broadcasts(offset.shape, task.input_shape)
            and fill.shape == (len(task.columns),)
            and _broadcasts(target_offset.shape, targets)
            and _broadcasts(target_scale.shape, targets)
            and all(_finite(values) for values in (offset, scale, fill, target_offset, target_scale))
            and bool((_single(scale) > 0).all() and (_single(target_scale) > 0).all())
            and unseen.ndim == 1
            and bool(((unseen >= 0) & (unseen < task.input_shape[0]) & (unseen % 1 == 0)).all())
            and (bool(task.columns) or not len(unseen))
        )
        if not sound:
            raise FormatError("damaged preprocessing: shapes or values do not fit the task")
        fitted = cls(task, offset, scale, fill, unseen.astype(np.int64), target_offset, target_scale)
        try:
            check_rows(fill[None], task, "its fill") if task.columns else None
        except DataError as exc:
            raise FormatError(f"damaged preprocessing: {exc.message}") from exc
        return fitted


def _axes(task: Task, standardise: Standardise | None) -> tuple[int, ...] | int | None:
    """What the mean of rows (N, *task.input_shape) runs over."""
    ways: dict[str, dict[str | None, tuple[int, ...] | int | None]] = {
        "table": {None: 0, "each": 0, "none": 0},
        "sequence": {None: (0, 1), "each": 0, "channel": (0, 1), "together": None, "none": None},
        "image": {None: None, "each": 0, "channel": (0, 2, 3), "together": None, "none": None},
    }
    known = ways[task.modality]
    if standardise not in known:
        raise ConfigError(
            f"{task.modality}: expected standardise as one of {', '.join(name for name in known if name)}, "
            f"got {standardise!r}"
        )
    return known[standardise]


def _measure_fill(rows: np.ndarray, task: Task, fill: Fill) -> np.ndarray:
    """One value for every column, from the values that are there."""
    found: list[float] = []
    for values, column in zip(rows.T.astype(np.float64), task.columns, strict=True):
        there: NDArray[np.float64] = values[np.isfinite(values)]
        if column.kind == "categorical":
            there = there[there >= 0]
        if not len(there):
            found.append(0.0)
        elif column.kind == "categorical" or fill == "most_frequent":
            different, places = np.unique(there, return_inverse=True)
            found.append(float(different[np.argmax(np.bincount(places))]))
        else:
            found.append(float(np.mean(there) if fill == "mean" else np.median(there)))
    return np.asarray(found)


def _encode(rows: np.ndarray, task: Task, fill: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns to elements, shape (N, task.input_shape[0]), float64; and which elements are numbers, bool."""
    elements = np.zeros((len(rows), *task.input_shape))
    numeric = np.zeros(task.input_shape, bool)
    first = 0
    for index, column in enumerate(task.columns):
        values = rows[:, index].astype(np.float64)
        absent = np.isnan(values)
        if column.kind == "numeric":
            elements[:, first] = np.where(absent, fill[index], values)
            numeric[first] = True
        else:
            codes = np.where(absent, -1.0 if column.missing == "indicate" else fill[index], values).astype(np.int64)
            known = np.flatnonzero(codes >= 0)
            elements[known, first + codes[known]] = 1
        if column.missing == "indicate":
            elements[:, first + len(column.elements) - 1] = absent
        first += len(column.elements)
    return elements, numeric


def _is_category(task: Task) -> np.ndarray:
    """Which input elements stand for a category, bool, shape task.input_shape."""
    flags: list[bool] = []
    for column in task.columns:
        flags += [place < len(column.categories) for place in range(len(column.elements))]
    return np.asarray(flags)


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    if len(shape) > len(to):
        return False
    return all(length in {1, full} for length, full in zip(reversed(shape), reversed(to), strict=False))


def _finite(values: np.ndarray) -> bool:
    return bool(np.isfinite(_single(values)).all())


def _single(values: np.ndarray) -> np.ndarray:
    """As float32, the precision that models see: what is beyond its range counts as infinite or zero."""
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float32)

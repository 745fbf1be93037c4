"""Columns or arrays, and what was read of the target, become a `Dataset`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ..errors import DataError
from .cells import listed
from .columns import RawColumn, infer_column, read_column
from .dataset import Dataset
from .source import LoadOptions
from .targets import infer_kind, read_classes, read_measurements
from .task import Column, Kind, Task


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be learned, read and checked: the parts of a `Dataset` and its `Task` that are about the target."""

    kind: Kind
    labels: np.ndarray
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


def read_target(columns: Sequence[RawColumn], options: LoadOptions) -> Target:
    """Read one target column, or several measurements.

    Raises:
        CellError: a value is missing, or of the wrong kind.
        DataError: the target cannot be learned.
    """
    task, first = options.task, columns[0]
    kind = task.kind if task else options.kind or ("regression" if len(columns) > 1 else infer_kind(first))
    if kind == "classification":
        if len(columns) > 1:
            raise DataError(f"{first.source}: expected one target for a classification, got {len(columns)}")
        labels, classes = read_classes(first, task.classes if task else options.classes)
        return Target(kind, labels, classes=classes)
    names = tuple(column.name for column in columns)
    if task and len(task.targets) != len(names):
        raise DataError(f"{first.source}: expected {len(task.targets)} targets, got {len(names)}")
    measured = np.stack([read_measurements(column) for column in columns], axis=1)
    if not task and len(measured) > 1:
        for name, values in zip(names, measured.T, strict=True):
            if (values == values[0]).all():
                raise DataError(f"{first.source}: nothing to learn, the target {name!r} is always {values[0]}")
    return Target(kind, measured, targets=task.targets if task else names)


def from_columns(
    name: str,
    columns: Sequence[RawColumn],
    target: Target,
    options: LoadOptions,
    extra: Mapping[str, np.ndarray] | None = None,
) -> Dataset:
    """A table from its columns, as `options` or what is in them say.

    Raises:
        DataError: columns are missing, or hold what cannot be learned from.
        CellError: a value is missing, not a number or not a category.
    """
    source = columns[0].source
    if options.task is None:
        schema = [
            infer_column(
                column,
                categorical=column.name in options.categorical,
                missing=options.missing,
                unknown=options.unknown,
            )
            for column in columns
        ]
        task = _task(
            target,
            input_shape=(sum(len(column.elements) for column in schema),),
            features=tuple(column.name for column in schema),
            columns=tuple(schema),
        )
    else:
        task = options.task
    return Dataset(name, read_table_rows(source, columns, task), target.labels, task, extra or {})


def read_table_rows(source: str, columns: Sequence[RawColumn], task: Task) -> np.ndarray:
    """The rows of a table as a task has them, shape (N, features), float64, its columns found by name.

    Raises:
        DataError: columns are missing, or the task is not one of tables.
        CellError: a value is missing, not a number or not a category.
    """
    by_name = {column.name: column for column in columns}
    if not task.schema:
        # Images and sequences may come as tables of their values.
        wanted: Sequence[Column] = [Column(name=feature) for feature in task.features]
    else:
        wanted = task.schema
    missing = [column.name for column in wanted if column.name not in by_name]
    if missing:
        raise DataError(
            f"{source}: {len(missing)} of the model's {len(task.features)} columns are missing: {listed(missing, 5)}",
            hint="name the columns as in the training data, "
            "or give a file without a header and with exactly these columns",
        )
    return np.column_stack([read_column(by_name[column.name], column) for column in wanted])


def from_array(
    name: str,
    source: str,
    inputs: np.ndarray,
    target: Target,
    options: LoadOptions,
    features: tuple[str, ...] | None = None,
) -> Dataset:
    """Rows of numbers of one modality: (N, features), (N, length, features) or (N, C, H, W).

    Args:
        name, source: what the data is called in the history, and in messages.
        inputs: floating.
        target: one label or row of measurements for each.
        options: `missing` and `task` count here.
        features: names of a row's values; x_0, x_1, ... by default.

    Raises:
        DataError: the rows are not those of the task that was asked for.
        CellError: a value is missing or not finite.
    """
    task = options.task
    if task is None:
        shape = inputs.shape[1:]
        columns: tuple[Column, ...] = ()
        names = features or element_names(shape)
        if len(shape) == 1 and options.missing != "refuse":
            holes: list[bool] = np.any(np.isnan(inputs), axis=0).tolist()
            columns = tuple(
                Column(name=element, missing=options.missing if hole else "refuse")
                for element, hole in zip(names, holes, strict=True)
            )
            shape = (sum(len(column.elements) for column in columns),)
        task = _task(target, input_shape=shape, features=names, columns=columns)
    elif prod(inputs.shape[1:]) != len(task.features):
        raise DataError(f"{source}: expected rows with {len(task.features)} elements, got shape {inputs.shape}")
    elif task.classes != target.classes:
        raise DataError(f"{source}: expected the classes {listed(task.classes)}, got {listed(target.classes)}")
    return Dataset(name, inputs.reshape(len(inputs), *task.row_shape), target.labels, task)


def element_names(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Names for the values of a row that have none: x_0, x_1, ... or x_channel_row_column."""
    return tuple("x_" + "_".join(map(str, place)) for place in np.ndindex(*shape))


def floating(array: np.ndarray, source: str) -> np.ndarray:
    """Numbers of any type as float32 where that keeps them, and as float64 where it would blur large ones.

    Raises:
        DataError: not real numbers.
    """
    if array.dtype.kind not in "fiub":
        raise DataError(f"{source}: expected numbers, got dtype {array.dtype}")
    exact = array.dtype.itemsize <= 2 or array.dtype == np.float32
    if exact:
        return array.astype(np.float32)
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused where the rows are checked
        single = array.astype(np.float32)
    return single if np.isinf(single).any() else array.astype(np.float64)


def input_names(source: str, names: Sequence[str], options: LoadOptions, target: str | None = None) -> list[str]:
    """Which columns of a table are inputs.

    Raises:
        DataError: an option names a column that is not there, or none is left.
    """
    inputs = [name for name in names if name != target]
    for chosen, among, what in (
        (options.keep, names, "keep"),
        (options.ignore, names, "ignore"),
        (options.categorical, inputs, "take as categories"),
        (options.only, inputs, "take as an input"),
    ):
        for name in chosen:
            if name not in among and (what == "keep" or options.task is None):
                raise DataError(f"{source}: there is no column {name!r} to {what}; its columns are {listed(names)}")
    if options.task is not None:
        return [name for name in inputs if name in options.task.features]
    inputs = [name for name in inputs if name not in {*options.ignore, *options.keep}]
    inputs = [name for name in inputs if name in options.only] if options.only else inputs
    if not inputs:
        raise DataError(f"{source}: there are no columns beside " + (f"the target {target!r}" if target else "others"))
    return inputs


def _task(
    target: Target, *, input_shape: tuple[int, ...], features: tuple[str, ...], columns: tuple[Column, ...]
) -> Task:
    return Task(
        input_shape=input_shape,
        features=features,
        classes=target.classes,
        kind=target.kind,
        targets=target.targets,
        columns=columns,
    )

"""`dataset_from_arrays`: any pair of arrays, of numbers or of a table's mixed cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ConfigError, DataError
from .assemble import element_names, floating, from_array, from_columns, input_names, read_target
from .columns import RawColumn, raw_column
from .dataset import Dataset
from .source import LoadOptions
from .task import Modality

_INFER = LoadOptions(kind=None)
_AXES = {"table": 2, "sequence": 3, "image": 4}
_SHAPES = "(N, features), (N, H, W), (N, C, H, W), or as modality='sequence' (N, length, features)"


def dataset_from_arrays(
    inputs: ArrayLike,
    targets: ArrayLike,
    options: LoadOptions = _INFER,
    *,
    name: str = "arrays",
    features: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
    modality: Modality | None = None,
    source: str | None = None,
) -> Dataset:
    """Make a data set of two arrays.

    Args:
        inputs: (N, features) is a table, of numbers or of mixed Python values; (N, C, H, W) are images; three axes are
            grey images (N, H, W), unless `modality` says that they are sequences (N, length, features).
        targets: shape (N,): text, booleans or whole numbers for classes, numbers for measurements; or (N, k) for k
            measurements at once.
        options: see `LoadOptions`; by default the targets decide what is to be learned.
        name: of the data set.
        features: names of a table's columns; x_0, x_1, ... by default.
        target_names: names of the measurements; "target", or target_0, target_1, ... by default.
        modality: what a row is, where the number of axes does not say it.
        source: how messages call the data; its name by default.

    Raises:
        ConfigError: the names do not fit the columns, or there is no such modality.
        DataError: the shapes do not fit, or the values cannot be learned from.
        CellError: one value cannot be used; names its row and column.

    >>> data = dataset_from_arrays([[1.0, "a"], [2.0, "b"], [3.0, "a"]], ["no", "yes", "no"], features=["age", "group"])
    >>> data.task.classes, [column.kind for column in data.task.schema]
    (('no', 'yes'), ['numeric', 'categorical'])
    """
    source = source or name
    try:
        rows, wanted = _array(inputs), _array(targets)
    except ValueError as exc:
        raise DataError(f"{source}: expected rows of equal length, got a ragged list: {exc}") from exc
    rows = _with_axes(rows, modality, source)
    if wanted.ndim not in {1, 2} or wanted.shape[0] != rows.shape[0] or wanted.shape[1:] == (0,):
        raise DataError(f"{source}: expected inputs {_SHAPES} and a target (N,), got {rows.shape} and {wanted.shape}")
    if len(wanted) == 0:
        raise DataError(f"{source}: there are no rows")
    target = read_target(_target_columns(wanted, target_names, source), options)
    if rows.ndim > 2:
        if features is not None:
            raise ConfigError(f"{source}: the values of images and sequences have no names, got {len(features)}")
        return from_array(name, source, floating(rows, source), target, options)
    task = options.task
    if features is None:
        known = task is not None and bool(task.schema) and len(task.features) == rows.shape[1]
        features = task.features if task and known else element_names(rows.shape[1:])
    if len(features) != rows.shape[1] or len(set(features)) != len(features):
        raise ConfigError(f"{source}: expected {rows.shape[1]} different names of columns, got {list(features)}")
    simple = not (options.categorical or options.ignore or options.only or options.keep or (task and task.columns))
    if rows.dtype.kind in "fiub" and simple:
        return from_array(name, source, floating(rows, source), target, options, tuple(features))
    columns, extra = _split(source, rows, features, options)
    return from_columns(name, columns, target, options, extra)


def _split(
    source: str, rows: np.ndarray, features: Sequence[str], options: LoadOptions
) -> tuple[list[RawColumn], dict[str, np.ndarray]]:
    """The columns of a table that are inputs, and those that are kept beside them."""
    numbers = np.arange(1, len(rows) + 1)
    columns = {
        name: RawColumn(source, name, rows[:, place], numbers)
        if rows.dtype.kind in "fiub"
        else raw_column(source, name, cast(list[object], rows[:, place].tolist()), numbers)
        for place, name in enumerate(features)
    }
    inputs = [columns[name] for name in input_names(source, features, options)]
    return inputs, {name: columns[name].kept() for name in options.keep}


def _array(values: ArrayLike) -> np.ndarray:
    """An array of numbers or of Python values: NumPy would make text of a list of both."""
    array = np.asarray(values)
    if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
        array = np.asarray(values, object)
    return array


def _with_axes(rows: np.ndarray, modality: Modality | None, source: str) -> np.ndarray:
    if modality is not None and modality not in get_args(Modality):
        raise ConfigError(f"expected a modality of {', '.join(get_args(Modality))}, got {modality!r}")
    if rows.ndim == 3 and modality in {None, "image"}:
        rows = rows[:, None]  # grey images
    if not 2 <= rows.ndim <= 4 or (modality is not None and rows.ndim != _AXES[modality]):
        what = f" of modality {modality!r}" if modality else ""
        raise DataError(f"{source}: expected inputs{what} {_SHAPES}, got {rows.shape}")
    if min(rows.shape[1:]) < 1:
        raise DataError(f"{source}: the rows have no values: got {rows.shape}")
    few = {1, 3, 4}
    if rows.ndim == 4 and rows.shape[3] in few and rows.shape[1] not in few and min(rows.shape[1:3]) > 4:
        raise DataError(
            f"{source}: expected images (N, C, H, W), got {rows.shape}, which looks like (N, H, W, C)",
            hint="transpose them: images.transpose(0, 3, 1, 2)",
        )
    return rows


def _target_columns(targets: np.ndarray, names: Sequence[str] | None, source: str) -> list[RawColumn]:
    numbers = np.arange(1, len(targets) + 1)
    columns = targets.reshape(len(targets), -1)
    count = columns.shape[1]
    if names is None:
        names = ["target"] if count == 1 else [f"target_{place}" for place in range(count)]
    if len(names) != count:
        raise ConfigError(f"{source}: expected {count} names of targets, got {list(names)}")
    if targets.dtype.kind in "fiub":
        return [RawColumn(source, name, columns[:, place], numbers) for place, name in enumerate(names)]
    if targets.dtype.kind not in "OUS":
        raise DataError(f"{source}: expected classes or measurements, got dtype {targets.dtype}")
    return [
        raw_column(source, name, cast(list[object], columns[:, place].tolist()), numbers)
        for place, name in enumerate(names)
    ]

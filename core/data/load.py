"""`load_dataset`: a bundled data set by name, or a CSV, Parquet or NPZ file by path."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import cast

import numpy as np
from numpy.lib.npyio import NpzFile

from ..errors import ConfigError, DataError
from .dataset import Dataset, Task

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".parquet", ".pq"})
_INPUT_KEYS = ("x", "X", "inputs", "features", "images", "data")
_TARGET_KEYS = ("y", "Y", "labels", "target", "targets")


def load_dataset(source: str, target: str | None = None) -> Dataset:
    """Load data to learn from.

    Args:
        source: the name of a bundled data set ("digits"), or a path ending in .csv, .tsv, .parquet or .npz.
        target: the column, or the array of an NPZ file, that holds the classes.

    Raises:
        ConfigError: an unknown name, no such file, or no such target.
        DataError: the content cannot be learned from; the message names the place.
    """
    if source in BUNDLED:
        if target is not None:
            raise ConfigError(f"{source}: a bundled data set has its own target, got --target {target}")
        return BUNDLED[source]()
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES | {".npz"}:
        raise ConfigError(
            f"unknown data set {source!r}: expected {', '.join(BUNDLED)}, "
            "or a path to a .csv, .tsv, .parquet or .npz file",
        )
    _check_file(path)
    return _load_npz(path, target) if suffix == ".npz" else _load_table(path, target)


def resolve_source(source: str) -> str:
    """The name of a bundled data set as it is, a path made absolute: what still means the same data elsewhere."""
    return source if source in BUNDLED else str(Path(source).resolve())


def load_inputs(source: str, task: Task) -> np.ndarray:
    """Load rows to predict, floating, of shape (N, features): columns by name, or by position in a file without names.

    Raises:
        ConfigError: no such file, or of an unknown kind.
        DataError: columns are missing or not numeric.
    """
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES | {".npz"}:
        raise ConfigError(f"expected a .csv, .parquet or .npz file, got {source!r}")
    _check_file(path)
    if suffix == ".npz":
        rows = _pick(_open_npz(path), None, _INPUT_KEYS, source, what="inputs")
        if rows.ndim < 2 or int(np.prod(rows.shape[1:])) != len(task.features):
            raise DataError(f"{source}: expected rows with {len(task.features)} elements, got shape {rows.shape}")
        return _finite(_numeric(rows, source), source).reshape(len(rows), -1)
    from .table import numeric_columns, read_table  # polars takes longer to import than all of core

    table = read_table(path, known=task.features)
    if set(task.features) <= set(table.columns):
        return numeric_columns(table, task.features, source)
    unnamed = table.columns == [f"column_{i + 1}" for i in range(table.width)]
    if unnamed and table.width == len(task.features):
        return numeric_columns(table, table.columns, source)
    missing = [name for name in task.features if name not in table.columns]
    shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
    raise DataError(
        f"{source}: {len(missing)} of the model's {len(task.features)} columns are missing: {shown}",
        hint="name the columns as in the training data, or give a file without a header and with exactly these columns",
    )


def _check_file(path: Path) -> None:
    try:
        found = path.is_file()
    except (OSError, ValueError) as exc:  # a name that is too long, a folder that may not be entered, a NUL
        raise ConfigError(f"cannot look at {str(path)[:80]!r}: {exc.args[-1]}", hint="check the path") from exc
    if not found:
        raise ConfigError(f"no such file: {path}", hint="check the path")


def _load_digits() -> Dataset:
    """1,797 grey images of 8 x 8 pixels with values 0 to 16, the UCI optical digits test set; see digits.LICENSE.md."""
    with resources.as_file(resources.files(__package__ or "") / "digits.npz") as path, np.load(path) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    task = Task(
        input_shape=(1, 8, 8),
        features=tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
        classes=tuple(str(digit) for digit in range(10)),
    )
    return Dataset("digits", images.astype(np.float32)[:, None], labels.astype(np.int64), task)


BUNDLED: Mapping[str, Callable[[], Dataset]] = {"digits": _load_digits}


def _load_table(path: Path, target: str | None) -> Dataset:
    from .table import numeric_columns, read_table, target_column  # see load_inputs

    table = read_table(path)
    labels, classes = target_column(table, target, str(path))
    features = tuple(name for name in table.columns if name != target)
    if not features:
        raise DataError(f"{path}: there are no columns beside the target {target!r}")
    inputs = numeric_columns(table, features, str(path))
    return Dataset(path.name, inputs, labels, Task(input_shape=(len(features),), features=features, classes=classes))


def _load_npz(path: Path, target: str | None) -> Dataset:
    arrays = _open_npz(path)
    raw_labels = _pick(arrays, target, _TARGET_KEYS, str(path), what="target")
    inputs = _pick(arrays, None, _INPUT_KEYS, str(path), what="inputs")
    if inputs.ndim == 3:
        inputs = inputs[:, None]  # grey images
    if inputs.ndim not in {2, 4} or raw_labels.shape != inputs.shape[:1]:
        raise DataError(
            f"{path}: expected inputs (N, features), (N, H, W) or (N, C, H, W) and a target (N,), "
            f"got {inputs.shape} and {raw_labels.shape}"
        )
    if raw_labels.dtype.kind not in "iubU":
        raise DataError(f"{path}: expected classes as whole numbers, booleans or text, got {raw_labels.dtype}")
    classes, labels = np.unique(raw_labels, return_inverse=True)
    shape = inputs.shape[1:]
    names = tuple("x_" + "_".join(map(str, place)) for place in np.ndindex(*shape))
    task = Task(input_shape=shape, features=names, classes=tuple(str(value) for value in classes.tolist()))
    return Dataset(path.name, _numeric(inputs, str(path)), labels.astype(np.int64), task)


def _open_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        # Not np.load, which also takes a single array; never pickles, which run code.
        with path.open("rb") as file, NpzFile(file, allow_pickle=False) as archive:
            members = {name: cast(object, archive[name]) for name in archive.files}
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as exc:
        raise DataError(f"{path}: cannot be read as NPZ: {exc}", hint="write it with numpy.savez") from exc
    return {name: value for name, value in members.items() if isinstance(value, np.ndarray)}


def _pick(
    arrays: Mapping[str, np.ndarray], name: str | None, usual: tuple[str, ...], source: str, *, what: str
) -> np.ndarray:
    wanted = (name,) if name is not None else usual
    found = [key for key in wanted if key in arrays]
    if not found:
        raise ConfigError(
            f"{source}: there is no array for the {what}: expected one of {', '.join(wanted)}, "
            f"got {', '.join(arrays) or 'an empty archive'}",
            hint="name the target with --target NAME" if what == "target" else None,
        )
    return arrays[found[0]]


def _numeric(array: np.ndarray, source: str) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise DataError(f"{source}: expected numbers, got dtype {array.dtype}")
    with np.errstate(over="ignore"):  # what overflows is not finite, and refused where the rows are checked
        single = array.astype(np.float32)
    # 32 bits would blur large numbers such as times; they are standardised in 64.
    exact = array.dtype.itemsize <= 2 or array.dtype == np.float32
    return single if exact or not np.isfinite(single).all() else array.astype(np.float64)


def _finite(array: np.ndarray, source: str) -> np.ndarray:
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise DataError(f"{source}: a value is missing or not finite in row {row + 1}", hint="fill or drop such rows")
    return array

"""`load_dataset`: a bundled data set by name, or a file or folder by path."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ConfigError
from . import cifar, idx, images, npz, tabular
from .cells import listed
from .dataset import Dataset, check_rows
from .digits import BUNDLED
from .source import SOURCES, LoadOptions, find_source
from .task import Task

# Asked in this order: a folder of CIFAR's batches is not one of images.
for _name, _source in (
    ("table", tabular.SOURCE),
    ("npz", npz.SOURCE),
    ("idx", idx.SOURCE),
    ("cifar", cifar.SOURCE),
    ("images", images.SOURCE),
):
    SOURCES.add(_name, _source)


def load_dataset(source: str, target: str | None = None, options: LoadOptions | None = None) -> Dataset:
    """Load data to learn from.

    Args:
        source: the name of a bundled data set ("digits"), or a path: a table (.csv, .tsv, .txt, .parquet), an .npz
            archive, an IDX file, a folder or file of CIFAR's binary batches, or a folder with a folder of images for
            each class.
        target: the column, or the array of an NPZ file, that holds what is to be learned; for IDX the file with the
            labels, for CIFAR-100 "fine" or "coarse".
        options: see `LoadOptions`; by default a classification of complete rows.

    Raises:
        ConfigError: an unknown name, no such file, or no such target.
        DataError: the content cannot be learned from; the message names the place.
        MissingExtraError: images need Pillow.
    """
    if source in BUNDLED:
        if target is not None:
            raise ConfigError(f"{source}: a bundled data set has its own target, got --target {target}")
        if options is not None and options.kind == "regression":
            raise ConfigError(f"{source}: a bundled data set with classes, got kind='regression'")
        return BUNDLED[source]()
    path = Path(source)
    there, found = _exists(path), find_source(path)
    if found is not None and not there:
        raise ConfigError(f"no such file: {path}", hint="check the path")
    if found is None:
        kinds = "; ".join(entry.summary for entry in SOURCES.values())
        raise ConfigError(f"unknown data set {source!r}: expected {', '.join(BUNDLED)}, or a path to: {kinds}")
    return found.load(path, target, options or LoadOptions())


def resolve_source(source: str) -> str:
    """The name of a bundled data set as it is, a path made absolute: what still means the same data elsewhere."""
    return source if source in BUNDLED else str(Path(source).resolve())


def load_inputs(source: str, task: Task) -> np.ndarray:
    """Load rows to predict, floating, of shape (N, features): columns by name, or by position in a file without names.

    Raises:
        ConfigError: no such file, or of an unknown kind.
        DataError: columns are missing, or do not hold what the task says.
    """
    path = Path(source)
    there, found = _exists(path), find_source(path)
    if found is None or found.read_rows is None:
        readable = listed([entry.summary for entry in SOURCES.values() if entry.read_rows])
        raise ConfigError(f"expected {readable}; got {source!r}")
    if not there:
        raise ConfigError(f"no such file: {path}", hint="check the path")
    rows = found.read_rows(path, task)
    check_rows(rows, task, source)
    return rows


def _exists(path: Path) -> bool:
    try:
        return path.is_file() or path.is_dir()
    except (OSError, ValueError) as exc:  # a name that is too long, a folder that may not be entered, a NUL
        raise ConfigError(f"cannot look at {str(path)[:80]!r}: {exc.args[-1]}", hint="check the path") from exc

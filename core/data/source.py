"""`Source`: one way in which data lies on a disk; a module declares it, and `load` lists it in `SOURCES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from ..errors import ConfigError, DataError
from ..registry import Registry
from .dataset import Dataset
from .task import Kind, Missing, Task, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How data is read where its content leaves a choice.

    Attributes:
        kind: what to learn; None decides by the target's values, see `infer_kind`.
        categorical: columns of a table to take as categories although they hold numbers.
        ignore: columns of a table to leave out.
        only: columns of a table that are inputs, and no others; empty takes all that are left.
        keep: columns of a table that are no input but stay with the rows, in `Dataset.extra`.
        missing: what missing values of a table are; see `Column`.
        unknown: what categories that are not in the data are later on; see `Column`.
        classes: that there are, in this order, whether a row has them or not; empty takes those that occur. Folders of
            images are their classes.
        image_size: (height, width) in pixels to scale images of a folder to; None expects equal sizes.
        task: read the data as this task has it, such as that of a model or of another site: the same columns,
            categories and classes. The other options but `keep` are then not looked at.
    """

    kind: Kind | None = "classification"
    categorical: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    missing: Missing = "refuse"
    unknown: Unknown = "refuse"
    classes: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    task: Task | None = None

    def __post_init__(self) -> None:
        choices = (
            ("kind", self.kind or "classification", Kind),
            ("missing", self.missing, Missing),
            ("unknown", self.unknown, Unknown),
        )
        for name, value, allowed in choices:
            if value not in get_args(allowed):
                raise ConfigError(f"expected {name} as one of {', '.join(get_args(allowed))}, got {value!r}")
        if self.image_size is not None and min(self.image_size) < 1:
            raise ConfigError(f"expected an image size of at least (1, 1), got {self.image_size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A kind of file or folder.

    Attributes:
        summary: how it is called in a list of what can be loaded.
        matches: whether a path is of this kind, by its name, or by what a folder holds.
        load: read rows and targets; the second argument names the target where there is a choice.
        read_rows: read rows to predict, shape (N, features), floating, as a task's rows are; None where a source has no
            rows without targets.
    """

    summary: str
    matches: Callable[[Path], bool]
    load: Callable[[Path, str | None, LoadOptions], Dataset]
    read_rows: Callable[[Path, Task], np.ndarray] | None = None


SOURCES: Registry[Source] = Registry("source of data")


def find_source(path: Path) -> Source | None:
    """The first declared source that a path is of."""
    return next((source for source in SOURCES.values() if source.matches(path)), None)


def read_bytes(path: Path, limit: int) -> bytes:
    """All of a file of at most `limit` bytes.

    Raises:
        DataError: it is larger, or cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise DataError(f"{path}: {size} bytes are more than the {limit} that can be read")
        return path.read_bytes()
    except OSError as exc:
        raise DataError(f"{path}: cannot be read: {exc.strerror or exc}", hint="check its permissions") from exc

"""CIFAR-10 and CIFAR-100 in their binary version: rows of labels and 3 x 32 x 32 bytes.

Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ConfigError, DataError
from .assemble import Target, from_array
from .dataset import Dataset
from .source import LoadOptions, Source, read_bytes

IMAGE = (3, 32, 32)
PIXELS = 3 * 32 * 32
# CIFAR-10 has one label before the pixels, CIFAR-100 two: coarse, then fine.
LABELS = {"coarse": 20, "fine": 100}
_TRAIN_10 = [f"data_batch_{number}.bin" for number in range(1, 6)]
_FILES_10 = frozenset((*_TRAIN_10, "test_batch.bin"))
_FILES_100 = frozenset(("train.bin", "test.bin"))
_MAX_BYTES = 2**30  # the largest real file has 154 MB


def _matches(path: Path) -> bool:
    if path.is_dir():
        return any((path / name).is_file() for name in (_TRAIN_10[0], "train.bin"))
    return path.name in _FILES_10 | _FILES_100


def _load(path: Path, target: str | None, options: LoadOptions) -> Dataset:
    """A folder gives its training rows, a file its own: test rows stay out of a search unless they are asked for."""
    if not path.is_dir():
        files = [path]
    elif (path / "train.bin").is_file():
        files = [path / "train.bin"]
    else:
        files = [path / name for name in _TRAIN_10 if (path / name).is_file()]
    hundred = files[0].name in _FILES_100
    if options.kind == "regression":
        raise ConfigError(f"{path}: CIFAR has classes, got kind='regression'")
    if target is not None and not (hundred and target in LABELS):
        expected = "'coarse' or 'fine'" if hundred else "none: CIFAR-10 has one"
        raise ConfigError(f"{path}: expected a target of {expected}, got {target!r}")
    target = (target or "fine") if hundred else None
    rows = np.concatenate([_read(file, target) for file in files])
    labels = rows[:, 1 if target == "fine" else 0].astype(np.int64)
    folder = files[0].parent
    classes = _class_names(folder / (f"{target}_label_names.txt" if target else "batches.meta.txt"), target)
    images = rows[:, -PIXELS:].reshape(-1, *IMAGE).astype(np.float32)
    return from_array(path.name, str(path), images, Target("classification", labels, classes=classes), options)


def _read(path: Path, target: str | None) -> np.ndarray:
    width = PIXELS + (2 if target else 1)
    content = np.frombuffer(read_bytes(path, _MAX_BYTES), np.uint8)
    if not len(content) or len(content) % width:
        raise DataError(
            f"{path}: expected rows of {width} bytes, got {len(content)} bytes", hint="the file is cut off or another"
        )
    rows = content.reshape(-1, width)
    for column, classes in ((0, LABELS["coarse"]), (1, LABELS["fine"])) if target else ((0, 10),):
        wrong = np.flatnonzero(rows[:, column] >= classes)
        if len(wrong):
            raise DataError(
                f"{path}: row {wrong[0] + 1}: expected a label below {classes}, got {rows[wrong[0], column]}",
                hint="the file is damaged or another",
            )
    return rows


def _class_names(path: Path, target: str | None) -> tuple[str, ...]:
    """What the file beside the batches says, or the labels' numbers where there is none."""
    count = LABELS[target] if target else 10
    if not path.is_file():
        return tuple(map(str, range(count)))
    names = tuple(read_bytes(path, 2**16).decode("utf-8", "replace").split())
    if len(names) != count or len(set(names)) != count:
        raise DataError(f"{path}: expected {count} different names of classes, got {len(names)}")
    return names


SOURCE = Source(summary="a folder or file of CIFAR's binary batches", matches=_matches, load=_load)

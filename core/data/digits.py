"""The bundled data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources

import numpy as np

from .dataset import Dataset
from .task import Task


def load_digits() -> Dataset:
    """1,797 grey images of 8 x 8 pixels with values 0 to 16, the UCI optical digits test set; see digits.LICENSE.md."""
    with resources.as_file(resources.files(__package__ or "") / "digits.npz") as path, np.load(path) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    task = Task(
        input_shape=(1, 8, 8),
        features=tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
        classes=tuple(str(digit) for digit in range(10)),
    )
    return Dataset("digits", images.astype(np.float32)[:, None], labels.astype(np.int64), task)


BUNDLED: Mapping[str, Callable[[], Dataset]] = {"digits": load_digits}

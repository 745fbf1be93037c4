"""`Fold`: rows to train on and rows to measure on, ready for a network; one for a fixed split, several to
cross-validate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...core import ConfigError, derive_rng
from ...core.data import Dataset, Preprocessing, Task

Folds = int | Literal["auto"] | None
AUTO_ROWS = 800  # below, one split says too little about a candidate: see `choose_folds`
AUTO_FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One training set and the rows to measure on, preprocessed by what the former says.

    Attributes:
        inputs: to train on, float32, shape (N, *task.input_shape).
        targets: class indices, int64, shape (N,), or standardised measurements, float32, shape (N, targets).
        held_inputs: to measure on.
        held_labels: their labels as they are: measurements in their own units.
        preprocessing: fitted on the rows to train on.
    """

    inputs: np.ndarray
    targets: np.ndarray
    held_inputs: np.ndarray
    held_labels: np.ndarray
    preprocessing: Preprocessing

    @classmethod
    def of(cls, train: Dataset, held: Dataset) -> Fold:
        """Preprocess rows by what `train` says."""
        preprocessing = Preprocessing.fit(train.inputs, train.task, train.labels)
        return cls(
            preprocessing.apply(train.inputs),
            preprocessing.apply_targets(train.labels),
            preprocessing.apply(held.inputs),
            held.labels,
            preprocessing,
        )

    @property
    def task(self) -> Task:
        """What is to be learned."""
        return self.preprocessing.task


def choose_folds(folds: Folds, rows: int) -> int | None:
    """How many folds to use; None for the split as it is.

    "auto" takes five for fewer than 800 rows. There a fixed split of a fifth has too few rows to tell candidates apart
    (one of 80 rows is worth 1.25 points), and training five times is cheap.

    Raises:
        ConfigError: fewer than two folds, or more than rows.
    """
    if folds is None or folds == "auto":
        return AUTO_FOLDS if folds and AUTO_FOLDS <= rows < AUTO_ROWS else None
    if not 2 <= folds <= rows:
        raise ConfigError(f"expected 2 to {rows} folds, 'auto' or None, got {folds!r}")
    return folds


def make_folds(train: Dataset, validation: Dataset, folds: Folds, seed: int) -> tuple[Fold, ...]:
    """The given split, or that many folds of all its rows, with classes spread evenly.

    Args:
        train: rows to train on.
        validation: rows to measure on.
        folds: see `choose_folds`.
        seed: decides which row goes into which fold.
    """
    count = choose_folds(folds, len(train) + len(validation))
    if count is None:
        return (Fold.of(train, validation),)
    whole = train.join(validation)
    part = _deal(whole, count, derive_rng(seed, "folds"))
    return tuple(
        Fold.of(whole.take(np.flatnonzero(part != k)), whole.take(np.flatnonzero(part == k))) for k in range(count)
    )


def shorten(fold: Fold, rows: float, seed: int) -> Fold:
    """A part of the rows to train on, in (0, 1], with classes in proportion; a larger part has the rows of a smaller.

    At least one row stays.
    """
    if rows == 1:
        return fold
    order = _stratified_order(fold.targets, fold.task, derive_rng(seed, "rows"))
    chosen = np.sort(order[: max(1, round(rows * len(order)))])
    return replace(fold, inputs=fold.inputs[chosen], targets=fold.targets[chosen])


def shrink(fold: Fold, side: tuple[int, int]) -> Fold:
    """Images of a smaller size, each pixel the mean of the area it covers."""
    if fold.inputs.shape[2:] == side:
        return fold
    return replace(fold, inputs=shrink_images(fold.inputs, side), held_inputs=shrink_images(fold.held_inputs, side))


def shrink_images(images: np.ndarray, side: tuple[int, int]) -> np.ndarray:
    """Images (N, C, H, W) of size `side`, each pixel the mean of the area it covers; float32."""
    rows, columns = (_averaging(old, new) for old, new in zip(images.shape[2:], side, strict=True))
    return np.ascontiguousarray(rows @ images @ columns.T)


def _averaging(old: int, new: int) -> np.ndarray:
    """Weights, shape (new, old), float32: how much of each old pixel lies in each new one."""
    edges = np.arange(new + 1) * (old / new)
    pixels = np.arange(old)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (overlap.clip(0) * (new / old)).astype(np.float32)


def _deal(data: Dataset, folds: int, rng: np.random.Generator) -> np.ndarray:
    """The fold of each row, shape (N,): those of a class are dealt out one by one, from where the last class ended."""
    order = rng.permutation(len(data))
    if data.task.kind == "classification":
        order = order[np.argsort(data.labels[order], kind="stable")]
    part = np.empty(len(data), np.int64)
    part[order] = np.arange(len(data)) % folds
    return part


def _stratified_order(targets: np.ndarray, task: Task, rng: np.random.Generator) -> np.ndarray:
    """An order of the rows of which every beginning has the classes in about their proportions."""
    order = rng.permutation(len(targets))
    if task.kind == "regression":
        return order
    labels = targets[order]
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return order[np.argsort(place, kind="stable")]

"""Seeded splits of the rows into parts such as train, validation and test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ConfigError, DataError
from ..seeding import derive_rng
from .dataset import Dataset

FRACTIONS = (0.6, 0.2, 0.2)  # train, validation, test


def stratified_split(data: Dataset, fractions: Sequence[float], rng: np.random.Generator) -> list[Dataset]:
    """Divide the rows so that every part has each class in about the same proportion.

    Args:
        data: the rows.
        fractions: the share of each part, > 0, adding up to 1.
        rng: decides which rows go where.

    Returns:
        One data set per fraction; each class has at least one row in every part.

    Raises:
        ConfigError: the fractions are not positive or do not add up to 1, or the task is a regression.
        DataError: a class has fewer rows than there are parts.
    """
    _check_fractions(fractions)
    if data.task.kind != "classification":
        raise ConfigError(f"{data.name}: a regression has no classes to split by", hint="use random_split")
    parts: list[list[np.ndarray]] = [[] for _ in fractions]
    for label, name in enumerate(data.task.classes):
        rows = rng.permutation(np.flatnonzero(data.labels == label))
        if len(rows) < len(fractions):
            raise DataError(
                f"{data.name}: class {name!r} has {len(rows)} rows; at least {len(fractions)} are needed, "
                "one for each part of the split",
                hint="add rows of this class, or leave it out",
            )
        # One row of the class for every part, the rest in proportion.
        spare = len(rows) - len(fractions)
        bounds = np.round(np.cumsum(fractions) * spare).astype(int) + np.arange(1, len(fractions) + 1)
        for part, chunk in zip(parts, np.split(rows, bounds[:-1]), strict=True):
            part.append(chunk)
    return [data.take(np.sort(np.concatenate(part))) for part in parts]


def random_split(data: Dataset, fractions: Sequence[float], rng: np.random.Generator) -> list[Dataset]:
    """Divide the rows whatever they are: what a regression needs.

    Args:
        data: the rows.
        fractions: the share of each part, > 0, adding up to 1.
        rng: decides which rows go where.

    Returns:
        One data set per fraction, with at least one row; its size is off by less than the number of parts.

    Raises:
        ConfigError: the fractions are not positive or do not add up to 1.
        DataError: there are fewer rows than parts.
    """
    _check_fractions(fractions)
    if len(data) < len(fractions):
        raise DataError(f"{data.name}: expected at least {len(fractions)} rows, one for each part, got {len(data)}")
    bounds: list[int] = []
    for done, bound in enumerate(np.round(np.cumsum(fractions[:-1]) * len(data)).astype(int).tolist(), start=1):
        least = bounds[-1] + 1 if bounds else 1
        bounds.append(min(max(bound, least), len(data) - len(fractions) + done))
    return [data.take(np.sort(part)) for part in np.split(rng.permutation(len(data)), bounds)]


def train_validation_test(data: Dataset, seed: int) -> tuple[Dataset, Dataset, Dataset]:
    """The split of the whole product, 60 : 20 : 20, stratified where there are classes: with the same seed, a search
    and a federated run of what it found keep the same test rows.
    """
    split = stratified_split if data.task.kind == "classification" else random_split
    train, validation, test = split(data, FRACTIONS, derive_rng(seed, "split"))
    return train, validation, test


def _check_fractions(fractions: Sequence[float]) -> None:
    if not np.isclose(sum(fractions), 1) or min(fractions) <= 0:
        raise ConfigError(f"expected positive fractions that add up to 1, got {list(fractions)}")

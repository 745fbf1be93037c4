"""Seeded splits of the rows: stratified parts, and Dirichlet shares for simulated clients."""

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
        DataError: a class has fewer rows than there are parts.
    """
    if not np.isclose(sum(fractions), 1) or min(fractions) <= 0:
        raise ConfigError(f"expected positive fractions that add up to 1, got {list(fractions)}")
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


def train_validation_test(data: Dataset, seed: int) -> tuple[Dataset, Dataset, Dataset]:
    """The stratified split of the whole product, 60 : 20 : 20: with the same seed, a search and a federated run of what
    it found keep the same test rows.
    """
    train, validation, test = stratified_split(data, FRACTIONS, derive_rng(seed, "split"))
    return train, validation, test


def dirichlet_split(
    data: Dataset, clients: int, alpha: float, rng: np.random.Generator, *, min_rows: int = 2
) -> list[Dataset]:
    """Share the rows out over clients, each class in proportions drawn from a Dirichlet distribution.

    Args:
        data: the rows.
        clients: number of parts.
        alpha: concentration, > 0; small values give each client few classes, large ones equal shares.
        rng: draws the proportions and the rows.
        min_rows: no client gets fewer, >= 1; the richest give.

    Raises:
        ConfigError: fewer rows than `clients * min_rows`, or an argument is not positive.

    Source: Hsu et al. 2019, https://arxiv.org/abs/1909.06335.
    """
    if not (np.isfinite(alpha) and alpha > 0):
        raise ConfigError(f"expected alpha > 0, got {alpha}")
    if clients < 1 or min_rows < 1:
        raise ConfigError(f"expected clients and min_rows >= 1, got {clients} and {min_rows}")
    if clients * min_rows > len(data):
        raise ConfigError(
            f"{data.name}: {clients} clients need at least {clients * min_rows} training rows ({min_rows} each), "
            f"got {len(data)}",
            hint="use fewer clients or more data",
        )
    shares: list[list[int]] = [[] for _ in range(clients)]
    for label in range(len(data.task.classes)):
        rows = rng.permutation(np.flatnonzero(data.labels == label))
        bounds = np.round(np.cumsum(rng.dirichlet(np.full(clients, alpha))) * len(rows)).astype(int)
        for share, chunk in zip(shares, np.split(rows, bounds[:-1]), strict=True):
            share.extend(chunk.tolist())
    for share in shares:
        while len(share) < min_rows:
            richest = max(shares, key=len)
            share.append(richest.pop())
    return [data.take(np.sort(np.asarray(share))) for share in shares]

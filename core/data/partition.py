"""Shares of the rows for simulated clients: alike (IID), by class (Dirichlet), or as a column says."""

from __future__ import annotations

import heapq

import numpy as np

from ..errors import ConfigError
from .cells import listed, shorten
from .dataset import Dataset


def iid_split(data: Dataset, clients: int, rng: np.random.Generator, *, min_rows: int = 2) -> list[Dataset]:
    """Share the rows out at random, in parts whose sizes differ by at most one.

    Args:
        data: the rows.
        clients: number of parts.
        rng: decides which rows go where.
        min_rows: what every client must get, >= 1.

    Raises:
        ConfigError: fewer rows than `clients * min_rows`, or an argument is not positive.
    """
    _check_clients(data, clients, min_rows)
    return [data.take(np.sort(share)) for share in np.array_split(rng.permutation(len(data)), clients)]


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
        ConfigError: fewer rows than `clients * min_rows`, an argument is not positive, or the task is a regression.

    Source: Hsu et al. 2019, https://arxiv.org/abs/1909.06335.
    """
    return [data.take(rows) for rows in dirichlet_rows(data, clients, alpha, rng, min_rows=min_rows)]


def dirichlet_rows(
    data: Dataset, clients: int, alpha: float, rng: np.random.Generator, *, min_rows: int = 2
) -> list[np.ndarray]:
    """As `dirichlet_split`, but which rows each client has: ascending indices, for thousands of clients."""
    if not (np.isfinite(alpha) and alpha > 0):
        raise ConfigError(f"expected alpha > 0, got {alpha}")
    if data.task.kind != "classification":
        raise ConfigError(
            f"{data.name}: a regression has no classes to share out unevenly", hint="use iid_split or column_split"
        )
    _check_clients(data, clients, min_rows)
    shares: list[list[int]] = [[] for _ in range(clients)]
    for label in range(len(data.task.classes)):
        rows = rng.permutation(np.flatnonzero(data.labels == label))
        bounds = np.round(np.cumsum(rng.dirichlet(np.full(clients, alpha))) * len(rows)).astype(int)
        for share, chunk in zip(shares, np.split(rows, bounds[:-1]), strict=True):
            share.extend(chunk.tolist())
    _top_up(shares, min_rows)
    return [np.sort(np.asarray(share)) for share in shares]


def _top_up(shares: list[list[int]], min_rows: int) -> None:
    """Let the richest, of equals the first, give to those with too few, until all have enough."""
    by_wealth = [(-len(share), i) for i, share in enumerate(shares)]
    heapq.heapify(by_wealth)
    for share in shares:
        while len(share) < min_rows:
            # Who gets something has no more than `min_rows` afterwards, which is less than the richest of all has, so
            # no entry needs to be changed but that of the giver.
            wealth, richest = heapq.heappop(by_wealth)
            share.append(shares[richest].pop())
            heapq.heappush(by_wealth, (wealth + 1, richest))


def column_split(data: Dataset, column: str, clients: int | None = None, *, min_rows: int = 2) -> list[Dataset]:
    """Share the rows out by the values of a column, such as the hospital they come from: no value is divided.

    Args:
        data: the rows.
        column: a column of the table, or of `data.extra`. Rows where it is missing belong together.
        clients: number of parts; neighbouring values, in their order, share a client so that the parts are about
            equally large. None makes one part for each value.
        min_rows: what every client must get, >= 1.

    Returns:
        The parts, in the order of the values.

    Raises:
        ConfigError: there is no such column, it has fewer values than there are clients, or a client gets too few rows.
    """
    values = _values_of(data, column)
    different, groups, counts = np.unique(values, return_inverse=True, return_counts=True)
    if clients is None:
        clients = len(different)
    _check_clients(data, clients, min_rows)
    if len(different) < clients:
        raise ConfigError(
            f"{data.name}: column {column!r} has {len(different)} values, expected at least one for each of "
            f"{clients} clients",
            hint="use fewer clients, or a column with more values",
        )
    ends = np.cumsum(counts)
    bounds: list[int] = []  # the first value of every client but the first
    for client in range(1, clients):
        first = bounds[-1] + 1 if bounds else 1
        last = len(different) - (clients - client)
        distance = np.abs(ends[first - 1 : last] - len(data) * client / clients)
        bounds.append(first + int(distance.argmin()))
    owners = np.searchsorted(np.asarray(bounds), groups, side="right")
    sizes = np.bincount(owners, minlength=clients)
    if sizes.min() < min_rows:
        poor = int(sizes.argmin())
        names = [shorten(str(value)) for value in different[np.unique(groups[owners == poor])].tolist()]
        raise ConfigError(
            f"{data.name}: the client with {listed(names)} of column {column!r} has {sizes[poor]} rows, "
            f"expected at least {min_rows}",
            hint="use fewer clients, or leave out rows with rare values",
        )
    return [data.take(np.flatnonzero(owners == client)) for client in range(clients)]


def _values_of(data: Dataset, column: str) -> np.ndarray:
    if column in data.extra:
        return data.extra[column]
    names = [known.name for known in data.task.schema]
    if column not in names:
        known = listed([*names, *data.extra])
        raise ConfigError(f"{data.name}: there is no column {column!r}; its columns are {known or 'without names'}")
    return data.inputs[:, names.index(column)]


def _check_clients(data: Dataset, clients: int, min_rows: int) -> None:
    if clients < 1 or min_rows < 1:
        raise ConfigError(f"expected clients and min_rows >= 1, got {clients} and {min_rows}")
    if clients * min_rows > len(data):
        raise ConfigError(
            f"{data.name}: {clients} clients need at least {clients * min_rows} training rows ({min_rows} each), "
            f"got {len(data)}",
            hint="use fewer clients or more data",
        )

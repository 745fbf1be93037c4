"""Which points a model is asked about: all candidates of a small space, the surroundings of the best in a large one."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from ..space import Flat, Scalar, Space
from .features import Features, Places, Rows

SMALL = 20_000  # points of a space, equal candidates counted apart, up to which all of it is the pool
RANDOM = 200
DRAWS = 400  # at random points
MUTATED = 200
CROSSED = 60
CHANGES = 3  # a mutation makes 1 to 3 changes
NEIGHBOURS = 100  # of the best point


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Candidates, each once.

    Attributes:
        identities: of the candidates.
        points: for each candidate the points that stand for it, at least one; with nothing that does not count, such as
            operations that lead nowhere, because a benchmark's table may have the time that they take.
        rows: their vectors, shape (candidates, elements).
    """

    identities: tuple[str, ...]
    points: tuple[tuple[Flat, ...], ...]
    rows: Rows

    def untried(self, tried: Container[str]) -> Places:
        """Places of those that were not tried yet."""
        return np.flatnonzero([identity not in tried for identity in self.identities])


def pool_of(points: Iterable[Flat], space: Space, features: Features) -> Pool:
    """The candidates that points stand for."""
    found: dict[str, dict[tuple[Scalar, ...], Flat]] = {}
    for point in points:
        plain = space.canonical(point)
        found.setdefault(space.identity(point), {}).setdefault(tuple(plain.values()), plain)
    members = tuple(tuple(each.values()) for each in found.values())
    return Pool(tuple(found), members, features.rows(each[0] for each in members))


def everything(space: Space, features: Features) -> Pool | None:
    """All candidates of a small space, whose features are narrowed to what they have; None for a large one."""
    if space.size > SMALL:
        return None
    pool = pool_of((point for point in space.points() if space.allows(point)), space, features)
    return replace(pool, rows=features.narrowed(pool.rows))


def random_points(space: Space, rng: np.random.Generator) -> list[Flat]:
    """Points from anywhere: fewer where the constraints are so narrow that most draws are in vain."""
    drawn = (space.draw(rng) for _ in range(DRAWS))
    return list(islice(filter(space.allows, drawn), RANDOM)) or [space.sample(rng)]


def surroundings(best: Sequence[Flat], space: Space, rng: np.random.Generator) -> list[Flat]:
    """Points near some good ones.

    Args:
        best: the best first; may be empty.
        space: where they are from.
        rng: decides which.
    """
    found: list[Flat] = []
    if best:
        found += islice(space.neighbours(best[0]), NEIGHBOURS)
        # The better a parent the more of the children are its own: rank r has a share like 1 / (1 + r).
        chances = 1 / np.arange(1, len(best) + 1)
        drawn = rng.choice(len(best), (MUTATED + CROSSED, 2), p=chances / chances.sum())
        parents: list[list[int]] = drawn.tolist()
        for first, second in parents[:CROSSED]:
            found.append(space.crossover(best[first], best[second], rng))
        for parent, _ in parents[CROSSED:]:
            child = best[parent]
            for _ in range(int(rng.integers(1, CHANGES + 1))):
                child = space.mutate(child, rng)
            found.append(child)
    return found

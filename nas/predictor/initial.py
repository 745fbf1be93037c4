"""The first trials: spread out over the space, and rather large networks than small ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..space import Flat, Space
from .features import Features, Rows, squared_distances
from .pool import Pool

DRAWN = 8  # candidates of which the one farthest from all earlier ones is taken
PAIR = 2  # random networks of which the one with more parameters becomes a candidate


def spread_out(
    earlier: Rows, space: Space, features: Features, everything: Pool | None, rng: np.random.Generator, *, large: bool
) -> Iterator[Flat]:
    """Random candidates, those far from earlier trials first. Candidates that many points stand for are no likelier.

    Args:
        earlier: vectors of the trials so far, may be none.
        space, features: where the candidates are from, and what they look like.
        everything: all candidates, of a small space.
        rng: decides.
        large: of random networks, take those with more parameters. On what they can learn from few examples networks
            differ a lot, but the ones with next to no parameters are seldom good.
    """
    while True:
        drawn = [_drawn(space, everything, rng, large=large) for _ in range(DRAWN)]
        if not len(earlier):
            yield from drawn
            continue
        distances = squared_distances(features.rows(drawn), earlier, features.columns.groups).sum(axis=0)
        yield from (drawn[place] for place in np.argsort(-distances.min(axis=1), kind="stable").tolist())


def _drawn(space: Space, everything: Pool | None, rng: np.random.Generator, *, large: bool) -> Flat:
    pair = [_random(space, everything, rng) for _ in range(PAIR if large and space.template is not None else 1)]
    return max(pair, key=lambda point: space.costs(point).parameters) if len(pair) > 1 else pair[0]


def _random(space: Space, everything: Pool | None, rng: np.random.Generator) -> Flat:
    if everything is None:
        return space.canonical(space.sample(rng))
    members = everything.points[int(rng.integers(len(everything.points)))]
    return members[int(rng.integers(len(members)))]

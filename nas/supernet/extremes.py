"""Points of a space that a supernet has to know: its largest and smallest network, and enough others to meet all
places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from math import prod

import numpy as np

from ...core import ConfigError, FormatError
from ...core.nn import plan_layers
from ..space import ROOT, Choice, Flat, Float, Leaf, Space
from ..space.nodes import Scalar

Size = tuple[int, int]  # parameters, multiply-accumulates
STARTS = 2  # random points, each also with its numbers at the ends
MOST_VALUES = 16  # of a whole number that are looked at: in between, networks are in between
MAX_SWEEPS = 4  # passes over all decisions, each of which makes the network larger or leaves it


def network_leaves(space: Space) -> dict[str, Leaf]:
    """The decisions that make the network, without those about its training."""
    return {path: leaf for path, leaf in space.leaves().items() if path.startswith(f"{ROOT}/")}


def values_of(leaf: Leaf) -> tuple[Scalar, ...]:
    """All values of a decision; of a real number its two ends, of a whole one with many some `MOST_VALUES` of them, the
    ends included.
    """
    if isinstance(leaf, Float):
        return leaf.low, leaf.high
    if isinstance(leaf, Choice) or len(leaf.values) <= MOST_VALUES:
        return tuple(leaf.values)
    last = len(leaf.values) - 1
    return tuple(leaf.values[last * place // (MOST_VALUES - 1)] for place in range(MOST_VALUES))


def extreme(space: Space, rng: np.random.Generator, *, largest: bool, constrained: bool = True) -> dict[str, Scalar]:
    """The point with the most (or fewest) parameters, then multiply-accumulates, that changes of one decision at a time
    lead to, from the best of a few points: random ones, and those with all numbers at their ends.

    A smallest network still depends on its input.

    Args:
        space: with networks.
        rng: of the points to begin at.
        largest: or the smallest.
        constrained: keep the space's constraints.
    """
    keeps = space.allows if constrained and space.constraints else _anything
    starts = [space.sample(rng) for _ in range(STARTS)]
    starts += [_at_the_ends(space, start, largest=largest) for start in starts]
    sized = [(size, start) for start in starts if (size := _size(space, start)) is not None and keeps(start)]
    if not sized:
        return starts[0]
    size, start = (max if largest else min)(sized, key=lambda end: end[0])
    return _climb(space, size, start, 1 if largest else -1, keeps)


def covering(space: Space, base: Flat, rng: np.random.Generator, count: int) -> Iterator[dict[str, Scalar]]:
    """Points whose networks have, between them, every place at its largest: all there are of a space of at most `count`
    networks; else every decision's values with all others as in `base`, and `count` random points.

    Constraints do not count, and some networks may not build.

    Args:
        space: with networks.
        base: the largest point.
        rng: of random points.
        count: how many of them.
    """
    leaves = network_leaves(space)
    if prod(count + 1 if isinstance(leaf, Float) else len(leaf.values) for leaf in leaves.values()) <= count:
        start = space.sample(rng)
        for values in product(*(leaf.values for leaf in leaves.values() if not isinstance(leaf, Float))):
            yield {**start, **dict(zip(leaves, values, strict=True))}
        return
    # Decisions that are switched off in the largest network are on in others.
    base = {**_at_the_ends(space, base, largest=True), **{path: base[path] for path in space.active(base)}}
    yield base
    for path, leaf in leaves.items():
        for value in values_of(leaf):
            yield {**_activated(base, path, leaves), path: value}
    for _ in range(count):
        yield space.sample(rng)


def check_networks(space: Space) -> None:
    """A supernet needs networks.

    Raises:
        ConfigError: the space is a table of decisions.
    """
    if space.task is None or space.template is None:
        raise ConfigError(f"space {space.name!r} is a table of decisions: it has no networks to share weights")


def _size(space: Space, flat: Flat) -> Size | None:
    """None for what does not build, or does not depend on its input."""
    assert space.task is not None
    try:
        layers = space.expanded(flat)
        plan = plan_layers([layer.spec for layer in layers], space.task.input_shape)
    except FormatError:
        return None
    return None if any(layer.spec.kind == "zeros" for layer in layers) else (plan.parameters, plan.macs)


def _anything(flat: Flat) -> bool:
    return True


def _climb(space: Space, size: Size, start: Flat, sign: int, keeps: Callable[[Flat], bool]) -> dict[str, Scalar]:
    """Change one decision after the other as long as that makes the network larger (sign 1) or smaller (-1)."""
    best = dict(start)
    for _ in range(MAX_SWEEPS):
        before = size
        for path, leaf in network_leaves(space).items():
            if path not in space.active(best):
                continue
            for value in values_of(leaf):
                trial = {**best, path: value}
                found = _size(space, trial) if value != best[path] else None
                if found is not None and (found > size) - (found < size) == sign and keeps(trial):
                    best, size = trial, found
        if size == before:
            break
    return best


def _at_the_ends(space: Space, flat: Flat, *, largest: bool) -> dict[str, Scalar]:
    """The point with every number at its highest or lowest value, and every part there is or left out."""
    moved = dict(flat)
    for path, leaf in network_leaves(space).items():
        values = values_of(leaf)
        if not any(isinstance(value, str) for value in values):
            moved[path] = max(values) if largest else min(values)
    return moved


def _activated(base: Flat, path: str, leaves: Mapping[str, Leaf]) -> dict[str, Scalar]:
    """The point with the decisions above `path` such that it counts."""
    flat = dict(base)
    for other, leaf in leaves.items():
        parent = other.rpartition("/")[0]
        if not path.startswith(f"{parent}/") or path == other:
            continue
        if other.endswith(("/present", "/count")):
            flat[other] = values_of(leaf)[-1]
        elif isinstance(leaf, Choice):
            # Options of a choice stand below it, operations of a cell below the cell.
            for value in leaf.values:
                if path.startswith((f"{other}/{value}/", f"{parent}/{value}/")):
                    flat[other] = value
    return flat

"""Points of a space as vectors: in groups, so that a kernel can weigh what each group says about two networks.

- decisions: the canonical point, one element per option of every choice and numbers on a scale from 0 to 1;
- counts: how many nodes of each kind the canonical network has;
- neighbourhoods: each node together with the nodes before it, the first step of Weisfeiler and Lehman's;
- paths: what is done on each way from input to output.

The last three come from the canonical graph and are hashed to a fixed width. A table of decisions has the first only.

Source: Ru et al. 2021 (NAS-BOWL), https://arxiv.org/abs/2006.07556; White et al. 2021 (BANANAS),
https://arxiv.org/abs/1910.11858, for the paths; Shervashidze et al. 2011 for the neighbourhoods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import sqrt
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from ...core import derive_rng
from ..space import TRAINING, Choice, Flat, LabelledGraph, Leaf, Scalar, Space, to_unit

Rows = np.ndarray[Any, np.dtype[np.float32]]
Matrix = np.ndarray[Any, np.dtype[np.floating[Any]]]
Places = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

REFERENCE = 200  # random points on which the groups are brought to one scale
MAX_PATHS = 64  # a network with more ways through is described by its neighbourhoods alone
OWN_GROUPS = 8  # hyperparameters of which each is a group of its own; more of them are one group
CACHED = 100_000  # vectors kept
COUNTS, NEIGHBOURHOODS, PATHS = "counts", "neighbourhoods", "paths"
WIDTHS = {COUNTS: 64, NEIGHBOURHOODS: 512, PATHS: 256}


class Columns(NamedTuple):
    """Which columns of vectors belong together, and in which a function may be linear."""

    groups: Sequence[slice]
    linear: slice


class Features:
    """The vectors of a space's points; the same for equal candidates.

    Args:
        space: says which decisions there are and what the networks look like.

    Attributes:
        columns: those of each group, without groups in which all random points are equal; linear in the decisions and
            the counts.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._leaves = space.leaves()
        self._own = {path for path in self._leaves if space.template is not None and path.startswith(f"{TRAINING}/")}
        if len(self._own) > OWN_GROUPS:
            self._own = set[str]()
        each = {path: _width(leaf, space.template is None) for path, leaf in self._leaves.items()}
        widths = [sum(width for path, width in each.items() if path not in self._own)]
        widths += [width for path, width in each.items() if path in self._own]
        linear = len(widths)
        if space.template is not None:
            widths += WIDTHS.values()
            linear += 1  # the counts
        ends = np.cumsum(widths).tolist()
        self._known: dict[str, Rows] = {}
        self._scales = np.ones(ends[-1], np.float32)
        self._kept: Mask = np.ones(ends[-1], np.bool_)
        rng = derive_rng(0, "features")
        sample = self.rows([space.sample(rng) for _ in range(REFERENCE)])
        differences = sample - np.roll(sample, 1, axis=0)
        groups: list[slice] = []
        for columns in (slice(end - width, end) for end, width in zip(ends, widths, strict=True)):
            spread = float((differences[:, columns] ** 2).sum(axis=1).mean())
            if spread > 0:
                groups.append(columns)
                self._scales[columns] = 1 / sqrt(spread)
        self.columns = Columns(tuple(groups), slice(ends[linear - 1]))
        decided = ends[-1] if space.template is None else ends[linear - 2]
        self._decided = sum(columns.stop <= decided for columns in groups)
        self._known.clear()

    @property
    def plain(self) -> Columns:
        """The columns without what is read from the graph, for a second model that errs elsewhere."""
        return Columns(self.columns.groups[: self._decided], self.columns.linear)

    def narrowed(self, rows: Rows) -> Rows:
        """Leave out from now on what is zero in all rows of all candidates; returns their rows without it."""
        used = rows.any(axis=0)
        before = np.concatenate([[0], np.cumsum(used)]).tolist()  # columns that stay in front of each
        groups, linear = self.columns
        narrow = [slice(before[group.start], before[group.stop]) for group in groups]
        self.columns = Columns(tuple(narrow), slice(before[linear.stop]))
        self._kept[self._kept] = used
        self._known.clear()
        return rows[:, used]

    def rows(self, points: Iterable[Flat]) -> Rows:
        """Shape (points, elements), float32; the mean squared distance of random points is 1 in every group."""
        return np.array([self._row(point) for point in points], np.float32).reshape(-1, int(self._kept.sum()))

    def _row(self, point: Flat) -> Rows:
        identity = self._space.identity(point)
        row = self._known.get(identity)
        if row is None:
            if len(self._known) >= CACHED:
                self._known.clear()
            row = self._known[identity] = (self._vector(point) * self._scales)[self._kept]
        return row

    def _vector(self, point: Flat) -> Rows:
        canonical = self._space.canonical(point)
        table = self._space.template is None
        shared, own = list[float](), list[float]()
        for path, leaf in self._leaves.items():
            (own if path in self._own else shared).extend(_elements(leaf, canonical[path], table))
        if table:
            return np.array(shared, np.float32)
        graph = self._space.graph(canonical)
        hashed = [np.zeros(width, np.float32) for width in WIDTHS.values()]
        for place, texts in enumerate((graph.labels, neighbourhoods(graph), paths(graph))):
            for text in texts:
                hashed[place][crc32(text.encode()) % len(hashed[place])] += 1.0
        hashed[-1] = np.minimum(hashed[-1], 1.0)  # a path is there or not
        return np.concatenate([np.array([*shared, *own], np.float32), *hashed])


def _width(leaf: Leaf, table: bool) -> int:
    return len(_elements(leaf, None, table))


def _elements(leaf: Leaf, value: Scalar | None, table: bool) -> list[float]:
    """A decision as numbers; two values that have nothing in common are at distance 1.

    The options of a table are names, whatever they look like. In a network, 16, 32 and 64 channels are also an order.
    """
    if not isinstance(leaf, Choice):
        return [0.0 if value is None else to_unit(leaf, value)]
    options = leaf.values
    ordered = not table and len(options) > 2 and all(type(option) in (int, float) for option in options)
    height = sqrt(0.25 if ordered else 0.5)
    same = [height if option == value and type(option) is type(value) else 0.0 for option in options]
    if not ordered:
        return same
    rank = 0.0 if value is None else sorted(options).index(value) / (len(options) - 1)
    return [*same, sqrt(0.5) * rank]


def neighbourhoods(graph: LabelledGraph) -> Iterator[str]:
    """Each node's label with those of the nodes before it."""
    before: list[list[str]] = [[] for _ in graph.labels]
    for i, j in graph.edges:
        before[j].append(graph.labels[i])
    for label, others in zip(graph.labels, before, strict=True):
        yield f"{label}<{','.join(sorted(others))}"


def paths(graph: LabelledGraph) -> Iterator[str]:
    """The labels on every way from the first node to the last; nothing where there are more than `MAX_PATHS`."""
    ways = [0] * len(graph.labels)
    ways[0] = 1
    after: list[list[int]] = [[] for _ in graph.labels]
    for i, j in sorted(set(graph.edges)):
        ways[j] += ways[i]
        after[i].append(j)
    if ways[-1] > MAX_PATHS:
        return
    waiting = [(0, "")]
    while waiting:
        node, text = waiting.pop()
        if node == len(graph.labels) - 1:
            yield text
        waiting += [(further, f"{text}/{graph.labels[further]}") for further in after[node]]


def squared_distances(a: Rows, b: Rows, groups: Sequence[slice]) -> Rows:
    """Between the rows of two sets, group by group: shape (groups, rows of a, rows of b), >= 0."""
    found = np.empty((len(groups), len(a), len(b)), np.float32)
    for place, columns in enumerate(groups):
        left, right = a[:, columns], b[:, columns]
        used = np.flatnonzero(right.any(axis=0))
        few = 2 * len(used) < right.shape[1]  # of hashed columns: the others do not count in the products
        cross = left[:, used] @ right[:, used].T if few else left @ right.T
        squares = np.einsum("ij,ij->i", left, left)[:, None] + np.einsum("ij,ij->i", right, right)
        np.maximum(squares - 2 * cross, 0.0, out=found[place])
    return found

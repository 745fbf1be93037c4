"""What is computed again instead of kept: cheap values, by whoever reads them.

A value that follows by a few additions and products from one that is in memory anyway costs less to compute than to
read, let alone to write: a normalised activation in the backward pass, a mask of a ReLU, all that belongs to channels.
What nobody wants any more is then not computed where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Final

from ..graph import Graph, Node, Value
from .group import ROW_OPS, Group, Item, reduction_of

CHEAP: Final = frozenset(
    {"add", "subtract", "multiply", "negative", "square", "maximum", "minimum", "where", "relu", "masked_scale"}
    | {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}
    | {"logical_and", "logical_or", "logical_not"}
)
LONGEST: Final = 16  # nodes that are computed again for one value


def recomputed(items: Sequence[Item], graph: Graph) -> list[Item]:
    """A schedule whose groups compute cheap values themselves.

    Args:
        items: in order.
        graph: what they are the schedule of.
    """
    return _Recompute(items, graph).run()


class _Recompute:
    def __init__(self, items: Sequence[Item], graph: Graph) -> None:
        self._items = list(items)
        self._wanted = set(graph.wanted())
        self._home: dict[Value, Group] = {}
        self._pinned = set(self._wanted)  # in memory whatever groups do
        # Of these there is one for each row, whatever their shape looks like.
        self._labels = {value for node in graph.nodes if node.op.name == "one_hot" for value in node.values}
        self._order = {id(node): place for place, node in enumerate(graph.nodes)}
        self._again: dict[Group, list[Node]] = {}
        for item in items:
            if isinstance(item, Group):
                self._home.update((output, item) for node in item.nodes for output in node.outputs)
            else:
                self._pinned.update(item.values)

    def run(self) -> list[Item]:
        """The new schedule."""
        for item in self._items:
            if isinstance(item, Group):
                self._again[item] = self._extra(item)
        return self._pruned()

    def _extra(self, group: Group) -> list[Node]:
        """The nodes of the cheap values that a group reads, in order."""
        own = {output for node in group.nodes for output in node.outputs}
        read = dict.fromkeys(v for node in group.nodes for v in node.values if v not in own)
        chains = {value: chain for value in read if (chain := self._chain(value, group, whole=True)) is not None}
        short = {value: self._chain(value, group, whole=False) or chain for value, chain in chains.items()}
        full = {value for value in read if value not in chains and _is_full(value, group)}
        again: dict[int, Node] = {}
        # First those that leave no choice; then, what they read is there for the others.
        order = sorted(chains, key=lambda value: (chains[value][1] != short[value][1], len(chains[value][1])))
        for value in order:
            nodes, roots = chains[value] if chains[value][1] <= full else short[value]
            fresh = roots - full
            if _is_full(value, group) and len(fresh) > (0 if value in self._pinned else 1):
                full.add(value)
                continue
            full |= fresh
            again.update((id(node), node) for node in nodes)
        return sorted(again.values(), key=lambda node: self._order[id(node)])

    def _chain(self, value: Value, group: Group, *, whole: bool) -> tuple[list[Node], set[Value]] | None:
        """The nodes that compute a value again, and what of the group's shape they read; None if it is not cheap.

        Args:
            value: it.
            group: who wants it.
            whole: go on behind values that are in memory anyway.
        """
        nodes: dict[int, Node] = {}
        roots: set[Value] = set()
        waiting = [value]
        while waiting:
            each = waiting.pop()
            home, node = self._home.get(each), each.node
            stop = not whole and each is not value and each in self._pinned and _is_full(each, group)
            if node is None or home is None or stop or not self._is_cheap(node, group):
                if each is value:
                    return None
                if _is_full(each, group):
                    roots.add(each)
                continue
            if id(node) not in nodes:
                nodes[id(node)] = node
                waiting += node.values
            if len(nodes) > LONGEST:
                return None
        return list(nodes.values()), roots

    def _is_cheap(self, node: Node, group: Group) -> bool:
        if not node.op.elementwise or node.op.name in ROW_OPS or reduction_of(node) is not None:
            return False
        if node.outputs[0] in self._labels:
            return False
        shape, mine = node.outputs[0].shape, group.shape
        if len(shape) > len(mine) or any(n not in (1, m) for n, m in zip(shape[::-1], mine[::-1], strict=False)):
            return False
        if shape == mine:
            return node.op.name in CHEAP
        # Belongs to channels, or to everything.
        return prod(shape) == (shape[-1] if shape else 1)

    def _pruned(self) -> list[Item]:
        """Without what nobody wants."""
        needed = set(self._wanted)
        kept: list[Item] = []
        for item in reversed(self._items):
            if not isinstance(item, Group):
                if needed.intersection(item.outputs):
                    needed.update(item.values)
                    kept.append(item)
                continue
            nodes: list[Node] = []
            inside: set[Value] = set()
            stores: set[Value] = set()
            for node in reversed(item.nodes):
                stored = needed.intersection(node.outputs)
                if stored or inside.intersection(node.outputs):
                    stores |= stored
                    inside.update(node.values)
                    nodes.append(node)
            for node in reversed(self._again[item]):
                if inside.intersection(node.outputs):
                    inside.update(node.values)
                    nodes.append(node)
            if nodes:
                nodes.reverse()
                made = {output for node in nodes for output in node.outputs}
                needed.update(v for v in inside if v not in made)
                kept.append(replace(item, nodes=nodes, stores=stores))
        kept.reverse()
        return kept


def _is_full(value: Value, group: Group) -> bool:
    """Whether a value has more elements than channels."""
    return prod(value.shape) > (group.shape[-1] if group.shape else 1)

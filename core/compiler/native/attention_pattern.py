"""Gradients of attention, found in a graph by what they are made of.

A trace ends in the composition that is the gradient of `flash_attention`: scores and weights once more, and products.
Where it is of one tile, without a mask but that of later keys, and drops nothing, it becomes one node again, for which
there is a kernel.

    weights = exp(scale q k^T - level)         gv = weights^T g
    slopes = weights * (g v^T - slope)         gq = scale slopes k,  gk = slopes^T (scale q)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from ..graph import Graph, Input, Node, Value, inferred
from ..passes import Rewriting
from .attention import ATTENTION_GRADIENT, is_fused


@dataclass(frozen=True, slots=True)
class _Found:
    """The gradient of an attention.

    Attributes:
        inputs: of `ATTENTION_GRADIENT`.
        scale: of the scores.
        causal: whether queries see no later keys.
        made: its outputs.
        inside: the nodes that it is made of.
    """

    inputs: tuple[Value, ...]
    scale: float
    causal: bool
    made: tuple[Value, ...]
    inside: frozenset[Node]

    @property
    def params(self) -> Mapping[str, Any]:
        """Of `ATTENTION_GRADIENT`."""
        return {"scale": self.scale, "causal": self.causal}


def gather_attention(graph: Graph) -> Graph:
    """The graph with such gradients as one node each, where there is a kernel for them; what they were made of is left
    to nobody.
    """
    found = dict(_Matching(graph).run())
    return _Gathering(graph, found).run() if found else graph


class _Matching:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._wanted = set(graph.wanted())
        self._users: dict[Value, list[Node]] = defaultdict(list)
        for node in graph.nodes:
            for value in dict.fromkeys(node.values):
                self._users[value].append(node)

    def run(self) -> Iterator[tuple[Node, _Found]]:
        """Each, with the node from which on all is known that it reads."""
        known = set[Node]()
        for node in self._graph.nodes:
            known.add(node)
            if node.op.name != "multiply":
                continue
            for weights, raised in (node.inputs, node.inputs[::-1]):
                found = self._match(node, weights, raised)
                if found is not None and self._is_whole(found) and not any(v.node in known for v in found.made):
                    yield node, found

    def _match(self, product: Node, weights: Input, raised: Input) -> _Found | None:
        """What there is around weights * raised."""
        power, difference = _node(weights, "exp"), _node(raised, "subtract")
        lowered = None if power is None else _node(power.inputs[0], "subtract")
        if power is None or difference is None or lowered is None:
            return None
        hidden = self._hidden(lowered.inputs[0])
        of_keys = _turned_product(lowered.inputs[0] if hidden is None else hidden.inputs[1])
        of_values = _turned_product(difference.inputs[0])
        level, slope = lowered.inputs[1], difference.inputs[1]
        if of_keys is None or of_values is None or not _is_column(level, product) or not _is_column(slope, product):
            return None
        (scores, scaled, k), (changes, g, v) = of_keys, of_values
        q, scale = _scaled(scaled)
        slopes = product.outputs[0]
        gq = self._matmul(slopes, k)
        turns = [self._turn(slopes), self._turn(power.outputs[0])]
        gk, gv = (turn and self._matmul(turn.outputs[0], right) for turn, right in zip(turns, (scaled, g), strict=True))
        unscaled = gq
        if gq is not None and scale != 1:
            gq = next((user for user in self._users[gq.outputs[0]] if _scaled(user.outputs[0])[1] == scale), None)
        if gq is None or gk is None or gv is None:
            return None
        inside = (power, lowered, hidden, scores, difference, changes, product, unscaled, *turns, gq, gk, gv)
        return _Found(
            inputs=(q, k, v, g, level, slope),
            scale=scale,
            causal=hidden is not None,
            made=(gq.outputs[0], gk.outputs[0], gv.outputs[0]),
            inside=frozenset(filter(None, inside)),
        )

    def _is_whole(self, found: _Found) -> bool:
        """Whether there is a kernel, and nobody else wants what is inside."""
        node = Node(ATTENTION_GRADIENT, found.inputs, found.params)
        node.outputs = found.made
        specs, _ = inferred(ATTENTION_GRADIENT, node.inputs, node.params)
        if specs != tuple(value.spec for value in found.made):
            return False
        within = [node.outputs[0] for node in found.inside if node.outputs[0] not in found.made]
        return is_fused(node) and all(
            value not in self._wanted and found.inside.issuperset(self._users[value]) for value in within
        )

    def _hidden(self, item: Input) -> Node | None:
        """What makes scores of later keys minus infinity."""
        node = _node(item, "where")
        if node is None or node.inputs[2] != -np.inf or not isinstance(node.inputs[0], Value):
            return None
        mask = self._graph.constants.get(node.inputs[0])
        return node if mask is not None and np.array_equal(mask, np.tri(*mask.shape, dtype=np.bool_)) else None

    def _matmul(self, left: Value, right: Value) -> Node | None:
        """The product of two values."""
        wanted = ("matmul", (left, right))
        return next((user for user in self._users[left] if (user.op.name, user.inputs) == wanted), None)

    def _turn(self, value: Value) -> Node | None:
        """What exchanges its rows and columns."""
        return next(filter(_is_turn, self._users[value]), None)


class _Gathering(Rewriting):
    def __init__(self, graph: Graph, found: Mapping[Node, _Found]) -> None:
        super().__init__(graph)
        self._found = found
        self._instead: dict[Value, Value] = {}

    def visit(self, node: Node, inputs: tuple[Input, ...]) -> Sequence[Value]:
        """The node itself, or what stands for it."""
        if node.outputs[0] in self._instead:
            return [self._instead[node.outputs[0]]]
        made = super().visit(node, inputs)
        if (found := self._found.get(node)) is not None:
            given = [self.into[value] for value in found.inputs]
            outputs = self.add(ATTENTION_GRADIENT, given, found.params, node.where)
            self._instead |= zip(found.made, outputs, strict=True)
        return made


def _node(item: Input, name: str) -> Node | None:
    """The node of an op that makes a value."""
    node = item.node if isinstance(item, Value) else None
    return node if node is not None and node.op.name == name else None


def _is_turn(node: Node) -> bool:
    """Whether it exchanges rows and columns."""
    rank = len(node.outputs[0].shape)
    return node.op.name == "transpose" and node.params["axes"] == (*range(rank - 2), rank - 1, rank - 2)


def _turned_product(item: Input) -> tuple[Node, Value, Value] | None:
    """Of a @ b.T its node, a and b."""
    product = _node(item, "matmul")
    turn = None if product is None else _node(product.inputs[1], "transpose")
    if product is None or turn is None or not _is_turn(turn):
        return None
    (left, _), (right,) = product.values, turn.values
    return product, left, right


def _scaled(value: Value) -> tuple[Value, float]:
    """A value without its factor, and that."""
    product = _node(value, "multiply")
    if product is not None:
        for item, factor in (product.inputs, product.inputs[::-1]):
            if isinstance(item, Value) and isinstance(factor, float) and item.spec == value.spec:
                return item, factor
    return value, 1.0


def _is_column(item: Input, product: Node) -> TypeGuard[Value]:
    """Whether there is one number for each row of the matrices of a product."""
    return isinstance(item, Value) and item.shape == (*product.outputs[0].shape[:-1], 1)

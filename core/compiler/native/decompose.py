"""Ops that are made of others, taken apart before they are grouped."""

from __future__ import annotations

from collections.abc import Sequence

from ...op import OPS
from ..graph import Graph, Input, Node, Value
from ..passes import Rewriting


class _Apart(Rewriting):
    def visit(self, node: Node, inputs: tuple[Input, ...]) -> Sequence[Value]:
        if node.op.name != "linear":
            return super().visit(node, inputs)
        x, weight, bias = inputs
        assert isinstance(x, Value)
        assert isinstance(weight, Value)
        if len(x.shape) < 2:
            return super().visit(node, inputs)
        axes = (*range(len(weight.shape) - 2), len(weight.shape) - 1, len(weight.shape) - 2)
        (turned,) = self.add(OPS["transpose"], [weight], {"axes": axes}, node.where)
        (product,) = self.add(OPS["matmul"], [x, turned], {}, node.where)
        return self.add(OPS["add"], [product, bias], {}, node.where)


def decompose(graph: Graph) -> Graph:
    """A linear layer as a product and a sum: the sum is then part of what follows."""
    return _Apart(graph).run()

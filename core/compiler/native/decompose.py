"""Ops that are made of others, taken apart before they are grouped, and sums brought to one form.

Equal sums that are written differently become one: a mean is a sum times a number, a sum of a product with a factor per
channel is the factor times a sum, and mean and variance of a batch, wherever they occur, are outputs of one
`channel_moments`, which goes through the elements once and is stable.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Final

from ...device import Array
from ...op import OPS
from ...shapes import Spec
from ..graph import Graph, Input, Node, Value
from ..passes import Rewriting, optimize
from ..unlisted import unlisted_op
from .apart import Apart, over_leading
from .borders import size_of
from .pools import counts_of

Shape = tuple[int, ...]


def _moments(xp: Any, x: Array) -> tuple[Array, Array]:
    axes = tuple(range(x.ndim - 1))
    return xp.mean(x, axis=axes, keepdims=True), xp.var(x, axis=axes, keepdims=True)


def _moments_spec(x: Spec) -> tuple[Spec, Spec]:
    made = Spec((1,) * (len(x.shape) - 1) + x.shape[-1:], x.dtype)
    return made, made


# Mean and biased variance over all axes but the last, which stay.
CHANNEL_MOMENTS: Final = unlisted_op("channel_moments", _moments, _moments_spec, vjp=(None,))


def decompose(graph: Graph) -> Graph:
    """The graph as sums, products and elementwise ops; computes the same to rounding."""
    graph = optimize(Apart(graph).run())
    return optimize(_Sums(_Statistics(graph).run()).run())


def even_pools(graph: Graph) -> Graph:
    """Means that leave out padding as means of whole windows, times a number for each window."""
    return _EvenPools(graph).run()


class _EvenPools(Rewriting):
    def visit(self, node: Node, inputs: tuple[Input, ...]) -> Sequence[Value]:
        if node.op.name not in ("avg_pool", "pool_spread") or node.params["ceil_mode"] or not _is_flat(node):
            return super().visit(node, inputs)
        if node.params["count_include_pad"] or not any(map(any, node.params["padding"])):
            return super().visit(node, inputs)
        params = {**node.params, "count_include_pad": True}
        value, output = next(node.values), node.outputs[0]
        whole, parts = (value, output) if node.op.name == "avg_pool" else (output, value)
        counts = counts_of(node, size_of(whole.shape), size_of(parts.shape))
        factors = (prod(node.params["size"]) / counts).reshape(parts.shape[2:]).astype(value.dtype)
        constant = Value(Spec(factors.shape, factors.dtype))
        self.constants[constant] = factors
        if node.op.name == "pool_spread":
            scaled = self.add(OPS["multiply"], [*inputs, constant], {}, node.where)
            return self.add(node.op, scaled, params, node.where)
        return self.add(OPS["multiply"], [*self.add(node.op, inputs, params, node.where), constant], {}, node.where)


def _is_flat(node: Node) -> bool:
    return next(node.values).dtype.name == "float32" and len(node.outputs[0].shape) in (3, 4)


class _Statistics(Rewriting):
    """Mean and variance of the same elements in one node."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        squares = (next(node.values) for node in graph.nodes if _is_channel(node, "mean"))
        self._whose = {v: x for v in squares if (x := _whose_deviations(v)) is not None}
        self._moments: dict[Value, Sequence[Value]] = {}

    def visit(self, node: Node, inputs: tuple[Input, ...]) -> Sequence[Value]:
        if _is_channel(node, "mean"):
            of = next(node.values)
            if of in self._whose:
                return [self._of(self._whose[of])[1]]
            if of in self._whose.values():
                return [self._of(of)[0]]
        return super().visit(node, inputs)

    def _of(self, x: Value) -> Sequence[Value]:
        if x not in self._moments:
            self._moments[x] = self.add(CHANNEL_MOMENTS, [self.into[x]], {})
        return self._moments[x]


class _Sums(Rewriting):
    """Means as sums, and factors that belong to channels outside of them."""

    def visit(self, node: Node, inputs: tuple[Input, ...]) -> Sequence[Value]:
        if not (_is_channel(node, "mean") or _is_channel(node, "sum")):
            return super().visit(node, inputs)
        x = inputs[0]
        assert isinstance(x, Value)
        if prod(x.shape[:-1]) == 1:  # the sum of one element
            return [x]
        axes = tuple(range(len(x.shape) - 1))
        full: list[Value] = []
        factors: list[Input] = [] if node.op.name == "sum" else [1.0 / prod(x.shape[:-1])]
        _factorise(x, x.shape, full, factors)
        x = full[0]
        for other in full[1:]:
            (x,) = self.add(OPS["multiply"], [x, other], {}, node.where)
        (total,) = self.add(OPS["sum"], [x], {"axis": axes, "keepdims": True}, node.where)
        for factor in factors:
            (total,) = self.add(OPS["multiply"], [total, factor], {}, node.where)
        return [total]


def _factorise(item: Input, shape: Shape, full: list[Value], factors: list[Input]) -> None:
    """Sort the factors of a product into those of every element, at least one, and those of channels."""
    if not isinstance(item, Value) or _of_channels(item, shape):
        factors.append(item)
        return
    node = item.node
    if node is None or node.op.name != "multiply" or item.shape != shape:
        full.append(item)
        return
    before, kept = len(full), len(factors)
    for each in node.inputs:
        _factorise(each, shape, full, factors)
    if len(full) == before or any(value.shape != shape for value in full[before:]):
        del full[before:], factors[kept:]
        full.append(item)


def _is_channel(node: Node, name: str) -> bool:
    return node.op.name == name and over_leading(node) and bool(node.params["keepdims"])


def _of_channels(value: Value, shape: Shape) -> bool:
    return all(n == 1 for n in value.shape[:-1]) and (not value.shape or value.shape[-1] in (1, shape[-1]))


def _whose_deviations(square: Value) -> Value | None:
    """X, if a value is the square of x - mean x."""
    if square.node is None or square.node.op.name != "square":
        return None
    centred = next(square.node.values)
    if centred.node is None or centred.node.op.name != "subtract":
        return None
    x, mean = centred.node.inputs
    if not isinstance(x, Value) or not isinstance(mean, Value) or mean.node is None:
        return None
    return x if _is_channel(mean.node, "mean") and next(mean.node.values) is x else None

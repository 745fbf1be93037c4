"""Which nodes become one kernel: everything elementwise around the same elements, with the sums at its end.

A group walks one shape. In it are values of that shape, sums along its last axis that are used again on the way
(softmax, layer norm), and at the end sums over all other axes or over everything, which are finished by whoever reads
them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ...errors import CompileError
from ..graph import Graph, Node, Value

Shape = tuple[int, ...]

VIEWS: Final = frozenset({"reshape", "transpose", "broadcast_to", "alias", "positive", "getitem"})
PRODUCTS: Final = frozenset({"matmul"})
POOLS: Final = frozenset({"max_pool", "avg_pool", "pool_scatter", "pool_spread"})
IMAGES: Final = POOLS | {"conv", "conv_input_grad", "conv_weight_grad"}
MOVES: Final = frozenset({"concatenate", "replace", "take", "segment_sum"})
ATTENTIONS: Final = frozenset({"flash_attention", "attention_gradient"})
ALONE: Final = VIEWS | PRODUCTS | IMAGES | MOVES | ATTENTIONS | {"channel_moments"}
ROW_OPS: Final = frozenset({"log_softmax", "standardize", "rms_standardize"})
REDUCTIONS: Final = frozenset({"sum", "mean", "max", "min"})
MOST_NODES: Final = 96  # of one kernel: longer chains become several, perhaps of one form
INTEGERS: Final = frozenset({"int32", "int64"})
# What kernels compute of integers and truths; sums and quotients of truths, say, are other numbers.
OF_INTEGERS: Final = frozenset(
    {"add", "subtract", "multiply", "negative", "absolute", "maximum", "minimum", "where", "astype", "one_hot"}
    | {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}
    | {"bitwise_and", "bitwise_or", "bitwise_xor"}
)
OF_TRUTHS: Final = frozenset(
    {"logical_and", "logical_or", "logical_xor", "logical_not", "equal", "not_equal", "where", "astype", "masked_scale"}
    | {"bitwise_and", "bitwise_or", "bitwise_xor"}
)


class Unsupported(CompileError):  # noqa: N818 - a reason, not a mistake
    """The native back end has no kernels for something in a graph; says for what."""


@dataclass(slots=True, eq=False)
class Group:
    """Nodes of one kernel.

    Attributes:
        shape: what it walks.
        nodes: in order.
        rowwise: whether sums along the last axis are used on the way.
        channels: whether sums over all axes but the last are at the end, so that the last axis stays by itself.
        stores: values that others want.
        items: whether sums over all axes between the first and the last are, so that both stay by themselves.
    """

    shape: Shape
    nodes: list[Node] = field(default_factory=list[Node])
    rowwise: bool = False
    channels: bool = False
    items: bool = False
    stores: set[Value] = field(default_factory=set[Value])


Item = Group | Node  # a node by itself is a view or a product


class Grouping:
    """A schedule: groups, products and views in an order in which they can run.

    Args:
        graph: optimised.

    Raises:
        Unsupported: a node is none that groups and products can be made of.
    """

    def __init__(self, graph: Graph) -> None:
        self.items: list[Item] = []
        self._ready: dict[Value, int] = dict.fromkeys(graph.sources(), 0)  # the item behind which a value is there
        self._inside: dict[Value, Group] = {}  # the group that has a value in its registers
        self._place: dict[Group, int] = {}
        for node in graph.nodes:
            self._add(node)

    def _add(self, node: Node) -> None:
        name = node.op.name
        if name in ALONE:
            self.items.append(node)
            self._ready.update(dict.fromkeys(node.outputs, len(self.items)))
            return
        shape = shape_of(node)
        group = self._open_for(node, shape)
        if group is None:
            group = Group(shape)
            self.items.append(group)
            self._place[group] = len(self.items)
        group.nodes.append(node)
        output = node.outputs[0]
        self._ready[output] = self._place[group]
        kind = reduction_of(node)
        if kind in (None, "row"):
            self._inside[output] = group
        group.rowwise |= kind == "row" or name in ROW_OPS
        group.channels |= kind in ("channel", "item")
        group.items |= kind == "item"

    def _open_for(self, node: Node, shape: Shape) -> Group | None:
        """The group that makes an input last, if the node can be part of it."""
        latest = max((self._ready[value] for value in node.values), default=0)
        makers = {self._inside[v] for v in node.values if v in self._inside and self._ready[v] == latest}
        others = [v for v in node.values if self._ready[v] == latest and self._inside.get(v) not in makers]
        if len(makers) != 1 or others:
            return None
        (group,) = makers
        if len(group.nodes) >= MOST_NODES or not self._fits(node, shape, group):
            return None
        for value in node.values:
            other = self._inside.get(value)
            if other is not None and other is not group and self._moves(group, other):
                self._move(group, other)
                return other
        return group

    def _moves(self, group: Group, to: Group) -> bool:
        """Whether all of a group could be computed in an earlier one of the same shape."""
        if group.shape != to.shape or len(group.nodes) + len(to.nodes) >= MOST_NODES:
            return False
        read = {value for node in group.nodes for value in node.values}
        there = {value for value in read if self._inside.get(value) in (group, to)}
        return all(self._ready[value] < self._place[to] for value in read - there)

    def _move(self, group: Group, to: Group) -> None:
        for node in group.nodes:
            for output in node.outputs:
                self._ready[output] = self._place[to]
                if self._inside.get(output) is group:
                    self._inside[output] = to
        to.nodes += group.nodes
        to.rowwise |= group.rowwise
        to.channels |= group.channels
        to.items |= group.items
        group.nodes = []

    def _fits(self, node: Node, shape: Shape, group: Group) -> bool:
        if shape == group.shape:
            return True
        rows = (*group.shape[:-1], 1)
        return bool(group.shape) and shape == rows and reduction_of(node) is None and node.op.name not in ROW_OPS


def shape_of(node: Node) -> Shape:
    """The elements that a node walks.

    Raises:
        Unsupported: it is none that walks elements.
    """
    name, output = node.op.name, node.outputs[0]
    for value in node.values:
        kind = value.dtype.name
        of = {"float32": True, "bool": name in OF_TRUTHS}
        if not of.get(kind, kind in INTEGERS and name in OF_INTEGERS):
            raise Unsupported(f"{name} of {kind}")
    if output.dtype.name not in {"float32", "bool"} | INTEGERS:
        raise Unsupported(f"{name} that makes {output.dtype.name}")
    integers = {value.dtype.name for value in node.values} & INTEGERS
    if integers and any(type(item) is float for item in node.inputs):
        raise Unsupported(f"{name} of integers and a float")
    if name == "mean_nll":
        return next(node.values).shape
    if name in REDUCTIONS:
        reduction_of(node)
        return next(node.values).shape
    if name in ROW_OPS:
        axes = _tuple(node.params["axis"])
        if [a % len(output.shape) for a in axes] != [len(output.shape) - 1]:
            raise Unsupported(f"{name} along axes {axes}")
        return output.shape
    if name == "one_hot" and node.params["axis"] in (-1, len(output.shape) - 1):
        return output.shape
    if name == "astype" or (node.op.elementwise and node.op.kernel is not None):
        return output.shape
    raise Unsupported(f"the op {name}")


def reduction_of(node: Node) -> str | None:
    """Which reduction it is: along the last axis "row", over all others "channel", over all but the first and the last
    "item", over everything "total"; or None.

    Raises:
        Unsupported: over other axes.
    """
    name = node.op.name
    if name == "mean_nll":
        return "total"
    if name not in REDUCTIONS:
        return None
    shape = next(node.values).shape
    axis = node.params["axis"]
    axes = tuple(range(len(shape))) if axis is None else tuple(a % len(shape) for a in _tuple(axis))
    rest = [a for a in range(len(shape)) if a not in axes and shape[a] != 1]
    if not rest:
        kind = "total" if len(shape) != 1 or name in ("sum", "mean") else "row"
    elif sorted(axes) == [len(shape) - 1]:
        kind = "row"
    elif rest == [len(shape) - 1]:
        kind = "channel"
    elif len(shape) > 2 and sorted(axes) == list(range(1, len(shape) - 1)):
        kind = "item"
    else:
        raise Unsupported(f"{name} of shape {shape} over axes {axes}")
    if kind != "row" and name not in ("sum", "mean"):
        raise Unsupported(f"{name} over axes {axes}")
    return kind


def _tuple(axis: int | tuple[int, ...]) -> tuple[int, ...]:
    return axis if isinstance(axis, tuple) else (axis,)

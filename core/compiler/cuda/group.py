"""Which nodes become one kernel: what is computed element by element around one shape, and sums over the same axes of
it.

A group walks a shape. With reduced axes, it walks rows: of every row it may know sums, maxima and what is computed from
them, and use these for the elements of the row again (softmax, normalisation). Few rows that are long are shared out
over many blocks; their sums are then finished by a kernel of its own, and end the group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Final

from ...shapes import normalize_axes
from ..graph import Graph, Node, Value
from ..native.group import Unsupported
from . import expression, gather
from .numbers import check

Shape = tuple[int, ...]

VIEWS: Final = frozenset({"reshape", "transpose", "broadcast_to", "alias", "positive", "getitem"})
REDUCTIONS: Final = frozenset({"sum", "mean", "max", "min", "prod", "all", "any"})

FEW: Final = 256  # fewer rows than this leave most of a GPU idle, if they are long
LONG: Final = 4096  # elements of such a row that is shared out
APART: Final = 512  # and of one whose elements lie apart: few threads share it, so that neighbours read neighbours


@dataclass(slots=True, eq=False)
class Group:
    """Nodes of one kernel.

    Attributes:
        shape: what it walks.
        nodes: in order.
        axes: the reduced ones.
        rows: values of which there is one for each row.
        dependent: values of single elements that depend on those.
    """

    shape: Shape
    nodes: list[Node] = field(default_factory=list[Node])
    axes: tuple[int, ...] = ()
    rows: set[Value] = field(default_factory=set[Value])
    dependent: set[Value] = field(default_factory=set[Value])

    @property
    def kept(self) -> Shape:
        """The shape of one value for each row, with the reduced axes of length 1."""
        return tuple(1 if axis in self.axes else length for axis, length in enumerate(self.shape))

    @property
    def removed(self) -> Shape:
        """The same without them."""
        return tuple(length for axis, length in enumerate(self.shape) if axis not in self.axes)

    @property
    def columns(self) -> int:
        """How many elements a row has."""
        return prod(self.shape[axis] for axis in self.axes)

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return prod(self.removed)

    @property
    def split(self) -> bool:
        """Whether rows are shared out over several blocks."""
        return bool(self.axes) and self.row_count < FEW and self.columns >= (APART if self.is_apart else LONG)

    @property
    def is_apart(self) -> bool:
        """Whether the elements of a row lie further apart than those of neighbouring rows."""
        last = len(self.shape) - 1
        return last >= 0 and last not in self.axes and self.shape[last] > 1


Item = Group | Node  # a node by itself is a product or a convolution


class Grouping:
    """A schedule: groups, products and convolutions in an order in which they can run. Views take no time.

    Args:
        graph: optimised and taken apart.
        apart: which nodes have kernels of their own.

    Raises:
        Unsupported: a node is of no op that there are kernels for.
    """

    def __init__(self, graph: Graph, apart: Callable[[Node], bool]) -> None:
        self.items: list[Item] = []
        self._apart = apart
        self._ready: dict[Value, int] = dict.fromkeys(graph.sources(), 0)  # the item behind which a value is there
        self._inside: dict[Value, Group] = {}  # the group that has a value in its registers
        self._place: dict[Group, int] = {}
        self._floating: dict[Value, Node] = {}  # computed where they are read
        self._wanted = set(graph.wanted())
        self._readers: dict[Value, int] = {}
        for node in graph.nodes:
            for value in node.values:
                self._readers[value] = self._readers.get(value, 0) + 1
        for node in graph.nodes:
            check(*node.values, *node.outputs)
            self._add(node)
        for value in list(self._floating):
            self._settle(value)

    def _add(self, node: Node) -> None:
        name, output = node.op.name, node.outputs[0]
        if name in VIEWS:
            self._view(node)
        elif self._apart(node):
            self._settle(*node.values)
            self.items.append(node)
            self._ready.update(dict.fromkeys(node.outputs, len(self.items)))
        elif name in REDUCTIONS:
            self._join(node, next(node.values).shape)
        elif name in gather.READERS:
            self._settle(*node.values)
            self._floating[output] = node
            self._ready[output] = max((self._ready[value] for value in node.values), default=0)
            if output in self._wanted or self._readers.get(output, 0) != 1:
                self._settle(output)
        elif expression.has(node):
            self._join(node, output.shape)
        else:
            raise Unsupported(f"the op {name}")

    def _view(self, node: Node) -> None:
        (source,) = node.values
        output, group = node.outputs[0], self._inside.get(source)
        if group is not None and self._is_row_view(node, source, group):
            self._put(node, group, row=output.shape != group.shape)
            return
        self._settle(source)
        self._ready[output] = self._ready[source]

    def _is_row_view(self, node: Node, source: Value, group: Group) -> bool:
        """Whether a view gives the values of rows another shape only."""
        shape = node.outputs[0].shape
        if source not in group.rows or group.split or node.op.name == "transpose":
            return False
        if node.op.name == "broadcast_to":
            return shape == group.shape and _aligned(source.shape, len(shape)) == group.kept
        return node.op.name != "getitem" and shape in (group.kept, group.removed) and shape != group.shape

    def _settle(self, *values: Value) -> None:
        """Compute floating values in groups of their own."""
        for value in values:
            node = self._floating.pop(value, None)
            if node is not None:
                self._put(node, self._new(value.shape), row=False)

    def _new(self, shape: Shape) -> Group:
        group = Group(shape)
        self.items.append(group)
        self._place[group] = len(self.items)
        return group

    def _put(self, node: Node, group: Group, *, row: bool) -> None:
        output = node.outputs[0]
        group.nodes.append(node)
        self._ready[output] = self._place[group]
        self._inside[output] = group
        if row:
            group.rows.add(output)
        elif any(value in group.rows or value in group.dependent for value in node.values):
            group.dependent.add(output)

    def _join(self, node: Node, walked: Shape) -> None:
        """Add a node to the group that makes its last input, or to a new one."""
        self._settle(*(v for v in node.values if v in self._floating and v.shape != walked))
        floating = [value for value in dict.fromkeys(node.values) if value in self._floating]
        group = self._open_for(node)
        row = group is not None and self._is_row(node, group)
        if group is None or (floating and row):
            group, row = self._new(walked), False
        for value in floating:
            self._put(self._floating.pop(value), group, row=False)
        if node.op.name in REDUCTIONS:
            group.axes = axes_of(node)
            row = True
        self._put(node, group, row=row)

    def _open_for(self, node: Node) -> Group | None:
        latest = max((self._ready[value] for value in node.values), default=0)
        inside = {v: self._inside[v] for v in node.values if v in self._inside and self._ready[v] == latest}
        others = [v for v in node.values if self._ready[v] == latest and (v not in inside or v in self._floating)]
        if len(set(inside.values())) != 1 or others:
            return None
        group = next(iter(inside.values()))
        fits = self._can_reduce if node.op.name in REDUCTIONS else self._can_compute
        return group if fits(node, group) else None

    def _can_reduce(self, node: Node, group: Group) -> bool:
        (value,) = node.values
        axes = axes_of(node)
        if value in group.rows or value.shape != group.shape or (group.axes and group.axes != axes):
            return False
        return not (group.dependent and group.split)

    def _can_compute(self, node: Node, group: Group) -> bool:
        shape = node.outputs[0].shape
        rows = [value for value in node.values if self._inside.get(value) is group and value in group.rows]
        if group.split and (rows or shape != group.shape):
            return False
        if self._is_row(node, group):
            return all(_aligned(value.shape, len(shape)) == shape for value in rows)
        return shape == group.shape and all(_aligned(value.shape, len(shape)) == group.kept for value in rows)

    def _is_row(self, node: Node, group: Group) -> bool:
        """Whether a node computes one value for each row of a group it may join."""
        if node.op.name in REDUCTIONS:
            return True
        shape = node.outputs[0].shape
        own = [value for value in node.values if self._inside.get(value) is group]
        return bool(own) and all(value in group.rows for value in own) and shape in (group.kept, group.removed)


def axes_of(node: Node) -> tuple[int, ...]:
    """The axes that a reduction is over."""
    shape = next(node.values).shape
    return normalize_axes(node.params["axis"], len(shape), op=node.op.name)


def _aligned(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + shape

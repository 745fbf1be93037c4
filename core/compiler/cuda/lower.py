"""From a graph to launches: where every value lies, and what each kernel reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

from ..graph import Graph, Node, Value
from ..native.group import Unsupported
from ..native.place import Buffer, Place, view_of
from .axes import INT_ELEMENTS, joined
from .convolution import convolve, has_tiles
from .fused import THREADS, FusedWriter
from .gather import READERS
from .group import VIEWS, Group, Grouping
from .kernel import Kernel, Parameter, Tail, Work, kernel
from .numbers import DType, check
from .products import is_large, multiply
from .segments import is_linked, link


@dataclass(slots=True)
class Lowered:
    """A graph as launches.

    Attributes:
        works: in order.
        buffers: that the planner has to place.
        sources: where arguments, captures, draws and constants are bound, dense.
        places: of the values that are wanted, dense.
    """

    works: list[Work] = field(default_factory=list[Work])
    buffers: list[Buffer] = field(default_factory=list[Buffer])
    sources: dict[Value, Buffer] = field(default_factory=dict[Value, Buffer])
    places: dict[Value, Place] = field(default_factory=dict[Value, Place])


class Lowering:
    """Lowers one graph.

    Args:
        graph: optimised and taken apart.

    Attributes:
        result: what came of it.

    Raises:
        Unsupported: it has something that there are no kernels for.
    """

    def __init__(self, graph: Graph) -> None:
        self.result = Lowered()
        self._places: dict[Value, Place] = {}
        self._wanted = set(graph.wanted())
        self._readers: dict[Value, set[int]] = {}
        for node in graph.nodes:
            for value in node.values:
                self._readers.setdefault(value, set()).add(id(node))
        for number, value in enumerate(graph.sources()):
            check(value)
            buffer = Buffer(f"source{number}", value.spec.size, value.dtype.itemsize)
            self.result.sources[value] = buffer
            self._places[value] = Place.dense(buffer, value.shape)
        items = Grouping(graph, _is_apart).items
        taken: Group | None = None  # the group that the item before it has taken over
        for item, following in zip(items, [*items[1:], None], strict=True):
            if isinstance(item, Group):
                if item is not taken:
                    self._group(item)
                continue
            taken = following if isinstance(following, Group) and self._is_tail(following, item) else None
            self._apart(item, taken)
        for value in self._wanted:
            self.result.places[value] = self._dense(value)

    def _group(self, group: Group) -> None:
        writer = self._writer(group, self._place)
        self.result.works += writer.write()
        self._places.update(writer.made)

    def _writer(self, group: Group, place_of: Callable[[Value], Place]) -> FusedWriter:
        own = {id(node) for node in group.nodes}

        def is_read_outside(value: Value) -> bool:
            return value in self._wanted or bool(self._readers.get(value, set()) - own)

        return FusedWriter(group, place_of, is_read_outside, self._new)

    def _apart(self, node: Node, following: Group | None) -> None:
        """A product or a convolution, and what is done with its elements at once."""
        output = node.outputs[0]
        if is_linked(node):
            works, self._places[output] = link(node, self._place, self._new)
            self.result.works += works
            return
        tail: Tail | None = None
        if following is not None:
            nowhere = Place.dense(Buffer("register", output.spec.size, output.dtype.itemsize), output.shape)
            writer = self._writer(following, lambda value: nowhere if value is output else self._place(value))
            tail = writer.tail(output)
            self._places.update(writer.made)
        works, place = (convolve if has_tiles(node) else multiply)(node, self._place, self._new, tail)
        self.result.works += works
        if tail is None:
            self._places[output] = place

    def _is_tail(self, group: Group, node: Node) -> bool:
        """Whether a group may be done by the kernel of the product before it: it alone reads the product, element by
        element, and nothing else that is made of it.
        """
        output = node.outputs[0]
        if group.axes or group.shape != output.shape or not output.spec.size or output in self._wanted:
            return False
        if is_linked(node) or (not has_tiles(node) and is_large(node)):
            return False
        if any(each.op.name in READERS or each.op.name in VIEWS for each in group.nodes):
            return False
        made = {value for each in group.nodes for value in each.outputs}
        outside = {value for each in group.nodes for value in each.values if value not in made}
        alone = self._readers.get(output, set()) <= {id(each) for each in group.nodes}
        return alone and output in outside and all(v is output or _origin(v) is not node for v in outside)

    def _new(self, elements: int, itemsize: int) -> Buffer:
        buffer = Buffer("arena", elements, itemsize)
        self.result.buffers.append(buffer)
        return buffer

    def _place(self, value: Value) -> Place:
        """Where a value lies; a view lies where its source does, if it can."""
        known = self._places.get(value)
        if known is not None:
            return known
        node = value.node
        assert node is not None
        assert node.op.name in VIEWS, node.op.name
        (viewed,) = node.values
        source = self._place(viewed)
        found = view_of(node, source) or view_of(node, self._copied(source, value.dtype))
        if found is None:
            raise Unsupported(f"{node.op.name} with {dict(node.params)}")
        self._places[value] = found
        return found

    def _dense(self, value: Value) -> Place:
        """Where a value lies in order and without gaps; copied if it does not."""
        place = self._place(value)
        if place.is_dense and prod(place.shape) == place.buffer.elements and place.origin == 0:
            return place
        return self._copied(place, value.dtype)

    def _copied(self, place: Place, dtype: DType) -> Place:
        target = Place.dense(self._new(prod(place.shape), place.buffer.itemsize), place.shape)
        if prod(place.shape):
            self.result.works.append(copy(place, target, dtype))
        return target


def copy(source: Place, target: Place, dtype: DType) -> Kernel:
    """The kernel that puts the elements of a place in order."""
    axes = joined(source.shape, range(len(source.shape)), [source.strides, target.strides], apart=False)
    kind = "int" if max(source.buffer.elements, axes.size) < INT_ELEMENTS else "long long"
    terms = [*([str(source.origin)] if source.origin else []), *axes.offset(source.strides)]
    lines = [
        f"const {kind} r = blockIdx.x * ({kind}){THREADS} + threadIdx.x;",
        f"if (r >= {axes.size}) return;",
        *axes.lines("r", kind),
        f"y[r] = x[{' + '.join(terms) or '0'}];",
    ]
    parameters = [Parameter("x", source.buffer, dtype), Parameter("y", target.buffer, dtype, written=True)]
    body = "".join(f"    {line}\n" for line in lines)
    return kernel("copy", parameters, body, grid=(-(-axes.size // THREADS), 1, 1), block=(THREADS, 1, 1))


def _origin(value: Value) -> Node | None:
    """The node that makes what a value is a view of; None for a source."""
    while value.node is not None and value.node.op.name in VIEWS:
        (value,) = value.node.values
    return value.node


def _is_apart(node: Node) -> bool:
    return node.op.name in ("matmul", "contract") or has_tiles(node) or is_linked(node)


def touched(lowered: Lowered) -> None:
    """Give every buffer the first and last launch that touches it; what is wanted lives on, what nothing touches is not
    planned.
    """
    for position, work in enumerate(lowered.works):
        for parameter in work.parameters:
            parameter.buffer.touch(position)
    for place in lowered.places.values():
        place.buffer.touch(len(lowered.works))
    lowered.buffers = [buffer for buffer in lowered.buffers if buffer.last >= 0]

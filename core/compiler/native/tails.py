"""What a product or convolution does to its sums before it stores them: a bias and a ReLU, or the gradient of one.

It saves a pass over memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ..graph import Graph, Node, Value
from .group import Group, Item


@dataclass(frozen=True, slots=True)
class Tail:
    """Elementwise nodes that become part of what comes before them.

    Attributes:
        output: what is stored.
        bias: one number per channel, or None.
        relu: whether the sum is cut off at zero.
        mask: of the shape of the output: zeros are stored where it is not positive; or None.
        last: whether the output has its channels last where the maker's has them in the middle.
    """

    output: Value
    bias: Value | None = None
    relu: bool = False
    mask: Value | None = None
    last: bool = False


def tails(items: Sequence[Item], graph: Graph) -> tuple[dict[Node, Tail], set[Item]]:
    """The tail of each node that has one, and the items that are part of tails.

    Args:
        items: the schedule.
        graph: what it is the schedule of.
    """
    found: dict[Node, Tail] = {}
    gone: set[Item] = set()
    readers: dict[Value, list[Item]] = {}
    for item in items:
        nodes = item.nodes if isinstance(item, Group) else [item]
        made = {output for node in nodes for output in node.outputs}
        for value in {v for node in nodes for v in node.values} - made:
            readers.setdefault(value, []).append(item)
    wanted = set(graph.wanted())
    stored = set(graph.sources())  # what is in memory by then: not all that a group computes is
    for item in items:
        stored.update(item.stores if isinstance(item, Group) else item.outputs)
        if isinstance(item, Group) or item.op.name not in ("matmul", "conv"):
            continue
        value, view = item.outputs[0], None
        if item.op.name == "conv":
            view = _only_reader(value, readers, wanted)
            if not isinstance(view, Node) or view.op.name != "transpose" or not _is_last(view):
                continue
            value = view.outputs[0]
        group = _only_reader(value, readers, wanted)
        if not isinstance(group, Group):
            continue
        if (tail := _biased(group, value, last=view is not None)) is not None and tail.bias in stored:
            found[item] = tail
            gone.update((group,) if view is None else (view, group))
        elif item.op.name == "matmul" and (tail := _masked(group, value, stored)) is not None:
            found[item] = tail
            _without(group, tail)
            if not group.nodes:
                gone.add(group)
    return found, gone


def _is_last(transpose: Node) -> bool:
    """Whether it puts the channels of images last, and leaves all else in order."""
    rank = len(transpose.outputs[0].shape)
    return tuple(axis % rank for axis in transpose.params["axes"]) == (0, *range(2, rank), 1)


def _only_reader(value: Value, readers: dict[Value, list[Item]], wanted: set[Value]) -> Item | None:
    found = readers.get(value, [])
    return found[0] if len(found) == 1 and value not in wanted else None


def _biased(group: Group, value: Value, *, last: bool) -> Tail | None:
    """A group that is no more than a bias, and perhaps a ReLU."""
    names = [node.op.name for node in group.nodes]
    if names not in (["add"], ["add", "relu"]) or value.shape != group.shape:
        return None
    add = group.nodes[0]
    others = [item for item in add.inputs if item is not value]
    bias = others[0] if len(others) == 1 else None
    if not isinstance(bias, Value):
        return None
    channels = group.shape[-1]
    output = group.nodes[-1].outputs[0]
    chained = len(names) == 1 or group.nodes[1].inputs[0] is add.outputs[0]
    fits = bias.shape[-1:] == (channels,) and prod(bias.shape) == channels and bias.dtype.name == "float32"
    if not fits or not chained or group.stores != {output}:
        return None
    return Tail(output, bias=bias, relu=len(names) == 2, last=last)


def _masked(group: Group, value: Value, stored: set[Value]) -> Tail | None:
    """The beginning of a group that lets a value pass where another one is positive."""
    reader, *others = [node for node in group.nodes if value in node.inputs]
    if others or reader.op.name != "where" or reader.inputs[1] is not value or reader.inputs[2] != 0.0:
        return None
    test = reader.inputs[0]
    if not isinstance(test, Value) or test.node not in group.nodes or test in group.stores:
        return None
    if test.node.op.name != "greater" or test.node.inputs[1] != 0.0:
        return None
    mask = test.node.inputs[0]
    if not isinstance(mask, Value) or mask not in stored or mask.spec != value.spec:
        return None
    alone = sum(test in node.inputs for node in group.nodes) == 1
    return Tail(reader.outputs[0], mask=mask) if alone else None


def _without(group: Group, tail: Tail) -> None:
    """Take the nodes of a tail out of a group."""
    gone = nodes_of(tail)
    group.nodes = [node for node in group.nodes if node not in gone]
    group.stores.discard(tail.output)


def nodes_of(tail: Tail | None) -> list[Node]:
    """The nodes of a tail, in order."""
    last = None if tail is None else tail.output.node
    if tail is None or last is None:
        return []
    first = next(last.values).node if tail.relu or tail.mask is not None else None
    return [last] if first is None else [first, last]

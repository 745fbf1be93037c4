"""What a product or convolution does to its sums before it stores them: a bias, a ReLU. It saves a pass over memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ..graph import Graph, Node, Value
from .group import Group, Item


@dataclass(frozen=True, slots=True)
class Tail:
    """A group that becomes part of what comes before it.

    Attributes:
        bias: one number per channel.
        relu: whether the sum is cut off at zero.
        output: what is stored.
        last: whether the output has its channels last where the maker's has them in the middle.
    """

    bias: Value
    relu: bool
    output: Value
    last: bool


def tails(items: Sequence[Item], graph: Graph) -> tuple[dict[Node, Tail], set[Group]]:
    """The tail of each node that has one, and the groups that are tails.

    Args:
        items: the schedule.
        graph: what it is the schedule of.
    """
    found: dict[Node, Tail] = {}
    gone: set[Group] = set()
    readers: dict[Value, list[Item]] = {}
    for item in items:
        nodes = item.nodes if isinstance(item, Group) else [item]
        made = {output for node in nodes for output in node.outputs}
        for value in {v for node in nodes for v in node.values} - made:
            readers.setdefault(value, []).append(item)
    wanted = set(graph.wanted())
    there = set(graph.sources())
    for item in items:
        there.update(output for node in (item.nodes if isinstance(item, Group) else [item]) for output in node.outputs)
        if isinstance(item, Group) or item.op.name not in ("matmul", "conv"):
            continue
        value, last = item.outputs[0], False
        if item.op.name == "conv":
            view = _only_reader(value, readers, wanted)
            if not isinstance(view, Node) or view.op.name != "transpose":
                continue
            value, last = view.outputs[0], True
        group = _only_reader(value, readers, wanted)
        tail = _tail(group, value, last) if isinstance(group, Group) else None
        if tail is not None and isinstance(group, Group) and tail.bias in there:
            found[item] = tail
            gone.add(group)
    return found, gone


def _only_reader(value: Value, readers: dict[Value, list[Item]], wanted: set[Value]) -> Item | None:
    found = readers.get(value, [])
    return found[0] if len(found) == 1 and value not in wanted else None


def _tail(group: Group, value: Value, last: bool) -> Tail | None:
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
    return Tail(bias, len(names) == 2, output, last) if fits and chained and group.stores == {output} else None

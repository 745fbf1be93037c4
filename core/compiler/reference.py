"""The `numpy` back end: the nodes of a graph one after the other, by the ops' own `forward`. Always there, and what the
other back ends are held against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..device import Array, Device
from ..dispatch import apply
from ..tensor import as_array
from .graph import Graph, Node, Value

# Runs a step: the arrays of the arguments in, those of the results out.
Program = Callable[[Sequence[Array]], list[Array]]


class ReferenceProgram:
    """A graph ready to run with NumPy (or CuPy): every value has a slot, freed behind its last reader.

    Args:
        graph: verified.
        device: where its arrays lie.
    """

    def __init__(self, graph: Graph, device: Device) -> None:
        self._graph = graph
        self._device = device
        order = list(graph.sources()) + [output for node in graph.nodes for output in node.outputs]
        self._slot = {value: position for position, value in enumerate(order)}
        kept = {self._slot[value] for value in [*graph.sources(), *graph.wanted()]}
        last: dict[int, int] = {}
        for position, node in enumerate(graph.nodes):
            for value in (*node.values, *node.outputs):
                last[self._slot[value]] = position
        self._freed: list[list[int]] = [[] for _ in graph.nodes]
        for slot, position in last.items():
            if slot not in kept:
                self._freed[position].append(slot)

    def __call__(self, arguments: Sequence[Array]) -> list[Array]:
        """Run it. What it returns shares no memory with what it captured or was given."""
        graph, slot = self._graph, self._slot
        arrays: list[Any] = [None] * len(slot)
        for value, array in zip(graph.arguments, arguments, strict=True):
            arrays[slot[value]] = array
        for capture in graph.captures:
            arrays[slot[capture.value]] = capture.read()
        for draw in graph.draws:
            made = draw.make()
            if draw.value is not None:
                arrays[slot[draw.value]] = made
        for value, array in graph.constants.items():
            arrays[slot[value]] = array
        for node, freed in zip(graph.nodes, self._freed, strict=True):
            self._run(node, arrays)
            for position in freed:
                arrays[position] = None
        held = [*arguments, *(capture.read() for capture in graph.captures), *graph.constants.values()]
        results = [_own(arrays[slot[value]], held) for value in graph.results]
        values = [_own(arrays[slot[update.value]], held) for update in graph.updates]  # before any of them is written
        for update, array in zip(graph.updates, values, strict=True):
            update.target.read()[...] = array
        for effect in graph.effects:
            effect.run(*(arrays[slot[value]] for value in effect.inputs))
        return results

    def _run(self, node: Node, arrays: list[Any]) -> None:
        inputs = [arrays[self._slot[item]] if isinstance(item, Value) else item for item in node.inputs]
        made: Any = apply(node.op, inputs, node.params)
        items: Any = made if made.__class__ is tuple else (made,)
        for value, item in zip(node.outputs, items, strict=True):
            arrays[self._slot[value]] = as_array(item)


def _own(array: Array, held: Sequence[Array]) -> Array:
    """The array itself, or a copy of it where its memory is somebody else's."""
    if type(array) is np.ndarray:
        shared = not array.flags.writeable or any(
            type(other) is np.ndarray and np.may_share_memory(array, other) for other in held
        )
        return array.copy() if shared else array
    return array.copy()

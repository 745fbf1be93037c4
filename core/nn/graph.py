"""`graph`: layers connected in any way without a cycle, as data. A node is a layer and the names of its inputs.

Inception modules, dense and residual connections, networks of two halves with the same weights, networks of several
inputs: everything that is more than layers one after the other.

>>> from nasturtium.core.nn import layer_spec
>>> half = layer_spec("linear", out_features=2)
>>> nodes = (
...     Node("left", half, ("a",)),
...     Node("right", "left", ("b",)),  # the same layer again, weights and all
...     Node("both", layer_spec("concat"), ("left", "right")),
... )
>>> layer_spec("graph", nodes=nodes, inputs=("a", "b"), other_shapes=((3,),)).to_dict()["nodes"][1]
{'name': 'right', 'layer': 'left', 'inputs': ['b']}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from math import prod
from typing import Any, Self, cast

import numpy as np

from ..errors import FormatError
from ..tensor import Tensor
from .layer import LAYERS, MAX_ELEMENTS, MAX_MACS, LayerPlan, LayerSpec, Shape, count_layers, layer
from .module import Module

MAX_NAME = 200  # characters


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a graph.

    Attributes:
        name: unique among the nodes and inputs of the graph; part of the names of its parameters, so without dots.
        layer: what it computes, or the name of an earlier node whose layer it computes again, weights and all.
        inputs: names of inputs of the graph and of earlier nodes; several for a layer that joins them.
    """

    name: str
    layer: LayerSpec | str
    inputs: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        what = self.layer if isinstance(self.layer, str) else self.layer.to_dict()
        return {"name": self.name, "layer": what, "inputs": list(self.inputs)}

    @classmethod
    def from_dict(cls, value: object, *, depth: int = 0) -> Node:
        """Parse and check one node by itself; nothing is allocated.

        Raises:
            FormatError: not a node, or its layer is not a layer.
        """
        fields = cast(dict[str, object], value) if isinstance(value, dict) else {}
        name, what, inputs = fields.get("name"), fields.get("layer"), fields.get("inputs")
        names = cast(list[object], inputs) if isinstance(inputs, list) else [None]
        if fields.keys() != {"name", "layer", "inputs"} or not all(isinstance(x, str) for x in (name, *names)):
            shown = _short(cast(object, value))
            raise FormatError(f"expected a node as an object of 'name', 'layer' and 'inputs', got {shown}")
        spec = what if isinstance(what, str) else LayerSpec.from_dict(what, depth=depth)
        return cls(cast(str, name), spec, tuple(cast(list[str], names)))


@layer("graph")
class Graph(Module):
    """Layers connected by name; the last node is the output. Nodes stand after their inputs, and all are used.

    The parameters of node `conv1` are named `nodes.conv1.weight` and so on; a node that computes the layer of another
    one has none of its own.
    """

    def __init__(self, nodes: tuple[Node, ...], modules: Mapping[str, Module], inputs: tuple[str, ...]) -> None:
        self.inputs = inputs
        self.nodes = dict(modules)
        last_use = {name: i for i, node in enumerate(nodes) for name in node.inputs}
        self._steps = tuple(
            (
                node.name,
                node.layer if isinstance(node.layer, str) else node.name,
                node.inputs,
                tuple(name for name in dict.fromkeys(node.inputs) if last_use[name] == i),
            )
            for i, node in enumerate(nodes)
        )

    @classmethod
    def plan(
        cls,
        shape: Shape,
        *,
        nodes: tuple[Node, ...],
        inputs: tuple[str, ...] = ("input",),
        other_shapes: tuple[tuple[int, ...], ...] = (),
    ) -> LayerPlan:
        """The shape of the last node.

        Args:
            shape: of the first input.
            nodes: at least one, each after its inputs.
            inputs: names of what comes into the graph.
            other_shapes: of the second and further inputs; only the first layer of a network has any.
        """
        _check_names(nodes, inputs, other_shapes)
        result = LayerPlan(shape)
        parameters = macs = tensors = buffers = peak = late_peak = 0
        sizes = {name: prod(s) for name, s in zip(inputs, (shape, *other_shapes), strict=True)}
        alive = sum(sizes.values())  # elements that a later node needs
        last_use = {name: i for i, node in enumerate(nodes) for name in node.inputs}
        let_go = max(last_use.get(name, 0) for name in inputs)  # the last node that needs an input of the graph
        for i, (node, _, _, result) in enumerate(_walk(nodes, inputs, (shape, *other_shapes))):
            if not isinstance(node.layer, str):
                parameters += result.parameters
                tensors += result.tensors
                buffers += result.buffers
            macs += result.macs
            given = sum(sizes[name] for name in set(node.inputs))
            kept = sum(sizes[name] for name in set(node.inputs) if last_use[name] > i)
            waiting = alive - given
            most = waiting + max(result.peak_for(given), result.late_peak + kept)
            peak = max(peak, most)
            if i > let_go:
                late_peak = max(late_peak, most)
            elif i == let_go and result.late_peak:
                late_peak = max(late_peak, waiting + result.late_peak + kept)
            sizes[node.name] = prod(result.output_shape)
            alive += sizes[node.name]
            if max(parameters, alive) > MAX_ELEMENTS:
                raise FormatError(f"node {node.name!r}: the network exceeds {MAX_ELEMENTS} elements")
            if macs > MAX_MACS:
                raise FormatError(f"node {node.name!r}: the network exceeds {MAX_MACS} multiply-accumulates")
            alive -= sum(sizes[name] for name in set(node.inputs) if last_use[name] == i)
        return LayerPlan(result.output_shape, parameters, macs, tensors, buffers, peak, late_peak)

    @classmethod
    def build(
        cls,
        shape: Shape,
        rng: np.random.Generator,
        *,
        nodes: tuple[Node, ...],
        inputs: tuple[str, ...] = ("input",),
        other_shapes: tuple[tuple[int, ...], ...] = (),
    ) -> Self:
        """For samples of `shape`; initial weights are drawn in the order of the nodes."""
        modules = {
            node.name: LAYERS[spec.kind].build(_given(spec, shapes), rng, **spec.options)
            for node, spec, shapes, _ in _walk(nodes, inputs, (shape, *other_shapes))
            if not isinstance(node.layer, str)
        }
        return cls(nodes, modules, inputs)

    @classmethod
    def count(cls, *, nodes: tuple[Node, ...], **_: Any) -> int:
        """How many layers run: a shared one counts every time."""
        counts: dict[str, int] = {}
        for node in nodes:
            what = node.layer
            counts[node.name] = counts.get(what, 1) if isinstance(what, str) else count_layers((what,))
        return sum(counts.values())

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute every node; what no later node needs is let go."""
        values: dict[str, Tensor] = dict(zip(self.inputs, inputs, strict=True))
        result: Tensor | None = None
        for name, owner, sources, done in self._steps:
            result = values[name] = self.nodes[owner](*(values[source] for source in sources))
            for source in done:
                del values[source]
        assert result is not None
        return result


def _check_names(nodes: tuple[Node, ...], inputs: tuple[str, ...], other_shapes: tuple[Shape, ...]) -> None:
    """Refuse a graph whose names do not make sense, before any shape is looked at."""
    if not nodes or not inputs or len(inputs) != 1 + len(other_shapes):
        raise FormatError(
            f"expected at least one node, and one shape for every input after the first, "
            f"got {len(nodes)} nodes, {len(inputs)} inputs and {len(other_shapes)} other shapes"
        )
    for shape in other_shapes:
        if not 1 <= len(shape) <= 8 or min(shape) < 1 or prod(shape) > MAX_ELEMENTS:
            raise FormatError(f"expected an input shape of 1 to 8 positive lengths, got {shape}")
    for name, times in Counter((*inputs, *(node.name for node in nodes))).items():
        if times > 1:
            raise FormatError(f"the name {name!r} is given {times} times, expected it once")
        if not 1 <= len(name) <= MAX_NAME or "." in name or not name.isprintable():
            raise FormatError(
                f"expected a name of 1 to {MAX_NAME} printable characters without dots, got {_short(name)}"
            )
    known = set(inputs)
    for node in nodes:
        uses = (*node.inputs, *((node.layer,) if isinstance(node.layer, str) else ()))
        for name in uses:
            if name not in known:
                raise FormatError(f"node {node.name!r} uses {name!r}, {_why_unknown(name, nodes)}")
        known.add(node.name)
    used = {name for node in nodes for name in node.inputs} | {nodes[-1].name}
    unused = [name for name in (*inputs, *(node.name for node in nodes)) if name not in used]
    if unused:
        raise FormatError(
            f"nothing uses {', '.join(map(repr, unused))}: expected the last node to depend on everything",
            hint="leave out what is not needed, and put the output last",
        )


def _why_unknown(name: str, nodes: tuple[Node, ...]) -> str:
    uses = {node.name: (*node.inputs, *((node.layer,) if isinstance(node.layer, str) else ())) for node in nodes}
    if name not in uses:
        return "which is neither an input nor a node"
    try:
        TopologicalSorter({node: set(before) for node, before in uses.items()}).prepare()
    except CycleError as exc:
        circle = cast(list[str], exc.args[1])
        return f"which is not computed before it: expected no cycle, got {' -> '.join(circle)}"
    return "which stands after it: expected every node after those it uses"


def _walk(
    nodes: tuple[Node, ...], inputs: tuple[str, ...], input_shapes: tuple[Shape, ...]
) -> Iterator[tuple[Node, LayerSpec, tuple[Shape, ...], LayerPlan]]:
    """Every node with its layer, the shapes of its inputs and what it costs."""
    shapes = dict(zip(inputs, input_shapes, strict=True))
    owners: dict[str, tuple[LayerSpec, tuple[Shape, ...], LayerPlan]] = {}
    for node in nodes:
        given = tuple(shapes[name] for name in node.inputs)
        try:
            if isinstance(node.layer, str):
                plan = _plan_again(node.layer, owners, given)
                spec = owners[node.layer][0]
            else:
                spec = node.layer
                plan = LAYERS[spec.kind].plan(_given(spec, given), **spec.options)
                owners[node.name] = (spec, given, plan)
        except FormatError as exc:
            raise FormatError(f"node {node.name!r} on samples of shape {_listed(given)}: {exc}") from exc
        shapes[node.name] = plan.output_shape
        yield node, spec, given, plan


def _plan_again(
    name: str, owners: Mapping[str, tuple[LayerSpec, tuple[Shape, ...], LayerPlan]], given: tuple[Shape, ...]
) -> LayerPlan:
    """The cost of a layer that another node owns, on other inputs."""
    if name not in owners:
        raise FormatError(f"node {name!r} has no layer of its own: expected the node that has it")
    spec, first, before = owners[name]
    plan = LAYERS[spec.kind].plan(_given(spec, given), **spec.options)
    if plan.parameters != before.parameters or [len(s) for s in given] != [len(s) for s in first]:
        raise FormatError(f"its weights are those of {name!r}, which is for samples of shape {_listed(first)}")
    return plan


def _given(spec: LayerSpec, shapes: tuple[Shape, ...]) -> Any:
    """What `plan` and `build` of a layer get: a tuple of shapes if it joins them, else the one shape."""
    if LAYERS[spec.kind].joins:
        if len(shapes) < 2:
            raise FormatError(f"{spec.kind}: expected at least two inputs, got {len(shapes)}")
        return shapes
    if len(shapes) != 1:
        raise FormatError(f"{spec.kind}: expected one input, got {len(shapes)}")
    if spec.options.get("other_shapes"):
        raise FormatError(f"{spec.kind}: expected a graph of one input: only the first layer of a network has several")
    return shapes[0]


def _listed(shapes: tuple[Shape, ...]) -> str:
    return " and ".join(map(str, shapes)) or "none"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

"""From a decided template to the layers of a `ModelSpec`, shape by shape, each with where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from ...core import FormatError
from ...core.nn import LayerSpec, Node, layer_spec, plan_layer
from .decided import Decided, DecidedCell, DecidedLayer, DecidedResidual, DecidedStack
from .nodes import Incoming, Outputs, Stride

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Expanded:
    """A layer of a network and its origin.

    Attributes:
        spec: the layer.
        path: where it stands in the template: equal paths of two networks are the same place, whose weights may be
            shared.
        output_shape: of a sample.
        inside: layers inside of it, by the name of the module that holds them ("body", "shortcut", "nodes.conv1").
    """

    spec: LayerSpec
    path: str
    output_shape: Shape
    inside: Mapping[str, tuple[Expanded, ...]] = field(default_factory=dict[str, "tuple[Expanded, ...]"])


def expand(parts: Sequence[Decided], shape: Shape, outputs: int, *, stride: int = 1) -> tuple[Expanded, ...]:
    """The layers of a network for samples of `shape`.

    Args:
        parts: the network, as `decide` gives it.
        shape: of a sample that goes in.
        outputs: what the task wants of a network.
        stride: what `Stride` stands for.

    Raises:
        FormatError: a layer does not fit what comes into it.
    """
    found: list[Expanded] = []
    for part in parts:
        found += _expand(part, shape, outputs, stride)
        shape = found[-1].output_shape if found else shape
    return tuple(found)


def output_shape(layers: Sequence[Expanded], shape: Shape) -> Shape:
    """What comes out of layers that samples of `shape` go into."""
    return layers[-1].output_shape if layers else shape


def _expand(part: Decided, shape: Shape, outputs: int, stride: int) -> list[Expanded]:
    match part:
        case DecidedLayer():
            return [_layer(part, shape, outputs, stride)]
        case DecidedResidual(body, side, path):
            main = expand(body, shape, outputs, stride=stride)
            shortcut = None if side is None else expand(side, shape, outputs, stride=stride)
            return [_residual(main, shortcut, shape, path)]
        case DecidedCell():
            return _cell(part, shape, outputs)
        case DecidedStack():
            return [_stack(part, shape, outputs)]


def _made(
    kind: str, shape: Shape, path: str, inside: Mapping[str, tuple[Expanded, ...]], /, **options: Any
) -> Expanded:
    spec = layer_spec(kind, **options)
    return Expanded(spec, path, plan_layer(spec, shape).output_shape, inside)


def channels_of(shape: Shape) -> int:
    """Channels of an image, features of a step or a row."""
    return shape[0 if len(shape) >= 3 else len(shape) - 1]


def _layer(part: DecidedLayer, shape: Shape, outputs: int, stride: int) -> Expanded:
    options: dict[str, Any] = {}
    inside: dict[str, tuple[Expanded, ...]] = {}
    for name, value in part.options.items():
        match value:
            case Incoming(times):
                options[name] = max(1, round(channels_of(shape) * times))
            case Outputs():
                options[name] = outputs
            case Stride():
                options[name] = stride
            case (DecidedLayer() | DecidedResidual() | DecidedCell() | DecidedStack(), *_):
                inside[name] = expand(cast(tuple[Decided, ...], value), shape, outputs, stride=stride)
                options[name] = tuple(inner.spec for inner in inside[name])
            case _:
                options[name] = value
    return _made(part.kind, shape, part.path, inside, **options)


def _residual(body: tuple[Expanded, ...], shortcut: tuple[Expanded, ...] | None, shape: Shape, path: str) -> Expanded:
    if shortcut is None:
        shortcut = projection(shape, output_shape(body, shape), f"{path}/shortcut")
    inside = {"body": body, "shortcut": shortcut}
    return _made("residual", shape, path, inside, **{k: tuple(e.spec for e in v) for k, v in inside.items()})


def projection(shape: Shape, target: Shape, path: str) -> tuple[Expanded, ...]:
    """Layers that bring `shape` to `target`: none where they are equal, else the linear map of the kind of data."""
    if shape == target:
        return ()
    if len(shape) == len(target) == 3:
        steps = tuple(-(-a // b) for a, b in zip(shape[1:], target[1:], strict=True))
        options = {"out_channels": target[0], "kernel": 1, "stride": max(steps), "bias": False, "padding": 0}
        return (_made("conv2d", shape, path, {}, **options),)
    if len(shape) == len(target) and shape[:-1] == target[:-1]:
        return (_made("linear", shape, path, {}, out_features=target[-1], bias=False),)
    raise FormatError(f"{path}: no projection brings samples of shape {shape} to {target}")


class _Nodes:
    """The nodes of a graph layer as they are made; what passes through is no node."""

    def __init__(self, inputs: Mapping[str, Shape]) -> None:
        self.shapes = dict(inputs)
        self.nodes: list[Node] = []
        self.inside: dict[str, tuple[Expanded, ...]] = {}

    def add(self, name: str, made: Expanded, *sources: str) -> str:
        self.nodes.append(Node(name, made.spec, sources))
        self.shapes[name] = made.output_shape
        self.inside[f"nodes.{name}"] = (made,)
        return name

    def chain(self, name: str, layers: Sequence[Expanded], source: str) -> str:
        for index, made in enumerate(layers):
            source = self.add(name if len(layers) == 1 else f"{name}_{index}", made, source)
        return source

    def sum(self, name: str, sources: Sequence[str], path: str) -> str:
        """The sum of some nodes; one that comes several times counts as often."""
        if len(sources) == 1:
            return sources[0]
        different = list(dict.fromkeys(sources))
        weights = tuple(float(sources.count(source)) for source in different)
        shape = self.shapes[different[0]]
        if len(different) == 1:
            # `add` joins at least two: the same one twice is two inputs of one name.
            different, weights = list(sources), ()
        options = {"weights": weights} if any(weight != 1 for weight in weights) else {}
        return self.add(name, Expanded(layer_spec("add", **options), path, shape), *different)

    def graph(self, path: str, shape: Shape, inputs: tuple[str, ...], last: str) -> Expanded:
        spec = layer_spec("graph", nodes=tuple(self.nodes), inputs=inputs)
        return Expanded(spec, path, self.shapes[last], self.inside)


def _cell(part: DecidedCell, shape: Shape, outputs: int) -> list[Expanded]:
    """A complete cell as a graph; one that passes its input on is no layer, one without an output gives zeros."""
    if not part.edges:
        return [_made("zeros", shape, part.path, {})]
    graph = _Nodes({"input": shape})
    values: dict[int, str] = {0: "input"}
    for node in range(1, part.cell.nodes):
        sources: list[str] = []
        for i, j, op in part.edges:
            if j == node:
                here = f"{part.path}/{i}-{j}/{op}"
                layers = _relocated(expand(part.operations[op], graph.shapes[values[i]], outputs), here)
                sources.append(graph.chain(f"n{i}_{j}", layers, values[i]))
        if sources:
            values[node] = graph.sum(f"n{node}", sources, f"{part.path}/{node}")
    last = values[part.cell.nodes - 1]
    return [] if last == "input" else [graph.graph(part.path, shape, ("input",), last)]


def _stack(part: DecidedStack, shape: Shape, outputs: int) -> Expanded:
    """Cells of two inputs as one graph."""
    graph = _Nodes({"input": shape})
    before, now = "input", "input"
    for index, (cell, channels, reduce) in enumerate(part.parts):
        here = f"{part.path}/{index}"
        sides = graph.shapes[now][1:]
        pair: list[str] = []
        for which, source in enumerate((before, now)):
            made = entering(graph.shapes[source], channels, sides, f"{here}/pre{which}")
            pair.append(graph.chain(f"c{index}_pre{which}", made, source))
        values = dict(enumerate(pair))
        for node in range(2, cell.cell.nodes + 2):
            sources: list[str] = []
            for number, (i, j, op) in enumerate(cell.edges):
                if j == node:
                    stride = 2 if reduce and i < 2 else 1
                    layers = expand(cell.operations[op], graph.shapes[values[i]], outputs, stride=stride)
                    if not layers and stride == 2:  # a skip that halves the sides
                        layers = halving(graph.shapes[values[i]], f"{here}/{i}-{j}/{op}")
                    layers = _relocated(layers, f"{here}/{i}-{j}/{op}")
                    sources.append(graph.chain(f"c{index}_{number}", layers, values[i]))
            values[node] = graph.sum(f"c{index}_n{node}", sources, f"{here}/{node}")
        ends = [values[node] for node in range(2, cell.cell.nodes + 2)]
        first = graph.shapes[ends[0]]
        joined = Expanded(
            layer_spec("concat"), f"{here}/concat", (sum(graph.shapes[end][0] for end in ends), *first[1:])
        )
        before, now = now, graph.add(f"c{index}", joined, *ends) if len(ends) > 1 else ends[0]
    _prune(graph, now)
    return graph.graph(part.path, shape, ("input",), now)


def entering(shape: Shape, channels: int, sides: Shape, path: str) -> tuple[Expanded, ...]:
    """What an input of a stack's cell goes through: to its channels, and down to its sides."""
    step = 1 if shape[1:] == sides else max(-(-a // b) for a, b in zip(shape[1:], sides, strict=True))
    options = {"out_channels": channels, "kernel": 1, "stride": step, "padding": 0, "bias": False}
    relu = _made("activation", shape, f"{path}/relu", {}, function="relu")
    conv = _made("conv2d", shape, f"{path}/conv", {}, **options)
    return relu, conv, _made("batch_norm", conv.output_shape, f"{path}/norm", {})


def halving(shape: Shape, path: str) -> tuple[Expanded, ...]:
    """A skip that halves the sides."""
    relu = _made("activation", shape, f"{path}/relu", {}, function="relu")
    options = {"out_channels": shape[0], "kernel": 1, "stride": 2, "padding": 0, "bias": False}
    conv = _made("conv2d", shape, f"{path}/conv", {}, **options)
    return relu, conv, _made("batch_norm", conv.output_shape, f"{path}/norm", {})


def _prune(graph: _Nodes, last: str) -> None:
    """Drop nodes that the last one does not depend on: inputs of a cell that none of its nodes picked."""
    needed = {last}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    graph.nodes = [node for node in graph.nodes if node.name in needed]
    graph.inside = {name: made for name, made in graph.inside.items() if name.removeprefix("nodes.") in needed}


def _relocated(layers: Sequence[Expanded], path: str) -> tuple[Expanded, ...]:
    """The layers of an operation at its edge: each edge has weights of its own."""
    return tuple(Expanded(e.spec, f"{path}/{i}", e.output_shape, e.inside) for i, e in enumerate(layers))

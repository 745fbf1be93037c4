"""A decided network as a small labelled graph and as canonical JSON: what identities, kernels and drawings look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from .decided import Decided, DecidedCell, DecidedLayer, DecidedResidual, DecidedStack
from .nodes import Incoming, Outputs, Stride


@dataclass(frozen=True, slots=True)
class LabelledGraph:
    """A directed acyclic graph; data flows along the edges.

    Attributes:
        labels: of the nodes, in topological order; the first is "input", the last "output".
        edges: (from, to), from < to.
    """

    labels: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


def structure(parts: Sequence[Decided]) -> list[Any]:
    """Plain JSON values of a network: equal for equal networks. Cells are in canonical form."""
    return _structures(parts, {})


def labelled_graph(parts: Sequence[Decided]) -> LabelledGraph:
    """The graph of a network. Cells that are wired alike are spelt out once, and then stand as one node."""
    drawing = _Drawing()
    last = drawing.chain(parts, drawing.node("input"))
    drawing.node("output", last)
    return LabelledGraph(tuple(drawing.labels), tuple(drawing.edges))


def label(part: DecidedLayer) -> str:
    """What a layer is called in a graph: its kind and its options, as in `conv2d(kernel=3, out_channels=16)`."""
    shown = ", ".join(f"{k}={_shown(v)}" for k, v in sorted(part.options.items()) if not _nested(v))
    return f"{part.kind}({shown})" if shown else part.kind


_Known = dict[int, Any]  # cells that were looked at, by the identity of their operations: most stand many times


def _structures(parts: Sequence[Decided], known: _Known) -> list[Any]:
    return [_structure(part, known) for part in parts]


def _structure(part: Decided, known: _Known) -> Any:
    match part:
        case DecidedLayer(kind, options):
            return {"layer": kind, **{k: _value(v, known) for k, v in options.items()}}
        case DecidedResidual(body, shortcut):
            side = {} if shortcut is None else {"shortcut": _structures(shortcut, known)}
            return {"residual": _structures(body, known)} | side
        case DecidedCell():
            return _cell(part, known)
        case DecidedStack(parts):
            return {"stack": [[_cell(cell, known), channels, reduce] for cell, channels, reduce in parts]}


def _cell(part: DecidedCell, known: _Known) -> Any:
    if id(part.operations) not in known:
        # What passes through leaves no trace in the key.
        operations = {op: _structures(body, known) for op, body in part.operations.items() if body}
        known[id(part.operations)] = {"cell": part.canonical.key, "operations": operations}
    return known[id(part.operations)]


def _value(value: object, known: _Known) -> Any:
    match value:
        case Incoming(times):
            return {"incoming": times}
        case Outputs():
            return "outputs"
        case Stride():
            return "stride"
        case tuple():
            items = cast(tuple[object, ...], value)
            return [_structure(cast(Decided, item), known) if _nested((item,)) else item for item in items]
        case _:
            return value


def _nested(value: object) -> bool:
    kinds = (DecidedLayer, DecidedResidual, DecidedCell, DecidedStack)
    return isinstance(value, tuple) and any(isinstance(item, kinds) for item in cast(tuple[object, ...], value))


def _shown(value: object) -> str:
    match value:
        case Incoming(times):
            return "in" if times == 1 else f"{times:g}*in"
        case Outputs():
            return "outputs"
        case Stride():
            return "stride"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


class _Drawing:
    """A graph as it grows."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.edges: list[tuple[int, int]] = []
        self._drawn: set[str] = set()  # cells that are spelt out already

    def node(self, label: str, *sources: int) -> int:
        self.labels.append(label)
        self.edges += [(source, len(self.labels) - 1) for source in sources]
        return len(self.labels) - 1

    def chain(self, parts: Sequence[Decided], last: int) -> int:
        for part in parts:
            last = self._part(part, last)
        return last

    def _part(self, part: Decided, last: int) -> int:
        match part:
            case DecidedLayer(options=options):
                for value in options.values():
                    if _nested(value):
                        last = self.chain(cast(tuple[Decided, ...], value), last)
                return self.node(label(part), last)
            case DecidedResidual(body, shortcut):
                side = last if shortcut is None else self.chain(shortcut, last)
                return self.node("add", *dict.fromkeys((self.chain(body, last), side)))
            case DecidedCell():
                return self._cell(part, (last,))
            case DecidedStack(parts):
                before, now = last, last
                for cell, channels, reduce in parts:
                    before, now = now, self._cell(cell, (before, now), f"cell({channels}{', reduce' * reduce})")
                return now

    def _cell(self, part: DecidedCell, inputs: tuple[int, ...], name: str = "cell") -> int:
        key = part.canonical.key
        if key in self._drawn:
            return self.node(name, *dict.fromkeys(inputs))
        self._drawn.add(key)
        place: dict[int, int] = {}
        sources: Mapping[int, list[int]] = {index: [] for index in range(len(part.canonical.labels))}
        for i, j in part.canonical.edges:
            sources[j].append(i)
        for index, text in enumerate(part.canonical.labels):
            if index < len(inputs):
                place[index] = inputs[index]
            elif text == "output":
                place[index] = self.node(name, *(place[source] for source in sources[index]))
            else:
                place[index] = self.node(text, *(place[source] for source in sources[index]))
        return place[len(part.canonical.labels) - 1]

"""What there is to draw of a network: its layers as rows, what goes around some of them, and its different cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import Literal, cast

from ...core.nn import LAYERS, LayerSpec, Node
from ..space.decided import Decided, DecidedCell, DecidedResidual, DecidedStack
from ..space.expand import Expanded, expand, output_shape

Shape = tuple[int, ...]
State = Literal["same", "new", "changed"]
_PLAIN = {"out_features", "out_channels", "function", "hidden", "size"}  # options whose value speaks for itself
_LEFT_OUT = {"padding", "bias", "count_include_pad", "ceil_mode", "other_shapes"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the column.

    Attributes:
        title: the kind of layer, or what the cell is called.
        detail: its options in short.
        shape: of a sample that comes out.
        parameters: trainable elements; None where there is nothing to count.
        times: how many of it stand in a row.
        state: against the other network of a comparison.
        was: what stands there in the other one, where it is changed.
        gone: what the other one has before it, and this one has not.
    """

    title: str
    detail: str
    shape: Shape
    parameters: int | None = None
    times: int = 1
    state: State = "same"
    was: str = ""
    gone: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Title and detail."""
        return f"{self.title} {self.detail}".rstrip()


@dataclass(frozen=True, slots=True)
class Around:
    """A connection around some rows: from before the first one to the last one, which adds."""

    first: int
    last: int
    level: int


@dataclass(frozen=True, slots=True)
class Wiring:
    """One cell: its nodes by name, and edges (from, to, operation, state)."""

    name: str
    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int, str, str], ...]
    joins: bool  # the last node is the others side by side


@dataclass(slots=True)
class Network:
    """All of a network that is drawn; grows while its parts are walked through."""

    outputs: int
    rows: list[Row] = field(default_factory=list[Row])
    arounds: list[Around] = field(default_factory=list[Around])
    cells: dict[str, DecidedCell] = field(default_factory=dict[str, DecidedCell])

    def chain(self, parts: Sequence[Decided], shape: Shape, level: int = 0) -> Shape:
        """Add parts that stand one after the other.

        Args:
            parts: of a network, as `decide` gives them.
            shape: of a sample that comes in.
            level: how many connections go around them.

        Returns:
            The shape of a sample that comes out.
        """
        for part in parts:
            made = expand((part,), shape, self.outputs)
            match part:
                case DecidedResidual():
                    self._residual(part, made[0], shape, level)
                case DecidedCell():
                    self._cell(part, made, shape)
                case DecidedStack():
                    self._stack(part, made[0], shape)
                case _:
                    self.rows.append(_row(made[0].spec, shape))
            shape = output_shape(made, shape)
        return shape

    def _residual(self, part: DecidedResidual, made: Expanded, shape: Shape, level: int) -> None:
        first = len(self.rows)
        self.chain(part.body, shape, level + 1)
        shortcut = made.inside["shortcut"]
        beside = [_row(layer.spec, given) for layer, given in zip(shortcut, _inputs(shortcut, shape), strict=True)]
        detail = f"through {', '.join(row.text for row in beside)}" if beside else ""
        parameters = sum(row.parameters or 0 for row in beside) if beside else None
        self.arounds.append(Around(first, len(self.rows), level))
        self.rows.append(Row("add", detail, made.output_shape, parameters))

    def _cell(self, part: DecidedCell, made: tuple[Expanded, ...], shape: Shape) -> None:
        parameters = sum(LAYERS[layer.spec.kind].plan(shape, **layer.spec.options).parameters for layer in made)
        self._named(part, "" if part.edges else "gives zeros", shape, parameters)

    def _stack(self, part: DecidedStack, made: Expanded, shape: Shape) -> None:
        counts, shapes = _of_graph(made.spec.options["nodes"], shape)
        for index, (cell, channels, reduce) in enumerate(part.parts):
            # A cell that nothing behind it uses is not in the graph.
            out = shapes.get(index)
            if out is not None:
                self._named(cell, f"{channels} channels{', halves' * reduce}", out, counts[index])

    def _named(self, cell: DecidedCell, detail: str, shape: Shape, parameters: int) -> None:
        name = cell.cell.name or "cell"
        while name in self.cells and self.cells[name].edges != cell.edges:
            name += "'"
        self.cells[name] = cell
        last = self.rows[-1] if self.rows else None
        if last is not None and (last.title, last.detail, last.shape) == (name, detail, shape):
            self.rows[-1] = replace(last, times=last.times + 1, parameters=(last.parameters or 0) + parameters)
        else:
            self.rows.append(Row(name, detail, shape, parameters))


def compared(rows: Sequence[Row], others: Sequence[Row]) -> list[Row]:
    """The rows, each marked with how it differs from what another network has in its place."""
    here, there = [(row.text, row.times) for row in rows], [(row.text, row.times) for row in others]
    marked = list(rows)
    for tag, i, i_end, j, j_end in SequenceMatcher(None, here, there, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        pairs = min(i_end - i, j_end - j)
        for offset in range(i_end - i):
            paired = offset < pairs
            before = _was(marked[i + offset], others[j + offset]) if paired else ""
            marked[i + offset] = replace(marked[i + offset], state="changed" if paired else "new", was=before)
        gone = tuple(_times(other) for other in others[j + pairs : j_end])
        if gone:  # a network ends with its outputs, so that a row follows or this is the last one
            place = min(i + pairs, len(marked) - 1)
            marked[place] = replace(marked[place], gone=marked[place].gone + gone)
    return marked


def wiring(name: str, cell: DecidedCell, other: DecidedCell | None, *, compare: bool) -> Wiring:
    """The nodes and edges of a cell; those that only one of two cells has are "new" and "gone"."""
    joins = cell.cell.picks > 0
    inner = [str(node + 1) for node in range(cell.cell.nodes if joins else cell.cell.nodes - 2)]
    nodes = ("before", "last", *inner, "out") if joins else ("in", *inner, "out")
    mine, theirs = Counter(cell.edges), Counter(other.edges if other is not None else ())
    if not compare:
        theirs = mine
    edges = [
        (*edge, "new" if number > theirs[edge] else "same")
        for edge, count in mine.items()
        for number in range(1, count + 1)
    ]
    edges += [(*edge, "gone") for edge in (theirs - mine).elements() if edge[1] < len(nodes)]
    return Wiring(name, nodes, tuple(sorted(edges, key=lambda edge: (edge[1], edge[0], edge[2]))), joins)


def short_shape(shape: Shape) -> str:
    """As in 16x8x8."""
    return "x".join(map(str, shape))


def _times(row: Row) -> str:
    return row.text if row.times == 1 else f"{row.times} x {row.text}"


def _was(row: Row, other: Row) -> str:
    same_kind = (other.title, other.times) == (row.title, row.times) and other.detail
    return other.detail if same_kind else _times(other)


def _row(spec: LayerSpec, shape: Shape) -> Row:
    plan = LAYERS[spec.kind].plan(shape, **spec.options)
    given = [_option(name, value) for name, value in sorted(spec.options.items(), key=_plain_first)]
    return Row(spec.kind, ", ".join(filter(None, given)), plan.output_shape, plan.parameters or None)


def _plain_first(item: tuple[str, object]) -> tuple[bool, str]:
    return item[0] not in _PLAIN, item[0]


def _option(name: str, value: object) -> str:
    if name in _LEFT_OUT or (name, value) in {("stride", 1), ("dilation", 1), ("groups", 1), ("drop", 0.0)}:
        return ""
    if isinstance(value, tuple):
        items = cast("tuple[object, ...]", value)
        if any(isinstance(item, LayerSpec | Node) for item in items):
            return f"{name} of {len(items)}"
        value = "x".join(map(str, items))
    if name == "kernel":
        return value if isinstance(value, str) else f"{value}x{value}"
    if isinstance(value, bool):
        return name if value else f"{name} no"
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return shown if name in _PLAIN else f"{name} {shown}"


def _inputs(layers: Sequence[Expanded], shape: Shape) -> list[Shape]:
    return [shape, *(layer.output_shape for layer in layers)][: len(layers)]


def _of_graph(nodes: Sequence[Node], shape: Shape) -> tuple[Counter[int], dict[int, Shape]]:
    """Parameters and output shapes of the cells of a stack, by their place; see `expand` for the names of nodes."""
    shapes: dict[str, Shape] = {"input": shape}
    counts: Counter[int] = Counter()
    ends: dict[int, Shape] = {}
    for node in nodes:
        assert isinstance(node.layer, LayerSpec)
        known = LAYERS[node.layer.kind]
        given = tuple(shapes[name] for name in node.inputs)
        plan = known.plan(given if known.joins else given[0], **node.layer.options)
        shapes[node.name] = plan.output_shape
        found = re.match(r"c(\d+)", node.name)
        assert found is not None
        counts[int(found[1])] += plan.parameters
        ends[int(found[1])] = plan.output_shape
    return counts, ends

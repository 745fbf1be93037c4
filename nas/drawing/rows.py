"""What there is to draw of a network: its layers as rows, what goes around some of them, and its different cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal, cast

from ...core.nn import LAYERS, LayerSpec, Node
from ..space.decided import Decided, DecidedCell, DecidedResidual, DecidedStack
from ..space.expand import Expanded, expand, output_shape

Shape = tuple[int, ...]
State = Literal["same", "new", "changed"]
_PLAIN = {"out_features", "out_channels", "function", "hidden", "size"}  # options whose value speaks for itself
_FAMILIES = ("norm", "pool", "conv")
# What it costs to make one network of another, against a row that only one of them has.
_ALONE, _CHANGED, _OTHER_KIND, _ELSEWHERE = 1.0, 0.75, 0.5, 0.5
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
    """The rows, each marked with how it differs from what another network has in its place.

    Only layers of one kind are taken for each other; all else is new here, or gone.
    """
    marked = list(rows)
    gone: list[str] = []
    last = 0  # of the rows that were walked through
    for here, there in _aligned(rows, others):
        if here is None:
            assert there is not None
            gone.append(_times(others[there]))
            continue
        row, last = rows[here], here
        if there is None:
            row = replace(row, state="new")
        elif not _is_same(row, others[there]):
            row = replace(row, state="changed", was=_was(row, others[there]))
        marked[here] = replace(row, gone=tuple(gone))
        gone = []
    if gone and marked:
        marked[last] = replace(marked[last], gone=marked[last].gone + tuple(gone))
    return marked


def _aligned(rows: Sequence[Row], others: Sequence[Row]) -> list[tuple[int | None, int | None]]:
    """Which rows of two networks stand for each other, from the top: the way of least cost to make one of the other.

    Source: Needleman and Wunsch 1970, https://doi.org/10.1016/0022-2836(70)90057-4.
    """
    width = len(others) + 1
    costs = [[0.0] * width for _ in range(len(rows) + 1)]
    for i in range(len(rows), -1, -1):
        for j in range(len(others), -1, -1):
            ways = [costs[i + 1][j] + _ALONE] if i < len(rows) else []
            ways += [costs[i][j + 1] + _ALONE] if j < len(others) else []
            ways += [costs[i + 1][j + 1] + _cost(rows[i], others[j])] if i < len(rows) and j < len(others) else []
            costs[i][j] = min(ways, default=0.0)
    pairs: list[tuple[int | None, int | None]] = []
    i = j = 0
    while i < len(rows) or j < len(others):
        both = i < len(rows) and j < len(others)
        if both and costs[i][j] == costs[i + 1][j + 1] + _cost(rows[i], others[j]):
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif i < len(rows) and costs[i][j] == costs[i + 1][j] + _ALONE:
            pairs.append((i, None))
            i += 1
        else:
            pairs.append((None, j))
            j += 1
    return pairs


def _cost(row: Row, other: Row) -> float:
    """Of taking one row for the other: nothing for the same, more than leaving both alone where they are not alike."""
    if _is_same(row, other):
        return 0.0
    alike = row.title == other.title or _family(row.title) == _family(other.title) != ""
    if not alike:
        return inf
    elsewhere = row.shape[1:] != other.shape[1:]  # another resolution is another part of the network
    return _CHANGED + _OTHER_KIND * (row.title != other.title) + _ELSEWHERE * elsewhere


def _is_same(row: Row, other: Row) -> bool:
    return (row.text, row.times) == (other.text, other.times)


def _family(title: str) -> str:
    """Of layers that do one thing in several ways; what ends a network stands for nothing else."""
    if title.startswith("global"):
        return ""
    return next((word for word in _FAMILIES if word in title), "")


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

"""A template with every decision taken: what is left of it is the network.

`decide` walks a template once and drops what the decisions switch off. Everything that asks about a point of a space
goes through it: its identity, its graph, its layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, cast

from ...core import ConfigError
from ..cells import CanonicalCell, canonical_cell
from .nodes import (
    NONE,
    Cell,
    CellStack,
    Chain,
    Choice,
    Float,
    Incoming,
    Int,
    Layer,
    Leaf,
    Multiple,
    Node,
    Optional,
    Outputs,
    Repeat,
    Residual,
    Scalar,
    Stride,
    node_of,
)

Flat = Mapping[str, Scalar]  # path -> value, one for every leaf of a space
ROOT = "architecture"
MAX_PARTS = 50_000  # of a template with all its copies: copies of copies are soon more than any search can use
_SKIP, _PART = "/skip", "/part"  # no operation has a name with a slash


@dataclass(frozen=True, slots=True)
class DecidedLayer:
    """A layer; its options are values, `Incoming`, `Outputs` or `Stride`, or decided layers inside of it."""

    kind: str
    options: Mapping[str, Any]
    path: str  # where it stands in the template


@dataclass(frozen=True, slots=True)
class DecidedResidual:
    """`body(x) + shortcut(x)`; without a shortcut x, or a projection of it that fits."""

    body: tuple[Decided, ...]
    shortcut: tuple[Decided, ...] | None
    path: str


@dataclass(frozen=True, slots=True)
class DecidedCell:
    """A cell: its edges (from, to, operation) that count, in order of `to`, and what each of their operations is.

    With `picks` the two inputs are nodes 0 and 1, and the output is not a node.
    """

    cell: Cell
    edges: tuple[tuple[int, int, str], ...]
    operations: Mapping[str, tuple[Decided, ...]]
    canonical: CanonicalCell
    path: str


@dataclass(frozen=True, slots=True)
class DecidedStack:
    """Cells with two inputs in a row: each with its channels and whether it reduces."""

    parts: tuple[tuple[DecidedCell, int, bool], ...]
    path: str


Decided = DecidedLayer | DecidedResidual | DecidedCell | DecidedStack


def leaves_of(template: Node) -> dict[str, Leaf]:
    """Every decision of a template by path, active or not, in the order of the template.

    Raises:
        ConfigError: two different decisions have the same name, or the template has more than `MAX_PARTS` parts.
    """
    if (parts := _parts(template)) > MAX_PARTS:
        raise ConfigError(f"the space has {parts} parts with all copies, expected at most {MAX_PARTS}")
    found: dict[str, Leaf] = {}
    for path, leaf in _leaves(template, ROOT):
        if found.setdefault(path, leaf) != leaf:
            raise ConfigError(f"{path}: the name stands for two decisions, {found[path]} and {leaf}")
    return found


def _parts(node: Node) -> int:
    """How many parts a template has when every copy is counted."""
    match node:
        case Layer(options=options):
            return 1 + sum(_parts(inner) for value in options.values() for inner in _inside(value))
        case Chain(parts):
            return 1 + sum(map(_parts, parts))
        case Choice(options):
            return 1 + (sum(map(_parts, options.values())) if isinstance(options, Mapping) else 0)
        case Repeat(_, high, inner):
            return 1 + high * _parts(inner)
        case Optional(inner):
            return 1 + _parts(inner)
        case Residual(body, _, shortcut):
            return 1 + _parts(body) + (0 if shortcut is None else _parts(shortcut))
        case Cell(nodes, operations, picks):
            return nodes * (picks or nodes) * (1 + sum(map(_parts, operations.values())))
        case CellStack(parts):
            return 1 + sum(_parts(part.cell) for part in parts)


def decide(template: Node, flat: Flat, *, path: str = ROOT) -> tuple[tuple[Decided, ...], frozenset[str]]:
    """The network a point stands for, and the paths of the decisions that count.

    Args:
        template: of a space, or a part of one.
        flat: the point.
        path: where the part stands in the template.

    Raises:
        ConfigError: the point has no value for a decision that counts, or one outside its range.
    """
    walk = _Walk(flat)
    return tuple(walk.node(template, path, path)), frozenset(walk.used)


def check_value(leaf: Leaf, flat: Flat, path: str) -> Scalar:
    """The value of a decision.

    Raises:
        ConfigError: there is none, or it is outside the range.
    """
    if path not in flat:
        raise ConfigError(f"the point has no value for {path!r}")
    value = flat[path]
    match leaf:
        case Float(low, high):
            fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
            value = float(value) if fits else value  # 1 and 1.0 are the same candidate
        case Choice():
            fits = any(value == option and type(value) is type(option) for option in leaf.values)
        case Int():
            fits = type(value) is int and value in leaf.values
    if not fits:
        raise ConfigError(f"{path}: {value!r} is none of {_range(leaf)}")
    return value


def labelled(parts: tuple[Node, ...], path: str) -> Iterator[tuple[Node, str]]:
    """The parts of a chain with their paths: what each is called, numbered where several are called the same."""
    seen: dict[str, int] = {}
    for part in parts:
        label = part.kind if isinstance(part, Layer) else type(part).__name__.lower()
        seen[label] = seen.get(label, 0) + 1
        yield part, f"{path}/{label}" if seen[label] == 1 else f"{path}/{label}_{seen[label]}"


def place(name: str | None, path: str) -> str:
    """Where a decision stands: under its name, if it has one, else where it was found."""
    return path if name is None else f"{ROOT}/{name}"


def _range(leaf: Leaf) -> str:
    match leaf:
        case Choice():
            return ", ".join(map(repr, leaf.values))
        case Int(low, high, step):
            return f"{low} to {high}" + (f" in steps of {step}" if step > 1 else "")
        case Float(low, high):
            return f"{low} to {high}"


def _leaves(node: Node | Leaf | Multiple, path: str) -> Iterator[tuple[str, Leaf]]:
    match node:
        case Multiple(of):
            yield from _leaves(of, path)
        case Int(name=name) | Float(name=name):
            yield place(name, path), node
        case Choice(options, name):
            here = place(name, path)
            yield here, Choice(node.values, name)
            if isinstance(options, Mapping):
                for key, alternative in options.items():
                    yield from _leaves(alternative, f"{here}/{key}")
        case Layer(options=given):
            for option, value in given.items():
                for index, inner in enumerate(_inside(value)):
                    yield from _leaves(inner, f"{path}/{option}/{index}")
                if isinstance(value, Multiple | Int | Float) or (isinstance(value, Choice) and not value.of_layers):
                    yield from _leaves(value, f"{path}/{option}")
        case Chain(parts):
            for part, where in labelled(parts, path):
                yield from _leaves(part, where)
        case Repeat(low, high, inner, name):
            here = place(name, path)
            if low < high:
                yield f"{here}/count", Int(low, high)
            for index in range(high):
                yield from _leaves(inner, f"{here}/{index}")
        case Optional(inner, name):
            here = place(name, path)
            yield f"{here}/present", Choice((False, True))
            yield from _leaves(inner, here)
        case Residual(body, optional, shortcut):
            if optional:
                yield f"{path}/skip", Choice((False, True))
            yield from _leaves(body, path)
            if shortcut is not None:
                yield from _leaves(shortcut, f"{path}/shortcut")
        case Cell():
            yield from _cell_leaves(node, path)
        case CellStack(parts):
            for index, part in enumerate(parts):
                yield from _cell_leaves(part.cell, f"{path}/{index}")


def _cell_leaves(cell: Cell, path: str) -> Iterator[tuple[str, Leaf]]:
    here = place(cell.name, path)
    operation = Choice(tuple(cell.operations))
    if cell.picks:
        for node in range(cell.nodes):
            sources = cell.sources(node)
            if len(sources) > 1:
                yield f"{here}/{node}/from", Choice(tuple(sources))
            for pick in range(len(next(iter(sources.values())))):
                yield f"{here}/{node}/op{pick}", operation
    else:
        for i, j in cell.edges:
            yield f"{here}/{i}-{j}", operation
    for key, inner in cell.operations.items():
        yield from _leaves(inner, f"{here}/{key}")


def _inside(value: object) -> tuple[Node, ...]:
    """Nodes that stand in an option, such as the body of a block."""
    node = node_of(value)
    if node is not None:
        return (node,)
    if isinstance(value, tuple):
        return tuple(inner for item in cast(tuple[object, ...], value) if (inner := node_of(item)) is not None)
    return ()


class _Walk:
    """One pass through a template; notes which decisions were looked at."""

    def __init__(self, flat: Flat) -> None:
        self._flat = flat
        self._cells: dict[str, DecidedCell] = {}  # those with a name, which are the same wherever they stand
        self._places: dict[str, int] = {}  # how many layers stand there already
        self.used: set[str] = set()

    def value(self, leaf: Leaf, path: str) -> Scalar:
        self.used.add(path)
        return check_value(leaf, self._flat, path)

    def standing(self, path: str) -> str:
        """A place of its own for a layer: those inside of a choice with a name would all stand at that name."""
        count = self._places[path] = self._places.get(path, 0) + 1
        return path if count == 1 else f"{path}@{count}"

    def node(self, node: Node, path: str, where: str) -> Iterator[Decided]:
        """Decide a node. `path` is where its decisions stand, `where` itself.

        They differ below a choice with a name: the layers of each place that shares it are others. Copies with a name
        are one part of the network, in whichever of several alternatives they stand.
        """
        match node:
            case Layer(kind, options):
                values = {k: self.option(v, f"{path}/{k}", f"{where}/{k}") for k, v in options.items()}
                yield DecidedLayer(kind, values, self.standing(where))
            case Chain(parts):
                for (part, inside), (_, at) in zip(labelled(parts, path), labelled(parts, where), strict=True):
                    yield from self.node(part, inside, at)
            case Choice(options, name):
                here = place(name, path)
                which = cast(str, self.value(Choice(node.values), here))
                yield from self.node(cast(Mapping[str, Node], options)[which], f"{here}/{which}", f"{where}/{which}")
            case Repeat(low, high, inner, name):
                here = place(name, path)
                count = self.value(Int(low, high), f"{here}/count") if low < high else high
                for index in range(cast(int, count)):
                    yield from self.node(inner, f"{here}/{index}", f"{place(name, where)}/{index}")
            case Optional(inner, name):
                here = place(name, path)
                if self.value(Choice((False, True)), f"{here}/present"):
                    yield from self.node(inner, here, place(name, where))
            case Residual(body, optional, shortcut):
                if optional and not self.value(Choice((False, True)), f"{path}/skip"):
                    yield from self.node(body, path, where)
                else:
                    side = (
                        None
                        if shortcut is None
                        else tuple(self.node(shortcut, f"{path}/shortcut", f"{where}/shortcut"))
                    )
                    yield DecidedResidual(tuple(self.node(body, path, where)), side, self.standing(where))
            case Cell():
                yield self.cell(node, path, self.standing(where))
            case CellStack(parts):
                cells = [
                    (self.cell(p.cell, f"{path}/{i}", f"{where}/{i}"), p.channels, p.reduce)
                    for i, p in enumerate(parts)
                ]
                yield DecidedStack(tuple(cells), self.standing(where))

    def option(self, value: object, path: str, where: str) -> Any:
        match value:
            case Multiple(of, times):
                return max(1, round(cast(int, self.value(of, place(of.name, path))) * times))
            case Int(name=name) | Float(name=name):
                return self.value(value, place(name, path))
            case Choice(name=name) if not value.of_layers:
                return self.value(value, place(name, path))
            case Incoming() | Outputs() | Stride():
                return value
            case _:
                inner = _inside(value)
                if inner:
                    return tuple(d for i, n in enumerate(inner) for d in self.node(n, f"{path}/{i}", f"{where}/{i}"))
                return value

    def cell(self, cell: Cell, path: str, where: str) -> DecidedCell:
        here = place(cell.name, path)
        decide_cell = self._picked if cell.picks else self._complete
        if cell.name is None:
            return decide_cell(cell, here, where)
        if here not in self._cells or self._cells[here].cell != cell:
            self._cells[here] = decide_cell(cell, here, where)
        found = self._cells[here]
        return DecidedCell(cell, found.edges, found.operations, found.canonical, where)

    def _bodies(self, cell: Cell, here: str, chosen: Set[str]) -> dict[str, tuple[Decided, ...]]:
        """What each of some operations is."""
        paths = {op: f"{here}/{op}" for op in cell.operations if op in chosen}
        return {op: tuple(self.node(cell.operations[op], path, path)) for op, path in paths.items()}

    def _complete(self, cell: Cell, here: str, path: str) -> DecidedCell:
        """Every pair of nodes has an operation: what is `none`, or leads nowhere, does not count."""
        chosen = Choice(tuple(cell.operations))
        ops = {(i, j): cast(str, check_value(chosen, self._flat, f"{here}/{i}-{j}")) for i, j in cell.edges}
        present = [(i, j) for i, j in cell.edges if ops[i, j] != NONE]
        reached = {0}
        for i, j in present:
            if i in reached:
                reached.add(j)
        needed = {cell.nodes - 1}
        for i, j in reversed(present):
            if j in needed:
                needed.add(i)
        alive = tuple((i, j, ops[i, j]) for i, j in present if i in reached and j in needed)
        # Into a node that leads on, an edge that is not there counts as well: it might be.
        self.used |= {f"{here}/{i}-{j}" for i, j in cell.edges if j in needed}
        # The key of the cell names the operations there, but of those on a node whose only edge is not there.
        silent = {1} if ops[0, 1] == NONE else set[int]()
        bodies = self._bodies(cell, here, {ops[i, j] for i, j in present if j in needed and i not in silent})
        skips = {op: _SKIP for op, body in bodies.items() if not body}
        canonical = canonical_cell(
            cell.nodes, [skips.get(op, op) for op in ops.values()], edges=cell.edges, none=NONE, skip=_SKIP
        )
        return DecidedCell(cell, alive, bodies, canonical, path)

    def _picked(self, cell: Cell, here: str, path: str) -> DecidedCell:
        """Each node picks its inputs; all nodes side by side are the output."""
        operation = Choice(tuple(cell.operations))
        edges: list[tuple[int, int, str]] = []
        for node in range(cell.nodes):
            sources = cell.sources(node)
            which = (
                self.value(Choice(tuple(sources)), f"{here}/{node}/from") if len(sources) > 1 else next(iter(sources))
            )
            for pick, source in enumerate(sources[cast(str, which)]):
                edges.append((source, node + 2, cast(str, self.value(operation, f"{here}/{node}/op{pick}"))))
        bodies = self._bodies(cell, here, {op for *_, op in edges})
        output = cell.nodes + 2
        canonical = canonical_cell(
            output + 1,
            [*(op if bodies[op] else _SKIP for *_, op in edges), *([_PART] * cell.nodes)],
            edges=[*((i, j) for i, j, _ in edges), *((node + 2, output) for node in range(cell.nodes))],
            none=NONE,
            skip=_SKIP,
            inputs=2,
        )
        return DecidedCell(cell, tuple(edges), bodies, canonical, path)

"""`Relaxation`: a template as one network in which every choice of layers is a mixture of all its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from ...core import ConfigError
from ...core.nn import Module, Sequential, build_layers
from ..space import (
    ROOT,
    Cell,
    CellStack,
    Chain,
    Choice,
    Flat,
    Node,
    Optional,
    Repeat,
    Residual,
    Space,
    StackPart,
)
from ..space.decided import decide, labelled, place
from ..space.expand import Expanded, entering, expand, halving, projection
from ..space.nodes import NONE
from .mixing import MixedCell, MixedResidual, MixedStack, Mixing, Mixture, Shape

Layers = tuple[list[Module], Shape]  # one after the other, and what comes out of them


class Relaxation:
    """A space's template as one network of mixtures.

    Choices of layers and the operations of cells are mixed. A choice whose options give different shapes cannot be
    added up: it stays as in `base`, like all other decisions.

    Args:
        space: with networks.
        base: the point that has the decisions that are not mixed.
        rng: of the initial weights.

    Attributes:
        mixing: logits and weights.
        picked: cells whose nodes pick their inputs, by path.
        network: takes what the space's networks take.

    Raises:
        ConfigError: nothing is left to be mixed, or an operation of a cell changes the shape.
    """

    def __init__(self, space: Space, base: Flat, rng: np.random.Generator) -> None:
        assert space.task is not None
        assert space.template is not None
        self.mixing = Mixing()
        self.picked: dict[str, Cell] = {}
        self._base = base
        self._outputs = space.task.outputs
        self._rng = rng
        layers, _ = self._node(space.template, ROOT, space.task.input_shape)
        self.network = Sequential(*layers)
        if not self.mixing.options:
            raise ConfigError(
                f"space {space.name!r} has no choice of layers and no cell that can be mixed",
                hint="options of a choice can be mixed where all of them give the same shape",
            )

    def _node(self, node: Node, path: str, shape: Shape) -> Layers:
        match node:
            case Chain(parts):
                return self._chain([(part, where) for part, where in labelled(parts, path)], shape)
            case Choice(options, name):
                return self._choice(cast(Mapping[str, Node], options), place(name, path), shape)
            case Repeat(low, high, inner, name):
                here = place(name, path)
                count = cast(int, self._base[f"{here}/count"]) if low < high else high
                return self._chain([(inner, f"{here}/{index}") for index in range(count)], shape)
            case Optional(inner, name):
                here = place(name, path)
                return self._node(inner, here, shape) if self._base[f"{here}/present"] else ([], shape)
            case Residual(body, optional):
                layers, target = self._node(body, path, shape)
                if optional and not self._base[f"{path}/skip"]:
                    return layers, target
                shortcut = self._build(projection(shape, target, f"{path}/shortcut"), shape)
                return [MixedResidual(Sequential(*layers), shortcut)], target
            case Cell():
                return [self._cell(node, place(node.name, path), shape)], shape
            case CellStack(parts):
                return self._stack(parts, path, shape)
            case _:
                made = expand(decide(node, self._base, path=path)[0], shape, self._outputs)
                return list(self._build(made, shape).layers), made[-1].output_shape if made else shape

    def _chain(self, parts: Sequence[tuple[Node, str]], shape: Shape) -> Layers:
        found: list[Module] = []
        for part, where in parts:
            layers, shape = self._node(part, where, shape)
            found += layers
        return found, shape

    def _choice(self, options: Mapping[str, Node], path: str, shape: Shape) -> Layers:
        made = {option: self._node(node, f"{path}/{option}", shape) for option, node in options.items()}
        shapes = {given for _, given in made.values()}
        if len(shapes) > 1 or len(options) == 1:
            return made[cast(str, self._base[path]) if len(options) > 1 else next(iter(options))]
        self.mixing.add(path, tuple(options))
        given = shapes.pop()
        return [Mixture(path, [Sequential(*layers) for layers, _ in made.values()], given, self.mixing)], given

    def _cell(self, cell: Cell, here: str, shape: Shape) -> MixedCell:
        """A complete cell: its decisions are those of the flat encoding."""
        edges = {(i, j): self._edge(cell, here, f"{here}/{i}-{j}", shape, shape, stride=1) for i, j in cell.edges}
        return MixedCell(1, cell.nodes, edges, joined=False)

    def _stack(self, parts: Sequence[StackPart], path: str, shape: Shape) -> Layers:
        """Cells of two inputs: each pair of nodes has logits of its own, which the encoding does not know."""
        before, now = shape, shape
        cells: list[tuple[Sequential, Sequential, MixedCell]] = []
        for index, part in enumerate(parts):
            here = place(part.cell.name, f"{path}/{index}")
            self.picked[here] = part.cell
            made = [
                entering(given, part.channels, now[1:], f"{path}/{index}/pre{which}")
                for which, given in enumerate((before, now))
            ]
            pair = [self._build(layers, given) for layers, given in zip(made, (before, now), strict=True)]
            wide = made[1][-1].output_shape
            narrow = (wide[0], *(-(-length // 2) for length in wide[1:])) if part.reduce else wide
            edges: dict[tuple[int, int], Mixture] = {}
            for node in range(part.cell.nodes):
                for source in range(node + 2):
                    stride = 2 if part.reduce and source < 2 else 1
                    given = wide if source < 2 else narrow
                    edge = f"{here}/{node}/{source}"
                    edges[source, node + 2] = self._edge(part.cell, here, edge, given, narrow, stride=stride)
            cells.append((pair[0], pair[1], MixedCell(2, part.cell.nodes + 2, edges, joined=True)))
            before, now = now, (part.cell.nodes * narrow[0], *narrow[1:])
        return [MixedStack(cells)], now

    def _edge(self, cell: Cell, here: str, path: str, shape: Shape, wanted: Shape, *, stride: int) -> Mixture:
        # An input that is not picked is one of the options of its edge: without it, edges could not be compared.
        self.mixing.add(path, (*cell.operations, NONE) if cell.picks else tuple(cell.operations))
        alternatives: list[Sequential | None] = []
        for name, node in cell.operations.items():
            if name == NONE:
                alternatives.append(None)
                continue
            parts = decide(node, self._base, path=f"{here}/{name}")[0]
            made = expand(parts, shape, self._outputs, stride=stride)
            if not made and stride == 2:
                made = halving(shape, path)
            given = made[-1].output_shape if made else shape
            if given != wanted:
                raise ConfigError(
                    f"{path}: operation {name!r} makes {given} of samples of shape {shape}: expected {wanted}",
                    hint="operations of a cell keep the shape, and take `Stride()` where it may be halved",
                )
            alternatives.append(self._build(made, shape))
        if cell.picks:
            alternatives.append(None)
        return Mixture(path, alternatives, wanted, self.mixing)

    def _build(self, layers: Sequence[Expanded], shape: Shape) -> Sequential:
        return build_layers([layer.spec for layer in layers], shape, self._rng)

"""Passes over graphs: each gives a smaller one that computes the same bits and leaves the same behind."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from types import EllipsisType
from typing import Any, Final, cast

import numpy as np

from ..device import CPU, Array
from ..dispatch import apply
from ..op import Flags, OpDef
from ..shapes import Spec, spec_of
from ..tensor import as_array
from .graph import Effect, Graph, Input, Node, Update, Value, inferred

FOLDED_BYTES: Final = 1 << 16  # of constants that are computed once and kept

Pass = Callable[[Graph], Graph]


def optimize(graph: Graph) -> Graph:
    """All passes, with the verifier between them. What is dead goes first, as it need not be simplified; `simplify`
    leaves nothing to simplify, but values that nobody wants any more.
    """
    for each in PASSES:
        graph = each(graph)
        graph.verify()
    return graph


class Rewriting:
    """Writes a graph anew, node by node; a sub-class says what becomes of a node.

    Args:
        graph: stays as it is.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.constants: dict[Value, Array] = dict(graph.constants)
        self.into: dict[Value, Value] = {value: value for value in graph.sources()}

    def visit(self, node: Node, inputs: tuple[Input, ...]) -> Sequence[Value]:
        """What stands for the outputs of `node`, whose inputs are `inputs` by now."""
        if all(new is old for new, old in zip(inputs, node.inputs, strict=True)):
            self.nodes.append(node)  # graphs share nodes, which nobody changes
            return node.outputs
        if all(map(_is_like, inputs, node.inputs)):
            return self._made(Node(node.op, inputs, node.params, where=node.where), [v.spec for v in node.outputs])
        return self.add(node.op, inputs, node.params, node.where)

    def add(
        self, op: OpDef, inputs: Sequence[Input], params: Mapping[str, Any], where: str | None = None
    ) -> tuple[Value, ...]:
        """One more node; its outputs."""
        node = Node(op, tuple(inputs), params, where=where)
        specs, _ = inferred(op, node.inputs, params)
        return self._made(node, specs)

    def _made(self, node: Node, specs: Sequence[Spec]) -> tuple[Value, ...]:
        node.outputs = tuple(Value(spec, node, index) for index, spec in enumerate(specs))
        node.checked = True
        self.nodes.append(node)
        return node.outputs

    def run(self) -> Graph:
        """The new graph."""
        for node in self.graph.nodes:
            inputs = tuple(self.into[item] if isinstance(item, Value) else item for item in node.inputs)
            self.into.update(zip(node.outputs, self.visit(node, inputs), strict=True))
        into, graph = self.into, self.graph
        return Graph(
            graph.name,
            arguments=list(graph.arguments),
            captures=list(graph.captures),
            draws=list(graph.draws),
            constants=self.constants,
            nodes=self.nodes,
            results=[into[value] for value in graph.results],
            updates=[Update(update.target, into[update.value]) for update in graph.updates],
            effects=[
                Effect(each.name, each.run, tuple(into[value] for value in each.inputs), each.subject, each.touches)
                for each in graph.effects
            ],
        )


def _is_like(new: Input, old: Input) -> bool:
    """Whether an op infers the same from both."""
    if isinstance(new, Value):
        return isinstance(old, Value) and new.spec == old.spec
    return new is old


class _Living(Rewriting):
    """Leaves out what nothing wanted depends on. Draws stay: they move generators."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._alive = set(graph.wanted())
        for node in reversed(graph.nodes):
            if any(output in self._alive for output in node.outputs):
                self._alive.update(node.values)
        self.constants = {value: array for value, array in graph.constants.items() if value in self._alive}

    def visit(self, node: Node, inputs: tuple[Input, ...]) -> Sequence[Value]:
        if any(output in self._alive for output in node.outputs):
            return super().visit(node, inputs)
        return node.outputs  # which nobody asks for

    def run(self) -> Graph:
        made = super().run()
        targets = {id(update.target) for update in made.updates}
        made.captures = [each for each in made.captures if each.value in self._alive or id(each) in targets]
        return made


class _Simplifying(Rewriting):
    """Computes what constants alone decide, leaves out what does nothing, and computes every value once."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._known: dict[Hashable, tuple[Value, ...]] = {}
        self._contents: dict[Hashable, Value] = {}
        for value, array in graph.constants.items():
            self.into[value] = self._first(value, array)

    def visit(self, node: Node, inputs: tuple[Input, ...]) -> Sequence[Value]:
        if _does_nothing(node, inputs):
            return [cast("Value", inputs[0])]
        arrays = [self.constants.get(item) if isinstance(item, Value) else item for item in inputs]
        small = sum(output.nbytes for output in node.outputs) <= FOLDED_BYTES
        if small and all(array is not None for array in arrays):
            return self._folded(node, arrays)
        if node.op.elementwise:
            inputs = self._with_numbers(node, inputs)
        if node.op.name == "multiply" and 1.0 in (item for item in inputs if isinstance(item, float)):
            rest = [item for item in inputs if isinstance(item, Value)]
            if len(rest) == 1 and rest[0].spec == node.outputs[0].spec:
                return rest
        return self._merged(node, inputs)

    def _merged(self, node: Node, inputs: tuple[Input, ...]) -> Sequence[Value]:
        """The outputs of the first node that computes the same."""
        if node.op.flags & Flags.NONDETERMINISTIC or not all(map(is_plain, node.params.values())):
            return super().visit(node, inputs)
        # 1, 1.0 and True are equal, and so are 0.0 and -0.0
        given = tuple(item if isinstance(item, Value) else repr(item) for item in inputs)
        key = (node.op, given, repr(node.params))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = tuple(super().visit(node, inputs))
        return found

    def _first(self, value: Value, array: Array) -> Value:
        """The constant that has these elements."""
        return self._contents.setdefault((value.spec, np.ascontiguousarray(CPU.put(array)).tobytes()), value)

    def _folded(self, node: Node, arrays: Sequence[Any]) -> Sequence[Value]:
        made: Any = apply(node.op, arrays, node.params)
        outputs: list[Value] = []
        for item in made if made.__class__ is tuple else (made,):
            array = as_array(item)
            value = Value(spec_of(array))
            first = self._first(value, array)
            self.constants.setdefault(first, array)
            outputs.append(first)
        return outputs

    def _with_numbers(self, node: Node, inputs: tuple[Input, ...]) -> tuple[Input, ...]:
        """Numbers in place of constants that are the same everywhere, if the outputs stay what they are."""
        numbers = tuple(self._number(item) if isinstance(item, Value) else item for item in inputs)
        if numbers == inputs or not any(isinstance(item, Value) for item in numbers):
            return inputs
        made = tuple(output.spec for output in node.outputs)
        return numbers if inferred(node.op, numbers, node.params)[0] == made else inputs

    def _number(self, value: Value) -> Input:
        """A constant that is the same everywhere as a Python number, as far as that says the same."""
        node = value.node
        if node is not None and node.op.name == "broadcast_to" and isinstance(node.inputs[0], Value):
            return number if (number := self._number(node.inputs[0])) is not node.inputs[0] else value
        array = self.constants.get(value)
        if array is None or array.size == 0 or value.dtype.kind != "f" or value.dtype.itemsize < 4:
            return value
        first = array.reshape(-1)[0]
        uniform = array.size == 1 or bool((array == first).all())
        return float(first) if uniform and np.isfinite(first) and not (first == 0 and np.signbit(first)) else value


def _goes_forward(part: object) -> bool:
    """Whether a part of an index leaves an axis as it is, if it leaves its length."""
    if not isinstance(part, slice):
        return part is Ellipsis
    step = cast("slice[Any, Any, int | None]", part).step
    return step is None or step > 0


def _does_nothing(node: Node, inputs: tuple[Input, ...]) -> bool:
    """Whether the output is the only input."""
    if len(inputs) != 1 or not isinstance(inputs[0], Value) or inputs[0].spec != node.outputs[0].spec:
        return False
    if node.op.name == "transpose":
        return node.params["axes"] == tuple(range(len(inputs[0].shape)))
    if node.op.name == "getitem":
        key: object = node.params["key"]
        return all(map(_goes_forward, cast("tuple[object, ...]", key) if isinstance(key, tuple) else (key,)))
    return node.op.name in {"alias", "positive", "reshape", "broadcast_to", "astype"}


def is_plain(item: Any) -> bool:
    """Whether a parameter can be compared by what it prints: plain values, not arrays or functions."""
    if isinstance(item, tuple):
        return all(map(is_plain, cast("tuple[Any, ...]", item)))
    return isinstance(item, bool | int | float | complex | str | None | slice | EllipsisType)


def eliminate_dead_code(graph: Graph) -> Graph:
    """Without what nothing wanted depends on."""
    return _Living(graph).run()


def simplify(graph: Graph) -> Graph:
    """With what constants decide computed now, numbers in place of arrays that are the same everywhere, nothing done in
    vain, and every value computed once.
    """
    return _Simplifying(graph).run()


PASSES: Final[tuple[Pass, ...]] = (eliminate_dead_code, simplify, eliminate_dead_code)

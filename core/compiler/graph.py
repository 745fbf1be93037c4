"""The graph of a traced step: typed values in static single assignment, each made once by an op of the op table.

A `Graph` is what passes rewrite and back ends run. It says where its values come from (`Argument`, `Capture`, `Draw`,
`Constant`), what is computed, in order (`Node`), and what a run leaves behind: the results it returns and the effects
it has on what it captured (`Update` of a tensor's memory, `Effect` for what only Python can do).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from ..device import CPU, Array
from ..errors import CompileError
from ..op import OpDef
from ..shapes import Spec
from ..tensor import Scalar, Tensor


class Value:
    """One array of a run: its shape and dtype, and who makes it.

    Attributes:
        spec: shape and dtype.
        node: the node that makes it; None for a source.
        index: which output of the node it is.
    """

    __slots__ = ("index", "node", "spec")

    def __init__(self, spec: Spec, node: Node | None = None, index: int = 0) -> None:
        self.spec = spec
        self.node = node
        self.index = index

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.spec.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type."""
        return self.spec.dtype

    @property
    def nbytes(self) -> int:
        """The memory of the elements in bytes."""
        return self.spec.size * self.spec.dtype.itemsize


Input = Value | Scalar


@dataclass(slots=True, eq=False)
class Node:
    """An op at work.

    Attributes:
        op: what is computed.
        inputs: values, and Python numbers, which take the dtype of the arrays beside them.
        params: all parameters of the op.
        outputs: what it makes.
        where: the user's line.
        checked: whether the outputs are known to be what the op infers.
    """

    op: OpDef
    inputs: tuple[Input, ...]
    params: Mapping[str, Any]
    outputs: tuple[Value, ...] = ()
    where: str | None = None
    checked: bool = False

    @property
    def values(self) -> Iterator[Value]:
        """The inputs that are values."""
        return (item for item in self.inputs if isinstance(item, Value))


class OutdatedError(Exception):
    """A graph does not fit any more what it has captured."""


@dataclass(slots=True, eq=False)
class Capture:
    """Memory that the traced function reached without being given it: a parameter, a buffer, an array.

    Attributes:
        value: it, as it is when a run begins.
        tensor: the tensor it was reached by, whose array may be exchanged between runs; or the array itself.
    """

    value: Value
    tensor: Tensor | Array

    def read(self) -> Array:
        """The array of today.

        Raises:
            OutdatedError: it is of another shape or dtype.
        """
        array = self.tensor.data if isinstance(self.tensor, Tensor) else self.tensor
        if array.shape != self.value.shape or array.dtype != self.value.dtype:
            raise OutdatedError(
                f"a captured tensor was {_typed(self.value.spec)}, is {_typed(Spec(array.shape, array.dtype))}"
            )
        return array


@dataclass(slots=True, eq=False)
class Draw:
    """What Python does before each run: it draws random numbers.

    Attributes:
        value: what is made; None where only something is prepared.
        make: called once a run, in the order of the draws; its array has the value's shape and dtype.
    """

    value: Value | None
    make: Callable[[], Array]


@dataclass(slots=True, eq=False)
class Update:
    """A captured tensor is overwritten at the end of a run.

    Attributes:
        target: whose memory is written, in place.
        value: what it becomes.
    """

    target: Capture
    value: Value


@dataclass(slots=True, eq=False)
class Effect:
    """Something only Python can do, after the results are there: a step of an optimiser, a gradient put on a leaf.

    Attributes:
        name: what it is, for people.
        run: called with the arrays of `inputs`.
        inputs: what it wants.
        subject: whose effect it is, for a back end that knows how to do it itself; None where none does.
        touches: tensors whose memory it changes.
    """

    name: str
    run: Callable[..., None]
    inputs: tuple[Value, ...]
    subject: Any = None
    touches: tuple[Array, ...] = ()


@dataclass(slots=True, eq=False)
class Graph:
    """A step: sources, nodes in an order in which they can run, results and effects.

    Attributes:
        name: of the function it was traced from.
        arguments: what is handed in, in order.
        captures, draws: see there.
        constants: values whose elements never change.
        nodes: in order.
        results: what the run returns, in order.
        updates, effects: what it leaves behind; updates first.
    """

    name: str
    arguments: list[Value] = field(default_factory=list[Value])
    captures: list[Capture] = field(default_factory=list[Capture])
    draws: list[Draw] = field(default_factory=list[Draw])
    constants: dict[Value, Array] = field(default_factory=dict[Value, Array])
    nodes: list[Node] = field(default_factory=list[Node])
    results: list[Value] = field(default_factory=list[Value])
    updates: list[Update] = field(default_factory=list[Update])
    effects: list[Effect] = field(default_factory=list[Effect])

    def sources(self) -> Iterator[Value]:
        """The values that no node makes."""
        yield from self.arguments
        yield from (capture.value for capture in self.captures)
        yield from (draw.value for draw in self.draws if draw.value is not None)
        yield from self.constants

    def wanted(self) -> Iterator[Value]:
        """The values that must be there when the nodes have run."""
        yield from self.results
        yield from (update.value for update in self.updates)
        for effect in self.effects:
            yield from effect.inputs

    def verify(self) -> None:
        """Check that every value is made before it is read, once, with the shape and dtype its op infers.

        Raises:
            CompileError: it is not so; names the node.
        """
        known = set(self.sources())
        for node in self.nodes:
            missing = [value for value in node.values if value not in known]
            if missing:
                raise CompileError(f"{self._line(node, self._names())} reads {len(missing)} values that nothing made")
            if any(output in known or output.node is not node for output in node.outputs):
                raise CompileError(f"{self._line(node, self._names())} makes a value that another node makes")
            known.update(node.outputs)
            if node.checked:
                continue
            made = tuple(output.spec for output in node.outputs)
            expected, _ = inferred(node.op, node.inputs, node.params)
            if made != expected:
                raise CompileError(f"{node.op.name} makes {made}, its inference says {expected}")
            node.checked = True
        if any(value not in known for value in self.wanted()):
            raise CompileError(f"graph {self.name}: a result is made by nothing")

    def sha256(self) -> str:
        """Names what the graph computes, as hex: equal for graphs that print alike, user's lines apart."""
        return hashlib.sha256(self.text(lines=False).encode()).hexdigest()

    def text(self, *, lines: bool = True) -> str:
        """The graph as text, a value a line.

        Args:
            lines: with the user's line behind each node.
        """
        names = self._names()
        given = ", ".join(f"{names[value]}: {_typed(value.spec)}" for value in self.arguments)
        out = [f"graph {self.name}({given})"]
        out += [f"  {names[each.value]} = capture {_typed(each.value.spec)}" for each in self.captures]
        drawn = [each.value for each in self.draws if each.value is not None]
        out += [f"  {names[value]} = draw {_typed(value.spec)}" for value in drawn]
        out += [f"  {names[value]} = constant {_typed(value.spec)} {_shown(a)}" for value, a in self.constants.items()]
        for node in self.nodes:
            where = f"    # {node.where}" if lines and node.where else ""
            out.append(f"  {self._line(node, names)}{where}")
        out += [f"  update {names[each.target.value]} <- {names[each.value]}" for each in self.updates]
        out += [f"  {each.name}({', '.join(names[value] for value in each.inputs)})" for each in self.effects]
        out.append(f"  return {', '.join(names[value] for value in self.results)}")
        return "\n".join(out)

    __str__ = text

    def to_dot(self) -> str:
        """The graph in Graphviz's language: sources as boxes, nodes as ellipses, results doubly framed."""
        names = self._names()
        kinds = dict.fromkeys(self.arguments, "argument") | dict.fromkeys((c.value for c in self.captures), "capture")
        kinds |= {each.value: "draw" for each in self.draws if each.value is not None}
        kinds |= dict.fromkeys(self.constants, "constant")
        out = [f'digraph "{_quoted(self.name)}" {{', "  node [fontname=monospace];"]
        for value, kind in kinds.items():
            out.append(f'  "{names[value]}" [shape=box, label="{kind} {names[value]}\\n{_typed(value.spec)}"];')
        final = set(self.wanted())
        for position, node in enumerate(self.nodes):
            typed = ", ".join(_typed(output.spec) for output in node.outputs)
            frame = ", peripheries=2" if any(output in final for output in node.outputs) else ""
            out.append(f'  n{position} [label="{_quoted(node.op.name)}\\n{typed}"{frame}];')
        place = {node: f"n{position}" for position, node in enumerate(self.nodes)}
        for node in self.nodes:
            for value in node.values:
                source = f'"{names[value]}"' if value.node is None else place[value.node]
                out.append(f"  {source} -> {place[node]};")
        return "\n".join([*out, "}"])

    def _names(self) -> dict[Value, str]:
        made = (output for node in self.nodes for output in node.outputs)
        return {value: f"%{number}" for number, value in enumerate([*self.sources(), *made])}

    @staticmethod
    def _line(node: Node, names: Mapping[Value, str]) -> str:
        inputs = [names.get(item, "%?") if isinstance(item, Value) else repr(item) for item in node.inputs]
        params = [f"{name}={value!r}" for name, value in node.params.items()]
        made = ", ".join(names.get(output, "%?") for output in node.outputs)
        typed = ", ".join(_typed(output.spec) for output in node.outputs)
        return f"{made} = {node.op.name}({', '.join([*inputs, *params])}): {typed}"


def inferred(op: OpDef, inputs: Sequence[Input], params: Mapping[str, Any]) -> tuple[tuple[Spec, ...], bool]:
    """Shapes and dtypes of what an op makes of these inputs, and whether it makes a tuple."""
    arrays = [item.spec.dtype for item in inputs if isinstance(item, Value)]
    specs = [item.spec if isinstance(item, Value) else Spec((), weak_dtype(item, arrays)) for item in inputs]
    made = op.infer(*specs, **params)
    return ((made,), False) if isinstance(made, Spec) else (tuple(made), True)


def weak_dtype(number: Scalar, beside: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """The dtype a Python number takes beside arrays."""
    if not beside:
        return np.dtype({bool: np.bool_, int: np.int64, float: np.float32, complex: np.complex64}[type(number)])
    if beside[0].kind in "iub" and isinstance(number, float):
        return np.dtype(np.float32)
    return beside[0]


def uses(nodes: Iterable[Node]) -> dict[Value, int]:
    """How many inputs of these nodes each value is."""
    counts: dict[Value, int] = {}
    for node in nodes:
        for value in node.values:
            counts[value] = counts.get(value, 0) + 1
    return counts


@lru_cache(4096)
def _typed(spec: Spec) -> str:
    return f"{spec.dtype.name}[{', '.join(map(str, spec.shape))}]"


def _shown(array: Array) -> str:
    """The elements of a small array; of a larger one what tells it from others."""
    if array.size <= 8:
        return np.array2string(CPU.put(array), separator=", ").replace("\n", "")
    return hashlib.sha256(np.ascontiguousarray(CPU.put(array)).tobytes()).hexdigest()[:16]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

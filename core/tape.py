"""The recorded graph and the reverse pass over it.

Every tensor that needs a gradient holds a `Node`: a leaf has one without an op, the result of an op one that knows the
op, the nodes of its inputs (its edges) and what the op's rules read again (`OpDef.saves`), as plain arrays. Nodes are
numbered as they are made, so sorting the reachable ones is a topological order. Nothing points from a node to the
tensors of its result: whatever is not saved is freed as soon as the caller lets go of it.

`pullback` walks the nodes in reverse. Where nobody wants to differentiate the pass itself, the rules run on plain
arrays and cost no more than the NumPy calls in them, and saved arrays are freed as they are used; else they run on
tensors and are recorded in turn.
"""

# Values are arrays or tensors and results single or tuples: a checker cannot see through the `isinstance` tests.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from itertools import count
from operator import attrgetter
from typing import Any, NoReturn, Protocol, TypeGuard

from .errors import GradientError
from .native import accelerate
from .op import OpDef
from .shapes import Spec

next_number = count().__next__
_by_number = attrgetter("number")


class Watch(Protocol):
    """Sees every op that runs; see `debug.py`."""

    def see(self, op: OpDef, values: Sequence[Any], outputs: Sequence[Any]) -> None:
        """After an op: its input arrays (and numbers) and its output arrays."""
        ...

    def enter(self, node: Node) -> None:
        """The backward pass is about to apply the rules of `node`."""
        ...

    def leave(self) -> None:
        """The backward pass is over."""
        ...


class Mode:
    """What the dispatcher does beside computing, in this thread: record, show every op to a watch; or instead of it:
    put every op on a stage, where a function is being compiled.
    """

    __slots__ = ("recording", "stage", "watch")

    def __init__(self, *, recording: bool, watch: Watch | None = None, stage: Any = None) -> None:
        self.recording = recording
        self.watch = watch
        self.stage = stage  # a `state.Stage`


RECORDING = Mode(recording=True)
SILENT = Mode(recording=False)
_mode: ContextVar[Mode] = ContextVar("mode", default=RECORDING)
current_mode = _mode.get
mode_variable = _mode


class Node:
    """How a tensor came to be, or that nothing made it.

    Attributes:
        number: ascending in the order of creation.
        op: None for a leaf and for one output of an op with several.
        edges: the nodes of the op's inputs, None where an input needs no gradient. Empty for a leaf.
        saved: per input the array (or Python number, or traced tensor) that rules read, or a `Spec` or None.
        output: the op's result, if its rules read it.
        params: the op's parameters.
        shapes: of an elementwise op whose inputs were broadcast, the shape of each.
        dtype: of the tensor; for an op with several outputs, a tuple.
        shape: likewise; elementwise ops of one or two inputs do without.
        casts: an input's dtype differs from the output's, so gradients may have to be cast back.
        where: the user's line, kept while a NaN checker watches.
        carries: which inputs carried samples; set by `per_sample.py` only.
    """

    __slots__ = (
        "carries",
        "casts",
        "dtype",
        "edges",
        "number",
        "op",
        "output",
        "params",
        "saved",
        "shape",
        "shapes",
        "where",
    )

    number: int
    op: OpDef | None
    edges: tuple[Node | None, ...]
    saved: tuple[Any, ...] | None
    output: Any
    params: Mapping[str, Any]
    shapes: tuple[tuple[int, ...], ...] | None
    shape: Any
    dtype: Any
    casts: bool
    where: str | None
    carries: tuple[bool, ...]


class PlainNode(Node):
    """The node of an op without parameters whose rules read nothing but what is saved, and whose inputs all have the
    dtype of its output (and its shape, if it is elementwise): most nodes of most graphs, so what they all have in
    common is kept with the class.
    """

    __slots__ = ()

    params = {}  # noqa: RUF012 - never changed
    shapes = None
    casts = False
    where = None


class Leaf(Node):
    """The node of a tensor that gradients are wanted for and that no op made.

    Attributes:
        grad: what `backward` has added up.
    """

    __slots__ = ("grad",)

    grad: Any


class Output(Node):
    """The node of one output of an op that has several; its one edge is the op's node.

    Attributes:
        index: which output.
    """

    __slots__ = ("index",)

    index: int


def _edge(kind: Any, shape: Any, dtype: Any, edges: tuple[Node | None, ...]) -> Any:
    node = object.__new__(kind)
    node.number = next_number()
    node.op = None
    node.edges = edges
    node.saved = ()
    node.output = None
    node.params = {}
    node.shapes = None
    node.shape = shape
    node.dtype = dtype
    node.casts = False
    return node


def leaf_node(shape: tuple[int, ...], dtype: Any) -> Leaf:
    """A new leaf."""
    node = _edge(Leaf, shape, dtype, ())
    node.grad = None
    return node


def output_node(parent: Node, index: int) -> Output:
    """The node of one output of an op that has several."""
    node = _edge(Output, parent.shape[index], parent.dtype[index], (parent,))
    node.index = index
    return node


def is_leaf(node: Node) -> TypeGuard[Leaf]:
    """True for a node that no op made."""
    return node.__class__ is Leaf


def is_recording() -> bool:
    """True while ops record the nodes a gradient needs."""
    return _mode.get().recording


@contextmanager
def mode(changed: Mode) -> Generator[None]:
    """Another mode in this thread for the length of the block."""
    token = _mode.set(changed)
    try:
        yield
    finally:
        _mode.reset(token)


def recording(enabled: bool) -> AbstractContextManager[None]:
    """Switch recording on or off in this thread for the length of the block."""
    now = _mode.get()
    if now.watch is None and now.stage is None:
        return mode(RECORDING if enabled else SILENT)
    return mode(Mode(recording=enabled, watch=now.watch, stage=now.stage))


def no_grad() -> AbstractContextManager[None]:
    """A block in which nothing is recorded: evaluation, parameter updates."""
    return recording(False)


class Algebra(Protocol):
    """What the reverse pass does with gradients: on plain arrays or on tensors."""

    def cast(self, gradient: Any, dtype: Any) -> Any:
        """The gradient as `dtype`; complex to real takes the real part."""
        ...

    def sum_to(self, gradient: Any, shape: tuple[int, ...]) -> Any:
        """Sum over the axes that were broadcast."""
        ...

    def zeros(self, like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        """A gradient of zeros on the device of `like`."""
        ...

    @property
    def load(self) -> Callable[[Node, OpDef, tuple[Any, ...]], tuple[Any, tuple[Any, ...]]] | None:
        """Makes output and inputs of an op what its rules want, from what was saved; None leaves them as they are."""
        ...


def reachable(root: Node, floor: int) -> list[Node]:
    """The nodes `root` depends on, made at or after number `floor`, newest first."""
    order = [root]
    seen = {root}
    for node in order:  # grows while it is walked
        for edge in node.edges:
            if edge is not None and edge not in seen and edge.number >= floor:
                seen.add(edge)
                order.append(edge)
    order.sort(key=_by_number, reverse=True)
    return order


def pullback(root: Node, seed: Any, algebra: Algebra, *, wanted: frozenset[Node] | None, free: bool) -> dict[Node, Any]:
    """Vector-Jacobian product of what `root` was made from.

    Args:
        root: of the tensor to differentiate.
        seed: gradient of the final value with respect to that tensor, of its shape.
        algebra: what gradients are.
        wanted: the nodes whose gradients the caller wants; None means all leaves.
        free: let go of each node's saved arrays once they are used; the graph cannot be walked again.

    Returns:
        The gradient of each wanted node that was reached, of its dtype.

    Raises:
        GradientError: an earlier pass has freed this graph, or an op on the way has no gradient rule.
    """
    if accelerate is not None and algebra.load is None:
        return accelerate.pullback(root, seed, algebra, wanted, free)
    floor = min((node.number for node in wanted), default=0) if wanted is not None else 0
    found: dict[Node, Any] = {}
    gradients: dict[Node, Any] = {root: seed}
    take, known = gradients.pop, gradients.get
    load = algebra.load
    for node in reachable(root, floor):
        g = take(node, None)
        if g is None:
            continue
        op = node.op
        if wanted is not None and node in wanted:
            found[node] = g if g.dtype == node.dtype else algebra.cast(g, node.dtype)
            if node.number == floor:
                continue
        if op is None:
            if node.__class__ is Output:
                collect(gradients, node, g)  # pyright: ignore[reportArgumentType]
            elif wanted is None:
                found[node] = g if g.dtype == node.dtype else algebra.cast(g, node.dtype)
            continue
        inputs = node.saved
        if inputs is None:
            raise_freed(op)
        output = node.output
        if load is not None:
            output, inputs = load(node, op, inputs)
        if node.__class__ is PlainNode:  # `propagate` cut down to what these need
            for edge, rule in zip(node.edges, op.rules):  # pyright: ignore[reportArgumentType]  # noqa: B905 - hot
                if edge is not None:
                    part = rule(g, output, *inputs)  # pyright: ignore[reportOptionalCall]
                    before = known(edge)
                    gradients[edge] = part if before is None else before + part
        else:
            propagate(algebra, gradients, node, op, g, output, inputs)
        if free:
            node.saved = node.output = None
    return found


def raise_freed(op: OpDef) -> NoReturn:
    """There is nothing left to apply an op's rules to."""
    raise GradientError(
        f"the graph behind {op.name} was freed by an earlier backward pass",
        hint="pass retain_graph=True to the first pass, or compute the value again",
    )


def propagate(
    algebra: Algebra, gradients: dict[Node, Any], node: Node, op: OpDef, g: Any, output: Any, inputs: tuple[Any, ...]
) -> None:
    """Apply an op's rules and add what comes out to the gradients of its inputs."""
    if g.__class__ is list:
        g = _filled(algebra, g, node)
    if output is None and not op.elementwise:
        output = Spec(node.shape, node.dtype)
    edges, rules = node.edges, op.rules
    if rules is not None and len(edges) == 1 and node.shapes is None:
        edge, rule = edges[0], rules[0]
        if edge is not None and rule is not None:
            part = rule(g, output, *inputs, **node.params)
            if node.casts and part.dtype is not edge.dtype:
                part = algebra.cast(part, edge.dtype)
            before = gradients.get(edge)
            gradients[edge] = part if before is None else before + part
        return
    if rules is None:
        parts = op.vjp(g, output, *inputs, **node.params)  # pyright: ignore[reportCallIssue]
    else:
        parts = [
            None if edge is None or rule is None else rule(g, output, *inputs, **node.params)
            for edge, rule in zip(edges, rules, strict=True)
        ]
    for position, (edge, part) in enumerate(zip(edges, parts, strict=True)):
        if edge is None or part is None:
            continue
        if node.shapes is not None:
            part = algebra.sum_to(part, node.shapes[position])
        if node.casts and part.dtype is not edge.dtype:
            part = algebra.cast(part, edge.dtype)
        before = gradients.get(edge)
        gradients[edge] = part if before is None else before + part


def collect(gradients: dict[Node, Any], node: Output, g: Any) -> None:
    """Put the gradient of one output among those of its op."""
    parent = node.edges[0]
    assert parent is not None
    parts = gradients.setdefault(parent, [None] * len(parent.shape))
    parts[node.index] = g if parts[node.index] is None else parts[node.index] + g


def _filled(algebra: Algebra, parts: list[Any], node: Node) -> tuple[Any, ...]:
    """The gradients of all outputs of an op, zeros where one was not used."""
    like = next(part for part in parts if part is not None)
    return tuple(
        algebra.zeros(like, shape, dtype) if part is None else part
        for part, shape, dtype in zip(parts, node.shape, node.dtype, strict=True)
    )

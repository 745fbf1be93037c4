"""Tracing: a function is run once on tensors without elements, and every op that it calls becomes a node of a graph.

`Staged` is one more transformation of tensors, the one below all others: what `grad`, `jvp` and `vmap` do inside the
function has been turned into ops by the time it is asked, and the backward pass is rules written in ops. So the graph
of a whole training step needs no rules of its own.

What a function reaches without being given it is captured by the memory it lies in: parameters are read anew in every
run. Read-only arrays are constants. What cannot be told while tracing, such as the value of a tensor, is an error that
names the user's line; nothing is ever compiled in part.
"""

# Values are arrays or tensors and results single or tuples: a checker cannot see through the `isinstance` tests.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NoReturn

import numpy as np

from .. import tree
from ..autograd import TENSORS, zeros_like
from ..device import CPU, Array, Device, device_of
from ..dispatch import Traced, explained, user_line
from ..errors import GradientError, TraceError
from ..forward import next_level
from ..op import OPS, Flags, OpDef
from ..shapes import Spec, is_inexact, spec_of
from ..tape import Mode, current_mode, is_leaf, leaf_node, mode, pullback, recording
from ..tensor import Scalar, Tensor, as_array, wrap
from .graph import Capture, Draw, Effect, Graph, Input, Node, Update, Value, inferred, weak_dtype


class Staged(Traced):
    """A tensor whose elements are there only when the graph is run; `data` is its `Value`."""

    __slots__ = ("trace", "weak")
    stateful: ClassVar[bool] = True

    data: Value
    trace: Trace
    weak: bool  # stands for a Python number: takes the dtype of the tensors beside it

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.data.spec.shape

    @property
    def device(self) -> Device:
        """Where the graph runs."""
        return self.trace.device

    @classmethod
    def make(cls, trace: Trace, value: Value, *, weak: bool = False) -> Staged:
        """A tensor that stands for a value."""
        tensor = cls.__new__(cls)
        tensor.data, tensor.level, tensor.node, tensor.trace, tensor.weak = value, trace.level, None, trace, weak
        return tensor

    @classmethod
    def process(cls, level: int, op: OpDef, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """A node of the graph."""
        trace = current_mode().stage
        if trace is None or trace.level != level:
            raise _unknown("a tensor that an earlier tracing left behind", "keep no tensors of a compiled function")
        values = [trace.value_of(item, inputs) for item in inputs]
        try:
            made, several = trace.add(op, values, params)
        except TraceError:
            raise
        except Exception as exc:
            raise explained(op, inputs, params, exc) from exc
        outputs = tuple(Staged.make(trace, value) for value in made)
        return outputs if several else outputs[0]

    @staticmethod
    def stopped(x: Traced) -> Tensor:
        """The same value, without its history."""
        return x.detach()

    def constant(self, array: Any) -> Tensor:
        """A constant of the graph."""
        value = Value(spec_of(array))
        self.trace.graph.constants[value] = array
        return Staged.make(self.trace, value)

    def assigned(self, target: Tensor) -> None:
        """Overwrite a captured tensor at the end of each run."""
        self.trace.assign(target, self)

    def item(self) -> NoReturn:
        """Refused: there is no value yet."""
        raise _unknown(
            "the value of a tensor", "use ops.where instead of an if, or return the tensor and read it there"
        )

    def __bool__(self) -> NoReturn:
        raise _unknown("the truth of a tensor", "use ops.where instead of an if on values")

    def __index__(self) -> NoReturn:
        raise _unknown("an integer", "index with ops.take, or hand the integer in as a Python int")

    __int__ = __float__ = __complex__ = item  # pyright: ignore[reportAssignmentType]

    def numpy(self) -> NoReturn:
        """Refused: there is no array yet."""
        raise _unknown("the array of a tensor", "return the tensor and read it there")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise _unknown("the array of a tensor", "use the functions of `ops` instead of NumPy's")

    def __dlpack__(self, **options: Any) -> NoReturn:
        raise _unknown("the memory of a tensor", "return the tensor and export it there")

    def __repr__(self) -> str:
        return f"Staged(shape={self.shape}, dtype={self.dtype})"


def _unknown(what: str, hint: str) -> TraceError:
    error = TraceError(f"{what} is not known while a function is compiled", hint=hint)
    error.where = user_line()
    return error


class Trace:
    """One tracing under way: the graph so far, and which value stands for which memory.

    Args:
        name: of the function.
        device: where the graph will run.

    Attributes:
        kind: what stands for tensors on this stage.
    """

    kind: ClassVar[type[Staged]] = Staged

    def __init__(self, name: str, device: Device = CPU) -> None:
        self.graph = Graph(name)
        self.level = next_level()
        self.device = device
        self._captured: dict[int, tuple[Array, Capture | None, Value]] = {}  # by the identity of an array
        self._latest: dict[int, Value] = {}  # of what was assigned to
        self._stepped: list[tuple[Array, str]] = []  # memory that an effect will change

    def argument(self, spec: Spec, *, weak: bool = False) -> Staged:
        """One more thing that is handed in."""
        value = Value(spec)
        self.graph.arguments.append(value)
        return Staged.make(self, value, weak=weak)

    def captured(self) -> list[Tensor]:
        """The tensors that were captured as such."""
        tensors = (capture.tensor for _, capture, _ in self._captured.values() if capture is not None)
        return [tensor for tensor in tensors if isinstance(tensor, Tensor)]

    def each_run(self, prepare: Callable[[], None]) -> None:
        """Call `prepare` at the beginning of each run."""
        self.graph.draws.append(Draw(None, prepare))

    def draw(self, make: Callable[[], Array], spec: Spec) -> Staged:
        """One more thing that Python makes before each run."""
        value = Value(spec)
        self.graph.draws.append(Draw(value, make))
        return Staged.make(self, value)

    def add(self, op: OpDef, inputs: Sequence[Input], params: Mapping[str, Any]) -> tuple[tuple[Value, ...], bool]:
        """Add a node; its outputs, and whether the op makes a tuple.

        Raises:
            TraceError: the shape of its result depends on values.
        """
        if op.flags & Flags.DATA_DEPENDENT:
            raise _unknown(f"the shape of what {op.name} makes", "compute it outside of the compiled function")
        node = Node(op, tuple(inputs), dict(params), where=user_line())
        specs, several = inferred(op, node.inputs, node.params)
        node.outputs = tuple(Value(spec, node, index) for index, spec in enumerate(specs))
        node.checked = True
        self.graph.nodes.append(node)
        return node.outputs, several

    def value_of(self, item: Any, beside: Sequence[Any]) -> Input:
        """What an input of an op is in the graph."""
        if isinstance(item, Staged):
            return self._fitted(item, beside) if item.weak else item.data
        if isinstance(item, Scalar):
            return item
        if isinstance(item, Traced):
            raise _unknown(
                f"a {type(item).__name__.lower()} tensor from outside",
                "compile the whole function: compile(grad(f)) and not grad(compile(f))",
            )
        return self.capture(item)

    def _fitted(self, item: Staged, beside: Sequence[Any]) -> Value:
        dtypes = [each.dtype for each in beside if isinstance(each, Tensor) and not getattr(each, "weak", False)]
        dtype = weak_dtype(0.0, dtypes)
        if not dtypes or dtype == item.dtype:
            return item.data
        return self.add(OPS["astype"], [item.data], {"dtype": dtype.name})[0][0]

    def capture(self, tensor: Tensor) -> Value:
        """The value of a tensor that was there before."""
        array = tensor.data
        known = self._captured.get(id(array))
        if known is None:
            if device_of(array) != self.device:
                raise TraceError(
                    f"a tensor lies on {device_of(array)}, the compiled function runs on {self.device}",
                    hint="move model and data to one device with .to()",
                )
            value = Value(spec_of(array))
            capture = None
            if isinstance(array, np.ndarray) and not array.flags.writeable:
                self.graph.constants[value] = array
            else:
                capture = Capture(value, tensor if _is_state(tensor) else array)
                self.graph.captures.append(capture)
            known = self._captured[id(array)] = (array, capture, value)
        for changed, by in self._stepped:
            if np.shares_memory(array, changed) if isinstance(array, np.ndarray) else array is changed:
                raise _unknown(f"a parameter after the step of {by}", "compute what needs it before the step")
        return self._latest.get(id(array), known[2])

    def assign(self, target: Tensor, value: Staged) -> None:
        """The captured `target` is overwritten; what reads it from here on reads `value`.

        Raises:
            TraceError: shapes or dtypes differ, or the target is a constant.
        """
        self.capture(target)
        array, capture, _ = self._captured[id(target.data)]
        if capture is None or value.data.spec != spec_of(array):
            raise TraceError(f"cannot put {value.data.spec} into a tensor of {spec_of(array)}")
        self._latest[id(array)] = value.data
        self.graph.updates = [each for each in self.graph.updates if each.target is not capture]
        self.graph.updates.append(Update(capture, value.data))

    def effect(
        self, name: str, run: Callable[..., None], inputs: Sequence[Tensor], *, touches: Sequence[Array], subject: Any
    ) -> None:
        """Something that Python does when the values are there, which changes `touches`."""
        values = tuple(map(self._wanted, inputs))
        self.graph.effects.append(Effect(name, run, values, subject, tuple(touches)))
        self._stepped.extend((array, name) for array in touches)

    def _wanted(self, item: Any) -> Value:
        """What an effect is called with; an array is what was known while tracing, such as gradients that are zero."""
        if isinstance(item, Staged):
            return item.data
        if isinstance(item, Tensor):
            return self.capture(item)
        array: Array = item.copy()
        value = Value(spec_of(array))
        self.graph.constants[value] = array
        return value

    def unknown(self, what: str, hint: str) -> TraceError:
        """What to raise where a function looks at elements."""
        return _unknown(what, hint)

    def leave(self, result: Any) -> None:
        """The function has returned: its results, and the gradients it left on leaves."""
        for leaf in tree.leaves(result):
            if isinstance(leaf, Staged):
                self.graph.results.append(leaf.data)
        for _, capture, _ in list(self._captured.values()):
            tensor = capture.tensor if capture is not None else None
            if isinstance(tensor, Tensor) and isinstance(tensor.grad, Staged):
                self.graph.effects.append(Effect("gradient", _GradientOf(tensor), (tensor.grad.data,)))
                tensor.grad = None

    def settle(self) -> None:
        """Make constants of arrays that nobody else holds: the function made them, and nobody can change them."""
        probe = Capture(Value(Spec((), np.dtype(np.float32))), np.zeros((), np.float32))
        self._captured[0] = (probe.read(), probe, probe.value)
        alone = _holders(probe)
        del self._captured[0]
        written = {id(update.target) for update in self.graph.updates}
        for place, (array, capture, value) in list(self._captured.items()):
            if capture is None or isinstance(capture.tensor, Tensor) or id(capture) in written:
                continue
            if type(array) is np.ndarray and array.base is None:
                del array
                if _holders(capture) <= alone:
                    self.graph.constants[value] = capture.read()
                    self.graph.captures.remove(capture)
                    self._captured[place] = (capture.read(), None, value)


class _GradientOf:
    """Puts a gradient on a leaf, as `backward` left it while the function was traced."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __call__(self, gradient: Array) -> None:
        self._tensor.grad = wrap(gradient.copy())


def _holders(capture: Capture) -> int:
    """How often the array of a capture is referred to, by this function too."""
    return sys.getrefcount(capture.tensor)


def _is_state(tensor: Tensor) -> bool:
    """Whether a tensor is held by a module, so that its array may be exchanged."""
    return type(tensor) is not Tensor or (tensor.node is not None and is_leaf(tensor.node))


@dataclass(frozen=True, slots=True, eq=False)
class Pullback:
    """The backward pass of a function whose results still have gradients when it returns.

    Attributes:
        graph: takes what was saved, then the gradients of the results; returns those of the inputs.
        saved: what of the forward graph it wants: further results there.
        outputs: which of the function's results have gradients.
        arguments: positions of the arguments that want gradients, among all of the graph's.
        leaves: captured tensors that do.
    """

    graph: Graph
    saved: int
    outputs: tuple[int, ...]
    arguments: tuple[int, ...]
    leaves: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TracedStep:
    """What tracing a function found.

    Attributes:
        graph: the forward graph; behind the function's results stands what the backward pass saves.
        result: what the function returned: a tree whose staged tensors are the graph's first results, in order.
        pullback: None where no result has a gradient.
    """

    graph: Graph
    result: Any
    pullback: Pullback | None


def _split(staging: Trace, result: Any, variables: Sequence[Staged]) -> Pullback | None:
    """Differentiate the results on the stage, and make two graphs of the one."""
    forward = staging.graph
    results = [leaf for leaf in tree.leaves(result) if isinstance(leaf, Staged)]
    outputs = tuple(position for position, leaf in enumerate(results) if leaf.node is not None)
    if not outputs:
        return None
    leaves = tuple(tensor for tensor in staging.captured() if tensor.node is not None)
    wanted: dict[Any, Tensor] = {tensor.node: tensor for tensor in (*variables, *leaves)}
    count, known = len(forward.nodes), set(forward.arguments)
    seeds = [staging.argument(results[position].data.spec) for position in outputs]
    totals: dict[Any, Tensor] = {}
    try:
        with recording(False):
            for position, seed in zip(outputs, seeds, strict=True):
                root: Any = results[position].node
                found = pullback(root, seed, TENSORS, wanted=frozenset(wanted), free=False)
                for node, part in found.items():
                    totals[node] = totals[node] + part if node in totals else part
    except GradientError:  # the function has differentiated them itself, and the graph behind them is freed
        outputs = ()
    nodes, forward.nodes = forward.nodes[count:], forward.nodes[:count]
    cotangents, forward.arguments = forward.arguments[len(known) :], forward.arguments[: len(known)]
    if not outputs:
        return None
    graph = Graph(f"{forward.name}.pullback", nodes=nodes, constants=forward.constants)
    graph.results = [_value(staging, totals.get(node), tensor) for node, tensor in wanted.items()]
    made = {output for node in nodes for output in node.outputs} | set(cotangents) | set(graph.constants)
    reads = dict.fromkeys(value for node in nodes for value in node.values)
    saved = [value for value in (*reads, *graph.results) if value not in made]
    saved = list(dict.fromkeys(saved))
    graph.arguments = [*saved, *cotangents]
    forward.results.extend(saved)
    places = {argument: position for position, argument in enumerate(forward.arguments)}
    return Pullback(graph, len(saved), outputs, tuple(places[each.data] for each in variables), leaves)


def _value(staging: Trace, gradient: Tensor | None, like: Tensor) -> Value:
    if isinstance(gradient, Staged):
        return gradient.data
    found = zeros_like(like) if gradient is None else gradient
    value = Value(spec_of(found))
    staging.graph.constants[value] = as_array(found)
    return value


def trace(function: Callable[..., Any], *args: Any, device: Device = CPU) -> TracedStep:
    """Run a function on tensors without elements.

    Args:
        function: takes tensors, Python floats and anything else, or trees of them; what is not a tensor or a float is
            handed to it as it is.
        args: its arguments. Of tensors and arrays only shape, dtype and whether they want gradients matter.
        device: where the graph will run.

    Returns:
        What was found.

    Raises:
        TraceError: the function looks at values; names the line.
    """
    staging = Trace(getattr(function, "__name__", type(function).__name__), device)
    with mode(Mode(recording=current_mode().recording, stage=staging)):
        given = [tree.mapped(partial(enter, staging), arg) for arg in args]
        variables = [leaf for leaf in tree.leaves(given) if isinstance(leaf, Staged) and leaf.node is not None]
        result = function(*given)
        staging.leave(result)
        staging.settle()
        backward = _split(staging, result, variables)
    return TracedStep(staging.graph, result, backward)


def enter(staging: Trace, leaf: Any) -> Any:
    """An argument as the traced function sees it."""
    if isinstance(leaf, float):
        return staging.argument(Spec((), np.dtype(np.float32)), weak=True)
    if isinstance(leaf, Tensor | np.ndarray) or (hasattr(leaf, "dtype") and hasattr(leaf, "shape")):
        tensor = staging.argument(spec_of(leaf))
        if isinstance(leaf, Tensor) and leaf.requires_grad and is_inexact(leaf.dtype):
            tensor.node = leaf_node(leaf.shape, leaf.dtype)
        return tensor
    return leaf

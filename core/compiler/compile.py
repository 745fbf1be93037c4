"""`compile`: a function that is traced when it meets new kinds of arguments, and from then on runs as a program."""

from __future__ import annotations

import contextlib
import gc
import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Sequence
from functools import update_wrapper
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar, cast

from .. import tree
from ..device import Array, Device
from ..dispatch import Traced, apply
from ..errors import CompileError, ConfigError, GradientError
from ..op import Flags
from ..tape import current_mode
from ..tensor import Tensor, as_array, wrap
from .graph import Graph, OutdatedError
from .guards import TensorKinds, are_alike, described, kind_of, one_device, structure_of, tensor_kinds, varies
from .passes import optimize
from .reference import Program, ReferenceProgram
from .shortcut import Parts, Shortcut, shortcut
from .trace import Pullback, Staged, TracedStep, trace
from .unlisted import unlisted_op
from .watched import Surroundings

if TYPE_CHECKING:
    from .explanation import Explanation

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

CAPACITY: Final = 16  # programs that one compiled function keeps
PATIENCE: Final = 3  # compilations before it is said why there is another

# Makes a program of a verified graph.
BackEnd = Callable[[Graph, Device], Program]


def native(graph: Graph, device: Device) -> Program:
    """The `llvm` back end.

    Raises:
        CompileError: it has no kernels for something in the graph, makes no code on this machine, or the arguments lie
            on a GPU.
    """
    if device.kind != "cpu":
        raise CompileError(f"the llvm back end runs on the CPU, the arguments lie on {device}", hint="backend='auto'")
    from .native.program import NativeProgram  # LLVM is loaded when it is first wanted

    return _checked(NativeProgram, graph, device)


def cuda(graph: Graph, device: Device) -> Program:
    """The `cuda` back end.

    Raises:
        CompileError: it has no kernels for something in the graph, or the arguments lie on no GPU.
    """
    from .cuda.program import CudaProgram

    return _checked(CudaProgram, graph, device)


def fastest(graph: Graph, device: Device) -> Program:
    """The fastest back end that can run a graph here."""
    try:
        return native(graph, device) if device.kind == "cpu" else cuda(graph, device)
    except InternalError as exc:
        logger.warning("%s runs on the reference back end: %s", graph.name, exc, exc_info=exc)
    except CompileError as exc:
        logger.debug("%s runs on the reference back end: %s", graph.name, exc)
    return reference(graph, device)


def reference(graph: Graph, device: Device) -> Program:
    """The `numpy` back end."""
    return ReferenceProgram(optimize(graph), device)


class InternalError(CompileError):
    """A back end made a mistake. Who asked for it by name sees it; "auto" logs it and does without."""


def _checked(back_end: BackEnd, graph: Graph, device: Device) -> Program:
    """A program; our own mistakes as an error that says so.

    Raises:
        CompileError: as the back end does.
    """
    try:
        return back_end(graph, device)
    except (CompileError, ConfigError):
        raise
    except Exception as exc:
        raise InternalError(
            f"{graph.name} cannot be compiled: {type(exc).__name__}: {exc}",
            hint="a mistake of ours: please report it with what `print(compiled.graph(...))` shows",
        ) from exc


BACK_ENDS: dict[str, BackEnd] = {"auto": fastest, "llvm": native, "cuda": cuda, "numpy": reference}


class RecompilationWarning(UserWarning):
    """A compiled function keeps meeting what it was not compiled for."""


class _Entry:
    """One program, and what must be as it was for it to be the right one."""

    def __init__(self, step: TracedStep, back_end: BackEnd, device: Device, surroundings: Surroundings) -> None:
        self.graph = step.graph
        self.surroundings = surroundings
        self.outdated: str | None = None  # what it captured and does not fit any more, in words
        self._step = step
        self._program = back_end(step.graph, device)
        self._pullback = back_end(step.pullback.graph, device) if step.pullback else None
        self._count = len(step.graph.results) - (step.pullback.saved if step.pullback else 0)
        self._is_single = step.pullback is None and isinstance(step.result, Staged)
        self._shortcut: Shortcut | None = None
        self._asked = False  # whether there is one

    def answer(self, leaves: Sequence[Any]) -> Any:
        """What the function returns for these arguments."""
        if self._is_single:
            return wrap(self._program(list(map(as_array, leaves)))[0])
        if self._step.pullback is None:
            return self._assembled([wrap(array) for array in self._program(list(map(as_array, leaves)))])
        return self._assembled(self._recorded(self._step.pullback, leaves))

    def _assembled(self, tensors: Sequence[Tensor]) -> Any:
        """What the function returns, of its tensors in order."""
        results = iter(tensors)

        def put(leaf: Any) -> Any:
            return next(results) if isinstance(leaf, Staged) else leaf

        return put(self._step.result) if isinstance(self._step.result, Staged) else tree.mapped(put, self._step.result)

    def at_once(self, kinds: TensorKinds, lock: RLock) -> Shortcut | None:
        """What answers for arguments of these kinds in one call, behind its first run; None where nothing does.

        Args:
            kinds: of the arguments, the same for all calls of an entry that are of tensors and floats.
            lock: held by whoever runs the program.
        """
        if not self._asked and self._step.pullback is None:
            parts: Parts | None = getattr(self._program, "parts", None)  # programs of the llvm back end have them
            assemble = None if self._is_single else self._assembled
            self._shortcut = None if parts is None else shortcut(parts, kinds, self.surroundings, lock, assemble)
        self._asked = True
        return self._shortcut

    def explained(self, leaves: Sequence[Any], device: Device, asked: str) -> Explanation:
        """How the programs run for these arguments, with the back end that was asked for."""
        from .explain import explain

        arrays = [as_array(leaf) for leaf in leaves]
        return explain(self._step, self._program, self._pullback, arrays, device, asked=asked)

    def _recorded(self, pullback: Pullback, leaves: Sequence[Any]) -> Sequence[Tensor]:
        """The results as those of one op, whose rule is the program of the backward pass."""
        saved: list[Array] = []
        given = [leaves[position] for position in pullback.arguments]
        arrays = [as_array(leaf) for leaf in leaves]

        def forward(xp: Any, *wanted: Array) -> tuple[Array, ...]:
            results = self._program(arrays)
            saved[:] = results[self._count :]
            return tuple(results[: self._count])

        def rule(g: Any, y: Any, *wanted: Any) -> Sequence[Any]:
            on_tensors = any(isinstance(part, Tensor) for part in g)
            if on_tensors and current_mode().recording:
                raise GradientError(
                    f"{self.graph.name} is compiled: its gradient cannot be differentiated from outside",
                    hint="compile the function that takes the gradient",
                )
            assert self._pullback is not None
            seeds = [as_array(g[position]) for position in pullback.outputs]
            parts = self._pullback([*saved, *seeds])
            return [wrap(part) for part in parts] if on_tensors else parts

        definition = unlisted_op(
            f"compiled({self.graph.name})",
            forward,
            lambda *specs: tuple(value.spec for value in self.graph.results[: self._count]),
            vjp=rule,
            flags=Flags.HALF,
        )
        return apply(definition, [*given, *pullback.leaves], {})


class Compiled(Generic[P, R]):
    """A function as programs, one for each kind of arguments it has met. Made by `compile`.

    Tensors and arrays among the arguments, in lists, tuples and dicts too, may have other elements in each call; Python
    floats may have other values; everything else is part of what was compiled, and another value is compiled anew. So
    are other shapes, dtypes and structures, and what the function reaches by closures, globals, attributes of networks
    and dataclasses, and as attributes and items that it names, such as `schedule.rate` and `options["width"]`: learning
    rates, flags, whether a network trains. What it reaches in another way, such as `getattr(schedule, name)`, is as it
    was when it was compiled.

    Called within `grad`, `jvp` or `vmap` it is the plain function, which they see through.
    """

    def __init__(self, function: Callable[P, R], back_end: str) -> None:
        update_wrapper(self, function)
        self._function = function
        self._back_end = back_end
        self._entries: OrderedDict[Hashable, list[_Entry]] = OrderedDict()
        self._last: tuple[_Entry, TensorKinds] | None = None  # of the last call, if of tensors and floats
        self._shortcut: Shortcut | None = None  # of the same, where there is one
        self._compilations = 0
        self._lock = RLock()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it.

        Raises:
            TraceError: the function looks at values; names the line. Nothing was run then.
        """
        if (at_once := self._shortcut) is not None and not kwargs and (result := at_once(args)) is not None:
            return cast("R", result)
        if (last := self._last) is not None and not kwargs and are_alike(args, last[1]):
            with self._lock:
                if last[0].outdated is None and last[0].surroundings.same():
                    try:
                        return last[0].answer(args)
                    except OutdatedError:
                        pass  # it is compiled anew below
        plain = not kwargs and all(each.__class__ is Tensor or each.__class__ is float for each in args)
        leaves: Sequence[Any] = args if plain else tree.leaves((args, kwargs) if kwargs else args)
        if current_mode().stage is not None or any(isinstance(leaf, Traced) for leaf in leaves):
            return self._function(*args, **kwargs)
        with self._lock:
            structure = (tuple, *[None] * len(args)) if plain else structure_of(args)
            key = (structure, structure_of(kwargs) if kwargs else None, tuple(map(kind_of, leaves)))
            varying = [leaf for leaf in leaves if varies(leaf)]
            entry, answer = self._use(key, args, kwargs, leaves, lambda entry: entry.answer(varying))
            kinds = tensor_kinds(args) if plain else None
            self._last = None if kinds is None else (entry, kinds)
            self._shortcut = None if kinds is None else entry.at_once(kinds, self._lock)
            return answer

    def graph(self, *args: P.args, **kwargs: P.kwargs) -> Graph:
        """The graph that a call with such arguments would run."""
        return self._trace(args, kwargs).graph

    def explain(self, *args: P.args, **kwargs: P.kwargs) -> Explanation:
        """How a call with such arguments runs: passes, launches, memory, times; compiles the function if need be.

        Runs it some times on one thread, without its effects: parameters, running statistics and generators stay as
        they are.
        """
        leaves = tree.leaves((args, kwargs) if kwargs else args)
        with self._lock:
            key = (structure_of(args), structure_of(kwargs) if kwargs else None, tuple(map(kind_of, leaves)))
            varying = [leaf for leaf in leaves if varies(leaf)]
            device, asked = one_device(leaves), self._back_end
            return self._use(key, args, kwargs, leaves, lambda entry: entry.explained(varying, device, asked))[1]

    @property
    def compilations(self) -> int:
        """How many programs were made so far."""
        return self._compilations

    def _use(
        self, key: Hashable, args: Any, kwargs: Any, leaves: Sequence[Any], use: Callable[[_Entry], S]
    ) -> tuple[_Entry, S]:
        """The program of a call, and what is done with it; made anew where its captured memory is of another kind."""
        entry = self._find(key) or self._compile(key, args, kwargs, leaves)
        try:
            return entry, use(entry)
        except OutdatedError as exc:
            entry.outdated = str(exc)
            entry = self._compile(key, args, kwargs, leaves)
            return entry, use(entry)

    def _find(self, key: Hashable) -> _Entry | None:
        known = self._entries.get(key)
        if known is None:
            return None
        self._entries.move_to_end(key)
        return next((entry for entry in known if entry.outdated is None and entry.surroundings.same()), None)

    def _compile(self, key: Hashable, args: Any, kwargs: Any, leaves: Sequence[Any]) -> _Entry:
        if self._compilations >= PATIENCE:
            warnings.warn(RecompilationWarning(self._why(key)), stacklevel=4)
        with _without_collections():
            step = self._trace(args, kwargs)
            for graph in (step.graph, step.pullback.graph) if step.pullback else (step.graph,):
                graph.verify()
            fixed = [leaf for leaf in leaves if not varies(leaf)]
            entry = _Entry(step, BACK_ENDS[self._back_end], one_device(leaves), Surroundings(self._function, *fixed))
        self._entries.setdefault(key, []).append(entry)
        self._compilations += 1
        while sum(map(len, self._entries.values())) > CAPACITY:
            oldest = next(iter(self._entries))
            self._entries[oldest].pop(0)
            if not self._entries[oldest]:
                del self._entries[oldest]
        return entry

    def _trace(self, args: Any, kwargs: Any) -> TracedStep:
        function: Any = self._function
        device = one_device(tree.leaves((args, kwargs)))
        if not kwargs:
            return trace(function, *args, device=device)

        def positional(*given: Any) -> Any:
            return function(*given[:-1], **given[-1])

        positional.__name__ = self._function.__name__
        return trace(positional, *args, kwargs, device=device)

    def _why(self, key: Hashable) -> str:
        """What is new about a call, beside the one it is most like."""
        name = getattr(self._function, "__name__", "function")
        start = f"{name} is compiled for the {self._compilations + 1}th time: "
        if key in self._entries:
            last_one = self._entries[key][-1]
            return start + str(last_one.outdated or last_one.surroundings.changed())
        last: Any = next(reversed(self._entries), None)
        new: Any = key
        if last is None or last[:2] != new[:2]:
            return start + "the structure of its arguments is another"
        differences = [
            f"argument {position} was {described(then)}, is {described(now)}"
            for position, (then, now) in enumerate(zip(last[2], new[2], strict=True))
            if then != now
        ]
        return start + "; ".join(differences)


def compile(function: Callable[P, R], *, backend: str = "auto") -> Compiled[P, R]:
    """Compile a function of tensors, such as a whole training step.

    Args:
        function: takes tensors, arrays, numbers and anything else; returns a tensor or a tree of them. Its control flow
            may depend on shapes and on Python values, not on elements of tensors. It may step optimisers, draw random
            numbers, and move running statistics; these happen in each run.
        backend: a name in `BACK_ENDS`. "auto" is the fastest that can run the function here.

    Returns:
        A function of the same arguments.

    Raises:
        ConfigError: there is no such back end.

    >>> import numpy as np
    >>> double = compile(lambda x: x + x)
    >>> double(np.ones(2, np.float32)).tolist()
    [2.0, 2.0]
    """
    if backend not in BACK_ENDS:
        raise ConfigError(f"compile: expected a backend of {', '.join(BACK_ENDS)}, got {backend!r}")
    return Compiled(function, backend)


@contextlib.contextmanager
def _without_collections() -> Generator[None]:
    """Garbage waits: graphs are many objects that live, and going through all of a process takes 20 ms each time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

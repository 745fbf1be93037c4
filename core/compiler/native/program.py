"""The `llvm` back end: one native call per run, over one block of memory that is planned beforehand."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from ...device import Array, Device
from ...tensor import Tensor
from ..graph import Capture, Draw, Graph
from ..llvm import Call, KernelUnknownError, Program, default_cache, default_pool
from ..llvm.cache import PLAN_SUFFIX
from ..shortcut import Parts
from ..undisturbed import undisturbed
from .block import Block
from .captures import Captures
from .plan import Plan, Read, decode, encode, key_of
from .steps import native_step
from .team import Team

if TYPE_CHECKING:
    from .lowered import Work
    from .planning import Planning

logger = logging.getLogger(__name__)

BEYOND: Final = 4096  # bytes behind the arena that kernels may read
READ_BEHIND: Final = 64  # bytes behind anything else
PAGE: Final = 4096
NOTHING: Final[Mapping[Read, Array]] = {}


class NativeProgram:
    """A graph ready to run as native code.

    Args:
        graph: verified.
        device: the CPU.

    Raises:
        Unsupported: the graph has something that there are no kernels for.
        CompilerUnavailable: no native code can be made here.
    """

    def __init__(self, graph: Graph, device: Device) -> None:
        self._cache, self._pool = default_cache(), default_pool()
        self._graph = graph
        self._planning: Planning | None = None
        key = None if self._cache.folder is None else key_of(graph, self._cache, self._pool.threads)
        self._plan, self._program = self._kept(key) or self._made(key)
        plan = self._plan
        self._draws: Sequence[Draw] = graph.draws if self._planning is None else self._planning.draws
        self._team = Team(min(plan.threads, self._pool.threads))
        self._block = Block(plan.arena_bytes + BEYOND)
        self._arena = self._block.array
        self._program.bind("arena", self._arena.ctypes.data, self._arena)
        self._given: dict[str, Array] = {}  # what was bound last
        self._held: dict[str, Array] = {}  # the same, in order and without gaps
        self._arguments: list[tuple[str, int]] = []
        self._arrays: list[tuple[str, Array]] = []  # captured, too
        captures: list[tuple[str, Capture]] = []
        drawn: dict[int, str] = {}
        constants = list(graph.constants.values())
        for source in plan.sources:
            match source.kind:
                case "argument":
                    self._arguments.append((source.name, source.number))
                case "capture":
                    capture = graph.captures[source.number]
                    if isinstance(capture.tensor, Tensor):
                        captures.append((source.name, capture))
                    else:
                        self._arrays.append((source.name, capture.tensor))
                case "draw":
                    drawn[source.number] = source.name
                case "constant":
                    self._bind(source.name, constants[source.number])
        self._captures = Captures(captures)
        self._drawn = [(drawn.get(number), draw) for number, draw in enumerate(self._draws)]
        for name, array in plan.tables.items():
            self._bind(name, array)
        count = len(plan.rates)
        self._steps = [
            native_step(effect, number, rate)
            for number, (effect, rate) in enumerate(zip(graph.effects[:count], plan.rates, strict=True))
        ]
        for step in self._steps:
            for name, array in step.vectors.items():
                self._program.bind(name, array.ctypes.data, array)
        self._results = [self._view(read) for read in plan.results]
        self._updates = [(each, self._view(read)) for each, read in zip(graph.updates, plan.updates, strict=True)]
        kept = [*self._results, *(view for _, view in self._updates)]
        self._early = [view for view in kept if isinstance(view, Read)]
        self._effects = [
            (effect, [self._view(read) for read in reads])
            for effect, reads in zip(graph.effects[count:], plan.effects, strict=True)
        ]

    @property
    def arena_bytes(self) -> int:
        """Memory that the program keeps for values."""
        return self._plan.arena_bytes

    @property
    def planning(self) -> Planning:
        """Where its plan comes from; made again where the plan was kept from another process."""
        if self._planning is None:
            from .planning import planned

            self._planning = planned(self._graph, self._cache.engine.target, self._pool.threads)
        return self._planning

    @property
    def works(self) -> Sequence[Work]:
        """The launches, in order."""
        return self.planning.lowered.works

    @property
    def parts(self) -> Parts | None:
        """What a run consists of; None if Python does more beforehand. It must have run before."""
        unbound = any(self._given.get(name) is not array for name, array in self._arrays)
        if self._early or self._drawn or unbound:
            return None
        read = {bounds.numbers for bounds in self._plan.bounds}
        read |= {view.buffer for _, views in self._effects for view in views if isinstance(view, Read)}
        changing = [step for step in self._steps if not step.settled]

        def prepare(arguments: Sequence[Array]) -> None:
            for step in changing:
                step.prepare(self._program, arguments)

        return Parts(
            counts=self._team.counts,
            run=self._program.addresses,
            tensors=self._captures.tensors,
            arrays=self._captures.arrays,
            sources=tuple(each for each in self._arguments if each[0] in read or self._program.reads(each[0])),
            given=self._given,
            held=self._held,
            bind=self._bind,
            bounds=tuple((each.numbers, each.length) for each in self._plan.bounds),
            prepare=prepare if changing else None,
            states=tuple(step.state for step in self._steps),
            workers=self._pool.workers,
            acquire_pool=self._pool.lock.acquire,
            release_pool=self._pool.lock.release,
            results=tuple(view for view in self._results if not isinstance(view, Read)),
            finish=self._finish if self._updates or self._effects else None,
        )

    def __call__(self, arguments: Sequence[Array], *, threads: int = 0) -> list[Array]:
        """Run it. What it returns is nobody else's memory.

        Args:
            arguments: arrays of the graph's arguments, of any layout.
            threads: at most so many; 0 for as many as are worth it, see `Team`. The results have the same bits for any.
        """
        self._prepare(arguments)
        # What is returned of a parameter is what it was before the step.
        early = {view: self._read(view).copy() for view in self._early} if self._early else {}
        if threads:
            self._program.run(threads=min(threads, self._pool.threads))
        else:
            self._team.run(self._program)
        self._block.settle()
        for step in self._steps:
            step.state.advanced()
        results = [early[view] if isinstance(view, Read) else view.copy() for view in self._results]
        self._finish(early)
        return results

    def time(self) -> list[tuple[Work | None, int]]:
        """Run once more with one thread, with what was bound last: each launch, None for a barrier, and nanoseconds."""
        works = iter(self.works)
        times = self._program.time(threads=1).tolist()
        return [
            (next(works) if isinstance(record, Call) else None, time)
            for record, time in zip(self._program.records, times, strict=True)
        ]

    def rehearse(self, arguments: Sequence[Array], *, runs: int) -> tuple[list[list[int]], list[Array]]:
        """Run as often with one thread, and leave nothing behind: no parameter moves, and no generator.

        Args:
            arguments: as of a run.
            runs: at least 1.

        Returns:
            Of every record the nanoseconds of each run, and the results.
        """
        with undisturbed(self._draws):
            self._prepare(arguments)
        own = {name: array for step in self._steps for name, array in step.vectors.items()}
        try:
            for name, array in own.items():  # what the steps of optimisers change
                copy = array.copy()
                self._program.bind(name, copy.ctypes.data, copy)
            times = [self._program.time(threads=1) for _ in range(runs)]
        finally:
            for name, array in own.items():
                self._program.bind(name, array.ctypes.data, array)
        return np.transpose(times).tolist(), [self._read(view).copy() for view in self._results]

    def _kept(self, key: str | None) -> tuple[Plan, Program] | None:
        """A plan that was made before, here or in another process, if all its kernels are still there."""
        content = None if key is None else self._cache.read(key + PLAN_SUFFIX)
        if content is None:
            return None
        try:
            plan = decode(content)
            return plan, Program(plan.records, self._cache, self._pool)
        except (KernelUnknownError, ValueError, KeyError, TypeError) as exc:  # kernels are gone, or it is no plan
            logger.debug("%s is planned again: %s", self._graph.name, exc)
            return None

    def _made(self, key: str | None) -> tuple[Plan, Program]:
        """A new plan, which is kept."""
        planning = self.planning
        program = Program(planning.plan.records, self._cache, self._pool)
        if key is not None and planning.is_portable and (content := encode(planning.plan)) is not None:
            self._cache.keep(key + PLAN_SUFFIX, content)
        return planning.plan, program

    def _prepare(self, arguments: Sequence[Array]) -> None:
        """Bind what a run reads."""
        given = self._given
        for name, number in self._arguments:
            if given.get(name) is not arguments[number]:
                self._bind(name, arguments[number])
        self._captures.rebind(self._bind)
        for name, array in self._arrays:
            if given.get(name) is not array:
                self._bind(name, array)
        for name, draw in self._drawn:
            made = draw.make()
            if name is not None:
                self._bind(name, made)
        for bounds in self._plan.bounds:
            bounds.check(self._held[bounds.numbers])
        for step in self._steps:
            step.prepare(self._program, arguments)

    def _finish(self, early: Mapping[Read, Array] = NOTHING) -> None:
        """What follows a run: statistics move, and what no kernel does happens.

        Args:
            early: of sources that are read, what they were before the run.
        """
        if self._updates:
            values = [early[view] if isinstance(view, Read) else view.copy() for _, view in self._updates]
            for (update, _), array in zip(self._updates, values, strict=True):
                update.target.read()[...] = array
        for effect, views in self._effects:
            effect.run(*map(self._read, views))

    def _bind(self, name: str, array: Array) -> bool:
        """Let a source be an array, or a copy of it; whether it is the array itself, whatever is in it."""
        dense = array if type(array) is np.ndarray and array.flags.c_contiguous else np.ascontiguousarray(array)
        end = dense.ctypes.data + dense.nbytes
        if -end % PAGE < READ_BEHIND:  # what kernels read behind it may not be ours
            padded = np.empty(dense.nbytes + READ_BEHIND, np.uint8)
            copy = padded[: dense.nbytes].view(dense.dtype).reshape(dense.shape)
            copy[...] = dense
            dense = copy
        self._program.bind(name, dense.ctypes.data, dense)
        self._held[name] = dense
        if dense is not array:
            self._given.pop(name, None)
            return False
        self._given[name] = array
        return True

    def _view(self, read: Read) -> Array | Read:
        """A value in the arena; one that is a source has to be looked up in each run."""
        if read.buffer != "arena":
            return read
        dtype = np.dtype(read.dtype)
        nbytes = int(np.prod(read.shape)) * dtype.itemsize
        return self._arena[read.offset : read.offset + nbytes].view(dtype).reshape(read.shape)

    def _read(self, view: Array | Read) -> Array:
        return self._held[view.buffer].reshape(view.shape) if isinstance(view, Read) else view

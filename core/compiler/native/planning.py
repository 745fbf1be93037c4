"""From a graph to a plan: passes, lowering, barriers, offsets in one block of memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...device import Array
from ..arithmetic import macs_of, operations_of
from ..channels_last import channels_last
from ..graph import Draw, Graph, Value
from ..llvm import BARRIER, Barrier, Pointer, Record, Target
from ..passes import Pass, optimize
from .arena import plan as placed
from .attention_pattern import gather_attention
from .decompose import decompose, even_pools
from .lower import lower
from .lowered import Lowered
from .phases import phased
from .place import Buffer
from .plan import Kind, Plan, Read, Source
from .steps import native_steps, rate_of

# What is done to an optimised graph before it is lowered, in order.
STAGES: Final[tuple[tuple[str, Pass], ...]] = (
    ("even pools", even_pools),
    ("channels last", lambda graph: graph if (turned := channels_last(graph)) is graph else optimize(turned)),
    ("attention", lambda graph: graph if (made := gather_attention(graph)) is graph else optimize(made)),
    ("decomposed", decompose),
)
# What one core does, roughly, and what work a barrier must save to be worth it, among two threads.
MACS_PER_NS: Final = 100.0
OPERATIONS_PER_NS: Final = 10.0
BARRIER_NS: Final = 2500.0


@dataclass(frozen=True, slots=True)
class Planning:
    """A plan, and where it comes from.

    Attributes:
        plan: it.
        lowered: the launches.
        barriers: of every launch, what threads do before it.
        traced, graph: what was planned, and what became of it.
    """

    plan: Plan
    lowered: Lowered
    barriers: list[Barrier | None]
    traced: Graph
    graph: Graph

    @property
    def is_portable(self) -> bool:
        """Whether the plan is right for any graph that is traced alike: passes left nothing to Python."""
        return list(map(id, self.draws)) == list(map(id, self.traced.draws))

    @property
    def draws(self) -> list[Draw]:
        """What Python makes before each run."""
        return self.graph.draws


def planned(traced: Graph, target: Target, threads: int) -> Planning:
    """Plan a graph.

    Args:
        traced: verified.
        target: the CPU.
        threads: of the pool that runs the plan.

    Raises:
        Unsupported: the graph has something that there are no kernels for.
    """
    graph = optimize(traced)
    for _, stage in STAGES:
        graph = stage(graph)
    lowered = lower(graph, target, threads)
    scratch = Buffer("arena", max((work.launch.scratch for work in lowered.works), default=0) * threads)
    barriers = phased(lowered, scratch, threads)
    buffers = [*(each for each in lowered.buffers if each.last >= 0), *([scratch] if scratch.elements else [])]
    arena_bytes = placed(buffers)
    records: list[Record] = []
    for work, barrier in zip(lowered.works, barriers, strict=True):
        if barrier is not None:
            records.append(barrier)
        records.append(work.launch.call(**{n: Pointer(b.name, b.offset) for n, b in work.memory.items()}))
    steps = native_steps(graph)
    rates = [rate_of(effect) for effect in steps]
    sources, constants = _sources(traced, graph, lowered)

    def read(value: Value) -> Read:
        place = lowered.places[value]
        assert not place.origin
        offset = place.buffer.offset if place.buffer.name == "arena" else 0
        return Read(place.buffer.name, offset, value.shape, value.dtype.name)

    plan = Plan(
        arena_bytes=arena_bytes,
        threads=threads if _nanoseconds(graph) > BARRIER_NS * barriers.count(BARRIER) else 1,
        records=records,
        sources=sources,
        tables=constants | {buffer.name: numbers for buffer, numbers in lowered.tables.items()},
        bounds=lowered.bounds,
        rates=[graph.arguments.index(rate) if isinstance(rate, Value) else None for rate in rates],
        results=[read(value) for value in graph.results],
        updates=[read(update.value) for update in graph.updates],
        effects=[[read(value) for value in effect.inputs] for effect in graph.effects[len(steps) :]],
    )
    return Planning(plan, lowered, barriers, traced, graph)


def _sources(traced: Graph, graph: Graph, lowered: Lowered) -> tuple[list[Source], dict[str, Array]]:
    """Where sources come from, and the constants that passes have made."""
    known: dict[Value, tuple[Kind, int]] = {}
    every: dict[Kind, list[Value | None]] = {
        "argument": [*traced.arguments],
        "capture": [each.value for each in traced.captures],
        "draw": [each.value for each in graph.draws],
        "constant": [*traced.constants],
    }
    for kind, values in every.items():
        known |= {value: (kind, number) for number, value in enumerate(values) if value is not None}
    sources: list[Source] = []
    constants: dict[str, Array] = {}
    for value, buffer in lowered.sources.items():
        if value in known:
            sources.append(Source(*known[value], buffer.name))
        else:
            constants[buffer.name] = graph.constants[value]
    return sources, constants


def _nanoseconds(graph: Graph) -> float:
    """About how long one thread takes."""
    macs = sum(macs_of(node) for node in graph.nodes)
    return macs / MACS_PER_NS + sum(operations_of(node) for node in graph.nodes) / OPERATIONS_PER_NS

"""What is to be said of a native program: its launches and what they cost, and the plan of its memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from statistics import median
from typing import Final

from ...device import Array
from ..arithmetic import macs_of, operations_of
from ..explanation import Arena, Kind, Launch, Memory
from ..graph import Node, Value
from ..llvm.ir import FLOAT_BYTES
from ..roofline import Roofline
from .arena import bound
from .group import VIEWS
from .lowered import Lowered, Work
from .place import Buffer
from .program import NativeProgram

# What prepares or finishes the work of others.
HELPERS: Final = frozenset({"pack", "pack weights", "turn weights", "copy", "border", "finish", "fill"})
# Numbers of kernels whose product is how many multiply-accumulates they do.
COUNTS: Final = ("images", "height", "width", "channels", "tap_rows", "tap_columns", "depth")
GRID: Final = ("count", "items", "rows", "pixels", "channels")
PER_ELEMENT: Final = 4  # operations of an optimiser's step, about, for each vector that it changes


def explained(
    program: NativeProgram, arguments: Sequence[Array], machine: Roofline, *, runs: int
) -> tuple[list[Launch], Arena, list[Array]]:
    """The launches of a program, its memory, and the results of a run that leaves nothing behind.

    Args:
        program: ready to run.
        arguments: as of a run.
        machine: whose bounds are told.
        runs: how often it is timed.
    """
    records, results = program.rehearse(arguments, runs=runs)
    works = program.works
    times = iter(records)
    measured: list[float] = []
    phases: list[int] = []
    phase = 0
    for barrier in program.planning.barriers:
        if barrier is not None:
            next(times)
            phase += not barrier.unless
        phases.append(phase)
        measured.append(float(median(next(times))))
    shares = _shares(works)
    known: set[Node] = set()
    launches: list[Launch] = []
    for number, (work, (macs, operations, share)) in enumerate(zip(works, shares, strict=True)):
        read, written = _traffic(work, program.planning.lowered, share)
        nodes = _origin(work)
        again = [node for node in work.nodes if node in known] if _is_first(works, number) else []
        launches.append(
            Launch(
                number=number,
                title=_title(work),
                ops=tuple(node.op.name for node in nodes),
                again=tuple(node.op.name for node in again),
                lines=tuple(dict.fromkeys(node.where for node in nodes if node.where)),
                kernel=work.launch.kernel.name,
                phase=phases[number],
                read_bytes=read,
                written_bytes=written,
                macs=macs,
                operations=operations,
                predicted_ns=1e9 * machine.seconds(2 * macs + operations, read + written),
                measured_ns=measured[number],
            )
        )
        if work.label not in HELPERS:
            known.update(work.nodes)
    return launches, _arena(program), results


def _is_first(works: Sequence[Work], number: int) -> bool:
    """Whether no launch before it belongs to the same nodes."""
    own = works[number]
    return own.label not in HELPERS and all(
        work.nodes is not own.nodes or work.label in HELPERS for work in works[:number]
    )


def _title(work: Work) -> str:
    if not work.nodes:
        return work.label
    ops = _counted(node.op.name for node in _origin(work))
    if work.label in HELPERS:
        return f"{work.label}: {ops}"
    return f"sum of shards: {ops}" if work.launch.kernel.name.startswith("sum_of_shards") else ops


def _origin(work: Work) -> tuple[Node, ...]:
    """The nodes of a launch; where it ends a sum that has got another shape meanwhile, the sum."""
    nodes = work.nodes
    while work.label == "finish" and nodes[0].op.name in VIEWS and (node := next(nodes[0].values).node) is not None:
        nodes = (node,)
    return nodes


def _counted(names: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(name if count == 1 else f"{name} x{count}" for name, count in counts.items())


def _shares(works: Sequence[Work]) -> list[tuple[int, int, float]]:
    """Of every launch, its part of the multiply-accumulates and of the other operations of its nodes, and the share."""
    found = [(0, 0, 1.0)] * len(works)
    items: dict[int, list[int]] = {}
    for number, work in enumerate(works):
        if not work.nodes and work.label not in HELPERS:
            size = work.launch.numbers.get("count", 0)
            found[number] = (0, int(size) * PER_ELEMENT * len(work.writes) if isinstance(size, int) else 0, 1.0)
        elif work.label not in HELPERS and not work.launch.kernel.name.startswith("sum_of_shards"):
            items.setdefault(id(work.nodes), []).append(number)
    for numbers in items.values():
        nodes = works[numbers[0]].nodes
        macs, operations = sum(map(macs_of, nodes)), sum(map(operations_of, nodes))
        weights = [_product(works[number], COUNTS) for number in numbers]
        for number, weight in zip(numbers, weights, strict=True):
            share = weight / sum(weights)
            done = macs * share * works[number].launch.products
            found[number] = (round(done), round(operations * share), share)
    return found


def _product(work: Work, names: Sequence[str]) -> int:
    given = (work.launch.numbers.get(name, 1) for name in names)
    return prod(int(number) for number in given if isinstance(number, int))


def _traffic(work: Work, lowered: Lowered, share: float) -> tuple[int, int]:
    """Bytes that a launch reads and writes, which has a share of the results of its nodes."""
    if work.label == "border":
        return 0, _product(work, GRID) * FLOAT_BYTES
    values = dict.fromkeys(value for node in work.nodes for value in (*node.values, *node.outputs))
    here: dict[Buffer, int] = {}
    for value in values:
        if (place := lowered.lying.get(value)) is not None:
            here[place.buffer] = here.get(place.buffer, 0) + value.nbytes
    read, written = dict[Buffer, int](), dict[Buffer, int]()
    for name, buffer in work.memory.items():
        if name == "scratch":
            continue
        size = min(buffer.nbytes, here.get(buffer, buffer.nbytes) if work.moved is None else work.moved)
        if name in work.writes or name == "w":  # each has some of the columns, and of the weights
            size = round(size * share)
        if name in work.writes:
            written[buffer] = size
        if name not in work.writes or buffer.name.startswith("step"):  # an optimiser's step changes what it reads
            read[buffer] = size
    return sum(read.values()), sum(written.values())


def _arena(program: NativeProgram) -> Arena:
    lowered, works = program.planning.lowered, program.works
    buffers = [buffer for buffer in lowered.buffers if buffer.last >= 0]
    scratch = {work.memory["scratch"] for work in works if "scratch" in work.memory}
    values: dict[Buffer, list[Value]] = {}
    for value, place in lowered.lying.items():
        values.setdefault(place.buffer, []).append(value)
    gradients = {work.memory["gradient"] for work in works if "gradient" in work.memory}
    makers: dict[Buffer, Work] = {}
    for work in works:
        for name in sorted(work.writes & work.memory.keys()):
            makers.setdefault(work.memory[name], work)
    parts: list[Memory] = []
    for buffer in [*buffers, *scratch]:
        label, kind = _described(buffer, values.get(buffer, []), makers.get(buffer))
        if buffer in scratch:
            label, kind = "scratch of the threads", "scratch"
        elif buffer in gradients and len(values.get(buffer, [])) != 1:
            label, kind = "gradients", "gradient"
        parts.append(
            Memory(
                label=label, kind=kind, offset=buffer.offset, nbytes=buffer.nbytes, first=buffer.first, last=buffer.last
            )
        )
    everything = [*buffers, *scratch]
    return Arena(
        planned_bytes=program.arena_bytes,
        bound_bytes=bound(everything),
        unplanned_bytes=sum(buffer.nbytes for buffer in everything),
        parts=tuple(sorted(parts, key=lambda each: (each.offset, each.first))),
    )


def _described(buffer: Buffer, values: Sequence[Value], maker: Work | None) -> tuple[str, Kind]:
    """What a buffer is called: the value that its maker makes there, or the part of one."""
    if maker is None:
        return "memory", "moved"
    kind: Kind = "moved" if maker.label in HELPERS else "product" if any(map(macs_of, maker.nodes)) else "fused"
    for value in values:
        if value.node is not None and value.node in maker.nodes:
            return f"{value.node.op.name} {list(value.shape)}", kind
    names = [name for name, each in maker.memory.items() if each is buffer]
    what = "packed" if maker.label.startswith(("pack", "turn")) else "copy" if maker.label == "copy" else "parts"
    if names == ["moments"]:
        what = "moments"
    return f"{what}: {_counted(node.op.name for node in maker.nodes) or maker.label}", kind

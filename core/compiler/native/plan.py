"""`Plan`: what a program does and where in memory, apart from the arrays and the addresses of one process.

Making one takes most of the time of a first call, so plans are kept beside the kernels that they call. `key_of` names
all that a plan depends on: the graph with its constants, what is known of optimisers and of shared memory, this
compiler's own text, the CPU and the number of threads. A plan is only as good as its folder, see `llvm.cache`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np

from ...device import CPU, Array
from ...op import OPS, OpDef
from ..graph import Effect, Graph, Value
from ..llvm import Barrier, Call, Kernel, KernelCache, KernelReference, Pointer, Record, Scalar, Slot, SlotKind
from ..passes import is_plain
from .bounds import Bounds
from .steps import method_of, rate_of, state_of

FORMAT: Final = "plan 1"
LARGEST_TABLES: Final = 1 << 20  # bytes of a plan's own arrays; with more it is not kept
COMPILER: Final = Path(__file__).parents[1]
OURS: Final = __name__.partition(".compiler")[0] + ".ops"

Kind = Literal["argument", "capture", "draw", "constant"]


@dataclass(frozen=True, slots=True)
class Source:
    """What a program reads that its graph does not make.

    Attributes:
        kind: where the traced graph has it.
        number: its place there.
        name: of the buffer that it is bound to.
    """

    kind: Kind
    number: int
    name: str


@dataclass(frozen=True, slots=True)
class Read:
    """Where a value lies, dense, when a program has run.

    Attributes:
        buffer: "arena", or the name of a source.
        offset: in the arena, in bytes.
        shape: of the value.
        dtype: of its elements, by name.
    """

    buffer: str
    offset: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A graph as records over planned memory.

    Attributes:
        arena_bytes: memory for values.
        threads: how many are worth it.
        records: in order.
        sources: what is bound before a run, or once.
        tables: arrays of the plan's own, bound once, by the names of their buffers.
        bounds: which numbers are looked at before a run.
        rates: of every step of an optimiser that the records do, the argument that holds the learning rate, or None.
        results, updates: where they are read.
        effects: the same of the inputs of those effects that the records do not do.
    """

    arena_bytes: int
    threads: int
    records: Sequence[Record]
    sources: Sequence[Source]
    tables: Mapping[str, Array]
    bounds: Sequence[Bounds]
    rates: Sequence[int | None]
    results: Sequence[Read]
    updates: Sequence[Read]
    effects: Sequence[Sequence[Read]]


def key_of(graph: Graph, cache: KernelCache, threads: int) -> str | None:
    """Names everything that a graph's plan depends on; None where that cannot be said: where ops are the user's own,
    which may be others next time.

    Args:
        graph: as it was traced.
        cache: whose kernels the plan calls.
        threads: of the pool that runs it.
    """
    own = _own_text()
    plain = all(is_plain(value) for node in graph.nodes for value in node.params.values())
    if own is None or not plain or not all(map(_is_ours, {node.op for node in graph.nodes})):
        return None
    parts = [FORMAT, cache.engine.fingerprint, np.__version__, own, str(threads), graph.text(lines=False)]
    parts.append(" ".join(value.dtype.str for value in graph.sources()))
    parts.append(repr([draw.value is not None for draw in graph.draws]))
    parts += [repr(_effect(effect)) for effect in graph.effects]
    found = hashlib.sha256("\0".join(parts).encode())
    for array in graph.constants.values():
        found.update(f"\0{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(CPU.put(array)).data)
    return found.hexdigest()


def _is_ours(op: OpDef) -> bool:
    """Whether an op is one of this library's, whose text is part of the key."""
    return OPS.get(op.name) is op and (op.forward.__module__ or "").startswith(OURS)


def _effect(effect: Effect) -> Sequence[Any]:
    """What lowering asks of an effect."""
    method = method_of(effect)
    if method is None:
        return (effect.name,)
    buffer = state_of(effect).buffer
    places = [(segment.start, segment.shape) for segment in buffer.segments], buffer.positions, buffer.size
    given = isinstance(rate_of(effect), Value)
    return (effect.name, method.step, sorted(method.numbers(1, 0.0)), method.moments, given, places)


@functools.cache
def _own_text() -> str | None:
    """Names the compiler: the text of everything that a plan comes from; None where it is installed without."""
    core = COMPILER.parent
    patterns = ((core, "*.py"), (core / "ops", "*.py"), (COMPILER, "**/*.py"))
    paths = [path for folder, pattern in patterns for path in sorted(folder.glob(pattern))]
    if Path(__file__) not in paths:
        return None
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


# --- as bytes ---


def encode(plan: Plan) -> bytes | None:
    """A plan as JSON; None for one that is not worth it."""
    if sum(array.nbytes for array in plan.tables.values()) > LARGEST_TABLES:
        return None
    calls = [record for record in plan.records if isinstance(record, Call)]
    kernels = list(dict.fromkeys(_reference(call) for call in calls))
    numbers = {kernel: number for number, kernel in enumerate(kernels)}
    content = {
        "arena_bytes": plan.arena_bytes,
        "threads": plan.threads,
        "kernels": [[each.name, each.digest, [[slot.name, slot.kind] for slot in each.slots]] for each in kernels],
        "records": [each.unless if isinstance(each, Barrier) else _call(each, numbers) for each in plan.records],
        "sources": [[each.kind, each.number, each.name] for each in plan.sources],
        "tables": {name: _array(array) for name, array in plan.tables.items()},
        "bounds": [[each.numbers, each.length, each.op] for each in plan.bounds],
        "rates": list(plan.rates),
        "results": [_read(each) for each in plan.results],
        "updates": [_read(each) for each in plan.updates],
        "effects": [[_read(each) for each in reads] for reads in plan.effects],
    }
    return json.dumps(content, separators=(",", ":")).encode()


def decode(content: bytes) -> Plan:
    """What `encode` gave, with references to kernels in place of their text."""
    found = json.loads(content)
    kernels = [
        KernelReference(
            name=name, digest=digest, slots=tuple(Slot(slot, cast("SlotKind", kind)) for slot, kind in slots)
        )
        for name, digest, slots in found["kernels"]
    ]
    return Plan(
        arena_bytes=found["arena_bytes"],
        threads=found["threads"],
        records=tuple(_records(found["records"], kernels)),
        sources=tuple(Source(*each) for each in found["sources"]),
        tables={name: _restored(*each) for name, each in found["tables"].items()},
        bounds=tuple(Bounds(*each) for each in found["bounds"]),
        rates=tuple(found["rates"]),
        results=tuple(map(_place, found["results"])),
        updates=tuple(map(_place, found["updates"])),
        effects=tuple(tuple(map(_place, each)) for each in found["effects"]),
    )


def _reference(call: Call) -> KernelReference:
    return call.kernel.reference if isinstance(call.kernel, Kernel) else call.kernel


def _call(call: Call, numbers: Mapping[KernelReference, int]) -> list[Any]:
    """The kernel, and its values: a pointer as a pair, a number that is bound as a table of one."""
    made: list[Any] = [numbers[_reference(call)]]
    for value in call.values:
        match value:
            case Pointer():
                made.append([value.base, value.offset])
            case Scalar():
                made.append({value.name: value.scale})
            case _:
                made.append(value)
    return made


def _records(found: Sequence[Sequence[Any] | int], kernels: Sequence[KernelReference]) -> Iterator[Record]:
    for each in found:
        if isinstance(each, int):
            yield Barrier(each)
            continue
        number: int = each[0]
        values: list[int | float | Pointer | Scalar] = []
        for value in each[1:]:
            if value.__class__ is list:
                values.append(Pointer(*value))
            elif value.__class__ is dict:
                values.append(Scalar(*next(iter(value.items()))))
            else:
                values.append(value)
        yield Call(kernels[number], tuple(values))


def _read(read: Read) -> list[Any]:
    return [read.buffer, read.offset, list(read.shape), read.dtype]


def _place(each: Sequence[Any]) -> Read:
    buffer, offset, shape, dtype = each
    return Read(buffer, offset, tuple(shape), dtype)


def _array(array: Array) -> list[Any]:
    return [array.dtype.str, list(array.shape), base64.b64encode(np.ascontiguousarray(array).data).decode()]


def _restored(dtype: str, shape: Sequence[int], content: str) -> Array:
    return np.frombuffer(base64.b64decode(content), np.dtype(dtype)).reshape(shape)

"""`Program`: a table of kernels and their arguments, run by one native call.

Arguments that are known stand in the table from the beginning. Addresses of buffers and values that change from run to
run have names and are bound: `Pointer("arena", 4096)` is 4096 bytes into whatever "arena" is bound to, and
`Scalar("batch", 3)` is three times "batch".
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError
from .cache import KernelCache
from .kernel import SLOT_BYTES, Kernel, KernelReference, SlotKind
from .pool import Pool

LINE = 64  # bytes; arguments of one kernel start at a cache line


@dataclass(frozen=True, slots=True)
class Pointer:
    """`offset` bytes into the buffer that will be bound under the name `base`."""

    base: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number that will be bound under a name, times `scale` (whole where the slot is whole)."""

    name: str
    scale: float = 1


Value = int | float | Pointer | Scalar


@dataclass(frozen=True, slots=True)
class Call:
    """One record: a kernel and a value for each of its slots, in order; see `call`."""

    kernel: Kernel | KernelReference
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Barrier:
    """A record: no thread goes on before all have come here, and all see what the others wrote.

    Attributes:
        unless: with so many threads, none reads or writes behind it what another one touched before it, and nobody
            waits; 0: always needed.
    """

    unless: int = 0


BARRIER: Final = Barrier()
Record = Call | Barrier


def call(kernel: Kernel, **values: Value) -> Call:
    """A record that calls a kernel.

    Args:
        kernel: what to call.
        values: one for each slot, by name. A "ptr" slot takes a `Pointer` or an address, "i64" an int or `Scalar`,
            "f32" a float or `Scalar`.

    Raises:
        ConfigError: a value is missing, has no slot, or is of the wrong kind.
    """
    if values.keys() != kernel.index.keys():
        missing, foreign = kernel.index.keys() - values.keys(), values.keys() - kernel.index.keys()
        raise ConfigError(f"{kernel.name}: slots without a value: {sorted(missing)}; no slots: {sorted(foreign)}")
    for slot in kernel.slots:
        if not isinstance(values[slot.name], _TAKES[slot.kind]):
            raise ConfigError(f"{kernel.name}: {slot.name} is {slot.kind}, got {values[slot.name]!r}")
    return Call(kernel, tuple(values[slot.name] for slot in kernel.slots))


_TAKES: dict[SlotKind, tuple[type, ...]] = {
    "ptr": (int, Pointer),
    "i64": (int, Scalar),
    "f32": (int, float, Scalar),
}


class Program:
    """Records, ready to run once all names are bound.

    Args:
        records: what happens, in order. Kernels whose work depends on other threads' results stand behind a barrier.
        cache: has or compiles the kernels.
        pool: runs them.

    Raises:
        KernelError: a kernel does not compile.
        KernelUnknownError: a kernel is referred to that is not kept.
        ConfigError: one name is used for a buffer and for a number.
    """

    def __init__(self, records: Sequence[Record], cache: KernelCache, pool: Pool) -> None:
        self.records = tuple(records)
        self._pool = pool
        self._cache = cache  # in whose memory the kernels are
        self._lock = threading.Lock()  # the slots and the buffers belong to one run at a time
        calls = [record for record in self.records if isinstance(record, Call)]
        addresses = iter(cache.addresses([each.kernel for each in calls]))
        per_line = LINE // SLOT_BYTES
        first = -(-2 * len(self.records) // per_line) * per_line  # of the slots, behind the table
        size = first + sum(-(-len(each.values) // per_line) * per_line for each in calls)
        self._memory, self._block = _aligned_words(size)
        self._floats = self._block.view(np.float32)  # two for a word; a float32 slot is the first
        base = self._block.ctypes.data
        self._table = base
        pointers: dict[str, list[tuple[int, int]]] = {}
        scalars: dict[str, list[tuple[int, float, bool]]] = {}
        place = first
        for number, record in enumerate(self.records):
            if not isinstance(record, Call):
                self._block[2 * number + 1] = record.unless
                continue
            self._block[2 * number : 2 * number + 2] = next(addresses), base + place * SLOT_BYTES
            for word, (slot, value) in enumerate(zip(record.kernel.slots, record.values, strict=True), place):
                match value:
                    case Pointer():
                        pointers.setdefault(value.base, []).append((word, value.offset))
                    case Scalar():
                        scalars.setdefault(value.name, []).append((word, value.scale, slot.kind == "f32"))
                    case _ if slot.kind == "f32":
                        self._floats[2 * word] = value
                    case _:
                        self._block[word] = value
            place += -(-len(record.values) // per_line) * per_line
        if both := pointers.keys() & scalars.keys():
            raise ConfigError(f"names of both a buffer and a number: {', '.join(sorted(both))}")
        self._pointers = {name: _split(uses) for name, uses in pointers.items()}
        self._scalars = {name: tuple(uses) for name, uses in scalars.items()}
        self._owners: dict[str, object] = {}
        self._unbound = pointers.keys() | scalars.keys()

    @property
    def kernels(self) -> int:
        """How many different kernels it calls."""
        return len({record.kernel for record in self.records if isinstance(record, Call)})

    @property
    def addresses(self) -> tuple[int, int, int, int, int]:
        """What `accelerate.call` is given for a run, but for the number of threads."""
        return self._pool.addresses(self._table, len(self.records))

    def reads(self, name: str) -> bool:
        """Whether a pointer is into the buffer of this name."""
        return name in self._pointers

    def bind(self, name: str, address: int, owner: object = None) -> None:
        """Let the pointers of buffer `name` point to `address`; a name that nobody uses is fine.

        Args:
            name: of a buffer.
            address: of its first byte, aligned as the kernels want it.
            owner: kept alive until the name is bound again, such as the array whose memory it is.
        """
        self._owners[name] = owner
        self._unbound.discard(name)
        if (uses := self._pointers.get(name)) is not None:
            words, offsets = uses
            self._block[words] = offsets + address

    def set(self, name: str, value: float) -> None:
        """Give the scalars of a name their value; a name that nobody uses is fine.

        Raises:
            ConfigError: the value is not whole where a slot is.
        """
        self._unbound.discard(name)
        for word, scale, is_float in self._scalars.get(name, ()):
            scaled = value * scale
            if is_float:
                self._floats[2 * word] = scaled
            elif scaled == int(scaled):
                self._block[word] = int(scaled)
            else:
                raise ConfigError(f"{name}: expected a whole number, got {value!r} times {scale}")

    def run(self, *, threads: int = 0, flush: bool = False) -> None:
        """Run all records once.

        Args:
            threads: at most so many; 0 is the pool's number. The results are the same for any.
            flush: denormal numbers count as zero: some CPUs take a hundred cycles for one.

        Raises:
            ConfigError: a name is not bound.
        """
        if self._unbound:
            raise ConfigError(f"names that are not bound: {', '.join(sorted(self._unbound))}")
        with self._lock:
            self._pool.run(self._table, len(self.records), threads=threads, flush=flush)

    def rouse(self) -> None:
        """See `Pool.rouse`."""
        self._pool.rouse()

    def time(self, *, threads: int = 0, flush: bool = False) -> NDArray[np.int64]:
        """Run once; the nanoseconds that each record took in thread 0, shape (records,). A barrier's are its wait."""
        if self._unbound:
            raise ConfigError(f"names that are not bound: {', '.join(sorted(self._unbound))}")
        times = np.zeros(len(self.records) + 1, np.int64)
        with self._lock:
            self._pool.run(self._table, len(self.records), threads=threads, flush=flush, times=int(times.ctypes.data))
        return np.diff(times)


def _split(uses: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    words, offsets = np.array(uses, np.int64).T
    return words.copy(), offsets.copy()


def _aligned_words(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Zeros that start at a cache line, and the memory that they lie in."""
    memory = np.zeros(count + LINE // SLOT_BYTES, np.int64)
    start = -int(memory.ctypes.data) % LINE // SLOT_BYTES
    return memory, memory[start : start + count]

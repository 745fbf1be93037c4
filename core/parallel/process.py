"""`ProcessCommunicator`: collectives between processes of one machine, through shared memory.

Arrays travel through shared memory, signals through one socket pair for each pair of ranks. A barrier is then one short
message to and from every peer, and the end of a process, however it comes, is the end of its sockets: its peers know at
once. Every message names the collective with its shape and dtype, so ranks that fell out of step are told how.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import numpy as np

from ..device import CPU, Array, device_of
from ..errors import ConfigError, PeerError, ShapeError
from .communicator import ReduceOp, check_dtype, check_reduction, check_root, check_rows
from .memory import ALIGNMENT, SharedMemory

SLOT_BYTES = 1 << 20  # of each rank; an array travels in pieces of this size
SMALL_BYTES = 1 << 15  # up to here every rank adds everything itself, which saves a barrier
TIMEOUT_S = 300.0
_MESSAGE_BYTES = 128
_ABORT = "abort because of rank "


class ProcessCommunicator:
    """One rank of a group of processes on one machine. Used from one thread at a time.

    Each rank has a slot in shared memory, which it alone writes. Large reductions are split: a rank reduces its part of
    every slot, then all copy the parts the others reduced. Two sets of slots take turns, so that nobody waits until the
    slowest has read before writing the next piece.

    Takes NumPy arrays. Those of another device are copied to the host and back, which is also the way for two ranks to
    share one GPU (NCCL refuses that).

    Args:
        rank: which member this is.
        links: a connected stream socket to each rank, None in the place of this one; closed with the communicator.
        memory: the slots of the group; closed with the communicator.
        timeout_s: how long to wait for a rank that lives and does not come, in seconds; > 0.
    """

    def __init__(
        self, rank: int, links: Sequence[socket.socket | None], memory: SharedMemory, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.rank = rank
        self.size = len(links)
        self._links = {peer: link for peer, link in enumerate(links) if link is not None}
        self._memory = memory
        self._slot_bytes = memory.nbytes // (2 * self.size) // ALIGNMENT * ALIGNMENT
        self._scratch = np.empty(-(-self._slot_bytes // self.size) + ALIGNMENT, np.uint8)
        self._timeout_s = timeout_s
        self._sequence = 0
        self._turn = 0
        self._failure: PeerError | None = None

    @classmethod
    def group(
        cls, size: int, *, slot_bytes: int = SLOT_BYTES, timeout_s: float = TIMEOUT_S
    ) -> list[ProcessCommunicator]:
        """All members of a new group, connected to each other: one for each process (or thread).

        Raises:
            ConfigError: the size or a limit is out of range.
            DeviceError: there is no memory for the slots.
        """
        if size < 1 or slot_bytes < ALIGNMENT * size:
            raise ConfigError(f"expected size >= 1 and slot_bytes >= {ALIGNMENT} * size, got {size} and {slot_bytes}")
        if not timeout_s > 0:
            raise ConfigError(f"expected timeout_s > 0, got {timeout_s}")
        memory = SharedMemory.allocate(2 * size * slot_bytes)
        links: list[list[socket.socket | None]] = [[None] * size for _ in range(size)]
        for low in range(size):
            for high in range(low + 1, size):
                links[low][high], links[high][low] = socket.socketpair()
        try:
            return [cls(rank, links[rank], memory.duplicate(), timeout_s=timeout_s) for rank in range(size)]
        finally:
            memory.close()

    def handover(self) -> dict[str, Any]:
        """What another process needs to become this member, as JSON values; see `descriptors` and `adopt`."""
        return {
            "rank": self.rank,
            "links": [self._links[peer].fileno() if peer in self._links else None for peer in range(self.size)],
            "memory": [self._memory.fd, self._memory.nbytes],
            "timeout_s": self._timeout_s,
        }

    def descriptors(self) -> list[int]:
        """The file descriptors that the other process must inherit under the same numbers."""
        return [self._memory.fd, *(link.fileno() for link in self._links.values())]

    @classmethod
    def adopt(cls, handover: Mapping[str, Any]) -> ProcessCommunicator:
        """Become the member that another process handed over."""
        links = [None if fd is None else socket.socket(fileno=fd) for fd in handover["links"]]
        memory = SharedMemory(*handover["memory"])
        return cls(handover["rank"], links, memory, timeout_s=handover["timeout_s"])

    def all_reduce(self, array: Array, op: ReduceOp = "sum") -> Array:
        """Replace `array` on every rank by the sum, mean or maximum over the ranks; see `Communicator`."""
        check_reduction(array.dtype, op)
        call = f"all_reduce({op}) of {_describe(array)}"
        with _in_place(array) as flat:
            for piece in _pieces(flat, self._slot_bytes):
                slots = self._slots((piece.size,), piece.dtype)
                slots[self.rank][...] = piece
                self._meet(call)
                if self.size == 2 or piece.nbytes <= SMALL_BYTES:
                    _reduce(slots, op, out=piece)
                else:
                    self._reduce_in_parts(slots, op, call, out=piece)
        return array

    def broadcast(self, array: Array, root: int = 0) -> Array:
        """Replace `array` on every rank by that of rank `root`; see `Communicator`."""
        check_root(root, self.size)
        check_dtype(array.dtype)
        call = f"broadcast from rank {root} of {_describe(array)}"
        with _in_place(array) as flat:
            for piece in _pieces(flat, self._slot_bytes):
                slot = self._slots((piece.size,), piece.dtype)[root]
                if self.rank == root:
                    slot[...] = piece
                self._meet(call)
                if self.rank != root:
                    piece[...] = slot
        return array

    def all_gather(self, array: Array) -> Array:
        """A new array of shape (size, *array.shape) with every rank's `array`; see `Communicator`."""
        check_dtype(array.dtype)
        call = f"all_gather of {_describe(array)}"
        flat = CPU.put(array).reshape(-1)
        gathered = np.empty((self.size, flat.size), flat.dtype)
        for own, out in zip(_pieces(flat, self._slot_bytes), _pieces(gathered, self._slot_bytes), strict=True):
            slots = self._slots((own.size,), own.dtype)
            slots[self.rank][...] = own
            self._meet(call)
            for row, slot in zip(out, slots, strict=True):
                row[...] = slot
        return device_of(array).put(gathered.reshape(self.size, *array.shape))

    def reduce_scatter(self, array: Array, op: ReduceOp = "sum") -> Array:
        """Reduce `array`, shape (size, ...), over the ranks; a new array with row `rank`; see `Communicator`."""
        check_reduction(array.dtype, op)
        check_rows(array.shape, self.size)
        call = f"reduce_scatter({op}) of {_describe(array)}"
        rows = CPU.put(array).reshape(self.size, array.size // self.size)
        reduced = np.empty(rows.shape[1], rows.dtype)
        limit = self._slot_bytes // self.size
        for own, out in zip(_pieces(rows, limit), _pieces(reduced, limit), strict=True):
            slots = self._slots(own.shape, own.dtype)
            slots[self.rank][...] = own
            self._meet(call)
            _reduce([slot[self.rank] for slot in slots], op, out=out)
        return device_of(array).put(reduced.reshape(array.shape[1:]))

    def barrier(self) -> None:
        """Wait until every rank is here."""
        self._meet("barrier")

    def close(self) -> None:
        """Leave the group; a rank that still waits for this one gets a `PeerError`. May be called again."""
        for link in self._links.values():
            link.close()
        self._memory.close()
        if self._failure is None and self._links:
            self._failure = PeerError("this communicator is closed", rank=self.rank)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _slots(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[np.ndarray[Any, Any]]:
        """Everyone's slot of the next set, as arrays; read the others' only after `_meet`."""
        self._turn = 1 - self._turn
        first = self._turn * self.size
        return [self._memory.view((first + rank) * self._slot_bytes, shape, dtype) for rank in range(self.size)]

    def _reduce_in_parts(
        self, slots: Sequence[np.ndarray[Any, Any]], op: ReduceOp, call: str, *, out: np.ndarray[Any, Any]
    ) -> None:
        bounds = [out.size * rank // self.size for rank in range(self.size + 1)]
        parts = [slice(*pair) for pair in pairwise(bounds)]
        own = slots[self.rank][parts[self.rank]]
        # Not straight into the slot: it may be a later summand.
        scratch = self._scratch[: own.nbytes].view(own.dtype)
        own[...] = _reduce([slot[parts[self.rank]] for slot in slots], op, out=scratch)
        self._meet(call)
        for slot, part in zip(slots, parts, strict=True):
            out[part] = slot[part]

    def _meet(self, call: str) -> None:
        """Return when every rank has called this for the same step of the same collective."""
        if self._failure is not None:
            raise self._failure
        self._sequence += 1
        message = _message(f"{self._sequence} {call}")
        for link in self._links.values():
            with suppress(OSError):  # a peer that left may have said why: that is still to be read
                link.sendall(message)
        waiting = dict(self._links)
        deadline = time.monotonic() + self._timeout_s
        while waiting:
            for peer in self._answers(waiting, deadline, call):
                try:
                    answer = waiting.pop(peer).recv(_MESSAGE_BYTES, socket.MSG_WAITALL)
                except OSError:
                    answer = b""
                if answer != message:
                    self._fail(self._explain(peer, answer.rstrip().decode(), call))

    def _answers(self, waiting: Mapping[int, socket.socket], deadline: float, call: str) -> list[int]:
        """The ranks of `waiting` that have sent something or are gone, at least one."""
        poll = select.poll()
        for link in waiting.values():
            poll.register(link, select.POLLIN)
        left = max(0.0, deadline - time.monotonic())
        ready = {fd for fd, _ in poll.poll(left * 1000)}
        if not ready:
            missing = ", ".join(map(str, waiting))
            self._fail(
                PeerError(
                    f"rank {self.rank} waited {self._timeout_s:g} s at {call}, and these ranks did not come: {missing}",
                    rank=next(iter(waiting)),
                    hint="look at what they do, or raise timeout_s",
                )
            )
        return [peer for peer, link in waiting.items() if link.fileno() in ready]

    def _explain(self, peer: int, answer: str, call: str) -> PeerError | ShapeError:
        """The error behind an answer that is not the expected one; none at all means that the peer is gone."""
        if answer.startswith(_ABORT):
            culprit = int(answer.removeprefix(_ABORT))
            if culprit != self.rank:
                return self._gone(culprit, call)
            return PeerError(f"rank {self.rank} came to {call} when rank {peer} had given it up", rank=self.rank)
        if not answer:
            return self._gone(peer, call)
        return ShapeError(
            f"the ranks are out of step: step {self._sequence} is {call} on rank {self.rank}, "
            f"and on rank {peer} step {answer.replace(' ', ' is ', 1)}",
            hint="every rank must call the same collectives in the same order, with equal shapes and dtypes",
        )

    def _gone(self, peer: int, call: str) -> PeerError:
        return PeerError(
            f"rank {self.rank} was at {call} when rank {peer} of {self.size} left: it died, failed or ended early",
            rank=peer,
            hint="look at that process's output; a process killed for lack of memory has none",
        )

    def _fail(self, error: PeerError | ShapeError) -> None:
        """Tell the others and leave, so that nobody waits for this rank; then raise."""
        culprit = error.rank if isinstance(error, PeerError) else self.rank
        self._failure = error if isinstance(error, PeerError) else PeerError(error.message, rank=self.rank)
        for link in self._links.values():
            with suppress(OSError):
                link.sendall(_message(f"{_ABORT}{culprit}"))
        self.close()
        raise error


def _reduce(arrays: Sequence[np.ndarray[Any, Any]], op: ReduceOp, *, out: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Reduce in the order of the arrays into `out`, which must not overlap them; returns it."""
    combine = np.maximum if op == "max" else np.add
    half = out.dtype.itemsize == 2 and out.dtype.kind not in "iu" and op != "max"  # float16, bfloat16
    first = arrays[0]
    total = first.astype(np.float32) if half else first
    # A loss on its way to infinity is the caller's to notice.
    with np.errstate(over="ignore", invalid="ignore"):
        for other in arrays[1:]:
            total = combine(total, other, out=out if total is first else total)
        if op == "mean":
            total /= len(arrays)
        if total is not out:
            out[...] = total
    return out


def _pieces(array: np.ndarray[Any, Any], limit: int) -> Generator[np.ndarray[Any, Any]]:
    """Views along the last axis, at most `limit` bytes of it each; one empty view of an empty array."""
    step = limit // array.itemsize
    for start in range(0, max(array.shape[-1], 1), step):
        yield array[..., start : start + step]


@contextmanager
def _in_place(array: Array) -> Generator[np.ndarray[Any, Any]]:
    """The elements in C order on the host; what becomes of them is written back, where they are not a view."""
    place = device_of(array)
    if place == CPU and not array.flags.writeable:
        raise ConfigError(f"this array is read-only and cannot be replaced: {_describe(array)}", hint="pass a copy")
    flat = CPU.put(array).reshape(-1)
    yield flat
    if place != CPU or not array.flags.c_contiguous:
        with place.active():
            array[...] = place.put(flat.reshape(array.shape))


def _describe(array: Array) -> str:
    return f"{array.dtype.name} {array.shape}"


def _message(text: str) -> bytes:
    return text.encode()[:_MESSAGE_BYTES].ljust(_MESSAGE_BYTES)

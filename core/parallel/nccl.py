"""`NcclCommunicator`: collectives between GPUs, by NVIDIA's NCCL through CuPy.

NCCL takes at most one rank per GPU. It works on the device's stream: a collective returns before it is done, and what
is queued after it on the same stream sees its result. It does not notice a peer that dies; whoever started the ranks
has to (`run_ranks` does).
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np

from ..device import Array, ArrayModule, Device, device, device_of
from ..errors import ConfigError, DeviceError, DTypeError
from .communicator import Communicator, ReduceOp, check_dtype, check_reduction, check_root, check_rows

# ncclDataType_t and ncclRedOp_t of nccl.h, which never change; CuPy's own table lacks bfloat16.
_BYTE = 1
_TYPES = {
    "int8": 0,
    "bool": 1,
    "uint8": 1,
    "int32": 2,
    "uint32": 3,
    "int64": 4,
    "uint64": 5,
    "float16": 6,
    "float32": 7,
    "float64": 8,
    "bfloat16": 9,
    "complex64": 7,
    "complex128": 8,
}
_OPS: dict[ReduceOp, int] = {"sum": 0, "max": 2, "mean": 4}
_WIDER = {"int16": "int32", "uint16": "uint32"}  # NCCL has no 16-bit integers; the lower bits of the sum are the same


class NcclCommunicator:
    """One GPU of a group, for CuPy arrays on that GPU. See `Communicator`; what NCCL does differently:

    Partial sums of float16 and bfloat16 are rounded, and the order of summation is NCCL's: the same bits on every rank,
    and in every run on the same machine. A maximum with NaN is undefined.

    Make one with `over` (one process for each GPU, connected by another communicator), `connect` (the same, the id
    handed over in any way), or `group` (one process with many GPUs, each used from a thread of its own).

    Args:
        nccl: CuPy's module for NCCL.
        handle: CuPy's communicator.
        rank: which member this is.
        size: how many there are.
        place: the GPU.
    """

    def __init__(self, nccl: Any, handle: Any, rank: int, size: int, place: Device) -> None:
        self.rank = rank
        self.size = size
        self.device = place
        self._nccl = nccl
        self._handle: Any = handle

    @classmethod
    def connect(cls, unique_id: bytes, rank: int, size: int, place: Device | str) -> NcclCommunicator:
        """Join a group; returns when all have joined.

        Args:
            unique_id: the same on every rank; from `unique_id()` on one of them.
            rank: which member this is, in [0, size).
            size: how many there are.
            place: this rank's GPU, which no other rank has.

        Raises:
            MissingExtraError: CuPy is not installed.
            DeviceError: the GPU or NCCL is not there, or NCCL refuses.
        """
        place = _gpu(place)
        nccl = _nccl()
        with place.active(), _explained(nccl, f"rank {rank} of {size} joins on {place}"):
            return cls(nccl, nccl.NcclCommunicator(size, unique_id, rank), rank, size, place)

    @classmethod
    def over(cls, host: Communicator, place: Device | str) -> NcclCommunicator:
        """Join the group that the ranks of `host` make on their GPUs; see `connect`."""
        identity = np.frombuffer(unique_id() if host.rank == 0 else bytes(128), np.uint8).copy()
        return cls.connect(host.broadcast(identity).tobytes(), host.rank, host.size, place)

    @classmethod
    def group(cls, devices: Sequence[int]) -> list[NcclCommunicator]:
        """All members of a group in this process, one for each GPU index; use each from a thread of its own.

        Raises:
            ConfigError: no device, or one twice.
            MissingExtraError, DeviceError: see `connect`.
        """
        if not devices or len(set(devices)) < len(devices):
            raise ConfigError(f"expected at least one GPU, and none twice, got {list(devices)}")
        places = [_gpu(f"cuda:{index}") for index in devices]
        nccl = _nccl()
        with _explained(nccl, f"a group on GPUs {list(devices)}"):
            handles = nccl.NcclCommunicator.initAll(list(devices))
        members = enumerate(zip(handles, places, strict=True))
        return [cls(nccl, handle, rank, len(places), place) for rank, (handle, place) in members]

    def all_reduce(self, array: Array, op: ReduceOp = "sum") -> Array:
        """Replace `array` on every rank by the sum, mean or maximum over the ranks."""
        check_reduction(array.dtype, op)
        with self._call("all_reduce", array) as (_, stream), _contiguous(array) as buffer:
            wide = _widened(buffer)
            pointer, (kind, count) = wide.data.ptr, _type_and_count(wide)
            self._handle.allReduce(pointer, pointer, count, kind, _OPS[op], stream)
            if wide is not buffer:
                buffer[...] = wide.astype(buffer.dtype)
        return array

    def broadcast(self, array: Array, root: int = 0) -> Array:
        """Replace `array` on every rank by that of rank `root`."""
        check_root(root, self.size)
        check_dtype(array.dtype)
        with self._call("broadcast", array) as (_, stream), _contiguous(array) as buffer:
            self._handle.broadcast(buffer.data.ptr, buffer.data.ptr, buffer.nbytes, _BYTE, root, stream)
        return array

    def all_gather(self, array: Array) -> Array:
        """A new array of shape (size, *array.shape) with every rank's `array`, in the order of the ranks."""
        check_dtype(array.dtype)
        with self._call("all_gather", array) as (xp, stream):
            source = array if array.flags.c_contiguous else array.copy(order="C")
            gathered = xp.empty((self.size, *array.shape), array.dtype)
            self._handle.allGather(source.data.ptr, gathered.data.ptr, source.nbytes, _BYTE, stream)
        return gathered

    def reduce_scatter(self, array: Array, op: ReduceOp = "sum") -> Array:
        """Reduce `array`, shape (size, ...), over the ranks; a new array with row `rank` of the result."""
        check_reduction(array.dtype, op)
        check_rows(array.shape, self.size)
        with self._call("reduce_scatter", array) as (xp, stream):
            rows = _widened(array if array.flags.c_contiguous else array.copy(order="C"))
            reduced = xp.empty(rows.shape[1:], rows.dtype)
            kind, count = _type_and_count(reduced)
            self._handle.reduceScatter(rows.data.ptr, reduced.data.ptr, count, kind, _OPS[op], stream)
            return reduced.astype(array.dtype, copy=False)

    def barrier(self) -> None:
        """Wait until every rank is here and this rank's stream has done what was queued before."""
        with self.device.active():
            self.all_reduce(self.device.xp.zeros(1, np.int32))
            self.device.synchronize()

    def close(self) -> None:
        """Leave the group. May be called again."""
        if self._handle is not None:
            self._handle.destroy()
        self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._handle is not None:
            self._handle.abort()  # unlike destroy, does not wait for collectives that may never end
            self._handle = None
        self.close()

    @contextmanager
    def _call(self, name: str, array: Array) -> Generator[tuple[ArrayModule, int]]:
        """The GPU's array module and current stream; NCCL's errors inside the block become ours."""
        if self._handle is None:
            raise DeviceError(f"{name}: this communicator is closed")
        if (place := device_of(array)) != self.device:
            raise DeviceError(
                f"{name}: this is the communicator of {self.device}, got an array on {place}",
                hint="move the array with Device.put, or use a ProcessCommunicator for arrays on the CPU",
            )
        xp = self.device.xp
        with self.device.active(), _explained(self._nccl, f"{name} of {array.dtype.name} {array.shape}"):
            yield xp, xp.cuda.get_current_stream().ptr


def unique_id() -> bytes:
    """What the ranks of a new group need to find each other, 128 bytes; see `NcclCommunicator.connect`."""
    return _nccl().get_unique_id()


def _gpu(place: Device | str) -> Device:
    place = device(place)
    if place.kind != "cuda":
        raise ConfigError(f"NCCL connects GPUs, got device {place}", hint="use a ProcessCommunicator on the CPU")
    return place


def _nccl() -> Any:
    """CuPy's module for NCCL.

    Raises:
        MissingExtraError: CuPy is not installed.
        DeviceError: there is no GPU, or no NCCL.
    """
    device("cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy warns of a missing library; we raise
        nccl = importlib.import_module("cupy.cuda.nccl")
    if not nccl.available:
        raise DeviceError("CuPy finds no NCCL", hint="pip install nvidia-nccl-cu13 (or -cu12, as CuPy's own name says)")
    return nccl


@contextmanager
def _explained(nccl: Any, what: str) -> Generator[None]:
    try:
        yield
    except nccl.NcclError as exc:
        raise DeviceError(
            f"NCCL: {what}: {exc}", hint="every rank needs a GPU of its own; NCCL_DEBUG=INFO tells more"
        ) from exc


@contextmanager
def _contiguous(array: Array) -> Generator[Array]:
    """The array, or a copy in C order that is written back."""
    buffer = array if array.flags.c_contiguous else array.copy(order="C")
    yield buffer
    if buffer is not array:
        array[...] = buffer


def _widened(array: Array) -> Array:
    wider = _WIDER.get(array.dtype.name)
    return array if wider is None else array.astype(wider)


def _type_and_count(array: Array) -> tuple[int, int]:
    if array.dtype.name not in _TYPES:
        raise DTypeError(f"NCCL has no reduction of dtype {array.dtype}", hint=f"it has {', '.join(_TYPES)}")
    return _TYPES[array.dtype.name], array.size * (2 if array.dtype.kind == "c" else 1)

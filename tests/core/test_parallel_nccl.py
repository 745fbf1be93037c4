"""The NCCL back end: the same laws, on a real GPU where there is one and on a stand-in for NCCL everywhere.

The stand-in takes what CuPy's binding takes, addresses and codes, and reads and writes the memory there.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from nasturtium.core import ConfigError, DeviceError, DTypeError, MissingExtraError, ShapeError, device
from nasturtium.core.parallel import (
    DataParallel,
    NcclCommunicator,
    ParallelTrainer,
    ProcessCommunicator,
    Rank,
    data_parallel,
    unique_id,
)
from nasturtium.core.train import Trainer

from .strict_cupy import StrictCupy, install
from .test_parallel import COMPLEX, DTYPES, FLOATS, ORDERS, SHAPES, check_laws
from .test_parallel_train import CONFIG, NETWORKS, assert_same_run, networks, rows_for, start

DTYPE_OF_CODE = [
    *("int8", "uint8", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"),
    ml_dtypes.bfloat16,
]


class NcclError(RuntimeError):
    """What CuPy raises."""


class Meeting:
    """Where the ranks of a group leave their arrays for each other."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.devices: dict[int, int] = {}
        self.given: list[Any] = [None] * size
        self.barrier = threading.Barrier(size, timeout=20)

    def exchange(self, rank: int, value: Any) -> list[Any]:
        self.given[rank] = value
        self.barrier.wait()
        everyone = list(self.given)
        self.barrier.wait()
        return everyone


def memory(address: int, count: int, code: int) -> np.ndarray:
    """The elements at an address, not copied."""
    dtype = np.dtype(DTYPE_OF_CODE[code])
    if count == 0:
        return np.empty(0, dtype)
    return np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(address), np.uint8).view(dtype)


class FakeHandle:
    """`cupy.cuda.nccl.NcclCommunicator`, with the binding's positional arguments."""

    meetings: dict[bytes, Meeting]
    xp: StrictCupy

    def __init__(self, size: int, unique_id: bytes, rank: int) -> None:
        if len(unique_id) != 128:
            raise ValueError(f"commId length {len(unique_id)} != 128.")
        self.join(self.meetings.setdefault(unique_id, Meeting(size)), rank, self.xp.current_device_id)

    def join(self, meeting: Meeting, rank: int, index: int) -> None:
        self.meeting, self.rank, self.index, self.end = meeting, rank, index, None
        if len(set(meeting.exchange(rank, index))) < meeting.size:
            raise NcclError("NCCL_ERROR_INVALID_USAGE: invalid usage")

    @classmethod
    def initAll(cls, devices: list[int]) -> list[FakeHandle]:
        assert isinstance(devices, list)
        meeting = Meeting(len(devices))
        handles = [cls.__new__(cls) for _ in devices]
        with ThreadPoolExecutor(len(devices)) as pool:
            list(pool.map(lambda rank: handles[rank].join(meeting, rank, devices[rank]), range(len(devices))))
        return handles

    def reduce(self, arrays: list[np.ndarray], op: int) -> np.ndarray:
        if op == 2:
            return np.maximum.reduce(arrays)
        dtype = arrays[0].dtype
        wide = [array.astype(np.float32) if dtype.itemsize == 2 else array for array in arrays]
        total = sum(wide[1:], wide[0].copy())
        return (total / len(arrays) if op == 4 else total).astype(dtype)

    def collect(self, pointer: int, count: int, code: int, stream: int) -> list[np.ndarray]:
        assert self.end is None
        assert self.xp.current_device_id == self.index
        assert stream == self.xp.cuda.get_current_stream().ptr
        return self.meeting.exchange(self.rank, memory(pointer, count, code).copy())

    def allReduce(self, send: int, receive: int, count: int, code: int, op: int, stream: int) -> None:
        memory(receive, count, code)[:] = self.reduce(self.collect(send, count, code, stream), op)

    def broadcast(self, send: int, receive: int, count: int, code: int, root: int, stream: int) -> None:
        memory(receive, count, code)[:] = self.collect(send, count, code, stream)[root]

    def allGather(self, send: int, receive: int, count: int, code: int, stream: int) -> None:
        memory(receive, count * self.meeting.size, code)[:] = np.concatenate(self.collect(send, count, code, stream))

    def reduceScatter(self, send: int, receive: int, count: int, code: int, op: int, stream: int) -> None:
        whole = self.reduce(self.collect(send, count * self.meeting.size, code, stream), op)
        memory(receive, count, code)[:] = whole.reshape(self.meeting.size, count)[self.rank]

    def destroy(self) -> None:
        assert self.end is None
        self.end = "destroyed"

    def abort(self) -> None:
        assert self.end is None
        self.end = "aborted"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictCupy]:
    """Three stand-in GPUs with a stand-in NCCL between them."""
    xp = install(monkeypatch, devices=3)
    handle = type("NcclCommunicator", (FakeHandle,), {"meetings": {}, "xp": xp})
    fake = SimpleNamespace(
        available=True, NcclError=NcclError, NcclCommunicator=handle, get_unique_id=lambda: os.urandom(128)
    )
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", fake)
    return xp


def in_threads(members: list[Any], function: Callable[[Any], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(members)) as pool:
        return [future.result() for future in [pool.submit(function, member) for member in members]]


def close_enough(got: np.ndarray, wanted: np.ndarray) -> None:
    """To the rounding of partial sums, whose order is NCCL's."""
    exact = np.complex128 if wanted.dtype.kind == "c" else np.float64
    tolerance = float(ml_dtypes.finfo(wanted.dtype).eps) * 4 if wanted.dtype in [*FLOATS, *COMPLEX] else 0
    np.testing.assert_allclose(got.astype(exact), wanted.astype(exact), rtol=tolerance, atol=tolerance)


def check_gpu_laws(member: NcclCommunicator, dtype: np.dtype, shape: tuple[int, ...], order: str = "C") -> None:
    def place(array: np.ndarray) -> Any:
        moved = member.device.put(array)
        if not array.flags.c_contiguous:  # a copy to the device need not keep the memory order
            with member.device.active():
                moved = member.device.xp.stack([moved, moved], axis=-1)[..., 0]
        return moved

    with member.device.active():
        check_laws(member, dtype, shape, order, place=place, host=device("cpu").put, same=close_enough)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [1, 3])
def test_gpus_of_one_process_keep_the_laws(gpus, size, dtype):
    members = NcclCommunicator.group(list(range(size)))
    assert [str(member.device) for member in members] == [f"cuda:{rank}" for rank in range(size)]
    for shape in SHAPES:
        for order in ORDERS:
            in_threads(members, lambda member, shape=shape, order=order: check_gpu_laws(member, dtype, shape, order))


def test_gpus_of_processes_meet_over_another_communicator(gpus):
    def run(host: ProcessCommunicator) -> int:
        with host, NcclCommunicator.over(host, f"cuda:{2 - host.rank}") as member:
            check_gpu_laws(member, np.dtype("float32"), (5, 3))
            return member.rank

    assert in_threads(ProcessCommunicator.group(3, timeout_s=20), run) == [0, 1, 2]


def test_two_ranks_on_one_gpu_are_refused(gpus):
    def run(host: ProcessCommunicator) -> None:
        with host:
            NcclCommunicator.over(host, "cuda:1")

    with pytest.raises(DeviceError, match=r"NCCL: rank . of 2 joins on cuda:1: .*invalid usage .*a GPU of its own"):
        in_threads(ProcessCommunicator.group(2, timeout_s=20), run)


def test_two_ranks_on_one_gpu_may_meet_on_the_host(gpus):
    """What NCCL refuses, a `ProcessCommunicator` does: it copies to the host and back."""

    def run(host: ProcessCommunicator) -> None:
        place = device("cuda:1")
        with host, place.active():
            for order in ORDERS:
                put, get = place.put, device("cpu").put
                check_laws(host, np.dtype("float32"), (5, 3), order, place=put, host=get)

    in_threads(ProcessCommunicator.group(2, timeout_s=20), run)


def test_an_error_aborts_and_a_normal_end_waits(gpus):
    first, second = NcclCommunicator.group([0]) + NcclCommunicator.group([1])
    handles = first._handle, second._handle
    with pytest.raises(KeyError), first:
        raise KeyError
    with second:
        pass
    second.close()
    assert [handle.end for handle in handles] == ["aborted", "destroyed"]
    with pytest.raises(DeviceError, match="all_reduce: this communicator is closed"):
        first.all_reduce(device("cuda:0").put(np.zeros(3)))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        pytest.param(("all_reduce", "cuda:1", np.zeros(3)), DeviceError, "communicator of cuda:0, .* cuda:1", id="gpu"),
        pytest.param(("all_reduce", "cpu", np.zeros(3)), DeviceError, "array on cpu .*ProcessCommunicator", id="host"),
        pytest.param(("all_reduce", "cuda:0", np.zeros(3, bool)), DTypeError, "sum .* bool", id="dtype"),
        pytest.param(("broadcast", "cuda:0", np.zeros(3), 1), ConfigError, r"root rank in \[0, 1\), got 1", id="root"),
        pytest.param(("reduce_scatter", "cuda:0", np.zeros((2, 3))), ShapeError, r"got \(2, 3\)", id="rows"),
    ],
)
def test_what_a_gpu_does_not_take_is_refused(gpus, call, error, match):
    name, place, array, *arguments = call
    [member] = NcclCommunicator.group([0])
    with member, pytest.raises(error, match=match):
        getattr(member, name)(device(place).put(array), *arguments)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        pytest.param(lambda: NcclCommunicator.group([]), ConfigError, "at least one GPU", id="none"),
        pytest.param(
            lambda: NcclCommunicator.group([0, 1, 0]), ConfigError, r"none twice, got \[0, 1, 0\]", id="twice"
        ),
        pytest.param(lambda: NcclCommunicator.group([7]), DeviceError, "cuda:7 is not there", id="absent"),
        pytest.param(
            lambda: NcclCommunicator.connect(bytes(128), 0, 1, "cpu"), ConfigError, "NCCL connects GPUs", id="cpu"
        ),
    ],
)
def test_a_group_that_cannot_be_is_refused(gpus, make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_a_missing_library_is_named(gpus, monkeypatch):
    monkeypatch.setattr(sys.modules["cupy.cuda.nccl"], "available", False)
    with pytest.raises(DeviceError, match=r"CuPy finds no NCCL .*nvidia-nccl"):
        unique_id()


def test_without_cupy_the_extra_is_named(monkeypatch):
    def missing() -> None:
        raise MissingExtraError("a CUDA device", "gpu")

    monkeypatch.setattr(sys.modules["nasturtium.core.device"], "_cupy", missing)
    with pytest.raises(MissingExtraError, match=r"nasturtium\[gpu\]"):
        NcclCommunicator.group([0])


# --- training ---


@networks
def test_gpus_train_as_one_process_on_the_cpu_does(gpus, spec):
    rows, validation = rows_for(spec, 50), rows_for(spec, 20, seed=1)
    alone = Trainer(*start(spec))
    alone.fit(*rows, validation)

    def one_rank(member: NcclCommunicator) -> Trainer:
        with member.device.active():
            trainer = ParallelTrainer(*start(spec), member, device=member.device)
            trainer.fit(*rows, validation)
            return trainer

    for trainer in in_threads(NcclCommunicator.group([0, 2]), one_rank):
        assert {str(tensor.device) for _, tensor in trainer.model.named_tensors()} == {str(trainer.device)}
        assert_same_run(trainer, alone)


@pytest.mark.parametrize(("devices", "meets"), [([0, 2], "nccl"), ([1, 1], "host")], ids=["two", "one-twice"])
def test_the_devices_decide_how_processes_meet(gpus, monkeypatch, devices, meets):
    """Run in threads: a process of its own would know nothing of the stand-in."""
    spec = NETWORKS["mlp-batch-norm-dropout"]
    rows = rows_for(spec, 50)
    alone = Trainer(*start(spec))
    alone.fit(*rows)
    joined: list[int] = []

    def in_place_of_processes(function: Any, size: int, *, settings: Any, arrays: Any, on_note: Any, **_: Any) -> Any:
        def one_rank(member: ProcessCommunicator) -> bytes:
            with member:
                return function(Rank(member, json.loads(json.dumps(settings)), arrays, lambda note: None))

        return in_threads(ProcessCommunicator.group(size, timeout_s=20), one_rank)

    over = NcclCommunicator.over
    monkeypatch.setattr(data_parallel, "run_ranks", in_place_of_processes)
    monkeypatch.setattr(NcclCommunicator, "over", lambda host, place: [joined.append(host.rank), over(host, place)][1])
    run = DataParallel(spec, CONFIG, devices=devices, seed=3)
    run.fit(*rows)
    assert_same_run(run.trainer, alone)
    assert sorted(joined) == ([0, 1] if meets == "nccl" else [])


# --- on a GPU ---


@pytest.mark.gpu
def test_a_real_gpu_keeps_the_laws():
    """One GPU is one rank: NCCL takes no second one."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed (extra: gpu)")
    if not cupy.is_available():
        pytest.skip("there is no CUDA device")
    with NcclCommunicator.connect(unique_id(), 0, 1, "cuda:0") as member:
        for dtype in DTYPES:
            for shape in SHAPES:
                for order in ORDERS:
                    check_gpu_laws(member, dtype, shape, order)


@pytest.mark.gpu
def test_all_real_gpus_keep_the_laws_together():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed (extra: gpu)")
    if not cupy.is_available() or (count := cupy.cuda.runtime.getDeviceCount()) < 2:
        pytest.skip("there are not two CUDA devices")
    members = NcclCommunicator.group(list(range(count)))
    for dtype in DTYPES:
        in_threads(members, lambda member, dtype=dtype: check_gpu_laws(member, dtype, (1000,)))

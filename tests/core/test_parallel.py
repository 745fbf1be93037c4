"""Collectives: the laws every communicator keeps, checked in threads over many arrays and in real processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, DeviceError, DTypeError, ShapeError
from nasturtium.core.errors import PeerError
from nasturtium.core.parallel import Communicator, ProcessCommunicator, Rank, SingleCommunicator, process, run_ranks
from nasturtium.core.parallel.memory import SharedMemory, unlinked_file

ml_dtypes = pytest.importorskip("ml_dtypes")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = [np.dtype(name) for name in ("float16", "float32", "float64")] + [BFLOAT16]
INTEGERS = [np.dtype(name) for name in ("int8", "int32", "int64", "uint8", "uint16", "uint64")]
COMPLEX = [np.dtype(name) for name in ("complex64", "complex128")]
DTYPES = [*FLOATS, *INTEGERS, *COMPLEX, np.dtype("bool")]
OPS = {
    "sum": [*FLOATS, *INTEGERS, *COMPLEX],
    "mean": [*FLOATS, *COMPLEX],
    "max": [*FLOATS, *INTEGERS, np.dtype("bool")],
}
SHAPES = [(), (1,), (0,), (7,), (3, 0, 2), (5, 3), (2, 3, 4), (1000,)]
ORDERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C": lambda array: np.array(array, order="C"),
    "F": lambda array: np.array(array, order="F"),
    "strided": lambda array: np.stack([array, array], axis=-1)[..., 0],
}


def draw(dtype: np.dtype, shape: tuple[int, ...], rank: int, seed: int = 0) -> np.ndarray:
    """What rank `rank` brings: every rank can draw everyone's."""
    rng = np.random.default_rng([seed, rank])
    if dtype.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    if dtype in FLOATS:
        return np.asarray(rng.standard_normal(shape)).astype(dtype)
    return np.asarray(rng.integers(0, 2 if dtype.kind == "b" else 100, shape)).astype(dtype)


def expected(arrays: Sequence[np.ndarray], op: str) -> np.ndarray:
    """The reduction in the order of the ranks, half precision in float32 and rounded once."""
    dtype = arrays[0].dtype
    if op == "max":
        return np.asarray(reduce(np.maximum, arrays))
    wide = [array.astype(np.float32) if dtype.itemsize == 2 and dtype in FLOATS else array for array in arrays]
    total = np.asarray(reduce(np.add, wide))
    return (total / len(arrays) if op == "mean" else total).astype(dtype)


def check_laws(
    communicator: Communicator,
    dtype: np.dtype,
    shape: tuple[int, ...],
    order: str = "C",
    *,
    seed: int = 0,
    place: Callable[[np.ndarray], Any] = lambda array: array,
    host: Callable[[Any], np.ndarray] = lambda array: array,
    same: Callable[[np.ndarray, np.ndarray], None] = np.testing.assert_array_equal,
) -> None:
    """Every collective, on what `draw` gives each rank, against the same computed here from everyone's arrays."""
    rank, size = communicator.rank, communicator.size
    everyone = [draw(dtype, shape, other, seed) for other in range(size)]
    rows = [draw(dtype, (size, *shape), other, seed + 1) for other in range(size)]

    def mine(arrays: Sequence[np.ndarray]) -> Any:
        return place(ORDERS[order](arrays[rank].copy()))

    def agrees(got: Any, wanted: np.ndarray) -> None:
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
        same(host(got), wanted)

    for op in (op for op, dtypes in OPS.items() if dtype in dtypes):
        array = mine(everyone)
        assert communicator.all_reduce(array, op) is array
        agrees(array, expected(everyone, op))
        agrees(communicator.reduce_scatter(mine(rows), op), np.asarray(expected(rows, op)[rank]))
        whole = communicator.all_reduce(mine(rows), op)
        agrees(communicator.all_gather(communicator.reduce_scatter(mine(rows), op)), host(whole))
    for root in range(size):
        array = mine(everyone)
        assert communicator.broadcast(array, root) is array
        agrees(array, everyone[root])
    array = mine(everyone)
    agrees(communicator.all_gather(array), np.stack(everyone))
    agrees(array, everyone[rank])
    communicator.barrier()


def in_threads(members: Sequence[ProcessCommunicator], function: Callable[[ProcessCommunicator], Any]) -> list[Any]:
    """The function on every member at once; one that fails leaves, as a process would."""

    def run(member: ProcessCommunicator) -> Any:
        with member:
            return function(member)

    with ThreadPoolExecutor(len(members)) as pool:
        return [future.result() for future in [pool.submit(run, member) for member in members]]


# --- the laws ---


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_group_of_one_keeps_the_laws(dtype):
    for shape in SHAPES:
        for order in ORDERS:
            check_laws(SingleCommunicator(), dtype, shape, order)


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 4),
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    order=st.sampled_from(sorted(ORDERS)),
    slot_lines=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_a_group_keeps_the_laws_in_pieces_of_any_size(size, dtype, shape, order, slot_lines, seed):
    members = ProcessCommunicator.group(size, slot_bytes=64 * size * slot_lines, timeout_s=20)
    in_threads(members, lambda member: check_laws(member, dtype, shape, order, seed=seed))


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("small", [0, 1 << 40], ids=["in-parts", "whole"])
def test_both_ways_to_reduce_keep_the_laws(monkeypatch, small, size):
    monkeypatch.setattr(process, "SMALL_BYTES", small)
    members = ProcessCommunicator.group(size, slot_bytes=1024, timeout_s=20)
    in_threads(
        members, lambda member: [check_laws(member, dtype, shape) for dtype in DTYPES for shape in ((), (0,), (333,))]
    )


def laws_in_a_process(rank: Rank) -> bytes:
    for dtype in DTYPES:
        for shape in ((), (0,), (5, 3)):
            check_laws(rank.communicator, dtype, shape, "strided")
    check_laws(rank.communicator, np.dtype("float32"), (700_000,))  # several pieces, reduced in parts
    return b"kept"


@pytest.mark.parametrize("size", [1, 2, 3])
def test_processes_keep_the_laws(size):
    assert run_ranks(laws_in_a_process, size, timeout_s=60) == [b"kept"] * size


def test_the_sum_has_the_same_bits_on_every_rank_and_in_every_run():
    """Whoever comes first: addition is not associative, so the order must not depend on time."""

    def total(member: ProcessCommunicator) -> bytes:
        time.sleep(0.001 * np.random.default_rng().random())
        array = draw(np.dtype("float32"), (50_000,), member.rank) * np.float32(10.0) ** (4 * member.rank)
        return member.all_reduce(array, "mean").tobytes()

    assert len({bits for _ in range(5) for bits in in_threads(ProcessCommunicator.group(4), total)}) == 1


@pytest.mark.parametrize("dtype", [np.dtype("float16"), BFLOAT16], ids=str)
def test_half_precision_is_summed_in_float32_and_rounded_once(dtype):
    """1 + eps/2 + eps/2 is 1 + eps, and 1 where each partial sum is rounded."""
    half_epsilon = float(ml_dtypes.finfo(dtype).eps) / 2
    members = ProcessCommunicator.group(3)
    values = [1.0, half_epsilon, half_epsilon]
    sums = in_threads(members, lambda member: member.all_reduce(np.full(4, values[member.rank], dtype)))
    for got in sums:
        np.testing.assert_array_equal(got, np.full(4, 1 + 2 * half_epsilon, dtype))


def test_infinities_pass_without_a_warning():
    values = [np.inf, -np.inf]
    sums = in_threads(
        ProcessCommunicator.group(2), lambda member: member.all_reduce(np.full(3, values[member.rank], np.float32))
    )
    assert np.isnan(sums).all()


def test_no_rank_passes_a_barrier_before_all_have_come():
    arrived: list[int] = []
    lock = threading.Lock()

    def seen_after(member: ProcessCommunicator) -> int:
        for _ in range(20):
            with lock:
                arrived.append(member.rank)
            member.barrier()
            count = len(arrived)
            member.barrier()
            assert count % 3 == 0
        return len(arrived)

    assert in_threads(ProcessCommunicator.group(3), seen_after) == [60, 60, 60]


# --- what is refused ---

X = np.zeros(3)


@pytest.mark.parametrize("kind", ["single", "process"])
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        pytest.param(("all_reduce", X, "product"), ConfigError, "sum, mean, max, got 'product'", id="op"),
        pytest.param(("all_reduce", X.astype(int), "mean"), DTypeError, "mean .* int64", id="int-mean"),
        pytest.param(("all_reduce", X.astype(bool)), DTypeError, "sum .* bool", id="bool-sum"),
        pytest.param(("all_reduce", X.astype(complex), "max"), DTypeError, "max .* complex128", id="complex-max"),
        pytest.param(("broadcast", np.array([None])), DTypeError, "numbers or booleans, got dtype object", id="object"),
        pytest.param(("all_gather", np.array(["a"])), DTypeError, "numbers or booleans", id="text"),
        pytest.param(("broadcast", X, 1), ConfigError, r"root rank in \[0, 1\), got 1", id="root"),
        pytest.param(("reduce_scatter", np.zeros((2, 3))), ShapeError, r"\(1, ...\), got \(2, 3\)", id="rows"),
        pytest.param(("reduce_scatter", np.zeros(())), ShapeError, r"got \(\)", id="no-rows"),
    ],
)
def test_what_no_group_takes_is_refused(kind, call, error, match):
    name, *arguments = call
    [member] = [SingleCommunicator()] if kind == "single" else ProcessCommunicator.group(1)
    with member, pytest.raises(error, match=match):
        getattr(member, name)(*arguments)


def test_a_read_only_array_is_not_replaced():
    array = np.zeros(3, np.float32)
    array.flags.writeable = False
    [member] = ProcessCommunicator.group(1)
    with member, pytest.raises(ConfigError, match=r"read-only .* float32 \(3,\)"):
        member.all_reduce(array)


@pytest.mark.parametrize(
    ("size", "options", "match"),
    [
        pytest.param(0, {}, "size >= 1", id="nobody"),
        pytest.param(3, {"slot_bytes": 100}, "slot_bytes >= 64", id="slots"),
        pytest.param(1, {"timeout_s": 0.0}, "timeout_s > 0, got 0", id="timeout"),
    ],
)
def test_a_group_out_of_range_is_refused(size, options, match):
    with pytest.raises(ConfigError, match=match):
        ProcessCommunicator.group(size, **options)


def test_more_memory_than_there_is_is_refused():
    with pytest.raises(DeviceError, match="cannot share"):
        ProcessCommunicator.group(2, slot_bytes=1 << 50)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not show what a descriptor is")
def test_shared_memory_has_no_name_that_could_stay_behind():
    """Nor has the file that other systems use in place of `memfd_create`."""
    memory = SharedMemory.allocate(100)
    file = SharedMemory(unlinked_file(100), 100)
    for shared in (memory, file):
        shared.view(0, (25,), np.int32)[...] = 7
        assert Path(f"/proc/self/fd/{shared.fd}").readlink().name.endswith("(deleted)")
        twin = shared.duplicate()
        shared.close()
        shared.close()
        assert (twin.view(0, (5, 5), np.int32) == 7).all()
        assert (shared.view(0, (5, 5), np.int32) == 7).all()
        twin.close()


# --- peers that are not in step ---

CALLS: dict[str, Callable[[ProcessCommunicator], Any]] = {
    "another-length": lambda c: c.all_reduce(np.zeros(3 + c.rank, np.float32)),
    "another-shape": lambda c: c.all_reduce(np.zeros((6, 1) if c.rank else (2, 3), np.float32)),
    "another-dtype": lambda c: c.all_reduce(np.zeros(3, [np.float32, np.float64][c.rank])),
    "another-op": lambda c: c.all_reduce(np.zeros(3), ["sum", "max"][c.rank]),
    "another-root": lambda c: c.broadcast(np.zeros(3), c.rank),
    "another-call": lambda c: c.barrier() if c.rank else c.all_gather(np.zeros(3)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_ranks_out_of_step_are_told_how(call):
    def message(member: ProcessCommunicator) -> str:
        with pytest.raises(ShapeError, match="the ranks are out of step") as caught:
            call(member)
        with pytest.raises(PeerError, match="out of step"):
            member.barrier()  # the group is of no use any more
        return str(caught.value)

    first, second = in_threads(ProcessCommunicator.group(2, timeout_s=20), message)
    assert "on rank 0" in first
    assert "on rank 1" in first
    assert first != second


def test_a_rank_that_does_not_come_is_named_when_the_time_is_up():
    late, member = ProcessCommunicator.group(2, timeout_s=0.05)
    with pytest.raises(PeerError, match=r"waited 0\.05 s at barrier, and these ranks did not come: 0") as caught:
        member.barrier()
    assert caught.value.rank == 0
    late.barrier()  # the other has been there
    with pytest.raises(PeerError, match="rank 0 came to barrier when rank 1 had given it up"):
        late.barrier()


@pytest.mark.parametrize("size", [2, 4])
def test_everyone_learns_which_rank_left(size):
    def culprit(member: ProcessCommunicator) -> int | None:
        member.barrier()
        if member.rank == 1:
            return None
        with pytest.raises(PeerError, match=rf"rank 1 of {size} left") as caught:
            member.all_reduce(np.zeros(10))
        return caught.value.rank

    got = in_threads(ProcessCommunicator.group(size, timeout_s=20), culprit)
    assert [rank for rank in got if rank is not None] == [1] * (size - 1)


def test_a_closed_communicator_says_so():
    first, second = ProcessCommunicator.group(2)
    first.close()
    first.close()
    with pytest.raises(PeerError, match="closed"):
        first.barrier()
    with pytest.raises(PeerError, match="rank 0 of 2 left"):
        second.barrier()

"""Programs and the team of threads that runs them."""

from __future__ import annotations

import ctypes
import gc
import os
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core.compiler.llvm import (
    BARRIER,
    Barrier,
    Engine,
    Kernel,
    KernelCache,
    Pointer,
    Pool,
    Program,
    Scalar,
    Slot,
    call,
    native_loop,
)
from nasturtium.core.compiler.llvm.cores import usable_threads
from nasturtium.core.errors import ConfigError

from .plain import COUNT, HAND_ON, LATE, SIGNAL, axpy
from .test_engine import run_python

several_cpus = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two CPUs"
)
posix = pytest.mark.skipif(os.name != "posix", reason="threads are POSIX's")


@pytest.fixture(scope="module")
def pool(kernel_cache: KernelCache) -> Iterator[Pool]:
    found = Pool(kernel_cache, 2)
    yield found
    found.close()


def test_values_pointers_and_scalars_reach_the_kernel(kernel_cache: KernelCache, pool: Pool):
    x, y = np.arange(24, dtype=np.float32), np.ones(24, np.float32)
    record = call(axpy(), y=Pointer("y"), x=Pointer("x", 4 * 4), a=Scalar("rate", -2), n=Scalar("batch", 5))
    program = Program([record, BARRIER, record], kernel_cache, pool)
    program.bind("y", y.ctypes.data)
    program.bind("x", x.ctypes.data)
    program.set("rate", 0.25)
    program.set("batch", 4)
    program.run()
    np.testing.assert_array_equal(y, np.where(np.arange(24) < 20, 1 - np.roll(x, -4), 1))
    program.set("batch", 2)
    program.bind("y", y.ctypes.data + 4 * 10)
    program.run()
    np.testing.assert_array_equal(y[:10], 1 - x[4:14])
    np.testing.assert_array_equal(y[10:20], 1 - x[14:24] - x[4:14])


def test_constants_stand_in_the_table(kernel_cache: KernelCache, pool: Pool):
    x, y = np.arange(5, dtype=np.float32), np.zeros(5, np.float32)
    Program([call(axpy(), y=y.ctypes.data, x=x.ctypes.data, a=3, n=5)], kernel_cache, pool).run()
    np.testing.assert_array_equal(y, 3 * x)


@given(items=st.integers(0, 40), threads=st.integers(1, 5), scale=st.floats(-8, 8, width=32))
@settings(max_examples=30, deadline=None)
def test_results_do_not_depend_on_the_number_of_threads(
    kernel_cache: KernelCache, pool: Pool, items: int, threads: int, scale: float
):
    x = np.linspace(-1, 1, 40, dtype=np.float32)
    results = []
    for nt in (1, threads):
        y = np.ones(41, np.float32)
        records = [call(axpy(), y=y.ctypes.data, x=x.ctypes.data, a=scale, n=items), BARRIER] * 3
        Program(records, kernel_cache, pool).run(threads=nt)
        results.append(y)
    np.testing.assert_array_equal(*results)
    assert (results[0][items:] == 1).all()


@posix
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_every_thread_takes_part_once(kernel_cache: KernelCache, pool: Pool, threads: int):
    counts = np.zeros(8, np.int64)
    program = Program([call(COUNT, threads=counts.ctypes.data)], kernel_cache, pool)
    for _ in range(50):
        program.run(threads=threads)
    assert counts.tolist() == [50 * threads] * threads + [0] * (8 - threads)


@posix
@pytest.mark.parametrize("threads", [2, 3])
def test_after_a_barrier_all_see_what_others_wrote(kernel_cache: KernelCache, pool: Pool, threads: int):
    values = np.zeros(201, np.int64)
    records = [each for turn in range(200) for each in (call(HAND_ON, values=values.ctypes.data, turn=turn), BARRIER)]
    program = Program(records, kernel_cache, pool)
    for _ in range(3):
        values[1:] = -1
        program.run(threads=threads)
        assert values.tolist() == list(range(201))


@posix
@pytest.mark.parametrize("threads", [2, 3])
def test_a_barrier_for_other_numbers_of_threads_is_one(kernel_cache: KernelCache, pool: Pool, threads: int):
    values = np.zeros(201, np.int64)
    barrier = Barrier(unless=threads + 1)
    records = [each for turn in range(200) for each in (call(HAND_ON, values=values.ctypes.data, turn=turn), barrier)]
    Program(records, kernel_cache, pool).run(threads=threads)
    assert values.tolist() == list(range(201))


@posix
def test_a_barrier_that_is_not_for_this_number_is_none(kernel_cache: KernelCache, pool: Pool):
    values = np.zeros(2, np.int64)
    first, second = (call(SIGNAL, values=values.ctypes.data, turn=turn) for turn in (0, 1))
    Program([first, Barrier(unless=2), second], kernel_cache, pool).run(threads=2)
    assert values.tolist() == [1, 1]


def test_a_small_run_may_follow_a_large_one_at_once(kernel_cache: KernelCache, pool: Pool):
    """Threads that do not take part may be late to notice, and must not take part in what comes next."""
    counts = np.zeros(8, np.int64)
    program = Program([call(COUNT, threads=counts.ctypes.data), BARRIER], kernel_cache, pool)
    expected = np.zeros(8, np.int64)
    for threads in [3, 2, 1, 2, 4, 2, 3, 1] * 20:
        program.run(threads=threads)
        expected[:threads] += threads
    assert counts.tolist() == expected.tolist()


def status(task: Path, field: str) -> str:
    """What Linux says of a thread."""
    return next(line.split()[1] for line in (task / "status").read_text().splitlines() if line.startswith(field))


@several_cpus
def test_workers_do_not_wake_where_the_caller_runs(kernel_cache: KernelCache):
    """From the start, and when they have slept; a job later they may go anywhere again. The caller always may."""
    tasks = Path("/proc/self/task")
    before, caller = set(tasks.iterdir()), tasks / str(threading.get_native_id())
    pool = Pool(kernel_cache, 2)
    x, y = np.ones(5, np.float32), np.zeros(5, np.float32)
    program = Program([call(axpy(), y=y.ctypes.data, x=x.ctypes.data, a=1, n=5)], kernel_cache, pool)
    everywhere = status(caller, "Cpus_allowed_list")
    program.run()
    (worker,) = set(tasks.iterdir()) - before
    assert status(worker, "Cpus_allowed_list") != everywhere

    def run_until(free: bool, *, asleep: bool) -> None:
        """On a busy machine workers may be late, and are sent away once more, or not any more for a while."""
        for _ in range(1000):
            while asleep and status(worker, "State") != "S":
                time.sleep(0.001)
            program.run()
            if (status(worker, "Cpus_allowed_list") == everywhere) == free:
                return
        pytest.fail(f"a worker never had {'all' if free else 'fewer'} CPUs")

    run_until(free=True, asleep=False)
    run_until(free=False, asleep=True)
    run_until(free=True, asleep=False)
    assert status(caller, "Cpus_allowed_list") == everywhere
    pool.close()


@several_cpus
def test_who_waits_in_vain_spins_less_and_less_often(kernel_cache: KernelCache):
    """Beside other work on the cores; short waits, and being told that there is work, make it spin again."""

    def spins() -> tuple[int, int]:
        """How long one is now, and how many sleeps are between two long ones."""
        now, _, _, pause, _ = (ctypes.c_int64 * 5).from_address(pool.addresses(0, 0)[1] + native_loop.BARRIER_SPINS)
        return now, pause

    def run_until(met: Callable[[], bool], program: Program) -> None:
        for _ in range(1000):
            program.run()
            if met():
                return
        pytest.fail(f"spins: {spins()}")

    pool = Pool(kernel_cache, 2)
    longest = spins()
    late = Program([call(LATE, turns=10_000_000), BARRIER] * 5, kernel_cache, pool)
    run_until(lambda: spins()[0] <= native_loop.FEWEST_SPINS, late)
    run_until(lambda: spins()[1] > native_loop.FIRST_PAUSE, late)
    pool.rouse()
    assert spins() == longest
    run_until(lambda: spins()[0] < longest[0], late)
    run_until(lambda: spins() == longest, Program([call(LATE, turns=1), BARRIER] * 50, kernel_cache, pool))
    pool.close()


def test_several_python_threads_run_programs(kernel_cache: KernelCache, pool: Pool):
    def train(y: np.ndarray) -> None:
        x = np.ones(100, np.float32)
        program = Program([call(axpy(), y=y.ctypes.data, x=x.ctypes.data, a=1, n=100)], kernel_cache, pool)
        for _ in range(50):
            program.run()

    outputs = [np.zeros(100, np.float32) for _ in range(4)]
    threads = [threading.Thread(target=train, args=(y,)) for y in outputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((y == 50).all() for y in outputs)


@posix
def test_every_record_is_timed(kernel_cache: KernelCache, pool: Pool):
    counts = np.zeros(8, np.int64)
    program = Program([call(COUNT, threads=counts.ctypes.data), BARRIER], kernel_cache, pool)
    for threads in (1, 2):
        took = program.time(threads=threads)
        assert took.shape == (2,)
        assert (took >= 0).all()
    assert counts.tolist() == [3, 2, 0, 0, 0, 0, 0, 0]


@posix
def test_denormal_numbers_are_flushed_where_asked_and_only_there(kernel_cache: KernelCache, pool: Pool):
    tiny = np.full(2, 1e-40, np.float32)
    y = np.zeros(2, np.float32)
    program = Program([call(axpy(), y=y.ctypes.data, x=tiny.ctypes.data, a=1, n=2)], kernel_cache, pool)
    for threads in (1, 2):
        y[:] = 0
        program.run(threads=threads)
        np.testing.assert_array_equal(y, tiny)
        program.run(threads=threads, flush=True)
        np.testing.assert_array_equal(y, [0, 0])
    assert tiny[0] * np.float32(1) == tiny[0]  # the caller's own arithmetic is what it was


def test_the_owner_of_a_buffer_lives_as_long_as_it_is_bound(kernel_cache: KernelCache, pool: Pool):
    program = Program([call(COUNT, threads=Pointer("counts"))], kernel_cache, pool)
    counts = np.zeros(8, np.int64)
    alive = weakref.ref(counts)
    program.bind("counts", counts.ctypes.data, counts)
    del counts
    program.run()
    assert alive() is not None
    program.bind("counts", 0)
    assert alive() is None


def test_what_is_not_bound_does_not_run(kernel_cache: KernelCache, pool: Pool):
    program = Program([call(axpy(), y=Pointer("y"), x=Pointer("x"), a=0, n=Scalar("n"))], kernel_cache, pool)
    program.bind("x", 0)
    with pytest.raises(ConfigError, match="not bound: n, y"):
        program.run()
    with pytest.raises(ConfigError, match=r"whole number, got 0\.5"):
        program.set("n", 0.5)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({"values": 0}, "without a value: .*turn", id="missing"),
        pytest.param({"values": 0, "turn": 0, "other": 0}, "no slots: .*other", id="foreign"),
        pytest.param({"values": Scalar("x"), "turn": 0}, "values is ptr", id="number-for-a-pointer"),
        pytest.param({"values": 0, "turn": 0.5}, "turn is i64", id="float-for-an-integer"),
        pytest.param({"values": 0, "turn": Pointer("x")}, "turn is i64", id="pointer-for-an-integer"),
    ],
)
def test_calls_are_checked(values: dict, says: str):
    with pytest.raises(ConfigError, match=says):
        call(HAND_ON, **values)


def test_a_name_is_a_buffer_or_a_number(kernel_cache: KernelCache, pool: Pool):
    with pytest.raises(ConfigError, match="both a buffer and a number: x"):
        Program([call(HAND_ON, values=Pointer("x"), turn=Scalar("x"))], kernel_cache, pool)


def test_a_kernel_of_many_slots_finds_each(kernel_cache: KernelCache, pool: Pool):
    last = 20
    kernel = Kernel(
        name="last",
        ir=f"""define void @last(ptr %args, i64 %tid, i64 %nt) nounwind {{
  %at = getelementptr i64, ptr %args, i64 {last}
  %to = load ptr, ptr %args
  %value = load i64, ptr %at
  store i64 %value, ptr %to
  ret void
}}""",
        slots=(Slot("to", "ptr"), *(Slot(f"s{n}", "i64") for n in range(1, last + 1))),
    )
    out = np.zeros(3, np.int64)
    records = [
        call(kernel, to=out.ctypes.data + 8 * each, **{f"s{n}": 100 * each + n for n in range(1, last + 1)})
        for each in range(3)
    ]
    Program(records, kernel_cache, pool).run(threads=1)
    assert out.tolist() == [20, 120, 220]


@posix
def test_a_closed_pool_runs_in_the_calling_thread(kernel_cache: KernelCache):
    pool = Pool(kernel_cache, 3)
    counts = np.zeros(8, np.int64)
    program = Program([call(COUNT, threads=counts.ctypes.data), BARRIER], kernel_cache, pool)
    program.run()
    pool.close()
    pool.close()
    program.run()
    assert counts.tolist() == [4, 3, 3, 0, 0, 0, 0, 0]


@posix
def test_a_pool_that_nobody_holds_takes_its_threads_along(kernel_cache: KernelCache):
    threads = Path("/proc/self/task")
    before = len(list(threads.iterdir())) if threads.exists() else 0
    for _ in range(3):
        Program([BARRIER], kernel_cache, Pool(kernel_cache, 3)).run()
    gc.collect()
    assert not threads.exists() or len(list(threads.iterdir())) <= before


@posix
def test_a_child_of_fork_starts_its_own_threads(kernel_cache: KernelCache, pool: Pool):
    counts = np.zeros(8, np.int64)
    program = Program([call(COUNT, threads=counts.ctypes.data), BARRIER], kernel_cache, pool)
    program.run(threads=3)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            program.run(threads=3)
            code = 0 if counts.tolist()[:4] == [6, 6, 6, 0] else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    program.run(threads=3)
    assert counts.tolist()[:4] == [6, 6, 6, 0]


PROGRAM = """
    import numpy as np, os, signal, sys, threading, time
    from nasturtium.core.compiler.llvm import BARRIER, Kernel, Program, Slot, call, default_cache, default_pool
    NOTHING = Kernel(name="nothing", ir="define void @nothing(ptr %a, i64 %t, i64 %n) {\\n ret void\\n}", slots=())
    program = Program([call(NOTHING), BARRIER] * 100, default_cache(), default_pool())
    program.run(threads=3)
"""


@posix
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(
            """
            def work():
                while True:
                    program.run(threads=2)
            for _ in range(2):
                threading.Thread(target=work, daemon=True).start()
            """,
            0,
            id="while-others-run",
        ),
        pytest.param(
            """
            signal.signal(signal.SIGINT, signal.default_int_handler)  # who was started with nohup ignores it
            try:
                threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
                while True:
                    program.run(threads=3)
            except KeyboardInterrupt:
                sys.exit(5)
            """,
            5,
            id="ctrl-c",
        ),
        pytest.param(
            """
            child = os.fork()
            program.run(threads=2)
            sys.exit(os.waitpid(child, 0)[1] if child else 0)
            """,
            0,
            id="parent-and-child",
        ),
    ],
)
def test_processes_end_cleanly(code: str, expected: int, llvm_engine: object):
    done = run_python(textwrap.dedent(PROGRAM) + textwrap.dedent(code))
    assert (done.returncode, done.stderr) == (expected, "")


@pytest.mark.parametrize(("asked", "expected"), [("1", 1), (" 7 ", 7), ("100000", 256)])
def test_the_variable_says_how_many_threads(monkeypatch: pytest.MonkeyPatch, asked: str, expected: int):
    monkeypatch.setenv("NASTURTIUM_NUM_THREADS", asked)
    assert usable_threads() == expected


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_threads_is_an_error(monkeypatch: pytest.MonkeyPatch, asked: str):
    monkeypatch.setenv("NASTURTIUM_NUM_THREADS", asked)
    with pytest.raises(ConfigError, match="NASTURTIUM_NUM_THREADS"):
        usable_threads()


def test_without_the_variable_threads_are_the_usable_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NASTURTIUM_NUM_THREADS", raising=False)
    assert 1 <= usable_threads() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("threads", [0, 257])
def test_a_pool_has_limits(kernel_cache: KernelCache, threads: int):
    with pytest.raises(ConfigError, match="1 to 256 threads"):
        Pool(kernel_cache, threads)


def test_code_lives_as_long_as_who_calls_it():
    engine = Engine()
    cache = KernelCache(engine)
    pool = Pool(cache, 2)
    counts = np.zeros(8, np.int64)
    program = Program([call(COUNT, threads=counts.ctypes.data), BARRIER], cache, pool)
    known = weakref.ref(engine)
    del engine, cache
    gc.collect()
    assert known() is not None
    program.run(threads=2)
    pool.close()
    del program, pool
    gc.collect()
    assert known() is None

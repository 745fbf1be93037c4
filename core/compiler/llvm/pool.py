"""`Pool`: native threads that run programs together, parked in native code between them.

Python starts, counts and ends them and never sees them otherwise: a run is one foreign call by the thread that asks for
it, which takes part as thread 0. On Linux, workers are kept off its core when they wake. They hold no lock of Python's,
take no signals, and are gone before the interpreter ends and while the process forks; the next run starts new ones. On
Windows there are none: programs run in the calling thread.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import signal
import sys
import threading
import time
import weakref
from typing import Any

from ...errors import ConfigError
from ...native import accelerate
from . import native_loop as layout
from .cache import KernelCache, default_cache
from .cores import MOST_THREADS, usable_threads

# Between two barriers of a step the others are late by microseconds, or by tenths of what a long launch takes; between
# two steps Python works for some tens of microseconds. Longer waits are somebody else's turn on the core. Waking a
# sleeper costs 5-50 us, and more in a virtual machine, which gives a core that sleeps back to its host.
BARRIER_SPIN_US = 1000
IDLE_SPIN_US = 200
EARLY_SPIN_US = 50  # before the caller looks whether somebody waits for its core

# pthread_create is asked for these; what a fault raises must stay deliverable, for `faulthandler`.
FAULTS = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS"}


class Pool:
    """A team of threads. Runs one program at a time: further callers wait for their turn.

    Args:
        cache: compiles the native loop.
        threads: of a run that asks for no other number, the calling one included; 1 to 256.

    Raises:
        ConfigError: `threads` is out of range.
    """

    def __init__(self, cache: KernelCache, threads: int) -> None:
        if not 1 <= threads <= MOST_THREADS:
            raise ConfigError(f"expected 1 to {MOST_THREADS} threads, got {threads}")
        self.threads = threads
        self._cache = cache  # in whose memory the code is that is called below
        target = cache.engine.target
        run, work, stop, pause, control = cache.functions(layout.loop_source(target), layout.FUNCTIONS)
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._address = run
        self._timed = ctypes.CFUNCTYPE(None, pointer, pointer, number, number, number, pointer)(run)
        self._work = work
        self._stop = ctypes.CFUNCTYPE(None, pointer)(stop)
        self._pauses_per_us = _measure(ctypes.CFUNCTYPE(None, number)(pause))
        read_control = ctypes.CFUNCTYPE(number)(control)
        self._controls = layout.CONTROL_WORDS.get(layout.family_of(target)) or (read_control(),) * 2
        self.lock = threading.Lock()  # held by whoever runs, and while the process forks
        self._libc: Any = ctypes.CDLL(None) if os.name == "posix" else None
        self.workers: list[ctypes.c_void_p] = []  # pthread_t, a number or a pointer; who holds the lock changes them
        self._spins: dict[int, int] = {}  # how often to look before sleeping, by its place in the team's memory
        self._closed = False
        self._new_team()
        _POOLS.add(self)

    def run(self, table: int, records: int, *, threads: int = 0, flush: bool = False, times: int | None = None) -> None:
        """Run the records at address `table`.

        Args:
            table: pairs (kernel, arguments); 0 for the kernel is a barrier. Belongs to this call until it returns.
            records: how many.
            threads: at most so many; 0 is the pool's number.
            flush: denormal numbers count as zero.
            times: address of records + 1 int64: nanoseconds of thread 0 at the start and after every record. Left
                alone on Windows, whose clock is another.
        """
        control = self._controls[flush]
        threads = min(threads or self.threads, MOST_THREADS)
        if self._libc is None:
            threads, times = 1, None
        if threads == 1:
            self._call(table, records, 1, control, times)
            return
        with self.lock:
            if len(self.workers) < threads - 1:
                self._start(threads - 1)
            self._call(table, records, min(threads, len(self.workers) + 1), control, times)

    def addresses(self, table: int, records: int) -> tuple[int, int, int, int, int]:
        """What the native loop is called with to run the records at address `table`, but for the number of threads."""
        return self._address, self._team, table, records, self._controls[False]

    def _call(self, table: int, records: int, threads: int, control: int, times: int | None) -> None:
        if accelerate is not None and times is None:
            accelerate.call(self._address, self._team, table, records, threads, control)
        else:
            self._timed(self._team, table, records, threads, control, times)

    def rouse(self) -> None:
        """Let threads wait awake again, as long as at first, before they sleep: there is work from now on."""
        for place, spins in self._spins.items():
            for word, value in (
                (layout.NOW, spins),
                (layout.LEFT, layout.FIRST_PAUSE),
                (layout.PAUSE, layout.FIRST_PAUSE),
            ):
                self._write(place + 8 * word, value)

    def close(self) -> None:
        """End the workers. Later runs use the calling thread alone."""
        with self.lock:
            self._closed = True
            self.end_workers()

    def __del__(self) -> None:
        if getattr(self, "workers", None):  # they stand in memory that is about to go
            self.close()

    def end_workers(self) -> None:
        """Where `lock` is held: nobody but the calling thread is left; the next run starts workers again."""
        if self.workers:
            self._stop(self._team)
        for worker in self.workers:
            self._libc.pthread_join(worker, None)
        self.workers.clear()

    def _new_team(self) -> None:
        """The block of memory that the threads share; its layout is the native loop's."""
        size = layout.WORKERS + layout.WORKER_BYTES * MOST_THREADS
        self._memory = ctypes.create_string_buffer(size + 128)
        start = ctypes.addressof(self._memory)
        self._team = start + -start % 128
        for place, spin_us in ((layout.BARRIER_SPINS, BARRIER_SPIN_US), (layout.IDLE_SPINS, IDLE_SPIN_US)):
            self._spins[place] = max(layout.FEWEST_SPINS, spin_us * self._pauses_per_us)
            self._write(place + 8 * layout.MOST, self._spins[place])
            self._write(place + 8 * layout.EARLY, EARLY_SPIN_US * self._pauses_per_us)
        self._write(layout.CREDIT, layout.MOST_CREDIT)
        self.rouse()
        if self._libc is None:
            return
        for place, name in (
            (layout.LOCK, "pthread_mutex_lock"),
            (layout.UNLOCK, "pthread_mutex_unlock"),
            (layout.WAIT, "pthread_cond_wait"),
            (layout.BROADCAST, "pthread_cond_broadcast"),
            (layout.CLOCK, "clock_gettime"),
        ):
            self._write(place, self._address_of(name))
        self._write(layout.CLOCK_ID, time.CLOCK_MONOTONIC)
        if sys.platform == "linux":  # elsewhere the system alone says where threads run
            for place, name in (
                (layout.CPU, "sched_getcpu"),
                (layout.ALLOWED, "sched_getaffinity"),
                (layout.ALLOW, "pthread_setaffinity_np"),
            ):
                self._write(place, self._address_of(name))
        self._libc.pthread_mutex_init(ctypes.c_void_p(self._team + layout.MUTEX), None)
        self._libc.pthread_cond_init(ctypes.c_void_p(self._team + layout.CONDITION), None)

    def _address_of(self, name: str) -> int:
        """Of a function of the C library."""
        return ctypes.cast(getattr(self._libc, name), ctypes.c_void_p).value or 0

    def _write(self, place: int, value: int) -> None:
        ctypes.c_int64.from_address(self._team + place).value = value

    def _start(self, workers: int) -> None:
        """More workers, up to that many; fewer where the system has no more."""
        if self._closed:
            return
        blocked = {each for each in signal.valid_signals() if getattr(each, "name", "") not in FAULTS}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        try:
            while len(self.workers) < workers:
                place = layout.WORKERS + layout.WORKER_BYTES * len(self.workers)
                job = ctypes.c_int64.from_address(self._team + layout.JOB).value
                for offset, value in ((0, self._team), (8, len(self.workers) + 1), (16, job)):
                    self._write(place + offset, value)
                made, argument = ctypes.c_void_p(), ctypes.c_void_p(self._team + place)
                if self._libc.pthread_create(ctypes.byref(made), None, ctypes.c_void_p(self._work), argument):
                    break
                self._write(place + 24, made.value or 0)
                self._write(layout.NEW, 1)
                self.workers.append(made)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@functools.cache
def default_pool() -> Pool:
    """The pool of this process, made at first use with `usable_threads()` threads.

    Raises:
        CompilerUnavailable, ConfigError: see `default_cache` and `usable_threads`.
    """
    return Pool(default_cache(), usable_threads())


def _measure(pause: Any) -> int:
    """How often the CPU pauses in a microsecond: 10 to 100 times, as the CPU takes it."""
    count, best = 2000, 1 << 62
    for _ in range(3):
        start = time.perf_counter_ns()
        pause(count)
        best = min(best, time.perf_counter_ns() - start)
    return max(1, count * 1000 // max(best, 1))


_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Before the interpreter takes apart what the workers stand in."""
    for pool in list(_POOLS):
        pool.close()


class _Forking(threading.local):
    """What this thread holds while it forks: other threads may make pools meanwhile."""

    pools: tuple[Pool, ...] = ()


_FORKING = _Forking()


def _before_fork() -> None:
    """A child has one thread: it must find no team in the middle of something, and no workers that are not there."""
    _FORKING.pools = tuple(_POOLS)
    for pool in _FORKING.pools:
        pool.lock.acquire()
        pool.end_workers()


def _after_fork() -> None:
    for pool in _FORKING.pools:
        pool.lock.release()
    _FORKING.pools = ()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)

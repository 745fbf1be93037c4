"""What a trial's process may use, what it has used, and what became of it. The limits are those of Linux; elsewhere
memory is not limited.

Memory is limited by RLIMIT_DATA, not RLIMIT_AS: it counts what a process writes to, so neither shared libraries, nor
rows that lie in mapped files, nor the address space that CUDA reserves use it up; and what exceeds it is refused where
it is asked for, which NumPy turns into a `MemoryError`.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .jobs import ERROR, OUT_OF_MEMORY, Outcome, OutcomeState

if sys.platform != "win32":
    import resource

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1
# A trial does not send itself these: somebody, or the kernel for lack of memory, ended the process.
_FROM_OUTSIDE = frozenset({"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"})
_NO_MEMORY = re.compile(r"MemoryError|bad_alloc|[Oo]ut of memory|[Mm]emory allocation|[Cc]annot allocate memory")


def end_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the one that started it dies (more exactly: the thread that did)."""
    if _LINUX:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def prepare_process() -> None:
    """Make a crash quick, and take what libraries take once, so that no trial is charged for it."""
    if sys.platform != "win32":
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    square = np.ones((64, 64), np.float32)
    np.matmul(square, square)  # OpenBLAS allocates its buffers at the first product, and ends the process if it cannot


class MemoryLimit:
    """Limits what this process takes above what it holds now."""

    def __init__(self) -> None:
        self._base = _status_bytes("VmData")

    def set(self, memory_bytes: int | None) -> None:
        """Limit memory; None limits it no more."""
        if sys.platform == "win32" or self._base is None:
            return
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limits = [hard] if memory_bytes is None else [hard, self._base + memory_bytes]
        soft = min((limit for limit in limits if limit != resource.RLIM_INFINITY), default=resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


class Meter:
    """Measures trials of this process, one after the other.

    Args:
        whole: charge the first for the start of the process, too, and each for what was done between them.
    """

    def __init__(self, *, whole: bool = False) -> None:
        self._whole = whole
        self._cpu = 0.0

    def start(self) -> None:
        """A trial begins."""
        self._began = time.monotonic()
        if not self._whole:
            self._cpu = _cpu_seconds()
        if _LINUX:
            with suppress(OSError):  # the peak of a process's memory begins anew
                Path("/proc/self/clear_refs").write_text("5")

    def charge(self, outcome: Outcome) -> Outcome:
        """The outcome with what it has cost."""
        cpu = _cpu_seconds()
        peak = _status_bytes("VmHWM")
        if peak is None and sys.platform != "win32":
            peak = max_rss_bytes(resource.getrusage(resource.RUSAGE_SELF))
        spent, self._cpu = cpu - self._cpu, cpu
        wall = time.monotonic() - self._began
        return replace(outcome, cpu_seconds=spent, peak_memory_bytes=peak, wall_seconds=wall)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended that gave no outcome.

    Attributes:
        code: as `subprocess` says it: negative for a signal.
        words: the last it wrote to stdout and stderr.
    """

    code: int
    words: str

    def verdict(self) -> tuple[OutcomeState, str]:
        """Failed by its own doing or lost by none, and the cause."""
        if self.code >= 0:
            return "failed", OUT_OF_MEMORY if _NO_MEMORY.search(self.words) else ERROR
        name = signal_name(-self.code)
        if name in _FROM_OUTSIDE:
            return "lost", f"killed (signal {-self.code})"
        # Native code that is refused memory often aborts.
        if _NO_MEMORY.search(self.words):
            return "failed", OUT_OF_MEMORY
        return "failed", f"signal {-self.code} ({name})"

    def describe(self) -> str:
        """What happened, and the last words."""
        how = f"was ended by {signal_name(-self.code)}" if self.code < 0 else f"ended with exit code {self.code}"
        return f"its process {how}" + (f"; its last words: {self.words}" if self.words else "")


def signal_name(number: int) -> str:
    """As in SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"  # a real-time signal


def peak_memory_of(pid: int) -> int | None:
    """The most memory that a running process has held, in bytes; None where nobody tells."""
    return _status_bytes("VmHWM", pid)


if sys.platform != "win32":

    def max_rss_bytes(usage: resource.struct_rusage) -> int:
        """The most memory that a process has held."""
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _cpu_seconds() -> float:
    """Of this process and of those that it started and waited for."""
    if sys.platform == "win32":
        return time.process_time()
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _status_bytes(field: str, pid: int | None = None) -> int | None:
    if not _LINUX:
        return None
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith(f"{field}:")), None)
    return None if found is None else int(found.split()[1]) * 1024

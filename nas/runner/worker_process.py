"""A worker process, seen from the broker: started, given a job, pressed when its time is over, examined when it died.

It is a fresh interpreter, as in `core.parallel`: no fork of a process with threads, no second import of the caller's
script. It has a process group of its own, so that Ctrl-C reaches the broker alone; what it writes to stdout and stderr
goes to a file, whose end explains a crash. It ends when the broker does, however that comes about: its socket closes,
and Linux kills it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import frames
from .jobs import TIME_LIMIT, Job, Outcome
from .limits import Exit, max_rss_bytes, peak_memory_of

GRACE_S = 2.0  # between SIGTERM and SIGKILL, and between the end of its socket and its own
START_S = 120.0  # for the evaluator to be made
MAX_LOG_BYTES = 1 << 20  # what a process wrote is forgotten above it when the next trial begins
LAST_WORDS = 1500  # bytes

_LIBRARIES = ("NASTURTIUM", "OPENBLAS", "OMP", "MKL")
_THREADS = (*(f"{library}_NUM_THREADS" for library in _LIBRARIES), "VECLIB_MAXIMUM_THREADS")
_CHILD = f"{__package__}.child"
# sys.path travels as an argument because it decides where our own package is found.
_BOOT = (
    f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {_CHILD} import main;"
    " main(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))"
)


@dataclass(frozen=True, slots=True)
class WorkerStarter:
    """Starts processes that make the same evaluator.

    Attributes:
        factory: the file that says how.
        threads: see `ProcessEngine`.
    """

    factory: Path
    threads: int

    def start(self) -> WorkerProcess:
        """A new process, which will say that it is ready.

        Raises:
            OSError: the system has no room for it.
        """
        ours, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile("a+b", buffering=0, dir=self.factory.parent) as log:
            path = json.dumps([str(entry) for entry in sys.path])
            try:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own code
                    [sys.executable, "-c", _BOOT, path, str(theirs.fileno()), str(self.factory), str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[theirs.fileno()],
                    process_group=0,
                    env={**dict.fromkeys(_THREADS, str(self.threads)), **os.environ},
                )
            except OSError:
                ours.close()
                raise
            return WorkerProcess(process, ours, os.fdopen(os.dup(log.fileno()), "a+b", buffering=0))


class WorkerProcess:
    """A started process.

    Attributes:
        connection: to it.
        inbox: what it says.
        job: what it trains or will train.
        started: when, by `time.monotonic`.
        ready: its evaluator is made.
        deadline: when to `press` it, by `time.monotonic`.
        excuse: why it could not make its evaluator, in its own words.
    """

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket, log: IO[bytes]) -> None:
        self._process = process
        self._log = log
        self._began = 0.0  # the job
        self._pressed = False
        self._cpu = 0.0  # seconds that earlier jobs were charged
        # The highest memory that the kernel reports of a process includes that of its parent at its start.
        self._floor = max_rss_bytes(resource.getrusage(resource.RUSAGE_SELF))
        self._peak: int | None = None
        self.connection = connection
        self.inbox = frames.Inbox(connection)
        self.job: Job | None = None
        self.started = time.monotonic()
        self.ready = False
        self.deadline: float | None = self.started + START_S
        self.excuse: str | None = None

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group."""
        return self._process.pid

    def take(self, job: Job) -> None:
        """Train a job, as soon as it is ready."""
        self.job = job
        if self.ready:
            self._send(job)

    def begin(self) -> None:
        """It is ready."""
        self.ready, self.deadline = True, None
        if self.job is not None:
            self._send(self.job)

    def rest(self, outcome: Outcome) -> None:
        """The job is done."""
        self.job, self.deadline = None, None
        self._cpu += outcome.cpu_seconds

    def press(self) -> None:
        """Its time is over: ask it to end, and the second time make it."""
        self._peak = peak_memory_of(self.pid)
        self._signal(signal.SIGKILL if self._pressed else signal.SIGTERM)
        self._pressed = True
        self.deadline = time.monotonic() + GRACE_S

    def kill(self) -> subprocess.Popen[bytes]:
        """End it and what it started at once; to be waited for."""
        self.connection.close()
        self._log.close()
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)
        return self._process

    def autopsy(self) -> tuple[Outcome | None, str]:
        """How its job ended with it, if it had one, and what happened. Its socket is at its end, so it is, or soon."""
        end, usage = self._wait()
        error = self.excuse or end.describe()
        state, cause = end.verdict()
        if self._pressed:
            state, cause = "failed", TIME_LIMIT
            error = f"it took longer than {self.job.limits.seconds if self.ready and self.job else START_S:g} s"
        if self.job is None:
            return None, error
        peak = max_rss_bytes(usage)
        outcome = Outcome(
            number=self.job.number,
            attempt=self.job.attempt,
            state=state,
            cause=cause,
            error=error,
            cpu_seconds=max(0.0, usage.ru_utime + usage.ru_stime - self._cpu),
            peak_memory_bytes=self._peak or (peak if peak > self._floor else None),
            wall_seconds=time.monotonic() - self._began,
        )
        return outcome, error

    def _send(self, job: Job) -> None:
        self._began = time.monotonic()
        if job.limits.seconds is not None:
            self.deadline = self._began + job.limits.seconds
        if os.fstat(self._log.fileno()).st_size > MAX_LOG_BYTES:
            self._log.truncate(0)
        with suppress(OSError):  # it has died: its end is heard of next
            frames.send(self.connection, frames.JOB, job.to_dict())

    def _wait(self) -> tuple[Exit, resource.struct_rusage]:
        until, cut_off = time.monotonic() + GRACE_S, False
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > until:  # it closed its socket and lives on
                cut_off = True
                self._signal(signal.SIGKILL)
            time.sleep(0.001)
        self._signal(signal.SIGKILL)  # what it started
        self._process.returncode = os.waitstatus_to_exitcode(status)
        code = 1 if cut_off else self._process.returncode  # then nobody else killed it
        size = os.fstat(self._log.fileno()).st_size
        words = os.pread(self._log.fileno(), LAST_WORDS, max(0, size - LAST_WORDS))
        return Exit(code, words.decode(errors="replace").strip()), usage

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            os.killpg(self.pid, number)

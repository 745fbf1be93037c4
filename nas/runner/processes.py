"""`ProcessEngine`: trials in processes of this machine, which may crash, hang, eat memory or be killed."""

from __future__ import annotations

import math
import selectors
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from subprocess import Popen

from ...core import ConfigError, NasturtiumError
from . import frames
from .handover import MakeEvaluator, pack
from .jobs import Job, Outcome, Progress
from .worker_process import WorkerProcess, WorkerStarter
from .workplace import Workplace

MAX_FAILED_STARTS = 3  # one after the other
GATHER_S = 0.003


class WorkerStartError(NasturtiumError, RuntimeError):
    """Worker processes cannot be started, or cannot make the evaluator: no trial can be trained here."""


class ProcessEngine:
    """Trains each trial in a process of its own. Used from one thread, whose end is that of the processes.

    By default a process trains one trial, so that none can harm the next; the next processes are started before they
    are needed, because that takes most of a second.

    Args:
        make_evaluator: called in each process; from the top level of a module, or a partial or object of such.
        workers: trials at a time, >= 1.
        persistent: a process trains one trial after the other until it crashes; for evaluators that cost little.
        threads: of the BLAS library in each process, where the environment does not say; it may decide the last bits of
            a result, so it does not follow from the machine.
    """

    def __init__(
        self, make_evaluator: MakeEvaluator, workers: int, *, persistent: bool = False, threads: int = 1
    ) -> None:
        if workers < 1 or threads < 1:
            raise ConfigError(f"expected workers >= 1 and threads >= 1, got {workers} and {threads}")
        packed = pack(make_evaluator)
        self._workplace = Workplace()
        factory = self._workplace.path / "factory"
        factory.write_bytes(packed)
        self._starter = WorkerStarter(factory, threads)
        self._slots = workers
        self._persistent = persistent
        self._ahead = 0 if persistent else (workers + 1) // 2  # trials rarely end all at once
        self._idle: list[WorkerProcess] = []
        self._busy: dict[tuple[int, int], WorkerProcess] = {}
        self._dying: list[Popen[bytes]] = []
        self._selector = selectors.DefaultSelector()
        self._failed_starts = 0
        self._failed_at = -math.inf  # the last of them
        self._fault: WorkerStartError | None = None
        self._hint = "look at what makes it"
        self._events: list[Progress | Outcome] = []

    @property
    def slots(self) -> int:
        """Trials at a time."""
        return self._slots

    @property
    def pids(self) -> Sequence[int]:
        """Ids of the processes that train or wait."""
        return [process.pid for process in self._all()]

    def adopt(self) -> Mapping[int, int]:
        """Nothing: what was in work here ended with its broker."""
        return {}

    def submit(self, job: Job) -> None:
        """Give the job to a process that waits, or to a new one."""
        if len(self._busy) >= self._slots:
            raise ConfigError(f"expected at most {self._slots} jobs at a time, got one more")
        ready = next((process for process in self._idle if process.ready), None)
        process = ready or (self._idle[0] if self._idle else self._start())
        if process in self._idle:
            self._idle.remove(process)
        self._busy[job.number, job.attempt] = process
        process.take(job)
        with suppress(WorkerStartError):  # what is started ahead can do without
            while len(self._idle) < self._ahead:
                self._idle.append(self._start())

    def wait(self, timeout: float | None) -> Sequence[Progress | Outcome]:
        """What has happened; see `Engine`.

        Raises:
            WorkerStartError: the evaluator cannot be made.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self._events and self._busy:
            if self._fault is not None:
                raise self._fault
            deadlines = [process.deadline for process in self._all() if process.deadline is not None]
            if until is not None:
                deadlines.append(until)
            patience = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
            for key, _ in self._selector.select(patience):
                self._hear(key.data)
            now = time.monotonic()
            for process in self._all():
                if process.deadline is not None and now >= process.deadline:
                    process.press()
            if until is not None and now >= until:
                break
        if self._persistent:
            self._gather()
        self._dying = [process for process in self._dying if process.poll() is None]
        events, self._events = self._events, []
        return events

    def recall(self) -> Sequence[tuple[int, int]]:
        """Nothing: every job has a process."""
        return ()

    def cancel(self, number: int, attempt: int) -> None:
        """Kill the process that trains a job."""
        process = self._busy.pop((number, attempt), None)
        if process is not None:
            self._dismiss(process)
        self._events = [event for event in self._events if (event.number, event.attempt) != (number, attempt)]

    def close(self) -> None:
        """Kill every process and remove what was written for them; doing it twice is harmless."""
        for process in self._all():
            self._dismiss(process)
        self._busy.clear()
        self._idle.clear()
        for dying in self._dying:
            dying.wait()
        self._selector.close()
        self._workplace.close()

    def _all(self) -> list[WorkerProcess]:
        return [*self._busy.values(), *self._idle]

    def _start(self) -> WorkerProcess:
        try:
            process = self._starter.start()
        except OSError as exc:
            raise WorkerStartError(
                f"the system has no room for another process: {exc}", hint="use fewer workers, or make room"
            ) from exc
        self._selector.register(process.connection, selectors.EVENT_READ, process)
        return process

    def _hear(self, process: WorkerProcess) -> None:
        alive = process.inbox.receive()
        for kind, said in process.inbox.messages():
            if kind == frames.READY:
                self._failed_starts = 0
                process.begin()
            elif kind == frames.PROGRESS:
                self._events.append(Progress.from_dict(said))
            elif kind == frames.OUTCOME:
                self._finish(process, Outcome.from_dict(said))
            else:
                process.excuse = str(said["error"])
                self._hint = said["hint"] or self._hint
        if not alive:
            self._bury(process)

    def _finish(self, process: WorkerProcess, outcome: Outcome) -> None:
        self._events.append(outcome)
        del self._busy[outcome.number, outcome.attempt]
        process.rest(outcome)
        if self._persistent:
            self._idle.append(process)
        else:
            self._dismiss(process)

    def _gather(self) -> None:
        """Wait a moment for results that are about to come, too: the broker writes eight as quickly as one."""
        while self._busy and (ready := self._selector.select(GATHER_S)):
            for key, _ in ready:
                self._hear(key.data)

    def _bury(self, process: WorkerProcess) -> None:
        """A process has ended by itself, or was made to."""
        job = process.job
        if job is not None:
            del self._busy[job.number, job.attempt]
        elif process in self._idle:
            self._idle.remove(process)
        outcome, error = process.autopsy()
        self._dismiss(process)
        if process.ready:
            if outcome is not None:
                self._events.append(outcome)
            return
        if process.started > self._failed_at:  # what ends several at once, such as a lack of memory, counts once
            self._failed_starts += 1
            self._failed_at = time.monotonic()
        if self._failed_starts >= MAX_FAILED_STARTS:
            self._fault = WorkerStartError(
                f"{MAX_FAILED_STARTS} worker processes in a row could not make the evaluator: {error}",
                hint=self._hint,
            )
        if job is not None:  # nothing of it was begun
            self.submit(job)

    def _dismiss(self, process: WorkerProcess) -> None:
        """Have no more to do with a process, however it is."""
        with suppress(KeyError):  # it was dismissed before
            self._selector.unregister(process.connection)
        self._dying.append(process.kill())

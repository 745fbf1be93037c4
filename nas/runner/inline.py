"""`InlineEngine`: trials in this process, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence

from ...core import ConfigError
from ..evaluate import Evaluator
from .climb import climb
from .jobs import Job, Limits, Outcome, Progress
from .limits import Meter


class InlineEngine:
    """Trains in the caller's thread, inside `wait`. An error costs one trial; a crash or a limit needs processes.

    Args:
        evaluator: trains.
        slots: jobs that are taken at a time, >= 1; they are trained one after the other.
    """

    def __init__(self, evaluator: Evaluator, *, slots: int = 1) -> None:
        if slots < 1:
            raise ConfigError(f"expected slots >= 1, got {slots}")
        self._evaluator = evaluator
        self._slots = slots
        self._waiting: deque[Job] = deque()
        self._running: Generator[Progress | Outcome] | None = None
        self._job: Job | None = None  # that runs
        self._meter = Meter()

    @property
    def slots(self) -> int:
        """Jobs that are taken at a time."""
        return self._slots

    def adopt(self) -> Mapping[int, int]:
        """Nothing: what was in work here ended with its process."""
        return {}

    def submit(self, job: Job) -> None:
        """Take a job.

        Raises:
            ConfigError: it has limits, which cannot be kept here.
        """
        if job.limits != Limits():
            raise ConfigError(
                f"limits cannot be kept in this process, got {job.limits}", hint="train in worker processes"
            )
        self._waiting.append(job)

    def wait(self, timeout: float | None) -> Sequence[Progress | Outcome]:
        """Train to the end of the next budget, however long that takes."""
        if self._running is None:
            if not self._waiting:
                return []
            self._job = self._waiting.popleft()
            self._running = climb(self._evaluator, self._job)
            self._meter.start()
        event = next(self._running)
        if isinstance(event, Outcome):
            self._job = self._running = None
            event = self._meter.charge(event)
        return [event]

    def recall(self) -> Sequence[tuple[int, int]]:
        """Nothing: what waits here comes to its turn."""
        return ()

    def cancel(self, number: int, attempt: int) -> None:
        """Forget a job."""
        self._waiting = deque(job for job in self._waiting if (job.number, job.attempt) != (number, attempt))
        if self._job is not None and (self._job.number, self._job.attempt) == (number, attempt):
            self._job = self._running = None

    def close(self) -> None:
        """Forget what was not finished."""
        self._waiting.clear()
        self._job = self._running = None

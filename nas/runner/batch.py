"""`BatchEngine`: trials in this process, several side by side, for evaluators that do better with many at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from ...core import Budget, ConfigError, Evaluation
from ..costs import costs
from ..evaluate import BatchEvaluator
from .climb import ascend
from .jobs import Job, Limits, Outcome, Progress


@dataclass(slots=True)
class _Climb:
    """A job at work."""

    job: Job
    steps: Generator[Budget | Progress | Outcome, Evaluation | None]
    began: float
    cpu_seconds: float = 0.0


class BatchEngine:
    """Has a `BatchEvaluator` train, in the caller's thread, inside `wait`.

    What it does not tell of a candidate's costs is worked out here, from the specification. Its processor time is
    shared out evenly over the jobs in work.

    Args:
        evaluator: trains; stays the caller's.
        slots: jobs that are evaluated side by side, >= 1.
        clock, cpu_clock: seconds, by the wall and of this process.
    """

    def __init__(
        self,
        evaluator: BatchEvaluator,
        *,
        slots: int = 1,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        if slots < 1:
            raise ConfigError(f"expected slots >= 1, got {slots}")
        self._evaluator = evaluator
        self._slots = slots
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._climbs: dict[str, _Climb] = {}  # by the id of the candidate

    @property
    def slots(self) -> int:
        """Jobs that are evaluated side by side."""
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
                f"limits of single trials cannot be kept where they are trained together, got {job.limits}",
                hint="leave them out",
            )
        climb = self._climbs[job.candidate.id] = _Climb(job, ascend(job), self._clock())
        first = next(climb.steps)
        assert isinstance(first, Budget)
        self._evaluator.submit(job.candidate, first)

    def wait(self, timeout: float | None) -> Sequence[Progress | Outcome]:
        """Work until an evaluation is done, however long that takes."""
        if not self._climbs:
            return []
        before = self._cpu_clock()
        done = self._evaluator.wait()
        spent = (self._cpu_clock() - before) / len(self._climbs)
        for climb in self._climbs.values():
            climb.cpu_seconds += spent
        events: list[Progress | Outcome] = []
        for uid, result in done:
            climb = self._climbs.get(uid)
            if climb is not None:
                events += self._go_on(climb, result)
        return events

    def recall(self) -> Sequence[tuple[int, int]]:
        """Nothing: what waits here comes to its turn."""
        return ()

    def cancel(self, number: int, attempt: int) -> None:
        """Forget a job."""
        for uid, climb in list(self._climbs.items()):
            if (climb.job.number, climb.job.attempt) == (number, attempt):
                self._drop(uid)

    def close(self) -> None:
        """Forget what was not finished."""
        for uid in list(self._climbs):
            self._drop(uid)

    def _go_on(self, climb: _Climb, result: Evaluation | Exception) -> Generator[Progress | Outcome]:
        """Answer a job's last question: what it says until it has another one."""
        candidate = climb.job.candidate
        if isinstance(result, Exception):
            event = climb.steps.throw(result)
        else:
            if not result.diverged:
                known = costs(candidate.spec).figures() | dict(result.objectives)
                result = replace(result, objectives=known)
            event = climb.steps.send(result)
        while not isinstance(event, Budget):
            if isinstance(event, Outcome):
                wall = self._clock() - climb.began
                yield replace(event, cpu_seconds=climb.cpu_seconds, wall_seconds=wall)
                self._drop(candidate.id)
                return
            yield event
            event = next(climb.steps)
        self._evaluator.submit(candidate, event)

    def _drop(self, uid: str) -> None:
        self._climbs.pop(uid).steps.close()
        self._evaluator.forget(uid)

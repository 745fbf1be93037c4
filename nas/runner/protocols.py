"""What the broker asks of those it works with: who proposes, who trains, and who remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ...core import Candidate

if TYPE_CHECKING:  # a worker process has no use for what proposes, and starts quicker without it
    from ..space import Flat
    from ..strategies import Observation
    from ..strategies.observation import State
    from .jobs import Job, Outcome, Progress


class Proposal(Protocol):
    """A point to try, under the number of its trial."""

    @property
    def number(self) -> int:
        """From 0."""
        ...

    @property
    def flat(self) -> Flat:
        """The point."""
        ...


class Proposer(Protocol):
    """Proposes points; what it proposes depends on its seed, the calls so far and nothing else."""

    def ask(self) -> Proposal:
        """The next point, unlike all before; raises `SpaceUsedUpError` where there is none."""
        ...

    def tell(
        self, number: int, values: Sequence[float] | None, state: State, violation: float = 0.0, steps: int = 1
    ) -> None:
        """How a trial ended, after so many budgets; called in order of number."""
        ...

    def restore(self, flats: Sequence[Flat], outcomes: Sequence[Observation], *, workers: int = 1) -> None:
        """Take the proposals and results of an earlier process for one's own."""
        ...


class Engine(Protocol):
    """Trains jobs, several at a time, and never lets one of them take the search down with it."""

    @property
    def slots(self) -> int:
        """How many jobs it works on at a time."""
        ...

    def adopt(self) -> Mapping[int, int]:
        """Jobs that an earlier broker of the search submitted and that are still in work: number -> attempt."""
        ...

    def submit(self, job: Job) -> None:
        """Begin a job; at most `slots` are in work at a time."""
        ...

    def wait(self, timeout: float | None) -> Sequence[Progress | Outcome]:
        """What has happened since the last call, as soon as anything has, or nothing after `timeout` seconds.

        Every job gives one outcome, whatever becomes of it.
        """
        ...

    def recall(self) -> Sequence[tuple[int, int]]:
        """Take back the jobs that wait for workers elsewhere, who may never come: their numbers and attempts. They give
        no outcome any more.
        """
        ...

    def cancel(self, number: int, attempt: int) -> None:
        """End a job at once, wherever it is; it gives no outcome any more."""
        ...

    def close(self) -> None:
        """End everything; nothing outlives it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A trial that is begun, for the first time or again.

    Attributes:
        number: of the trial.
        flat: its point.
        seed: of its training; the same in all attempts.
    """

    number: int
    flat: Flat
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTrial:
    """A trial that an earlier broker began.

    Attributes:
        flat: its point.
        attempt: the number of its last attempt.
        outcome: how it ended; None if it did not.
    """

    flat: Flat
    attempt: int
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is known of a search when a broker begins.

    Attributes:
        trials: by number.
        cpu_seconds: used by all attempts at them.
        wall_seconds: for which brokers were at it.
    """

    trials: Sequence[PastTrial] = ()
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


class Store(Protocol):
    """The search's record: what is in it survives the broker."""

    def restore(self) -> Past:
        """What is there, when the broker begins."""
        ...

    def record(self, outcomes: Sequence[Outcome], attempts: Sequence[Attempt]) -> Mapping[int, Candidate]:
        """Write how attempts ended and which others begin, in ONE transaction: all of it survives, or nothing.

        Returns:
            What to train, by the number of the trial.
        """
        ...

    def log(self, progress: Progress) -> None:
        """Add to a running trial's curves; the last of it may be lost if the process is killed."""
        ...

    def stop_requested(self) -> bool:
        """Whether somebody asked the search to stop; asked every second, so it must not take long."""
        ...

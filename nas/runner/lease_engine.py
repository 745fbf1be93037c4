"""`LeaseEngine`: trials that workers on any machine take from the database; see `worker` for their side.

Only JSON travels, in rows of the search: a worker needs the database, and the data set it trains on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from ...core import ConfigError, FormatError
from ...storage import Database, Leases
from .jobs import EXPIRED, UNREADABLE, Job, Outcome, Progress

logger = logging.getLogger(__name__)

POLL_S: Final = 0.2  # between looks for reports
EXPIRE_S: Final = 5.0  # between looks for workers that died
BROKER: Final = "the broker"  # as a worker, of what it takes back
RECALL_S: Final = 60.0  # for which that is nobody else's, should it die before it says so


class LeaseEngine:
    """Offers jobs and collects what workers report. What is on offer or in work outlives the broker, and is taken over
    by the next one.

    Workers log the curves of their trials themselves, so `wait` tells of outcomes alone.

    Args:
        database: stays the caller's.
        search_uid: the search.
        slots: jobs on offer or in work at a time, >= 1; it does not follow from how many workers there are.
    """

    def __init__(self, database: Database, search_uid: str, *, slots: int) -> None:
        if slots < 1:
            raise ConfigError(f"expected slots >= 1, got {slots}")
        self._leases = Leases(database, search_uid)
        self._slots = slots
        self._offers: list[Job] = []
        self._working: dict[int, int] = {}  # number -> attempt
        self._looked = 0.0  # for workers that died

    @property
    def slots(self) -> int:
        """Jobs on offer or in work at a time."""
        return self._slots

    def adopt(self) -> Mapping[int, int]:
        """What an earlier broker offered and nobody gave up."""
        flights = self._leases.in_flight()
        self._working = {flight.number: flight.attempt for flight in flights if flight.state != "lost"}
        return dict(self._working)

    def submit(self, job: Job) -> None:
        """Offer a job."""
        self._offers.append(job)
        self._working[job.number] = job.attempt

    def wait(self, timeout: float | None) -> Sequence[Progress | Outcome]:
        """What workers have reported, and what is lost because they said nothing any more."""
        if self._offers:
            self._leases.offer({job.number: job.to_dict() for job in self._offers})
            self._offers.clear()
        until = None if timeout is None else time.monotonic() + timeout
        while self._working:
            outcomes = [*self._reports(), *self._expired()]
            left = POLL_S if until is None else until - time.monotonic()
            if outcomes or left <= 0:
                return outcomes
            time.sleep(min(left, POLL_S))
        return []

    def recall(self) -> Sequence[tuple[int, int]]:
        """What no worker has taken: it is taken here, so that none does any more."""
        recalled = [(job.number, job.attempt) for job in self._offers]
        self._offers.clear()
        while (lease := self._leases.claim(BROKER, RECALL_S)) is not None:
            recalled.append((lease.number, lease.attempt))
        for number, _ in recalled:
            self._working.pop(number, None)
        return recalled

    def cancel(self, number: int, attempt: int) -> None:
        """Forget a job: its lease goes when its end is recorded, and its worker hears of it when it next asks."""
        if self._working.get(number) == attempt:
            del self._working[number]
            self._offers = [job for job in self._offers if job.number != number]

    def close(self) -> None:
        """Nothing to do: what is in work goes on, for the next broker."""

    def _reports(self) -> list[Outcome]:
        found: list[Outcome] = []
        for report in self._leases.take_reports():
            if self._working.get(report.number) != report.attempt:
                continue
            del self._working[report.number]
            try:
                outcome = Outcome.from_dict(report.report)
            except FormatError as exc:
                logger.warning("worker %s, trial %d: %s", report.worker, report.number, exc.message)
                outcome = Outcome(number=0, attempt=1, state="lost", cause=UNREADABLE, error=exc.message)
            found.append(replace(outcome, number=report.number, attempt=report.attempt))
        return found

    def _expired(self) -> list[Outcome]:
        now = time.monotonic()
        if now - self._looked < EXPIRE_S:
            return []
        self._looked = now
        lost = [number for number in self._leases.expire() if number in self._working]
        error = "its worker has not been heard of any more"
        return [
            Outcome(number=number, attempt=self._working.pop(number), state="lost", cause=EXPIRED, error=error)
            for number in lost
        ]

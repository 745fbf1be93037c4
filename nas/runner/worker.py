"""A worker: takes trials of a search from the database, trains them in processes of this machine, and reports.

Its trials are limited, measured and judged as the broker's own would be. A worker that dies is missed when its lease
runs out; one that is asked to end gives its trials back at once.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from ...core import FormatError
from ...storage import (
    Database,
    DatabaseLockedError,
    DatabaseUnreachableError,
    History,
    LeaseLostError,
    LeaseRecord,
    Leases,
    StorageError,
    Tracker,
)
from .jobs import GIVEN_BACK, Job, Outcome, Progress
from .protocols import Engine

logger = logging.getLogger(__name__)

TTL_S: Final = 60.0  # of a lease; a third of it passes between renewals
POLL_S: Final = 0.5  # between looks for a trial
PATIENCE_S: Final = 60.0  # for a broker that was killed to come back

WorkerEvent = LeaseRecord | Progress | Outcome  # a trial taken, on its way, reported


def run_worker(
    database: Database,
    search_uid: str,
    engine: Engine,
    *,
    observe: Callable[[WorkerEvent], None] = lambda event: None,
    ttl_seconds: float = TTL_S,
    patience_seconds: float = PATIENCE_S,
) -> int:
    """Train trials of a search until it has ended, or this process is asked to end by SIGTERM.

    Args:
        database: the search's; stays the caller's.
        search_uid: the search.
        engine: trains here, as many trials at a time as it has slots, in other processes: leases are renewed between
            its events. Stays the caller's, who closes it.
        observe: called with what happens, in this thread.
        ttl_seconds: how long a trial is this worker's without a word.
        patience_seconds: how long to wait for trials of a search that nobody runs just now.

    Returns:
        How many trials were reported.

    Raises:
        UnknownRunError: there is no such search.
        FormatError: its jobs are not those of this version.
    """
    with Tracker(database) as tracker, _until_told() as told:
        worker = _Worker(database, search_uid, engine, tracker, observe, ttl_seconds)
        try:
            idle_since = time.monotonic()
            while not told.is_set():
                try:
                    worker.turn()
                    state = "running" if worker.at_work else History(database).find(search_uid).state
                except (DatabaseLockedError, DatabaseUnreachableError) as exc:
                    logger.warning("the database does not answer, trying again: %s", exc.message)
                    state = "running"
                if state == "running":
                    idle_since = time.monotonic()
                elif state == "completed" or time.monotonic() - idle_since > patience_seconds:
                    break
                if not worker.at_work:
                    told.wait(POLL_S)
        finally:
            worker.give_back()
        return worker.reported


class _Worker:
    """What a worker has in hand."""

    def __init__(
        self,
        database: Database,
        search_uid: str,
        engine: Engine,
        tracker: Tracker,
        observe: Callable[[WorkerEvent], None],
        ttl_seconds: float,
    ) -> None:
        self._leases = Leases(database, search_uid)
        self._engine = engine
        self._tracker = tracker
        self._observe = observe
        self._ttl = ttl_seconds
        self._name = f"{platform.node()}/{os.getpid()}"
        self._held: dict[tuple[int, int], LeaseRecord] = {}
        self._done: list[Outcome] = []  # to be reported
        self._renewed = time.monotonic()
        self.reported = 0

    @property
    def at_work(self) -> bool:
        """Whether there is something to train or to report."""
        return bool(self._held)

    def turn(self) -> None:
        """Take what there is to train, report what is done, and say that the rest is in work."""
        while len(self._held) < self._engine.slots and self._claim():
            pass
        for event in self._engine.wait(POLL_S):
            if isinstance(event, Outcome):
                self._done.append(event)
            else:
                self._log(event)
        while self._done:
            self._report(self._done[0])
            del self._done[0]
        if time.monotonic() - self._renewed > self._ttl / 3:
            self._renew()

    def give_back(self) -> None:
        """Report what is trained to its end, and give back the rest."""
        done = {(outcome.number, outcome.attempt): outcome for outcome in self._done}
        for number, attempt in list(self._held):
            self._engine.cancel(number, attempt)
            given_back = Outcome(number=number, attempt=attempt, state="lost", cause=GIVEN_BACK)
            try:
                self._report(done.get((number, attempt), given_back))
            except StorageError as exc:
                logger.warning("trial %d could not be given back, its lease will run out: %s", number, exc.message)

    def _claim(self) -> bool:
        lease = self._leases.claim(self._name, self._ttl)
        if lease is None:
            return False
        self._held[lease.number, lease.attempt] = lease
        job = Job.from_dict(lease.job)
        if (job.number, job.attempt) != (lease.number, lease.attempt):
            raise FormatError(
                f"the lease of trial {lease.number}, attempt {lease.attempt}, has the job of trial {job.number}, "
                f"attempt {job.attempt}",
                hint="resume the search, which offers its trials again",
            )
        self._engine.submit(job)
        self._observe(lease)
        return True

    def _log(self, progress: Progress) -> None:
        lease = self._held[progress.number, progress.attempt]
        steps: dict[int, dict[str, float]] = {}
        for name, curve in progress.curves.items():
            for step, value in curve.items():
                steps.setdefault(step, {})[name] = value
        for step, figures in sorted(steps.items()):
            self._tracker.log(lease.trial, figures, step=step)
        self._observe(progress)

    def _report(self, outcome: Outcome) -> None:
        lease = self._held.get((outcome.number, outcome.attempt))
        if lease is None:
            return  # it was lost meanwhile
        self._tracker.flush()  # points that came later would count as the trial's last figures
        try:
            self._leases.report(lease, outcome.to_dict())
        except LeaseLostError as exc:
            logger.warning("%s", exc.message)
        else:
            self.reported += outcome.cause != GIVEN_BACK
            self._observe(outcome)
        del self._held[outcome.number, outcome.attempt]

    def _renew(self) -> None:
        for (number, attempt), lease in list(self._held.items()):
            try:
                self._leases.renew(lease, self._ttl)
            except LeaseLostError as exc:
                logger.warning("%s", exc.message)
                self._engine.cancel(number, attempt)
                del self._held[number, attempt]
        self._renewed = time.monotonic()


@contextmanager
def _until_told() -> Generator[threading.Event]:
    """An event that SIGTERM sets, where this is the main thread."""
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)

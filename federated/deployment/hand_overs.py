"""Models of runs that are over, for members that were away at the end: each gets it from another as it comes back."""

from __future__ import annotations

import logging
import threading
from typing import Final

from ...core import NasturtiumError
from ...storage import Federations, JobClaim, JobRecord
from ..errors import StoppedError
from ..flower import LinkLostError
from .coordinator_engine import CoordinatorEngine
from .preparation import Coordinating
from .train_run import TrainRun

logger = logging.getLogger(__name__)
NEWEST: Final = 4  # trainings whose models are handed over


class HandOvers:
    """What an idle coordinator does about members that come back.

    Args:
        hub: what the coordinator has.
        stop: set when the coordinator is to end.
    """

    def __init__(self, hub: Coordinating, stop: threading.Event) -> None:
        self._hub = hub
        self._stop = stop
        self._jobs = Federations(hub.database)
        self._there: dict[str, frozenset[str]] = {}  # of a job, who was when its model was handed over last

    def note(self, job: str, online: frozenset[str]) -> None:
        """A job has ended, with these sites."""
        self._there[job] = online

    def look(self, engine: CoordinatorEngine, online: frozenset[str]) -> None:
        """Hand models over to sites that have come since.

        Raises:
            LinkLostError: the SuperLink is gone.
        """
        if len(online) < 2:
            return
        done = [job for job in self._jobs.jobs() if (job.kind, job.state) == ("train", "completed")]
        for job in reversed(done[-NEWEST:]):
            if online - self._there.get(job.uid, frozenset()) and not self._another_waits():
                self._hand_over(engine, job, online)

    def _hand_over(self, engine: CoordinatorEngine, job: JobRecord, online: frozenset[str]) -> None:
        claim = JobClaim(uid=job.uid, kind=job.kind, name=job.name, config=job.config, run=job.run, epoch=0)
        try:
            engine.serve(TrainRun(self._hub, claim, self._stop, look=self._make_way).hand_over)
        except LinkLostError:
            raise
        except NasturtiumError as exc:
            logger.info("the model of %s is handed over later: %s", job.name, exc.message)
        else:
            self._there[job.uid] = online

    def _make_way(self) -> None:
        if self._another_waits():
            raise StoppedError("another job waits")

    def _another_waits(self) -> bool:
        return any(job.state == "queued" for job in self._jobs.jobs())

"""The coordinator's process: it brings up everything on its machine, and does the jobs that wait, one after another."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ...core import NasturtiumError
from ...privacy import KeyFolder
from ...storage import (
    Database,
    DatabaseLockedError,
    DatabaseUnreachableError,
    DiskFullError,
    Federations,
    JobClaim,
    JobState,
    LeaseLostError,
    open_database,
)
from ..coordinator.recorder import CLAIM_S
from ..errors import PausedError, StoppedError
from ..flower import LinkLostError
from .coordinator_engine import CoordinatorEngine
from .events import JobEnded, JobWaits, ServerEvent, ServerReady, SitesChanged
from .federation_config import FederationConfig
from .hand_overs import HandOvers
from .preparation import Coordinating
from .search_run import Searching, SearchRun
from .train_run import TrainRun

logger = logging.getLogger(__name__)
_LOOK_S = 1.0  # between two looks for jobs, and for who is there
_AGAIN_S = 5.0  # between two attempts to write into a history that cannot be written
_WENT_WELL_S = 60.0  # what comes later than so after an attempt is news again
_MORE = 2**20  # bytes: that somebody has made space, and not SQLite
# What passes once somebody has made space, or started the database again: the job goes on where it was.
_PASSING = (DiskFullError, DatabaseLockedError, DatabaseUnreachableError)


def serve(
    config: FederationConfig,
    *,
    stop: threading.Event,
    passphrase: str | None = None,
    listen: tuple[str, int] | None = None,
    until_idle: bool = False,
    search: Searching | None = None,
    observe: Callable[[ServerEvent], None] = lambda event: None,
) -> None:
    """Coordinate until `stop` is set. A job that was interrupted goes on at its last closed round.

    Args:
        config: of the coordinator.
        stop: ends it, between two messages; what a job has done stays.
        passphrase: of the coordinator's identity.
        listen: host and port instead of those of `config`.
        until_idle: end when no job waits any more.
        search: runs the architecture searches among the jobs; None: they fail, and say why.
        observe: called with every event.

    Raises:
        FederationError: the SuperLink does not start.
        TransportError: the address is in use.
        KeyFileError: a key or the authority cannot be used.
        StorageError: the database cannot be opened.
    """
    keys = KeyFolder(config.keys)
    identity = keys.identity(passphrase)
    with open_database(config.database) as database, CoordinatorEngine(config, listen=listen) as engine:
        observe(ServerReady(engine.address, len(engine.members)))
        hub = Coordinating(
            identity=identity,
            keys=keys,
            rules=config.rounds,
            members=lambda: [member.identity for member in engine.members],
            sites=engine.sites,
            folder=config.state,
            database=database,
            observe=observe,
        )
        jobs, seen = Federations(database), SitesChanged((), ())
        hand_overs, due = HandOvers(hub, stop), False  # due: somebody may have come, or a job kept it from being done
        holder = f"{socket.gethostname()}/{os.getpid()}"
        told = ""
        while not stop.is_set():
            try:
                claim = jobs.claim(holder, CLAIM_S)
            except _PASSING as exc:
                if (said := _in_words(exc)) != told:
                    told = said
                    observe(JobWaits("the coordinator", told))
                stop.wait(_AGAIN_S)
                continue
            told = ""
            if claim is not None:
                _do(engine, hub, claim, stop, database, search)
                with suppress(LinkLostError):
                    hand_overs.note(claim.uid, engine.online())
                due = True
                continue
            if until_idle:
                return
            with suppress(LinkLostError):  # it is being started again
                found = SitesChanged(tuple(sorted(engine.online())), tuple(sorted(x.name for x in engine.members)))
                if found != seen:
                    seen = found
                    observe(found)
                    due = True
                if due:
                    hand_overs.look(engine, frozenset(found.online))
                    due = False
            stop.wait(_LOOK_S)


def _do(
    engine: CoordinatorEngine,
    hub: Coordinating,
    claim: JobClaim,
    stop: threading.Event,
    database: Database,
    search: Searching | None,
) -> None:
    """One job, to its end or as far as it goes."""
    run = TrainRun(hub, claim, stop) if claim.kind == "train" else SearchRun(hub, claim, stop, search)
    state, error = "failed", None
    wait = _Waits(hub, claim.name, stop)
    try:
        while True:
            try:
                engine.serve(run.main)
                state, error = "completed", run.note
                break
            except LinkLostError as exc:
                logger.warning("the SuperLink was lost; the run goes on with another one: %s", exc)
                if stop.wait(_LOOK_S):
                    raise StoppedError("the coordinator was stopped") from exc
            except _PASSING as exc:
                if wait.for_the_end_of(exc):
                    return  # its claim ends with this process, and whoever runs the server next goes on
    except StoppedError as exc:
        # Whoever stops the server wants the job to go on with the next one; whoever stops the job does not.
        state, error = ("queued" if stop.is_set() else "stopped"), exc.message
    except PausedError as exc:
        state, error = "paused", exc.message
    except LeaseLostError as exc:
        logger.warning("%s", exc)
        return
    except NasturtiumError as exc:
        error = exc.message
    jobs = Federations(database)
    while True:
        try:
            if state == "queued":
                jobs.release(run.claim)
            else:
                jobs.end(run.claim, _STATES[state], error=error)
            break
        except _PASSING as exc:
            if wait.for_the_end_of(exc):
                return
    hub.observe(
        JobEnded(uid=claim.uid, name=claim.name, state=state, run=run.claim.run, accuracy=run.accuracy, error=error)
    )


class _Waits:
    """Waits while the history cannot be written, and says so once each time.

    Args:
        hub: is told.
        name: of the job.
        stop: ends it.
    """

    def __init__(self, hub: Coordinating, name: str, stop: threading.Event) -> None:
        self._hub, self._name, self._stop = hub, name, stop
        self._told, self._went_on = "", 0.0

    def for_the_end_of(self, error: NasturtiumError) -> bool:
        """Wait for what may pass by itself, or be put right by the operator; whether to stop instead.

        While a disk is full nothing is tried again: a round that cannot be closed costs privacy, too.
        """
        if (said := _in_words(error)) != self._told or time.monotonic() > self._went_on + _WENT_WELL_S:
            self._told = said
            self._hub.observe(JobWaits(self._name, said))
        path = self._hub.database.path
        free = _free(path) if path is not None and isinstance(error, DiskFullError) else None
        while not self._stop.wait(_AGAIN_S):
            if path is None or free is None:
                self._went_on = time.monotonic()
                return False
            if _free(path) > free + _MORE:
                self._told = ""
                return False
        return True


def _free(path: Path) -> int:
    """Bytes that are free where a file is."""
    return shutil.disk_usage(path.parent).free


def _in_words(error: NasturtiumError) -> str:
    """The message and the hint in one line."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


_STATES: dict[str, JobState] = {
    "completed": "completed",
    "failed": "failed",
    "paused": "paused",
    "stopped": "stopped",
}

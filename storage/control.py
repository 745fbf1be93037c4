"""Who is at a search, and whether somebody wants it to stop: a few columns through which processes speak.

The process that runs a search, its broker, says again and again that it lives. Another machine cannot look for a
process, so that is all it has to tell a search that goes on from one that was left.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from sqlalchemy import and_, delete, select, update
from sqlalchemy.orm import Session

from ..core import ConfigError
from . import process
from .clock import shared_now_us
from .database import Database
from .errors import RunBusyError
from .leases import is_at_workers
from .models import Lease, Run, Search, from_us
from .runs import check_holder, read_runs, require_run

TAKEN_TTL_S: Final = 60.0  # how long a search that was taken over counts as alive before its broker has said so


class SearchControl:
    """A broker's word that it lives, and the wish of others that it stops.

    Args:
        database: stays the caller's.
        search_uid: the search.
        clock: tells the time in microseconds UTC; by default that of the database, which all machines share.
    """

    def __init__(self, database: Database, search_uid: str, *, clock: Callable[[], int] | None = None) -> None:
        self._database = database
        self._uid = search_uid
        self._clock = clock

    def beat(self, ttl_seconds: float, *, at_work: bool = True) -> bool:
        """Say, as the broker of the search, that it lives and will say so again within `ttl_seconds`.

        The time since it last said so counts as time that the search was at work, if `at_work` and unless it came too
        late.

        Returns:
            Whether somebody asked it to stop.

        Raises:
            RunBusyError: another process took the search over.
            ConfigError: `ttl_seconds` is not positive.
        """
        if not ttl_seconds > 0:
            raise ConfigError(f"expected a time to live of some seconds, got {ttl_seconds}")
        with self._database.write() as session:
            run = session.get_one(Run, require_run(session, self._uid, kind="search"))
            check_holder(run)
            search = session.get_one(Search, run.id, with_for_update=True)
            now = shared_now_us(session, self._clock)
            if search.heartbeat_us is None or search.alive_until_us is None:
                search.active_us = search.active_us or 0
            elif at_work and search.heartbeat_us <= now <= search.alive_until_us:
                search.active_us = (search.active_us or 0) + now - search.heartbeat_us
            search.heartbeat_us, search.alive_until_us = now, now + round(ttl_seconds * 1e6)
            return search.stop_us is not None

    def request_stop(self) -> None:
        """Ask the broker to stop; it does when it next looks. Resuming the search takes the wish back.

        Raises:
            ConfigError: nobody is running it.
        """
        with self._database.write() as session:
            run_id = require_run(session, self._uid, kind="search")
            run = read_runs(session, [run_id])[run_id]
            if run.state != "running":
                raise ConfigError(
                    f"search {run.number} ({run.uid}) is {run.state}: there is nothing to stop",
                    hint="list the runs: nasturtium history list",
                )
            now = shared_now_us(session, self._clock)
            asked = update(Search).where(Search.run_id == run_id, Search.stop_us.is_(None))
            session.execute(asked.values(stop_us=now))

    def forget_stop(self) -> None:
        """Take the wish that the search stops back, as its broker does once it has heeded it.

        Raises:
            RunBusyError: another process has the search.
        """
        with self._database.write() as session:
            run = session.get_one(Run, require_run(session, self._uid, kind="search"))
            check_holder(run)
            session.get_one(Search, run.id, with_for_update=True).stop_us = None

    def extend(self, trials: int) -> None:
        """Plan so many trials, as the broker of a search that gets more of them.

        What the search was started with stays in its configuration: it decides how many trials it began with at random.

        Raises:
            RunBusyError: another process has the search.
            ConfigError: it is planned with more.
        """
        with self._database.write() as session:
            run = session.get_one(Run, require_run(session, self._uid, kind="search"))
            check_holder(run)
            search = session.get_one(Search, run.id, with_for_update=True)
            if trials < search.trials:
                raise ConfigError(f"search {run.number} has {search.trials} trials, got {trials}: it cannot be shorter")
            search.trials = trials

    def stop_requested(self) -> bool:
        """Whether somebody asked the broker to stop since the search was started or resumed."""
        with self._database.read() as session:
            run_id = require_run(session, self._uid, kind="search")
            return session.scalar(select(Search.stop_us).where(Search.run_id == run_id)) is not None


def take_search(session: Session, run: Run) -> None:
    """Let this process be the broker of a search: its trials at workers go on under it.

    Args:
        session: of a write transaction that holds the run.
        run: of kind "search"; its holder is still the one before.

    Raises:
        RunBusyError: a broker on another machine has it.
    """
    search = session.get_one(Search, run.id)
    now = shared_now_us(session)
    elsewhere = run.state == "running" and run.host != process.host()
    if elsewhere and search.alive_until_us is not None and now <= search.alive_until_us:
        raise RunBusyError(
            f"run {run.number} ({run.uid}) is in the hands of process {run.pid} on {run.host}, which was alive at"
            f" {from_us(search.heartbeat_us or now):%H:%M:%S} UTC",
            hint=f"wait for it, or stop it; if it is dead, try again in {(search.alive_until_us - now) / 1e6:.0f} s",
        )
    search.heartbeat_us, search.alive_until_us, search.stop_us = now, now + round(TAKEN_TTL_S * 1e6), None
    # What the last broker had in workers of its own died with it; what was offered, claimed or reported did not.
    at_workers = and_(Lease.search_id == run.id, is_at_workers())
    session.execute(delete(Lease).where(Lease.search_id == run.id, ~is_at_workers()))
    session.execute(
        update(Run)
        .where(Run.id.in_(select(Lease.run_id).where(at_workers)), Run.state == "running")
        .values(host=process.host(), pid=os.getpid(), born=process.birth(os.getpid()))
        .execution_options(synchronize_session=False)
    )

"""Points in microseconds: `log` puts them into a buffer, one thread writes them in batches.

What `kill -9` can take is what the thread had not committed: points of the last `INTERVAL_S` and of the commit under
way. `flush` waits until everything put before it is in the database.
"""

from __future__ import annotations

import atexit
import logging
import operator
import os
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from ..core import ConfigError
from .database import Database
from .errors import DatabaseLockedError, DatabaseUnreachableError, StorageError
from .models import Run
from .names import NameBook, check_name
from .points import Point, put_points

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 0.1  # how long points are gathered
CAPACITY: Final = 100_000  # calls of `put` that are kept; the next one waits for room
BATCH: Final = 50_000  # calls in one transaction, which others wait for
MIN_STEP, MAX_STEP = -(2**63), 2**63 - 1  # what the databases can hold
PATIENCE_S: Final = 60.0  # how long a locked or unreachable database is tried again before callers hear of it


@dataclass(frozen=True, slots=True)
class RunKey:
    """A run that points are put for: its key, and when it started."""

    id: int
    started_us: int


_Entry = tuple[RunKey, int, int, tuple[tuple[str, float], ...]]  # run, step, when in ns, figures


class PointWriter:
    """A buffer and the thread that empties it, which starts with the first point.

    Args:
        database: stays the caller's, who closes the writer before it.
        names: of the same database.
    """

    def __init__(self, database: Database, names: NameBook) -> None:
        self._database = database
        self._names = names
        self._reset()
        _writers.add(self)

    def _reset(self) -> None:
        self._pending: deque[_Entry | threading.Event] = deque()
        self._idle = True
        self._closed = False
        self._error: StorageError | None = None
        self._failing_since: float | None = None
        self._known: set[str] = set()  # names that were found in order
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._room = threading.Condition()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, run: RunKey, step: int, figures: Mapping[str, float]) -> None:
        """Take the figures of one step; they are copied.

        Raises:
            ConfigError: not a step, a name or a figure.
            StorageError: what was put before could not be written for a minute; it is kept and tried again.
        """
        items = tuple(figures.items())
        for name, value in items:
            if type(value) is not float or name not in self._known:
                items = _checked(figures)
                self._known.update(figures)
                break
        if type(step) is not int or not MIN_STEP <= step <= MAX_STEP:
            step = _checked_step(step)
        if self._idle:
            self._start()
        pending = self._pending
        pending.append((run, step, time.time_ns(), items))
        if self._idle:  # it went to sleep meanwhile
            self._wake.set()
        if len(pending) > CAPACITY:
            self._wait_for_room()

    def flush(self) -> None:
        """Wait until everything that was put is in the database.

        Raises:
            StorageError: it cannot be written; it is kept, and the next `flush` tries again.
        """
        if self._thread is None and not self._pending:
            return
        written = threading.Event()
        self._error = None
        self._pending.append(written)
        self._start()
        self._hurry.set()
        while not written.wait(0.05):
            if self._error is not None:
                raise self._failure() from self._error
            if self._thread is None or not self._thread.is_alive():
                raise StorageError("the thread that writes points is gone", hint="open a new tracker")

    def close(self) -> None:
        """Write what is left and end the thread; doing it twice is harmless."""
        if self._closed:
            return
        try:
            self.flush()
        finally:
            self._closed = True
            self._wake.set()
            self._hurry.set()
            thread = self._thread
            if thread is not None and thread is not threading.current_thread():
                thread.join(timeout=PATIENCE_S)

    def _start(self) -> None:
        if self._closed:
            raise StorageError("this tracker is closed", hint="open a new one")
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="nasturtium-points", daemon=True)
                    self._thread.start()
        self._wake.set()

    def _wait_for_room(self) -> None:
        self._hurry.set()
        with self._room:
            self._room.wait_for(lambda: len(self._pending) <= CAPACITY // 2 or self._error is not None)
        if self._error is not None:
            raise self._failure() from self._error

    def _failure(self) -> StorageError:
        assert self._error is not None
        steps = sum(not isinstance(item, threading.Event) for item in list(self._pending))
        return StorageError(
            f"points could not be written, {steps:,} steps wait in memory: {self._error.message}",
            hint=self._error.hint,
        )

    def _run(self) -> None:
        """The thread: sleep until there is something, gather for a moment, write, again."""
        while True:
            self._idle = True
            if not self._pending:
                if self._closed:
                    return
                self._wake.wait()
            self._wake.clear()
            self._idle = False
            if self._pending and not self._closed:
                self._hurry.wait(INTERVAL_S)
            self._hurry.clear()
            while self._pending:
                if not self._write_batch() and self._closed:
                    return
            with self._room:
                self._room.notify_all()

    def _write_batch(self) -> bool:
        """Take a batch out of the buffer and write it; put it back and wait a moment if that fails."""
        batch = [self._pending.popleft() for _ in range(min(len(self._pending), BATCH))]
        entries = [item for item in batch if not isinstance(item, threading.Event)]
        try:
            if entries:
                self._write(entries)
        except Exception as exc:
            self._pending.extendleft(reversed(batch))
            self._complain(exc)
            return False
        self._error = None
        self._failing_since = None
        for item in batch:
            if isinstance(item, threading.Event):
                item.set()
        with self._room:
            self._room.notify_all()
        return True

    def _complain(self, exc: Exception) -> None:
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        passing = isinstance(exc, DatabaseLockedError | DatabaseUnreachableError)
        if not passing or now - self._failing_since > PATIENCE_S:
            if self._error is None:
                logger.warning("points could not be written, they are kept and tried again: %s", exc)
            self._error = exc if isinstance(exc, StorageError) else StorageError(f"{type(exc).__name__}: {exc}")
            with self._room:
                self._room.notify_all()
        if not self._closed:
            self._wake.wait(random.uniform(0.05, 0.3))  # noqa: S311 - so that several writers do not meet again
            self._wake.clear()

    def _write(self, entries: list[_Entry]) -> None:
        runs = {entry[0].id for entry in entries}
        ids = self._names.ids({name for entry in entries for name, _ in entry[3]})
        curves: dict[tuple[int, int], list[Point]] = {}
        for run, step, at_ns, items in entries:
            at_ms = at_ns // 1_000_000 - run.started_us // 1000
            for name, value in items:
                point = (step, value + 0.0 if value == value else None, at_ms)  # as `to_column`
                try:
                    curves[run.id, ids[name]].append(point)
                except KeyError:
                    curves[run.id, ids[name]] = [point]
        with self._database.write() as session:
            gone = runs - hold_runs(session, runs)
            if gone:
                logger.warning("points of %d purged runs are dropped", len(gone))
                curves = {key: points for key, points in curves.items() if key[0] not in gone}
            put_points(session, curves)


def hold_runs(session: Session, runs: set[int]) -> set[int]:
    """Lock the rows of `runs` against other writers of their points; those that are there."""
    statement = (
        select(Run.id)
        .where(Run.id.in_(bindparam("runs", expanding=True)))
        .order_by(Run.id)  # in one order, or two writers wait for each other
        .with_for_update(key_share=True)
    )
    found: set[int] = set()
    ordered = sorted(runs)
    for start in range(0, len(ordered), 500):
        found.update(session.scalars(statement, {"runs": ordered[start : start + 500]}))
    return found


def _checked(figures: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    checked: list[tuple[str, float]] = []
    for name, value in figures.items():
        check_name(name)
        try:
            checked.append((str(name), float(value)))
        except (TypeError, ValueError, OverflowError) as exc:
            raise ConfigError(f"metric {name!r}: expected a number, got {value!r:.100}") from exc
    return tuple(checked)


def _checked_step(step: object) -> int:
    try:
        index = operator.index(step)  # pyright: ignore[reportArgumentType] - that is what is found out
    except TypeError:
        raise ConfigError(f"expected a whole number as step, got {step!r:.100}") from None
    if not MIN_STEP <= index <= MAX_STEP:
        raise ConfigError(f"expected a step of 64 bits, got {index!r:.100}")
    return index


_writers: weakref.WeakSet[PointWriter] = weakref.WeakSet()


def _close_all() -> None:
    for writer in list(_writers):
        try:
            writer.close()
        except StorageError as exc:
            logger.warning("points were lost at exit: %s", exc)


def _forget_all() -> None:
    """In a forked child: the parent's thread is not here, and what is in the buffer is the parent's to write."""
    for writer in list(_writers):
        writer._reset()  # pyright: ignore[reportPrivateUsage]


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)

"""Which attempts a site has taken part in, kept over crashes: it uploads once under an attempt, and goes never back.

Before a site uploads, it claims the attempt here; an attempt that was claimed, or is earlier than one that was, is not
claimed again. Before it reveals shares, it notes for which survivors. If their sum was formed and the coordinator asks
for the round once more with one site less, the difference of the sums would be that site's update; so within a round a
site reveals for one set of survivors only, whatever the attempt. Such a round is lost, and the next one begins.

The journal is the site's own: whoever can write to it can make the site forget. Two sites need two journals.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from copy import copy
from pathlib import Path
from threading import Lock
from typing import Final

from ..errors import KeyFileError, MaskingError, ReplayedUpdateError

_WAIT_S: Final = 10.0  # for another process of the site
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS attempt (run TEXT PRIMARY KEY, round INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    " revealed BLOB) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS left_key (key_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
)


class AttemptJournal:
    """The attempts of one site. Several threads and processes may use it.

    Args:
        path: a SQLite file only its owner can read, made where there is none; None keeps the journal in memory, for
            simulation: it is lost with the object.

    Raises:
        KeyFileError: the file is no journal, or others can read it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._owner = ""  # before the keys of its rows
        self._lock = Lock()
        self._memory = None
        if path is None:
            self._memory = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        with self._writing() as connection:
            for statement in _SCHEMA:
                connection.execute(statement)

    def of(self, owner: str) -> AttemptJournal:
        """The journal of one of many simulated sites in this one's memory: of its own, a database each would be large.

        Args:
            owner: its name; nobody else's.
        """
        assert self._memory is not None
        journal = copy(self)
        journal._owner = f"{owner}/"
        return journal

    def claim(self, run: str, round: int, attempt: int) -> None:
        """Note, before a site uploads, that it takes part in an attempt; when this returns, it is on the disk.

        Raises:
            ReplayedUpdateError: it has taken part in it, or in a later one of this run.
            KeyFileError: the journal cannot be written.
        """
        with self._writing() as connection:
            query = "SELECT round, attempt FROM attempt WHERE run = ?"
            known = connection.execute(query, (self._owner + run,)).fetchone()
            if known is not None and (round, attempt) <= tuple(known):
                raise ReplayedUpdateError(
                    f"attempt {attempt} at round {round} of run {run}: this site has taken part in attempt {known[1]}"
                    f" at round {known[0]}",
                    hint="begin another attempt",
                )
            connection.execute(
                "INSERT INTO attempt VALUES (?1, ?2, ?3, NULL) ON CONFLICT (run) DO UPDATE SET"
                " revealed = iif(round = ?2, revealed, NULL), round = ?2, attempt = ?3",
                (self._owner + run, round, attempt),
            )

    def reveal(self, run: str, round: int, attempt: int, survivors: bytes) -> None:
        """Note, before a site reveals shares, for which survivors; when this returns, it is on the disk.

        Args:
            run: as claimed.
            round: as claimed.
            attempt: as claimed.
            survivors: a digest of their ids.

        Raises:
            MaskingError: it is not the attempt the site takes part in, or it revealed for others in this round.
            KeyFileError: the journal cannot be written.
        """
        with self._writing() as connection:
            query = "SELECT round, attempt, revealed FROM attempt WHERE run = ?"
            known = connection.execute(query, (self._owner + run,)).fetchone() or (None, None, None)
            if known[:2] != (round, attempt):
                raise MaskingError(f"attempt {attempt} at round {round} of run {run} is not the one this site is in")
            if known[2] not in (None, survivors):
                raise MaskingError(
                    f"round {round} of run {run}: this site has revealed shares for other survivors; the difference of"
                    " the two sums could be one site's update",
                    hint="leave this round and begin the next",
                )
            connection.execute("UPDATE attempt SET revealed = ? WHERE run = ?", (survivors, self._owner + run))

    def leave(self, key_id: str) -> None:
        """Note that a sum under a key was tampered with: the site takes part in nothing under it any more.

        Raises:
            KeyFileError: the journal cannot be written.
        """
        with self._writing() as connection:
            connection.execute("INSERT OR IGNORE INTO left_key VALUES (?)", (self._owner + key_id,))

    def has_left(self, key_id: str) -> bool:
        """Whether the site has left a key.

        Raises:
            KeyFileError: the journal cannot be read.
        """
        with self._writing() as connection:
            query = "SELECT 1 FROM left_key WHERE key_id = ?"
            return connection.execute(query, (self._owner + key_id,)).fetchone() is not None

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """A transaction that nobody else writes beside, and that is on the disk once it ends."""
        with self._lock:
            if self._memory is not None:
                yield self._memory
                return
            assert self._path is not None
            try:
                _check_file(self._path)
                with closing(sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None)) as connection:
                    connection.execute("PRAGMA synchronous = EXTRA")  # the folder, too
                    connection.execute("BEGIN IMMEDIATE")
                    yield connection
                    connection.execute("COMMIT")
            except (sqlite3.Error, OSError) as exc:
                raise KeyFileError(
                    f"the journal of attempts {self._path} cannot be used: {exc}",
                    hint="without it a site could upload twice under one mask: restore it, or use a new run",
                ) from exc


def _check_file(path: Path) -> None:
    """Make the file where there is none, and refuse one that is not this user's alone.

    A file that is there is not opened here: closing it would drop the locks SQLite holds on it in this process.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(f"the journal of attempts {path} is not a regular file", hint="move it away")
    if os.name == "posix" and status.st_mode & 0o077:
        raise KeyFileError(
            f"others than its owner can use the journal of attempts {path}: its mode is"
            f" {status.st_mode & 0o777:03o}, expected 600",
            hint=f"chmod 600 {path}",
        )

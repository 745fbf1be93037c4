"""What a site has released, kept over restarts: the file of a `Budget`.

    {"format": "nasturtium.privacy-budget", "version": 1, "epsilon": ..., "delta": ..., "events": [...], "sha256": ...}

`events` are those of an accountant's details, each with its count; an infinite epsilon is the text "inf"; `sha256` is
the hash of all other fields as canonical JSON. The file is replaced as a whole, so a crash leaves the old state or the
new one. Beside it lies an empty `<name>.lock`, by which processes of a site take turns.

Threat model: who can write to the file can make the site forget, by taking it away or putting an older one in its
place; the hash finds damage, not malice. The figures are not secret, but the file is its owner's alone.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from math import inf, isinf
from pathlib import Path
from typing import Any, Final

from ...core import canonical_json, check_header, parse_json
from ..errors import KeyFileError
from ..keys.files import read_file, write_file

BUDGET_FORMAT: Final = "nasturtium.privacy-budget"
BUDGET_VERSION: Final = 1
MAX_BUDGET_BYTES: Final = 2**20  # thousands of kinds of releases; the same one again only raises a count
_FIELDS: Final = {"format", "version", "epsilon", "delta", "events", "sha256"}
_WAIT_S: Final = 60.0  # for another process of the site, which may be composing many releases


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRecord:
    """What the file says. The figures are checked by who makes a budget of them, the events by an accountant."""

    epsilon: float
    delta: float
    events: Sequence[Mapping[str, Any]]


class BudgetFile:
    """The file of one budget. Several threads and processes may use it, within `taking_turns`.

    Args:
        path: in a folder that is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def taking_turns(self) -> Generator[None]:
        """Nobody else is here meanwhile. A process that dies lets the next one in.

        Raises:
            KeyFileError: another one takes too long, or there can be no lock.
        """
        lock = self.path.with_name(f"{self.path.name}.lock")
        if not lock.exists():
            with suppress(KeyFileError):  # another one was first; what else is wrong shows below
                write_file(lock, "", replace=False)
        try:
            # SQLite's lock on a database without content: it is one on every system, and has an end to the wait. Only
            # SQLite opens the file: on POSIX, to close it anywhere else in the process would let go of the lock.
            with closing(sqlite3.connect(lock, timeout=_WAIT_S, isolation_level=None)) as connection:
                connection.execute("BEGIN EXCLUSIVE")
                yield
        except sqlite3.Error as exc:
            raise KeyFileError(
                f"cannot lock the privacy budget {self.path}: {exc}", hint="another process of the site may be stuck"
            ) from exc

    def exists(self) -> bool:
        """Whether there is anything of that name, be it damaged."""
        return self.path.is_symlink() or self.path.exists()

    def read(self) -> BudgetRecord:
        """What it says.

        Raises:
            KeyFileError: it is not there, damaged, of a newer version, a link or pipe, or others can use it.
        """
        text = read_file(self.path, MAX_BUDGET_BYTES, secret=True)
        try:
            document = check_header(parse_json(text), BUDGET_FORMAT, BUDGET_VERSION)
            # The text, too: a digit beyond what a float holds would be a change that no hash of the values shows.
            as_written = text.rstrip("\n") == canonical_json(document)
            if as_written and set(document) == _FIELDS and document["sha256"] == _sha256(document):
                epsilon = inf if document["epsilon"] == "inf" else document["epsilon"]
                return BudgetRecord(epsilon=epsilon, delta=document["delta"], events=document["events"])
            reason = "its content and its hash differ"
        except (ValueError, RecursionError) as error:  # a FormatError, or what has no canonical form
            reason = str(error)
        raise self.damaged(reason)

    def write(self, record: BudgetRecord, *, new: bool) -> None:
        """Write it; when this returns, it is on the disk.

        Args:
            record: what it shall say.
            new: whether it must not be there yet.

        Raises:
            KeyFileError: it cannot be written, or is there already.
        """
        document: dict[str, Any] = {
            "format": BUDGET_FORMAT,
            "version": BUDGET_VERSION,
            "epsilon": "inf" if isinf(record.epsilon) else record.epsilon,
            "delta": record.delta,
            "events": record.events,
        }
        text = canonical_json({**document, "sha256": _sha256(document)}) + "\n"
        if len(text) > MAX_BUDGET_BYTES:
            raise KeyFileError(
                f"the privacy budget {self.path} has too many kinds of releases: {len(text)} bytes, expected at most"
                f" {MAX_BUDGET_BYTES}"
            )
        write_file(self.path, text, replace=not new)

    def damaged(self, reason: str) -> KeyFileError:
        """The error that says the file is none, and why."""
        return KeyFileError(
            f"{self.path} is no privacy budget that this version can read, or it was damaged: {reason}",
            hint="restore it from a copy and count what was released since; a new one would forget everything",
        )


def _sha256(document: Mapping[str, Any]) -> str:
    content = {name: value for name, value in document.items() if name != "sha256"}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()

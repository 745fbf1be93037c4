"""`AuditLog`: what left a site, entry by entry, in files that are only ever added to.

    audit-000001.jsonl      one JSON object a line; when it is full, audit-000002.jsonl goes on

Each entry has the hash of the one before in it, over files too, so that nothing can be changed, taken out or put in
between without a break that `verify` finds. An entry is on the disk before what it speaks of leaves: after a crash
there may be one of something that did not leave, never the other way round.

Threat model: whoever can write to the folder can write a whole new log, or cut off its end: the chain shows that only
to who kept a `head` elsewhere. The log holds no rows and no weights: sizes, hashes, and words that say what left.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Final, Self, cast

from ...core import FormatError, canonical_json, parse_json
from ..errors import AuditError

try:
    import fcntl
except ImportError:  # Windows: one process a site, as everywhere, but nothing holds a second one back
    fcntl = None

MAX_FILE_BYTES: Final = 2**24
_MAX_TEXT: Final = 300  # characters of a text that came from outside
_MAX_WORDS: Final = 32  # parts that are named: a line stays below 2^18 bytes
_NAME: Final = re.compile(r"audit-(\d{6})\.jsonl")
_START: Final = "0" * 64  # before the first entry


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One thing that left, or was kept from leaving.

    Attributes:
        number: from 1, without a gap.
        time: UTC, to the millisecond.
        action: what the site was asked to do; "" where not even that could be read.
        run, round, attempt: of the question; empty or 0 outside of runs.
        bytes: of the content that left; 0 for a refusal.
        sha256: of that content, as hex; empty for a refusal.
        holds: in words what it was, a sentence for each part.
        refused: the code that left instead; None where an answer did.
        reason: why, for a refusal by the site's policy; it did not leave.
        previous: hash of the entry before, as hex.
        hash: of all other fields, as hex.
    """

    number: int
    time: datetime
    action: str
    run: str
    round: int
    attempt: int
    bytes: int
    sha256: str
    holds: tuple[str, ...]
    refused: str | None
    reason: str | None
    previous: str
    hash: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"time": self.time.isoformat(timespec="milliseconds"), "holds": list(self.holds)}

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """An entry from its line, whose hash is checked.

        Raises:
            FormatError: it is none, or was changed.
        """
        try:
            text = line.decode()
        except UnicodeDecodeError as exc:
            raise FormatError("not text") from exc
        document = parse_json(text)
        values = cast(dict[str, Any], document) if isinstance(document, dict) else {}
        if {name: type(value) for name, value in values.items()} | _MAY_BE_NONE != _TYPES:
            raise FormatError("not an entry of this version")
        # The text, too: a digit beyond what a float holds would be a change that no hash of the values shows.
        if canonical_json(values) != text or values["hash"] != _hash(values):
            raise FormatError("its content and its hash differ")
        try:
            values["time"] = datetime.fromisoformat(values["time"])
        except ValueError as exc:
            raise FormatError("its time is none") from exc
        values["holds"] = tuple(map(str, values["holds"]))
        return cls(**values)


_MAY_BE_NONE: Final[dict[str, type]] = {"refused": object, "reason": object}
_TYPES: Final[dict[str, type]] = {
    "number": int,
    "time": str,
    "action": str,
    "run": str,
    "round": int,
    "attempt": int,
    "bytes": int,
    "sha256": str,
    "holds": list,
    "previous": str,
    "hash": str,
    **_MAY_BE_NONE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What `AuditLog.verify` found in order.

    Attributes:
        entries: how many there are.
        first: number of the first that is here; greater than 1 where older files were put away.
        left, refused: how many were of something that left, and of a refusal.
        bytes: that left, all together.
        head: hash of the last entry, as hex, to be kept elsewhere; empty for a log without any.
        unfinished: bytes of a last line that a crash cut off; what it would have spoken of did not leave.
    """

    entries: int = 0
    first: int = 1
    left: int = 0
    refused: int = 0
    bytes: int = 0
    head: str = ""
    unfinished: int = 0


@dataclass(slots=True)
class _End:
    """Where the log goes on."""

    file: int = 1  # number of the newest file
    size: int = 0  # of its whole lines, bytes
    number: int = 0  # of the last entry
    hash: str = _START
    torn: int = 0  # bytes behind the last whole line


@dataclass(slots=True)
class AuditLog:
    """The log in a folder. Several threads, and on POSIX processes, may write to it.

    Args:
        folder: made where there is none.
        max_bytes: of a file; one entry is always written whole.
    """

    folder: Path
    max_bytes: int = MAX_FILE_BYTES
    _lock: Lock = field(default_factory=Lock, repr=False)
    _known: tuple[Path, int, _End] | None = field(default=None, repr=False)

    def record(
        self,
        action: str,
        *,
        run: str = "",
        round: int = 0,
        attempt: int = 0,
        bytes: int = 0,
        sha256: str = "",
        holds: Sequence[str] = (),
        refused: str | None = None,
        reason: str | None = None,
        now: datetime | None = None,
    ) -> AuditEntry:
        """Add an entry; when this returns, it is on the disk. See `AuditEntry` for the arguments.

        Raises:
            AuditError: it cannot be written, or the end of the log is damaged: nothing may leave.
        """
        with self._writing() as end:
            if end.torn:
                self._cut(end)
            values: dict[str, Any] = {
                "number": end.number + 1,
                "time": (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds"),
                "action": _short(action),
                "run": _short(run),
                "round": round,
                "attempt": attempt,
                "bytes": bytes,
                "sha256": _short(sha256),
                "holds": _shortened(holds),
                "refused": refused and _short(refused),
                "reason": reason and _short(reason),
                "previous": end.hash,
            }
            line = canonical_json(values | {"hash": _hash(values)}).encode()
            self._append(end, line + b"\n")
            end.number, end.hash = values["number"], _hash(values)
        return AuditEntry.parse(line)

    def entries(self, limit: int | None = None) -> Iterator[AuditEntry]:
        """The entries, newest first; lines that are none are left out, and are for `verify` to find.

        Args:
            limit: how many at most; None for all.

        Raises:
            AuditError: a file cannot be read.
        """
        left = limit
        for _, path in sorted(self._files().items(), reverse=True):
            for line in reversed(_read(path).split(b"\n")):
                if left is not None and left <= 0:
                    return
                with suppress(FormatError):
                    yield AuditEntry.parse(line)
                    left = None if left is None else left - 1

    def verify(self, head: str | None = None) -> AuditReport:
        """Check every entry of every file, and that nothing is missing between them.

        Args:
            head: a hash that was kept: it must be of an entry here.

        Raises:
            AuditError: names the first line that is not what was written.
        """
        report: dict[str, Any] = {"entries": 0, "first": 1, "left": 0, "refused": 0, "bytes": 0, "unfinished": 0}
        last: AuditEntry | None = None
        seen = head is None or head == _START
        files = sorted(self._files().items())
        for place, (number, path) in enumerate(files):
            if place and number != files[place - 1][0] + 1:
                raise AuditError(f"{path.name} does not follow {files[place - 1][1].name}: a file is missing")
            *lines, rest = _read(path).split(b"\n")
            if rest and place + 1 < len(files):
                raise AuditError(f"{path}: its last line is cut off, and another file follows")
            report["unfinished"] = len(rest)
            for count, line in enumerate(lines, 1):
                try:
                    entry = AuditEntry.parse(line)
                except FormatError as exc:
                    raise AuditError(f"{path}: line {count} was changed: {exc.message}") from exc
                expected = (last.number + 1, last.hash) if last else (entry.number, entry.previous)
                if (entry.number, entry.previous) != expected or (entry.number == 1 and entry.previous != _START):
                    raise AuditError(
                        f"{path}: line {count} is entry {entry.number}, and does not follow "
                        f"{f'entry {last.number}' if last else 'the beginning'}: something was taken out or put in"
                    )
                report["first"] = entry.number if last is None else report["first"]
                report["entries"] += 1
                report["left" if entry.refused is None else "refused"] += 1
                report["bytes"] += entry.bytes
                seen = seen or entry.hash == head
                last = entry
        if not seen:
            raise AuditError(
                f"there is no entry with the hash {head!r:.80}: the end of the log was cut off or replaced"
            )
        return AuditReport(**report, head=last.hash if last else "")

    def _files(self) -> dict[int, Path]:
        try:
            names = {path.name: path for path in self.folder.iterdir()} if self.folder.exists() else {}
        except OSError as exc:
            raise AuditError(f"cannot read the audit log in {self.folder}: {exc.strerror or exc}") from exc
        return {int(match[1]): path for name, path in names.items() if (match := _NAME.fullmatch(name))}

    @contextmanager
    def _writing(self) -> Generator[_End]:
        """The end of the log, with nobody else writing."""
        with self._lock:
            try:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                with _locked(self.folder / "audit.lock"):
                    end = self._find_end()
                    yield end
                    path = self._path(end.file)
                    self._known = (path, path.stat().st_size, end)
            except BaseException as exc:
                self._known = None
                if isinstance(exc, OSError):
                    raise AuditError(
                        f"cannot write the audit log in {self.folder}: {exc.strerror or exc}",
                        hint="nothing leaves this site without it: free some disk space, check permissions",
                    ) from exc
                raise

    def _find_end(self) -> _End:
        files = self._files()
        if not files:
            return _End()
        newest = max(files)
        path = files[newest]
        if self._known is not None and self._known[:2] == (path, path.stat().st_size):
            return self._known[2]
        # The last entry may be in the file before, if a crash came between a new file and its first line.
        for number in sorted(files, reverse=True):
            whole, _, rest = _read(files[number]).rpartition(b"\n")
            if not whole:
                if number == newest and len(files) > 1:
                    continue
                return _End(file=number, torn=len(rest))
            try:
                entry = AuditEntry.parse(whole.rpartition(b"\n")[2])
            except FormatError as exc:
                raise AuditError(
                    f"the end of the audit log {files[number]} was changed: {exc.message}",
                    hint="keep the file for whoever looks into it, and move it out of the folder",
                ) from exc
            if number == newest:
                return _End(newest, len(whole) + 1, entry.number, entry.hash, len(rest))
            return _End(newest, 0, entry.number, entry.hash, path.stat().st_size)
        return _End(file=newest)

    def _cut(self, end: _End) -> None:
        """Take away half a line that a crash has left: what it would have spoken of did not leave."""
        os.truncate(self._path(end.file), end.size)
        end.torn = 0

    def _append(self, end: _End, line: bytes) -> None:
        if end.size and end.size + len(line) > self.max_bytes:
            end.file, end.size = end.file + 1, 0
        path = self._path(end.file)
        new = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            written = os.write(descriptor, line)
            if written != len(line):
                raise OSError(28, "no space left on the device")
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, end.size)
            raise
        finally:
            os.close(descriptor)
        if new and os.name == "posix":
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)  # the name, too
            finally:
                os.close(folder)
        end.size += len(line)

    def _path(self, number: int) -> Path:
        return self.folder / f"audit-{number:06d}.jsonl"


def _read(path: Path) -> bytes:
    try:
        if not path.is_file() or path.is_symlink():
            raise AuditError(f"{path} is no regular file", hint="move it out of the folder")
        return path.read_bytes()
    except OSError as exc:
        raise AuditError(f"cannot read the audit log {path}: {exc.strerror or exc}") from exc


@contextmanager
def _locked(path: Path) -> Generator[None]:
    file: BinaryIO
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb") as file:  # noqa: PTH123 - a descriptor, for the mode
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _hash(values: dict[str, Any]) -> str:
    content = {name: value for name, value in values.items() if name != "hash"}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _short(text: str) -> str:
    """At most so much of a text that came from outside, as UTF-8 can hold it."""
    return text[:_MAX_TEXT].encode("utf-8", "replace").decode()


def _shortened(holds: Sequence[str]) -> list[str]:
    kept = [_short(text) for text in holds[:_MAX_WORDS]]
    return [*kept, f"and {len(holds) - len(kept)} more parts"] if len(holds) > len(kept) else kept

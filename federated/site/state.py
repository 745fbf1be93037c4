"""What a site keeps of its runs on its own disk, and how a session travels: from the same bytes it goes on as it was.

    magic, 8 bytes | header's length, 4 bytes | header, canonical JSON | arrays | SHA-256 of all before it

The header names every array with its dtype and shape, so the length of the whole is known before anything is allocated;
nothing in it is code, and no pickle is read. A file is written under another name, flushed, and then renamed: a crash
leaves the old state or the new one.

Threat model: the folder is the site's own, and its files hold the model: they are the owner's alone (0600). The hash
finds damage, not malice. What comes from another site is checked by `checkpoint`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from ...core import FormatError, canonical_json, check_header, parse_json
from ...privacy import Preset
from ...storage import SignedHead
from ..errors import SiteStateError
from ..protocol.documents import from_document, to_document
from ..protocol.rounds import RoundPlan, SiteReport
from .session import Prepare, Session

logger = logging.getLogger(__name__)

STATE_FORMAT: Final = "nasturtium.site-state"
STATE_VERSION: Final = 1
_MAGIC: Final = b"NSTSTATE"
_HASH_BYTES: Final = 32
_MOST_HEADER_BYTES: Final = 2**24
_MOST_BYTES: Final = 2**34
_DTYPES: Final = ("<f4", "<f8", "<i8", "<u4")
_NOT_KEPT: Final = frozenset({"total", "shares", "ledger_head"})  # of a plan: they are of one round and one site
_GROUPS: Final = ("server", "inherited", "own", "pending")  # the first two are the same at all sites
_HEAD: Final = "ledger-head.json"
_SUFFIXES: Final = (".state", ".candidate")
MOST_CANDIDATES: Final = 128  # kept at a time: those at work in a message, and as many that may be gone on with
_RUN: Final = re.compile(r"[0-9A-Za-z]{1,26}")
_FIELDS: Final = frozenset({"plan", "round", "attempt", "meaning", "report", "chain", "finished", "arrays"})


class SiteStates:
    """The sessions of a site, kept over restarts; of a search's candidates the `MOST_CANDIDATES` that were saved last.

    Args:
        folder: the site's own; made where there is none. None keeps nothing, for simulation.

    Raises:
        SiteStateError: the folder cannot be made.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as exc:
                raise SiteStateError(f"{folder}: {exc.strerror or exc}", hint="check its permissions") from exc

    @property
    def folder(self) -> Path | None:
        """The site's own; None where nothing is kept."""
        return self._folder

    @property
    def kept(self) -> bool:
        """Whether anything is kept: a session that is forgotten can be loaded again."""
        return self._folder is not None

    def load(self, run: str, prepare: Prepare) -> Session | None:
        """The session of a run as it was saved last; None where there is none, or its file is damaged.

        Args:
            run: its ULID.
            prepare: see `Prepare`.

        Raises:
            SiteStateError: the file cannot be read.
        """
        path = next((path for path in self._paths(run) if path.exists()), None)
        if path is None:
            return None
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise SiteStateError(f"{path}: {exc.strerror or exc}", hint="check its permissions") from exc
        try:
            session = session_from_bytes(data, prepare)
            if session.agreed.run == run:
                return session
            reason = f"it is of run {session.agreed.run}"
        except ValueError as exc:  # a FormatError, and a PlanError of a plan that no longer fits the data
            reason = str(exc)
        logger.warning("the state of run %s is not used, another site's will be asked for: %s", run, reason)
        return None

    def save(self, session: Session) -> None:
        """Keep a session; when this returns, it is on the disk.

        Raises:
            SiteStateError: it cannot be written; what was kept before still is.
        """
        if not (paths := self._paths(session.agreed.run)):
            return
        path = paths[1 if session.agreed.search else 0]
        is_new = not path.exists()
        write_private(path, session_to_bytes(session))
        if is_new and session.agreed.search:
            self._prune(path.parent)

    def runs(self) -> list[str]:
        """The runs of which a session is kept, in order."""
        if self._folder is None:
            return []
        return sorted(path.stem for suffix in _SUFFIXES for path in self._folder.glob(f"*{suffix}"))

    def forget(self, run: str) -> None:
        """Remove what is kept of a run, if anything is."""
        for path in self._paths(run):
            path.unlink(missing_ok=True)

    def keep_ledger_head(self, head: SignedHead) -> None:
        """Keep the newest head of the coordinator's privacy ledger.

        Raises:
            SiteStateError: it cannot be written.
        """
        if self._folder is not None:
            write_private(self._folder / _HEAD, head.to_json().encode() + b"\n")

    def ledger_head(self) -> SignedHead | None:
        """The head that was kept last.

        Raises:
            SiteStateError: there is one that cannot be read: forgetting it would let the ledger be shortened.
        """
        if self._folder is None or not (self._folder / _HEAD).exists():
            return None
        try:
            return SignedHead.from_json((self._folder / _HEAD).read_text())
        except (OSError, ValueError) as exc:
            raise SiteStateError(
                f"{self._folder / _HEAD} cannot be read: {exc}", hint="restore it from a copy, or move it away"
            ) from exc

    def _paths(self, run: str) -> tuple[Path, ...]:
        """Where a session may be: as a run of its own, and as a candidate."""
        if not _RUN.fullmatch(run):  # it becomes part of a path
            raise SiteStateError(f"expected the ULID of a run, got {run!r:.40}")
        return () if self._folder is None else tuple(self._folder / f"{run}{suffix}" for suffix in _SUFFIXES)

    def _prune(self, folder: Path) -> None:
        """Remove candidates that nobody goes on with any more."""
        kept = sorted(folder.glob(f"*{_SUFFIXES[1]}"), key=lambda path: path.stat().st_mtime_ns)
        for path in kept[:-MOST_CANDIDATES]:
            path.unlink()


def session_to_bytes(session: Session, *, shared_only: bool = False) -> bytes:
    """A session as bytes.

    Args:
        session: stays as it is.
        shared_only: without what is this site's alone, for another site.
    """
    arrays: dict[str, np.ndarray] = {"vector": session.vector, "ranges": session.ranges}
    for group in _GROUPS[:2] if shared_only else _GROUPS:
        held: Mapping[str, np.ndarray] = getattr(session, group)
        arrays |= {f"{group}/{name}": array for name, array in held.items()}
    plain = {
        name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)  # 0-d became 1-d
        for name, array in arrays.items()
    }
    header: dict[str, Any] = {
        "format": STATE_FORMAT,
        "version": STATE_VERSION,
        "plan": to_document(replace(session.agreed, take_part=True), without=_NOT_KEPT),
        "round": session.round,
        "attempt": session.attempt,
        "meaning": session.meaning,
        "report": None if session.report is None else to_document(session.report),
        "chain": session.chain.hex(),
        "finished": session.finished,
        "arrays": [[name, array.dtype.str, list(array.shape)] for name, array in plain.items()],
    }
    told = canonical_json(header).encode()
    parts = [_MAGIC, len(told).to_bytes(4, "big"), told, *(array.tobytes() for array in plain.values())]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return b"".join((*parts, digest.digest()))


def session_from_bytes(data: bytes, prepare: Prepare) -> Session:
    """The inverse of `session_to_bytes`.

    Args:
        data: from the site's disk, or from another site.
        prepare: see `Prepare`.

    Raises:
        FormatError: it is damaged, or holds another model than its plan says.
        PlanError: the plan is for other data.
        ConfigError: the plan fits no network or preset.
    """
    header, arrays = _cut(data)
    plan = from_document(RoundPlan, header["plan"], total=b"", shares=b"", ledger_head="")
    session = Session.fresh(plan, prepare, Preset.named(plan.quantisation.preset))
    for name, kind in (("round", int), ("attempt", int), ("meaning", str), ("finished", bool), ("chain", str)):
        if type(header[name]) is not kind:
            raise FormatError(f"a site's state: its {name} is {header[name]!r:.60}")
    try:
        session.chain = bytes.fromhex(header["chain"])
    except ValueError as exc:
        raise FormatError(f"a site's state: its chain is {header['chain']!r:.80}") from exc
    session.round, session.attempt, session.meaning = header["round"], header["attempt"], header["meaning"]
    session.finished = header["finished"]
    session.report = None if header["report"] is None else from_document(SiteReport, header["report"])
    for name, array in (("vector", session.vector), ("ranges", session.ranges)):
        found = arrays.pop(name, None)
        if found is None or (found.dtype, found.shape) != (array.dtype, array.shape):
            raise FormatError(f"a site's state: its {name} is not of the model that its plan describes")
        setattr(session, name, found)
    for name, array in arrays.items():
        group, _, rest = name.partition("/")
        if group not in _GROUPS or not rest:
            raise FormatError(f"a site's state: no part of it is called {name!r:.60}")
        held: dict[str, np.ndarray] = getattr(session, group)
        same = rest in held and (held[rest].dtype, held[rest].shape) == (array.dtype, array.shape)
        if group == "server" and not same:
            raise FormatError(f"a site's state: its {name!r:.60} is not of the strategy that its plan describes")
        setattr(session, group, {**held, rest: array})
    return session


def write_private(path: Path, data: bytes) -> None:
    """Write a file whole, which only its owner can read; when this returns, it is on the disk.

    Raises:
        SiteStateError: it cannot be written; what was there before still is.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            _sync(path.parent)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as exc:
        raise SiteStateError(
            f"{path}: {exc.strerror or exc}", hint="free some disk space, check permissions; the site goes on then"
        ) from exc


def _cut(data: bytes) -> tuple[Mapping[str, Any], dict[str, np.ndarray]]:
    """The header, and the arrays it names, copied."""
    start = len(_MAGIC) + 4
    if not start + _HASH_BYTES <= len(data) <= _MOST_BYTES or not data.startswith(_MAGIC):
        raise FormatError(f"no state of a site: {len(data)} bytes that start with {data[:8]!r}")
    if hashlib.sha256(memoryview(data)[:-_HASH_BYTES]).digest() != data[-_HASH_BYTES:]:
        raise FormatError("a site's state was damaged: its content and its hash differ")
    size = int.from_bytes(data[len(_MAGIC) : start], "big")
    if size > min(_MOST_HEADER_BYTES, len(data) - start - _HASH_BYTES):
        raise FormatError(f"a site's state: a header of {size} bytes does not fit")
    try:
        header = check_header(parse_json(data[start : start + size].decode()), STATE_FORMAT, STATE_VERSION)
    except UnicodeDecodeError as exc:
        raise FormatError("a site's state: its header is no text") from exc
    if set(header) - {"format", "version"} != set(_FIELDS) or not isinstance(header["arrays"], list):
        raise FormatError(f"a site's state: expected the fields {', '.join(sorted(_FIELDS))}")
    shapes = [_read_shape(each) for each in cast(list[object], header["arrays"])]
    position = start + size
    if position + sum(np.dtype(kind).itemsize * prod(shape) for _, kind, shape in shapes) + _HASH_BYTES != len(data):
        raise FormatError("a site's state: its arrays are not as long as its header says")
    arrays: dict[str, np.ndarray] = {}
    for name, kind, shape in shapes:
        if name in arrays:
            raise FormatError(f"a site's state: {name!r:.60} stands in it twice")
        arrays[name] = (
            np.frombuffer(data, kind, prod(shape), position).reshape(shape).astype(np.dtype(kind).newbyteorder("="))
        )
        position += arrays[name].nbytes
    return header, arrays


def _read_shape(value: object) -> tuple[str, str, tuple[int, ...]]:
    entry = cast(list[Any], value) if isinstance(value, list) else []
    if len(entry) == 3 and isinstance(entry[0], str) and entry[1] in _DTYPES and isinstance(entry[2], list):
        shape = tuple(cast(list[Any], entry[2]))
        if len(shape) <= 8 and all(type(side) is int and 0 <= side < 2**40 for side in shape):
            return entry[0], entry[1], shape
    raise FormatError(f"a site's state: expected name, dtype and shape of an array, got {value!r:.100}")


def _sync(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""The files that a history is exported to and imported from: one JSON document, or NDJSON with a document on each line.

The first line of NDJSON says how many documents follow, so that a file that was cut off between two lines is known for
one. Of NDJSON no more than a line is held at once; a JSON file is read whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from ...core import ConfigError, FormatError, check_header, parse_json
from .. import migrate
from .shape import FORMAT, VERSION

MAX_BYTES: Final = 1 << 30  # of a line, and of a JSON file
_FIELDS: Final = ("format", "version", "revision", "documents")
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


def write_file(file: BinaryIO, documents: Iterable[Mapping[str, Any]], count: int, *, lines: bool) -> None:
    """Write documents in an order of fields and in a spelling that only what they say decides.

    Args:
        file: stays the caller's.
        documents: `count` of them.
        count: how many.
        lines: NDJSON instead of JSON.
    """
    header = {"format": FORMAT, "version": VERSION, "revision": migrate.REVISIONS[-1], "documents": count}
    if lines:
        file.write(f"{_encode(header)}\n".encode("ascii"))
        file.writelines(f"{_encode(document)}\n".encode("ascii") for document in documents)
        return
    opening = _encode({**header, "documents": []}).removesuffix("]}")
    file.write(opening.encode("ascii"))
    file.writelines(
        f"{',' if index else ''}\n{_encode(document)}".encode("ascii") for index, document in enumerate(documents)
    )
    file.write(b"\n]}\n")


def read_file(path: Path) -> Iterator[tuple[str, object]]:
    """The documents of a file as JSON, not looked at any further, and where in it they stand.

    Raises:
        ConfigError: it is not there, or of a format that is not imported.
        FormatError: it is damaged, cut off, foreign, or of a newer version.
    """
    try:
        with path.open("rb") as file:
            yield from _read(file, path)
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror or exc}", hint="name a file that was exported") from exc


def check_file(path: Path) -> None:
    """Make sure that a file begins as one that can be imported, as far as its first document; a pipe is left alone.

    Raises:
        ConfigError, FormatError: see `read_file`.
    """
    if path.is_fifo():
        return  # which can be read only once
    for _ in read_file(path):
        return


def _read(file: BinaryIO, path: Path) -> Iterator[tuple[str, object]]:
    first = _line(file, path, 1)
    _refuse_others(first, path)
    try:
        header = _parse(first, path, "line 1")
    except FormatError:
        if not first.lstrip().startswith(b"{"):
            raise
        header = None  # JSON over several lines
    rest = None
    if header is None or not first.strip() or _has_documents(header):
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise FormatError(
                f"{path} is larger than {MAX_BYTES:,} bytes", hint="export as ndjson, which is read line by line"
            )
        rest = file.read()
        header = _parse(first + rest, path, "")
    try:
        fields = check_header(header, FORMAT, VERSION)
    except FormatError as exc:
        raise FormatError(f"{path}: {exc.message}", hint=exc.hint or "name a file that was exported") from exc
    if sorted(fields) != sorted(_FIELDS) or not isinstance(fields["revision"], str):
        raise FormatError(f"{path}: expected a header with {', '.join(_FIELDS)}, got {', '.join(fields)!s:.200}")
    documents = fields["documents"]
    if rest is not None and isinstance(documents, list):
        for index, document in enumerate(cast("list[object]", documents)):
            yield f"{path}: documents[{index}]", document
        return
    if type(documents) is not int or documents < 0:
        raise FormatError(f"{path}: expected how many documents follow, got {documents!r:.100}")
    number = 1
    for number in range(2, documents + 2):
        line = _line(file, path, number)
        if not line:
            raise FormatError(f"{path} is cut off: line 1 says {documents} documents, it has {number - 2}")
        yield f"{path}: line {number}", _parse(line, path, f"line {number}")
    if file.read(4096).strip():
        raise FormatError(f"{path}: expected nothing after line {number}, there is more")


def _has_documents(header: object) -> bool:
    return isinstance(header, dict) and isinstance(cast("dict[str, object]", header).get("documents"), list)


def _line(file: BinaryIO, path: Path, number: int) -> bytes:
    line = file.readline(MAX_BYTES + 1)
    if len(line) > MAX_BYTES:
        raise FormatError(f"{path}: line {number} is longer than {MAX_BYTES:,} bytes")
    return line


def _parse(text: bytes, path: Path, where: str) -> object:
    at = f"{path}: {where}" if where else str(path)
    try:
        return parse_json(text.decode())
    except UnicodeDecodeError as exc:
        raise FormatError(f"{at}: not UTF-8", hint="name a file that was exported") from exc
    except FormatError as exc:
        cut = not text.rstrip().endswith(b"}")
        hint = "the file is cut off" if cut else "name a file that was exported"
        raise FormatError(f"{at}: {exc.message}", hint=hint) from exc


_TABLE: Final = "only json and ndjson hold a whole history; csv and parquet are tables for other tools"
_OTHERS: Final[Mapping[bytes, tuple[str, str]]] = {
    b"PAR1": ("a Parquet file", _TABLE),
    b"uid,": ("a CSV file", _TABLE),
    b"SQLite format 3\0": ("a database", "look into it with --db, or export from it"),
}


def _refuse_others(start: bytes, path: Path) -> None:
    for magic, (what, hint) in _OTHERS.items():
        if start.startswith(magic):
            raise ConfigError(f"{path} is {what}, which is not imported", hint=hint)

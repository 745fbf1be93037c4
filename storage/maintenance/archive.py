"""The file of a backup: a plain tar, so that any tool can unpack it, whose last member says what the others must be.

Reading trusts nothing: a member is a regular file with a name we give, of the size and hash in `manifest.json`, and
everything in the manifest is there once. Python's `tarfile` would follow more of the format than that (links, devices,
sparse files, headers that change the next header), so members are found by our own walk over the headers.
"""

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal, Self, cast, get_args

from ...core import FormatError, check_header, parse_json
from ..artifacts import StoredFile
from ..errors import IntegrityError, StorageError

Engine = Literal["sqlite", "postgresql"]
FORMAT: Final = "nasturtium.backup"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
DATABASES: Final[Mapping[Engine, str]] = {"sqlite": "database.sqlite", "postgresql": "database.dump"}
ARTIFACTS: Final = "artifacts"
MODELS: Final = "models"
MAX_NAME_LETTERS: Final = 100  # what one header holds

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"
_NAME = re.compile(
    rf"(?:{'|'.join(map(re.escape, DATABASES.values()))}|{ARTIFACTS}/[0-9a-f]{{64}}|{MODELS}(?:/{_PART}){{2,6}})"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_MANIFEST_BYTES = 256 * 2**20
_CHUNK_BYTES = 1 << 20


def is_member_name(name: str) -> bool:
    """Whether a member other than the manifest may have that name."""
    return len(name) <= MAX_NAME_LETTERS and _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds. The key that signs the ledger is not in it, nor is any other secret."""

    engine: Engine
    revision: str  # of the tables
    instance: str | None  # of the database; None: its tables are older than that
    schema: str | None  # of PostgreSQL, that the tables are in
    created: datetime  # UTC
    nasturtium: str  # version that made it
    members: Mapping[str, StoredFile]
    left_out: Sequence[str]  # files that were missing or altered already, or that have no name a backup can hold

    def to_json(self) -> str:
        """The document `manifest.json`."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "nasturtium": self.nasturtium,
            "engine": self.engine,
            "revision": self.revision,
            "instance": self.instance,
            "schema": self.schema,
            "created": self.created.isoformat(),
            "members": {
                name: {"sha256": member.sha256, "size_bytes": member.size_bytes}
                for name, member in self.members.items()
            },
            "left_out": list(self.left_out),
        }
        return json.dumps(document, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The manifest of a document from outside.

        Raises:
            FormatError: it is none, or of a newer version.
        """
        fields = check_header(parse_json(text), FORMAT, VERSION)
        engine = fields.get("engine")
        if engine not in get_args(Engine):
            raise FormatError(f"expected an engine of {', '.join(get_args(Engine))}, got {engine!r:.100}")
        members = fields.get("members")
        left_out = fields.get("left_out")
        if not isinstance(members, dict) or not isinstance(left_out, list):
            raise FormatError("expected an object of members and a list of what was left out")
        try:
            created = datetime.fromisoformat(_text(fields, "created")).astimezone(UTC)
        except (ValueError, OverflowError) as exc:
            raise FormatError(f"expected a time, got {fields.get('created')!r:.100}") from exc
        return cls(
            engine=cast(Engine, engine),
            revision=_text(fields, "revision"),
            instance=None if fields.get("instance") is None else _text(fields, "instance"),
            schema=None if fields.get("schema") is None else _text(fields, "schema"),
            created=created,
            nasturtium=_text(fields, "nasturtium"),
            members={name: _member(name, value) for name, value in cast(dict[str, Any], members).items()},
            left_out=[str(name) for name in cast(list[object], left_out)],
        )


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise FormatError(f"expected {name} to be text, got {value!r:.100}")
    return value


def _member(name: str, value: object) -> StoredFile:
    if not is_member_name(name):
        raise FormatError(f"expected the names of a backup, got {name!r:.200}")
    fields = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    sha256, size = fields.get("sha256"), fields.get("size_bytes")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256) or type(size) is not int or size < 0:
        raise FormatError(f"expected the SHA-256 and the size of {name}, got {value!r:.200}")
    if name.startswith(f"{ARTIFACTS}/") and name != f"{ARTIFACTS}/{sha256}":
        raise FormatError(f"expected {name} to be named after its SHA-256, got {sha256}")
    return StoredFile(sha256=sha256, size_bytes=size)


@dataclass(slots=True)
class ArchiveWriter:
    """Writes a backup, member by member.

    Args:
        file: empty; stays the caller's, who closes it.
        created: the time that all members get.
    """

    file: BinaryIO
    created: datetime
    members: dict[str, StoredFile] = field(default_factory=dict[str, StoredFile])

    def add(self, name: str, source: BinaryIO, *, size_bytes: int) -> StoredFile:
        """Add what `source` has, which must be that many bytes.

        Raises:
            StorageError: it is shorter.
        """
        if not is_member_name(name) or name in self.members:
            raise ValueError(f"not the name of a new member: {name!r}")
        stored = self._add(name, source, size_bytes)
        self.members[name] = stored
        return stored

    def finish(
        self, *, engine: Engine, revision: str, instance: str | None, schema: str | None, left_out: Sequence[str]
    ) -> Manifest:
        """Add the manifest and the end of the archive."""
        manifest = Manifest(
            engine=engine,
            revision=revision,
            instance=instance,
            schema=schema,
            created=self.created,
            nasturtium=version("nasturtium"),
            members=self.members,
            left_out=left_out,
        )
        content = manifest.to_json().encode()
        self._add(MANIFEST, BytesIO(content), len(content))
        self.file.write(bytes(-self.file.tell() % tarfile.RECORDSIZE or tarfile.RECORDSIZE))
        return manifest

    def _add(self, name: str, source: BinaryIO, size_bytes: int) -> StoredFile:
        header = tarfile.TarInfo(name)
        header.size = size_bytes
        header.mtime = int(self.created.timestamp())
        self.file.write(header.tobuf(tarfile.GNU_FORMAT, "ascii", "strict"))
        stored = _copy(source, size_bytes, self.file.write)
        if stored.size_bytes != size_bytes:
            raise StorageError(f"{name} became shorter while it was backed up", hint="try again")
        self.file.write(bytes(-size_bytes % tarfile.BLOCKSIZE))
        return stored


class Archive:
    """An open backup whose members are all where they should be; their content is checked as it is read.

    Args:
        path: the file.

    Raises:
        FormatError: not a backup, or one of a newer version.
        IntegrityError: a backup that is cut off or altered.
        StorageError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._errors():
            self._file = path.open("rb")
        try:
            with self._errors():
                self._places = self._find_members()
                self.manifest = self._read_manifest()
            self._compare()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def size_bytes(self) -> int:
        """Of everything in it."""
        return sum(member.size_bytes for member in self.manifest.members.values())

    def verify(self) -> None:
        """Read everything and compare its hash.

        Raises:
            IntegrityError: a member is not what was backed up.
        """
        for name in self.manifest.members:
            self._read(name, lambda chunk: None)

    def extract(self, place: Callable[[str], Path]) -> None:
        """Write everything to new files, checked and on the disk.

        Args:
            place: where a member goes, by its name.

        Raises:
            IntegrityError: a member is not what was backed up.
            StorageError: the disk refuses.
        """
        for name in self.manifest.members:
            target = place(name)
            with self._errors():
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    self._read(name, file.write)
                    file.flush()
                    os.fsync(file.fileno())

    def _read(self, name: str, write: Callable[[bytes], object]) -> None:
        said = self.manifest.members[name]
        offset, _ = self._places[name]
        with self._errors():
            self._file.seek(offset)
            found = _copy(self._file, said.size_bytes, write)
        if found != said:
            raise self._damage(f"{name} has the SHA-256 {found.sha256}, expected {said.sha256}")

    def _find_members(self) -> dict[str, tuple[int, int]]:
        """The offset and size of each member, by its name."""
        end = os.fstat(self._file.fileno()).st_size
        places: dict[str, tuple[int, int]] = {}
        position = 0
        while True:
            self._file.seek(position)
            block = self._file.read(tarfile.BLOCKSIZE)
            if block and not any(block):
                break
            header = self._header(block, position)
            position += tarfile.BLOCKSIZE
            if header.type != tarfile.REGTYPE or header.name in places or header.size < 0:
                raise FormatError(
                    f"{self.path} is not a backup of ours: {header.name!r:.200} is a link, a device or there twice"
                )
            if header.name != MANIFEST and not is_member_name(header.name):
                raise FormatError(f"{self.path} is not a backup of ours: it holds {header.name!r:.200}")
            if position + header.size > end:
                raise self._damage(f"it ends within {header.name}")
            places[header.name] = position, header.size
            position += -(-header.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        rest = self._file.read(tarfile.RECORDSIZE + 1)
        if len(rest) > tarfile.RECORDSIZE or any(rest):
            raise self._damage("something stands after its end")
        return places

    def _header(self, block: bytes, position: int) -> tarfile.TarInfo:
        try:
            return tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, ValueError) as exc:
            if position:
                raise self._damage(f"at byte {position} there is no member: {exc}") from exc
            raise FormatError(f"{self.path} is not a backup of ours", hint="name a .nstbackup file") from exc

    def _read_manifest(self) -> Manifest:
        if MANIFEST not in self._places:
            raise FormatError(f"{self.path} is not a backup of ours: it has no {MANIFEST}")
        offset, size = self._places[MANIFEST]
        if size > _MAX_MANIFEST_BYTES:
            raise FormatError(f"{self.path}: {MANIFEST} has {size} bytes, expected at most {_MAX_MANIFEST_BYTES}")
        self._file.seek(offset)
        try:
            return Manifest.from_json(self._file.read(size).decode("utf-8", "replace"))
        except FormatError as exc:
            raise FormatError(f"{self.path}: {MANIFEST}: {exc.message}", hint=exc.hint) from exc

    def _compare(self) -> None:
        there = {name: size for name, (_, size) in self._places.items() if name != MANIFEST}
        said = {name: member.size_bytes for name, member in self.manifest.members.items()}
        if there != said:
            name = min(name for name in there.keys() | said.keys() if there.get(name) != said.get(name))
            raise self._damage(
                f"{name} has {there.get(name, 'no')} bytes, its {MANIFEST} says {said.get(name, 'nothing of it')}"
            )
        database = DATABASES[self.manifest.engine]
        if [name for name in said if name in DATABASES.values()] != [database]:
            raise FormatError(f"{self.path} is not a backup of ours: it has no {database}")

    def _damage(self, what: str) -> IntegrityError:
        return IntegrityError(f"the backup {self.path} is damaged: {what}", hint="use another backup")

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except OSError as exc:
            raise StorageError(
                f"{exc.filename or self.path}: {exc.strerror or exc}", hint="check the path, permissions and disk space"
            ) from exc


def _copy(source: BinaryIO, size_bytes: int, write: Callable[[bytes], object]) -> StoredFile:
    """Copy that many bytes, or what there is of them."""
    digest, left = hashlib.sha256(), size_bytes
    while left and (chunk := source.read(min(left, _CHUNK_BYTES))):
        digest.update(chunk)
        write(chunk)
        left -= len(chunk)
    return StoredFile(sha256=digest.hexdigest(), size_bytes=size_bytes - left)

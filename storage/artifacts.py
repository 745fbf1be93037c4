"""The content of files that runs left behind, each stored once under its SHA-256: `root/ab/abcd...`.

A file appears under its name only when it is whole and on the disk, so a crash leaves nothing but drafts, which
`clean` removes. Several processes may add the same content at once: each writes a draft, the last rename wins, and all
of them say the same.
"""

import errno
import hashlib
import os
import re
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from ..core import ConfigError
from .errors import DiskFullError, IntegrityError, StorageError

MIN_AGE_SECONDS: Final = 3600.0  # what is younger may be another process's, half way into the history
_DRAFT = ".draft-"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """The content of a file that is in the store."""

    sha256: str
    size_bytes: int


class ArtifactStore:
    """A folder of files that are named by what is in them.

    Args:
        root: the folder; made by the first `add`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __iter__(self) -> Iterator[str]:
        """The hashes of what is stored, in order."""
        for folder in sorted(_entries(self.root)):
            for name in sorted(_entries(folder)):
                if _SHA256.fullmatch(name.name) and name.parent.name == name.name[:2]:
                    yield name.name

    def __contains__(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def path(self, sha256: str) -> Path:
        """Where the content with that hash lies, or would.

        Raises:
            ConfigError: `sha256` is not 64 lower-case hexadecimal digits.
        """
        if not _SHA256.fullmatch(sha256):
            raise ConfigError(f"expected a SHA-256 in hexadecimal, got {sha256!r}")
        return self.root / sha256[:2] / sha256

    def add(self, path: Path, *, link: bool = False) -> StoredFile:
        """Store the content of the file at `path`.

        Content that is there already is kept if its size is right, and counts as new for `clean` and `age_seconds`.

        Args:
            path: a regular file; it stays where it is.
            link: make a hard link instead of a copy where the file system can. Only for a file that nobody writes to
                any more: a change of it would be a change of what is stored.

        Raises:
            StorageError: the file cannot be read, or the disk refuses.
        """
        with _disk_errors(path), path.open("rb") as source, self._draft() as draft:
            if not (link and _link(path, draft)):
                return self._keep(draft, _copy(source, draft))
            with draft.open("rb") as linked:  # not `source`: the name may be another file's by now
                return self._keep(draft, _read(linked))

    def add_bytes(self, content: bytes) -> StoredFile:
        """Store `content`; see `add`."""
        with _disk_errors(self.root), self._draft() as draft:
            return self._keep(draft, _copy(BytesIO(content), draft))

    def open(self, sha256: str) -> BinaryIO:
        """Open what is stored under a hash, to be read; the caller closes it.

        Raises:
            IntegrityError: it is not there.
            StorageError: it cannot be read.
        """
        path = self.path(sha256)
        try:
            return path.open("rb")
        except FileNotFoundError as exc:
            raise _missing(path) from exc
        except OSError as exc:
            raise StorageError(f"{path}: {exc.strerror or exc}", hint="check its permissions") from exc

    def verify(self, sha256: str, *, size_bytes: int | None = None, deep: bool = True) -> StoredFile:
        """Make sure that what is stored under a hash has that hash.

        Args:
            sha256: of the content.
            size_bytes: what its size must be.
            deep: read all of it; else only its presence and size are looked at.

        Raises:
            IntegrityError: it is missing, or is something else.
            StorageError: it cannot be read.
        """
        path = self.path(sha256)
        with self.open(sha256) as file, _disk_errors(path):
            size = os.fstat(file.fileno()).st_size
            if size_bytes is not None and size != size_bytes:
                raise IntegrityError(
                    f"artifact {path} was altered: expected {size_bytes} bytes, it has {size}",
                    hint="restore it from a backup",
                )
            found = _read(file) if deep else StoredFile(sha256=sha256, size_bytes=size)
        if found.sha256 != sha256:
            raise IntegrityError(
                f"artifact {path} was altered: its content has the SHA-256 {found.sha256}",
                hint="restore it from a backup",
            )
        return found

    def remove(self, sha256: str) -> None:
        """Remove what is stored under a hash, if it is there."""
        path = self.path(sha256)
        with _disk_errors(path):
            path.unlink(missing_ok=True)

    def age_seconds(self, sha256: str) -> float:
        """How long ago the content was added, for the last time."""
        path = self.path(sha256)
        with _disk_errors(path):
            return _age(path)

    def clean(self, *, min_age_seconds: float = MIN_AGE_SECONDS) -> int:
        """Remove the drafts of processes that died, which are those older than that; how many there were."""
        old = [path for path in self.drafts() if _age(path) > min_age_seconds]
        for path in old:
            with _disk_errors(path):
                path.unlink(missing_ok=True)
        return len(old)

    def drafts(self) -> list[Path]:
        """Files that are not whole, or not named yet."""
        return [path for path in _entries(self.root) if path.name.startswith(_DRAFT)]

    @contextmanager
    def _draft(self) -> Generator[Path]:
        self.root.mkdir(parents=True, exist_ok=True)  # only now: reading a store makes nothing
        draft = self.root / f"{_DRAFT}{uuid.uuid4().hex}"
        try:
            yield draft
        finally:
            draft.unlink(missing_ok=True)

    def _keep(self, draft: Path, stored: StoredFile) -> StoredFile:
        """Give a draft its name, unless the content is there."""
        path = self.path(stored.sha256)
        try:
            os.utime(path)  # before its size is asked: who looks for old files from now on sees a new one
            if path.stat().st_size == stored.size_bytes:
                return stored
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
        draft.replace(path)
        sync_folder(path.parent)
        sync_folder(self.root)
        return stored


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _link(source: Path, draft: Path) -> bool:
    try:
        os.link(source, draft, follow_symlinks=False)
    except (OSError, NotImplementedError):
        return False  # another disk, or a file system without links
    if draft.is_symlink():
        draft.unlink()
        return False
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


def _copy(source: BinaryIO, draft: Path) -> StoredFile:
    with draft.open("xb") as file:  # with the mode the user wants for new files, 0644 as a rule
        stored = _read(source, file)
        file.flush()
        os.fsync(file.fileno())
    return stored


def _read(source: BinaryIO, target: BinaryIO | None = None) -> StoredFile:
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if target is not None:
            target.write(chunk)
    return StoredFile(sha256=digest.hexdigest(), size_bytes=size)


def _age(path: Path) -> float:
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0.0  # removed meanwhile
    # A link has its file's old time of writing, but was made when its inode changed.
    return time.time() - max(status.st_mtime, status.st_ctime)


def _missing(path: Path) -> IntegrityError:
    return IntegrityError(f"artifact {path} is missing", hint="restore it from a backup")


@contextmanager
def _disk_errors(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as exc:
        said = f"{exc.filename or path}: {exc.strerror or exc}"
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(said, hint="free some disk space") from exc
        raise StorageError(said, hint="check permissions, and whether there is space") from exc

"""`KernelCache`: every kernel is compiled once in a process, and once on a machine.

On disk an entry is code, named by the SHA-256 of its source and of all that the code depends on: versions, CPU,
features; or a plan of a program that calls such code, see `native.plan`; or what LLVM said of the machine. It starts
with a checksum of the rest: what was cut short or damaged is made again, never run. Whoever can write into the folder
can run code in our name, so it must belong to the user and be writable for nobody else.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import stat
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigError
from .cores import usable_threads
from .engine import Engine, KernelUnknownError, symbol_of
from .host import Host, identity
from .kernel import Kernel, KernelReference, digest_of

logger = logging.getLogger(__name__)

FORMAT = b"nasturtium kernel 4\n"
KERNEL_SUFFIX, PLAN_SUFFIX, HOST_SUFFIX = ".kernel", ".plan", ".host"
SUFFIXES = (KERNEL_SUFFIX, PLAN_SUFFIX, HOST_SUFFIX)
LARGEST_ENTRY = 16 << 20  # bytes; nothing larger is read
TIDY_EVERY = 256  # writes of a process
MOST_BYTES = 256 << 20  # of a folder: the entries used longest ago are removed. A kernel takes 2 to 20 kB


@dataclass(slots=True)
class CacheCounts:
    """What a cache did so far."""

    compiled: int = 0
    read: int = 0  # found on disk
    compile_s: float = 0.0


class KernelCache:
    """Addresses of kernels, each compiled at most once.

    Args:
        engine: compiles and loads.
        folder: where code is kept between processes; None keeps none.

    Raises:
        ConfigError: the folder cannot be made, is not the user's or can be written by others.
    """

    def __init__(self, engine: Engine, folder: Path | None = None) -> None:
        self.engine = engine
        self.folder = folder
        self.counts = CacheCounts()
        self._addresses: dict[tuple[str, str], int] = {}  # (digest of the source, name) -> address
        self._writes = 0
        if folder is not None:
            _open_folder(folder)

    def addresses(self, kernels: Sequence[Kernel | KernelReference]) -> list[int]:
        """Where the kernels start, in order; compiles or reads those not met before.

        Raises:
            KernelError: LLVM does not take a kernel.
            KernelUnknownError: a reference to a kernel that is not kept here.
        """
        missing = {
            kernel.digest: _Module(kernel.source if isinstance(kernel, Kernel) else None, (kernel.name,))
            for kernel in kernels
            if (kernel.digest, kernel.name) not in self._addresses
        }
        if missing:
            self._bring(missing)
        return [self._addresses[kernel.digest, kernel.name] for kernel in kernels]

    def functions(self, source: str, names: Sequence[str]) -> list[int]:
        """Where functions of a module of several start."""
        digest = digest_of(source)
        if any((digest, name) not in self._addresses for name in names):
            self._bring({digest: _Module(source, tuple(names))})
        return [self._addresses[digest, name] for name in names]

    def read(self, name: str) -> bytes | None:
        """What was kept under a name; None if nothing was, or nothing that is whole."""
        return None if self.folder is None else _read_entry(self.folder / name)

    def keep(self, name: str, content: bytes) -> None:
        """Keep something beside the kernels, at most `LARGEST_ENTRY` bytes; as long as there is a folder and room.

        Args:
            name: of the file; ends with one of `SUFFIXES`.
            content: of it.
        """
        if self.folder is None or len(content) > LARGEST_ENTRY:
            return
        try:
            _write_entry(self.folder / name, content)
            if self._writes % TIDY_EVERY == 0:
                _tidy(self.folder, MOST_BYTES)
            self._writes += 1
        except OSError as exc:  # a full disk or a read-only folder is no reason to stop
            logger.warning("kernels and plans are not kept any more: %s", exc)
            self.folder = None

    def _bring(self, modules: dict[str, _Module]) -> None:
        """Load modules, by their digests."""
        with self.engine.lock:
            wanted = {key: each for key, each in modules.items() if (key, each.names[0]) not in self._addresses}
            keys = [(digest, name) for digest, each in wanted.items() for name in each.names]
            objects = self._object_codes(wanted)
            symbols = [symbol_of(digest, name) for digest, name in keys]
            self._addresses.update(zip(keys, self.engine.load(objects, symbols), strict=True))

    def _object_codes(self, modules: dict[str, _Module]) -> list[bytes]:
        """Of every module, from the disk or compiled."""
        entries = {digest: self._entry(digest, each.names) for digest, each in modules.items()}
        codes = {digest: code for digest, entry in entries.items() if (code := self.read(entry)) is not None}
        self.counts.read += len(codes)
        new: dict[str, tuple[str, tuple[str, ...]]] = {}
        for digest, each in modules.items():
            if digest not in codes:
                if each.source is None:
                    raise KernelUnknownError(f"kernel {each.names[0]} is not kept here")
                new[digest] = each.source, each.names
        if new:
            start = time.perf_counter()
            made = self.engine.compile_all(list(new.values()), threads=usable_threads())
            self.counts.compiled += len(new)
            self.counts.compile_s += time.perf_counter() - start
            for digest, code in zip(new, made, strict=True):
                self.keep(entries[digest], code)
                codes[digest] = code
        return [codes[digest] for digest in modules]

    def _entry(self, digest: str, names: tuple[str, ...]) -> str:
        """Names the file of a module, by everything that the object code depends on."""
        parts = (FORMAT.decode(), self.engine.fingerprint, *names, digest)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest() + KERNEL_SUFFIX


@dataclass(frozen=True, slots=True)
class _Module:
    """A module to be loaded: its text, unless only its digest is known, and the functions that are asked for."""

    source: str | None
    names: tuple[str, ...]


@functools.cache
def default_cache() -> KernelCache:
    """The cache of this process, made at first use. Its folder is the variable NASTURTIUM_CACHE, "off" for none.

    Raises:
        CompilerUnavailable: no native code on this machine.
        ConfigError: NASTURTIUM_CACHE names a folder that cannot be used.
    """
    asked = os.environ.get("NASTURTIUM_CACHE", "")
    if asked == "off":
        return KernelCache(Engine())
    if asked:
        return _cache_in(Path(asked).expanduser().absolute())
    try:
        return _cache_in(_user_cache() / "nasturtium" / "kernels")
    except (ConfigError, RuntimeError) as exc:  # RuntimeError: no home
        logger.warning("compiled kernels are not kept: %s", exc)
        return KernelCache(Engine())


def _cache_in(folder: Path) -> KernelCache:
    """A cache whose engine need not ask LLVM what the folder knows of this machine."""
    _open_folder(folder)
    machine = identity()
    if machine is None:
        return KernelCache(Engine(), folder)
    name = hashlib.sha256(FORMAT + machine.encode()).hexdigest() + HOST_SUFFIX
    kept = _read_entry(folder / name)
    cache = KernelCache(Engine(None if kept is None else Host(**json.loads(kept))), folder)
    if kept is None:
        cache.keep(name, json.dumps(cache.engine.host._asdict()).encode())
    return cache


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _open_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as exc:
        raise ConfigError(f"the folder for compiled kernels cannot be made: {exc}") from exc
    if not stat.S_ISDIR(status.st_mode) or not _only_ours(status):
        raise ConfigError(
            f"the folder for compiled kernels must be the user's and writable for nobody else: got {folder}, mode "
            f"{stat.filemode(status.st_mode)}, owner {status.st_uid}",
            hint=f"chmod go-w {folder}, or name another in NASTURTIUM_CACHE",
        )


def _only_ours(status: os.stat_result) -> bool:
    """Owned by us and writable for us alone; on Windows a user's folders are."""
    return os.name != "posix" or (status.st_uid == os.geteuid() and not status.st_mode & 0o022)


def _read_entry(path: Path) -> bytes | None:
    """The content of an entry, or None where there is none, none of ours, or none that is whole."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not _only_ours(status) or status.st_size > LARGEST_ENTRY:
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read()
        with contextlib.suppress(OSError):
            os.utime(path)  # the last use, for `_tidy`: many file systems do not note it themselves
    head = len(FORMAT) + hashlib.sha256().digest_size
    kept = content[head:]
    if content[:head] != FORMAT + _checksum(path, kept):
        logger.warning("an entry of the cache is damaged and will be made again: %s", path)
        return None
    return kept


def _checksum(path: Path, content: bytes) -> bytes:
    """Of what is kept, under this name."""
    return hashlib.sha256(path.name.encode() + content).digest()


def _write_entry(path: Path, content: bytes) -> None:
    """All or nothing, whoever else writes the same."""
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(FORMAT + _checksum(path, content) + content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _tidy(folder: Path, most_bytes: int) -> None:
    """Remove what was used longest ago, until at most `most_bytes` remain; and what broken writers left."""
    with contextlib.suppress(OSError):
        now = time.time()
        found: list[tuple[float, int, Path]] = []
        for entry in os.scandir(folder):
            with contextlib.suppress(FileNotFoundError):  # another process may tidy, too
                status = entry.stat(follow_symlinks=False)
                if entry.name.endswith(SUFFIXES):
                    found.append((status.st_mtime, status.st_size, Path(entry)))
                elif entry.name.endswith(".new") and now - status.st_mtime > 3600:
                    Path(entry).unlink(missing_ok=True)
        excess = sum(size for _, size, _ in found) - most_bytes
        for _, size, path in sorted(found):
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size

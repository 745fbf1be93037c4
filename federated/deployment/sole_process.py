"""`sole_process`: one process at a time for the folder of a coordinator, or of a site.

A second one would write over the first one's certificates and the state of Flower's server, and both would stand still.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..errors import FederationError

if sys.platform != "win32":
    import fcntl

_LOCK: Final = ".process.lock"


@contextmanager
def sole_process(folder: Path, what: str) -> Generator[None]:
    """Keep other processes out until the context is left, or this process ends in whatever way; not on Windows.

    Args:
        folder: is there. The file of the lock stays in it, as a new one would lock nobody out.
        what: runs here, as in "the site a".

    Raises:
        FederationError: another process is at it, or the file cannot be written.
    """
    try:
        descriptor = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)  # not inherited by other processes
    except OSError as exc:
        raise FederationError(f"cannot write into {folder}: {exc.strerror}", hint="check its owner and mode") from exc
    try:
        if sys.platform != "win32":
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
                raise FederationError(
                    f"{what} is run by another process already{f', {holder}' if holder else ''}",
                    hint="leave it running, or stop it first",
                ) from exc
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)

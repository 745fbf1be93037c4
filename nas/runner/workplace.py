"""A temporary folder for this process's workers that does not outlive it by long: one that is left behind by a process
that was killed is removed by the next that makes one.

A folder is in use while somebody holds the lock on the file in it, and the kernel takes a lock back from the dead.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

if sys.platform != "win32":
    import fcntl

_PREFIX = "nasturtium-work-"
_LOCK = "lock"


class Workplace:
    """A new folder that only this user can read; removed by `close`."""

    def __init__(self) -> None:
        _sweep()
        while not (made := _make()):
            pass  # swept away before it was locked
        self.path, self._lock = made

    def close(self) -> None:
        """Remove the folder; doing it twice is harmless."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _make() -> tuple[Path, int] | None:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))  # 0700
    lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)  # not inherited by other processes
    if sys.platform != "win32":
        fcntl.flock(lock, fcntl.LOCK_EX)
    if (folder / _LOCK).exists():
        return folder, lock
    os.close(lock)
    return None


def _sweep() -> None:
    """Remove the folders that processes of this user left behind."""
    if sys.platform == "win32":
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another user's, in use, just being made, or just removed
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)

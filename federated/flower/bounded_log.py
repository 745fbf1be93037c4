"""A log file of bounded size, for the output of a child."""

from __future__ import annotations

import os
import re
from collections import deque
from pathlib import Path
from typing import IO

LOG_BYTES = 1 << 20  # of a file; the one before it is kept too
COLOURS = re.compile(rb"\x1b\[[0-9;]*m")


class BoundedLog:
    """A log file that never grows beyond two times `limit` bytes, and its last lines in memory."""

    def __init__(self, path: Path, limit: int = LOG_BYTES) -> None:
        self.path, self._limit = path, limit
        self._last = deque[str](maxlen=200)
        self._file = self._open()

    def write(self, line: bytes) -> str:
        """Append a line, without its colours; begin a new file when this one is full. Returns it as text."""
        line = COLOURS.sub(b"", line)
        if self._file.tell() + len(line) > self._limit:
            self._file.close()
            self.path.replace(self.path.with_name(self.path.name + ".1"))
            self._file = self._open()
        self._file.write(line)
        self._file.flush()
        text = line.decode("utf-8", "replace").rstrip()
        self._last.append(text)
        return text

    def lines(self) -> list[str]:
        """The last lines that say something, oldest first."""
        return [each for each in list(self._last) if each]

    def close(self) -> None:
        """Close the file; the lines stay."""
        self._file.close()

    def _open(self) -> IO[bytes]:
        return os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")

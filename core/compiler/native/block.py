"""`Block`: the memory in which a program's arena lies."""

from __future__ import annotations

import mmap
import sys
from contextlib import suppress
from typing import Final

import numpy as np

from ...device import Array
from .arena import ALIGNMENT

LARGE: Final = 1 << 22  # bytes: from here on NumPy asks for large pages


class Block:
    """Zeros, at a cache line, which the system backs when they are first touched.

    On Linux they are small pages at first, and may become large ones behind the first run, where the system has time
    for it. NumPy would ask for large pages at once: in a virtual machine that gave its free memory back to the host
    (virtio's free page reporting), 90 MB of those took 190 to 280 ms when they were first touched, small ones 60. A
    step is 1 to 4 % faster with large ones.

    Args:
        size: in bytes.

    Attributes:
        array: uint8, shape (size,).
    """

    def __init__(self, size: int) -> None:
        self._pages: mmap.mmap | None = None
        if sys.platform == "linux" and size >= LARGE:
            self._pages = mmap.mmap(-1, size + ALIGNMENT, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            memory = np.frombuffer(self._pages, np.uint8)
        else:
            memory = np.zeros(size + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        self.array: Array = memory[start : start + size]

    def settle(self) -> None:
        """It has been touched and will be used for long."""
        pages, self._pages = self._pages, None
        if pages is not None and hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a kernel without large pages
                pages.madvise(mmap.MADV_HUGEPAGE)

"""Memory that several processes see, and that has no name: nothing to clean up, however the processes end."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import DeviceError
from .communicator import check_dtype

ALIGNMENT = 64  # bytes; a cache line, and more than any dtype asks


class SharedMemory:
    """`nbytes` bytes behind a file descriptor, mapped here and by every process that the descriptor is given to.

    On Linux this is `memfd_create`, elsewhere a temporary file that is unlinked at once. Unlike
    `multiprocessing.shared_memory` it has no name that a killed process could leave in `/dev/shm`, and unlike anything
    in there it is not bounded by the 64 MiB that containers commonly give that folder.

    Args:
        fd: the descriptor; owned by this object from now on.
        nbytes: how much of it to map.
        writable: False maps it for reading.
    """

    def __init__(self, fd: int, nbytes: int, *, writable: bool = True) -> None:
        self._file = os.fdopen(fd, "r+b", buffering=0)
        self.nbytes = nbytes
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self._bytes = np.frombuffer(mmap.mmap(fd, max(nbytes, 1), access=access), np.uint8)

    @property
    def fd(self) -> int:
        """The file descriptor; valid until `close`."""
        return self._file.fileno()

    @classmethod
    def allocate(cls, nbytes: int) -> SharedMemory:
        """Zeroed memory.

        Raises:
            DeviceError: there is not that much, or the system cannot share memory this way (Windows).
        """
        if os.name != "posix":
            raise DeviceError("processes that share memory need Linux or macOS", hint="train in one process")
        # Pages are given when they are first written, and then it is too late for an error.
        if nbytes > (most := os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")):
            raise DeviceError(f"cannot share {nbytes} bytes between processes: this machine has {most}")
        if not hasattr(os, "memfd_create"):
            return cls(unlinked_file(nbytes), nbytes)
        fd = os.memfd_create("nasturtium")
        os.ftruncate(fd, max(nbytes, 1))
        return cls(fd, nbytes)

    def view(self, offset: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
        """The array at `offset` bytes; writing to it is seen by everyone."""
        dtype = np.dtype(dtype)
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return self._bytes[offset : offset + nbytes].view(dtype).reshape(shape)

    def duplicate(self) -> SharedMemory:
        """The same memory under a descriptor of its own."""
        return SharedMemory(os.dup(self.fd), self.nbytes)

    def close(self) -> None:
        """Close the descriptor; views stay valid until they are gone. May be called again."""
        self._file.close()


# name -> (offset in bytes, shape, dtype name): where arrays lie in a shared memory; travels as JSON.
ArrayTable = dict[str, tuple[int, list[int], str]]


def share_arrays(arrays: Mapping[str, np.ndarray[Any, Any]]) -> tuple[SharedMemory, ArrayTable]:
    """Copy arrays into one shared memory, each in C order.

    Raises:
        DTypeError: an array holds neither numbers nor booleans.
        DeviceError: there is not that much memory.
    """
    for array in arrays.values():
        check_dtype(array.dtype)
    table: ArrayTable = {}
    end = 0
    for name, array in arrays.items():
        table[name] = (end, list(array.shape), array.dtype.name)
        end += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    memory = SharedMemory.allocate(end)
    for name, array in arrays.items():
        memory.view(table[name][0], array.shape, array.dtype)[...] = array
    return memory, table


def view_arrays(memory: SharedMemory, table: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays that `share_arrays` put there, not copied."""
    return {name: memory.view(offset, tuple(shape), _dtype(dtype)) for name, (offset, shape, dtype) in table.items()}


def _dtype(name: str) -> np.dtype[Any]:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def unlinked_file(nbytes: int) -> int:
    """The descriptor of a temporary file of zeros that has no name any more."""
    with tempfile.TemporaryFile() as file:
        file.truncate(max(nbytes, 1))
        return os.dup(file.fileno())

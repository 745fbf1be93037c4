"""IDX files, the format of MNIST: a magic number, the lengths of the axes, then the values, big-endian; also as .gz.

Source: https://yann.lecun.com/exdb/mnist/ (archived). A header is checked against the size of the file before memory
is asked for.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from math import prod
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ..errors import ConfigError, DataError
from .arrays import dataset_from_arrays
from .assemble import floating
from .dataset import Dataset
from .source import LoadOptions, Source
from .task import Task

# The third byte of a file -> the type of its values.
DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DEFLATE_RATIO = 1032  # no byte of deflate becomes more than this many, https://zlib.net/zlib_tech.html
_CHUNK_BYTES = 2**20
_NAME = re.compile(r"[-.]idx(\d-\w+)?(\.gz)?$")


def read_idx(path: Path | str) -> np.ndarray:
    """Read one array, in the byte order of this machine.

    Args:
        path: the file; one that ends in .gz is unpacked.

    Raises:
        DataError: not an IDX file, cut off, longer than its header says, or damaged.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if path.suffix.lower() != ".gz":
            with path.open("rb") as file:
                return _parse(file, path, size)
        with gzip.open(path, "rb") as file:
            return _parse(cast(BinaryIO, file), path, size * MAX_DEFLATE_RATIO)
    except (OSError, EOFError, zlib.error) as exc:
        raise DataError(f"{path}: cannot be read as IDX: {exc}", hint="fetch the file again") from exc


def _parse(file: BinaryIO, path: Path, most: int) -> np.ndarray:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or not 1 <= magic[3] <= 8:
        raise DataError(f"{path}: not an IDX file: it starts with the bytes {magic!r}")
    lengths = file.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise DataError(f"{path}: cut off in its header")
    shape: tuple[int, ...] = struct.unpack(f">{magic[3]}I", lengths)
    dtype = np.dtype(DTYPES[magic[2]])
    size = prod(shape) * dtype.itemsize
    if size > most:
        raise DataError(f"{path}: its header says {shape} of {dtype.name}, {size} bytes: the file cannot hold them")
    content = bytearray()
    while len(content) <= size and (chunk := file.read(min(_CHUNK_BYTES, size + 1 - len(content)))):
        content += chunk
    if len(content) != size:
        found = f"{len(content)} bytes follow" if len(content) < size else "more bytes follow"
        raise DataError(f"{path}: its header says {shape} of {dtype.name}, {size} bytes, but {found}")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _matches(path: Path) -> bool:
    return bool(_NAME.search(path.name.lower())) and not path.is_dir()


def _labels_of(images: Path, target: str | None) -> Path:
    """The file with the targets: beside the images, under MNIST's name, or the one that was named."""
    if target is not None:
        found = images.parent / target
        if not found.is_file():
            raise ConfigError(f"no such file: {found}", hint="check the name of the file with the labels")
        return found
    name = re.sub(r"idx\d", "idx1", images.name.replace("images", "labels")).removesuffix(".gz")
    for beside in (images.with_name(name), images.with_name(f"{name}.gz")):
        if beside.is_file() and "images" in images.name:
            return beside
    raise ConfigError(
        f"{images}: there is no file with its labels"
        + (f": expected {name} or {name}.gz beside it" if "images" in images.name else ""),
        hint="name it with --target FILE",
    )


def _load(path: Path, target: str | None, options: LoadOptions) -> Dataset:
    labels = read_idx(_labels_of(path, target))
    return dataset_from_arrays(read_idx(path), labels, options, name=path.name, source=str(path))


def _read_rows(path: Path, task: Task) -> np.ndarray:
    rows = read_idx(path)
    if rows.ndim < 2 or prod(rows.shape[1:]) != len(task.features):
        raise DataError(f"{path}: expected rows with {len(task.features)} elements, got shape {rows.shape}")
    return floating(rows, str(path)).reshape(len(rows), -1)


SOURCE = Source(summary="an IDX file of images", matches=_matches, load=_load, read_rows=_read_rows)

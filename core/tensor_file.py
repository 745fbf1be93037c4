"""safetensors files: named arrays and a few texts, read without running code and without trusting the file.

A file is the length of its header (8 bytes), the header (JSON: dtype, shape and place of every array), and the bytes of
the arrays, little endian, without holes. Everything is checked before memory is taken for it.

Source: the format's description at https://github.com/huggingface/safetensors. What we write has the bytes of the
reference implementation; names are sorted, so that equal contents are equal files.

>>> content = encode_tensors({"weight": np.ones((2, 3), np.float32)}, {"epoch": "3"})
>>> decode_tensors(content)["weight"].shape
(2, 3)
"""

from __future__ import annotations

import io
import json
import os
import sys
import uuid
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from .device import CPU, Array, Device, device_of
from .device import device as find_device
from .errors import ConfigError, DTypeError, FormatError, NasturtiumError
from .shapes import Spec, as_dtype
from .spec import parse_json
from .tensor import Tensor

MAX_HEADER_BYTES = 100_000_000  # of the reference implementation
_LENGTH_BYTES = 8
_ALIGNMENT = 8  # of the first array, by spaces after the header
_MAX_AXES = 64  # of NumPy
_MAX_BYTES = 2**63 - 1  # of NumPy, in one array
_METADATA = "__metadata__"
# The order is that of the arrays in a file: the widest first, so that all are aligned.
_CODES = {
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "complex64": "C64",
    "float32": "F32",
    "uint32": "U32",
    "int32": "I32",
    "bfloat16": "BF16",
    "float16": "F16",
    "uint16": "U16",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
_NAMES = {code: name for name, code in _CODES.items()}
_RANKS = {code: rank for rank, code in enumerate(_CODES.values())}


@dataclass(frozen=True, slots=True)
class TensorFileHeader:
    """What a safetensors file holds.

    Attributes:
        specs: shape and dtype by name, in the order of the file.
        metadata: texts by name.
    """

    specs: Mapping[str, Spec]
    metadata: Mapping[str, str]


def save_tensors(
    path: Path | str, tensors: Mapping[str, Array | Tensor], *, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write a safetensors file. Whoever reads meanwhile finds the older file there, or all of this one.

    Args:
        path: its folder is made if it is not there.
        tensors: by name, on any device, of the dtypes float64, 32, 16, bfloat16, complex64, all integers, bool.
        metadata: texts by name.

    Returns:
        The path.

    Raises:
        DTypeError: an array of another dtype, such as complex128.
        ConfigError: a name or a piece of metadata is not text, or a name is "__metadata__", which the format keeps.
        NasturtiumError: the disk refuses.
    """
    path = Path(path)
    parts = _encode(tensors, metadata or {})
    draft = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as exc:
        raise NasturtiumError(
            f"{path}: the arrays cannot be written: {exc.strerror or exc}",
            hint="free some disk space, check permissions",
        ) from exc
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return path


def load_tensors(
    path: Path | str, *, device: str | Device | None = None, names: Collection[str] | None = None
) -> dict[str, Array]:
    """Read the arrays of a safetensors file: what `Module.load_state` takes.

    Args:
        path: of the file.
        device: where they shall live; the current device by default.
        names: of those to read; all by default. The others are not read from disk.

    Returns:
        Arrays by name in the order of the file, writable, memory of their own.

    Raises:
        FormatError: not a safetensors file, damaged, or a dtype we do not have.
        ConfigError: the file has no array of some name.
    """
    with _opened(path) as (file, size):
        return _read_arrays(file, size, find_device(device), names)


def read_tensor_header(path: Path | str) -> TensorFileHeader:
    """Names, shapes, dtypes and metadata of a safetensors file, without its arrays.

    Raises:
        FormatError: not a safetensors file, damaged, or a dtype we do not have.
    """
    with _opened(path) as (file, size):
        entries, metadata = _read_header(file, size)
    return TensorFileHeader({entry.name: entry.spec for entry in entries}, metadata)


def encode_tensors(tensors: Mapping[str, Array | Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The content of a safetensors file; see `save_tensors`."""
    return b"".join(_encode(tensors, metadata or {}))


def decode_tensors(content: bytes, *, device: str | Device | None = None) -> dict[str, Array]:
    """The arrays in the content of a safetensors file; see `load_tensors`."""
    return _read_arrays(io.BytesIO(content), len(content), find_device(device), None)


# --- writing ---


def _encode(tensors: Mapping[str, Array | Tensor], metadata: Mapping[str, str]) -> list[bytes | memoryview]:
    """The parts of a file in their order."""
    texts = cast(Mapping[object, object], metadata)
    if not all(isinstance(key, str) and isinstance(value, str) for key, value in texts.items()):
        raise ConfigError(f"expected metadata of texts by name, got {dict(metadata)!r}")
    arrays = {name: _on_host(name, item) for name, item in tensors.items()}
    order = sorted(arrays, key=lambda name: (_RANKS[_CODES[arrays[name].dtype.name]], name))
    header: dict[str, Any] = {_METADATA: dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name in order:
        start, end = end, end + arrays[name].nbytes
        header[name] = {
            "dtype": _CODES[arrays[name].dtype.name],
            "shape": list(arrays[name].shape),
            "data_offsets": [start, end],
        }
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as exc:
        raise ConfigError(f"expected names and metadata that can be written as UTF-8: {exc}") from exc
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > MAX_HEADER_BYTES:
        raise ConfigError(f"names and metadata take {len(text)} bytes: expected at most {MAX_HEADER_BYTES}")
    return [len(text).to_bytes(_LENGTH_BYTES, "little"), text, *(_bytes_of(arrays[name]) for name in order)]


def _on_host(name: object, item: Array | Tensor) -> np.ndarray:
    """One of our arrays in NumPy, rows first, its elements little endian."""
    if not isinstance(name, str) or name == _METADATA:
        raise ConfigError(f"expected arrays by name, other than {_METADATA!r}, got the name {name!r}")
    array = item.data if isinstance(item, Tensor) else item
    device_of(array)
    if array.dtype.name not in _CODES:
        raise DTypeError(
            f"{name!r}: safetensors files have no dtype {array.dtype}: expected one of {', '.join(_CODES)}"
        )
    return np.asarray(CPU.put(array), array.dtype.newbyteorder("<"), order="C")


def _bytes_of(array: np.ndarray) -> memoryview:
    return memoryview(cast(Any, array.reshape(-1).view(np.uint8)))


def _sync_folder(folder: Path) -> None:
    """Make the new name durable too, where the system can open folders."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# --- reading ---


@dataclass(frozen=True, slots=True)
class _Entry:
    """One array of a file and its place, in bytes after the header."""

    name: str
    spec: Spec
    start: int
    end: int


@contextmanager
def _opened(path: Path | str) -> Generator[tuple[BinaryIO, int]]:
    """A file to be read and its size; what goes wrong inside is told with its path."""
    path = Path(path)
    try:
        if not path.is_file():  # opening a pipe or a device would wait, or never end
            raise FormatError("no such file" if not path.exists() else "not a regular file")
        with path.open("rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    except OSError as exc:
        raise FormatError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    except FormatError as exc:
        raise FormatError(f"{path}: {exc.message}", hint=exc.hint) from exc
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc.message}", hint=exc.hint) from exc


def _read_arrays(file: BinaryIO, size: int, place: Device, names: Collection[str] | None) -> dict[str, Array]:
    entries, _ = _read_header(file, size)
    if names is not None:
        there = {entry.name for entry in entries}
        if absent := sorted(set(names) - there):
            raise ConfigError(f"there are no arrays {absent}: expected some of {', '.join(sorted(there)) or 'none'}")
        entries = [entry for entry in entries if entry.name in set(names)]
    data = file.tell()
    result: dict[str, Array] = {}
    for entry in entries:
        raw = np.empty(entry.end - entry.start, np.uint8)
        file.seek(data + entry.start)
        if cast(io.BufferedIOBase, file).readinto(cast(Any, raw)) != len(raw):
            raise FormatError(f"the file ends inside of {entry.name!r}: it changed while it was read")
        if entry.spec.dtype == np.bool_ and raw.max(initial=0) > 1:
            raise FormatError(f"{entry.name!r}: expected booleans, bytes of 0 and 1, got {raw.max()}")
        array = raw.view(entry.spec.dtype)
        if sys.byteorder == "big":
            array = array.byteswap()
        result[entry.name] = place.put(array.reshape(entry.spec.shape))
    return result


def _read_header(file: BinaryIO, size: int) -> tuple[list[_Entry], dict[str, str]]:
    """The entries in the order of their places, and the metadata. The file then stands behind the header."""
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    room = size - _LENGTH_BYTES
    if not 0 < length <= room:
        raise FormatError(
            f"not a safetensors file: {size} bytes, and a header of {length}"
            if room >= 0
            else f"not a safetensors file: it has {size} bytes"
        )
    if length > MAX_HEADER_BYTES:
        raise FormatError(f"not a safetensors file: a header of {length} bytes, expected at most {MAX_HEADER_BYTES}")
    try:
        header = parse_json(file.read(length).decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise FormatError(f"not a safetensors file: its header is not UTF-8: {exc}") from exc
    except FormatError as exc:
        raise FormatError(f"not a safetensors file: its header is {exc.message}") from exc
    if not isinstance(header, dict):
        raise FormatError(f"not a safetensors file: expected its header as an object, got {type(header).__name__}")
    fields = cast(dict[str, object], header)
    metadata = fields.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(
        isinstance(v, str) for v in cast(dict[str, object], metadata).values()
    ):
        raise FormatError("expected the metadata as texts by name")
    entries = sorted((_entry(name, field) for name, field in fields.items()), key=lambda e: (e.start, e.end))
    _check_places(entries, room - length)
    return entries, cast(dict[str, str], metadata)


def _entry(name: str, field: object) -> _Entry:
    """One array as the header describes it, checked by itself."""
    parts = cast(dict[str, object], field) if isinstance(field, dict) else {}
    if parts.keys() != {"dtype", "shape", "data_offsets"}:
        shown = _short(cast(object, field))
        raise FormatError(f"{name!r}: expected an object of dtype, shape and data_offsets, got {shown}")
    code, shape, places = parts["dtype"], parts["shape"], parts["data_offsets"]
    if not isinstance(code, str) or code not in _NAMES:
        raise FormatError(f"{name!r}: unknown dtype {_short(code)}: expected one of {', '.join(_NAMES)}")
    lengths, offsets = _lengths(name, "shape", shape), _lengths(name, "data_offsets", places)
    dtype = as_dtype(_NAMES[code])
    if len(lengths) > _MAX_AXES or prod(max(length, 1) for length in lengths) * dtype.itemsize > _MAX_BYTES:
        raise FormatError(f"{name!r}: no array can have the shape {_short(lengths)}")
    spec = Spec(lengths, dtype)
    if len(offsets) != 2 or offsets[1] - offsets[0] != prod(lengths) * dtype.itemsize:
        raise FormatError(
            f"{name!r}: {code} of shape {_short(lengths)} takes {prod(lengths) * dtype.itemsize} bytes, "
            f"got data_offsets {_short(list(offsets))}"
        )
    return _Entry(name, spec, *offsets)


def _check_places(entries: Iterable[_Entry], room: int) -> None:
    """The arrays must lie one after the other and fill what is left of the file."""
    end = 0
    for entry in entries:
        if entry.start != end:
            raise FormatError(
                f"{entry.name!r} begins at byte {entry.start}: expected {end}, without holes and without overlaps"
            )
        end = entry.end
    if end != room:
        raise FormatError(f"the arrays take {end} bytes: expected the {room} that follow the header")


def _lengths(name: str, what: str, value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(x) is int and x >= 0 for x in cast(list[object], value)):
        shown = _short(cast(object, value))
        raise FormatError(f"{name!r}: expected {what} as a list of whole numbers >= 0, got {shown}")
    return tuple(cast(list[int], value))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

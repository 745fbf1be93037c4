"""NPZ archives as a source: one array of inputs, one of targets. Never pickles, which run code."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import cast

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile

from ..errors import ConfigError, DataError
from .arrays import dataset_from_arrays
from .assemble import floating
from .dataset import Dataset
from .idx import MAX_DEFLATE_RATIO
from .source import LoadOptions, Source
from .task import Task

_SEQUENCE_KEY = "sequences"  # what tells (N, length, features) from grey images
_INPUT_KEYS = ("x", "X", "inputs", "features", "images", "data", _SEQUENCE_KEY)
_TARGET_KEYS = ("y", "Y", "labels", "target", "targets")


def _load(path: Path, target: str | None, options: LoadOptions) -> Dataset:
    arrays = _open(path)
    target_key, targets = _pick(arrays, (target,) if target else _TARGET_KEYS, str(path), what="target")
    key, inputs = _pick(arrays, _INPUT_KEYS, str(path), what="inputs")
    return dataset_from_arrays(
        inputs,
        targets,
        options,
        name=path.name,
        source=str(path),
        target_names=[target_key] if targets.ndim == 1 else None,
        modality="sequence" if key == _SEQUENCE_KEY else None,
    )


def _read_rows(path: Path, task: Task) -> np.ndarray:
    _, rows = _pick(_open(path), _INPUT_KEYS, str(path), what="inputs")
    if rows.ndim < 2 or prod(rows.shape[1:]) != len(task.features):
        raise DataError(f"{path}: expected rows with {len(task.features)} elements, got shape {rows.shape}")
    return floating(rows, str(path)).reshape(len(rows), -1)


def _open(path: Path) -> dict[str, np.ndarray]:
    try:
        # Not np.load, which also takes a single array.
        with path.open("rb") as file, NpzFile(file, allow_pickle=False) as archive:
            _check_sizes(cast(zipfile.ZipFile, archive.zip))
            members = {name: cast(object, archive[name]) for name in archive.files}
    except (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as exc:
        raise DataError(f"{path}: cannot be read as NPZ: {exc}", hint="write it with numpy.savez") from exc
    return {name: value for name, value in members.items() if isinstance(value, np.ndarray)}


def _check_sizes(archive: zipfile.ZipFile) -> None:
    """Refuse arrays larger than what is there, before NumPy asks for their memory.

    Raises:
        ValueError: a header and a member's size differ, or the archive cannot hold so much.
    """
    for member in archive.infolist():
        if not member.filename.endswith(".npy"):
            continue
        if member.file_size > MAX_DEFLATE_RATIO * (member.compress_size + 1):
            raise ValueError(f"{member.filename} of {member.file_size} bytes cannot be in {member.compress_size}")
        with archive.open(member) as file:
            if file.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
                continue  # not an array: NumPy gives its bytes
            version = tuple(file.read(2))
            # Version 3 differs from 2 in the names of fields alone.
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read_header(file)
            size = prod(shape) * dtype.itemsize
            if not dtype.hasobject and size != member.file_size - file.tell():
                raise ValueError(f"the header of {member.filename} says {shape} of {dtype}, {size} bytes")


def _pick(
    arrays: Mapping[str, np.ndarray], wanted: tuple[str, ...], source: str, *, what: str
) -> tuple[str, np.ndarray]:
    found = [key for key in wanted if key in arrays]
    if not found:
        raise ConfigError(
            f"{source}: there is no array for the {what}: expected one of {', '.join(wanted)}, "
            f"got {', '.join(arrays) or 'an empty archive'}",
            hint="name the target with --target NAME" if what == "target" else None,
        )
    return found[0], arrays[found[0]]


SOURCE = Source(
    summary="an .npz archive",
    matches=lambda path: path.suffix.lower() == ".npz" and not path.is_dir(),
    load=_load,
    read_rows=_read_rows,
)

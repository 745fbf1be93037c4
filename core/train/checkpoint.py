"""Checkpoints: everything a training run consists of, in one file that is there whole or not at all.

The file is a safetensors file whose metadata holds a JSON document, and a checksum over both. Loading one runs no code
of its own, and changes nothing unless all of it fits.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..errors import FormatError, NasturtiumError
from ..spec import canonical_json, check_header, parse_json
from .snapshot import Snapshot

FORMAT = "nasturtium.checkpoint"
VERSION = 1
_LENGTH_BYTES = 8  # a safetensors file begins with the length of its header


class Resumable(Protocol):
    """What can be saved and go on later: a `Trainer`."""

    def snapshot(self) -> Snapshot:
        """Everything that the rest of the run depends on."""
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from there; raises `FormatError`, and changes nothing, where it does not fit."""
        ...


def save_checkpoint(path: Path | str, trainer: Resumable) -> Path:
    """Write a checkpoint, replacing an older one there. Whoever reads, or kills us, finds the old file or the new one.

    Returns:
        The path.

    Raises:
        NasturtiumError: the disk refuses.
    """
    path = Path(path)
    snapshot = trainer.snapshot()
    document = canonical_json({"format": FORMAT, "version": VERSION, **snapshot.document})
    arrays = {name: np.asarray(array, order="C") for name, array in snapshot.arrays.items()}
    content = save(arrays, {"document": document, "sha256": _checksum(document, arrays)})
    draft = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as exc:
        raise NasturtiumError(
            f"{path}: the checkpoint cannot be written: {exc.strerror or exc}",
            hint="free some disk space, check permissions",
        ) from exc
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return path


def load_checkpoint(path: Path | str, trainer: Resumable) -> None:
    """Put a trainer where a checkpoint stands: what it does from there has the bits of the run that was saved.

    Args:
        path: what `save_checkpoint` wrote.
        trainer: made as the saved one was: same network, configuration and options.

    Raises:
        FormatError: the file is no checkpoint, is damaged, of a newer version, or of another run. The trainer is
            unchanged then.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise FormatError(f"{path}: not a checkpoint: {exc.strerror or exc}") from exc
    try:
        trainer.restore(_parse(content))
    except FormatError as exc:
        raise FormatError(f"{path}: {exc.message}", hint=exc.hint) from exc


def _parse(content: bytes) -> Snapshot:
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    if not 0 < length <= len(content) - _LENGTH_BYTES:
        raise FormatError("not a checkpoint: too short, or not a safetensors file")
    header = parse_json(content[_LENGTH_BYTES : _LENGTH_BYTES + length].decode("utf-8", "replace"))
    metadata = cast(dict[str, Any], header).get("__metadata__") if isinstance(header, dict) else None
    said = cast(dict[str, Any], metadata) if isinstance(metadata, dict) else {}
    text, checksum = said.get("document"), said.get("sha256")
    if not (isinstance(text, str) and isinstance(checksum, str)):
        raise FormatError("not a checkpoint: its header holds no document")
    try:
        arrays: dict[str, np.ndarray] = load(content)
    except (SafetensorError, KeyError, ValueError) as exc:  # KeyError: a dtype that NumPy does not have
        raise FormatError(f"the checkpoint is damaged: {exc}") from exc
    if _checksum(text, arrays) != checksum:
        raise FormatError("the checkpoint is damaged: its checksum differs")
    return Snapshot(check_header(parse_json(text), FORMAT, VERSION), arrays)


def _checksum(document: str, arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the document and of all arrays with names, dtypes and shapes, in hex."""
    digest = hashlib.sha256(document.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(canonical_json([name, array.dtype.name, list(array.shape)]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make the new name durable too, where the system can open folders."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

"""A model as bytes, the same at every site that has it: what a run gives out in the end.

    magic, 8 bytes | length of model.json, 4 bytes | model.json | weights.safetensors

These are the files of a model folder, so whoever gets the bytes reads them as it reads any folder: by their schema,
with every length checked before anything is made of it, and no code of theirs.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast

from ..core import ConfigError, FormatError, NasturtiumError, SavedModel, load_model, parse_json, save_model
from .adapters import AdaptedModel, ModelCatalogue
from .adapters.saved import FORMAT as ADAPTED
from .adapters.saved import load_adapted

_MAGIC: Final = b"NSTMODEL"
_JSON: Final = "model.json"
_WEIGHTS: Final = "weights.safetensors"
_MOST_JSON_BYTES: Final = 64 * 2**20
MOST_MODEL_BYTES: Final = 2**33


def pack_model(model: SavedModel | AdaptedModel) -> bytes:
    """A model as bytes; its metadata must be the same at all sites.

    Raises:
        ConfigError: it is larger than what is given out.
        NasturtiumError: no temporary folder can be written.
    """
    with _folder() as folder:
        if isinstance(model, AdaptedModel):
            model.save(folder)
        else:
            save_model(folder, model.spec, model.model, model.preprocessing, model.metadata)
        described, weights = (folder / _JSON).read_bytes(), (folder / _WEIGHTS).read_bytes()
    if len(described) > _MOST_JSON_BYTES or len(described) + len(weights) > MOST_MODEL_BYTES:
        raise ConfigError(f"a model of {len(described) + len(weights):,} bytes is not given out as a whole")
    return b"".join((_MAGIC, len(described).to_bytes(4, "big"), described, weights))


def unpack_model(content: bytes, models: ModelCatalogue | None = None) -> SavedModel | AdaptedModel:
    """The inverse of `pack_model`.

    Args:
        content: from outside.
        models: has the code of models that are no network of the core; what is installed, by default.

    Raises:
        FormatError: it is none, or damaged.
        PlanError: its code is not here.
        NasturtiumError: no temporary folder can be written.
    """
    start = len(_MAGIC) + 4
    size = int.from_bytes(content[len(_MAGIC) : start], "big")
    if not content.startswith(_MAGIC) or len(content) > MOST_MODEL_BYTES or size > len(content) - start:
        raise FormatError(f"no model: {len(content)} bytes that start with {content[:8]!r}")
    described = content[start : start + size]
    document = parse_json(described.decode("utf-8", "replace"))
    adapted = isinstance(document, dict) and cast(dict[str, object], document).get("format") == ADAPTED
    with _folder() as folder:
        folder.mkdir()
        (folder / _JSON).write_bytes(described)
        (folder / _WEIGHTS).write_bytes(content[start + size :])
        return load_adapted(folder, models) if adapted else load_model(folder)


@contextmanager
def _folder() -> Generator[Path]:
    """The path of a folder that is not there yet, in one that only this process's owner can read."""
    try:
        with TemporaryDirectory(prefix="nasturtium-model-") as parent:
            yield Path(parent) / "model"
    except OSError as exc:
        raise NasturtiumError(
            f"a model cannot be put into a temporary folder: {exc.strerror or exc}", hint="free some disk space"
        ) from exc

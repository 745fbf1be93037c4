"""Saved models: a folder with `weights.safetensors` and `model.json` (architecture, preprocessing, checksum).

Loading one runs no code of its own: the JSON names layers of our registry, the weights are plain arrays.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from . import ops
from .data.preprocess import Preprocessing
from .device import CPU
from .errors import ConfigError, FormatError, NasturtiumError
from .nn.module import Module
from .spec import ModelSpec, build, check_header, parse_json
from .tensor import Tensor
from .tensor_file import decode_tensors, encode_tensors
from .train import predict_logits

FORMAT = "nasturtium.model"
VERSION = 1
_JSON = "model.json"
_WEIGHTS = "weights.safetensors"
_MAX_JSON_BYTES = 64 * 2**20
_MAX_WEIGHTS_HEADER_BYTES = 16 * 2**20


@dataclass(frozen=True)
class SavedModel:
    """A trained network with everything it needs to see new rows.

    Attributes:
        spec: the architecture.
        model: the network, in evaluation mode.
        preprocessing: fitted on the training rows; holds the task.
        metadata: JSON values that say where the model came from.
    """

    spec: ModelSpec
    model: Module
    preprocessing: Preprocessing
    metadata: Mapping[str, Any]

    def predict_probabilities(self, rows: ArrayLike) -> np.ndarray:
        """Class probabilities, shape (N, classes), for raw rows (N, features) or (N, *task.row_shape).

        Raises:
            ConfigError: the model predicts measurements.
        """
        task = self.preprocessing.task
        if task.kind != "classification":
            raise ConfigError(
                f"a {task.kind} has no class probabilities: its targets are {', '.join(task.targets)}",
                hint="use predict",
            )
        return ops.softmax(Tensor(self._outputs(rows), device=CPU)).numpy()

    def predict(self, rows: ArrayLike) -> list[str] | np.ndarray:
        """What the task asks for each raw row: the name of the most probable class, or the measurements in their own
        units, float32, shape (N, targets).
        """
        task = self.preprocessing.task
        if task.kind == "regression":
            return self.preprocessing.restore_targets(self._outputs(rows))
        return [task.classes[label] for label in self.predict_probabilities(rows).argmax(-1).tolist()]

    def _outputs(self, rows: ArrayLike) -> np.ndarray:
        """What the network gives for raw rows, shape (N, task.outputs)."""
        return predict_logits(self.model, self.preprocessing.apply(np.asarray(rows, np.float64)))


def save_model(
    folder: Path, spec: ModelSpec, model: Module, preprocessing: Preprocessing, metadata: Mapping[str, Any]
) -> Path:
    """Write a model folder in one step: a reader sees all of it or nothing. An older model there is replaced.

    Returns:
        The folder.

    Raises:
        ConfigError: something that is not a model is there already.
        NasturtiumError: the disk refuses.
    """
    if folder.exists() and not (folder / _JSON).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already and is not a saved model", hint="choose another folder")
    weights = encode_tensors(model.state())
    document = {
        "format": FORMAT,
        "version": VERSION,
        "spec": spec.to_dict(),
        "preprocessing": preprocessing.to_dict(),
        "metadata": dict(metadata),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    draft = folder.parent / f".draft-{uuid.uuid4().hex}"
    try:
        draft.mkdir(parents=True)
        _write(draft / _WEIGHTS, weights)
        _write(draft / _JSON, json.dumps(document, indent=1, allow_nan=False).encode())
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    except OSError as exc:
        raise NasturtiumError(
            f"{folder}: the model cannot be written: {exc.strerror or exc}",
            hint="free some disk space, check permissions",
        ) from exc
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def load_model(folder: Path | str, *, weights_sha256: str | None = None) -> SavedModel:
    """Load a model folder.

    Args:
        folder: what `save_model` wrote.
        weights_sha256: the hash its weights must have, where someone else keeps it too.

    Raises:
        FormatError: the folder is not a model, is damaged, or comes from a newer version.
    """
    folder = Path(folder)
    text = _read(folder / _JSON, _MAX_JSON_BYTES).decode("utf-8", "replace")
    try:
        document = check_header(parse_json(text), FORMAT, VERSION)
        spec = ModelSpec.from_dict(document.get("spec"))
        preprocessing = Preprocessing.from_dict(document.get("preprocessing"))
    except FormatError as exc:
        raise FormatError(f"{folder / _JSON}: {exc.message}", hint=exc.hint) from exc
    task = preprocessing.task
    if (spec.input_shape, *spec.other_shapes) != (task.input_shape,) or spec.plan().output_shape != (task.outputs,):
        raise FormatError(f"{folder}: the architecture does not fit the preprocessing's task")
    # Before anything is built: float32 parameters, and at most as many elements of running statistics.
    parameters_bytes = 4 * spec.plan().parameters
    weights = _read(folder / _WEIGHTS, 2 * parameters_bytes + _MAX_WEIGHTS_HEADER_BYTES)
    if len(weights) < parameters_bytes:
        raise FormatError(f"{folder}: {_WEIGHTS} is too small for the architecture: {len(weights)} bytes")
    said = document.get("weights_sha256")
    if hashlib.sha256(weights).hexdigest() != said or weights_sha256 not in {None, said}:
        raise FormatError(f"{folder}: {_WEIGHTS} is not the file that was saved: its checksum differs")
    model = build(spec, np.random.default_rng(0))
    try:
        state = decode_tensors(weights, device=CPU)
    except FormatError as exc:
        raise FormatError(f"{folder}: {_WEIGHTS} is damaged: {exc.message}") from exc
    model.load_state(state)
    metadata = document.get("metadata")
    facts = cast(dict[str, Any], metadata) if isinstance(metadata, dict) else {}
    return SavedModel(spec, model.eval(), preprocessing, facts)


def weights_file(folder: Path) -> Path:
    """The file of a model folder that holds the arrays."""
    return folder / _WEIGHTS


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, limit: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > limit:
            raise FormatError(f"{path}: {size} bytes are more than the {limit} this model can have")
        return path.read_bytes()
    except OSError as exc:
        raise FormatError(
            f"{path.parent}: not a saved model: {exc.strerror or exc}", hint=f"it must hold {_JSON} and {_WEIGHTS}"
        ) from exc

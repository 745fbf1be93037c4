"""`AdaptedModel`: a trained model of the owner's, with all it needs to see new rows; and its folder.

    model.json | weights.safetensors | native/ for what the model's own library reads

The tensors and the JSON are enough to load it again where its code is; nothing in the folder is code, and no pickle.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from ...core import (
    CPU,
    ConfigError,
    FormatError,
    Metrics,
    NasturtiumError,
    check_header,
    load_tensors,
    parse_json,
    save_tensors,
)
from ...core.data import Preprocessing
from .base import ModelAdapter, evaluate_adapter
from .catalogue import ModelCatalogue
from .spec import AdapterSpec

FORMAT: Final = "nasturtium.adapted-model"
VERSION: Final = 1
_JSON: Final = "model.json"
_WEIGHTS: Final = "weights.safetensors"
_NATIVE: Final = "native"
_MOST_JSON_BYTES: Final = 64 * 2**20
_SLACK: Final = 16 * 2**20


@dataclass(frozen=True, slots=True)
class AdaptedModel:
    """A trained model.

    Attributes:
        spec: its name and options.
        adapter: its code.
        tensors: by name.
        preprocessing: agreed by the sites; holds the task.
        metadata: JSON values that say where the model came from.
    """

    spec: AdapterSpec
    adapter: ModelAdapter
    tensors: Mapping[str, np.ndarray]
    preprocessing: Preprocessing
    metadata: Mapping[str, Any]

    def native(self) -> object:
        """The model as its own library has it: a module of PyTorch, an estimator, a booster.

        It takes prepared rows: `preprocessing.apply` makes them of raw ones.
        """
        return self.adapter.native(self.tensors)

    def predict_probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Class probabilities, shape (N, classes), for raw rows."""
        prepared = self.preprocessing.apply(np.asarray(rows, np.float64))
        logits = self.adapter.logits(self.tensors, prepared).astype(np.float64)
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        return chances / chances.sum(axis=1, keepdims=True)

    def predict(self, rows: np.ndarray) -> list[str]:
        """The name of the most probable class of each raw row."""
        classes = self.preprocessing.task.classes
        return [classes[label] for label in self.predict_probabilities(rows).argmax(axis=1).tolist()]

    def evaluate(self, rows: np.ndarray, labels: np.ndarray) -> Metrics:
        """How it does on raw rows.

        Raises:
            ConfigError: its logits are not finite.
        """
        return evaluate_adapter(self.adapter, self.tensors, self.preprocessing.apply(rows), np.asarray(labels))

    def save(self, folder: Path, metadata: Mapping[str, Any] | None = None) -> Path:
        """Write a model folder in one step: a reader sees all of it or nothing. An older model there is replaced.

        Args:
            folder: where to.
            metadata: JSON values to keep beside what is known already.

        Raises:
            ConfigError: something that is not a model is there already.
            NasturtiumError: the disk refuses.
        """
        if folder.exists() and not (folder / _JSON).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
            raise ConfigError(f"{folder} is there already and is not a saved model", hint="choose another folder")
        draft = folder.parent / f".draft-{uuid.uuid4().hex}"
        try:
            (draft / _NATIVE).mkdir(parents=True)
            save_tensors(draft / _WEIGHTS, dict(self.tensors))
            document = {
                "format": FORMAT,
                "version": VERSION,
                "spec": self.spec.to_dict(),
                "preprocessing": self.preprocessing.to_dict(),
                "metadata": {**self.metadata, **(metadata or {})},
                "weights_sha256": hashlib.sha256((draft / _WEIGHTS).read_bytes()).hexdigest(),
            }
            (draft / _JSON).write_text(json.dumps(document, indent=1, allow_nan=False))
            self.adapter.save(self.tensors, draft / _NATIVE)
            if not any((draft / _NATIVE).iterdir()):
                (draft / _NATIVE).rmdir()
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


def load_adapted(folder: Path | str, models: ModelCatalogue | None = None) -> AdaptedModel:
    """Load a model folder.

    Args:
        folder: what `AdaptedModel.save` wrote.
        models: has the model's code; what is installed, by default.

    Raises:
        FormatError: no such folder, damaged, or of another version.
        PlanError: its code is not here, or makes other tensors.
    """
    folder = Path(folder)
    try:
        if (folder / _JSON).stat().st_size > _MOST_JSON_BYTES:
            raise FormatError(f"{folder / _JSON}: too large for a model's description")
        document = check_header(parse_json((folder / _JSON).read_text("utf-8", "replace")), FORMAT, VERSION)
        spec = AdapterSpec.from_dict(document.get("spec"))
        prepared = Preprocessing.from_dict(document.get("preprocessing"))
        if (folder / _WEIGHTS).stat().st_size > 8 * sum(each.size for each in spec.tensors.tensors) + _SLACK:
            raise FormatError(f"{folder / _WEIGHTS}: more bytes than the model can have")
        if hashlib.sha256((folder / _WEIGHTS).read_bytes()).hexdigest() != document.get("weights_sha256"):
            raise FormatError(f"{folder}: {_WEIGHTS} is not the file that was saved: its checksum differs")
        adapter = (models or ModelCatalogue()).open(spec, prepared.task, plain=True)
        tensors = adapter.tensors.check(load_tensors(folder / _WEIGHTS, device=CPU))
    except OSError as exc:
        raise FormatError(f"{folder}: not a saved model: {exc.strerror or exc}") from exc
    facts = document.get("metadata")
    return AdaptedModel(
        spec, adapter, tensors, prepared, cast(dict[str, Any], facts) if isinstance(facts, dict) else {}
    )

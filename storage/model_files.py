"""The files of a saved model as artifacts: what they are called, and the folder for people made from them again."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from .artifacts import ArtifactStore
from .errors import IntegrityError, StorageError
from .models import Artifact, Run, RunArtifact
from .records import ArtifactRecord

if TYPE_CHECKING:
    from .database import Database

MODEL_ROLE: Final = "model"
WEIGHTS_NAME: Final = "weights.safetensors"
MEDIA_TYPES: Mapping[str, str] = {
    ".json": "application/json",
    ".onnx": "application/onnx",
    ".safetensors": "application/vnd.safetensors",
}


def adopt_models(session: Session, models_dir: Path, store: ArtifactStore) -> None:
    """Store the models of a history that was made before there were artifacts, where their folders are intact."""
    rows = session.execute(
        select(Run.uid, RunArtifact.name, Artifact.sha256)
        .join(Run, Run.id == RunArtifact.run_id)
        .join(Artifact, Artifact.id == RunArtifact.artifact_id)
        .where(RunArtifact.role == MODEL_ROLE)
    )
    for uid, name, sha256 in rows:
        path = models_dir / uid / name
        if sha256 not in store and path.is_file():
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == sha256:  # else it was altered, and what was recorded is gone
                store.add_bytes(content)


def unpack_model(database: Database, files: Iterable[ArtifactRecord], folder: Path) -> None:
    """Make a model folder from its artifacts, in one step: a reader sees all of it or nothing.

    Raises:
        IntegrityError: an artifact is gone, or not what was stored.
        StorageError: the folder cannot be written.
    """
    store = ArtifactStore(database.artifacts_dir)
    draft = folder.parent / f".draft-{uuid.uuid4().hex}"
    try:
        draft.mkdir(parents=True)
        for file in files:
            if file.name != Path(file.name).name:
                raise IntegrityError(f"the history names a file outside the model's folder: {file.name!r}")
            store.verify(file.sha256)
            shutil.copyfile(store.path(file.sha256), draft / file.name)
        draft.rename(folder)
    except OSError as exc:
        if folder.is_dir():
            return  # another process made it meanwhile
        raise StorageError(f"cannot write {folder}: {exc.strerror or exc}", hint="free some disk space") from exc
    finally:
        shutil.rmtree(draft, ignore_errors=True)

"""Models by name, in versions, with aliases that point to one of them, and where they were served.

A promotion is durable and an entry of the ledger: who asks later which model was in production can trust the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from ulid import ULID

from ..core import ConfigError
from . import process
from .clock import now_us
from .database import Database, serialise
from .errors import UnknownModelError
from .ledger import Ledger
from .lineage import link
from .model_files import MODEL_ROLE, WEIGHTS_NAME
from .models import Alias, Artifact, Deployment, Model, ModelVersion, Run, RunArtifact, from_us
from .records import VersionRecord
from .runs import require_run
from .upsert import ensure_row, put_rows

_NAME = re.compile(r"[^\s:@/\\\0]{1,100}")
_HINT = "list them: nasturtium model list"


class ModelRegistry:
    """Published models.

    Args:
        database: stays the caller's.
        clock: tells the time in microseconds UTC.
    """

    def __init__(self, database: Database, *, clock: Callable[[], int] = now_us) -> None:
        self._database = database
        self._clock = clock

    def register(
        self, name: str, run: str, *, signature: Mapping[str, Any] | None = None, opset: int | None = None
    ) -> VersionRecord:
        """Publish the model that a run saved, as the next version of `name`; the same model again is the same version.

        Args:
            name: no blanks, no ":", "@" or slashes.
            run: uid of the run.
            signature: inputs and outputs, JSON.
            opset: of an ONNX file.

        Raises:
            ConfigError: not a name, or the run saved no model.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"expected a model's name of 1 to 100 letters, without blanks, ':', '@' and slashes, got {name!r}"
            )
        with self._database.write(durable=True) as session:
            serialise(session)
            run_id = require_run(session, run)
            artifact_id = session.scalar(
                select(RunArtifact.artifact_id).where(
                    RunArtifact.run_id == run_id,
                    RunArtifact.role == MODEL_ROLE,
                    RunArtifact.name.in_([WEIGHTS_NAME, "model.onnx"]),
                )
            )
            if artifact_id is None:
                raise ConfigError(f"run {run} saved no model", hint="finish it first")
            now = self._clock()
            model_id = ensure_row(session, Model, "name", {"name": name, "created_us": now})
            of_model = select(ModelVersion).where(ModelVersion.model_id == model_id)
            version = session.scalar(of_model.where(ModelVersion.artifact_id == artifact_id))
            if version is None:
                newest = session.scalar(select(func.max(ModelVersion.version)).where(ModelVersion.model_id == model_id))
                version = ModelVersion(
                    model_id=model_id,
                    version=(newest or 0) + 1,
                    run_id=run_id,
                    artifact_id=artifact_id,
                    signature=dict(signature or {}),
                    opset=opset,
                    created_us=now,
                )
                session.add(version)
                session.flush()
            link(session, (("artifact", artifact_id), "published as", ("version", version.id)))
            return _record(session, version, name)

    def promote(self, ref: str, alias: str) -> VersionRecord:
        """Let `alias` of a model point to one version of it, as `promote("digits:2", "production")`."""
        if not _NAME.fullmatch(alias) or alias.isdecimal():
            raise ConfigError(f"expected a word as alias, got {alias!r}", hint="such as production")
        with self._database.write(durable=True) as session:
            serialise(session)
            version, name = find_version(session, ref)
            row = {
                "model_id": version.model_id,
                "alias": alias,
                "version_id": version.id,
                "set_us": self._clock(),
            }
            put_rows(session, Alias, [row])
            record = _record(session, version, name)
            body = {"model": name, "version": version.version, "alias": alias, "sha256": record.sha256}
            Ledger(self._database, clock=self._clock).append("promotion", body, run=record.run, session=session)
            return record

    def find(self, ref: str) -> VersionRecord:
        """The version that `ref` names: "digits:2", "digits@production", or "digits" for the newest.

        Raises:
            UnknownModelError: there is none.
        """
        with self._database.read() as session:
            version, name = find_version(session, ref)
            return _record(session, version, name)

    def versions(self, name: str | None = None) -> list[VersionRecord]:
        """All versions, of one model or of all, newest first."""
        statement = select(ModelVersion, Model.name).join(Model, Model.id == ModelVersion.model_id)
        if name is not None:
            statement = statement.where(Model.name == name)
        with self._database.read() as session:
            rows = session.execute(statement.order_by(Model.name, ModelVersion.version.desc())).all()
            return [_record(session, version, model) for version, model in rows]

    def deploy(self, ref: str, *, endpoint: str) -> str:
        """Record that a version is served at `endpoint` from now on; the deployment's uid."""
        uid = str(ULID())
        with self._database.write(durable=True) as session:
            version, _ = find_version(session, ref)
            deployment = Deployment(
                uid=uid,
                version_id=version.id,
                endpoint=endpoint,
                host=process.host(),
                started_us=self._clock(),
            )
            session.add(deployment)
            session.flush()
            link(session, (("version", version.id), "served as", ("deployment", deployment.id)))
        return uid

    def undeploy(self, uid: str) -> None:
        """Record that a deployment ended."""
        with self._database.write() as session:
            found = session.scalar(select(Deployment).where(Deployment.uid == uid))
            if found is None:
                raise UnknownModelError(f"there is no deployment {uid}")
            found.stopped_us = found.stopped_us or self._clock()


def model_name(data: str) -> str:
    """The name that models of some data are published under: the data's own, without what a name cannot have."""
    return re.sub(r"[\s:@/\\\0]+", "-", data)[:100].strip("-") or "model"


def find_version(session: Session, ref: str) -> tuple[ModelVersion, str]:
    """The version that `ref` names, with the name of its model; see `ModelRegistry.find`."""
    name, at, alias = ref.partition("@")
    name, colon, number = name.partition(":")
    statement = select(ModelVersion).join(Model, Model.id == ModelVersion.model_id).where(Model.name == name)
    if at:
        statement = statement.join(Alias, Alias.version_id == ModelVersion.id).where(Alias.alias == alias)
    elif colon:
        if not (number.isascii() and number.isdecimal() and len(number) < 10):
            raise UnknownModelError(f"expected NAME:NUMBER, NAME@ALIAS or NAME, got {ref!r}", hint=_HINT)
        statement = statement.where(ModelVersion.version == int(number))
    version = session.scalar(statement.order_by(ModelVersion.version.desc()).limit(1))
    if version is None:
        raise UnknownModelError(f"there is no model {ref}", hint=_HINT)
    return version, name


def _record(session: Session, version: ModelVersion, name: str) -> VersionRecord:
    run, sha256 = session.execute(
        select(Run.uid, Artifact.sha256)
        .select_from(Artifact)
        .outerjoin(Run, Run.id == version.run_id)
        .where(Artifact.id == version.artifact_id)
    ).one()
    aliases = session.scalars(select(Alias.alias).where(Alias.version_id == version.id).order_by(Alias.alias))
    return VersionRecord(
        model=name,
        version=version.version,
        run=run,
        sha256=sha256,
        signature=version.signature,
        opset=version.opset,
        aliases=tuple(aliases),
        created=from_us(version.created_us),
    )

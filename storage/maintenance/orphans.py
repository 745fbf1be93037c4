"""Rows and files that nothing points to any more: what a check reports and a compaction removes."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import ColumnElement, and_, exists, or_, select

from ..models import (
    Architecture,
    Artifact,
    Ceremony,
    Dataset,
    Deployment,
    Lineage,
    ModelVersion,
    Run,
    RunArtifact,
)
from ..records import NodeKind

Vertex = type[Run | Dataset | Architecture | Artifact | ModelVersion | Deployment | Ceremony]
VERTICES: Final[Mapping[NodeKind, Vertex]] = {
    "run": Run,
    "dataset": Dataset,
    "architecture": Architecture,
    "artifact": Artifact,
    "version": ModelVersion,
    "deployment": Deployment,
    "ceremony": Ceremony,
}


def is_loose_edge() -> ColumnElement[bool]:
    """Whether a row of `nst_lineage` has lost one of its ends."""
    return or_(
        *(
            and_(kind == name, ~exists(select(table.id).where(table.id == id_).correlate(Lineage)))
            for kind, id_ in ((Lineage.source_kind, Lineage.source_id), (Lineage.target_kind, Lineage.target_id))
            for name, table in VERTICES.items()
        )
    )


def is_unused_artifact() -> ColumnElement[bool]:
    """Whether a row of `nst_artifact` belongs to no run and to no version of a model."""
    return and_(
        *(
            ~exists(select(table.artifact_id).where(table.artifact_id == Artifact.id).correlate(Artifact))
            for table in (RunArtifact, ModelVersion)
        )
    )

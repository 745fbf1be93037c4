"""One lineage, told: from anything with a name or a hash back to all it was made from, and on to what came of it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .database import Database
from .errors import UnknownRunError
from .ledger import Ledger
from .lineage import Direction, Vertex, walk
from .models import (
    Architecture,
    Artifact,
    Ceremony,
    Dataset,
    Deployment,
    Model,
    ModelVersion,
    Round,
    RunDataset,
    Search,
    Trial,
    from_us,
)
from .records import NodeKind
from .runs import read_runs, resolve_run
from .spending import subtract

MIN_HASH_LETTERS = 8
_HASH = re.compile(rf"(?:sha256:)?([0-9a-f]{{{MIN_HASH_LETTERS},64}})")


@dataclass(frozen=True, slots=True)
class LineageNode:
    """One thing in a lineage.

    Attributes:
        ref: how to name it to find it again: a run's ULID, a hash, "digits:2".
        title: in a few words.
        facts: what is known of it, JSON.
    """

    kind: NodeKind
    ref: str
    title: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LineageEdge:
    """`target` was made from `source`; both are places in `LineageRecord.nodes`."""

    source: int
    relation: str
    target: int


@dataclass(frozen=True, slots=True)
class LineageRecord:
    """All that one thing was made from, or all that came of it.

    Attributes:
        nodes: the first is the one that was asked for.
        edges: between them.
        direction: which way.
    """

    nodes: Sequence[LineageNode]
    edges: Sequence[LineageEdge]
    direction: Direction


def trace(database: Database, ref: str, *, direction: Direction = "origins") -> LineageRecord:
    """Follow the lineage of `ref`: a run as `History.find` takes it, a model as "digits:2" or "digits@production", the
    ULID of a deployment, or at least eight letters of the SHA-256 of a file, an architecture or a data set.

    Raises:
        UnknownRunError: nothing answers to that, or several things do.
    """
    with database.read() as session:
        start = _find(session, ref.strip())
        edges = walk(session, start, direction)
        vertices = list(dict.fromkeys([start, *(end for edge in edges for end in (edge.source, edge.target))]))
        place = {vertex: i for i, vertex in enumerate(vertices)}
        described = _describe(session, vertices)
    nodes = [_with_privacy(database, described[vertex]) for vertex in vertices]
    return LineageRecord(
        nodes, [LineageEdge(place[edge.source], edge.relation, place[edge.target]) for edge in edges], direction
    )


def _find(session: Session, ref: str) -> Vertex:
    if (":" in ref and not ref.startswith("sha256:")) or "@" in ref[1:]:
        return _find_version(session, ref)
    deployment = session.scalar(select(Deployment.id).where(Deployment.uid == ref.upper()))
    if deployment is not None:
        return Vertex("deployment", deployment)
    missing: UnknownRunError
    try:
        return Vertex("run", resolve_run(session, ref))
    except UnknownRunError as exc:
        missing = exc
    match = _HASH.fullmatch(ref.lower())
    if match is None:
        raise UnknownRunError(
            f"nothing answers to {ref!r}: {missing.message}",
            hint="name a run, a model as digits:1, or the first 8 letters of a SHA-256",
        )
    prefix = match[1]
    found: list[Vertex] = []
    for kind, table, column in _HASHED:
        like = f"sha256:{prefix}%" if kind == "dataset" else f"{prefix}%"
        also = column.like(f"{prefix}%") | column.like(like)
        found += [Vertex(kind, id) for id in session.scalars(select(table.id).where(also).limit(2))]
    if not found:
        raise UnknownRunError(f"nothing here has the SHA-256 {prefix}", hint="see the files of a run: history show")
    if len(found) > 1:
        kinds = ", ".join(sorted(vertex.kind for vertex in found))
        raise UnknownRunError(f"several things have a SHA-256 beginning with {prefix}: {kinds}", hint="give more of it")
    return found[0]


_HASHED: Sequence[tuple[NodeKind, Any, Any]] = (
    ("artifact", Artifact, Artifact.sha256),
    ("architecture", Architecture, Architecture.sha256),
    ("dataset", Dataset, Dataset.fingerprint),
)


def _find_version(session: Session, ref: str) -> Vertex:
    from .registry import find_version

    return Vertex("version", find_version(session, ref)[0].id)


def _describe(session: Session, vertices: Sequence[Vertex]) -> dict[Vertex, LineageNode]:
    """What is known of each, a fixed number of queries for each kind."""
    by_kind: dict[NodeKind, list[int]] = {}
    for vertex in vertices:
        by_kind.setdefault(vertex.kind, []).append(vertex.id)
    described: dict[Vertex, LineageNode] = {}
    for kind, ids in by_kind.items():
        told: dict[int, LineageNode] = {}
        for start in range(0, len(ids), 500):
            told |= _TELL[kind](session, ids[start : start + 500])
        for id in ids:
            gone = LineageNode(kind, "?", f"a {kind} that is gone", {})
            described[Vertex(kind, id)] = told.get(id, gone)
    return described


def _tell_runs(session: Session, ids: Sequence[int]) -> dict[int, LineageNode]:
    numbers = {
        row.run_id: row for row in session.execute(select(Trial.run_id, Trial.number).where(Trial.run_id.in_(ids)))
    }
    searches = {
        row.run_id: row
        for row in session.execute(
            select(Search.run_id, Search.space, Search.sampler, Search.trials).where(Search.run_id.in_(ids))
        )
    }
    rounds = {
        row.run_id: row
        for row in session.execute(
            select(Round.run_id, func.count().label("rounds"), func.sum(Round.bytes_up).label("bytes_up"))
            .where(Round.run_id.in_(ids))
            .group_by(Round.run_id)
        )
    }
    sites: dict[int, list[str]] = {}
    for run_id, role in session.execute(
        select(RunDataset.run_id, RunDataset.role)
        .where(RunDataset.run_id.in_(ids), RunDataset.role.like("site/%"))
        .order_by(func.length(RunDataset.role), RunDataset.role)
    ):
        sites.setdefault(run_id, []).append(role.removeprefix("site/"))
    told: dict[int, LineageNode] = {}
    for run_id, run in read_runs(session, ids).items():
        name = f"{run.kind} {run.number}" if run.number is not None else run.kind
        facts: dict[str, Any] = {
            "number": run.number,
            "run_kind": run.kind,
            "state": run.state,
            "data": run.name,
            "started": run.started,
            "metrics": run.metrics,
        }
        if run_id in numbers:
            name = f"trial {numbers[run_id].number + 1}"
            facts |= {"trial": numbers[run_id].number + 1, "params": run.params}
        if run_id in searches:
            search = searches[run_id]
            facts |= {"space": search.space, "strategy": search.sampler, "trials": search.trials}
        if run_id in rounds:
            facts |= {"rounds": rounds[run_id].rounds, "bytes_up": int(rounds[run_id].bytes_up)}
            facts["sites"] = sites.get(run_id, [])
        told[run_id] = LineageNode("run", run.uid, f"{name} on {run.name}", facts)
    return told


def _tell_datasets(session: Session, ids: Sequence[int]) -> dict[int, LineageNode]:
    return {
        row.id: LineageNode(
            "dataset",
            row.fingerprint,
            f"data {row.name}" + ("" if row.rows is None else f", {row.rows:,} rows"),
            {"name": row.name, "rows": row.rows, "fingerprint": row.fingerprint, "keyed": row.keyed},
        )
        for row in session.scalars(select(Dataset).where(Dataset.id.in_(ids)))
    }


def _tell_architectures(session: Session, ids: Sequence[int]) -> dict[int, LineageNode]:
    return {
        row.id: LineageNode(
            "architecture",
            row.sha256,
            f"architecture of space {row.space}, {row.parameters:,} parameters",
            {"space": row.space, "parameters": row.parameters, "macs": row.macs, "choices": row.choices},
        )
        for row in session.scalars(select(Architecture).where(Architecture.id.in_(ids)))
    }


def _tell_artifacts(session: Session, ids: Sequence[int]) -> dict[int, LineageNode]:
    return {
        row.id: LineageNode(
            "artifact",
            row.sha256,
            f"file {row.media_type}, {row.size_bytes:,} bytes",
            {"sha256": row.sha256, "size_bytes": row.size_bytes, "media_type": row.media_type},
        )
        for row in session.scalars(select(Artifact).where(Artifact.id.in_(ids)))
    }


def _tell_versions(session: Session, ids: Sequence[int]) -> dict[int, LineageNode]:
    rows = session.execute(
        select(ModelVersion, Model.name).join(Model, Model.id == ModelVersion.model_id).where(ModelVersion.id.in_(ids))
    )
    return {
        row.id: LineageNode(
            "version",
            f"{name}:{row.version}",
            f"model {name}, version {row.version}",
            {"model": name, "version": row.version, "opset": row.opset, "created": from_us(row.created_us)},
        )
        for row, name in rows
    }


def _tell_deployments(session: Session, ids: Sequence[int]) -> dict[int, LineageNode]:
    return {
        row.id: LineageNode(
            "deployment",
            row.uid,
            f"served at {row.endpoint}",
            {
                "endpoint": row.endpoint,
                "host": row.host,
                "started": from_us(row.started_us),
                "stopped": None if row.stopped_us is None else from_us(row.stopped_us),
            },
        )
        for row in session.scalars(select(Deployment).where(Deployment.id.in_(ids)))
    }


def _tell_ceremonies(session: Session, ids: Sequence[int]) -> dict[int, LineageNode]:
    return {
        row.id: LineageNode(
            "ceremony",
            row.uid,
            f"key {row.key_id[:12]} of {len(row.members)} sites, {row.scheme}",
            {
                "scheme": row.scheme,
                "key_id": row.key_id,
                "members": row.members,
                "public_key_sha256": row.public_key_sha256,
            },
        )
        for row in session.scalars(select(Ceremony).where(Ceremony.id.in_(ids)))
    }


_TELL = {
    "run": _tell_runs,
    "dataset": _tell_datasets,
    "architecture": _tell_architectures,
    "artifact": _tell_artifacts,
    "version": _tell_versions,
    "deployment": _tell_deployments,
    "ceremony": _tell_ceremonies,
}


def _with_privacy(database: Database, node: LineageNode) -> LineageNode:
    """A federated run with what it cost in privacy, by the ledger."""
    if node.kind != "run" or node.facts.get("run_kind") != "federated":
        return node
    return LineageNode(node.kind, node.ref, node.title, {**node.facts, "privacy": spent_by_run(database, node.ref)})


def spent_by_run(database: Database, run: str) -> list[dict[str, Any]]:
    """What the run of that uid released, by the ledger: for each subject how often, and what that cost by itself: the
    figures under `run` in the details of its last entry, else by how much the accountant's total grew from before its
    first release to its last.
    """
    ledger = Ledger(database)
    told: list[dict[str, Any]] = []
    for subject in dict.fromkeys(entry.subject for entry in ledger.entries(run=run, kind="spend")):
        entries = ledger.entries(subject=subject, kind="spend")
        own = [place for place, entry in enumerate(entries) if entry.run == run]
        before = {"epsilon": 0.0, "delta": 0.0} if own[0] == 0 else entries[own[0] - 1].body["total"]
        after = entries[own[-1]].body["total"]
        alone = entries[own[-1]].body.get("details", {}).get("run")
        if isinstance(alone, Mapping):
            cost = {name: float(cast("Mapping[str, Any]", alone)[name]) for name in ("epsilon", "delta")}
        else:
            cost = {name: _growth(float(before[name]), float(after[name])) for name in ("epsilon", "delta")}
        told.append({"subject": subject, "releases": len(own), **cost})
    return told


def _growth(before: float, after: float) -> float:
    return after if math.isinf(after) else float(subtract(after, before))

"""What was made from what: edges between runs, data, architectures, files, versions and deployments, and their walk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from sqlalchemy import BigInteger, literal, select
from sqlalchemy.orm import Session, aliased

from .models import Lineage
from .records import NodeKind
from .upsert import insert

# How an edge is told, and how it is told from its target back to its source.
RELATIONS: Mapping[str, str] = {
    "trained on by": "trained on",
    "trained on at a site by": "trained at a site on",
    "proposed": "proposed by",
    "evaluated by": "evaluates",
    "retrained as": "retrains",
    "evaluated as": "evaluates",
    "exported as": "exports",
    "network of": "has the network of",
    "key of": "under",
    "saved": "saved by",
    "published as": "publishes",
    "served as": "serves",
}
Direction = Literal["origins", "results"]
NODE_KINDS: Final[Sequence[NodeKind]] = get_args(NodeKind)


@dataclass(frozen=True, slots=True)
class Vertex:
    """One thing in the lineage: the table it is in, and its key there."""

    kind: NodeKind
    id: int


@dataclass(frozen=True, slots=True)
class Edge:
    """`target` was made from `source`."""

    source: Vertex
    relation: str
    target: Vertex


def link(session: Session, *edges: tuple[tuple[NodeKind, int | None], str, tuple[NodeKind, int]]) -> None:
    """Write edges (source, relation, target); one whose source is None is left out, one that is there stays."""
    rows = [
        {
            "source_kind": source[0],
            "source_id": source[1],
            "relation": relation,
            "target_kind": target[0],
            "target_id": target[1],
        }
        for source, relation, target in edges
        if source[1] is not None
    ]
    if rows:
        session.execute(insert(session, Lineage).on_conflict_do_nothing(), rows)


def walk(session: Session, start: Vertex, direction: Direction) -> list[Edge]:
    """All edges on the ways from `start` to its origins, or to what came of it."""
    if direction == "origins":
        near, far = (Lineage.target_kind, Lineage.target_id), (Lineage.source_kind, Lineage.source_id)
    else:
        near, far = (Lineage.source_kind, Lineage.source_id), (Lineage.target_kind, Lineage.target_id)
    first = select(literal(start.kind).label("kind"), literal(start.id, BigInteger).label("id"))
    reached = first.cte("reached", recursive=True)
    known = aliased(reached)
    reached = reached.union(
        select(far[0], far[1]).join(known, (near[0] == known.c.kind) & (near[1] == known.c.id))
    )  # a union without duplicates ends also where the edges went in a circle
    rows = session.execute(
        select(Lineage.source_kind, Lineage.source_id, Lineage.relation, Lineage.target_kind, Lineage.target_id).join(
            reached, (near[0] == reached.c.kind) & (near[1] == reached.c.id)
        )
    )
    return sorted(
        {
            Edge(Vertex(source_kind, source_id), relation, Vertex(target_kind, target_id))
            for source_kind, source_id, relation, target_kind, target_id in rows
        },
        key=lambda edge: (edge.target.kind, edge.target.id, edge.relation, edge.source.kind, edge.source.id),
    )

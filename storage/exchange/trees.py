"""Rows as documents: many runs at once in a fixed number of queries, in an order that does not depend on any key."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, Final, cast

from sqlalchemy import Select, bindparam, exists, func, literal, select
from sqlalchemy.orm import Session, aliased

from ..models import (
    Alias,
    Architecture,
    Artifact,
    Base,
    Ceremony,
    Contribution,
    Dataset,
    Deployment,
    Environment,
    Experiment,
    Federation,
    Lineage,
    Metric,
    MetricPoint,
    Model,
    ModelVersion,
    Name,
    Node,
    Note,
    Param,
    Round,
    Run,
    RunArtifact,
    RunDataset,
    Search,
    SystemPoint,
    Tag,
    Trial,
)
from ..records import NodeKind
from . import shape
from .figures import write_figure, write_figures, write_optional

Statement = Select[*tuple[Any, ...]]
SLICE: Final = 500  # keys in one query; SQLite takes 32,766 parameters, older ones 999
GROUP_RUNS: Final = 500
GROUP_POINTS: Final = 200_000
_SITE: Final = "site/"  # how the role of a site's data begins


@dataclass(frozen=True, slots=True)
class Tree:
    """The keys of a top-level run and of all below it, parents first."""

    root: int
    runs: Sequence[int]


def slices(keys: Sequence[Any], size: int = SLICE) -> Iterator[Sequence[Any]]:
    """Consecutive parts of a long sequence."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def find_roots(session: Session, *, deleted: bool) -> list[int]:
    """The keys of the top-level runs, by number; the deleted ones, too, if they are wanted."""
    statement = select(Run.id).where(Run.parent_id.is_(None)).order_by(Run.number, Run.id)
    return list(session.scalars(statement if deleted else statement.where(Run.deleted_us.is_(None))))


def find_trees(session: Session, roots: Sequence[int], *, deleted: bool) -> Iterator[list[Tree]]:
    """The trees of some top-level runs, in their order, in groups that can be held at once.

    A tree that is larger than others together may be is alone in its group.
    """
    for part in slices(roots):
        group: list[Tree] = []
        runs = points = 0
        for tree, size in _measured(session, part, deleted):
            if group and (runs + len(tree.runs) > GROUP_RUNS or points + size > GROUP_POINTS):
                yield group
                group, runs, points = [], 0, 0
            group.append(tree)
            runs, points = runs + len(tree.runs), points + size
        if group:
            yield group


def _measured(session: Session, roots: Sequence[int], deleted: bool) -> Iterator[tuple[Tree, int]]:
    """The trees, and how many points they have."""
    tree = select(Run.id, Run.id.label("root"), literal(0).label("depth")).where(Run.id.in_(roots))
    reached = tree.cte("tree", recursive=True)
    child = aliased(Run)
    below = select(child.id, reached.c.root, reached.c.depth + 1).join(reached, child.parent_id == reached.c.id)
    reached = reached.union_all(below if deleted else below.where(child.deleted_us.is_(None)))
    found: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for run_id, root, depth in session.execute(select(reached.c.id, reached.c.root, reached.c.depth)):
        found[root].append((depth, run_id))
    everything = [run_id for runs in found.values() for _, run_id in runs]
    points: defaultdict[int, int] = defaultdict(int)
    for statement in (
        select(Metric.run_id, func.sum(Metric.points)).group_by(Metric.run_id),
        select(SystemPoint.run_id, func.count()).group_by(SystemPoint.run_id),
    ):
        for run_id, count in fetch(session, statement, everything):
            points[run_id] += int(count)
    for root in roots:
        runs = [run_id for _, run_id in sorted(found[root])]
        yield Tree(root, runs), sum(points[run_id] for run_id in runs)


def read_names(session: Session) -> Mapping[int, str]:
    """How metrics, parameters and tags are called, by key."""
    return dict(iter(session.execute(select(Name.id, Name.name))))


def read_trees(session: Session, trees: Sequence[Tree], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """The documents of a group of trees; `names` are those of `read_names`."""
    return _Reader(session, trees, names).read()


def read_rest(session: Session) -> dict[str, Any] | None:
    """The document of what belongs to no run: experiments without any, sites that gave nothing yet, keys, published
    models whose run was purged; None where there is nothing.
    """
    [document] = _Reader(session, None, {}).read()
    return document if any(document.values()) else None


class _Reader:
    """Reads one group of trees, or what belongs to no run.

    Args:
        session: sees one state of the database.
        trees: the group; None for what belongs to no run.
        names: of metrics, parameters and tags.
    """

    def __init__(self, session: Session, trees: Sequence[Tree] | None, names: Mapping[int, str]) -> None:
        self._session = session
        self._trees = trees
        self._names = names
        self._root_of: dict[int, int] = {run_id: tree.root for tree in trees or () for run_id in tree.runs}
        self._ids = sorted(self._root_of)
        self._runs: dict[int, dict[str, Any]] = {}
        self._needs: defaultdict[int | None, dict[type[Base], set[int]]]  # by root: the keys of what others may have
        self._needs = defaultdict(lambda: {table: set() for table, _, _ in _SHARED.values()})
        self._ceremonies: defaultdict[int | None, list[dict[str, Any]]] = defaultdict(list)
        self._models: defaultdict[int | None, list[dict[str, Any]]] = defaultdict(list)
        self._owned: dict[NodeKind, dict[int, int | None]] = {"run": {**self._root_of}}  # kind -> key -> root

    def read(self) -> list[dict[str, Any]]:
        """The documents, in the order of the trees."""
        if self._trees is None:
            self._need_the_rest()
        self._read_runs()
        self._read_named()
        self._read_curves()
        self._read_files()
        self._read_details()
        self._read_rounds()
        self._read_ceremonies()
        self._read_models()
        lineage = self._read_lineage()
        shared = self._read_shared()
        trees = [Tree(0, ())] if self._trees is None else self._trees
        roots = [None] if self._trees is None else [tree.root for tree in trees]
        return [
            {
                "runs": [self._runs[run_id] for run_id in tree.runs],
                **shared[root],
                "ceremonies": sorted(self._ceremonies[root], key=itemgetter("uid")),
                "models": sorted(self._models[root], key=itemgetter("model", "version")),
                "lineage": [list(edge) for edge in sorted(lineage[root])],
            }
            for root, tree in zip(roots, trees, strict=True)
        ]

    def _of_runs(self, statement: Statement, *, none: bool = False) -> Iterator[Any]:
        """The rows whose first column is a run of the group, or none where that is what is read."""
        if self._trees is None and none:
            return iter(self._session.execute(statement.where(statement.selected_columns[0].is_(None))))
        return fetch(self._session, statement, self._ids)

    def _raw(self, statement: Statement) -> Iterator[tuple[Any, ...]]:
        """As `_of_runs`, but as the driver has them, in half the time."""
        return fetch(self._session, statement, self._ids, raw=True)

    def _need(self, run_id: int | None, table: type[Base], key: int) -> None:
        self._needs[None if run_id is None else self._root_of[run_id]][table].add(key)

    def _need_the_rest(self) -> None:
        used = select(Run.id).where(Run.experiment_id == Experiment.id)
        gave = select(Contribution.run_id).where(Contribution.node_id == Node.id)
        named = select(RunDataset.run_id).where(RunDataset.role == _SITE + Node.name)
        for table, statement in (
            (Experiment, select(Experiment.id).where(~exists(used))),
            (Node, select(Node.id).where(~exists(gave), ~exists(named))),
        ):
            self._needs[None][table].update(self._session.scalars(statement))

    def _read_runs(self) -> None:
        parent = aliased(Run)
        statement = (
            select(Run.id, *_columns(Run, shape.RUN), parent.uid, Experiment.uid, Environment.sha256)
            .add_columns(Run.experiment_id, Run.environment_id)
            .join(Experiment, Experiment.id == Run.experiment_id)
            .join(Environment, Environment.id == Run.environment_id)
            .outerjoin(parent, parent.id == Run.parent_id)
        )
        for run_id, *values, above, experiment, environment, experiment_id, environment_id in self._of_runs(statement):
            run = self._runs[run_id] = {
                **_row(shape.RUN, values),
                "parent": above,
                "experiment": experiment,
                "environment": environment,
                "datasets": {},
                "params": {},
                "tags": {},
                "notes": [],
                "metrics": {},
                "system": {},
                "artifacts": [],
                "search": None,
                "trial": None,
                "federation": None,
                "rounds": [],
            }
            if run["state"] == "running":  # which it is no more where the document is read
                run["state"] = "interrupted"
            self._need(run_id, Experiment, experiment_id)
            self._need(run_id, Environment, environment_id)

    def _read_named(self) -> None:
        """Parameters, tags, notes and figures."""
        names, decode, known = self._names, json.JSONDecoder().raw_decode, dict[str, Any]()
        params: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        for run_id, name_id, text, is_text in self._raw(select(Param.run_id, Param.name_id, Param.text, Param.is_text)):
            value = text if is_text else known.get(text)  # the same ones come again and again
            if value is None:
                value = known[text] = decode(text)[0]
            params[run_id][names[name_id]] = value
        self._put("params", params)
        tags: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        for run_id, name_id, value, edited_us in self._raw(select(Tag.run_id, Tag.name_id, Tag.value, Tag.edited_us)):
            tags[run_id][names[name_id]] = {"value": value, "edited_us": edited_us}
        self._put("tags", tags)
        metrics: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        statement = select(Metric.run_id, Metric.name_id, Metric.value, Metric.reported)
        for run_id, name_id, value, reported in self._raw(statement):
            figure = {"value": write_figure(value), "reported": bool(reported), "curve": None}
            metrics[run_id][names[name_id]] = figure
        self._put("metrics", metrics)
        notes = select(Note.run_id, *_columns(Note, shape.NOTE)).order_by(Note.id)
        for run_id, *values in self._of_runs(notes):
            self._runs[run_id]["notes"].append(_row(shape.NOTE, values))

    def _put(self, field: str, found: Mapping[int, dict[str, Any]]) -> None:
        for run_id, named in found.items():
            self._runs[run_id][field] = dict(sorted(named.items()))

    def _read_curves(self) -> None:
        of_curve = itemgetter(0, 1)
        points = select(
            MetricPoint.run_id, MetricPoint.name_id, MetricPoint.step, MetricPoint.value, MetricPoint.at_ms
        ).order_by(MetricPoint.run_id, MetricPoint.name_id, MetricPoint.step)
        for (run_id, name_id), rows in groupby(self._raw(points), of_curve):
            _, _, steps, values, at_ms = zip(*rows, strict=True)
            self._runs[run_id]["metrics"][self._names[name_id]]["curve"] = {
                "steps": list(steps),
                "values": write_figures(values),
                "at_ms": None if set(at_ms) == {None} else list(at_ms),
            }
        samples = select(SystemPoint.run_id, SystemPoint.name_id, SystemPoint.at_ms, SystemPoint.value).order_by(
            SystemPoint.run_id, SystemPoint.name_id, SystemPoint.at_ms
        )
        system: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        for (run_id, name_id), rows in groupby(self._raw(samples), of_curve):
            _, _, at_ms, values = zip(*rows, strict=True)
            system[run_id][self._names[name_id]] = {"at_ms": list(at_ms), "values": write_figures(values)}
        self._put("system", system)

    def _read_files(self) -> None:
        """Data sets and artifacts."""
        sites: defaultdict[int, set[str]] = defaultdict(set)
        datasets: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        statement = select(RunDataset.run_id, RunDataset.role, Dataset.id, Dataset.fingerprint).join(
            Dataset, Dataset.id == RunDataset.dataset_id
        )
        for run_id, role, dataset_id, fingerprint in self._of_runs(statement):
            datasets[run_id][role] = fingerprint
            self._need(run_id, Dataset, dataset_id)
            if role.startswith(_SITE):
                sites[self._root_of[run_id]].add(role.removeprefix(_SITE))
        self._put("datasets", datasets)
        names = sorted(set[str]().union(*sites.values()))
        node_ids = dict(fetch(self._session, select(Node.name, Node.id), names))
        for root, found in sites.items():
            self._needs[root][Node].update(node_ids[name] for name in found if name in node_ids)
        statement = select(RunArtifact.run_id, RunArtifact.role, RunArtifact.name, Artifact.id, Artifact.sha256).join(
            Artifact, Artifact.id == RunArtifact.artifact_id
        )
        for run_id, role, name, artifact_id, sha256 in self._of_runs(statement):
            self._runs[run_id]["artifacts"].append({"role": role, "name": name, "sha256": sha256})
            self._need(run_id, Artifact, artifact_id)
        for run in self._runs.values():
            run["artifacts"].sort(key=itemgetter("role", "name"))

    def _read_details(self) -> None:
        """What only runs of one kind have."""
        for run_id, *values in self._of_runs(select(Search.run_id, *_columns(Search, shape.SEARCH))):
            self._runs[run_id]["search"] = _row(shape.SEARCH, values)
        search = aliased(Run)
        statement = (
            select(Trial.run_id, *_columns(Trial, shape.TRIAL), search.uid, Architecture.id, Architecture.sha256)
            .join(search, search.id == Trial.search_id)
            .join(Architecture, Architecture.id == Trial.architecture_id)
        )
        for run_id, *values, uid, architecture_id, sha256 in self._of_runs(statement):
            self._runs[run_id]["trial"] = {**_row(shape.TRIAL, values), "search": uid, "architecture": sha256}
            self._need(run_id, Architecture, architecture_id)
        origin = aliased(Run)
        statement = select(Federation.run_id, *_columns(Federation, shape.FEDERATION), origin.uid).outerjoin(
            origin, origin.id == Federation.model_run_id
        )
        for run_id, *values, uid in self._of_runs(statement):
            self._runs[run_id]["federation"] = {**_row(shape.FEDERATION, values), "model_run": uid}

    def _read_rounds(self) -> None:
        given: defaultdict[tuple[int, int], dict[str, Any]] = defaultdict(dict)
        statement = select(
            Contribution.run_id, Contribution.round, Node.id, Node.name, *_columns(Contribution, shape.CONTRIBUTION)
        ).join(Node, Node.id == Contribution.node_id)
        for run_id, number, node_id, name, *values in self._of_runs(statement):
            given[run_id, number][name] = _row(shape.CONTRIBUTION, values)
            self._need(run_id, Node, node_id)
        rounds = select(Round.run_id, *_columns(Round, shape.ROUND)).order_by(Round.number)
        for run_id, *values in self._of_runs(rounds):
            round = _row(shape.ROUND, values)
            round["contributions"] = dict(sorted(given[run_id, round["number"]].items()))
            self._runs[run_id]["rounds"].append(round)

    def _read_ceremonies(self) -> None:
        owned = self._owned["ceremony"] = {}
        statement = select(Ceremony.run_id, Ceremony.id, *_columns(Ceremony, shape.CEREMONY))
        for run_id, ceremony_id, *values in self._of_runs(statement, none=True):
            run = None if run_id is None else self._runs[run_id]["uid"]
            owned[ceremony_id] = None if run_id is None else self._root_of[run_id]
            self._ceremonies[owned[ceremony_id]].append({**_row(shape.CEREMONY, values), "run": run})

    def _read_models(self) -> None:
        owned = self._owned["version"] = {}
        versions: dict[int, dict[str, Any]] = {}
        statement = (
            select(ModelVersion.run_id, ModelVersion.id, *_columns(ModelVersion, shape.VERSION_FIELDS))
            .add_columns(Model.name, Model.created_us, Artifact.id, Artifact.sha256)
            .join(Model, Model.id == ModelVersion.model_id)
            .join(Artifact, Artifact.id == ModelVersion.artifact_id)
        )
        for run_id, id_, *values, name, created_us, artifact_id, sha256 in self._of_runs(statement, none=True):
            owned[id_] = None if run_id is None else self._root_of[run_id]
            version = versions[id_] = {
                **_row(shape.VERSION_FIELDS, values),
                "model": name,
                "model_created_us": created_us,
                "run": None if run_id is None else self._runs[run_id]["uid"],
                "artifact": sha256,
                "aliases": {},
                "deployments": [],
            }
            self._models[owned[id_]].append(version)
            self._need(run_id, Artifact, artifact_id)
        aliases = select(Alias.version_id, Alias.alias, Alias.set_us)
        for id_, alias, set_us in sorted(fetch(self._session, aliases, list(versions))):
            versions[id_]["aliases"][alias] = set_us
        served = self._owned["deployment"] = {}
        statement = select(Deployment.version_id, Deployment.id, *_columns(Deployment, shape.DEPLOYMENT))
        for id_, deployment_id, *values in fetch(self._session, statement, list(versions)):
            versions[id_]["deployments"].append(_row(shape.DEPLOYMENT, values))
            served[deployment_id] = owned[id_]
        for version in versions.values():
            version["deployments"].sort(key=itemgetter("uid"))

    def _read_lineage(self) -> Mapping[int | None, Sequence[shape.Edge]]:
        """The edges by root. An edge belongs where its target does; where several documents may have that, where its
        source does; else to no run.
        """
        ends = (Lineage.source_kind, Lineage.source_id, Lineage.relation, Lineage.target_kind, Lineage.target_id)
        shared = Lineage.target_kind.in_(list(shape.SHARED))
        found: list[tuple[int | None, tuple[NodeKind, int, str, NodeKind, int]]] = []
        for kind, owned in self._owned.items():
            keys = list(owned)
            into = select(Lineage.target_id, *ends).where(Lineage.target_kind == kind)
            out_of = select(Lineage.source_id, *ends).where(Lineage.source_kind == kind, shared)
            for statement in (into, out_of):
                for key, *edge in fetch(self._session, statement, keys):
                    found.append((owned[key], cast(Any, tuple(edge))))
        if self._trees is None:
            statement = select(*ends).where(Lineage.source_kind.in_(list(shape.SHARED)), shared)
            found += [(None, cast(Any, tuple(edge))) for edge in self._session.execute(statement)]
        keys_of: defaultdict[NodeKind, set[int]] = defaultdict(set)
        for _, (source_kind, source, _, target_kind, target) in found:
            keys_of[source_kind].add(source)
            keys_of[target_kind].add(target)
        names = {kind: read_references(self._session, kind, sorted(keys)) for kind, keys in keys_of.items()}
        lineage: defaultdict[int | None, list[shape.Edge]] = defaultdict(list)
        for root, (source_kind, source, relation, target_kind, target) in found:
            if source not in names[source_kind] or target not in names[target_kind]:
                continue  # the edge has lost an end
            edge = (source_kind, names[source_kind][source], relation, target_kind, names[target_kind][target])
            lineage[root].append(edge)
            ends_of: Sequence[tuple[NodeKind, int]] = ((source_kind, source), (target_kind, target))
            for kind, key in ends_of:
                if kind in shape.SHARED:
                    self._needs[root][_SHARED[shape.SHARED[kind]][0]].add(key)
        return lineage

    def _read_shared(self) -> Mapping[int | None, dict[str, dict[str, Any]]]:
        """What a document needs of that which others may have, too, by root and table."""
        found: defaultdict[int | None, dict[str, dict[str, Any]]] = defaultdict(
            lambda: {name: dict[str, Any]() for name in _SHARED}
        )
        for name, (table, key, fields) in _SHARED.items():
            keys = sorted(set[int]().union(*(needs[table] for needs in self._needs.values())))
            columns = _columns(table, fields)
            rows = {
                id_: (known_by, values[0] if table is Environment else _row(fields, values))
                for id_, known_by, *values in fetch(self._session, select(table.id, key, *columns), keys)
            }
            for root, needs in self._needs.items():
                found[root][name] = dict(sorted(rows[id_] for id_ in needs[table]))
        return found


def read_references(session: Session, kind: NodeKind, keys: Sequence[int]) -> dict[int, str]:
    """What other databases know some things by, by key."""
    if kind == "version":
        statement = select(ModelVersion.id, Model.name, ModelVersion.version).join(
            Model, Model.id == ModelVersion.model_id
        )
        return {id_: f"{name}:{version}" for id_, name, version in fetch(session, statement, keys)}
    table, column = REFERENCES[kind]
    return dict(fetch(session, select(table.id, column), keys))


REFERENCES: Final[Mapping[NodeKind, tuple[Any, Any]]] = {
    "run": (Run, Run.uid),
    "dataset": (Dataset, Dataset.fingerprint),
    "architecture": (Architecture, Architecture.sha256),
    "artifact": (Artifact, Artifact.sha256),
    "deployment": (Deployment, Deployment.uid),
    "ceremony": (Ceremony, Ceremony.uid),
}
_SHARED: Final[Mapping[str, tuple[Any, Any, shape.Fields]]] = {
    "experiments": (Experiment, Experiment.uid, shape.EXPERIMENT),
    "environments": (Environment, Environment.sha256, {"body": shape.body}),
    "datasets": (Dataset, Dataset.fingerprint, shape.DATASET),
    "architectures": (Architecture, Architecture.sha256, shape.ARCHITECTURE),
    "artifacts": (Artifact, Artifact.sha256, shape.ARTIFACT),
    "nodes": (Node, Node.name, shape.NODE),
}


def _columns(table: Any, fields: Iterable[str]) -> list[Any]:
    return [getattr(table, name) for name in fields]


def _row(fields: Iterable[str], values: Iterable[Any]) -> dict[str, Any]:
    return {
        name: write_optional(value) if type(value) is float else value
        for name, value in zip(fields, values, strict=True)
    }


def fetch(session: Session, statement: Statement, keys: Sequence[Any], *, raw: bool = False) -> Iterator[Any]:
    """The rows whose first column is one of `keys`; with `raw`, as the driver has them, in half the time."""
    column = statement.selected_columns[0]
    among = statement.where(column.in_(bindparam("keys", expanding=True)))
    between = statement.where(column.between(bindparam("first"), bindparam("last")))

    def rows(part: Sequence[Any]) -> Iterable[Any]:
        if isinstance(part[0], int) and list(part) == list(
            range(part[0], part[0] + len(part))
        ):  # as they are where all are asked
            chosen, values = between, {"first": part[0], "last": part[-1]}
        else:
            chosen, values = among, {"keys": list(part)}
        result: Any = session.connection().execute(chosen, values) if raw else session.execute(chosen, values)
        return result.cursor if raw else result

    return chain.from_iterable(map(rows, slices(keys)))

"""Documents as rows. What a database has already stays as it is there, and what is new finds its place beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from sqlalchemy import Table, func, select, update
from sqlalchemy.orm import Session
from ulid import ULID

from ...core import FormatError
from ..artifacts import ArtifactStore
from ..clock import now_us
from ..database import Database
from ..ledger import Ledger
from ..lineage import link
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
    Event,
    Experiment,
    Federation,
    Metric,
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
from ..params import param_row
from ..points import Point, put_points
from ..records import NodeKind
from ..upsert import insert, put_rows
from .shape import (
    ARCHITECTURE,
    ARTIFACT,
    CEREMONY,
    CONTRIBUTION,
    DATASET,
    DEPLOYMENT,
    FEDERATION,
    LATER,
    NODE,
    ROUND,
    RUN,
    SEARCH,
    TRIAL,
    VERSION_FIELDS,
    Document,
    Edge,
    Fields,
)
from .trees import REFERENCES, fetch, find_trees, read_names, read_trees

_OWN: Final = ("number", "experiment", "deleted_us")  # of a run, where databases may differ


@dataclass(frozen=True, slots=True)
class Placed:
    """A checked document, how it was read, and where."""

    where: str
    document: Document
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of the documents of a file."""

    runs: int  # top-level ones that are new
    below: int  # and those below them
    known: int  # top-level runs that were here already, and stay as they are
    differing: Sequence[str]  # uids of those of them that are not as in the file
    renumbered: Mapping[int, int]  # number in the file -> number here, where that was taken
    left_out: int  # references to things that are neither in the file nor here
    missing_files: int  # artifacts whose content is not beside the database


class Rebuilder:
    """Writes documents in one transaction.

    Args:
        database: whose transaction it is.
        session: of `database.write(durable=True)`, serialised; the caller commits it.
        ledger: whether aliases that are set are entered in the ledger, as promotions are.
    """

    def __init__(self, database: Database, session: Session, *, ledger: bool) -> None:
        self._session = session
        self._store = ArtifactStore(database.artifacts_dir)
        self._ledger = Ledger(database) if ledger else None
        self._now = now_us()
        self._names: dict[str, int] = {}
        self._experiments: dict[str, int] = {}  # uid in the file -> key
        self._versions: dict[str, int] = {}  # "digits:1" in the file -> key
        self._waiting: list[Edge] = []  # for an end that is in another document
        self._origins: dict[int, str] = {}  # federated run -> uid of the run whose model it trains
        self._runs = self._below = self._known = self._left_out = 0
        self._differing: list[str] = []
        self._renumbered: dict[int, int] = {}
        self._missing: set[str] = set()

    def add(self, placed: Sequence[Placed]) -> None:
        """Write some documents, which hold no run twice.

        Raises:
            FormatError: one is at odds with what is here.
        """
        new = self._unknown(placed)
        documents = [each.document for each in new]
        shared = self._put_shared(new)
        ids = self._put_runs(documents, shared)
        self._put_named(documents, ids)
        self._put_details(documents, ids, shared)
        self._put_rounds(documents, ids, shared)
        self._put_ceremonies(documents, ids)
        for document in documents:
            self._put_models(document, ids, shared)
        self._waiting = self._link([*self._waiting, *(edge for each in documents for edge in each["lineage"])])

    def finish(self) -> Imported:
        """Write what ties documents together, now that all are here."""
        origins = self._find(Run, Run.uid, self._origins.values())
        for run_id, uid in self._origins.items():
            if uid in origins:
                self._session.execute(
                    update(Federation).where(Federation.run_id == run_id).values(model_run_id=origins[uid])
                )
        lost = sum(uid not in origins for uid in self._origins.values())
        return Imported(
            runs=self._runs,
            below=self._below,
            known=self._known,
            differing=self._differing,
            renumbered=self._renumbered,
            left_out=lost + len(self._waiting),
            missing_files=len(self._missing),
        )

    def _find(self, table: Any, column: Any, values: Iterable[Any]) -> dict[Any, int]:
        """The keys of the rows of which a unique column has one of some values."""
        return dict(fetch(self._session, select(column, table.id), sorted(set(values))))

    def _insert(self, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
        """Make new rows, all with the same columns: in one statement, which the mapped class would make many of."""
        if rows:
            self._session.connection().execute(cast(Table, table.__table__).insert(), rows)

    def _ensure(self, table: Any, column: Any, rows: Iterable[Mapping[str, Any]]) -> dict[Any, int]:
        """The keys of some rows by a unique column; those that are missing are made."""
        by_value = {row[column.key]: row for row in rows}
        found = self._find(table, column, by_value)
        missing = [row for value, row in sorted(by_value.items()) if value not in found]
        if missing:
            # Another writer of PostgreSQL may be about to make one of them.
            self._session.execute(insert(self._session, table).on_conflict_do_nothing(), missing)
            found |= self._find(table, column, (row[column.key] for row in missing))
        return found

    def _unknown(self, placed: Sequence[Placed]) -> list[Placed]:
        """The documents whose runs are not here, and those of no run."""
        uids = [run["uid"] for each in placed for run in each.document["runs"]]
        here = self._find(Run, Run.uid, uids)
        new: list[Placed] = []
        known: list[Placed] = []
        for each in placed:
            runs = each.document["runs"]
            if not runs or not any(run["uid"] in here for run in runs):
                new.append(each)
            elif runs[0]["uid"] in here:
                known.append(each)
            else:
                uid = next(run["uid"] for run in runs if run["uid"] in here)
                raise FormatError(
                    f"{each.where}: run {uid} is here already, and not below run {runs[0]['uid']}",
                    hint="the file or this database was altered",
                )
        self._known += len(known)
        names = read_names(self._session) if known else dict[int, str]()
        roots = {here[each.document["runs"][0]["uid"]]: each for each in known}
        for group in find_trees(self._session, list(roots), deleted=True):
            for tree, ours in zip(group, read_trees(self._session, group, names), strict=True):
                theirs = roots[tree.root]
                if _comparable(ours["runs"]) != _comparable(theirs.raw["runs"]):
                    self._differing.append(theirs.document["runs"][0]["uid"])
        return new

    def _put_shared(self, placed: Sequence[Placed]) -> dict[str, dict[str, int]]:
        """What several documents may have: its keys by the document's table and the name there."""
        experiments = {uid: each for one in placed for uid, each in one.document["experiments"].items()}
        for uid, experiment in experiments.items():
            if uid not in self._experiments:
                self._experiments[uid] = self._experiment(uid, experiment)
        found: dict[str, dict[str, int]] = {"experiments": self._experiments}
        for name, (table, key, fields) in _SHARED.items():
            rows = [
                {key.key: value, **_columns(fields, each)}
                for one in placed
                for value, each in one.document[name].items()
            ]
            found[name] = self._ensure(table, key, rows)
        bodies = (item for one in placed for item in one.document["environments"].items())
        found["environments"] = self._ensure(
            Environment, Environment.sha256, [{"sha256": sha256, "body": body} for sha256, body in bodies]
        )
        nodes = {name: node for one in placed for name, node in one.document["nodes"].items()}
        taken = self._find(Node, Node.uid, [node["uid"] for node in nodes.values()])
        # A site is known by its name: whose uid is another one's here gets a new one.
        rows = [
            {"name": name, **_columns(NODE, node), "uid": str(ULID()) if node["uid"] in taken else node["uid"]}
            for name, node in nodes.items()
        ]
        found["nodes"] = self._ensure(Node, Node.name, rows)
        self._check_sizes(placed)
        return found

    def _experiment(self, uid: str, experiment: Mapping[str, Any]) -> int:
        """The key of an experiment: of the same uid, else of the same name, else a new one."""
        deleted = experiment["deleted_us"] is not None
        alive = Experiment.deleted_us.is_(None)
        same = self._session.scalar(
            select(Experiment.id).where(Experiment.uid == uid, alive if not deleted else ~alive)
        )
        if same is None and not deleted:
            same = self._session.scalar(select(Experiment.id).where(Experiment.name == experiment["name"], alive))
        if same is not None:
            return same
        taken = self._session.scalar(select(Experiment.id).where(Experiment.uid == uid))
        made = Experiment(uid=uid if taken is None else str(ULID()), **experiment)
        self._session.add(made)
        self._session.flush()
        return made.id

    def _check_sizes(self, placed: Sequence[Placed]) -> None:
        hashes = sorted({sha256 for each in placed for sha256 in each.document["artifacts"]})
        sizes = dict(fetch(self._session, select(Artifact.sha256, Artifact.size_bytes), hashes))
        for each in placed:
            for sha256, artifact in each.document["artifacts"].items():
                if artifact["size_bytes"] != sizes[sha256]:
                    raise FormatError(
                        f"{each.where}: artifacts.{sha256}: expected {sizes[sha256]} bytes, which it has here,"
                        f" got {artifact['size_bytes']}",
                        hint="one of them was altered",
                    )
        self._missing.update(sha256 for sha256 in hashes if sha256 not in self._store)

    def _put_runs(self, documents: Sequence[Document], shared: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
        """The keys of the runs by uid; a row is made after that of its parent."""
        tops = [document["runs"][0] for document in documents if document["runs"]]
        numbers = dict(zip((run["uid"] for run in tops), self._free_numbers(tops), strict=True))
        depth: dict[str, int] = {}
        levels: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for document in documents:
            for run in document["runs"]:
                depth[run["uid"]] = 0 if run["parent"] is None else depth[run["parent"]] + 1
                levels[depth[run["uid"]]].append(run)
        ids: dict[str, int] = {}
        for _, runs in sorted(levels.items()):
            rows = [
                {
                    **_columns(RUN, run),
                    "number": numbers.get(run["uid"]),
                    "state": "interrupted" if run["state"] == "running" else run["state"],
                    "parent_id": None if run["parent"] is None else ids[run["parent"]],
                    "experiment_id": shared["experiments"][run["experiment"]],
                    "environment_id": shared["environments"][run["environment"]],
                }
                for run in runs
            ]
            self._insert(Run, rows)
            ids |= self._find(Run, Run.uid, (run["uid"] for run in runs))
        said: Mapping[str, Any] = {"at_us": self._now, "kind": "imported", "body": {}}
        self._insert(Event, [{"run_id": ids[run["uid"]], **said} for run in tops])
        self._runs += len(tops)
        self._below += len(ids) - len(tops)
        return ids

    def _free_numbers(self, runs: Sequence[Mapping[str, Any]]) -> list[int]:
        """Numbers for new top-level runs: their own, or where that is taken the next one that nobody has."""
        wanted = [run["number"] for run in runs]
        taken = {number for (number,) in fetch(self._session, select(Run.number), sorted(wanted))}
        last = self._session.scalar(select(func.max(Run.number))) or 0
        numbers: list[int] = []
        for number in wanted:
            free = number if number not in taken else last + 1
            numbers.append(free)
            taken.add(free)
            last = max(last, free)
            if free != number:
                self._renumbered[number] = free
        return numbers

    def _name_ids(self, names: set[str]) -> Mapping[str, int]:
        if not names <= self._names.keys():
            missing = sorted(names - self._names.keys())
            self._names |= self._ensure(Name, Name.name, [{"name": name} for name in missing])
        return self._names

    def _put_named(self, documents: Sequence[Document], ids: Mapping[str, int]) -> None:
        """Parameters, tags, notes, figures and curves."""
        runs = [(ids[run["uid"]], run) for document in documents for run in document["runs"]]
        named = ("params", "tags", "metrics", "system")
        names = self._name_ids({name for _, run in runs for each in named for name in run[each]})
        self._insert(
            Param,
            [
                {"run_id": id_, "name_id": names[name], **param_row(value)}
                for id_, run in runs
                for name, value in run["params"].items()
            ],
        )
        self._insert(
            Tag,
            [{"run_id": id_, "name_id": names[name], **tag} for id_, run in runs for name, tag in run["tags"].items()],
        )
        self._insert(Note, [{"run_id": id_, **note} for id_, run in runs for note in run["notes"]])
        put_points(
            self._session,
            {
                (id_, names[name]): _points(metric["curve"])
                for id_, run in runs
                for name, metric in run["metrics"].items()
                if metric["curve"] is not None
            },
        )
        reported = [
            ({"run_id": id_, "name_id": names[name], "value": metric["value"], "reported": True, "points": 0}, metric)
            for id_, run in runs
            for name, metric in run["metrics"].items()
            if metric["reported"]
        ]
        self._insert(Metric, [row for row, metric in reported if metric["curve"] is None])
        summed_up = [row for row, metric in reported if metric["curve"] is not None]
        put_rows(self._session, Metric, summed_up, only=("value", "reported"))
        self._insert(
            SystemPoint,
            [
                {"run_id": id_, "name_id": names[name], "at_ms": at_ms, "value": value}
                for id_, run in runs
                for name, curve in run["system"].items()
                for at_ms, value in zip(curve["at_ms"], curve["values"], strict=True)
            ],
        )

    def _put_details(
        self, documents: Sequence[Document], ids: Mapping[str, int], shared: Mapping[str, Mapping[str, int]]
    ) -> None:
        """Data, files, and what only runs of one kind have."""
        runs = [(ids[run["uid"]], run) for document in documents for run in document["runs"]]
        self._insert(
            RunDataset,
            [
                {"run_id": id_, "role": role, "dataset_id": shared["datasets"][fingerprint]}
                for id_, run in runs
                for role, fingerprint in run["datasets"].items()
            ],
        )
        self._insert(
            RunArtifact,
            [
                {"run_id": id_, "role": file["role"], "name": file["name"], "artifact_id": file_id}
                for id_, run in runs
                for file in run["artifacts"]
                for file_id in [shared["artifacts"][file["sha256"]]]
            ],
        )
        searches = [{"run_id": id_, **_columns(SEARCH, run["search"])} for id_, run in runs if run["search"]]
        names = [search["study_name"] for search in searches]
        taken = [name for (name,) in fetch(self._session, select(Search.study_name), names)]
        if taken or len(set(names)) < len(names):
            name = next(iter(taken), "") or next(name for name in names if names.count(name) > 1)
            raise FormatError(f"two searches have the Optuna study {name!r:.200}", hint="the file was altered")
        self._insert(Search, searches)
        self._insert(
            Trial,
            [
                {
                    "run_id": id_,
                    **_columns(TRIAL, run["trial"]),
                    "search_id": ids[run["trial"]["search"]],
                    "architecture_id": shared["architectures"][run["trial"]["architecture"]],
                }
                for id_, run in runs
                if run["trial"]
            ],
        )
        federated = [(id_, run["federation"]) for id_, run in runs if run["federation"]]
        self._insert(Federation, [{"run_id": id_, **_columns(FEDERATION, each)} for id_, each in federated])
        self._origins |= {id_: each["model_run"] for id_, each in federated if each["model_run"] is not None}

    def _put_rounds(
        self, documents: Sequence[Document], ids: Mapping[str, int], shared: Mapping[str, Mapping[str, int]]
    ) -> None:
        rounds = [
            (ids[run["uid"]], round) for document in documents for run in document["runs"] for round in run["rounds"]
        ]
        self._insert(Round, [{"run_id": id_, **_columns(ROUND, round)} for id_, round in rounds])
        self._insert(
            Contribution,
            [
                {
                    "run_id": id_,
                    "round": round["number"],
                    "node_id": shared["nodes"][node],
                    **_columns(CONTRIBUTION, given),
                }
                for id_, round in rounds
                for node, given in round["contributions"].items()
            ],
        )

    def _put_ceremonies(self, documents: Sequence[Document], ids: Mapping[str, int]) -> None:
        entries = [each for document in documents for each in document["ceremonies"]]
        known = self._find(Ceremony, Ceremony.uid, (each["uid"] for each in entries))
        rows = [
            {**_columns(CEREMONY, each), "run_id": None if each["run"] is None else ids[each["run"]]}
            for each in entries
            if each["uid"] not in known
        ]
        self._insert(Ceremony, rows)

    def _put_models(self, document: Document, ids: Mapping[str, int], shared: Mapping[str, Mapping[str, int]]) -> None:
        for each in document["models"]:
            row = {"name": each["model"], "created_us": each["model_created_us"]}
            model_id = self._ensure(Model, Model.name, [row])[each["model"]]
            version = self._version(model_id, each, ids, shared["artifacts"][each["artifact"]])
            self._versions[f"{each['model']}:{each['version']}"] = version.id
            for alias, set_us in each["aliases"].items():
                self._point(alias, set_us, version, each)
            served = self._find(Deployment, Deployment.uid, (one["uid"] for one in each["deployments"]))
            rows = [
                {"version_id": version.id, **_columns(DEPLOYMENT, one)}
                for one in each["deployments"]
                if one["uid"] not in served
            ]
            self._insert(Deployment, rows)

    def _version(
        self, model_id: int, entry: Mapping[str, Any], ids: Mapping[str, int], artifact_id: int
    ) -> ModelVersion:
        """The version of a model that has that content, which is made if need be, under the next free number."""
        of_model = select(ModelVersion).where(ModelVersion.model_id == model_id)
        known = self._session.scalar(of_model.where(ModelVersion.artifact_id == artifact_id))
        if known is not None:
            return known
        columns = _columns(VERSION_FIELDS, entry)
        if self._session.scalar(of_model.where(ModelVersion.version == entry["version"])) is not None:
            last = select(func.max(ModelVersion.version)).where(ModelVersion.model_id == model_id)
            columns["version"] = (self._session.scalar(last) or 0) + 1
        run_id = None if entry["run"] is None else ids[entry["run"]]
        made = ModelVersion(model_id=model_id, run_id=run_id, artifact_id=artifact_id, **columns)
        self._session.add(made)
        self._session.flush()
        return made

    def _point(self, alias: str, set_us: int, version: ModelVersion, entry: Mapping[str, Any]) -> None:
        """Let an alias point to a version unless it points to one already."""
        if self._session.get(Alias, (version.model_id, alias)) is not None:
            return
        self._session.add(Alias(model_id=version.model_id, alias=alias, version_id=version.id, set_us=set_us))
        self._session.flush()
        if self._ledger is not None:
            body = {"model": entry["model"], "version": version.version, "alias": alias, "sha256": entry["artifact"]}
            self._ledger.append("promotion", {**body, "imported": True}, run=entry["run"], session=self._session)

    def _link(self, edges: Iterable[Edge]) -> list[Edge]:
        """Write those edges whose ends are here; the others."""
        ends: defaultdict[NodeKind, set[str]] = defaultdict(set)
        for source_kind, source, _, target_kind, target in edges:
            ends[source_kind].add(source)
            ends[target_kind].add(target)
        found = {kind: self._resolve(kind, names) for kind, names in ends.items()}
        resolved: list[tuple[tuple[NodeKind, int | None], str, tuple[NodeKind, int]]] = []
        waiting: list[Edge] = []
        for edge in edges:
            source_kind, source, relation, target_kind, target = edge
            if source in found[source_kind] and target in found[target_kind]:
                resolved.append(
                    ((source_kind, found[source_kind][source]), relation, (target_kind, found[target_kind][target]))
                )
            else:
                waiting.append(edge)
        link(self._session, *resolved)
        return waiting

    def _resolve(self, kind: NodeKind, names: Iterable[str]) -> Mapping[str, int]:
        if kind != "version":
            table, column = REFERENCES[kind]
            return self._find(table, column, names)
        found = {name: self._versions[name] for name in names if name in self._versions}
        for name in set(names) - found.keys():
            model, _, number = name.rpartition(":")
            if number.isascii() and number.isdecimal() and len(number) < 10:
                key = self._session.scalar(
                    select(ModelVersion.id)
                    .join(Model, Model.id == ModelVersion.model_id)
                    .where(Model.name == model, ModelVersion.version == int(number))
                )
                if key is not None:
                    found[name] = key
        return found


_SHARED: Final[Mapping[str, tuple[Any, Any, Fields]]] = {
    "datasets": (Dataset, Dataset.fingerprint, DATASET),
    "architectures": (Architecture, Architecture.sha256, ARCHITECTURE),
    "artifacts": (Artifact, Artifact.sha256, ARTIFACT),
}


def _columns(fields: Iterable[str], entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in fields}


def _points(curve: Mapping[str, Any]) -> list[Point]:
    steps = curve["steps"]
    return list(zip(steps, curve["values"], curve["at_ms"] or [None] * len(steps), strict=True))


def _comparable(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Runs without what two databases may say differently of the same one, whatever version they are in."""
    return [
        {
            **{name: value for name, value in run.items() if name not in _OWN},
            **{
                part: None if run[part] is None else {**dict.fromkeys(later), **run[part]}
                for part, later in LATER.items()
            },
            "state": "interrupted" if run["state"] == "running" else run["state"],
        }
        for run in runs
    ]

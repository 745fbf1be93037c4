"""A history that was exported is the same history where it is imported; a file that is not whole changes nothing."""

from __future__ import annotations

import csv
import gc
import hashlib
import io
import itertools
import json
import math
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from nasturtium.core import ConfigError, FormatError, canonical_json
from nasturtium.storage import (
    ArchitectureEntry,
    CeremonyEntry,
    ContributionRecord,
    Curator,
    Database,
    DatasetEntry,
    History,
    Ledger,
    ModelRegistry,
    OutcomeEntry,
    ProposalEntry,
    QueryError,
    RoundRecord,
    SearchControl,
    Tracker,
    UnknownRunError,
    open_database,
    trace,
)
from nasturtium.storage.clock import now_us
from nasturtium.storage.exchange import Imported, export_history, import_history, shape, trees
from nasturtium.storage.exchange.files import write_file
from nasturtium.storage.exchange.load import TOGETHER
from nasturtium.storage.maintenance import check_database
from nasturtium.storage.models import Base, Experiment, Run, SystemPoint, from_us
from nasturtium.storage.names import NameBook
from nasturtium.storage.upsert import put_rows

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
NOW = from_us(now_us())
# Of this database alone: its ledger, what watchers are told, and what waits, runs or goes on here.
NOT_EXPORTED = {"nst_meta", "nst_ledger", "nst_event", "nst_lease", "nst_job", "nst_round_attempt", "nst_checkpoint"}
ENGINES = [pytest.param("sqlite", id="sqlite"), pytest.param("postgresql", id="postgresql")]

Make = Callable[[str], Database]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, templates: Any) -> Iterator[Make]:
    """Makes empty databases, several in one test, copied from those of `templates`."""
    opened: list[Database] = []
    monkeypatch.setenv("NASTURTIUM_FILES", str(tmp_path / "postgres"))
    with ExitStack() as stack:

        def make(engine: str) -> Database:
            target: str | Path = tmp_path / f"{len(opened)}.db"
            if engine == "postgresql":
                target = stack.enter_context(templates.copy_on_server())
            else:
                shutil.copyfile(templates.sqlite(), target)
            opened.append(stack.enter_context(open_database(target)))
            return opened[-1]

        yield make


def exported(database: Database, format: str = "ndjson", **options: Any) -> bytes:
    file = io.BytesIO()
    export_history(database, file, format=format, **options)
    return file.getvalue()


def import_bytes(database: Database, content: bytes, folder: Path, **options: Any) -> Imported:
    path = folder / f"{uuid.uuid4().hex}.ndjson"
    path.write_bytes(content)
    try:
        return import_history(database, path, **options)
    finally:
        path.unlink()


def documents(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()[1:]]


def as_file(*found: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    write_file(file, found, len(found), lines=True)
    return file.getvalue()


def counts(database: Database) -> dict[str, int]:
    with database.read() as session:
        return {
            name: session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in Base.metadata.tables.items()
            if name not in NOT_EXPORTED
        }


def empty(database: Database) -> None:
    with database.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name not in {"nst_meta", "nst_ledger"}:
                session.execute(table.delete())


NETWORK = ArchitectureEntry(
    sha256=hashlib.sha256(b"32").hexdigest(),
    space="mlp",
    choices={"hidden": 32, "activation": "relu"},
    spec={"layers": [64, 32, 10]},
    parameters=2410,
    macs=2368,
)
DIGITS = DatasetEntry(fingerprint="sha256:11", name="digits", rows=1797, body={"classes": 10, "ä": ["ö", None]})


def start_search(tracker: Tracker, **changes: Any) -> str:
    planned = {"name": "digits", "seed": 7, "config": {"z": 1, "a": {"b": [1.5, None]}}, "dataset": DIGITS}
    how = {"space": "mlp", "space_sha256": "cd" * 32, "sampler": "tpe", "pruner": "none", "trials": 3}
    return tracker.start_search(**planned | how | changes).uid


def fill(database: Database, folder: Path) -> dict[str, str]:
    """Something of everything there is; the uids of the runs by what they are."""
    curator, registry = Curator(database), ModelRegistry(database)
    runs: dict[str, str] = {}
    with Tracker(database, experiment="first try") as tracker:
        runs["search"] = start_search(tracker)
        for number, (seed, state) in enumerate([(2**63 - 1, "completed"), (0, "pruned"), (1, "failed")]):
            entry = ProposalEntry(
                number=number,
                architecture=NETWORK,
                hyperparameters={"lr": 10.0**-number, "warm": True, "schedule": "cosine"},
                seed=seed,
                optuna_number=number or None,
                flat={"width": 32, "lr": 10.0**-number} if number else None,
            )
            uid = runs[f"trial {number}"] = tracker.record_proposals(runs["search"], [entry])[number]
            tracker.log(uid, {"loss": 2.0, "acc": 0.1}, step=0)
            tracker.log(uid, {"loss": math.nan, "acc": math.inf}, step=5)
            tracker.log_points(uid, {"slow": {-3: -math.inf, 2**62: 1e-300, 7: 0.1}})
            tracker.finish(
                uid, state=state, metrics={"val_accuracy": 0.9, "gap": math.nan}, error="ü\n" * number or None
            )
        cost = {"cpu_seconds": 1.5, "peak_memory_bytes": 2**33, "rung": 4, "wall_seconds": 0.5, "transferred_bytes": 9}
        outcome = OutcomeEntry(uid=uid, state="failed", cause="out of memory", **cost)
        tracker.record_outcomes(runs["search"], [outcome])
        SearchControl(database, runs["search"]).beat(60)
        runs["retrain"] = tracker.start_child(runs["search"], seed=1, config={"epochs": 3}, origin=runs["trial 0"])
        weights = folder / "weights.safetensors"
        weights.write_bytes(b"weights")
        tracker.record_artifact(runs["retrain"], weights, role="model", media_type="application/vnd.safetensors")
        tracker.record_artifact(runs["retrain"], weights, role="copy", media_type="application/vnd.safetensors")
        tracker.finish(runs["retrain"], state="completed", metrics={"test_accuracy": 0.91})
        tracker.finish(runs["search"], state="completed", metrics={"val_accuracy": 0.9})

        federation = {
            "clients": 2,
            "rounds": 3,
            "strategy": "fedavg",
            "scheme": "ckks",
            "alpha": 0.5,
            "spec": {"a": []},
        }
        runs["federated"] = tracker.start_federated(
            name="digits",
            seed=1,
            config={},
            dataset=DIGITS,
            model_run=runs["search"],
            min_clients=2,
            privacy={"epsilon": 8.0},
            flwr_run_id=str(2**64 - 1),
            **federation,
        ).uid
        site = DatasetEntry(fingerprint="hmac:22", name="site", rows=None, body={}, keyed=True)
        tracker.record_site(runs["federated"], "site-1", dataset=site, public_key_sha256="ef" * 32)
        tracker.record_site(runs["federated"], "site-10", dataset=site)
        tracker.record_site(runs["federated"], "silent")
        key = CeremonyEntry(
            scheme="ckks", key_id="k", members=["site-1", "site-10"], started=NOW, ended=NOW, threshold=2
        )
        tracker.record_ceremony(key, run=runs["federated"])
        tracker.record_ceremony(key)
        for number in (1, 2, 10):
            tracker.record_round(
                runs["federated"],
                RoundRecord(
                    number=number,
                    participants=1,
                    rejected=1,
                    loss=math.nan if number == 2 else 0.5,
                    accuracy=None,
                    bytes_up=2**40,
                    bytes_down=1,
                    seconds=0.1,
                    started=NOW,
                    aggregate_seconds=0.01,
                ),
                [
                    ContributionRecord(
                        client="site-1",
                        state="accepted",
                        reason=None,
                        bytes_up=1,
                        bytes_down=2,
                        seconds=0.3,
                        rows=5,
                        update_norm=math.nan if number == 2 else math.inf,
                        clipped=True,
                    ),
                    ContributionRecord(
                        client="site-10", state="rejected", reason="late", bytes_up=0, bytes_down=2, seconds=1.0
                    ),
                ],
            )
        tracker.finish(runs["federated"], state="completed", metrics={})
        registry.register("digits", runs["retrain"], signature={"inputs": [["x", [64], "float32"]]}, opset=21)
        registry.promote("digits:1", "production")
        registry.deploy("digits@production", endpoint="https://example.org")
        registry.undeploy(registry.deploy("digits:1", endpoint="there"))

    curator.tag(runs["search"], "good")
    curator.tag(runs["search"], "by", "Zoë")
    curator.note(runs["search"], "second")
    curator.note(runs["search"], "first")
    with Tracker(database, experiment="zweite") as tracker:
        runs["own"] = tracker.start_run("own", config={"lr": 1})
        purged = tracker.start_run("purged")
        weights.write_bytes(b"others")
        tracker.record_artifact(purged, weights, role="model", media_type="application/vnd.safetensors")
        tracker.finish(purged, state="completed", metrics={})
        registry.register("orphan", purged)
        curator.delete(purged)
        assert curator.purge().runs == 1
        runs["deleted"] = tracker.start_run("own", kind="eval")
        tracker.finish(runs["deleted"], state="interrupted", metrics={})
        curator.delete(runs["deleted"])
    _sample(database, runs["own"])
    with database.write() as session:
        session.add(Experiment(uid="01HZYA0000000000000000000A", name="bare", note="why", created_us=5, deleted_us=6))
    return runs


def _sample(database: Database, uid: str) -> None:
    ids = NameBook(database).ids(["cpu_percent", "gpu0_percent"])
    with database.write() as session:
        run_id = session.scalar(select(Run.id).where(Run.uid == uid))
        rows = [
            {"run_id": run_id, "name_id": ids[name], "at_ms": at_ms, "value": None if at_ms else 12.5}
            for name in sorted(ids)
            for at_ms in (0, 1000)
        ]
        put_rows(session, SystemPoint, rows)


@pytest.mark.parametrize(
    ("engines", "format"),
    [
        (("sqlite", "sqlite"), "ndjson"),
        (("postgresql", "postgresql"), "json"),
        (("sqlite", "postgresql", "sqlite"), "json"),
        (("postgresql", "sqlite", "postgresql"), "ndjson"),
    ],
    ids=lambda word: word if isinstance(word, str) else "-".join(word),
)
def test_what_is_imported_is_what_was_exported(make, tmp_path, engines, format):
    first = make(engines[0])
    runs = fill(first, tmp_path)
    content = exported(first, format, deleted=True)
    for engine in engines[1:]:
        database = make(engine)
        imported = import_bytes(database, content, tmp_path)
        assert (imported.runs, imported.below, imported.known, imported.left_out) == (4, 4, 0, 0)
        assert imported.missing_files == (0 if database.artifacts_dir == first.artifacts_dir else 2)
        assert exported(database, format, deleted=True) == content
        assert counts(database) == counts(first)
    one, other = History(first), History(database)
    for name in ("search", "federated", "own", "deleted"):
        ours, theirs = one.find(runs[name]), other.find(runs[name])
        if name == "own":  # which still runs
            assert (ours.state, theirs.state) == ("running", "interrupted")
        else:
            assert repr(theirs) == repr(ours)  # NaN included
        for question in ("summaries", "curves", "system_curves", "artifacts", "datasets", "environment", "params"):
            asked, answered = (getattr(past, question, None) for past in (one, other))
            if asked is not None:
                assert repr(answered(ours.uid)) == repr(asked(ours.uid)), question
    assert repr(other.trials(runs["search"])) == repr(one.trials(runs["search"]))
    assert repr(other.rounds(runs["federated"])) == repr(one.rounds(runs["federated"]))
    assert other.contributions(runs["federated"], 10) == one.contributions(runs["federated"], 10)
    assert [note.text for note in other.notes(runs["search"])] == ["second", "first"]
    assert ModelRegistry(database).find("digits@production") == ModelRegistry(first).find("digits@production")
    told = [{node.ref for node in trace(each, "digits@production").nodes} for each in (first, database)]
    assert told[0] == told[1]
    assert {finding.code for finding in check_database(database).findings} <= {"artifact-missing", "artifact-unused"}


def test_a_document_has_a_place_for_every_column():
    keys = {"id", "run_id", "name_id"}
    fields = {
        "nst_experiment": {*shape.EXPERIMENT, "uid"},
        "nst_environment": {"sha256", "body"},
        "nst_dataset": {*shape.DATASET, "fingerprint"},
        "nst_architecture": {*shape.ARCHITECTURE, "sha256"},
        "nst_run": {*shape.RUN, "experiment_id", "parent_id", "environment_id"},
        "nst_run_dataset": {"role", "dataset_id"},
        "nst_search": {*shape.SEARCH, "heartbeat_us", "alive_until_us", "stop_us"},  # the last three of a live broker
        "nst_trial": {*shape.TRIAL, "search_id", "architecture_id"},
        "nst_param": {"text", "number", "is_text"},
        "nst_tag": {"value", "edited_us"},
        "nst_note": {*shape.NOTE},
        "nst_name": {"name"},
        "nst_metric": {"value", "reported", "points", "first_step", "last_step", "last"}
        | {"min", "min_step", "max", "max_step"},  # all but the first two follow from the points
        "nst_metric_point": {"step", "value", "at_ms"},
        "nst_system_point": {"at_ms", "value"},
        "nst_artifact": {*shape.ARTIFACT, "sha256"},
        "nst_run_artifact": {"role", "name", "artifact_id"},
        "nst_model": {"name", "created_us"},
        "nst_model_version": {*shape.VERSION_FIELDS, "model_id", "artifact_id"},
        "nst_alias": {"model_id", "alias", "version_id", "set_us"},
        "nst_deployment": {*shape.DEPLOYMENT, "version_id"},
        "nst_lineage": {"source_kind", "source_id", "relation", "target_kind", "target_id"},
        "nst_federation": {*shape.FEDERATION, "model_run_id"},
        "nst_node": {*shape.NODE, "name"},
        "nst_round": {*shape.ROUND},
        "nst_contribution": {*shape.CONTRIBUTION, "round", "node_id"},
        "nst_ceremony": {*shape.CEREMONY},
    }
    tables = {name: {*table.columns.keys()} - keys for name, table in Base.metadata.tables.items()}
    assert {name: columns for name, columns in tables.items() if name not in NOT_EXPORTED} == fields


@pytest.mark.parametrize(("group_runs", "group_points"), [(1, 1), (3, 10**9), (10**9, 4)])
def test_how_many_trees_are_read_at_once_does_not_matter(
    sqlite_database, tmp_path, monkeypatch, group_runs, group_points
):
    fill(sqlite_database, tmp_path)
    content = exported(sqlite_database, deleted=True)
    monkeypatch.setattr(trees, "GROUP_RUNS", group_runs)
    monkeypatch.setattr(trees, "GROUP_POINTS", group_points)
    assert exported(sqlite_database, deleted=True) == content


def test_the_garbage_collector_is_left_as_it_was(sqlite_database, tmp_path):
    before = gc.get_threshold()
    with pytest.raises(UnknownRunError):
        exported(sqlite_database, runs=[1])
    import_bytes(sqlite_database, exported(sqlite_database), tmp_path)
    assert gc.get_threshold() == before


# Random documents, with everything in the order in which it is exported.

LETTERS = st.characters(codec="utf-8", exclude_characters="\0")
TEXTS = st.text(LETTERS, max_size=8)
LABELS = st.text(LETTERS, min_size=1, max_size=8)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8) | st.sampled_from(
    ["loss", "val_accuracy"]
)
SHAS = st.integers(0, 15).map(lambda digit: f"{digit:x}" * 64)
UIDS = st.integers(0, 2**125 - 1).map(lambda number: uid_of(number))
INT64 = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
COUNTS = st.integers(0, 2**50) | st.integers(0, 3)
ORDINALS = st.integers(0, 999_999_999)
TIMES = st.integers(0, 253_402_214_399_999_999)
FIGURES = st.floats().map(lambda value: encode(value))
MEASURES = FIGURES.filter(lambda value: value != "NaN")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=5),  # NUL and halves of surrogate pairs, too: they stand there as escapes
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
BODIES = st.dictionaries(st.text(st.characters(), max_size=3), JSON, max_size=3)
PARAMS = (
    st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(LETTERS, max_size=8)
)


def uid_of(number: int) -> str:
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    return "".join(digits[number >> 5 * place & 31] for place in reversed(range(26)))


def encode(value: float) -> float | str:
    if math.isfinite(value):
        return value + 0.0
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def some(draw: st.DrawFn, strategy: st.SearchStrategy[Any], most: int = 2) -> list[Any]:
    return draw(st.lists(strategy, max_size=most, unique=True))


def fixed(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(fields)


EXPERIMENT = {"name": NAMES, "note": maybe(TEXTS), "created_us": TIMES, "deleted_us": maybe(TIMES)}
DATASET = {"keyed": st.booleans(), "name": TEXTS, "rows": maybe(COUNTS), "body": BODIES}
ARCHITECTURE = {"space": TEXTS, "choices": BODIES, "spec": BODIES, "parameters": COUNTS, "macs": COUNTS}
ARTIFACT = {"size_bytes": COUNTS, "media_type": TEXTS, "created_us": TIMES}
NODE = {"public_key_sha256": maybe(SHAS), "first_seen_us": TIMES, "last_seen_us": TIMES}
CEREMONY = {
    "scheme": TEXTS,
    "key_id": TEXTS,
    "parameters_sha256": maybe(SHAS),
    "public_key_sha256": maybe(SHAS),
    "members": st.lists(TEXTS, max_size=2),
    "threshold": maybe(INT64),
    "state": st.sampled_from(["completed", "failed"]),
    "started_us": TIMES,
    "ended_us": maybe(TIMES),
}
ROUND = {
    "number": INT64,
    "state": st.sampled_from(["completed", "failed"]),
    "participants": COUNTS,
    "rejected": COUNTS,
    "bytes_up": COUNTS,
    "bytes_down": COUNTS,
    "bytes_plain": maybe(COUNTS),
    "aggregate_seconds": maybe(MEASURES),
    "seconds": MEASURES,
    "started_us": TIMES,
}
CONTRIBUTION = {
    "state": st.sampled_from(["accepted", "rejected"]),
    "reason": maybe(TEXTS),
    "bytes_up": COUNTS,
    "bytes_down": COUNTS,
    "seconds": MEASURES,
    "rows": maybe(INT64),
    "train_seconds": maybe(MEASURES),
    "encrypt_seconds": maybe(MEASURES),
    "update_norm": maybe(MEASURES),
    "clipped": maybe(st.booleans()),
}
SEARCH = {
    "space": TEXTS,
    "space_sha256": SHAS,
    "sampler": TEXTS,
    "pruner": TEXTS,
    "objectives": st.lists(st.tuples(LABELS, st.sampled_from(["maximize", "minimize"])).map(list), max_size=2),
    "trials": INT64,
    "study_name": st.uuids().map(str),
    "space_document": maybe(BODIES),
    "active_us": maybe(COUNTS),
}
FEDERATION = {
    "clients": INT64,
    "rounds": INT64,
    "strategy": TEXTS,
    "scheme": TEXTS,
    "alpha": maybe(MEASURES),
    "flwr_run_id": maybe(TEXTS),
    "min_clients": maybe(INT64),
    "privacy": maybe(BODIES),
    "spec": BODIES,
}
TRIAL = {
    "number": ORDINALS,
    "attempt": ORDINALS,
    "hyperparameters": BODIES,
    "optuna_number": maybe(INT64),
    "flat": maybe(BODIES),
    "cause": maybe(TEXTS),
    "cpu_seconds": maybe(MEASURES),
    "peak_memory_bytes": maybe(COUNTS),
    "rung": maybe(COUNTS),
    "wall_seconds": maybe(MEASURES),
    "transferred_bytes": maybe(COUNTS),
}
RUN = {
    "name": TEXTS,
    "seed": st.integers(0, 2**63 - 1),
    "config": BODIES,
    "host": TEXTS,
    "pid": INT64,
    "born": maybe(TEXTS),
    "started_us": TIMES,
    "ended_us": maybe(TIMES),
    "deleted_us": maybe(TIMES),
    "error": maybe(TEXTS),
    "state": st.sampled_from(["completed", "pruned", "failed", "interrupted"]),
}


@st.composite
def curves(draw: st.DrawFn) -> dict[str, Any]:
    steps = sorted(draw(st.sets(INT64, min_size=1, max_size=4)))
    size = {"min_size": len(steps), "max_size": len(steps)}
    at_ms = draw(maybe(st.lists(maybe(INT64), **size).filter(lambda found: set(found) != {None})))
    return {"steps": steps, "values": draw(st.lists(FIGURES, **size)), "at_ms": at_ms}


@st.composite
def metrics(draw: st.DrawFn) -> dict[str, Any]:
    curve = draw(maybe(curves()))
    if curve is None or draw(st.booleans()):
        return {"value": draw(FIGURES), "reported": True, "curve": curve}
    return {"value": curve["values"][-1], "reported": False, "curve": curve}


@st.composite
def system_curves(draw: st.DrawFn) -> dict[str, Any]:
    curve = draw(curves())
    return {"at_ms": curve["steps"], "values": curve["values"]}


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Documents as an export has them: each with a few runs, sharing what they share."""
    uids = draw(st.lists(UIDS, min_size=20, max_size=20, unique=True))
    experiments = {uids.pop(): draw(fixed(EXPERIMENT)) for _ in range(draw(st.integers(1, 2)))}
    for each, word in zip(experiments.values(), itertools.count()):
        each["name"] = f"{each['name']}{word}"  # two that are alive have two names
    bodies = draw(st.lists(BODIES, min_size=1, max_size=2))
    pool = {
        "uids": uids,
        "experiments": experiments,
        "environments": {hashlib.sha256(canonical_json(body).encode()).hexdigest(): body for body in bodies},
        "datasets": {key: draw(fixed(DATASET)) for key in some(draw, LABELS)},
        "architectures": {key: draw(fixed(ARCHITECTURE)) for key in some(draw, SHAS)},
        "artifacts": {key: draw(fixed(ARTIFACT)) for key in some(draw, SHAS)},
        "nodes": {key: draw(fixed(NODE)) | {"uid": uids.pop()} for key in some(draw, LABELS)},
    }
    kinds = draw(st.lists(st.sampled_from(["search", "federated", "train"]), max_size=3))
    numbers = sorted(draw(st.sets(st.integers(1, 50), min_size=len(kinds), max_size=len(kinds))))
    found = [draw(trees_of(kind, number, pool)) for kind, number in zip(kinds, numbers, strict=True)]
    runs = [run["uid"] for each in found for run in each["runs"]]
    for each in found:
        for run in each["runs"]:
            if run["federation"]:
                run["federation"]["model_run"] = draw(maybe(st.sampled_from(runs)))
        ends = [("run", run["uid"]) for run in each["runs"]]
        links = st.tuples(st.sampled_from([("run", uid) for uid in runs]), LABELS, st.sampled_from(ends))
        each["lineage"] = sorted([*source, word, *target] for source, word, target in draw(st.lists(links, max_size=2)))
        each["lineage"] = [edge for edge, _ in itertools.groupby(each["lineage"])]
    return found


@st.composite
def trees_of(draw: st.DrawFn, kind: str, number: int, pool: dict[str, Any]) -> dict[str, Any]:
    def one_of(table: str) -> str | None:
        return draw(st.sampled_from(sorted(pool[table]))) if pool[table] else None

    children = {"search": ["trial", "retrain"], "federated": ["eval"], "train": []}[kind]
    runs: list[dict[str, Any]] = []
    for place, each in enumerate([kind, *children]):
        if each == "trial" and not pool["architectures"]:
            continue
        run = draw(fixed(RUN)) | {
            "uid": pool["uids"].pop(),
            "number": number if place == 0 else None,
            "kind": each,
            "parent": runs[0]["uid"] if place else None,
            "experiment": one_of("experiments"),
            "environment": one_of("environments"),
            "datasets": {role: one_of("datasets") for role in some(draw, LABELS)} if pool["datasets"] else {},
            "params": draw(st.dictionaries(NAMES, PARAMS, max_size=3)),
            "tags": draw(st.dictionaries(NAMES, fixed({"value": TEXTS, "edited_us": TIMES}), max_size=2)),
            "notes": draw(st.lists(fixed({"text": TEXTS, "created_us": TIMES}), max_size=2)),
            "metrics": draw(st.dictionaries(NAMES, metrics(), max_size=2)),
            "system": draw(st.dictionaries(NAMES, system_curves(), max_size=1)),
            "artifacts": [
                {"role": role, "name": name, "sha256": one_of("artifacts")}
                for role, name in sorted(some(draw, st.tuples(TEXTS, LABELS)))
                if pool["artifacts"]
            ],
            "search": draw(fixed(SEARCH)) if each == "search" else None,
            "trial": None,
            "federation": draw(fixed(FEDERATION)) | {"model_run": None} if each == "federated" else None,
            "rounds": [],
        }
        if each == "trial":
            run["trial"] = draw(fixed(TRIAL)) | {"search": runs[0]["uid"], "architecture": one_of("architectures")}
        if each == "federated":
            rounds = draw(st.lists(fixed(ROUND), max_size=2, unique_by=lambda round: round["number"]))
            run["rounds"] = [
                round | {"contributions": {name: draw(fixed(CONTRIBUTION)) for name in pool["nodes"]}}
                for round in sorted(rounds, key=lambda round: round["number"])
            ]
        runs.append(run)
    used = {
        "experiments": {run["experiment"] for run in runs},
        "environments": {run["environment"] for run in runs},
        "datasets": {key for run in runs for key in run["datasets"].values()},
        "architectures": {run["trial"]["architecture"] for run in runs if run["trial"]},
        "artifacts": {artifact["sha256"] for run in runs for artifact in run["artifacts"]},
        "nodes": {name for run in runs for round in run["rounds"] for name in round["contributions"]}
        | {role.removeprefix("site/") for run in runs for role in run["datasets"] if role.startswith("site/")}
        & pool["nodes"].keys(),
    }
    ceremonies = draw(st.lists(fixed(CEREMONY), max_size=1))
    return {
        "runs": runs,
        **{table: {key: pool[table][key] for key in keys} for table, keys in used.items()},
        "ceremonies": [each | {"uid": pool["uids"].pop(), "run": runs[0]["uid"]} for each in ceremonies],
        "models": [],
        "lineage": [],
    }


@pytest.mark.parametrize("engines", [("sqlite", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "sqlite")])
def test_any_history_comes_back_byte_for_byte(make, tmp_path, engines):
    one, other = make(engines[0]), make(engines[1])

    @given(found=histories())
    @settings(QUIET, max_examples=6 if "postgresql" not in engines else 4)
    def law(found: list[dict[str, Any]]) -> None:
        for database in (one, other):
            empty(database)
        imported = import_bytes(one, as_file(*found), tmp_path)
        assert (imported.runs, imported.left_out, imported.renumbered) == (len(found), 0, {})
        content = exported(one, deleted=True)
        assert documents(content) == found
        import_bytes(other, content, tmp_path)
        assert exported(other, deleted=True) == content
        json_content = exported(one, "json", deleted=True)
        empty(other)
        import_bytes(other, json_content, tmp_path)
        assert exported(other, "json", deleted=True) == json_content
        again = import_bytes(other, content, tmp_path)
        assert (again.runs, again.known, again.differing) == (0, len(found), [])

    law()


# Files that are not whole, or say what cannot be.


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """What `fill` made, exported."""
    folder = tmp_path_factory.mktemp("whole")
    with open_database(folder / "history.db") as database:
        fill(database, folder)
        return exported(database, deleted=True)


@pytest.fixture(scope="module")
def target(tmp_path_factory) -> Iterator[Database]:
    """An empty database, for what must leave it so."""
    with open_database(tmp_path_factory.mktemp("target") / "history.db") as database:
        yield database


def test_a_file_that_is_cut_off_anywhere_changes_nothing(whole, target, tmp_path):
    before = counts(target)
    cuts = {*range(0, len(whole), 997), *(place for place, byte in enumerate(whole) if byte == 10)}
    for cut in sorted(cuts - {len(whole) - 1}):
        with pytest.raises(FormatError):
            import_bytes(target, whole[:cut], tmp_path)
    assert counts(target) == before
    assert import_bytes(target, whole[:-1], tmp_path, dry_run=True).runs == 4  # only the last newline


@given(data=st.data())
@settings(QUIET, max_examples=40)
def test_garbage_is_refused_and_changes_nothing(whole, target, tmp_path, data):
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        import_bytes(target, bytes(content), tmp_path)
    except (FormatError, ConfigError):
        assert set(counts(target).values()) == {0}
    else:
        assert exported(target, deleted=True).count(b"\n") >= 2
        empty(target)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


WILD = st.one_of(
    JSON,
    st.sampled_from([None, "", "NaN", "\0", "\ud800", -1, 2**63, 1e308, [], {}, [[]], "running", "0" * 26, "a" * 64]),
)


@given(data=st.data())
@settings(QUIET, max_examples=50)
def test_a_value_that_does_not_belong_is_refused_with_its_place(whole, target, tmp_path, data):
    found = documents(whole)
    number = data.draw(st.integers(0, len(found) - 1))
    path = data.draw(st.sampled_from(list(places(found[number]))))
    value = data.draw(WILD)
    holder = found[number] if path else found
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1] if path else number] = value
    message = ""
    try:
        import_bytes(target, as_file(*found), tmp_path)
    except FormatError as exc:
        message = exc.message
    if message:
        assert f"line {number + 2}: " in message or "two searches" in message
        assert set(counts(target).values()) == {0}
    else:
        exported(target, deleted=True)
        assert {finding.code for finding in check_database(target).findings} <= {
            *("artifact-missing", "artifact-unused", "round", "run")
        }
        empty(target)


def change(document: dict[str, Any], path: str, value: Any) -> None:
    holder: Any = document
    *steps, last = path.split("/")
    for step in steps:
        holder = holder[int(step) if step.isdecimal() else step]
    holder[int(last) if last.isdecimal() else last] = value


# The documents of `fill`: the search (1 to 3 below it are trials, 4 a retraining), the federated run, two, the rest.
WRONG = [
    ("0/runs/0/uid", "01", r"line 2: runs\[0\].uid: expected a ULID, got '01'"),
    ("0/runs/0/state", "resting", "expected one of running, completed"),
    ("0/runs/0/started_us", -1, "whole number from 0"),
    ("0/runs/0/started_us", 2**62, "whole number from 0"),
    ("0/runs/0/seed", True, "whole number from 0"),
    ("0/runs/0/number", None, "a number of the first run"),
    ("0/runs/1/number", 77, "a number of the first run, and of no other"),
    ("0/runs/0/number", 10**9, "whole number from 0 to 999999999"),
    ("0/runs/0/name", "a\0b", "without NUL"),
    ("0/runs/0/name", "a\udc80b", "halves of surrogate pairs"),
    ("0/runs/0/name", "x" * 1001, "at most 1,000 letters"),
    ("0/runs/0/parent", "01HZYA0000000000000000000A", "below no other"),
    ("0/runs/1/parent", "01HZYA0000000000000000000A", r"runs\[1\].parent: expected something that the document has"),
    ("0/runs/0/experiment", "01HZYA0000000000000000000B", "something that the document has"),
    ("0/runs/0/environment", "ab" * 32, "something that the document has"),
    ("0/runs/0/datasets/data", "sha256:12", r"datasets.data: expected something that the document has"),
    ("0/runs/0/config", {"deep": json.loads("[" * 300 + "]" * 300)}, "levels of JSON"),
    ("0/runs/0/config", [], "an object"),
    ("0/runs/0/params/z", "x" * 501, "at most 500 letters"),
    ("0/runs/0/params/z", 10**400, "a finite number"),
    ("0/runs/0/params/z", None, r"params.z: expected a text, a finite number"),
    ("0/runs/0/params/a b\n", 1, "250 printable letters"),
    ("0/runs/0/tags/good/value", "x" * 10_001, "at most 10,000 letters"),
    ("0/runs/0/notes/0/text", 5, r"notes\[0\].text: expected a text"),
    ("0/runs/1/metrics/gap/value", "nan", 'a number, "NaN", "Infinity"'),
    ("0/runs/1/metrics/gap/reported", False, "a curve, or a figure that was reported"),
    ("0/runs/1/metrics/acc/value", 0.5, "the last value of the curve"),
    ("0/runs/1/metrics/acc/curve/steps", [5, 0], r"curve.steps\[1\]: expected a number above 5"),
    ("0/runs/1/metrics/acc/curve/steps", [0, 2**63], "whole number"),
    ("0/runs/1/metrics/acc/curve/steps", [0, 1, 2], "3 entries, as many as steps"),
    ("0/runs/1/metrics/acc/curve/at_ms", [1], "2 entries, as many as steps"),
    ("0/runs/1/metrics/acc/curve/at_ms", [1, 0.5], r"at_ms\[1\]"),
    ("0/runs/1/trial", None, "the fields of a run of kind trial"),
    ("0/runs/0/search", None, "the fields of a run of kind search"),
    ("0/runs/0/rounds", [{}], "rounds"),
    ("0/runs/1/trial/search", "01HZYA0000000000000000000A", "trial.search: expected something that the document has"),
    ("0/runs/2/trial/number", 0, "each once, got .*0, 1"),
    ("0/runs/0/search/objectives", [["a", "up"]], r"objectives\[0\]\[1\]|objectives\[0\]: expected one of maximize"),
    ("0/runs/4/artifacts/0/sha256", "00" * 32, r"runs\[4\].artifacts\[0\].sha256"),
    ("0/runs/4/artifacts/0/role", "model", "each once"),
    ("0/extra", 1, "one with 'extra'"),
    ("0/models/0/run", None, "what belongs to a run of its document"),
    ("0/models/0/artifact", "00" * 32, r"models\[0\].artifact"),
    ("0/models/0/model", "a b", "the name of a model"),
    ("0/lineage/0", ["run", "x"], r"lineage\[0\]: expected an edge"),
    ("0/lineage/0/0", "star", r"lineage\[0\]\[0\]: expected one of run, dataset"),
    ("0/environments", {"ab" * 32: {}}, "an environment with that SHA-256"),
    ("1/runs/0/rounds/0/seconds", "NaN", 'seconds: expected a number, "Infinity"'),
    ("1/runs/0/rounds/1/number", 1, "rounds: expected each once, got 1"),
    ("1/runs/0/rounds/0/contributions/site-3", {}, "expected an object with the fields state, reason"),
    ("1/nodes", {}, "something that the document has"),
    ("1/runs/0/federation/model_run", "x", "a ULID"),
    ("4/ceremonies/0/run", "01HZYA0000000000000000000A", "what belongs to a run of its document"),
]


@pytest.mark.parametrize(("path", "value", "message"), WRONG, ids=[path for path, _, _ in WRONG])
def test_what_is_wrong_is_named(whole, target, tmp_path, path, value, message):
    found = documents(whole)
    number, _, path = path.partition("/")
    change(found[int(number)], path, value)
    with pytest.raises(FormatError, match=message) as caught:
        import_bytes(target, as_file(*found), tmp_path)
    assert f"line {int(number) + 2}: " in caught.value.message
    assert caught.value.hint
    assert set(counts(target).values()) == {0}


def test_a_run_that_stands_twice_is_refused(whole, target, tmp_path):
    found = documents(whole)
    found[0]["runs"][2]["uid"] = found[0]["runs"][1]["uid"]
    with pytest.raises(FormatError, match=r"line 2: runs\[2\]: expected a run that is there once"):
        import_bytes(target, as_file(*found), tmp_path)


def test_a_file_of_version_1_is_read_and_known_again(whole, sqlite_database, tmp_path):
    """It knew less of searches and trials."""
    found = documents(whole)
    for run in (run for document in found for run in document["runs"]):
        for part, later in shape.LATER.items():
            for name in later if run[part] is not None else ():
                del run[part][name]
    header = {"format": "nasturtium.history", "version": 1, "revision": "0002", "documents": len(found)}
    content = "\n".join(map(json.dumps, [header, *found])).encode()
    first = import_bytes(sqlite_database, content, tmp_path)
    assert (first.runs > 0, first.below > 0) == (True, True)
    trials = [
        trial
        for run in History(sqlite_database).runs(kind="search")
        for trial in History(sqlite_database).trials(run.uid)
    ]
    assert [trial.cause for trial in trials] == [None] * len(trials) != []
    again = import_bytes(sqlite_database, content, tmp_path)
    assert (again.runs, again.known, list(again.differing)) == (0, first.runs, [])


def test_a_field_that_is_missing_is_named(whole, target, tmp_path):
    found = documents(whole)
    del found[0]["runs"][0]["seed"], found[0]["runs"][0]["born"]
    with pytest.raises(FormatError, match=r"line 2: runs\[0\]: expected an object .* got one without born, seed"):
        import_bytes(target, as_file(*found), tmp_path)


HEADER = {"format": "nasturtium.history", "version": 2, "revision": "0003", "documents": 0}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        pytest.param(b"", FormatError, "not valid JSON", id="empty"),
        pytest.param(b"hello\n", FormatError, "line 1: not valid JSON", id="text"),
        pytest.param(b"\xff\xfe{}", FormatError, "not UTF-8", id="not-utf-8"),
        pytest.param(b"[]", FormatError, "expected a nasturtium.history object, got list", id="array"),
        pytest.param(b"{}", FormatError, "expected a document of format 'nasturtium.history'", id="other-object"),
        pytest.param(b'{"format": "nasturtium.backup"}', FormatError, "got 'nasturtium.backup'", id="other-format"),
        pytest.param(json.dumps(HEADER | {"version": 3}), FormatError, "version up to 2, got 3", id="newer"),
        pytest.param(json.dumps(HEADER | {"more": 2}), FormatError, "expected a header with", id="more-fields"),
        pytest.param(json.dumps(HEADER | {"documents": -1}), FormatError, "how many documents", id="negative"),
        pytest.param(json.dumps(HEADER | {"documents": 1}), FormatError, "says 1 documents, it has 0", id="too-few"),
        pytest.param(json.dumps(HEADER) + "\n{}", FormatError, "nothing after line 1", id="too-many"),
        pytest.param(json.dumps(HEADER | {"documents": [5]}), FormatError, r"documents\[0\]: expected an", id="json"),
        pytest.param(b'{"format": 1, "format": 1}', FormatError, "stands twice", id="twice"),
        pytest.param(b"[" * 100_000, FormatError, "not valid JSON", id="deep"),
        pytest.param(b'{"a": ' * 100_000, FormatError, "not valid JSON", id="deep-objects"),
        pytest.param(b"9" * 5000, FormatError, "not valid JSON", id="huge-number"),
        pytest.param(b"PAR1....", ConfigError, "a Parquet file, which is not imported", id="parquet"),
        pytest.param(b"uid,number,kind\n", ConfigError, "a CSV file, which is not imported", id="csv"),
        pytest.param(b"SQLite format 3\0...", ConfigError, "is a database", id="sqlite"),
    ],
)
def test_files_that_are_not_ours(target, tmp_path, content, error, message):
    with pytest.raises(error, match=message) as caught:
        import_bytes(target, content if isinstance(content, bytes) else content.encode(), tmp_path)
    assert caught.value.hint or "header" in str(caught.value) or error is FormatError
    assert set(counts(target).values()) == {0}


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_no_file(target, tmp_path, name):
    with pytest.raises(ConfigError, match="cannot read"):
        import_history(target, tmp_path / name)


def test_json_may_be_written_in_another_layout(whole, make, tmp_path):
    target = make("sqlite")
    document = {**HEADER, "documents": documents(whole)}
    path = tmp_path / "pretty.json"
    path.write_text(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False))
    assert import_history(target, path).runs == 4
    assert documents(exported(target, deleted=True)) == documents(whole)


def test_a_large_file_with_an_error_at_its_end_changes_nothing(make, tmp_path):
    """Also where earlier documents were written by then, in the same transaction."""
    source, target = make("sqlite"), make("sqlite")
    with Tracker(source) as tracker:
        tracker.finish(tracker.start_run("one", config={"lr": 0.1}), state="completed", metrics={"loss": 1.0})
    [document] = documents(exported(source, runs=[1]))
    many = [copy_of(document, number) for number in range(1, 3 * TOGETHER)]
    with pytest.raises(FormatError, match=f"line {3 * TOGETHER}: runs"):
        import_bytes(target, as_file(*many[:-1], copy_of(document, 0, seed=-1)), tmp_path)
    assert set(counts(target).values()) == {0}
    assert import_bytes(target, as_file(*many), tmp_path).runs == len(many)
    assert documents(exported(target)) == many


def copy_of(document: dict[str, Any], number: int, **changes: Any) -> dict[str, Any]:
    [run] = document["runs"]
    return {**document, "runs": [{**run, "uid": uid_of(number), "number": number, **changes}], "lineage": []}


# What is here already.


def test_a_run_that_is_here_stays_as_it_is(make, tmp_path, whole):
    database = make("sqlite")
    import_bytes(database, whole, tmp_path)
    before = exported(database, deleted=True)
    again = import_bytes(database, whole, tmp_path)
    assert (again.runs, again.below, again.known, list(again.differing)) == (0, 0, 4, [])
    assert exported(database, deleted=True) == before

    search = History(database).runs(kind="search")[0]
    Curator(database).tag(search.uid, "mine")
    again = import_bytes(database, whole, tmp_path)
    assert (again.known, list(again.differing)) == (4, [search.uid])
    assert History(database).find(search.uid).tags["mine"] == ""


def test_a_run_of_which_only_a_part_is_here_is_refused(make, tmp_path, whole):
    database = make("sqlite")
    found = documents(whole)
    own = next(each for each in found if each["runs"] and each["runs"][0]["name"] == "own")
    trial = found[0]["runs"][1]["uid"]
    import_bytes(database, as_file(own | {"runs": [own["runs"][0] | {"uid": trial}], "lineage": []}), tmp_path)
    before = counts(database)
    with pytest.raises(FormatError, match=f"line 2: run {trial} is here already, and not below run"):
        import_bytes(database, whole, tmp_path)
    assert counts(database) == before


def test_numbers_that_are_taken_become_the_next_free_ones(make, tmp_path):
    source, database = make("sqlite"), make("sqlite")
    with Tracker(source) as tracker:
        uids = [tracker.start_run(str(number)) for number in range(1, 4)]
    with Tracker(database) as tracker:
        tracker.start_run("here")
        tracker.start_run("here")
    imported = import_bytes(database, exported(source), tmp_path)
    assert imported.renumbered == {1: 3, 2: 4, 3: 5}
    assert [History(database).find(uid).number for uid in uids] == [3, 4, 5]
    with Tracker(database) as tracker:
        assert History(database).find(tracker.start_run("next")).number == 6


def test_two_runs_of_a_file_never_share_a_number(make, tmp_path, whole):
    database, found = make("sqlite"), documents(whole)
    for each in found[:3]:
        each["runs"][0]["number"] = 4
    imported = import_bytes(database, as_file(*found), tmp_path)
    assert imported.runs == 4
    assert sorted(run.number for run in History(database).runs()) == [4, 5, 6]


def test_numbers_that_are_free_stay(make, tmp_path):
    source, database = make("sqlite"), make("sqlite")
    with Tracker(source) as tracker:
        for number in range(1, 4):
            tracker.start_run(str(number))
    with Tracker(database) as tracker:
        tracker.start_run("here")
    imported = import_bytes(database, exported(source, runs=[1, 3]), tmp_path)
    assert imported.renumbered == {1: 2}
    assert {run.number: run.name for run in History(database).runs()} == {1: "here", 2: "1", 3: "3"}


def test_experiments_meet_by_name(make, tmp_path):
    source, database = make("sqlite"), make("sqlite")
    with Tracker(source, experiment="mine") as there, Tracker(database, experiment="mine") as here:
        there.start_run("there")
        here.finish(here.start_run("here"), state="completed", metrics={})
    import_bytes(database, exported(source), tmp_path)
    assert History(database).experiments() == {"mine": 2}
    Curator(database).delete_experiment("mine")
    empty_again = make("sqlite")
    import_bytes(empty_again, exported(database, deleted=True), tmp_path)
    assert exported(empty_again, deleted=True) == exported(database, deleted=True)


def test_a_deleted_experiment_does_not_swallow_what_is_imported(make, tmp_path):
    source, database = make("sqlite"), make("sqlite")
    with Tracker(source, experiment="mine") as tracker:
        tracker.finish(tracker.start_run("one"), state="completed", metrics={})
    content = exported(source)
    import_bytes(database, content, tmp_path)
    Curator(database).delete_experiment("mine")
    Curator(database).purge()
    assert import_bytes(database, content, tmp_path).runs == 1
    assert History(database).experiments() == {"mine": 1}


def test_sites_meet_by_name(make, tmp_path):
    source, database = make("sqlite"), make("sqlite")
    for each in (source, database):
        fill(each, tmp_path)
    import_bytes(database, exported(source), tmp_path)
    [run, _] = History(database).runs(kind="federated")
    assert [each.client for each in History(database).contributions(run.uid, 1)] == ["site-1", "site-10"]
    assert counts(database)["nst_node"] == 3


def test_aliases_stay_and_versions_find_a_free_number(make, tmp_path):
    source, database = make("sqlite"), make("sqlite")
    for each, content in ((source, b"theirs"), (database, b"ours")):
        weights = tmp_path / "weights.safetensors"
        weights.write_bytes(content)
        with Tracker(each) as tracker:
            uid = tracker.start_run("run")
            tracker.record_artifact(uid, weights, role="model", media_type="application/vnd.safetensors")
            tracker.finish(uid, state="completed", metrics={})
        ModelRegistry(each).register("digits", uid)
        ModelRegistry(each).promote("digits:1", "production")
    ModelRegistry(source).promote("digits:1", "staging")
    theirs = ModelRegistry(source).find("digits:1")
    import_bytes(database, exported(source), tmp_path)
    registry = ModelRegistry(database)
    assert registry.find("digits@production").version == 1
    assert (registry.find("digits@staging").version, registry.find("digits@staging").sha256) == (2, theirs.sha256)
    assert theirs.sha256 in {node.ref for node in trace(database, "digits:2").nodes}
    entries = Ledger(database).entries(kind="promotion")
    assert [(entry.body["alias"], entry.body.get("imported")) for entry in entries] == [
        ("production", None),
        ("staging", True),
    ]
    Ledger(database).verify()


def test_the_same_content_has_the_same_size(make, tmp_path, whole):
    database = make("sqlite")
    import_bytes(database, whole, tmp_path)
    found = documents(whole)[-1]
    for artifact in found["artifacts"].values():
        artifact["size_bytes"] += 1
    with pytest.raises(FormatError, match=r"line 2: artifacts.*expected 6 bytes, which it has here, got 7"):
        import_bytes(database, as_file(found), tmp_path)


def test_two_searches_have_two_studies(make, tmp_path, whole):
    database = make("sqlite")
    import_bytes(database, whole, tmp_path)
    found = documents(whole)[0]
    other = json.dumps(found)
    for number, run in enumerate(found["runs"]):
        other = other.replace(f'"{run["uid"]}"', f'"{uid_of(number)}"')
    with pytest.raises(FormatError, match="two searches have the Optuna study"):
        import_bytes(database, as_file(json.loads(other)), tmp_path)


def test_a_file_may_name_a_run_twice(make, tmp_path, whole):
    target = make("sqlite")
    found = documents(whole)
    imported = import_bytes(target, as_file(found[0], *found), tmp_path)
    assert (imported.runs, imported.known, list(imported.differing)) == (4, 1, [])


def test_what_refers_to_a_run_that_is_nowhere_is_counted(make, tmp_path):
    source, database = make("sqlite"), make("sqlite")
    runs = fill(source, tmp_path)
    content = exported(source, runs=[runs["federated"]])
    imported = import_bytes(database, content, tmp_path)
    assert (imported.runs, imported.left_out) == (1, 2)  # whose network it trains, as a field and as an edge
    assert History(database).federated(runs["federated"]).model_run is None


def test_what_refers_to_a_run_that_is_here_finds_it(make, tmp_path):
    source, database = make("sqlite"), make("sqlite")
    runs = fill(source, tmp_path)
    import_bytes(database, exported(source, runs=[runs["search"]]), tmp_path)
    imported = import_bytes(database, exported(source, runs=[runs["federated"]]), tmp_path)
    assert imported.left_out == 0
    assert History(database).federated(runs["federated"]).model_run == runs["search"]
    assert runs["retrain"] in {node.ref for node in trace(database, runs["federated"]).nodes}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dry_run_says_the_same_and_changes_nothing(make, tmp_path, whole, engine):
    database = make(engine)
    said = import_bytes(database, whole, tmp_path, dry_run=True)
    assert set(counts(database).values()) == {0}
    assert not database.key_file.exists()
    assert import_bytes(database, whole, tmp_path) == said


def test_watchers_hear_of_it(make, tmp_path, whole):
    target = make("sqlite")
    import_bytes(target, whole, tmp_path)
    assert [event.kind for event in History(target).events()] == ["imported"] * 4


@pytest.mark.parametrize("state", ["running", "interrupted"])
def test_a_run_that_was_running_is_interrupted(make, tmp_path, whole, state):
    target = make("sqlite")
    found = documents(whole)
    found[0]["runs"][0]["state"] = state
    import_bytes(target, as_file(*found), tmp_path)
    assert History(target).runs(kind="search")[0].state == "interrupted"
    assert list(import_bytes(target, as_file(*found), tmp_path).differing) == []


# Which runs.


def test_chosen_runs_are_exported_in_the_order_they_were_named(sqlite_database, tmp_path):
    runs = fill(sqlite_database, tmp_path)
    found = documents(exported(sqlite_database, runs=[runs["own"], 1, runs["search"], "@last"]))
    assert [each["runs"][0]["uid"] for each in found] == [runs["own"], runs["search"]]


def test_deleted_runs_are_left_out_unless_they_are_wanted(sqlite_database, tmp_path):
    runs = fill(sqlite_database, tmp_path)
    Curator(sqlite_database).delete(runs["trial 1"])

    def uids(**options: Any) -> set[str]:
        return {run["uid"] for each in documents(exported(sqlite_database, **options)) for run in each["runs"]}

    assert uids(deleted=True) == set(runs.values())
    assert uids() == set(runs.values()) - {runs["deleted"], runs["trial 1"]}
    with pytest.raises(ConfigError, match="is deleted"):
        uids(runs=[runs["deleted"]])


def test_a_condition_chooses(sqlite_database, tmp_path):
    runs = fill(sqlite_database, tmp_path)

    def names(**options: Any) -> set[str]:
        uids = {run["uid"] for each in documents(exported(sqlite_database, **options)) for run in each["runs"]}
        return {name for name, uid in runs.items() if uid in uids}

    assert names(where="val_accuracy > 0.5") == {"search", "trial 0", "trial 1", "trial 2", "retrain"}
    assert names(where="kind == 'eval'", deleted=True) == {"deleted"}
    assert names(where="kind == 'search'", runs=[runs["federated"]]) == set()
    table = exported(sqlite_database, "csv", where="val_accuracy > 0.5 and kind == 'trial'").decode()
    assert [row["uid"] for row in csv.DictReader(io.StringIO(table))] == [runs[f"trial {i}"] for i in range(3)]
    with pytest.raises(QueryError):
        exported(sqlite_database, where="val_accuracy >")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"runs": ["01HZYA"]}, UnknownRunError, "no run 01HZYA", id="unknown"),
        pytest.param({"format": "xml"}, ConfigError, "expected a format of csv, json", id="format"),
        pytest.param({"points": True}, ConfigError, "ndjson holds the curves anyway", id="points"),
    ],
)
def test_what_cannot_be_exported(sqlite_database, options, error, message):
    with pytest.raises(error, match=message):
        exported(sqlite_database, **options)


def test_a_part_of_a_run_is_no_document_but_rows(sqlite_database, tmp_path):
    runs = fill(sqlite_database, tmp_path)
    with pytest.raises(ConfigError, match="is a trial of search 1") as caught:
        exported(sqlite_database, runs=[runs["trial 0"]])
    assert caught.value.hint == "export that one: 1"
    table = exported(sqlite_database, "csv", runs=[runs["trial 0"], 1]).decode()
    uids = [row["uid"] for row in csv.DictReader(io.StringIO(table))]
    names = ["trial 0", "search", "trial 1", "trial 2", "retrain"]
    assert uids == [runs[name] for name in names]


# Tables.


@pytest.mark.parametrize("engine", ENGINES)
def test_a_table_has_a_row_for_every_run(make, tmp_path, engine):
    database = make(engine)
    runs = fill(database, tmp_path)
    rows = list(csv.DictReader(io.StringIO(exported(database, "csv").decode())))
    assert [row["uid"] for row in rows] == [uid for name, uid in runs.items() if name != "deleted"]
    trial = rows[1]
    record = History(database).find(trial["uid"])
    assert trial["parent"] == runs["search"]
    assert trial["started"] == record.started.isoformat()
    assert float(trial["seconds"]) == record.seconds
    assert (trial["metric.gap"], trial["metric.acc"], trial["metric.loss"]) == ("NaN", "Infinity", "NaN")
    assert (trial["param.lr"], trial["param.warm"], trial["param.activation"]) == ("1.0", "true", "relu")
    assert rows[0]["tag.by"] == "Zoë"
    frame = pl.read_parquet(io.BytesIO(exported(database, "parquet")))
    assert frame.columns == list(rows[0])
    assert frame["uid"].to_list() == [row["uid"] for row in rows]
    assert frame["metric.val_accuracy"].to_list() == [None if not r else float(r) for r in column(rows, "val_accuracy")]
    assert frame["started"].to_list()[1] == record.started
    assert frame.schema["param.warm"] == pl.Boolean


def column(rows: list[dict[str, str]], name: str) -> list[str]:
    return [row[f"metric.{name}"] for row in rows]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_points_are_a_long_table(make, tmp_path, engine):
    database = make(engine)
    runs = fill(database, tmp_path)
    rows = list(csv.DictReader(io.StringIO(exported(database, "csv", points=True, runs=[1]).decode())))
    assert list(rows[0]) == ["uid", "metric", "step", "value", "seconds"]
    first = [row for row in rows if row["uid"] == runs["trial 0"]]
    assert [(row["metric"], row["step"], row["value"]) for row in first] == [
        ("acc", "0", "0.1"),
        ("acc", "5", "Infinity"),
        ("loss", "0", "2.0"),
        ("loss", "5", "NaN"),
        ("slow", "-3", "-Infinity"),
        ("slow", "7", "0.1"),
        ("slow", str(2**62), "1e-300"),
    ]
    assert first[4]["seconds"] == ""
    assert float(first[0]["seconds"]) >= 0
    frame = pl.read_parquet(io.BytesIO(exported(database, "parquet", points=True, runs=[1])))
    assert frame.schema == {
        "uid": pl.String,
        "metric": pl.String,
        "step": pl.Int64,
        "value": pl.Float64,
        "seconds": pl.Float64,
    }
    assert frame["step"].to_list() == [int(row["step"]) for row in rows]
    assert math.isnan(frame["value"][3])
    assert frame["seconds"][4] is None


@pytest.mark.parametrize("points", [False, True], ids=["runs", "points"])
def test_tables_of_nothing(sqlite_database, points):
    assert exported(sqlite_database, "csv", points=points).startswith(b"uid,")
    frame = pl.read_parquet(io.BytesIO(exported(sqlite_database, "parquet", points=points)))
    assert frame.height == 0
    assert pl.Null not in frame.dtypes


def test_a_table_of_an_imported_history_is_the_same(make, tmp_path):
    source, database = make("sqlite"), make("sqlite")
    fill(source, tmp_path)
    import_bytes(database, exported(source, deleted=True), tmp_path)
    tables = [exported(each, "csv", deleted=True).replace(b"running", b"interrupted") for each in (source, database)]
    assert tables[0] == tables[1]


def test_a_search_of_many_trials_is_one_document(make, tmp_path):
    """More runs than one query asks for at once."""
    source, database = make("sqlite"), make("sqlite")
    runs = fill(source, tmp_path)
    found = documents(exported(source, runs=[1]))[0]
    trial = found["runs"][1]
    assert trial["uid"] == runs["trial 0"]
    more = [
        {**trial, "uid": uid_of(number), "trial": {**trial["trial"], "number": number}} for number in range(10, 1300)
    ]
    many = {**found, "runs": [*found["runs"], *more], "models": [], "ceremonies": [], "lineage": []}
    assert import_bytes(database, as_file(many), tmp_path).below == len(more) + 4
    again = documents(exported(database, runs=[1]))[0]
    assert again["runs"] == many["runs"]
    rows = csv.DictReader(io.StringIO(exported(database, "csv").decode()))
    assert [row["uid"] for row in rows] == [run["uid"] for run in many["runs"]]

"""What one document of an exported history holds, field by field: a top-level run with all below it, or what belongs to
no run. Whatever has a key of its own in the database stands here under a name that another database knows it by.

Times are microseconds UTC, as in the columns; curves are columns of one length; figures are as in `figures.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import islice
from operator import lt
from typing import Any, Final, Literal, cast

from ...core import canonical_json
from ..curate import MAX_TEXT_LETTERS
from ..lineage import NODE_KINDS
from ..models import MAX_PARAM_LETTERS
from ..records import CeremonyState, ContributionState, NodeKind, RoundState, RunKind, RunState
from .checks import (
    Check,
    MisfitError,
    array,
    body,
    boolean,
    figure,
    figures,
    inside,
    listed,
    matching,
    maybe,
    measure,
    name,
    one_of,
    record,
    scalar,
    table,
    text,
    whole,
)

FORMAT: Final = "nasturtium.history"
VERSION: Final = 2  # 1 knew less of searches and trials: `LATER`

Document = Mapping[str, Any]
Fields = Mapping[str, Check]
Edge = tuple[NodeKind, str, str, NodeKind, str]  # kind and name of the source, relation, kind and name of the target

_LAST_US: Final = 253_402_214_400_000_000 - 1  # a day before the year 10000: a time in every zone
_UID = matching(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", "a ULID")
_SHA256 = matching(r"[0-9a-f]{64}", "a SHA-256 in hexadecimal")
_TIME = whole(0, _LAST_US)
_COUNT = whole(0, 2**50)  # many of them can be added up
_ORDINAL = whole(0, 999_999_999)  # after which there is always a next one
_INTEGER = whole()
_TEXT = text()
_LONG = text(None)
_LABEL = text(empty=False)


def _objectives(value: object) -> list[list[str]]:
    pair = one_of(Literal["maximize", "minimize"])
    found: list[list[str]] = []
    for index, each in enumerate(listed(value)):
        with inside(index):
            if len(listed(each)) != 2:
                raise MisfitError("a metric and a direction", each)
            found.append([_LABEL(each[0]), pair(each[1])])
    return found


def _param(value: object) -> str | int | float | bool:
    found = scalar(value)
    if isinstance(found, str) and len(found) > MAX_PARAM_LETTERS:  # numbers that are floats are shorter
        raise MisfitError(f"a text of at most {MAX_PARAM_LETTERS} letters", value)
    return found


def _whole_numbers(value: object) -> list[int]:
    found = listed(value)
    if not {type(each) for each in found} <= {int} or (found and not -(2**63) <= min(found) <= max(found) < 2**63):
        return array(_INTEGER)(found)  # which says where
    return found


def _steps(value: object) -> list[int]:
    found = _whole_numbers(value)
    for index, in_order in enumerate(map(lt, found, islice(found, 1, None)), start=1):
        if not in_order:
            with inside(index):
                raise MisfitError(f"a number above {found[index - 1]}, the one before it", found[index])
    return found


def _curve(value: object) -> dict[str, Any]:
    curve = record({"steps": _steps, "values": figures, "at_ms": maybe(array(maybe(_INTEGER)))})(value)
    for column in ("values", "at_ms"):
        if curve[column] is not None and len(curve[column]) != len(curve["steps"]):
            with inside(column):
                raise MisfitError(f"{len(curve['steps'])} entries, as many as steps", f"{len(curve[column])} of them")
    if not curve["steps"]:
        raise MisfitError("points, or null instead of a curve", curve["steps"])
    return curve


def _system_curve(value: object) -> dict[str, Any]:
    curve = record({"at_ms": _steps, "values": figures})(value)
    if len(curve["values"]) != len(curve["at_ms"]):
        with inside("values"):
            raise MisfitError(f"{len(curve['at_ms'])} entries, as many as at_ms", f"{len(curve['values'])} of them")
    return curve


def _metric(value: object) -> dict[str, Any]:
    metric = record({"value": figure, "reported": boolean, "curve": maybe(_curve)})(value)
    if not metric["reported"]:
        if metric["curve"] is None:
            raise MisfitError("a curve, or a figure that was reported", None)
        if metric["value"] != metric["curve"]["values"][-1]:
            with inside("value"):
                raise MisfitError("the last value of the curve, for another was not reported", metric["value"])
    return metric


def _edge(value: object) -> Edge:
    kinds, checks = one_of(NodeKind), (None, _LABEL, _LABEL, None, _LABEL)
    if len(listed(value)) != len(checks):
        raise MisfitError("an edge: kind and name of its source, relation, kind and name of its target", value)
    found: list[Any] = []
    for index, (check, each) in enumerate(zip(checks, listed(value), strict=True)):
        with inside(index):
            found.append((check or kinds)(each))
    return cast(Edge, tuple(found))


# Fields that are columns of the row, under their own names.
EXPERIMENT: Final[Fields] = {
    "name": name,
    "note": maybe(_LONG),
    "created_us": _TIME,
    "deleted_us": maybe(_TIME),
}
DATASET: Final[Fields] = {"keyed": boolean, "name": _TEXT, "rows": maybe(_INTEGER), "body": body}
ARCHITECTURE: Final[Fields] = {
    "space": _TEXT,
    "choices": body,
    "spec": body,
    "parameters": _INTEGER,
    "macs": _INTEGER,
}
ARTIFACT: Final[Fields] = {"size_bytes": _COUNT, "media_type": _TEXT, "created_us": _TIME}
NODE: Final[Fields] = {
    "uid": _UID,
    "public_key_sha256": maybe(_SHA256),
    "first_seen_us": _TIME,
    "last_seen_us": _TIME,
}
RUN: Final[Fields] = {
    "uid": _UID,
    "number": maybe(_ORDINAL),
    "kind": one_of(RunKind),
    "state": one_of(RunState),
    "name": _TEXT,
    "seed": whole(0),
    "config": body,
    "host": _TEXT,
    "pid": _INTEGER,
    "born": maybe(_TEXT),
    "started_us": _TIME,
    "ended_us": maybe(_TIME),
    "deleted_us": maybe(_TIME),
    "error": maybe(_LONG),
}
SEARCH: Final[Fields] = {
    "space": _TEXT,
    "space_sha256": _SHA256,
    "sampler": _TEXT,
    "pruner": _TEXT,
    "objectives": _objectives,
    "trials": _INTEGER,
    "study_name": _LABEL,
    "space_document": maybe(body),
    "active_us": maybe(_COUNT),
}
TRIAL: Final[Fields] = {
    "number": _ORDINAL,
    "attempt": _ORDINAL,
    "hyperparameters": body,
    "optuna_number": maybe(_INTEGER),
    "flat": maybe(body),
    "cause": maybe(_LONG),
    "cpu_seconds": maybe(measure),
    "peak_memory_bytes": maybe(_COUNT),
    "rung": maybe(_COUNT),
    "wall_seconds": maybe(measure),
    "transferred_bytes": maybe(_COUNT),
}
LATER: Final[Mapping[str, Sequence[str]]] = {  # fields of version 2, null in a document of version 1
    "search": ("space_document", "active_us"),
    "trial": (
        "flat",
        "cause",
        "cpu_seconds",
        "peak_memory_bytes",
        "rung",
        "wall_seconds",
        "transferred_bytes",
    ),
}
FEDERATION: Final[Fields] = {
    "clients": _INTEGER,
    "rounds": _INTEGER,
    "strategy": _TEXT,
    "scheme": _TEXT,
    "alpha": maybe(measure),
    "flwr_run_id": maybe(_TEXT),
    "min_clients": maybe(_INTEGER),
    "privacy": maybe(body),
    "spec": body,
}
ROUND: Final[Fields] = {
    "number": _INTEGER,
    "state": one_of(RoundState),
    "participants": _COUNT,
    "rejected": _COUNT,
    "bytes_up": _COUNT,
    "bytes_down": _COUNT,
    "bytes_plain": maybe(_COUNT),
    "aggregate_seconds": maybe(measure),
    "seconds": measure,
    "started_us": _TIME,
}
CONTRIBUTION: Final[Fields] = {
    "state": one_of(ContributionState),
    "reason": maybe(_LONG),
    "bytes_up": _COUNT,
    "bytes_down": _COUNT,
    "seconds": measure,
    "rows": maybe(_INTEGER),
    "train_seconds": maybe(measure),
    "encrypt_seconds": maybe(measure),
    "update_norm": maybe(measure),
    "clipped": maybe(boolean),
}
NOTE: Final[Fields] = {"text": text(MAX_TEXT_LETTERS), "created_us": _TIME}
CEREMONY: Final[Fields] = {
    "uid": _UID,
    "scheme": _TEXT,
    "key_id": _TEXT,
    "parameters_sha256": maybe(_SHA256),
    "public_key_sha256": maybe(_SHA256),
    "members": array(_TEXT),
    "threshold": maybe(_INTEGER),
    "state": one_of(CeremonyState),
    "started_us": _TIME,
    "ended_us": maybe(_TIME),
}
VERSION_FIELDS: Final[Fields] = {
    "version": _ORDINAL,
    "signature": body,
    "opset": maybe(_INTEGER),
    "created_us": _TIME,
}
DEPLOYMENT: Final[Fields] = {
    "uid": _UID,
    "endpoint": _TEXT,
    "host": _TEXT,
    "started_us": _TIME,
    "stopped_us": maybe(_TIME),
}
_MODEL_NAME = matching(r"[^\s:@/\\\0\ud800-\udfff]{1,100}", "the name of a model, without blanks, ':', '@' and slashes")

_check_document = record(
    {
        "runs": array(
            record(
                {
                    **RUN,
                    "parent": maybe(_UID),
                    "experiment": _UID,
                    "environment": _SHA256,
                    "datasets": table(_LABEL, _LABEL),
                    "params": table(name, _param),
                    "tags": table(name, record({"value": text(MAX_TEXT_LETTERS), "edited_us": _TIME})),
                    "notes": array(record(NOTE)),
                    "metrics": table(name, _metric),
                    "system": table(name, _system_curve),
                    "artifacts": array(record({"role": _TEXT, "name": _LABEL, "sha256": _SHA256})),
                    "search": maybe(record(SEARCH, later=LATER["search"])),
                    "trial": maybe(record({**TRIAL, "search": _UID, "architecture": _SHA256}, later=LATER["trial"])),
                    "federation": maybe(record({**FEDERATION, "model_run": maybe(_UID)})),
                    "rounds": array(record({**ROUND, "contributions": table(_LABEL, record(CONTRIBUTION))})),
                }
            )
        ),
        "experiments": table(_UID, record(EXPERIMENT)),
        "environments": table(_SHA256, body),
        "datasets": table(_LABEL, record(DATASET)),
        "architectures": table(_SHA256, record(ARCHITECTURE)),
        "artifacts": table(_SHA256, record(ARTIFACT)),
        "nodes": table(_LABEL, record(NODE)),
        "ceremonies": array(record({**CEREMONY, "run": maybe(_UID)})),
        "models": array(
            record(
                {
                    **VERSION_FIELDS,
                    "model": _MODEL_NAME,
                    "model_created_us": _TIME,
                    "run": maybe(_UID),
                    "artifact": _SHA256,
                    "aliases": table(_MODEL_NAME, _TIME),
                    "deployments": array(record(DEPLOYMENT)),
                }
            )
        ),
        "lineage": array(_edge),
    }
)


def check_document(value: object) -> Document:
    """A document as its rows will be, checked field by field and against itself.

    Raises:
        MisfitError: something in it is not what a document holds there.
    """
    document = _check_document(value)
    for sha256, environment in document["environments"].items():
        if hashlib.sha256(canonical_json(environment).encode()).hexdigest() != sha256:
            with inside("environments", sha256):
                raise MisfitError("an environment with that SHA-256", environment)
    _check_runs(document)
    uids = {run["uid"] for run in document["runs"]}
    for kind in ("ceremonies", "models"):
        for index, each in enumerate(document[kind]):
            with inside(kind, index):
                if (each["run"] is None) is bool(uids):
                    raise MisfitError("what belongs to a run of its document", each["run"])
                _among("run", each["run"], uids | {None})
                if kind == "models":
                    _among("artifact", each["artifact"], document["artifacts"])
    _unique("models", ((each["model"], each["version"]) for each in document["models"]))
    _unique("models", ((each["model"], alias) for each in document["models"] for alias in each["aliases"]))
    _unique("models", (deployment["uid"] for each in document["models"] for deployment in each["deployments"]))
    _unique("ceremonies", (each["uid"] for each in document["ceremonies"]))
    _unique("nodes", (node["uid"] for node in document["nodes"].values()))
    _unique("lineage", document["lineage"])
    for index, (source_kind, source, _, target_kind, target) in enumerate(document["lineage"]):
        with inside("lineage", index):
            for kind, key in ((source_kind, source), (target_kind, target)):
                if kind in SHARED:
                    _among(kind, key, document[SHARED[kind]])
    return document


SHARED: Final[Mapping[NodeKind, str]] = {  # what several documents may hold
    "dataset": "datasets",
    "architecture": "architectures",
    "artifact": "artifacts",
}
assert set(SHARED) <= set(NODE_KINDS)


def _check_runs(document: Document) -> None:
    seen: set[str] = set()
    searches: set[str] = set()
    trials: list[tuple[str, int, int]] = []
    for index, run in enumerate(document["runs"]):
        with inside("runs", index):
            _check_run(document, run, seen)
            if run["uid"] in seen:
                raise MisfitError("a run that is there once", run["uid"])
            seen.add(run["uid"])
            if run["search"] is not None:
                searches.add(run["uid"])
            if run["trial"] is not None:
                with inside("trial"):
                    _among("search", run["trial"]["search"], searches)
                    _among("architecture", run["trial"]["architecture"], document["architectures"])
                trials.append((run["trial"]["search"], run["trial"]["number"], run["trial"]["attempt"]))
    _unique("runs", trials)


def _check_run(document: Document, run: Mapping[str, Any], seen: Container[str]) -> None:
    if not seen and run["parent"] is not None:
        raise MisfitError("a first run that is below no other", run["parent"])
    if seen:
        _among("parent", run["parent"], seen)
    if (run["number"] is None) is not bool(seen):
        with inside("number"):
            raise MisfitError("a number of the first run, and of no other", run["number"])
    for kind, details in (("search", run["search"]), ("trial", run["trial"]), ("federated", run["federation"])):
        if (run["kind"] == kind) is (details is None):
            raise MisfitError(f"the fields of a run of kind {run['kind']}", details)
    _among("experiment", run["experiment"], document["experiments"])
    _among("environment", run["environment"], document["environments"])
    for role, fingerprint in run["datasets"].items():
        with inside("datasets"):
            _among(role, fingerprint, document["datasets"])
    for index, artifact in enumerate(run["artifacts"]):
        with inside("artifacts", index):
            _among("sha256", artifact["sha256"], document["artifacts"])
    _unique("artifacts", ((artifact["role"], artifact["name"]) for artifact in run["artifacts"]))
    if run["rounds"] and run["federation"] is None:
        raise MisfitError(f"no rounds of a run of kind {run['kind']}", f"{len(run['rounds'])} of them")
    _unique("rounds", (round["number"] for round in run["rounds"]))
    for index, round in enumerate(run["rounds"]):
        with inside("rounds", index, "contributions"):
            for node in round["contributions"]:
                _among(node, node, document["nodes"])


def _among(field: str, value: object, known: Container[Any]) -> None:
    if value not in known:
        with inside(field):
            raise MisfitError("something that the document has", value)


def _unique(field: str, values: Iterable[object]) -> None:
    found: Sequence[object] = list(values)
    if len(set(found)) != len(found):
        twice = next(value for value in found if found.count(value) > 1)
        with inside(field):
            raise MisfitError("each once", twice)

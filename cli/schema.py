"""`nasturtium schema`: the JSON Schema (2020-12) of what each command prints with `--json`.

A figure that JSON has no number for is one of the texts "NaN", "Infinity" and "-Infinity". Times are ISO 8601 with
their offset; names that end in `_bytes` or `seconds` have that unit. With `--format ndjson`, a list is one item a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from ..core import ConfigError
from .options import argument, option
from .output import print_json, stdout

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _of(kind: str, description: str = "", **more: Any) -> Schema:
    said = {"description": description} if description else {}
    return {"type": kind, **more, **said}


def _text(description: str = "", **more: Any) -> Schema:
    return _of("string", description, **more)


def _whole(description: str = "") -> Schema:
    return _of("integer", description)


def _flag(description: str = "") -> Schema:
    return _of("boolean", description)


def _figure(description: str = "") -> Schema:
    said = {"description": description} if description else {}
    return {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}], **said}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(items: Schema, description: str = "") -> Schema:
    return _of("array", description, items=items)


def _map(values: Schema, description: str = "") -> Schema:
    return _of("object", description, additionalProperties=values)


def _object(fields: Mapping[str, Schema], *, optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object that has all of `fields`, may have the `optional` ones, and no others."""
    return {
        "type": "object",
        "properties": {**fields, **(optional or {})},
        "required": list(fields),
        "additionalProperties": False,
    }


_ANY: Schema = {}
_TIME = _text(format="date-time")
_UID = _text("ULID", pattern="^[0-9A-HJKMNP-TV-Z]{26}$")
_SHA256 = _text("SHA-256, hexadecimal")
_NUMBER = _or_null(_whole("the run's number; null for one below another run"))
_SECONDS = _or_null(_of("number", "wall time"))
_STATE = _text(enum=["running", "completed", "pruned", "failed", "interrupted"])
_PARAMS = _map({"type": ["string", "number", "boolean"]}, "what the run was made with, nested names with dots")
_METRICS = _map(_figure(), "final figures, else last points")

_SUMMARY: Mapping[str, Schema] = {
    "id": _NUMBER,
    "uid": _UID,
    "kind": _text("search, trial, retrain, federated, train, eval or export"),
    "data": _text("the name of the data"),
    "experiment": _text(),
    "val_accuracy": _or_null(_figure("of a search that runs, the best so far")),
    "test_accuracy": _or_null(_figure()),
    "parameters": _or_null(_whole()),
    "macs": _or_null(_whole("multiply-accumulates for one example")),
    "trials": _or_null(_whole("planned")),
    "rounds": _or_null(_whole("planned")),
    "state": _STATE,
    "started": _TIME,
    "ended": _or_null(_TIME),
    "seconds": _SECONDS,
    "error": _or_null(_text()),
}
_TRIAL: Mapping[str, Schema] = {
    "trial": _whole("from 1"),
    "uid": _UID,
    "state": _STATE,
    "val_accuracy": _or_null(_figure()),
    "val_loss": _or_null(_figure("nats")),
    "parameters": _whole(),
    "macs": _whole(),
    "seconds": _SECONDS,
    "attempt": _whole("from 1"),
    "architecture_sha256": _SHA256,
    "architecture": _map(_ANY, "what was chosen in the space"),
    "hyperparameters": _map(_ANY),
}
_SPENT = _object(
    {
        "subject": _text("whose privacy: a fingerprint"),
        "releases": _whole(),
        "epsilon": _figure("added up; infinite without noise"),
        "delta": _figure(),
    }
)
_CONTRIBUTION = _object(
    {
        "state": _text(enum=["accepted", "rejected"]),
        "reason": _or_null(_text()),
        "bytes_up": _whole(),
        "bytes_down": _whole(),
        "seconds": _figure(),
        "rows": _or_null(_whole()),
        "train_seconds": _or_null(_figure()),
        "encrypt_seconds": _or_null(_figure()),
        "update_norm": _or_null(_figure()),
        "clipped": _or_null(_flag()),
    }
)
_ROUND = _object(
    {
        "round": _whole("from 1"),
        "participants": _whole("sites whose update is in the sum"),
        "rejected": _whole(),
        "loss": _or_null(_figure("nats")),
        "accuracy": _or_null(_figure()),
        "bytes_up": _whole(),
        "bytes_down": _whole(),
        "bytes_plain": _or_null(_whole("what the updates would be as float32 in the clear")),
        "aggregate_seconds": _or_null(_figure()),
        "seconds": _figure(),
        "state": _text(enum=["completed", "failed"]),
        "contributions": _map(_CONTRIBUTION, "by site"),
    }
)
_METRIC_SUMMARY = _object(
    {
        "value": _figure(),
        "reported": _flag("whether the value was reported at the end"),
        "points": _whole(),
        **{name: _or_null(_whole()) for name in ("first_step", "last_step", "min_step", "max_step")},
        **{name: _or_null(_figure()) for name in ("last", "min", "max")},
    }
)
_FRONT_TRIAL = _object({**_TRIAL, "spec": _map(_ANY, "the network")})
_RUN = _object(
    {
        **{name: schema for name, schema in _SUMMARY.items() if name not in {"trials", "rounds"}},
        "trials": _list(_object(_TRIAL), "of a search"),
        "rounds": _list(_ROUND, "of a federated run"),
        "seed": _whole(),
        "deleted": _or_null(_TIME),
        "parent": _or_null(_UID),
        "config": _map(_ANY),
        "params": _PARAMS,
        "tags": _map(_text()),
        "notes": _list(_object({"text": _text(), "created": _TIME})),
        "metrics": _METRICS,
        "summaries": _map(_METRIC_SUMMARY, "by metric"),
        "dataset": _or_null(_object({"name": _text(), "rows": _or_null(_whole()), "fingerprint": _text()})),
        "sites": _map(_object({"fingerprint": _text("keyed"), "rows": _or_null(_whole())}), "by name"),
        "artifacts": _list(
            _object(
                {
                    "role": _text(),
                    "name": _text(),
                    "sha256": _SHA256,
                    "size_bytes": _whole(),
                    "media_type": _text(),
                }
            )
        ),
        "model": _or_null(_text("the folder of its model")),
        "environment": _map(_ANY, "interpreter, machine, packages, commit"),
        "curves": _map(_list(_list(_figure()), "[step, value]"), "by name; of a search, of its best"),
    },
    optional={
        "search": _object({name: _text() for name in ("space", "space_sha256", "strategy", "pruner", "study")}),
        "front": _list(_object(_TRIAL), "trials that no other beats"),
        "best": _or_null(_FRONT_TRIAL),
        "trial": _FRONT_TRIAL,
        "federation": _map(_ANY, "clients, strategy, scheme, alpha, model_run, spec, privacy"),
        "privacy": _list(_SPENT, "what it released, by the ledger"),
    },
)
_VERSION: Mapping[str, Schema] = {
    "model": _text(),
    "version": _whole("from 1"),
    "run": _or_null(_UID),
    "sha256": _SHA256,
    "opset": _or_null(_whole("of an ONNX file")),
    "created": _TIME,
}
_VERSION_SHOWN = _object({**_VERSION, "aliases": _list(_text()), "signature": _map(_ANY, "inputs and outputs")})
_HEAD_FIELDS: Mapping[str, Schema] = {
    "ledger": _UID,
    "sequence": _whole("of the entry, from 1"),
    "hash": _SHA256,
    "signer": _text("Ed25519 public key, hexadecimal"),
    "signature": _text("hexadecimal"),
}
_ACCOUNTS = _list(
    _object(
        {
            "subject": _text("whose privacy: a fingerprint"),
            "budget_epsilon": _or_null(_figure()),
            "budget_delta": _or_null(_figure()),
            "spent_epsilon": _figure(),
            "spent_delta": _figure(),
            "releases": _whole(),
            "left_epsilon": _or_null(_figure()),
            "left_delta": _or_null(_figure()),
            "rounds_left": _or_null(_whole("like the last one")),
        }
    )
)
_FINDING = {"code": _text(), "message": _text(), "hint": _or_null(_text())}

SCHEMAS: Mapping[str, Schema] = {
    "search": _RUN,
    "federate simulate": _RUN,
    "predict": _list(_object({"row": _whole("from 1"), "prediction": _text("a class"), "probability": _of("number")})),
    "history list": _list(_object(_SUMMARY)),
    "history show": _RUN,
    "history compare": _list(
        {
            "type": "object",
            "properties": {"name": _text("a field, metric.x, param.x or tag.x"), "same": _flag()},
            "required": ["name", "same"],
            "description": "a row per field; the other keys are the runs, by number or ULID",
        }
    ),
    "history curve": {
        "anyOf": [
            _object(
                {
                    "uid": _UID,
                    "metric": _text(),
                    "columns": _list(_text()),
                    "points": _list(_list(_or_null(_figure())), "[step, value, seconds since the start]"),
                }
            ),
            _list(
                _object(
                    {
                        "metric": _text(),
                        "points": _whole(),
                        **{name: _or_null(_figure()) for name in ("first", "last", "min", "max")},
                    }
                ),
                "without a metric: all curves",
            ),
        ]
    },
    "history pareto": _list(
        _object(
            {
                "trial": _whole("from 1"),
                "uid": _UID,
                "val_accuracy": _figure(),
                "val_loss": _figure("nats"),
                "parameters": _whole(),
                "macs": _whole(),
                "seconds": _SECONDS,
            }
        )
    ),
    "history lineage": _object(
        {
            "direction": _text(enum=["origins", "results"]),
            "nodes": _list(
                {
                    "type": "object",
                    "properties": {"kind": _text(), "ref": _text("names it again"), "title": _text()},
                    "required": ["kind", "ref", "title"],
                    "description": "the first is the one that was asked for; what else is known depends on its kind",
                }
            ),
            "edges": _list(
                _object({"source": _whole("place in nodes"), "relation": _text(), "target": _whole()}),
                "target was made from source",
            ),
        }
    ),
    "history query": _list(
        {
            "type": "object",
            "properties": {
                "id": _NUMBER,
                "uid": _UID,
                "kind": _text(),
                "data": _text(),
                "trial": _or_null(_whole()),
                "state": _STATE,
                "started": _TIME,
                "experiment": _text(),
                "metrics": _METRICS,
                "params": _PARAMS,
                "tags": _map(_text()),
            },
            "required": ["id", "uid", "kind", "data", "state", "started", "metrics", "params", "tags"],
            "description": "and a key for each name in the question",
        }
    ),
    "history sql": _list(_map(_ANY), "a row each, by the names of its columns"),
    "history plot": _object(
        {"path": _text(), "charts": _list(_text()), "left_out": _map(_text("why"), "charts, by name")}
    ),
    "history import": _object(
        {
            "imported": _whole("top-level runs"),
            "below": _whole("runs below them"),
            "already_here": _whole(),
            "differing": _list(_ANY, "runs that are here and not the same"),
            "renumbered": _map(_ANY, "runs whose number was taken"),
            "left_out": _whole("references to what is not here"),
            "missing_files": _whole("artifacts whose content is not here"),
            "dry_run": _flag(),
        }
    ),
    "history tag": _object({"uid": _UID, "tags": _map(_text())}),
    "history note": _object({"uid": _UID, "notes": _list(_object({"text": _text(), "created": _TIME}))}),
    "history delete": _object({"deleted": _map(_whole("runs, with those below"), "by how it was named")}),
    "history restore": _object({"restored": _map(_whole("runs"), "by how it was named")}),
    "history purge": _object(
        {"runs": _whole(), "artifacts": _whole("files"), "size_bytes": _whole(), "dry_run": _flag()}
    ),
    "model list": _list(_object({**_VERSION, "aliases": _list(_text())})),
    "model show": _VERSION_SHOWN,
    "model register": _VERSION_SHOWN,
    "model promote": _VERSION_SHOWN,
    "privacy show": _ACCOUNTS,
    "privacy budget": _ACCOUNTS,
    "privacy head": _object({"format": _text(), "version": _whole(), **_HEAD_FIELDS}),
    "privacy verify": _object(
        {
            "ledger": _UID,
            "entries": _whole("all as they were written"),
            "head": _or_null(_object(_HEAD_FIELDS)),
            "signers": _list(_object({"signer": _text(), "since": _whole("the first entry it signed")})),
            "heads": _whole("that were compared"),
        }
    ),
    "db status": _object(
        {
            "engine": _text(enum=["sqlite", "postgresql"]),
            "version": _text("of the engine"),
            "location": _text("without a password"),
            "revision": _or_null(_text()),
            "newest_revision": _text("this nasturtium's"),
            "size_bytes": _whole(),
            "log_bytes": _or_null(_whole()),
            "free_bytes": _or_null(_whole("on the disk")),
            "runs": _map(_whole(), "by kind"),
            **{name: _or_null(_whole()) for name in ("deleted_runs", "points", "rounds", "ledger_entries")},
            **{name: _or_null(_whole()) for name in ("artifacts", "artifact_bytes")},
            "last_backup": _or_null(_TIME),
        }
    ),
    "db upgrade": _object(
        {
            "database": _text(),
            "before": _text("revision"),
            "after": _text("revision"),
            "backup": _or_null(_text("the file as it was")),
        }
    ),
    "db backup": _object(
        {
            "path": _text(),
            "size_bytes": _whole(),
            "revision": _text(),
            "members": _whole("files in it"),
            "left_out": _list(_text(), "artifacts that were gone"),
        }
    ),
    "db restore": _object(
        {"database": _text(), "kept": _list(_text(), "what was there before"), "revision": _text(), "created": _TIME}
    ),
    "db check": _list(_object({"severity": _text(enum=["error", "warning", "note"]), **_FINDING})),
    "db compact": _object({"bytes_before": _whole(), "bytes_after": _whole(), "removed": _map(_whole())}),
    "doctor": _object(
        {
            "ok": _flag("nothing fails"),
            "checks": _list(_object({"level": _text(enum=["ok", "warn", "fail"]), **_FINDING})),
        }
    ),
    "error": _object(
        {"error": _object({"code": _whole("the exit code"), "message": _text(), "hint": _or_null(_text("what to do"))})}
    ),
}


def schema(
    command: Annotated[list[str] | None, argument(help="Such as history list; error for what goes to stderr.")] = None,
    everything: Annotated[bool, option("--all", help="All of them, as one document with $defs.")] = False,
) -> None:
    """The JSON Schema of what a command prints with --json; without a command, a list of them."""
    if everything:
        print_json({"$schema": DIALECT, "$defs": {name.replace(" ", "-"): of for name, of in SCHEMAS.items()}})
        return
    if not command:
        stdout().print("\n".join(SCHEMAS), soft_wrap=True)
        return
    name = " ".join(" ".join(command).split())
    if name not in SCHEMAS:
        raise ConfigError(f"no schema for {name!r}", hint="nasturtium schema lists the commands that have one")
    print_json({"$schema": DIALECT, "title": f"nasturtium {name} --json", **SCHEMAS[name]})

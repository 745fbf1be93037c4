"""`nasturtium schema`: the JSON Schema (2020-12) of what each command prints with `--json`.

Figures of training and of privacy may be NaN or infinite, for which JSON has no number: then they are the texts "NaN",
"Infinity" and "-Infinity". With `--format ndjson` what is a list here is one item a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from ..core import ConfigError
from .options import argument, option
from .output import print_json, stdout

Schema = Mapping[str, Any]
Fields = Mapping[str, Schema]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _of(kind: str | list[str], description: str = "", **more: Any) -> Schema:
    return {"type": kind, **({"description": description} if description else {}), **more}


def _text(description: str = "", **more: Any) -> Schema:
    return _of("string", description, **more)


def _word(words: str, description: str = "") -> Schema:
    return _text(description, enum=words.split())


def _whole(description: str = "", least: int = 0) -> Schema:
    return _of("integer", description, minimum=least)


def _flag(description: str = "") -> Schema:
    return _of("boolean", description)


def _number(description: str = "") -> Schema:
    return _of("number", description)


def _figure(description: str = "") -> Schema:
    said = {"description": description} if description else {}
    return {**said, "anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}


def _maybe(schema: Schema, null: str = "") -> Schema:
    """What may be null, and what that means where it does not go without saying."""
    said = "; ".join(filter(None, [schema.get("description"), null and f"null: {null}"]))
    inner = {name: value for name, value in schema.items() if name != "description"}
    choices = inner["anyOf"] if [*inner] == ["anyOf"] else [inner]
    return {**({"description": said} if said else {}), "anyOf": [*choices, {"type": "null"}]}


def _list(items: Schema, description: str = "") -> Schema:
    return _of("array", description, items=items)


def _point(description: str, *parts: Schema) -> Schema:
    return _of("array", description, prefixItems=list(parts), items=False, minItems=len(parts))


def _map(values: Schema, description: str = "") -> Schema:
    return _of("object", description, additionalProperties=values)


def _object(fields: Fields, description: str = "", *, optional: Fields | None = None, more: Any = False) -> Schema:
    """An object that has all of `fields`, may have the `optional` ones, and others only where they are like `more`."""
    properties = {**fields, **(optional or {})}
    return _of("object", description, properties=properties, required=list(fields), additionalProperties=more)


def _rows(fields: Fields, description: str = "", **more: Any) -> Schema:
    return _list(_object(fields, **more), description)


_ANY: Schema = {}
_STEP = _of("integer")
_SCALAR = _of(["string", "number", "boolean"])
_TIME = _text("ISO 8601 with an offset", format="date-time")
_UID = _text("ULID of the run", pattern="^[0-7][0-9A-HJKMNP-TV-Z]{25}$")
_SHA256 = _text("SHA-256, hexadecimal", pattern="^[0-9a-f]{64}$")
_NUMBER = _maybe(_whole("the short name of the run"), "it is below another run")
_KIND = _word("search trial retrain federated train eval export")
_STATE = _word("running completed pruned failed interrupted")
_SECONDS = _maybe(_number("wall time, s"), "no end is known")
_ACCURACY, _LOSS = _maybe(_figure("share of the rows, 0 to 1")), _maybe(_figure("mean cross-entropy, nats"))
_PARAMETERS, _MACS = _whole("trainable numbers of the network"), _whole("multiply-accumulates for one example")
_NOTES = _rows({"text": _text(), "created": _TIME}, "oldest first")
_TAGS = _map(_text("may be empty"), "by name")
_PARAMS = _map(_SCALAR, "what the run was made with; nested names have dots")
_METRICS = _map(_figure(), "by name: the final figure, or else the last point of the curve")
_REVISION = _text("of the tables")
_BYTES = _whole("bytes")
_EPSILON, _DELTA = _figure("epsilon, >= 0"), _figure("delta, 0 to 1")

_SUMMARY: Fields = {
    "id": _NUMBER,
    "uid": _UID,
    "kind": _KIND,
    "data": _text("name of the data"),
    "experiment": _text("what it is gathered under"),
    "goal": _maybe(_text("the figure it is judged by, as val_accuracy; of a search its first goal")),
    "value": _maybe(_figure("of that figure; of a running search the best so far")),
    "test_value": _maybe(_figure("of that figure on the test rows, or of another one where it is none of rows")),
    "val_accuracy": _maybe(_figure("share of the validation rows, 0 to 1; of a running search the best so far")),
    "test_accuracy": _maybe(_figure("share of the test rows, 0 to 1")),
    "parameters": _maybe(_PARAMETERS),
    "macs": _maybe(_MACS),
    "trials": _maybe(_whole("planned architectures"), "no search"),
    "rounds": _maybe(_whole("planned rounds"), "not federated"),
    "state": _STATE,
    "started": _TIME,
    "ended": _maybe(_TIME),
    "seconds": _SECONDS,
    "error": _maybe(_text("why it failed")),
}
_TRIAL: Fields = {
    "trial": _whole("number in its search", 1),
    "uid": _UID,
    "state": _STATE,
    "val_accuracy": _ACCURACY,
    "val_loss": _LOSS,
    "parameters": _PARAMETERS,
    "macs": _MACS,
    "seconds": _SECONDS,
    "attempt": _whole("which try at this trial it is", 1),
    "cause": _maybe(_text("in a word, why it has no result: out of memory, time limit, not finite, ..."), "it has one"),
    "error": _maybe(_text("the message behind it")),
    "epochs": _maybe(_whole("it was trained for")),
    "cpu_seconds": _maybe(_number("of processors, s")),
    "peak_memory_bytes": _maybe(_BYTES),
    "architecture_sha256": _SHA256,
    "architecture": _map(_ANY, "what was chosen in the space"),
    "hyperparameters": _map(_ANY, "of its training"),
    "figures": _map(_figure(), "all that was measured of it, by name"),
}
_TRIAL_WITH_SPEC = _object({**_TRIAL, "spec": _map(_ANY, "the network: all that is needed to build it")})
_GOALS = _rows({"name": _text("of a figure"), "direction": _word("maximize minimize")}, "the most important first")
_SPENT: Fields = {
    "subject": _text("whose privacy: the fingerprint of a data set"),
    "releases": _whole("how often something of it was released", 1),
    "epsilon": _figure("added up; infinite without noise"),
    "delta": _figure("added up"),
}
_CONTRIBUTION: Fields = {
    "state": _word("accepted rejected"),
    "reason": _maybe(_text("why it was rejected")),
    "bytes_up": _whole("bytes from the site"),
    "bytes_down": _whole("bytes to the site"),
    "seconds": _figure("from asking to the answer, s"),
    "rows": _maybe(_whole("rows it trained on"), "the site does not tell, as below"),
    "train_seconds": _maybe(_figure("s")),
    "encrypt_seconds": _maybe(_figure("s")),
    "update_norm": _maybe(_figure("L2 norm of its update, parameter units")),
    "clipped": _maybe(_flag("whether its update was shortened")),
}
_ROUND: Fields = {
    "round": _whole("", 1),
    "participants": _whole("sites whose update is in the sum"),
    "rejected": _whole("sites whose update is not"),
    "loss": _LOSS,
    "accuracy": _ACCURACY,
    "bytes_up": _whole("bytes from all sites"),
    "bytes_down": _whole("bytes to all sites"),
    "bytes_plain": _maybe(_whole("bytes of the updates as float32 in the clear")),
    "aggregate_seconds": _maybe(_figure("adding the updates up, s")),
    "seconds": _figure("wall time, s"),
    "state": _word("completed failed"),
    "contributions": _map(_object(_CONTRIBUTION), "by site"),
}
_METRIC: Fields = {
    "value": _figure("the final figure, or else the last point"),
    "reported": _flag("whether it is a final figure"),
    "points": _whole("of the curve"),
    "first_step": _maybe(_STEP),
    "last_step": _maybe(_STEP),
    "last": _maybe(_figure()),
    "min": _maybe(_figure("NaN left out")),
    "min_step": _maybe(_STEP),
    "max": _maybe(_figure("NaN left out")),
    "max_step": _maybe(_STEP),
}
_ARTIFACT: Fields = {
    "role": _text("what it is part of, as model"),
    "name": _text(),
    "sha256": _SHA256,
    "size_bytes": _BYTES,
    "media_type": _text(),
}
_FEDERATION: Fields = {
    "clients": _whole("sites"),
    "strategy": _text("how updates are joined"),
    "scheme": _text("how updates travel: packed, ckks-approximate, plain"),
    "alpha": _maybe(_figure("Dirichlet concentration of a simulated split")),
    "model_run": _maybe(_text("ULID of the run whose network is trained")),
    "spec": _map(_ANY, "the network"),
    "privacy": _maybe(_map(_ANY, "how noise is added"), "it is not"),
}
_DATASET: Fields = {"name": _text(), "rows": _maybe(_whole()), "fingerprint": _text("of the content")}
_RUN = _object(
    {
        **_SUMMARY,
        "trials": _rows(_TRIAL, "of a search"),
        "rounds": _rows(_ROUND, "of a federated run"),
        "seed": _whole(),
        "deleted": _maybe(_TIME, "it is not"),
        "parent": _maybe(_text("ULID of the run it is below")),
        "config": _map(_ANY, "what was asked for"),
        "params": _PARAMS,
        "tags": _TAGS,
        "notes": _NOTES,
        "metrics": _METRICS,
        "summaries": _map(_object(_METRIC), "by metric"),
        "dataset": _maybe(_object(_DATASET)),
        "sites": _map(
            _object({"fingerprint": _text("under a key that only the site has"), "rows": _maybe(_whole())}), "by name"
        ),
        "artifacts": _rows(_ARTIFACT, "files it left"),
        "model": _maybe(_text("folder of the model it saved")),
        "environment": _map(_ANY, "interpreter, machine, packages, commit"),
        "curves": _map(_list(_point("step and value", _STEP, _figure())), "by metric; of a search, of its best trial"),
    },
    optional={
        "search": _object(
            {
                "space": _text(),
                "space_sha256": _SHA256,
                "strategy": _text(),
                "pruner": _text(),
                "study": _text(),
                "objectives": _GOALS,
                "constraints": _list(_text("such as parameters <= 50000")),
                "front_by": _list(_text(), "by which figures trials are on its front: the goals; of one also the size"),
                "figures": _list(_text(), "that its trials are shown with"),
            }
        ),
        "front": _rows(
            _TRIAL,
            "trials that no other beats in the goals; with a single goal in that, parameters and MACs; best first",
        ),
        "best": _maybe(_TRIAL_WITH_SPEC, "no trial is completed"),
        "verdicts": _list(_text("a sentence"), "what the test and the comparisons mean; of a finished search"),
        "trial": _TRIAL_WITH_SPEC,
        "federation": _object(_FEDERATION),
        "privacy": _rows(_SPENT, "what it released, by the ledger"),
    },
)
_BY_KIND = {
    "search": ["search", "front", "best", "verdicts"],
    "trial": ["trial"],
    "federated": ["federation", "privacy"],
}
_DESCRIBED: Schema = {
    **_RUN,
    "allOf": [
        {"if": {"properties": {"kind": {"const": kind}}}, "then": {"required": names}}
        for kind, names in _BY_KIND.items()
    ],
}
_FEDERATED_PARTY: Fields = {"id": _text("of its identity"), "fingerprint": _text("to be compared over another channel")}
_JOB_STATES = "queued running completed paused stopped failed"
_USED = _object({"used": _number(), "limit": _maybe(_number(), "it has none")})
_STATUS = _object(
    {
        **{name: _SUMMARY[name] for name in ("id", "uid", "data", "state", "started", "ended", "error")},
        "at": _text("when this was so, by the clock of the database", format="date-time"),
        "space": _text(),
        "strategy": _text(),
        "objectives": _GOALS,
        "trials": _map(_whole(), "by state, the last attempt at each"),
        "in_flight": _rows(
            {
                "trial": _TRIAL["trial"],
                "attempt": _TRIAL["attempt"],
                "state": _word("running open leased reported lost", "running: the broker has it itself"),
                "worker": _maybe(_text("HOST/PROCESS")),
                "started": _TIME,
                "seconds": _number("at its worker, or since it was proposed, s"),
                "heartbeat": _maybe(_TIME),
                "expires": _maybe(_TIME),
            },
            "by trial",
        ),
        "best": _maybe(_object(_TRIAL), "no trial is completed"),
        "budgets": _object(dict.fromkeys(("trials", "wall_seconds", "cpu_seconds", "bytes"), _USED)),
        "broker": _object({"alive": _flag("whether a process runs it"), "heartbeat": _maybe(_TIME)}),
        "stop_requested": _maybe(_TIME),
    }
)
_FIGURES = _map(_figure(), "by name")
_SCORED: Fields = {
    "name": _text("model, winner, random search, or that of a simple model"),
    "what": _text("in words"),
    "validation": _FIGURES,
    "test": _map(_figure(), "by name; means over seeds"),
    "deviation": _map(_figure(), "standard deviations over seeds"),
    "seeds": _whole("", 1),
}
_TESTED: Fields = {
    "method": _text(),
    "effect": _figure("by how much the first is better: accuracy, or mean absolute error in the targets' units"),
    "low": _figure("of its 95 % interval"),
    "high": _figure("of its 95 % interval"),
    "p_value": _figure("0 to 1"),
    "rows": _whole("compared"),
    "better": _whole("rows on which the first is better"),
    "worse": _whole("rows on which it is worse"),
}
_REPORT = _object(
    {
        "format": {"const": "nasturtium.search-report"},
        "version": _whole("", 1),
        "data": _text("its name"),
        "metric": _word("accuracy r2", "what models are compared by"),
        "rows": _object({name: _whole() for name in ("train", "validation", "test")}),
        "goals": _list(_text("such as maximize val_accuracy")),
        "constraints": _list(_text("such as parameters <= 50000")),
        "front": _list(
            _FIGURES,
            "its Pareto front: the trial's number, and the figures it is by: the goals; of a single one also the size",
        ),
        "seeds": _list(_FIGURES, "the best trained again: the trial's number, the seed, figures on validation rows"),
        "smallest": _maybe(
            _whole("number of the trial that was trained again as the smallest network"), "there is none"
        ),
        "winner": _whole("number of the trial that won: the smallest network not clearly worse than the best"),
        "members": _list(_FIGURES, "of the saved model: the trial's number, the seed, its weight"),
        "models": _rows(_SCORED, "what was tested: the saved model, the winner, random search, simple models"),
        "comparisons": _rows({"first": _text(), "second": _text(), "test": _object(_TESTED)}),
        "trials": _object({"searched": _whole(), "random": _whole("of them, or beside them, proposed at random")}),
        "spent": _map(_figure(), "as cpu_seconds"),
        "notes": _list(_text("a sentence")),
        "verdicts": _list(_text("a sentence"), "what the comparisons mean"),
    }
)
_VERSION: Fields = {
    "model": _text("name"),
    "version": _whole("", 1),
    "aliases": _list(_text(), "that point to it"),
    "run": _maybe(_UID, "the run was purged"),
    "sha256": _text("SHA-256 of its weights, hexadecimal"),
    "opset": _maybe(_whole("ONNX operator set")),
    "created": _TIME,
}
_VERSION_SHOWN = _object({**_VERSION, "signature": _map(_ANY, "inputs and outputs")})
_HEAD: Fields = {
    "ledger": _text("ULID of the ledger"),
    "sequence": _whole("of the last entry", 1),
    "hash": _SHA256,
    "signer": _text("Ed25519 public key, hexadecimal"),
    "signature": _text("Ed25519, hexadecimal"),
}
_ENTRY_KIND = _word("budget spend key consent config promotion head")
_SUBJECT = _maybe(_text("whose privacy: the fingerprint of a data set"))
_ACCOUNTS = _rows(
    {
        "subject": _text("whose privacy: the fingerprint of a data set"),
        "budget_epsilon": _maybe(_EPSILON, "no budget, as below"),
        "budget_delta": _maybe(_DELTA),
        "spent_epsilon": _EPSILON,
        "spent_delta": _DELTA,
        "releases": _whole(),
        "left_epsilon": _maybe(_EPSILON),
        "left_delta": _maybe(_DELTA),
        "rounds_left": _maybe(_whole("rounds of a new run at the cost of the last one"), "no end is known"),
        "name": _maybe(_text("of the data"), "the history does not know it"),
    }
)
_ENTRIES = _rows(
    {
        "sequence": _whole("", 1),
        "recorded": _TIME,
        "kind": _ENTRY_KIND,
        "subject": _SUBJECT,
        "run": _maybe(_UID),
        "body": _map(_ANY, 'an infinite figure in it is "inf"'),
        "signer": _HEAD["signer"],
    },
    "with --entries",
)
_LEDGER_ENTRY: Fields = {
    **_HEAD,
    "kind": _ENTRY_KIND,
    "subject": _SUBJECT,
    "run": _maybe(_UID),
    "body": _text("JSON, as it was hashed"),
    "recorded_us": _whole("microseconds UTC since 1970"),
    "previous": _text("SHA-256 of the hash and the signature before, hexadecimal"),
}
_FINDING: Fields = {"code": _text("for programs"), "message": _text(), "hint": _maybe(_text("what to do"))}
_CURVE = _object(
    {
        "uid": _UID,
        "metric": _text(),
        "columns": {"const": ["step", "value", "seconds"]},
        "points": _list(
            _point(
                "of --system, a step is a millisecond",
                _STEP,
                _figure(),
                _maybe(_number("since the run started, s")),
            )
        ),
    }
)
_CURVES = _rows(
    {
        "metric": _text(),
        "points": _whole("", 1),
        "first": _figure(),
        "last": _figure(),
        "min": _maybe(_figure(), "all are NaN"),
        "max": _maybe(_figure(), "all are NaN"),
    },
    "without a metric",
)
_KEY_ID = _text("of an aggregation key", pattern="^[0-9a-f]{32}$")
_FINGERPRINT = _text("64 hexadecimal digits in groups of four, to compare over another channel")
_PARTY: Fields = {
    "is": {"const": "identity"},
    "name": _text(),
    "id": _text("names the party in envelopes", pattern="^[0-9a-f]{32}$"),
    "fingerprint": _FINGERPRINT,
}
_ROSTER = _object(
    {
        "is": {"const": "roster"},
        "epoch": _whole("", 1),
        "sha256": _SHA256,
        "fingerprint": _FINGERPRINT,
        "previous": _maybe(_SHA256, "the first"),
        "issuer": _text("name of the member that makes the key"),
        "coordinator": _maybe(_object(_PARTY), "none is named"),
        "members": _rows({**_PARTY, "signed": _flag()}),
        "complete": _flag("whether all members have signed"),
    }
)
_GRANT = _object({"is": {"const": "grant"}, "key_id": _KEY_ID, "roster": _ROSTER})
_KEY_FOLDER = _object(
    {
        "is": {"const": "folder"},
        "path": _text(),
        "protected": _flag("whether the private keys are under a passphrase"),
        "identity": _object(_PARTY),
        "signed": _maybe(_ROSTER, "no roster was signed here"),
        "in_force": _maybe(_GRANT, "no grant was received"),
        "key_ids": _list(_KEY_ID, "aggregation keys that are here, retired ones too"),
    }
)
_KEY_DOCUMENT: Schema = {"anyOf": [_object(_PARTY), _ROSTER, _GRANT, _KEY_FOLDER]}

SCHEMAS: Mapping[str, Schema] = {
    "search": _DESCRIBED,
    "search status": _STATUS,
    "search report": _REPORT,
    "search spaces": _rows(
        {"space": _text("name"), "description": _text()},
        optional={
            "default": _flag("whether it is taken for this data where none is named"),
            "fits": _flag("whether it can serve this data"),
            "decisions": _maybe(_whole("of a network and of its training"), "it does not fit, as below"),
            "networks": _maybe(_figure("points without those of the training, equal networks counted apart")),
            "least_parameters": _maybe(_whole("of some random networks")),
            "most_parameters": _maybe(_whole("of some random networks")),
            "why_not": _maybe(_text("why it does not fit")),
        },
    ),
    "search strategies": _rows(
        {
            "strategy": _text("name"),
            "default": _flag(),
            "several_goals": _flag("whether it takes more than one"),
            "constraints": _flag("whether it takes such as are known only after training"),
            "extra": _maybe(_text("of nasturtium, that has to be installed for it"), "none has"),
            "installed": _flag("whether all it needs is"),
            "description": _text(),
        }
    ),
    "federate simulate": _DESCRIBED,
    "federate search": _DESCRIBED,
    "federate init coordinator": _object(
        {
            "config": _text("the file that was made"),
            **_FEDERATED_PARTY,
            "authority": _text("fingerprint of its certificate"),
        }
    ),
    "federate init site": _object(
        {"config": _text("the file that was made"), **_FEDERATED_PARTY, "send": _text("the file for the coordinator")}
    ),
    "federate admit": _object(
        {"site": _text("its name"), "send": _text("the file for the site"), "expires": _text("of its certificate, UTC")}
    ),
    "federate remove": _object({"site": _text("its name"), "removed": _text("when, UTC")}),
    "federate client": _map(_ANY, "with --dry-run: all that would leave, and what would not"),
    "federate approve": _maybe(_map(_ANY, "the roster"), "none waits"),
    "federate start": _object({"name": _text(), "uid": _text("ULID of the job"), "state": _word(_JOB_STATES)}),
    "federate status": _rows(
        {
            "job": _whole("its number, from 1", 1),
            "uid": _text("ULID of the job"),
            "kind": _word("train search"),
            "name": _text("of its run"),
            "state": _word(_JOB_STATES),
            "trials": _maybe(_text("finished of those planned, such as 7/20"), "no search"),
            "rounds": _text("closed training rounds of all, such as 3/20; of a search of all its trials, such as 31"),
            "accuracy": _ACCURACY,
            "why": _text("what keeps it, or ended it; may be empty"),
            "run": _NUMBER,
        }
    ),
    "federate rounds": _rows(
        {
            "trial": _maybe(_text("its number, or model: the one at the end"), "no search"),
            "round": _whole("its number", 1),
            "state": _text("of a round, or which attempt failed"),
            "participants": _whole("whose updates are in the sum"),
            "rejected": _whole(),
            "loss": _LOSS,
            "accuracy": _ACCURACY,
            "bytes_up": _maybe(_BYTES),
            "bytes_down": _maybe(_BYTES),
            "seconds": _maybe(_number()),
            "why": _text("an attempt failed; empty for a closed round"),
        }
    ),
    "federate clients": _rows(
        {
            "site": _text("its name"),
            "admitted": _text("when, UTC"),
            "expires": _text("of its certificate, UTC"),
            "accepted": _whole("updates"),
            "rejected": _whole("updates"),
            "bytes_up": _BYTES,
            "last_reason": _text("why one was rejected; may be empty"),
            "fingerprint": _text("of its identity"),
        }
    ),
    "federate open-release": _object(
        {
            "run": _text("ULID of the run"),
            "model": _text("the model folder"),
            "sites": _list(_text("of a site that consented")),
            "roster": _text("fingerprint of their roster"),
        }
    ),
    "federate audit": {"anyOf": [_list(_map(_ANY, "an entry")), _map(_ANY, "with --check")]},
    "federate strategies": _rows(
        {
            "strategy": _text("name"),
            "default": _flag(),
            "in_the_clear": _flag("whether it must see single updates, and is refused under encryption"),
            "parameters": _map(_number(), "with their defaults, by name"),
            "description": _text(),
        }
    ),
    "worker": _object(
        {
            **{name: _SUMMARY[name] for name in ("id", "uid", "state")},
            "trials": _whole("reported by this worker"),
        },
        "of the search",
    ),
    "predict": {
        "anyOf": [
            _rows(
                {"row": _whole("of the file", 1), "prediction": _text("class"), "probability": _number("of it, 0 to 1")}
            ),
            _rows(
                {
                    "row": _whole("of the file", 1),
                    "prediction": {"anyOf": [_number("in the target's unit"), _map(_number(), "by target")]},
                },
                "of a regression",
            ),
        ]
    },
    "history list": _rows(_SUMMARY),
    "history show": _DESCRIBED,
    "history compare": _rows(
        {"name": _text("a field, metric.x, param.x or tag.x"), "same": _flag("whether all runs have the same")},
        "a row for each field; the other keys are the runs, by number or ULID",
        more=_maybe({"anyOf": [_SCALAR, _figure()]}),
    ),
    "history curve": {"anyOf": [_CURVE, _CURVES]},
    "history pareto": _rows(
        {name: _TRIAL[name] for name in ("trial", "uid", "parameters", "macs", "seconds")},
        "best by the first goal first; the other keys are the goals, and val_loss beside val_accuracy",
        more=_maybe(_figure()),
    ),
    "history lineage": _object(
        {
            "direction": _word("origins results"),
            "nodes": _rows(
                {
                    "kind": _word(
                        f"{' '.join(_KIND['enum'])} run dataset architecture artifact version deployment ceremony"
                    ),
                    "ref": _text("names it: a ULID, a hash, digits:2"),
                    "title": _text(),
                },
                "the first is the one that was asked for; the other keys are what is known of its kind",
                more=_ANY,
            ),
            "edges": _rows(
                {"source": _whole("index in nodes"), "relation": _text(), "target": _whole("index in nodes")},
                "the target was made from the source",
            ),
        }
    ),
    "history query": _rows(
        {
            **{name: _SUMMARY[name] for name in ("id", "uid", "kind", "data")},
            "trial": _maybe(_TRIAL["trial"], "no trial"),
            **{name: _SUMMARY[name] for name in ("state", "started", "experiment")},
            "values": _map(_maybe({"anyOf": [_SCALAR, _figure()]}), "by the names in the question"),
            "metrics": _METRICS,
            "params": _PARAMS,
            "tags": _TAGS,
        }
    ),
    "history sql": _list(
        _map(_ANY, "by column; one that has the name of another gets its place in the name, as id_2"), "a row each"
    ),
    "history plot": _object(
        {
            "path": _text("the file"),
            "charts": _list(_word("pareto curves parallel importance rounds privacy"), "what is drawn"),
            "left_out": _map(_text("why"), "charts that would fit the run"),
        }
    ),
    "history export": _object(
        {
            "format": {"const": "nasturtium.history"},
            "version": _whole("", 1),
            "revision": _REVISION,
            "documents": _list(
                _map(_ANY, "a top-level run with all below it, or what belongs to none; storage/exchange/shape.py")
            ),
        }
    ),
    "history import": _object(
        {
            "imported": _whole("top-level runs"),
            "below": _whole("runs below them"),
            "already_here": _whole("top-level runs"),
            "differing": _list(_UID, "runs that are here already, and otherwise than in the file"),
            "renumbered": _map(_whole("number here"), "by the number in the file, which was taken"),
            "left_out": _whole("references to what is neither in the file nor here"),
            "missing_files": _whole("artifacts whose content is not here"),
            "dry_run": _flag("whether nothing was done"),
        }
    ),
    "history tag": _object({"uid": _UID, "tags": _TAGS}),
    "history note": _object({"uid": _UID, "notes": _NOTES}),
    "history delete": _object({"deleted": _map(_whole("runs, those below included"), "by what was typed")}),
    "history restore": _object({"restored": _map(_whole("runs, those below included"), "by what was typed")}),
    "history purge": _object(
        {
            "runs": _whole(),
            "artifacts": _whole("files"),
            "size_bytes": _whole("bytes of the files"),
            "kept": _whole("deleted runs that stay: a process is at them, or their model has an alias or is served"),
            "dry_run": _flag("whether nothing was done"),
        }
    ),
    "model list": _rows(_VERSION, "newest first"),
    "model show": _VERSION_SHOWN,
    "model register": _VERSION_SHOWN,
    "model promote": _VERSION_SHOWN,
    "privacy show": {"anyOf": [_ACCOUNTS, _ENTRIES]},
    "privacy verify": _object(
        {
            "ledger": _text("ULID of the ledger"),
            "entries": _whole("all as they were written"),
            "head": _maybe(_object(_HEAD), "there are no entries"),
            "signers": _rows({"signer": _HEAD["signer"], "since": _whole("the first entry it signed", 1)}),
            "heads": _whole("kept elsewhere, from which the ledger goes on"),
        }
    ),
    "privacy export": _object(
        {
            "format": {"const": "nasturtium-ledger"},
            "version": _whole("", 1),
            "ledger": _text("ULID of the ledger"),
            "entries": _rows(_LEDGER_ENTRY),
        }
    ),
    "privacy head": _object({"format": {"const": "nasturtium-ledger-head"}, "version": _whole("", 1), **_HEAD}),
    "privacy budget": _ACCOUNTS,
    "keys init": _KEY_FOLDER,
    "keys show": _KEY_DOCUMENT,
    "keys propose": _ROSTER,
    "keys rotate": _ROSTER,
    "keys sign": _ROSTER,
    "keys issue": _GRANT,
    "keys receive": _GRANT,
    "keys verify": _list(_KEY_DOCUMENT, "the folder, or each file"),
    "db status": _object(
        {
            "engine": _word("sqlite postgresql"),
            "version": _text("of the engine"),
            "location": _text("file, or URL without its password"),
            "revision": _maybe(_REVISION),
            "newest_revision": _text("that this nasturtium knows"),
            "size_bytes": _BYTES,
            "log_bytes": _maybe(_whole("bytes of the write-ahead log"), "PostgreSQL"),
            "free_bytes": _maybe(_whole("bytes free on the disk"), "PostgreSQL"),
            "runs": _map(_whole(), "by kind"),
            "deleted_runs": _maybe(_whole(), "the revision has none, as below"),
            "points": _maybe(_whole("of all curves")),
            "rounds": _maybe(_whole()),
            "ledger_entries": _maybe(_whole()),
            "artifacts": _maybe(_whole("files")),
            "artifact_bytes": _maybe(_BYTES),
            "last_backup": _maybe(_TIME, "never"),
        }
    ),
    "db upgrade": _object(
        {
            "database": _text("file, or URL without its password"),
            "before": _REVISION,
            "after": _REVISION,
            "backup": _maybe(_text("the file as it was")),
        }
    ),
    "db backup": _object(
        {
            "path": _text(),
            "size_bytes": _BYTES,
            "revision": _REVISION,
            "members": _whole("files in it"),
            "left_out": _list(_text(), "files that were missing or altered already"),
        }
    ),
    "db restore": _object(
        {
            "database": _text("file, or URL without its password"),
            "kept": _list(_text(), "where that is what was there before"),
            "revision": _REVISION,
            "created": _text("when the backup was made", format="date-time"),
        }
    ),
    "db check": _rows({"severity": _word("error warning", "error: something was lost or altered"), **_FINDING}),
    "db compact": _object(
        {
            "bytes_before": _BYTES,
            "bytes_after": _BYTES,
            "removed": _object(
                {name: _whole() for name in ("events", "system_points", "edges", "artifacts", "files", "drafts")}
            ),
        }
    ),
    "doctor": _object(
        {"ok": _flag("whether nothing fails"), "checks": _rows({"level": _word("ok warn fail"), **_FINDING})}
    ),
    "error": _object(
        {
            "error": _object(
                {
                    "code": _whole("the exit code", 1),
                    "message": _text("what happened"),
                    "hint": _maybe(_text("what to do")),
                }
            )
        },
        "on standard error, where a command fails; standard output is empty then",
    ),
}


def schema(
    command: Annotated[
        list[str] | None, argument(help="Such as history list; error for what goes to standard error.")
    ] = None,
    everything: Annotated[bool, option("--all", help="All of them: one document with $defs.")] = False,
) -> None:
    """Print the JSON Schema (2020-12) of what a command prints with --json; without a command, which have one.

    A figure that JSON has no number for is one of the texts "NaN", "Infinity" and "-Infinity". With --format ndjson
    what is a list here is one item a line.
    """
    name = " ".join(" ".join(command or ()).split())
    if everything:
        print_json({"$schema": DIALECT, "$defs": {name.replace(" ", "-"): of for name, of in SCHEMAS.items()}})
        return
    if name in SCHEMAS:
        print_json({"$schema": DIALECT, "title": f"nasturtium {name} --json", **SCHEMAS[name]})
        return
    below = [each for each in SCHEMAS if each.startswith(f"{name} ".lstrip())]
    if not below:
        raise ConfigError(f"no command {name!r} has a schema", hint="nasturtium schema lists those that have one")
    stdout().print("\n".join(below), soft_wrap=True)

"""Our values as Flower's records and back; the one module that knows what a message looks like.

Bytes travel as a Flower `Array` with our own `stype`, so that Flower's transports can cut them into pieces. Whatever
comes in is checked field by field: a message is data from outside.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from math import inf
from typing import Any, cast, get_args

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from ...privacy import PublicIdentity, Signer, UpdateRejectedError
from ..errors import PlanError, Refusal
from .outgoing import Outgoing, Part
from .rounds import (
    ClientUpdate,
    LocalTraining,
    MaskRequest,
    MaskStep,
    MaskTerms,
    Phase,
    PrivacyTerms,
    Quantisation,
    RoundPlan,
    SiteReport,
)

STYPE = "nasturtium.envelope.v1"
_SIGNATURE = "signature"
_DOMAIN = "message v1"
_PLAN_FIELDS: Mapping[str, type] = {
    "run": str,
    "round": int,
    "attempt": int,
    "phase": str,
    "take_part": bool,
    "spec": str,
    "preprocessing": str,
    "seed": int,
    "ledger_head": str,
    "strategy": str,
    "compression": str,
    "shared": str,
    "search": str,
}
_TRAINING_FIELDS: Mapping[str, type] = {
    "epochs": int,
    "batch_size": int,
    "learning_rate": float,
    "weight_decay": float,
    "optimizer": str,
    "label_smoothing": float,
    "max_rows": int,
}
_MASK_FIELDS: Mapping[str, type] = {"roster_sha256": str, "threshold": int, "colluders": int}
_PRIVACY_FIELDS: Mapping[str, type] = {
    "clip": float,
    "value_range": float,
    "sigma": float,
    "distribution": str,
    "fewest_sites": int,
    "colluders": int,
}
_REQUEST_FIELDS: Mapping[str, type] = {
    "run": str,
    "round": int,
    "attempt": int,
    "step": str,
    "layout": str,
    "preset": str,
}
_QUANTISATION_FIELDS: Mapping[str, type] = {"preset": str, "bound": float, "rule": str, "scheme": str}
_STATUS_FIELDS: Mapping[str, type] = {
    "model_tag": str,
    "seconds": float,
    "train_seconds": float,
    "encrypt_seconds": float,
}
_TOLD_FIELDS: Mapping[str, type] = {"rows": int, "update_norm": float, "clipped": bool}
_REPORT_FIELDS: Mapping[str, type] = {"model_round": int, "rows": int, "correct": int, "loss": float}


def pack_bytes(data: bytes) -> ArrayRecord:
    """Bytes as an array record; an empty one for no bytes."""
    return ArrayRecord({"data": Array("uint8", (len(data),), STYPE, data)}) if data else ArrayRecord()


def unpack_bytes(record: object) -> bytes:
    """The inverse of `pack_bytes`.

    Raises:
        ValueError: not such a record.
    """
    if not isinstance(record, ArrayRecord):
        raise ValueError("expected an array record")
    if not record:
        return b""
    array = record.get("data")
    if len(record) != 1 or array is None or array.stype != STYPE or array.shape != (len(array.data),):
        raise ValueError(f"expected one array of type {STYPE}")
    return bytes(array.data)


def sign_content(content: RecordDict, signer: Signer) -> RecordDict:
    """The content with the coordinator's signature of all of it, for `check_content`."""
    content[_SIGNATURE] = pack_bytes(signer.sign(_DOMAIN, content_digest(content)))
    return content


def check_content(content: RecordDict, coordinator: PublicIdentity) -> RecordDict:
    """The content without its signature, which is the coordinator's.

    Raises:
        PlanError: it is not, or something was changed.
    """
    try:
        signed = RecordDict({name: record for name, record in content.items() if name != _SIGNATURE})
        coordinator.verify(_DOMAIN, content_digest(signed), unpack_bytes(content[_SIGNATURE]))
        return signed
    except (KeyError, ValueError, UpdateRejectedError) as exc:
        raise PlanError(f"a message that {coordinator.name} has not signed", refusal=Refusal.SIGNATURE) from exc


def plan_to_content(plan: RoundPlan) -> RecordDict:
    """A plan as message content."""
    fields: dict[str, Any] = {name: getattr(plan, name) for name in _PLAN_FIELDS}
    content = RecordDict(
        {
            "plan": ConfigRecord(fields),
            "training": ConfigRecord(asdict(plan.training)),
            "quantisation": ConfigRecord(asdict(plan.quantisation)),
            "total": pack_bytes(plan.total),
            "shares": pack_bytes(plan.shares),
        }
    )
    if plan.masks is not None:
        content["masks"] = ConfigRecord(asdict(plan.masks))
    if plan.privacy is not None:
        content["privacy"] = ConfigRecord(asdict(plan.privacy))
    return content


def plan_from_content(content: RecordDict) -> RoundPlan:
    """Parse and check a plan.

    Raises:
        PlanError: it is damaged.
    """
    try:
        fields = _checked(content["plan"], _PLAN_FIELDS)
        training = LocalTraining(**_checked(content["training"], _TRAINING_FIELDS))
        quantisation = Quantisation(**_checked(content["quantisation"], _QUANTISATION_FIELDS))
        if fields["phase"] not in get_args(Phase):
            raise ValueError(f"unknown phase {fields['phase']!r}")
        masks = MaskTerms(**_checked(content["masks"], _MASK_FIELDS)) if "masks" in content else None
        return RoundPlan(
            **fields,
            training=training,
            quantisation=quantisation,
            total=unpack_bytes(content["total"]),
            masks=masks,
            shares=unpack_bytes(content["shares"]),
            privacy=PrivacyTerms(**_checked(content["privacy"], _PRIVACY_FIELDS)) if "privacy" in content else None,
        )
    except (KeyError, ValueError) as exc:
        raise PlanError(f"a damaged round plan: {exc}") from exc


def request_to_content(request: MaskRequest) -> RecordDict:
    """A question about masks as message content."""
    return RecordDict(
        {
            "request": ConfigRecord({name: getattr(request, name) for name in _REQUEST_FIELDS}),
            "masks": ConfigRecord(asdict(request.terms)),
            "payload": pack_bytes(request.payload),
        }
    )


def request_from_content(content: RecordDict) -> MaskRequest:
    """Parse and check a question about masks.

    Raises:
        PlanError: it is damaged.
    """
    try:
        fields = _checked(content["request"], _REQUEST_FIELDS)
        if fields["step"] not in get_args(MaskStep):
            raise ValueError(f"unknown step {fields['step']!r:.40}")
        terms = MaskTerms(**_checked(content["masks"], _MASK_FIELDS))
        return MaskRequest(**fields, terms=terms, payload=unpack_bytes(content["payload"]))
    except (KeyError, ValueError) as exc:
        raise PlanError(f"a damaged question about masks: {exc}") from exc


def answer_to_content(answer: bytes) -> RecordDict:
    """The answer to a question about masks."""
    return RecordDict({"answer": pack_bytes(answer)})


def answer_from_content(content: RecordDict) -> bytes:
    """The inverse of `answer_to_content`.

    Raises:
        UpdateRejectedError: it is damaged.
    """
    try:
        return unpack_bytes(content["answer"])
    except (KeyError, ValueError) as exc:
        raise UpdateRejectedError(f"a damaged answer: {exc}") from exc


def plan_size(plan: RoundPlan) -> int:
    """Bytes of a plan's payload: its texts, the sum and the shares it carries."""
    texts = len(plan.spec) + len(plan.preprocessing) + len(plan.ledger_head)
    texts += len(plan.strategy) + len(plan.compression) + len(plan.shared) + len(plan.search)
    return texts + len(plan.total) + len(plan.shares)


def update_to_content(update: ClientUpdate) -> RecordDict:
    """An answer as message content."""
    status = ConfigRecord({name: getattr(update, name) for name in _STATUS_FIELDS})
    records: dict[str, ArrayRecord | MetricRecord | ConfigRecord] = {
        "status": status,
        "update": pack_bytes(update.update),
    }
    if update.report is not None:
        records["report"] = MetricRecord(asdict(update.report))
    told = {name: value for name in _TOLD_FIELDS if (value := getattr(update, name)) is not None}
    if told:
        records["told"] = ConfigRecord(told)
    return RecordDict(records)


def update_from_content(content: RecordDict) -> ClientUpdate:
    """Parse and check an answer.

    Raises:
        UpdateRejectedError: it is damaged.
    """
    try:
        said = _checked(content["status"], _STATUS_FIELDS)
        for name in ("seconds", "train_seconds", "encrypt_seconds"):
            if not 0 <= said[name] < inf:
                raise ValueError(f"expected {name} >= 0, got {said[name]}")
        report = SiteReport(**_checked(content["report"], _REPORT_FIELDS)) if "report" in content else None
        told = _told(content["told"]) if "told" in content else {}
        if unknown := set(content) - {"status", "update", "report", "told"}:
            raise ValueError(f"records that are none of an answer: {', '.join(sorted(unknown))!r:.200}")
        return ClientUpdate(update=unpack_bytes(content["update"]), report=report, **said, **told)
    except (KeyError, ValueError) as exc:
        raise UpdateRejectedError(f"a damaged answer: {exc}") from exc


def outgoing(content: RecordDict) -> Outgoing:
    """What leaves with an answer."""
    parts: list[Part] = []
    for name in sorted(content):
        record = content[name]
        values = {} if isinstance(record, ArrayRecord) else dict(cast(Mapping[str, Any], record))
        size = (
            len(unpack_bytes(record)) if isinstance(record, ArrayRecord) else len(json.dumps(values, default=bytes.hex))
        )
        if record:
            parts.append(Part(name=name, size=size, values=values))
    return Outgoing(parts=tuple(parts), sha256=content_digest(content).hex())


def _told(record: object) -> dict[str, Any]:
    """What a site tells of itself, as far as its policy lets it."""
    names = set(record) if isinstance(record, ConfigRecord) else set[str]()
    told = _checked(record, {name: kind for name, kind in _TOLD_FIELDS.items() if name in names})
    if told.get("rows", 0) < 0 or not 0 <= told.get("update_norm", 0.0) <= inf:
        raise ValueError(f"figures that cannot be: {told}")
    return told


def _checked(record: object, expected: Mapping[str, type]) -> dict[str, Any]:
    """The fields of a record, each of exactly the expected type."""
    if not isinstance(record, ConfigRecord | MetricRecord):
        raise ValueError("expected a record of values")
    fields = dict(cast(Mapping[str, Any], record))
    if fields.keys() != expected.keys():
        raise ValueError(f"expected the fields {', '.join(expected)}, got {', '.join(fields)!r:.200}")
    for name, kind in expected.items():
        if type(fields[name]) is not kind:
            raise ValueError(f"{name} must be {kind.__name__}, got {type(fields[name]).__name__}")
    return fields


def content_digest(content: RecordDict) -> bytes:
    """Of all records by name, and of every byte in them."""
    digest = hashlib.sha256()
    for name in sorted(content):
        record = content[name]
        if isinstance(record, ArrayRecord):
            said = json.dumps([name, hashlib.sha256(unpack_bytes(record)).hexdigest()])
        else:
            said = json.dumps([name, type(record).__name__, dict(record)], sort_keys=True, default=bytes.hex)
        digest.update(hashlib.sha256(said.encode()).digest())
    return digest.digest()

"""The values of an agreement as Flower's records and back, checked field by field."""

from __future__ import annotations

from dataclasses import asdict
from math import inf
from typing import Any, Final, cast

from flwr.app import ConfigRecord, RecordDict

from ...core import ConfigError, FormatError, canonical_json, parse_json
from ...privacy import UpdateRejectedError
from ..errors import AgreementError, PlanError
from ..protocol.records import pack_bytes, unpack_bytes
from ..protocol.rounds import MaskTerms
from .plan import AgreementAnswer, AgreementPlan, opening_from_dict, opening_to_dict

RECORD: Final = "agreement"
_TEXTS: Final = ("run", "step", "question", "preset", "scheme", "ledger_head")
_NUMBERS: Final = ("round", "attempt")
_MOST_BYTES: Final = 2**26  # of a plan's or an answer's text: the names of all columns


def is_agreement(content: RecordDict) -> bool:
    """Whether a message is about an agreement."""
    return RECORD in content


def agreement_plan_to_content(plan: AgreementPlan) -> RecordDict:
    """A plan as message content."""
    said: dict[str, Any] = {name: getattr(plan, name) for name in (*_TEXTS, *_NUMBERS)}
    said["masks"] = None if plan.masks is None else asdict(plan.masks)
    return RecordDict(
        {
            RECORD: ConfigRecord({"plan": canonical_json(said)}),
            "total": pack_bytes(plan.total),
            "shares": pack_bytes(plan.shares),
        }
    )


def agreement_plan_from_content(content: RecordDict) -> AgreementPlan:
    """Parse and check a plan.

    Raises:
        PlanError: it is damaged.
    """
    try:
        fields = _said(content, "plan", (*_TEXTS, *_NUMBERS, "masks"))
        if not all(isinstance(fields[name], str) for name in _TEXTS) or fields["step"] not in {"answer", "open"}:
            raise ValueError("expected texts, and a step of answer, open")
        if not all(type(fields[name]) is int and fields[name] >= 1 for name in _NUMBERS):
            raise ValueError("expected a round and an attempt of at least 1")
        fields["masks"] = None if fields["masks"] is None else _masks(fields["masks"])
        return AgreementPlan(**fields, total=unpack_bytes(content["total"]), shares=unpack_bytes(content["shares"]))
    except (KeyError, ValueError, ConfigError) as exc:
        raise PlanError(f"a damaged plan of an agreement: {exc}") from exc


def agreement_answer_to_content(answer: AgreementAnswer) -> RecordDict:
    """An answer as message content."""
    opening = None if answer.opening is None else opening_to_dict(answer.opening)
    said = canonical_json({"opening": opening, "seconds": answer.seconds})
    content = RecordDict({RECORD: ConfigRecord({"answer": said})})
    if answer.update:
        content["numbers"] = pack_bytes(answer.update)
    return content


def agreement_answer_from_content(content: RecordDict) -> AgreementAnswer:
    """Parse and check an answer.

    Raises:
        UpdateRejectedError: it is damaged.
    """
    try:
        fields = _said(content, "answer", ("opening", "seconds"))
        seconds = fields["seconds"]
        if type(seconds) is not float or not 0 <= seconds < inf:
            raise ValueError(f"expected seconds >= 0, got {seconds!r:.40}")
        opening = None if fields["opening"] is None else opening_from_dict(fields["opening"])
        update = unpack_bytes(content["numbers"]) if "numbers" in content else b""
        if bool(update) == (opening is not None):
            raise ValueError("expected numbers, or what was read from a sum")
        return AgreementAnswer(update=update, opening=opening, seconds=seconds)
    except (KeyError, ValueError, ConfigError, AgreementError) as exc:
        raise UpdateRejectedError(f"a damaged answer of an agreement: {exc}") from exc


def _said(content: RecordDict, name: str, expected: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a record's one JSON text, which are exactly the expected ones."""
    record = content[RECORD]
    text = record.get(name) if isinstance(record, ConfigRecord) and list(record) == [name] else None
    if not isinstance(text, str) or len(text) > _MOST_BYTES:
        raise ValueError(f"expected one text, {name}")
    value = parse_json(text)
    fields = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    if set(fields) != set(expected):
        raise FormatError(f"expected the fields {', '.join(expected)}, got {', '.join(fields)!r:.200}")
    return fields


def _masks(value: object) -> MaskTerms:
    fields = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    kinds = {"roster_sha256": str, "threshold": int, "colluders": int}
    if set(fields) != set(kinds) or not all(type(fields[name]) is kind for name, kind in kinds.items()):
        raise ValueError(f"expected roster_sha256, threshold and colluders, got {value!r:.200}")
    return MaskTerms(**fields)

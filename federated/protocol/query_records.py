"""What a site is asked outside its rounds, as Flower's records and back; see `records`, whose checks it shares."""

from __future__ import annotations

import json
from typing import Any, Final, cast

from flwr.app import ConfigRecord, RecordDict

from ...core import FormatError, parse_json
from ...privacy import MAX_CLIENTS, UpdateRejectedError
from ..errors import PlanError
from .documents import from_document, to_document
from .queries import CheckpointRequest, HelloRequest, HelloVerdict, SiteHello
from .records import pack_bytes, unpack_bytes
from .release import ReleaseConsent, ReleaseRequest

MAX_HELLO_BYTES: Final = 2**22
_KINDS: Final = ("checkpoint", "hello", "verdict", "release")
_BYTES: Final = frozenset({"consents"})
SiteQuery = CheckpointRequest | HelloRequest | HelloVerdict | ReleaseRequest


def query_to_content(query: SiteQuery) -> RecordDict:
    """A question as message content."""
    match query:
        case CheckpointRequest():
            fields = to_document(query, without=frozenset({"box"}))
            return RecordDict({"checkpoint": ConfigRecord(fields), "box": pack_bytes(query.box)})
        case HelloRequest():
            return RecordDict({"hello": ConfigRecord(to_document(query))})
        case HelloVerdict():
            fields = to_document(query) | {"reasons": list(query.reasons)}
            return RecordDict({"verdict": ConfigRecord(fields)})
        case ReleaseRequest():
            fields = to_document(query, without=_BYTES)
            return RecordDict({"release": ConfigRecord(fields), "consents": ConfigRecord(dict(query.consents))})


def query_from_content(content: RecordDict) -> SiteQuery | None:
    """Parse and check a question; None: it is none of these.

    Raises:
        PlanError: it is damaged.
    """
    kind = next((name for name in _KINDS if name in content), None)
    if kind is None:
        return None
    try:
        fields = _fields(content[kind])
        if kind == "checkpoint":
            return from_document(CheckpointRequest, fields, box=unpack_bytes(content["box"]))
        if kind == "hello":
            return from_document(HelloRequest, fields)
        if kind == "release":
            return from_document(ReleaseRequest, fields, consents=_signatures(content["consents"]))
        reasons = fields.pop("reasons")
        if not isinstance(reasons, list) or not all(isinstance(each, str) for each in cast(list[object], reasons)):
            raise ValueError("expected reasons as texts")
        return from_document(HelloVerdict, fields, reasons=tuple(cast(list[str], reasons)))
    except (KeyError, ValueError) as exc:
        raise PlanError(f"a damaged question: {exc}") from exc


def box_to_content(box: bytes) -> RecordDict:
    """A donor's answer."""
    return RecordDict({"box": pack_bytes(box)})


def box_from_content(content: RecordDict) -> bytes:
    """The inverse of `box_to_content`.

    Raises:
        UpdateRejectedError: it is damaged.
    """
    try:
        return unpack_bytes(content["box"])
    except (KeyError, ValueError) as exc:
        raise UpdateRejectedError(f"a damaged answer: {exc}") from exc


def done_to_content(round: int) -> RecordDict:
    """The answer of a site that has done what it was asked to: the round that it is at."""
    return RecordDict({"done": ConfigRecord({"round": round})})


def done_from_content(content: RecordDict) -> int:
    """The inverse of `done_to_content`.

    Raises:
        UpdateRejectedError: it is damaged.
    """
    try:
        number = _fields(content["done"])["round"]
        if type(number) is not int:
            raise ValueError(f"expected a round, got {number!r:.60}")
        return number
    except (KeyError, ValueError) as exc:
        raise UpdateRejectedError(f"a damaged answer: {exc}") from exc


def consent_to_content(consent: ReleaseConsent) -> RecordDict:
    """That a site gives a model out."""
    return RecordDict(
        {
            "consent": ConfigRecord(to_document(consent, without=frozenset({"signature"}))),
            "by": pack_bytes(consent.signature),
        }
    )


def consent_from_content(content: RecordDict) -> ReleaseConsent:
    """The inverse of `consent_to_content`.

    Raises:
        UpdateRejectedError: it is damaged.
    """
    try:
        return from_document(ReleaseConsent, _fields(content["consent"]), signature=unpack_bytes(content["by"]))
    except (KeyError, ValueError) as exc:
        raise UpdateRejectedError(f"a damaged answer: {exc}") from exc


def sealed_to_content(box: bytes) -> RecordDict:
    """A model, sealed to who gets it."""
    return RecordDict({"sealed": pack_bytes(box)})


def sealed_from_content(content: RecordDict) -> bytes:
    """The inverse of `sealed_to_content`.

    Raises:
        UpdateRejectedError: it is damaged.
    """
    try:
        return unpack_bytes(content["sealed"])
    except (KeyError, ValueError) as exc:
        raise UpdateRejectedError(f"a damaged answer: {exc}") from exc


def hello_to_content(hello: SiteHello) -> RecordDict:
    """What a site says of itself, as message content."""
    said = to_document(hello, without=frozenset({"columns", "rounds", "actions", "schemes"}))
    said |= {"columns": [list(each) for each in hello.columns]}
    said |= {"actions": list(hello.actions), "schemes": list(hello.schemes)}
    return RecordDict({"self": pack_bytes(json.dumps(said | {"rounds": dict(hello.rounds)}).encode())})


def hello_from_content(content: RecordDict) -> SiteHello:
    """The inverse of `hello_to_content`.

    Raises:
        UpdateRejectedError: it is damaged.
    """
    try:
        data = unpack_bytes(content["self"])
        if len(data) > MAX_HELLO_BYTES:
            raise ValueError(f"{len(data)} bytes, expected at most {MAX_HELLO_BYTES}")
        said: Any = parse_json(data.decode())
        if not isinstance(said, dict):
            raise ValueError("expected an object")
        fields = cast(dict[str, Any], said)
        columns, rounds = fields.pop("columns"), fields.pop("rounds")
        actions, schemes = fields.pop("actions"), fields.pop("schemes")
        pairs = tuple(tuple(each) for each in columns)
        if not all(len(pair) == 2 and all(isinstance(word, str) for word in pair) for pair in pairs):
            raise ValueError("expected a name and a kind of each column")
        if not all(isinstance(each, str) for each in [*actions, *schemes]):
            raise ValueError("expected the names of actions and schemes")
        if not all(isinstance(run, str) and type(number) is int for run, number in rounds.items()):
            raise ValueError("expected the round of each run")
        lists = {"columns": pairs, "actions": tuple(actions), "schemes": tuple(schemes)}
        return from_document(SiteHello, fields, rounds=rounds, **lists)
    except (KeyError, ValueError, TypeError, AttributeError, FormatError) as exc:
        raise UpdateRejectedError(f"a damaged answer: {exc}") from exc


def _signatures(record: object) -> dict[str, bytes]:
    signatures = _fields(record)
    if len(signatures) > MAX_CLIENTS or not all(isinstance(each, bytes) for each in signatures.values()):
        raise ValueError("expected signatures of sites")
    return signatures


def _fields(record: object) -> dict[str, Any]:
    if not isinstance(record, ConfigRecord):
        raise ValueError("expected a record of values")
    return dict(cast(dict[str, Any], record))

"""The documents of a ceremony as messages: to sites that have no key yet, and may not even have seen their data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from flwr.app import ConfigRecord, RecordDict

from ...privacy import MAX_GRANT_BYTES, PublicIdentity, UpdateRejectedError
from ..errors import PlanError
from .ceremony import Ask, CeremonyStep
from .courier import Courier, Questions
from .gather import Closing
from .records import pack_bytes, unpack_bytes

KEYS: Final = "query.keys"  # Flower's type of these messages
_STEP, _DOCUMENT = "keys", "document"
_STEPS: Final[Mapping[object, CeremonyStep]] = {"sign": "sign", "issue": "issue", "receive": "receive"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """A step of a ceremony that a site is asked to take.

    Attributes:
        step: see `SiteCeremony.answer`.
        document: JSON.
    """

    step: CeremonyStep
    document: str
    run: str = ""
    round: int = 0
    attempt: int = 0


def key_request_to_content(step: CeremonyStep, document: str) -> RecordDict:
    """A step as message content."""
    return RecordDict({_STEP: ConfigRecord({"step": step}), _DOCUMENT: pack_bytes(document.encode())})


def key_request_from_content(content: RecordDict) -> KeyRequest:
    """Parse and check a step.

    Raises:
        PlanError: it is damaged.
    """
    try:
        record = content[_STEP]
        said = record.get("step") if isinstance(record, ConfigRecord) else None
        return KeyRequest(step=_STEPS[said], document=_text(content))
    except (KeyError, ValueError) as exc:
        raise PlanError(f"a damaged step of a ceremony: {exc}") from exc


def key_answer_to_content(document: str) -> RecordDict:
    """A site's answer as message content."""
    return RecordDict({_DOCUMENT: pack_bytes(document.encode())})


def key_answer_from_content(content: RecordDict) -> str:
    """The inverse of `key_answer_to_content`.

    Raises:
        UpdateRejectedError: it is damaged.
    """
    try:
        return _text(content)
    except (KeyError, ValueError) as exc:
        raise UpdateRejectedError(f"a damaged answer: {exc}") from exc


def ask_sites(
    courier: Courier,
    sites: Mapping[int, PublicIdentity],
    *,
    seconds: float,
    told: Callable[[str, str], object] = lambda site, reason: None,
) -> Ask:
    """How `hold_ceremony` reaches sites over a grid.

    Args:
        courier: carries the messages.
        sites: the identity of each node.
        seconds: to wait for an answer.
        told: called with a site's name and why it does not do its part.
    """

    def ask(step: CeremonyStep, documents: Mapping[str, str]) -> dict[str, str]:
        asked = {  # one that is removed at this moment is none
            node: site for node in courier.nodes() if (site := sites.get(node)) is not None and site.id in documents
        }
        contents = {node: key_request_to_content(step, documents[site.id]) for node, site in asked.items()}
        if not contents:
            return {}
        closing = Closing(deadline=seconds, min_replies=len(contents), grace=0.0)
        questions = Questions(
            kind=KEYS, contents=contents, largest=MAX_GRANT_BYTES, closing=closing, counted=frozenset(contents)
        )
        answers = courier.ask({0: questions})[0]
        for node, reason in answers.reasons.items():
            told(asked[node].name, reason)
        found: dict[str, str] = {}
        for node, content in answers.contents.items():
            try:
                found[asked[node].id] = key_answer_from_content(content)
            except UpdateRejectedError as exc:
                told(asked[node].name, exc.message)
        return found

    return ask


def _text(content: RecordDict) -> str:
    data = unpack_bytes(content[_DOCUMENT])
    if len(data) > MAX_GRANT_BYTES:
        raise ValueError(f"{len(data)} bytes, expected at most {MAX_GRANT_BYTES}")
    return data.decode()

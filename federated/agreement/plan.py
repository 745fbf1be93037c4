"""The values that go to and fro while sites agree, and how a later run names what they have agreed on."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, cast

from ...core import FormatError, canonical_json, parse_json
from ...privacy import Event, ExactRelease, Sitting
from ..errors import PlanError, Refusal
from ..protocol.rounds import MaskTerms
from .question import Facts, Question
from .site_agreement import Opening

AgreementStep = Literal["answer", "open"]
_REFERENCE: Final = "nasturtium.agreed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementPlan:
    """What the coordinator asks a site while all agree; it has the fields of a `RoundPlan` that make sense before one.

    An agreement is a run of its own, and a question one of its rounds: attempts, masks, tags of sums and signatures
    are those of every round.

    Attributes:
        run: ULID of the agreement.
        round: number of the question.
        attempt: at it, from 1; of the sum, where one is to be opened.
        step: "answer" the question, or "open" the sum of the answers to it.
        question: as JSON.
        preset: name of the `privacy.Preset` of the sums.
        scheme: how answers are protected, by name.
        masks: how answers are masked under the encryption; None where they are not.
        shares: what the other sites have dealt to this one for that.
        total: the sum, as `EncryptedSum` bytes; empty for "answer".
        ledger_head: see `RoundPlan`.
    """

    run: str
    round: int
    step: AgreementStep
    question: str
    preset: str
    masks: MaskTerms | None
    scheme: str = "packed"
    attempt: int = 1
    shares: bytes = b""
    total: bytes = b""
    ledger_head: str = ""

    def sitting(self, question: Question, levels: int) -> Sitting:
        """What answers belong to.

        Args:
            question: the plan's.
            levels: of the preset.
        """
        return agreement_sitting(
            question, run=self.run, attempt=self.attempt, preset=self.preset, levels=levels, masks=self.masks
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementAnswer:
    """What a site sends back.

    Attributes:
        update: `EncryptedUpdate` bytes; empty where a sum was opened.
        opening: what it tells of the sum it has opened; None where it has answered a question.
        seconds: the site's own time.
    """

    update: bytes
    opening: Opening | None
    seconds: float


def agreement_sitting(
    question: Question, *, run: str, attempt: int, preset: str, levels: int, masks: MaskTerms | None
) -> Sitting:
    """What answers to a question belong to; answers of sites that were told otherwise do not enter one sum."""
    told = ["nasturtium.agreement", run, question.sha256, preset, None if masks is None else asdict(masks)]
    return Sitting(
        run=run,
        round=question.number,
        attempt=attempt,
        layout=hashlib.sha256(canonical_json(told).encode()).hexdigest(),
        values=question.values(levels),
        masked=masks is not None,
    )


def agreement_event() -> Event:
    """What each sum costs a site: it is exact."""
    return ExactRelease(what="exact sum for preprocessing")


@dataclass(frozen=True, slots=True)
class AgreedReference:
    """What a `RoundPlan` holds for its preprocessing where the coordinator has not read it.

    Attributes:
        run: ULID of the agreement.
        tag: of what came out of it, keyed; every site compares it with its own.
    """

    run: str
    tag: str

    def to_json(self) -> str:
        """For `RoundPlan.preprocessing`."""
        return canonical_json({"format": _REFERENCE, "run": self.run, "tag": self.tag})

    @classmethod
    def find(cls, text: str) -> AgreedReference | None:
        """The reference in a plan's preprocessing; None where that is a document of its own.

        Raises:
            PlanError: it is damaged.
        """
        try:
            value = parse_json(text)
        except FormatError as exc:
            raise PlanError(f"a damaged preprocessing: {exc.message}") from exc
        fields = cast(dict[str, Any], value) if isinstance(value, dict) else {}
        if fields.get("format") != _REFERENCE:
            return None
        run, tag = fields.get("run"), fields.get("tag")
        if set(fields) != {"format", "run", "tag"} or not isinstance(run, str) or not isinstance(tag, str):
            raise PlanError(f"a damaged name of a preprocessing: {text!r:.200}", refusal=Refusal.MESSAGE)
        return cls(run, tag)


def opening_to_dict(opening: Opening) -> dict[str, Any]:
    """Plain JSON values."""
    facts = None if opening.facts is None else opening.facts.to_dict()
    return {"tag": opening.tag, "question": opening.question, "facts": facts}


def opening_from_dict(value: object) -> Opening:
    """Parse and check.

    Raises:
        FormatError: no such thing.
        AgreementError: its question cannot be.
    """
    fields = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    if set(fields) != {"tag", "question", "facts"} or not all(isinstance(fields[n], str) for n in ("tag", "question")):
        raise FormatError(f"expected what a site tells of a sum, got {value!r:.200}")
    facts = None if fields["facts"] is None else Facts.from_dict(fields["facts"])
    if (facts is None) == (not fields["question"]) or len(fields["tag"]) != 64:
        raise FormatError("expected the next question or what came out in the end, and a tag of 64 digits")
    if fields["question"]:
        Question.from_json(fields["question"])
    return Opening(tag=fields["tag"], question=fields["question"], facts=facts)

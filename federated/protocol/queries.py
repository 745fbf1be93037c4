"""The values of what a site is asked outside its rounds: who it is and what it has, and to help one that is behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Final

WIRE_VERSION: Final = 1  # of messages: how questions and answers are packed and signed
ANSWER_DOMAIN: Final = "answer v1"  # of a site's signature of an answer
PLAN_VERSION: Final = 1  # of `RoundPlan`: its fields and what they mean


def package_version() -> str:
    """The version of nasturtium that runs here."""
    try:
        return version("nasturtium")
    except PackageNotFoundError:  # from a folder of sources
        return "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRequest:
    """A question to a donor, or with `box` what it answered, passed on to the recipient.

    Attributes:
        run: ULID of the federated run.
        round: that the donor has followed last.
        donor, recipient: ids of the two sites.
        box: the checkpoint; empty in the question.
    """

    run: str
    round: int
    donor: str
    recipient: str
    box: bytes = b""

    @property
    def attempt(self) -> int:
        """None: a checkpoint is of a whole round."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloRequest:
    """A question to a site before its first round.

    Attributes:
        package: version of nasturtium at the coordinator.
        wire, plans: `WIRE_VERSION` and `PLAN_VERSION` there.
        run: ULID of the federated run it is about; empty where there is none yet.
        agreement: ULID of the agreement that the run begins with; empty where there is none.
    """

    package: str
    wire: int = WIRE_VERSION
    plans: int = PLAN_VERSION
    run: str = ""
    agreement: str = ""
    round: int = 0
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteHello:
    """What a site says of itself.

    Attributes:
        package, wire, plans: as in `HelloRequest`.
        schemes: how it can protect updates.
        key_id: the name of its key.
        masks: whether it can mask them.
        must_mask: whether it takes part in masked runs only.
        roster_sha256: of the roster it has signed; empty where there is none.
        columns: name and kind of each column of its table, or of what a row is.
        schema_sha256: of all that must be alike at all sites.
        schema: `agreement.Schema` of its rows as JSON; empty where its policy does not tell.
        actions: what its policy allows.
        rows: how many it trains on; None: its policy does not tell.
        rounds: the round it followed last of the run it was asked about, and the last question of the agreement whose
            end it knows; nothing of those it does not know.
    """

    package: str
    wire: int
    plans: int
    schemes: tuple[str, ...]
    key_id: str
    masks: bool
    must_mask: bool
    roster_sha256: str
    columns: tuple[tuple[str, str], ...]
    schema_sha256: str
    schema: str
    actions: tuple[str, ...]
    rows: int | None = None
    rounds: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloVerdict:
    """What the coordinator makes of it.

    Attributes:
        accepted: whether the site takes part.
        reasons: why not, each in a sentence.
    """

    accepted: bool
    reasons: tuple[str, ...] = ()
    run: str = ""
    round: int = 0
    attempt: int = 0

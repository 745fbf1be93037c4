"""`Guard`: who is asked before a site does what it is asked to, and is shown all that is about to leave it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, Protocol

from ..errors import Refusal
from ..protocol.outgoing import Outgoing
from ..protocol.release import ReleaseRequest
from ..protocol.rounds import MaskRequest, MaskStep, RoundPlan

# What a site can be asked to do. "report" and "masks" belong to rounds of the others, "hello" and "keys" come before.
Action = Literal["hello", "keys", "agree", "train", "evaluate", "report", "masks", "search", "checkpoint", "release"]

_STEPS: Final[Mapping[MaskStep, str]] = MappingProxyType(
    {
        "advertise": "public keys for the masks of this round",
        "share": "shares of the secrets of this round's masks, each sealed to another site",
        "confirm": "a signature of whose updates are in the sum",
        "reveal": "shares by which the masks come off the sum, and off nothing smaller",
    }
)


class Asked(Protocol):
    """What was asked, as far as it can be named; a `RoundPlan` and a `MaskRequest` are."""

    @property
    def run(self) -> str:
        """ULID of the federated run, or empty."""
        ...

    @property
    def round(self) -> int:
        """From 1; 0 outside of rounds."""
        ...

    @property
    def attempt(self) -> int:
        """At the round, from 1; 0 outside of rounds."""
        ...


class Guard(Protocol):
    """Stands between the messages and the site; see `SiteGuard`."""

    def before(self, action: Action, asked: Asked) -> None:
        """Called before a site does anything of what was asked. What it raises becomes the answer, as a code."""
        ...

    def leaving(self, action: Action, asked: Asked, outgoing: Outgoing) -> None:
        """Called with an answer before it leaves. What it raises leaves instead, as a code."""
        ...

    def refused(self, action: Action | None, asked: Asked | None, code: Refusal, error: Exception) -> None:
        """Called with the code that leaves instead of an answer, and with why. Must not raise.

        Args:
            action, asked: None where not even that could be read.
            code: what leaves.
            error: stays.
        """
        ...


def action_of(asked: RoundPlan | MaskRequest) -> Action:
    """What a plan or a question is about. What is trained and measured to choose a network by is a search."""
    if isinstance(asked, MaskRequest):
        return "masks"
    return "search" if asked.search and asked.phase != "report" else asked.phase


def describe(asked: Asked, outgoing: Outgoing) -> tuple[str, ...]:
    """What leaves with an answer, in words, part by part."""
    if isinstance(asked, ReleaseRequest):
        return (*outgoing.words, f"to whom: {asked.party:.120}")
    if not isinstance(asked, MaskRequest):
        return outgoing.words
    return tuple(f"{part.name}, {part.size:,} bytes: {_STEPS[asked.step]}" for part in outgoing.parts)

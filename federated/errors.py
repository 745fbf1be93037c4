"""What can go wrong in a federated run."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ..core import NasturtiumError

if TYPE_CHECKING:
    from ..privacy import KeyGrant


class Refusal(StrEnum):
    """Why a site did not answer: all that the coordinator is told. What is behind it stays in the site's own log."""

    POLICY = "policy"  # the site's policy does not allow it
    BUDGET = "budget"  # its privacy budget does not last
    SCHEMA = "schema"  # its data is not what the run is for
    DATA = "data"  # its data cannot be learned from
    VERSION = "version"  # it speaks another version
    SIGNATURE = "signature"  # a message that the coordinator has not signed
    MESSAGE = "message"  # a damaged message, or one that asks for what cannot be
    ORDER = "order"  # of another run, round or attempt than the site is at, or answered already
    BEHIND = "behind"  # the site has missed rounds of the run, and needs a checkpoint of another one
    KEY = "key"  # another key, roster or preset, or none yet
    MASKS = "masks"  # the masks of the round cannot be made or taken off
    SUM = "sum"  # the last sum cannot be opened, or an update cannot be protected
    NOT_READY = "not-ready"  # the site's operator has to do something first
    DISK = "disk"  # a file of the site cannot be written
    MEMORY = "memory"
    INTERNAL = "internal"  # anything else: a bug

    @classmethod
    def told(cls, text: str) -> Refusal:
        """What a site said; whatever is none of the codes is `INTERNAL`, so that nothing else is passed on."""
        return cls(text) if text in cls._value2member_map_ else cls.INTERNAL

    @property
    def reason(self) -> str:
        """What the coordinator writes down of a site that gave this code, and shows its operator."""
        return f"the site failed: {self.value!r} ({_SENTENCES[self]})"


# For whoever reads them at the coordinator; they say no more than the code does.
_SENTENCES: Final[Mapping[Refusal, str]] = {
    Refusal.POLICY: "its policy does not allow it",
    Refusal.BUDGET: "its privacy budget does not last",
    Refusal.SCHEMA: "its data is not what the run is for",
    Refusal.DATA: "its data cannot be learned from",
    Refusal.VERSION: "it speaks another version, or lacks what the run needs",
    Refusal.SIGNATURE: "it got a message that this coordinator has not signed",
    Refusal.MESSAGE: "it cannot do what it was asked for",
    Refusal.ORDER: "it is at another run, round or attempt",
    Refusal.BEHIND: "it has missed rounds, and another site is asked to help it",
    Refusal.KEY: "it has another key or roster, or none",
    Refusal.MASKS: "it cannot make the masks of the round, or take them off",
    Refusal.SUM: "it cannot open the last sum, or protect its update",
    Refusal.NOT_READY: "its operator has to do something first",
    Refusal.DISK: "it cannot write a file",
    Refusal.MEMORY: "it has too little memory",
    Refusal.INTERNAL: "its own log says why",
}


class FederationError(NasturtiumError, RuntimeError):
    """A round that cannot be closed: too few sites answered with something usable."""


class PausedError(FederationError):
    """A run that does not get on by itself; it is left as it was after its last closed round, and can be resumed."""


class ReleaseError(FederationError):
    """The sites do not give the model of a run to whom it was asked for."""


class StoppedError(NasturtiumError, RuntimeError):
    """Somebody asked for the run to stop; it can be resumed."""


class PlanError(NasturtiumError, ValueError):
    """A message from the coordinator that a site does not follow: damaged, or out of order.

    Attributes:
        refusal: the code that tells the coordinator why.
    """

    def __init__(self, message: str, *, hint: str | None = None, refusal: Refusal = Refusal.MESSAGE) -> None:
        super().__init__(message, hint=hint)
        self.refusal = refusal


class AgreementError(PlanError):
    """What the sites agree on before a run does not fit this site's data, or nothing can be agreed on.

    Attributes:
        column: the one it is about, if it is one.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, refusal: Refusal = Refusal.SCHEMA, column: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, refusal=refusal)
        self.column = column


class PolicyError(NasturtiumError, RuntimeError):
    """What a site's own policy does not allow. The text stays at the site.

    Attributes:
        rule: the key in the `[policy]` table that says so.
    """

    def __init__(self, message: str, *, rule: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.rule = rule


class SiteStateError(NasturtiumError, RuntimeError):
    """What a site keeps of its runs cannot be read or written."""


class AuditError(NasturtiumError, RuntimeError):
    """The audit log cannot be written, so nothing may leave; or it was changed."""


class ApprovalNeededError(NasturtiumError, RuntimeError):
    """A roster that the site's operator has not compared with the other sites yet."""


class CeremonyPendingError(NasturtiumError, RuntimeError):
    """The federation's key is not with every site yet; asking again goes on from here.

    Attributes:
        waiting: names of the sites that have not done their part.
        grant: the key's, where it was made and only has to be received.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, waiting: tuple[str, ...] = (), grant: KeyGrant | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.waiting = waiting
        self.grant = grant

"""How a site's way to the coordinator is, and why it is not: each cause is told apart, with what to do about it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

_EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_NOT_YET: Final = 9  # X509_V_ERR_CERT_NOT_YET_VALID
# A SuperLink takes no request that is dated later than so, or so long ago, by its own clock: the SuperNode gets 401.
_AHEAD: Final = timedelta(seconds=5)
_BEHIND: Final = timedelta(seconds=305)
_OTHER_NAMES: Final = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


class TunnelCode(Enum):
    """The state of a tunnel, and one thing a site's operator can do about it."""

    STARTING = "starting", "wait"
    CONNECTED = "connected", "nothing"
    UNREACHABLE = "unreachable", "check the network, the address, and that the coordinator runs"
    NAME_MISMATCH = "name-mismatch", "use an address the coordinator's certificate is for"
    WRONG_AUTHORITY = "wrong-authority", "another server is there, or the coordinator has a new authority: ask it"
    SERVER_EXPIRED = "server-certificate-expired", "check this machine's clock, then tell the coordinator"
    CERTIFICATE_EXPIRED = "certificate-expired", "ask the coordinator for a new admission"
    CERTIFICATE_REFUSED = "certificate-refused", "compare the clocks, then ask the coordinator for a new admission"
    REMOVED = "removed", "the coordinator removed this site, or admitted it anew: use the newest admission"
    CLOCK = "clock", "set this machine's clock, or tell the coordinator to set its own"
    REFUSED = "refused", "ask the coordinator; it tries again by itself"

    @property
    def code(self) -> str:
        """For programs."""
        return self.value[0]

    @property
    def hint(self) -> str:
        """For people."""
        return self.value[1]


# States that last until somebody has done something: a SuperNode that is started in them is turned away again.
FOR_THE_OPERATOR: Final = frozenset(
    {TunnelCode.CERTIFICATE_EXPIRED, TunnelCode.CERTIFICATE_REFUSED, TunnelCode.REMOVED, TunnelCode.CLOCK}
)


@dataclass(frozen=True, slots=True)
class TunnelState:
    """A state and since when it lasts.

    Attributes:
        code: which.
        detail: what happened, without secrets; may be empty.
        since: when it began, UTC.
    """

    code: TunnelCode
    detail: str
    since: datetime

    @property
    def connected(self) -> bool:
        """Whether the coordinator lets this site in."""
        return self.code is TunnelCode.CONNECTED


class TunnelFailure(Exception):  # noqa: N818 - a reason that is kept as a state, never raised at a caller
    """Why the front was not reached.

    Args:
        code: which state follows.
        detail: what happened.
    """

    def __init__(self, code: TunnelCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def failure_of(exc: Exception) -> TunnelFailure:
    """The cause behind an exception while the connection was made: its own class or OpenSSL's code says which."""
    if isinstance(exc, TunnelFailure):
        return exc
    if isinstance(exc, ssl.SSLCertVerificationError):
        detail = exc.verify_message
        if exc.verify_code in _OTHER_NAMES:
            return TunnelFailure(TunnelCode.NAME_MISMATCH, detail)
        expired = exc.verify_code in (_EXPIRED, _NOT_YET)
        return TunnelFailure(TunnelCode.SERVER_EXPIRED if expired else TunnelCode.WRONG_AUTHORITY, detail)
    if isinstance(exc, ssl.SSLError) and "ALERT" in (exc.reason or ""):
        return TunnelFailure(TunnelCode.CERTIFICATE_REFUSED, (exc.reason or "").lower().replace("_", " "))
    if isinstance(exc, ssl.SSLError):
        return TunnelFailure(TunnelCode.UNREACHABLE, (exc.reason or "no TLS").lower().replace("_", " "))
    if isinstance(exc, TimeoutError):
        return TunnelFailure(TunnelCode.UNREACHABLE, "no answer in time")
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else type(exc).__name__
    return TunnelFailure(TunnelCode.UNREACHABLE, reason)


def wrong_clock(asked: datetime, date: datetime | None, answered: datetime) -> str:
    """How a site's clock is too wrong for its SuperNode to be let in; empty where it is not, or nobody knows.

    Args:
        asked: when the site asked, by its own clock.
        date: what the front's clock said then, to the second, if it said it.
        answered: when that came, by the site's clock: it was between the two, however slow the network is.
    """
    if date is None:
        return ""
    ahead, behind = asked - date - timedelta(seconds=1), date - answered
    if ahead > _AHEAD:
        return f"this machine's clock is {_about(ahead)} ahead of the coordinator's"
    if behind > _BEHIND:
        return f"this machine's clock is {_about(behind)} behind the coordinator's"
    return ""


def _about(time: timedelta) -> str:
    """Coarse, so that it stays the same while the state lasts."""
    minutes = round(time.total_seconds() / 60)
    if minutes < 2:
        return "some seconds"
    return f"about {minutes} minutes" if minutes < 120 else f"about {round(minutes / 60)} hours"

"""`SiteGuard`: a site's policy and its audit log, between its messages and the site."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from ..agreement.plan import AgreementPlan
from ..errors import AuditError, PolicyError, Refusal
from ..protocol.outgoing import Outgoing
from ..protocol.rounds import RoundPlan
from .audit import AuditLog
from .ciphers import PACKED
from .guard import Action, Asked, describe
from .policy import SitePolicy

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteGuard:
    """Refuses what the policy does not allow, and notes all that leaves; see `Guard`.

    Args:
        policy: of the site.
        log: where it is noted. What cannot be noted does not leave.
        rows: training rows of the site.
        plain: whether the site's updates leave without encryption.
        watch: hears of what is refused, with the text that stays here; must not raise.
    """

    policy: SitePolicy
    log: AuditLog
    rows: int
    plain: bool = False
    watch: Callable[[Action | None, Asked | None, Refusal, Exception], object] = lambda action, asked, code, error: None

    def before(self, action: Action, asked: Asked) -> None:
        """Check the policy.

        Raises:
            PolicyError: it is not allowed.
        """
        self.policy.check(action, asked, rows=self.rows, plain=self.plain or _in_the_clear(asked))

    def leaving(self, action: Action, asked: Asked, outgoing: Outgoing) -> None:
        """Note what is about to leave.

        Raises:
            AuditError: it cannot be noted.
        """
        self.log.record(
            action,
            run=asked.run,
            round=asked.round,
            attempt=asked.attempt,
            bytes=outgoing.size,
            sha256=outgoing.sha256,
            holds=describe(asked, outgoing),
        )

    def refused(self, action: Action | None, asked: Asked | None, code: Refusal, error: Exception) -> None:
        """Note the code that leaves instead. A log that cannot be written keeps no refusal from being told."""
        try:
            self.log.record(
                action or "",
                run=asked.run if asked else "",
                round=asked.round if asked else 0,
                attempt=asked.attempt if asked else 0,
                refused=code.value,
                # Only a policy's words are of its own making; other texts may hold values of rows.
                reason=f"{error.rule}: {error.message}" if isinstance(error, PolicyError) else None,
            )
        except AuditError as exc:
            logger.warning("a refusal, %s, is not in the audit log: %s", code, exc)
        self.watch(action, asked, code, error)


def _in_the_clear(asked: Asked) -> bool:
    """Whether a plan has the site's answers leave without encryption."""
    match asked:
        case RoundPlan():
            return asked.quantisation.scheme != PACKED
        case AgreementPlan():
            return asked.scheme != PACKED
        case _:
            return False

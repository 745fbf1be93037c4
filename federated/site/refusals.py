"""Which code an exception at a site becomes. The coordinator learns the code; neither a text nor a traceback leaves."""

from __future__ import annotations

from typing import Final

from ...core import ConfigError, DataError, FormatError, MissingExtraError, ShapeError
from ...privacy import (
    BudgetExhaustedError,
    KeyFileError,
    MaskingError,
    PrivacyError,
    ReplayedUpdateError,
    RosterError,
    SignatureError,
    UnknownSenderError,
    WrongKeyError,
    WrongLayoutError,
    WrongPresetError,
    WrongRoundError,
    WrongRunError,
)
from ..errors import (
    ApprovalNeededError,
    AuditError,
    CeremonyPendingError,
    PlanError,
    PolicyError,
    Refusal,
    SiteStateError,
)

# Looked through in this order: the more special first.
_CODES: Final[tuple[tuple[tuple[type[BaseException], ...], Refusal], ...]] = (
    ((PolicyError,), Refusal.POLICY),
    ((BudgetExhaustedError,), Refusal.BUDGET),
    ((ApprovalNeededError, CeremonyPendingError), Refusal.NOT_READY),
    ((ReplayedUpdateError, WrongRoundError, WrongRunError), Refusal.ORDER),
    ((WrongKeyError, WrongPresetError, RosterError, UnknownSenderError, KeyFileError), Refusal.KEY),
    ((SignatureError,), Refusal.SIGNATURE),
    ((WrongLayoutError,), Refusal.SCHEMA),
    ((MaskingError,), Refusal.MASKS),
    ((AuditError, SiteStateError), Refusal.DISK),
    ((PrivacyError,), Refusal.SUM),
    ((DataError,), Refusal.DATA),
    ((ShapeError, FormatError, ConfigError), Refusal.MESSAGE),
    ((MissingExtraError,), Refusal.VERSION),
    ((MemoryError,), Refusal.MEMORY),
    ((OSError,), Refusal.DISK),
)


def refusal_of(error: BaseException) -> Refusal:
    """The code for an exception; a `PlanError` brings its own."""
    if isinstance(error, PlanError):
        return error.refusal
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), Refusal.INTERNAL)

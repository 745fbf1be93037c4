"""What can go wrong with protected updates. Messages give no detail of a decryption an attacker could use."""

from __future__ import annotations

from ..core import NasturtiumError


class PrivacyError(NasturtiumError, RuntimeError):
    """A value that cannot be protected, or a sum that cannot be opened."""


class UpdateRejectedError(PrivacyError):
    """An update that may not enter the sum; the message is the reason that is recorded."""

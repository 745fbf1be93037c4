"""What can go wrong in a federated run."""

from __future__ import annotations

from ..core import NasturtiumError


class FederationError(NasturtiumError, RuntimeError):
    """A round that cannot be closed: too few sites answered with something usable."""


class PlanError(NasturtiumError, ValueError):
    """A message from the coordinator that a site does not follow: damaged, or out of order."""

"""What can go wrong between a site and the coordinator."""

from __future__ import annotations

from ...core import NasturtiumError


class AdmissionError(NasturtiumError, RuntimeError):
    """An admission that is of no use to a site: another's, for another key, or expired."""


class TransportError(NasturtiumError, RuntimeError):
    """A front or a tunnel that cannot be started: its address is in use, or there is none such."""

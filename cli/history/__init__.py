"""`nasturtium history`: ask what was searched and trained, and look after it."""

from .app import app

__all__ = ["app"]

"""`nasturtium search`: begin a search, watch it, stop it, read its report; spaces, strategies, drawings."""

from .app import app

__all__ = ["app"]

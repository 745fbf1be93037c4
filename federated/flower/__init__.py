"""Flower's distributed engine: its SuperLink and SuperNode as children on loopback, the executors in our processes.

Names are loaded on first use: a site needs nothing of the coordinator's half, and the other way round.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bell import Bell
    from .bundle import BUNDLE_SHA256, make_bundle
    from .control import LinkControl, LinkNode
    from .link_grid import MESSAGE_LIFE_S, LinkGrid
    from .processes import FlowerServer, keep_running
    from .runtime import LinkLostError
    from .server_app import serve_app
    from .site_executor import Pace, SiteExecutor
    from .superlink import Link, ServerTls, SuperLink
    from .supernode import SuperNode

_HOMES = {
    "BUNDLE_SHA256": "bundle",
    "Bell": "bell",
    "FlowerServer": "processes",
    "Link": "superlink",
    "LinkControl": "control",
    "LinkGrid": "link_grid",
    "LinkLostError": "runtime",
    "LinkNode": "control",
    "MESSAGE_LIFE_S": "link_grid",
    "Pace": "site_executor",
    "ServerTls": "superlink",
    "SiteExecutor": "site_executor",
    "SuperLink": "superlink",
    "SuperNode": "supernode",
    "keep_running": "processes",
    "make_bundle": "bundle",
    "serve_app": "server_app",
}

__all__ = [
    "BUNDLE_SHA256",
    "MESSAGE_LIFE_S",
    "Bell",
    "FlowerServer",
    "Link",
    "LinkControl",
    "LinkGrid",
    "LinkLostError",
    "LinkNode",
    "Pace",
    "ServerTls",
    "SiteExecutor",
    "SuperLink",
    "SuperNode",
    "keep_running",
    "make_bundle",
    "serve_app",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

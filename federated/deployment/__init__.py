"""A federation on real machines: what its commands do, one call each, for a coordinator and for a site.

Names are loaded on first use: the coordinator's half imports nothing that decrypts, and a site's nothing of storage.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .coordinator_folder import admit_site, init_coordinator, remove_site
    from .federation_config import FederationConfig, RoundRules
    from .site_folder import approve_roster, init_site

_HOMES = {
    "FederationConfig": "federation_config",
    "RoundRules": "federation_config",
    "admit_site": "coordinator_folder",
    "approve_roster": "site_folder",
    "init_coordinator": "coordinator_folder",
    "init_site": "site_folder",
    "remove_site": "coordinator_folder",
}

__all__ = [
    "FederationConfig",
    "RoundRules",
    "admit_site",
    "approve_roster",
    "init_coordinator",
    "init_site",
    "remove_site",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

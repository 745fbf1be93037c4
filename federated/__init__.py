"""Federated training on Flower's programming model: sites that hold the model, a coordinator that relays sums.

Names are loaded on first use, so that a coordinator never imports a decryptor, which a simulation needs for its sites.
Network reporting of Flower and Ray is switched off here, before either is imported: the product runs in closed
networks.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

if TYPE_CHECKING:
    from .client import make_client_app
    from .errors import FederationError, PlanError
    from .grid import LocalGrid
    from .ray_grid import RayGrid
    from .round_recorder import FederationEvent, FederationStarted, RoundFinished
    from .rounds import (
        ClientUpdate,
        LocalTraining,
        MaskRequest,
        MaskTerms,
        PrivacyTerms,
        Quantisation,
        RoundPlan,
        RoundResult,
        SiteOutcome,
        SiteReport,
    )
    from .simulation import SimulationResult, simulate
    from .simulation_config import SimulationConfig
    from .simulation_setup import SimulationSetup
    from .site import Site
    from .site_masks import SiteMasks
    from .strategy import FederationPlan, RelayStrategy

_HOMES = {
    "ClientUpdate": "rounds",
    "FederationError": "errors",
    "FederationEvent": "round_recorder",
    "FederationPlan": "strategy",
    "FederationStarted": "round_recorder",
    "LocalGrid": "grid",
    "LocalTraining": "rounds",
    "MaskRequest": "rounds",
    "MaskTerms": "rounds",
    "PlanError": "errors",
    "PrivacyTerms": "rounds",
    "Quantisation": "rounds",
    "RayGrid": "ray_grid",
    "RelayStrategy": "strategy",
    "RoundFinished": "round_recorder",
    "RoundPlan": "rounds",
    "RoundResult": "rounds",
    "SimulationConfig": "simulation_config",
    "SimulationResult": "simulation",
    "SimulationSetup": "simulation_setup",
    "Site": "site",
    "SiteMasks": "site_masks",
    "SiteOutcome": "rounds",
    "SiteReport": "rounds",
    "make_client_app": "client",
    "simulate": "simulation",
}

__all__ = [
    "ClientUpdate",
    "FederationError",
    "FederationEvent",
    "FederationPlan",
    "FederationStarted",
    "LocalGrid",
    "LocalTraining",
    "MaskRequest",
    "MaskTerms",
    "PlanError",
    "PrivacyTerms",
    "Quantisation",
    "RayGrid",
    "RelayStrategy",
    "RoundFinished",
    "RoundPlan",
    "RoundResult",
    "SimulationConfig",
    "SimulationResult",
    "SimulationSetup",
    "Site",
    "SiteMasks",
    "SiteOutcome",
    "SiteReport",
    "make_client_app",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

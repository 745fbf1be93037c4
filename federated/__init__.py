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
    from .checkpoint import Peers
    from .client import make_client_app
    from .coordinator import RelayStrategy, run_all
    from .courier import Courier, drive
    from .errors import FederationError, PausedError, PlanError, Refusal, StoppedError
    from .federation_plan import FederationPlan
    from .gather import Closing
    from .greeter import Greeter
    from .grid import LocalGrid
    from .handshake import HelloTerms
    from .ray_grid import RayGrid
    from .round_attempt import Coordination
    from .round_journal import MemoryJournal, Resume, RoundJournal
    from .round_recorder import AttemptFailed, FederationEvent, FederationStarted, RoundFinished, RoundRecorder
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
    from .site_state import SiteStates

_HOMES = {
    "AttemptFailed": "round_recorder",
    "ClientUpdate": "rounds",
    "Closing": "gather",
    "Coordination": "round_attempt",
    "Courier": "courier",
    "FederationError": "errors",
    "FederationEvent": "round_recorder",
    "FederationPlan": "federation_plan",
    "FederationStarted": "round_recorder",
    "Greeter": "greeter",
    "HelloTerms": "handshake",
    "LocalGrid": "grid",
    "LocalTraining": "rounds",
    "MaskRequest": "rounds",
    "MaskTerms": "rounds",
    "MemoryJournal": "round_journal",
    "PausedError": "errors",
    "Peers": "checkpoint",
    "PlanError": "errors",
    "PrivacyTerms": "rounds",
    "Quantisation": "rounds",
    "RayGrid": "ray_grid",
    "Refusal": "errors",
    "RelayStrategy": "coordinator",
    "Resume": "round_journal",
    "RoundFinished": "round_recorder",
    "RoundJournal": "round_journal",
    "RoundPlan": "rounds",
    "RoundRecorder": "round_recorder",
    "RoundResult": "rounds",
    "SimulationConfig": "simulation_config",
    "SimulationResult": "simulation",
    "SimulationSetup": "simulation_setup",
    "Site": "site",
    "SiteMasks": "site_masks",
    "SiteOutcome": "rounds",
    "SiteReport": "rounds",
    "SiteStates": "site_state",
    "StoppedError": "errors",
    "drive": "courier",
    "make_client_app": "client",
    "run_all": "coordinator",
    "simulate": "simulation",
}

__all__ = [
    "AttemptFailed",
    "ClientUpdate",
    "Closing",
    "Coordination",
    "Courier",
    "FederationError",
    "FederationEvent",
    "FederationPlan",
    "FederationStarted",
    "Greeter",
    "HelloTerms",
    "LocalGrid",
    "LocalTraining",
    "MaskRequest",
    "MaskTerms",
    "MemoryJournal",
    "PausedError",
    "Peers",
    "PlanError",
    "PrivacyTerms",
    "Quantisation",
    "RayGrid",
    "Refusal",
    "RelayStrategy",
    "Resume",
    "RoundFinished",
    "RoundJournal",
    "RoundPlan",
    "RoundRecorder",
    "RoundResult",
    "SimulationConfig",
    "SimulationResult",
    "SimulationSetup",
    "Site",
    "SiteMasks",
    "SiteOutcome",
    "SiteReport",
    "SiteStates",
    "StoppedError",
    "drive",
    "make_client_app",
    "run_all",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

"""Federated training on Flower's programming model: sites that hold the model, a coordinator that relays sums.

Network reporting of Flower and Ray is switched off here, before either is imported: the product runs in closed
networks.
"""

import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from .client import make_client_app
from .errors import FederationError, PlanError
from .grid import LocalGrid
from .rounds import ClientUpdate, LocalTraining, RoundPlan, RoundResult, SiteOutcome, SiteReport
from .simulate import (
    FederationEvent,
    FederationStarted,
    RoundFinished,
    SimulationConfig,
    SimulationResult,
    SimulationSetup,
    simulate,
)
from .site import Site
from .strategy import FederationPlan, RelayStrategy

__all__ = [
    "ClientUpdate",
    "FederationError",
    "FederationEvent",
    "FederationPlan",
    "FederationStarted",
    "LocalGrid",
    "LocalTraining",
    "PlanError",
    "RelayStrategy",
    "RoundFinished",
    "RoundPlan",
    "RoundResult",
    "SimulationConfig",
    "SimulationResult",
    "SimulationSetup",
    "Site",
    "SiteOutcome",
    "SiteReport",
    "make_client_app",
    "simulate",
]

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
    from .agreement.journal import Agreement, AgreementJournal, AgreementSum, MemoryAgreementJournal
    from .agreement.kept_journal import KeptAgreementJournal
    from .agreement.relay import AgreementJob, AgreementRelay, agree
    from .agreement.schema import Schema, SchemaColumn, merge_schemas
    from .agreement.store import AgreementStore
    from .agreement.terms import Terms, public_preprocessing
    from .compression import COMPRESSIONS
    from .coordinator.attempt import Coordination
    from .coordinator.greeter import Greeter
    from .coordinator.journal import MemoryJournal, Resume, RoundJournal
    from .coordinator.plan import FederationPlan
    from .coordinator.recorder import AttemptFailed, FederationEvent, FederationStarted, RoundFinished, RoundRecorder
    from .coordinator.relay_strategy import RelayStrategy, run_all
    from .deployment.dry_run import DryRun, run_dry
    from .errors import (
        AgreementError,
        AuditError,
        FederationError,
        PausedError,
        PlanError,
        PolicyError,
        Refusal,
        StoppedError,
    )
    from .protocol.courier import Courier, drive
    from .protocol.gather import Closing
    from .protocol.handshake import HelloTerms
    from .protocol.inheritance import Inheritance, Place
    from .protocol.rounds import (
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
    from .simulation.config import SimulationConfig
    from .simulation.local_grid import LocalGrid
    from .simulation.ray_grid import RayGrid
    from .simulation.setup import SimulationSetup
    from .simulation.simulate import SimulationResult, simulate
    from .site.audit import AuditEntry, AuditLog, AuditReport
    from .site.checkpoint import Peers
    from .site.client import make_client_app
    from .site.config import SiteConfig
    from .site.gain import Gain, measure_gain
    from .site.local_training import LocalRows, LocalTrainer
    from .site.masks import SiteMasks
    from .site.policy import SitePolicy
    from .site.policy_guard import SiteGuard
    from .site.site import Site
    from .site.state import SiteStates
    from .site_data.sources import SiteData, check_schema, explain_difference, load_site_data
    from .strategies import STRATEGIES, FederatedStrategy
    from .updates.symbols import Contribution

_HOMES = {
    "Agreement": "agreement.journal",
    "AgreementError": "errors",
    "AgreementJob": "agreement.relay",
    "AgreementJournal": "agreement.journal",
    "AgreementRelay": "agreement.relay",
    "AgreementStore": "agreement.store",
    "AgreementSum": "agreement.journal",
    "AttemptFailed": "coordinator.recorder",
    "AuditEntry": "site.audit",
    "AuditError": "errors",
    "AuditLog": "site.audit",
    "AuditReport": "site.audit",
    "COMPRESSIONS": "compression",
    "ClientUpdate": "protocol.rounds",
    "Closing": "protocol.gather",
    "Contribution": "updates.symbols",
    "Coordination": "coordinator.attempt",
    "Courier": "protocol.courier",
    "DryRun": "deployment.dry_run",
    "FederatedStrategy": "strategies",
    "FederationError": "errors",
    "FederationEvent": "coordinator.recorder",
    "FederationPlan": "coordinator.plan",
    "FederationStarted": "coordinator.recorder",
    "Gain": "site.gain",
    "Greeter": "coordinator.greeter",
    "HelloTerms": "protocol.handshake",
    "Inheritance": "protocol.inheritance",
    "KeptAgreementJournal": "agreement.kept_journal",
    "LocalGrid": "simulation.local_grid",
    "LocalRows": "site.local_training",
    "LocalTrainer": "site.local_training",
    "LocalTraining": "protocol.rounds",
    "MaskRequest": "protocol.rounds",
    "MaskTerms": "protocol.rounds",
    "MemoryAgreementJournal": "agreement.journal",
    "MemoryJournal": "coordinator.journal",
    "PausedError": "errors",
    "Peers": "site.checkpoint",
    "Place": "protocol.inheritance",
    "PlanError": "errors",
    "PolicyError": "errors",
    "PrivacyTerms": "protocol.rounds",
    "Quantisation": "protocol.rounds",
    "RayGrid": "simulation.ray_grid",
    "Refusal": "errors",
    "RelayStrategy": "coordinator.relay_strategy",
    "Resume": "coordinator.journal",
    "RoundFinished": "coordinator.recorder",
    "RoundJournal": "coordinator.journal",
    "RoundPlan": "protocol.rounds",
    "RoundRecorder": "coordinator.recorder",
    "RoundResult": "protocol.rounds",
    "STRATEGIES": "strategies",
    "Schema": "agreement.schema",
    "SchemaColumn": "agreement.schema",
    "SimulationConfig": "simulation.config",
    "SimulationResult": "simulation.simulate",
    "SimulationSetup": "simulation.setup",
    "Site": "site.site",
    "SiteConfig": "site.config",
    "SiteData": "site_data.sources",
    "SiteGuard": "site.policy_guard",
    "SiteMasks": "site.masks",
    "SiteOutcome": "protocol.rounds",
    "SitePolicy": "site.policy",
    "SiteReport": "protocol.rounds",
    "SiteStates": "site.state",
    "StoppedError": "errors",
    "Terms": "agreement.terms",
    "agree": "agreement.relay",
    "check_schema": "site_data.sources",
    "drive": "protocol.courier",
    "explain_difference": "site_data.sources",
    "load_site_data": "site_data.sources",
    "make_client_app": "site.client",
    "measure_gain": "site.gain",
    "merge_schemas": "agreement.schema",
    "public_preprocessing": "agreement.terms",
    "run_all": "coordinator.relay_strategy",
    "run_dry": "deployment.dry_run",
    "simulate": "simulation.simulate",
}

__all__ = [
    "COMPRESSIONS",
    "STRATEGIES",
    "Agreement",
    "AgreementError",
    "AgreementJob",
    "AgreementJournal",
    "AgreementRelay",
    "AgreementStore",
    "AgreementSum",
    "AttemptFailed",
    "AuditEntry",
    "AuditError",
    "AuditLog",
    "AuditReport",
    "ClientUpdate",
    "Closing",
    "Contribution",
    "Coordination",
    "Courier",
    "DryRun",
    "FederatedStrategy",
    "FederationError",
    "FederationEvent",
    "FederationPlan",
    "FederationStarted",
    "Gain",
    "Greeter",
    "HelloTerms",
    "Inheritance",
    "KeptAgreementJournal",
    "LocalGrid",
    "LocalRows",
    "LocalTrainer",
    "LocalTraining",
    "MaskRequest",
    "MaskTerms",
    "MemoryAgreementJournal",
    "MemoryJournal",
    "PausedError",
    "Peers",
    "Place",
    "PlanError",
    "PolicyError",
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
    "Schema",
    "SchemaColumn",
    "SimulationConfig",
    "SimulationResult",
    "SimulationSetup",
    "Site",
    "SiteConfig",
    "SiteData",
    "SiteGuard",
    "SiteMasks",
    "SiteOutcome",
    "SitePolicy",
    "SiteReport",
    "SiteStates",
    "StoppedError",
    "Terms",
    "agree",
    "check_schema",
    "drive",
    "explain_difference",
    "load_site_data",
    "make_client_app",
    "measure_gain",
    "merge_schemas",
    "public_preprocessing",
    "run_all",
    "run_dry",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

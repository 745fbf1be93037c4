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
    from .audit import AuditEntry, AuditLog, AuditReport
    from .checkpoint import Peers
    from .client import make_client_app
    from .compression import COMPRESSIONS
    from .coordinator import RelayStrategy, run_all
    from .courier import Courier, drive
    from .dry_run import DryRun, run_dry
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
    from .federation_plan import FederationPlan
    from .gain import Gain, measure_gain
    from .gather import Closing
    from .greeter import Greeter
    from .grid import LocalGrid
    from .handshake import HelloTerms
    from .inheritance import Inheritance, Place
    from .local_training import LocalRows, LocalTrainer
    from .policy import SitePolicy
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
    from .site_config import SiteConfig
    from .site_guard import SiteGuard
    from .site_masks import SiteMasks
    from .site_state import SiteStates
    from .sources import SiteData, check_schema, explain_difference, load_site_data
    from .strategies import STRATEGIES, FederatedStrategy
    from .symbols import Contribution

_HOMES = {
    "Agreement": "agreement.journal",
    "AgreementError": "errors",
    "AgreementJob": "agreement.relay",
    "AgreementJournal": "agreement.journal",
    "AgreementRelay": "agreement.relay",
    "AgreementStore": "agreement.store",
    "AgreementSum": "agreement.journal",
    "AttemptFailed": "round_recorder",
    "AuditEntry": "audit",
    "AuditError": "errors",
    "AuditLog": "audit",
    "AuditReport": "audit",
    "COMPRESSIONS": "compression",
    "ClientUpdate": "rounds",
    "Closing": "gather",
    "Contribution": "symbols",
    "Coordination": "round_attempt",
    "Courier": "courier",
    "DryRun": "dry_run",
    "FederatedStrategy": "strategies",
    "FederationError": "errors",
    "FederationEvent": "round_recorder",
    "FederationPlan": "federation_plan",
    "FederationStarted": "round_recorder",
    "Gain": "gain",
    "Greeter": "greeter",
    "HelloTerms": "handshake",
    "Inheritance": "inheritance",
    "KeptAgreementJournal": "agreement.kept_journal",
    "LocalGrid": "grid",
    "LocalRows": "local_training",
    "LocalTrainer": "local_training",
    "LocalTraining": "rounds",
    "MaskRequest": "rounds",
    "MaskTerms": "rounds",
    "MemoryAgreementJournal": "agreement.journal",
    "MemoryJournal": "round_journal",
    "PausedError": "errors",
    "Peers": "checkpoint",
    "Place": "inheritance",
    "PlanError": "errors",
    "PolicyError": "errors",
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
    "STRATEGIES": "strategies",
    "Schema": "agreement.schema",
    "SchemaColumn": "agreement.schema",
    "SimulationConfig": "simulation_config",
    "SimulationResult": "simulation",
    "SimulationSetup": "simulation_setup",
    "Site": "site",
    "SiteConfig": "site_config",
    "SiteData": "sources",
    "SiteGuard": "site_guard",
    "SiteMasks": "site_masks",
    "SiteOutcome": "rounds",
    "SitePolicy": "policy",
    "SiteReport": "rounds",
    "SiteStates": "site_state",
    "StoppedError": "errors",
    "Terms": "agreement.terms",
    "agree": "agreement.relay",
    "check_schema": "sources",
    "drive": "courier",
    "explain_difference": "sources",
    "load_site_data": "sources",
    "make_client_app": "client",
    "measure_gain": "gain",
    "merge_schemas": "agreement.schema",
    "public_preprocessing": "agreement.terms",
    "run_all": "coordinator",
    "run_dry": "dry_run",
    "simulate": "simulation",
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

"""The history: every search, trial, federated training and round in SQL; a tracker writes, a history reads."""

from .chain import LedgerRecord, LedgerReport
from .curate import Curator, Purged
from .database import Database, open_database
from .environment import EnvironmentEntry, describe_environment
from .errors import (
    BudgetSpentError,
    DatabaseLockedError,
    DatabaseNotFoundError,
    DatabaseUnreachableError,
    DatabaseVersionError,
    ForeignDatabaseError,
    IntegrityError,
    QueryError,
    RunBusyError,
    StorageError,
    UnknownModelError,
    UnknownRunError,
)
from .history import History
from .ledger import Ledger
from .lineage import RELATIONS
from .model_files import MODEL_ROLE, WEIGHTS_NAME, unpack_model
from .records import (
    ArchitectureEntry,
    ArtifactRecord,
    CeremonyEntry,
    ChildKind,
    ContributionRecord,
    ContributionState,
    Curve,
    DatasetEntry,
    EndState,
    EventRecord,
    FederatedRecord,
    MetricSummary,
    NoteRecord,
    RoundRecord,
    RunKind,
    RunRecord,
    RunState,
    SearchRecord,
    TrialRecord,
    VersionRecord,
)
from .registry import ModelRegistry, model_name
from .sampler import SystemSampler
from .signing import SignedHead
from .spending import PrivacyAccount, PrivacyBudget, Spend
from .sqlite import configure_sqlite
from .trace import LineageEdge, LineageNode, LineageRecord, spent_by_run, trace
from .tracker import DEFAULT_EXPERIMENT, Tracker

__all__ = [
    "DEFAULT_EXPERIMENT",
    "MODEL_ROLE",
    "RELATIONS",
    "WEIGHTS_NAME",
    "ArchitectureEntry",
    "ArtifactRecord",
    "BudgetSpentError",
    "CeremonyEntry",
    "ChildKind",
    "ContributionRecord",
    "ContributionState",
    "Curator",
    "Curve",
    "Database",
    "DatabaseLockedError",
    "DatabaseNotFoundError",
    "DatabaseUnreachableError",
    "DatabaseVersionError",
    "DatasetEntry",
    "EndState",
    "EnvironmentEntry",
    "EventRecord",
    "FederatedRecord",
    "ForeignDatabaseError",
    "History",
    "IntegrityError",
    "Ledger",
    "LedgerRecord",
    "LedgerReport",
    "LineageEdge",
    "LineageNode",
    "LineageRecord",
    "MetricSummary",
    "ModelRegistry",
    "NoteRecord",
    "PrivacyAccount",
    "PrivacyBudget",
    "Purged",
    "QueryError",
    "RoundRecord",
    "RunBusyError",
    "RunKind",
    "RunRecord",
    "RunState",
    "SearchRecord",
    "SignedHead",
    "Spend",
    "StorageError",
    "SystemSampler",
    "Tracker",
    "TrialRecord",
    "UnknownModelError",
    "UnknownRunError",
    "VersionRecord",
    "configure_sqlite",
    "describe_environment",
    "model_name",
    "open_database",
    "spent_by_run",
    "trace",
    "unpack_model",
]

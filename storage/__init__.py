"""The history: every search, trial, federated training and round in SQL; a tracker writes, a history reads."""

from .database import Database, open_database
from .environment import EnvironmentEntry, describe_environment
from .errors import (
    DatabaseNotFoundError,
    DatabaseVersionError,
    ForeignDatabaseError,
    RunBusyError,
    StorageError,
    UnknownRunError,
)
from .history import History
from .records import (
    ArchitectureEntry,
    ArtifactRecord,
    ChildKind,
    ContributionRecord,
    ContributionState,
    DatasetEntry,
    EndState,
    FederatedRecord,
    RoundRecord,
    RunKind,
    RunRecord,
    RunState,
    SearchRecord,
    TrialRecord,
)
from .sqlite import configure_sqlite
from .tracker import Tracker

__all__ = [
    "ArchitectureEntry",
    "ArtifactRecord",
    "ChildKind",
    "ContributionRecord",
    "ContributionState",
    "Database",
    "DatabaseNotFoundError",
    "DatabaseVersionError",
    "DatasetEntry",
    "EndState",
    "EnvironmentEntry",
    "FederatedRecord",
    "ForeignDatabaseError",
    "History",
    "RoundRecord",
    "RunBusyError",
    "RunKind",
    "RunRecord",
    "RunState",
    "SearchRecord",
    "StorageError",
    "Tracker",
    "TrialRecord",
    "UnknownRunError",
    "configure_sqlite",
    "describe_environment",
    "open_database",
]

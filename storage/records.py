"""What goes into the history and what comes out of it: frozen values, never rows of a session.

An *entry* is handed in and shared by content (the same data set or architecture is stored once); a *record* is what
the history returns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

RunKind = Literal["search", "trial", "retrain", "federated"]
ChildKind = Literal["retrain"]
RunState = Literal["running", "completed", "pruned", "failed", "interrupted"]
EndState = Literal["completed", "pruned", "failed", "interrupted"]
ContributionState = Literal["accepted", "rejected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetEntry:
    """The data of a run: its content's fingerprint and its schema, never the data."""

    fingerprint: str
    name: str
    rows: int
    body: Mapping[str, Any]  # the schema: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureEntry:
    """One network of a search space, identified by the hash of its canonical form."""

    sha256: str
    space: str
    choices: Mapping[str, Any]  # what was chosen in the space: JSON
    spec: Mapping[str, Any]  # the `ModelSpec` as JSON: all that is needed to build it
    parameters: int
    macs: int  # multiply-accumulates for one example


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run. A run whose process died without a word is `interrupted` and has no end."""

    uid: str  # ULID
    number: int | None  # the short name people type; only top-level runs have one
    kind: RunKind
    state: RunState
    name: str
    seed: int
    config: Mapping[str, Any]
    parent: str | None  # uid
    started: datetime  # UTC, as `ended`
    ended: datetime | None
    error: str | None
    metrics: Mapping[str, float]  # final figures; the curves are asked for one run at a time

    @property
    def seconds(self) -> float | None:
        """Wall time from start to end; None without an end."""
        return _seconds(self.started, self.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRecord:
    """An architecture search: its run, and what was to be searched how."""

    run: RunRecord
    space: str
    space_sha256: str
    sampler: str
    pruner: str
    trials: int  # planned
    study_name: str  # of the Optuna study in the same database

    @property
    def uid(self) -> str:
        """The run's ULID."""
        return self.run.uid


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One attempt at evaluating one architecture; a trial that is tried again has the same number."""

    uid: str
    number: int
    attempt: int  # from 1
    state: RunState
    seed: int
    architecture: ArchitectureEntry
    hyperparameters: Mapping[str, Any]
    optuna_number: int | None
    started: datetime
    ended: datetime | None
    error: str | None
    metrics: Mapping[str, float]

    @property
    def seconds(self) -> float | None:
        """Wall time from start to end; None without an end."""
        return _seconds(self.started, self.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedRecord:
    """A federated training: its run, and who was to train what how."""

    run: RunRecord
    clients: int
    rounds: int  # planned
    strategy: str
    scheme: str  # how updates travel: "ckks", "plain", ...
    alpha: float | None  # Dirichlet concentration of a simulated split; None where sites bring their own data
    model_run: str | None  # uid of the run whose model was trained
    spec: Mapping[str, Any]

    @property
    def uid(self) -> str:
        """The run's ULID."""
        return self.run.uid


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecord:
    """One round of a federated training. A loss may be NaN (it diverged) or None (nobody measured it)."""

    number: int
    participants: int
    rejected: int
    loss: float | None
    accuracy: float | None
    bytes_up: int
    bytes_down: int
    seconds: float
    started: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionRecord:
    """What one client gave to one round, and why it was refused if it was."""

    client: str
    state: ContributionState
    reason: str | None
    bytes_up: int
    bytes_down: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRecord:
    """A file or folder that a run left behind; the content is beside the database, not in it."""

    role: str  # "model", ...
    path: str
    sha256: str
    size_bytes: int


def _seconds(started: datetime, ended: datetime | None) -> float | None:
    return None if ended is None else (ended - started).total_seconds()

"""What goes into the history and what comes out of it: frozen values, never rows of a session.

An *entry* is handed in and shared by content (the same data set or architecture is stored once); a *record* is what
the history returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np


Scalar = str | int | float | bool
RunKind = Literal["search", "trial", "retrain", "federated", "train", "eval", "export"]
RunState = Literal["running", "completed", "pruned", "failed", "interrupted"]
EndState = Literal["completed", "pruned", "failed", "interrupted"]
ChildKind = Literal["retrain", "eval", "export"]
RoundState = Literal["completed", "failed"]
ContributionState = Literal["accepted", "rejected"]
CeremonyState = Literal["completed", "failed"]
LeaseState = Literal["open", "leased", "reported", "lost"]
JobKind = Literal["train", "search"]
JobState = Literal["queued", "running", "paused", "completed", "failed", "stopped"]
NodeKind = Literal["run", "dataset", "architecture", "artifact", "version", "deployment", "ceremony"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetEntry:
    """The data of a run: its content's fingerprint and its schema, never the data."""

    fingerprint: str
    name: str
    rows: int | None  # None: a site that does not tell
    body: Mapping[str, Any]  # the schema: JSON
    keyed: bool = False  # whether the fingerprint is one under a key that only its site has


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
    metrics: Mapping[str, float]  # its figures: the final ones, else the last points; curves are asked for by run
    experiment: str = "default"
    params: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])  # what it was made with, to ask by
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    deleted: datetime | None = None

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
    objectives: Sequence[tuple[str, str]]  # (metric, "maximize" or "minimize")
    trials: int  # planned
    study_name: str  # of the Optuna study in the same database
    space_document: Mapping[str, Any] | None = None  # what can be chosen; None: of a version that did not keep it

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
    flat: Mapping[str, Scalar] | None = None  # the point of the space, all its leaves; None: from before there was one
    cause: str | None = None  # in a word, why it has no result: "out of memory", "time limit", ...
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    rung: int | None = None  # epochs that it was trained for
    wall_seconds: float | None = None  # of the evaluation alone: `seconds` has waiting in it
    transferred_bytes: int | None = None  # that the evaluation sent and received

    @property
    def seconds(self) -> float | None:
        """Wall time from start to end; None without an end."""
        return _seconds(self.started, self.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseGrant:
    """A trial that goes to a worker at once, without being offered to others."""

    worker: str
    ttl_seconds: float  # after which it counts as lost, unless it is renewed


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalEntry:
    """A trial that was proposed and starts now.

    With a `job` and no `lease` any worker may claim it; with both or with a `lease` alone it is that worker's; with
    neither nobody else needs to know.
    """

    number: int  # from 0; one that was tried before gets its next attempt
    architecture: ArchitectureEntry
    hyperparameters: Mapping[str, Any]
    seed: int
    flat: Mapping[str, Scalar] | None = None  # the point of the space, all its leaves
    optuna_number: int | None = None  # None: Optuna's number is `number`
    job: Mapping[str, Any] | None = None  # JSON: all that a worker needs
    lease: LeaseGrant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeEntry:
    """How a trial ended."""

    uid: str  # of the attempt
    state: EndState
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    curves: Mapping[str, Mapping[int, float]] = field(default_factory=dict[str, Mapping[int, float]])
    error: str | None = None
    cause: str | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    rung: int | None = None
    wall_seconds: float | None = None
    transferred_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """A trial that a worker has, and until when."""

    search: str  # uid
    trial: str  # uid of the attempt, which also names the candidate
    number: int
    attempt: int
    job: Mapping[str, Any]
    worker: str
    token: str  # of this claim
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRecord:
    """What a worker said of a trial it had."""

    trial: str  # uid of the attempt
    number: int
    attempt: int
    worker: str
    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightRecord:
    """A trial that is not ended: waiting for a worker, at one, or waiting for the broker to take its result."""

    trial: str  # uid of the attempt
    number: int
    attempt: int
    state: LeaseState | None  # None: it has no lease
    worker: str | None
    started: datetime  # when it was proposed
    leased: datetime | None  # since when the worker has it
    heartbeat: datetime | None  # when the worker last said that it lives
    expires: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchStatus:
    """How far a search is."""

    search: SearchRecord
    at: datetime  # when this was read, by the clock of the database
    trials: Mapping[RunState, int]  # by the state of their last attempt
    in_flight: Sequence[FlightRecord]  # by number
    leases: Mapping[LeaseState, int]
    best: TrialRecord | None  # of the completed ones, by the first objective
    cpu_seconds: float  # of all attempts that say so
    transferred_bytes: int
    active_seconds: float  # how long brokers were at it, all of them together
    heartbeat: datetime | None  # when its broker last said that it lives
    broker_alive: bool  # whether it is being searched, as far as can be seen from here
    stop_requested: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedRecord:
    """A federated training: its run, and who was to train what how."""

    run: RunRecord
    clients: int
    rounds: int  # planned
    strategy: str
    scheme: str  # how updates travel: "packed", "plain", ...
    alpha: float | None  # Dirichlet concentration of a simulated split; None where sites bring their own data
    model_run: str | None  # uid of the run whose model was trained
    spec: Mapping[str, Any]
    min_clients: int | None = None
    privacy: Mapping[str, Any] | None = None  # how noise is added; None: it is not
    flwr_run_id: str | None = None

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
    state: RoundState = "completed"
    bytes_plain: int | None = None  # what the updates would be as float32 in the clear
    aggregate_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionRecord:
    """What one site gave to one round, and why it was refused if it was. What a site does not tell is None."""

    client: str
    state: ContributionState
    reason: str | None
    bytes_up: int
    bytes_down: int
    seconds: float
    rows: int | None = None
    train_seconds: float | None = None
    encrypt_seconds: float | None = None
    update_norm: float | None = None
    clipped: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A federation that somebody asked for."""

    uid: str
    kind: JobKind
    state: JobState
    name: str
    config: Mapping[str, Any]  # as it was asked for: JSON
    run: str | None  # uid; None: it was not begun
    holder: str | None  # which coordinator has it, or had it last
    alive: bool  # whether one is at it, as far as can be seen from here
    queued: datetime
    claimed: datetime | None  # the last time
    heartbeat: datetime | None
    stop_requested: datetime | None
    ended: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobClaim:
    """A coordinator's right to a job, until a later claim: the epoch tells them apart."""

    uid: str
    kind: JobKind
    name: str
    config: Mapping[str, Any]
    run: str | None  # uid of the run to go on with; None: it is to be begun
    epoch: int  # from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """An attempt at a round, and why it failed if it did."""

    round: int
    attempt: int
    phase: str
    started: datetime
    ended: datetime | None  # None: it is under way, or was when its coordinator died
    failure: str | None
    refusals: Mapping[str, str]  # why sites were not in the sum, by name; of an attempt that failed
    survivors: Sequence[str] | None  # ids of the sites that were asked to bare their sum; None: nobody was


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedRound:
    """A round that is closed, for good."""

    number: int
    attempt: int
    phase: str
    sha256: str | None  # of the file of its sum; None: it gave none
    size_bytes: int | None
    closed: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePoint:
    """Where a federated training goes on."""

    closed: Sequence[ClosedRound]  # in order, without gaps
    total: bytes  # the sum of the last of them; empty where that gave none, or there is no closed round

    @property
    def next_round(self) -> int:
        """The number of the round to begin, or to attempt again."""
        return len(self.closed) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CeremonyEntry:
    """The making of a key that sites share. Hashes are SHA-256, hexadecimal; secrets are nowhere here."""

    scheme: str
    key_id: str
    members: Sequence[str]
    started: datetime
    ended: datetime | None
    state: CeremonyState = "completed"
    parameters_sha256: str | None = None
    public_key_sha256: str | None = None
    threshold: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRecord:
    """A file that a run left behind; the content is beside the database, under its hash."""

    role: str  # what it is part of: "model", ...
    name: str
    sha256: str
    size_bytes: int
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """A metric of one run: its figure, and its curve in a few numbers; NaN is left out of the extremes."""

    value: float  # the final figure where `reported`, else the last point
    reported: bool
    points: int
    first_step: int | None
    last_step: int | None
    last: float | None
    min: float | None
    min_step: int | None
    max: float | None
    max_step: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A metric over the steps of one run: three arrays of one length, steps ascending."""

    name: str
    steps: np.ndarray  # int64
    values: np.ndarray  # float64
    seconds: np.ndarray  # float64, since the run started; NaN where nobody knows

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRecord:
    """A published version of a model."""

    model: str
    version: int
    run: str | None  # uid of the run it came from; None: purged
    sha256: str  # of its weights
    signature: Mapping[str, Any]
    opset: int | None
    aliases: Sequence[str]
    created: datetime

    @property
    def ref(self) -> str:
        """How people name it."""
        return f"{self.model}:{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """Something that happened in a run."""

    id: int
    run: str  # uid
    at: datetime
    kind: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteRecord:
    """What somebody wrote about a run."""

    id: int
    text: str
    created: datetime


def _seconds(started: datetime, ended: datetime | None) -> float | None:
    return None if ended is None else (ended - started).total_seconds()

"""The tables. Optuna's own stand unprefixed in the same database, so every name here starts with `nst_`.

Conventions: integer keys inside, a ULID outside; times are microseconds UTC in columns `*_us`; words of a fixed set
are short strings with a CHECK; JSON is stored as it was given; names of metrics, parameters and tags are numbers that
`nst_name` spells out. A figure is one column in which NULL is NaN, because SQLite has no other: where a figure is
missing there is no row. Infinities are themselves on both engines; -0.0 is stored as 0.0.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, get_args

from sqlalchemy import (
    CHAR,
    JSON,
    BigInteger,
    Boolean,
    Double,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

from .records import (
    CeremonyState,
    ContributionState,
    JobKind,
    JobState,
    LeaseState,
    NodeKind,
    RoundState,
    RunKind,
    RunState,
)

Uid = Annotated[str, mapped_column(CHAR(26))]  # ULID
Sha256 = Annotated[str, mapped_column(CHAR(64))]
RunId = Annotated[int, mapped_column(ForeignKey("nst_run.id", ondelete="CASCADE"))]
RunKey = Annotated[int, mapped_column(ForeignKey("nst_run.id", ondelete="CASCADE"), primary_key=True)]
NameKey = Annotated[int, mapped_column(ForeignKey("nst_name.id"), primary_key=True)]


def _words(name: str, words: Any) -> Enum:
    return Enum(*get_args(words), name=name, native_enum=False, create_constraint=True, length=16)


class Base(DeclarativeBase):
    """Names of constraints and types of columns, said once."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar[Mapping[Any, TypeEngine[Any]]] = {
        int: BigInteger().with_variant(Integer(), "sqlite"),  # 64 bits on both; only INTEGER counts up on SQLite
        float: Double(),
        str: Text(),
        bool: Boolean(),
        dict[str, Any]: JSON(),
        list[Any]: JSON(),
        RunKind: _words("kind", RunKind),
        RunState: _words("state", RunState),
        RoundState: _words("state", RoundState),
        ContributionState: _words("state", ContributionState),
        CeremonyState: _words("state", CeremonyState),
        LeaseState: _words("state", LeaseState),
        JobKind: _words("kind", JobKind),
        JobState: _words("state", JobState),
    }


class Meta(Base):
    """Facts about this database: `instance`, a ULID of its own that its ledger is bound to; `created_us`;
    `last_number`, the highest number a run ever had; `backup_us`, when the last backup was taken.
    """

    __tablename__ = "nst_meta"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Name(Base):
    """What a metric, a parameter or a tag is called, once: the rows that use it hold its number."""

    __tablename__ = "nst_name"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Experiment(Base):
    """A name that runs are gathered under. A deleted one gives its name free."""

    __tablename__ = "nst_experiment"
    __table_args__ = (
        Index(
            "uq_nst_experiment_name",
            "name",
            unique=True,
            sqlite_where=text("deleted_us IS NULL"),
            postgresql_where=text("deleted_us IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[Uid] = mapped_column(unique=True)
    name: Mapped[str]
    note: Mapped[str | None]
    created_us: Mapped[int]
    deleted_us: Mapped[int | None]


class Environment(Base):
    """What a run was made with; see `environment.py`."""

    __tablename__ = "nst_environment"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[Sha256] = mapped_column(unique=True)
    body: Mapped[dict[str, Any]]


class Dataset(Base):
    """What a run was made on: a fingerprint and a schema, never the data.

    The fingerprint of a site's data is keyed: an HMAC under a key that only the site has, so that nobody can try
    guesses of the data against it.
    """

    __tablename__ = "nst_dataset"

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(unique=True)
    keyed: Mapped[bool] = mapped_column(server_default=text("false"))
    name: Mapped[str]
    rows: Mapped[int | None]  # None: a site that does not tell
    body: Mapped[dict[str, Any]]


class Architecture(Base):
    """One network, stored once however many searches find it."""

    __tablename__ = "nst_architecture"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[Sha256] = mapped_column(unique=True)
    space: Mapped[str]
    choices: Mapped[dict[str, Any]]
    spec: Mapped[dict[str, Any]]
    parameters: Mapped[int]
    macs: Mapped[int]


class Run(Base):
    """Anything that was run. Searches and federated trainings stand at the top; trials and retrainings below them."""

    __tablename__ = "nst_run"
    __table_args__ = (
        Index(None, "kind", "started_us"),
        Index(
            "ix_nst_run_deleted_us",
            "deleted_us",
            sqlite_where=text("deleted_us IS NOT NULL"),
            postgresql_where=text("deleted_us IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},  # a key is never given twice: who holds that of a purged run finds nothing
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[Uid] = mapped_column(unique=True)
    number: Mapped[int | None] = mapped_column(unique=True)  # None: below another run
    kind: Mapped[RunKind]
    state: Mapped[RunState]
    experiment_id: Mapped[int] = mapped_column(ForeignKey("nst_experiment.id"), index=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("nst_run.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    seed: Mapped[int]
    config: Mapped[dict[str, Any]]
    environment_id: Mapped[int] = mapped_column(ForeignKey("nst_environment.id"))
    host: Mapped[str]
    pid: Mapped[int]
    born: Mapped[str | None]  # tells that process from a later one with its number; see `process.birth`
    started_us: Mapped[int]
    ended_us: Mapped[int | None]
    deleted_us: Mapped[int | None]
    error: Mapped[str | None]


class RunDataset(Base):
    """The data of a run, by what it was for: "data" is all of it; a federated run has one per site, "site/NAME"."""

    __tablename__ = "nst_run_dataset"

    run_id: Mapped[RunKey]
    role: Mapped[str] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("nst_dataset.id"), index=True)


class Search(Base):
    """What a run of kind `search` searches, and how."""

    __tablename__ = "nst_search"

    run_id: Mapped[RunKey]
    space: Mapped[str]
    space_sha256: Mapped[Sha256]
    sampler: Mapped[str]
    pruner: Mapped[str]
    objectives: Mapped[list[Any]]  # [["val_accuracy", "maximize"], ...]
    trials: Mapped[int]  # planned
    study_name: Mapped[str] = mapped_column(unique=True)
    space_document: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # None: of before 0003
    active_us: Mapped[int | None]  # how long brokers were at it, all of them together; None: none said so yet
    heartbeat_us: Mapped[int | None]  # when its broker last said that it lives
    alive_until_us: Mapped[int | None]  # how long that counts
    stop_us: Mapped[int | None]  # when somebody asked its broker to stop


class Trial(Base):
    """What a run of kind `trial` evaluates. Optuna's trial is a plain number: `delete_study` knows no foreign keys."""

    __tablename__ = "nst_trial"
    __table_args__ = (UniqueConstraint("search_id", "number", "attempt"),)

    run_id: Mapped[RunKey]
    search_id: Mapped[int] = mapped_column(ForeignKey("nst_run.id", ondelete="CASCADE"))
    number: Mapped[int]
    attempt: Mapped[int]
    architecture_id: Mapped[int] = mapped_column(ForeignKey("nst_architecture.id"), index=True)
    hyperparameters: Mapped[dict[str, Any]]
    optuna_number: Mapped[int | None]  # None: that of Optuna is our own
    flat: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # the point of the space, all leaves
    cause: Mapped[str | None]  # in a word, why it has no result: "out of memory", "time limit", ...
    cpu_seconds: Mapped[float | None]
    peak_memory_bytes: Mapped[int | None]
    rung: Mapped[int | None]  # epochs that it was trained for
    wall_seconds: Mapped[float | None]  # of the evaluation alone: the run's times have waiting in them
    transferred_bytes: Mapped[int | None]  # that the evaluation sent and received, where it did


class Lease(Base):
    """A trial that is to be evaluated, or is being evaluated, and by whom; its row goes when its outcome is recorded.

    With `job` any worker may claim it; without, the broker has a worker of its own at it.
    """

    __tablename__ = "nst_lease"

    search_id: Mapped[int] = mapped_column(ForeignKey("nst_run.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int]
    run_id: Mapped[RunId] = mapped_column(index=True)  # of the trial
    job: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    state: Mapped[LeaseState]
    token: Mapped[str | None] = mapped_column(CHAR(26))  # of the claim: an old one renews and reports nothing
    worker: Mapped[str | None]
    offered_us: Mapped[int]
    leased_us: Mapped[int | None]
    heartbeat_us: Mapped[int | None]
    expires_us: Mapped[int | None]
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class Param(Base):
    """A scalar that a run was made with, to ask by: of its configuration, its hyperparameters or its architecture.

    `text` is the value as it is compared with text, `number` as with numbers (true is 1); the whole of the
    configuration, whose longer texts are not here, is in `nst_run.config`.
    """

    __tablename__ = "nst_param"
    __table_args__ = (
        Index(None, "name_id", "text", "run_id"),
        Index(None, "name_id", "number", "run_id"),
        {"sqlite_with_rowid": False},
    )

    run_id: Mapped[RunKey]
    name_id: Mapped[NameKey]
    text: Mapped[str]  # JSON of what is no text; at most `MAX_PARAM_LETTERS`
    number: Mapped[float | None]  # None: it is text
    is_text: Mapped[bool]


class Tag(Base):
    """A word somebody put on a run."""

    __tablename__ = "nst_tag"
    __table_args__ = (Index(None, "name_id", "value", "run_id"), {"sqlite_with_rowid": False})

    run_id: Mapped[RunKey]
    name_id: Mapped[NameKey]
    value: Mapped[str]  # empty: the tag is only a word
    edited_us: Mapped[int]


class Note(Base):
    """What somebody wrote about a run."""

    __tablename__ = "nst_note"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[RunId] = mapped_column(index=True)
    text: Mapped[str]
    created_us: Mapped[int]


class Metric(Base):
    """One metric of one run in one row, whose indexes answer "the best ten of all runs".

    `value` is the run's figure: the one it was ended with (`reported`), else the last point. The others sum up the
    points, NaN left out of `min` and `max`; without points they are NULL and `points` is 0.
    """

    __tablename__ = "nst_metric"
    __table_args__ = (
        Index(None, "name_id", "value", "run_id"),
        Index(None, "name_id", "min", "run_id"),
        Index(None, "name_id", "max", "run_id"),
        {"sqlite_with_rowid": False},
    )

    run_id: Mapped[RunKey]
    name_id: Mapped[NameKey]
    value: Mapped[float | None]
    reported: Mapped[bool]
    points: Mapped[int]
    first_step: Mapped[int | None]
    last_step: Mapped[int | None]
    last: Mapped[float | None]
    min: Mapped[float | None]
    min_step: Mapped[int | None]  # the first step that has it
    max: Mapped[float | None]
    max_step: Mapped[int | None]


class MetricPoint(Base):
    """One point of a curve."""

    __tablename__ = "nst_metric_point"
    __table_args__ = ({"sqlite_with_rowid": False},)  # the key is most of the row: keep it once

    run_id: Mapped[RunKey]
    name_id: Mapped[NameKey]
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float | None]
    at_ms: Mapped[int | None]  # since the run started; None: not known


class SystemPoint(Base):
    """One sample of the machine while a run was on it: `cpu_percent`, `memory_bytes`, ..."""

    __tablename__ = "nst_system_point"
    __table_args__ = ({"sqlite_with_rowid": False},)

    run_id: Mapped[RunKey]
    name_id: Mapped[NameKey]
    at_ms: Mapped[int] = mapped_column(primary_key=True)  # since the run started
    value: Mapped[float | None]


class Artifact(Base):
    """The content of a file, once however many runs left it behind; it lies beside the database under its hash."""

    __tablename__ = "nst_artifact"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[Sha256] = mapped_column(unique=True)
    size_bytes: Mapped[int]
    media_type: Mapped[str]
    created_us: Mapped[int]


class RunArtifact(Base):
    """A file that a run left behind: `role` says what it is part of ("model"), `name` is its own."""

    __tablename__ = "nst_run_artifact"

    run_id: Mapped[RunKey]
    role: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    artifact_id: Mapped[int] = mapped_column(ForeignKey("nst_artifact.id"), index=True)


class Model(Base):
    """A name under which models are published, in versions."""

    __tablename__ = "nst_model"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_us: Mapped[int]


class ModelVersion(Base):
    """A published model: the run it came from and the file that holds its weights."""

    __tablename__ = "nst_model_version"
    __table_args__ = (UniqueConstraint("model_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("nst_model.id", ondelete="CASCADE"))
    version: Mapped[int]  # from 1
    run_id: Mapped[int | None] = mapped_column(ForeignKey("nst_run.id", ondelete="SET NULL"), index=True)
    artifact_id: Mapped[int] = mapped_column(ForeignKey("nst_artifact.id"), index=True)
    signature: Mapped[dict[str, Any]]  # inputs and outputs: names, shapes, dtypes
    opset: Mapped[int | None]  # of an ONNX file
    created_us: Mapped[int]


class Alias(Base):
    """A word that points to one version of a model, such as "production"."""

    __tablename__ = "nst_alias"

    model_id: Mapped[int] = mapped_column(ForeignKey("nst_model.id", ondelete="CASCADE"), primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("nst_model_version.id", ondelete="CASCADE"), index=True)
    set_us: Mapped[int]


class Deployment(Base):
    """A version of a model that was served somewhere."""

    __tablename__ = "nst_deployment"

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[Uid] = mapped_column(unique=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("nst_model_version.id", ondelete="CASCADE"), index=True)
    endpoint: Mapped[str]
    host: Mapped[str]
    started_us: Mapped[int]
    stopped_us: Mapped[int | None]


class Lineage(Base):
    """`target` was made from `source`; `relation` says how. The ids are those of the tables the kinds name."""

    __tablename__ = "nst_lineage"
    __table_args__ = (Index(None, "target_kind", "target_id"), {"sqlite_with_rowid": False})

    source_kind: Mapped[NodeKind] = mapped_column(_words("source_kind", NodeKind), primary_key=True)
    source_id: Mapped[int] = mapped_column(primary_key=True)
    relation: Mapped[str] = mapped_column(primary_key=True)
    target_kind: Mapped[NodeKind] = mapped_column(_words("target_kind", NodeKind), primary_key=True)
    target_id: Mapped[int] = mapped_column(primary_key=True)


class Federation(Base):
    """What a run of kind `federated` trains, and how."""

    __tablename__ = "nst_federation"

    run_id: Mapped[RunKey]
    clients: Mapped[int]
    rounds: Mapped[int]  # planned
    strategy: Mapped[str]
    scheme: Mapped[str]
    alpha: Mapped[float | None]
    flwr_run_id: Mapped[str | None]  # of Flower's own records; unsigned 64 bits, so text
    min_clients: Mapped[int | None]
    privacy: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # of the noise; None: there is none
    model_run_id: Mapped[int | None] = mapped_column(ForeignKey("nst_run.id", ondelete="SET NULL"), index=True)
    spec: Mapped[dict[str, Any]]


class Job(Base):
    """A federation that somebody asked for: it waits for a coordinator, is at one, or has ended.

    A coordinator claims it for a while and says again and again that it lives. `epoch` counts the claims: what somebody
    still does under an earlier one is refused.
    """

    __tablename__ = "nst_job"

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[Uid] = mapped_column(unique=True)
    kind: Mapped[JobKind]
    state: Mapped[JobState] = mapped_column(index=True)
    name: Mapped[str]
    config: Mapped[dict[str, Any]]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("nst_run.id", ondelete="SET NULL"), index=True)
    epoch: Mapped[int]  # 0: never claimed
    holder: Mapped[str | None]  # who has it, in words
    host: Mapped[str | None]
    pid: Mapped[int | None]
    born: Mapped[str | None]  # tells that process from a later one with its number; see `process.birth`
    queued_us: Mapped[int]
    claimed_us: Mapped[int | None]
    heartbeat_us: Mapped[int | None]
    expires_us: Mapped[int | None]
    stop_us: Mapped[int | None]  # when somebody asked for it to stop
    ended_us: Mapped[int | None]
    error: Mapped[str | None]


class RoundAttempt(Base):
    """An attempt at a round, written before any site is asked: a coordinator that comes after one that was killed
    begins the next.
    """

    __tablename__ = "nst_round_attempt"

    run_id: Mapped[RunKey]
    round: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    phase: Mapped[str]
    started_us: Mapped[int]
    ended_us: Mapped[int | None]  # None: it is under way, or was when its coordinator died
    failure: Mapped[str | None]  # why it gave no sum; None: it did, or is under way
    refusals: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # of one that failed, by site
    survivors: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))  # who was asked to bare their sum


class Checkpoint(Base):
    """Where a federated training goes on: a round that is closed, and the file of its sum, which no coordinator can
    read.
    """

    __tablename__ = "nst_checkpoint"

    run_id: Mapped[RunKey]
    round: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int]  # which gave the sum
    phase: Mapped[str]
    sha256: Mapped[str | None] = mapped_column(CHAR(64))  # None: the round gave no sum
    size_bytes: Mapped[int | None]
    closed_us: Mapped[int]


class Node(Base):
    """A site that took part in federated trainings; no address."""

    __tablename__ = "nst_node"

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[Uid] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(unique=True)
    public_key_sha256: Mapped[str | None] = mapped_column(CHAR(64))
    first_seen_us: Mapped[int]
    last_seen_us: Mapped[int]


class Round(Base):
    """One round of a federated training; its loss and accuracy are points of the run, at the round's number."""

    __tablename__ = "nst_round"

    run_id: Mapped[RunKey]
    number: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[RoundState]
    participants: Mapped[int]  # whose update is in the sum
    rejected: Mapped[int]
    bytes_up: Mapped[int]
    bytes_down: Mapped[int]
    bytes_plain: Mapped[int | None]  # what the updates would be as float32 in the clear
    aggregate_seconds: Mapped[float | None]
    seconds: Mapped[float]
    started_us: Mapped[int]


class Contribution(Base):
    """What one site gave to one round. What a site does not tell is NULL."""

    __tablename__ = "nst_contribution"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "round"], ["nst_round.run_id", "nst_round.number"], ondelete="CASCADE"),
        Index(None, "node_id", "run_id", "round"),
    )

    run_id: Mapped[int] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    node_id: Mapped[int] = mapped_column(ForeignKey("nst_node.id"), primary_key=True)
    state: Mapped[ContributionState]
    reason: Mapped[str | None]
    bytes_up: Mapped[int]
    bytes_down: Mapped[int]
    seconds: Mapped[float]
    rows: Mapped[int | None]
    train_seconds: Mapped[float | None]
    encrypt_seconds: Mapped[float | None]
    update_norm: Mapped[float | None]
    clipped: Mapped[bool | None]


class Ceremony(Base):
    """The making of a key that sites share: its name and its public half, never a secret."""

    __tablename__ = "nst_ceremony"

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[Uid] = mapped_column(unique=True)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("nst_run.id", ondelete="SET NULL"), index=True)
    scheme: Mapped[str]
    key_id: Mapped[str]
    parameters_sha256: Mapped[str | None] = mapped_column(CHAR(64))
    public_key_sha256: Mapped[str | None] = mapped_column(CHAR(64))
    members: Mapped[list[Any]]  # names of nodes
    threshold: Mapped[int | None]
    state: Mapped[CeremonyState]
    started_us: Mapped[int]
    ended_us: Mapped[int | None]


class LedgerEntry(Base):
    """An entry of the privacy ledger, chained to the one before by its hash; see `chain.py`. Triggers keep it
    append-only.
    """

    __tablename__ = "nst_ledger"

    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # from 1, without gaps
    kind: Mapped[str]
    subject: Mapped[str | None] = mapped_column(index=True)  # whose privacy: a data set's fingerprint, ...
    run_uid: Mapped[str | None] = mapped_column(CHAR(26), index=True)  # no key: the ledger outlives what is purged
    body: Mapped[str]  # canonical JSON, as it was hashed
    recorded_us: Mapped[int]
    previous: Mapped[Sha256]
    hash: Mapped[Sha256] = mapped_column(unique=True)
    signer: Mapped[Sha256]  # Ed25519 public key, hexadecimal
    signature: Mapped[str]  # of the hash, hexadecimal


class Event(Base):
    """Something that happened, for whoever watches: `id` only grows, so a watcher asks for what came after it."""

    __tablename__ = "nst_event"
    __table_args__ = ({"sqlite_autoincrement": True},)  # a number is never given twice, also after old ones are purged

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[RunId] = mapped_column(index=True)
    at_us: Mapped[int]
    kind: Mapped[str]
    body: Mapped[dict[str, Any]]


MAX_PARAM_LETTERS = 500


def to_column(figure: float) -> float | None:
    """The column of a figure: NULL for NaN, and 0.0 for -0.0 on both engines."""
    value = float(figure) + 0.0
    return None if math.isnan(value) else value


def from_column(value: float | None) -> float:
    """The figure behind a column: the inverse of `to_column`."""
    return math.nan if value is None else value


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(time: datetime) -> int:
    """The column of an aware time."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def from_us(microseconds: int) -> datetime:
    """The time, UTC, behind a column: the inverse of `to_us`, exact where `fromtimestamp` would round."""
    return _EPOCH + timedelta(microseconds=microseconds)

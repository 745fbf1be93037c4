"""The tables. Optuna's own stand unprefixed in the same database, so every name here starts with `nst_`.

Conventions: integer keys inside, a ULID outside; times are microseconds UTC in columns `*_us`; words of a fixed set
are short strings with a CHECK; JSON is stored as it was given. A figure is two columns, because SQLite turns NaN into
NULL: `value` for finite numbers, `special` for the three others. (SQLite also turns -0.0 into 0.0; so be it.)
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, get_args

from sqlalchemy import (
    CHAR,
    JSON,
    BigInteger,
    Double,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

from .records import ContributionState, RunKind, RunState

Uid = Annotated[str, mapped_column(CHAR(26))]  # ULID
Sha256 = Annotated[str, mapped_column(CHAR(64))]
Special = Annotated[int, mapped_column(SmallInteger())]  # 0 finite or absent, 1 NaN, 2 +inf, 3 -inf
RunKey = Annotated[int, mapped_column(ForeignKey("nst_run.id", ondelete="CASCADE"), primary_key=True)]


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
        dict[str, Any]: JSON(),
        RunKind: _words("kind", RunKind),
        RunState: _words("state", RunState),
        ContributionState: _words("state", ContributionState),
    }


class Environment(Base):
    """What a run was made with; see `environment.py`."""

    __tablename__ = "nst_environment"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[Sha256] = mapped_column(unique=True)
    body: Mapped[dict[str, Any]]


class Dataset(Base):
    """What a run was made on: a fingerprint and a schema, never the data."""

    __tablename__ = "nst_dataset"

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    rows: Mapped[int]
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
    __table_args__ = (Index(None, "kind", "started_us"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[Uid] = mapped_column(unique=True)
    number: Mapped[int | None] = mapped_column(unique=True)  # None: below another run
    kind: Mapped[RunKind]
    state: Mapped[RunState]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("nst_run.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    seed: Mapped[int]
    config: Mapped[dict[str, Any]]
    environment_id: Mapped[int] = mapped_column(ForeignKey("nst_environment.id"))
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("nst_dataset.id"))
    host: Mapped[str]
    pid: Mapped[int]
    born: Mapped[str | None]  # tells that process from a later one with its number; see `process.birth`
    started_us: Mapped[int]
    ended_us: Mapped[int | None]
    error: Mapped[str | None]


class Search(Base):
    """What a run of kind `search` searches, and how."""

    __tablename__ = "nst_search"

    run_id: Mapped[RunKey]
    space: Mapped[str]
    space_sha256: Mapped[Sha256]
    sampler: Mapped[str]
    pruner: Mapped[str]
    trials: Mapped[int]  # planned
    study_name: Mapped[str] = mapped_column(unique=True)


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
    optuna_number: Mapped[int | None]


class Metric(Base):
    """A final figure of a run."""

    __tablename__ = "nst_metric"
    __table_args__ = (Index(None, "name", "value"),)

    run_id: Mapped[RunKey]
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float | None]
    special: Mapped[Special]


class MetricPoint(Base):
    """One point of a curve."""

    __tablename__ = "nst_metric_point"
    __table_args__ = ({"sqlite_with_rowid": False},)  # the key is most of the row: keep it once

    run_id: Mapped[RunKey]
    name: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float | None]
    special: Mapped[Special]


class Artifact(Base):
    """A file or folder a run left behind, one per role."""

    __tablename__ = "nst_artifact"
    __table_args__ = (UniqueConstraint("run_id", "role"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("nst_run.id", ondelete="CASCADE"))
    role: Mapped[str]
    path: Mapped[str]
    sha256: Mapped[Sha256]
    size_bytes: Mapped[int]


class Federation(Base):
    """What a run of kind `federated` trains, and how."""

    __tablename__ = "nst_federation"

    run_id: Mapped[RunKey]
    clients: Mapped[int]
    rounds: Mapped[int]  # planned
    strategy: Mapped[str]
    scheme: Mapped[str]
    alpha: Mapped[float | None]
    model_run_id: Mapped[int | None] = mapped_column(ForeignKey("nst_run.id", ondelete="SET NULL"), index=True)
    spec: Mapped[dict[str, Any]]


class Round(Base):
    """One round of a federated training."""

    __tablename__ = "nst_round"

    run_id: Mapped[RunKey]
    number: Mapped[int] = mapped_column(primary_key=True)
    participants: Mapped[int]
    rejected: Mapped[int]
    loss: Mapped[float | None]
    loss_special: Mapped[Special]
    accuracy: Mapped[float | None]
    accuracy_special: Mapped[Special]
    bytes_up: Mapped[int]
    bytes_down: Mapped[int]
    seconds: Mapped[float]
    started_us: Mapped[int]


class Contribution(Base):
    """What one client gave to one round."""

    __tablename__ = "nst_contribution"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "round"], ["nst_round.run_id", "nst_round.number"], ondelete="CASCADE"),
    )

    run_id: Mapped[int] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    client: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[ContributionState]
    reason: Mapped[str | None]
    bytes_up: Mapped[int]
    bytes_down: Mapped[int]
    seconds: Mapped[float]


_FINITE, _NAN, _PLUS_INFINITY, _MINUS_INFINITY = range(4)


def split_special(value: float | None) -> tuple[float | None, int]:
    """The two columns of a figure: a finite value and 0, or NULL and which special value it is; None is (NULL, 0)."""
    if value is None or math.isfinite(value):
        return (None if value is None else float(value)), _FINITE
    if math.isnan(value):
        return None, _NAN
    return None, _PLUS_INFINITY if value > 0 else _MINUS_INFINITY


def join_special(value: float | None, special: int) -> float | None:
    """The figure behind two columns: the inverse of `split_special`."""
    return {_FINITE: value, _NAN: math.nan, _PLUS_INFINITY: math.inf, _MINUS_INFINITY: -math.inf}[special]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(time: datetime) -> int:
    """The column of an aware time."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def from_us(microseconds: int) -> datetime:
    """The time, UTC, behind a column: the inverse of `to_us`, exact where `fromtimestamp` would round."""
    return _EPOCH + timedelta(microseconds=microseconds)

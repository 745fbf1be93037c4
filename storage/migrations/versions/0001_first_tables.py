"""The first tables: runs, searches and their trials, federated trainings and their rounds.

Names of constraints follow the convention of `models.Base`.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def _words(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=16)


INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLOAT: sa.Double[float] = sa.Double()
UID = sa.CHAR(26)
SHA256 = sa.CHAR(64)
KIND = _words("kind", "search", "trial", "retrain", "federated")
RUN_STATE = _words("state", "running", "completed", "pruned", "failed", "interrupted")
CONTRIBUTION_STATE = _words("state", "accepted", "rejected")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "nst_environment",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("sha256", SHA256, nullable=False, unique=True),
        sa.Column("body", sa.JSON(), nullable=False),
    )
    op.create_table(
        "nst_dataset",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("fingerprint", sa.Text(), nullable=False, unique=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rows", INTEGER, nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
    )
    op.create_table(
        "nst_architecture",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("sha256", SHA256, nullable=False, unique=True),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("choices", sa.JSON(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("parameters", INTEGER, nullable=False),
        sa.Column("macs", INTEGER, nullable=False),
    )
    op.create_table(
        "nst_run",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("uid", UID, nullable=False, unique=True),
        sa.Column("number", INTEGER, unique=True),
        sa.Column("kind", KIND, nullable=False),
        sa.Column("state", RUN_STATE, nullable=False),
        sa.Column("parent_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), index=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seed", INTEGER, nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("environment_id", INTEGER, sa.ForeignKey("nst_environment.id"), nullable=False),
        sa.Column("dataset_id", INTEGER, sa.ForeignKey("nst_dataset.id")),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", INTEGER, nullable=False),
        sa.Column("born", sa.Text()),
        sa.Column("started_us", INTEGER, nullable=False),
        sa.Column("ended_us", INTEGER),
        sa.Column("error", sa.Text()),
        sa.Index(None, "kind", "started_us"),
    )
    op.create_table(
        "nst_search",
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("space_sha256", SHA256, nullable=False),
        sa.Column("sampler", sa.Text(), nullable=False),
        sa.Column("pruner", sa.Text(), nullable=False),
        sa.Column("trials", INTEGER, nullable=False),
        sa.Column("study_name", sa.Text(), nullable=False, unique=True),
    )
    op.create_table(
        "nst_trial",
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("search_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", INTEGER, nullable=False),
        sa.Column("attempt", INTEGER, nullable=False),
        sa.Column("architecture_id", INTEGER, sa.ForeignKey("nst_architecture.id"), nullable=False, index=True),
        sa.Column("hyperparameters", sa.JSON(), nullable=False),
        sa.Column("optuna_number", INTEGER),
        sa.UniqueConstraint("search_id", "number", "attempt"),
    )
    op.create_table(
        "nst_metric",
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("value", FLOAT),
        sa.Column("special", sa.SmallInteger(), nullable=False),
        sa.Index(None, "name", "value"),
    )
    op.create_table(
        "nst_metric_point",
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("step", INTEGER, primary_key=True),
        sa.Column("value", FLOAT),
        sa.Column("special", sa.SmallInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nst_artifact",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", SHA256, nullable=False),
        sa.Column("size_bytes", INTEGER, nullable=False),
        sa.UniqueConstraint("run_id", "role"),
    )
    op.create_table(
        "nst_federation",
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("clients", INTEGER, nullable=False),
        sa.Column("rounds", INTEGER, nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("alpha", FLOAT),
        sa.Column("model_run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="SET NULL"), index=True),
        sa.Column("spec", sa.JSON(), nullable=False),
    )
    op.create_table(
        "nst_round",
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", INTEGER, primary_key=True),
        sa.Column("participants", INTEGER, nullable=False),
        sa.Column("rejected", INTEGER, nullable=False),
        sa.Column("loss", FLOAT),
        sa.Column("loss_special", sa.SmallInteger(), nullable=False),
        sa.Column("accuracy", FLOAT),
        sa.Column("accuracy_special", sa.SmallInteger(), nullable=False),
        sa.Column("bytes_up", INTEGER, nullable=False),
        sa.Column("bytes_down", INTEGER, nullable=False),
        sa.Column("seconds", FLOAT, nullable=False),
        sa.Column("started_us", INTEGER, nullable=False),
    )
    op.create_table(
        "nst_contribution",
        sa.Column("run_id", INTEGER, primary_key=True),
        sa.Column("round", INTEGER, primary_key=True),
        sa.Column("client", sa.Text(), primary_key=True),
        sa.Column("state", CONTRIBUTION_STATE, nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("bytes_up", INTEGER, nullable=False),
        sa.Column("bytes_down", INTEGER, nullable=False),
        sa.Column("seconds", FLOAT, nullable=False),
        sa.ForeignKeyConstraint(["run_id", "round"], ["nst_round.run_id", "nst_round.number"], ondelete="CASCADE"),
    )


def downgrade() -> None:
    """Drop them, and all history with them."""
    for name in (
        "nst_contribution",
        "nst_round",
        "nst_federation",
        "nst_artifact",
        "nst_metric_point",
        "nst_metric",
        "nst_trial",
        "nst_search",
        "nst_run",
        "nst_architecture",
        "nst_dataset",
        "nst_environment",
    ):
        op.drop_table(name)

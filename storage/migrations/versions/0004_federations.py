"""Federations that wait for a coordinator, attempts at rounds, and where a run goes on after its last closed round.

Only tables are added: nothing is copied.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _words(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=16)


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "nst_job",
        sa.Column("id", INTEGER, primary_key=True),
        sa.Column("uid", sa.CHAR(26), nullable=False, unique=True),
        sa.Column("kind", _words("kind", "train", "search"), nullable=False),
        sa.Column(
            "state",
            _words("state", "queued", "running", "paused", "completed", "failed", "stopped"),
            nullable=False,
            index=True,
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="SET NULL"), index=True),
        sa.Column("epoch", INTEGER, nullable=False),
        sa.Column("holder", sa.Text()),
        sa.Column("host", sa.Text()),
        sa.Column("pid", INTEGER),
        sa.Column("born", sa.Text()),
        sa.Column("queued_us", INTEGER, nullable=False),
        sa.Column("claimed_us", INTEGER),
        sa.Column("heartbeat_us", INTEGER),
        sa.Column("expires_us", INTEGER),
        sa.Column("stop_us", INTEGER),
        sa.Column("ended_us", INTEGER),
        sa.Column("error", sa.Text()),
    )
    op.create_table(
        "nst_round_attempt",
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("round", INTEGER, primary_key=True),
        sa.Column("attempt", INTEGER, primary_key=True),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("started_us", INTEGER, nullable=False),
        sa.Column("ended_us", INTEGER),
        sa.Column("failure", sa.Text()),
        sa.Column("refusals", sa.JSON()),
        sa.Column("survivors", sa.JSON()),
    )
    op.create_table(
        "nst_checkpoint",
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("round", INTEGER, primary_key=True),
        sa.Column("attempt", INTEGER, nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("sha256", sa.CHAR(64)),
        sa.Column("size_bytes", INTEGER),
        sa.Column("closed_us", INTEGER, nullable=False),
    )


def downgrade() -> None:
    """Refuse: the older tables have no room for it."""
    raise RuntimeError("revision 0004 is not undone: restore the copy from before it; of SQLite, FILE.before-0004.bak")

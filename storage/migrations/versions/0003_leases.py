"""Leases of trials, the heartbeat of a search's broker, and what a trial cost.

Only columns that may be NULL are added, so nothing is copied: a table of a million trials is upgraded at once.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLOAT: sa.Double[float] = sa.Double()
STATES = ("open", "leased", "reported", "lost")
STATE = sa.Enum(*STATES, name="state", native_enum=False, create_constraint=True, length=16)


def upgrade() -> None:
    """Add the columns and the table."""
    for column in ("active_us", "heartbeat_us", "alive_until_us", "stop_us"):
        op.add_column("nst_search", sa.Column(column, INTEGER))
    op.add_column("nst_search", sa.Column("space_document", sa.JSON()))
    op.add_column("nst_trial", sa.Column("flat", sa.JSON()))
    op.add_column("nst_trial", sa.Column("cause", sa.Text()))
    op.add_column("nst_trial", sa.Column("cpu_seconds", FLOAT))
    op.add_column("nst_trial", sa.Column("peak_memory_bytes", INTEGER))
    op.add_column("nst_trial", sa.Column("rung", INTEGER))
    op.add_column("nst_trial", sa.Column("wall_seconds", FLOAT))
    op.add_column("nst_trial", sa.Column("transferred_bytes", INTEGER))
    op.create_table(
        "nst_lease",
        sa.Column("search_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", INTEGER, primary_key=True),
        sa.Column("attempt", INTEGER, nullable=False),
        sa.Column("run_id", INTEGER, sa.ForeignKey("nst_run.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("job", sa.JSON()),
        sa.Column("state", STATE, nullable=False),
        sa.Column("token", sa.CHAR(26)),
        sa.Column("worker", sa.Text()),
        sa.Column("offered_us", INTEGER, nullable=False),
        sa.Column("leased_us", INTEGER),
        sa.Column("heartbeat_us", INTEGER),
        sa.Column("expires_us", INTEGER),
        sa.Column("report", sa.JSON()),
    )


def downgrade() -> None:
    """Refuse: the older tables have no room for it."""
    raise RuntimeError("revision 0003 is not undone: restore the copy from before it; of SQLite, FILE.before-0003.bak")

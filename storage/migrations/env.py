"""Run by Alembic: our tables only, on the connection and inside the transaction that the caller brings."""

from alembic import context
from sqlalchemy import Connection

attributes = context.config.attributes
connection: Connection = attributes["connection"]


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Whether autogenerate may look at this name: Optuna's tables stand in the same database."""
    return kind != "table" or (name is not None and name.startswith("nst_"))


context.configure(
    connection=connection,
    target_metadata=attributes["metadata"],
    version_table=attributes["version_table"],
    include_name=is_ours,
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()

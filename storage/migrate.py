"""Bringing a database to the tables of `models.py`. Alembic is imported only when there is something to do."""

from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text

from .models import Base

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE: Final = "nst_alembic_version"  # `alembic_version` is Optuna's, which refuses a revision it does not know
SCRIPTS: Final = Path(__file__).parent / "migrations"
REVISIONS: Final = ("0001", "0002", "0003", "0004")  # oldest first; a test compares them with the scripts


def current_revision(connection: Connection) -> str | None:
    """The revision of the database's tables; None where there are none yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 - our own constant


def alembic_config(connection: Connection) -> "Config":
    """Alembic's configuration for our scripts on this connection; there is no ini file."""
    from alembic.config import Config

    config = Config(stdout=StringIO())  # a library prints nothing; Alembic would keep the stdout of its import
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = Base.metadata
    config.attributes["version_table"] = VERSION_TABLE
    return config


def upgrade(connection: Connection) -> None:
    """Upgrade the database to the newest revision, within the transaction that `connection` is in."""
    from alembic import command

    command.upgrade(alembic_config(connection), REVISIONS[-1])

"""PostgreSQL's own programs for backups. They get the password by their environment: everyone can read arguments."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, make_url, text

from ..database import Database
from ..errors import StorageError

_SCHEMA = text(
    "SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE pg_class.oid = to_regclass('nst_alembic_version')"
)
_RELATIONS = text(
    "SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = :schema"
)
_SHOWN: Final = 500  # letters of what a program says


def schema_of(connection: Connection) -> str | None:
    """The schema our tables are in; None where there are none."""
    return connection.scalar(_SCHEMA)


def empty_schema(connection: Connection) -> str:
    """The schema that new tables would go to.

    Raises:
        StorageError: there is none, or something is in it.
    """
    schema = connection.scalar(text("SELECT current_schema()"))
    if schema is None:
        raise StorageError("the search path of the connection names no schema that is there", hint="create it first")
    count = connection.scalar(_RELATIONS, {"schema": schema})
    if count:
        raise StorageError(
            f"the schema {schema} is not empty: it has {count} tables, indexes and sequences",
            hint="restore into a new database, then switch to it",
        )
    return schema


def dump(database: Database, destination: Path, *, schema: str, snapshot: str) -> None:
    """Write what is in a schema to a file, as an exported snapshot of another connection sees it."""
    quoted = '"{}"'.format(schema.replace('"', '""'))
    words = ["--format=custom", "--no-owner", "--no-privileges", f"--schema={quoted}", f"--snapshot={snapshot}"]
    _run("pg_dump", [*words, f"--file={destination}"], database)


def check_dump(file: Path) -> list[str]:
    """The table of contents of a dump, which must be one."""
    return _run("pg_restore", ["--list", str(file)]).splitlines()


def load(database: Database, file: Path) -> None:
    """Restore a dump, all of it or nothing. The schema it is from must be there, and empty."""
    # A dump of a schema would create it.
    wanted = [line for line in check_dump(file) if " SCHEMA - " not in line and " - SCHEMA " not in line]
    with tempfile.NamedTemporaryFile("w", suffix=".list") as contents:
        contents.write("\n".join(wanted) + "\n")
        contents.flush()
        words = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
        _run("pg_restore", [*words, f"--use-list={contents.name}", str(file)], database)


def _run(name: str, words: Sequence[str], database: Database | None = None) -> str:
    program = shutil.which(name)
    if program is None:
        raise StorageError(
            f"{name} is not installed, which backups of PostgreSQL need",
            hint="install PostgreSQL's client programs, on Debian: apt install postgresql-client",
        )
    environment = dict(os.environ)
    where: list[str] = []
    if database is not None:
        where, secrets = _connection(database)
        environment |= secrets
    answer = subprocess.run(  # noqa: S603 - no shell, and the words are ours
        [program, "--no-password", *where, *words] if where else [program, *words],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
    )
    if answer.returncode:
        said = " ".join(answer.stderr.split())[-_SHOWN:] or f"exit code {answer.returncode}"
        raise StorageError(
            f"{name} failed: {said}", hint=f"check {name} --version: it must not be older than the server"
        )
    return answer.stdout


def _connection(database: Database) -> tuple[list[str], dict[str, str]]:
    """The arguments that say where the database is, and the environment that holds its password."""
    from psycopg.conninfo import make_conninfo

    url = make_url(database.url)
    _, settings = url.get_dialect()().create_connect_args(url)
    public: dict[str, Any] = {name: value for name, value in settings.items() if "password" not in name}
    secret = {name: str(value) for name, value in settings.items() if "password" in name}
    password = secret.pop("password", None)
    if secret:
        raise StorageError(
            f"{', '.join(secret)} of the URL cannot be handed to PostgreSQL's programs",
            hint="use a key without a passphrase, or run pg_dump yourself",
        )
    return [f"--dbname={make_conninfo('', **public)}"], {} if password is None else {"PGPASSWORD": password}

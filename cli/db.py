"""`nasturtium db`: looking after the database."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import click
import typer

from ..core import ConfigError
from ..storage import open_database
from ..storage.maintenance import (
    CheckReport,
    DatabaseStatus,
    back_up,
    check_database,
    compact,
    database_status,
    read_backup,
    restore,
)
from .options import Db, FormatOption, Json, argument, chosen, option, with_db
from .output import Format, count, print_json, print_rows, show, size, stderr, stdout

INTEGRITY = 6  # exit code
FINDING = {"severity": "severity", "code": "what", "message": "message", "hint": "hint"}

app = typer.Typer(no_args_is_help=True, suggest_commands=False, add_completion=False, help="Look after the database.")


@app.callback()
def db() -> None:
    """Look after the database: what is in it, backups and the way back, whether it is whole, making it small."""


@app.command()
def status(db: Db = None, as_json: Json = False) -> None:
    """Describe the database; one of an older revision is not upgraded.

    The JSON has the fields engine, version, location, revision, newest_revision, size_bytes, log_bytes, free_bytes,
    runs (kind to number), deleted_runs, points, rounds, ledger_entries, artifacts, artifact_bytes and last_backup; null
    is what the revision or the engine does not have.
    """
    with open_database(db, create=False, upgrade=False) as database:
        found = database_status(database)
    if as_json:
        print_json(asdict(found))
        return
    _print_status(found, db)


@app.command()
def upgrade(db: Db = None, as_json: Json = False) -> None:
    """Bring the tables to the revision of this nasturtium. A SQLite file is copied first, PostgreSQL is not.

    Commands that read the history do so, too; this one says what it did.
    """
    with open_database(db, create=False, upgrade=False) as database:
        before, where = database_status(database).revision, str(database)
        path = database.path
    with open_database(db, create=False) as database:
        after = database_status(database).revision
    backup = None if before == after or path is None else f"{path}.before-{after}.bak"
    if as_json:
        print_json({"database": where, "before": before, "after": after, "backup": backup})
        return
    if before == after:
        stdout().print(f"{where} is of the newest revision, {after}", soft_wrap=True)
        return
    stdout().print(f"{where}: upgraded from revision {before} to {after}", soft_wrap=True)
    if backup is not None:
        stdout().print(f"the file as it was: {backup}", soft_wrap=True)


@app.command("backup")
def back_up_database(
    output: Annotated[
        Path | None,
        option("--output", "-o", help="A file or a folder.", show_default="beside the database, named after the time"),
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Write one file with the database, its artifacts and its models, and read it back.

    Others may go on writing. The key that signs the ledger is not in it: keep that apart. The JSON has the fields path,
    size_bytes, revision, members (their number) and left_out (files that were missing or altered already).
    """
    with open_database(db, create=False, upgrade=False) as database:
        path = back_up(database, output)
        key = database.key_file
    manifest = read_backup(path, deep=False)  # as it was when it was written
    if as_json:
        facts = {"path": str(path), "size_bytes": path.stat().st_size, "revision": manifest.revision}
        print_json({**facts, "members": len(manifest.members), "left_out": manifest.left_out})
        return
    stdout().print(str(path), soft_wrap=True)
    stderr().print(f"{count(len(manifest.members), 'file')}, {size(path.stat().st_size)}, read back", soft_wrap=True)
    if key.exists():
        stderr().print(f"the key of the ledger is not in it: keep {key} apart", soft_wrap=True)


@app.command("restore")
def restore_database(
    backup: Annotated[Path, argument()],
    yes: Annotated[bool, option("--yes", help="Do not ask.")] = False,
    force: Annotated[
        bool, option("--force", help="Also where a process uses the database, or its ledger is longer.")
    ] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Put the database, artifacts and models of BACKUP in place; what is there now is kept under other names.

    BACKUP is checked as a whole before anything is touched. A PostgreSQL schema must be empty. The JSON has the fields
    database, kept (paths), revision and created (of the backup).
    """
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("restoring replaces the database", hint="add --yes to do it without being asked")
        manifest = read_backup(backup, deep=False)
        question = f"Replace the database by the backup of {show(manifest.created)}?"
        if not click.confirm(question, err=True):
            stderr().print("nothing was changed", soft_wrap=True)
            raise typer.Exit(1)
    restored = restore(backup, db, force=force)
    if as_json:
        facts = {"database": restored.database, "kept": [str(path) for path in restored.kept]}
        print_json({**facts, "revision": restored.manifest.revision, "created": restored.manifest.created})
        return
    stdout().print(f"restored {restored.database}", soft_wrap=True)
    for path in restored.kept:
        stdout().print(f"kept {path}", soft_wrap=True)


@app.command()
def check(
    quick: Annotated[
        bool, option("--quick", help="Leave out the indexes, the content of artifacts and most signatures.")
    ] = False,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Check whether the database is whole and agrees with itself and with the files beside it.

    Exit code 6 if something was lost or altered (severity "error"), 0 otherwise. The rows have the fields severity
    (error or warning), code, message and hint.
    """
    with open_database(db, create=False) as database:
        report = check_database(database, deep=not quick)
    form = chosen(fmt, as_json=as_json)
    print_rows([asdict(finding) for finding in report.findings], FINDING, form, table=lambda: _print_findings(report))
    if not report.findings:
        stderr().print("all is whole", soft_wrap=True)
    if report.errors:
        raise typer.Exit(INTEGRITY)


@app.command("compact")
def compact_database(
    events_days: Annotated[int, option("--events", help="Days that events are kept.", min=0)] = 90,
    system_days: Annotated[int, option("--system", help="Days that samples of a machine are kept.", min=0)] = 30,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Remove old events and samples of machines and what nothing points to, and give the room back to the disk.

    The JSON has the fields bytes_before, bytes_after and removed (events, system_points, edges, artifacts, files and
    drafts).
    """
    with open_database(db, create=False) as database:
        report = compact(database, events_days=events_days, system_days=system_days)
    if as_json:
        print_json(asdict(report))
        return
    removed = ", ".join(f"{number:,} {what.replace('_', ' ')}" for what, number in report.removed.items() if number)
    stdout().print(f"removed {removed or 'nothing'}", soft_wrap=True)
    stdout().print(f"from {size(report.bytes_before)} to {size(report.bytes_after)}", soft_wrap=True)


def _print_status(status: DatabaseStatus, db: str | None) -> None:
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in status.runs.items()) or "none"
    deleted = f", and {status.deleted_runs:,} deleted" if status.deleted_runs else ""
    log = f" and a log of {size(status.log_bytes)}" if status.log_bytes else ""
    room = f", {size(status.free_bytes)} free" if status.free_bytes is not None else ""
    newest = "" if status.revision == status.newest_revision else f" (newest: {status.newest_revision})"
    artifacts = None
    if status.artifacts is not None:
        artifacts = f"{status.artifacts:,}, {size(status.artifact_bytes or 0)}"
    facts: dict[str, Any] = {
        "database": status.location,
        "engine": f"{status.engine} {status.version}",
        "revision": f"{status.revision}{newest}",
        "size": f"{size(status.size_bytes)}{log}{room}",
        "runs": f"{kinds}{deleted}",
        "points": status.points,
        "rounds": status.rounds,
        "ledger": None if status.ledger_entries is None else f"{status.ledger_entries:,} entries",
        "artifacts": artifacts,
        "backup": "never" if status.last_backup is None else show(status.last_backup),
    }
    for name, value in facts.items():
        if value is not None:
            stdout().print(f"{name:<11}{show(value)}", soft_wrap=True)
    if newest:
        stderr().print(f"hint: {with_db('db upgrade', db)}", soft_wrap=True)


def _print_findings(report: CheckReport) -> None:
    for finding in report.findings:
        stdout().print(f"{finding.severity}: {finding.message}", soft_wrap=True)
        if finding.hint:
            stdout().print(f"  hint: {finding.hint}", soft_wrap=True)

"""`history export` and `import`: a history as a file, for other tools or for another database."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Annotated, BinaryIO

from rich.console import Console

from ...core import ConfigError
from ...storage import Database, DatabaseNotFoundError, open_database
from ...storage.exchange import Imported, check_file, export_history, import_history
from .. import library
from ..files import check_target, written_whole
from ..options import Db, Json, argument, option
from ..output import count, print_json, printable, stderr, stdout

SHOWN = 20  # lines of a kind


class ExportFormat(StrEnum):
    """How to write a history."""

    NDJSON = "ndjson"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def export(
    runs: Annotated[list[str] | None, argument(help="The runs, with all below them.", show_default="all")] = None,
    fmt: Annotated[
        ExportFormat | None,
        option(
            "--format",
            help="json and ndjson hold everything and can be imported; csv and parquet are tables.",
            show_default="by the ending of -o, else ndjson",
        ),
    ] = None,
    output: Annotated[Path | None, option("--output", "-o", help="The file.", show_default="standard output")] = None,
    where: Annotated[str, option("--where", help="Only those, as 'val_accuracy > 0.97 and params < 20000'.")] = "",
    deleted: Annotated[bool, option("--deleted", help="Also those that were deleted.")] = False,
    points: Annotated[bool, option("--points", help="The points of the curves, in a table.")] = False,
    force: Annotated[bool, option("--force", help="Replace the file if it is there.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Write runs to a file: all that is known of them, or a table.

    The contents of files and the privacy ledger are not in it: `db backup` keeps both, `privacy export` writes the
    ledger.
    """
    form = ExportFormat.JSON if as_json else fmt or _by_suffix(output)
    with library.open_history(db) as past, _opened(output, form, force=force) as file:
        written = export_history(
            past.database, file, format=form.value, runs=runs or (), where=where, deleted=deleted, points=points
        )
    if output is not None:
        stderr().print(f"{count(written, 'run')} in {output}", soft_wrap=True)


def import_(
    file: Annotated[Path, argument(help="A file that `history export` wrote as json or ndjson.")],
    dry_run: Annotated[bool, option("--dry-run", help="Only say what would be imported.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Add the runs of an exported file. What is here already stays as it is; if anything is wrong, nothing is added."""
    with _database(db, file, dry_run=dry_run) as database:
        imported = import_history(database, file, dry_run=dry_run)
        folder = database.artifacts_dir
    if as_json:
        print_json(
            {
                "imported": imported.runs,
                "below": imported.below,
                "already_here": imported.known,
                "differing": imported.differing,
                "renumbered": imported.renumbered,
                "left_out": imported.left_out,
                "missing_files": imported.missing_files,
                "dry_run": dry_run,
            }
        )
        return
    _print(imported, folder, dry_run=dry_run)


def _print(imported: Imported, folder: Path, *, dry_run: bool) -> None:
    below = f", with {count(imported.below, 'run')} below" if imported.below else ""
    stdout().print(f"{'would import' if dry_run else 'imported'} {count(imported.runs, 'run')}{below}", soft_wrap=True)
    _print_some(
        [f"run {number} of the file is run {here} here" for number, here in imported.renumbered.items()], stdout()
    )
    if imported.known:
        was = "was" if imported.known == 1 else "were"
        stdout().print(f"{count(imported.known, 'run')} {was} here already", soft_wrap=True)
    talk = stderr()
    _print_some([f"run {uid} is not as in the file; it stays as it is here" for uid in imported.differing], talk)
    if imported.left_out:
        things = count(imported.left_out, "reference")
        talk.print(f"left out {things} to what is neither in the file nor here", soft_wrap=True)
    if imported.missing_files and not dry_run:
        said = (
            f"the contents of {count(imported.missing_files, 'file')} are not here: copy them from the other database's"
        )
        talk.print(f"{said} folder .artifacts to {shlex.quote(str(folder))}", soft_wrap=True)


def _print_some(lines: Sequence[str], console: Console) -> None:
    for line in lines[:SHOWN]:
        console.print(line, soft_wrap=True)
    if len(lines) > SHOWN:
        console.print(f"and so for {len(lines) - SHOWN} more; --json has all of them", soft_wrap=True)


@contextmanager
def _database(db: str | None, file: Path, *, dry_run: bool) -> Generator[Database]:
    """The database to import into, which is made if need be, but not for nothing."""
    try:
        database = open_database(db, create=False)
    except DatabaseNotFoundError:
        check_file(file)
        if dry_run:
            with tempfile.TemporaryDirectory() as folder, open_database(Path(folder) / "empty.db") as database:
                yield database
            return
        database = open_database(db)
    with database:
        yield database


def _by_suffix(output: Path | None) -> ExportFormat:
    suffix = "" if output is None else output.suffix.lower().removeprefix(".")
    word = {"jsonl": "ndjson", "pq": "parquet"}.get(suffix, suffix)
    return ExportFormat(word) if word in set(ExportFormat) else ExportFormat.NDJSON


@contextmanager
def _opened(output: Path | None, form: ExportFormat, *, force: bool) -> Generator[BinaryIO]:
    """Where to write: a file that is there when it is whole, or standard output."""
    if output is None:
        if form is ExportFormat.PARQUET and sys.stdout.isatty():
            raise ConfigError("Parquet is nothing for a terminal", hint="name a file: -o history.parquet")
        sys.stdout.flush()
        if sys.stdout.isatty():
            shown = BytesIO()
            yield shown
            sys.stdout.write(printable(shown.getvalue().decode()))
            return
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    check_target(output, force=force)
    with written_whole(output) as file:
        yield file

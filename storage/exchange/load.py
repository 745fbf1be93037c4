"""Reading an exported history into a database: all of a file or, where anything in it is wrong, nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from ...core import FormatError
from ..database import Database, serialise
from .checks import MisfitError
from .files import read_file
from .garbage import seldom_collected
from .rebuild import Imported, Placed, Rebuilder
from .shape import check_document

TOGETHER: Final = 200  # runs that are written at once; a document is never divided


def import_history(database: Database, path: Path, *, dry_run: bool = False) -> Imported:
    """Add the runs of a file that `export_history` wrote as JSON or NDJSON.

    A run that is here already, by its uid, stays as it is with all below it. New ones keep their number where it is
    free. Aliases of models never move; those that are set are promotions, and enter the ledger as such.

    Everything is one transaction, during which nobody else writes to a SQLite database. Of NDJSON no more than some
    documents are held at once.

    Args:
        database: of the newest revision.
        path: the file.
        dry_run: do all of it and take it back.

    Raises:
        ConfigError: there is no such file, or it is of a kind that is not imported.
        FormatError: it is damaged, of a newer version, or at odds with itself or with what is here; where, and how.
    """
    with seldom_collected(), database.write(durable=True) as session:
        serialise(session)
        rebuilder = Rebuilder(database, session, ledger=not dry_run)
        for placed in _together(path):
            rebuilder.add(placed)
        imported = rebuilder.finish()
        if dry_run:
            session.rollback()
    return imported


def _together(path: Path) -> Iterator[Sequence[Placed]]:
    """Checked documents, some at once, none of which hold the same run."""
    group: list[Placed] = []
    uids: set[str] = set()
    for where, raw in read_file(path):
        try:
            document = check_document(raw)
        except MisfitError as exc:
            raise FormatError(f"{where}: {exc}", hint="the file was altered, or made by something else") from exc
        new = {run["uid"] for run in document["runs"]}
        if group and (len(uids) + len(new) > TOGETHER or not new.isdisjoint(uids)):
            yield group
            group, uids = [], set()
        group.append(Placed(where, document, cast("Mapping[str, Any]", raw)))
        uids |= new
    if group:
        yield group

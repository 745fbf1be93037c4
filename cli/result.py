"""What a command prints when the run it started is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..storage import RunRecord
from .describe import describe
from .library import open_history
from .options import with_db
from .output import Format, print_json, print_rows, print_table, show, stdout


def print_result(
    run: RunRecord,
    rows: Sequence[Mapping[str, object]],
    columns: Mapping[str, str],
    fmt: Format,
    *,
    title: str,
    closing: Sequence[str],
    more: str | None = None,
    db: str | None,
) -> None:
    """A finished run: a table and closing lines for people, its rows as CSV, all the history knows of it as JSON.

    Args:
        run: the finished run.
        rows: its trials or rounds.
        columns: field of a row -> heading of the table.
        fmt: how to print.
        title: of the table.
        closing: lines after the table.
        more: the command that tells more; by default that which shows the run.
        db: the database as the user named it.
    """
    if fmt in {Format.JSON, Format.NDJSON}:
        with open_history(db) as history:
            print_json(describe(history, run), indent=2 if fmt is Format.JSON else None)
    elif fmt is not Format.TABLE:
        print_rows(rows, columns, fmt)
    else:
        print_table([*columns.values()], [[show(row[name]) for name in columns] for row in rows], title=title)
        last = f"more: {with_db(more or f'history show {run.number}', db)}"
        stdout().print("\n".join(["", *closing, last]), soft_wrap=True)

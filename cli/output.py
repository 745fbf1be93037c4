"""Results on stdout: tables for people, JSON, CSV and TSV for programs."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from rich.cells import cell_len, set_cell_size
from rich.console import Console

PIPE_WIDTH = 160  # columns where nobody says how wide the terminal is
MIN_CELL = 6  # columns that a cell of a table keeps, however narrow the terminal
_SPARKS = "▁▂▃▄▅▆▇█"


class Format(StrEnum):
    """How to print. A table is for people; where it goes into a pipe it is TSV."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    TSV = "tsv"


def stdout() -> Console:
    """The console results go to; never cut off where it is a pipe."""
    return Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def stderr() -> Console:
    """The console everything else goes to."""
    return Console(stderr=True, markup=False, highlight=False)


def print_json(value: object) -> None:
    """One JSON document; figures JSON has no number for are the texts "NaN", "Infinity" and "-Infinity"."""
    sys.stdout.write(json.dumps(jsonable(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def print_separated(rows: Iterable[Mapping[str, object]], columns: Sequence[str], *, tabs: bool = False) -> None:
    """A header and one line per row; numbers in full. CSV, or TSV, in which a tab or line end in a text is a blank."""
    if tabs:
        lines = ([_plain(row[name]) for name in columns] for row in rows)
        for line in ([*columns], *lines):
            sys.stdout.write("\t".join(re.sub(r"[\t\r\n]+", " ", cell) for cell in line) + "\n")
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_plain(row[name]) for name in columns])


def print_rows(
    rows: Sequence[Mapping[str, object]],
    columns: Mapping[str, str],
    fmt: Format,
    *,
    title: str = "",
    table: Callable[[], None] | None = None,
) -> None:
    """The same rows in any format.

    Args:
        rows: one mapping each.
        columns: field of a row -> heading in the table.
        fmt: how to print.
        title: over the table.
        table: prints the table for people where it is to be another one than that of `columns`.
    """
    if fmt is Format.JSON:
        print_json(list(rows))
    elif fmt is Format.NDJSON:
        for row in rows:
            sys.stdout.write(json.dumps(jsonable(row), allow_nan=False, ensure_ascii=False) + "\n")
    elif fmt is Format.CSV:
        print_separated(rows, list(columns))
    elif fmt is Format.TSV or not sys.stdout.isatty():
        print_separated(rows, list(columns), tabs=True)
    elif table is not None:
        table()
    else:
        print_table([*columns.values()], [[show(row[name]) for name in columns] for row in rows], title=title)


def print_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    optional: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> None:
    """Aligned columns, the first to the left and the others to the right.

    On a terminal the table fits its width: columns of the headings `optional` are left out, the last of them first,
    then the widest are cut off in the middle, but for those of the headings `whole`. In a pipe nothing is.
    """
    keep = list(range(len(headings)))
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    cells = [headings, *rows]
    if sys.stdout.isatty():
        room = stdout().width
        for name in reversed(optional):
            if _width([widths[i] for i in keep]) > room and name in headings:
                keep.remove(headings.index(name))
        flexible = [i for i in keep if headings[i] not in whole]
        while _width([widths[i] for i in keep]) > room and max((widths[i] for i in flexible), default=0) > MIN_CELL:
            widest = max(flexible, key=lambda i: widths[i])
            widths[widest] -= 1
        cells = [[shorten(cell, width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    lines = [_aligned([row[i] for i in keep], [widths[i] for i in keep]) for row in cells]
    sys.stdout.write("\n".join([title, *lines] if title else lines) + "\n")


def shorten(text: str, width: int) -> str:
    """A text in at most `width` columns, cut off in the middle."""
    if cell_len(text) <= width:
        return text
    left = (width - 1) // 2
    right = width - 1 - left
    return f"{set_cell_size(text, left)}…{text[len(text) - right :] if right else ''}"


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = ((" " * (width - cell_len(cell)), cell) for cell, width in zip(row, widths, strict=True))
    return "  ".join(["".join(reversed(first)), *("".join(part) for part in others)]).rstrip()


def count(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def show(value: object) -> str:
    """A value for people."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        if value and abs(value) < 1e-3:
            return f"{value:.3g}"
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 10 else f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M")
    return str(value)


def duration(seconds: float | None) -> str:
    """Seconds for people."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def sparkline(values: Sequence[float], *, width: int = 40) -> str:
    """A curve in one line of characters; values that are not finite are left out."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    if len(finite) > width:
        finite = [finite[i * len(finite) // width] for i in range(width)]
    low, high = min(finite), max(finite)
    span = (high - low) or 1.0
    return "".join(_SPARKS[round((value - low) / span * (len(_SPARKS) - 1))] for value in finite)


def jsonable(value: object) -> Any:
    """What JSON can say of a value; see `print_json`."""
    if isinstance(value, float):
        return value if math.isfinite(value) else _special(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in cast(Mapping[object, object], value).items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in cast(Sequence[object], value)]
    return value


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _plain(value: object) -> str:
    """A cell of CSV or TSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    plain = jsonable(value)
    return json.dumps(plain, ensure_ascii=False) if isinstance(plain, dict | list) else str(plain)

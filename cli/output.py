"""Results on stdout: rich tables for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from rich.cells import cell_len
from rich.console import Console

PIPE_WIDTH = 160  # columns where nobody says how wide the terminal is
_SPARKS = "▁▂▃▄▅▆▇█"


class Format(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def stdout() -> Console:
    """The console results go to; never cut off where it is a pipe."""
    return Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def stderr() -> Console:
    """The console everything else goes to."""
    return Console(stderr=True, markup=False, highlight=False)


def print_json(value: object) -> None:
    """One JSON document. What JSON cannot say becomes null: it has no NaN and no infinities."""
    sys.stdout.write(json.dumps(_jsonable(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def print_csv(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """A header and one line per row; numbers in full."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if row[name] is None else _jsonable(row[name]) for name in columns])


def print_rows(
    rows: Sequence[Mapping[str, object]], columns: Mapping[str, str], fmt: Format, *, title: str = ""
) -> None:
    """The same rows in any format; `columns` maps a field of the rows to its heading in the table."""
    if fmt is Format.JSON:
        print_json(list(rows))
    elif fmt is Format.CSV:
        print_csv(rows, list(columns))
    else:
        print_table([*columns.values()], [[show(row[name]) for name in columns] for row in rows], title=title)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Aligned columns, the first to the left and the others to the right; never cut off."""
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [_aligned(row, widths) for row in (headings, *rows)]
    sys.stdout.write("\n".join([title, *lines] if title else lines) + "\n")


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
    if isinstance(value, float):
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


def _jsonable(value: object) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in cast(Mapping[object, object], value).items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in cast(Sequence[object], value)]
    return value

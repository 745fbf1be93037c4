"""Results on stdout: tables for people, JSON, CSV and TSV for programs."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, cast

from rich.cells import get_character_cell_size
from rich.console import Console
from rich.text import Text

PIPE_WIDTH = 160  # columns where nobody says how wide the terminal is
MIN_WIDTH = 20  # columns a terminal is taken to have, whatever it says
MIN_PROSE = 20  # columns that sentences in a table keep
MIN_CELL = 6  # columns that a cell of a table keeps, however narrow the terminal
_SPARKS = "▁▂▃▄▅▆▇█"
_EMOJI = "\ufe0f"  # shows the letter before it as an emoji, which is a column wider
# What could move the cursor, colour the terminal or turn its text around; and half surrogate pairs, which are no text.
_UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPED = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")  # of those and below, what JSON lets stand
_BREAKS = re.compile("[\t-\r\x1c-\x1e\x85\u2028\u2029]+")  # tabs, and all that somebody takes for the end of a line


class Format(StrEnum):
    """How to print. A table is for people; where it goes into a pipe it is TSV."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    TSV = "tsv"


class _SafeConsole(Console):
    """A console on which texts are letters and nothing else: no markup, no emoji, no sequence that controls it."""

    def render_str(self, text: str, **options: Any) -> Text:
        """What `print` makes of a text."""
        return super().render_str(printable(text), **options)


def stdout() -> Console:
    """The console results go to; never cut off where it is a pipe."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return _SafeConsole(markup=False, emoji=False, highlight=False, width=width)


def stderr() -> Console:
    """The console everything else goes to."""
    return _SafeConsole(stderr=True, markup=False, emoji=False, highlight=False)


def printable(text: str) -> str:
    """A text that can do nothing to a terminal but end lines: what else would is a replacement character."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def print_json(value: object, *, indent: int | None = 2) -> None:
    """One JSON document; figures JSON has no number for are the texts "NaN", "Infinity" and "-Infinity"."""
    text = json.dumps(jsonable(value), indent=indent, allow_nan=False, ensure_ascii=False)
    sys.stdout.write(_ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def print_separated(rows: Iterable[Mapping[str, object]], columns: Sequence[str], *, tabs: bool = False) -> None:
    """A header and one line per row; numbers in full. CSV, or TSV, in which a tab or line end in a text is a blank."""
    seen: Callable[[str], str] = printable if sys.stdout.isatty() else str
    lines = ([_plain(row[name]) for name in columns] for row in rows)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for line in ([*columns], *lines):
        if tabs:
            sys.stdout.write("\t".join(seen(_BREAKS.sub(" ", cell)) for cell in line) + "\n")
        else:
            writer.writerow(map(seen, line))


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
            print_json(row, indent=None)
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
    left: Sequence[str] = (),
    prose: bool = False,
) -> None:
    """Print a table; see `table_lines`."""
    lines = table_lines(headings, rows, title=title, optional=optional, whole=whole, left=left, prose=prose)
    sys.stdout.write("\n".join(lines) + "\n")


def table_lines(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    optional: Sequence[str] = (),
    whole: Sequence[str] = (),
    left: Sequence[str] = (),
    prose: bool = False,
) -> list[str]:
    """Aligned columns, the first and those of the headings `left` to the left, the others to the right.

    On a terminal the table fits its width: columns of the headings `optional` are left out, the last of them first,
    then the widest are cut off in the middle, but for those of the headings `whole`, and where not even that is enough,
    the lines at their end. In a pipe nothing is.

    With `prose` the last column is of sentences: it is to the left, and goes on in further lines where it has no room.
    """
    if prose:
        return _with_prose(headings, rows, title=title)
    cells = [[printable(_BREAKS.sub(" ", cell)) for cell in row] for row in (headings, *rows)]
    keep = list(range(len(headings)))
    widths = [max(map(_cells, column)) for column in zip(*cells, strict=True)]
    room = max(stdout().width, MIN_WIDTH) if sys.stdout.isatty() else None
    if room is not None:
        for name in reversed(optional):
            if _width([widths[i] for i in keep]) > room:
                keep = [i for i in keep if headings[i] != name]
        flexible = [i for i in keep if headings[i] not in whole]
        for i in flexible:
            widths[i] = min(widths[i], room)
        while _width([widths[i] for i in keep]) > room and max((widths[i] for i in flexible), default=0) > MIN_CELL:
            widest = max(flexible, key=lambda i: widths[i])
            widths[widest] -= 1
    lines = textwrap.wrap(title, room or PIPE_WIDTH)
    to_left = [place == 0 or headings[i] in left for place, i in enumerate(keep)]
    for row in cells:
        line = _aligned([(shorten(row[i], widths[i]), widths[i]) for i in keep], to_left)
        lines.append(line if room is None else shorten(line, room, tail=False))
    return lines


def _with_prose(headings: Sequence[str], rows: Sequence[Sequence[str]], *, title: str) -> list[str]:
    """See `table_lines`."""
    *narrow, last = headings
    before = table_lines(narrow, [row[:-1] for row in rows])
    indent = max(map(_cells, before)) + 2
    room = max(MIN_PROSE, stdout().width - indent) if sys.stdout.isatty() else None
    lines = textwrap.wrap(title, room or PIPE_WIDTH)
    for start, cell in zip(before, [last, *(row[-1] for row in rows)], strict=True):
        text = printable(_BREAKS.sub(" ", cell))
        parts = [text] if room is None else textwrap.wrap(text, room, break_on_hyphens=False) or [""]
        for place, part in enumerate(parts):
            margin = start if place == 0 else ""
            lines.append(f"{margin}{' ' * (indent - _cells(margin))}{part}".rstrip())
    return lines


def wrapped(text: str) -> str:
    """A sentence in lines of the terminal's width, those after the first indented more; one line in a pipe."""
    if not sys.stdout.isatty():
        return text
    width = max(stdout().width, MIN_WIDTH)
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    return "\n".join(textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)) or text


def shorten(text: str, width: int, *, tail: bool = True) -> str:
    """A text in at most `width` columns, cut off in the middle, or at the end if it is to have no `tail`."""
    if _cells(text) <= width:
        return text
    right = width // 2 if tail else 0
    end = _first(text[::-1], right)[::-1] if right else ""
    return f"{_first(text, width - 1 - right)}…{end}"


def _first(text: str, width: int) -> str:
    """The letters that `width` columns have room for."""
    used = 0
    for i, letter in enumerate(text):
        used += _cells(letter)
        if used > width:
            return text[:i]
    return text


def _cells(text: str) -> int:
    """Columns of a text, at most: letters that some terminals join to one are counted one by one."""
    if text.isascii():
        return len(text)
    return sum(1 if letter == _EMOJI else get_character_cell_size(letter) for letter in text)


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _aligned(cells: Sequence[tuple[str, int]], to_left: Sequence[bool]) -> str:
    """A line of texts and the widths of their columns."""
    blanks = [" " * (width - _cells(text)) for text, width in cells]
    parts = zip(cells, blanks, to_left, strict=True)
    return "  ".join(text + blank if left else blank + text for (text, _), blank, left in parts).rstrip()


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
        if value and not 1e-3 <= abs(value) < 1e15:
            return f"{value:.3g}"
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 10 else f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M")
    return value.hex() if isinstance(value, bytes) else str(value)


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
    if math.isinf(high - low):
        return sparkline([value / 2 for value in finite], width=width)
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
    if isinstance(value, Decimal):
        whole = value.is_finite() and abs(value) < 2**63 and value == value.to_integral_value()
        return int(value) if whole else jsonable(float(value))
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, str | int) else str(value)


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

"""CSV and Parquet tables, read by polars. Every message names the file, and the row and the column if there are any."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from ..errors import DataError
from .columns import RawColumn

PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
_FIRST_BYTES = 65_536


@dataclass(frozen=True, eq=False)
class Table:
    """A table as it was read.

    Attributes:
        source: the file, as the user named it.
        frame: its columns.
        rows: the number of each row in the file, counted from 1 below a header, shape (N,), int64.
        named: whether the file names its columns; otherwise they are column_1, column_2, ...
    """

    source: str
    frame: pl.DataFrame
    rows: np.ndarray
    named: bool

    @property
    def names(self) -> list[str]:
        """Of the columns, in the file's order."""
        return self.frame.columns

    def column(self, name: str) -> RawColumn:
        """One column, in types of NumPy."""
        series = self.frame[name]
        if isinstance(series.dtype, pl.Categorical | pl.Enum):
            series = series.cast(pl.String)  # polars orders an Enum by rank; classes are ordered by name
        if series.dtype == pl.String:
            return RawColumn(self.source, name, _objects(series), self.rows)
        if series.dtype.is_numeric() or series.dtype == pl.Boolean:
            wide = series.dtype == pl.Int128 or series.dtype == pl.UInt128  # NumPy has no such integers
            native = series.dtype == pl.Boolean or (series.dtype.is_integer() and not wide)
            exact = native and not series.null_count()
            return RawColumn(self.source, name, (series if exact else series.cast(pl.Float64)).to_numpy(), self.rows)
        readable = series.dtype.is_temporal() or series.dtype == pl.Null
        values = _objects(series) if readable else np.zeros(len(series), "V1")
        return RawColumn(self.source, name, values, self.rows, foreign=_example(series))


def read_table(path: Path, *, known: Collection[str] = (), text: Collection[str] = ()) -> Table:
    """Read a CSV (by `.csv`, `.tsv`, `.txt`) or Parquet file; rows of a CSV without any value are left out.

    A CSV is separated by what its first line holds most of: commas, semicolons or tabs. One whose first line is all
    numbers has no header, unless it names all `known` columns; its columns are called column_1, column_2, ...

    Args:
        path: the file.
        known: columns that a header would name.
        text: columns to read as text although they look like numbers, so that 007 stays what it is.

    Raises:
        DataError: the file cannot be parsed, rows differ in length, two columns share a name, or there are no rows.
    """
    try:
        if path.suffix.lower() in PARQUET_SUFFIXES:
            frame = pl.read_parquet(path, glob=False)
            table = Table(str(path), frame, np.arange(1, frame.height + 1), named=True)
        else:
            table = _read_csv(path, known, text)
    except (pl.exceptions.PolarsError, csv.Error, OSError, UnicodeDecodeError) as exc:
        reason = str(exc).strip().splitlines()
        raise DataError(
            f"{path}: cannot be read as a table: {reason[0] if reason else type(exc).__name__}",
            hint="save it as UTF-8 text with a decimal point, or as Parquet",
        ) from exc
    if table.frame.is_empty():
        raise DataError(f"{path}: there are no rows")
    return table


def _read_csv(path: Path, known: Collection[str], text: Collection[str]) -> Table:
    separator, blank_lines = _first_line(path)
    # Not by polars: it renames equal names, and numbers of a first row are often equal.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(islice(file, blank_lines, None), delimiter=separator)
        cells = [cell.strip() for cell in next(reader, list[str]())]
    filled = [cell for cell in cells if cell]
    named = not all(_is_number(cell) for cell in filled) or (bool(known) and set(known) <= set(filled))
    names = cells if named else [f"column_{place + 1}" for place in range(len(cells))]
    _check_header(path, names)
    if any(map(_undecoded, names)) and (error := _find_bad_row(path, separator, blank_lines, names, named=named)):
        raise error  # polars would not look at names it is given
    try:
        frame = pl.read_csv(
            path,
            separator=separator,
            skip_lines=blank_lines,
            has_header=named,
            new_columns=names,
            schema_overrides={name: pl.String for name in names if name in text},
            infer_schema_length=None,
            glob=False,
        )
    except pl.exceptions.PolarsError as exc:
        raise _find_bad_row(path, separator, blank_lines, names, named=named) or exc from exc
    some = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series().to_numpy()
    rows = np.flatnonzero(some) + 1
    frame = frame.filter(some)
    # polars fills up rows that are too short: they end in a missing value, which then is none.
    short = bool(len(names) > 1 and frame[names[-1]].null_count())
    if short and (error := _find_bad_row(path, separator, blank_lines, names, named=named)):
        raise error
    return Table(str(path), frame, rows, named)


def _first_line(path: Path) -> tuple[str, int]:
    """The separator, and how many lines without a character come before the first that holds some."""
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_FIRST_BYTES), b"")):
            if line.strip():
                return max(",;\t", key=lambda character: line.count(character.encode())), number
    return ",", 0


def _check_header(path: Path, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            places = ", ".join(str(place + 1) for place, other in enumerate(names) if other == name)
            said = f"have the same name {name!r}" if name else "have no name"
            raise DataError(f"{path}: columns {places} {said}", hint="give every column a name of its own")


def _find_bad_row(
    path: Path, separator: str, blank_lines: int, names: Sequence[str], *, named: bool
) -> DataError | None:
    """What is wrong with the first row that is not UTF-8, or not as wide as the first: polars says no place."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(islice(file, blank_lines, None), delimiter=separator)
        try:
            for number, cells in enumerate(reader, start=0 if named else 1):
                line = reader.line_num + blank_lines
                place = f"row {number} (line {line})" if number else f"the header in line {line}"
                where = f"{path}: cannot be read as a table: {place}"
                for name, cell in zip(names, cells, strict=False):
                    if _undecoded(cell):
                        return DataError(
                            f"{where}, column {name!r}: expected UTF-8 text, got the bytes "
                            f"{cell.encode('utf-8', 'surrogateescape')[:20]!r}",
                            hint="save the file as UTF-8",
                        )
                if cells and len(cells) != len(names):
                    return DataError(
                        f"{where}: expected {len(names)} values, got {len(cells)}",
                        hint="check for a separator in a text without quotes, and whether the file was cut off",
                    )
        except csv.Error:
            return None
    return None


def _undecoded(text: str) -> bool:
    """Whether bytes were no UTF-8 when they were read with "surrogateescape"."""
    return any("\udc80" <= character <= "\udcff" for character in text)


def _objects(series: pl.Series) -> np.ndarray:
    values = np.empty(len(series), object)
    values[:] = [None if value is None else str(value) for value in series.to_list()]
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _example(column: pl.Series) -> str:
    values = [repr(value) for value in column.drop_nulls().head(2).to_list()]
    return f"{column.dtype} such as {', '.join(values)}" if values else f"{column.dtype}, all missing"

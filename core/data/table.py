"""CSV and Parquet tables, read by polars. Every message names the file, the column and the first bad row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from ..errors import ConfigError, DataError

MISSING = ("", "na", "n/a", "nan", "null", "none")  # words for a value that is not there
MAX_CLASSES_OF_FLOATS = 20  # whole numbers stored as floats may still be classes; a measurement has more values


def read_table(path: Path, known: Collection[str] = ()) -> pl.DataFrame:
    """Read a CSV (by `.csv`, `.tsv`, `.txt`) or Parquet file; rows without any value are left out.

    A CSV is separated by what its first line holds most of: commas, semicolons or tabs. One whose first line is all
    numbers has no header, unless it names all `known` columns; its columns are called column_1, column_2, ...

    Raises:
        DataError: the file cannot be parsed, or holds no rows.
    """
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            table = pl.read_parquet(path, glob=False)
        else:
            separator = _separator(path)
            # As text and without names: polars renames equal names, and numbers of a first row are often equal.
            first = pl.read_csv(path, separator=separator, has_header=False, n_rows=1, infer_schema=False, glob=False)
            cells = [str(cell).strip() for cell in first.row(0) if cell is not None]
            named = not all(_is_number(cell) for cell in cells) or (bool(known) and set(known) <= set(cells))
            table = pl.read_csv(path, separator=separator, has_header=named, infer_schema_length=None, glob=False)
            table.columns = [name.strip() if named else f"column_{i + 1}" for i, name in enumerate(table.columns)]
            table = table.filter(~pl.all_horizontal(pl.all().is_null()))
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as exc:
        reason = str(exc).strip().splitlines()
        raise DataError(
            f"{path}: cannot be read as a table: {reason[0] if reason else type(exc).__name__}",
            hint="save it as UTF-8 text with a decimal point, or as Parquet",
        ) from exc
    if table.is_empty():
        raise DataError(f"{path}: there are no rows")
    return table


def numeric_columns(table: pl.DataFrame, names: Sequence[str], source: str) -> np.ndarray:
    """Some columns as float64, shape (rows, columns): 32 bits would blur large numbers such as times.

    Raises:
        DataError: a column holds text, dates, missing values, or numbers beyond the range of float32.
    """
    columns: list[np.ndarray] = []
    for name in names:
        column = table[name]
        if column.dtype == pl.String:
            # One stray word makes a whole column text: find it.
            numbers = column.str.strip_chars().cast(pl.Float64, strict=False)
            stray = numbers.is_null() & ~column.str.strip_chars().str.to_lowercase().is_in(MISSING).fill_null(
                value=True
            )
            if stray.any():
                row = int(stray.arg_max() or 0)
                raise DataError(
                    f"{source}: column {name!r} is not numeric: row {row + 1} holds {column[row]!r}",
                    hint="encode the column as numbers, or drop it",
                )
            column = numbers
        if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
            raise DataError(
                f"{source}: column {name!r} is not numeric: expected numbers, got {_example(column)}",
                hint="encode the column as numbers, or drop it",
            )
        bad = ~column.cast(pl.Float32).is_finite().fill_null(value=False)
        if bad.any():
            row = int(bad.arg_max() or 0)
            raise DataError(
                f"{source}: column {name!r} is missing or not finite in row {row + 1}: got {column[row]}",
                hint="fill or drop missing values first",
            )
        columns.append(column.cast(pl.Float64).to_numpy())
    return np.column_stack(columns)


def target_column(table: pl.DataFrame, target: str | None, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels, shape (rows,) int64, and class names in sorted order.

    Raises:
        ConfigError: no target was named, or there is no such column.
        DataError: values are missing, or the target is a measurement and not a class.
    """
    if target is None or target not in table.columns:
        known = ", ".join(table.columns[:8]) + (", ..." if len(table.columns) > 8 else "")
        said = "no target column was named" if target is None else f"there is no column {target!r}"
        raise ConfigError(f"{source}: {said}; its columns are {known}", hint="name one with --target COLUMN")
    column = table[target]
    if column.null_count():
        row = int(column.is_null().arg_max() or 0)
        raise DataError(f"{source}: the target {target!r} is missing in row {row + 1}", hint="drop such rows first")
    if column.dtype.is_float():
        values = column.to_numpy()
        whole = np.isfinite(values).all() and (np.abs(values) < 2**53).all() and not (values % 1).any()
        if not whole or column.n_unique() > MAX_CLASSES_OF_FLOATS:
            raise DataError(
                f"{source}: the target {target!r} looks like a measurement ({_example(column)}); "
                "expected classes: text, whole numbers or booleans",
                hint="choose another target, or bin it into classes; regression is not supported yet",
            )
        column = column.cast(pl.Int64)
    elif isinstance(column.dtype, pl.Categorical | pl.Enum):
        column = column.cast(pl.String)  # polars orders an Enum by rank; classes are ordered by name
    elif column.dtype.is_nested():
        raise DataError(f"{source}: the target {target!r} holds no classes: got {_example(column)}")
    classes = column.unique().sort()
    labels = np.searchsorted(classes.to_numpy(), column.to_numpy()).astype(np.int64)
    return labels, tuple(str(value) for value in classes.to_list())


def _separator(path: Path) -> str:
    with path.open("rb") as file:
        first = file.readline(65_536)
    return max(",;\t", key=lambda character: first.count(character.encode()))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _example(column: pl.Series) -> str:
    values = [repr(value) for value in column.drop_nulls().head(2).to_list()]
    return f"{column.dtype} such as {', '.join(values)}" if values else f"{column.dtype}, all missing"

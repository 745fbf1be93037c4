"""Runs and curves as tables, for whichever of Polars, pandas and Arrow is installed, and as CSV and Parquet files."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from ..core import MissingExtraError
from .records import RunRecord

if TYPE_CHECKING:
    import polars

RUN_FIELDS: Final[Mapping[str, type]] = {
    "uid": str,
    "number": int,
    "kind": str,
    "state": str,
    "name": str,
    "experiment": str,
    "seed": int,
    "parent": str,
    "started": datetime,
    "ended": datetime,
    "seconds": float,
    "deleted": datetime,
    "error": str,
}
_INT64: Final = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Frame:
    """Named columns of one length; every value a text, a number, a truth value, an aware time or None.

    Outside Python a column has one type. Numbers of both kinds become floats; anything else that is mixed, and whole
    numbers beyond 64 bits, become text.

    Attributes:
        columns: the values by name.
        types: what a column without any value would hold: text where it is not said.
    """

    columns: Mapping[str, Sequence[Any]]
    types: Mapping[str, type] = field(default_factory=dict[str, type])

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows as dictionaries."""
        names = list(self.columns)
        for values in zip(*self.columns.values(), strict=True):
            yield dict(zip(names, values, strict=True))

    def to_polars(self) -> polars.DataFrame:
        """A Polars DataFrame; times are UTC, in microseconds; NaN is a number, and None is null."""
        import polars

        dtypes: Mapping[type, Any] = {
            bool: polars.Boolean,
            int: polars.Int64,
            float: polars.Float64,
            str: polars.String,
            datetime: polars.Datetime("us", "UTC"),
        }
        uniform = {name: _of_one_type(values, self.types.get(name, str)) for name, values in self.columns.items()}
        return polars.DataFrame([polars.Series(name, values, dtypes[of]) for name, (of, values) in uniform.items()])

    def to_arrow(self) -> Any:
        """An Arrow table; as `to_polars`."""
        import importlib.util

        if importlib.util.find_spec("pyarrow") is None:
            raise MissingExtraError("an Arrow table", "arrow")
        return cast(Any, self.to_polars()).to_arrow()  # its annotation needs the library

    def to_pandas(self) -> Any:
        """A pandas DataFrame. None is NaN among floats, which is what pandas makes of it; whole numbers stay whole."""
        try:
            import pandas  # pyright: ignore[reportMissingTypeStubs, reportMissingImports]
        except ModuleNotFoundError as exc:
            raise MissingExtraError("a pandas frame", "pandas") from exc
        series: dict[str, Any] = {}
        for name, values in self.columns.items():
            of, uniform = _of_one_type(values, self.types.get(name, str))
            dtype: Any = {float: "float64", datetime: "datetime64[us, UTC]", str: None if uniform else "object"}.get(of)
            if of in {bool, int}:
                nullable = None in uniform
                dtype = {bool: "boolean" if nullable else "bool", int: "Int64" if nullable else "int64"}[of]
            series[name] = pandas.Series(uniform, dtype=dtype)
        return pandas.DataFrame(series)


def write_parquet(file: BinaryIO, frames: Iterable[Frame]) -> None:
    """Write frames of the same columns as one Parquet file, with the types of `to_polars`, which must agree."""
    import polars

    polars.concat([frame.to_polars() for frame in frames], rechunk=False).write_parquet(file)


class CsvWriter:
    """Writes frames of the same columns to one CSV file, a header and one line per row.

    Floats are written in full and read back as what they were; NaN and infinities are NaN, Infinity and -Infinity;
    times are ISO 8601, UTC; None is an empty cell.

    Args:
        file: stays the caller's.
        columns: their names.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        self._columns = columns
        self._text = TextIOWrapper(file, encoding="utf-8", newline="")
        self._writer = csv.writer(_Lines(self._text), lineterminator=_END)
        self._writer.writerow(columns)

    def write(self, frame: Frame) -> None:
        """Add the rows of a frame."""
        cells = [_cells(frame.columns[name]) for name in self._columns]
        self._writer.writerows(zip(*cells, strict=True))

    def finish(self) -> None:
        """Hand what is buffered to the file; nothing is written after it."""
        self._text.flush()
        self._text.detach()


_END: Final = "\r\n"  # `csv` quotes only those line ends that it writes itself


class _Lines:
    """Where `csv` writes its rows, each by one call; in the file they end with a newline."""

    def __init__(self, text: TextIOWrapper) -> None:
        self._text = text

    def write(self, row: str) -> int:
        return self._text.write(f"{row.removesuffix(_END)}\n")


def runs_frame(runs: Sequence[RunRecord], *, names: Mapping[str, Collection[str]] | None = None) -> Frame:
    """One row per run: its fields, then `metric.*`, `param.*` and `tag.*`; None where a run has none of that name.

    Args:
        runs: in the order of the rows.
        names: of the metrics ("metric"), parameters ("param") and tags ("tag") that have a column; by default those
            that a run has.
    """
    columns: dict[str, list[Any]] = {name: [getattr(run, name) for run in runs] for name in RUN_FIELDS}
    for prefix, of in _NAMED.items():
        named = [of(run) for run in runs]
        chosen = {name for values in named for name in values} if names is None else names[prefix]
        for name in sorted(chosen):
            columns[f"{prefix}.{name}"] = [values.get(name) for values in named]
    return Frame(columns, RUN_FIELDS)


_NAMED: Final[Mapping[str, Callable[[RunRecord], Mapping[str, Any]]]] = {
    "metric": lambda run: run.metrics,
    "param": lambda run: run.params,
    "tag": lambda run: run.tags,
}


def _types_of(values: Sequence[Any]) -> set[type]:
    return set(map(type, values)) - {type(None)}


def _of_one_type(values: Sequence[Any], empty: type) -> tuple[type, Sequence[Any]]:
    """The type that all values of a column can have, and the values in it."""
    types = _types_of(values)
    if not types:
        return empty, values
    if types == {int} and all(value is None or value in _INT64 for value in values):
        return int, values
    if types == {int, float}:
        return float, [None if value is None else float(value) for value in values]
    if types == {datetime}:
        return datetime, [None if value is None else value.astimezone(UTC) for value in values]
    if len(types) == 1 and (of := next(iter(types))) in {bool, float, str}:
        return of, values
    return str, [None if value is None else str(_cell(value)) for value in values]


def _cells(values: Sequence[Any]) -> Sequence[Any]:
    """A column as `csv` writes it: floats by their `repr`, None as nothing."""
    types = _types_of(values)
    if types <= {int, str} or (types <= {int, str, float} and all(map(_is_plain, values))):
        return values
    return [_cell(value) for value in values]


def _is_plain(value: Any) -> bool:
    return type(value) is not float or math.isfinite(value)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value

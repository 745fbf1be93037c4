"""Points of curves and the one-row summary of each curve, kept equal in the same transaction, on both engines.

Writing the same points twice leaves what writing them once does, so a batch whose commit was in doubt is just written
again. The rows go to the driver by `exec_driver_sql`: SQLAlchemy's own insert costs five times as much a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import lt
from typing import Any, Final, cast

import numpy as np
from sqlalchemy import Connection, TextClause, bindparam, select, text
from sqlalchemy.orm import Session

from .models import Metric, to_column
from .upsert import put_rows

Point = tuple[int, float | None, int | None]  # step, value as in the column, milliseconds since the run started
Curves = Mapping[tuple[int, int], Sequence[Point]]  # key of the run and of the name -> points

# The table's columns in their order; a step that is there is replaced.
_REPLACE: Final = "ON CONFLICT (run_id, name_id, step) DO UPDATE SET value = excluded.value, at_ms = excluded.at_ms"
_INSERT: Final = "INSERT INTO nst_metric_point (run_id, name_id, step, value, at_ms)"
_SQLITE_ROWS: Final = 180  # in one statement: 900 parameters, of 999 that old versions take
_POSTGRESQL_INSERT: Final = (  # one statement for a batch: executemany is four times slower, COPY knows no conflicts
    f"{_INSERT} SELECT * FROM unnest("  # noqa: S608 - our own constants
    "%s::bigint[], %s::bigint[], %s::bigint[], %s::double precision[], %s::bigint[])"
    f" {_REPLACE}"
)
_READ: Final = text(
    "SELECT step, coalesce(value, 'NaN'), coalesce(cast(at_ms AS double precision), 'NaN') FROM nst_metric_point"
    " WHERE run_id = :run AND name_id = :name ORDER BY step"
)
_READ_SYSTEM: Final = text(
    "SELECT at_ms, coalesce(value, 'NaN') FROM nst_system_point WHERE run_id = :run AND name_id = :name ORDER BY at_ms"
)
_SYSTEM_ROW: Final = np.dtype([("at_ms", np.int64), ("value", np.float64)])
_ROW: Final = np.dtype([("step", np.int64), ("value", np.float64), ("at_ms", np.float64)])


@dataclass(frozen=True, slots=True)
class _Summary:
    """The summing columns of a row of `nst_metric`."""

    points: int
    first_step: int
    last_step: int
    last: float | None
    min: float | None
    min_step: int | None
    max: float | None
    max_step: int | None


def put_points(session: Session, curves: Curves) -> None:
    """Write points and bring the summaries up to date; a point whose step is there is replaced.

    Args:
        session: of a write transaction that holds the runs against other writers: every one of SQLite does, on
            PostgreSQL their rows are locked.
        curves: in any order; of two points of a step the later one counts.
    """
    ordered = {key: _in_order(points) for key, points in sorted(curves.items()) if points}
    if not ordered:
        return
    connection = session.connection()
    _insert(connection, ordered)
    known = _read_summaries(session, ordered)
    rows: list[dict[str, Any]] = []
    for (run_id, name_id), points in ordered.items():
        before = known.get((run_id, name_id))
        if before is None or points[0][0] > before.last_step:
            summary = _extend(before, points)
        else:  # steps that were there may have been replaced: no sum of sums tells what is gone
            summary = _summarise(_read(connection, run_id, name_id))
        row = {name: getattr(summary, name) for name in _Summary.__slots__}
        rows.append({"run_id": run_id, "name_id": name_id, "value": summary.last, "reported": False, **row})
    put_rows(session, Metric, rows, keep={"value": Metric.reported, "reported": Metric.reported})


def put_figures(session: Session, figures: Mapping[tuple[int, int], float]) -> None:
    """Write the figures that runs are ended with, by the keys of the run and of the name; the summaries of their curves
    stay.
    """
    rows = [
        {"run_id": run_id, "name_id": name_id, "value": to_column(value), "reported": True, "points": 0}
        for (run_id, name_id), value in sorted(figures.items())
    ]
    put_rows(session, Metric, rows, only=("value", "reported"))


def read_points(connection: Connection, run_id: int, name_id: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A whole curve: steps (int64), values (float64) and milliseconds since the start (float64, NaN: not known)."""
    rows = _read(connection, run_id, name_id)
    return rows["step"].copy(), rows["value"].copy(), rows["at_ms"].copy()


def read_system_points(connection: Connection, run_id: int, name_id: int) -> tuple[np.ndarray, np.ndarray]:
    """One curve of the machine: milliseconds since the run's start (int64) and values (float64)."""
    rows = _fetch(connection, _READ_SYSTEM, run_id, name_id, _SYSTEM_ROW)
    return rows["at_ms"].copy(), rows["value"].copy()


def _read(connection: Connection, run_id: int, name_id: int) -> np.ndarray:
    return _fetch(connection, _READ, run_id, name_id, _ROW)


def _fetch(
    connection: Connection, statement: TextClause, run_id: int, name_id: int, row: np.dtype[np.void]
) -> np.ndarray:
    # Straight from the driver's tuples: SQLAlchemy's rows would double the time of a long curve.
    cursor = connection.execute(statement, {"run": run_id, "name": name_id}).cursor
    return np.fromiter(cast("Iterable[tuple[Any, ...]]", cursor), row)


def _in_order(points: Sequence[Point]) -> Sequence[Point]:
    steps = [point[0] for point in points]
    if all(map(lt, steps, islice(steps, 1, None))):
        return points
    return [point for _, point in sorted({point[0]: point for point in points}.items())]


def _insert(connection: Connection, curves: Curves) -> None:
    if connection.dialect.name == "postgresql":
        counts = [len(points) for points in curves.values()]
        columns: list[list[Any]] = [
            [run_id for (run_id, _), count in zip(curves, counts, strict=True) for _ in range(count)],
            [name_id for (_, name_id), count in zip(curves, counts, strict=True) for _ in range(count)],
            *([point[i] for points in curves.values() for point in points] for i in range(3)),
        ]
        connection.exec_driver_sql(_POSTGRESQL_INSERT, tuple(columns))
        return
    rows = [(*key, *point) for key, points in curves.items() for point in points]
    # Many rows in a statement: the driver gives the interpreter lock away once for each, and has to wait for it again
    # while the caller goes on logging (measured: 2 us a point instead of 8 us, and half the CPU).
    for start in range(0, len(rows), _SQLITE_ROWS):
        chunk = rows[start : start + _SQLITE_ROWS]
        places = ", ".join(["(?, ?, ?, ?, ?)"] * len(chunk))
        connection.exec_driver_sql(f"{_INSERT} VALUES {places} {_REPLACE}", tuple(chain.from_iterable(chunk)))


def _read_summaries(session: Session, keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], _Summary]:
    """The summaries of those curves that have points."""
    wanted = set(keys)
    runs = sorted({run_id for run_id, _ in wanted})
    columns = [getattr(Metric, name) for name in _Summary.__slots__]
    found: dict[tuple[int, int], _Summary] = {}
    for start in range(0, len(runs), 500):  # SQLite takes 32,766 parameters, older ones 999
        rows = session.execute(
            select(Metric.run_id, Metric.name_id, *columns).where(
                Metric.run_id.in_(bindparam("runs", expanding=True)), Metric.points > 0
            ),
            {"runs": runs[start : start + 500]},
        )
        found |= {(run_id, name_id): _Summary(*summary) for run_id, name_id, *summary in rows}
    return {key: summary for key, summary in found.items() if key in wanted}


def _extend(before: _Summary | None, points: Sequence[Point]) -> _Summary:
    """The summary of a curve that goes on with `points`."""
    low, low_step, high, high_step = (
        (None,) * 4 if before is None else (before.min, before.min_step, before.max, before.max_step)
    )
    for step, value, _ in points:
        if value is None:
            continue
        if low is None or value < low:
            low, low_step = value, step
        if high is None or value > high:
            high, high_step = value, step
    return _Summary(
        points=len(points) + (0 if before is None else before.points),
        first_step=points[0][0] if before is None else before.first_step,
        last_step=points[-1][0],
        last=points[-1][1],
        min=low,
        min_step=low_step,
        max=high,
        max_step=high_step,
    )


def _summarise(rows: np.ndarray) -> _Summary:
    """The summary of a whole curve."""
    return _extend(None, [(int(step), to_column(value), None) for step, value, _ in rows.tolist()])

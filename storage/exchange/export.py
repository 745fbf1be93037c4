"""Writing a history to a file: all that is known of some runs, or a table of them for other tools."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, Literal, get_args

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from ...core import ConfigError
from ..database import Database
from ..frames import RUN_FIELDS, CsvWriter, Frame, runs_frame, write_parquet
from ..models import Metric, MetricPoint, Param, Run, Tag, from_column
from ..records import RunRecord
from ..runs import read_runs, resolve_run
from .files import write_file
from .garbage import seldom_collected
from .trees import fetch, find_roots, find_trees, read_names, read_rest, read_trees, slices

ExportFormat = Literal["csv", "json", "ndjson", "parquet"]


def export_history(
    database: Database,
    file: BinaryIO,
    *,
    format: ExportFormat = "ndjson",
    runs: Sequence[str | int] = (),
    where: str = "",
    deleted: bool = False,
    points: bool = False,
) -> int:
    """Write runs to a file, as they are at one moment.

    JSON and NDJSON hold everything: importing them into an empty database, and exporting that, gives the same bytes on
    SQLite and on PostgreSQL. The content of artifacts and the privacy ledger are not in them, and a run that still
    runs is written as interrupted. CSV and Parquet hold one row per run, or with `points` one per point of a curve.

    Args:
        database: of the newest revision.
        file: stays the caller's.
        format: how to write.
        runs: which, with all below them, as `History.find` takes them; all by default, and then, in JSON, also what
            belongs to no run. JSON takes only top-level ones.
        where: only runs that fulfil this, in the query language; in JSON top-level ones, in a table any.
        deleted: whether those that were deleted are written, too.
        points: the curves instead of the runs, in CSV and Parquet.

    Returns:
        How many runs were written: of JSON the top-level ones, of a table its rows, or the runs that have a point.

    Raises:
        ConfigError: a format or a combination that is not written; a run that is deleted, or in JSON no top-level one.
        UnknownRunError: there is no such run.
        QueryError: `where` is not in the language.
    """
    if format not in get_args(ExportFormat):
        raise ConfigError(f"expected a format of {', '.join(get_args(ExportFormat))}, got {format!r}")
    whole = format in {"json", "ndjson"}
    if whole and points:
        raise ConfigError(f"{format} holds the curves anyway", hint="leave --points out, or write csv or parquet")
    with seldom_collected(), database.read() as session:
        matching = _matching(session, where, deleted=deleted, top_level=whole) if where.strip() else None
        if not whole:
            chosen = _chosen(session, runs, matching, deleted=deleted)
            return (
                _write_points(session, file, chosen, format) if points else _write_runs(session, file, chosen, format)
            )
        roots = _roots(session, runs, deleted=deleted, top_level=True)
        if matching is not None:
            roots = [root for root in roots if root in matching]
        rest = None if runs or matching is not None else read_rest(session)
        documents = _documents(session, roots, rest, deleted=deleted)
        write_file(file, documents, len(roots) + (rest is not None), lines=format == "ndjson")
        return len(roots)


def _documents(
    session: Session, roots: Sequence[int], rest: dict[str, Any] | None, *, deleted: bool
) -> Iterator[dict[str, Any]]:
    names = read_names(session)
    for trees in find_trees(session, roots, deleted=deleted):
        yield from read_trees(session, trees, names)
    if rest is not None:
        yield rest


def _matching(session: Session, where: str, *, deleted: bool, top_level: bool) -> set[int]:
    from ..query import Scope, combine, run_query

    query = combine(where=where)
    scopes = [Scope(top_level=top_level, deleted=which) for which in ([False, True] if deleted else [False])]
    return {run_id for scope in scopes for run_id in run_query(session, query, scope=scope)}


def _roots(session: Session, runs: Sequence[str | int], *, deleted: bool, top_level: bool) -> list[int]:
    """The keys of the runs that were named, each once; of all top-level ones where none was."""
    if not runs:
        return find_roots(session, deleted=deleted)
    found: dict[int, None] = {}
    for ref in runs:
        run_id = resolve_run(session, str(ref).strip())
        run = session.get_one(Run, run_id)
        if run.deleted_us is not None and not deleted:
            raise ConfigError(f"run {ref} is deleted", hint="add --deleted to export it anyway")
        if top_level and run.parent_id is not None:
            top = run
            while top.parent_id is not None:
                top = session.get_one(Run, top.parent_id)
            raise ConfigError(
                f"run {ref} is a {run.kind} of {top.kind} {top.number}", hint=f"export that one: {top.number}"
            )
        found[run_id] = None
    return list(found)


def _chosen(
    session: Session, runs: Sequence[str | int], matching: Collection[int] | None, *, deleted: bool
) -> list[list[int]]:
    """The keys of the runs of a table, each below what it is part of, in groups that can be held at once."""
    roots = _roots(session, runs, deleted=deleted, top_level=False)
    seen: set[int] = set()
    chosen: list[list[int]] = []
    for trees in find_trees(session, roots, deleted=deleted):
        keys = [run_id for tree in trees for run_id in tree.runs if matching is None or run_id in matching]
        new = [run_id for run_id in dict.fromkeys(keys) if run_id not in seen]
        seen.update(new)
        chosen.append(new)
    return chosen


def _write_runs(session: Session, file: BinaryIO, chosen: Sequence[Sequence[int]], format: ExportFormat) -> int:
    if format == "parquet":
        everything = [run_id for keys in chosen for run_id in keys]
        write_parquet(file, [runs_frame(_records(session, everything))])  # whose columns have one type throughout
        return len(everything)
    names = {prefix: _used_names(session, table, chosen) for prefix, table in _NAMED.items()}
    columns = [*RUN_FIELDS, *(f"{prefix}.{name}" for prefix, used in names.items() for name in used)]
    writer = CsvWriter(file, columns)
    for keys in chosen:
        writer.write(runs_frame(_records(session, keys), names=names))
    writer.finish()
    return sum(map(len, chosen))


def _records(session: Session, keys: Sequence[int]) -> list[RunRecord]:
    found: dict[int, RunRecord] = {}
    for part in slices(keys):
        found |= read_runs(session, part)
    return [found[run_id] for run_id in keys]


def _used_names(session: Session, table: Any, chosen: Sequence[Sequence[int]]) -> list[str]:
    """The names that some runs have in a table."""
    found: set[int] = set()
    for part in (part for keys in chosen for part in slices(keys)):
        statement = select(table.name_id).where(table.run_id.in_(bindparam("keys", expanding=True))).distinct()
        found.update(session.scalars(statement, {"keys": list(part)}))
    names = read_names(session)
    return sorted(names[name_id] for name_id in found)


def _write_points(session: Session, file: BinaryIO, chosen: Sequence[Sequence[int]], format: ExportFormat) -> int:
    names = read_names(session)
    with_points: set[str] = set()

    def frames() -> Iterator[Frame]:
        for keys in chosen:
            frame = _points_frame(session, keys, names)
            with_points.update(frame.columns["uid"])
            yield frame

    if format == "parquet":
        write_parquet(file, [*frames(), Frame({name: [] for name in POINT_FIELDS}, POINT_FIELDS)])
    else:
        writer = CsvWriter(file, list(POINT_FIELDS))
        for frame in frames():
            writer.write(frame)
        writer.finish()
    return len(with_points)


def _points_frame(session: Session, keys: Sequence[int], names: Mapping[int, str]) -> Frame:
    order = {run_id: place for place, run_id in enumerate(keys)}
    uids = dict(fetch(session, select(Run.id, Run.uid), keys))
    points = select(MetricPoint.run_id, MetricPoint.name_id, MetricPoint.step, MetricPoint.value, MetricPoint.at_ms)
    rows = sorted(fetch(session, points, keys, raw=True), key=lambda row: (order[row[0]], names[row[1]], row[2]))
    columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * 5
    run_ids, name_ids, steps, values, at_ms = columns
    return Frame(
        {
            "uid": [uids[run_id] for run_id in run_ids],
            "metric": [names[name_id] for name_id in name_ids],
            "step": steps,
            "value": [from_column(value) for value in values],
            "seconds": [None if each is None else each / 1000 for each in at_ms],
        },
        POINT_FIELDS,
    )


POINT_FIELDS: Final[Mapping[str, type]] = {"uid": str, "metric": str, "step": int, "value": float, "seconds": float}
_NAMED: Final[Mapping[str, Any]] = {"metric": Metric, "param": Param, "tag": Tag}

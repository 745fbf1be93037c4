"""Whether what is stored is whole and agrees with itself: pages, rows, sums, hashes, files, and who holds what."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Connection, Integer, Text, and_, exists, func, inspect, or_, select, text
from sqlalchemy.orm import Session, aliased

from ...core import ConfigError, FormatError
from .. import process
from ..artifacts import MIN_AGE_SECONDS, ArtifactStore
from ..database import Database
from ..errors import IntegrityError, StorageError
from ..ledger import Ledger
from ..models import (
    Artifact,
    Contribution,
    Federation,
    Lease,
    LedgerEntry,
    Lineage,
    Metric,
    MetricPoint,
    Name,
    Round,
    Run,
    RunArtifact,
    Search,
    Trial,
)
from ..signing import SignedHead
from .orphans import is_loose_edge, is_unused_artifact

Severity = Literal["error", "warning"]
_SHOWN: Final = 20  # findings of one kind; more are counted
_RESTORE: Final = "restore a backup: nasturtium db restore FILE"
_COMPACT: Final = "nasturtium db compact removes them"
_STUDY_PREFIX: Final = "nasturtium-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it should be."""

    severity: Severity  # "error": something was lost or altered; "warning": something was left over
    code: str  # a word for programs
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check found."""

    findings: Sequence[Finding]

    @property
    def errors(self) -> Sequence[Finding]:
        """The findings that say that something was lost or altered."""
        return [finding for finding in self.findings if finding.severity == "error"]


Findings = Generator[Finding]


def check_database(database: Database, *, deep: bool = True) -> CheckReport:
    """Check a database of the newest revision and the files beside it. Nothing is changed.

    Args:
        database: others may be writing; each of the checks looks at one state.
        deep: read every page of the indexes, all of every artifact, and every signature of the ledger.
    """
    checks: Sequence[Callable[[Database, bool], Findings]] = (
        _check_pages,
        _check_summaries,
        _check_runs,
        _check_rounds,
        _check_ledger,
        _check_artifacts,
        _check_lineage,
        _check_optuna,
    )
    return CheckReport(findings=[finding for check in checks for finding in _guard(check, database, deep)])


def dead_runs(connection: Connection) -> list[tuple[int, str]]:
    """Keys and names of the runs that are said to be running, and whose process on this machine is gone."""
    rows = connection.execute(
        select(Run.id, Run.uid, Run.number, Run.kind, Run.pid, Run.born)
        .where(Run.state == "running", Run.host == process.host())
        .order_by(Run.id)
    )
    return [
        (id_, _run_name(kind, number, uid))
        for id_, uid, number, kind, pid, born in rows
        if not process.is_alive(pid, born)
    ]


def orphan_studies(connection: Connection) -> list[str]:
    """Names of the Optuna studies that were made for searches which are gone."""
    if not inspect(connection).has_table("studies"):
        return []
    rows = connection.execute(
        text(
            "SELECT study_name FROM studies WHERE study_name LIKE :ours AND NOT EXISTS"
            " (SELECT 1 FROM nst_search WHERE nst_search.study_name = studies.study_name) ORDER BY study_id"
        ),
        {"ours": f"{_STUDY_PREFIX}%"},
    )
    return [name for (name,) in rows]


def _guard(check: Callable[[Database, bool], Findings], database: Database, deep: bool) -> Findings:
    """What a check finds, with the error that ends it as the last finding."""
    try:
        yield from check(database, deep)
    except StorageError as exc:
        yield Finding(severity="error", code="unreadable", message=exc.message, hint=exc.hint or _RESTORE)


def _check_pages(database: Database, deep: bool) -> Findings:
    if database.path is None:
        return  # PostgreSQL watches over its own
    pragma = "integrity_check" if deep else "quick_check"
    with database.read() as session:
        connection = session.connection()
        rows = connection.exec_driver_sql(f"PRAGMA {pragma}({_SHOWN})").scalars()
        for said in rows:
            if said != "ok":
                yield Finding(severity="error", code="page", message=f"SQLite: {said}", hint=_RESTORE)
        broken = Counter(
            (table, parent) for table, _, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check")
        )
        for (table, parent), count in broken.items():
            message = f"{count} rows of {table} point to rows of {parent} that are gone"
            yield Finding(severity="error", code="foreign-key", message=message, hint=_RESTORE)


_SUMMED: Final[Sequence[str]] = ("points", "first_step", "last_step", "last", "min", "min_step", "max", "max_step")


def _check_summaries(database: Database, deep: bool) -> Findings:
    """Sum the points up again. NULL is NaN, which `min` and `max` leave out as our summaries do."""
    point = aliased(MetricPoint)
    span = (
        select(
            MetricPoint.run_id,
            MetricPoint.name_id,
            func.count().label("points"),
            func.min(MetricPoint.step).label("first_step"),
            func.max(MetricPoint.step).label("last_step"),
            func.min(MetricPoint.value).label("min"),
            func.max(MetricPoint.value).label("max"),
        )
        .group_by(MetricPoint.run_id, MetricPoint.name_id)
        .cte("span")
    )
    here = and_(point.run_id == span.c.run_id, point.name_id == span.c.name_id)

    def first_step(value: Any) -> Any:
        return select(func.min(point.step)).where(here, point.value == value).scalar_subquery()

    counted = {
        "points": span.c.points,
        "first_step": span.c.first_step,
        "last_step": span.c.last_step,
        "last": select(point.value).where(here, point.step == span.c.last_step).scalar_subquery(),
        "min": span.c.min,
        "min_step": first_step(span.c.min),
        "max": span.c.max,
        "max_step": first_step(span.c.max),
    }
    again = select(span.c.run_id, span.c.name_id, *(column.label(name) for name, column in counted.items())).cte(
        "again"
    )
    differs = or_(
        *(getattr(Metric, name).is_distinct_from(again.c[name]) for name in _SUMMED),
        and_(~Metric.reported, Metric.value.is_distinct_from(again.c["last"])),
    )
    said = [Metric.run_id, Metric.reported, Metric.value, *(getattr(Metric, name) for name in _SUMMED)]
    with_points = (
        select(Run.kind, Run.number, Run.uid, Name.name, *said, *(again.c[name] for name in _SUMMED))
        .select_from(again)
        .join(Run, Run.id == again.c.run_id, isouter=True)
        .join(Name, Name.id == again.c.name_id, isouter=True)
        .join(Metric, and_(Metric.run_id == again.c.run_id, Metric.name_id == again.c.name_id), isouter=True)
        .where(or_(Metric.run_id.is_(None), differs))
    )
    of_metric = and_(MetricPoint.run_id == Metric.run_id, MetricPoint.name_id == Metric.name_id)
    without_points = (
        select(Run.kind, Run.number, Run.uid, Name.name, *said)
        .join(Run, Run.id == Metric.run_id)
        .join(Name, Name.id == Metric.name_id)
        .where(
            or_(
                Metric.points != 0,
                *(getattr(Metric, name).is_not(None) for name in _SUMMED[1:]),
                and_(~Metric.reported, Metric.value.is_not(None)),
            ),
            ~exists(select(MetricPoint.step).where(of_metric)),
        )
    )

    def describe(row: Any) -> Finding:
        kind, number, uid, metric, run_id, reported, value, *figures = row
        summary: dict[str, Any] = dict(zip(_SUMMED, figures, strict=False))
        points: dict[str, Any] = dict(zip(_SUMMED, figures[len(_SUMMED) :] or (0, *(None,) * 7), strict=True))
        if run_id is None:
            what = f"has {points['points']} points and no summary"
        else:
            if not reported:
                summary, points = {"value": value, **summary}, {"value": points["last"], **points}
            wrong = [name for name in summary if summary[name] != points[name]]
            what = ", ".join(f"its summary says {name} = {summary[name]}, its points {points[name]}" for name in wrong)
        message = f"metric {metric} of {_run_name(kind, number, uid)}: {what}"
        return Finding(severity="error", code="summary", message=message, hint=_RESTORE)

    with database.read() as session:
        for statement in (with_points, without_points):
            yield from _few(map(describe, session.execute(statement)), "summary", "summaries that differ")


def _check_runs(database: Database, deep: bool) -> Findings:
    parent = aliased(Run)
    ended = Run.state.in_(("completed", "failed", "pruned"))
    details = {"search": Search, "trial": Trial, "federated": Federation}
    rules: Sequence[tuple[Severity, str, Any]] = (
        ("warning", "has ended and does not say when", and_(ended, Run.ended_us.is_(None))),
        ("warning", "is running and has an end", and_(Run.state == "running", Run.ended_us.is_not(None))),
        ("warning", "ended before it started", Run.ended_us < Run.started_us),
        ("warning", "has ended and is still leased", and_(ended, exists().where(Lease.run_id == Run.id))),
        (
            "warning",
            "is not deleted, though what it is part of is",
            and_(Run.deleted_us.is_(None), exists().where(parent.id == Run.parent_id, parent.deleted_us.is_not(None))),
        ),
        (
            "warning",
            "is running, though its search is not",
            and_(
                Run.state == "running",
                Run.kind == "trial",
                exists().where(parent.id == Run.parent_id, parent.state != "running"),
            ),
        ),
        *(
            (
                "error",
                f"has no row in {table.__tablename__}",
                and_(Run.kind == kind, ~exists().where(table.run_id == Run.id)),
            )
            for kind, table in details.items()
        ),
    )
    with database.read() as session:
        for severity, what, rule in rules:
            rows = session.execute(select(Run.kind, Run.number, Run.uid).where(rule).order_by(Run.id))
            yield from _few(
                (
                    Finding(severity=severity, code="run", message=f"{_run_name(*row)} {what}", hint=None)
                    for row in rows
                ),
                "run",
                f"runs of which the first {what}",
                severity,
            )
        for _, name in dead_runs(session.connection()):
            message = f"{name} is said to be running, and its process is gone"
            yield Finding(severity="warning", code="run-dead", message=message, hint="nasturtium doctor --fix")


def _check_rounds(database: Database, deep: bool) -> Findings:
    given = (
        select(Contribution.run_id, Contribution.round, Contribution.state, func.count().label("count"))
        .group_by(Contribution.run_id, Contribution.round, Contribution.state)
        .cte("given")
    )
    accepted, rejected = given.alias("accepted"), given.alias("rejected")
    counts = (func.coalesce(accepted.c.count, 0), func.coalesce(rejected.c.count, 0))
    statement = (
        select(Run.kind, Run.number, Run.uid, Round.number, Round.participants, Round.rejected, *counts)
        .join(Run, Run.id == Round.run_id)
        .where(Round.state == "completed", or_(Round.participants != counts[0], Round.rejected != counts[1]))
    )
    for table, state in ((accepted, "accepted"), (rejected, "rejected")):
        of_round = and_(table.c.run_id == Round.run_id, table.c.round == Round.number, table.c.state == state)
        statement = statement.join(table, of_round, isouter=True)
    with database.read() as session:
        yield from _few(
            (
                Finding(
                    severity="error",
                    code="round",
                    message=f"round {number} of {_run_name(kind, run, uid)} says {participants} participants and"
                    f" {refused} refused, its contributions {took_part} and {not_taken}",
                    hint=_RESTORE,
                )
                for kind, run, uid, number, participants, refused, took_part, not_taken in session.execute(statement)
            ),
            "round",
            "rounds that differ",
        )


def _check_ledger(database: Database, deep: bool) -> Findings:
    heads = yield from _read_heads(database)
    with database.read() as session:
        empty = session.scalar(select(func.count()).select_from(LedgerEntry)) == 0
        if not _has_triggers(session):
            yield Finding(
                severity="error",
                code="ledger",
                message="the triggers that keep the ledger append-only are gone",
                hint="restore the database from a backup, or ask who took them away",
            )
    if empty and not heads:
        return
    try:
        Ledger(database).verify(heads or None, signatures=deep)
    except IntegrityError as exc:
        yield Finding(severity="error", code="ledger", message=exc.message, hint=exc.hint)


def _read_heads(database: Database) -> Generator[Finding, None, dict[str, SignedHead]]:
    """The heads that simulated sites keep beside the database."""
    heads: dict[str, SignedHead] = {}
    for path in sorted(database.heads_dir.rglob("*.json")):
        try:
            heads[str(path)] = SignedHead.from_json(path.read_text())
        except (OSError, UnicodeDecodeError, FormatError) as exc:
            reason = exc.message if isinstance(exc, FormatError) else str(exc)
            yield Finding(
                severity="warning", code="ledger", message=f"{path} is no head of a ledger: {reason}", hint="remove it"
            )
    return heads


def _has_triggers(session: Session) -> bool:
    if session.get_bind().dialect.name == "postgresql":
        kept = text("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'nst_ledger'::regclass AND tgenabled <> 'D'")
        return bool(session.scalar(kept))
    kept = text("SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'nst_ledger'")
    return (session.scalar(kept) or 0) >= 3  # they refuse UPDATE, DELETE and an INSERT that replaces


def _check_artifacts(database: Database, deep: bool) -> Findings:
    store = ArtifactStore(database.artifacts_dir)
    with database.read() as session:
        rows = session.execute(select(Artifact.id, Artifact.sha256, Artifact.size_bytes).order_by(Artifact.id)).all()
        unused = session.scalar(select(func.count()).select_from(Artifact).where(is_unused_artifact())) or 0

    def users(artifact_id: int) -> str:
        with database.read() as session:
            runs = session.execute(
                select(Run.kind, Run.number, Run.uid, RunArtifact.role, RunArtifact.name)
                .join(RunArtifact, RunArtifact.run_id == Run.id)
                .where(RunArtifact.artifact_id == artifact_id)
                .order_by(Run.id)
                .limit(_SHOWN)
            ).all()
        named = [f"{role}/{name} of {_run_name(kind, number, uid)}" for kind, number, uid, role, name in runs]
        return ", ".join(named) or "no run"

    def lost() -> Findings:
        for id_, sha256, size_bytes in rows:
            try:
                store.verify(sha256, size_bytes=size_bytes, deep=deep)
            except (IntegrityError, ConfigError) as exc:
                missing = isinstance(exc, IntegrityError) and sha256 not in store
                code = "artifact-missing" if missing else "artifact-altered"
                yield Finding(severity="error", code=code, message=f"{exc.message}; it is {users(id_)}", hint=_RESTORE)

    yield from _few(lost(), "artifact-missing", "artifacts that are missing or altered")
    if unused:
        message = f"{unused} artifacts belong to no run"
        yield Finding(severity="warning", code="artifact-unused", message=message, hint=_COMPACT)
    known = {sha256 for _, sha256, _ in rows}
    strangers = [sha256 for sha256 in store if sha256 not in known and store.age_seconds(sha256) > MIN_AGE_SECONDS]
    if strangers:
        message = f"{len(strangers)} files in {store.root} are in no row, such as {strangers[0]}"
        yield Finding(severity="warning", code="artifact-unknown", message=message, hint=_COMPACT)


def _check_lineage(database: Database, deep: bool) -> Findings:
    edge = (Lineage.source_kind, Lineage.source_id, Lineage.relation, Lineage.target_kind, Lineage.target_id)
    with database.read() as session:
        yield from _few(
            (
                Finding(
                    severity="warning",
                    code="lineage",
                    message=f"the edge {source} {source_id} {relation} {target} {target_id} has lost an end",
                    hint=_COMPACT,
                )
                for source, source_id, relation, target, target_id in session.execute(
                    select(*edge).where(is_loose_edge())
                )
            ),
            "lineage",
            "edges that have lost an end",
            "warning",
        )


_TRIALS_GONE: Final = text(
    "SELECT s.study_name, count(*) FROM nst_trial t JOIN nst_search s ON s.run_id = t.search_id"
    " LEFT JOIN studies o ON o.study_name = s.study_name"
    " LEFT JOIN trials p ON p.study_id = o.study_id AND p.number = t.optuna_number"
    " WHERE t.optuna_number IS NOT NULL AND p.trial_id IS NULL GROUP BY s.study_name ORDER BY s.study_name"
).columns(study_name=Text(), count=Integer())
_TRIALS_UNKNOWN: Final = text(
    "SELECT s.study_name, count(*) FROM trials p JOIN studies o ON o.study_id = p.study_id"
    " JOIN nst_search s ON s.study_name = o.study_name"
    " WHERE p.state = 'COMPLETE' AND NOT EXISTS"
    " (SELECT 1 FROM nst_trial t WHERE t.search_id = s.run_id AND coalesce(t.optuna_number, t.number) = p.number)"
    " GROUP BY s.study_name ORDER BY s.study_name"
).columns(study_name=Text(), count=Integer())
_TRIALS_LOOSE: Final = text(
    "SELECT count(*) FROM trials p WHERE NOT EXISTS (SELECT 1 FROM studies o WHERE o.study_id = p.study_id)"
)


def _check_optuna(database: Database, deep: bool) -> Findings:
    """Optuna's tables know no keys of ours, and `delete_study` none of Optuna's where SQLite does not enforce them."""
    with database.read() as session:
        if not inspect(session.connection()).has_table("studies"):
            return
        found: list[tuple[str, str | None]] = [
            (f"the Optuna study {name} was made for a search that is gone", f"optuna.delete_study('{name}') removes it")
            for name in orphan_studies(session.connection())
        ]
        found += [
            (f"{count} trials of the Optuna study {name} are gone", "the history has their results; it cannot go on")
            for name, count in session.execute(_TRIALS_GONE)
        ]
        found += [
            (f"{count} completed trials of the Optuna study {name} are not in the history", None)
            for name, count in session.execute(_TRIALS_UNKNOWN)
        ]
        if loose := session.scalar(_TRIALS_LOOSE):
            found.append((f"{loose} trials of Optuna belong to no study", None))
    findings = (Finding(severity="warning", code="optuna", message=message, hint=hint) for message, hint in found)
    yield from _few(findings, "optuna", "things left over in Optuna's tables", "warning")


def _few(findings: Iterable[Finding], code: str, what: str, severity: Severity = "error") -> Findings:
    """The first of many findings, and how many more there are."""
    more = 0
    for index, finding in enumerate(findings):
        if index < _SHOWN:
            yield finding
        else:
            more += 1
    if more:
        yield Finding(severity=severity, code=code, message=f"and {more} more {what}")


def _run_name(kind: str, number: int | None, uid: str) -> str:
    return f"{kind} {uid}" if number is None else f"{kind} {number} ({uid})"

"""Runs as values: which one a name means, and many of them at once in a fixed number of queries."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import BindParameter, ColumnElement, FromClause, Select, bindparam, select
from sqlalchemy.orm import Session

from . import process
from .errors import RunBusyError, UnknownRunError
from .models import (
    Experiment,
    Metric,
    Name,
    Param,
    Run,
    RunArtifact,
    RunDataset,
    Tag,
    from_column,
    from_us,
)
from .records import RunKind, RunRecord, RunState, Scalar

HINT: Final = "list the runs: nasturtium history list"
_UID_PREFIX = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{0,25}")  # Crockford's base 32, in which ULIDs are written
_SHOWN = 5  # candidates of an ambiguous prefix
_QUALITIES: Final = ("val_accuracy", "val_r2")  # what the models of a data set are compared by; it has one of them


def require_run(session: Session, uid: str, *, kind: RunKind | None = None) -> int:
    """The key of the run `uid`, which must be there and, where `kind` is given, of that kind."""
    row = session.execute(select(Run.id, Run.kind).where(Run.uid == uid)).one_or_none()
    if row is None:
        raise UnknownRunError(f"there is no run {uid}", hint=HINT)
    if kind is not None and row.kind != kind:
        raise UnknownRunError(f"run {uid} is of kind {row.kind}, expected {kind}", hint=HINT)
    return row.id


def check_holder(run: Run) -> None:
    """See that this process has a run.

    Raises:
        RunBusyError: another one took it over.
    """
    if not process.is_own(run.host, run.pid, run.born):
        raise RunBusyError(
            f"{run.kind} {run.number} ({run.uid}) was taken over by process {run.pid} on {run.host}",
            hint="let that one go on",
        )


def study_name(search: str) -> str:
    """What the Optuna study of a search is called, by the search's uid."""
    return f"nasturtium-{search}"


def resolve_run(session: Session, ref: str) -> int:
    """The key of the one run that `ref` names; see `History.find`."""
    if ref.startswith("@"):
        return _resolve_alias(session, ref)
    # Numbers have no leading zero, and until the year 3084 every ULID has one: a reference is never both.
    if ref.isascii() and ref.isdecimal() and not ref.startswith("0"):
        found = session.scalar(select(Run.id).where(Run.number == int(ref))) if len(ref) < 19 else None
        if found is None:
            raise UnknownRunError(f"there is no run {ref}", hint=HINT)
        return found
    prefix = ref.upper()
    if not _UID_PREFIX.fullmatch(prefix):
        raise UnknownRunError(
            f"expected a run's number, the first letters of its ULID, @last or @best, got {ref!r}", hint=HINT
        )
    first, last = prefix.ljust(26, "0"), prefix.ljust(26, "Z")  # a range, so that the index of `uid` serves
    rows = session.execute(
        select(Run.id, Run.uid, Run.kind, Run.name)
        .where(Run.uid.between(first, last))
        .order_by(Run.uid)
        .limit(_SHOWN + 1)
    ).all()
    if not rows:
        raise UnknownRunError(f"there is no run {ref}", hint=HINT)
    if len(rows) > 1:
        shown = ", ".join(f"{row.uid} ({row.kind} {row.name})" for row in rows[:_SHOWN])
        more = ", ..." if len(rows) > _SHOWN else ""
        raise UnknownRunError(f"several runs start with {ref}: {shown}{more}", hint="give more letters")
    return rows[0].id


def read_runs(session: Session, chosen: Select[int] | Sequence[int]) -> dict[int, RunRecord]:
    """The chosen runs by key, in four queries however many they are."""
    rows = _fetch(session, _RUNS, chosen)
    if not rows:
        return {}
    figures = read_figures(session, chosen)
    params: defaultdict[int, dict[str, Scalar]] = defaultdict(dict)
    for run_id, name, text, is_text in _fetch(session, _PARAMS, chosen):
        params[run_id][name] = text if is_text else json.loads(text)
    tags: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for run_id, name, value in _fetch(session, _TAGS, chosen):
        tags[run_id][name] = value
    here = process.host()
    alive = cache(process.is_alive)
    return {
        row.id: RunRecord(
            uid=row.uid,
            number=row.number,
            kind=row.kind,
            state=_state(row, here, alive),
            name=row.name,
            seed=row.seed,
            config=row.config,
            parent=row.parent,
            started=from_us(row.started_us),
            ended=None if row.ended_us is None else from_us(row.ended_us),
            error=row.error,
            metrics=_sorted(figures[row.id]),
            experiment=row.experiment,
            params=_sorted(params[row.id]),
            tags=_sorted(tags[row.id]),
            deleted=None if row.deleted_us is None else from_us(row.deleted_us),
        )
        for row in rows
    }


def read_figures(session: Session, chosen: Select[int] | Sequence[int]) -> defaultdict[int, dict[str, float]]:
    """The figures of the chosen runs, by key and name."""
    figures: defaultdict[int, dict[str, float]] = defaultdict(dict)
    for run_id, name, value in _fetch(session, _FIGURES, chosen):
        figures[run_id][name] = from_column(value)
    return figures


class _Statement(NamedTuple):
    """A SELECT made once, of tables and not of classes: making it costs more than running it for ten runs."""

    of_all: Select[Any]
    run_id: ColumnElement[int]
    of_wanted: Select[Any]


def _statement(of_all: Select[Any], run_id: ColumnElement[int]) -> _Statement:
    wanted: BindParameter[Any] = bindparam("wanted", expanding=True)
    return _Statement(of_all, run_id, of_all.where(run_id.in_(wanted)))


def _named(table: FromClause, *columns: str) -> _Statement:
    """The rows of a table with their names spelt out."""
    shown = (table.c.run_id, _NAME.c.name, *(table.c[column] for column in columns))
    return _statement(select(*shown).join_from(table, _NAME, _NAME.c.id == table.c.name_id), table.c.run_id)


_RUN, _NAME, _EXPERIMENT = Run.__table__, Name.__table__, Experiment.__table__
_PARENT = _RUN.alias("parent")
_RUNS = _statement(
    select(
        *(column for column in _RUN.c if column.name not in {"experiment_id", "parent_id", "environment_id"}),
        _EXPERIMENT.c.name.label("experiment"),
        _PARENT.c.uid.label("parent"),
    )
    .join_from(_RUN, _EXPERIMENT, _EXPERIMENT.c.id == _RUN.c.experiment_id)
    .outerjoin(_PARENT, _PARENT.c.id == _RUN.c.parent_id),
    _RUN.c.id,
)
_FIGURES = _named(Metric.__table__, "value")
_PARAMS = _named(Param.__table__, "text", "is_text")
_TAGS = _named(Tag.__table__, "value")


def _fetch(session: Session, statement: _Statement, chosen: Select[int] | Sequence[int]) -> Sequence[Any]:
    if isinstance(chosen, Select):
        return session.execute(statement.of_all.where(statement.run_id.in_(chosen))).all()
    return session.execute(statement.of_wanted, {"wanted": list(chosen)}).all()


def _sorted(values: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(values.items()))


def _state(row: Any, here: str, alive: Callable[[int, str | None], bool]) -> RunState:
    """The state as written, except for a run that nobody can be running any more."""
    if row.state == "running" and row.host == here and not alive(row.pid, row.born):
        return "interrupted"
    return row.state


def _resolve_alias(session: Session, ref: str) -> int:
    top_level = select(Run.id).where(Run.number.is_not(None), Run.deleted_us.is_(None)).limit(1)
    if ref == "@last":
        found = session.scalar(top_level.order_by(Run.number.desc()))
        missing = "there is no run yet"
    elif ref == "@best":
        candidates = (
            top_level.join(Metric, Metric.run_id == Run.id)
            .join(Name, (Name.id == Metric.name_id) & Name.name.in_(_QUALITIES))
            .outerjoin(RunDataset, (RunDataset.run_id == Run.id) & (RunDataset.role == "data"))
            .where(
                Run.state == "completed",
                Metric.value.is_not(None),
                select(RunArtifact.run_id).where(RunArtifact.run_id == Run.id, RunArtifact.role == "model").exists(),
            )
        )
        # Figures on different data do not compare: the newest candidate says which data is meant.
        newest = candidates.with_only_columns(RunDataset.dataset_id).order_by(Run.number.desc()).scalar_subquery()
        found = session.scalar(
            candidates.where(RunDataset.dataset_id.is_not_distinct_from(newest)).order_by(
                Metric.value.desc(), Run.number.desc()
            )
        )
        missing = "there is no completed run with a model and a val_accuracy or val_r2 yet"
    else:
        raise UnknownRunError(f"expected @last or @best, got {ref!r}", hint=HINT)
    if found is None:
        raise UnknownRunError(missing, hint=HINT)
    return found

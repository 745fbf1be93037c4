"""Reading the history: what was run, how it went, what came of it. Everything returned is a value."""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, aliased

from . import process
from .database import Database
from .errors import UnknownRunError
from .models import (
    Architecture,
    Artifact,
    Contribution,
    Dataset,
    Environment,
    Federation,
    Metric,
    MetricPoint,
    Round,
    Run,
    Search,
    Trial,
    from_us,
    join_special,
)
from .records import (
    ArchitectureEntry,
    ArtifactRecord,
    ContributionRecord,
    DatasetEntry,
    FederatedRecord,
    RoundRecord,
    RunKind,
    RunRecord,
    RunState,
    SearchRecord,
    TrialRecord,
)

HINT: Final = "list the runs: nasturtium history list"
_UID_PREFIX = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{3,25}")  # Crockford's base 32, in which ULIDs are written
_SHOWN = 5  # candidates of an ambiguous prefix


class History:
    """What the database knows.

    A method that takes `uid` wants a whole one, as records carry it; `find` turns what people type into a record.

    Args:
        database: stays the caller's, who closes it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def runs(self, *, kind: RunKind | None = None, limit: int | None = None) -> list[RunRecord]:
        """The top-level runs, newest first: all, or those of one kind."""
        chosen = select(Run.id).where(Run.number.is_not(None)).order_by(Run.number.desc()).limit(limit)
        if kind is not None:
            chosen = chosen.where(Run.kind == kind)
        with self._database.read() as session:
            records = _run_records(session, chosen)
        return sorted(records.values(), key=lambda run: run.number or 0, reverse=True)

    def find(self, ref: str | int) -> RunRecord:
        """The one run that `ref` names.

        Args:
            ref: a run's number; a ULID or the first letters of one, at least four, in either case; `@last`, the newest
                top-level run; `@best`, the completed top-level run with a model and the highest `val_accuracy`.

        Raises:
            UnknownRunError: no run answers to that, or several do.
        """
        with self._database.read() as session:
            run_id = _resolve(session, str(ref).strip())
            return _run_records(session, select(Run.id).where(Run.id == run_id))[run_id]

    def search(self, uid: str) -> SearchRecord:
        """The search `uid`."""
        with self._database.read() as session:
            run_id = require_run(session, uid, kind="search")
            search = session.get_one(Search, run_id)
            return SearchRecord(
                run=_run_records(session, select(Run.id).where(Run.id == run_id))[run_id],
                space=search.space,
                space_sha256=search.space_sha256,
                sampler=search.sampler,
                pruner=search.pruner,
                trials=search.trials,
                study_name=search.study_name,
            )

    def trials(self, uid: str) -> list[TrialRecord]:
        """The trials of the search `uid`, all attempts, by number and attempt."""
        with self._database.read() as session:
            search_id = require_run(session, uid, kind="search")
            of_search = select(Trial.run_id).where(Trial.search_id == search_id)
            runs = _run_records(session, of_search)
            rows = session.execute(
                select(Trial, Architecture)
                .join(Architecture, Architecture.id == Trial.architecture_id)
                .where(Trial.search_id == search_id)
                .order_by(Trial.number, Trial.attempt)
            )
            return [_trial_record(trial, architecture, runs[trial.run_id]) for trial, architecture in rows]

    def federated(self, uid: str) -> FederatedRecord:
        """The federated training `uid`."""
        with self._database.read() as session:
            run_id = require_run(session, uid, kind="federated")
            federation, model_run = session.execute(
                select(Federation, Run.uid)
                .outerjoin(Run, Run.id == Federation.model_run_id)
                .where(Federation.run_id == run_id)
            ).one()
            return FederatedRecord(
                run=_run_records(session, select(Run.id).where(Run.id == run_id))[run_id],
                clients=federation.clients,
                rounds=federation.rounds,
                strategy=federation.strategy,
                scheme=federation.scheme,
                alpha=federation.alpha,
                model_run=model_run,
                spec=federation.spec,
            )

    def rounds(self, uid: str) -> list[RoundRecord]:
        """The rounds of the federated training `uid`, in order."""
        with self._database.read() as session:
            run_id = require_run(session, uid, kind="federated")
            rows = session.scalars(select(Round).where(Round.run_id == run_id).order_by(Round.number))
            return [_round_record(row) for row in rows]

    def contributions(self, uid: str, round: int) -> list[ContributionRecord]:
        """What each client gave to one round of the federated training `uid`; `client-2` comes before `client-10`."""
        with self._database.read() as session:
            run_id = require_run(session, uid, kind="federated")
            rows = session.scalars(
                select(Contribution)
                .where(Contribution.run_id == run_id, Contribution.round == round)
                .order_by(func.length(Contribution.client), Contribution.client)
            )
            return [
                ContributionRecord(
                    client=row.client,
                    state=row.state,
                    reason=row.reason,
                    bytes_up=row.bytes_up,
                    bytes_down=row.bytes_down,
                    seconds=row.seconds,
                )
                for row in rows
            ]

    def children(self, uid: str, kind: RunKind) -> list[RunRecord]:
        """The runs of one kind below the run `uid`, in the order they were started."""
        with self._database.read() as session:
            parent_id = require_run(session, uid)
            below = select(Run.id).where(Run.parent_id == parent_id, Run.kind == kind)
            return [run for _, run in sorted(_run_records(session, below).items())]

    def metrics(self, uid: str) -> dict[str, float]:
        """The final figures of the run `uid`, by name."""
        with self._database.read() as session:
            run_id = require_run(session, uid)
            return _metrics(session, select(Run.id).where(Run.id == run_id))[run_id]

    def curves(self, uid: str) -> dict[str, dict[int, float]]:
        """The curves of the run `uid`: name -> step -> value, steps in order."""
        with self._database.read() as session:
            run_id = require_run(session, uid)
            rows = session.execute(
                select(MetricPoint.name, MetricPoint.step, MetricPoint.value, MetricPoint.special)
                .where(MetricPoint.run_id == run_id)
                .order_by(MetricPoint.name, MetricPoint.step)
            )
            curves: defaultdict[str, dict[int, float]] = defaultdict(dict)
            for name, step, value, special in rows:
                curves[name][step] = _figure(value, special)
            return dict(curves)

    def artifacts(self, uid: str) -> dict[str, ArtifactRecord]:
        """What the run `uid` left behind, by role."""
        with self._database.read() as session:
            run_id = require_run(session, uid)
            rows = session.scalars(select(Artifact).where(Artifact.run_id == run_id).order_by(Artifact.role))
            return {
                row.role: ArtifactRecord(role=row.role, path=row.path, sha256=row.sha256, size_bytes=row.size_bytes)
                for row in rows
            }

    def environment(self, uid: str) -> dict[str, Any]:
        """What the run `uid` was made with; see `describe_environment`."""
        with self._database.read() as session:
            run_id = require_run(session, uid)
            return session.execute(
                select(Environment.body).join(Run, Run.environment_id == Environment.id).where(Run.id == run_id)
            ).scalar_one()

    def dataset(self, uid: str) -> DatasetEntry | None:
        """The data of the run `uid`; None where none was named."""
        with self._database.read() as session:
            run_id = require_run(session, uid)
            row = session.scalar(select(Dataset).join(Run, Run.dataset_id == Dataset.id).where(Run.id == run_id))
            if row is None:
                return None
            return DatasetEntry(fingerprint=row.fingerprint, name=row.name, rows=row.rows, body=row.body)


def require_run(session: Session, uid: str, *, kind: RunKind | None = None) -> int:
    """The key of the run `uid`, which must be there and, where `kind` is given, of that kind."""
    row = session.execute(select(Run.id, Run.kind).where(Run.uid == uid)).one_or_none()
    if row is None:
        raise UnknownRunError(f"there is no run {uid}", hint=HINT)
    if kind is not None and row.kind != kind:
        raise UnknownRunError(f"run {uid} is of kind {row.kind}, expected {kind}", hint=HINT)
    return row.id


def _resolve(session: Session, ref: str) -> int:
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
            f"expected a run's number, at least the first 4 letters of its ULID, @last or @best, got {ref!r}", hint=HINT
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


def _resolve_alias(session: Session, ref: str) -> int:
    top_level = select(Run.id).where(Run.number.is_not(None)).limit(1)
    if ref == "@last":
        found = session.scalar(top_level.order_by(Run.number.desc()))
        missing = "there is no run yet"
    elif ref == "@best":
        candidates = (
            top_level.join(Artifact, (Artifact.run_id == Run.id) & (Artifact.role == "model"))
            .join(Metric, (Metric.run_id == Run.id) & (Metric.name == "val_accuracy"))
            .where(Run.state == "completed", Metric.value.is_not(None))
        )
        # Accuracies on different data do not compare: the newest candidate says which data is meant.
        newest = candidates.with_only_columns(Run.dataset_id).order_by(Run.number.desc()).scalar_subquery()
        found = session.scalar(
            candidates.where(Run.dataset_id.is_not_distinct_from(newest)).order_by(
                Metric.value.desc(), Run.number.desc()
            )
        )
        missing = "there is no completed run with a model and a val_accuracy yet"
    else:
        raise UnknownRunError(f"expected @last or @best, got {ref!r}", hint=HINT)
    if found is None:
        raise UnknownRunError(missing, hint=HINT)
    return found


def _run_records(session: Session, chosen: Select[int]) -> dict[int, RunRecord]:
    """The chosen runs by key, in two queries however many they are."""
    metrics = _metrics(session, chosen)
    parent = aliased(Run)
    rows = session.execute(
        select(Run, parent.uid).outerjoin(parent, parent.id == Run.parent_id).where(Run.id.in_(chosen))
    )
    return {run.id: _run_record(run, parent_uid, metrics[run.id]) for run, parent_uid in rows}


def _metrics(session: Session, chosen: Select[int]) -> defaultdict[int, dict[str, float]]:
    rows = session.execute(
        select(Metric.run_id, Metric.name, Metric.value, Metric.special)
        .where(Metric.run_id.in_(chosen))
        .order_by(Metric.run_id, Metric.name)
    )
    metrics: defaultdict[int, dict[str, float]] = defaultdict(dict)
    for run_id, name, value, special in rows:
        metrics[run_id][name] = _figure(value, special)
    return metrics


def _run_record(run: Run, parent: str | None, metrics: Mapping[str, float]) -> RunRecord:
    return RunRecord(
        uid=run.uid,
        number=run.number,
        kind=run.kind,
        state=_state(run),
        name=run.name,
        seed=run.seed,
        config=run.config,
        parent=parent,
        started=from_us(run.started_us),
        ended=None if run.ended_us is None else from_us(run.ended_us),
        error=run.error,
        metrics=metrics,
    )


def _state(run: Run) -> RunState:
    """The state as written, except for a run that nobody can be running any more."""
    if run.state == "running" and run.host == process.host() and not process.is_alive(run.pid, run.born):
        return "interrupted"
    return run.state


def _trial_record(trial: Trial, architecture: Architecture, run: RunRecord) -> TrialRecord:
    return TrialRecord(
        uid=run.uid,
        number=trial.number,
        attempt=trial.attempt,
        state=run.state,
        seed=run.seed,
        architecture=ArchitectureEntry(
            sha256=architecture.sha256,
            space=architecture.space,
            choices=architecture.choices,
            spec=architecture.spec,
            parameters=architecture.parameters,
            macs=architecture.macs,
        ),
        hyperparameters=trial.hyperparameters,
        optuna_number=trial.optuna_number,
        started=run.started,
        ended=run.ended,
        error=run.error,
        metrics=run.metrics,
    )


def _round_record(row: Round) -> RoundRecord:
    return RoundRecord(
        number=row.number,
        participants=row.participants,
        rejected=row.rejected,
        loss=join_special(row.loss, row.loss_special),
        accuracy=join_special(row.accuracy, row.accuracy_special),
        bytes_up=row.bytes_up,
        bytes_down=row.bytes_down,
        seconds=row.seconds,
        started=from_us(row.started_us),
    )


def _figure(value: float | None, special: int) -> float:
    figure = join_special(value, special)
    assert figure is not None, "metrics and points are written through split_special from a float"
    return figure

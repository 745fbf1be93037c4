"""Reading the history: what was run, how it went, what came of it. Everything returned is a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from .database import Database
from .errors import UnknownRunError
from .federated_rounds import read_attempts, read_closed
from .frames import Frame, runs_frame
from .lineage import Direction
from .models import (
    Architecture,
    Artifact,
    Contribution,
    Dataset,
    Environment,
    Event,
    Experiment,
    Federation,
    Metric,
    MetricPoint,
    Name,
    Node,
    Note,
    Round,
    Run,
    RunArtifact,
    RunDataset,
    Search,
    SystemPoint,
    Trial,
    from_column,
    from_us,
)
from .names import find_names
from .points import read_points, read_system_points
from .progress import read_status
from .query import Query, Scope, combine, names_in, run_query, show_sql
from .readonly import SqlResult, run_sql
from .records import (
    ArchitectureEntry,
    ArtifactRecord,
    AttemptRecord,
    ClosedRound,
    ContributionRecord,
    Curve,
    DatasetEntry,
    EventRecord,
    FederatedRecord,
    MetricSummary,
    NoteRecord,
    RoundRecord,
    RunKind,
    RunRecord,
    SearchRecord,
    SearchStatus,
    TrialRecord,
)
from .runs import read_figures, read_runs, require_run, resolve_run
from .tracing import LineageRecord, trace

_CHUNK: Final = 10_000  # runs in one statement: SQLite takes 32,766 parameters


class History:
    """What the database knows.

    A method that takes `uid` wants a whole one, as records carry it; `find` turns what people type into a record.

    Args:
        database: stays the caller's, unless `owned`: then closing the history closes it.
        owned: whether it was opened for this history alone.
    """

    def __init__(self, database: Database, *, owned: bool = False) -> None:
        self._database = database
        self._owned = owned

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database if it is this history's own."""
        if self._owned:
            self._database.close()

    @property
    def database(self) -> Database:
        """Where it is read from."""
        return self._database

    def runs(
        self,
        *,
        kind: RunKind | None = None,
        where: str = "",
        sort: str = "",
        limit: int | None = None,
        experiment: str | None = None,
        deleted: bool = False,
    ) -> list[RunRecord]:
        """The runs of one kind, or all top-level ones: searches, federated trainings and runs of one's own.

        Args:
            kind: such as "search" or "trial"; None for what stands at the top, of whatever kind.
            where: a condition in the query language, as "val_accuracy > 0.97 and params < 20000".
            sort: what to order by, as "-val_accuracy,started"; newest first by default.
            limit: at most this many.
            experiment: only of the experiment of that name.
            deleted: the deleted ones instead of the others.

        Raises:
            QueryError: `where` or `sort` is not in the language, or asks for names nobody has used.
        """
        query = combine(where=where, sort=sort, limit=limit)
        kinds = None if kind is None else (kind,)
        return self._answer(query, Scope(kinds=kinds, top_level=kind is None, experiment=experiment, deleted=deleted))

    def find(self, ref: str | int) -> RunRecord:
        """The one run that `ref` names.

        Args:
            ref: a run's number; a ULID or the first letters of one, in either case; `@last`, the newest top-level run;
                `@best`, the completed top-level run with a model and the highest `val_accuracy`.

        Raises:
            UnknownRunError: no run answers to that, or several do.
        """
        with self._database.read() as session:
            run_id = resolve_run(session, str(ref).strip())
            return read_runs(session, [run_id])[run_id]

    def ask(self, question: str) -> list[RunRecord]:
        """The runs of every kind that answer a question in the query language.

        Args:
            question: as 'val_acc > .9 and op == "sep3" order by val_acc desc limit 10'; empty for all runs.

        Raises:
            QueryError: it is not in the language, or asks for names nobody has used.
        """
        return self._answer(combine(question), Scope())

    def explain(self, question: str) -> str:
        """The SQL that `ask` runs for a question, with its values in it; see `sql` for running it."""
        with self._database.read() as session:
            return show_sql(session, combine(question))

    def names_in(self, question: str) -> dict[str, tuple[str, tuple[str, ...]]]:
        """The metrics, parameters and tags a question asks for, by how it names them; see `query.names_in`."""
        with self._database.read() as session:
            return names_in(session, combine(question))

    def _answer(self, query: Query, scope: Scope) -> list[RunRecord]:
        with self._database.read() as session:
            ids = run_query(session, query, scope=scope)
            found: dict[int, RunRecord] = {}
            for start in range(0, len(ids), _CHUNK):
                found |= read_runs(session, ids[start : start + _CHUNK])
        return [found[run_id] for run_id in ids]

    def lineage(self, ref: str, *, direction: Direction = "origins") -> LineageRecord:
        """All that `ref` was made from, or with the direction "results" all that came of it; see `trace`."""
        return trace(self._database, ref, direction=direction)

    def frame(self, question: str = "") -> Frame:
        """The runs that answer a question, as a table for Polars, pandas or Arrow; all runs without one."""
        return runs_frame(self.ask(question))

    def sql(self, statement: str, *, timeout: float = 30.0) -> SqlResult:
        """Run one SELECT; nothing can be changed.

        Raises:
            QueryError: it is something else, or the database refuses it.
        """
        return run_sql(self._database, statement, timeout=timeout)

    def search(self, uid: str) -> SearchRecord:
        """The search `uid`."""
        with self._database.read() as session:
            return _read_search(session, require_run(session, uid, kind="search"))

    def search_status(self, uid: str, *, clock: Callable[[], int] | None = None) -> SearchStatus:
        """How far the search `uid` is, and who is at it.

        Args:
            uid: the search.
            clock: tells the time in microseconds UTC; by default that of the database, which all machines share.
        """
        with self._database.read() as session:
            search_id = require_run(session, uid, kind="search")
            search = _read_search(session, search_id)
            return read_status(
                session, search_id, search=search, trial=lambda run_id: _read_trial(session, run_id), clock=clock
            )

    def trials(self, uid: str, *, first: int = 0) -> list[TrialRecord]:
        """The trials of the search `uid` from number `first` on, all attempts, by number and attempt."""
        with self._database.read() as session:
            search_id = require_run(session, uid, kind="search")
            chosen = (Trial.search_id == search_id, Trial.number >= first)
            runs = read_runs(session, select(Trial.run_id).where(*chosen))
            rows = session.execute(
                select(Trial, Architecture)
                .join(Architecture, Architecture.id == Trial.architecture_id)
                .where(*chosen)
                .order_by(Trial.number, Trial.attempt)
            )
            return [_trial_record(trial, architecture, runs[trial.run_id]) for trial, architecture in rows]

    def trial(self, uid: str) -> TrialRecord:
        """The trial `uid`."""
        with self._database.read() as session:
            return _read_trial(session, require_run(session, uid, kind="trial"))

    def trial_numbers(self, uids: Sequence[str]) -> dict[str, int]:
        """The numbers, from 0, of those of some runs that are trials."""
        numbers: dict[str, int] = {}
        with self._database.read() as session:
            for start in range(0, len(uids), _CHUNK):
                rows = session.execute(
                    select(Run.uid, Trial.number)
                    .join(Trial, Trial.run_id == Run.id)
                    .where(Run.uid.in_(uids[start : start + _CHUNK]))
                )
                numbers |= {row.uid: row.number for row in rows}
        return numbers

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
                run=read_runs(session, [run_id])[run_id],
                clients=federation.clients,
                rounds=federation.rounds,
                strategy=federation.strategy,
                scheme=federation.scheme,
                alpha=federation.alpha,
                model_run=model_run,
                spec=federation.spec,
                min_clients=federation.min_clients,
                privacy=federation.privacy,
                flwr_run_id=federation.flwr_run_id,
            )

    def rounds(self, uid: str) -> list[RoundRecord]:
        """The rounds of the federated training `uid`, in order; trials and retrainings of a search may be such."""
        curves = self.curves(uid)
        losses, accuracies = curves.get("val_loss", {}), curves.get("val_accuracy", {})
        with self._database.read() as session:
            run_id = _require_rounds(session, uid)
            rows = session.scalars(select(Round).where(Round.run_id == run_id).order_by(Round.number))
            return [
                RoundRecord(
                    number=row.number,
                    participants=row.participants,
                    rejected=row.rejected,
                    loss=losses.get(row.number),
                    accuracy=accuracies.get(row.number),
                    bytes_up=row.bytes_up,
                    bytes_down=row.bytes_down,
                    seconds=row.seconds,
                    started=from_us(row.started_us),
                    state=row.state,
                    bytes_plain=row.bytes_plain,
                    aggregate_seconds=row.aggregate_seconds,
                )
                for row in rows
            ]

    def attempts(self, uid: str) -> list[AttemptRecord]:
        """All attempts at the rounds of the federated training `uid`, in order, and why those failed that did."""
        with self._database.read() as session:
            return read_attempts(session, _require_rounds(session, uid))

    def closed_rounds(self, uid: str) -> list[ClosedRound]:
        """The rounds of the federated training `uid` that are closed, in order; also those that trained nothing."""
        with self._database.read() as session:
            return read_closed(session, _require_rounds(session, uid))

    def contributions(self, uid: str, round: int) -> list[ContributionRecord]:
        """What each site gave to one round of the federated training `uid`; `site-2` comes before `site-10`."""
        return self.all_contributions(uid, only=round).get(round, [])

    def all_contributions(self, uid: str, *, only: int | None = None) -> dict[int, list[ContributionRecord]]:
        """What each site gave to each round of the federated training `uid`."""
        with self._database.read() as session:
            run_id = _require_rounds(session, uid)
            statement = (
                select(Contribution, Node.name)
                .join(Node, Node.id == Contribution.node_id)
                .where(Contribution.run_id == run_id)
                .order_by(Contribution.round, func.length(Node.name), Node.name)
            )
            if only is not None:
                statement = statement.where(Contribution.round == only)
            rounds: dict[int, list[ContributionRecord]] = {}
            for row, client in session.execute(statement):
                rounds.setdefault(row.round, []).append(
                    ContributionRecord(
                        client=client,
                        state=row.state,
                        reason=row.reason,
                        bytes_up=row.bytes_up,
                        bytes_down=row.bytes_down,
                        seconds=row.seconds,
                        rows=row.rows,
                        train_seconds=row.train_seconds,
                        encrypt_seconds=row.encrypt_seconds,
                        update_norm=row.update_norm,
                        clipped=row.clipped,
                    )
                )
            return rounds

    def best_below(self, uids: Sequence[str], metric: str, *, lowest: bool = False) -> dict[str, float]:
        """The highest figure of a metric, or the lowest, among the completed runs below each of some runs, where there
        is one.
        """
        above = aliased(Run)
        best: dict[str, float] = {}
        with self._database.read() as session:
            for start in range(0, len(uids), _CHUNK):
                rows = session.execute(
                    select(above.uid, (func.min if lowest else func.max)(Metric.value).label("best"))
                    .join(Run, Run.parent_id == above.id)
                    .join(Metric, Metric.run_id == Run.id)
                    .join(Name, Name.id == Metric.name_id)
                    .where(above.uid.in_(uids[start : start + _CHUNK]), Run.state == "completed", Name.name == metric)
                    .group_by(above.uid)
                )
                best |= {row.uid: row.best for row in rows if row.best is not None}
        return best

    def children(self, uid: str, kind: RunKind | None = None) -> list[RunRecord]:
        """The runs below the run `uid`, all or of one kind, in the order they were started."""
        with self._database.read() as session:
            below = select(Run.id).where(Run.parent_id == require_run(session, uid))
            if kind is not None:
                below = below.where(Run.kind == kind)
            return [run for _, run in sorted(read_runs(session, below).items())]

    def metrics(self, uid: str) -> dict[str, float]:
        """The figures of the run `uid`, by name: the final ones, else the last points."""
        with self._database.read() as session:
            run_id = require_run(session, uid)
            return dict(sorted(read_figures(session, [run_id])[run_id].items()))

    def summaries(self, uid: str) -> dict[str, MetricSummary]:
        """Each metric of the run `uid` with its curve in a few numbers, by name."""
        with self._database.read() as session:
            run_id = require_run(session, uid)
            rows = session.execute(
                select(Metric, Name.name).join(Name, Name.id == Metric.name_id).where(Metric.run_id == run_id)
            )
            return {name: _summary(row) for row, name in sorted(rows, key=lambda found: found[1])}

    def curve(self, uid: str, name: str) -> Curve:
        """One curve of the run `uid` as arrays; a hundred thousand points take tens of milliseconds.

        Raises:
            UnknownRunError: the run has no such curve.
        """
        with self._database.read() as session:
            run_id = require_run(session, uid)
            name_id = find_names(session, [name]).get(name)
            curve = None if name_id is None else _read_curve(session, run_id, name_id, name)
            if curve is None or not len(curve):
                known = ", ".join(_curve_names(session, run_id).values())
                raise UnknownRunError(
                    f"run {uid} has no curve {name!r}", hint=f"it has {known}" if known else "it has no curves at all"
                )
            return curve

    def curves(self, uid: str) -> dict[str, dict[int, float]]:
        """The curves of the run `uid`: name -> step -> value, steps in order."""
        with self._database.read() as session:
            run_id = require_run(session, uid)
            names = _curve_names(session, run_id)
            found = {name: _read_curve(session, run_id, name_id, name) for name_id, name in names.items()}
            return {
                name: dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))
                for name, curve in found.items()
            }

    def trial_curves(self, uid: str, name: str, *, first: int = 0) -> dict[str, dict[int, float]]:
        """One curve of all trials of the search `uid` from number `first` on: uid of the trial -> step -> value."""
        with self._database.read() as session:
            search_id = require_run(session, uid, kind="search")
            rows = session.execute(
                select(Run.uid, MetricPoint.step, MetricPoint.value)
                .join(Trial, Trial.run_id == Run.id)
                .join(MetricPoint, MetricPoint.run_id == Run.id)
                .join(Name, (Name.id == MetricPoint.name_id) & (Name.name == name))
                .where(Trial.search_id == search_id, Trial.number >= first)
                .order_by(Run.id, MetricPoint.step)
            )
            curves: dict[str, dict[int, float]] = {}
            for trial, step, value in rows:
                curves.setdefault(trial, {})[step] = from_column(value)
            return curves

    def system_curves(self, uid: str) -> dict[str, Curve]:
        """What was sampled of the machine while the run `uid` was on it; steps are milliseconds since its start."""
        with self._database.read() as session:
            run_id = require_run(session, uid)
            names = session.execute(
                select(Name.id, Name.name)
                .where(Name.id.in_(select(SystemPoint.name_id).where(SystemPoint.run_id == run_id).distinct()))
                .order_by(Name.name)
            ).all()
            curves: dict[str, Curve] = {}
            for name_id, name in names:
                at_ms, values = read_system_points(session.connection(), run_id, name_id)
                curves[name] = Curve(name, at_ms, values, at_ms / 1000)
            return curves

    def artifacts(self, uid: str) -> list[ArtifactRecord]:
        """The files that the run `uid` left behind, by role and name."""
        with self._database.read() as session:
            run_id = require_run(session, uid)
            rows = session.execute(
                select(RunArtifact, Artifact)
                .join(Artifact, Artifact.id == RunArtifact.artifact_id)
                .where(RunArtifact.run_id == run_id)
                .order_by(RunArtifact.role, RunArtifact.name)
            )
            return [
                ArtifactRecord(
                    role=link.role,
                    name=link.name,
                    sha256=file.sha256,
                    size_bytes=file.size_bytes,
                    media_type=file.media_type,
                )
                for link, file in rows
            ]

    def environment(self, uid: str) -> dict[str, Any]:
        """What the run `uid` was made with; see `describe_environment`."""
        with self._database.read() as session:
            run_id = require_run(session, uid)
            return session.execute(
                select(Environment.body).join(Run, Run.environment_id == Environment.id).where(Run.id == run_id)
            ).scalar_one()

    def dataset(self, uid: str) -> DatasetEntry | None:
        """The data of the run `uid`, or of the run it is below; None where none was named."""
        run: str | None = uid
        while run is not None:
            found = self.datasets(run).get("data")
            if found is not None:
                return found
            run = self._parent(run)
        return None

    def datasets(self, uid: str) -> dict[str, DatasetEntry]:
        """The data of the run `uid` by what it was for: "data" is all of it, "site/NAME" that of a site."""
        with self._database.read() as session:
            run_id = require_run(session, uid)
            rows = session.execute(
                select(RunDataset.role, Dataset)
                .join(Dataset, Dataset.id == RunDataset.dataset_id)
                .where(RunDataset.run_id == run_id)
                .order_by(func.length(RunDataset.role), RunDataset.role)
            )
            return {
                role: DatasetEntry(
                    fingerprint=row.fingerprint, name=row.name, rows=row.rows, body=row.body, keyed=row.keyed
                )
                for role, row in rows
            }

    def data_names(self) -> dict[str, str]:
        """What the data of all runs and sites is called, by its fingerprint."""
        with self._database.read() as session:
            return {row.fingerprint: row.name for row in session.execute(select(Dataset.fingerprint, Dataset.name))}

    def notes(self, uid: str) -> list[NoteRecord]:
        """What was written about the run `uid`, oldest first."""
        with self._database.read() as session:
            run_id = require_run(session, uid)
            rows = session.scalars(select(Note).where(Note.run_id == run_id).order_by(Note.id))
            return [NoteRecord(id=row.id, text=row.text, created=from_us(row.created_us)) for row in rows]

    def events(self, uid: str | None = None, *, after: int = 0, limit: int = 1000) -> list[EventRecord]:
        """What happened since the event `after`, in one run or all, oldest first."""
        with self._database.read() as session:
            statement = select(Event, Run.uid).join(Run, Run.id == Event.run_id).where(Event.id > after)
            if uid is not None:
                statement = statement.where(Event.run_id == require_run(session, uid))
            rows = session.execute(statement.order_by(Event.id).limit(limit))
            return [
                EventRecord(id=row.id, run=run, at=from_us(row.at_us), kind=row.kind, body=row.body)
                for row, run in rows
            ]

    def experiments(self) -> dict[str, int]:
        """The experiments and how many top-level runs each has, by name."""
        with self._database.read() as session:
            rows = session.execute(
                select(Experiment.name, func.count(Run.id).label("runs"))
                .outerjoin(
                    Run, (Run.experiment_id == Experiment.id) & Run.number.is_not(None) & Run.deleted_us.is_(None)
                )
                .where(Experiment.deleted_us.is_(None))
                .group_by(Experiment.name)
                .order_by(Experiment.name)
            )
            return {row.name: row.runs for row in rows}

    def _parent(self, uid: str) -> str | None:
        with self._database.read() as session:
            parent_id = session.get_one(Run, require_run(session, uid)).parent_id
            return None if parent_id is None else session.get_one(Run, parent_id).uid


def _require_rounds(session: Session, uid: str) -> int:
    """The id of a run that has rounds: a federated training, or a trial or the model of a federated search."""
    kind = session.scalar(select(Run.kind).where(Run.uid == uid))
    return require_run(session, uid, kind=kind if kind in {"trial", "retrain"} else "federated")


def _read_search(session: Session, run_id: int) -> SearchRecord:
    search = session.get_one(Search, run_id)
    return SearchRecord(
        run=read_runs(session, [run_id])[run_id],
        space=search.space,
        space_sha256=search.space_sha256,
        sampler=search.sampler,
        pruner=search.pruner,
        objectives=[(metric, direction) for metric, direction in search.objectives],
        trials=search.trials,
        study_name=search.study_name,
        space_document=search.space_document,
    )


def _read_trial(session: Session, run_id: int) -> TrialRecord:
    trial, architecture = session.execute(
        select(Trial, Architecture)
        .join(Architecture, Architecture.id == Trial.architecture_id)
        .where(Trial.run_id == run_id)
    ).one()
    return _trial_record(trial, architecture, read_runs(session, [run_id])[run_id])


def _curve_names(session: Session, run_id: int) -> Mapping[int, str]:
    rows = session.execute(
        select(Name.id, Name.name)
        .join(Metric, Metric.name_id == Name.id)
        .where(Metric.run_id == run_id, Metric.points > 0)
        .order_by(Name.name)
    )
    return {row.id: row.name for row in rows}


def _read_curve(session: Session, run_id: int, name_id: int, name: str) -> Curve:
    steps, values, at_ms = read_points(session.connection(), run_id, name_id)
    return Curve(name, steps, values, at_ms / 1000)


def _summary(row: Metric) -> MetricSummary:
    return MetricSummary(
        value=from_column(row.value),
        reported=row.reported,
        points=row.points,
        first_step=row.first_step,
        last_step=row.last_step,
        last=from_column(row.last) if row.points else None,
        min=row.min,
        min_step=row.min_step,
        max=row.max,
        max_step=row.max_step,
    )


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
        flat=trial.flat,
        cause=trial.cause,
        cpu_seconds=trial.cpu_seconds,
        peak_memory_bytes=trial.peak_memory_bytes,
        rung=trial.rung,
        wall_seconds=trial.wall_seconds,
        transferred_bytes=trial.transferred_bytes,
    )

"""Writing the history.

Each verb but `log` is one transaction: when it returns, killing the process loses nothing of it. `log` puts points into
a buffer and returns in microseconds; killing the process may lose those of the last quarter of a second, and `flush`,
`finish` and `close` wait for them. Rounds and what is published also survive a power cut.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session
from ulid import ULID

from ..core import ConfigError
from . import process
from .artifacts import ArtifactStore, StoredFile
from .clock import now_us
from .control import take_search
from .database import Database, serialise
from .environment import EnvironmentEntry, describe_environment
from .errors import RunBusyError, StorageError
from .history import History
from .lineage import link
from .model_files import MEDIA_TYPES, MODEL_ROLE
from .models import (
    Artifact,
    Ceremony,
    Dataset,
    Environment,
    Event,
    Experiment,
    Federation,
    Lease,
    Lineage,
    Meta,
    Param,
    Round,
    Run,
    RunArtifact,
    RunDataset,
    Search,
    to_column,
    to_us,
)
from .names import NameBook, check_name
from .params import Scalar, flatten_params, param_row, storable
from .points import Point, put_figures, put_points
from .records import (
    ArchitectureEntry,
    CeremonyEntry,
    ChildKind,
    ContributionRecord,
    DatasetEntry,
    EndState,
    FederatedRecord,
    OutcomeEntry,
    ProposalEntry,
    RoundRecord,
    RunKind,
    SearchRecord,
)
from .round_rows import ROUND_FIGURES, put_round, put_round_figures, see_node, see_nodes
from .runs import require_run, study_name
from .trials import TrialRecorder
from .upsert import ensure_row, ensure_rows, insert, put_rows
from .writer import PointWriter, RunKey

Curves = Mapping[str, Mapping[int, float]]  # name -> step -> value; any float, NaN too
Config = Mapping[str, Any]  # JSON
DEFAULT_EXPERIMENT = "default"


class Tracker:
    """Writes what a process runs. Its verbs may be called from several threads.

    Args:
        database: stays the caller's, who closes the tracker before it.
        experiment: the name that top-level runs are gathered under; made when the first one starts.
        clock: tells the time in microseconds UTC.
    """

    def __init__(
        self, database: Database, *, experiment: str = DEFAULT_EXPERIMENT, clock: Callable[[], int] = now_us
    ) -> None:
        check_name(experiment)
        self._database = database
        self._experiment = experiment
        self._history = History(database)
        self._clock = clock
        self._names = NameBook(database)
        self._points = PointWriter(database, self._names)
        self._trials = TrialRecorder(database, self._names, environment=lambda: self._environment, clock=clock)
        self._runs: dict[str, RunKey] = {}  # that points were logged for

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write the points that wait; the tracker is not used after it."""
        self._points.close()

    @cached_property
    def _environment(self) -> EnvironmentEntry:
        return describe_environment()

    def start_search(
        self,
        *,
        name: str,
        seed: int,
        config: Config,
        dataset: DatasetEntry,
        space: str,
        space_sha256: str,
        sampler: str,
        pruner: str,
        trials: int,
        objectives: Sequence[tuple[str, str]] = (("val_accuracy", "maximize"),),
        space_document: Config | None = None,
    ) -> SearchRecord:
        """Start a search of `trials` planned trials in `space`, under the next free number."""
        params = self._prepare(config)
        with self._database.write() as session:
            run = self._start(session, kind="search", name=name, seed=seed, config=config, dataset=dataset)
            self._put_params(session, run, params)
            session.add(
                Search(
                    run_id=run.id,
                    space=space,
                    space_sha256=space_sha256,
                    sampler=sampler,
                    pruner=pruner,
                    objectives=[list(objective) for objective in objectives],
                    trials=trials,
                    study_name=study_name(run.uid),
                    space_document=None if space_document is None else dict(space_document),
                )
            )
            uid = run.uid
        return self._history.search(uid)

    def start_federated(
        self,
        *,
        name: str,
        seed: int,
        config: Config,
        dataset: DatasetEntry | None,
        clients: int,
        rounds: int,
        strategy: str,
        scheme: str,
        alpha: float | None,
        model_run: str | None,
        spec: Mapping[str, Any],
        min_clients: int | None = None,
        privacy: Config | None = None,
        flwr_run_id: str | None = None,
    ) -> FederatedRecord:
        """Start a federated training of the network `spec`, which the run `model_run` found, if one did."""
        params = self._prepare(config)
        with self._database.write() as session:
            model_run_id = None if model_run is None else require_run(session, model_run)
            origin = None if model_run_id is None else _retrained(session, model_run_id)
            run = self._start(session, kind="federated", name=name, seed=seed, config=config, dataset=dataset)
            self._put_params(session, run, params)
            session.add(
                Federation(
                    run_id=run.id,
                    clients=clients,
                    rounds=rounds,
                    strategy=strategy,
                    scheme=scheme,
                    alpha=alpha,
                    flwr_run_id=flwr_run_id,
                    min_clients=min_clients,
                    privacy=None if privacy is None else dict(privacy),
                    model_run_id=model_run_id,
                    spec=dict(spec),
                )
            )
            link(session, (("run", origin), "network of", ("run", run.id)))
            uid = run.uid
        return self._history.federated(uid)

    def start_trial(
        self,
        search_uid: str,
        *,
        number: int,
        architecture: ArchitectureEntry,
        hyperparameters: Config,
        seed: int,
        optuna_number: int | None,
    ) -> str:
        """Start the next attempt at trial `number` of a search; the attempt's uid, which also names the candidate."""
        entry = ProposalEntry(
            number=number,
            architecture=architecture,
            hyperparameters=hyperparameters,
            seed=seed,
            optuna_number=optuna_number,
        )
        return self.record_proposals(search_uid, [entry])[number]

    def record(
        self, search_uid: str, *, outcomes: Iterable[OutcomeEntry] = (), proposals: Sequence[ProposalEntry] = ()
    ) -> dict[int, str]:
        """End some trials of a search and start others, in one transaction: all of it is written, or nothing.

        The leases of trials that end go. A trial that was tried before gets its next attempt; earlier ones that still
        run are interrupted, and whoever holds a lease of them finds that out. Recording an outcome twice is harmless.

        Args:
            search_uid: the search.
            outcomes: of trials of the search.
            proposals: each number once.

        Returns:
            The uids of the attempts that start, by the number of the trial.

        Raises:
            ConfigError: a trial is completed and its outcome says otherwise; a value that cannot be.
            UnknownRunError: there is no such search, or it has no such trial.
            RunBusyError: another process has taken the search over.
        """
        self._points.flush()
        return self._trials.record(search_uid, outcomes=outcomes, proposals=proposals)

    def record_proposals(self, search_uid: str, entries: Sequence[ProposalEntry]) -> dict[int, str]:
        """Start some trials of a search, their uids by number; see `record`."""
        return self.record(search_uid, proposals=entries)

    def record_outcomes(self, search_uid: str, entries: Iterable[OutcomeEntry]) -> None:
        """End some trials of a search; see `record`."""
        self.record(search_uid, outcomes=entries)

    def start_child(
        self, parent_uid: str, *, kind: ChildKind = "retrain", seed: int, config: Config, origin: str | None = None
    ) -> str:
        """Start a run below another one, as the retraining of a search's best; its uid.

        Args:
            parent_uid: the run it belongs to.
            kind: what it is.
            seed: of its randomness.
            config: what it was made with.
            origin: uid of the run whose result it goes on with; the parent by default.
        """
        params = self._prepare(config)
        with self._database.write() as session:
            parent = session.get_one(Run, require_run(session, parent_uid))
            _refuse_deleted(parent)
            run = self._start(session, kind=kind, name=parent.name, seed=seed, config=config, parent=parent)
            self._put_params(session, run, params)
            relation = {"retrain": "retrained as", "eval": "evaluated as", "export": "exported as"}[kind]
            link(session, (("run", require_run(session, origin or parent_uid)), relation, ("run", run.id)))
            return run.uid

    def start_run(
        self,
        name: str,
        *,
        kind: RunKind = "train",
        seed: int = 0,
        config: Config | None = None,
        dataset: DatasetEntry | None = None,
    ) -> str:
        """Start a run of one's own, of any program: its uid. Its configuration can be asked by; see `history query`."""
        if kind in {"search", "federated", "trial"}:
            raise ConfigError(f"a {kind} has a verb of its own: start_{kind}")
        params = self._prepare(config or {})
        with self._database.write() as session:
            run = self._start(session, kind=kind, name=name, seed=seed, config=config or {}, dataset=dataset)
            self._put_params(session, run, params)
            return run.uid

    def resume(self, uid: str) -> None:
        """Take a search or federated training over, to go on where it stopped; what was running in it is interrupted.

        Trials that are offered to workers, or that one of them has or has reported, go on without their broker.

        Raises:
            ConfigError: it is finished, or no top-level run.
            RunBusyError: another live process of this machine has it, or a search's broker on another machine said a
                moment ago that it lives. Of a federated training, processes of other machines cannot be seen.
        """
        with self._database.write() as session:
            run = session.get_one(Run, require_run(session, uid), with_for_update=True)
            if run.number is None:
                raise ConfigError(f"run {uid} is a {run.kind}: only searches and federated trainings are resumed")
            _refuse_deleted(run)
            if run.state == "completed":
                raise ConfigError(f"run {run.number} ({uid}) is already finished", hint="start a new one")
            here = run.host == process.host() and run.pid != os.getpid()
            if run.state == "running" and here and process.is_alive(run.pid, run.born):
                raise RunBusyError(
                    f"run {run.number} ({uid}) is in the hands of process {run.pid}", hint="wait for it, or stop it"
                )
            if run.kind == "search":
                take_search(session, run)
            self._interrupt_children(session, run)
            run.state, run.ended_us, run.error = "running", None, None
            run.host, run.pid, run.born = process.host(), os.getpid(), process.birth(os.getpid())
            self._tell(session, run.id, "resumed")

    def resume_child(self, uid: str) -> None:
        """Take a run below another one over, to go on where it stopped; the other one is this process's.

        Raises:
            ConfigError: it is finished, or no such run.
        """
        with self._database.write() as session:
            run = session.get_one(Run, require_run(session, uid), with_for_update=True)
            if run.number is not None or run.state == "completed":
                raise ConfigError(f"run {uid} is a {run.kind} that is {run.state}: it is not gone on with")
            run.state, run.ended_us, run.error = "running", None, None
            run.host, run.pid, run.born = process.host(), os.getpid(), process.birth(os.getpid())
            self._tell(session, run.id, "resumed")

    def log(self, uid: str, figures: Mapping[str, float], *, step: int) -> None:
        """Add one point to each of some curves of a run, in microseconds; a point that is there already is replaced.

        The point is in the database within a quarter of a second, or after `flush`. Where the database is slower than
        the caller, this waits rather than forget.

        Args:
            uid: the run.
            figures: by name; any float, NaN and infinities too. Copied.
            step: where on the curve, such as the epoch or the round.

        Raises:
            ConfigError: not a step, a name or a number.
            UnknownRunError: there is no such run.
            StorageError: earlier points could not be written; they are kept and tried again.
        """
        self._points.put(self._runs.get(uid) or self._find(uid), step, figures)

    def flush(self) -> None:
        """Wait until every logged point is in the database.

        Raises:
            StorageError: they cannot be written; they are kept, and the next call tries again.
        """
        self._points.flush()

    def log_points(self, uid: str, curves: Curves) -> None:
        """Add points to the curves of a run; a point that is there already is replaced. They are written on return."""
        ids = self._metric_ids(curves)
        with self._database.write() as session:
            run = session.get_one(Run, require_run(session, uid), with_for_update=True)
            put_points(session, _points_of(run, curves, ids))

    def finish(
        self,
        uid: str,
        *,
        state: EndState,
        metrics: Mapping[str, float],
        error: str | None = None,
        curves: Curves | None = None,
    ) -> None:
        """End a run with its final figures and, where they were not logged, its curves; doing it twice is harmless.

        What still runs below it is interrupted.

        Raises:
            ConfigError: the run is completed, and `state` says otherwise.
        """
        if state not in get_args(EndState):
            raise ConfigError(f"expected a state of {', '.join(get_args(EndState))}, got {state!r}")
        self._points.flush()
        ids = self._metric_ids({*metrics, *(curves or {})})
        with self._database.write() as session:
            run = session.get_one(Run, require_run(session, uid), with_for_update=True)
            if run.state == "completed" and state != "completed":
                raise ConfigError(f"run {uid} is completed and cannot become {state}")
            if run.ended_us is None:
                run.ended_us = self._clock()
            run.state, run.error = state, None if error is None else storable(error)
            session.execute(delete(Lease).where((Lease.run_id == run.id) | (Lease.search_id == run.id)))
            self._interrupt_children(session, run)
            put_points(session, _points_of(run, curves or {}, ids))
            put_figures(session, {(run.id, ids[name]): float(value) for name, value in metrics.items()})
            self._tell(session, run.id, "ended", state=state)

    def record_artifact(self, uid: str, path: Path, *, role: str, name: str | None = None, media_type: str) -> None:
        """Keep a file that a run made, under its hash, as `name` of its `role`; what was there before is replaced.

        Raises:
            StorageError: the file cannot be read or copied.
        """
        self._record_files(uid, role, {name or path.name: (self._store.add(path), media_type)})

    def record_model(self, uid: str, folder: Path) -> None:
        """Keep the files of a model folder that a run saved in `Database.models_dir`, under the role "model"."""
        files = {
            path.name: (self._store.add(path), MEDIA_TYPES.get(path.suffix, "application/octet-stream"))
            for path in sorted(folder.iterdir())
            if path.is_file()
        }
        self._record_files(uid, MODEL_ROLE, files)

    @contextmanager
    def ending(self, uid: str) -> Generator[None]:
        """End a run as failed or interrupted if the block raises, unless it is completed by then or another process has
        taken it over: how it goes on is for that one to say.

        What is raised goes on; if the history cannot be written either, a note on it says so.
        """
        try:
            yield
        except BaseException as exc:
            interrupted = not isinstance(exc, Exception)
            reason = "interrupted" if interrupted else f"{type(exc).__name__}: {exc}"
            try:
                if self._is_held(uid):
                    self.finish(uid, state="interrupted" if interrupted else "failed", metrics={}, error=reason)
            except ConfigError:
                pass  # completed: what came after does not change that
            except StorageError as second:
                exc.add_note(f"and its end could not be written to the history: {second}")
            raise

    def record_site(
        self, uid: str, name: str, *, dataset: DatasetEntry | None = None, public_key_sha256: str | None = None
    ) -> None:
        """A site takes part in a federated training, with data of which it tells a keyed fingerprint, or nothing."""
        self.record_sites(
            uid, {name: dataset}, public_keys={} if public_key_sha256 is None else {name: public_key_sha256}
        )

    def record_sites(
        self, uid: str, sites: Mapping[str, DatasetEntry | None], *, public_keys: Mapping[str, str] | None = None
    ) -> None:
        """Sites take part in a federated training; see `record_site`.

        Args:
            uid: the run.
            sites: what each tells of its data, by name; None: nothing.
            public_keys: SHA-256 of public keys by name of the site, where known.
        """
        with self._database.write() as session:
            run_id = require_run(session, uid, kind="federated")
            serialise(session)
            see_nodes(session, list(sites), self._clock())
            for name, key in (public_keys or {}).items():
                see_node(session, name, self._clock(), key)
            rows = {f"site/{name}": _dataset_row(entry) for name, entry in sites.items() if entry is not None}
            ids = ensure_rows(session, Dataset, "fingerprint", list(rows.values()))
            roles = {role: ids[row["fingerprint"]] for role, row in rows.items()}
            put_rows(
                session,
                RunDataset,
                [{"run_id": run_id, "role": role, "dataset_id": dataset_id} for role, dataset_id in roles.items()],
            )
            for dataset_id in roles.values():
                link(session, (("dataset", dataset_id), "trained on at a site by", ("run", run_id)))

    def record_ceremony(self, entry: CeremonyEntry, *, run: str | None = None) -> str:
        """A key was made for some sites: its names and hashes, never a secret. Its uid."""
        uid = str(ULID())
        with self._database.write(durable=True) as session:
            run_id = None if run is None else require_run(session, run)
            ceremony = Ceremony(
                uid=uid,
                run_id=run_id,
                scheme=entry.scheme,
                key_id=entry.key_id,
                parameters_sha256=entry.parameters_sha256,
                public_key_sha256=entry.public_key_sha256,
                members=list(entry.members),
                threshold=entry.threshold,
                state=entry.state,
                started_us=to_us(entry.started),
                ended_us=None if entry.ended is None else to_us(entry.ended),
            )
            session.add(ceremony)
            session.flush()
            if run_id is not None:
                link(session, (("ceremony", ceremony.id), "key of", ("run", run_id)))
        return uid

    def record_round(
        self,
        uid: str,
        round: RoundRecord,
        contributions: Sequence[ContributionRecord],
        *,
        and_then: Callable[[Session], object] = lambda session: None,
    ) -> None:
        """Record a round of a federated training with what each site gave; a round recorded before is replaced, but for
        figures that were reported since.

        Args:
            uid: the run.
            round: what the round decided.
            contributions: one per site that was asked.
            and_then: written in the same transaction, as what the round cost in privacy.
        """
        ids = self._names.ids(ROUND_FIGURES)
        with self._database.write(durable=True) as session:
            serialise(session)  # before any row is locked: others take them in this order
            run = session.get_one(Run, require_run(session, uid, kind="federated"), with_for_update=True)
            put_round(session, run, round, contributions, ids=ids, now_us=self._clock())
            state, count = round.state, round.participants
            self._tell(session, run.id, "round", number=round.number, state=state, participants=count)
            and_then(session)

    def update_round_metrics(self, uid: str, number: int, *, loss: float | None, accuracy: float | None) -> None:
        """Add the figures of a recorded round, which the sites report once they have decrypted its result."""
        ids = self._names.ids(ROUND_FIGURES)
        with self._database.write() as session:
            run = session.get_one(Run, require_run(session, uid, kind="federated"), with_for_update=True)
            if session.get(Round, (run.id, number)) is None:
                raise ConfigError(f"run {uid} has no round {number}", hint="record the round first")
            put_round_figures(session, run, number, loss, accuracy, ids=ids)
            self._tell(session, run.id, "round figures", number=number)

    def _prepare(self, config: Config) -> dict[str, Scalar]:
        """The parameters in a configuration, whose names get their numbers."""
        params = flatten_params(config)
        self._names.ids(params)
        _ = self._environment  # git may take its time to describe it: not while the database is locked
        return params

    def _metric_ids(self, names: Iterable[str]) -> dict[str, int]:
        for name in names:
            check_name(name)
        return self._names.ids(names)

    @cached_property
    def _store(self) -> ArtifactStore:
        return ArtifactStore(self._database.artifacts_dir)

    def _find(self, uid: str) -> RunKey:
        with self._database.read() as session:
            run = session.get_one(Run, require_run(session, uid))
            key = self._runs[uid] = RunKey(run.id, run.started_us)
        return key

    def _start(
        self,
        session: Session,
        *,
        kind: RunKind,
        name: str,
        seed: int,
        config: Config,
        dataset: DatasetEntry | None = None,
        parent: Run | None = None,
    ) -> Run:
        if not 0 <= seed < 2**63:
            raise ConfigError(f"expected 0 <= seed < 2**63, got {seed}")
        serialise(session)  # numbers and attempts are counted on from the last one
        environment_id = ensure_row(session, Environment, "sha256", asdict(self._environment))
        number = None if parent is not None else _next_number(session)
        run = Run(
            uid=str(ULID()),
            number=number,
            kind=kind,
            state="running",
            experiment_id=self._experiment_id(session) if parent is None else parent.experiment_id,
            parent_id=parent and parent.id,
            name=name,
            seed=seed,
            config=dict(config),
            environment_id=environment_id,
            host=process.host(),
            pid=os.getpid(),
            born=process.birth(os.getpid()),
            started_us=self._clock(),
        )
        session.add(run)
        session.flush()  # for its key
        if dataset is not None:
            dataset_id = ensure_row(session, Dataset, "fingerprint", _dataset_row(dataset))
            session.add(RunDataset(run_id=run.id, role="data", dataset_id=dataset_id))
            link(session, (("dataset", dataset_id), "trained on by", ("run", run.id)))
        self._tell(session, run.id, "started")
        return run

    def _experiment_id(self, session: Session) -> int:
        found = session.scalar(
            select(Experiment.id).where(Experiment.name == self._experiment, Experiment.deleted_us.is_(None))
        )
        if found is not None:
            return found
        made = Experiment(uid=str(ULID()), name=self._experiment, created_us=self._clock())
        session.add(made)
        session.flush()
        return made.id

    def _put_params(self, session: Session, run: Run, params: Mapping[str, Scalar]) -> None:
        ids = self._names.ids(params)  # all known by now
        rows = [{"run_id": run.id, "name_id": ids[name], **param_row(value)} for name, value in params.items()]
        put_rows(session, Param, rows)

    def _record_files(self, uid: str, role: str, files: Mapping[str, tuple[StoredFile, str]]) -> None:
        with self._database.write() as session:
            serialise(session)
            run_id = require_run(session, uid)
            for name, (file, media_type) in files.items():
                if file.sha256 not in self._store:  # `compact` removed it, when no row spoke of it yet
                    raise StorageError(f"the content of {name} is gone from {self._database.artifacts_dir}")
                row = {
                    "sha256": file.sha256,
                    "size_bytes": file.size_bytes,
                    "media_type": media_type,
                    "created_us": self._clock(),
                }
                artifact_id = ensure_row(session, Artifact, "sha256", row)
                put_rows(
                    session,
                    RunArtifact,
                    [{"run_id": run_id, "role": role, "name": name, "artifact_id": artifact_id}],
                )
                link(session, (("run", run_id), "saved", ("artifact", artifact_id)))
            still = select(RunArtifact.artifact_id).where(RunArtifact.run_id == run_id)
            replaced = (Lineage.source_kind == "run") & (Lineage.source_id == run_id) & (Lineage.relation == "saved")
            session.execute(delete(Lineage).where(replaced, Lineage.target_id.not_in(still)))

    def _is_held(self, uid: str) -> bool:
        """Whether this process has a run."""
        with self._database.read() as session:
            run = session.get_one(Run, require_run(session, uid))
            return process.is_own(run.host, run.pid, run.born)

    def _interrupt_children(self, session: Session, run: Run) -> None:
        at_workers = select(Lease.run_id).where(Lease.search_id == run.id)  # where their leases were left to them
        session.execute(
            update(Run)
            .where(Run.parent_id == run.id, Run.state == "running", Run.id.not_in(at_workers))
            .values(state="interrupted", ended_us=self._clock())
        )

    def _tell(self, session: Session, run_id: int, kind: str, **body: Any) -> None:
        session.execute(
            insert(session, Event), [{"run_id": run_id, "at_us": self._clock(), "kind": kind, "body": body}]
        )


_LAST_NUMBER = "last_number"  # in `nst_meta`


def _points_of(run: Run, curves: Curves, ids: Mapping[str, int]) -> dict[tuple[int, int], list[Point]]:
    """Points that were not logged when they came up: nobody knows when that was."""
    return {
        (run.id, ids[name]): [(int(step), to_column(value), None) for step, value in curve.items()]
        for name, curve in curves.items()
    }


def _retrained(session: Session, run_id: int) -> int:
    """The run whose network a run has as its own: of a search that ended, the retraining of its best trial."""
    retrained = select(func.max(Run.id)).where(Run.parent_id == run_id, Run.kind == "retrain", Run.state == "completed")
    return session.scalar(retrained) or run_id


def _refuse_deleted(run: Run) -> None:
    if run.deleted_us is not None:
        raise ConfigError(f"run {run.uid} is deleted", hint=f"bring it back: nasturtium history restore {run.uid}")


def _next_number(session: Session) -> int:
    """The number of the next top-level run: those of purged runs are not given again."""
    last = session.get(Meta, _LAST_NUMBER)
    number = max(int(last.value) if last else 0, session.scalar(select(func.max(Run.number))) or 0) + 1
    put_rows(session, Meta, [{"key": _LAST_NUMBER, "value": str(number)}])
    return number


def _dataset_row(entry: DatasetEntry) -> dict[str, Any]:
    return {
        "fingerprint": entry.fingerprint,
        "keyed": entry.keyed,
        "name": entry.name,
        "rows": entry.rows,
        "body": dict(entry.body),
    }

"""Writing the history. Each verb is one transaction: when it returns, killing the process loses nothing of it."""

import hashlib
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from ulid import ULID

from ..core import ConfigError, weights_file
from . import process
from .database import Database, serialise
from .environment import describe_environment
from .errors import RunBusyError, StorageError, UnknownRunError
from .history import HINT, History, require_run
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
    split_special,
    to_us,
)
from .records import (
    ArchitectureEntry,
    ChildKind,
    ContributionRecord,
    DatasetEntry,
    EndState,
    FederatedRecord,
    RoundRecord,
    RunKind,
    SearchRecord,
)
from .upsert import ensure_row, put_rows

Curves = Mapping[str, Mapping[int, float]]  # name -> step -> value; any float, NaN too


def now_us() -> int:
    """The time now, microseconds UTC."""
    return time.time_ns() // 1000


class Tracker:
    """Writes what a process runs. Its verbs may be called from several threads.

    Args:
        database: stays the caller's, who closes it.
        clock: tells the time in microseconds UTC.
    """

    def __init__(self, database: Database, *, clock: Callable[[], int] = now_us) -> None:
        self._database = database
        self._history = History(database)
        self._clock = clock
        self._environment = describe_environment()

    def start_search(
        self,
        *,
        name: str,
        seed: int,
        config: Mapping[str, Any],
        dataset: DatasetEntry,
        space: str,
        space_sha256: str,
        sampler: str,
        pruner: str,
        trials: int,
    ) -> SearchRecord:
        """Start a search of `trials` planned trials in `space`, under the next free number."""
        with self._database.write() as session:
            run = self._start(session, kind="search", name=name, seed=seed, config=config, dataset=dataset)
            session.add(
                Search(
                    run_id=run.id,
                    space=space,
                    space_sha256=space_sha256,
                    sampler=sampler,
                    pruner=pruner,
                    trials=trials,
                    study_name=f"nasturtium-{run.uid}",
                )
            )
            uid = run.uid
        return self._history.search(uid)

    def start_federated(
        self,
        *,
        name: str,
        seed: int,
        config: Mapping[str, Any],
        dataset: DatasetEntry | None,
        clients: int,
        rounds: int,
        strategy: str,
        scheme: str,
        alpha: float | None,
        model_run: str | None,
        spec: Mapping[str, Any],
    ) -> FederatedRecord:
        """Start a federated training of the network `spec`, which the run `model_run` found, if one did."""
        with self._database.write() as session:
            model_run_id = None if model_run is None else require_run(session, model_run)
            run = self._start(session, kind="federated", name=name, seed=seed, config=config, dataset=dataset)
            session.add(
                Federation(
                    run_id=run.id,
                    clients=clients,
                    rounds=rounds,
                    strategy=strategy,
                    scheme=scheme,
                    alpha=alpha,
                    model_run_id=model_run_id,
                    spec=dict(spec),
                )
            )
            uid = run.uid
        return self._history.federated(uid)

    def start_trial(
        self,
        search_uid: str,
        *,
        number: int,
        architecture: ArchitectureEntry,
        hyperparameters: Mapping[str, Any],
        seed: int,
        optuna_number: int | None,
    ) -> str:
        """Start the next attempt at trial `number` of a search; the attempt's uid, which also names the candidate."""
        with self._database.write() as session:
            search = session.get_one(Run, require_run(session, search_uid, kind="search"))
            run = self._start(session, kind="trial", name=search.name, seed=seed, config={}, parent=search)
            attempts = session.scalar(
                select(func.max(Trial.attempt)).where(Trial.search_id == search.id, Trial.number == number)
            )
            session.add(
                Trial(
                    run_id=run.id,
                    search_id=search.id,
                    number=number,
                    attempt=(attempts or 0) + 1,
                    architecture_id=ensure_row(session, Architecture, "sha256", _architecture_row(architecture)),
                    hyperparameters=dict(hyperparameters),
                    optuna_number=optuna_number,
                )
            )
            return run.uid

    def start_child(self, parent_uid: str, *, kind: ChildKind = "retrain", seed: int, config: Mapping[str, Any]) -> str:
        """Start a run below another one, as the retraining of a search's best; its uid."""
        with self._database.write() as session:
            parent = session.get_one(Run, require_run(session, parent_uid))
            return self._start(session, kind=kind, name=parent.name, seed=seed, config=config, parent=parent).uid

    def resume(self, uid: str) -> None:
        """Take a search or federated training over, to go on where it stopped; what was running in it is interrupted.

        Raises:
            ConfigError: it is finished, or no top-level run.
            RunBusyError: another live process of this machine has it. Processes of other machines cannot be seen.
        """
        with self._database.write() as session:
            run = session.get_one(Run, require_run(session, uid), with_for_update=True)
            if run.number is None:
                raise ConfigError(f"run {uid} is a {run.kind}: only searches and federated trainings are resumed")
            if run.state == "completed":
                raise ConfigError(f"run {run.number} ({uid}) is already finished", hint="start a new one")
            here = run.host == process.host() and run.pid != os.getpid()
            if run.state == "running" and here and process.is_alive(run.pid, run.born):
                raise RunBusyError(
                    f"run {run.number} ({uid}) is in the hands of process {run.pid}", hint="wait for it, or stop it"
                )
            self._interrupt_children(session, run)
            run.state, run.ended_us, run.error = "running", None, None
            run.host, run.pid, run.born = process.host(), os.getpid(), process.birth(os.getpid())

    def log_points(self, uid: str, curves: Curves) -> None:
        """Add points to the curves of a run; a point that is there already is replaced."""
        with self._database.write() as session:
            _put_points(session, require_run(session, uid), curves)

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
        with self._database.write() as session:
            run = session.get_one(Run, require_run(session, uid), with_for_update=True)
            if run.state == "completed" and state != "completed":
                raise ConfigError(f"run {uid} is completed and cannot become {state}")
            if run.ended_us is None:
                run.ended_us = self._clock()
            run.state, run.error = state, None if error is None else _storable(error)
            self._interrupt_children(session, run)
            put_rows(session, Metric, [{"run_id": run.id, "name": name, **_split(x)} for name, x in metrics.items()])
            _put_points(session, run.id, curves or {})

    def record_artifact(self, uid: str, *, role: str, path: str, sha256: str, size_bytes: int) -> None:
        """Say what a run left behind as its `role`; what it had said before is replaced."""
        row = {"role": role, "path": path, "sha256": sha256, "size_bytes": size_bytes}
        with self._database.write() as session:
            run_id = require_run(session, uid)
            put_rows(session, Artifact, [{"run_id": run_id, **row}], key=("run_id", "role"))

    def record_model(self, uid: str, folder: Path) -> None:
        """Record the model folder that a run saved in `Database.models_dir`, as its artifact of the role "model"."""
        weights = weights_file(folder).read_bytes()
        sha256 = hashlib.sha256(weights).hexdigest()
        self.record_artifact(uid, role="model", path=folder.name, sha256=sha256, size_bytes=len(weights))

    @contextmanager
    def ending(self, uid: str) -> Generator[None]:
        """End a run as failed or interrupted if the block raises, unless it is completed by then.

        What is raised goes on; if the history cannot be written either, a note on it says so.
        """
        try:
            yield
        except BaseException as exc:
            interrupted = not isinstance(exc, Exception)
            reason = "interrupted" if interrupted else f"{type(exc).__name__}: {exc}"
            try:
                self.finish(uid, state="interrupted" if interrupted else "failed", metrics={}, error=reason)
            except ConfigError:
                pass  # completed: what came after does not change that
            except StorageError as second:
                exc.add_note(f"and its end could not be written to the history: {second}")
            raise

    def record_round(self, uid: str, round: RoundRecord, contributions: Sequence[ContributionRecord]) -> None:
        """Record a round of a federated training with what each client gave; a round recorded before is replaced."""
        with self._database.write() as session:
            run_id = require_run(session, uid, kind="federated")
            put_rows(session, Round, [{"run_id": run_id, **_round_row(round)}])
            key = {"run_id": run_id, "round": round.number}
            put_rows(session, Contribution, [{**key, **asdict(each)} for each in contributions])

    def update_round_metrics(self, uid: str, number: int, *, loss: float | None, accuracy: float | None) -> None:
        """Add the figures of a recorded round, which the sites report once they have decrypted its result."""
        with self._database.write() as session:
            round = session.get(Round, (require_run(session, uid, kind="federated"), number))
            if round is None:
                raise UnknownRunError(f"run {uid} has no round {number}", hint=HINT)
            round.loss, round.loss_special = split_special(loss)
            round.accuracy, round.accuracy_special = split_special(accuracy)

    def _start(
        self,
        session: Session,
        *,
        kind: RunKind,
        name: str,
        seed: int,
        config: Mapping[str, Any],
        dataset: DatasetEntry | None = None,
        parent: Run | None = None,
    ) -> Run:
        if not 0 <= seed < 2**63:
            raise ConfigError(f"expected 0 <= seed < 2**63, got {seed}")
        serialise(session)  # numbers and attempts are counted on from the last one
        environment_id = ensure_row(session, Environment, "sha256", asdict(self._environment))
        if parent is not None:
            number, dataset_id = None, parent.dataset_id
        else:
            number = (session.scalar(select(func.max(Run.number))) or 0) + 1
            dataset_id = dataset and ensure_row(session, Dataset, "fingerprint", _dataset_row(dataset))
        run = Run(
            uid=str(ULID()),
            number=number,
            kind=kind,
            state="running",
            parent_id=parent and parent.id,
            name=name,
            seed=seed,
            config=dict(config),
            environment_id=environment_id,
            dataset_id=dataset_id,
            host=process.host(),
            pid=os.getpid(),
            born=process.birth(os.getpid()),
            started_us=self._clock(),
        )
        session.add(run)
        session.flush()  # for its key
        return run

    def _interrupt_children(self, session: Session, run: Run) -> None:
        session.execute(
            update(Run)
            .where(Run.parent_id == run.id, Run.state == "running")
            .values(state="interrupted", ended_us=self._clock())
        )


def _put_points(session: Session, run_id: int, curves: Curves) -> None:
    points = [
        {"run_id": run_id, "name": name, "step": int(step), **_split(value)}
        for name, curve in curves.items()
        for step, value in curve.items()
    ]
    put_rows(session, MetricPoint, points)


def _split(figure: float) -> dict[str, Any]:
    value, special = split_special(figure)
    return {"value": value, "special": special}


def _storable(message: str) -> str:
    # PostgreSQL takes no NUL, and no driver takes half of a surrogate pair; messages of others may hold both.
    return message.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _dataset_row(entry: DatasetEntry) -> dict[str, Any]:
    return {"fingerprint": entry.fingerprint, "name": entry.name, "rows": entry.rows, "body": dict(entry.body)}


def _architecture_row(entry: ArchitectureEntry) -> dict[str, Any]:
    return {
        "sha256": entry.sha256,
        "space": entry.space,
        "choices": dict(entry.choices),
        "spec": dict(entry.spec),
        "parameters": entry.parameters,
        "macs": entry.macs,
    }


def _round_row(record: RoundRecord) -> dict[str, Any]:
    row = asdict(record)
    row["started_us"] = to_us(row.pop("started"))
    row["loss"], row["loss_special"] = split_special(record.loss)
    row["accuracy"], row["accuracy_special"] = split_special(record.accuracy)
    return row

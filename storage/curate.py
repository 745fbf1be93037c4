"""What people do to runs afterwards: words and notes on them; deleting, restoring, and purging for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import delete, inspect, select, text, update
from sqlalchemy.orm import Session

from ..core import ConfigError
from . import process
from .artifacts import ArtifactStore
from .clock import now_us
from .database import Database, serialise
from .errors import RunBusyError
from .models import (
    MAX_PARAM_LETTERS,
    Alias,
    Artifact,
    Deployment,
    Experiment,
    Lineage,
    ModelVersion,
    Note,
    Run,
    RunArtifact,
    Search,
    Tag,
)
from .names import NameBook, check_name, find_names
from .runs import require_run, study_name
from .upsert import put_rows

MAX_TEXT_LETTERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Purged:
    """What was removed for good, or would be."""

    runs: int
    artifacts: int
    size_bytes: int
    kept: int = 0  # deleted runs that stay: somebody is at them, or their model has an alias or is served


class Curator:
    """Changes what people may change of runs that were run. Verbs take whole uids, as records carry them.

    Args:
        database: stays the caller's.
        clock: tells the time in microseconds UTC.
    """

    def __init__(self, database: Database, *, clock: Callable[[], int] = now_us) -> None:
        self._database = database
        self._clock = clock
        self._names = NameBook(database)

    def tag(self, uid: str, name: str, value: str = "") -> None:
        """Put a word on a run, with a value if there is one to it; one that is there gets the new value."""
        check_name(name)
        _check_text(value, most=MAX_PARAM_LETTERS)  # it is indexed
        name_id = self._names.ids([name])[name]
        with self._database.write() as session:
            row = {"run_id": require_run(session, uid), "name_id": name_id, "value": value, "edited_us": self._clock()}
            put_rows(session, Tag, [row])

    def untag(self, uid: str, name: str) -> bool:
        """Take a word off a run; whether it was there."""
        with self._database.write() as session:
            run_id, name_id = require_run(session, uid), find_names(session, [name]).get(name)
            gone = delete(Tag).where(Tag.run_id == run_id, Tag.name_id == name_id).returning(Tag.run_id)
            return session.execute(gone).first() is not None

    def note(self, uid: str, text: str) -> None:
        """Write something about a run."""
        _check_text(text)
        if not text.strip():
            raise ConfigError("expected a note of some letters, got none")
        with self._database.write() as session:
            session.add(Note(run_id=require_run(session, uid), text=text, created_us=self._clock()))

    def delete(self, uid: str) -> int:
        """Take a run and all below it out of every list, until it is restored or purged; how many runs that are.

        Raises:
            RunBusyError: a live process of this machine is at it.
        """
        with self._database.write() as session:
            serialise(session)
            run = session.get_one(Run, require_run(session, uid), with_for_update=True)
            if run.deleted_us is not None:
                return 0
            _refuse_busy(run)
            tree = _tree(session, run.id)
            now = self._clock()
            for chunk in _chunks(tree):
                session.execute(update(Run).where(Run.id.in_(chunk), Run.deleted_us.is_(None)).values(deleted_us=now))
            return len(tree)

    def restore(self, uid: str) -> int:
        """Take a deleted run back, with all that was deleted along with it; how many runs that are.

        Raises:
            ConfigError: it is below a run that is deleted itself.
        """
        with self._database.write() as session:
            serialise(session)
            run = session.get_one(Run, require_run(session, uid), with_for_update=True)
            if run.deleted_us is None:
                return 0
            parent = None if run.parent_id is None else session.get_one(Run, run.parent_id)
            if parent is not None and parent.deleted_us is not None:
                raise ConfigError(
                    f"run {uid} is below run {parent.uid}, which is deleted", hint=f"restore that one: {parent.uid}"
                )
            together = [
                session.scalars(select(Run.id).where(Run.id.in_(chunk), Run.deleted_us == run.deleted_us)).all()
                for chunk in _chunks(_tree(session, run.id))
            ]
            ids = [run_id for chunk in together for run_id in chunk]
            for chunk in _chunks(ids):
                session.execute(update(Run).where(Run.id.in_(chunk)).values(deleted_us=None))
            _revive_experiment(session, run)
            return len(ids)

    def purge(self, *, older_than: timedelta = timedelta(0), dry_run: bool = False) -> Purged:
        """Remove for good the runs that were deleted that long ago, with their files and their Optuna studies.

        Runs that a live process is at, and runs whose model has an alias or is served, stay with what is below them.
        What the privacy ledger says of the others stays, too: what was released cannot be taken back.
        """
        before = self._clock() - older_than // timedelta(microseconds=1)
        with self._database.write(durable=True) as session:
            serialise(session)
            kept = _kept_runs(session, before)
            doomed = [row for row in _doomed_runs(session, before) if row.id not in kept]
            ids = {row.id for row in doomed}
            # Only a study that is named after its search: a name that was imported may be somebody else's.
            studies = [row.study_name for row in doomed if row.study_name == study_name(row.uid)]
            files = [file for file in _files_of(session, before) if not _has_owner(session, file.id, ids)]
            purged = Purged(len(doomed), len(files), sum(file.size_bytes for file in files), len(kept))
            if dry_run or not doomed:
                return purged
            for chunk in _chunks([row.id for row in doomed]):
                _forget(session, "run", chunk)
                session.execute(delete(Run).where(Run.id.in_(chunk)))
            for chunk in _chunks([file.id for file in files]):
                _forget(session, "artifact", chunk)
                session.execute(delete(Artifact).where(Artifact.id.in_(chunk)))
        # Files last: a row without its file would be damage, a file without its row is only found by `db check`.
        self._remove_files([file.sha256 for file in files])
        for row in doomed:
            _remove_model(self._database, row.uid)
        _delete_studies(self._database, studies)
        return purged

    def delete_experiment(self, name: str) -> int:
        """Delete an experiment with all its runs, which gives its name free; how many runs that are.

        Raises:
            ConfigError: there is no such experiment.
            RunBusyError: a live process of this machine is at one of its runs; nothing is deleted.
        """
        with self._database.write() as session:
            serialise(session)
            found = session.scalar(select(Experiment).where(Experiment.name == name, Experiment.deleted_us.is_(None)))
            if found is None:
                raise ConfigError(f"there is no experiment {name!r}")
            runs = list(session.scalars(select(Run).where(Run.experiment_id == found.id, Run.deleted_us.is_(None))))
            for run in runs:
                _refuse_busy(run)
            found.deleted_us = self._clock()
            for run in runs:
                run.deleted_us = found.deleted_us
            return len(runs)

    def _remove_files(self, hashes: Sequence[str]) -> None:
        """Remove content that still nobody has: while the rows went, another process may have recorded it again."""
        store = ArtifactStore(self._database.artifacts_dir)
        with self._database.write() as session:
            serialise(session)
            for sha256 in hashes:
                if session.scalar(select(Artifact.id).where(Artifact.sha256 == sha256)) is None:
                    store.remove(sha256)


def _doomed_runs(session: Session, before: int) -> Sequence[Any]:
    """The deleted runs, those below before those above, and the study of each search."""
    return session.execute(
        select(Run.id, Run.uid, Search.study_name)
        .outerjoin(Search, Search.run_id == Run.id)
        .where(Run.deleted_us <= before)
        .order_by(Run.id.desc())
        .with_for_update(of=Run)
    ).all()


def _kept_runs(session: Session, before: int) -> set[int]:
    """Those of the deleted runs that are not to be purged, with what is above and below them."""
    running = session.scalars(select(Run).where(Run.deleted_us <= before, Run.state == "running"))
    here = process.host()
    kept = {run.id for run in running if run.host != here or process.is_alive(run.pid, run.born)}
    served = (
        select(Deployment.id).where(Deployment.version_id == ModelVersion.id, Deployment.stopped_us.is_(None)).exists()
    )
    named = select(Alias.alias).where(Alias.version_id == ModelVersion.id).exists()
    kept.update(
        session.scalars(
            select(Run.id)
            .join(ModelVersion, ModelVersion.run_id == Run.id)
            .where(Run.deleted_us <= before, named | served)
        )
    )
    roots = {_root(session, run_id) for run_id in kept}
    return {run_id for root in roots for run_id in _tree(session, root)}


def _root(session: Session, run_id: int) -> int:
    """The run at the top above a run."""
    while (parent := session.scalar(select(Run.parent_id).where(Run.id == run_id))) is not None:
        run_id = parent
    return run_id


def _files_of(session: Session, before: int) -> Sequence[Any]:
    """The files of deleted runs that no model is published of."""
    of_deleted = select(RunArtifact.run_id).join(Run, Run.id == RunArtifact.run_id).where(Run.deleted_us <= before)
    return session.execute(
        select(Artifact.id, Artifact.sha256, Artifact.size_bytes)
        .where(
            of_deleted.where(RunArtifact.artifact_id == Artifact.id).exists(),
            ~select(ModelVersion.id).where(ModelVersion.artifact_id == Artifact.id).exists(),
        )
        .order_by(Artifact.id)
    ).all()


def _has_owner(session: Session, artifact_id: int, without: Set[int]) -> bool:
    """Whether a run other than those has the file."""
    owners = session.scalars(select(RunArtifact.run_id).where(RunArtifact.artifact_id == artifact_id))
    return any(owner not in without for owner in owners)


def _chunks(ids: Sequence[int], size: int = 500) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _refuse_busy(run: Run) -> None:
    if run.state == "running" and run.host == process.host() and process.is_alive(run.pid, run.born):
        raise RunBusyError(f"run {run.uid} is in the hands of process {run.pid}", hint="stop it first")


def _revive_experiment(session: Session, run: Run) -> None:
    """Let the experiment of a restored run be there: itself, or the one that has its name by now."""
    experiment = session.get_one(Experiment, run.experiment_id)
    if experiment.deleted_us is None:
        return
    heir = session.scalar(select(Experiment).where(Experiment.name == experiment.name, Experiment.deleted_us.is_(None)))
    if heir is None:
        experiment.deleted_us = None
    else:
        session.execute(update(Run).where(Run.id.in_(_tree(session, run.id))).values(experiment_id=heir.id))


def _tree(session: Session, run_id: int) -> Sequence[int]:
    """The keys of a run and of all below it."""
    tree = select(Run.id).where(Run.id == run_id).cte("tree", recursive=True)
    tree = tree.union_all(select(Run.id).join(tree, Run.parent_id == tree.c.id))
    return list(session.scalars(select(tree.c.id)))


def _forget(session: Session, kind: str, ids: Sequence[int]) -> None:
    """Edges have no foreign keys: their ends are in many tables."""
    session.execute(
        delete(Lineage).where(
            ((Lineage.source_kind == kind) & Lineage.source_id.in_(ids))
            | ((Lineage.target_kind == kind) & Lineage.target_id.in_(ids))
        )
    )


def _remove_model(database: Database, folder: str) -> None:
    import shutil

    path = database.models_dir / folder
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)


def _delete_studies(database: Database, names: Sequence[str]) -> None:
    """In bulk: Optuna's own way loads every row of every trial, minutes for a study of ten thousand."""
    if not names:
        return
    with database.write() as session:
        tables = set(inspect(session.connection()).get_table_names())
        if "studies" not in tables:
            return
        for name in names:
            study_id = session.scalar(text("SELECT study_id FROM studies WHERE study_name = :name"), {"name": name})
            if study_id is None:
                continue  # it was never copied there, or is gone already
            for table in _OF_TRIALS:
                if table in tables:
                    of_study = "trial_id IN (SELECT trial_id FROM trials WHERE study_id = :study)"
                    session.execute(text(f"DELETE FROM {table} WHERE {of_study}"), {"study": study_id})  # noqa: S608
            for table in _OF_STUDIES:
                session.execute(text(f"DELETE FROM {table} WHERE study_id = :study"), {"study": study_id})  # noqa: S608


_OF_TRIALS: Final = (  # Optuna's tables, those that point to others first
    "trial_heartbeats",
    "trial_intermediate_values",
    "trial_values",
    "trial_params",
    "trial_system_attributes",
    "trial_user_attributes",
)
_OF_STUDIES: Final = ("trials", "study_system_attributes", "study_user_attributes", "study_directions", "studies")


def _check_text(text: str, *, most: int = MAX_TEXT_LETTERS) -> None:
    if len(text) > most or "\0" in text:
        raise ConfigError(f"expected at most {most:,} letters without NUL, got {len(text):,}")

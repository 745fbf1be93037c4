"""What people do to runs afterwards: words and notes on them; deleting, restoring, and purging for good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, inspect, select, update
from sqlalchemy.orm import Session, aliased

from ..core import ConfigError
from . import process
from .artifacts import ArtifactStore
from .clock import now_us
from .database import Database, serialise
from .errors import RunBusyError
from .models import MAX_PARAM_LETTERS, Artifact, Experiment, Lineage, ModelVersion, Note, Run, RunArtifact, Search, Tag
from .names import NameBook, check_name, find_names
from .runs import require_run
from .sqlite import configure_sqlite
from .upsert import put_rows

MAX_TEXT_LETTERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Purged:
    """What was removed for good, or would be."""

    runs: int
    artifacts: int
    size_bytes: int


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
            run = session.get_one(Run, require_run(session, uid), with_for_update=True)
            if run.deleted_us is not None:
                return 0
            here = run.host == process.host()
            if run.state == "running" and here and process.is_alive(run.pid, run.born):
                raise RunBusyError(f"run {uid} is in the hands of process {run.pid}", hint="stop it first")
            tree = _tree(session, run.id)
            now = self._clock()
            session.execute(update(Run).where(Run.id.in_(tree), Run.deleted_us.is_(None)).values(deleted_us=now))
            return len(tree)

    def restore(self, uid: str) -> int:
        """Take a deleted run back, with all that was deleted along with it; how many runs that are.

        Raises:
            ConfigError: it is below a run that is deleted itself.
        """
        with self._database.write() as session:
            run = session.get_one(Run, require_run(session, uid), with_for_update=True)
            if run.deleted_us is None:
                return 0
            parent = None if run.parent_id is None else session.get_one(Run, run.parent_id)
            if parent is not None and parent.deleted_us is not None:
                raise ConfigError(
                    f"run {uid} is below run {parent.uid}, which is deleted", hint=f"restore that one: {parent.uid}"
                )
            together = select(Run.id).where(Run.id.in_(_tree(session, run.id)), Run.deleted_us == run.deleted_us)
            ids = list(session.scalars(together))
            session.execute(update(Run).where(Run.id.in_(ids)).values(deleted_us=None))
            return len(ids)

    def purge(self, *, older_than: timedelta = timedelta(0), dry_run: bool = False) -> Purged:
        """Remove for good the runs that were deleted that long ago, with their files and their Optuna studies.

        What the privacy ledger says of them stays: what was released cannot be taken back.
        """
        before = self._clock() - older_than // timedelta(microseconds=1)
        store = ArtifactStore(self._database.artifacts_dir)
        with self._database.write(durable=True) as session:
            serialise(session)
            doomed = list(session.scalars(select(Run.id).where(Run.deleted_us <= before).order_by(Run.id.desc())))
            studies = list(session.scalars(select(Search.study_name).where(Search.run_id.in_(doomed))))
            folders = list(session.scalars(select(Run.uid).where(Run.id.in_(doomed))))
            kept = aliased(RunArtifact)
            files = session.execute(
                select(Artifact.id, Artifact.sha256, Artifact.size_bytes)
                .where(
                    select(RunArtifact.run_id)
                    .where(RunArtifact.artifact_id == Artifact.id, RunArtifact.run_id.in_(doomed))
                    .exists(),
                    ~select(kept.run_id).where(kept.artifact_id == Artifact.id, kept.run_id.not_in(doomed)).exists(),
                    ~select(ModelVersion.id).where(ModelVersion.artifact_id == Artifact.id).exists(),
                )
                .order_by(Artifact.id)
            ).all()
            purged = Purged(len(doomed), len(files), sum(file.size_bytes for file in files))
            if dry_run or not doomed:
                return purged
            for start in range(0, len(doomed), 500):
                _forget(session, "run", doomed[start : start + 500])
                session.execute(delete(Run).where(Run.id.in_(doomed[start : start + 500])))
            _forget(session, "artifact", [file.id for file in files])
            session.execute(delete(Artifact).where(Artifact.id.in_([file.id for file in files])))
        # Files last: a row without its file would be damage, a file without its row is only found by `db check`.
        for file in files:
            store.remove(file.sha256)
        for folder in folders:
            _remove_model(self._database, folder)
        _delete_studies(self._database, studies)
        return purged

    def delete_experiment(self, name: str) -> int:
        """Delete an experiment with all its runs, which gives its name free; how many runs that are."""
        with self._database.write() as session:
            found = session.scalar(select(Experiment).where(Experiment.name == name, Experiment.deleted_us.is_(None)))
            if found is None:
                raise ConfigError(f"there is no experiment {name!r}")
            now = self._clock()
            ids = list(session.scalars(select(Run.id).where(Run.experiment_id == found.id, Run.deleted_us.is_(None))))
            session.execute(update(Run).where(Run.id.in_(ids)).values(deleted_us=now))
            found.deleted_us = now
            return len(ids)


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
    if not names:
        return
    with database.read() as session:
        if not inspect(session.connection()).has_table("studies"):
            return
    import optuna

    storage = optuna.storages.RDBStorage(database.url)
    try:
        configure_sqlite(storage.engine)
        for name in names:
            with suppress(KeyError):  # there is none, or it is gone already
                optuna.delete_study(study_name=name, storage=storage)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _check_text(text: str, *, most: int = MAX_TEXT_LETTERS) -> None:
    if len(text) > most or "\0" in text:
        raise ConfigError(f"expected at most {most:,} letters without NUL, got {len(text):,}")

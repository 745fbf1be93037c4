"""The Optuna study of a search, kept in the same database as our own tables."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import optuna
from optuna.exceptions import StorageInternalError
from optuna.pruners import MedianPruner
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from ..storage import Database, SearchRecord, StorageError, TrialRecord, configure_sqlite
from .space import Space
from .strategies import FINISHED, DistinctSampler

PRUNER = "median"
FIRST_START_DELAYS = (0.1, 0.3, 1.0, 3.0)  # seconds
UNPRUNED_TRIALS = 4  # completed before anything is stopped early


@contextmanager
def open_study(database: Database, search: SearchRecord, space: Space) -> Generator[Study]:
    """The study of a search, created on first use; its connections are closed at the end of the block."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # each trial is reported by our own display
    try:
        storage = _open_storage(database)
        try:
            yield optuna.create_study(
                storage=storage,
                study_name=search.study_name,
                direction="maximize",
                sampler=DistinctSampler(space, search.sampler, search.run.seed),
                pruner=MedianPruner(n_startup_trials=UNPRUNED_TRIALS),
                load_if_exists=True,
            )
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, StorageInternalError) as exc:
        reason = str(exc.__cause__ or exc).splitlines()[0]
        raise StorageError(
            f"database {database}: Optuna cannot use it: {reason}", hint="see that it can be written, then resume"
        ) from exc


def _open_storage(database: Database) -> RDBStorage:
    """Optuna's tables in our database. It creates them without a lock, so of several first searches at once all but one
    fail at it; a moment later the tables are there.
    """
    for delay in (*FIRST_START_DELAYS, None):
        try:
            storage = RDBStorage(database.url)
        except SQLAlchemyError:
            if delay is None:
                raise
            time.sleep(delay)
        else:
            configure_sqlite(storage.engine)
            return storage
    raise AssertionError("the last attempt returns or raises")


def count_finished(study: Study) -> int:
    """Trials that ended with a result, pruned ones included; those that were interrupted are tried again."""
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def settle(study: Study, trials: Iterable[TrialRecord]) -> None:
    """End what a killed process left running in the study, by what our own history says of it.

    Our record of a trial is written first, so a trial that ended for us and runs for Optuna is told its result; any
    other was interrupted, and will be proposed again.
    """
    ours = {trial.optuna_number: trial for trial in trials}
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        trial = ours.get(left.number)
        if trial is not None and trial.state == "completed":
            study.tell(left.number, trial.metrics["val_accuracy"])
        elif trial is not None and trial.state in {"pruned", "failed"}:
            study.tell(left.number, state=TrialState.PRUNED)
        else:
            study.tell(left.number, state=TrialState.FAIL)

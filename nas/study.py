"""The Optuna study of a search, kept in the same database as our own tables."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager

import optuna
from optuna.pruners import MedianPruner
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import TrialState

from ..storage import Database, SearchRecord, TrialRecord, configure_sqlite
from .space import Space
from .strategies import FINISHED, DistinctSampler

PRUNER = "median"
UNPRUNED_TRIALS = 4  # completed before anything is stopped early


@contextmanager
def open_study(database: Database, search: SearchRecord, space: Space) -> Generator[Study]:
    """The study of a search, created on first use; its connections are closed at the end of the block."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # each trial is reported by our own display
    storage = RDBStorage(database.url)
    configure_sqlite(storage.engine)
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


def count_finished(study: Study) -> int:
    """Trials that ended with a result, pruned ones included; those that were interrupted are tried again."""
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def settle(study: Study, trials: Iterable[TrialRecord]) -> None:
    """End what a killed process left running in the study, by what our own history says of it.

    Our record of a trial is written first, so a trial that ended for us and runs for Optuna is told its result; any
    other has failed, and will be proposed again.
    """
    ours = {trial.optuna_number: trial for trial in trials}
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        trial = ours.get(left.number)
        if trial is not None and trial.state == "completed":
            study.tell(left.number, trial.metrics["val_accuracy"])
        elif trial is not None and trial.state == "pruned":
            study.tell(left.number, state=TrialState.PRUNED)
        else:
            study.tell(left.number, state=TrialState.FAIL)

"""An architecture search over the sites of a federation: where a job of its server meets what proposes candidates."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from ..core import ConfigError
from ..core.data import Task
from ..storage import History, StorageError, Tracker
from .output import show

if TYPE_CHECKING:
    from ..federated.deployment import SearchJob, SearchWork
    from ..nas import SearchConfig, SearchEvent, SearchSetup

# What a search is checked with before the sites have said what their rows are.
_ANY_ROWS: Final = Task(input_shape=(8,), features=tuple(f"x_{place}" for place in range(8)), classes=("no", "yes"))


def check_search(job: SearchJob) -> None:
    """Refuse a search that could not run over any sites.

    Raises:
        ConfigError: it names what there is not, or asks for what sites do not tell.
    """
    from ..nas import SPACES, DataFacts, SearchSetup, check_batch

    config = _configure(job, {})
    if job.space_document is None and config.space is not None:
        SPACES.find(config.space)
    known = DataFacts(name=job.name, fingerprint="", task=_ANY_ROWS)
    check_batch(SearchSetup.elsewhere(replace(config, space=None), known))


def search_at_sites(work: SearchWork) -> float | None:
    """Run a search job to its end, or go on with it; the accuracy of its model on the sites' rows.

    Raises:
        PausedError: sites are missing, or none of its trials can be taken; it can be gone on with.
        StoppedError: somebody asked for that.
        NasturtiumError: it cannot be run so.
    """
    from ..federated import PausedError, StoppedError
    from ..nas import SearchStoppedError, resume_search, run_search
    from ..nas.finale import NothingFoundError
    from ..nas.runner import TrialsFailedError

    run, database = work.run, work.database
    if run is not None and History(database).search(run).run.state == "completed":
        return History(database).metrics(run).get("val_accuracy")  # its server died before it could say so
    setup = _set_up(work)
    shared = None
    if setup.config.evaluate == "supernet":
        from .searches import shared_weights

        shared = shared_weights(setup)
    sites = work.open_sites(shared=shared, timed=any(goal.name == "train_seconds" for goal in setup.goals))
    tell = _Teller(work)
    try:
        if run is None:
            result = run_search(setup, database, batch=sites, observe=tell)
        else:
            result = resume_search(run, database, batch=sites, observe=tell)
    except SearchStoppedError as exc:  # an interrupt here would end the server
        _leave_open(work)
        raise StoppedError("somebody asked for the search to stop", hint="nasturtium federate resume") from exc
    except (NothingFoundError, TrialsFailedError) as exc:
        _leave_open(work)
        raise PausedError(exc.message, hint=exc.hint) from exc
    except BaseException:
        _leave_open(work)
        raise
    return result.report.model.validation.get("val_accuracy")


def _set_up(work: SearchWork) -> SearchSetup:
    """What is searched, for the rows that the sites have."""
    from ..nas import DataFacts, SearchSetup, Space, setup_of

    if work.run is not None:
        return setup_of(History(work.database).search(work.run), work.database)
    job, rows = work.job, work.rows
    config, document = _configure(job, work.kept), None
    if job.space_document is not None:
        space = Space.from_document(job.space_document, rows.task)
        document = space.constrained(*(str(limit) for limit in config.limits if limit.static)).to_document()
    return SearchSetup.elsewhere(
        config, DataFacts(name=job.name, fingerprint=rows.fingerprint, task=rows.task), document=document
    )


def _configure(job: SearchJob, kept: dict[str, Any]) -> SearchConfig:
    """The job in the words of who searches."""
    from ..nas import SearchConfig

    asked = job.search
    return SearchConfig(
        data=job.name,
        seed=job.seed,
        trials=asked.trials,
        epochs=asked.rounds,
        workers=asked.together,
        space=asked.space,
        strategy=asked.strategy,
        scheduler=asked.scheduler,
        evaluate=cast(Any, asked.evaluate),
        objectives=asked.objectives,
        constraints=asked.constraints,
        stop_at=asked.stop_at,
        stop_after=asked.stop_after,
        seconds=asked.seconds,
        upload_bytes=asked.upload_bytes,
        warm_start=asked.warm_start,
        control=cast(Any, asked.control),
        folds=None,
        federation=kept,
    )


def _leave_open(work: SearchWork) -> None:
    """Whatever ended it, the search is one that can be gone on with."""
    if work.run is None:
        return
    with suppress(StorageError, ConfigError), Tracker(work.database) as tracker:
        tracker.finish(work.run, state="interrupted", metrics={})


class _Teller:
    """Tells the server's operator of a search, and the job which one it has become."""

    def __init__(self, work: SearchWork) -> None:
        self._work = work
        self._goal = ""
        self._planned = 0

    def __call__(self, event: SearchEvent) -> None:
        from ..nas import SearchStarted, TrialFinished, TrialLost, TrialsEnded, Working

        match event:
            case SearchStarted():
                self._work.began(event.search.uid)
                self._goal, self._planned = event.goal, event.search.trials
                done = f", {event.finished} of them done" if event.finished else ""
                self._work.say(f"search {event.search.run.number}: {self._planned} trials{done}")
            case TrialFinished(number, state, value, best, cause):
                figure = "" if value is None else f", {self._goal} {show(value)}"
                why = f": {cause}" if cause else ""
                self._work.say(f"trial {number + 1} of {self._planned} {state}{figure}{why}; best {show(best)}")
            case TrialLost(number, cause):
                self._work.say(f"trial {number + 1} was lost ({cause}): it is tried again")
            case TrialsEnded(reason, finished, planned):
                self._work.say(f"{finished} of {planned} trials done: {reason}")
            case Working(what):
                self._work.say(what)
            case _:
                pass

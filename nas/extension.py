"""Going on with a search otherwise than before: with more trials, until its test rows were looked at; after a stop."""

from __future__ import annotations

from sqlalchemy import text

from ..core import ConfigError
from ..storage import Database, History, SearchRecord
from .finale import was_tested

# What the search was started with stays in its configuration: it decides how many trials it began with at random.
_PLAN = text("UPDATE nst_search SET trials = :trials WHERE run_id = (SELECT id FROM nst_run WHERE uid = :uid)")
_FORGET_STOP = text("UPDATE nst_search SET stop_us = NULL WHERE run_id = (SELECT id FROM nst_run WHERE uid = :uid)")


def check_extension(database: Database, search: SearchRecord, trials: int) -> None:
    """See whether a search can have so many trials.

    Raises:
        ConfigError: it is planned with more, or its test rows were looked at: more trials would be chosen by them.
    """
    number = search.run.number
    if trials < search.trials:
        raise ConfigError(
            f"search {number} has {search.trials} trials, got {trials}: it can be made longer, not shorter",
            hint=f"end it early with: nasturtium search stop {number}",
        )
    if trials > search.trials and (search.run.state == "completed" or was_tested(database, search.uid)):
        raise ConfigError(
            f"search {number} cannot be made longer: its test rows were looked at",
            hint=f"begin another that learns from its trials, with --warm-start {number}",
        )


def extend_search(database: Database, search: SearchRecord, trials: int) -> SearchRecord:
    """Plan so many trials for a search that this process holds; see `check_extension`."""
    if trials == search.trials:
        return search
    with database.write() as session:
        session.execute(_PLAN, {"trials": trials, "uid": search.uid})
    return History(database).search(search.uid)


def forget_stop(database: Database, search: SearchRecord) -> None:
    """The wish that a search stops was heeded: its trials have ended, and it concludes with what it has."""
    with database.write() as session:
        session.execute(_FORGET_STOP, {"uid": search.uid})

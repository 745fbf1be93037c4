"""Going on with a search with more trials, which it may get until its test rows were looked at."""

from __future__ import annotations

from ..core import ConfigError
from ..storage import Database, SearchRecord
from .finale import was_tested


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

"""Multi-fidelity search: the budgets trials climb through, and the rules that stop them on the way.

The order of the modules: stop_rule, rungs, scheduler.
"""

from .rungs import Fidelity, Rungs
from .scheduler import SCHEDULERS, Asha, FullBudget, Hyperband, RungScores, Scheduler, Scoreboard
from .stop_rule import Scores, StopRule

__all__ = [
    "SCHEDULERS",
    "Asha",
    "Fidelity",
    "FullBudget",
    "Hyperband",
    "RungScores",
    "Rungs",
    "Scheduler",
    "Scoreboard",
    "Scores",
    "StopRule",
]

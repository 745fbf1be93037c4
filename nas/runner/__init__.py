"""Running a search so that nothing kills it: a broker that owns it, engines that train its trials, and their limits.

The order of the modules: `protocols`, `documents` and `jobs` say what travels; `climb` trains a job; `limits`,
`frames`, `workplace`, `handover`, `child` and `worker_process` are about worker processes; `inline`, `batch` and
`processes` are engines on this machine, `lease_engine` and `worker` serve others through the database, `ray_engine` a
Ray cluster; `budgets`, `plan`, `heartbeat`, `store` and `broker` run the search.

Names are loaded on first use: a worker process needs neither strategies nor a database.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch import BatchEngine
    from .broker import Broker
    from .budgets import INEXACT, EndRule, NoImprovement, Reason, SearchBudget, Stagnation, TargetReached
    from .handover import MakeEvaluator
    from .heartbeat import Heartbeat
    from .inline import InlineEngine
    from .jobs import Job, Limits, Outcome, OutcomeState, Progress
    from .lease_engine import LeaseEngine
    from .plan import Begun, Ending, Judge, Plan, RunnerEvent, TrialsFailedError
    from .processes import ProcessEngine, WorkerStartError
    from .protocols import Attempt, Engine, Past, PastTrial, Store
    from .ray_engine import RayEngine
    from .store import HistoryStore
    from .worker import WorkerEvent, run_worker
    from .workplace import Workplace

_HOMES = {
    "Attempt": "protocols",
    "BatchEngine": "batch",
    "Begun": "plan",
    "Broker": "broker",
    "EndRule": "budgets",
    "Ending": "plan",
    "Engine": "protocols",
    "Heartbeat": "heartbeat",
    "HistoryStore": "store",
    "INEXACT": "budgets",
    "InlineEngine": "inline",
    "Job": "jobs",
    "Judge": "plan",
    "LeaseEngine": "lease_engine",
    "Limits": "jobs",
    "MakeEvaluator": "handover",
    "NoImprovement": "budgets",
    "Outcome": "jobs",
    "OutcomeState": "jobs",
    "Past": "protocols",
    "PastTrial": "protocols",
    "Plan": "plan",
    "ProcessEngine": "processes",
    "Progress": "jobs",
    "RayEngine": "ray_engine",
    "Reason": "budgets",
    "RunnerEvent": "plan",
    "SearchBudget": "budgets",
    "Stagnation": "budgets",
    "Store": "protocols",
    "TargetReached": "budgets",
    "TrialsFailedError": "plan",
    "WorkerStartError": "processes",
    "WorkerEvent": "worker",
    "Workplace": "workplace",
    "run_worker": "worker",
}

__all__ = [
    "INEXACT",
    "Attempt",
    "BatchEngine",
    "Begun",
    "Broker",
    "EndRule",
    "Ending",
    "Engine",
    "Heartbeat",
    "HistoryStore",
    "InlineEngine",
    "Job",
    "Judge",
    "LeaseEngine",
    "Limits",
    "MakeEvaluator",
    "NoImprovement",
    "Outcome",
    "OutcomeState",
    "Past",
    "PastTrial",
    "Plan",
    "ProcessEngine",
    "Progress",
    "RayEngine",
    "Reason",
    "RunnerEvent",
    "SearchBudget",
    "Stagnation",
    "Store",
    "TargetReached",
    "TrialsFailedError",
    "WorkerEvent",
    "WorkerStartError",
    "Workplace",
    "run_worker",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

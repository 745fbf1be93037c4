"""A federation on real machines: what its commands do, one call each, for a coordinator and for a site.

Names are loaded on first use: the coordinator's half imports nothing that decrypts, and a site's nothing that it leaves
to the coordinator.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .coordinator_engine import CoordinatorEngine
    from .coordinator_folder import NewCoordinator, admit_site, init_coordinator, remove_site
    from .events import JobEnded, JobGoesOn, JobWaits, ModelReleased, ServerEvent, ServerReady, SitesChanged
    from .federation_config import FederationConfig, RoundRules
    from .jobs import JobStatus, load_job, read_clients, read_jobs, read_rounds, resume_job, start_job, stop_job
    from .participant import (
        ModelKept,
        NotTaken,
        Participant,
        ParticipantEvent,
        PlanFollowed,
        Refused,
        RosterWaits,
        SiteReady,
        WayChanged,
    )
    from .released import OpenedRelease, ReleasedFile, open_release
    from .search_job import SEARCH_TEMPLATE, SearchJob
    from .search_run import Searching, SearchWork
    from .server import serve
    from .site_engine import run_site
    from .site_folder import NewSite, approve_roster, init_site, waiting_roster
    from .train_job import JOB_TEMPLATE, Protection, TrainJob

_HOMES = {
    "CoordinatorEngine": "coordinator_engine",
    "FederationConfig": "federation_config",
    "JOB_TEMPLATE": "train_job",
    "JobEnded": "events",
    "JobGoesOn": "events",
    "JobStatus": "jobs",
    "JobWaits": "events",
    "ModelKept": "participant",
    "ModelReleased": "events",
    "NewCoordinator": "coordinator_folder",
    "NewSite": "site_folder",
    "NotTaken": "participant",
    "OpenedRelease": "released",
    "Participant": "participant",
    "ParticipantEvent": "participant",
    "PlanFollowed": "participant",
    "Protection": "train_job",
    "Refused": "participant",
    "ReleasedFile": "released",
    "RosterWaits": "participant",
    "RoundRules": "federation_config",
    "SEARCH_TEMPLATE": "search_job",
    "SearchJob": "search_job",
    "SearchWork": "search_run",
    "Searching": "search_run",
    "ServerEvent": "events",
    "ServerReady": "events",
    "SiteReady": "participant",
    "SitesChanged": "events",
    "TrainJob": "train_job",
    "WayChanged": "participant",
    "admit_site": "coordinator_folder",
    "approve_roster": "site_folder",
    "init_coordinator": "coordinator_folder",
    "init_site": "site_folder",
    "load_job": "jobs",
    "open_release": "released",
    "read_clients": "jobs",
    "read_jobs": "jobs",
    "read_rounds": "jobs",
    "remove_site": "coordinator_folder",
    "resume_job": "jobs",
    "run_site": "site_engine",
    "serve": "server",
    "start_job": "jobs",
    "stop_job": "jobs",
    "waiting_roster": "site_folder",
}

__all__ = [
    "JOB_TEMPLATE",
    "SEARCH_TEMPLATE",
    "CoordinatorEngine",
    "FederationConfig",
    "JobEnded",
    "JobGoesOn",
    "JobStatus",
    "JobWaits",
    "ModelKept",
    "ModelReleased",
    "NewCoordinator",
    "NewSite",
    "NotTaken",
    "OpenedRelease",
    "Participant",
    "ParticipantEvent",
    "PlanFollowed",
    "Protection",
    "Refused",
    "ReleasedFile",
    "RosterWaits",
    "RoundRules",
    "SearchJob",
    "SearchWork",
    "Searching",
    "ServerEvent",
    "ServerReady",
    "SiteReady",
    "SitesChanged",
    "TrainJob",
    "WayChanged",
    "admit_site",
    "approve_roster",
    "init_coordinator",
    "init_site",
    "load_job",
    "open_release",
    "read_clients",
    "read_jobs",
    "read_rounds",
    "remove_site",
    "resume_job",
    "run_site",
    "serve",
    "start_job",
    "stop_job",
    "waiting_roster",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

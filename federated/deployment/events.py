"""What a coordinator tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..coordinator.recorder import AttemptFailed, FederationStarted, RoundFinished
from ..transport import Address


@dataclass(frozen=True, slots=True)
class ServerReady:
    """The coordinator can be reached."""

    address: Address
    members: int


@dataclass(frozen=True, slots=True)
class SitesChanged:
    """Which of the admitted sites are connected."""

    online: tuple[str, ...]
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobWaits:
    """A job cannot go on by itself: somebody has to do something, or sites have to come."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class ModelReleased:
    """The sites have given a model out.

    Attributes:
        run: ULID of the run.
        party: to whom.
        sites: the names of those that consented.
        path: of the sealed file.
        opened: whether it was for this coordinator, which has opened it.
    """

    run: str
    party: str
    sites: tuple[str, ...]
    path: Path
    opened: bool


@dataclass(frozen=True, slots=True)
class JobGoesOn:
    """A job has come further, in words."""

    name: str
    what: str


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job is over, or was left to be resumed.

    Attributes:
        uid: of the job.
        state: "completed", "paused", "stopped" or "failed".
        run: ULID of its run; None: it has none yet.
        accuracy: of the last model the sites reported on.
        error: why, where it is not completed; of a completed one, why its model is not where it was to be.
    """

    uid: str
    name: str
    state: str
    run: str | None
    accuracy: float | None = None
    error: str | None = None


ServerEvent = (
    ServerReady
    | SitesChanged
    | JobWaits
    | JobGoesOn
    | ModelReleased
    | JobEnded
    | FederationStarted
    | RoundFinished
    | AttemptFailed
)

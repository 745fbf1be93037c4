"""The end of a job whose model is asked for: the sites are asked, and what they give is kept.

Called again, it goes on: a file that is there is not asked for again, and is kept in the history as it was the first
time. What came of it is an event of the run, so that whoever ends the job knows it, after a crash as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...core import ConfigError, FormatError, NasturtiumError, ShapeError
from ...privacy import KeyGrant, PublicIdentity
from ...storage import History, Ledger, ModelRegistry, Tracker, model_name
from ..adapters import FederatedModel
from ..adapters.spec import tensors_of
from ..coordinator.release import Asking, ModelRelease
from ..errors import PlanError, ReleaseError
from ..protocol.courier import Courier, drive
from .events import ModelReleased
from .preparation import Coordinating, Preparation
from .release_to import COORDINATOR
from .released import ReleasedFile, keep_released
from .search_job import SearchJob
from .train_job import TrainJob

RELEASES: Final = "releases"
_GIVEN: Final = "model given out"  # kinds of events
_WITHHELD: Final = "model not given out"
_SLACK: Final = 2**26  # of what describes a model: categories, classes, tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """What is asked for.

    Attributes:
        run: ULID of the run that made it, whose rounds are over, and which has not been finished in the history.
        spec: of the model.
        courier: reaches the sites of the roster.
        grant: of their key.
        tell: writes an event of the run down, from its kind and facts.
        search: ULID of the search it is of, under which it is published; None: it was trained alone.
    """

    run: str
    spec: FederatedModel
    courier: Courier
    grant: KeyGrant
    tell: Callable[[str, dict[str, str]], object]
    search: str | None = None


def check_releasable(job: TrainJob | SearchJob, model: FederatedModel) -> None:
    """Refuse a job that asks for one model where every site will have its own.

    Raises:
        ConfigError: its strategy keeps layers at the sites.
    """
    tensors = tensors_of(model)
    if job.release_to is not None and set(job.make_strategy().shared(tensors)) != set(tensors.travelling):
        raise ConfigError(
            f"{job.strategy['name']} leaves layers of this model to each site: there is no one model to be given out",
            hint="leave out release_to, or choose another strategy",
        )


def release_model(
    hub: Coordinating, before: Preparation, job: TrainJob | SearchJob, made: TrainedModel, tracker: Tracker
) -> None:
    """Ask the sites for the model of a run that is over, and keep it; `release_problem` says what became of it.

    Args:
        hub: what the coordinator has.
        before: of the job.
        job: which asks for it.
        made: the model.
        tracker: of the history.

    Raises:
        PausedError: too few sites are there; the job can be resumed.
        StoppedError: somebody asked for that.
    """
    recipient = job.recipient(hub.identity.public)
    if recipient is None:
        return
    path = hub.folder / RELEASES / f"{made.run}.release"
    found = _kept(path, recipient)
    if found is None:
        try:
            check_releasable(job, made.spec)
            found = _ask(hub, before, job, made, recipient)
        except (ReleaseError, ConfigError) as exc:
            made.tell(_WITHHELD, {"why": f"the model was not given out: {exc.message}"})
            return
        path.parent.mkdir(mode=0o700, exist_ok=True)
        found.write(path)
    _note(hub, found)
    opened = job.release_to == COORDINATOR
    problem = _keep(hub, found, job, made, tracker) if opened else None
    if problem is not None:
        made.tell(_WITHHELD, {"why": problem})
        return
    made.tell(_GIVEN, {"party": found.sealed.party})
    hub.observe(ModelReleased(made.run, found.sealed.party, found.sites, path, opened=opened))


def release_problem(history: History, runs: Sequence[str]) -> str | None:
    """Why the model of a job is not where it was to be, as was told last; None: it is, or was to be nowhere.

    Args:
        history: of the coordinator.
        runs: ULIDs of those that made the job's model, oldest first.
    """
    last, after = None, 0
    for run in runs:
        while events := history.events(run, after=after):
            after = events[-1].id
            told = [each for each in events if each.kind in (_GIVEN, _WITHHELD)]
            last = told[-1] if told else last
    return None if last is None else last.body.get("why")


def _ask(
    hub: Coordinating,
    before: Preparation,
    job: TrainJob | SearchJob,
    made: TrainedModel,
    recipient: PublicIdentity,
) -> ReleasedFile:
    release = ModelRelease(
        Asking(
            run=made.run,
            recipient=recipient,
            coordinator=hub.identity.public,
            members=made.grant.roster.members,
            min_sites=job.protection.min_sites,
            most_bytes=8 * sum(each.size for each in tensors_of(made.spec).tensors) + _SLACK,
            closing=hub.rules.closing,
            patience=hub.rules.patience,
        ),
        before.of_roster(made.grant),
        made.courier.nodes,
        lambda site, reason: before.tell(f"{site} does not give the model out: {reason}"),
    )
    [done] = list(drive(made.courier, [release.steps()], check=before.check))
    if done.error is not None or done.value is None:
        raise done.error or ReleaseError("the sites gave nothing")
    return ReleasedFile(done.value, made.grant.roster)


def _kept(path: Path, recipient: PublicIdentity) -> ReleasedFile | None:
    """What an earlier coordinator was given."""
    try:
        found = ReleasedFile.read(path)
        return found if found.sealed.recipient == recipient and found.sites else None
    except (FormatError, NasturtiumError):
        return None


def _note(hub: Coordinating, found: ReleasedFile) -> None:
    """Put into the ledger, once, who was given the model and by whose consent."""
    sealed, ledger = found.sealed, Ledger(hub.database)
    body = {
        "what": "the model is given out",
        "party": sealed.party,
        "recipient": sealed.recipient.id,
        "commitment": sealed.commitment,
        "sites": list(found.sites),
    }
    if not any(dict(entry.body) == body for entry in ledger.entries(run=sealed.run, kind="consent")):
        ledger.append("consent", body, run=sealed.run)


def _keep(
    hub: Coordinating, found: ReleasedFile, job: TrainJob | SearchJob, made: TrainedModel, tracker: Tracker
) -> str | None:
    """Open what is for this coordinator, save it and publish it; why that cannot be done, or None."""
    runs = [made.run] if made.search is None else [made.run, made.search]
    try:
        model = found.open(hub.identity)
        folder = hub.database.models_dir / runs[-1]
        keep_released(model, folder, {"run": made.run, "data": job.name, "from": list(found.sites)})
    except (PlanError, FormatError, ShapeError, ConfigError) as exc:
        return f"the model was given out, and cannot be read here: {exc.message}"
    for run in runs:
        tracker.record_model(run, folder)
    signature = model.preprocessing.task.to_dict()
    ModelRegistry(hub.database).register(model_name(job.name), runs[-1], signature=signature)
    return None

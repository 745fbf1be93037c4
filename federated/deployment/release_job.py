"""The end of a job whose model is asked for: the sites are asked, and what they give is kept.

Called again, it goes on: a file that is there is not asked for again, and is kept in the history as it was the first
time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ...core import ConfigError, FormatError, NasturtiumError, ShapeError
from ...privacy import KeyGrant, PublicIdentity
from ...storage import Ledger, ModelRegistry, Tracker, model_name
from ..adapters import FederatedModel
from ..adapters.spec import tensors_of
from ..coordinator.release import Asking, ModelRelease
from ..errors import PlanError, ReleaseError
from ..protocol.courier import Courier, drive
from .events import ModelReleased
from .preparation import Coordinating, Preparation
from .released import ReleasedFile, keep_released
from .train_job import COORDINATOR, TrainJob

RELEASES: Final = "releases"
_SLACK: Final = 2**26  # of what describes a model: categories, classes, tensors


def check_releasable(job: TrainJob, model: FederatedModel) -> None:
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
    hub: Coordinating,
    before: Preparation,
    job: TrainJob,
    courier: Courier,
    grant: KeyGrant,
    run: str,
    model: FederatedModel,
    tracker: Tracker,
) -> str | None:
    """Ask the sites for the model of a run that is over, and keep it.

    Args:
        hub: what the coordinator has.
        before: of the job.
        job: which asks for it.
        courier: reaches the sites of the roster.
        grant: of their key.
        run: ULID of the run.
        model: that it trained.
        tracker: of the history; the run has not been finished there.

    Returns:
        Why the coordinator does not have the model, where it was to; None: all is well.

    Raises:
        PausedError: too few sites are there; the job can be resumed.
        StoppedError: somebody asked for that.
    """
    recipient = job.recipient(hub.identity.public)
    if recipient is None:
        return None
    path = hub.folder / RELEASES / f"{run}.release"
    found = _kept(path, recipient)
    if found is None:
        try:
            found = _ask(hub, before, job, courier, grant, run, model, recipient)
        except ReleaseError as exc:
            return f"the model was not given out: {exc.message}"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        found.write(path)
    _note(hub, found)
    problem = None
    if job.release_to == COORDINATOR:
        problem = _keep(hub, found, job, run, tracker)
    if problem is None:
        hub.observe(ModelReleased(run, found.sealed.party, found.sites, path, opened=job.release_to == COORDINATOR))
    return problem


def _ask(
    hub: Coordinating,
    before: Preparation,
    job: TrainJob,
    courier: Courier,
    grant: KeyGrant,
    run: str,
    model: FederatedModel,
    recipient: PublicIdentity,
) -> ReleasedFile:
    release = ModelRelease(
        Asking(
            run=run,
            recipient=recipient,
            coordinator=hub.identity.public,
            members=grant.roster.members,
            min_sites=job.protection.min_sites,
            most_bytes=8 * sum(each.size for each in tensors_of(model).tensors) + _SLACK,
            closing=hub.rules.closing,
            patience=hub.rules.patience,
        ),
        before.of_roster(grant),
        courier.nodes,
        lambda site, reason: before.say(f"{site} does not give the model out: {reason}"),
    )
    [done] = list(drive(courier, [release.steps()], check=before.check))
    if done.error is not None or done.value is None:
        raise done.error or ReleaseError("the sites gave nothing")
    return ReleasedFile(done.value, grant.roster)


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


def _keep(hub: Coordinating, found: ReleasedFile, job: TrainJob, run: str, tracker: Tracker) -> str | None:
    """Open what is for this coordinator, save it and publish it; why that cannot be done, or None."""
    try:
        model = found.open(hub.identity)
        folder = hub.database.models_dir / run
        keep_released(model, folder, {"run": run, "data": job.name, "from": list(found.sites)})
    except (PlanError, FormatError, ShapeError, ConfigError) as exc:
        return f"the model was given out, and cannot be read here: {exc.message}"
    tracker.record_model(run, folder)
    signature = model.preprocessing.task.to_dict()
    ModelRegistry(hub.database).register(model_name(job.name), run, signature=signature)
    return None

"""A site of a deployment: made of its configuration, keys and data, and kept over restarts on its own disk."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from flwr.app import Context
from flwr.clientapp import ClientApp

from ...core import NasturtiumError, SavedModel, save_model
from ...privacy import AttemptJournal, KeyFileError, SiteFolder
from ..adapters import AdaptedModel, ModelCatalogue
from ..agreement.store import AgreementStore
from ..errors import PlanError, Refusal
from ..protocol.queries import CheckpointRequest, HelloVerdict
from ..protocol.rounds import ClientUpdate, RoundPlan
from ..site.audit import AuditLog
from ..site.ceremony import SiteCeremony
from ..site.checkpoint import Peers
from ..site.client import make_client_app
from ..site.config import SiteConfig
from ..site.gain import Gain, measure_gain
from ..site.guard import Action, Asked
from ..site.key_ciphers import KeyCiphers
from ..site.masks import SiteMasks
from ..site.policy_guard import SiteGuard
from ..site.site import Site
from ..site.state import SiteStates
from ..site_data.sources import SiteData, load_site_data
from ..transport import Admission, TransportKey, TunnelState
from .site_engine import run_site
from .site_folder import TRANSPORT_KEY

logger = logging.getLogger(__name__)
_GAIN: Final = "gain.json"


@dataclass(frozen=True, slots=True)
class SiteReady:
    """The site's data is read, and it is about to look for the coordinator."""

    name: str
    rows: int
    coordinator: str


@dataclass(frozen=True, slots=True)
class WayChanged:
    """The way to the coordinator opened or closed."""

    state: TunnelState


@dataclass(frozen=True, slots=True)
class PlanFollowed:
    """The site has answered a plan; `accuracy` is what all sites together measured, if they did."""

    run: str
    round: int
    phase: str
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class ModelKept:
    """A run is over: the model is in a folder of the site's, and `gain` says what it is good for here."""

    run: str
    folder: Path
    gain: Gain | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The site has refused what it was asked to, and told a code; why stays here.

    Attributes:
        action: what it was asked to do; empty where that cannot be read.
        run: ULID of the run, or empty.
        reason: in words.
    """

    action: str
    run: str
    reason: str


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The coordinator does not let the site take part in a run; each reason is one that its operator can change."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RosterWaits:
    """The coordinator proposes members; the site's operator is to compare the fingerprint, and to approve it."""

    fingerprint: str
    members: tuple[str, ...]


ParticipantEvent = RosterWaits | SiteReady | WayChanged | PlanFollowed | Refused | NotTaken | ModelKept
# What comes up where messages are late or lost, or an operator was told already.
_IN_THE_COURSE: Final = frozenset({Refusal.ORDER, Refusal.BEHIND, Refusal.NOT_READY})


class Participant:
    """Everything a site is, but for its servers.

    Args:
        config: of the site.
        passphrase: of its keys.
        observe: called with every event, some of them in threads of their own.

    Raises:
        ConfigError, DataError: the data cannot be read or learned from.
        KeyFileError: a key cannot be used.
        AdmissionError: the admission is another site's, or expired.
    """

    def __init__(
        self,
        config: SiteConfig,
        *,
        passphrase: str | None = None,
        observe: Callable[[ParticipantEvent], None] = lambda event: None,
    ) -> None:
        self._config = config
        self._passphrase = passphrase
        self._observe = observe
        self._folder = SiteFolder(config.keys)
        self._identity = self._folder.identity(passphrase)
        self.key = TransportKey.load(config.keys / TRANSPORT_KEY)
        self.admission = Admission.read(config.admission)
        self.admission.check(self._identity.public, self.key.point, datetime.now(UTC))
        self.data = load_site_data(config.data, config.split)
        config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._guard = SiteGuard(
            policy=config.policy,
            log=AuditLog(config.state / "audit"),
            rows=len(self.data.train),
            watch=self._note_refusal,
        )
        self._refused: Refused | None = None  # the last one that was told
        self._ceremony = SiteCeremony(
            self._folder,
            self.admission.coordinator,
            passphrase=passphrase,
            fingerprint=config.roster_fingerprint,
            received=self._forget,
            proposed=lambda roster: observe(
                RosterWaits(roster.fingerprint, tuple(sorted(member.name for member in roster.members)))
            ),
        )
        self._journal = AttemptJournal(config.state / "attempts.db")
        self._budget = config.policy.budget(config.state / "budget.json")
        self._site: Site | None = None
        self._finishing: list[threading.Thread] = []
        observe(SiteReady(config.name, self.data.rows, self.admission.coordinator.name))

    def make_app(self) -> ClientApp:
        """What answers the coordinator's messages."""
        return make_client_app(self._find, self._guard, ceremony=self._ceremony)

    def run(self, stop: threading.Event, *, connect: tuple[str, int] | None = None) -> None:
        """Take part until `stop` is set.

        Args:
            stop: ends it; models that are being kept are kept first.
            connect: where the front is, if not where the admission says.

        Raises:
            FederationError: the SuperNode does not start.
        """
        run_site(
            self.make_app(),
            self.admission,
            self.key,
            self._config.state / "flower",
            stop=stop,
            connect=connect,
            changed=lambda state: self._observe(WayChanged(state)),
        )
        for thread in self._finishing:
            thread.join()

    def _find(self, context: Context) -> Site:
        """The site, once there is a key."""
        if self._site is None:
            self._site = self._make_site()
        return self._site

    def _forget(self) -> None:
        self._site = None

    def _make_site(self) -> Site:
        config, policy = self._config, self._config.policy
        try:
            grant = self._folder.grant()
            key = self._folder.aggregation_key(self._passphrase)
        except KeyFileError as exc:
            raise PlanError(exc.message, hint=exc.hint, refusal=Refusal.NOT_READY) from exc
        assert grant is not None
        members = {member.id: member for member in grant.roster.members}
        return _KeptSite(
            self._identity,
            self.data.train,
            self.data.validation,
            KeyCiphers(key, plain=policy.allow_plain),
            coordinator=self.admission.coordinator,
            journal=self._journal,
            masks=SiteMasks(self._identity, members, grant.roster.sha256, self._journal),
            must_mask=policy.require_masks,
            budget=self._budget,
            states=SiteStates(config.state / "runs"),
            agreements=AgreementStore(config.state / "agreements"),
            peers=Peers(members, grant.roster.sha256),
            tells=policy.tells,
            actions=policy.actions,
            models=ModelCatalogue(config.models),
            followed=self._note,
            caught_up=self._end,
            judged=lambda reasons: self._observe(NotTaken(reasons)),
        )

    def _note_refusal(self, action: Action | None, asked: Asked | None, code: Refusal, error: Exception) -> None:
        """Tell of what is refused, once where it is asked for again and again."""
        if code in _IN_THE_COURSE:
            return
        said = f"{error.message}; {error.hint}" if isinstance(error, NasturtiumError) and error.hint else str(error)
        refused = Refused(action or "", asked.run if asked else "", said or type(error).__name__)
        if refused != self._refused:
            self._refused = refused
            self._observe(refused)

    def _note(self, site: Site, plan: RoundPlan, update: ClientUpdate) -> None:
        """Tell of a plan that was followed; after the last of a run, keep the model, but none of a candidate."""
        report = update.report
        accuracy = None if report is None or not report.rows else report.correct / report.rows
        self._observe(PlanFollowed(plan.run, plan.round, plan.phase, accuracy))
        self._end(site, plan.run)

    def _end(self, site: Site, run: str) -> None:
        """Keep the model of a run that is over here."""
        if site.has_ended(run):
            thread = threading.Thread(target=self._keep, args=(run, site.release(run)), name="nasturtium-model")
            thread.start()
            self._finishing = [each for each in self._finishing if each.is_alive()] + [thread]

    def _keep(self, run: str, released: SavedModel | AdaptedModel) -> None:
        folder = self._config.state / "models" / run
        try:
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            facts = {"run": run, "site": self._config.name}
            if isinstance(released, AdaptedModel):
                released.save(folder, facts)
            else:
                save_model(folder, released.spec, released.model, released.preprocessing, facts)
            gain = _measure(self.data, released, self._config.name)
            if gain is not None:
                (folder / _GAIN).write_text(json.dumps(gain.to_dict(), indent=2) + "\n")
            self._observe(ModelKept(run, folder, gain))
        except (NasturtiumError, OSError) as exc:
            logger.warning("the model of run %s is not kept: %s", run, exc)


class _KeptSite(Site):
    """A site that tells its participant what it has followed."""

    def __init__(
        self,
        *args: object,
        followed: Callable[[Site, RoundPlan, ClientUpdate], None],
        caught_up: Callable[[Site, str], None],
        judged: Callable[[tuple[str, ...]], None],
        **options: object,
    ):
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self._followed = followed
        self._caught_up = caught_up
        self._judged = judged

    def note_verdict(self, verdict: HelloVerdict) -> None:
        """See `Site`."""
        super().note_verdict(verdict)
        if verdict.reasons:
            self._judged(verdict.reasons)

    def take_checkpoint(self, request: CheckpointRequest) -> int:
        """See `Site`."""
        number = super().take_checkpoint(request)
        self._caught_up(self, request.run)
        return number

    def follow(self, plan: RoundPlan) -> ClientUpdate:
        """See `Site`."""
        update = super().follow(plan)
        self._followed(self, plan, update)
        return update


def _measure(data: SiteData, released: SavedModel | AdaptedModel, site: str) -> Gain | None:
    """What the site has from the federation, where it can be said."""
    try:
        return measure_gain(data, released, site=site)
    except NasturtiumError as exc:
        logger.info("no comparison with a model of this site's own: %s", exc)
        return None

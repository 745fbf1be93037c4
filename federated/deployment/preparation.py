"""What a job needs before its first round: a key of all sites, what their rows are, what they agree on.

    key of the sites -> what their rows are -> what they agree on

Each step waits for the sites as long as the rules have patience, says what it waits for, and stops when it is told to.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from flwr.serverapp import Grid
from ulid import ULID

from ...core import canonical_json, parse_json
from ...privacy import (
    MAX_GRANT_BYTES,
    Adder,
    Identity,
    KeyFolder,
    KeyGrant,
    PackedAdder,
    PlainAdder,
    Preset,
    PublicIdentity,
    smallest_preset,
)
from ...storage import Database, Federations, JobClaim, Ledger
from ..agreement import Schema, Terms, merge_schemas, public_preprocessing
from ..agreement.journal import Agreement
from ..agreement.kept_journal import KeptAgreementJournal
from ..agreement.late import LateSites
from ..agreement.plan import AgreedReference
from ..agreement.question import Facts
from ..agreement.relay import AgreementJob, AgreementRelay
from ..coordinator.greeter import Greeter
from ..coordinator.privacy_gate import PrivacyGate
from ..coordinator.recorder import CLAIM_S
from ..errors import CeremonyPendingError, PausedError, Refusal, SiteStateError, StoppedError
from ..protocol.ceremony import hold_ceremony
from ..protocol.courier import Courier, Questions, Steps, drive
from ..protocol.gather import Closing
from ..protocol.handshake import HelloTerms
from ..protocol.key_messages import KEYS, ask_sites, key_request_to_content
from ..protocol.masks import make_mask_terms
from ..protocol.queries import package_version
from ..protocol.rounds import MaskTerms
from .events import JobGoesOn, JobWaits, ServerEvent
from .federation_config import RoundRules
from .train_job import Protection

AGREEMENT_BITS: Final = 8
_ASK_S: Final = 30.0  # for a site's step of the ceremony
_LOOK_S: Final = 2.0  # between two looks whether sites have done their part
_BEAT_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinating:
    """What a coordinator has for all its jobs.

    Attributes:
        identity: signs plans and sums.
        keys: its folder.
        rules: how rounds close.
        members: the admitted sites, now.
        sites: the same by Flower's number of the node; changes as they come and go.
        folder: for what it keeps beside the history.
        database: the history.
        observe: called with every event.
    """

    identity: Identity
    keys: KeyFolder
    rules: RoundRules
    members: Callable[[], list[PublicIdentity]]
    sites: Mapping[int, PublicIdentity]
    folder: Path
    database: Database
    observe: Callable[[ServerEvent], None]


class Preparation:
    """One job's dealings with the sites before its rounds, and the word that its coordinator lives.

    Args:
        hub: what the coordinator has.
        claim: of the job.
        stop: set when the coordinator is to end: the job is left as it is.
        protection: of the job.
        delta: at which the ledger counts.
        sparse: whether updates in the clear leave elements out.
        look: called while it waits; by default it keeps the claim, and stops if somebody asks for that.
    """

    def __init__(
        self,
        hub: Coordinating,
        claim: JobClaim,
        stop: threading.Event,
        protection: Protection,
        *,
        delta: float = 1e-5,
        sparse: bool = False,
        look: Callable[[], object] | None = None,
    ) -> None:
        self._hub = hub
        self._look = look or self._keep_claim
        self.claim = claim
        self._stop = stop
        self._protection = protection
        self._delta = delta
        self._sparse = sparse
        self._jobs = Federations(hub.database)
        self._beat = 0.0
        self._told = ""

    # --- the steps ---

    def make_key(self, grid: Grid) -> KeyGrant:
        """The key of all members, once each has done its part.

        Once the key is made, no site that is away keeps the others from training: a run that goes on waits for none to
        receive it, and a new one a grace after enough have.

        Raises:
            PausedError: some have not, for longer than the rules wait.
            StoppedError: as of `check`.
        """
        hub = self._hub
        reasons: dict[str, str] = {}
        courier = self.courier(grid)

        def note(site: str, reason: str) -> None:
            if Refusal.NOT_READY not in reason:  # which the message says already
                reasons[site] = reason

        ask = ask_sites(courier, hub.sites, seconds=_ASK_S, told=note)
        ends = time.monotonic() + hub.rules.patience
        enough: float | None = None  # since when enough have the key
        while True:
            try:
                grant = hold_ceremony(hub.keys, hub.members(), ask)
                self._tell_key(grant, 0)
                return grant
            except CeremonyPendingError as exc:
                if exc.grant is not None and self._have_enough(exc.grant, exc.waiting):
                    enough = time.monotonic() if enough is None else enough
                    if self.claim.run is not None or time.monotonic() >= enough + hub.rules.grace:
                        self._tell_key(exc.grant, len(exc.waiting))
                        return exc.grant
                there = {site.name for node in courier.nodes() if (site := hub.sites.get(node)) is not None}
                known = reasons | {site: "not connected" for site in exc.waiting if site not in there}
                told = "; ".join(f"{site}: {known[site]}" for site in exc.waiting if site in known)
                reason = f"{exc.message}; {told}" if told else exc.message
                self.say(reason)
                if time.monotonic() > ends:
                    raise PausedError(reason, hint=exc.hint) from exc
            self.pause(_LOOK_S)

    def _tell_key(self, grant: KeyGrant, missing: int) -> None:
        members = len(grant.roster.members)
        self.tell(f"{members - missing} of {members} sites have the key of epoch {grant.roster.epoch}")

    def _have_enough(self, grant: KeyGrant, waiting: Collection[str]) -> bool:
        """Whether a round could be held without those who wait for the key."""
        fewest = self._protection.min_sites
        if self.claim.run is None:
            fewest = max(fewest, self._hub.rules.min_replies)
        return len(grant.roster.members) - len(waiting) >= fewest

    def _hand_key(self, grant: KeyGrant, nodes: Collection[int]) -> Steps[None]:
        """Hand the key to sites that have signed its roster and were away when it was made."""
        content = key_request_to_content("receive", grant.to_json())
        yield Questions(
            kind=KEYS,
            contents=dict.fromkeys(nodes, content),
            largest=MAX_GRANT_BYTES,
            closing=Closing(deadline=_ASK_S, min_replies=len(nodes)),
            counted=frozenset(nodes),
        )

    def ask_schema(self, grid: Grid, grant: KeyGrant) -> Schema:
        """What the rows of most sites are.

        Raises:
            PausedError: too few have said it, for longer than the rules wait.
            StoppedError: as of `check`.
        """
        hub = self._hub
        sites = self.of_roster(grant)
        courier = self.courier(grid, sites)
        greeter = Greeter(HelloTerms(package=package_version()), hub.rules.closing)
        ends = time.monotonic() + hub.rules.patience
        while True:
            for done in drive(courier, [greeter.steps(courier.nodes())], check=self.check):
                if done.error is not None:
                    raise done.error
            said = {
                site.name: Schema.from_dict(parse_json(hello.schema))
                for node, hello in greeter.hellos.items()
                if hello.schema and greeter.accepts(node) and (site := sites.get(node)) is not None
            }
            missing = [site.name for site in sites.values() if site.name not in said]
            if not missing or (len(said) >= self._protection.min_sites and time.monotonic() > ends):
                schema, problems = merge_schemas(said)
                for site, problem in problems.items():
                    self.tell(f"the rows of {site} are not those of most sites: {problem}")
                return schema
            names = f"{', '.join(sorted(missing)[:5])}{', ...' if len(missing) > 5 else ''}"
            reason = f"{len(said)} of {len(sites)} sites have said what their rows are; missing: {names}"
            self.say(reason)
            if time.monotonic() > ends:
                raise PausedError(reason, hint="start its client, or give the job a [schema]")
            self.pause(_LOOK_S)

    def settle_rows(self, grid: Grid, grant: KeyGrant, terms: Terms) -> tuple[Facts, str]:
        """How rows are prepared: what is told of it here, and what plans say of it.

        Raises:
            PausedError, StoppedError: as of `agree`.
        """
        if terms.schema.public:
            preprocessing = public_preprocessing(terms)
            return Facts.of(preprocessing), canonical_json(preprocessing.to_dict())
        agreed = self.agree(grid, grant, terms)
        return agreed.facts, agreed.reference.to_json()

    def agree(self, grid: Grid, grant: KeyGrant, terms: Terms) -> Agreement:
        """The sites agree on ranges, categories and classes, by protected sums.

        Raises:
            PausedError: too few of them answer.
            StoppedError: as of `check`.
        """
        hub, rules, sites = self._hub, self._hub.rules, self.of_roster(grant)
        uid = str(ULID())
        gate = PrivacyGate(Ledger(hub.database), self.subject, uid, None, self._delta)
        relay = AgreementRelay(
            AgreementJob(
                run=uid,
                terms=terms,
                masks=self._agreement_masks(grant),
                min_sites=self._protection.min_sites,
                deadline=rules.deadline,
                attempts=rules.attempts,
                patience=rules.patience,
            ),
            self.adder(self._agreement_preset(grant), grant.key_id),
            sites,
            hub.identity,
            KeptAgreementJournal(hub.folder / f"{uid}.agreement", gate.authorise_agreement),
            lambda: courier.nodes(),
            tell=self.tell,
        )
        courier = self.courier(grid, sites)
        self.tell(f"{len(sites)} sites begin to agree on columns, categories, classes and scales")
        [done] = list(drive(courier, [relay.steps()], check=self.check))
        if done.error is not None or done.value is None:
            raise done.error or PausedError("the sites agreed on nothing")
        self.tell(f"the sites have agreed, by {len(done.value.sums)} sums")
        for site, problem in done.value.problems.items():
            self.tell(f"{site} takes no part: {problem}")
        return done.value

    # --- what they are made of, and rounds as well ---

    def courier(self, grid: Grid, sites: Mapping[int, PublicIdentity] | None = None) -> Courier:
        """Carries questions to some sites, or to all."""
        return Courier(grid, self._hub.sites if sites is None else sites, self._hub.identity, check=self.check)

    def adder(self, preset: Preset, key_id: str) -> Adder:
        """The arithmetic of the job's scheme."""
        if self._protection.scheme == "plain":
            return PlainAdder(preset, sparse=self._sparse)
        return PackedAdder(preset, key_id)

    def of_roster(self, grant: KeyGrant) -> Mapping[int, PublicIdentity]:
        """The members of a roster by Flower's number of the node; it changes as sites come and go."""
        return _Members(self._hub.sites, frozenset(member.id for member in grant.roster.members))

    def greeter(
        self,
        key_id: str,
        roster_sha256: str,
        actions: tuple[str, ...] = ("train", "evaluate"),
        *,
        run: str = "",
        late: LateSites | None = None,
        grant: KeyGrant | None = None,
    ) -> Greeter:
        """Asks sites what they are before their first round.

        Args:
            key_id: of their key; what an adder calls it.
            roster_sha256: of its roster.
            actions: that their policies must allow.
            run: ULID of the run, where it is one; then sites that are behind are known of before they are asked.
            late: brings sites to what was agreed on before they came; see `late_sites`.
            grant: of the key, for those that do not have it yet.
        """
        return Greeter(
            HelloTerms(
                package=package_version(),
                scheme=self._protection.scheme,
                masked=self._protection.masked,
                key_id=key_id if self._protection.scheme == "packed" else None,
                roster_sha256=roster_sha256,
                actions=actions,
                run=run,
                agreement="" if late is None else late.reference.run,
            ),
            self._hub.rules.closing,
            lead_in=None if late is None else late.steps,
            hand_key=None if grant is None else partial(self._hand_key, grant),
        )

    def late_sites(self, grant: KeyGrant, preprocessing: str) -> LateSites | None:
        """What sites are handed that were not there when the others agreed; None where nothing was agreed on, or what
        was kept of it is gone or damaged: then the run goes on with those that were.

        Args:
            grant: of the sites' key.
            preprocessing: as plans have it.
        """
        reference = AgreedReference.find(preprocessing)
        if reference is None:
            return None
        try:
            kept = KeptAgreementJournal(self._hub.folder / f"{reference.run}.agreement")
        except SiteStateError as exc:
            self.say(f"sites that come late cannot join: {exc.message}")
            return None
        if not kept.sums:
            return None
        adder = self.adder(self._agreement_preset(grant), grant.key_id)
        return LateSites(
            reference=reference,
            sums=tuple(kept.sums),
            preset=adder.preset.name,
            scheme=adder.scheme,
            masks=self._agreement_masks(grant),
            deadline=min(self._hub.rules.deadline, _ASK_S),
        )

    def _agreement_preset(self, grant: KeyGrant) -> Preset:
        return smallest_preset(len(grant.roster.members), AGREEMENT_BITS)

    def _agreement_masks(self, grant: KeyGrant) -> MaskTerms | None:
        if not self._protection.masked:
            return None
        return make_mask_terms(grant.roster.sha256, len(grant.roster.members), None)

    @property
    def subject(self) -> str:
        """Whose privacy the ledger counts: of all sites of this coordinator together."""
        return f"federation:{self._hub.identity.public.id}"

    def attach(self, run: str) -> None:
        """Say which run the job became.

        Raises:
            LeaseLostError: the job is another coordinator's by now.
        """
        self.claim = self._jobs.attach(self.claim, run)

    # --- while it waits ---

    def check(self) -> None:
        """Say that this coordinator lives.

        Raises:
            StoppedError: somebody asked for the job, or for the coordinator, to stop.
            LeaseLostError: the job is another coordinator's by now.
        """
        if self._stop.is_set():
            raise StoppedError("the coordinator was stopped", hint="it goes on when the server runs again")
        if time.monotonic() >= self._beat + _BEAT_S:
            self._beat = time.monotonic()
            self._look()

    def _keep_claim(self) -> None:
        if self._jobs.renew(self.claim, CLAIM_S):
            raise StoppedError("somebody asked for the run to stop", hint="nasturtium federate resume")

    def pause(self, seconds: float) -> None:
        """Wait for so long, and stop when told to."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, 0.2))

    def tell(self, what: str) -> None:
        """Tell how far the job is."""
        self._hub.observe(JobGoesOn(self.claim.name, what))

    def say(self, reason: str) -> None:
        """Tell what is waited for, once."""
        if reason != self._told:
            self._told = reason
            self._hub.observe(JobWaits(self.claim.name, reason))


class _Members(Mapping[int, PublicIdentity]):
    """Those of some nodes whose sites are in a roster; it changes as they do."""

    def __init__(self, sites: Mapping[int, PublicIdentity], members: frozenset[str]) -> None:
        self._sites, self._members = sites, members

    def __getitem__(self, node: int) -> PublicIdentity:
        site = self._sites[node]
        if site.id not in self._members:
            raise KeyError(node)
        return site

    def __iter__(self) -> Iterator[int]:
        return iter([node for node, site in list(self._sites.items()) if site.id in self._members])

    def __len__(self) -> int:
        return len(list(iter(self)))

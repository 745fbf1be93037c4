"""One `TrainJob` at the coordinator, from the sites' key to the last round; called again, it goes on where it was.

    key of the sites -> what their rows are -> what they agree on -> the network -> rounds -> the end

What a run is, once it has begun, stands in the history: a coordinator that goes on with it reads it from there, and
asks neither the job nor the sites again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flwr.serverapp import Grid
from ulid import ULID

from ...core import ConfigError, ModelSpec, canonical_json, parse_json
from ...core.data import Task
from ...privacy import (
    Adder,
    ClientDp,
    Identity,
    KeyFolder,
    KeyGrant,
    PackedAdder,
    PlainAdder,
    Preset,
    PublicIdentity,
    calibrate_client_dp,
    smallest_preset,
)
from ...storage import (
    Database,
    Federations,
    History,
    JobClaim,
    Ledger,
    Tracker,
)
from ..adapters import FederatedModel, ModelCatalogue
from ..adapters.catalogue import check_clear
from ..adapters.spec import model_from_dict, tensors_of, update_elements
from ..agreement import Schema, Terms, merge_schemas, public_preprocessing
from ..agreement.journal import Agreement
from ..agreement.kept_journal import KeptAgreementJournal
from ..agreement.question import Facts
from ..agreement.relay import AgreementJob, AgreementRelay
from ..coordinator.greeter import Greeter
from ..coordinator.plan import FederationPlan
from ..coordinator.privacy_gate import PrivacyGate
from ..coordinator.recorder import CLAIM_S, FederationStarted, RoundRecorder
from ..coordinator.relay_strategy import RelayStrategy
from ..default_model import check_fits, default_spec
from ..errors import CeremonyPendingError, PausedError, Refusal, StoppedError
from ..protocol.ceremony import hold_ceremony
from ..protocol.courier import Courier, drive
from ..protocol.handshake import HelloTerms
from ..protocol.key_messages import ask_sites
from ..protocol.masks import make_mask_terms
from ..protocol.queries import package_version
from ..protocol.rounds import LocalTraining, MaskTerms, Quantisation, first_bound
from ..updates.exchange import check_trains, full_layout
from ..updates.private_symbols import privacy_terms
from ..updates.symbols import choose_preset
from .events import JobWaits, ServerEvent
from .federation_config import RoundRules
from .train_job import TrainJob

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decided:
    """What a run is, once and for all; kept in its configuration.

    Attributes:
        spec: the network.
        preprocessing: for the plans.
        preset: of the scheme, by name.
        key_id: of the sites' key.
        roster_sha256: of its roster.
        sites: how many members that has.
    """

    spec: FederatedModel
    preprocessing: str
    preset: str
    key_id: str
    roster_sha256: str
    sites: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "spec": self.spec.to_dict(),
            "preprocessing": self.preprocessing,
            "preset": self.preset,
            "key_id": self.key_id,
            "roster_sha256": self.roster_sha256,
            "sites": self.sites,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> _Decided:
        """The inverse of `to_dict`."""
        fields = {name: each for name, each in value.items() if name != "spec"}
        return cls(spec=model_from_dict(value["spec"]), **fields)


class TrainRun:
    """One job.

    Args:
        hub: what the coordinator has.
        claim: of the job.
        stop: set when the coordinator is to end: the job is left as it is.
    """

    def __init__(self, hub: Coordinating, claim: JobClaim, stop: threading.Event) -> None:
        self._hub = hub
        self._claim = claim
        self._stop = stop
        self._job = TrainJob.from_dict(claim.config)
        self._jobs = Federations(hub.database)
        self._beat = 0.0
        self._told = ""
        self.accuracy: float | None = None

    @property
    def claim(self) -> JobClaim:
        """Of the job, with the run it became."""
        return self._claim

    def main(self, grid: Grid) -> None:
        """All that is left of the job.

        Raises:
            PausedError: sites are missing, or rounds have failed too often: the job can be resumed.
            StoppedError: somebody asked for that.
            ConfigError: the job does not fit what the sites have.
            LinkLostError: the SuperLink is gone; call this again with the grid of another one.
        """
        grant = self._make_key(grid)
        decided = self._read_decided() or self._decide(grid, grant)
        if decided.key_id != (grant.key_id if self._job.protection.scheme == "packed" else decided.key_id):
            raise ConfigError(
                f"the sites have another key than run {self._claim.run} began with: a site came or went",
                hint="start the job again; a run is finished under the key it began with",
            )
        with Tracker(self._hub.database) as tracker:
            self._run_rounds(grid, grant, decided, tracker)

    def _run_rounds(self, grid: Grid, grant: KeyGrant, decided: _Decided, tracker: Tracker) -> None:
        hub, job = self._hub, self._job
        private = self._calibrate(decided)
        run = self._claim.run
        if run is None:
            run = self._start(tracker, decided, private, grant)
        else:
            tracker.resume(run)
        record = History(hub.database).federated(run)
        hub.observe(FederationStarted(record, None if private is None else private.noise_to_clip(decided.sites)))
        gate = PrivacyGate(Ledger(hub.database), self._subject, run, private, self._delta)
        recorder = RoundRecorder(
            hub.database,
            run,
            gate,
            rounds=job.rounds,
            update_bytes=4 * update_elements(decided.spec),
            observe=hub.observe,
            claim=self._claim,
        )
        resume = recorder.resume()
        if not resume.closed:
            gate.check_plan(job.rounds)
        adder = self._adder(Preset.named(decided.preset), decided.key_id)
        strategy = RelayStrategy(
            self._plan(run, decided, private, adder),
            adder,
            self._of_roster(grant),
            hub.identity,
            greeter=self._greeter(decided),
        )
        try:
            strategy.run(grid, recorder, resume)
        except BaseException:
            tracker.finish(run, state="interrupted", metrics={})
            raise
        self.accuracy = recorder.accuracy
        figures = {"bytes_up": float(recorder.bytes_up), "bytes_down": float(recorder.bytes_down)}
        if recorder.accuracy is not None:
            figures["val_accuracy"] = recorder.accuracy
        tracker.finish(run, state="completed", metrics=figures)

    # --- before the first round ---

    def _make_key(self, grid: Grid) -> KeyGrant:
        """The key of all members, once each has done its part."""
        hub = self._hub
        reasons: dict[str, str] = {}
        courier = Courier(grid, hub.sites, hub.identity, check=self._check)

        def note(site: str, reason: str) -> None:
            if Refusal.NOT_READY not in reason:  # which the message says already
                reasons[site] = reason

        ask = ask_sites(courier, hub.sites, seconds=_ASK_S, told=note)
        ends = time.monotonic() + hub.rules.patience
        while True:
            try:
                return hold_ceremony(hub.keys, hub.members(), ask)
            except CeremonyPendingError as exc:
                told = "; ".join(f"{site}: {reasons[site]}" for site in exc.waiting if site in reasons)
                reason = f"{exc.message}; {told}" if told else exc.message
                self._say(reason)
                if time.monotonic() > ends:
                    raise PausedError(reason, hint=exc.hint) from exc
            self._pause(_LOOK_S)

    def _decide(self, grid: Grid, grant: KeyGrant) -> _Decided:
        """What the run is: from the job, and from what the sites say and agree on."""
        job, sites = self._job, len(grant.roster.members)
        terms = job.make_terms(job.make_schema() or self._ask_schema(grid, grant))
        terms.check_privacy(private=job.privacy is not None)
        if terms.schema.public:
            preprocessing = public_preprocessing(terms)
            facts, text = Facts.of(preprocessing), canonical_json(preprocessing.to_dict())
        else:
            agreed = self._agree(grid, grant, terms)
            facts, text = agreed.facts, agreed.reference.to_json()
        spec = self._adapted(facts.task, grant) or job.spec or default_spec(facts.task)
        if isinstance(spec, ModelSpec):
            check_fits(spec, facts.task)
        check_trains(spec, job.make_strategy(), job.make_compression())
        private = self._calibrate_for(spec, sites)
        layout = job.make_compression().layout(full_layout(tensors_of(spec), job.make_strategy().among(sites)))
        preset = private.preset if private is not None else choose_preset(layout, sites, job.protection.bits)
        return _Decided(
            spec=spec,
            preprocessing=text,
            preset=preset.name,
            key_id=self._adder(preset, grant.key_id).key_id,
            roster_sha256=grant.roster.sha256,
            sites=sites,
        )

    def _adapted(self, task: Task, grant: KeyGrant) -> FederatedModel | None:
        """The model that the job names, as this machine's own code describes it."""
        job = self._job
        if job.adapter is None:
            return None
        known = {"sites": [member.name for member in grant.roster.members], "rounds": job.rounds}
        options = {name: each for name, each in job.adapter.items() if name != "name"}
        models, name = ModelCatalogue(), str(job.adapter["name"])
        spec = models.describe(name, options, task, known=known)
        adapter = models.make(name, spec.options, task)
        check_clear(name, adapter, plain=job.protection.scheme == "plain")
        return spec

    def _ask_schema(self, grid: Grid, grant: KeyGrant) -> Schema:
        """What the rows of most sites are."""
        hub = self._hub
        sites = self._of_roster(grant)
        courier = Courier(grid, sites, hub.identity, check=self._check)
        greeter = Greeter(HelloTerms(package=package_version()), hub.rules.closing)
        ends = time.monotonic() + hub.rules.patience
        while True:
            for done in drive(courier, [greeter.steps(courier.nodes())], check=self._check):
                if done.error is not None:
                    raise done.error
            said = {
                sites[node].name: Schema.from_dict(parse_json(hello.schema))
                for node, hello in greeter.hellos.items()
                if hello.schema and greeter.accepts(node)
            }
            missing = [site.name for site in sites.values() if site.name not in said]
            if not missing or (len(said) >= self._job.protection.min_sites and time.monotonic() > ends):
                return merge_schemas(said)[0]
            reason = f"{', '.join(sorted(missing)[:5])} did not say yet what its rows are"
            self._say(reason)
            if time.monotonic() > ends:
                raise PausedError(reason, hint="start its client, or give the job a [schema]")
            self._pause(_LOOK_S)

    def _agree(self, grid: Grid, grant: KeyGrant, terms: Terms) -> Agreement:
        """The sites agree on ranges, categories and classes, by protected sums."""
        hub, rules, sites = self._hub, self._hub.rules, self._of_roster(grant)
        preset = smallest_preset(len(grant.roster.members), AGREEMENT_BITS)
        uid = str(ULID())
        gate = PrivacyGate(Ledger(hub.database), self._subject, uid, None, self._delta)
        relay = AgreementRelay(
            AgreementJob(
                run=uid,
                terms=terms,
                masks=self._mask_terms(grant, None),
                min_sites=self._job.protection.min_sites,
                deadline=rules.deadline,
                attempts=rules.attempts,
                patience=rules.patience,
            ),
            self._adder(preset, grant.key_id),
            sites,
            hub.identity,
            KeptAgreementJournal(self._hub.folder / f"{uid}.agreement", gate.authorise_agreement),
            lambda: courier.nodes(),
        )
        courier = Courier(grid, sites, hub.identity, check=self._check)
        [done] = list(drive(courier, [relay.steps()], check=self._check))
        if done.error is not None or done.value is None:
            raise done.error or PausedError("the sites agreed on nothing")
        for site, problem in done.value.problems.items():
            self._say(f"{site} takes no part: {problem}")
        return done.value

    def _start(self, tracker: Tracker, decided: _Decided, private: ClientDp | None, grant: KeyGrant) -> str:
        """The run's row in the history, with all that it is."""
        job = self._job
        record = tracker.start_federated(
            name=job.name,
            seed=job.seed,
            config={"job": job.to_dict(), "decided": decided.to_dict()},
            dataset=None,
            clients=decided.sites,
            rounds=job.rounds,
            strategy=str(job.strategy["name"]),
            scheme=job.protection.scheme,
            alpha=None,
            model_run=job.model_run,
            spec=decided.spec.to_dict(),
            min_clients=job.protection.min_sites,
        )
        for member in grant.roster.members:
            tracker.record_site(record.uid, member.name)
        self._claim = self._jobs.attach(self._claim, record.uid)
        return record.uid

    def _read_decided(self) -> _Decided | None:
        """What an earlier coordinator has decided."""
        if self._claim.run is None:
            return None
        config = History(self._hub.database).federated(self._claim.run).run.config
        return _Decided.from_dict(config["decided"])

    # --- what follows from it ---

    def _plan(self, run: str, decided: _Decided, private: ClientDp | None, adder: Adder) -> FederationPlan:
        job, rules = self._job, self._hub.rules
        strategy = job.make_strategy().among(decided.sites)
        training = job.training
        bound = first_bound(
            LocalTraining(
                epochs=training.epochs,
                batch_size=training.batch_size,
                learning_rate=strategy.optimizer(training).learning_rate,
                weight_decay=training.weight_decay,
                max_rows=training.max_rows,
            ),
            1,
        )
        fewest = max(job.protection.min_sites, strategy.fewest)
        return FederationPlan(
            run=run,
            spec=decided.spec,
            preprocessing=decided.preprocessing,
            seed=job.seed,
            rounds=job.rounds,
            training=training,
            quantisation=Quantisation(
                preset=adder.preset.name,
                bound=bound,
                rule="fixed" if strategy.asynchronous else "last-sum",
                scheme=adder.scheme,
            ),
            strategy=strategy.to_json(),
            compression=job.make_compression().to_json(),
            masks=self._mask_terms_of(decided, private),
            privacy=None if private is None else privacy_terms(private),
            min_sites=fewest if private is None else max(fewest, private.fewest_sites),
            participants=job.protection.participants,
            closing=rules.closing,
            attempts=rules.attempts,
            patience=rules.patience,
        )

    def _mask_terms(self, grant: KeyGrant, private: ClientDp | None) -> MaskTerms | None:
        return make_mask_terms(grant.roster.sha256, len(grant.roster.members), private) if self._masked else None

    def _mask_terms_of(self, decided: _Decided, private: ClientDp | None) -> MaskTerms | None:
        return make_mask_terms(decided.roster_sha256, decided.sites, private) if self._masked else None

    @property
    def _masked(self) -> bool:
        return self._job.protection.masked

    def _greeter(self, decided: _Decided) -> Greeter:
        return Greeter(
            HelloTerms(
                package=package_version(),
                scheme=self._job.protection.scheme,
                masked=self._masked,
                key_id=decided.key_id if self._job.protection.scheme == "packed" else None,
                roster_sha256=decided.roster_sha256,
            ),
            self._hub.rules.closing,
        )

    def _calibrate(self, decided: _Decided) -> ClientDp | None:
        return self._calibrate_for(decided.spec, decided.sites)

    def _calibrate_for(self, spec: FederatedModel, sites: int) -> ClientDp | None:
        job, budget = self._job, self._job.privacy
        if budget is None:
            return None
        in_a_round = job.protection.participants or sites
        return calibrate_client_dp(
            budget.epsilon,
            budget.delta,
            rounds=job.rounds,
            clients=in_a_round,
            clip=budget.clip,
            bits=job.protection.bits,
            dimension=full_layout(tensors_of(spec), job.make_strategy().among(sites)).size,
            # A fifth of the sites may drop out of a round; the noise of the others is enough.
            fewest_sites=max(job.protection.min_sites, in_a_round - in_a_round // 5),
        )

    def _adder(self, preset: Preset, key_id: str) -> Adder:
        if self._job.protection.scheme == "plain":
            return PlainAdder(preset, sparse=self._job.make_compression().sparse)
        return PackedAdder(preset, key_id)

    def _of_roster(self, grant: KeyGrant) -> Mapping[int, PublicIdentity]:
        return _Members(self._hub.sites, frozenset(member.id for member in grant.roster.members))

    @property
    def _subject(self) -> str:
        """Whose privacy the ledger counts: of all sites of this coordinator together."""
        return f"federation:{self._hub.identity.public.id}"

    @property
    def _delta(self) -> float:
        return 1e-5 if self._job.privacy is None else self._job.privacy.delta

    # --- while it waits ---

    def _check(self) -> None:
        """Say that this coordinator lives.

        Raises:
            StoppedError: somebody asked for the job, or for the coordinator, to stop.
        """
        if self._stop.is_set():
            raise StoppedError("the coordinator was stopped", hint="it goes on when the server runs again")
        if time.monotonic() < self._beat + _BEAT_S:
            return
        self._beat = time.monotonic()
        if self._jobs.renew(self._claim, CLAIM_S):
            raise StoppedError("somebody asked for the run to stop", hint="nasturtium federate resume")

    def _pause(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            self._check()
            time.sleep(min(left, 0.2))

    def _say(self, reason: str) -> None:
        """Tell what is waited for, once."""
        if reason != self._told:
            self._told = reason
            self._hub.observe(JobWaits(self._job.name, reason))


class _Members(Mapping[int, PublicIdentity]):
    """Those of some nodes whose sites are in a roster; it changes as they do."""

    def __init__(self, sites: Mapping[int, PublicIdentity], members: frozenset[str]) -> None:
        self._sites, self._members = sites, members

    def __getitem__(self, node: int) -> PublicIdentity:
        site = self._sites[node]
        if site.id not in self._members:
            raise KeyError(node)
        return site

    def __iter__(self) -> Any:
        return iter([node for node, site in list(self._sites.items()) if site.id in self._members])

    def __len__(self) -> int:
        return len(list(iter(self)))

"""One `TrainJob` at the coordinator, from the sites' key to the last round; called again, it goes on where it was.

    key of the sites -> what their rows are -> what they agree on -> the network -> rounds -> the end

What a run is, once it has begun, stands in the history: a coordinator that goes on with it reads it from there, and
asks neither the job nor the sites again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flwr.serverapp import Grid

from ...core import ConfigError, ModelSpec
from ...core.data import Task
from ...privacy import (
    Adder,
    ClientDp,
    KeyGrant,
    Preset,
    calibrate_client_dp,
)
from ...storage import (
    FederatedRounds,
    History,
    JobClaim,
    Ledger,
    Tracker,
)
from ..adapters import FederatedModel, ModelCatalogue
from ..adapters.catalogue import check_clear
from ..adapters.spec import model_from_dict, tensors_of, update_elements
from ..coordinator.attempt import Coordination
from ..coordinator.catch_up import hand_over
from ..coordinator.greeter import Greeter
from ..coordinator.plan import FederationPlan
from ..coordinator.privacy_gate import PrivacyGate
from ..coordinator.recorder import FederationStarted, RoundRecorder
from ..coordinator.relay_strategy import RelayStrategy
from ..default_model import check_fits, default_spec
from ..protocol.courier import drive
from ..protocol.masks import make_mask_terms
from ..protocol.rounds import LocalTraining, MaskTerms, Quantisation, first_bound
from ..updates.exchange import check_trains, full_layout
from ..updates.private_symbols import privacy_terms
from ..updates.symbols import choose_preset
from .preparation import Coordinating, Preparation
from .release_job import TrainedModel, check_releasable, release_model, release_problem
from .train_job import TrainJob


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
        look: see `Preparation`.
    """

    def __init__(
        self, hub: Coordinating, claim: JobClaim, stop: threading.Event, *, look: Callable[[], object] | None = None
    ) -> None:
        self._hub = hub
        self._job = job = TrainJob.from_dict(claim.config)
        sparse = job.make_compression().sparse
        self._before = Preparation(hub, claim, stop, job.protection, delta=self._delta, sparse=sparse, look=look)
        self.accuracy: float | None = None
        self.note: str | None = None  # why the model is not where it was to be

    @property
    def claim(self) -> JobClaim:
        """Of the job, with the run it became."""
        return self._before.claim

    def main(self, grid: Grid) -> None:
        """All that is left of the job.

        Raises:
            PausedError: sites are missing, or rounds have failed too often: the job can be resumed.
            StoppedError: somebody asked for that.
            ConfigError: the job does not fit what the sites have.
            LinkLostError: the SuperLink is gone; call this again with the grid of another one.
        """
        if self._is_over():
            return
        grant = self._before.make_key(grid)
        decided = self._read_decided() or self._decide(grid, grant)
        if decided.key_id != (grant.key_id if self._job.protection.scheme == "packed" else decided.key_id):
            raise ConfigError(
                f"the sites have another key than run {self._before.claim.run} began with: a site came or went",
                hint="start the job again; a run is finished under the key it began with",
            )
        with Tracker(self._hub.database) as tracker:
            self._run_rounds(grid, grant, decided, tracker)

    def _run_rounds(self, grid: Grid, grant: KeyGrant, decided: _Decided, tracker: Tracker) -> None:
        hub, job = self._hub, self._job
        private = self._calibrate(decided)
        run = self._before.claim.run
        if run is None:
            run = self._start(tracker, decided, private, grant)
        else:
            tracker.resume(run)
        record = History(hub.database).federated(run)
        hub.observe(FederationStarted(record, None if private is None else private.noise_to_clip(decided.sites)))
        gate = PrivacyGate(Ledger(hub.database), self._before.subject, run, private, self._delta)
        recorder = RoundRecorder(
            hub.database,
            run,
            gate,
            rounds=job.rounds,
            update_bytes=4 * update_elements(decided.spec),
            observe=hub.observe,
            claim=self._before.claim,
            look=self._before.check,
        )
        resume = recorder.resume()
        if not resume.closed:
            gate.check_plan(job.rounds)
        terms, greeter = self._terms(run, grant, decided, private)
        try:
            RelayStrategy(terms.plan, terms.adder, terms.sites, hub.identity, greeter=greeter).run(
                grid, recorder, resume
            )
            made = TrainedModel(
                run=run,
                spec=decided.spec,
                courier=self._before.courier(grid, self._before.of_roster(grant)),
                grant=grant,
                tell=lambda kind, facts: recorder.tell(kind, job.rounds, **facts),
            )
            release_model(hub, self._before, job, made, tracker)
        except BaseException:
            tracker.finish(run, state="interrupted", metrics={})
            raise
        self.note = release_problem(History(hub.database), [run])
        self.accuracy = recorder.accuracy
        figures = {"bytes_up": float(recorder.bytes_up), "bytes_down": float(recorder.bytes_down)}
        if recorder.accuracy is not None:
            figures["val_accuracy"] = recorder.accuracy
        tracker.finish(run, state="completed", metrics=figures)

    def hand_over(self, grid: Grid) -> None:
        """Give the model of a run that is over to members that were away at its end and are there now.

        Nobody is asked where the sites have another key by now.

        Raises:
            StoppedError: somebody asked for that.
            LinkLostError: the SuperLink is gone.
        """
        hub, run, decided, grant = self._hub, self._before.claim.run, self._read_decided(), self._hub.keys.grant()
        if run is None or decided is None or grant is None or grant.roster.sha256 != decided.roster_sha256:
            return
        sites = self._before.of_roster(grant)
        terms, greeter = self._terms(run, grant, decided, self._calibrate(decided))
        courier = self._before.courier(grid, sites)
        rounds = FederatedRounds(hub.database, run)

        def tell(site: str, donor: str, size: int) -> None:
            rounds.tell_after("site caught up", site=site, donor=donor, bytes=size)
            self._before.tell(f"{site} has the model, by way of {donor}")

        steps = hand_over(terms, greeter, courier.nodes, len(rounds.resume_point().closed), tell)
        [done] = drive(courier, [steps], check=self._before.check)
        if done.error is not None:
            raise done.error

    def _terms(
        self, run: str, grant: KeyGrant, decided: _Decided, private: ClientDp | None
    ) -> tuple[Coordination, Greeter]:
        """What rounds and catching up go by."""
        before = self._before
        adder = before.adder(Preset.named(decided.preset), decided.key_id)
        plan, sites = self._plan(run, decided, private, adder), before.of_roster(grant)
        late = before.late_sites(grant, decided.preprocessing)
        greeter = before.greeter(decided.key_id, decided.roster_sha256, run=run, late=late, grant=grant)
        return Coordination.of(plan, adder, sites, self._hub.identity), greeter

    # --- before the first round ---

    def _decide(self, grid: Grid, grant: KeyGrant) -> _Decided:
        """What the run is: from the job, and from what the sites say and agree on."""
        job, sites = self._job, len(grant.roster.members)
        terms = job.make_terms(job.make_schema() or self._before.ask_schema(grid, grant))
        terms.check_privacy(private=job.privacy is not None)
        facts, text = self._before.settle_rows(grid, grant, terms)
        spec = self._adapted(facts.task, grant) or job.spec or default_spec(facts.task)
        if isinstance(spec, ModelSpec):
            check_fits(spec, facts.task)
        check_trains(spec, job.make_strategy(), job.make_compression())
        check_releasable(job, spec)
        private = self._calibrate_for(spec, sites)
        layout = job.make_compression().layout(full_layout(tensors_of(spec), job.make_strategy().among(sites)))
        preset = private.preset if private is not None else choose_preset(layout, sites, job.protection.bits)
        return _Decided(
            spec=spec,
            preprocessing=text,
            preset=preset.name,
            key_id=self._before.adder(preset, grant.key_id).key_id,
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
        self._before.attach(record.uid)
        return record.uid

    def _is_over(self) -> bool:
        """Whether a coordinator has done all of it, and died before it could say so."""
        run = self._before.claim.run
        if run is None or History(self._hub.database).federated(run).run.state != "completed":
            return False
        history = History(self._hub.database)
        self.accuracy, self.note = history.metrics(run).get("val_accuracy"), release_problem(history, [run])
        return True

    def _read_decided(self) -> _Decided | None:
        """What an earlier coordinator has decided."""
        run = self._before.claim.run
        if run is None:
            return None
        config = History(self._hub.database).federated(run).run.config
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

    def _mask_terms_of(self, decided: _Decided, private: ClientDp | None) -> MaskTerms | None:
        if not self._job.protection.masked:
            return None
        return make_mask_terms(decided.roster_sha256, decided.sites, private)

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

    @property
    def _delta(self) -> float:
        return 1e-5 if self._job.privacy is None else self._job.privacy.delta

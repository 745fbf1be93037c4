"""`SiteSearch`: the sites of a federation as what evaluates the candidates of a search, and trains and keeps its model.

Every candidate is a run of its own under the id of its trial, whose plans say what search it is of: a site's policy
allows that by the word "search", and it keeps no model of it. A candidate is never gone on with by another process: its
trial is tried again, as another run. The model is a run like any other, gone on with at its last closed round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from flwr.serverapp import Grid

from ...core import Budget, Candidate, ConfigError, Evaluation
from ...privacy import EncryptedSum, KeyGrant, smallest_preset
from ...storage import History, Ledger, Tracker
from ..coordinator.greeter import Greeter
from ..coordinator.plan import FederationPlan
from ..coordinator.privacy_gate import PrivacyGate
from ..coordinator.recorder import RoundRecorder
from ..coordinator.relay_strategy import RelayStrategy
from ..errors import FederationError
from ..flower import LinkLostError
from ..protocol.courier import drive
from ..protocol.masks import make_mask_terms
from ..search.evaluator import CandidateEvaluator
from ..search.shared_weights import SharedWeights
from ..search.terms import SearchTerms
from .preparation import Coordinating, Preparation
from .release_job import TrainedModel, release_model
from .search_job import SearchJob

_DELTA: Final = 1e-5  # at which the ledger counts; there is no noise


class SiteSearch:
    """Evaluates candidates at the sites that are there; see `nas.BatchEvaluator`.

    Args:
        job: what is searched for.
        hub: what the coordinator has.
        before: of the job.
        grid: reaches the sites.
        grant: of the sites' key.
        preprocessing: that the sites have agreed on, for the plans.
        shared: weights that candidates begin with, trained before the first of them; None has each train from nothing.
        timed: whether evaluations tell train_seconds.
    """

    def __init__(
        self,
        job: SearchJob,
        hub: Coordinating,
        before: Preparation,
        grid: Grid,
        grant: KeyGrant,
        preprocessing: str,
        *,
        shared: SharedWeights | None = None,
        timed: bool = False,
    ) -> None:
        self._job = job
        self._hub = hub
        self._before = before
        self._grid = grid
        self._sites = before.of_roster(grant)
        self._grant = grant
        self._roster = grant.roster.sha256
        self._late = before.late_sites(grant, preprocessing)
        self._untrained = shared
        self._shared = shared
        sites = len(grant.roster.members)
        preset, strategy = smallest_preset(sites, job.protection.bits), job.make_strategy().among(sites)
        self._adder = before.adder(preset, grant.key_id)
        self._terms = SearchTerms(
            sites=1,  # what is known of a site's rows is that they count as `max_rows` at most
            preprocessing=preprocessing,
            preset=preset.name,
            training=job.training,
            scheme=self._adder.scheme,
            masks=make_mask_terms(self._roster, sites, None) if job.protection.masked else None,
            strategy=strategy.to_json(),
            compression=job.make_compression().to_json(),
            min_sites=max(job.protection.min_sites, strategy.fewest),
            participants=job.protection.participants,
            closing=hub.rules.closing,
            attempts=job.search.attempts,
            patience=hub.rules.patience,
            timed=timed,
        )
        self._evaluator: CandidateEvaluator | None = None
        self._search = ""
        self._say: Callable[[str], object] = lambda what: None

    def begin(self, search: str, say: Callable[[str], object]) -> None:
        """The candidates that follow are of a search.

        Args:
            search: its uid, which sites are told.
            say: hears how far the training of shared weights is.
        """
        self._search, self._say = search, say
        courier = self._before.courier(self._grid, self._sites)
        greeter = self._greeter(("search",))
        # Once for all: the first candidates would each find the sites greeted by another, and not answered yet.
        for done in drive(courier, [greeter.steps(courier.nodes())], check=self._before.check):
            if done.error is not None:
                raise done.error
        self._evaluator = CandidateEvaluator(
            courier,
            replace(self._terms, search=search),
            self._adder,
            self._sites,
            self._hub.identity,
            journal=self._journal,
            greeter=greeter,
            shared=self._shared,
            at_once=self._job.search.together,
            check=self._before.check,
            ends=(LinkLostError,),
        )

    def submit(self, candidate: Candidate, budget: Budget) -> None:
        """See `CandidateEvaluator`, as of the next two."""
        untrained, self._untrained = self._untrained, None
        if untrained is not None:
            self._begun.prepare_shared(self._gate(self._search), self._say)
        self._begun.submit(candidate, budget)

    def wait(self) -> Sequence[tuple[str, Evaluation | Exception]]:
        """Work until an evaluation is done."""
        return self._begun.wait()

    def forget(self, candidate: str) -> None:
        """Let go of a candidate."""
        self._begun.forget(candidate)

    def train(self, candidate: Candidate) -> Evaluation:
        """The network of a candidate trained as the model, which every site keeps; its figures on their rows.

        Rounds that an earlier coordinator has closed are not done again. Where the job says who is given the model, the
        sites are asked for it.

        Raises:
            ConfigError: the sites have another key than they began it with.
            PausedError: a round had too few usable answers; it can be gone on with.
        """
        rounds = self._job.model.rounds
        terms = replace(self._terms, attempts=self._hub.rules.attempts)
        strategy = RelayStrategy(
            terms.plan(candidate, rounds),
            self._adder,
            self._sites,
            self._hub.identity,
            greeter=self._greeter(("train", "evaluate"), candidate.id),
        )
        recorder = RoundRecorder(
            self._hub.database,
            candidate.id,
            self._gate(candidate.id),
            rounds=rounds,
            update_bytes=4 * candidate.spec.plan().parameters,
            observe=self._hub.observe,
            claim=self._before.claim,
            kind="retrain",
        )
        resume = recorder.resume()
        if resume.total and EncryptedSum.from_bytes(resume.total).header.key_id != self._adder.key_id:
            raise ConfigError("the sites have another key than the model was begun with: a site came or went")
        strategy.run(self._grid, recorder, resume)
        made = TrainedModel(
            run=candidate.id,
            spec=candidate.spec,
            courier=self._before.courier(self._grid, self._sites),
            grant=self._grant,
            tell=lambda kind, facts: recorder.tell(kind, rounds, **facts),
            search=self._before.claim.run,
        )
        with Tracker(self._hub.database) as tracker:
            release_model(self._hub, self._before, self._job, made, tracker)
        measured = [each for each in History(self._hub.database).rounds(candidate.id) if each.accuracy is not None]
        if not measured or measured[-1].accuracy is None or measured[-1].loss is None:
            raise FederationError("the sites do not agree on the figures of the model")
        figures = {
            "val_accuracy": measured[-1].accuracy,
            "val_loss": measured[-1].loss,
            "upload_bytes": float(self._adder.update_bytes(strategy.terms.symbols.values)),
            "transferred_bytes": float(recorder.bytes_up),
        }
        return Evaluation(objectives=figures, curves={}, epochs=rounds)

    def _greeter(self, actions: tuple[str, ...], run: str = "") -> Greeter:
        key_id, roster = self._adder.key_id, self._roster
        return self._before.greeter(key_id, roster, actions, run=run, late=self._late, grant=self._grant)

    @property
    def _begun(self) -> CandidateEvaluator:
        if self._evaluator is None:
            raise ConfigError("candidates are of a search, and none was begun", hint="call begin first")
        return self._evaluator

    def _journal(self, candidate: Candidate, plan: FederationPlan) -> RoundRecorder:
        return RoundRecorder(
            self._hub.database,
            candidate.id,
            self._gate(candidate.id),
            rounds=plan.rounds,
            update_bytes=4 * candidate.spec.plan().parameters,
            claim=self._before.claim,
            keep_sums=False,  # a trial that was interrupted is tried again, as another run
            kind="trial",
        )

    def _gate(self, run: str) -> PrivacyGate:
        return PrivacyGate(Ledger(self._hub.database), self._before.subject, run, None, _DELTA)

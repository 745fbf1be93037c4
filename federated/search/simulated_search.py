"""A search over simulated sites: what evaluates its candidates, and trains the model it ends with."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from typing import Any

from ...core import Budget, Candidate, ConfigError, Evaluation, SavedModel, canonical_json
from ...core.data import Preprocessing
from ...privacy import MIN_SUMMANDS, Identity, smallest_preset
from ...storage import Database, Ledger
from ..coordinator.plan import FederationPlan
from ..coordinator.privacy_gate import PrivacyGate
from ..coordinator.recorder import RoundRecorder
from ..errors import FederationError
from ..protocol.courier import Courier
from ..protocol.gather import Closing
from ..protocol.masks import make_mask_terms
from ..protocol.rounds import LocalTraining, MaskTerms
from ..simulation.config import SimulationConfig
from ..simulation.grids import RunningSites, run_sites
from ..simulation.local_grid import FIRST_NODE_ID
from ..simulation.setup import SimulationSetup
from ..simulation.sites import PublicIdentities, SimulatedParties, roster_sha256
from .evaluator import CandidateEvaluator
from .shared_weights import SharedWeights
from .terms import SearchTerms


class SimulatedSearch:
    """Evaluates candidates, and trains a model, over sites that were opened by `open_simulated_search`.

    Args:
        setup: what is simulated.
        sites: that answer.
        terms: of all candidates.
        parties: the sites' keys and identities.
        coordinator: the identity of this side.
        database: gets the rounds of every candidate, whose run is in it; stays the caller's.
        shared: weights that candidates begin with; trained before the first of them.
        at_once: candidates side by side.
        check: see `CandidateEvaluator`.
    """

    def __init__(
        self,
        setup: SimulationSetup,
        sites: RunningSites,
        terms: SearchTerms,
        parties: SimulatedParties,
        coordinator: Identity,
        database: Database,
        *,
        shared: SharedWeights | None,
        at_once: int,
        check: Callable[[], object],
    ) -> None:
        self._setup = setup
        self._sites = sites
        self._database = database
        self._kind = "trial"
        self._untrained = shared  # what candidates share, until it is trained
        self._search = ""
        self._say: Callable[[str], object] = lambda what: None
        identities = PublicIdentities(parties, FIRST_NODE_ID)
        self._evaluator = CandidateEvaluator(
            Courier(sites.grid, identities, coordinator, check=check),
            terms,
            parties.make_adder(),
            identities,
            coordinator,
            journal=self._journal,
            shared=shared,
            at_once=at_once,
            check=check,
        )

    def begin(self, search: str, say: Callable[[str], object]) -> None:
        """The candidates that follow are of a search.

        Args:
            search: its uid, under which the training of what they share is charged.
            say: hears how far that is.
        """
        self._search, self._say = search, say

    def evaluate(self, candidate: Candidate, budget: Budget) -> Evaluation:
        """See `CandidateEvaluator`, as of the next three."""
        self._prepare()
        return self._evaluator.evaluate(candidate, budget)

    def submit(self, candidate: Candidate, budget: Budget) -> None:
        """Ask for an evaluation."""
        self._prepare()
        self._evaluator.submit(candidate, budget)

    def wait(self) -> Sequence[tuple[str, Evaluation | Exception]]:
        """Work until one is done."""
        return self._evaluator.wait()

    def forget(self, candidate: str) -> None:
        """Let go of a candidate."""
        self._evaluator.forget(candidate)

    def train(self, candidate: Candidate) -> SavedModel:
        """The network of a candidate, trained for all rounds of the simulation; the first site gives it out.

        Its metadata has the figures that the sites measured.

        Raises:
            FederationError: it diverged, or a round had too few usable answers.
        """
        rounds = self._setup.config.rounds
        self._kind = "retrain"
        try:
            evaluation = self._evaluator.evaluate(candidate, Budget(epochs=rounds, total=rounds), apart=True)
        finally:
            self._kind = "trial"
            self._evaluator.forget(candidate.id)
        if evaluation.diverged:
            raise FederationError(
                f"the model diverged in round {evaluation.epochs + 1}", hint="search with lower learning rates"
            )
        released = self._sites.release(0)
        if not isinstance(released, SavedModel):
            raise FederationError("the sites train models of their own kind, which a search has none of")
        return replace(released, metadata={**released.metadata, "rounds": rounds, **evaluation.objectives})

    def _prepare(self) -> None:
        """Train what is shared, once. The sites have it, and end with this process: who goes on trains it again."""
        shared, self._untrained = self._untrained, None
        if shared is None:
            return
        data, config = self._setup.data, self._setup.config
        gate = PrivacyGate(Ledger(self._database), data.fingerprint, self._search, None, config.delta)
        self._evaluator.prepare_shared(gate, self._say)

    def _journal(self, candidate: Candidate, plan: FederationPlan) -> RoundRecorder:
        data, config = self._setup.data, self._setup.config
        return RoundRecorder(
            self._database,
            candidate.id,
            PrivacyGate(Ledger(self._database), data.fingerprint, candidate.id, None, config.delta),
            rounds=plan.rounds,
            update_bytes=4 * candidate.spec.plan().parameters,
            keep_sums=False,  # the sites' key ends with this process
            kind="retrain" if self._kind == "retrain" else "trial",
        )


@contextmanager
def open_simulated_search(
    federation: Mapping[str, Any],
    database: Database,
    *,
    data: str,
    target: str | None,
    seed: int,
    at_once: int = 8,
    timed: bool = False,
    shared: SharedWeights | None = None,
    check: Callable[[], object] = lambda: None,
) -> Generator[SimulatedSearch]:
    """Simulated sites for a search, until the end of the context.

    Args:
        federation: other fields of `SimulationConfig`; its `rounds` are those of the final model, its `epochs` the
            passes of a site over its rows in a round.
        database: keeps rounds and the privacy ledger; stays the caller's.
        data, target: see `load_dataset`.
        seed: of the search: its test rows are rows that no site has.
        at_once: candidates side by side, 1 to 64.
        timed: whether evaluations tell train_seconds.
        shared: weights that candidates begin with; None has each train from nothing.
        check: called between exchanges; what it raises ends the search.

    Raises:
        ConfigError: the request cannot be served.
        BudgetSpentError: the data has a privacy budget.
    """
    config = read_federation(federation, data=data, target=target, seed=seed)
    setup = SimulationSetup.load(config)
    gate = PrivacyGate(Ledger(database), setup.data.fingerprint, "", None, config.delta)
    gate.check_plan(1)
    coordinator = Identity.generate("coordinator")
    preset = smallest_preset(config.in_a_round, config.bits)
    parties = SimulatedParties.make(setup, preset, coordinator.public)
    pool = setup.pool
    preprocessing = Preprocessing.fit(pool.inputs, pool.task)
    terms = SearchTerms(
        sites=config.clients,
        preprocessing=canonical_json(preprocessing.to_dict()),
        preset=preset.name,
        training=LocalTraining(epochs=config.epochs, max_rows=len(pool)),
        masks=_mask_terms(parties) if config.masked else None,
        strategy=config.make_strategy().to_json(),
        compression=config.make_compression().to_json(),
        min_sites=max(MIN_SUMMANDS, config.make_strategy().fewest),
        participants=None if config.in_a_round == config.clients else config.participants,
        closing=Closing(deadline=inf, min_replies=config.clients),  # all are waited for: nothing depends on speed
        attempts=1,
        patience=0.0,
        timed=timed,
    )
    with run_sites(parties) as sites:
        yield SimulatedSearch(
            setup, sites, terms, parties, coordinator, database, shared=shared, at_once=at_once, check=check
        )


def read_federation(
    federation: Mapping[str, Any], *, data: str, target: str | None = None, seed: int = 0
) -> SimulationConfig:
    """The simulated sites of a search, checked.

    Raises:
        ConfigError: fields that a simulation does not have, values out of range, or what a search cannot have.
    """
    try:
        config = SimulationConfig(data=data, target=target, seed=seed, **federation)
    except TypeError as exc:
        raise ConfigError(f"sites cannot be simulated so: {exc}") from exc
    if config.epsilon is not None:
        raise ConfigError(
            "candidates are compared by counts over all sites, which are exact, and a privacy budget allows no release "
            "without noise",
            hint="search on data without a budget, then train the network found: federate simulate --model --epsilon",
        )
    if config.preprocessing != "pooled":
        raise ConfigError("the candidates of a simulated search share the pooled preprocessing")
    return config


def _mask_terms(parties: SimulatedParties) -> MaskTerms:
    sites = PublicIdentities(parties, FIRST_NODE_ID)
    return make_mask_terms(roster_sha256(site.id for site in sites.values()), parties.config.in_a_round, None)

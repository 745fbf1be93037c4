"""A federation on one machine: real apps, real ciphertexts, real messages; only the network is missing.

The rows are shared out over the sites by a Dirichlet distribution. The preprocessing counts as agreed before the run,
as a schema would be: here it is fitted on all training rows together.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from ..core import (
    ConfigError,
    Metrics,
    ModelSpec,
    canonical_json,
    derive_rng,
    evaluate,
    save_model,
)
from ..core.data import Dataset, Preprocessing, dirichlet_split, load_dataset, resolve_source, train_validation_test
from ..privacy import Adder, Cipher, CkksAdder, CkksCipher, PlainAdder, PlainCipher, SecretKey
from ..storage import (
    DEFAULT_EXPERIMENT,
    BudgetSpentError,
    CeremonyEntry,
    ContributionRecord,
    Database,
    DatasetEntry,
    FederatedRecord,
    History,
    Ledger,
    ModelRegistry,
    RoundRecord,
    Spend,
    SystemSampler,
    Tracker,
    model_name,
)
from .client import make_client_app
from .default_model import check_fits, default_spec
from .grid import FIRST_NODE_ID, LocalGrid, partition_id
from .rounds import LocalTraining, Phase, RoundResult
from .site import Site
from .strategy import NAME, FederationPlan, RelayStrategy

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

VALIDATION_FRACTION = 0.2  # of a site's rows, on which it measures
MIN_ROWS = 2  # of a site: one to train on, one to measure on


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationConfig:
    """What to simulate. The history keeps it.

    Attributes:
        data, target: see `load_dataset`.
        clients: number of sites, >= 2: the sum of one site would be no secret.
        rounds: training rounds, >= 1.
        seed: decides the split, the weights and the shuffling. The key is never seeded.
        split_seed: decides which rows no site has, if it is not to be `seed`: the seed of the search that chose the
            network, whose test rows must stay unseen.
        alpha: Dirichlet concentration of the classes over the sites, > 0.
        encrypted: CKKS; False sends the same integers in the clear.
        epochs: passes of each site over its rows in a round.
        workers: sites that work at the same time.
    """

    data: str
    target: str | None = None
    clients: int = 4
    rounds: int = 20
    seed: int = 0
    split_seed: int | None = None
    alpha: float = 0.5
    encrypted: bool = True
    epochs: int = 2
    workers: int = 2

    def __post_init__(self) -> None:
        if self.clients < 2:
            raise ConfigError(
                f"expected clients >= 2, got {self.clients}", hint="the sum of a single client would reveal it"
            )
        if min(self.rounds, self.epochs, self.workers) < 1:
            raise ConfigError(
                f"expected rounds, epochs and workers >= 1, got {self.rounds}, {self.epochs} and {self.workers}"
            )
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"expected 0 <= seed < 2**63, got {self.seed}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """A finished federated run.

    Attributes:
        run: its record in the history.
        rounds: its rounds.
        test: the released model on rows that no site had.
        model: the folder of the saved model.
    """

    run: FederatedRecord
    rounds: list[RoundRecord]
    test: Metrics
    model: Path


@dataclass(frozen=True, slots=True)
class FederationStarted:
    """The run is in the history."""

    run: FederatedRecord


@dataclass(frozen=True, slots=True)
class RoundFinished:
    """A round is closed; the newest model the sites have reported on is that of round `reported`, if any."""

    number: int
    total: int
    reported: int | None
    accuracy: float | None
    bytes_up: int
    seconds: float


FederationEvent = FederationStarted | RoundFinished


@dataclass(frozen=True, slots=True)
class SimulationSetup:
    """All a simulation needs before it touches a database: checked, loaded, shared out.

    Attributes:
        config: with an absolute path to the data.
        spec: the network.
        data: all rows.
        pool: the rows the sites share.
        held_out: the rows no site has.
        shares: the rows of each site.
    """

    config: SimulationConfig
    spec: ModelSpec
    data: Dataset
    pool: Dataset
    held_out: Dataset
    shares: list[Dataset]

    @classmethod
    def load(cls, config: SimulationConfig, *, spec: ModelSpec | None = None) -> SimulationSetup:
        """Load and check everything; a small default network where no `spec` is given.

        Raises:
            ConfigError: the request cannot be served.
            DataError: the data cannot be learned from.
        """
        data = load_dataset(config.data, config.target)
        spec = spec or default_spec(data.task)
        check_fits(spec, data.task)
        config = replace(config, data=resolve_source(config.data))
        train, validation, held_out = train_validation_test(
            data, config.seed if config.split_seed is None else config.split_seed
        )
        pool = train.join(validation)
        shares = dirichlet_split(
            pool, config.clients, config.alpha, derive_rng(config.seed, "shares"), min_rows=MIN_ROWS
        )
        return cls(config, spec, data, pool, held_out, shares)


def simulate(
    setup: SimulationSetup,
    database: Database,
    *,
    model_run: str | None = None,
    observe: Callable[[FederationEvent], None] = lambda event: None,
    experiment: str = DEFAULT_EXPERIMENT,
    monitor: float | None = None,
) -> SimulationResult:
    """Train one model over simulated sites.

    Args:
        setup: what to simulate.
        database: keeps the run, its rounds and contributions; stays the caller's.
        model_run: uid of the run that found the network.
        observe: called with every `FederationEvent`, in this thread.
        experiment: the name to gather it under in the history.
        monitor: seconds between samples of CPU, memory and GPUs; None takes none.

    Raises:
        BudgetSpentError: the data has a privacy budget, and the next release would exceed it.
        FederationError: a round had too few usable answers.
    """
    config, data = setup.config, setup.data
    cipher, adder = _make_scheme(encrypted=config.encrypted)
    sites = [_make_site(i, share, config, cipher) for i, share in enumerate(setup.shares)]
    with Tracker(database, experiment=experiment) as tracker:
        record = tracker.start_federated(
            name=data.name,
            seed=config.seed,
            config=asdict(config),
            dataset=DatasetEntry(
                fingerprint=data.fingerprint, name=data.name, rows=len(data), body=data.task.to_dict()
            ),
            clients=config.clients,
            rounds=config.rounds,
            strategy=NAME,
            scheme=adder.scheme,
            alpha=config.alpha,
            model_run=model_run,
            spec=setup.spec.to_dict(),
        )
        watch = nullcontext() if monitor is None else SystemSampler(database, record.uid, interval=monitor)
        with tracker.ending(record.uid), watch:
            observe(FederationStarted(record))
            _record_parties(tracker, record.uid, setup, sites, adder)
            gate = _PrivacyGate(Ledger(database), data.fingerprint, record.uid)
            recorder = _RoundRecorder(tracker, gate, setup, record.uid, observe)
            _run_rounds(setup, record.uid, sites, adder, gate, recorder, database.heads_dir / record.uid)
            return _release(sites[0], setup.held_out, record, tracker, database, recorder)


def _run_rounds(
    setup: SimulationSetup,
    run: str,
    sites: list[Site],
    adder: Adder,
    gate: _PrivacyGate,
    recorder: _RoundRecorder,
    heads: Path,
) -> None:
    config, pool = setup.config, setup.pool
    strategy = RelayStrategy(
        FederationPlan(
            run=run,
            spec=setup.spec,
            preprocessing=canonical_json(Preprocessing.fit(pool.inputs, pool.task).to_dict()),
            seed=config.seed,
            rounds=config.rounds,
            training=LocalTraining(epochs=config.epochs, max_rows=len(pool)),
        ),
        adder,
        {FIRST_NODE_ID + i: site.name for i, site in enumerate(sites)},
    )
    app = make_client_app(lambda context: sites[partition_id(context)])
    with LocalGrid(app, len(sites), workers=config.workers) as grid:

        def close(result: RoundResult) -> None:
            _keep_heads(sites, heads)  # first: what they keep is what they saw, also if it cannot be recorded
            recorder.record(result)

        strategy.run(grid, close, gate.authorise)


def _record_parties(tracker: Tracker, run: str, setup: SimulationSetup, sites: list[Site], adder: Adder) -> None:
    """Who takes part with which data, by keyed fingerprints, and under which key."""
    started = datetime.now(UTC)
    for site, share in zip(sites, setup.shares, strict=True):
        # A real site's key is a secret of its own; a simulated one's only has to be the same for the same seed.
        key = derive_rng(setup.config.seed, "fingerprint key", site.name).bytes(32)
        fingerprint = f"hmac-sha256:{hmac.new(key, share.fingerprint.encode(), hashlib.sha256).hexdigest()}"
        entry = DatasetEntry(
            fingerprint=fingerprint, name=f"{setup.data.name} at {site.name}", rows=None, body={}, keyed=True
        )
        tracker.record_site(run, site.name, dataset=entry)
    if adder.key_id:
        ceremony = CeremonyEntry(
            scheme=adder.scheme,
            key_id=adder.key_id,
            members=[site.name for site in sites],
            started=started,
            ended=datetime.now(UTC),
            parameters_sha256=adder.parameters_sha256,
            public_key_sha256=adder.public_key_sha256,
        )
        tracker.record_ceremony(ceremony, run=run)


def _keep_heads(sites: list[Site], folder: Path) -> None:
    """Write what every site keeps of the ledger to where its operator would find it."""
    for site in sites:
        if site.ledger_head is not None:
            folder.mkdir(parents=True, exist_ok=True)
            draft = folder / f".{site.name}.draft"
            draft.write_text(site.ledger_head.to_json() + "\n")
            draft.replace(folder / f"{site.name}.head.json")


class _PrivacyGate:
    """Asks the ledger before a round, and says what the round cost.

    There is no noise yet, so every release costs an infinite epsilon: a run on data with any budget is refused.
    """

    def __init__(self, ledger: Ledger, subject: str, run: str) -> None:
        self._ledger = ledger
        self._subject = subject
        self._run = run

    def authorise(self, number: int, phase: Phase) -> str:
        """The ledger's signed head for the sites to keep.

        Raises:
            BudgetSpentError: the round would release more than the budget allows.
        """
        if phase != "report":
            spend = self.cost(number, phase)
            if self._ledger.would_exceed(spend.subject, spend.epsilon, spend.delta):
                raise BudgetSpentError(
                    f"round {number} is not begun: it releases a sum without noise, whose epsilon is unbounded, and "
                    f"{self._subject} has a privacy budget",
                    hint=f"see it with: nasturtium privacy show {self._run}",
                )
        head = self._ledger.head()
        return "" if head is None else head.to_json()

    def cost(self, number: int, phase: Phase) -> Spend:
        """What a round releases: the exact sum of the updates, or only counts."""
        mechanism = "exact sum of updates" if phase == "train" else "exact counts"
        return Spend(subject=self._subject, run=self._run, round=number, mechanism=mechanism, epsilon=inf, delta=0.0)

    def spend(self, number: int, phase: Phase, session: Session | None = None) -> None:
        """Record what a round released."""
        self._ledger.spend(self.cost(number, phase), session=session)


def _make_scheme(*, encrypted: bool) -> tuple[Cipher, Adder]:
    """The sites' and the coordinator's side of a scheme. The key is made among the sites; only its name leaves."""
    if not encrypted:
        return PlainCipher(), PlainAdder()
    key = SecretKey.generate()
    return CkksCipher(key), CkksAdder(key.public())


def _make_site(index: int, share: Dataset, config: SimulationConfig, cipher: Cipher) -> Site:
    name = f"site-{index + 1}"
    rows = derive_rng(config.seed, "validation", name).permutation(len(share))
    measured = max(1, round(VALIDATION_FRACTION * len(share)))
    return Site(name, share.take(rows[measured:]), share.take(rows[:measured]), cipher)


class _RoundRecorder:
    """Writes rounds into the history as they close, and their figures when the sites report them."""

    def __init__(
        self,
        tracker: Tracker,
        gate: _PrivacyGate,
        setup: SimulationSetup,
        uid: str,
        observe: Callable[[FederationEvent], None],
    ) -> None:
        self._tracker = tracker
        self._gate = gate
        self._uid = uid
        self._rounds = setup.config.rounds
        self._update_bytes = 4 * setup.spec.plan().parameters  # as float32 in the clear
        self._observe = observe
        self.bytes_up = 0
        self.bytes_down = 0
        self.reported: int | None = None  # the round whose model the sites reported on last
        self.accuracy: float | None = None  # of that model

    def record(self, result: RoundResult) -> None:
        """Record one round; only rounds that trained are rows of their own."""
        up = sum(outcome.bytes_up for outcome in result.outcomes)
        down = sum(outcome.bytes_down for outcome in result.outcomes)
        self.bytes_up += up
        self.bytes_down += down
        rejected = sum(outcome.reason is not None for outcome in result.outcomes)
        if result.phase == "train":
            round_record = RoundRecord(
                number=result.round,
                participants=len(result.outcomes) - rejected,
                rejected=rejected,
                loss=None,
                accuracy=None,
                bytes_up=up,
                bytes_down=down,
                seconds=result.seconds,
                started=result.started,
                bytes_plain=self._update_bytes * (len(result.outcomes) - rejected),
                aggregate_seconds=result.aggregate_seconds,
            )
            contributions = [
                ContributionRecord(
                    client=outcome.site,
                    state="accepted" if outcome.reason is None else "rejected",
                    reason=outcome.reason,
                    bytes_up=outcome.bytes_up,
                    bytes_down=outcome.bytes_down,
                    seconds=outcome.seconds,
                    train_seconds=outcome.train_seconds,
                    encrypt_seconds=outcome.encrypt_seconds,
                )
                for outcome in result.outcomes
            ]
            self._tracker.record_round(
                self._uid,
                round_record,
                contributions,
                and_then=lambda session: self._gate.spend(result.round, "train", session),
            )
        elif result.phase == "evaluate":
            self._gate.spend(result.round, "evaluate")
        report = result.report
        if report is not None and report.rows and report.model_round >= 1:
            self.reported, self.accuracy = report.model_round, report.correct / report.rows
            self._tracker.update_round_metrics(self._uid, report.model_round, loss=report.loss, accuracy=self.accuracy)
        if result.phase == "train":
            self._observe(RoundFinished(result.round, self._rounds, self.reported, self.accuracy, up, result.seconds))


def _release(
    site: Site,
    held_out: Dataset,
    record: FederatedRecord,
    tracker: Tracker,
    database: Database,
    recorder: _RoundRecorder,
) -> SimulationResult:
    """What the sites decide after the last round: give the model out, test it once and save it."""
    released = site.release()
    inputs = released.preprocessing.apply(held_out.inputs)
    test = evaluate(released.model, inputs, held_out.labels)
    plan = released.spec.plan()
    figures = {
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        "parameters": float(plan.parameters),
        "macs": float(plan.macs),
        "bytes_up": float(recorder.bytes_up),
        "bytes_down": float(recorder.bytes_down),
        **({} if recorder.accuracy is None else {"val_accuracy": recorder.accuracy}),
    }
    folder = save_model(
        database.models_dir / record.uid,
        released.spec,
        released.model,
        released.preprocessing,
        {"run": record.uid, "data": record.run.name, **figures},
    )
    tracker.record_model(record.uid, folder)
    signature = released.preprocessing.task.to_dict()
    ModelRegistry(database).register(model_name(record.run.name), record.uid, signature=signature)
    tracker.finish(record.uid, state="completed", metrics=figures)
    history = History(database)
    return SimulationResult(
        run=history.federated(record.uid), rounds=history.rounds(record.uid), test=test, model=folder
    )

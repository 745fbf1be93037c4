"""A federation on one machine: real apps, real ciphertexts, real messages; only the network is missing.

The rows are shared out over the sites by a Dirichlet distribution. The preprocessing counts as agreed before the run,
as a schema would be: here it is fitted on all training rows together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

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
    ContributionRecord,
    Database,
    DatasetEntry,
    FederatedRecord,
    History,
    RoundRecord,
    Tracker,
)
from .client import make_client_app
from .default_model import check_fits, default_spec
from .grid import FIRST_NODE_ID, LocalGrid, partition_id
from .rounds import LocalTraining, RoundResult
from .site import Site
from .strategy import NAME, FederationPlan, RelayStrategy

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
) -> SimulationResult:
    """Train one model over simulated sites.

    Args:
        setup: what to simulate.
        database: keeps the run, its rounds and contributions; stays the caller's.
        model_run: uid of the run that found the network.
        observe: called with every `FederationEvent`, in this thread.

    Raises:
        FederationError: a round had too few usable answers.
    """
    config, spec, data, pool = setup.config, setup.spec, setup.data, setup.pool
    cipher, adder = _make_scheme(encrypted=config.encrypted)
    sites = [_make_site(i, share, config, cipher) for i, share in enumerate(setup.shares)]
    tracker = Tracker(database)
    record = tracker.start_federated(
        name=data.name,
        seed=config.seed,
        config=asdict(config),
        dataset=DatasetEntry(fingerprint=data.fingerprint, name=data.name, rows=len(data), body=data.task.to_dict()),
        clients=config.clients,
        rounds=config.rounds,
        strategy=NAME,
        scheme=adder.scheme,
        alpha=config.alpha,
        model_run=model_run,
        spec=spec.to_dict(),
    )
    with tracker.ending(record.uid):
        observe(FederationStarted(record))
        strategy = RelayStrategy(
            FederationPlan(
                run=record.uid,
                spec=spec,
                preprocessing=canonical_json(Preprocessing.fit(pool.inputs, pool.task).to_dict()),
                seed=config.seed,
                rounds=config.rounds,
                training=LocalTraining(epochs=config.epochs, max_rows=len(pool)),
            ),
            adder,
            {FIRST_NODE_ID + i: site.name for i, site in enumerate(sites)},
        )
        recorder = _RoundRecorder(tracker, record.uid, config.rounds, observe)
        app = make_client_app(lambda context: sites[partition_id(context)])
        with LocalGrid(app, len(sites), workers=config.workers) as grid:
            strategy.run(grid, recorder.record)
        return _release(sites[0], setup.held_out, record, tracker, database, recorder)


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

    def __init__(self, tracker: Tracker, uid: str, rounds: int, observe: Callable[[FederationEvent], None]) -> None:
        self._tracker = tracker
        self._uid = uid
        self._rounds = rounds
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
            )
            contributions = [
                ContributionRecord(
                    client=outcome.site,
                    state="accepted" if outcome.reason is None else "rejected",
                    reason=outcome.reason,
                    bytes_up=outcome.bytes_up,
                    bytes_down=outcome.bytes_down,
                    seconds=outcome.seconds,
                )
                for outcome in result.outcomes
            ]
            self._tracker.record_round(self._uid, round_record, contributions)
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
    tracker.finish(record.uid, state="completed", metrics=figures)
    history = History(database)
    return SimulationResult(
        run=history.federated(record.uid), rounds=history.rounds(record.uid), test=test, model=folder
    )

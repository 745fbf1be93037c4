"""A federation on one machine: real apps, real ciphertexts, real messages; only the network is missing.

The rows are shared out over the sites by a Dirichlet distribution. The preprocessing counts as agreed before the run,
as a schema would be: here it is fitted on all training rows together.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ..core import (
    Metrics,
    ModelSpec,
    ParameterLayout,
    build,
    canonical_json,
    derive_rng,
    evaluate,
    save_model,
)
from ..core.data import Dataset, Preprocessing, dirichlet_split, load_dataset, resolve_source, train_validation_test
from ..privacy import (
    MIN_SUMMANDS,
    Adder,
    ApproximateCkksAdder,
    ApproximateCkksCipher,
    AttemptJournal,
    Budget,
    Cipher,
    CkksSecretKey,
    ClientDp,
    Identity,
    PackedAdder,
    PackedCipher,
    PlainAdder,
    PlainCipher,
    Preset,
    PublicIdentity,
    SecretKey,
    calibrate_client_dp,
    smallest_threshold,
)
from ..storage import (
    DEFAULT_EXPERIMENT,
    CeremonyEntry,
    ContributionRecord,
    Database,
    DatasetEntry,
    FederatedRecord,
    History,
    Ledger,
    ModelRegistry,
    RoundRecord,
    SystemSampler,
    Tracker,
    model_name,
)
from .client import make_client_app
from .default_model import check_fits, default_spec
from .errors import FederationError
from .grid import FIRST_NODE_ID, LocalGrid, partition_id
from .privacy_gate import PrivacyGate
from .private_symbols import PrivateSymbols, privacy_terms
from .rounds import LocalTraining, MaskTerms, Quantisation, RoundResult, first_bound
from .simulation_config import Scheme, SimulationConfig
from .site import Site
from .site_masks import SiteMasks
from .strategy import NAME, FederationPlan, RelayStrategy
from .symbols import choose_preset

VALIDATION_FRACTION = 0.2  # of a site's rows, on which it measures
MIN_ROWS = 2  # of a site: one to train on, one to measure on
COLLUDERS = 1  # sites that may be in league with the coordinator, where updates are masked


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
    """The run is in the history.

    `noise_to_clip` says how long the noise of a round is, in the mean of all sites; see `ClientDp`. None: no noise.
    """

    run: FederatedRecord
    noise_to_clip: float | None = None


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

    def calibrate(self) -> ClientDp | None:
        """The least noise for the config's budget; None where there is none.

        Raises:
            ConfigError: there is no such noise, or the network has running means of its data.
        """
        config = self.config
        if config.epsilon is None:
            return None
        private = calibrate_client_dp(
            config.epsilon,
            config.delta,
            rounds=config.rounds,
            clients=config.clients,
            clip=config.clip,
            bits=config.bits,
            dimension=ParameterLayout.of(build(self.spec, derive_rng(0, "layout"))).size,
            # A fifth of the sites may drop out of a round; the noise of the others is enough.
            fewest_sites=max(MIN_SUMMANDS, config.clients - config.clients // 5),
        )
        PrivateSymbols(build(self.spec, derive_rng(0, "layout")), private.preset, privacy_terms(private))
        return private


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
        BudgetSpentError: the data has a privacy budget, and the run would exceed it: before the first round, or before
            a later one where another run has spent what was left.
        FederationError: a round had too few usable answers, or the model is not finite.
    """
    config, data = setup.config, setup.data
    private = setup.calibrate()
    model = build(setup.spec, derive_rng(0, "layout"))
    preset = choose_preset(model, config.clients, config.bits) if private is None else private.preset
    cipher, adder = _make_scheme(config.scheme, preset)
    coordinator = Identity.generate("coordinator")
    sites = _make_sites(setup, cipher, coordinator.public)
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
            observe(FederationStarted(record, None if private is None else private.noise_to_clip(config.clients)))
            gate = PrivacyGate(Ledger(database), data.fingerprint, record.uid, private, config.delta)
            gate.check_plan(config.rounds)
            _record_parties(tracker, record.uid, setup, sites, adder)
            recorder = _RoundRecorder(tracker, gate, setup, record.uid, observe)
            strategy = _make_strategy(setup, record.uid, sites, adder, coordinator, private)
            _run_rounds(config, strategy, sites, gate, recorder, database.heads_dir / record.uid)
            return _release(sites[0], setup.held_out, record, tracker, database, recorder)


def _make_strategy(
    setup: SimulationSetup,
    run: str,
    sites: list[Site],
    adder: Adder,
    coordinator: Identity,
    private: ClientDp | None,
) -> RelayStrategy:
    config, pool = setup.config, setup.pool
    training = LocalTraining(epochs=config.epochs, max_rows=len(pool))
    return RelayStrategy(
        FederationPlan(
            run=run,
            spec=setup.spec,
            preprocessing=canonical_json(_preprocess(pool, private=private is not None).to_dict()),
            seed=config.seed,
            rounds=config.rounds,
            training=training,
            quantisation=Quantisation(preset=adder.preset.name, bound=first_bound(training, len(sites))),
            masks=_mask_terms(sites, private) if config.masked else None,
            privacy=None if private is None else privacy_terms(private),
            min_sites=MIN_SUMMANDS if private is None else private.fewest_sites,
        ),
        adder,
        {FIRST_NODE_ID + i: site.identity for i, site in enumerate(sites)},
        coordinator,
    )


def _preprocess(pool: Dataset, *, private: bool) -> Preprocessing:
    """Fitted on all rows; with differential privacy on none of them, for means and scales would be exact releases."""
    if not private:
        return Preprocessing.fit(pool.inputs, pool.task)
    return Preprocessing(pool.task, np.zeros(()), np.ones(()), np.zeros(len(pool.task.columns)))


def _mask_terms(sites: list[Site], private: ClientDp | None) -> MaskTerms:
    fewest = 0 if private is None else private.fewest_sites  # the masks of fewer would come off too little noise
    return MaskTerms(
        roster_sha256=_roster_sha256(site.identity.id for site in sites),
        threshold=max(smallest_threshold(len(sites), COLLUDERS), fewest),
        colluders=COLLUDERS,
    )


def _run_rounds(
    config: SimulationConfig,
    strategy: RelayStrategy,
    sites: list[Site],
    gate: PrivacyGate,
    recorder: _RoundRecorder,
    heads: Path,
) -> None:
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
    if adder.parameters_sha256 is not None:
        ceremony = CeremonyEntry(
            scheme=adder.scheme,
            key_id=adder.key_id,
            members=[site.name for site in sites],
            started=started,
            ended=datetime.now(UTC),
            parameters_sha256=adder.parameters_sha256,
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


def _make_scheme(scheme: Scheme, preset: Preset) -> tuple[Cipher, Adder]:
    """The sites' and the coordinator's side of a scheme. The key is made among the sites; only its name leaves."""
    if scheme == "plain":
        return PlainCipher(preset), PlainAdder(preset)
    if scheme == "packed":
        key = SecretKey.generate()
        return PackedCipher(key, preset), PackedAdder(preset, key.key_id)
    ckks_key = CkksSecretKey.generate()
    return ApproximateCkksCipher(ckks_key, preset), ApproximateCkksAdder(preset, ckks_key.key_id)


def _make_sites(setup: SimulationSetup, cipher: Cipher, coordinator: PublicIdentity) -> list[Site]:
    config = setup.config
    identities = [Identity.generate(f"site-{i + 1}") for i in range(config.clients)]
    members = {identity.public.id: identity.public for identity in identities}
    sites: list[Site] = []
    for identity, share in zip(identities, setup.shares, strict=True):
        rows = derive_rng(config.seed, "validation", identity.public.name).permutation(len(share))
        measured = max(1, round(VALIDATION_FRACTION * len(share)))
        train, validation = share.take(rows[measured:]), share.take(rows[:measured])
        journal = AttemptJournal(None)
        masks = SiteMasks(identity, members, _roster_sha256(members), journal) if config.masked else None
        budget = None if config.epsilon is None else Budget(config.epsilon, config.delta)
        sites.append(
            Site(
                identity,
                train,
                validation,
                cipher,
                coordinator=coordinator,
                journal=journal,
                masks=masks,
                budget=budget,
            )
        )
    return sites


def _roster_sha256(members: Iterable[str]) -> str:
    """Stands for a roster, which nobody signs where all parties are one."""
    return hashlib.sha256(canonical_json(sorted(members)).encode()).hexdigest()


class _RoundRecorder:
    """Writes rounds into the history as they close, and their figures when the sites report them."""

    def __init__(
        self,
        tracker: Tracker,
        gate: PrivacyGate,
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
    _check_finite("weights", *released.model.state().values())
    inputs = released.preprocessing.apply(held_out.inputs)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        test = evaluate(released.model, inputs, held_out.labels)
    _check_finite("test loss", np.asarray(test.loss))
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


def _check_finite(what: str, *arrays: np.ndarray) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise FederationError(
            f"the model of the last round is not kept: its {what} went beyond what is finite",
            hint="choose a smaller clip or a larger epsilon where there is noise, else fewer epochs or scaled data",
        )

"""A federation on one machine: real apps, real ciphertexts, real messages; only the network is missing.

The rows are shared out over the sites by a Dirichlet distribution. The preprocessing is fitted on all of them
together, or the sites agree on it first, by protected sums.
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

import numpy as np

from ...core import (
    Metrics,
    SavedModel,
    canonical_json,
    derive_rng,
    evaluate,
    save_model,
)
from ...core.data import Dataset, Preprocessing
from ...privacy import (
    MIN_SUMMANDS,
    Adder,
    ClientDp,
    Identity,
)
from ...storage import (
    DEFAULT_EXPERIMENT,
    CeremonyEntry,
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
from ..adapters.saved import AdaptedModel
from ..adapters.spec import tensors_of, update_elements
from ..agreement.conform import conform
from ..coordinator.plan import FederationPlan
from ..coordinator.privacy_gate import PrivacyGate
from ..coordinator.recorder import FederationEvent, FederationStarted, RoundRecorder
from ..coordinator.relay_strategy import RelayStrategy
from ..errors import FederationError, PausedError
from ..protocol.gather import Closing
from ..protocol.masks import make_mask_terms
from ..protocol.rounds import LocalTraining, MaskTerms, Quantisation, first_bound
from ..site_data.rows import Rows
from ..updates.exchange import full_layout
from ..updates.private_symbols import privacy_terms
from ..updates.symbols import choose_preset
from .agreement import agree_on_preprocessing
from .grids import run_sites
from .local_grid import FIRST_NODE_ID
from .setup import SimulationSetup
from .sites import PublicIdentities, SimulatedParties, roster_sha256, site_name


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
    layout = config.make_compression().layout(full_layout(tensors_of(setup.spec), config.make_strategy()))
    preset = choose_preset(layout, config.in_a_round, config.bits) if private is None else private.preset
    coordinator = Identity.generate("coordinator")
    parties = SimulatedParties.make(setup, preset, coordinator.public)
    adder = parties.make_adder()
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
            strategy=config.strategy,
            scheme=adder.scheme,
            alpha=config.alpha,
            model_run=model_run,
            spec=setup.spec.to_dict(),
        )
        watch = nullcontext() if monitor is None else SystemSampler(database, record.uid, interval=monitor)
        with tracker.ending(record.uid), watch:
            observe(FederationStarted(record, None if private is None else private.noise_to_clip(config.in_a_round)))
            gate = PrivacyGate(Ledger(database), data.fingerprint, record.uid, private, config.delta)
            gate.check_plan(config.rounds)
            parties = replace(parties, heads=database.heads_dir / record.uid)
            _record_parties(tracker, record.uid, setup, adder)
            recorder = RoundRecorder(
                database,
                record.uid,
                gate,
                rounds=config.rounds,
                update_bytes=4 * update_elements(setup.spec),
                observe=observe,
                keep_sums=False,  # the sites' key ends with this process
            )
            with run_sites(parties) as sites:
                if config.preprocessing == "agreed":
                    identities = PublicIdentities(parties, FIRST_NODE_ID)
                    masks = (
                        make_mask_terms(roster_sha256(site.id for site in identities.values()), config.clients, None)
                        if config.masked
                        else None
                    )
                    preprocessing = agree_on_preprocessing(
                        data.task, sites.grid, adder, identities, coordinator, gate, masks
                    )
                else:
                    fitted = _preprocess(setup.pool, private=private is not None)
                    preprocessing = canonical_json(fitted.to_dict())
                strategy = _make_strategy(setup, record.uid, parties, adder, coordinator, private, preprocessing)
                try:
                    strategy.run(sites.grid, recorder)
                except PausedError as exc:  # nobody can go on with it: the sites end with this process
                    raise FederationError(exc.message) from exc
                released = sites.release(0)
            held_out = conform(setup.held_out, released.preprocessing.task)
            return _keep(released, held_out, record, tracker, database, recorder)


def _make_strategy(
    setup: SimulationSetup,
    run: str,
    parties: SimulatedParties,
    adder: Adder,
    coordinator: Identity,
    private: ClientDp | None,
    preprocessing: str,
) -> RelayStrategy:
    config, pool = setup.config, setup.pool
    training = LocalTraining(epochs=config.epochs, max_rows=len(pool))
    strategy = config.make_strategy()
    sites = PublicIdentities(parties, FIRST_NODE_ID)
    return RelayStrategy(
        FederationPlan(
            run=run,
            spec=setup.spec,
            preprocessing=preprocessing,
            seed=config.seed,
            rounds=config.rounds,
            training=training,
            quantisation=Quantisation(
                preset=adder.preset.name,
                bound=first_bound(
                    replace(training, learning_rate=strategy.optimizer(training).learning_rate), config.clients
                ),
                rule="fixed" if strategy.asynchronous else "last-sum",
                scheme=adder.scheme,
            ),
            strategy=strategy.to_json(),
            compression=config.make_compression().to_json(),
            masks=_mask_terms(sites, config.in_a_round, private) if config.masked else None,
            privacy=None if private is None else privacy_terms(private),
            min_sites=max(MIN_SUMMANDS, strategy.fewest) if private is None else private.fewest_sites,
            participants=None if config.in_a_round == config.clients else config.participants,
            closing=Closing(deadline=inf, min_replies=config.clients),  # all are waited for: nothing depends on speed
            attempts=1,
            patience=0.0,
        ),
        adder,
        sites,
        coordinator,
    )


def _preprocess(pool: Dataset, *, private: bool) -> Preprocessing:
    """Fitted on all rows; with differential privacy on none of them, for means and scales would be exact releases."""
    if not private:
        return Preprocessing.fit(pool.inputs, pool.task)
    return Preprocessing(pool.task, np.zeros(()), np.ones(()), np.zeros(len(pool.task.columns)))


def _mask_terms(sites: PublicIdentities, in_a_round: int, private: ClientDp | None) -> MaskTerms:
    return make_mask_terms(roster_sha256(site.id for site in sites.values()), in_a_round, private)


def _record_parties(tracker: Tracker, run: str, setup: SimulationSetup, adder: Adder) -> None:
    """Who takes part with which data, by keyed fingerprints, and under which key."""
    started = datetime.now(UTC)
    names = [site_name(index) for index in range(setup.config.clients)]
    entries: dict[str, DatasetEntry | None] = {}
    for name, share in zip(names, setup.shares, strict=True):
        # A real site's key is a secret of its own; a simulated one's only has to be the same for the same seed.
        key = derive_rng(setup.config.seed, "fingerprint key", name).bytes(32)
        fingerprint = f"hmac-sha256:{hmac.new(key, share.fingerprint.encode(), hashlib.sha256).hexdigest()}"
        entries[name] = DatasetEntry(
            fingerprint=fingerprint, name=f"{setup.data.name} at {name}", rows=None, body={}, keyed=True
        )
    tracker.record_sites(run, entries)
    if adder.parameters_sha256 is not None:
        ceremony = CeremonyEntry(
            scheme=adder.scheme,
            key_id=adder.key_id,
            members=names,
            started=started,
            ended=datetime.now(UTC),
            parameters_sha256=adder.parameters_sha256,
        )
        tracker.record_ceremony(ceremony, run=run)


def _keep(
    released: SavedModel | AdaptedModel,
    held_out: Rows,
    record: FederatedRecord,
    tracker: Tracker,
    database: Database,
    recorder: RoundRecorder,
) -> SimulationResult:
    """Test the model that the sites gave out once, and save it."""
    if isinstance(released, AdaptedModel):
        _check_finite("weights", *released.tensors.values())
        test, size = released.evaluate(held_out.inputs, held_out.labels), {"parameters": released.spec.parameters}
    else:
        _check_finite("weights", *released.model.state().values())
        inputs = released.preprocessing.apply(held_out.inputs)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
            test = evaluate(released.model, inputs, held_out.labels)
        plan = released.spec.plan()
        size = {"parameters": plan.parameters, "macs": plan.macs}
    _check_finite("test loss", np.asarray(test.loss))
    figures = {
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        **{name: float(each) for name, each in size.items()},
        "bytes_up": float(recorder.bytes_up),
        "bytes_down": float(recorder.bytes_down),
        **({} if recorder.accuracy is None else {"val_accuracy": recorder.accuracy}),
    }
    folder, facts = database.models_dir / record.uid, {"run": record.uid, "data": record.run.name, **figures}
    if isinstance(released, AdaptedModel):
        released.save(folder, facts)
    else:
        save_model(folder, released.spec, released.model, released.preprocessing, facts)
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

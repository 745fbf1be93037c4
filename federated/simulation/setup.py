"""All a simulation needs before it touches a database: the data, the network, each site's rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...core import ConfigError, ModelSpec, derive_rng
from ...core.data import Dataset, Task, dirichlet_rows, load_dataset, resolve_source, train_validation_test
from ...privacy import (
    MIN_SUMMANDS,
    ClientDp,
    calibrate_client_dp,
)
from ..adapters.catalogue import check_clear
from ..adapters.spec import FederatedModel, tensors_of
from ..default_model import check_fits, default_spec
from ..site_data.rows import Shares
from ..updates.exchange import check_trains, full_layout
from ..updates.private_symbols import PrivateSymbols, privacy_terms
from .config import SimulationConfig, site_name

MIN_ROWS = 2  # of a site: one to train on, one to measure on


@dataclass(frozen=True, slots=True)
class SimulationSetup:
    """All a simulation needs before it touches a database: checked, loaded, shared out.

    Attributes:
        config: with an absolute path to the data.
        spec: the network, or the model of the owner's.
        data: all rows.
        pool: the rows the sites share.
        held_out: the rows no site has.
        shares: the rows of each site.
    """

    config: SimulationConfig
    spec: FederatedModel
    data: Dataset
    pool: Dataset
    held_out: Dataset
    shares: Shares

    @classmethod
    def load(cls, config: SimulationConfig, *, spec: ModelSpec | None = None) -> SimulationSetup:
        """Load and check everything; a small default network where neither `spec` nor the configuration names one.

        Raises:
            ConfigError: the request cannot be served.
            MissingExtraError: the library of the model is not installed.
            DataError: the data cannot be learned from.
        """
        data = load_dataset(config.data, config.target)
        model = _own_model(config, data.task, spec) or spec or default_spec(data.task)
        if isinstance(model, ModelSpec):
            check_fits(model, data.task)
        config = replace(config, data=resolve_source(config.data))
        train, validation, held_out = train_validation_test(
            data, config.seed if config.split_seed is None else config.split_seed
        )
        pool = train.join(validation)
        rows = dirichlet_rows(pool, config.clients, config.alpha, derive_rng(config.seed, "shares"), min_rows=MIN_ROWS)
        return cls(config, model, data, pool, held_out, Shares(pool, rows))

    def calibrate(self) -> ClientDp | None:
        """The least noise for the config's budget; None where there is none.

        Raises:
            ConfigError: there is no such noise, or the network has running means of its data.
        """
        config = self.config
        if config.epsilon is None:
            return None
        model, strategy = tensors_of(self.spec), config.make_strategy()
        private = calibrate_client_dp(
            config.epsilon,
            config.delta,
            rounds=config.rounds,
            clients=config.in_a_round,
            clip=config.clip,
            bits=config.bits,
            dimension=full_layout(model, strategy).size,
            # A fifth of the sites may drop out of a round; the noise of the others is enough.
            fewest_sites=max(MIN_SUMMANDS, config.in_a_round - config.in_a_round // 5),
        )
        PrivateSymbols(full_layout(model, strategy), private.preset, privacy_terms(private))
        return private


def _own_model(config: SimulationConfig, task: Task, spec: ModelSpec | None) -> FederatedModel | None:
    """The model of the owner's that a configuration names; None where it names none.

    Raises:
        ConfigError: there is none of this name, or it does not fit the rest.
        MissingExtraError: its library is not installed.
    """
    if config.model_name is None:
        return None
    if spec is not None:
        raise ConfigError(
            f"the network of a run and the model {config.model_name} exclude each other", hint="leave out one of them"
        )
    known = {"sites": [site_name(index) for index in range(config.clients)], "rounds": config.rounds}
    model = config.catalogue.describe(config.model_name, config.model_options, task, known=known)
    adapter = config.catalogue.make(model.name, model.options, task)
    check_clear(model.name, adapter, plain=config.scheme == "plain")
    check_trains(model, config.make_strategy(), config.make_compression())
    return model

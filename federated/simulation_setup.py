"""All a simulation needs before it touches a database: the data, the network, each site's rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core import (
    ModelSpec,
    build,
    derive_rng,
)
from ..core.data import Dataset, dirichlet_rows, load_dataset, resolve_source, train_validation_test
from ..privacy import (
    MIN_SUMMANDS,
    ClientDp,
    calibrate_client_dp,
)
from .default_model import check_fits, default_spec
from .exchange import full_layout
from .private_symbols import PrivateSymbols, privacy_terms
from .rows import Shares
from .simulation_config import SimulationConfig

MIN_ROWS = 2  # of a site: one to train on, one to measure on


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
    shares: Shares

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
        rows = dirichlet_rows(pool, config.clients, config.alpha, derive_rng(config.seed, "shares"), min_rows=MIN_ROWS)
        return cls(config, spec, data, pool, held_out, Shares(pool, rows))

    def calibrate(self) -> ClientDp | None:
        """The least noise for the config's budget; None where there is none.

        Raises:
            ConfigError: there is no such noise, or the network has running means of its data.
        """
        config = self.config
        if config.epsilon is None:
            return None
        model, strategy = build(self.spec, derive_rng(0, "layout")), config.make_strategy()
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

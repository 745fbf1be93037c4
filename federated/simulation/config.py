"""What a simulated federation is asked for, checked before any data is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, Literal, get_args

from ...core import ConfigError
from ...privacy import MAX_CLIENTS, MIN_SUMMANDS
from ..adapters.catalogue import ModelCatalogue
from ..compression import Compression, compression_from_dict
from ..strategies import FederatedStrategy, strategy_from_dict
from ..updates.exchange import check_scheme, check_together

MOST_CLIENTS: Final = 10_000
MOST_PROCESSES: Final = 256
MOST_ROUNDS: Final = 2**31 - 1  # the history counts no further
CLIPS: Final = (1e-6, 1e6)  # weights are float32: what is beyond does not change a network, or ruins it
Scheme = Literal["packed", "ckks-approximate", "plain"]
Preparation = Literal["pooled", "agreed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationConfig:
    """What to simulate. The history keeps it.

    Attributes:
        data, target: see `load_dataset`.
        clients: number of sites, 3 to 10,000: each of two could read the other's update off the sum.
        rounds: training rounds, >= 1.
        seed: decides the split, the weights and the shuffling. The key is never seeded.
        split_seed: decides which rows no site has, if it is not to be `seed`: the seed of the search that chose the
            network, whose test rows must stay unseen.
        alpha: Dirichlet concentration of the classes over the sites, > 0.
        scheme: how updates travel: "packed", "ckks-approximate" for parity with others, or "plain", the same integers
            in the clear.
        bits: of a quantised change, 1 to 16; 2 to 16 with a budget, where 3 or 4 are enough.
        epsilon: a budget of differential privacy for each site as a whole, over all rounds; None adds no noise. With it
            sites count alike and measure nothing on the way, rows are taken as they are (scale them by what is public),
            and the noise differs from run to run. It takes hundreds of sites for a useful model.
        delta: of that budget, in (0, 1).
        clip: largest L2 norm of a site's change in a round, where there is a budget; 1e-6 to 1e6.
        masked: mask updates under the encryption, so that not even the coordinator and a site together read one.
        epochs: passes of each site over its rows in a round.
        workers: sites that work at the same time, in threads.
        participants: sites that are asked to train in a round, 3 to 1000 and not more than there are; None asks all.
            What a sum is protected for follows it: preset, noise and masks are for so many updates.
        processes: to train in instead of threads; 0 for none.
        ray: address of a Ray cluster to train on instead, or "local" to start one here.
        preprocessing: "pooled" fits it on all rows of all sites, as if it had been agreed on before; "agreed" has the
            sites agree on it by protected sums of their training rows, as real ones do (`federated.agreement`).
        strategy, strategy_options: the name of one of `strategies.STRATEGIES`, and its parameters. Some need the
            scheme "plain".
        compression, compression_options: the same of `compression.COMPRESSIONS`.
        model_adapter: a model that is no network of the core, by its name, or by "module:function"; see `adapters`.
        model_options: of that model.

    Raises:
        ConfigError: a value is out of range, or two exclude each other.
    """

    data: str
    target: str | None = None
    clients: int = 4
    rounds: int = 20
    seed: int = 0
    split_seed: int | None = None
    alpha: float = 0.5
    scheme: Scheme = "packed"
    bits: int = 8
    epsilon: float | None = None
    delta: float = 1e-5
    clip: float = 1.0
    masked: bool = False
    epochs: int = 2
    workers: int = 2
    participants: int | None = None
    processes: int = 0
    ray: str | None = None
    preprocessing: Preparation = "pooled"
    strategy: str = "fedavg"
    strategy_options: Mapping[str, float] = field(default_factory=dict[str, float])
    compression: str = "none"
    compression_options: Mapping[str, float] = field(default_factory=dict[str, float])
    model_adapter: str | None = None
    model_options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self._check_clients()
        self._check_machines()
        for name in ("rounds", "epochs", "workers"):
            value = getattr(self, name)
            if not _is_count(value) or value < 1:
                raise ConfigError(f"expected {name} >= 1, got {value!r:.40}")
            if value > MOST_ROUNDS:
                raise ConfigError(f"expected {name} <= {MOST_ROUNDS}, got {value!r:.40}")
        for name in ("seed", "split_seed"):
            value = getattr(self, name)
            if not (_is_count(value) and 0 <= value < 2**63) and not (name == "split_seed" and value is None):
                raise ConfigError(f"expected 0 <= {name} < 2**63, got {value!r:.40}")
        if not (_is_finite(self.alpha) and self.alpha > 0):
            raise ConfigError(f"expected alpha > 0 and finite, got {self.alpha!r:.40}")
        self._check_scheme()
        self._check_budget()
        self._check_strategy()
        self._check_preprocessing()
        if self.model_options and self.model_adapter is None:
            raise ConfigError(
                "options of a model, and there is no model", hint="add --model-adapter NAME (in Python: model_adapter)"
            )
        self.catalogue  # noqa: B018 - what it is called is checked

    @property
    def model_name(self) -> str | None:
        """What sites know the model by."""
        return None if self.model_adapter is None else self.model_adapter.rpartition(":")[2].replace(".", "-")

    @property
    def catalogue(self) -> ModelCatalogue:
        """The models that the sites have."""
        if self.model_adapter is None or ":" not in self.model_adapter:
            return ModelCatalogue()
        return ModelCatalogue({self.model_name or "": self.model_adapter})

    @property
    def in_a_round(self) -> int:
        """How many sites are asked to train in a round."""
        return self.clients if self.participants is None else self.participants

    def make_strategy(self) -> FederatedStrategy:
        """The strategy, for so many sites."""
        return strategy_from_dict({"name": self.strategy, **self.strategy_options}).among(self.clients)

    def make_compression(self) -> Compression:
        """The compression."""
        return compression_from_dict({"name": self.compression, **self.compression_options})

    def _check_clients(self) -> None:
        if not _is_count(self.clients) or not MIN_SUMMANDS <= self.clients <= MOST_CLIENTS:
            few = _is_count(self.clients) and self.clients < MIN_SUMMANDS
            raise ConfigError(
                f"expected {MIN_SUMMANDS} to {MOST_CLIENTS} clients, got {self.clients!r:.40}",
                hint="each of two sites could subtract its own update from the sum and read the other's"
                if few
                else None,
            )
        most = min(self.clients, MAX_CLIENTS)
        if not _is_count(self.in_a_round) or not MIN_SUMMANDS <= self.in_a_round <= most:
            raise ConfigError(
                f"expected {MIN_SUMMANDS} to {most} participants in a round, got {self.in_a_round!r:.40}",
                hint=f"a sum has room for {MAX_CLIENTS} updates: add --participants (in Python: participants=100)"
                if self.participants is None
                else None,
            )

    def _check_machines(self) -> None:
        if not _is_count(self.processes) or not 0 <= self.processes <= MOST_PROCESSES:
            raise ConfigError(f"expected 0 to {MOST_PROCESSES} processes, got {self.processes!r:.40}")
        if self.ray == "":
            raise ConfigError(f'expected ray to be the address of a cluster or "local", got {self.ray!r:.40}')
        if self.ray is not None and self.processes:
            raise ConfigError(
                "processes are on this machine, and a Ray cluster has its own", hint="leave one of them out"
            )

    def _check_scheme(self) -> None:
        if self.scheme not in get_args(Scheme):
            raise ConfigError(f"expected a scheme of {', '.join(get_args(Scheme))}, got {self.scheme!r:.40}")
        if self.masked and self.scheme != "packed":
            option = "--plain" if self.scheme == "plain" else "--ckks"
            raise ConfigError(
                f"masks go under the packed encryption, got the scheme {self.scheme}",
                hint=f'leave out {option} (in Python: scheme="packed"), or the masks',
            )
        if self.epsilon is not None and self.scheme == "plain":
            raise ConfigError(
                "noise hides a site in the sum, not in an update in the clear",
                hint='leave out --plain (in Python: scheme="packed"), or epsilon',
            )

    def _check_strategy(self) -> None:
        strategy, compression = self.make_strategy(), self.make_compression()
        check_together(strategy, compression, private=self.epsilon is not None)
        check_scheme(strategy, compression, self.scheme)
        if strategy.fewest > self.in_a_round:
            raise ConfigError(
                f"{self.strategy} needs {strategy.fewest} updates in a round, and {self.in_a_round} sites take part",
                hint="add sites, or lower what the strategy is to withstand",
            )
        if strategy.asynchronous and self.participants is not None:
            raise ConfigError(f"{self.strategy} asks every site that is idle", hint="leave out participants")
        if compression.sparse and self.bits < 2:
            raise ConfigError(f"{self.compression} needs a level for zero: at least 2 bits, got {self.bits}")

    def _check_preprocessing(self) -> None:
        if self.preprocessing not in get_args(Preparation):
            raise ConfigError(
                f"expected preprocessing as one of {', '.join(get_args(Preparation))}, got {self.preprocessing!r:.40}"
            )
        if self.preprocessing == "agreed" and self.epsilon is not None:
            raise ConfigError(
                "sums that sites agree on preprocessing by are exact, and a privacy budget allows no release without "
                "noise",
                hint="leave out one of them; with a budget rows are taken as they are",
            )
        if self.preprocessing == "agreed" and self.in_a_round < self.clients:
            raise ConfigError(
                f"all {self.clients} sites agree on preprocessing in one sum, which has room for the "
                f"{self.participants} participants of a round",
                hint="leave out one of them",
            )

    def _check_budget(self) -> None:
        fewest = 1 if self.epsilon is None else 2  # a level for zero, to which noise is added
        if not _is_count(self.bits) or not fewest <= self.bits <= 16:
            told = "" if self.epsilon is None else " with a privacy budget"
            raise ConfigError(f"expected {fewest} to 16 bits{told}, got {self.bits!r:.40}")
        if self.epsilon is not None and not (_is_finite(self.epsilon) and self.epsilon > 0):
            raise ConfigError(f"expected epsilon > 0 and finite, got {self.epsilon!r:.40}")
        if not (_is_finite(self.delta) and 0 < self.delta < 1):
            raise ConfigError(f"expected delta with 0 < delta < 1, got {self.delta!r:.40}")
        if not (_is_finite(self.clip) and CLIPS[0] <= self.clip <= CLIPS[1]):
            raise ConfigError(f"expected clip from {CLIPS[0]:g} to {CLIPS[1]:g}, got {self.clip!r:.40}")


def site_name(index: int) -> str:
    """What the site with an index from 0 is called."""
    return f"site-{index + 1}"


def _is_count(value: object) -> bool:
    return type(value) is int


def _is_finite(value: object) -> bool:
    """Whether it is a number a float can hold: what a caller got from a text is none."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    except OverflowError:
        return False

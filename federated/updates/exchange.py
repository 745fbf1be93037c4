"""`Exchange`: what a strategy and a compression make of an update on its way out, and of a sum on its way in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ...core import ConfigError
from ...core.nn import Module
from ...privacy import Preset
from ..adapters.spec import AdapterSpec, FederatedModel
from ..compression import Compression, compression_from_json
from ..protocol.rounds import PrivacyTerms
from ..strategies import FederatedStrategy, State, strategy_from_json
from .layout import UpdateLayout
from .model_tensors import ModelTensors
from .private_symbols import PrivateSymbols, make_symbols
from .symbols import Contribution, Total, UpdateSymbols

LOCAL: Final = "model/"  # before the names of tensors that stay at a site, in its own state
_RESIDUAL: Final = "residual"  # what a site has not said yet
_BASES: Final = "compression/"  # before what a compression keeps among what all sites share


@dataclass(frozen=True, slots=True)
class Exchange:
    """How updates of a run are made and what sums of them do; the same at every site.

    Attributes:
        strategy, compression: see there.
        full: what an update holds before it is compressed.
        symbols: what the integers of an update mean.
    """

    strategy: FederatedStrategy
    compression: Compression
    full: UpdateLayout
    symbols: UpdateSymbols | PrivateSymbols

    @classmethod
    def of(
        cls,
        model: Module | ModelTensors,
        preset: Preset,
        terms: PrivacyTerms | None,
        strategy: FederatedStrategy,
        compression: Compression,
    ) -> Exchange:
        """For a model, whose weights do not matter.

        Raises:
            ConfigError: they do not fit the model, the preset or each other.
        """
        check_together(strategy, compression, private=terms is not None)
        full = full_layout(model, strategy)
        symbols = make_symbols(
            compression.layout(full), preset, terms, equal_weights=strategy.equal_weights, sparse=compression.lossy
        )
        return cls(strategy, compression, full, symbols)

    @classmethod
    def read(
        cls, model: Module | ModelTensors, preset: Preset, terms: PrivacyTerms | None, strategy: str, compression: str
    ) -> Exchange:
        """As `of`, from the texts of a `RoundPlan`.

        Raises:
            FormatError: a text is damaged.
            ConfigError: what it says is not known, or does not fit.
        """
        return cls.of(model, preset, terms, strategy_from_json(strategy), compression_from_json(compression))

    def begin(self, seed: int) -> State:
        """What all sites share before the first round, beside the model."""
        bases = self.compression.init(self.full, seed)
        return self.strategy.init(len(self.full.parameters)) | {_BASES + name: each for name, each in bases.items()}

    def say(
        self,
        contribution: Contribution,
        server: Mapping[str, np.ndarray],
        own: Mapping[str, np.ndarray],
        ranges: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, State]:
        """The symbols of an update, and what becomes the site's own state once they are in a sum.

        Args:
            contribution: of the site.
            server: what all sites share.
            own: what stays at this one.
            ranges: of the round.
            rng: rounds.

        Raises:
            PrivacyError: a value is not finite, or an exact one too large.
        """
        if not contribution.weight:  # it only measures
            said = np.zeros(self.symbols.layout.size)
            return self.symbols.encode(replace(contribution, change=said), ranges, rng), {}
        extras = [contribution.extras[name] for name in self.strategy.extra_names]
        update = np.concatenate([contribution.change, *extras]) if extras else contribution.change
        if self.compression.lossy and _RESIDUAL in own:
            update = update + own[_RESIDUAL]
        said = self.compression.compress(update, self.full, _bases(server))
        symbols = self.symbols.encode(replace(contribution, change=said), ranges, rng)
        pending: State = {LOCAL + name: array for name, array in contribution.local.items()}
        if self.compression.lossy or extras:
            heard = self.symbols.decode(symbols, 1, ranges)
            meant = self.compression.expand(heard.change, self.full, _bases(server))
            if self.compression.lossy:
                pending[_RESIDUAL] = update - meant
            if extras:
                pending |= self.strategy.keep(own, self._extras(meant / np.float32(heard.weight)))
        return symbols, pending

    def move(
        self, vector: np.ndarray, server: Mapping[str, np.ndarray], total: Total, sites: int
    ) -> tuple[np.ndarray, State]:
        """What the sum of a round makes of the model, and of what else all sites share.

        Args:
            vector: the tensors that travel, shape (model_size,) float32; not modified.
            server: what all sites share.
            total: of a round that trained.
            sites: how many are in it.
        """
        said = total.change / total.weight
        bases = _bases(server)
        state = {name: array for name, array in server.items() if not name.startswith(_BASES)}
        mean = self.compression.expand(said, self.full, bases)
        change, places = mean[: self.full.model_size], self.full.parameters
        if len(places) == len(vector):
            moved, state = self.strategy.step(vector, change, state)
        else:
            moved = vector + change
            moved[places], state = self.strategy.step(vector[places], change[places], state)
        if self.strategy.extra_names:
            state = self.strategy.absorb(self._extras(mean), sites, state)
        bases = self.compression.advance(said, self.full, bases)
        return moved.astype(np.float32, copy=False), state | {_BASES + name: each for name, each in bases.items()}

    def _extras(self, update: np.ndarray) -> State:
        """The extras in an update, by name."""
        names = self.strategy.extra_names
        return dict(zip(names, update[self.full.model_size :].reshape(len(names), -1), strict=True)) if names else {}


def full_layout(model: Module | ModelTensors, strategy: FederatedStrategy) -> UpdateLayout:
    """What an update of a model holds before it is compressed."""
    tensors = ModelTensors.of(model)
    return UpdateLayout.of(tensors, strategy.shared(tensors)).with_extras(strategy.extra_names, strategy.extra_range)


def check_together(strategy: FederatedStrategy, compression: Compression, *, private: bool) -> None:
    """Check that a strategy, a compression and differential privacy fit each other.

    Raises:
        ConfigError: they do not; says why.
    """
    if private and strategy.private:
        raise ConfigError(
            f"the strategy {strategy.name} has no differential privacy: {strategy.private}",
            hint="choose another strategy, fedavg say, or leave the privacy budget out",
        )
    if private and compression.name != "none":
        raise ConfigError(
            f"the compression {compression.name} gains nothing under differential privacy: noise fills what it leaves "
            "out",
            hint="leave out one of them",
        )
    if compression.lossy and (strategy.rule() is not None or strategy.extra_names or strategy.asynchronous):
        raise ConfigError(
            f"the strategy {strategy.name} needs whole updates, and {compression.name} leaves a part of each for later",
            hint="leave out the compression, or choose another strategy",
        )


def check_trains(model: FederatedModel, strategy: FederatedStrategy, compression: Compression) -> None:
    """Check that sites can train a model as a strategy wants it.

    Raises:
        ConfigError: they cannot; says why.
    """
    if not isinstance(model, AdapterSpec):
        return
    corrects = type(strategy).correction is not FederatedStrategy.correction
    if corrects or strategy.extra_names:
        raise ConfigError(
            f"the strategy {strategy.name} takes part in every step of the local training, and the model {model.name} "
            "trains by its own library",
            hint="choose another strategy, fedavg or fedadam say",
        )
    if not model.parameters and (strategy.rule() is not None or strategy.asynchronous or compression.lossy):
        raise ConfigError(
            f"the model {model.name} is joined by exact sums of what the sites made of the same model: not with "
            f"{strategy.name} and {compression.name}",
            hint="choose the strategy fedavg, without compression",
        )


def check_scheme(strategy: FederatedStrategy, compression: Compression, scheme: str) -> None:
    """Check that what must see updates in the clear does.

    Args:
        strategy, compression: of a run.
        scheme: how its updates travel.

    Raises:
        ConfigError: they are encrypted; says what would have to be seen.
    """
    for kind, what in (("strategy", strategy), ("compression", compression)):
        if what.in_the_clear and not scheme.startswith("plain"):
            raise ConfigError(
                f"the {kind} {what.name} {what.in_the_clear}: not under the scheme {scheme}",
                hint=f'choose another {kind}, or send updates in the clear: the scheme "plain" (--plain)',
            )


def _bases(server: Mapping[str, np.ndarray]) -> State:
    return {name.removeprefix(_BASES): array for name, array in server.items() if name.startswith(_BASES)}

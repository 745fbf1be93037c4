"""`DartsSearch`: chooses layers by gradient, on a network in which all of them are mixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import numpy as np

from ...core import ConfigError, Curves, FormatError, Tensor, derive_rng, derive_seed, grad
from ...core.nn import Buffer, Module
from ...core.optim import SGD, Adam, clip_by_norm, cosine_schedule
from ...core.train import Criterion, Snapshot, SnapshotReader, description
from ..space import Flat, Space
from ..space.nodes import Scalar
from .derive import strongest_point
from .extremes import check_networks, extreme
from .relaxed import Relaxation
from .single_path import Rows, usual_criterion


@dataclass(frozen=True, slots=True, kw_only=True)
class DartsConfig:
    """How to search by gradient; the defaults are the paper's, but for the logits' learning rate, which is for runs of
    hundreds of steps instead of tens of thousands.

    Attributes:
        epochs: over the training rows, >= 1.
        batch_size: rows a step, of the training and of the validation rows, >= 1.
        warmup: epochs at the start in which only the weights are trained, >= 0.
        learning_rate: of the weights, by SGD with momentum 0.9 on a cosine schedule, > 0.
        weight_decay: of the weights, >= 0.
        clip_norm: scale the weights' gradient down to this L2 norm, > 0.
        logits_learning_rate: of the logits, by Adam, > 0.
        logits_weight_decay: >= 0.
        gdas: sample one option of each decision in each forward pass, instead of mixing all.
        temperature: of the samples, at the first and the last epoch, both > 0.
    """

    epochs: int = 30
    batch_size: int = 64
    warmup: int = 0
    learning_rate: float = 0.025
    weight_decay: float = 3e-4
    clip_norm: float = 5.0
    logits_learning_rate: float = 1e-2
    logits_weight_decay: float = 1e-3
    gdas: bool = False
    temperature: tuple[float, float] = (10.0, 0.1)

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1 or not 0 <= self.warmup <= self.epochs:
            raise ConfigError(
                f"expected epochs and batch_size >= 1 and 0 <= warmup <= epochs, "
                f"got {self.epochs}, {self.batch_size} and {self.warmup}"
            )
        rates = self.learning_rate, self.logits_learning_rate, self.clip_norm, *self.temperature
        if not all(0 < value < inf for value in rates):
            raise ConfigError(f"expected learning rates, clip_norm and temperatures > 0 and finite, got {rates}")
        if not (0 <= self.weight_decay < inf and 0 <= self.logits_weight_decay < inf):
            raise ConfigError(
                f"expected weight decays >= 0 and finite, got {self.weight_decay} and {self.logits_weight_decay}"
            )


class DartsSearch:
    """Steps of the logits on validation rows and of the weights on training rows in turn: DARTS of first order (Liu et
    al. 2019, https://arxiv.org/abs/1806.09055), or GDAS (Dong & Yang 2019, https://arxiv.org/abs/1910.04465).

    Constraints of the space do not count: see `Space.allows` for what comes out. A search that was stopped after an
    epoch, saved, and loaded into a new process has the bits of one that was not: see `save_checkpoint`.

    Args:
        space: with choices of layers or cells; see `Relaxation` for what of it is mixed.
        config: see `DartsConfig`.
        seed: decides initial weights, the order of the rows, and samples.
        base: the point that has all other decisions; by default the largest network's.
        criterion: the loss; by default that of the space's task.

    Attributes:
        relaxation: the network, logits and their weights.
        epoch: epochs done.
        curves: train_loss and val_loss, means over the steps of an epoch with the network mixed as it was.
        diverged: a loss was not finite; the search stops there.

    Raises:
        ConfigError: the space has nothing to be mixed.
    """

    def __init__(
        self,
        space: Space,
        config: DartsConfig,
        *,
        seed: int,
        base: Flat | None = None,
        criterion: Criterion | None = None,
    ) -> None:
        check_networks(space)
        self.space = space
        self.config = config
        if base is None:
            base = extreme(space, derive_rng(seed, "base"), largest=True)
        self.base = dict(base)
        self.relaxation = Relaxation(space, base, derive_rng(seed, "weights"))
        self.epoch = 0
        self.curves: Curves = {}
        self.diverged = False
        self._seed = seed
        self._criterion = criterion or usual_criterion(space.task)
        self._weights = self.relaxation.network.parameters()
        self._logits = list(self.relaxation.mixing.logits.values())
        if not self._weights:
            raise ConfigError(f"space {space.name!r}: the mixed network has no weights to train")
        self._optimizer = SGD(learning_rate=config.learning_rate, momentum=0.9, weight_decay=config.weight_decay)
        self._state = self._optimizer.init(self._weights)
        self._chooser = Adam(
            learning_rate=config.logits_learning_rate, beta1=0.5, weight_decay=config.logits_weight_decay
        )
        self._chooser_state = self._chooser.init(self._logits)

    @property
    def finished(self) -> bool:
        """True when all epochs are done or a loss diverged."""
        return self.diverged or self.epoch >= self.config.epochs

    @property
    def temperature(self) -> float:
        """Of the samples in the epoch under way, which falls evenly."""
        first, last = self.config.temperature
        return first + (last - first) * self.epoch / max(1, self.config.epochs - 1)

    def fit(
        self,
        train: Rows,
        validation: Rows,
        *,
        until: int | None = None,
        after_epoch: Callable[[DartsSearch], None] = lambda search: None,
    ) -> Curves:
        """Search to the end of epoch `until` (all of them by default), or until `finished`.

        Args:
            train: rows that the weights learn from, prepared.
            validation: rows that the logits learn from; none of those that measure the result in the end.
            until: an epoch, counted from 1.
            after_epoch: called with this search.

        Returns:
            All curves since the start.

        Raises:
            ConfigError: there are no rows.
        """
        if not len(train[0]) or not len(validation[0]):
            raise ConfigError(f"expected rows, got {len(train[0])} to train and {len(validation[0])} to validate")
        while not self.finished and (until is None or self.epoch < until):
            with np.errstate(over="ignore", invalid="ignore"):  # seen in the loss, and reported there
                train_loss, val_loss = self._run_epoch(train, validation)
            self.epoch += 1
            self.curves.setdefault("train_loss", {})[self.epoch] = train_loss
            self.curves.setdefault("val_loss", {})[self.epoch] = val_loss
            self.diverged = not (isfinite(train_loss) and isfinite(val_loss))
            after_epoch(self)
        return self.curves

    def loss(self, inputs: np.ndarray, targets: np.ndarray) -> Tensor:
        """The loss of the network as it is mixed now; see `Mixing.soften` and `Mixing.sample`."""
        return self._criterion.loss(self.relaxation.network(Tensor(inputs)), targets)

    def probabilities(self) -> dict[str, dict[str, float]]:
        """How strong each option of each decision is: decision -> option -> probability."""
        return self.relaxation.mixing.probabilities()

    def derive(self) -> dict[str, Scalar]:
        """The point of the strongest options; see `strongest_point`."""
        return strongest_point(self.base, self.probabilities(), self.relaxation.picked)

    def snapshot(self) -> Snapshot:
        """Everything that the rest of the search depends on, copied; for `save_checkpoint`."""
        arrays = {name: np.array(array) for name, array in self._arrays().items()}
        arrays |= {f"curve.{name}": np.array(list(curve.items()), np.float64) for name, curve in self.curves.items()}
        document = {
            "run": self._identity(),
            "epoch": self.epoch,
            "steps": [self._state.step, self._chooser_state.step],
            "diverged": self.diverged,
            "curves": list(self.curves),
        }
        return Snapshot(document, arrays)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of a search that was made as this one was: same space, base, seed, configuration.

        Raises:
            FormatError: it is of another run, or incomplete; nothing was changed then.
        """
        found = SnapshotReader(snapshot)
        found.expect_run(self._identity())
        epoch, diverged, steps = found.count("epoch"), found.value("diverged", bool), found.value("steps", list)
        if len(steps) != 2 or not all(type(step) is int and step >= 0 for step in steps):
            raise FormatError(f"expected 'steps' as two whole numbers >= 0, got {steps!r}")
        curves = {str(name): found.curve(name) for name in found.value("curves", list)}
        own = self._arrays()
        for name, array in {name: found.like(name, array) for name, array in own.items()}.items():
            own[name][...] = array
        self._state = self._state.restored(steps[0], self._state.arrays())
        self._chooser_state = self._chooser_state.restored(steps[1], self._chooser_state.arrays())
        self.epoch, self.curves, self.diverged = epoch, curves, diverged

    def _arrays(self) -> dict[str, np.ndarray]:
        """Weights, logits, moments and running statistics, not copied."""
        states = ("weights", self._state), ("logits", self._chooser_state)
        found = {f"{kind}.{name}": array for kind, state in states for name, array in state.arrays().items()}
        buffers = self.relaxation.network.named_tensors(Buffer)
        return found | {f"buffer.{name}": buffer.data for name, buffer in buffers}

    def _identity(self) -> dict[str, Any]:
        return {
            "space": self.space.sha256,
            "base": self.base,
            "seed": self._seed,
            "criterion": description(self._criterion),
            "config": description(self.config),
        }

    def _run_epoch(self, train: Rows, validation: Rows) -> tuple[float, float]:
        config, seed = self.config, self._seed
        order = derive_rng(seed, "order", self.epoch).permutation(len(train[0]))
        others = derive_rng(seed, "validation order", self.epoch).permutation(len(validation[0]))
        steps = -(-len(order) // config.batch_size)
        schedule = cosine_schedule(config.epochs * steps)
        self.relaxation.network.train()
        _reseed_dropout(self.relaxation.network, seed, self.epoch)
        train_loss = val_loss = 0.0
        for step in range(steps):
            # Validation rows come round as often as the training rows need it.
            places = (np.arange(config.batch_size) + step * config.batch_size) % len(others)
            rows = others[places[: len(others)]]
            self._mix("logits", step)
            loss = self.loss(validation[0][rows], validation[1][rows])
            val_loss += float(loss) / steps
            if self.epoch >= config.warmup and loss.requires_grad:
                self._chooser_state = self._chooser.step(self._chooser_state, grad(loss, self._logits))
            rows = order[step * config.batch_size : (step + 1) * config.batch_size]
            self._mix("weights", step)
            loss = self.loss(train[0][rows], train[1][rows])
            train_loss += float(loss) * len(rows) / len(order)
            if loss.requires_grad:
                gradient = self._state.gather(grad(loss, self._weights))
                clip_by_norm(gradient, config.clip_norm)
                rate = config.learning_rate * schedule(self._state.step)
                self._state = self._optimizer.step(self._state, gradient, learning_rate=rate)
        return train_loss, val_loss

    def _mix(self, purpose: str, step: int) -> None:
        mixing = self.relaxation.mixing
        if self.config.gdas:
            mixing.sample(derive_rng(self._seed, "gumbel", purpose, self.epoch, step), self.temperature)
        else:
            mixing.soften()


def _reseed_dropout(network: Module, seed: int, epoch: int) -> None:
    """Let dropout begin anew, so that an epoch does not depend on those before it."""
    for path, module in network.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, np.random.Generator):
                bits = np.random.Philox(derive_seed(seed, "dropout", epoch, path, name))
                setattr(module, name, np.random.Generator(bits))

"""What a site does with its rows in a round: it measures the model it was given, trains a copy, and says what changed.

`LocalTrainer` is all that a site asks of whoever does that; networks of the core are trained here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from ...core import Metrics, ModelSpec, Tensor, Trainer, TrainingConfig, build, derive_rng, evaluate
from ...core.nn import Module
from ...core.optim import Optimizer, OptimizerState, staged
from ..protocol.rounds import LocalTraining, RoundPlan
from ..site_data.rows import Rows
from ..strategies import Correction, LocalStart
from ..updates.symbols import Contribution
from .session import Session

Array: TypeAlias = Any  # NumPy's or CuPy's


@dataclass(frozen=True, slots=True)
class LocalRows:
    """What a site learns from, raw.

    Attributes:
        site: its name, from which its randomness is drawn: no two sites shuffle alike.
        train: rows it learns from.
        validation: rows it measures on.
    """

    site: str
    train: Rows
    validation: Rows


class LocalTrainer(Protocol):
    """Trains on the rows of a site."""

    def train(self, session: Session, plan: RoundPlan, rows: LocalRows) -> Contribution:
        """What a site has to say in the phases "train" and "evaluate".

        Args:
            session: its place in the run; holds the model of the round, which stays as it is.
            plan: of the round.
            rows: of the site.
        """
        ...


class NetworkTrainer:
    """Trains networks of `core.nn`."""

    def train(self, session: Session, plan: RoundPlan, rows: LocalRows) -> Contribution:
        """See `LocalTrainer`."""
        assert isinstance(session.spec, ModelSpec)  # others: adapters.SiteTrainer
        # The weights are replaced; what stays is the randomness of its layers, which differs by site and round.
        model = build(session.spec, derive_rng(plan.seed, "layers", rows.site, plan.round))
        model.load_state(session.state())
        prepare = session.preprocessing.apply
        measured = Metrics(0.0, 0, 0)
        if session.symbols.measures:
            measured = evaluate(model, prepare(rows.validation.inputs), rows.validation.labels)
        if plan.phase != "train":
            return Contribution(np.zeros(session.layout.size), 0.0, measured)
        strategy = session.exchange.strategy
        start = LocalStart(_parameters(model), session.server, session.own)
        optimizer, correction = strategy.optimizer(plan.training), strategy.correction(start)
        if correction is not None:
            optimizer = CorrectedOptimizer(optimizer, correction)
        shuffle = derive_rng(plan.seed, "shuffle", rows.site, plan.round)
        trainer = Trainer(model, training_config(plan.training), shuffle, optimizer=optimizer)
        trainer.fit(prepare(rows.train.inputs), rows.train.labels)
        weight = session.symbols.weight(len(rows.train), plan.training.max_rows)
        state, travelling = model.state(), {name for name, _, _ in session.layout.entries}
        trained = session.layout.flatten({name: state[name] for name in travelling})
        extras = strategy.extras(start, _parameters(model), trainer.step, optimizer.learning_rate)
        return Contribution(
            weight * (trained.astype(np.float64) - session.vector),
            weight,
            measured,
            extras={name: weight * each for name, each in extras.items()},
            local={name: array for name, array in state.items() if name not in travelling},
        )


@dataclass(frozen=True, slots=True)
class CorrectedOptimizer:
    """An optimiser whose gradients are corrected before each step.

    Attributes:
        inner: takes the steps.
        correct: adds to a gradient in place; see `strategies.Correction`.
    """

    inner: Optimizer
    correct: Correction

    @property
    def learning_rate(self) -> float:
        """Of the inner one."""
        return self.inner.learning_rate

    def init(self, parameters: Sequence[Tensor]) -> OptimizerState:
        """See `Optimizer`."""
        return self.inner.init(parameters)

    @staged  # a correction looks at arrays
    def step(
        self, state: OptimizerState, gradients: Sequence[Tensor] | Array, *, learning_rate: float | None = None
    ) -> OptimizerState:
        """See `Optimizer`."""
        gradient = state.gather(gradients)
        self.correct(state.parameters, gradient)
        return self.inner.step(state, gradient, learning_rate=learning_rate)


def _parameters(model: Module) -> np.ndarray:
    """A copy of all parameters in one vector, in the order in which an optimiser holds them."""
    return np.concatenate([tensor.numpy().ravel() for tensor in model.parameters()])


def training_config(training: LocalTraining) -> TrainingConfig:
    """The core's configuration of what a plan asks for: always the whole number of epochs, at one rate."""
    return TrainingConfig(
        learning_rate=training.learning_rate,
        schedule="constant",
        weight_decay=training.weight_decay,
        label_smoothing=training.label_smoothing,
        batch_size=training.batch_size,
        epochs=training.epochs,
        patience=None,
    )

"""What a site does with its rows in a round: it measures the model it was given, trains a copy, and says what changed.

`LocalTrainer` is all that a site asks of whoever does that; networks of the core are trained here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..core import Metrics, Trainer, TrainingConfig, build, derive_rng, evaluate
from ..core.data import Dataset
from .rounds import LocalTraining, RoundPlan
from .session import Session
from .symbols import Contribution


@dataclass(frozen=True, slots=True)
class LocalRows:
    """What a site learns from, raw.

    Attributes:
        site: its name, from which its randomness is drawn: no two sites shuffle alike.
        train: rows it learns from.
        validation: rows it measures on.
    """

    site: str
    train: Dataset
    validation: Dataset


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
        # The weights are replaced; what stays is the randomness of its layers, which differs by site and round.
        model = build(session.spec, derive_rng(plan.seed, "layers", rows.site, plan.round))
        model.load_state(session.layout.unflatten(session.vector))
        prepare = session.preprocessing.apply
        measured = Metrics(0.0, 0, 0)
        if session.symbols.measures:
            measured = evaluate(model, prepare(rows.validation.inputs), rows.validation.labels)
        if plan.phase != "train":
            return Contribution(np.zeros(session.layout.size), 0.0, measured)
        shuffle = derive_rng(plan.seed, "shuffle", rows.site, plan.round)
        Trainer(model, training_config(plan.training), shuffle).fit(prepare(rows.train.inputs), rows.train.labels)
        weight = session.symbols.weight(len(rows.train), plan.training.max_rows)
        trained = session.layout.flatten(model.state())
        return Contribution(weight * (trained.astype(np.float64) - session.vector), weight, measured)


def training_config(training: LocalTraining) -> TrainingConfig:
    """The core's configuration of what a plan asks for: always the whole number of epochs, at one rate."""
    return TrainingConfig(
        learning_rate=training.learning_rate,
        schedule="constant",
        weight_decay=training.weight_decay,
        batch_size=training.batch_size,
        epochs=training.epochs,
        patience=None,
    )

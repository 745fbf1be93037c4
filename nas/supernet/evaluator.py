"""`SupernetEvaluator`: measures candidates with the weights of a supernet, without training them."""

from __future__ import annotations

from typing import Self

import numpy as np

from ...core import Budget, Candidate, ConfigError, Evaluation, derive_rng, predict_logits
from ...core.data import Dataset, Preprocessing
from ...core.train import Criterion
from ..costs import costs
from ..space import Space
from .recalibration import recalibrate
from .single_path import SinglePathConfig, SinglePathTrainer, usual_criterion
from .store import Supernet


class SupernetEvaluator:
    """An `Evaluator` whose candidates inherit the weights of a supernet; budgets make no difference to them.

    Args:
        supernet: trained.
        train: raw rows; the preprocessing is fitted on them, and some recalibrate the batch norms of each candidate.
        validation: raw rows to measure on.
        criterion: what is measured; by default what belongs to the task.
        calibration_rows: of `train`, >= 1.
    """

    def __init__(
        self,
        supernet: Supernet,
        train: Dataset,
        validation: Dataset,
        *,
        criterion: Criterion | None = None,
        calibration_rows: int = 512,
    ) -> None:
        if calibration_rows < 1:
            raise ConfigError(f"expected calibration_rows >= 1, got {calibration_rows}")
        preprocessing = Preprocessing.fit(train.inputs, train.task, train.labels)
        self.supernet = supernet
        self._calibration = preprocessing.apply(train.inputs[:calibration_rows])
        self._inputs = preprocessing.apply(validation.inputs)
        self._targets = preprocessing.apply_targets(validation.labels)
        self._criterion = criterion or usual_criterion(train.task)

    @classmethod
    def trained(
        cls,
        space: Space,
        train: Dataset,
        validation: Dataset,
        config: SinglePathConfig,
        *,
        seed: int,
        criterion: Criterion | None = None,
    ) -> Self:
        """With a supernet trained on `train` for it."""
        supernet = Supernet(space, derive_rng(seed, "supernet"))
        preprocessing = Preprocessing.fit(train.inputs, train.task, train.labels)
        trainer = SinglePathTrainer(supernet, config, seed=seed, criterion=criterion)
        trainer.fit(preprocessing.apply(train.inputs), preprocessing.apply_targets(train.labels))
        return cls(supernet, train, validation, criterion=criterion)

    def evaluate(self, candidate: Candidate, budget: Budget) -> Evaluation:
        """What the criterion measures of `candidate` in the supernet, with `val_` before each name, and what it costs.

        Raises:
            ConfigError: the candidate does not say which point of the space it is, or is of another space.
        """
        if not candidate.flat:
            raise ConfigError(
                f"candidate {candidate.id}: expected the point of the space it stands at, to share weights",
                hint="set Candidate.flat",
            )
        network = self.supernet.inherit(candidate.flat, derive_rng(candidate.seed, "weights"))
        with np.errstate(over="ignore", invalid="ignore"):
            recalibrate(network, self._calibration)
            measured = self._criterion.measure(predict_logits(network, self._inputs), self._targets)
        if not np.isfinite(measured["loss"]):
            return Evaluation(objectives={}, epochs=0, diverged=True)
        figures = {f"val_{name}": value for name, value in measured.items()}
        return Evaluation(objectives={**figures, **costs(candidate.spec).figures()}, epochs=0)

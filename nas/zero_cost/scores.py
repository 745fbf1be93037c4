"""Scores of a specification, of many candidates, and as the objectives of a search."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, isnan
from typing import TypeVar

import numpy as np

from ...core import Budget, Candidate, ConfigError, Evaluation, ModelSpec, derive_rng
from ...core.data import Dataset, Preprocessing
from ..costs import costs
from ..evaluate import Evaluator
from .probe import Probe, TaskKind
from .registry import ZERO_COST

T = TypeVar("T")

KEPT_SCORES = 10_000  # networks whose scores a scorer remembers


def zero_cost_scores(
    spec: ModelSpec,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    names: Sequence[str] | None = None,
    seed: int,
    task_kind: TaskKind,
) -> dict[str, float]:
    """Scores of an untrained network; the higher, the more is expected of it.

    Args:
        spec: the network.
        inputs: a minibatch as for training, shape (N, *spec.input_shape), N >= 2; 32 to 128 rows are usual.
        targets: class indices of shape (N,), or for a regression numbers of shape (N, outputs).
        names: of the scores, as in `ZERO_COST`; all by default.
        seed: of the initial weights.
        task_kind: which loss belongs to the targets.

    Returns:
        By name. Finite, unless the network itself leaves the range of float64.

    Raises:
        ConfigError: an unknown score, or inputs and targets that do not fit.
    """
    functions = {name: ZERO_COST.find(name).function for name in (ZERO_COST if names is None else names)}
    probe = Probe.of(spec, inputs, targets, seed=seed, task_kind=task_kind)
    with np.errstate(over="ignore", invalid="ignore"):
        return {name: function(probe) for name, function in functions.items()}


class ZeroCostScorer:
    """Scores networks on one minibatch of a data set, and remembers them.

    Args:
        train: raw training rows: the preprocessing is fitted on all of them, the minibatch is drawn from them.
        names: of the scores.
        seed: draws the rows.
        rows: of the minibatch, >= 2; all of `train` if it has fewer.
    """

    def __init__(
        self, train: Dataset, *, names: Sequence[str] = ("nwot", "synflow"), seed: int, rows: int = 64
    ) -> None:
        if rows < 2 or not names:
            raise ConfigError(f"expected at least two rows and one score, got {rows} and {tuple(names)}")
        for name in names:
            ZERO_COST.find(name)
        preprocessing = Preprocessing.fit(train.inputs, train.task, train.labels)
        drawn = np.sort(derive_rng(seed, "zero-cost rows").permutation(len(train))[:rows])
        self.names = tuple(names)
        self._inputs = preprocessing.apply(train.inputs[drawn])
        self._targets = preprocessing.apply_targets(train.labels[drawn])
        self._kind: TaskKind = train.task.kind
        self._known: OrderedDict[tuple[str, int], Mapping[str, float]] = OrderedDict()

    def scores(self, spec: ModelSpec, seed: int) -> Mapping[str, float]:
        """By name; `seed` decides the initial weights."""
        key = spec.sha256, seed
        if key not in self._known:
            self._known[key] = zero_cost_scores(
                spec, self._inputs, self._targets, names=self.names, seed=seed, task_kind=self._kind
            )
            if len(self._known) > KEPT_SCORES:
                self._known.popitem(last=False)
        return self._known[key]


class ZeroCostEvaluator:
    """An `Evaluator` whose objectives are zero-cost scores; budgets make no difference to them.

    Args:
        scorer: says which scores.
        trained: an evaluator whose objectives they are added to; without one nothing is trained.
    """

    def __init__(self, scorer: ZeroCostScorer, *, trained: Evaluator | None = None) -> None:
        self._scorer = scorer
        self._trained = trained

    def evaluate(self, candidate: Candidate, budget: Budget) -> Evaluation:
        """The scores of `candidate` before training, beside what training gives, or else what it costs."""
        scores = self._scorer.scores(candidate.spec, candidate.seed)
        inner = None if self._trained is None else self._trained.evaluate(candidate, budget)
        if not all(isfinite(score) for score in scores.values()) or (inner is not None and inner.diverged):
            return Evaluation(
                objectives={}, curves=inner.curves if inner else {}, epochs=inner.epochs if inner else 0, diverged=True
            )
        if inner is None:
            return Evaluation(objectives={**costs(candidate.spec).figures(), **scores}, epochs=0)
        return Evaluation(objectives={**inner.objectives, **scores}, curves=inner.curves, epochs=inner.epochs)


def zero_cost_filter(candidates: Sequence[T], score: Callable[[T], float], keep: int) -> list[T]:
    """The best `keep` of a pool by a score, the best first; of equal ones the earlier. NaN is the worst.

    >>> zero_cost_filter(["a", "bbb", "cc"], len, 2)
    ['bbb', 'cc']

    Raises:
        ConfigError: `keep` is less than 1.
    """
    if keep < 1:
        raise ConfigError(f"expected keep >= 1, got {keep}")
    scores = [score(candidate) for candidate in candidates]
    order = sorted(range(len(scores)), key=lambda i: np.inf if isnan(scores[i]) else -scores[i])
    return [candidates[i] for i in order[:keep]]

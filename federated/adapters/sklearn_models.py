"""Estimators of scikit-learn: linear classifiers, and its multilayer perceptron.

They begin at values of our own (zeros, and Glorot's), so that sites with other versions of the library begin alike, and
know all classes of the task, those that a site has no rows of, too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from ...core import ConfigError, DataError, MissingExtraError, derive_rng
from ...core.data import Task
from ..protocol.rounds import LocalTraining
from ..updates.model_tensors import ModelTensor, ModelTensors
from .base import LocalExamples, ModelAdapter, Tensors

try:  # it has no types
    linear_model: Any = import_module("sklearn.linear_model")
    neural_network: Any = import_module("sklearn.neural_network")
    exceptions: Any = import_module("sklearn.exceptions")
except ImportError as exc:
    raise MissingExtraError("a model of scikit-learn", "sklearn") from exc

METHODS: Final = ("sgd", "logistic")
ACTIVATIONS: Final = ("identity", "logistic", "tanh", "relu")
_LINEAR_RANGE: Final = 1.0  # of weights of prepared features in the first round; later ones follow the sums
_STEPS_AN_EPOCH: Final = 5  # of L-BFGS, each of which sees all rows
_LEAST: Final = 1e-30  # chance that is told from none


def linear(
    task: Task,
    *,
    method: str = "sgd",
    learning_rate: float = 0.01,
    alpha: float = 1e-4,
    inverse_penalty: float = 1.0,
) -> ModelAdapter:
    """A linear classifier.

    Args:
        task: a classification.
        method: "sgd" is `SGDClassifier` with the logistic loss, one class against the others, an epoch a `partial_fit`;
            "logistic" is `LogisticRegression`, some steps of L-BFGS from where the federation stands.
        learning_rate: of "sgd", constant; > 0.
        alpha: of "sgd", weight of the penalty; >= 0.
        inverse_penalty: of "logistic", its `C`; > 0.

    Raises:
        ConfigError: out of range.
        DataError: no classification.
    """
    classes = _classes(task)
    if method not in METHODS:
        raise ConfigError(f"expected a method of {', '.join(METHODS)}, got {method!r:.40}")
    if not (learning_rate > 0 and alpha >= 0 and inverse_penalty > 0):
        raise ConfigError("expected learning_rate > 0, alpha >= 0 and inverse_penalty > 0")
    rows = 1 if classes == 2 else classes
    tensors = ModelTensors(
        (
            ModelTensor(name="linear.coef", shape=(rows, prod(task.input_shape)), first_range=_LINEAR_RANGE),
            ModelTensor(name="linear.intercept", shape=(rows,), first_range=_LINEAR_RANGE),
        )
    )
    if method == "sgd":

        def make(training: LocalTraining | None, seed: int) -> Any:
            made = linear_model.SGDClassifier(
                loss="log_loss", alpha=alpha, learning_rate="constant", eta0=learning_rate, random_state=seed
            )
            return _awake(made, task)
    else:

        def make(training: LocalTraining | None, seed: int) -> Any:
            steps = _STEPS_AN_EPOCH * (1 if training is None else training.epochs)
            made = linear_model.LogisticRegression(C=inverse_penalty, warm_start=True, max_iter=steps)
            made.classes_, made.n_features_in_ = np.arange(classes), prod(task.input_shape)
            made.n_iter_ = np.zeros(1, np.int32)
            return made

    return _Estimator(task, tensors, make)


def mlp(task: Task, *, hidden: tuple[int, ...] = (64,), activation: str = "relu", alpha: float = 1e-4) -> ModelAdapter:
    """`MLPClassifier`, trained by Adam at the plan's rate, an epoch a `partial_fit`.

    Args:
        task: a classification.
        hidden: units of each hidden layer, at least one.
        activation: of these.
        alpha: weight of the penalty; >= 0.

    Raises:
        ConfigError: out of range.
        DataError: no classification.
    """
    classes = _classes(task)
    if not hidden or min(hidden) < 1:
        raise ConfigError(f"expected units of hidden layers, got {hidden}")
    if activation not in ACTIVATIONS or alpha < 0:
        raise ConfigError(
            f"expected an activation of {', '.join(ACTIVATIONS)} and alpha >= 0, got {activation!r:.40} and {alpha}"
        )
    sizes = (prod(task.input_shape), *hidden, 1 if classes == 2 else classes)
    tensors: list[ModelTensor] = []
    for place, (before, after) in enumerate(pairwise(sizes)):
        tensors += [
            ModelTensor(name=f"{place}.coef", shape=(before, after)),
            ModelTensor(name=f"{place}.intercept", shape=(after,)),
        ]

    def make(training: LocalTraining | None, seed: int) -> Any:
        rate = 1e-3 if training is None else training.learning_rate
        return _awake(
            neural_network.MLPClassifier(
                hidden_layer_sizes=hidden,
                activation=activation,
                alpha=alpha,
                learning_rate_init=rate,
                batch_size=1,  # of the row that wakes it
                random_state=seed,
            ),
            task,
        )

    return _Estimator(task, ModelTensors(tuple(tensors)), make)


class _Estimator:
    """An estimator whose weights are replaced before it is used.

    Args:
        task: a classification.
        tensors: weight and bias of each layer, in this order.
        make: an estimator that has weights of any kind; given the training, if there is to be one, and a seed.
    """

    in_the_clear = ""

    def __init__(self, task: Task, tensors: ModelTensors, make: Callable[[LocalTraining | None, int], Any]) -> None:
        self._task = task
        self._make = make
        self._tensors = tensors

    @property
    def tensors(self) -> ModelTensors:
        """See `ModelAdapter`."""
        return self._tensors

    def initial(self, seed: int) -> Tensors:
        """Zeros for a linear model; else weights as Glorot and Bengio 2010 have them, and biases of zero.

        Source: https://proceedings.mlr.press/v9/glorot10a.html, formula 16.
        """
        rng = derive_rng(seed, "weights")
        tensors: dict[str, np.ndarray] = {}
        for each in self._tensors.tensors:
            if self._is_linear or each.name.endswith(".intercept"):
                tensors[each.name] = np.zeros(each.shape, np.float32)
            else:
                bound = np.sqrt(6.0 / sum(each.shape))
                tensors[each.name] = rng.uniform(-bound, bound, each.shape).astype(np.float32)
        return tensors

    def train(
        self, tensors: Tensors, examples: LocalExamples, training: LocalTraining, rng: np.random.Generator
    ) -> Tensors:
        """See `ModelAdapter`."""
        estimator = self._loaded(tensors, training, int(rng.integers(2**31)))
        inputs, labels = self._flat(examples.inputs), examples.labels
        classes = len(self._task.classes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", exceptions.ConvergenceWarning)  # a round is not to converge
            try:
                if isinstance(estimator, linear_model.LogisticRegression):
                    # Rows of no weight, so that it knows the classes that this site has no rows of.
                    shown = np.concatenate([inputs, np.zeros((classes, inputs.shape[1]), inputs.dtype)])
                    weights = np.concatenate([np.ones(len(inputs)), np.zeros(classes)])
                    estimator.fit(shown, np.concatenate([labels, np.arange(classes)]), weights)
                else:
                    if isinstance(estimator, neural_network.MLPClassifier):
                        estimator.batch_size = min(training.batch_size, len(inputs))
                    for _ in range(training.epochs):
                        estimator.partial_fit(inputs, labels)
            except ValueError as exc:  # what it says of weights or inputs beyond what is finite
                raise ConfigError("the training diverged", hint="lower the learning rate") from exc
        weights, biases = self._parts(estimator)
        arrays = [array for pair in zip(weights, biases, strict=True) for array in pair]
        return {each.name: array.astype(np.float32) for each, array in zip(self._tensors.tensors, arrays, strict=True)}

    def logits(self, tensors: Tensors, inputs: np.ndarray) -> np.ndarray:
        """See `ModelAdapter`."""
        if not len(inputs):
            return np.zeros((0, len(self._task.classes)), np.float32)
        estimator, rows = self._loaded(tensors, None, 0), self._flat(inputs)
        if not self._is_linear:
            return np.log(np.maximum(estimator.predict_proba(rows), _LEAST))
        scores: np.ndarray = estimator.decision_function(rows)
        return np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores

    def native(self, tensors: Tensors) -> object:
        """The estimator; it gives classes as their indices."""
        return self._loaded(tensors, None, 0)

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Nothing: the tensors are all of it."""

    @property
    def _is_linear(self) -> bool:
        return len(self._tensors.tensors) == 2 and self._tensors.tensors[0].name == "linear.coef"

    def _flat(self, inputs: np.ndarray) -> np.ndarray:
        """Shape (N, features); linear models are fitted in double precision, which their code asks for."""
        flat = inputs.reshape(len(inputs), -1)
        return flat.astype(np.float64) if self._is_linear else flat

    def _loaded(self, tensors: Tensors, training: LocalTraining | None, seed: int) -> Any:
        estimator = self._make(training, seed)
        arrays = [tensors[each.name].copy() for each in self._tensors.tensors]
        if self._is_linear:
            estimator.coef_, estimator.intercept_ = arrays[0].astype(np.float64), arrays[1].astype(np.float64)
        else:
            estimator.coefs_, estimator.intercepts_ = arrays[0::2], arrays[1::2]
        return estimator

    def _parts(self, estimator: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
        if self._is_linear:
            return [estimator.coef_], [estimator.intercept_]
        return list(estimator.coefs_), list(estimator.intercepts_)


def _classes(task: Task) -> int:
    if task.kind != "classification" or len(task.classes) < 2:
        raise DataError("the model tells classes apart, and there are none", hint="choose a target that has classes")
    return len(task.classes)


def _awake(estimator: Any, task: Task) -> Any:
    """An estimator that knows the classes, and forgets what it learned of a row: its weights are replaced."""
    classes = np.arange(len(task.classes))
    row = np.zeros(
        (1, prod(task.input_shape)), np.float64 if isinstance(estimator, linear_model.SGDClassifier) else np.float32
    )
    estimator.partial_fit(row, classes[:1], classes=classes)
    if hasattr(estimator, "_optimizer"):
        del estimator._optimizer
    estimator.t_ = 1.0 if isinstance(estimator, linear_model.SGDClassifier) else 0
    return estimator

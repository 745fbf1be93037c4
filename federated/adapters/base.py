"""`ModelAdapter`: what a federation asks of a model that its owner brings, in arrays of NumPy.

A model is a function of the owner's: `build(task, *, option=default, ...)` returns an adapter. The keywords, which must
say their types, are the schema of the options: a plan gives values for these, and nothing else of it reaches the code.

Threat model: the code is the site's own, installed and named by its owner, and runs with the site's rights. The
coordinator chooses among the names and gives options; what a model does with them is its owner's to judge.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final, Protocol, cast, get_args, get_origin

import numpy as np

from ...core import ConfigError, Metrics, ShapeError
from ...core.data import Task
from ..protocol.rounds import LocalTraining
from ..updates.model_tensors import ModelTensors

Tensors = Mapping[str, np.ndarray]
_SIMPLE: Final = (bool, int, float, str)


@dataclass(frozen=True, slots=True)
class LocalExamples:
    """What a site learns from, prepared as the federation agreed.

    Attributes:
        site: its name.
        inputs: shape (N, *task.input_shape) float32.
        labels: shape (N,) int64, indices into the classes.
    """

    site: str
    inputs: np.ndarray
    labels: np.ndarray


class ModelAdapter(Protocol):
    """A model of the owner's, for one task and one choice of options. It holds no weights: they come with each call."""

    @property
    def tensors(self) -> ModelTensors:
        """Its tensors, the same at all sites."""
        ...

    @property
    def in_the_clear(self) -> str:
        """Why updates must travel without encryption; empty where they need not."""
        ...

    def initial(self, seed: int) -> Tensors:
        """Where training begins: the same at all sites, from nothing but options, task and seed."""
        ...

    def train(
        self, tensors: Tensors, examples: LocalExamples, training: LocalTraining, rng: np.random.Generator
    ) -> Tensors:
        """What a site makes of the model.

        Args:
            tensors: of the model; stay as they are.
            examples: of the site; at least one.
            training: how long, and how fast, as far as that means something for the model.
            rng: of the site and the round; all randomness comes from it.

        Raises:
            ConfigError: the training diverged, or the model has no room for what it learned.
        """
        ...

    def logits(self, tensors: Tensors, inputs: np.ndarray) -> np.ndarray:
        """Scores whose softmax is the chance of each class.

        Args:
            tensors: of the model.
            inputs: shape (N, *task.input_shape) float32; perhaps of no rows.

        Returns:
            Shape (N, classes), floating.
        """
        ...

    def native(self, tensors: Tensors) -> object:
        """The model as its own library has it, ready to predict."""
        ...

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Write what its own library reads beside the tensors, if that is more than these; no pickle."""
        ...


class BuildModel(Protocol):
    """Makes a model for a task; its keywords are the options."""

    def __call__(self, task: Task, **options: Any) -> ModelAdapter:
        """The model, for a task and options of the types that it says."""
        ...


def measure(logits: np.ndarray, labels: np.ndarray) -> Metrics:
    """Cross-entropy and accuracy of logits, shape (N, classes), for labels, shape (N,)."""
    logits = logits.astype(np.float64)
    if not len(labels):
        return Metrics(0.0, 0, 0)
    top = logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0] - logits[np.arange(len(labels)), labels]
    return Metrics(float(losses.sum()), int((logits.argmax(axis=1) == labels).sum()), len(labels))


def evaluate_adapter(adapter: ModelAdapter, tensors: Tensors, inputs: np.ndarray, labels: np.ndarray) -> Metrics:
    """How a model does on rows.

    Raises:
        ShapeError: its logits are not of shape (N, classes).
        ConfigError: they are not finite.
    """
    logits = np.asarray(adapter.logits(tensors, inputs))
    if logits.ndim != 2 or len(logits) != len(labels) or (len(labels) and labels.max() >= logits.shape[1]):
        raise ShapeError(f"expected logits of shape ({len(labels)}, classes), got {logits.shape}")
    if not np.isfinite(logits).all():
        raise ConfigError("the model's logits are not finite", hint="lower the learning rate")
    return measure(logits, labels)


def option_types(build: BuildModel) -> dict[str, tuple[Any, Any]]:
    """The options of a model by name: type and default, which is `inspect.Parameter.empty` where there is none.

    Raises:
        ConfigError: a keyword says no type that an option can have.
    """
    types: dict[str, tuple[Any, Any]] = {}
    for each in list(inspect.signature(build, eval_str=True).parameters.values())[1:]:
        if each.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise ConfigError(
                f"a model's options are keywords: {each.name} is none", hint="write: def model(task, *, hidden: int)"
            )
        item = get_args(each.annotation)[0] if get_origin(each.annotation) is tuple else each.annotation
        if item not in _SIMPLE:
            raise ConfigError(
                f"the option {each.name} of a model must say its type",
                hint="bool, int, float or str, or tuple[int, ...] of one of these",
            )
        types[each.name] = (each.annotation, each.default)
    return types


def read_options(build: BuildModel, given: Mapping[str, object]) -> dict[str, Any]:
    """The options of a plan as the model takes them.

    Raises:
        ConfigError: one it does not have, of another type, or missing.
    """
    known = option_types(build)
    if unknown := sorted(set(given) - set(known)):
        raise ConfigError(
            f"the model has no option {unknown[0]!r:.60}", hint=f"it has {', '.join(known) if known else 'none'}"
        )
    missing = [name for name, (_, default) in known.items() if default is inspect.Parameter.empty and name not in given]
    if missing:
        raise ConfigError(f"the model needs the option {missing[0]}")
    return {name: _read(name, known[name][0], value) for name, value in given.items()}


def _read(name: str, kind: Any, value: object) -> object:
    if get_origin(kind) is tuple:
        items = cast(list[object] | tuple[object, ...], value) if isinstance(value, list | tuple) else (value,)
        return tuple(_read_one(name, get_args(kind)[0], each) for each in items)
    return _read_one(name, kind, value)


def _read_one(name: str, kind: Any, value: object) -> object:
    if kind is float and type(value) in (int, float) and isfinite(cast(float, value)):
        return float(cast(float, value))
    if kind is not float and type(value) is kind:
        return value
    raise ConfigError(f"expected {kind.__name__} for the option {name}, got {value!r:.60}")

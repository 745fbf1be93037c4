"""`Recipe`: how a candidate wants to be trained, read from its hyperparameters and checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any, cast

from ...core import (
    Budget,
    Candidate,
    ConfigError,
    CrossEntropy,
    MeanSquaredError,
    ModelSpec,
    Scalar,
    TrainingConfig,
    optim,
)
from ...core.data import Augmentation, Task
from ...core.nn import LayerSpec, Node
from .augmentation import NONE, augmentation

# (recipe) -> an optimiser with its learning rate, decay and momentum. `momentum` is the first moment's memory.
OPTIMIZERS: Mapping[str, Callable[[Recipe], optim.Optimizer]] = {
    "adamw": lambda r: optim.AdamW(learning_rate=r.learning_rate, weight_decay=r.weight_decay, beta1=r.momentum),
    "adam": lambda r: optim.Adam(learning_rate=r.learning_rate, weight_decay=r.weight_decay, beta1=r.momentum),
    "sgd": lambda r: optim.SGD(
        learning_rate=r.learning_rate, weight_decay=r.weight_decay, momentum=r.momentum, nesterov=r.momentum > 0
    ),
    "lamb": lambda r: optim.LAMB(learning_rate=r.learning_rate, weight_decay=r.weight_decay, beta1=r.momentum),
    "lion": lambda r: optim.Lion(learning_rate=r.learning_rate, weight_decay=r.weight_decay, beta1=r.momentum),
    "rmsprop": lambda r: optim.RMSprop(learning_rate=r.learning_rate, weight_decay=r.weight_decay, momentum=r.momentum),
}
# (steps of the whole training) -> the factor on the learning rate.
SCHEDULES: Mapping[str, Callable[[int], optim.Schedule]] = {
    "cosine": optim.cosine_schedule,
    "constant": lambda steps: optim.Constant(),
    "linear": lambda steps: optim.Polynomial(steps=steps),
    "one_cycle": lambda steps: optim.OneCycle(steps=max(2, steps)),
    "step": lambda steps: optim.StepDecay(every=max(1, steps // 3)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The hyperparameters that training understands; a candidate names those that differ from the defaults.

    Attributes:
        optimizer: a name of `OPTIMIZERS`.
        learning_rate: the highest of the schedule, > 0. Its good values differ by optimiser: about 1e-3 to 1e-2 for
            "adamw" and "lamb", 1e-4 to 1e-3 for "lion", 1e-2 to 0.3 for "sgd".
        weight_decay: >= 0; decoupled from the gradient but in "sgd", "adam" and "rmsprop".
        momentum: memory of the average of gradients, in [0, 1).
        schedule: a name of `SCHEDULES`.
        batch_size: rows a step, >= 1.
        label_smoothing: of a classification, in [0, 1).
        augmentation: see `augmentation`.
        clip_norm: bound of the gradient's L2 norm, > 0; 0 for none.
        average: memory of an exponential moving average of the parameters that is measured in their place, in [0, 1);
            0 for none. The parameters of a single step are noise at a high learning rate, and an epoch that is chosen
            by its loss is partly lucky: on a table of 330 rows a memory of ten steps brought 0.1 to 0.5 points of R2
            in each of four networks (mean of 5 splits), on another no harm.
        dropout: rate of all dropout layers of the network, in [0, 1), in place of what the network says; None leaves
            them.
    """

    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    momentum: float = 0.9
    schedule: str = "cosine"
    batch_size: int = 64
    label_smoothing: float = 0.0
    augmentation: str = NONE
    clip_norm: float = 0.0
    average: float = 0.9
    dropout: float | None = None

    def __post_init__(self) -> None:
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise ConfigError(f"unknown {name} {getattr(self, name)!r}: expected one of {', '.join(known)}")
        below_one = {
            "momentum": self.momentum,
            "label_smoothing": self.label_smoothing,
            "average": self.average,
            "dropout": self.dropout or 0.0,
        }
        for name, value in below_one.items():
            if not 0 <= value < 1:
                raise ConfigError(f"expected 0 <= {name} < 1, got {value}")
        if not 0 <= self.clip_norm < inf:
            raise ConfigError(f"expected clip_norm >= 0 and finite, got {self.clip_norm}")

    @classmethod
    def of(cls, hyperparameters: Mapping[str, Scalar]) -> Recipe:
        """Read what a candidate names.

        Raises:
            ConfigError: an unknown name, a value of another type, or one out of range.
        """
        kinds = {field.name: _KINDS[str(field.type)] for field in fields(cls)}
        for name, value in hyperparameters.items():
            if name not in kinds:
                raise ConfigError(
                    f"unknown hyperparameter {name!r}: training understands {', '.join(kinds)}",
                    hint="name hyperparameters of a space as training does, or give the search an evaluator of its own",
                )
            if isinstance(value, bool) or not isinstance(value, kinds[name]):
                raise ConfigError(f"hyperparameter {name}: expected {kinds[name][-1].__name__}, got {value!r}")
        given: dict[str, Any] = dict(hyperparameters)
        return cls(**given)

    def config(self, epochs: int, *, batch_size: int | None = None) -> TrainingConfig:
        """The core's configuration of a training that is `epochs` long; when to stop early is left to the caller."""
        return TrainingConfig(
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            batch_size=batch_size or self.batch_size,
            epochs=epochs,
            patience=None,
            clip_norm=self.clip_norm or None,
        )

    def make_optimizer(self) -> optim.Optimizer:
        """The optimiser, with learning rate and decay."""
        return OPTIMIZERS[self.optimizer](self)

    def make_schedule(self, steps: int) -> optim.Schedule:
        """The course of the learning rate over all `steps` of the training."""
        return SCHEDULES[self.schedule](steps)

    def make_criterion(self, task: Task) -> CrossEntropy | MeanSquaredError:
        """What a task minimises: cross-entropy, or the squared error of standardised targets."""
        if task.kind == "regression":
            return MeanSquaredError()
        return CrossEntropy(label_smoothing=self.label_smoothing)

    def make_average(self) -> optim.EMA | None:
        """The average of the parameters, where one is wanted."""
        return optim.EMA(decay=self.average) if self.average else None

    def make_augmentation(self, task: Task) -> Augmentation | None:
        """How batches are changed, if they are.

        Raises:
            ConfigError: rows of this task cannot be changed so.
        """
        return augmentation(self.augmentation, task)

    def network(self, spec: ModelSpec) -> ModelSpec:
        """A candidate's network with the dropout that is wanted."""
        if self.dropout is None:
            return spec
        return ModelSpec(spec.input_shape, tuple(_with_dropout(layer, self.dropout) for layer in spec.layers))


# Types of the fields above, as their annotations spell them; an integer is a float as well.
_KINDS: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "float | None": (int, float),
}
_DROPOUT = {"dropout", "channel_dropout", "alpha_dropout"}


def _with_dropout(layer: Any, rate: float) -> Any:
    """A layer, or what options hold, with the rate of all dropout inside replaced."""
    if isinstance(layer, LayerSpec):
        options = {name: _with_dropout(option, rate) for name, option in layer.options.items()}
        return LayerSpec(layer.kind, options | ({"rate": rate} if layer.kind in _DROPOUT else {}))
    if isinstance(layer, Node):
        return replace(layer, layer=_with_dropout(layer.layer, rate))
    if isinstance(layer, tuple):
        return tuple(_with_dropout(item, rate) for item in cast(tuple[Any, ...], layer))
    return layer


def training_config(candidate: Candidate, budget: Budget) -> TrainingConfig:
    """The core's configuration of what a candidate asks for; its optimiser and the rest are those of its `Recipe`.

    Raises:
        ConfigError: see `Recipe.of`.
    """
    return Recipe.of(candidate.hyperparameters).config(budget.total)

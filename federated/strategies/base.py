"""What a federated strategy is: a few parameters, and what follows from them at the sites and at the coordinator.

Most of a strategy runs at the sites, on sums that only they can open: `step` moves the model, `correction` and `extras`
take part in the local training, `shared` says which tensors travel at all. A strategy that must see single updates says
why in `in_the_clear`, and is refused where they are encrypted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import inf, isfinite
from typing import Any, ClassVar, Self, TypeAlias, TypeVar, cast

import numpy as np

from ...core import ConfigError, FormatError, Registry, canonical_json, parse_json
from ...core.optim import SGD, AdamW, Optimizer
from ..protocol.rounds import LocalTraining
from ..updates.model_tensors import ModelTensors
from .robust import RobustRule

State: TypeAlias = dict[str, np.ndarray]
# (parameters, gradient), both of shape (p,) in the order of the optimiser: adds to the gradient in place.
Correction: TypeAlias = Callable[[Any, Any], None]
_KINDS: Mapping[str, tuple[type, ...]] = {"float": (float, int), "int": (int,)}


@dataclass(frozen=True, slots=True)
class LocalStart:
    """Where a site's training of a round begins. p is the number of elements of the parameters.

    Attributes:
        parameters: shape (p,) float32, in the order of the layout; not to be modified.
        server: state that all sites share, from `FederatedStrategy.init`.
        own: state of this site alone; empty at first.
    """

    parameters: np.ndarray
    server: Mapping[str, np.ndarray]
    own: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedStrategy:
    """Base of all: federated averaging, of which the others override what they change.

    All arithmetic that more than one site does must give the same bits on every machine: elementwise +, -, *, / and
    square roots of float32 do, as IEEE 754 rounds them; sums in another order, powers and exponentials do not.

    Attributes:
        name: in the registry.
        in_the_clear: why it needs to see single updates; empty where it does not.
        equal_weights: whether every site counts alike, however many rows it has.
        extra_range: of `extras` in the first round; > 0.
        asynchronous: whether rounds mix changes that began from several models.
        private: why it cannot be combined with differential privacy; empty where it can.
    """

    name: ClassVar[str] = ""
    in_the_clear: ClassVar[str] = ""
    equal_weights: ClassVar[bool] = False
    extra_range: ClassVar[float] = 1.0
    asynchronous: ClassVar[bool] = False
    private: ClassVar[str] = ""

    # --- at the sites, with what all of them share ---

    def init(self, size: int) -> State:
        """State before the first round.

        Args:
            size: p, elements of the shared parameters.
        """
        return {}

    def step(self, vector: np.ndarray, change: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Move the shared parameters by the mean change that a sum said.

        Args:
            vector: shape (p,) float32; not modified.
            change: the weighted mean of the sites' changes, of the same shape and dtype.
            state: from `init` or the last step; not modified.

        Returns:
            What replaces `vector` and `state`. Buffers, such as running means, always move by the mean itself.

        Source: McMahan et al. 2017, https://arxiv.org/abs/1602.05629, algorithm 1.
        """
        return vector + change, state

    def absorb(self, extra: Mapping[str, np.ndarray], sites: int, state: State) -> State:
        """Take in the means of what `extras` sent.

        Args:
            extra: by name, each of shape (p,) float32.
            sites: how many are in the sum.
            state: as in `step`.
        """
        return state

    # --- at one site ---

    def optimizer(self, training: LocalTraining) -> Optimizer:
        """What the sites train with."""
        rate, decay = training.learning_rate, training.weight_decay
        if training.optimizer == "sgd":
            return SGD(learning_rate=rate, weight_decay=decay, momentum=0.9, nesterov=True)
        return AdamW(learning_rate=rate, weight_decay=decay)

    def correction(self, start: LocalStart) -> Correction | None:
        """What is added to every gradient of the local training; None for nothing."""
        return None

    def extras(self, start: LocalStart, trained: np.ndarray, steps: int, learning_rate: float) -> State:
        """What a site sends beside its change: for each of `extra_names` a vector of shape (p,).

        Args:
            start: where the training began.
            trained: the parameters it ended with, shape (p,) float32.
            steps: how many steps it took; > 0.
            learning_rate: of these steps.
        """
        return {}

    def keep(self, own: Mapping[str, np.ndarray], sent: Mapping[str, np.ndarray]) -> State:
        """The site's own state once its update is in a sum.

        Args:
            own: before the round.
            sent: the extras as they travelled, rounded to levels.
        """
        return {}

    # --- what travels ---

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The names of vectors that travel beside the change, each as long as the parameters."""
        return ()

    def shared(self, model: ModelTensors) -> tuple[str, ...]:
        """The names of the tensors that travel, in the order of the model; the others stay where they are trained.

        Raises:
            ConfigError: the strategy does not fit the model.
        """
        return model.travelling

    # --- at the coordinator ---

    @property
    def fewest(self) -> int:
        """How many updates a round needs at least."""
        rule = self.rule()
        return 1 if rule is None else rule.fewest

    def among(self, sites: int) -> FederatedStrategy:
        """The same for a federation of so many sites, where that is a parameter that was left open."""
        return self

    def rule(self) -> RobustRule | None:
        """What takes the place of the sum of all updates; None for the sum."""
        return None

    # --- as data ---

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with every parameter."""
        return {"name": self.name, **{field.name: getattr(self, field.name) for field in fields(self)}}

    def to_json(self) -> str:
        """Canonical JSON: the text that a `RoundPlan` carries."""
        return canonical_json(self.to_dict())

    @classmethod
    def with_parameters(cls, parameters: Mapping[str, object]) -> Self:
        """One of this class.

        Raises:
            ConfigError: a parameter it does not have, of another kind, or out of range.
        """
        known = {field.name: str(field.type) for field in fields(cls)}
        unknown = sorted(parameters.keys() - known.keys())
        if unknown:
            told = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"the strategy {cls.name} has no parameter {unknown[0]!r:.60}: {told}")
        values: dict[str, Any] = {}
        for name, value in parameters.items():
            if type(value) not in _KINDS[known[name]]:
                kind = "a whole number" if known[name] == "int" else "a number"
                raise ConfigError(f"{cls.name}: expected {kind} for {name}, got {value!r:.60}")
            try:
                values[name] = value if known[name] == "int" else float(cast(float, value))
            except OverflowError as exc:
                raise ConfigError(f"{cls.name}: {name} is beyond what a number can be") from exc
        return cls(**values)


STRATEGIES: Registry[type[FederatedStrategy]] = Registry("federated strategy")
S = TypeVar("S", bound=FederatedStrategy)


def strategy(name: str) -> Callable[[type[S]], type[S]]:
    """Declare a strategy under a name."""

    def declare(cls: type[S]) -> type[S]:
        STRATEGIES.add(name, cls)
        cls.name = name
        return cls

    return declare


def strategy_from_dict(value: object) -> FederatedStrategy:
    """Parse and check a strategy: its name, and any of its parameters.

    Raises:
        FormatError: not an object with a name.
        ConfigError: no such strategy or parameter, or one out of range.
    """
    if not isinstance(value, dict) or not isinstance(cast(dict[str, object], value).get("name"), str):
        raise FormatError(f"expected a strategy as an object with a 'name', got {cast(object, value)!r:.80}")
    given = cast(dict[str, object], value)
    found = STRATEGIES.find(cast(str, given["name"]))
    return found.with_parameters({name: each for name, each in given.items() if name != "name"})


def strategy_from_json(text: str) -> FederatedStrategy:
    """The inverse of `FederatedStrategy.to_json`; see `strategy_from_dict`."""
    return strategy_from_dict(parse_json(text))


def check_positive(**values: float) -> None:
    """Each value is above zero and finite.

    Raises:
        ConfigError: one is not.
    """
    for name, value in values.items():
        if not 0 < value < inf:
            raise ConfigError(f"expected {name} > 0 and finite, got {value}")


def check_decay(**values: float) -> None:
    """Each value lies in [0, 1).

    Raises:
        ConfigError: one does not.
    """
    for name, value in values.items():
        if not (isfinite(value) and 0 <= value < 1):
            raise ConfigError(f"expected 0 <= {name} < 1, got {value}")

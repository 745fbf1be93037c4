"""The strategies by name, and what each is made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from optuna.samplers import BaseSampler

from ...core import ConfigError, MissingExtraError, Registry
from ..objectives import Direction
from ..space import Space
from .observation import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyContext:
    """What a strategy knows of its search before the first trial.

    Attributes:
        space: what to search.
        seed: all that a strategy draws is derived from it and the number of the trial.
        directions: of the objectives.
        prior: trials of earlier searches of the same space with the same objectives, in the order they were made.
    """

    space: Space
    seed: int
    directions: tuple[Direction, ...]
    prior: Sequence[Observation] = ()


Maker = Callable[[StrategyContext], BaseSampler]


@dataclass(frozen=True, slots=True)
class Extra:
    """Packages that a strategy needs beside nasturtium's own.

    Attributes:
        name: of the extra that brings them, as in `nasturtium[gp]`.
        modules: that are imported.
    """

    name: str
    modules: tuple[str, ...]

    @property
    def installed(self) -> bool:
        """Whether all of them are there."""
        return all(find_spec(module) is not None for module in self.modules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A way to search, under the name users type.

    Attributes:
        name: in the registry.
        make: gives its sampler; raises `ConfigError` where it cannot serve.
        stateless: its proposals follow from the trials alone. One that is not keeps notes in the study as it goes, so
            that a search is resumed by proposing all over again.
        multi_objective: it takes more than one objective.
        constraints: it takes constraints on what is only known after training.
        extra: what has to be installed for it; None where nothing has.
        description: one sentence.
    """

    name: str
    make: Maker
    stateless: bool = True
    multi_objective: bool = False
    constraints: bool = True
    extra: Extra | None = None
    description: str

    def sampler(self, context: StrategyContext, *, constrained: bool = False) -> BaseSampler:
        """Its sampler for a search.

        Args:
            context: of the search.
            constrained: whether trials are told with a violation of constraints.

        Raises:
            ConfigError: it takes one objective and the search has several, or it takes no constraints, or it cannot
                search this space.
            MissingExtraError: what it needs is not installed.
        """
        if not context.space.leaves():
            raise ConfigError(f"space {context.space.name} has nothing to decide: expected at least one decision")
        if len(context.directions) != 1 and not self.multi_objective:
            able = ", ".join(name for name, strategy in STRATEGIES.items() if strategy.multi_objective)
            raise ConfigError(
                f"strategy {self.name!r} takes one objective, got {len(context.directions)}",
                hint=f"take one of {able}",
            )
        if constrained and not self.constraints:
            able = ", ".join(name for name, strategy in STRATEGIES.items() if strategy.constraints)
            raise ConfigError(f"strategy {self.name!r} takes no constraints", hint=f"take one of {able}")
        if self.extra is not None and not self.extra.installed:
            raise MissingExtraError(f"strategy {self.name!r}", self.extra.name)
        return self.make(context)


STRATEGIES: Registry[Strategy] = Registry("strategy")


def strategy(
    name: str,
    *,
    stateless: bool = True,
    multi_objective: bool = False,
    constraints: bool = True,
    extra: Extra | None = None,
    description: str,
) -> Callable[[Maker], Maker]:
    """Register a sampler class, or a function, that makes a sampler from a `StrategyContext`."""

    def register(make: Maker) -> Maker:
        STRATEGIES.add(
            name,
            Strategy(
                name=name,
                make=make,
                stateless=stateless,
                multi_objective=multi_objective,
                constraints=constraints,
                extra=extra,
                description=description,
            ),
        )
        return make

    return register

"""`Space`: what can be searched, with a fixed flat encoding.

The encoding lists every decision of the template and every hyperparameter under a fixed path, whether it counts or not,
because samplers need a space that never changes (Optuna's multivariate samplers fall back to random on one that does).
What the other decisions switch off is dropped when a point is decided, so that equal networks are equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, Final, Self, cast

import numpy as np

from ...core import ConfigError, FormatError, ModelSpec, canonical_json
from ...core.data import Task
from ..costs import Costs, costs
from .constraint import Comparison
from .decided import ROOT, Decided, Flat, check_value, decide, leaves_of
from .document import space_from_dict, space_to_dict
from .expand import Expanded, expand
from .graph import LabelledGraph, labelled_graph, structure
from .leaf import draw, filler, nearby, others
from .nodes import NONE, Choice, Int, Leaf, Node, Scalar, check_keys, check_paths, shown

TRAINING: Final = "training"
MAX_DRAWS = 10_000  # attempts at a point that keeps the constraints
CACHED = 50_000  # points whose decided form is kept


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a space, decided once: what all questions about it start from."""

    parts: tuple[Decided, ...]
    used: frozenset[str]  # paths of the decisions that count
    network_id: str
    identity: str


@dataclass(frozen=True, eq=False)
class Space:
    """A search space for one task.

    Args:
        name: as users call it.
        task: what the networks are for; None for a plain table of decisions.
        template: what makes a network; None for a plain table of decisions.
        hyperparameters: what is searched along with it, by the names that training knows.
        constraints: comparisons that every proposal keeps, see `constraint`.
        total: every point builds, so that none has to be tried before it is proposed.

    Raises:
        ConfigError: a name stands for two decisions, a constraint speaks of none, or a hyperparameter is no decision
            between values.
    """

    name: str
    task: Task | None
    template: Node | None
    hyperparameters: Mapping[str, Leaf] = field(default_factory=dict[str, Leaf])
    constraints: tuple[str, ...] = ()
    total: bool = False
    _points: dict[tuple[Any, ...], Point] = field(default_factory=dict[tuple[Any, ...], Point], repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "constraints", tuple(self.constraints))
        check_keys((self.name,))
        (check_paths if self.template is None else check_keys)(self.hyperparameters)
        for name, leaf in cast(Mapping[str, object], self.hyperparameters).items():
            if not isinstance(leaf, Leaf) or (isinstance(leaf, Choice) and leaf.of_layers):
                raise ConfigError(
                    f"{name}: expected a decision between values, got {shown(leaf)}",
                    hint="write Choice((...)), Int(...) or Float(...)",
                )
        _ = self._comparisons  # a constraint that cannot be is found here

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs; it decides its points itself."""
        return {**self.__dict__, "_points": {}}

    @classmethod
    def categorical(cls, name: str, decisions: Mapping[str, tuple[Scalar, ...]]) -> Self:
        """A table of decisions without networks, such as the settings of a benchmark: equal points are equal."""
        return cls(name, None, None, {path: Choice(tuple(options)) for path, options in decisions.items()})

    # The encoding ---------------------------------------------------------------------------------------------------

    @cached_property
    def _leaves(self) -> dict[str, Leaf]:
        found = {} if self.template is None else leaves_of(self.template)
        prefix = "" if self.template is None else f"{TRAINING}/"
        return found | {f"{prefix}{name}": leaf for name, leaf in self.hyperparameters.items()}

    def leaves(self) -> dict[str, Leaf]:
        """The fixed flat encoding: every decision of the template and every hyperparameter, by path."""
        return dict(self._leaves)

    @property
    def size(self) -> float:
        """How many points the encoding has, equal networks counted apart; infinite where there are real numbers."""
        total = 1.0
        for leaf in self._leaves.values():
            total *= len(leaf.values) if isinstance(leaf, Choice | Int) else float("inf")
        return total

    def points(self) -> Iterator[Flat]:
        """Every point of a space without real numbers, in a fixed order, constraints aside."""
        if self.size == float("inf"):
            raise ConfigError(f"space {self.name!r} has real numbers: its points cannot be listed")
        values = [leaf.values for leaf in self._leaves.values() if isinstance(leaf, Choice | Int)]
        for point in product(*values):
            yield dict(zip(self._leaves, point, strict=True))

    # What a point is ------------------------------------------------------------------------------------------------

    def point(self, flat: Flat) -> Point:
        """A point, decided; kept for the next question about it.

        Raises:
            ConfigError: it lacks a decision that counts, or has a value outside its range.
        """
        values = [flat.get(path) for path in self._leaves]
        key = (*values, *map(type, values))  # 1, 1.0 and True are equal, but not the same decision
        try:
            found = self._points.get(key)
        except TypeError:
            raise ConfigError(f"expected a point of numbers and texts, got {shown(dict(flat))}") from None
        if found is None:
            if len(self._points) >= CACHED:
                self._points.clear()
            found = self._points[key] = self._decide(flat)
        return found

    def identity(self, flat: Flat) -> str:
        """SHA-256 of the canonical network and the hyperparameters, in hex: equal for equal candidates alone."""
        return self.point(flat).identity

    def network_id(self, flat: Flat) -> str:
        """SHA-256 of the canonical network, in hex."""
        return self.point(flat).network_id

    def active(self, flat: Flat) -> frozenset[str]:
        """Paths of the decisions that count at a point, hyperparameters among them."""
        return self.point(flat).used

    def choices(self, flat: Flat) -> dict[str, Scalar]:
        """The decisions of the network that count, of the canonical point, by path without "architecture/"."""
        flat = self.canonical(flat)
        used = self.point(flat).used
        return {
            path.removeprefix(f"{ROOT}/"): flat[path] for path in self._leaves if path in used and _of_network(path)
        }

    def hyperparameters_of(self, flat: Flat) -> dict[str, Scalar]:
        """The hyperparameters of a point, by name."""
        prefix = "" if self.template is None else f"{TRAINING}/"
        return {name: check_value(leaf, flat, f"{prefix}{name}") for name, leaf in self.hyperparameters.items()}

    def canonical(self, flat: Flat) -> dict[str, Scalar]:
        """The point with every decision that does not count at a fixed value: equal trees become equal points."""
        used = self.point(flat).used
        return {path: flat[path] if path in used else _idle(leaf) for path, leaf in self._leaves.items()}

    def completed(self, given: Flat) -> dict[str, Scalar]:
        """A point from some decisions; the others have a fixed value.

        Raises:
            ConfigError: a decision is none of the space.
        """
        if unknown := given.keys() - self._leaves.keys():
            raise ConfigError(f"space {self.name!r} has no decisions {', '.join(sorted(unknown))}")
        return {path: given[path] if path in given else _idle(leaf) for path, leaf in self._leaves.items()}

    def graph(self, flat: Flat) -> LabelledGraph:
        """The canonical network as a small labelled graph; the decisions themselves where there is no network."""
        if self.template is None:
            labels = [f"{path}={flat[path]}" for path in self._leaves]
            count = len(labels)
            return LabelledGraph(("input", *labels, "output"), tuple((i, i + 1) for i in range(count + 1)))
        return labelled_graph(self.point(flat).parts)

    # The network ----------------------------------------------------------------------------------------------------

    def expanded(self, flat: Flat) -> tuple[Expanded, ...]:
        """The layers of a point's network with where they come from.

        Raises:
            ConfigError: the space has no networks.
            FormatError: a layer does not fit what comes into it.
        """
        if self.task is None or self.template is None:
            raise ConfigError(f"space {self.name!r} is a table of decisions: it has no networks")
        return expand(self.point(flat).parts, self.task.input_shape, self.task.outputs)

    def spec(self, flat: Flat) -> ModelSpec:
        """The network of a point as data; raises as `expanded`."""
        layers = self.expanded(flat)
        assert self.task is not None
        return ModelSpec(self.task.input_shape, tuple(layer.spec for layer in layers))

    def costs(self, flat: Flat) -> Costs:
        """What a point's network costs, without building it."""
        return costs(self.spec(flat))

    # Points near points ---------------------------------------------------------------------------------------------

    def draw(self, rng: np.random.Generator) -> dict[str, Scalar]:
        """A uniformly random point, constraints aside."""
        return {path: draw(leaf, rng) for path, leaf in self._leaves.items()}

    def sample(self, rng: np.random.Generator) -> dict[str, Scalar]:
        """A uniformly random point that keeps the constraints.

        Raises:
            ConfigError: `MAX_DRAWS` points in a row did not, or, without constraints, a tenth of them did not build.
        """
        flat: dict[str, Scalar] = {}
        draws = MAX_DRAWS if self.constraints else MAX_DRAWS // 10  # more do not build what has never built
        for _ in range(draws):
            flat = self.draw(rng)
            if self.allows(flat):
                return flat
        raise ConfigError(
            f"space {self.name!r}: none of {draws} random points {self._refusal(flat)}",
            hint="loosen the constraints, or narrow the choices to what fits them",
        )

    def _refusal(self, flat: Flat) -> str:
        """Why a point is not allowed, in the words of `sample`."""
        if self.template is not None:
            try:
                self.spec(flat)
            except FormatError as exc:
                return f"builds; the last one: {exc.message}"
        return f"keeps {', '.join(self.constraints)}"

    def neighbours(self, flat: Flat) -> list[dict[str, Scalar]]:
        """All points that differ in one decision that counts, are other candidates for it, and keep the constraints.

        Of numbers, those one step away. A point that is a neighbour in a choice has this one among its own.
        """
        used, here = self.active(flat), self.identity(flat)
        near = [
            {**flat, path: value}
            for path, leaf in self._leaves.items()
            if path in used
            for value in others(leaf, flat[path])
        ]
        return [point for point in near if self.identity(point) != here and self.allows(point)]

    def mutate(self, flat: Flat, rng: np.random.Generator) -> dict[str, Scalar]:
        """Another candidate: the point with one random decision that counts changed; constraints are kept.

        A change that gives the same candidate is kept and followed by another one: two edges of a cell that lead
        nowhere without each other would never come about otherwise. Where some dozens of changes give no other
        candidate, a random point.
        """
        here, now = self.identity(flat), dict(flat)
        for _ in range(64):
            used = self.active(now)
            paths = [path for path, leaf in self._leaves.items() if path in used and not _fixed(leaf)]
            if not paths:
                break
            path = paths[int(rng.integers(len(paths)))]
            moved = {**now, path: nearby(self._leaves[path], now[path], rng)}
            if self.identity(moved) == here:
                now = moved
            elif self.allows(moved):
                return moved
        return self.sample(rng)

    def crossover(self, first: Flat, second: Flat, rng: np.random.Generator) -> dict[str, Scalar]:
        """Each decision from one of two points at random; constraints are kept, else it is the first point."""
        for _ in range(64):
            takes = rng.integers(0, 2, len(self._leaves))
            child = {path: (second if take else first)[path] for path, take in zip(self._leaves, takes, strict=True)}
            if self.allows(child):
                return child
        return dict(first)

    def allows(self, flat: Flat) -> bool:
        """Whether a point keeps the constraints and builds."""
        decisions: dict[str, Scalar] = {}
        if self._comparisons:
            used = self.active(flat)
            decisions = {self._short(path): value for path, value in flat.items() if path in used}
        plain = [comparison for comparison in self._comparisons if not comparison.of_costs]
        if not all(comparison.holds(decisions, {}) for comparison in plain):
            return False
        try:
            if len(plain) < len(self._comparisons):
                found = self.costs(flat).figures()
                return all(comparison.holds(decisions, found) for comparison in self._comparisons)
            if not self.total and self.template is not None:
                self.spec(flat)
        except FormatError:
            return False
        return True

    def constrained(self, *constraints: str) -> Space:
        """The space with more constraints."""
        return Space(
            self.name,
            self.task,
            self.template,
            self.hyperparameters,
            (*self.constraints, *constraints),
            total=self.total,
        )

    # The document ---------------------------------------------------------------------------------------------------

    def to_document(self) -> dict[str, Any]:
        """The space as plain JSON values, all of it but the task; see `from_document`."""
        return space_to_dict(self.name, self.template, self.hyperparameters, self.constraints, total=self.total)

    @classmethod
    def from_document(cls, document: object, task: Task | None) -> Self:
        """A space from its document, for a task.

        Raises:
            FormatError: not a space, or of a newer version.
            ConfigError: its parts do not fit each other.
        """
        name, template, hyperparameters, constraints, total = space_from_dict(document)
        return cls(name, task, template, hyperparameters, constraints, total)

    @property
    def sha256(self) -> str:
        """Hash of the document, in hex: a search is only resumed in the space it was started in."""
        return hashlib.sha256(canonical_json(self.to_document()).encode()).hexdigest()

    # ----------------------------------------------------------------------------------------------------------------

    @cached_property
    def _comparisons(self) -> tuple[Comparison, ...]:
        leaves = {self._short(path): leaf for path, leaf in self._leaves.items()}
        if len(leaves) < len(self._leaves):
            raise ConfigError(f"space {self.name!r}: a hyperparameter has the name of a decision of the network")
        found = tuple(Comparison.parse(text, leaves) for text in self.constraints)
        if self.template is None and any(comparison.of_costs for comparison in found):
            raise ConfigError(f"space {self.name!r} has no networks: a constraint cannot speak of what they cost")
        return found

    def _short(self, path: str) -> str:
        """A decision's name in constraints."""
        return path if self.template is None else path.removeprefix(f"{ROOT}/").removeprefix(f"{TRAINING}/")

    @cached_property
    def _shapes(self) -> list[Any]:
        return [] if self.task is None else [list(self.task.input_shape), self.task.outputs]

    def _decide(self, flat: Flat) -> Point:
        given = self.hyperparameters_of(flat)
        if self.template is None:
            parts, used, described = (), frozenset(self._leaves), [self.name, given]
            network = _sha256(described)
        else:
            parts, used = decide(self.template, flat)
            network = _sha256([*self._shapes, structure(parts)])
            used |= {f"{TRAINING}/{name}" for name in self.hyperparameters}
        return Point(parts, used, network, _sha256([network, given]))


def _sha256(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _of_network(path: str) -> bool:
    return path.startswith(f"{ROOT}/")


def _fixed(leaf: Leaf) -> bool:
    return isinstance(leaf, Choice | Int) and len(leaf.values) == 1


def _idle(leaf: Leaf) -> Scalar:
    """What stands for a decision that does not count: no edge, where that is an option."""
    return NONE if isinstance(leaf, Choice) and NONE in leaf.values else filler(leaf)

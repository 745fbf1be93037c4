"""Search spaces: a tree of choices, and its fixed flat encoding.

A tree says what can be chosen and under which condition. Its encoding lists every leaf of the tree, active or not,
under a fixed path, because samplers need a space that never changes (Optuna's multivariate samplers fall back to random
on one that does). `decode` drops what the other choices switch off, so that equal architectures become equal values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import exp, log
from typing import Any, cast

import numpy as np

from ..core import ConfigError, ModelSpec, Registry, canonical_json
from ..core.data import Task

Scalar = bool | int | float | str
Flat = Mapping[str, Scalar]  # path -> value, one for every leaf
Choices = Mapping[str, Any]  # the decoded tree: nested JSON values


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values."""

    options: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number, low <= n <= high."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Float:
    """A real number, low <= x <= high, uniform or (log) uniform in the logarithm."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Several named decisions, all of them taken."""

    parts: Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class Repeat:
    """Between `low` and `high` copies of a node, each decided on its own; low >= 1."""

    low: int
    high: int
    node: Node


@dataclass(frozen=True, slots=True)
class Branch:
    """One of some named alternatives; the others are inactive."""

    alternatives: Mapping[str, Node]


Leaf = Choice | Int | Float
Node = Leaf | Group | Repeat | Branch


@dataclass(frozen=True, slots=True)
class Space:
    """A search space for one task.

    Attributes:
        name: as in the registry of spaces.
        task: what the networks are for.
        architecture: the tree of what makes a network.
        hyperparameters: what is searched along with it, fields of `TrainingConfig`.
        to_spec: the network that decoded choices stand for.
        canonical: maps choices that give the same network to one of them.
    """

    name: str
    task: Task
    architecture: Group
    hyperparameters: Mapping[str, Leaf]
    to_spec: Callable[[Choices], ModelSpec]
    canonical: Callable[[Choices], Choices] = lambda choices: choices

    def leaves(self) -> dict[str, Leaf]:
        """The fixed flat encoding: every leaf of the tree and every hyperparameter, by path."""
        return {**leaves(self.architecture, "architecture"), **leaves(Group(self.hyperparameters), "training")}

    def decode(self, flat: Flat) -> tuple[Choices, dict[str, float]]:
        """Canonical architecture choices and hyperparameters of a point of the flat encoding."""
        choices = self.canonical(decode(self.architecture, flat, "architecture"))
        return choices, {name: float(flat[f"training/{name}"]) for name in self.hyperparameters}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what can be chosen, for the history."""
        return {
            "name": self.name,
            "architecture": to_dict(self.architecture),
            "hyperparameters": to_dict(Group(self.hyperparameters)),
        }


def leaves(node: Node, path: str) -> dict[str, Leaf]:
    """Every leaf below a node, by path."""
    match node:
        case Choice() | Int() | Float():
            return {path: node}
        case Group(parts):
            return {k: v for name, part in parts.items() for k, v in leaves(part, f"{path}/{name}").items()}
        case Repeat(low, high, inner):
            found: dict[str, Leaf] = {f"{path}/count": Int(low, high)}
            for index in range(high):
                found |= leaves(inner, f"{path}/{index}")
            return found
        case Branch(alternatives):
            found = {f"{path}/which": Choice(tuple(alternatives))}
            for name, alternative in alternatives.items():
                found |= leaves(alternative, f"{path}/{name}")
            return found


def decode(node: Node, flat: Flat, path: str) -> Any:
    """The active part of a flat point as nested JSON values.

    Raises:
        ConfigError: the point has no value for an active leaf, or one outside the leaf's range.
    """
    match node:
        case Choice() | Int() | Float():
            return _check(node, flat, path)
        case Group(parts):
            return {name: decode(part, flat, f"{path}/{name}") for name, part in parts.items()}
        case Repeat(low, high, inner):
            count = _check(Int(low, high), flat, f"{path}/count")
            return [decode(inner, flat, f"{path}/{index}") for index in range(cast(int, count))]
        case Branch(alternatives):
            which = cast(str, _check(Choice(tuple(alternatives)), flat, f"{path}/which"))
            return {which: decode(alternatives[which], flat, f"{path}/{which}")}


def draw(leaf: Leaf, rng: np.random.Generator) -> Scalar:
    """One uniformly random value of a leaf."""
    match leaf:
        case Choice(options):
            return options[int(rng.integers(len(options)))]
        case Int(low, high):
            return int(rng.integers(low, high + 1))
        case Float(low, high, logarithmic):
            return exp(rng.uniform(log(low), log(high))) if logarithmic else rng.uniform(low, high)


def to_dict(node: Node) -> Any:
    """A node as plain JSON values."""
    match node:
        case Choice(options):
            return {"choice": list(options)}
        case Int(low, high):
            return {"int": [low, high]}
        case Float(low, high, logarithmic):
            return {"float": [low, high], "log": logarithmic}
        case Group(parts):
            return {"group": {name: to_dict(part) for name, part in parts.items()}}
        case Repeat(low, high, inner):
            return {"repeat": [low, high], "node": to_dict(inner)}
        case Branch(alternatives):
            return {"branch": {name: to_dict(part) for name, part in alternatives.items()}}


def _check(leaf: Leaf, flat: Flat, path: str) -> Scalar:
    if path not in flat:
        raise ConfigError(f"the point has no value for {path!r}")
    value = flat[path]
    match leaf:
        case Choice(options):
            fits = value in options
        case Int(low, high) | Float(low, high):
            fits = isinstance(value, int | float) and low <= value <= high
    if not fits:
        raise ConfigError(f"{path}: {value!r} is outside {canonical_json(to_dict(leaf))}")
    return value


SpaceMaker = Callable[[Task], Space]
SPACES: Registry[SpaceMaker] = Registry("space")


def space(name: str) -> Callable[[SpaceMaker], SpaceMaker]:
    """Register a function that makes a space for a task; it raises `ConfigError` for a task it cannot serve."""
    return partial(SPACES.add, name)

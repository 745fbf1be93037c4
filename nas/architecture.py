"""`Architecture`: one canonical point of a search space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ..core import FormatError, ModelSpec, build, canonical_json, check_header, derive_rng, parse_json
from ..core.nn import Sequential
from .drawing import draw_svg
from .space import ROOT, TRAINING, Flat, Scalar, Space

FORMAT = "nasturtium.architecture"
VERSION = 2
_ATTEMPTS = 200  # at a mutation that changes the network, most of which change it


@dataclass(frozen=True, eq=False)
class Architecture:
    """A network's structure as decisions in a space. Equal networks are equal architectures, with equal ids.

    What equal means is what `Space.network_id` says: decisions that count for nothing are not looked at, operations of
    a cell that lead nowhere are removed, and cells that are wired alike are equal. The same decisions for other inputs
    or outputs are another network.

    Attributes:
        space: the name of the space.
        id: SHA-256 of the canonical network, in hex.
        choices: the decisions that count, by path.
    """

    space: str
    id: str
    choices: Mapping[str, Scalar]

    @classmethod
    def of(cls, space: Space, flat: Flat) -> Architecture:
        """The architecture of a point; raises `ConfigError` as `Space.point` does."""
        return cls(space.name, space.network_id(flat), space.choices(flat))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "space": self.space,
            "id": self.id,
            "choices": dict(self.choices),
        }

    def to_json(self) -> str:
        """Canonical JSON."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_json(cls, text: str, space: Space) -> Architecture:
        """Parse what `to_json` wrote, and see that it is of the space.

        Raises:
            FormatError: the text is not an architecture, or one of another space or task.
            ConfigError: a decision that counts is missing, or outside its range.
        """
        fields = check_header(parse_json(text), FORMAT, VERSION)
        name, id_, choices = (fields.get(key) for key in ("space", "id", "choices"))
        if not (isinstance(name, str) and isinstance(id_, str) and isinstance(choices, dict)):
            raise FormatError(f"a damaged {FORMAT}: {text[:80]!r}")
        if name != space.name:
            raise FormatError(f"expected an architecture of space {space.name!r}, got one of {name[:80]!r}")
        if not all(isinstance(value, Scalar) for value in cast(dict[str, object], choices).values()):
            raise FormatError(f"a damaged {FORMAT}: expected choices of numbers, texts or true and false")
        found = cls(name, id_, cast(dict[str, Scalar], choices))
        actual = space.network_id(found.flat(space))
        if actual != id_:
            raise FormatError(
                f"the architecture says it is {id_[:12]}, but its decisions make {actual[:12]} here",
                hint="it was made for another task, or by another version of the space",
            )
        return found

    def flat(self, space: Space, hyperparameters: Mapping[str, Scalar] | None = None) -> dict[str, Scalar]:
        """A point of the space with these decisions; those that do not count, and hyperparameters that are not given,
        have a fixed value.
        """
        given = {f"{ROOT}/{path}": value for path, value in self.choices.items()}
        given |= {f"{TRAINING}/{name}": value for name, value in (hyperparameters or {}).items()}
        return space.completed(given)

    def spec(self, space: Space) -> ModelSpec:
        """The network as data, for the task the space was made for."""
        return space.spec(self.flat(space))

    def build(self, space: Space, seed: int) -> Sequential:
        """The network, its initial weights decided by the seed: the same bits for equal arguments in any process.

        Equal architectures whose cells are wired alike, but written down differently, draw theirs in another order.
        """
        return build(self.spec(space), derive_rng(seed, "weights"))

    def mutate(self, space: Space, rng: np.random.Generator) -> Architecture:
        """Another architecture: one random decision that counts changed, the space's constraints kept."""
        flat = self.flat(space)
        for _ in range(_ATTEMPTS):
            moved = Architecture.of(space, space.mutate(flat, rng))
            if moved != self:  # else a hyperparameter moved, or the space has one network
                return moved
        return self

    def neighbours(self, space: Space) -> list[Architecture]:
        """The different architectures one decision away, in the order of the space's decisions."""
        near = [Architecture.of(space, flat) for flat in space.neighbours(self.flat(space))]
        return [found for found in dict.fromkeys(near) if found != self]

    def crossover(self, other: Architecture, space: Space, rng: np.random.Generator) -> Architecture:
        """Each decision from one of both at random, the space's constraints kept."""
        return Architecture.of(space, space.crossover(self.flat(space), other.flat(space), rng))

    def svg(self, space: Space, *, other: Architecture | None = None) -> str:
        """A drawing; what differs from another architecture is marked. See `draw_svg`."""
        return draw_svg(space, self, other=other)

    def diff(self, other: Architecture) -> dict[str, tuple[Scalar | None, Scalar | None]]:
        """What differs: path -> (here, there); None where the decision does not count. Nothing of equal networks."""
        if self == other:
            return {}
        paths = dict.fromkeys((*self.choices, *other.choices))
        pairs = {path: (self.choices.get(path), other.choices.get(path)) for path in paths}
        return {path: pair for path, pair in pairs.items() if pair[0] != pair[1] or type(pair[0]) is not type(pair[1])}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

"""`Architecture`: one canonical point of a search space."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, cast

from ..core import FormatError, ModelSpec, canonical_json, check_header, parse_json
from .space import Choices, Flat, Space

FORMAT = "nasturtium.architecture"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Architecture:
    """A network's structure as decisions in a space. Equal networks are equal architectures, with equal ids.

    The same decisions for other inputs or classes are another network, so those are part of it.

    Attributes:
        space: the name of the space.
        input_shape: of one sample.
        classes: how many.
        choices: the decisions, canonical: what is switched off is left out.
    """

    space: str
    input_shape: tuple[int, ...]
    classes: int
    choices: Choices

    @classmethod
    def of(cls, space: Space, choices: Choices) -> Architecture:
        """Canonical decisions in a space."""
        return cls(space.name, space.task.input_shape, len(space.task.classes), choices)

    @classmethod
    def from_flat(cls, space: Space, flat: Flat) -> Architecture:
        """The architecture of a point of the flat encoding."""
        return cls.of(space, space.decode(flat)[0])

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "space": self.space,
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "choices": self.choices,
        }

    def to_json(self) -> str:
        """Canonical JSON: equal architectures give equal text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Parse what `to_json` wrote.

        Raises:
            FormatError: the text is not an architecture.
        """
        fields = check_header(parse_json(text), FORMAT, VERSION)
        name, shape, classes, choices = (fields.get(key) for key in ("space", "input_shape", "classes", "choices"))
        if not (isinstance(name, str) and isinstance(classes, int) and isinstance(choices, dict)):
            raise FormatError(f"a damaged {FORMAT}: {text[:80]!r}")
        if not isinstance(shape, list) or not all(type(length) is int for length in cast(list[object], shape)):
            raise FormatError(f"{FORMAT}: expected 'input_shape' as a list of integers, got {shape!r}")
        return cls(name, tuple(cast(list[int], shape)), classes, cast(dict[str, Any], choices))

    def to_spec(self, space: Space) -> ModelSpec:
        """The network as data, for the task the space was made for."""
        return space.to_spec(self.choices)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

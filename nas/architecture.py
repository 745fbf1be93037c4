"""`Architecture`: one canonical point of a search space."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, cast

from ..core import FormatError, ModelSpec, canonical_json, parse_json
from .space import Choices, Flat, Space

FORMAT = "nasturtium.architecture"


@dataclass(frozen=True, eq=False)
class Architecture:
    """A network's structure as decisions in a space. Equal networks are equal architectures, with equal ids.

    Attributes:
        space: the name of the space.
        choices: the decisions, canonical: what is switched off is left out.
    """

    space: str
    choices: Choices

    @classmethod
    def from_flat(cls, space: Space, flat: Flat) -> Architecture:
        """The architecture of a point of the flat encoding."""
        return cls(space.name, space.decode(flat)[0])

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"format": FORMAT, "version": 1, "space": self.space, "choices": self.choices}

    def to_json(self) -> str:
        """Canonical JSON: equal architectures give equal text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Parse what `to_json` wrote.

        Raises:
            FormatError: the text is not an architecture.
        """
        value = parse_json(text)
        fields = cast(dict[str, Any], value) if isinstance(value, dict) else {}
        name, choices = fields.get("space"), fields.get("choices")
        if fields.get("format") != FORMAT or not isinstance(name, str) or not isinstance(choices, dict):
            raise FormatError(f"expected a {FORMAT} object, got {text[:80]!r}")
        return cls(name, cast(dict[str, Any], choices))

    def to_spec(self, space: Space) -> ModelSpec:
        """The network as data, for the task the space was made for."""
        return space.to_spec(self.choices)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

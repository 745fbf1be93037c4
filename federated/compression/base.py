"""What a compression of updates is: fewer numbers travel, and what was left out is sent later.

A site keeps what it could not say (the rounding to levels included) and adds it to its next change: error feedback.

Source: Seide et al. 2014, https://doi.org/10.21437/Interspeech.2014-274; Karimireddy et al. 2019,
https://arxiv.org/abs/1901.09847.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self, TypeAlias, TypeVar, cast

import numpy as np

from ...core import ConfigError, FormatError, Registry, canonical_json, parse_json
from ..updates.layout import UpdateLayout

Bases: TypeAlias = dict[str, np.ndarray]
_KINDS: Mapping[str, tuple[type, ...]] = {"float": (float, int), "int": (int,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """Base of all, and the one that leaves updates as they are.

    Attributes:
        name: in the registry.
        in_the_clear: why it needs updates in the clear; empty where it does not.
        lossy: whether a site keeps what it could not say.
        sparse: whether most elements of an update are zero, and only the others travel.
    """

    name: ClassVar[str] = ""
    in_the_clear: ClassVar[str] = ""
    lossy: ClassVar[bool] = False
    sparse: ClassVar[bool] = False

    def layout(self, full: UpdateLayout) -> UpdateLayout:
        """What an update holds, of `full`."""
        return full

    def init(self, full: UpdateLayout, seed: int) -> Bases:
        """What all sites agree on before the first round, from nothing but these."""
        return {}

    def compress(self, update: np.ndarray, full: UpdateLayout, bases: Mapping[str, np.ndarray]) -> np.ndarray:
        """What is said of an update.

        Args:
            update: shape (full.size,) float64; not modified.
            full: its layout.
            bases: of the round.

        Returns:
            Shape (self.layout(full).size,) float64.
        """
        return update

    def expand(self, said: np.ndarray, full: UpdateLayout, bases: Mapping[str, np.ndarray]) -> np.ndarray:
        """What was meant, with the same bits on every machine: shape (full.size,) float32.

        Args:
            said: shape (self.layout(full).size,) float32.
            full, bases: as in `compress`.
        """
        return said

    def advance(self, said: np.ndarray, full: UpdateLayout, bases: Bases) -> Bases:
        """What all sites agree on for the next round, with the same bits on every machine.

        Args:
            said: the mean of what was said in this one, shape (self.layout(full).size,) float32.
            full, bases: as in `compress`.
        """
        return bases

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
        for name, value in parameters.items():
            if name not in known:
                told = f"it has {', '.join(known)}" if known else "it has none"
                raise ConfigError(f"the compression {cls.name} has no parameter {name!r:.60}: {told}")
            if type(value) not in _KINDS[known[name]]:
                raise ConfigError(f"{cls.name}: expected a number for {name}, got {value!r:.60}")
        return cls(**cast(dict[str, Any], parameters))


COMPRESSIONS: Registry[type[Compression]] = Registry("compression")
C = TypeVar("C", bound=Compression)


def compression(name: str) -> Callable[[type[C]], type[C]]:
    """Declare a compression under a name."""

    def declare(cls: type[C]) -> type[C]:
        COMPRESSIONS.add(name, cls)
        cls.name = name
        return cls

    return declare


def compression_from_dict(value: object) -> Compression:
    """Parse and check a compression: its name, and any of its parameters.

    Raises:
        FormatError: not an object with a name.
        ConfigError: no such compression or parameter, or one out of range.
    """
    given = cast(dict[str, object], value) if isinstance(value, dict) else {}
    if not isinstance(given.get("name"), str):
        raise FormatError(f"expected a compression as an object with a 'name', got {value!r:.80}")
    found = COMPRESSIONS.find(cast(str, given["name"]))
    return found.with_parameters({name: each for name, each in given.items() if name != "name"})


def compression_from_json(text: str) -> Compression:
    """The inverse of `Compression.to_json`; see `compression_from_dict`."""
    return compression_from_dict(parse_json(text))

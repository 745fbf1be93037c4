"""`ModelSpec`: a network as data. What a search proposes, what a site receives, what a model file holds.

A specification is versioned JSON and builds without any code from outside: it can only name layers of our registry.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, NoReturn, cast

import numpy as np

from .errors import FormatError
from .nn.layer import MAX_ELEMENTS, MAX_LAYERS, LayerPlan, LayerSpec, Shape, build_layers, count_layers, plan_layers
from .nn.module import Sequential


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A network: the shape of one sample and the layers, checked to fit each other.

    Raises:
        FormatError: the layers do not fit, or the network is too large.
    """

    FORMAT: ClassVar[str] = "nasturtium.model-spec"
    VERSION: ClassVar[int] = 1

    input_shape: Shape
    layers: tuple[LayerSpec, ...]

    def __post_init__(self) -> None:
        if not self.input_shape or min(self.input_shape) < 1 or len(self.input_shape) > 8:
            raise FormatError(f"expected an input shape of 1 to 8 positive lengths, got {self.input_shape}")
        if prod(self.input_shape) > MAX_ELEMENTS:
            raise FormatError(f"samples of shape {self.input_shape} exceed {MAX_ELEMENTS} elements")
        if not 1 <= count_layers(self.layers) <= MAX_LAYERS:
            raise FormatError(f"expected 1 to {MAX_LAYERS} layers, got {count_layers(self.layers)}")
        self.plan()

    def plan(self) -> LayerPlan:
        """Output shape, state, multiply-accumulates and memory per sample, without building; see `LayerPlan`."""
        return plan_layers(self.layers, self.input_shape, self.other_shapes)

    @property
    def other_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the second and further inputs, where the first layer is a graph of several: `model(x, y)`."""
        return self.layers[0].options.get("other_shapes", ()) if self.layers else ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "format": self.FORMAT,
            "version": self.VERSION,
            "input_shape": list(self.input_shape),
            "layers": [spec.to_dict() for spec in self.layers],
        }

    def to_json(self) -> str:
        """Canonical JSON: equal networks give equal text."""
        return canonical_json(self.to_dict())

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_dict(cls, value: object) -> ModelSpec:
        """Parse and check a specification; nothing is allocated.

        Raises:
            FormatError: not a specification, of a newer version, or a network that cannot be.
        """
        fields = check_header(value, cls.FORMAT, cls.VERSION)
        shape, layers = fields.get("input_shape"), fields.get("layers")
        if not isinstance(shape, list) or not all(type(length) is int for length in cast(list[object], shape)):
            raise FormatError(f"expected 'input_shape' as a list of integers, got {shape!r}")
        if not isinstance(layers, list):
            raise FormatError(f"expected 'layers' as a list, got {type(layers).__name__}")
        return cls(
            tuple(cast(list[int], shape)), tuple(LayerSpec.from_dict(item) for item in cast(list[object], layers))
        )

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Parse JSON; see `from_dict`."""
        return cls.from_dict(parse_json(text))


def build(spec: ModelSpec, rng: np.random.Generator) -> Sequential:
    """Build the network a specification describes, its initial weights drawn from `rng`: same seed, same bits."""
    return build_layers(spec.layers, spec.input_shape, rng)


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces; equal values give equal text. NaN and infinities are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse_json(text: str) -> object:
    """Parse JSON from outside.

    Raises:
        FormatError: not JSON, nested too deep to parse, or a name stands twice in one object.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as exc:
        raise FormatError(f"not valid JSON: {exc}") from exc


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object from its pairs: readers that keep the first of two and readers that keep the last must not differ."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice!r} stands twice in one object")
    return found


def check_header(value: object, expected: str, newest: int) -> Mapping[str, Any]:
    """Check the `format` and `version` of one of our documents.

    Raises:
        FormatError: not an object, another format, or a newer version.
    """
    if not isinstance(value, dict):
        raise FormatError(f"expected a {expected} object, got {type(value).__name__}")
    fields = cast(dict[str, Any], value)
    if fields.get("format") != expected:
        raise FormatError(f"expected a document of format {expected!r}, got {fields.get('format')!r}")
    version = fields.get("version")
    if type(version) is not int or not 1 <= version <= newest:
        raise FormatError(
            f"{expected}: expected a version up to {newest}, got {version!r}", hint="upgrade nasturtium to read it"
        )
    return fields

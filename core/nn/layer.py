"""Layers as data: the registry of layer kinds that a `ModelSpec` can name, and what each costs before it is built."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar, cast, get_type_hints

import numpy as np

from ..errors import FormatError
from ..registry import Registry
from .module import Module, Sequential

Shape = tuple[int, ...]  # of one sample, without the batch axis
M = TypeVar("M", bound=type[Module])

MAX_DEPTH = 16  # levels of nesting in a specification from outside
MAX_LAYERS = 10_000
MAX_MACS = 2**34  # of one sample; also bounds the patches a convolution copies
MAX_ELEMENTS = 2**31  # parameters, or activations of one sample


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer of a network: its kind and options. An option may hold nested layers."""

    kind: str
    options: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"kind": self.kind, **{name: _to_json(value) for name, value in self.options.items()}}

    @classmethod
    def from_dict(cls, value: object, *, depth: int = 0) -> LayerSpec:
        """Parse and check one layer; nothing is allocated.

        Raises:
            FormatError: not a layer, an unknown kind or option, an option of the wrong type, nested too deep.
        """
        if depth > MAX_DEPTH:
            raise FormatError(f"layers are nested deeper than {MAX_DEPTH} levels")
        if not isinstance(value, dict):
            raise FormatError(f"expected a layer as an object with a 'kind', got {_short(value)}")
        fields = dict(cast(dict[str, Any], value))
        kind = fields.pop("kind", None)
        options = {name: _from_json(option, depth) for name, option in fields.items()}
        return layer_spec(kind, **options)


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What a layer makes of a sample and what it costs."""

    output_shape: Shape
    parameters: int = 0  # trainable elements
    macs: int = 0  # multiply-accumulates per sample


@dataclass(frozen=True, slots=True)
class LayerKind:
    """One entry of the registry: how to cost and build a layer from the shape of its input and its options."""

    kind: str
    plan: Callable[..., LayerPlan]  # (shape, **options)
    build: Callable[..., Module]  # (shape, rng, **options)
    options: Mapping[str, type]
    required: frozenset[str]


LAYERS: Registry[LayerKind] = Registry("layer kind")


def layer(kind: str) -> Callable[[M], M]:
    """Register a module class under a name. The class has two class methods with the same keyword-only options:
    `plan(shape, ...) -> LayerPlan` and `build(shape, rng, ...) -> Module`; their annotations check specifications.
    """

    def register(cls: M) -> M:
        plan: Callable[..., LayerPlan] = cast(Any, cls).plan
        hints = get_type_hints(plan)
        options = {
            name: parameter.default is inspect.Parameter.empty
            for name, parameter in inspect.signature(plan).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        declared = LayerKind(
            kind=kind,
            plan=plan,
            build=cast(Any, cls).build,
            options={name: hints[name] for name in options},
            required=frozenset(name for name, required in options.items() if required),
        )
        LAYERS.add(kind, declared)
        return cls

    return register


def layer_spec(kind: str, **options: Any) -> LayerSpec:
    """A checked `LayerSpec`, as spaces and users write it: `layer_spec("linear", out_features=10)`.

    Raises:
        FormatError: the kind is unknown, or an option is unknown, missing or of the wrong type.
    """
    if not isinstance(cast(object, kind), str) or kind not in LAYERS:
        raise FormatError(f"unknown layer kind {_short(kind)}", hint=f"known kinds: {', '.join(sorted(LAYERS))}")
    known = LAYERS[kind]
    unknown, missing = options.keys() - known.options.keys(), known.required - options.keys()
    if unknown or missing:
        raise FormatError(
            f"layer {kind!r}: unknown options {sorted(unknown)}, missing options {sorted(missing)}",
            hint=f"its options are: {', '.join(known.options) or 'none'}",
        )
    return LayerSpec(kind, {name: _checked(kind, name, value, known.options[name]) for name, value in options.items()})


def plan_layers(layers: Sequence[LayerSpec], shape: Shape) -> LayerPlan:
    """Cost of layers in sequence on samples of `shape`, without building them.

    Raises:
        FormatError: a layer does not fit its input, or the whole is larger than `MAX_ELEMENTS` or `MAX_MACS`.
    """
    parameters = macs = 0
    for position, spec in enumerate(layers):
        try:
            part = LAYERS[spec.kind].plan(shape, **spec.options)
        except FormatError as exc:
            raise FormatError(f"layer {position} ({spec.kind}) on samples of shape {shape}: {exc}") from exc
        shape = part.output_shape
        parameters += part.parameters
        macs += part.macs
        if max(parameters, prod(shape)) > MAX_ELEMENTS:
            raise FormatError(f"layer {position} ({spec.kind}): the network exceeds {MAX_ELEMENTS} elements")
        if macs > MAX_MACS:
            raise FormatError(f"layer {position} ({spec.kind}): the network exceeds {MAX_MACS} multiply-accumulates")
    return LayerPlan(shape, parameters, macs)


def build_layers(layers: Sequence[LayerSpec], shape: Shape, rng: np.random.Generator) -> Sequential:
    """Build layers in sequence for samples of `shape`, drawing initial weights from `rng`."""
    modules: list[Module] = []
    for spec in layers:
        known = LAYERS[spec.kind]
        modules.append(known.build(shape, rng, **spec.options))
        shape = known.plan(shape, **spec.options).output_shape
    return Sequential(*modules)


def count_layers(layers: Iterable[LayerSpec]) -> int:
    """How many layers there are, nested ones included."""
    return sum(
        1 + sum(count_layers(cast(tuple[LayerSpec, ...], v)) for v in spec.options.values() if isinstance(v, tuple))
        for spec in layers
    )


def _checked(kind: str, name: str, value: Any, expected: type) -> Any:
    """The value of an option; a whole number for a float becomes one, so that equal options give equal JSON."""
    if expected is bool or expected is str:
        fits = isinstance(value, expected)
    elif expected is int:
        fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_ELEMENTS
    elif expected is float:
        # NaN and infinities fail the comparison, and so does an int that no float can hold.
        fits = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    else:  # nested layers
        fits = isinstance(value, tuple) and all(isinstance(x, LayerSpec) for x in cast(tuple[object, ...], value))
    if not fits:
        wanted = f"int within {MAX_ELEMENTS}" if expected is int else getattr(expected, "__name__", str(expected))
        raise FormatError(f"layer {kind!r}: option {name!r} must be {wanted}, got {_short(cast(object, value))}")
    return float(cast(float, value)) if expected is float else cast(Any, value)


def _to_json(value: Any) -> Any:
    return [spec.to_dict() for spec in cast(tuple[LayerSpec, ...], value)] if isinstance(value, tuple) else value


def _from_json(value: Any, depth: int) -> Any:
    if isinstance(value, list):
        return tuple(LayerSpec.from_dict(item, depth=depth + 1) for item in cast(list[object], value))
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

"""Layers as data: the registry of layer kinds that a `ModelSpec` can name, and what each costs before it is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, TypeVar, cast, get_type_hints

import numpy as np

from ..errors import FormatError
from ..registry import Registry
from .module import Module, Sequential
from .option import Mismatch, check, describe, from_json, to_json

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
        return {"kind": self.kind, **{name: to_json(value) for name, value in self.options.items()}}

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
        known: Mapping[str, Any] = LAYERS[kind].options if isinstance(kind, str) and kind in LAYERS else {}
        options = {name: from_json(option, known.get(name), depth) for name, option in fields.items()}
        return layer_spec(kind, **options)


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What a layer makes of a sample and what it costs.

    Memory is that of inference, in elements: a value is let go after its last use, a layer that could be one kernel
    (norms, activations, convolutions with their bias) holds its inputs and its output, one of several steps what these
    hold. What a kernel needs for itself, as the patches of a convolution, is not counted.

    Attributes:
        output_shape: of a sample.
        parameters: trainable elements.
        macs: multiply-accumulates per sample.
        tensors: how many arrays the parameters are.
        buffers: elements of what a model's state holds beside parameters, such as running means.
        peak: elements alive at the worst moment, inputs and output included; 0 where they are all there is.
        late_peak: the same of those moments only in which the inputs are not needed any more; 0 if there are none.
    """

    output_shape: Shape
    parameters: int = 0
    macs: int = 0
    tensors: int = 0
    buffers: int = 0
    peak: int = 0
    late_peak: int = 0

    def peak_for(self, inputs: int, *, kept: bool = False) -> int:
        """Elements alive at the worst moment.

        Args:
            inputs: elements of the inputs.
            kept: whether somebody else needs the inputs afterwards, so that they stay.
        """
        peak = self.peak or inputs + prod(self.output_shape)
        return max(peak, self.late_peak + inputs) if kept else peak


@dataclass(frozen=True, slots=True)
class LayerKind:
    """One entry of the registry: how to cost and build a layer from the shape of its input and its options.

    A kind that `joins` takes several inputs, in the nodes of a graph; its `plan` and `build` get a tuple of shapes.
    """

    kind: str
    plan: Callable[..., LayerPlan]  # (shape, **options)
    build: Callable[..., Module]  # (shape, rng, **options)
    count: Callable[..., int]  # (**options): how many layers are inside
    options: Mapping[str, Any]  # annotations by name
    required: frozenset[str]
    joins: bool = False


LAYERS: Registry[LayerKind] = Registry("layer kind")


def layer(kind: str, *, joins: bool = False) -> Callable[[M], M]:
    """Register a module class under a name. The class has two class methods with the same keyword-only options:
    `plan(shape, ...) -> LayerPlan` and `build(shape, rng, ...) -> Module`; their annotations check specifications.
    Where layers inside of it run more than once, a third, `count(...)`, says how many run.
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
            count=getattr(cls, "count", _count_inside),
            options={name: hints[name] for name in options},
            required=frozenset(name for name, required in options.items() if required),
            joins=joins,
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


def plan_layers(layers: Sequence[LayerSpec], shape: Shape, other_shapes: tuple[Shape, ...] = ()) -> LayerPlan:
    """Cost of layers in sequence on samples of `shape`, without building them.

    Args:
        layers: each takes what the one before gives.
        shape: of the first layer's input.
        other_shapes: of further inputs of the first layer, which is a graph then.

    Raises:
        FormatError: a layer does not fit its input, or the whole is larger than `MAX_ELEMENTS` or `MAX_MACS`.
    """
    parameters = macs = 0
    start = shape
    parts: list[LayerPlan] = []
    for position, spec in enumerate(layers):
        try:
            if LAYERS[spec.kind].joins:
                raise FormatError("it joins several inputs: expected it as a node of a graph")
            others = spec.options.get("other_shapes", ())
            if others != (() if position else other_shapes):
                raise FormatError(f"it has inputs of shapes {others} besides: only a network's first layer has several")
            part = plan_layer(spec, shape)
        except FormatError as exc:
            raise FormatError(f"layer {position} ({spec.kind}) on samples of shape {shape}: {exc}") from exc
        parts.append(part)
        shape = part.output_shape
        parameters += part.parameters
        macs += part.macs
        if max(parameters, prod(shape)) > MAX_ELEMENTS:
            raise FormatError(f"layer {position} ({spec.kind}): the network exceeds {MAX_ELEMENTS} elements")
        if macs > MAX_MACS:
            raise FormatError(f"layer {position} ({spec.kind}): the network exceeds {MAX_MACS} multiply-accumulates")
    return in_sequence(parts, prod(start) + sum(map(prod, other_shapes)), start)


def plan_layer(spec: LayerSpec, shape: Shape) -> LayerPlan:
    """Cost of one layer on samples of `shape`; plans of the same layer are made once.

    A search asks for those of thousands of networks, each of them several times, and they are made of the same layers.

    Raises:
        FormatError: it does not fit.
    """
    asked = _Asked(spec, shape)
    try:
        hash(asked)
    except TypeError:  # options that are no plain values, such as the nodes of a graph
        return asked.plan()
    return _planned(asked)


class _Asked:
    """A layer and a shape, equal where the plans are."""

    __slots__ = ("_key", "shape", "spec")

    def __init__(self, spec: LayerSpec, shape: Shape) -> None:
        self.spec, self.shape = spec, shape
        # The function that plans it, too: a kind may be declared anew in its place.
        self._key = (LAYERS[spec.kind].plan, shape, _frozen(spec))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self._key == other._key

    def plan(self) -> LayerPlan:
        return LAYERS[self.spec.kind].plan(self.shape, **self.spec.options)


@lru_cache(maxsize=16_384)
def _planned(asked: _Asked) -> LayerPlan:
    return asked.plan()


def _frozen(value: object) -> object:
    """What options are compared by: 1, 1.0 and True are equal, but not the same option."""
    if isinstance(value, LayerSpec):
        return (value.kind, *((name, _frozen(option)) for name, option in value.options.items()))
    if isinstance(value, tuple | list):
        found = cast(Sequence[object], value)
        return (type(found), *map(_frozen, found))
    return type(value), value


def in_sequence(parts: Sequence[LayerPlan], inputs: int, shape: Shape) -> LayerPlan:
    """Cost of layers one after the other.

    Args:
        parts: what each costs.
        inputs: elements of the first one's inputs.
        shape: of its first input, which is the output if there are no layers.
    """
    alive, peak, late_peak = inputs, 0, 0
    for position, part in enumerate(parts):
        most = part.peak_for(alive)
        peak = max(peak, most)
        late_peak = max(late_peak, most if position else part.late_peak)
        alive = prod(part.output_shape)
    return LayerPlan(
        parts[-1].output_shape if parts else shape,
        sum(part.parameters for part in parts),
        sum(part.macs for part in parts),
        sum(part.tensors for part in parts),
        sum(part.buffers for part in parts),
        peak or inputs,
        late_peak,
    )


def build_layers(layers: Sequence[LayerSpec], shape: Shape, rng: np.random.Generator) -> Sequential:
    """Build layers in sequence for samples of `shape`, drawing initial weights from `rng`."""
    modules: list[Module] = []
    for spec in layers:
        known = LAYERS[spec.kind]
        modules.append(known.build(shape, rng, **spec.options))
        shape = known.plan(shape, **spec.options).output_shape
    return Sequential(*modules)


def count_layers(layers: Iterable[LayerSpec]) -> int:
    """How many layers run, nested ones included; one that is shared counts every time."""
    return sum(1 + LAYERS[spec.kind].count(**spec.options) for spec in layers)


def _count_inside(**options: Any) -> int:
    stacks = (cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,) for value in options.values())
    return sum(count_layers(spec for spec in stack if isinstance(spec, LayerSpec)) for stack in stacks)


def _checked(kind: str, name: str, value: object, expected: Any) -> Any:
    try:
        return check(value, expected)
    except Mismatch:
        raise FormatError(
            f"layer {kind!r}: option {name!r} must be {describe(expected)}, got {_short(value)}"
        ) from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

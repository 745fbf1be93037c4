"""The op table: what an op is, declared once, and the registry that tests, exporters and the compiler iterate over.

This module knows arrays only. `tensor.py` applies an op to tensors and records it; `ops/` holds the declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .device import Array
from .registry import Registry

# vjp of one input: (output gradient, output, *inputs, **params) -> gradient of that input, written in ops on tensors.
InputVJP = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """A recipe for one random test input: the shape, and the part of the real line its elements come from.

    Elements are standard normal, moved by `away` from zero (so that finite differences do not straddle a kink), then
    clipped to `[low, high]`. A `constant` fills the array instead; `integers` draws from [0, integers).
    """

    shape: tuple[int, ...]
    low: float = -np.inf
    high: float = np.inf
    away: float = 0.0
    constant: float | None = None
    integers: int | None = None

    def make(self, rng: np.random.Generator, dtype: type[np.floating[Any]] = np.float64) -> np.ndarray:
        """Draw the array."""
        if self.constant is not None:
            return np.full(self.shape, self.constant, dtype)
        if self.integers is not None:
            return rng.integers(0, self.integers, self.shape)
        values = rng.standard_normal(self.shape)
        values = values + np.copysign(self.away, values)
        if np.isfinite(self.low):
            values = self.low + np.abs(values)
        return np.minimum(values, self.high).astype(dtype)


def normal(*shape: int, away: float = 0.0) -> ArraySpec:
    """Standard normal elements, none closer to zero than `away`."""
    return ArraySpec(shape, away=away)


def positive(*shape: int, low: float = 0.1) -> ArraySpec:
    """Elements above `low`."""
    return ArraySpec(shape, low=low)


def const(value: float, *shape: int) -> ArraySpec:
    """Every element is `value`: the edges of an op's domain."""
    return ArraySpec(shape, constant=value)


def integers(high: int, *shape: int) -> ArraySpec:
    """Integers in [0, high), for inputs without a gradient."""
    return ArraySpec(shape, integers=high)


class Sample:
    """One way to call an op in the generated tests: its inputs and its parameters."""

    __slots__ = ("inputs", "params")

    def __init__(self, *inputs: ArraySpec, **params: Any) -> None:
        self.inputs = inputs
        self.params = params

    def __repr__(self) -> str:
        shapes = ", ".join("x".join(map(str, spec.shape)) or "0-d" for spec in self.inputs)
        return f"{shapes}{self.params or ''}"


class Invalid(Sample):
    """A call that must fail, with the error type and a part of its message."""

    __slots__ = ("error", "match")

    def __init__(self, *inputs: ArraySpec, error: type[Exception], match: str, **params: Any) -> None:
        super().__init__(*inputs, **params)
        self.error = error
        self.match = match


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpDef:
    """All that is known of one op.

    Attributes:
        name: unique in the table.
        forward: `(xp, *arrays, **params) -> array`, for NumPy and CuPy alike.
        vjp: one rule per input, None where an input has no gradient; or a single rule for an op of any number of
            inputs, called with the input's position first.
        reference: the same function in plain NumPy, written independently; the generated tests compare in float64.
        samples: calls that must work; the tests also run each on non-contiguous inputs.
        invalid: calls that must fail, and how.
        onnx: the ONNX operator of the same meaning, None where there is none.
    """

    name: str
    forward: Callable[..., Array]
    vjp: Sequence[InputVJP | None] | InputVJP
    reference: Callable[..., Any]
    samples: Sequence[Sample]
    invalid: Sequence[Invalid] = ()
    onnx: str | None = None
    doc: str = field(default="", repr=False)

    def input_vjp(self, position: int) -> InputVJP | None:
        """The rule for the gradient of one input."""
        if not callable(self.vjp):
            return self.vjp[position]
        rule = self.vjp
        return lambda *args, **params: rule(position, *args, **params)


OPS: Registry[OpDef] = Registry("op")

"""The op table: what an op is, declared once, and the registry that tests, transformations, exporters and the compiler
iterate over.

This module knows arrays and rules only. `dispatch.py` runs an op on tensors and records it; `ops/` holds the
declarations.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from types import MappingProxyType
from typing import Any

import numpy as np

from .device import Array
from .registry import Registry
from .shapes import Spec

# Rules are written in ops and called with tensors or with plain arrays, whichever the pass runs on: hence `Any`.
Rule = Callable[..., Any]


class Flags(Flag):
    """What the generated tests, the compiler and the NaN checker must know of an op beyond its rules."""

    NONE = 0
    ELEMENTWISE = auto()  # out[i] depends on the inputs' [i] only, inputs broadcast; rules ignore broadcasting
    VIEW = auto()  # the result may share memory with its input
    NONDIFFERENTIABLE = auto()  # integer, boolean or piecewise constant results: gradients stop here
    SAVED_ONLY = auto()  # rules of an op that is not elementwise, which read nothing of what is not saved: no shapes
    HALF = auto()  # forward takes 16-bit floats as they are; else they are computed in float32 and rounded once
    NONDETERMINISTIC = auto()  # other bits from run to run: runs only where that is allowed
    DATA_DEPENDENT = auto()  # the shape of the result depends on the values of the inputs
    FLOAT64_ONLY = auto()  # too ill-conditioned for the float32 tolerance of the generated tests
    SURROGATE = auto()  # by intent the rules are not the derivative of `forward`: finite differences cannot check them


class Jvp(Enum):
    """Forward-mode rules that need not be written."""

    DIAGONAL = auto()  # elementwise: the Jacobian is diagonal, so forward and reverse rule are the same product
    LINEAR = auto()  # linear in all inputs together: f(t1, ..., tn)
    MULTILINEAR = auto()  # linear in each differentiable input: the sum over i of f(x1, ..., ti, ..., xn)
    TRANSPOSED = auto()  # from the vjp, which is linear in the output gradient: transpose it with a second vjp
    NONE = auto()  # not differentiable


class Batch(Enum):
    """Rules for an extra leading axis (vmap) that need not be written."""

    ELEMENTWISE = auto()  # align ranks, then broadcast
    LEADING = auto()  # works on trailing axes, and broadcasts over all leading ones
    LOOP = auto()  # one call per element, with a warning


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """A recipe for one random test input: the shape, and the part of the real line its elements come from.

    Elements are standard normal, moved by `away` from zero (so that finite differences do not straddle a kink), then
    clipped to `[low, high]`. A `constant` fills the array instead; `integers` draws from [0, integers); `dtype`
    overrides the dtype that the test asks for.
    """

    shape: tuple[int, ...]
    low: float = -np.inf
    high: float = np.inf
    away: float = 0.0
    constant: float | None = None
    integers: int | None = None
    distinct: bool = False
    dtype: str | None = None

    def make(self, rng: np.random.Generator, dtype: Any = np.float64) -> np.ndarray:
        """Draw the array."""
        if self.constant is not None:
            return np.full(self.shape, self.constant, self.dtype or dtype)
        if self.integers is not None:
            return rng.integers(0, self.integers, self.shape).astype(self.dtype or np.int64)
        if self.distinct:
            return (rng.permutation(int(np.prod(self.shape))).reshape(self.shape) * 0.37 - 1.0).astype(dtype)
        values = rng.standard_normal(self.shape)
        if np.dtype(self.dtype or dtype).kind == "c":
            values = values + 1j * rng.standard_normal(self.shape)
            return values.astype(self.dtype or dtype)
        values = values + np.copysign(self.away, values)
        if np.isfinite(self.low):
            values = self.low + np.abs(values)
        return np.minimum(values, self.high).astype(self.dtype or dtype)


def normal(*shape: int, away: float = 0.0) -> ArraySpec:
    """Standard normal elements, none closer to zero than `away`."""
    return ArraySpec(shape, away=away)


def positive(*shape: int, low: float = 0.1) -> ArraySpec:
    """Elements above `low`."""
    return ArraySpec(shape, low=low)


def const(value: float, *shape: int) -> ArraySpec:
    """Every element is `value`: the edges of an op's domain."""
    return ArraySpec(shape, constant=value)


def distinct(*shape: int) -> ArraySpec:
    """Elements in random order of which no two are closer than 0.37: for sorting, maxima and medians."""
    return ArraySpec(shape, distinct=True)


def integers(high: int, *shape: int) -> ArraySpec:
    """Integers in [0, high), for inputs without a gradient."""
    return ArraySpec(shape, integers=high)


def booleans(*shape: int) -> ArraySpec:
    """True and False with even odds."""
    return ArraySpec(shape, integers=2, dtype="bool")


def complex_normal(*shape: int) -> ArraySpec:
    """Complex numbers with standard normal parts."""
    return ArraySpec(shape, dtype="complex128")


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


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a result may be from its reference, by dtype name: (relative, absolute)."""

    float64: tuple[float, float] = (1e-12, 1e-12)
    float32: tuple[float, float] = (2e-4, 2e-5)
    gradient: tuple[float, float] = (1e-5, 1e-7)  # first derivative against central differences in float64
    second: tuple[float, float] = (1e-4, 1e-6)


def everywhere(carries: Sequence[bool], *specs: Spec, **params: Any) -> bool:
    """Sample rule of an op that always treats the leading axis of its inputs independently."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpDef:
    """All that is known of one op.

    Attributes:
        name: unique in the table.
        forward: `(xp, *arrays, **params) -> array` or a tuple of arrays, for NumPy and CuPy alike.
        macs: multiply-accumulates, `(input specs, output spec, **params) -> int`; None counts none.
        ufunc: the array function that `forward` calls and nothing else, for the dispatcher to call itself.
        infer: `(*specs, **params) -> Spec` (or a tuple): shape and dtype of the result without computing it; raises
            the errors of `forward` that shapes and dtypes decide.
        vjp: one rule per input, `(output gradient, output, *inputs, **params) -> gradient`, None where an input has
            none; or one joint rule that returns the gradients of all inputs. Of an ELEMENTWISE op a rule may leave
            out the sum over broadcast axes. Inputs and output that `saves` leaves out arrive as their `Spec`.
        saves: what the rules read: names of inputs, and "out" for the output. Nothing else is kept for the backward
            pass. A variadic op says "inputs".
        jvp: a `Jvp`; or one rule per input, `(tangent, output, *inputs, **params) -> output tangent`; or a joint rule
            of the same form that gets a tuple of tangents, None where one is zero.
        batch: a `Batch` or a rule `(size, batched, *inputs, **params) -> output`, batch axis first: inputs whose flag
            in `batched` is true have an extra leading axis.
        per_sample: for per-sample gradients: `(carries, *specs, **params) -> bool`, whether the leading axis of the
            output belongs to the samples, each computed from the same sample of those inputs only whose flag in
            `carries` is true (the others are the same for all samples). None: never, the op mixes samples.
        ghost: squared norm of each sample's gradient of one input without the gradient itself: position -> rule
            `(output gradient, output, *inputs, **params) -> (N,)`.
        onnx: the ONNX operator of the same meaning, None where there is none.
        kernel: the result as a scalar C expression of the input names for the compiler, None for an opaque op.
        reference: the same function in plain NumPy, written independently; the generated tests compare in float64.
        samples: calls that must work; the tests also run each on non-contiguous inputs.
        invalid: calls that must fail, and how.
        tolerance: see `Tolerance`.
        flags: see `Flags`.
    """

    name: str
    forward: Callable[..., Array]
    infer: Callable[..., Any]
    vjp: Sequence[Rule | None] | Rule
    saves: frozenset[str]
    jvp: Jvp | Sequence[Rule | None] | Rule
    batch: Batch | Rule
    per_sample: Callable[..., bool] | None
    reference: Callable[..., Any]
    samples: Sequence[Sample]
    macs: Callable[..., int] | None = None
    ufunc: str | None = None
    ghost: dict[int, Rule] = field(default_factory=dict[int, Rule])
    invalid: Sequence[Invalid] = ()
    onnx: str | None = None
    kernel: str | None = None
    tolerance: Tolerance = Tolerance()
    flags: Flags = Flags.NONE
    doc: str = field(default="", repr=False)
    # Derived from the signature of `forward`, for the dispatcher.
    inputs: tuple[str, ...] = field(init=False)
    variadic: bool = field(init=False)
    defaults: MappingProxyType[str, Any] = field(init=False)
    keeps: tuple[bool, ...] = field(init=False)  # per input: saved for the rules
    keeps_output: bool = field(init=False)
    differentiable: bool = field(init=False)
    elementwise: bool = field(init=False)
    widens: bool = field(init=False)  # 16-bit floats are handed to `forward` as float32
    fast: bool = field(init=False)  # elementwise, no parameters, a rule for every input
    rules: tuple[Rule | None, ...] | None = field(init=False)  # None: `vjp` is one joint rule

    def __post_init__(self) -> None:
        parameters = list(inspect.signature(self.forward).parameters.values())[1:]
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        inputs = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY))
        unknown = self.saves - set(inputs) - {"out"} - ({"inputs"} if variadic else set())
        if unknown:
            raise ValueError(f"op {self.name!r} saves {sorted(unknown)}, which are not inputs of it: {inputs}")
        put = object.__setattr__
        put(self, "variadic", variadic)
        put(self, "inputs", inputs)
        put(self, "keeps", tuple(name in self.saves for name in inputs))
        put(self, "keeps_output", "out" in self.saves)
        put(self, "defaults", MappingProxyType({p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}))
        put(self, "differentiable", not self.flags & Flags.NONDIFFERENTIABLE)
        elementwise = bool(self.flags & Flags.ELEMENTWISE)
        put(self, "fast", elementwise and not self.defaults and not callable(self.vjp) and None not in self.vjp)
        put(self, "rules", None if callable(self.vjp) else tuple(self.vjp))
        put(self, "elementwise", elementwise)
        put(self, "widens", not self.flags & (Flags.HALF | Flags.VIEW))

    def input_vjp(self, position: int) -> Rule | None:
        """The rule for the gradient of one input."""
        if not callable(self.vjp):
            return self.vjp[position]
        joint = self.vjp
        return lambda *args, **params: joint(*args, **params)[position]


OPS: Registry[OpDef] = Registry("op")

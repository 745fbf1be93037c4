"""Elementwise arithmetic and mathematical functions, with NumPy's broadcasting.

The rules ignore broadcasting: the reverse pass sums over broadcast axes, the forward pass broadcasts tangents. Complex
gradients inside the graph are cotangents without conjugation, so the rule of a holomorphic function is that of the real
one; `autograd.py` conjugates where they enter and leave.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for, and rules name their own ops.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import DTypeError, ShapeError
from ..op import Flags, Invalid, Sample, booleans, complex_normal, everywhere, integers, normal
from ..op import positive as above_zero
from ..shapes import Spec, as_dtype, broadcast_shapes, result_dtype
from .declare import elementwise, floating, op, promoted, promoted_floating

BROADCAST = (
    Sample(normal(3, 4), normal(3, 4)),
    Sample(normal(3, 4), normal(4)),
    Sample(normal(2, 1, 4), normal(3, 1)),
    Sample(normal(), normal(3)),
    Sample(normal(), normal()),
    Sample(normal(0, 2), normal(2)),
)
MISFIT = (Invalid(normal(3, 4), normal(3), error=ShapeError, match=r"\(3, 4\)"),)
UNARY = (Sample(normal(3, 4)), Sample(normal()), Sample(normal(0, 2)))
POSITIVE = (Sample(above_zero(3, 4)), Sample(above_zero()), Sample(above_zero(0, 2)))
NONZERO = (Sample(normal(3, 4, away=0.1)), Sample(normal(away=0.1)), Sample(normal(0, 2)))
COMPLEX = Sample(complex_normal(3, 4))
NO_COMPLEX = Invalid(complex_normal(3), error=DTypeError, match="complex")
NO_COMPLEX_PAIR = (*MISFIT, Invalid(complex_normal(3), normal(3), error=DTypeError, match="complex"))


def is_complex(value: Any) -> bool:
    """True for a complex number, array or spec."""
    dtype = getattr(value, "dtype", None)
    return dtype.kind == "c" if dtype is not None else value.__class__ is complex


def refuse_complex(op: str, *values: Any) -> None:
    """Check that nothing is complex: arrays, numbers or specs. NumPy orders complex numbers by their real parts first,
    which no mathematics knows.

    Raises:
        DTypeError: something is.
    """
    for value in values:
        if is_complex(value):
            raise DTypeError(
                f"{op}: expected real numbers, got dtype {getattr(value, 'dtype', 'complex')}",
                hint="take ops.absolute, ops.real or ops.imag first",
            )


def real_only(op: str, rule: Any) -> Any:
    """The inference `rule`, of an op that takes no complex numbers."""

    def infer(*specs: Spec, **params: Any) -> Spec:
        refuse_complex(op, *specs)
        return rule(*specs, **params)

    return infer


@elementwise(
    ufunc="add",
    onnx="Add",
    kernel="a + b",
    reference=np.add,
    vjp=(lambda g, y, a, b: g, lambda g, y, a, b: g),
    saves=(),
    samples=BROADCAST,
    invalid=MISFIT,
)
def add(xp: ArrayModule, a: Array, b: Array) -> Array:
    """Sum, a + b."""
    return xp.add(a, b)


@elementwise(
    ufunc="subtract",
    onnx="Sub",
    kernel="a - b",
    reference=np.subtract,
    vjp=(lambda g, y, a, b: g, lambda g, y, a, b: -g),
    saves=(),
    samples=BROADCAST,
    invalid=MISFIT,
)
def subtract(xp: ArrayModule, a: Array, b: Array) -> Array:
    """Difference, a - b."""
    return xp.subtract(a, b)


@elementwise(
    ufunc="multiply",
    onnx="Mul",
    kernel="a * b",
    reference=np.multiply,
    vjp=(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a),
    saves=("a", "b"),
    samples=BROADCAST,
    invalid=MISFIT,
)
def multiply(xp: ArrayModule, a: Array, b: Array) -> Array:
    """Product, a * b."""
    return xp.multiply(a, b)


@elementwise(
    onnx="Div",
    kernel="a / b",
    infer=promoted_floating,
    reference=np.divide,
    vjp=(lambda g, y, a, b: g / b, lambda g, y, a, b: -(g * y / b)),
    saves=("b", "out"),
    samples=(
        Sample(normal(3, 4), normal(3, 4, away=0.2)),
        Sample(normal(3, 4), above_zero(4)),
        Sample(normal(), above_zero(2, 1)),
        Sample(normal(0, 2), above_zero(2)),
    ),
    invalid=MISFIT,
)
def divide(xp: ArrayModule, a: Array, b: Array) -> Array:
    """Quotient, a / b; of integers a float32."""
    return xp.divide(floating(xp, a), floating(xp, b))


@elementwise(
    ufunc="maximum",
    onnx="Max",
    kernel="a >= b ? a : b",
    infer=real_only("maximum", promoted),
    reference=np.maximum,
    vjp=(lambda g, y, a, b: where(a >= b, g, 0.0), lambda g, y, a, b: where(a >= b, 0.0, g)),
    saves=("a", "b"),
    samples=BROADCAST,
    invalid=NO_COMPLEX_PAIR,
)
def maximum(xp: ArrayModule, a: Array, b: Array) -> Array:
    """The larger of a and b; where they are equal, the gradient goes to a. NaN wins."""
    refuse_complex("maximum", a, b)
    return xp.maximum(a, b)


@elementwise(
    ufunc="minimum",
    onnx="Min",
    kernel="a <= b ? a : b",
    infer=real_only("minimum", promoted),
    reference=np.minimum,
    vjp=(lambda g, y, a, b: where(a <= b, g, 0.0), lambda g, y, a, b: where(a <= b, 0.0, g)),
    saves=("a", "b"),
    samples=BROADCAST,
    invalid=NO_COMPLEX_PAIR,
)
def minimum(xp: ArrayModule, a: Array, b: Array) -> Array:
    """The smaller of a and b; where they are equal, the gradient goes to a. NaN wins."""
    refuse_complex("minimum", a, b)
    return xp.minimum(a, b)


def _where_spec(condition: Spec, a: Spec, b: Spec) -> Spec:
    return Spec(broadcast_shapes(condition.shape, a.shape, b.shape, op="where"), result_dtype(a.dtype, b.dtype))


@elementwise(
    onnx="Where",
    kernel="condition ? a : b",
    infer=_where_spec,
    reference=lambda condition, a, b: np.where(condition, a, b),
    vjp=(
        None,
        lambda g, y, condition, a, b: where(condition, g, 0.0),
        lambda g, y, condition, a, b: where(condition, 0.0, g),
    ),
    saves=("condition",),
    jvp=(
        None,
        lambda t, y, condition, a, b: where(condition, t, 0.0),
        lambda t, y, condition, a, b: where(condition, 0.0, t),
    ),
    samples=(
        Sample(booleans(3, 4), normal(3, 4), normal(3, 4)),
        Sample(booleans(3, 1), normal(4), normal()),
        Sample(booleans(0), normal(0), normal(0)),
    ),
    invalid=(Invalid(booleans(3), normal(2), normal(2), error=ShapeError, match="where"),),
)
def where(xp: ArrayModule, condition: Array, a: Array, b: Array) -> Array:
    """Elements of a where `condition` is true (non-zero), of b elsewhere; a and b promote, `condition` does not."""
    if condition.dtype.kind != "b":
        condition = condition.astype(bool)
    if b.__class__ is float and b == 0.0 and _can_mask(condition, a):  # a masked gradient
        return _masked(condition, a)
    if a.__class__ is float or b.__class__ is float:  # NumPy's where would not treat a number as weak
        array = b if _is_array(b) else a
        dtype = array.dtype if _is_array(array) else np.float32
        a, b = xp.asarray(a, dtype=dtype), xp.asarray(b, dtype=dtype)
    return xp.where(condition, a, b)


@elementwise(
    ufunc="negative", onnx="Neg", kernel="-x", reference=np.negative, vjp=(lambda g, y, x: -g,), saves=(), samples=UNARY
)
def negative(xp: ArrayModule, x: Array) -> Array:
    """Sign changed, -x."""
    return xp.negative(x)


def _safe_log(x: Any) -> Any:
    """Logarithm where x > 0, 0 elsewhere: 0^b does not change with b."""
    return log(where(x == 0.0, 1.0, x))


@elementwise(
    onnx="Identity", kernel="x", reference=lambda x: x, vjp=(lambda g, y, x: g,), saves=(), samples=(*UNARY, COMPLEX)
)
def positive(xp: ArrayModule, x: Array) -> Array:
    """A copy, +x."""
    return x.copy()


@elementwise(
    kernel="x * x",
    reference=lambda x: x * x,
    vjp=(lambda g, y, x: g * (2 * x),),
    saves=("x",),
    samples=(*UNARY, COMPLEX),
)
def square(xp: ArrayModule, x: Array) -> Array:
    """The product with itself, x x; of complex numbers too, without conjugation."""
    return xp.multiply(x, x)


@elementwise(
    onnx="Reciprocal",
    kernel="1 / x",
    infer=promoted_floating,
    reference=lambda x: 1.0 / x,
    vjp=(lambda g, y, x: -(g * y * y),),
    saves=("out",),
    samples=(*NONZERO, COMPLEX),
)
def reciprocal(xp: ArrayModule, x: Array) -> Array:
    """One over x; of integers a float32."""
    return xp.reciprocal(floating(xp, x))


@elementwise(
    onnx="Pow",
    kernel="pow(a, b)",
    reference=lambda a, b: np.power(a, b),
    vjp=(
        lambda g, y, a, b: g * b * power(a, where(b == 0.0, 1.0, b) - 1.0 if _is_array(b) else (b or 1) - 1),
        lambda g, y, a, b: g * y * _safe_log(a),
    ),
    saves=("a", "b", "out"),
    samples=(
        Sample(above_zero(3, 4), normal(3, 4)),
        Sample(above_zero(3, 4), normal(4)),
        Sample(above_zero(2, 1), normal()),
        Sample(above_zero(0, 2), normal(2)),
        Sample(integers(5, 3, 4), integers(3, 4)),
    ),
    invalid=MISFIT,
)
def power(xp: ArrayModule, a: Array, b: Array) -> Array:
    """`a` to the power `b`; the gradient for b takes a > 0 (it is 0 where a is 0). Integers take no negative `b`."""
    if b.__class__ is float or b.__class__ is int:
        if b == 2:
            return xp.square(a)
        if b == 0.5 and a.dtype.kind in "fc":
            return xp.sqrt(a)
    if _has_integers(a) and _has_integers(b) and (b < 0 if b.__class__ is int else bool((b < 0).any())):
        raise DTypeError(
            "power: integers to negative powers are no integers, got a negative exponent",
            hint="convert the base with .astype('float32')",
        )
    return xp.power(a, b)


def _has_integers(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype.kind in "iu" if dtype is not None else value.__class__ is int


_BITS = {"f": np.int32, "d": np.int64}


def _masked(condition: np.ndarray, a: np.ndarray) -> np.ndarray:
    """`where(condition, a, 0.0)` on the bits: NumPy's own takes twice the time (64 x 128: 4.9 us against 9.7)."""
    bits = _BITS[a.dtype.char]
    return (a.view(bits) & -condition.astype(bits)).view(a.dtype)


def masked(condition: Any, g: Any) -> Any:
    """A gradient where `condition` holds, 0 elsewhere: `where(condition, g, 0.0)`, with fewer checks on arrays."""
    return _masked(condition, g) if _can_mask(condition, g) else where(condition, g, 0.0)


def _can_mask(condition: Any, a: Any) -> bool:
    if a.__class__ is not np.ndarray or a.dtype.char not in _BITS:
        return False
    return bool(a.flags.c_contiguous) and a.shape == condition.shape


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype")


@elementwise(
    onnx="Exp",
    kernel="exp(x)",
    infer=promoted_floating,
    reference=np.exp,
    vjp=(lambda g, y, x: g * y,),
    saves=("out",),
    samples=UNARY,
)
def exp(xp: ArrayModule, x: Array) -> Array:
    """Exponential."""
    return xp.exp(floating(xp, x))


@elementwise(
    onnx="Log",
    kernel="log(x)",
    infer=promoted_floating,
    reference=np.log,
    vjp=(lambda g, y, x: g / x,),
    saves=("x",),
    samples=POSITIVE,
)
def log(xp: ArrayModule, x: Array) -> Array:
    """Natural logarithm; x > 0."""
    return xp.log(floating(xp, x))


@elementwise(
    onnx="Sqrt",
    kernel="sqrt(x)",
    infer=promoted_floating,
    reference=np.sqrt,
    vjp=(lambda g, y, x: g * 0.5 / y,),
    saves=("out",),
    samples=POSITIVE,
)
def sqrt(xp: ArrayModule, x: Array) -> Array:
    """Square root; x >= 0, and the gradient needs x > 0."""
    return xp.sqrt(floating(xp, x))


def _absolute_spec(x: Spec) -> Spec:
    return Spec(x.shape, np.dtype(f"f{x.dtype.itemsize // 2}") if x.dtype.kind == "c" else x.dtype)


def _absolute_vjp(g: Any, y: Any, x: Any) -> Any:
    if x.dtype.kind != "c":
        return where(x >= 0.0, g, -g)
    return g * conjugate(x) / _positive_modulus(x)


def _absolute_jvp(t: Any, y: Any, x: Any) -> Any:
    if x.dtype.kind != "c":
        return where(x >= 0.0, t, -t)
    return real(conjugate(x) * t) / _positive_modulus(x)


def _positive_modulus(x: Any) -> Any:
    modulus = absolute(x)
    return where(modulus > 0.0, modulus, 1.0)


@elementwise(
    onnx="Abs",
    kernel="x >= 0 ? x : -x",
    infer=_absolute_spec,
    reference=np.abs,
    vjp=(_absolute_vjp,),
    saves=("x",),
    jvp=(_absolute_jvp,),
    samples=NONZERO,
)
def absolute(xp: ArrayModule, x: Array) -> Array:
    """Absolute value, of complex numbers the modulus; the gradient at 0 is 1 for real and 0 for complex x."""
    return xp.absolute(x)


def _real_spec(x: Spec) -> Spec:
    return _absolute_spec(x)


@elementwise(
    infer=_real_spec,
    reference=lambda x: np.real(x),
    vjp=(lambda g, y, x: g,),  # the pass casts it to the dtype of x
    saves=(),
    jvp=(lambda t, y, x: real(t),),
    samples=UNARY,
)
def real(xp: ArrayModule, x: Array) -> Array:
    """Real part; a real x is returned as it is."""
    return xp.real(x)


@elementwise(
    infer=_real_spec,
    reference=lambda x: np.imag(x),
    vjp=(lambda g, y, x: g.astype(x.dtype) * -1j if x.dtype.kind == "c" else g * 0.0,),
    saves=(),
    jvp=(lambda t, y, x: imag(t),),
    samples=UNARY,
)
def imag(xp: ArrayModule, x: Array) -> Array:
    """Imaginary part; of a real x zeros."""
    return xp.imag(x)


@elementwise(
    reference=np.conj,
    kernel="x",
    vjp=(lambda g, y, x: conjugate(g),),
    saves=(),
    jvp=(lambda t, y, x: conjugate(t),),
    samples=UNARY,
)
def conjugate(xp: ArrayModule, x: Array) -> Array:
    """Complex conjugate; a real x is returned as it is."""
    return xp.conj(x)


@op(
    onnx="Cast",
    infer=lambda x, dtype: Spec(x.shape, as_dtype(dtype)),
    reference=lambda x, dtype: x.astype(dtype),
    vjp=(lambda g, y, x, dtype: _cast_back(g, x),),
    saves=(),
    jvp=(lambda t, y, x, dtype: astype(t, dtype=dtype),),
    batch=lambda size, batched, x, dtype: astype(x, dtype=dtype),
    per_sample=everywhere,
    samples=(
        Sample(normal(3, 4), dtype="float64"),
        Sample(normal(), dtype="float64"),
        Sample(normal(0, 2), dtype="float64"),
    ),
    flags=Flags.HALF,
)
def astype(xp: ArrayModule, x: Array, *, dtype: str) -> Array:
    """The same values as another dtype, by name; complex to real keeps the real part."""
    target = as_dtype(dtype)
    if x.dtype.kind == "c" and target.kind not in "cb":
        x = xp.real(x)
    return x.astype(target)


def _cast_back(g: Any, x: Any) -> Any:
    return astype(real(g) if g.dtype.kind == "c" and x.dtype.kind != "c" else g, dtype=x.dtype.name)


@elementwise(
    onnx="Tanh",
    kernel="tanh(x)",
    infer=promoted_floating,
    reference=np.tanh,
    vjp=(lambda g, y, x: g * (1.0 - y * y),),
    saves=("out",),
    samples=(*UNARY, COMPLEX, Sample(complex_normal())),
)
def tanh(xp: ArrayModule, x: Array) -> Array:
    """Hyperbolic tangent."""
    if x.dtype.kind == "c":
        return _complex_tanh(xp, x)
    return xp.tanh(floating(xp, x))


def _complex_tanh(xp: ArrayModule, z: Array) -> Array:
    """Where the real part is infinite, the imaginary part is a zero of the sign of Im z, as the Array API standard has
    it; in C99 it is that of sin(2 Im z).
    """
    result = xp.asarray(xp.tanh(z))  # of a 0-d array NumPy makes a number, whose parts cannot be set
    far = xp.isinf(z.real) & xp.isfinite(z.imag)
    result.imag = xp.where(far, xp.copysign(xp.zeros_like(z.imag), z.imag), result.imag)
    return result


def clip(x: Any, *, min: Any = None, max: Any = None) -> Any:
    """`x`, but nowhere below `min` or above `max`, in the dtype of `x`; NaN stays NaN.

    Args:
        x: real numbers.
        min: a number, or a tensor that broadcasts with `x`; None for no bound. Of integers `x` a float bound means the
            integers within it.
        max: likewise; nowhere below `min`.
    """
    for function, bound, inwards in ((maximum, min, math.ceil), (minimum, max, math.floor)):
        if bound is None:
            continue
        if _is_array(bound):
            bound = bound if bound.dtype == x.dtype else astype(bound, dtype=x.dtype.name)
        elif bound.__class__ is float and x.dtype.kind in "iu":
            if math.isinf(bound):
                continue
            bound = inwards(bound)
        x = function(x, bound)
    return positive(x) if min is None and max is None else x

"""exp, log, tanh and their kin on vectors of float32, as polynomials written into the kernel that needs them.

No library is called: none is the same on all machines, and LLVM would call it element by element. Errors are at most
2 units in the last place, of tanh, sigmoid, log1p and erf at most 4 (3e-7); infinities and NaN come out as IEEE 754
has them. Results below the smallest normal number may be zero.

Source: Cephes (Moshier 1989) for the polynomials of exp and log; the error function is that of `core/ops/erf.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import precise
from .ir import Value, Writer, lanes_of, number, vector

# e^r = 1 + r + r^2 P(r) for |r| <= log(2) / 2, and log(1 + f) = f - f^2 / 2 + f^3 Q(f); highest power first.
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
LOG = (
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
# erf(x) / x = P(x^2) / Q(x^2) up to |x| = ERF_LIMIT, from where on it is 1; highest power first.
ERF_LIMIT = 3.95
ERF_ABOVE = (
    *(2.0476220459935674e-06, 0.0002846812697347879, 0.003764658814131032),
    *(0.05274487418193202, 0.190407719908462, 1.1283791478585008),
)
ERF_BELOW = (
    *(3.8055899719177505e-05, 0.001161975940814553, 0.014967336612890668),
    *(0.11410599385200453, 0.5020772129279126, 1.0),
)
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
EXP_LOW, EXP_HIGH = -104.0, 89.0  # e^x is 0 below and infinite above
EXPM1_LOW = -30.0  # e^x - 1 is -1 from there on
ROUNDER = 12582912.0  # 1.5 * 2^23: added, it leaves the nearest integer in the lowest bits of the sum
ROUNDER_BITS = 0x4B400000
ROOT_HALF_BITS = 0x3F3504F3  # of sqrt(1/2)
SMALLEST_NORMAL = 2.0**-126
TANH_LIMIT = 9.1  # tanh is 1 from there on
INFINITY, NAN = float("inf"), float("nan")


def exp(k: Writer, x: Value) -> Value:
    """e^x = 2^n e^r with |r| <= log(2) / 2; 2^n in two factors, so that it may pass both ends of the range."""
    r, n_float, n = _reduced(k, at_least(k, at_most(k, x, EXP_HIGH), EXP_LOW))
    value = k.fadd(_expm1_of(k, r), 1.0)
    if lanes_of(x.type) == 16 and "+avx512f" in k.target.features:  # one instruction instead of nine
        rest = (Value("zeroinitializer", x.type), number(-1, "i16"), number(4, "i32"))
        return k.call("llvm.x86.avx512.mask.scalef.ps.512", x.type, value, n_float, *rest, overloads=())
    half = k.binary("ashr", n, 1)
    return k.fmul(k.fmul(value, _power(k, half)), _power(k, k.binary("sub", n, half)))


def expm1(k: Writer, x: Value) -> Value:
    """2^n (e^r - 1) + (2^n - 1): nothing cancels where n is 0, nor elsewhere."""
    r, _, n = _reduced(k, at_least(k, at_most(k, x, EXP_HIGH), EXPM1_LOW))
    half = _power(k, k.binary("sub", n, 1))  # 2^128 is no float
    low = k.fma(half, _expm1_of(k, r), k.fsub(half, 0.5))
    return k.fadd(low, low)


def log(k: Writer, x: Value) -> Value:
    """The natural logarithm, e log 2 + log1p(f) of x = 2^e (1 + f), with 1 + f from sqrt(1/2) to sqrt(2)."""
    exponent, f, square, tail = _split(k, x)
    tail = k.fma(square, -0.5, k.fma(exponent, LN2_LOW, tail))
    return _of_positive(k, x, k.fma(exponent, LN2_HIGH, k.fadd(f, tail)))


def log2(k: Writer, x: Value) -> Value:
    """The same, to base 2: exact for powers of two."""
    exponent, f, square, tail = _split(k, x)
    tail = k.fma(square, -0.5, tail)
    low = k.fma(tail, LOG2_E, k.fmul(f, LOG2_E - 1.0))
    return _of_positive(k, x, k.fadd(exponent, k.fadd(f, low)))


def _split(k: Writer, x: Value) -> tuple[Value, Value, Value, Value]:
    """Of a number x = 2^e (1 + f): e, f, f^2, and log(1 + f) - f + f^2 / 2."""
    whole = vector(lanes_of(x.type), "i32")
    tiny = k.compare("olt", x, SMALLEST_NORMAL)
    scaled = k.select(tiny, k.fmul(x, 2.0**23), x)
    shifted = k.binary("sub", k.cast("bitcast", scaled, whole), ROOT_HALF_BITS)
    exponent = k.cast("sitofp", k.binary("ashr", shifted, 23), x.type)
    exponent = k.fadd(exponent, k.select(tiny, number(-23.0, x.type), 0.0))
    mantissa = k.binary("add", k.binary("and", shifted, 0x7FFFFF), ROOT_HALF_BITS)
    f = k.fsub(k.cast("bitcast", mantissa, x.type), 1.0)
    square = k.fmul(f, f)
    return exponent, f, square, k.fmul(k.fmul(polynomial(k, LOG, f), square), f)


def _of_positive(k: Writer, x: Value, value: Value) -> Value:
    """A logarithm as computed, or what it is where x is not positive and finite."""
    value = k.select(k.compare("olt", x, INFINITY), value, x)  # infinity and NaN stay
    value = k.select(k.compare("olt", x, 0.0), NAN, value)
    return k.select(k.compare("oeq", x, 0.0), -INFINITY, value)


def log1p(k: Writer, x: Value) -> Value:
    """log(u) with u = 1 + x as rounded, and what the rounding lost."""
    one = number(1.0, x.type).text
    u = k.define(f"fadd {x.type} {x.text}, {one}", x.type)  # never fused with a product: the loss is that of this sum
    rounded = k.define(f"fsub {x.type} {u.text}, {one}", x.type)
    lost = k.fdiv(k.define(f"fsub {x.type} {x.text}, {rounded.text}", x.type), u)
    value = log(k, u)
    inside = k.binary("and", k.compare("ogt", u, 0.0), k.compare("olt", u, INFINITY))
    return k.select(inside, k.fadd(value, lost), value)


def tanh(k: Writer, x: Value) -> Value:
    """T / (t + 2) with t = e^(2|x|) - 1, which is exact to a rounding for small x; the sign of x."""
    size = at_most(k, k.call("llvm.fabs", x.type, x), TANH_LIMIT)
    r, _, n = _reduced(k, k.fadd(size, size))
    scale = _power(k, n)
    t = k.fma(scale, _expm1_of(k, r), k.fsub(scale, 1.0))
    return k.call("llvm.copysign", x.type, k.fdiv(t, k.fadd(t, 2.0)), x)


def sigmoid(k: Writer, x: Value) -> Value:
    """1 / (1 + e^-x): an infinite e^-x gives 0."""
    return k.fdiv(number(1.0, x.type), k.fadd(exp(k, negative(k, x)), 1.0))


def erf(k: Writer, x: Value) -> Value:
    """A quotient of polynomials in x^2, times x."""
    limited = at_least(k, at_most(k, x, ERF_LIMIT), -ERF_LIMIT)
    square = k.fmul(limited, limited)
    return k.fdiv(k.fmul(polynomial(k, ERF_ABOVE, square), limited), polynomial(k, ERF_BELOW, square))


def rsqrt(k: Writer, x: Value) -> Value:
    """1 / sqrt(x), by the instructions that round correctly: it is rare, and hidden among loads."""
    return k.fdiv(number(1.0, x.type), k.call("llvm.sqrt", x.type, x))


def negative(k: Writer, x: Value) -> Value:
    """-x, also of zeros."""
    return k.define(f"fneg {x.type} {x.text}", x.type)


def maximum(k: Writer, a: Value, b: Value) -> Value:
    """The larger; NaN where one of them is NaN."""
    return _either(k, "ogt", a, b)


def minimum(k: Writer, a: Value, b: Value) -> Value:
    """The smaller; NaN where one of them is NaN."""
    return _either(k, "olt", a, b)


def at_most(k: Writer, x: Value, limit: float) -> Value:
    """The smaller of x and a number; NaN stays."""
    return k.select(k.compare("olt", number(limit, x.type), x), number(limit, x.type), x)


def at_least(k: Writer, x: Value, limit: float) -> Value:
    """The larger of x and a number; NaN stays."""
    return k.select(k.compare("ogt", number(limit, x.type), x), number(limit, x.type), x)


def polynomial(k: Writer, coefficients: Sequence[float], x: Value) -> Value:
    """Horner's rule; highest power first, two coefficients or more."""
    result = number(coefficients[0], x.type)
    for coefficient in coefficients[1:]:
        result = k.fma(result, x, coefficient)
    return result


def _either(k: Writer, how: str, a: Value, b: Value) -> Value:
    """A if it compares so with b, else b, and NaN if a is: x86's instruction takes b where one is NaN."""
    if not b.text.startswith("%"):  # a constant: on the left, what remains is the NaN of the other
        a, b = b, a
    chosen = k.select(k.compare(how, a, b), a, b)
    return chosen if not a.text.startswith("%") else k.select(k.compare("uno", a, a), a, chosen)


def _reduced(k: Writer, x: Value) -> tuple[Value, Value, Value]:
    """X less the nearest multiple of log 2, and which multiple, as a float and an int32."""
    shifted = k.fma(x, LOG2_E, ROUNDER)
    n = k.define(f"fsub {x.type} {shifted.text}, {number(ROUNDER, x.type).text}", x.type)
    r = k.fma(n, -LN2_LOW, k.fma(n, -LN2_HIGH, x))
    return r, n, k.binary("sub", k.cast("bitcast", shifted, vector(lanes_of(x.type), "i32")), ROUNDER_BITS)


def _expm1_of(k: Writer, r: Value) -> Value:
    """e^r - 1 for |r| <= log(2) / 2."""
    return k.fma(polynomial(k, EXP, r), k.fmul(r, r), r)


def _power(k: Writer, n: Value) -> Value:
    """2^n for integers from -126 to 127."""
    bits = k.binary("shl", k.binary("add", n, 127), 23)
    return k.cast("bitcast", bits, vector(lanes_of(n.type)))


def _intrinsic(name: str) -> Callable[[Writer, Value], Value]:
    return lambda k, x: k.call(name, x.type, x)


FUNCTIONS: dict[str, Callable[[Writer, Value], Value]] = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "log2": log2,
    "tanh": tanh,
    "erf": erf,
    "sigmoid": sigmoid,
    "rsqrt": rsqrt,
    "neg": negative,
    "sqrt": _intrinsic("llvm.sqrt"),
    "abs": _intrinsic("llvm.fabs"),
    "floor": _intrinsic("llvm.floor"),
    "ceil": _intrinsic("llvm.ceil"),
    "round": _intrinsic("llvm.roundeven"),
    "trunc": _intrinsic("llvm.trunc"),
    "sin": precise.sin,
    "cos": precise.cos,
    "tan": precise.tan,
    "asin": precise.asin,
    "acos": precise.acos,
    "atan": precise.atan,
}
BINARY: dict[str, Callable[[Writer, Value, Value], Value]] = {
    "max": maximum,
    "min": minimum,
    "pow": precise.power,
    "atan2": precise.atan2,
    "copysign": lambda k, a, b: k.call("llvm.copysign", a.type, a, b),
}

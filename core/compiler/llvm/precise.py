"""Powers, sines and arc tangents of float32 vectors, computed in double precision and rounded once.

These are the functions whose float32 form needs tricks: the exponent of a power multiplies the error of a logarithm,
and a sine of a large number takes many digits of pi. In double precision the plain formulas do, at half the speed.

Source: Sun's fdlibm 5.3 (e_log.c, k_sin.c, k_cos.c, s_atan.c); pi / 2 in two parts as there.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import inf, log, nan, pi

from ...philox import COSINE, LN2_HIGH, LN2_LOW, LOG, SINE, SQRT_HALF_BITS
from .ir import Value, Writer, lanes_of, vector

# Highest power first.
ARC_TANGENT = (
    *(1.62858201153657823623e-02, -3.65315727442169155270e-02, 4.97687799461593236017e-02),
    *(-5.83357013379057348645e-02, 6.66107313738753120669e-02, -7.69187620504482999495e-02),
    *(9.09088713343650656196e-02, -1.11111104054623557880e-01, 1.42857142725034663711e-01),
    *(-1.99999999998764832476e-01, 3.33333333333329318027e-01),
)
EXP = (1 / 40320, 1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0)  # 3e-11 for |r| <= log(2) / 2
HALF_PI_HIGH, HALF_PI_LOW = 1.57079632673412561417, 6.07710050650619224932e-11  # the first has 33 bits
LARGEST_ANGLE = 3e9  # whose multiple of pi / 2 is an int32; sines of more are NaN
LIMIT = 400.0  # e^x is 0 or infinite as a float32 long before
TAN_EIGHTH = 0.41421356237309503


class Doubles:
    """Arithmetic on vectors of doubles; each method writes an instruction."""

    def __init__(self, k: Writer, lanes: int) -> None:
        self.k = k
        self.type, self.whole = vector(lanes, "double"), vector(lanes, "i64")

    def number(self, x: float) -> Value:
        """A constant in each lane."""
        literal = f"0x{struct.unpack('<Q', struct.pack('<d', x))[0]:016X}"
        return Value(f"splat (double {literal})" if self.type[0] == "<" else literal, self.type)

    def integer(self, x: int) -> Value:
        """An integer in each lane."""
        return Value(f"splat (i64 {x})" if self.type[0] == "<" else str(x), self.whole)

    def of(self, x: Value) -> Value:
        """Floats as doubles."""
        return self.k.cast("fpext", x, self.type)

    def rounded(self, x: Value) -> Value:
        """Doubles as floats."""
        return self.k.cast("fptrunc", x, vector(lanes_of(self.type)))

    def op(self, op: str, a: Value | float, b: Value | float) -> Value:
        """An instruction: "fadd", "fsub", "fmul" or "fdiv"."""
        a, b = (x if isinstance(x, Value) else self.number(x) for x in (a, b))
        return self.k.define(f"{op} {self.type} {a.text}, {b.text}", self.type)

    def fma(self, a: Value, b: Value | float, c: Value | float) -> Value:
        """A * b + c."""
        b, c = (x if isinstance(x, Value) else self.number(x) for x in (b, c))
        return self.k.call(self.k.target.fused, self.type, a, b, c)

    def unary(self, name: str, x: Value) -> Value:
        """An intrinsic such as "fabs"."""
        return self.k.call(f"llvm.{name}", self.type, x)

    def compare(self, how: str, a: Value, b: Value | float) -> Value:
        """Truths."""
        b = b if isinstance(b, Value) else self.number(b)
        return self.k.define(f"fcmp {how} {self.type} {a.text}, {b.text}", vector(lanes_of(self.type), "i1"))

    def choose(self, truth: Value, yes: Value | float, no: Value | float) -> Value:
        """One of two."""
        yes, no = (x if isinstance(x, Value) else self.number(x) for x in (yes, no))
        return self.k.select(truth, yes, no)

    def limited(self, x: Value, limit: float) -> Value:
        """Between -limit and limit; NaN stays."""
        x = self.choose(self.compare("ogt", x, limit), limit, x)
        return self.choose(self.compare("olt", x, -limit), -limit, x)

    def polynomial(self, coefficients: Sequence[float], x: Value) -> Value:
        """Horner's rule; highest power first."""
        result = self.number(coefficients[0])
        for coefficient in coefficients[1:]:
            result = self.fma(result, x, coefficient)
        return result

    def nearest(self, x: Value) -> tuple[Value, Value]:
        """The nearest integer of a number below 2^31, as a double and as the lowest bits of an int64."""
        shifted = self.op("fadd", x, 1.5 * 2.0**52)
        return self.op("fsub", shifted, 1.5 * 2.0**52), self.k.cast("bitcast", shifted, self.whole)

    def log(self, x: Value) -> Value:
        """Of numbers > 0 and normal."""
        k = self.k
        shifted = k.binary("sub", k.cast("bitcast", x, self.whole), self.integer(SQRT_HALF_BITS))
        exponent = k.cast("sitofp", k.binary("ashr", shifted, self.integer(52)), self.type)
        mantissa = k.binary("and", shifted, self.integer(2**52 - 1))
        f = self.op("fsub", k.cast("bitcast", k.binary("add", mantissa, self.integer(SQRT_HALF_BITS)), self.type), 1.0)
        s = self.op("fdiv", f, self.op("fadd", f, 2.0))
        z = self.op("fmul", s, s)
        half = self.op("fmul", self.op("fmul", f, 0.5), f)
        tail = self.op("fmul", self.op("fadd", self.op("fmul", self.polynomial(LOG, z), z), half), s)
        low = self.fma(exponent, LN2_LOW, tail)
        return self.fma(exponent, LN2_HIGH, self.op("fsub", f, self.op("fsub", half, low)))

    def exp(self, x: Value) -> Value:
        """Of numbers between -LIMIT and LIMIT."""
        n, bits = self.nearest(self.op("fmul", x, 1 / log(2)))
        r = self.fma(n, -LN2_LOW, self.fma(n, -LN2_HIGH, x))
        scale = self.k.binary("shl", self.k.binary("add", bits, self.integer(1023)), self.integer(52))
        return self.op("fmul", self.polynomial(EXP, r), self.k.cast("bitcast", scale, self.type))

    def arc_tangent(self, y: Value, x: Value) -> Value:
        """The angle of the point (x, y), with the signs of zeros as C has them."""
        k = self.k
        a, b = self.unary("fabs", y), self.unary("fabs", x)
        steep = self.compare("ogt", a, b)
        small, large = self.choose(steep, b, a), self.choose(steep, a, b)
        ratio = self.choose(self.compare("oeq", small, large), 1.0, self.op("fdiv", small, large))  # also of infinities
        ratio = self.choose(self.compare("oeq", large, 0.0), 0.0, ratio)
        far = self.compare("ogt", ratio, TAN_EIGHTH)
        turned = self.op("fdiv", self.op("fsub", ratio, 1.0), self.op("fadd", ratio, 1.0))
        t = self.choose(far, turned, ratio)
        z = self.op("fmul", t, t)
        series = self.op("fmul", self.op("fmul", self.polynomial(ARC_TANGENT, z), z), t)
        angle = self.op("fadd", self.op("fsub", t, series), self.choose(far, pi / 4, 0.0))
        angle = self.choose(steep, self.op("fsub", pi / 2, angle), angle)
        left = k.compare("slt", k.cast("bitcast", x, self.whole), self.integer(0))
        angle = self.choose(left, self.op("fsub", pi, angle), angle)
        angle = k.call("llvm.copysign", self.type, angle, y)
        return self.choose(self.compare("uno", x, y), nan, angle)


def power(k: Writer, x: Value, y: Value) -> Value:
    """X to the power y: e^(y log |x|), negative for negative x and odd y, NaN for others that are no integers."""
    d = Doubles(k, lanes_of(x.type))
    a, b = d.of(x), d.of(y)
    size = d.unary("fabs", a)
    logarithm = d.log(size)  # floats are normal doubles
    logarithm = d.choose(d.compare("oeq", size, 0.0), -inf, logarithm)
    logarithm = d.choose(d.compare("olt", size, inf), logarithm, size)  # of infinity, and NaN
    value = d.exp(d.limited(d.op("fmul", b, logarithm), LIMIT))
    whole = d.compare("oeq", d.unary("floor", b), b)
    half = d.op("fmul", b, 0.5)
    odd = k.binary("and", whole, d.compare("one", d.unary("floor", half), half))
    negative = k.compare("slt", k.cast("bitcast", a, d.whole), d.integer(0))
    value = d.choose(k.binary("and", negative, odd), d.op("fsub", -0.0, value), value)
    rooted = k.binary("and", d.compare("olt", a, 0.0), d.compare("ogt", a, -inf))
    value = d.choose(k.binary("and", rooted, d.compare("une", d.unary("floor", b), b)), nan, value)
    one = k.binary("or", d.compare("oeq", a, 1.0), d.compare("oeq", b, 0.0))
    minus_one = k.binary("and", d.compare("oeq", a, -1.0), d.compare("oeq", d.unary("fabs", b), inf))
    return d.rounded(d.choose(k.binary("or", one, minus_one), 1.0, value))


def sin(k: Writer, x: Value) -> Value:
    """The sine of an angle in radians of at most LARGEST_ANGLE; else NaN."""
    return _turned(k, x, quarters=0)


def cos(k: Writer, x: Value) -> Value:
    """The cosine, a quarter turn ahead of the sine."""
    return _turned(k, x, quarters=1)


def tan(k: Writer, x: Value) -> Value:
    """The tangent."""
    return k.fdiv(sin(k, x), cos(k, x))


def atan2(k: Writer, y: Value, x: Value) -> Value:
    """The angle of the point (x, y)."""
    d = Doubles(k, lanes_of(x.type))
    return d.rounded(d.arc_tangent(d.of(y), d.of(x)))


def atan(k: Writer, x: Value) -> Value:
    """The angle whose tangent is x."""
    d = Doubles(k, lanes_of(x.type))
    return d.rounded(d.arc_tangent(d.of(x), d.number(1.0)))


def asin(k: Writer, x: Value) -> Value:
    """The angle whose sine is x; NaN beyond 1."""
    d = Doubles(k, lanes_of(x.type))
    return d.rounded(d.arc_tangent(d.of(x), _other_side(d, d.of(x))))


def acos(k: Writer, x: Value) -> Value:
    """The angle whose cosine is x; NaN beyond 1."""
    d = Doubles(k, lanes_of(x.type))
    return d.rounded(d.arc_tangent(_other_side(d, d.of(x)), d.of(x)))


def _other_side(d: Doubles, x: Value) -> Value:
    """sqrt(1 - x^2)."""
    return d.unary("sqrt", d.op("fmul", d.op("fsub", 1.0, x), d.op("fadd", 1.0, x)))


def _turned(k: Writer, x: Value, *, quarters: int) -> Value:
    """The sine of x and so many quarter turns."""
    d = Doubles(k, lanes_of(x.type))
    a = d.of(x)
    n, bits = d.nearest(d.op("fmul", a, 2 / pi))
    r = d.fma(n, -HALF_PI_LOW, d.fma(n, -HALF_PI_HIGH, a))
    z = d.op("fmul", r, r)
    sine = d.fma(d.op("fmul", d.polynomial(SINE, z), z), r, r)
    cosine = d.fma(d.op("fmul", d.polynomial(COSINE, z), z), z, d.fma(z, -0.5, 1.0))
    quarter = k.binary("add", bits, d.integer(quarters))
    odd = k.compare("ne", k.binary("and", quarter, d.integer(1)), d.integer(0))
    second = k.compare("ne", k.binary("and", quarter, d.integer(2)), d.integer(0))
    value = k.select(odd, cosine, sine)
    value = k.select(second, d.op("fsub", -0.0, value), value)
    if not quarters:
        value = d.choose(d.compare("oeq", a, 0.0), a, value)  # the sign of a zero
    return d.rounded(d.choose(d.compare("ole", d.unary("fabs", a), LARGEST_ANGLE), value, nan))

"""Expressions of the op table as terms: each elementwise op says in C what it computes, and that is read here.

Numbers in an expression take the dtype of what stands beside them; what is known now is computed now.
"""

# The tables below are lambdas over terms, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from . import activations
from .formula import Formula, Number, Term

Operand = Term | Number

TOKEN = re.compile(r"\s*(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|[A-Za-z_]\w*|&&|\|\||[=!<>]=|[-+*/<>?:!&|^(),])")
# Operators by binding strength, weakest first: C's, and what they are called in a formula.
LEVELS: tuple[dict[str, str], ...] = (
    {"||": "or"},
    {"&&": "and"},
    {"|": "or"},
    {"^": "xor"},
    {"&": "and"},
    {"==": "eq", "!=": "ne"},
    {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"},
    {"+": "add", "-": "sub"},
    {"*": "mul", "/": "div"},
)
SAME_NAME = frozenset(
    {"exp", "expm1", "log", "log1p", "log2", "tanh", "erf", "sqrt", "floor", "ceil", "trunc"}
    | {"sin", "cos", "tan", "asin", "acos", "atan"}
)
LN_2 = math.log(2)

# What these ops compute in C is right for numbers; NumPy also says what comes of NaN and of -0, and some are known to
# have better forms. Arguments in the order of the op's inputs.
BETTER: dict[str, Callable[..., Term]] = {
    "maximum": lambda a, b: a.formula.binary("max", a, b) if isinstance(a, Term) else b.maximum(a),
    "minimum": lambda a, b: a.formula.binary("min", a, b) if isinstance(a, Term) else b.minimum(a),
    "absolute": lambda x: x.absolute(),
    "relu": lambda x: x.relu(),
    "sigmoid": lambda x: x.sigmoid(),
    "silu": activations.silu,
    "gelu": activations.gelu_tanh,
    "gelu_erf": activations.gelu,
    "softplus": activations.softplus,
    "hardsigmoid": lambda x: (x * (1 / 6) + 0.5).maximum(0.0).minimum(1.0),
    "hardswish": lambda x: x * (x * (1 / 6) + 0.5).maximum(0.0).minimum(1.0),
    "hardtanh": lambda x, low, high: x.maximum(low).minimum(high),
}


def term_of(f: Formula, name: str, expression: str, values: Mapping[str, Operand]) -> Term:
    """What an op makes of its inputs.

    Args:
        f: the formula.
        name: of the op.
        expression: its `kernel`, over the names of inputs and parameters.
        values: of each of them, inputs first, in order: terms, or numbers.

    Raises:
        KeyError: the expression uses a function that formulas do not have.
    """
    if name in BETTER:
        return BETTER[name](*values.values())
    if name == "power":
        return power(*values.values())
    found = _Reader(f, parsed(expression), values).whole()
    return found if isinstance(found, Term) else f.constant(found)


@lru_cache(512)
def parsed(expression: str) -> tuple[str, ...]:
    """The tokens of an expression."""
    tokens: list[str] = []
    at = 0
    while at < len(expression.rstrip()):
        match = TOKEN.match(expression, at)
        assert match, f"cannot read {expression[at:]!r} in {expression!r}"
        tokens.append(match[1])
        at = match.end()
    return tuple(tokens)


def power(a: Operand, b: Operand) -> Term:
    """A to the power b, in few multiplications where b is a small integer."""
    if isinstance(a, Term) and not isinstance(b, Term):
        if b == 0.5:
            return a.sqrt()
        if b == -0.5:
            return a.rsqrt()
        if b == int(b) and 1 <= abs(b) <= 16:
            whole = a.power(abs(int(b)))
            return whole if b > 0 else 1.0 / whole
    known = a if isinstance(a, Term) else b
    assert isinstance(known, Term)
    return known.formula.binary("pow", a, b)


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, f: Formula, tokens: tuple[str, ...], values: Mapping[str, Operand]) -> None:
        self.f, self.tokens, self.values = f, tokens, values
        self.at = 0

    def whole(self) -> Operand:
        value = self.choice()
        assert self.at == len(self.tokens), f"cannot read {' '.join(self.tokens[self.at :])!r}"
        return value

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        assert not expected or token == expected, f"expected {expected!r}, got {token!r}"
        self.at += 1
        return token

    def choice(self) -> Operand:
        condition = self.level(0)
        if self.peek() != "?":
            return condition
        self.take("?")
        yes = self.choice()
        self.take(":")
        no = self.choice()
        if not isinstance(condition, Term):
            return yes if condition else no
        if isinstance(yes, Term) and isinstance(no, Term) and yes.dtype != no.dtype:
            yes, no = yes.cast("f32"), no.cast("f32")
        return self.f.select(condition.cast("bool"), yes, no)

    def level(self, strength: int) -> Operand:
        if strength == len(LEVELS):
            return self.unary()
        value = self.level(strength + 1)
        while self.peek() in LEVELS[strength]:
            token = self.take()
            value = self.joined(token, LEVELS[strength][token], value, self.level(strength + 1))
        return value

    def joined(self, token: str, op: str, a: Operand, b: Operand) -> Operand:
        if token in ("&&", "||"):
            a, b = (x.cast("bool") if isinstance(x, Term) else x for x in (a, b))
        if isinstance(a, Term) or isinstance(b, Term):
            return self.f.binary(op, a, b)
        return _KNOWN[op](a, b)

    def unary(self) -> Operand:
        symbol = self.take()
        if symbol == "-":
            value = self.unary()
            return -value
        if symbol == "!":
            value = self.unary()
            return value.cast("bool").equals(False) if isinstance(value, Term) else not value
        if symbol == "(":
            value = self.choice()
            self.take(")")
            return value
        if symbol[0].isdigit() or symbol[0] == ".":
            return float(symbol) if any(mark in symbol for mark in ".eE") else int(symbol)
        return self.call(symbol) if self.peek() == "(" else self.values[symbol]

    def call(self, name: str) -> Operand:
        self.take("(")
        arguments = [self.choice()]
        while self.peek() == ",":
            self.take(",")
            arguments.append(self.choice())
        self.take(")")
        terms = [x if isinstance(x, Term) else self.f.constant(x) for x in arguments]
        return self.f.function(name, terms[0]) if name in SAME_NAME else CALLS[name](*terms)


_KNOWN: dict[str, Callable[[Number, Number], Number]] = {
    "or": lambda a, b: int(a) | int(b),
    "and": lambda a, b: int(a) & int(b),
    "xor": lambda a, b: int(a) ^ int(b),
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
}


def _sinh(x: Term) -> Term:
    """From e^x - 1, and for large x from e^(x/2) squared, which overflows later."""
    size = x.absolute()
    t, root = size.expm1(), (size * 0.5).exp()
    return (size > 20.0).select(root * 0.5 * root, (t + t / (t + 1.0)) * 0.5).copysign(x)


def _cosh(x: Term) -> Term:
    """The same way."""
    size = x.absolute()
    root = (size * 0.5).exp()
    return (size > 20.0).select(root * 0.5 * root, (size.exp() + (-size).exp()) * 0.5)


def _asinh(x: Term) -> Term:
    """log(a + sqrt(a^2 + 1)) of the size a, by its excess over 1."""
    size = x.absolute()
    square = size * size
    near = (size + square / ((square + 1.0).sqrt() + 1.0)).log1p()
    return (size > 1e9).select(size.log() + LN_2, near).copysign(x)


def _acosh(x: Term) -> Term:
    """Of what x is above 1; NaN below."""
    excess = x - 1.0
    near = (excess + excess.sqrt() * (x + 1.0).sqrt()).log1p()
    return (x > 1e9).select(x.log() + LN_2, near)


def _atanh(x: Term) -> Term:
    """Half of log((1 + a) / (1 - a)) of the size a, by its excess over 1."""
    size = x.absolute()
    return ((size * 2.0 / (1.0 - size)).log1p() * 0.5).copysign(x)


def _hypot(a: Term, b: Term) -> Term:
    """By the larger one, whose square might overflow; an infinite side makes an infinite one, even beside NaN."""
    large, small = a.absolute().maximum(b.absolute()), a.absolute().minimum(b.absolute())
    ratio = (large > 0.0).select(small / large, 0.0)
    endless = a.absolute().equals(math.inf) | b.absolute().equals(math.inf)
    return endless.select(math.inf, large * (ratio * ratio + 1.0).sqrt() + a * 0.0 + b * 0.0)


CALLS: dict[str, Callable[..., Term]] = {
    "fabs": lambda x: x.absolute(),
    "rint": lambda x: x.round(),
    "log10": lambda x: x.formula.function("log2", x) * math.log10(2),
    "pow": power,
    "atan2": lambda y, x: y.atan2(x),
    "copysign": lambda x, sign: x.copysign(sign),
    "sinh": _sinh,
    "cosh": _cosh,
    "asinh": _asinh,
    "acosh": _acosh,
    "atanh": _atanh,
    "hypot": _hypot,
}

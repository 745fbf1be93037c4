"""Elementwise ops in CUDA C++: each says in C what it computes, and that is given the types of the values it meets.

Numbers of an expression take the dtype it is computed in: `0.5 * x` of float32 stays float32.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from ...shapes import promote
from ..graph import Input, Node, Value, weak_dtype
from ..native.group import Unsupported
from .numbers import DType, cast, number

TOKEN: Final = re.compile(r"[A-Za-z_]\w*|\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+")

# Functions of CUDA's and the host's mathematics that expressions call; the float32 version ends in f.
FUNCTIONS: Final = frozenset(
    {"exp", "expm1", "log", "log1p", "log2", "log10", "tanh", "erf", "sqrt", "floor", "ceil", "trunc", "rint", "fabs"}
    | {"pow", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "asinh", "acosh", "atanh"}
    | {"hypot", "copysign"}
)

# Ops whose C is right for numbers, where NumPy also says what comes of NaN and of -0; and ops that have no C of their
# own. Expressions of the names of their inputs.
FLOATS: Final[Mapping[str, str]] = {
    "maximum": "(a >= b || a != a) ? a : b",
    "minimum": "(a <= b || a != a) ? a : b",
    "absolute": "fabs(x)",
    "relu": "(x > 0 || x != x) ? x : 0",
    "isnan": "x != x",
    "isinf": "x - x != 0 && x == x",
    "isfinite": "x - x == 0",
    "signbit": "copysign(1, x) < 0",
    "floor_divide": "nst_floor_divide(a, b)",
    "remainder": "nst_remainder(a, b)",
    "logaddexp": "nst_logaddexp(a, b)",
    "conjugate": "x",
    "real": "x",
}
WHOLE: Final[Mapping[str, str]] = {
    "isnan": "false",
    "isinf": "false",
    "isfinite": "true",
    "signbit": "x < 0",
    "power": "nst_power(a, b)",
    "floor": "x",
    "ceil": "x",
    "trunc": "x",
    "round": "x",
    "floor_divide": "nst_floor_divide((long long)a, (long long)b)",
    "remainder": "nst_remainder((long long)a, (long long)b)",
    "bitwise_invert": "~x",
    "bitwise_left_shift": "nst_shift_left(a, b)",
    "bitwise_right_shift": "nst_shift_right(a, b)",
    "conjugate": "x",
    "real": "x",
}
BOOLS: Final[Mapping[str, str]] = {**WHOLE, "bitwise_invert": "!x"}
UNSIGNED: Final[Mapping[str, str]] = {
    **WHOLE,
    "signbit": "false",
    "floor_divide": "b == 0 ? 0 : a / b",
    "remainder": "b == 0 ? 0 : a % b",
}
TABLES: Final = {"f": FLOATS, "i": WHOLE, "u": UNSIGNED, "b": BOOLS}
# Inputs that say which and not how much: they keep their dtype.
CONDITIONS: Final = frozenset({("where", "condition"), ("masked_scale", "mask")})


def has(node: Node) -> bool:
    """Whether an op computes each element from those at the same place."""
    name = node.op.name
    if name in ("astype", "ravel_index"):
        return True
    return node.op.elementwise and (node.op.kernel is not None or name in FLOATS or name in WHOLE)


def expression_of(node: Node, texts: Sequence[str], dtypes: Sequence[DType]) -> str:
    """What an elementwise op computes, as an expression of the dtype of its output.

    Args:
        node: of an op that `has` knows.
        texts: expressions for its inputs, without side effects.
        dtypes: of these.

    Raises:
        Unsupported: there is no expression for these dtypes.
    """
    name, made = node.op.name, node.outputs[0].dtype
    if name == "astype":
        return cast(texts[0], dtypes[0], made)
    if name == "ravel_index":
        return _ravelled(texts, dtypes, node.params["shape"])
    computed = _computed_in(node, dtypes)
    names: dict[str, str] = {}
    for given, text, dtype in zip(node.op.inputs, texts, dtypes, strict=True):
        names[given] = text if (name, given) in CONDITIONS else cast(text, dtype, computed)
    for key, value in node.params.items():
        if isinstance(value, int | float):
            names[key] = number(value, computed)
    source = TABLES[computed.kind].get(name, node.op.kernel)
    if name == "power" and computed.kind == "f":
        source = _power(node)
    if source is None:
        raise Unsupported(f"{name} of {computed.name}")
    return cast(f"({_typed(source, computed, names)})", np.dtype(bool) if made.kind == "b" else computed, made)


def operand_dtype(item: Input, node: Node) -> DType:
    """The dtype of an input: its own, or what a number takes beside the others."""
    if isinstance(item, Value):
        return item.dtype
    return weak_dtype(item, [value.dtype for value in node.values])


def _computed_in(node: Node, dtypes: Sequence[DType]) -> DType:
    """The dtype of the arithmetic: that of the output, or of a comparison's inputs."""
    name, made = node.op.name, node.outputs[0].dtype
    if made.kind != "b":
        return made
    plain = [d for given, d in zip(node.op.inputs, dtypes, strict=True) if (name, given) not in CONDITIONS]
    found = plain[0]
    for dtype in plain[1:]:
        found = promote(found, dtype)
    return found


def _typed(source: str, dtype: DType, names: Mapping[str, str]) -> str:
    """An expression with the values, and numbers and functions of one dtype."""

    def put(match: re.Match[str]) -> str:
        token = match[0]
        if token in names:
            return f"({names[token]})"
        if token in FUNCTIONS:
            if dtype.kind != "f":
                raise Unsupported(f"{token} of {dtype.name}")
            return f"{token}f" if dtype.name == "float32" else token
        if token[0].isalpha() or token[0] == "_":
            return token
        return number(float(token) if dtype.kind == "f" else int(float(token)), dtype)

    return TOKEN.sub(put, source)


def _power(node: Node) -> str:
    """A power, in few multiplications where the exponent is a small known number."""
    exponent: Any = node.inputs[1]
    known: Callable[[float], bool] = lambda value: not isinstance(exponent, Value) and exponent == value  # noqa: E731
    for value, text in ((2, "a * a"), (3, "a * a * a"), (4, "(a * a) * (a * a)"), (1, "a"), (-1, "1 / a")):
        if known(value):
            return text
    if known(0.5):
        return "sqrt(a)"
    return "1 / sqrt(a)" if known(-0.5) else "pow(a, b)"


def _ravelled(texts: Sequence[str], dtypes: Sequence[DType], shape: Sequence[int]) -> str:
    """Indices along several axes as one into all of them; each counted from the end where it is negative."""
    index = "0ll"
    for text, dtype, length in zip(texts, dtypes, shape, strict=True):
        index = f"({index} * {length} + nst_wrap({cast(text, dtype, np.dtype(np.int64))}, {length}))"
    return index

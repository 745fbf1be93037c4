"""Dtypes and numbers in CUDA C++: what a value is called there, and how a number is written with its type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ...cuda.parameters import C_OF_DTYPE
from ..graph import Value
from ..native.group import Unsupported

# 16-bit floats would have to be computed in float32 and rounded, complex numbers taken apart.
TYPES: Final[Mapping[str, str]] = {name: c for name, c in C_OF_DTYPE.items() if name not in ("float16", "bfloat16")}

DType = np.dtype[Any]


def c_type(dtype: DType) -> str:
    """The C++ type of the elements of an array.

    Raises:
        Unsupported: there is none.
    """
    try:
        return TYPES[dtype.name]
    except KeyError:
        raise Unsupported(f"elements of {dtype.name}") from None


def check(*values: Value) -> None:
    """Refuse values that no kernel can hold.

    Raises:
        Unsupported: names the dtype.
    """
    for value in values:
        c_type(value.dtype)


def number(value: complex, dtype: DType) -> str:
    """A number as an expression of a dtype.

    Raises:
        Unsupported: the number is complex.
    """
    if isinstance(value, complex):
        raise Unsupported("complex numbers")
    if dtype.kind == "b":
        return "true" if value else "false"
    if dtype.kind in "iu":
        if int(value) == -(1 << 63):  # whose digits alone are no signed number
            return "(-9223372036854775807ll - 1)"
        return f"(({TYPES[dtype.name]}){int(value)}{'ull' if dtype.name == 'uint64' else 'll'})"
    single = dtype.name == "float32"
    rounded = float(np.float32(value)) if single else float(value)
    if math.isnan(rounded):
        return "NST_NAN" if single else "(double)NST_NAN"
    if math.isinf(rounded):
        return f"{'-' if rounded < 0 else ''}{'NST_INFINITY' if single else '(double)NST_INFINITY'}"
    return f"{rounded!r}f" if single else repr(rounded)


def cast(text: str, source: DType, target: DType) -> str:
    """An expression of one dtype as one of another."""
    if source == target:
        return text
    if target.kind == "b":
        return f"({text} != 0)"
    return f"({c_type(target)})({text})"


def smallest(dtype: DType) -> str:
    """What every number of a dtype is at least."""
    if dtype.kind == "f":
        return number(-math.inf, dtype)
    return "false" if dtype.kind == "b" else number(int(np.iinfo(dtype).min), dtype)


def largest(dtype: DType) -> str:
    """What every number of a dtype is at most."""
    if dtype.kind == "f":
        return number(math.inf, dtype)
    return "true" if dtype.kind == "b" else number(int(np.iinfo(dtype).max), dtype)

"""Dtypes by name, and questions about them."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from typing import Any, cast

import numpy as np

from ..creation import DeviceLike, DTypeLike, converted
from ..device import device as resolve
from ..errors import ConfigError, DTypeError
from ..shapes import as_dtype, is_floating, promote, to_floating
from ..tensor import Tensor

bool = np.dtype("bool")
int8, int16, int32, int64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64))
float16, float32, float64 = (np.dtype(f"float{bits}") for bits in (16, 32, 64))
complex64, complex128 = np.dtype("complex64"), np.dtype("complex128")

DType = np.dtype[Any]


@dataclass(frozen=True, slots=True)
class FloatInfo:
    """The limits of a floating dtype; of a complex one those of its parts, whose dtype is `dtype`."""

    bits: int
    eps: float  # from 1.0 to the next number
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True, slots=True)
class IntegerInfo:
    """The limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: DType


def finfo(type: DTypeLike | Tensor, /) -> FloatInfo:
    """The limits of a floating dtype, or of the dtype of a tensor.

    Raises:
        DTypeError: not a floating dtype.
    """
    dtype = _dtype_of(type)
    if dtype.kind == "c":
        dtype = np.dtype(f"f{dtype.itemsize // 2}")
    if not is_floating(dtype):
        raise DTypeError(f"finfo: expected a floating dtype, got {dtype}", hint="use iinfo for integers")
    found: Any = import_module("ml_dtypes").finfo(dtype) if dtype.name == "bfloat16" else np.finfo(dtype)
    eps, largest, lowest, normal = (float(x) for x in (found.eps, found.max, found.min, found.smallest_normal))
    return FloatInfo(dtype.itemsize * 8, eps, largest, lowest, normal, dtype)


def iinfo(type: DTypeLike | Tensor, /) -> IntegerInfo:
    """The limits of an integer dtype, or of the dtype of a tensor.

    Raises:
        DTypeError: not an integer dtype.
    """
    dtype = _dtype_of(type)
    if dtype.kind not in "iu":
        raise DTypeError(f"iinfo: expected an integer dtype, got {dtype}", hint="use finfo for floating dtypes")
    found = np.iinfo(dtype)
    return IntegerInfo(found.bits, int(found.max), int(found.min), dtype)


def astype(x: Tensor, dtype: DTypeLike, /, *, copy: builtins.bool = True, device: DeviceLike = None) -> Tensor:
    """The elements as another dtype; `copy` false returns `x` itself where that changes nothing.

    Raises:
        DTypeError: from complex to real.
    """
    return converted(x, as_dtype(dtype), None if device is None else resolve(device), copy or None)


def can_cast(from_: DTypeLike | Tensor, to: DTypeLike, /) -> builtins.bool:
    """Whether promotion leads from one dtype to the other: the result of both is `to`."""
    target = as_dtype(to)
    try:
        return promote(_dtype_of(from_), target) == target
    except DTypeError:
        return False


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype of a result of tensors, dtypes and Python numbers.

    A number counts by its kind only: it changes nothing beside a dtype of its kind or a higher one.

    Raises:
        ConfigError: there is nothing.
        DTypeError: no dtype holds all.
    """
    if not arrays_and_dtypes:
        raise ConfigError("result_type: expected at least one tensor or dtype, got nothing")
    numbers: list[Any] = []
    dtypes: list[DType] = []
    for item in arrays_and_dtypes:
        if isinstance(item, builtins.bool | int | float | complex):
            numbers.append(item)
        else:
            dtypes.append(_dtype_of(item))
    result = reduce(promote, dtypes) if dtypes else bool
    for number in numbers:
        if isinstance(number, builtins.bool):
            continue
        if isinstance(number, int):
            result = int64 if result == bool else result
        elif isinstance(number, float):
            result = to_floating(result)
        else:
            result = result if result.kind == "c" else promote(to_floating(result), complex64)
    return result


_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def isdtype(dtype: DTypeLike, kind: DTypeLike | tuple[DTypeLike, ...]) -> builtins.bool:
    """Whether a dtype is of a kind.

    Args:
        dtype: what is asked about.
        kind: "bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric",
            a dtype, or a tuple of these, of which one is enough.
    """
    found = as_dtype(dtype)
    letter = "f" if is_floating(found) else found.kind
    if isinstance(kind, tuple):
        return any(isdtype(found, item) for item in cast(tuple[Any, ...], kind))
    return letter in _KINDS[kind] if kind in _KINDS else found == as_dtype(kind)


def kind_names() -> tuple[str, ...]:
    """The kinds that `isdtype` knows by name."""
    return tuple(_KINDS)


def _dtype_of(item: Any) -> DType:
    return item.dtype if isinstance(item, Tensor) else as_dtype(item)

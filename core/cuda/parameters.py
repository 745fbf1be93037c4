"""The parameters of a CUDA function: read from its C++ declaration, and checked against what a launch passes.

A GPU reads its arguments as bytes: a float32 array where the kernel says `double*`, or eight bytes where it says `int`,
give wrong numbers or writes outside the array, without an error. So every argument is checked before a launch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ..device import Array, Device, device_of
from ..errors import ConfigError, DeviceError, DTypeError, ShapeError

# C++ types on every platform CUDA has (LP64 and LLP64 differ in `long`, which is therefore not here).
DTYPE_OF_C = {
    "bool": "bool",
    "char": "int8",
    "signed char": "int8",
    "unsigned char": "uint8",
    "short": "int16",
    "unsigned short": "uint16",
    "int": "int32",
    "unsigned": "uint32",
    "unsigned int": "uint32",
    "long long": "int64",
    "unsigned long long": "uint64",
    "size_t": "uint64",
    **{f"{sign}int{bits}_t": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "__half": "float16",
    "half": "float16",
    "__nv_bfloat16": "bfloat16",
    "float": "float32",
    "double": "float64",
}
C_OF_DTYPE = {
    "bool": "bool",
    "int8": "signed char",
    "uint8": "unsigned char",
    "int16": "short",
    "uint16": "unsigned short",
    "int32": "int",
    "uint32": "unsigned int",
    "int64": "long long",
    "uint64": "unsigned long long",
    "float16": "__half",
    "bfloat16": "__nv_bfloat16",
    "float32": "float",
    "float64": "double",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a CUDA function."""

    name: str
    dtype: str  # NumPy's name, as in "float32"; of the elements where it is a pointer
    pointer: bool  # an array is passed by its address, a number by value

    def __str__(self) -> str:
        return f"{C_OF_DTYPE[self.dtype]}{'*' if self.pointer else ''} {self.name}"

    def scalar(self, owner: str, value: Any) -> Any:
        """A NumPy scalar as wide as the function reads it."""
        dtype = np.dtype(self.dtype)
        if isinstance(value, np.generic):
            width: Any = cast(Any, value).dtype
            if width == dtype:
                return cast(Any, value)
            raise DTypeError(f"{owner}: {self.name} is {dtype}, got {width}")
        fits = {"b": bool, "i": int, "u": int, "f": int | float}[dtype.kind]
        if not isinstance(value, fits) or (isinstance(value, bool) and dtype.kind != "b"):
            raise DTypeError(f"{owner}: {self.name} is {dtype}, got {value!r} of type {type(value).__name__}")
        if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            raise ConfigError(f"{owner}: {self.name} is {dtype}, which cannot hold {value}")
        return dtype.type(value)

    def array(self, owner: str, value: Array) -> Device:
        """Check that an array has the elements and layout that the function expects; says where it is."""
        place = device_of(value)
        if place.kind != "cuda":
            raise DeviceError(f"{owner}: {self.name} lives on the CPU", hint="move it with Device.put or .to('cuda')")
        if value.dtype.name != self.dtype:
            raise DTypeError(f"{owner}: {self.name} points to {self.dtype}, got an array of {value.dtype}")
        if not value.flags.c_contiguous:
            raise ShapeError(
                f"{owner}: {self.name} is not contiguous: shape {value.shape}, strides {value.strides}",
                hint="a kernel ignores strides; pass xp.ascontiguousarray(...)",
            )
        return place


def parse_parameters(declaration: str, *, types: Mapping[str, str] | None = None) -> tuple[Parameter, ...]:
    """Read a C++ parameter list such as `"const float* x, float* y, long long n"`.

    Args:
        declaration: what stands between the parentheses; `const` and `__restrict__` are allowed.
        types: dtypes of further type names, as in `{"T": "float32"}`.

    Raises:
        ConfigError: a parameter is neither a number nor a pointer to numbers of a known type.
    """
    dtypes = {**DTYPE_OF_C, **(types or {})}
    parameters: list[Parameter] = []
    for text in filter(None, (part.strip() for part in declaration.split(","))):
        words = re.sub(r"\b(const|__restrict__|volatile)\b", " ", text).replace("*", " * ").split()
        *base, name = words
        stars = base.count("*")
        c_type = " ".join(word for word in base if word != "*")
        # A bfloat16 by value has no NumPy scalar: a kernel takes a float and rounds it.
        unknown = c_type not in dtypes or (dtypes[c_type] == "bfloat16" and not stars)
        if unknown or stars > 1 or not name.isidentifier():
            raise ConfigError(
                f"cannot read the CUDA parameter {text!r}: expected a number or one pointer to numbers, "
                f"of a type among {', '.join(dtypes)}"
            )
        parameters.append(Parameter(name, dtypes[c_type], bool(stars)))
    return tuple(parameters)


def find_parameters(source: str, function: str, *, types: Mapping[str, str] | None = None) -> tuple[Parameter, ...]:
    """Read the parameters of `extern "C" __global__ void function(...)` from CUDA source.

    Raises:
        ConfigError: the source declares no such function, or one whose parameters cannot be read.
    """
    code = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.DOTALL)
    bounds = r"(?:__launch_bounds__\s*\([^)]*\)\s*)?"
    pattern = rf'extern\s+"C"\s+{bounds}__global__\s+{bounds}void\s+{bounds}{re.escape(function)}\s*\(([^)]*)\)'
    match = re.search(pattern, code)
    if match is None:
        raise ConfigError(
            f'the CUDA source declares no kernel {function!r}: expected extern "C" __global__ void {function}(...)',
            hint='without extern "C" the compiler changes the name',
        )
    return parse_parameters(match[1], types=types)


def bind_arguments(owner: str, parameters: Sequence[Parameter], args: Sequence[Any]) -> tuple[Device, list[Any]]:
    """Check the arguments of a launch.

    Args:
        owner: names the kernel in messages.
        parameters: what the function takes.
        args: an array or None (a null pointer) for each pointer, a number for each other parameter.

    Returns:
        The device of the arrays, and the arguments with every number as wide as the function reads it.

    Raises:
        ConfigError: a wrong number of arguments, no array among them, or a number that its type cannot hold.
        DTypeError: an argument of another type.
        DeviceError: arrays on the CPU, or on different devices.
        ShapeError: an array that is not contiguous.
    """
    if len(args) != len(parameters):
        wanted = ", ".join(map(str, parameters))
        raise ConfigError(f"{owner} takes {len(parameters)} arguments ({wanted}), got {len(args)}")
    places: dict[str, Device] = {}
    bound: list[Any] = []
    for parameter, value in zip(parameters, args, strict=True):
        if not parameter.pointer:
            bound.append(parameter.scalar(owner, value))
            continue
        if value is not None:
            places[parameter.name] = parameter.array(owner, value)
        bound.append(value)
    if not places:
        raise ConfigError(f"{owner}: expected an array among the arguments, which says on what device to run")
    if len(set(places.values())) > 1:
        where = ", ".join(f"{name} on {place}" for name, place in places.items())
        raise DeviceError(f"{owner}: arguments live on different devices: {where}")
    return next(iter(places.values())), bound

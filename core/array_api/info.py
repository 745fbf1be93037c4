"""What the namespace offers: devices, dtypes, limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..creation import DeviceLike
from ..device import CPU, Device, current_device, device
from ..errors import ConfigError, NasturtiumError
from . import dtypes as names

_STANDARD = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float32", "float64", "complex64", "complex128"),
)


class Info:
    """The answers of `__array_namespace_info__()`."""

    def capabilities(self) -> dict[str, bool | int | None]:
        """What not every library can: masks as indices, shapes that depend on values; and the most axes of a tensor."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        """Where new tensors go: the device of the innermost `with device(...)` block, the CPU outside of any."""
        return current_device()

    def default_dtypes(self, *, device: DeviceLike = None) -> dict[str, np.dtype[Any]]:
        """The dtypes that are taken where none is given, the same on every device."""
        return {
            "real floating": names.float32,
            "complex floating": names.complex64,
            "integral": names.int64,
            "indexing": names.int64,
        }

    def dtypes(
        self, *, device: DeviceLike = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, np.dtype[Any]]:
        """The standard's dtypes by name, the same on every device; with `kind` those that `isdtype` finds of it.

        Raises:
            ConfigError: there is no such kind.
        """
        kinds = (kind,) if isinstance(kind, str) else kind
        unknown = set(kinds or ()) - set(names.kind_names())
        if unknown:
            raise ConfigError(f"unknown kind of dtype: expected of {names.kind_names()}, got {sorted(unknown)}")
        found = {name: np.dtype(name) for name in _STANDARD}
        return {name: dtype for name, dtype in found.items() if kinds is None or names.isdtype(dtype, kinds)}

    def devices(self) -> tuple[Device, ...]:
        """The devices there are."""
        found = [CPU]
        try:
            while True:
                found.append(device(f"cuda:{len(found) - 1}"))
        except NasturtiumError:
            return tuple(found)


def __array_namespace_info__() -> Info:  # noqa: N807 - the standard's name
    """What this namespace offers."""
    return Info()

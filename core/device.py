"""Where an array lives: `cpu` (NumPy) or `cuda:0` (CuPy, an extra, imported only when a CUDA device is asked for)."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .errors import ConfigError, DeviceError, MissingExtraError

# An array of NumPy or CuPy, and the module that made it. CuPy ships no types, so both stay `Any`: the foreign edge.
Array = Any
ArrayModule = Any


@dataclass(frozen=True, slots=True)
class Device:
    """A place for arrays. Make one with `device("cuda:0")`, which checks that it is there."""

    kind: str  # "cpu" or "cuda"
    index: int = 0

    @property
    def xp(self) -> ArrayModule:
        """The array module of this device: `numpy` or `cupy`."""
        return np if self.kind == "cpu" else _cupy()

    def put(self, array: Array) -> Array:
        """Move an array to this device; the array itself when it is there already."""
        source = device_of(array)
        if source == self:
            return array
        host = array if source.kind == "cpu" else _cupy().asnumpy(array)
        if self.kind == "cpu":
            return host
        cupy = _cupy()
        with cupy.cuda.Device(self.index):
            return cupy.asarray(host)

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


CPU = Device("cpu")


def device(name: str | Device) -> Device:
    """Resolve a device name and check that the device exists.

    Args:
        name: `"cpu"`, `"cuda"` (the first CUDA device) or `"cuda:N"`.

    Raises:
        ConfigError: the name is none of these.
        MissingExtraError: a CUDA device was asked for and CuPy is not installed.
        DeviceError: CuPy is there, the device is not.
    """
    if isinstance(name, Device):
        return name
    if name == "cpu":
        return CPU
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if match is None:
        raise ConfigError(f"unknown device: expected 'cpu' or 'cuda:N', got {name!r}")
    index = int(match[1] or 0)
    cupy = _cupy()
    # is_available() never raises; asking for the count without a driver does.
    count = int(cupy.cuda.runtime.getDeviceCount()) if cupy.cuda.is_available() else 0
    if index >= count:
        raise DeviceError(
            f"device cuda:{index} is not there: CuPy sees {count} CUDA devices",
            hint="use device 'cpu', or check the driver with nvidia-smi",
        )
    return Device("cuda", index)


def device_of(array: Array) -> Device:
    """The device an array lives on."""
    if isinstance(array, np.ndarray | np.generic):
        return CPU
    return Device("cuda", int(array.device.id))


@cache
def _cupy() -> ArrayModule:
    try:
        return importlib.import_module("cupy")
    except ImportError as exc:
        raise MissingExtraError("a CUDA device", "gpu") from exc

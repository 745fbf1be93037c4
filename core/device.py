"""Where an array lives: `cpu` (NumPy) or `cuda:0` (CuPy, an extra, imported only when a CUDA device is asked for).

An array stays where it is until `Device.put` moves it. `with device("cuda:1"):` makes that device the default for what
is created inside. Everything in the core reaches CuPy through `Device.xp`; no other module imports it.
"""

from __future__ import annotations

import importlib
import re
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .errors import ConfigError, DeviceError, DTypeError, MissingExtraError

# An array of NumPy or CuPy, and the module that made it. CuPy ships no types, so both stay `Any`: the foreign edge.
Array = Any
ArrayModule = Any


@dataclass(frozen=True, slots=True)
class Device:
    """A place for arrays. Make one with `device("cuda:0")`, which checks that it is there.

    As a context manager it is the default device inside its block, in this thread or task:

    >>> with device("cpu"):
    ...     current_device()
    Device(kind='cpu', index=0)
    """

    kind: str  # "cpu" or "cuda"
    index: int = 0

    @property
    def xp(self) -> ArrayModule:
        """The array module of this device: `numpy` or `cupy`."""
        return np if self.kind == "cpu" else _cupy()

    def active(self) -> AbstractContextManager[object]:
        """A block in which CuPy allocates and launches on this device: it follows its own current device, not its
        arguments. On the CPU there is nothing to switch.
        """
        return _NO_SWITCH if self.kind == "cpu" else _cupy().cuda.Device(self.index)

    def put(self, array: Array) -> Array:
        """Move an array to this device; the array itself when it is there already.

        Raises:
            DTypeError: `array` is neither a NumPy nor a CuPy array.
        """
        source = device_of(array)
        if source == self:
            return array
        if self.kind == "cpu":
            with source.active():
                return _cupy().asnumpy(array)
        with self.active():
            return _cupy().asarray(array)  # also copies from another GPU, without a detour through the host

    def synchronize(self) -> None:
        """Wait until all work queued on this device is done; the CPU never queues."""
        if self.kind == "cuda":
            _cupy().cuda.Device(self.index).synchronize()

    def __enter__(self) -> Device:
        device_variable.set((*device_variable.get(), self))
        return self

    def __exit__(self, *_: object) -> None:
        device_variable.set(device_variable.get()[:-1])

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


CPU = Device("cpu")
_NO_SWITCH = nullcontext()
# The devices whose `with` blocks we are in, innermost last.
device_variable: ContextVar[tuple[Device, ...]] = ContextVar("nasturtium_devices", default=())


def cuda_count() -> int:
    """How many CUDA devices there are: 0 without a GPU, a driver or CuPy. Never raises."""
    try:
        cupy = _cupy()
    except MissingExtraError:
        return 0
    # is_available() never raises; asking for the count without a driver does.
    return int(cupy.cuda.runtime.getDeviceCount()) if cupy.cuda.is_available() else 0


def current_device() -> Device:
    """The default device: that of the innermost `with device(...)` block, the CPU outside of any."""
    entered = device_variable.get()
    return entered[-1] if entered else CPU


def device(name: str | Device | None = None) -> Device:
    """Resolve a device name and check that the device exists.

    Args:
        name: `"cpu"`, `"cuda"` (the first CUDA device) or `"cuda:N"`; None means `current_device()`.

    Raises:
        ConfigError: the name is none of these.
        MissingExtraError: a CUDA device was asked for and CuPy is not installed.
        DeviceError: CuPy is there, the device is not.
    """
    if name is None:
        return current_device()
    if isinstance(name, Device):
        return name
    if name == "cpu":
        return CPU
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if match is None:
        raise ConfigError(f"unknown device: expected 'cpu' or 'cuda:N', got {name!r}")
    index = int(match[1] or 0)
    _cupy()  # says what to install
    count = cuda_count()
    if index >= count:
        raise DeviceError(
            f"device cuda:{index} is not there: CuPy sees {count} CUDA devices",
            hint="use device 'cpu', or check the driver with nvidia-smi",
        )
    return _cuda_device(index)


def device_of(array: Array) -> Device:
    """The device an array lives on.

    Raises:
        DTypeError: `array` is neither a NumPy array or scalar nor a CuPy array.
    """
    if isinstance(array, (np.ndarray, np.generic)):
        return CPU
    index = getattr(getattr(array, "device", None), "id", None)
    if index is None:
        raise DTypeError(f"expected a NumPy or CuPy array, got {type(array).__module__}.{type(array).__qualname__}")
    return _cuda_device(int(index))


@cache
def _cuda_device(index: int) -> Device:
    return Device("cuda", index)


@cache
def _cupy() -> ArrayModule:
    try:
        return importlib.import_module("cupy")
    except ImportError as exc:
        raise MissingExtraError("a CUDA device", "gpu") from exc

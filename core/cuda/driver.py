"""`DriverKernel`: machine code that somebody else compiled, launched through the CUDA driver.

A kernel that nvcc or another compiler made is loaded from its cubin; a function of a library that is loaded already is
launched by its pointer. Neither brings its parameters along, so the caller declares them, and every launch is checked
against the declaration. The code itself is trusted: a cubin runs with all rights of this process on the GPU.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from ..device import Array, ArrayModule, Device
from ..errors import ConfigError, DeviceError, FormatError
from .geometry import Extent, check_launch
from .parameters import Parameter, bind_arguments, parse_parameters

ELF = b"\x7fELF"
# A fat binary: several cubins, of which the driver takes the one for its GPU.
FATBIN = b"\x50\xed\x55\xba"


class DriverKernel:
    """A compiled CUDA function. Made by `load_kernel` or `kernel_at`.

    Args:
        name: of the function, for messages.
        parameters: what the function takes.
        cubin: the binary that holds it, or None.
        pointer: the function's handle (`CUfunction`) on `device`, or None.
        device: where `pointer` is valid, or None.
    """

    def __init__(
        self,
        name: str,
        parameters: Sequence[Parameter],
        *,
        cubin: bytes | None = None,
        pointer: int | None = None,
        device: Device | None = None,
    ) -> None:
        self.name = name
        self.parameters = tuple(parameters)
        self._cubin = cubin
        self._pointer = pointer
        self._device = device
        # A binary is loaded once on each device; kept with the module that did it.
        self._loaded: dict[Device, tuple[ArrayModule, Any]] = {}

    def __repr__(self) -> str:
        return f"DriverKernel({self.name}: {', '.join(map(str, self.parameters))})"

    def launch(self, grid: Extent, block: Extent, *args: Any, shared_bytes: int = 0) -> None:
        """Queue the function on the device of its arrays; arguments as of `CudaKernel.launch`.

        Raises:
            ConfigError, DTypeError, ShapeError: see `bind_arguments` and `check_launch`.
            DeviceError: arrays on different devices, or on another one than the function pointer's; or the binary was
                made for another GPU.
        """
        place, bound = bind_arguments(self.name, self.parameters, args)
        full_grid, full_block = check_launch(self.name, grid, block, shared_bytes)
        with place.active():
            if self._pointer is None:
                self._function(place)(full_grid, full_block, tuple(bound), shared_mem=shared_bytes)
            else:
                self._launch_pointer(place, full_grid, full_block, bound, shared_bytes)

    def _function(self, place: Device) -> Any:
        xp = place.xp
        loaded = self._loaded.get(place)
        if loaded is not None and loaded[0] is xp:
            return loaded[1]
        module = xp.cuda.Module()
        try:
            module.load(self._cubin)
            function = module.get_function(self.name)
        except xp.cuda.driver.CUDADriverError as exc:
            raise DeviceError(
                f"{self.name} cannot be loaded on {place}: {exc}",
                hint="compile it for this GPU's architecture, and name the function as the binary does",
            ) from exc
        self._loaded[place] = (xp, function)
        return function

    def _launch_pointer(
        self, place: Device, grid: tuple[int, ...], block: tuple[int, ...], bound: Sequence[Any], shared_bytes: int
    ) -> None:
        if place != self._device:
            raise DeviceError(f"{self.name} is a function on {self._device}, its arguments live on {place}")
        cuda = place.xp.cuda
        cuda.Device(place.index).use()  # binds the device's context to this thread, which only CuPy's own launches do
        # The driver takes an array of addresses, one for each parameter, and copies what lies there.
        values = [_bytes_of(parameter, value) for parameter, value in zip(self.parameters, bound, strict=True)]
        addresses = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        stream = cuda.get_current_stream().ptr
        cuda.driver.launchKernel(self._pointer, *grid, *block, shared_bytes, stream, ctypes.addressof(addresses), 0)


def load_kernel(cubin: bytes, function: str, parameters: str) -> DriverKernel:
    """A function of a compiled binary.

    Args:
        cubin: a cubin or fat binary, from a file of yours or from `CudaKernel.compile`. It is loaded on each device at
            the first launch there. Never one that came over the network.
        function: its name in the binary: that in the source where it is `extern "C"`, else the mangled one.
        parameters: its parameters as in C++: `"const float* x, float* y, long long n"`.

    Raises:
        FormatError: `cubin` is neither a cubin nor a fat binary.
        ConfigError: the parameters cannot be read.
    """
    if cubin[:4] not in (ELF, FATBIN):
        raise FormatError(f"not a cubin or fat binary: expected it to start with {ELF!r}, got {cubin[:4]!r}")
    return DriverKernel(function, parse_parameters(parameters), cubin=cubin)


def kernel_at(pointer: int, parameters: str, *, device: Device, name: str = "function pointer") -> DriverKernel:
    """A function that is loaded already, by its handle: `CUfunction`, or `CUkernel` since CUDA 12.

    Args:
        pointer: the handle; whoever loaded the function keeps it loaded.
        parameters: its parameters as in C++: `"const float* x, float* y, long long n"`.
        device: the device on which it was loaded.
        name: for messages.

    Raises:
        ConfigError: the pointer is null, the device no CUDA device, or the parameters cannot be read.
    """
    if pointer <= 0:
        raise ConfigError(f"{name}: expected the address of a CUDA function, got {pointer}")
    if device.kind != "cuda":
        raise ConfigError(f"{name}: expected a CUDA device, got {device}")
    return DriverKernel(name, parse_parameters(parameters), pointer=pointer, device=device)


def _bytes_of(parameter: Parameter, value: Array) -> ctypes.Array[ctypes.c_char] | ctypes.c_void_p:
    if parameter.pointer:
        return ctypes.c_void_p(None if value is None else value.data.ptr)
    return ctypes.create_string_buffer(value.tobytes(), value.itemsize)

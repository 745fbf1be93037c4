"""`CudaKernel`: a function in CUDA C++, compiled at its first launch, with the same function in NumPy beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..device import ArrayModule
from ..errors import ConfigError
from ..registry import Registry
from .geometry import BLOCK, Extent, blocks_for, check_launch
from .nvrtc import compile_cubin
from .parameters import C_OF_DTYPE, Parameter, bind_arguments, find_parameters

HEADERS = {"float16": "#include <cuda_fp16.h>\n", "bfloat16": "#include <cuda_bf16.h>\n"}


class CudaKernel:
    """A kernel from CUDA C++ source.

    >>> import numpy as np
    >>> def scale(x, y, factor, n):
    ...     y[...] = x * factor
    >>> SCALE = CudaKernel(
    ...     'extern "C" __global__ void scale(const T* x, T* y, T factor, long long n) {'
    ...     "    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;"
    ...     "    if (i < n) y[i] = x[i] * factor;"
    ...     "}",
    ...     "scale",
    ...     reference=scale,
    ...     types={"T": "float32"},
    ... )
    >>> [str(parameter) for parameter in SCALE.parameters]
    ['float* x', 'float* y', 'float factor', 'long long n']

    On a GPU, `SCALE.over(x.size, x, y, 2.0, x.size)` launches it for CuPy arrays `x` and `y`.

    Args:
        source: CUDA C++17; NVRTC compiles it, so only the headers that CUDA brings can be included.
        function: the function to launch: `extern "C" __global__ void function(...)`.
        reference: the same computation in NumPy. Takes the same arguments, NumPy arrays for pointers, and writes its
            outputs in place. Tests compare with it, and run it where there is no GPU.
        types: names that the source uses for types, and the dtypes they stand for: one source, a kernel per dtype.
        options: further options of NVRTC, such as `("--fmad=false",)`.
        name: in the registry and in messages; the function with its types by default, as in "scale<float32>".

    Raises:
        ConfigError: the source declares no such function, or a parameter of it cannot be read; a dtype has no C++ type.
    """

    def __init__(
        self,
        source: str,
        function: str,
        *,
        reference: Callable[..., None],
        types: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        name: str | None = None,
    ) -> None:
        types = dict(types or {})
        for placeholder, dtype in types.items():
            if dtype not in C_OF_DTYPE:
                raise ConfigError(f"{function}: {placeholder} is {dtype!r}: expected one of {', '.join(C_OF_DTYPE)}")
        headers = "".join(header for dtype, header in HEADERS.items() if dtype in types.values())
        defines = "".join(f"#define {key} {C_OF_DTYPE[dtype]}\n" for key, dtype in types.items())
        self.source = headers + defines + source
        self.function = function
        self.reference = reference
        self.options = tuple(options)
        self.name = name or (f"{function}<{', '.join(types.values())}>" if types else function)
        self.parameters: tuple[Parameter, ...] = find_parameters(source, function, types=types)
        # CuPy compiles one binary per device behind this object; kept with the module that made it.
        self._compiled: tuple[ArrayModule, Any] | None = None

    def __repr__(self) -> str:
        return f"CudaKernel({self.name}: {', '.join(map(str, self.parameters))})"

    def launch(self, grid: Extent, block: Extent, *args: Any, shared_bytes: int = 0) -> None:
        """Queue the kernel on the device of its arrays.

        Args:
            grid: blocks along one to three axes.
            block: threads of a block along one to three axes, at most 1024 together.
            args: one for each parameter: a contiguous CuPy array or None (a null pointer) for a pointer, a number
                else.
            shared_bytes: dynamic shared memory of a block.

        Raises:
            ConfigError, DTypeError, DeviceError, ShapeError: see `bind_arguments` and `check_launch`.
        """
        place, bound = bind_arguments(self.name, self.parameters, args)
        full_grid, full_block = check_launch(self.name, grid, block, shared_bytes)
        with place.active():
            self._raw_kernel(place.xp)(full_grid, full_block, tuple(bound), shared_mem=shared_bytes)

    def over(self, threads: int, *args: Any, block: int = BLOCK) -> None:
        """Launch at least `threads` threads along one axis; checks the arguments and returns where `threads` is 0.

        A grid has at most 2^31 - 1 blocks, so the kernel must compare its index with the number of elements, and step
        by the size of the grid where there may be more elements than threads.
        """
        if threads < 0:
            raise ConfigError(f"{self.name}: expected threads >= 0, got {threads}")
        if threads == 0:
            bind_arguments(self.name, self.parameters, args)
            return
        self.launch(blocks_for(threads, block), block, *args)

    def compile(self, arch: str = "sm_90") -> bytes:
        """The cubin for one architecture, made without a GPU; see `compile_cubin`."""
        return compile_cubin(self.source, name=self.name, arch=arch, options=self.options)

    def _raw_kernel(self, xp: ArrayModule) -> Any:
        if self._compiled is None or self._compiled[0] is not xp:
            self._compiled = (xp, xp.RawKernel(self.source, self.function, self.options))
        return self._compiled[1]


# The kernels of the library: tests compile every one and compare it with its reference.
KERNELS: Registry[CudaKernel] = Registry("CUDA kernel")

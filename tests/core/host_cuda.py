"""Run CUDA kernels on the CPU: the C++ of the kernel, compiled by the host's compiler, one thread after the other.

For kernels whose threads do not wait for each other: no shared memory, no warp intrinsics. What runs is the source that
a GPU would run, with the rounding a GPU would use, so a wrong index, cast or constant shows without one.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasturtium.core.cuda import CudaKernel, Parameter

SHIM = """
#include <cmath>
#include <cstring>
struct Dim3 { unsigned x, y, z; };
static Dim3 blockIdx, threadIdx, blockDim, gridDim;
#define __global__
#define __device__
#define __launch_bounds__(...)
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
static inline long long __double_as_longlong(double x) { long long y; std::memcpy(&y, &x, 8); return y; }
static inline double __longlong_as_double(long long x) { double y; std::memcpy(&y, &x, 8); return y; }
"""
RUN = """
extern "C" void run_on_host(const unsigned* grid, const unsigned* block, void** args) {{
    gridDim = {{grid[0], grid[1], grid[2]}};
    blockDim = {{block[0], block[1], block[2]}};
    for (unsigned b = 0; b < grid[0] * grid[1] * grid[2]; ++b)
        for (unsigned t = 0; t < block[0] * block[1] * block[2]; ++t) {{
            blockIdx = {{b % grid[0], b / grid[0] % grid[1], b / grid[0] / grid[1]}};
            threadIdx = {{t % block[0], t / block[0] % block[1], t / block[0] / block[1]}};
            {function}({arguments});
        }}
}}
"""


class HostKernel:
    """A kernel compiled for the CPU; skips the test where there is no C++ compiler.

    Args:
        kernel: without `__shared__`, `__syncthreads` and the like.
        folder: where to compile.
    """

    def __init__(self, kernel: CudaKernel, folder: Path) -> None:
        compiler = shutil.which("g++") or shutil.which("clang++")
        if compiler is None:
            pytest.skip("no C++ compiler to run CUDA source on the CPU")
        arguments = ", ".join(_read(index, parameter) for index, parameter in enumerate(kernel.parameters))
        source = folder / "kernel.cpp"
        source.write_text(SHIM + kernel.source + RUN.format(function=kernel.function, arguments=arguments))
        library = folder / "kernel.so"
        # Like --fmad=false: a multiplication and an addition are rounded each.
        flags = ["-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC"]
        subprocess.run([compiler, *flags, str(source), "-o", str(library)], check=True, timeout=120)
        self._run = ctypes.CDLL(str(library)).run_on_host
        self._kernel = kernel

    def __call__(self, grid: int, block: int, *args: Any) -> None:
        """Run the grid over NumPy arrays and numbers, in place."""
        values = [
            ctypes.c_void_p(value.ctypes.data)
            if parameter.pointer
            else ctypes.create_string_buffer(parameter.scalar("host", value).tobytes())
            for parameter, value in zip(self._kernel.parameters, args, strict=True)
        ]
        addresses = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        extent = ctypes.c_uint * 3
        self._run(extent(grid, 1, 1), extent(block, 1, 1), addresses)


def _read(index: int, parameter: Parameter) -> str:
    c_type = str(parameter).removesuffix(parameter.name).strip()
    return f"*({c_type}*)args[{index}]"


def guarded(shape: int, dtype: str, guard: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """An array to write to, and the larger one it is the middle of, filled with a pattern that must survive."""
    whole = np.frombuffer(b"\xa5" * ((shape + 2 * guard) * np.dtype(dtype).itemsize), dtype).copy()
    return whole[guard : guard + shape], whole

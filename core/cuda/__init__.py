"""CUDA kernels of our own, at two levels: C++ source that CuPy compiles, and machine code that the driver launches.

Works on arrays and knows nothing of tensors; nothing here imports CuPy or a compiler before a kernel is launched or
compiled.
"""

from . import philox_kernels as philox_kernels
from .driver import DriverKernel, kernel_at, load_kernel
from .kernel import KERNELS, CudaKernel
from .nvrtc import CudaCompileError, compile_cubin
from .parameters import Parameter, parse_parameters

__all__ = [
    "KERNELS",
    "CudaCompileError",
    "CudaKernel",
    "DriverKernel",
    "Parameter",
    "compile_cubin",
    "kernel_at",
    "load_kernel",
    "parse_parameters",
]

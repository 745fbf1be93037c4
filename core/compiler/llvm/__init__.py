"""Machine code for CPUs through LLVM: kernels as IR text, an engine that compiles and keeps them, one native call."""

from .cache import KernelCache, default_cache
from .engine import Engine, KernelError, KernelUnknownError
from .host import CompilerUnavailable
from .kernel import Kernel, KernelReference, Slot, SlotKind
from .pool import Pool, default_pool
from .program import BARRIER, Barrier, Call, Pointer, Program, Record, Scalar, Value, call
from .target import Target, describe_target

__all__ = [
    "BARRIER",
    "Barrier",
    "Call",
    "CompilerUnavailable",
    "Engine",
    "Kernel",
    "KernelCache",
    "KernelError",
    "KernelReference",
    "KernelUnknownError",
    "Pointer",
    "Pool",
    "Program",
    "Record",
    "Scalar",
    "Slot",
    "SlotKind",
    "Target",
    "Value",
    "call",
    "default_cache",
    "default_pool",
    "describe_target",
]

"""Machine code for CPUs through LLVM: kernels as IR text, an engine that compiles and keeps them, one native call."""

from .cache import KernelCache, default_cache
from .engine import CompilerUnavailable, Engine, KernelError
from .kernel import Kernel, Slot, SlotKind
from .target import Target, describe_target

__all__ = [
    "CompilerUnavailable",
    "Engine",
    "Kernel",
    "KernelCache",
    "KernelError",
    "Slot",
    "SlotKind",
    "Target",
    "default_cache",
    "describe_target",
]

"""Machine code for CPUs through LLVM: kernels as IR text, an engine that compiles and keeps them, one native call."""

from .kernel import Kernel, Slot, SlotKind
from .target import Target, describe_target

__all__ = ["Kernel", "Slot", "SlotKind", "Target", "describe_target"]

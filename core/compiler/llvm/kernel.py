"""`Kernel`: one native function as LLVM IR text, and the argument slots that it reads.

Every kernel is `void name(ptr args, i64 tid, i64 nt)`. `args` points to slots of eight bytes: a pointer, an i64, or a
float32 in the low four bytes (little endian). Thread `tid` of `nt` does its share of the items, from `items * tid / nt`
to `items * (tid + 1) / nt`, and the result may not depend on `nt`. Shapes, strides and counts are slots: a kernel is
made for a pattern and a tile, never for one network.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

SlotKind = Literal["ptr", "i64", "f32"]
SLOT_BYTES = 8
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


@dataclass(frozen=True, slots=True)
class Slot:
    """One argument of a kernel: eight bytes in memory, at eight times its index."""

    name: str
    kind: SlotKind


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelReference:
    """A kernel without its text: enough to call it where it is known.

    Attributes:
        name: of the function.
        digest: of the module's text, see `digest_of`.
        slots: as the kernel's.
    """

    name: str
    digest: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel: its text is a module of its own, and all that it means follows from the text.

    Args:
        name: readable, and unique for (pattern, tile, unrolled sizes, vector width): the name of the function.
        ir: the whole definition, with opaque pointers: `define void @name(ptr %args, i64 %tid, i64 %nt) ... { ... }`.
            Names of arguments and attributes are its own business.
        slots: what `args` points to, in order.
        declares: further lines of the module: declarations of intrinsics, metadata nodes (`!0 = !{i32 1}`), private
            constants. Order does not matter. Nothing outside the module may be declared but LLVM's intrinsics: a
            function of a library comes as a pointer in a slot.
    """

    name: str
    ir: str
    slots: tuple[Slot, ...]
    declares: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert NAME.fullmatch(self.name), f"{self.name!r} is no name of a function"
        assert re.search(rf"define [a-z ]*void @{re.escape(self.name)}\(", self.ir), (
            f"the text does not define {self.name}"
        )
        assert len({slot.name for slot in self.slots}) == len(self.slots), f"{self.name}: two slots of one name"

    @cached_property
    def source(self) -> str:
        """The text of the module: equal for equal kernels."""
        return "\n".join((*sorted(set(self.declares)), self.ir, ""))

    @cached_property
    def digest(self) -> str:
        """Names the text."""
        return digest_of(self.source)

    @property
    def reference(self) -> KernelReference:
        """It without its text."""
        return KernelReference(name=self.name, digest=self.digest, slots=self.slots)

    @cached_property
    def index(self) -> dict[str, int]:
        """Of every slot, its place in `slots`."""
        return {slot.name: place for place, slot in enumerate(self.slots)}


def digest_of(source: str) -> str:
    """Names the text of a module: its SHA-256, as hex."""
    return hashlib.sha256(source.encode()).hexdigest()

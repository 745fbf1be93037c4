"""`Kernel`: CUDA C++ that was generated, how many threads it has, and the memory it touches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from ..native.place import Buffer
from .numbers import DType, c_type

NAME: Final = "NST_KERNEL"  # stands in a source for the kernel's name, which is made of the source

Extent = tuple[int, int, int]


@dataclass(slots=True, eq=False)
class Parameter:
    """A pointer that a kernel takes.

    Attributes:
        name: in the source.
        buffer: the memory behind it.
        dtype: of the elements.
        written: whether the kernel writes there; it never reads what it writes.
    """

    name: str
    buffer: Buffer
    dtype: DType
    written: bool = False

    def __str__(self) -> str:
        const = "" if self.written else "const "
        return f"{const}{c_type(self.dtype)}* __restrict__ {self.name}"


@dataclass(frozen=True, slots=True)
class Tail:
    """What is done with each element of a result before it is in memory.

    Attributes:
        parameters: further pointers.
        lines: statements over the element `value` and its number `r` in order.
        kind: the type of `r`.
    """

    parameters: tuple[Parameter, ...]
    lines: tuple[str, ...]
    kind: str

    def applied(self, offset: str, value: str, dtype: DType) -> str:
        """The statements for one element."""
        start = f"const {self.kind} r = {offset}; const {c_type(dtype)} value = {value};"
        return "{ " + " ".join([start, *self.lines]) + " }"


@dataclass(slots=True, eq=False)
class Kernel:
    """One launch.

    Attributes:
        label: what it computes, for people.
        name: of the function; equal sources have equal names.
        source: the function, and those that it calls.
        parameters: pointers, in order.
        grid, block: how many blocks, and threads of a block.
    """

    label: str
    name: str
    source: str
    parameters: tuple[Parameter, ...]
    grid: Extent
    block: Extent


@dataclass(slots=True, eq=False)
class Product:
    """A product of large matrices, which cuBLAS does.

    Attributes:
        label: for people.
        a, b, made: pointers.
        shapes, strides, origins: of a, b and the result, in elements.
    """

    label: str
    parameters: tuple[Parameter, Parameter, Parameter]
    shapes: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    origins: tuple[int, ...]


Work = Kernel | Product


def kernel(
    label: str,
    parameters: Sequence[Parameter],
    body: str,
    *,
    grid: Extent,
    block: Extent,
    functions: str = "",
) -> Kernel:
    """A kernel of a body.

    Args:
        label: for people.
        parameters: what the body calls them by.
        body: statements.
        grid, block: blocks, and threads of a block.
        functions: what stands before the kernel, with `NAME` in their names.
    """
    threads = block[0] * block[1] * block[2]
    declared = ", ".join(map(str, parameters))
    text = f'{functions}extern "C" __global__ void __launch_bounds__({threads}) {NAME}({declared}) {{\n{body}}}\n'
    name = f"nst_{hashlib.sha256(text.encode()).hexdigest()[:20]}"
    return Kernel(label, name, text.replace(NAME, name), tuple(parameters), grid, block)


def module_source(works: Sequence[Work]) -> str:
    """One source with every kernel once."""
    kernels = {work.name: work.source for work in works if isinstance(work, Kernel)}
    return prelude() + "\n".join(kernels.values())


@cache
def prelude() -> str:
    """What every module begins with."""
    return Path(__file__).with_name("prelude.cu").read_text()

"""What lowering makes: launches, the memory they touch, and where values lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from ...device import Array
from ..graph import Node, Value
from ..llvm.formula import DType
from ..llvm.fusion import Rows
from ..llvm.launch import Launch
from .bounds import Bounds
from .place import Buffer, Place

DTYPES: Final[Mapping[str, DType]] = {"float32": "f32", "bool": "bool", "int32": "i32", "int64": "i64"}


@dataclass(slots=True, eq=False)
class Work:
    """One launch, and the memory it touches.

    Attributes:
        launch: a kernel with its numbers.
        memory: the buffer of each of its pointers.
        writes: the names of those that it writes.
        label: what it computes, for people.
        beside: it writes what no other launch writes or reads without a barrier: the borders of images.
        nodes: what it computes, or is a part or a preparation of.
        moved: bytes that a copy moves; None where it is none.
    """

    launch: Launch
    memory: dict[str, Buffer]
    writes: frozenset[str]
    label: str
    beside: bool = False
    nodes: tuple[Node, ...] = ()
    moved: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """What is there in parts, to be finished by who reads it.

    Attributes:
        buffer: of the parts.
        layout: sums per channel, one sum, or means and squared deviations per channel.
        channels: how many.
        shape: of the value.
        factor: the sum is to be multiplied by.
        rows: how the parts lie.
        variance: of moments: whether it is the variance, not the mean.
    """

    buffer: Buffer
    layout: Literal["partials", "total", "moments"]
    channels: int
    shape: tuple[int, ...]
    factor: float = 1.0
    rows: Rows
    variance: bool = False


@dataclass(slots=True)
class Lowered:
    """A graph as launches.

    Attributes:
        works: in order.
        buffers: that the planner has to place.
        sources: where arguments, captures, draws and constants are bound, dense.
        tables: numbers that kernels need, bound once.
        places: of the values that are wanted, dense.
        lying: where values lie that are whole, wanted in the end or not.
        barriers: works before which all threads meet, whatever they touch.
        bounds: what numbers of rows are looked at before a run.
    """

    works: list[Work] = field(default_factory=list[Work])
    buffers: list[Buffer] = field(default_factory=list[Buffer])
    sources: dict[Value, Buffer] = field(default_factory=dict[Value, Buffer])
    tables: dict[Buffer, Array] = field(default_factory=dict[Buffer, Array])
    places: dict[Value, Place] = field(default_factory=dict[Value, Place])
    lying: dict[Value, Place] = field(default_factory=dict[Value, Place])
    barriers: set[int] = field(default_factory=set[int])
    bounds: list[Bounds] = field(default_factory=list[Bounds])

"""`Explanation`: what became of a compiled function, for people, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from .roofline import Roofline

Kind = Literal["product", "fused", "moved", "gradient", "scratch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A graph on its way to a program.

    Attributes:
        name: of the pass that made it.
        nodes: how many.
        text: the graph, a value a line, without the lines of the user.
    """

    name: str
    nodes: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One kernel at work; of the reference back end, one node.

    Attributes:
        number: from 0, in order.
        title: what it is.
        ops: what was fused into it, in order.
        again: what of that another launch computes as well: cheaper than to keep it.
        lines: the user's, as "file:line: text".
        kernel: the name of the code that runs; equal names are equal code.
        phase: how often threads have met before it.
        read_bytes, written_bytes: of all its operands, each counted once.
        macs: multiply-accumulates; not counted on a GPU.
        operations: of elements beside those, a dear one as many as it costs additions.
        predicted_ns: what the roofline says one core takes at least; None on a GPU.
        measured_ns: what one took, the median of some runs; None where there is no clock.
    """

    number: int
    title: str
    ops: tuple[str, ...]
    again: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    kernel: str | None = None
    phase: int = 0
    read_bytes: int
    written_bytes: int
    macs: int
    operations: int
    predicted_ns: float | None
    measured_ns: float | None

    @property
    def flops(self) -> int:
        """Floating point operations, two for a multiply-accumulate."""
        return 2 * self.macs + self.operations

    @property
    def size_bytes(self) -> int:
        """Read and written."""
        return self.read_bytes + self.written_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One value, or what belongs to one, in the arena.

    Attributes:
        label: what it is.
        kind: who makes it; "gradient" is the vector of all that an optimiser reads.
        offset: of its first byte.
        nbytes: its size.
        first, last: the phases in which it is needed, both included.
    """

    label: str
    kind: Kind
    offset: int
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """The plan of the block of memory that values share.

    Attributes:
        planned_bytes: the size of the block.
        bound_bytes: what any plan needs: the most that is alive at once.
        unplanned_bytes: what it would be if nothing shared memory.
        parts: in it, by offset.
    """

    planned_bytes: int
    bound_bytes: int
    unplanned_bytes: int
    parts: tuple[Memory, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramReport:
    """One program.

    Attributes:
        name: of its graph.
        back_end: what runs it: "llvm", "cuda" or "numpy".
        why: why no faster one does; None where there is none.
        stages: the graph as it was traced, and after each pass.
        launches: in order.
        arena: None where memory is not planned.
    """

    name: str
    back_end: str
    why: str | None
    stages: tuple[Stage, ...]
    launches: tuple[Launch, ...]
    arena: Arena | None

    @property
    def predicted_ns(self) -> float | None:
        """Of all launches, one after the other; None on a GPU."""
        times = [each.predicted_ns for each in self.launches if each.predicted_ns is not None]
        return sum(times) if times or not self.launches else None

    @property
    def measured_ns(self) -> float | None:
        """Of all launches; None where there is no clock."""
        times = [each.measured_ns for each in self.launches if each.measured_ns is not None]
        return sum(times) if times or not self.launches else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What runs when a compiled function is called: how it came about, what it costs, and where its values lie.

    Attributes:
        programs: the function's, and behind it that of its backward pass, where gradients are taken from outside.
        machine: what bounds a core.
    """

    programs: tuple[ProgramReport, ...]
    machine: Roofline

    def __str__(self) -> str:
        """Tables of at most 120 columns."""
        from .explained_text import text_of

        return text_of(self)

    def to_svg(self) -> str:
        """The plans of memory over time, and every launch below the roofline of the machine, as one SVG document."""
        from .explained_svg import svg_of

        return svg_of(self)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values for JSON, but the text of the graphs."""
        found = asdict(self)
        for program in found["programs"]:
            for stage in program["stages"]:
                del stage["text"]
        return _plain(found)


def _plain(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _plain(value) for key, value in item.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(item, Sequence) and not isinstance(item, str):
        return [_plain(value) for value in item]  # pyright: ignore[reportUnknownVariableType]
    return item

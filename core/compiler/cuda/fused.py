"""The kernel of a group: C++ for its elements, the sums over its rows, and what is stored.

Threads of a block share rows: with `lanes` threads for a row, each goes over every lanes-th element. Their sums are
added in a tree whose form depends on shapes alone, so the same bits come of it on every device and in every run.

A kernel is a row of loops over the elements of a row. Loop p computes what depends on the reductions of the loops
before it, and ends with the reductions that need nothing else. Elements are computed again in every loop that needs
them: reading them from the cache costs less than keeping them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ..graph import Node, Value
from ..native.place import Buffer, Place
from .axes import Axes, joined
from .expression import expression_of, operand_dtype
from .gather import READERS
from .group import REDUCTIONS, VIEWS, Group
from .kernel import Kernel, Tail, kernel
from .numbers import c_type, cast
from .operands import Operands
from .reductions import REDUCERS, accumulated, finish, finished, start_of

THREADS: Final = 256
PARTS: Final = 128  # blocks that share a long row, at most
PART: Final = 1024  # elements that each of them has, at least
PART_APART: Final = 128  # where they lie apart


class FusedWriter(Operands):
    """Writes the kernels of one group.

    Args:
        group: what to write.
        place_of: where values from outside lie.
        is_read_outside: whether somebody else needs a value of the group.
        new: makes memory for so many elements of so many bytes.

    Attributes:
        made: where the values lie that were stored, dense.
    """

    def __init__(
        self,
        group: Group,
        place_of: Callable[[Value], Place],
        is_read_outside: Callable[[Value], bool],
        new: Callable[[int, int], Buffer],
    ) -> None:
        super().__init__(group, place_of)
        self.made: dict[Value, Place] = {}
        self._stored = [o for node in group.nodes for o in node.outputs if is_read_outside(o)]
        for value in self._stored:
            self.made[value] = Place.dense(new(value.spec.size, value.dtype.itemsize), value.shape)
        self._has_readers = any(node.op.name in READERS for node in group.nodes)
        self._phase = _phases(group)
        self._parts = _parts(group)
        self._reductions = [node for node in group.nodes if node.op.name in REDUCTIONS]
        self._partial = {
            node.outputs[0]: new(self._parts * group.row_count, accumulated(node).itemsize)
            for node in self._reductions
            if self._parts > 1
        }

    def write(self) -> list[Kernel]:
        """The kernels: one, and one more to finish the sums of rows that are shared out."""
        group = self._group
        rows, columns = group.row_count, group.columns
        if not rows or not (columns or self._reductions):
            return []
        everywhere = range(len(group.shape))
        outer_axes = [axis for axis in everywhere if axis not in group.axes]
        body = ""
        for final in (False, True):
            strides = self._strides
            outer = joined(group.shape, outer_axes, strides, apart=self._has_readers or not final)
            inner = joined(group.shape, group.axes, strides, apart=self._has_readers or not final)
            self._named = {run[-1] for run in (*outer.runs, *inner.runs)}
            self._begin()
            body = self._body(outer, inner)
        lanes, together, _ = self._threads()
        label = " ".join(dict.fromkeys(node.op.name for node in group.nodes))
        parameters = list(self._parameters.values())
        grid = (-(-rows // together), self._parts, 1)
        found = [kernel(label, parameters, body, grid=grid, block=(lanes * together, 1, 1))]
        if self._parts == 1:
            return found
        parts = [(node, self._partial[node.outputs[0]], self.made[node.outputs[0]].buffer) for node in self._reductions]
        return [*found, finish(parts, self._parts, rows)]

    def tail(self, value: Value) -> Tail:
        """What a group without rows does with each element of a value, for the kernel that computes the value."""
        group, lines = self._group, list[str]()
        for final in (False, True):
            outer = joined(group.shape, range(len(group.shape)), self._strides, apart=not final)
            self._named = {run[-1] for run in outer.runs}
            self._begin()
            self._texts[value] = "value"
            lines = outer.lines("r", self._int)
            for node in group.nodes:
                lines += self._statement(node)
            for stored in self._stored:
                name = self._pointer(self.made[stored].buffer, stored.dtype, written=True).name
                lines.append(f"{name}[r] = {self._texts[stored]};")
        return Tail(tuple(self._parameters.values()), tuple(lines), self._int)

    # --- text ---

    def _body(self, outer: Axes, inner: Axes) -> str:
        group, kind = self._group, self._int
        lanes, together, by_rows = self._threads()
        rows = group.row_count
        lines = ["const int t = threadIdx.x;"] if lanes * together > 1 else ["const int t = 0;"]
        lines.append(f"const int lane = {'0' if lanes == 1 else f't / {together}' if by_rows else f't % {lanes}'};")
        inside = "t" if lanes == 1 else f"t % {together}" if by_rows else f"t / {lanes}"
        lines.append(f"const {kind} row = blockIdx.x * ({kind}){together} + {inside};")
        exact = rows % together == 0
        lines.append(f"const {kind} r = {'row' if exact else f'row < {rows} ? row : {rows - 1}'};")
        lines += outer.lines("r", kind)
        last = max(self._phase.values(), default=0)
        stored = "true" if exact else f"row < {rows}"
        for phase in range(last + 1):
            ending = [n for n in self._reductions if self._phase[n.outputs[0]] == phase + 1]
            storing = [v for v in self._stored if v not in group.rows and self._phase[v] == phase]
            if ending or storing:
                lines += self._loop(phase, ending, storing, inner, stored, lanes)
            for node in ending:
                lines.append(self._reduced(node, lanes, together, by_rows))
            if self._parts == 1:
                for node in group.nodes:
                    output = node.outputs[0]
                    if output in group.rows and node not in ending and self._phase[output] == phase + 1:
                        lines += self._statement(node)
        rows_stored = [value for value in self._stored if value in group.rows]
        if self._parts > 1:
            for node in self._reductions:
                buffer = self._partial[node.outputs[0]]
                name = self._pointer(buffer, accumulated(node), written=True).name
                lines.append(f"if (lane == 0 && {stored}) {name}[blockIdx.y * {rows} + r] = v{self._id(node)};")
        elif rows_stored:
            lines.append(f"if (lane == 0 && {stored}) {{")
            for value in rows_stored:
                name = self._pointer(self.made[value].buffer, value.dtype, written=True).name
                lines.append(f"    {name}[r] = {self._texts[value]};")
            lines.append("}")
        return "".join(f"    {line}\n" for line in lines)

    def _loop(
        self, phase: int, ending: Sequence[Node], storing: Sequence[Value], inner: Axes, stored: str, lanes: int
    ) -> list[str]:
        """One walk over the elements of a row."""
        group, kind = self._group, self._int
        lines = [f"{c_type(accumulated(node))} a{self._id(node)} = {start_of(node)};" for node in ending]
        needed = self._needed([*(value for node in ending for value in node.values), *storing])
        body: list[str] = inner.lines("c", kind)
        before = dict(self._texts)
        for node in group.nodes:
            if node.outputs[0] in needed:
                body += self._statement(node)
        for node in ending:
            (value,) = node.values
            text = cast(self._text(value, node), value.dtype, accumulated(node))
            body.append(f"a{self._id(node)} = {REDUCERS[node.op.name]}()(a{self._id(node)}, {text});")
        for value in storing:
            place = self.made[value]
            self._strides.append(place.strides)
            name = self._pointer(place.buffer, value.dtype, written=True).name
            target = f"{name}[{' + '.join(self._offset(place.strides)) or '0'}] = {self._texts[value]};"
            body.append(target if stored == "true" else f"if ({stored}) {target}")
        self._texts = before
        if not group.axes:
            return [*lines, f"const {kind} c = 0; (void)c;", *body]
        columns = group.columns
        start, stop = "lane", str(columns)
        if self._parts > 1:
            part = -(-columns // self._parts)
            start = f"blockIdx.y * {part} + lane"
            stop = f"min(({kind})blockIdx.y * {part} + {part}, ({kind}){columns})"
        head = f"for ({kind} c = {start}; c < {stop}; c += {lanes}) {{"
        return [*lines, head, *(f"    {line}" for line in body), "}"]

    def _statement(self, node: Node) -> list[str]:
        """Computes the output of a node."""
        output, group = node.outputs[0], self._group
        name = f"v{self._id(node)}"
        if node.op.name in VIEWS:
            (source,) = node.values
            self._texts[output] = self._texts[source]
            return []
        lines: list[str] = []
        if node.op.name in READERS:
            at = ["0" if length == 1 else f"i{axis}" for axis, length in enumerate(group.shape)]
            lines, text = READERS[node.op.name](self, node, at)
        else:
            dtypes = [operand_dtype(item, node) for item in node.inputs]
            texts = [self._text(item, node) for item in node.inputs]
            text = expression_of(node, texts, dtypes)
        self._texts[output] = name
        return [*lines, f"const {c_type(output.dtype)} {name} = {text};"]

    def _reduced(self, node: Node, lanes: int, together: int, by_rows: bool) -> str:
        """The reduction of a row from those of its threads."""
        dtype, name = accumulated(node), f"v{self._id(node)}"
        text = f"a{self._id(node)}"
        if lanes > 1:
            step = together if by_rows else 1
            reducer = f"{REDUCERS[node.op.name]}, {c_type(dtype)}, {lanes}, {step}, {lanes * together}"
            text = f"nst_reduce<{reducer}>({text}, t, lane)"
        if self._parts == 1:
            text = finished(node, text)
        self._texts[node.outputs[0]] = name
        return f"const {c_type(dtype)} {name} = {text};"

    # --- structure ---

    def _id(self, node: Node) -> int:
        return self._group.nodes.index(node)

    def _needed(self, values: Sequence[Value]) -> set[Value]:
        """The values of single elements that these are computed from, in this group."""
        found: set[Value] = set()
        pending = list(values)
        while pending:
            value = pending.pop()
            if value in found or value not in self._own or value in self._group.rows or value.node is None:
                continue
            found.add(value)
            pending.extend(value.node.values)
        return found

    def _threads(self) -> tuple[int, int, bool]:
        """Threads for a row, rows of a block, and whether neighbouring threads have neighbouring rows."""
        group = self._group
        if not group.axes:
            return 1, min(THREADS, _power_of_two(group.row_count)), False
        columns = -(-group.columns // self._parts)
        if group.is_apart:
            together = min(32, _power_of_two(group.row_count))
            return min(THREADS // together, _power_of_two(-(-columns // 8))), together, True
        lanes = min(THREADS, _power_of_two(-(-columns // 4)))
        return lanes, max(1, min(THREADS // 2 // lanes, _power_of_two(group.row_count))), False


def _phases(group: Group) -> dict[Value, int]:
    """Behind how many loops over a row each value is known."""
    found: dict[Value, int] = {}
    for node in group.nodes:
        before = max((found.get(value, 0) for value in node.values), default=0)
        found[node.outputs[0]] = before + (node.op.name in REDUCTIONS)
    return found


def _parts(group: Group) -> int:
    """Over how many blocks each row is shared out."""
    least = PART_APART if group.is_apart else PART
    return max(1, min(PARTS, group.columns // least)) if group.split else 1


def _power_of_two(count: int) -> int:
    """The least power of two that is not below a count."""
    return 1 << max(count - 1, 0).bit_length()

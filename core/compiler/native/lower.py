"""From a schedule to launches of kernels: where every value lies, and what each kernel reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Final

from ..graph import Graph, Input, Node, Value
from ..llvm import normalisation
from ..llvm.expression import Operand, term_of
from ..llvm.formula import SHARDS, DType, Formula, Layout, Term
from ..llvm.fusion import Rows, Where, fuse
from ..llvm.launch import Images, Launch
from ..llvm.matmul import matrices, multiply, pack_right, packed_right_size
from ..llvm.target import Target
from .group import PRODUCTS, Group, Grouping, Unsupported, readers, reduction_of
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
        scratch: floats of scratch memory for each thread.
    """

    launch: Launch
    memory: dict[str, Buffer]
    writes: frozenset[str]
    label: str
    scratch: int = 0


@dataclass(slots=True)
class _Partial:
    """A sum that is there as SHARDS parts, to be finished by who reads it."""

    buffer: Buffer
    layout: Layout
    channels: int
    factor: float
    shape: tuple[int, ...]


@dataclass(slots=True)
class Lowered:
    """A graph as launches.

    Attributes:
        works: in order.
        buffers: that the planner has to place.
        sources: where arguments, captures, draws and constants are bound, dense.
        places: of the values that are wanted, dense.
    """

    works: list[Work] = field(default_factory=list[Work])
    buffers: list[Buffer] = field(default_factory=list[Buffer])
    sources: dict[Value, Buffer] = field(default_factory=dict[Value, Buffer])
    places: dict[Value, Place] = field(default_factory=dict[Value, Place])


class Lowering:
    """Lowers one graph.

    Args:
        graph: optimised and taken apart.
        target: the CPU.

    Attributes:
        result: what came of it.
        target: the CPU.
        places: where values lie that are whole.
        partials: sums that are still in parts.

    Raises:
        Unsupported: it has something that there are no kernels for.
    """

    def __init__(self, graph: Graph, target: Target) -> None:
        self.result = Lowered()
        self.target = target
        self.places: dict[Value, Place] = {}
        self.partials: dict[Value, _Partial] = {}
        self._readers = readers(graph)
        self._wanted = set(graph.wanted())
        for number, value in enumerate(graph.sources()):
            if value.dtype.name not in DTYPES:
                raise Unsupported(f"a source of {value.dtype.name}")
            buffer = Buffer(f"source{number}", value.spec.size, value.dtype.itemsize)
            self.result.sources[value] = buffer
            self.places[value] = Place.dense(buffer, value.shape)
        for item in Grouping(graph).items:
            if isinstance(item, Group):
                self._group(item)
            elif item.op.name in PRODUCTS:
                self._product(item)
            else:
                self._view(item)
        for value in self._wanted:
            self.result.places[value] = self._dense(value)

    # --- memory ---

    def new(self, elements: int, itemsize: int = 4) -> Buffer:
        """Memory for the planner to place."""
        buffer = Buffer("arena", elements, itemsize)
        self.result.buffers.append(buffer)
        return buffer

    def add(
        self, launch: Launch, memory: dict[str, Buffer], writes: Sequence[str], label: str, scratch: int = 0
    ) -> None:
        """One more launch; see `Work`."""
        self.result.works.append(Work(launch, memory, frozenset(writes), label, scratch))

    def place(self, value: Value) -> Place:
        """Where a value lies; a sum in parts is finished first."""
        known = self.places.get(value)
        if known is None:
            partial = self.partials[value]
            f = Formula()
            term = f.operand("parts", partial.layout) * partial.factor
            f.store("whole", term, layout="channel" if partial.layout == "partials" else "scalar")
            buffer = self.new(partial.channels)
            where: dict[str, Where] = {"parts": Rows(partial.channels), "whole": 0}
            fused = fuse(self.target, f.pattern(), (1, 1, 1, partial.channels), where)
            memory = {"parts": partial.buffer, "whole": buffer}
            self.add(fused.launch, memory, ["whole"], "finish", fused.scratch)
            known = self.places[value] = Place.dense(buffer, partial.shape)
        return known

    def _dense(self, value: Value) -> Place:
        """Where a value lies in order and without gaps; copied if it does not."""
        place = self.place(value)
        if place.is_dense and prod(place.shape) == place.buffer.elements and place.origin == 0:
            return place
        return self._copied(place, DTYPES[value.dtype.name])

    def _copied(self, place: Place, dtype: DType) -> Place:
        target = Place.dense(self.new(prod(place.shape), place.buffer.itemsize), place.shape)
        walk = _Walk(place.shape, [target, place], last=False)
        f = Formula()
        f.store("to", walk.operand(f, "from", place, dtype), dtype=dtype, layout=walk.layout(target))
        fused = fuse(
            self.target, f.pattern(), walk.grid, {"from": walk.where(place), "to": walk.where(target)} | walk.extra
        )
        self.add(fused.launch, {"from": place.buffer, "to": target.buffer}, ["to"], "copy", fused.scratch)
        return target

    # --- views ---

    def _view(self, node: Node) -> None:
        (value,) = node.values
        source, output = self.place(value), node.outputs[0]
        match node.op.name:
            case "transpose":
                found = source.transposed(node.params["axes"])
            case "broadcast_to":
                found = source.broadcast(output.shape)
            case "getitem":
                found = source.indexed(node.params["key"])
            case _:
                found = source.reshaped(output.shape)
                if found is None:
                    found = self._copied(source, DTYPES[value.dtype.name]).reshaped(output.shape)
        if found is None:
            raise Unsupported(f"{node.op.name} with {dict(node.params)}")
        self.places[output] = found

    # --- products ---

    def _product(self, node: Node) -> None:
        left, right = node.inputs
        assert isinstance(left, Value)
        assert isinstance(right, Value)
        if {left.dtype.name, right.dtype.name} != {"float32"} or min(len(left.shape), len(right.shape)) < 2:
            raise Unsupported(f"matmul of {left.spec} and {right.spec}")
        output = node.outputs[0]
        a, b = self.place(left), self.place(right)
        if len(b.shape) == 2 and len(a.shape) > 2:  # one product of more rows
            rows = (prod(a.shape[:-1]), a.shape[-1])
            flat = a.reshaped(rows) or self._copied(a, "f32").reshaped(rows)
            assert flat is not None
            a = flat
        elif a.shape[:-2] != b.shape[:-2] or len(a.shape) > 3:
            batch = output.shape[:-2]
            a, b = (self._batched(each, batch) for each in (a, b))
        made = Place.dense(self.new(output.spec.size), (*a.shape[:-1], b.shape[-1]))
        self.places[output] = Place.dense(made.buffer, output.shape)
        if not output.spec.size:
            return
        if not left.shape[-1]:
            raise Unsupported("a product over nothing")
        self._multiply(a, b, made, node.where or "matmul")

    def _batched(self, place: Place, batch: tuple[int, ...]) -> Place:
        wide = place.broadcast((*batch, *place.shape[-2:]))
        flat = wide.reshaped((prod(batch), *place.shape[-2:]))
        if flat is None:
            flat = self._copied(wide, "f32").reshaped((prod(batch), *place.shape[-2:]))
        assert flat is not None
        return flat

    def _multiply(self, a: Place, b: Place, c: Place, label: str) -> None:
        a = a if 1 in (_step(a, -1), _step(a, -2)) else self._copied(a, "f32")
        b = b if 1 in (_step(b, -1), _step(b, -2)) else self._copied(b, "f32")
        turned_a, turned_b = _step(a, -1) != 1, _step(b, -1) != 1
        if turned_a and turned_b:
            b, turned_b = self._copied(b, "f32"), False
        left, right = (
            _matrices(p.transposed(_turn(p))) if t else _matrices(p) for p, t in ((a, turned_a), (b, turned_b))
        )
        memory = {"x": a.buffer, "w": b.buffer, "y": c.buffer}
        if turned_b:
            packed = self.new(packed_right_size(right))
            self.add(pack_right(self.target, right), {"source": b.buffer, "result": packed}, ["result"], "pack")
            memory["w"] = packed
        form = "tn" if turned_a else "nt" if turned_b else "nn"
        for launch in multiply(self.target, form, left, right, _matrices(c)):
            self.add(launch, {name: memory[name] for name in launch.offsets}, ["y"], label)

    # --- groups ---

    def _group(self, group: Group) -> None:
        _GroupLowering(self, group).run()

    def is_read_outside(self, value: Value, group: Group) -> bool:
        """Whether anybody but the group's own nodes wants a value."""
        own = set(map(id, group.nodes))
        return value in self._wanted or any(id(node) not in own for node in self._readers.get(value, ()))


class _GroupLowering:
    """Lowers one group to one kernel."""

    def __init__(self, outer: Lowering, group: Group) -> None:
        self._outer = outer
        self._group = group
        self._formula = Formula()
        self._terms: dict[Value, Term] = {}
        self._memory: dict[str, Buffer] = {}
        self._where: dict[str, Where] = {}
        self._writes: list[str] = []
        own = {output for node in group.nodes for output in node.outputs}
        outside = dict.fromkeys(v for node in group.nodes for v in node.values if v not in own)
        partials = outer.partials
        self._read_in_parts = {v: partials[v] for v in outside if self._takes_parts(v, partials)}
        self._operands = {v: outer.place(v) for v in outside if v not in self._read_in_parts}
        wide = [p.broadcast(group.shape) for v, p in self._operands.items() if len(v.shape) <= len(group.shape)]
        by_itself = group.rowwise or group.channels or any(p.layout == "partials" for p in self._read_in_parts.values())
        self._walk = _Walk(group.shape, wide, last=by_itself)

    def run(self) -> None:
        """Make the kernel."""
        group, outer = self._group, self._outer
        if not prod(group.shape):
            raise Unsupported("tensors without elements")
        for node in group.nodes:
            output = node.outputs[0]
            kind = reduction_of(node)
            if kind in ("channel", "total"):
                self._reduce(node, kind)
                continue
            term = self._compute(node, kind)
            self._terms[output] = term
            if outer.is_read_outside(output, group):
                self._store(output, term)
        fused = fuse(outer.target, self._formula.pattern(), self._walk.grid, self._where | self._walk.extra)
        label = " ".join(dict.fromkeys(node.op.name for node in group.nodes))
        memory = {name: self._memory[name] for name in fused.launch.offsets if name != "scratch"}
        outer.add(fused.launch, memory, self._writes, label, fused.scratch)

    def _takes_parts(self, value: Value, partials: Mapping[Value, _Partial]) -> bool:
        """Whether the sums of an earlier group can be finished by each thread here."""
        partial = partials.get(value)
        if partial is None or value in self._outer.places:
            return False
        if partial.layout == "total":
            return True
        return partial.shape[-1:] == self._group.shape[-1:] and all(n == 1 for n in partial.shape[:-1])

    def _compute(self, node: Node, kind: str | None) -> Term:
        name = node.op.name
        if kind == "row":
            x = self._term(node.inputs[0])
            count = next(node.values).shape[-1]
            reduced = {"sum": x.row_sum, "mean": x.row_sum, "max": x.row_max, "min": x.row_min}[name]()
            return reduced * (1.0 / count) if name == "mean" else reduced
        if name == "log_softmax":
            shifted = (x := self._term(node.inputs[0])) - x.row_max()
            return shifted - shifted.exp().row_sum().log()
        if name == "standardize":
            return normalisation.standardise_row(self._term(node.inputs[0]), node.params["epsilon"]).value
        if name == "rms_standardize":
            return normalisation.root_mean_square_row(self._term(node.inputs[0]), node.params["epsilon"]).value
        if name == "one_hot":
            label = self._term(node.inputs[0], expand=True)
            return self._formula.channel_index().equals(label.cast("i32")).cast("f32")
        names = dict(zip(node.op.inputs, (self._operand(item) for item in node.inputs), strict=True))
        names |= {key: value for key, value in node.params.items() if isinstance(value, int | float)}
        assert node.op.kernel is not None
        try:
            found = term_of(self._formula, name, node.op.kernel, names)
        except (KeyError, AssertionError, TypeError) as exc:
            raise Unsupported(f"the op {name}: {exc}") from exc
        return found.cast(DTYPES[node.outputs[0].dtype.name])

    def _operand(self, item: Input) -> Operand:
        if isinstance(item, Value):
            return self._term(item)
        if isinstance(item, complex):
            raise Unsupported("complex numbers")
        return item

    def _term(self, value: Input, *, expand: bool = False) -> Term:
        """A value as a term: computed here, or read."""
        if not isinstance(value, Value):
            assert isinstance(value, int | float)
            return self._formula.constant(value)
        known = self._terms.get(value)
        if known is not None:
            return known
        name = f"x{len(self._memory)}"
        partial = self._read_in_parts.get(value)
        if partial is not None:
            self._memory[name] = partial.buffer
            self._where[name] = Rows(partial.channels)
            term = self._formula.operand(name, partial.layout) * partial.factor
        else:
            place = self._operands[value]
            if expand:
                place = Place(place.buffer, (*place.shape, 1), (*place.strides, 0), place.origin)
            place = place.broadcast(self._group.shape)
            self._memory[name] = place.buffer
            term = self._walk.operand(self._formula, name, place, DTYPES[value.dtype.name])
            self._where[name] = self._walk.where(place)
        self._terms[value] = term
        return term

    def _store(self, value: Value, term: Term) -> None:
        shape, dtype = self._group.shape, DTYPES[value.dtype.name]
        rows = value.shape != shape and prod(value.shape) != prod(shape)
        buffer = self._outer.new(value.spec.size, value.dtype.itemsize)
        name = f"y{len(self._memory)}"
        self._memory[name] = buffer
        self._writes.append(name)
        wide = (*shape[:-1], 1) if rows else shape
        place = Place.dense(buffer, wide, [axis for axis in self._walk.order if axis < len(wide)])
        at = place.broadcast(shape)
        self._formula.store(name, term, dtype=dtype, layout=self._walk.layout(at))
        self._where[name] = self._walk.where(at)
        found = place if len(value.shape) == len(wide) else place.reshaped(value.shape)
        if found is None:
            raise Unsupported("a reduction in another layout")
        self._outer.places[value] = found

    def _reduce(self, node: Node, kind: str) -> None:
        output, name = node.outputs[0], f"p{len(self._memory)}"
        value = next(node.values)
        if node.op.name == "mean_nll":
            term = self._term(node.inputs[0]) * self._term(node.inputs[1])
            factor = -1.0 / node.params["count"]
        else:
            term = self._term(value)
            factor = output.spec.size / value.spec.size if node.op.name == "mean" else 1.0
        channels = self._group.shape[-1] if kind == "channel" else 1
        buffer = self._outer.new(SHARDS * channels)
        self._memory[name] = buffer
        self._writes.append(name)
        self._where[name] = Rows(channels)
        if kind == "channel":
            self._formula.channel_sum(name, term)
        elif term.step.varies:
            self._formula.total_sum(name, term)
        else:
            raise Unsupported("the sum of one element repeated")
        layout: Layout = "partials" if kind == "channel" else "total"
        self._outer.partials[output] = _Partial(buffer, layout, channels, factor, output.shape)


class _Walk:
    """The order in which a kernel walks a shape: axes as they lie in memory, joined as far as all operands allow.

    Args:
        shape: what is walked.
        operands: places of that shape.
        last: whether the last axis is to be the innermost, by itself.

    Raises:
        Unsupported: more than four axes are left, or the last one is not the innermost.
    """

    def __init__(self, shape: tuple[int, ...], operands: Sequence[Place], *, last: bool) -> None:
        self.extra: dict[str, Where] = {}
        widest = max(operands, key=lambda place: sum(step != 0 for step in place.strides), default=None)
        self.order = tuple(range(len(shape))) if widest is None else widest.order()
        if last and self.order and self.order[-1] != len(shape) - 1:
            self.order = tuple(range(len(shape)))
        merged: list[list[int]] = []
        for axis in self.order:
            if shape[axis] == 1 and len(shape) > 1 and not (last and axis == len(shape) - 1):
                continue
            inner = bool(merged) and not (last and axis == len(shape) - 1)
            if inner and all(p.strides[merged[-1][-1]] == p.strides[axis] * shape[axis] for p in operands):
                merged[-1].append(axis)
            else:
                merged.append([axis])
        if len(merged) > 4:
            raise Unsupported(f"operands that lie in {len(merged)} different orders")
        empty: list[list[int]] = [[] for _ in range(4 - len(merged))]
        self._axes = empty + merged
        lengths = [prod(shape[axis] for axis in axes) for axes in self._axes]
        self.grid = (lengths[0], lengths[1], lengths[2], lengths[3])

    def steps(self, place: Place) -> tuple[int, int, int, int]:
        """The strides of a place along items, rows, pixels and channels."""
        found = [place.strides[axes[-1]] if axes else 0 for axes in self._axes]
        return found[0], found[1], found[2], found[3]

    def layout(self, place: Place) -> Layout:
        """How the elements of a place belong to those that are walked.

        Raises:
            Unsupported: in no way that kernels know.
        """
        *outer, channel = self.steps(place)
        single = self.grid[3] == 1
        if any(outer) or self.grid[:3] == (1, 1, 1):
            if channel == 1 or (single and any(outer)):
                return "full"
            if channel == 0:
                return "pixel" if any(outer) else "scalar"
            return "strided"
        if channel == 0 or single:
            return "scalar"
        if channel != 1:
            raise Unsupported("channels that do not lie side by side")
        return "channel"

    def where(self, place: Place) -> Where:
        """The same for `fuse`."""
        if self.layout(place) in ("channel", "scalar"):
            return place.origin
        image, row, pixel, _ = self.steps(place)
        items, rows, pixels, channels = self.grid
        return Images(
            count=items, height=rows, width=pixels, channels=channels, image=image, row=row, pixel=pixel,
            origin=place.origin,
        )  # fmt: skip

    def operand(self, f: Formula, name: str, place: Place, dtype: DType) -> Term:
        """Declare an operand that is read at a place."""
        layout = self.layout(place)
        if layout == "strided":
            self.extra[f"{name}.channel"] = self.steps(place)[3]
        return f.operand(name, layout, dtype)


def _step(place: Place, axis: int) -> int:
    """The stride along an axis; 1 where there is nothing to step over."""
    return 1 if place.shape[axis] == 1 else place.strides[axis]


def _turn(place: Place) -> tuple[int, ...]:
    rank = len(place.shape)
    return (*range(rank - 2), rank - 1, rank - 2)


def _matrices(place: Place) -> Images:
    """A place of one or more matrices as images of one row."""
    rows, columns = place.shape[-2:]
    count = prod(place.shape[:-2])
    stride = place.strides[-2] if rows > 1 else columns
    step = place.strides[0] if len(place.shape) == 3 and count > 1 else rows * stride
    found = matrices(count, rows, columns, step=step, stride=stride)
    return Images(
        count=count, height=1, width=rows, channels=columns, image=found.image, row=found.row, pixel=found.pixel,
        origin=place.origin, size=found.size,
    )  # fmt: skip


def lower(graph: Graph, target: Target) -> Lowered:
    """The launches of a graph; see `Lowering`."""
    return Lowering(graph, target).result

"""`Memory`: how operands of a pattern are read and written, a vector of channels at a time, and by which slots.

A `Place` says which channels a vector holds, and where the operands of the pixel begin. Vectors that are not full have
a mask; memory of lanes that it leaves out is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .formula import SHARDS, DType, Operand, Pattern, Step, Store
from .ir import FLOAT, INT, POINTER, Value, Writer, mangled, number, vector
from .kernel import Slot

ELEMENTS: dict[DType, str] = {"f32": FLOAT, "i32": "i32", "i64": "i64", "bool": "i1"}
IN_MEMORY: dict[DType, str] = {**ELEMENTS, "bool": "i8"}
BYTES: dict[DType, int] = {"f32": 4, "i32": 4, "i64": 8, "bool": 1}
STREAM = "!nontemporal !0"
STREAM_NODE = "!0 = !{i32 1}"


@dataclass(slots=True)
class Place:
    """Where a vector is.

    Attributes:
        channel: the number of its first channel, i64.
        bases: of every operand with elements per pixel, by its number, the address of this pixel's.
        offset: from the bases to the vector, if that is not the channel's number.
        mask: the lanes that are channels; None for all.
        row, pixel: which pixel, i64.
    """

    channel: Value
    bases: Mapping[int, Value] = field(default_factory=dict[int, Value])
    offset: Value | None = None
    mask: Value | None = None
    row: Value | None = None
    pixel: Value | None = None


@dataclass
class Memory:
    """Reads and writes the operands of one pattern.

    Args:
        k: where to.
        pattern: what.
        stream: full operands that are written past the cache; they and their strides are aligned to vectors.
    """

    k: Writer
    pattern: Pattern
    stream: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.width = self.k.target.width
        self.floats = vector(self.width)
        if self.stream:
            self.k.declares[STREAM_NODE] = None

    def in_type(self, dtype: DType) -> str:
        """The type of a vector of that dtype."""
        return vector(self.width, ELEMENTS[dtype])

    def loaded(self, step: Step, place: Place | None) -> Value:
        """What a "load" reads; `place` is None only for what is the same everywhere."""
        k, operand = self.k, self.pattern.operands[step.operand]
        match operand.layout:
            case "number":
                return k.splat(k[operand.name], self.width)
            case "scalar":
                return self._one(k[operand.name], operand.dtype)
            case "total":
                total = k.load(k[operand.name])
                for shard in range(1, SHARDS):
                    total = k.fadd(total, k.load(k.at(k[operand.name], shard)))
                return k.splat(total, self.width)
            case "partials":
                assert place is not None
                return self._sum_of_partials(operand, place)
            case "pixel":
                assert place is not None
                return self._one(place.bases[step.operand], operand.dtype)
            case "strided":
                assert place is not None
                return self._gathered(self._addresses(step.operand, step.shift, place), operand.dtype, place.mask)
            case _:
                assert place is not None
                assert operand.layout in ("channel", "full"), f"a load of {operand.layout}"
                return self._vector(self.address(step.operand, step.shift, place), operand.dtype, place.mask)

    def _one(self, pointer: Value, dtype: DType) -> Value:
        """One element in every lane."""
        k = self.k
        value = k.load(pointer, IN_MEMORY[dtype], align=BYTES[dtype])
        return k.splat(k.compare("ne", value, number(0, "i8")) if dtype == "bool" else value, self.width)

    def _sum_of_partials(self, operand: Operand, place: Place) -> Value:
        """A loop: written out, sixteen loads for each of some sums would be most of a kernel's code."""
        k = self.k
        first = k.at(k[operand.name], place.channel)
        start = self._vector(first, "f32", place.mask)
        with k.loop(1, SHARDS, carried=(start,), runs=True) as loop:
            row = k.at(first, k.mul(loop.index, k[f"{operand.name}.shard"]))
            loop.carry(k.fadd(loop.values[0], self._vector(row, "f32", place.mask)))
        return loop.results[0]

    def row_of_table(self, step: Step, number_: Value, place: Place) -> Value:
        """Channels of a row of a table."""
        k, name = self.k, self.pattern.operands[step.operand].name
        row = k.cast("sext", k.lane(number_, 0), INT)
        row = k.most(k.least(row, k.sub(k[f"{name}.rows"], 1)), 0)
        return self.read(k.at(k[name], k.mul(row, k[f"{name}.row"]), place.channel), place.mask)

    def _addresses(self, operand_number: int, shift: tuple[int, int], place: Place) -> Value:
        """Of every channel of a vector, for a strided operand."""
        k, operand = self.k, self.pattern.operands[operand_number]
        step, whole, element = k[f"{operand.name}.channel"], vector(self.width, INT), IN_MEMORY[operand.dtype]
        lanes = Value(f"<{', '.join(f'i64 {lane}' for lane in range(self.width))}>", whole)
        offsets = k.binary("mul", lanes, k.splat(step, self.width))
        first = self.address(operand_number, shift, place)
        type = vector(self.width, POINTER)
        return k.define(f"getelementptr {element}, ptr {first.text}, {whole} {offsets.text}", type)

    def _gathered(self, pointers: Value, dtype: DType, mask: Value | None) -> Value:
        """One element from each address."""
        k, type = self.k, vector(self.width, IN_MEMORY[dtype])
        size, zeros = number(BYTES[dtype], "i32"), Value("zeroinitializer", type)
        everywhere = Value("splat (i1 true)", vector(self.width, "i1"))
        name = f"llvm.masked.gather.{mangled(type)}.v{self.width}p0"
        value = k.call(name, type, pointers, size, mask or everywhere, zeros, overloads=())
        return k.compare("ne", value, number(0, type)) if dtype == "bool" else value

    def _scatter(self, value: Value, pointers: Value, mask: Value | None, dtype: DType) -> None:
        """One element to each address."""
        k = self.k
        if dtype == "bool":
            value = k.cast("zext", value, vector(self.width, "i8"))
        everywhere = Value("splat (i1 true)", vector(self.width, "i1"))
        name = f"llvm.masked.scatter.{mangled(value.type)}.v{self.width}p0"
        k.perform(name, value, pointers, number(BYTES[dtype], "i32"), mask or everywhere)

    def moment(self, step: Step, inputs: list[Value], place: Place) -> Value:
        """The mean of all shards; or, given that, the variance: weighted by how many lines or images each has seen."""
        k, name = self.k, self.pattern.operands[step.operand].name
        first, groups = k.at(k[name], place.channel), k[f"{name}.groups"]
        weight = k.fdiv(number(1.0, FLOAT), k.cast("sitofp", groups, FLOAT))
        inverse = k.splat(k.fdiv(number(1.0, FLOAT), k.cast("sitofp", k[f"{name}.count"], FLOAT)), self.width)
        with k.loop(0, SHARDS, carried=(number(0.0, self.floats),), runs=True) as loop:
            lo, hi = (k.div(k.mul(groups, shard), SHARDS) for shard in (loop.index, k.add(loop.index, 1)))
            share = k.splat(k.fmul(k.cast("sitofp", k.sub(hi, lo), FLOAT), weight), self.width)
            row = k.at(first, k.mul(loop.index, 2, k[f"{name}.shard"]))
            mean = self._vector(row, "f32", place.mask)
            if step.op == "mean":
                total = k.fma(share, mean, loop.values[0])
            else:
                deviations = self._vector(k.at(row, k[f"{name}.shard"]), "f32", place.mask)
                delta = k.fsub(mean, inputs[0])
                total = k.fadd(loop.values[0], k.fma(k.fmul(delta, delta), share, k.fmul(deviations, inverse)))
            # What a shard that saw nothing left in memory may be anything.
            loop.carry(k.select(k.compare("ogt", share, 0.0), total, loop.values[0]))
        return loop.results[0]

    def _vector(self, pointer: Value, dtype: DType, mask: Value | None) -> Value:
        k, type = self.k, vector(self.width, IN_MEMORY[dtype])
        align = BYTES[dtype]
        if mask is None:
            value = k.load(pointer, type, align=align)
        else:
            zeros = Value("zeroinitializer", type)
            size = number(align, "i32")
            value = k.call("llvm.masked.load", type, pointer, size, mask, zeros, overloads=(type, POINTER))
        return k.compare("ne", value, number(0, type)) if dtype == "bool" else value

    def read(self, pointer: Value, mask: Value | None) -> Value:
        """A vector of floats from an address."""
        return self._vector(pointer, "f32", mask)

    def write(self, value: Value, pointer: Value, mask: Value | None, dtype: DType = "f32", note: str = "") -> None:
        """A vector to an address."""
        k = self.k
        if dtype == "bool":
            value = k.cast("zext", value, vector(self.width, "i8"))
        if mask is None:
            k.store(value, pointer, align=4 * self.width if note else BYTES[dtype], note=note)
        else:
            size = number(BYTES[dtype], "i32")
            k.perform("llvm.masked.store", value, pointer, size, mask, overloads=(value.type, POINTER))

    def address(self, operand_number: int, shift: tuple[int, int], place: Place) -> Value:
        """Of the first channel of a vector."""
        k, operand = self.k, self.pattern.operands[operand_number]
        placed = place.bases.get(operand_number)
        base = k[operand.name] if placed is None else placed
        down, right = shift
        channel = place.channel if placed is None or place.offset is None else place.offset
        offsets = [k.mul(channel, k[f"{operand.name}.channel"]) if operand.layout == "strided" else channel]
        if shift != (0, 0):
            offsets.append(k.mul(k[f"{operand.name}.down"], down))
            offsets.append(k.mul(k[f"{operand.name}.right"], right))
        return k.at(base, *offsets, element=IN_MEMORY[operand.dtype])

    def store(self, store: Store, value: Value, place: Place) -> None:
        """A result of kind "store" to a full or channel operand."""
        operand = self.pattern.operands[store.operand]
        if operand.layout == "strided":
            self._scatter(value, self._addresses(store.operand, store.shift, place), place.mask, operand.dtype)
            return
        streamed = operand.name in self.stream and place.mask is None
        pointer = self.address(store.operand, store.shift, place)
        self.write(value, pointer, place.mask, operand.dtype, STREAM if streamed else "")

    def store_one(self, store: Store, value: Value, pointer: Value) -> None:
        """A result that is the same in all lanes to a pixel or scalar operand."""
        k, operand = self.k, self.pattern.operands[store.operand]
        one = k.lane(value, 0)
        if operand.dtype == "bool":
            one = k.cast("zext", one, "i8")
        k.store(one, pointer, align=BYTES[operand.dtype])

    # --- scratch memory: rows of [channels] floats, each thread its own ---

    def scratch(self, row: int, channel: Value) -> Value:
        """The address of a channel in a row of this thread's scratch memory."""
        k = self.k
        own = k.mul(k.tid, k["scratch.thread"])
        return k.at(k["scratch"], k.add(own, k.mul(k["channels"], row), channel))

    def load_scratch(self, row: int, place: Place) -> Value:
        """A vector that was kept."""
        return self._vector(self.scratch(row, place.channel), "f32", place.mask)

    def save_scratch(self, row: int, value: Value, place: Place) -> None:
        """Keep a vector."""
        self.write(value, self.scratch(row, place.channel), place.mask)

    # --- the grid ---

    def first_pixel(self, item: Value, row: Value) -> dict[int, Value]:
        """Of every operand with elements per pixel, where those of a row begin."""
        k = self.k
        bases: dict[int, Value] = {}
        for number_, operand in enumerate(self.pattern.operands):
            if operand.layout in ("full", "strided", "pixel"):
                offset = k.add(k.mul(item, k[f"{operand.name}.item"]), k.mul(row, k[f"{operand.name}.row"]))
                bases[number_] = k.at(k[operand.name], offset, element=IN_MEMORY[operand.dtype])
        return bases

    def next_pixel(self, bases: Mapping[int, Value]) -> dict[int, Value]:
        """The same, a pixel on."""
        k, operands = self.k, self.pattern.operands
        return {
            each: k.at(base, k[f"{operands[each].name}.pixel"], element=IN_MEMORY[operands[each].dtype])
            for each, base in bases.items()
        }

    def at_channel(self, operand_number: int, base: Value, channel: Value) -> Value:
        """From where the elements of a pixel begin to those of a channel, if there is one for each."""
        operand = self.pattern.operands[operand_number]
        if operand.layout == "strided":
            channel = self.k.mul(channel, self.k[f"{operand.name}.channel"])
        return base if operand.layout == "pixel" else self.k.at(base, channel, element=IN_MEMORY[operand.dtype])

    def mask_at(self, channel: Value, end: Value) -> Value:
        """The lanes before `end`."""
        return self.k.lanes_below(self.k.sub(end, channel), self.width)

    def at_lane(self, vectors: int) -> Value:
        """So many vectors on, in elements."""
        return number(vectors * self.width, INT)

    def counted(self, value: Value, place: Place) -> Value:
        """A vector with zeros where there are no channels: what may be added up."""
        return value if place.mask is None else self.k.select(place.mask, value, 0.0)


def over_channels(k: Writer, vectors: int, tail: bool, element: Callable[[Value, Value | None], None]) -> None:
    """Visit the channels of a pixel (slot `channels`), a vector at a time.

    Args:
        k: writes.
        vectors: full ones are visited in blocks of so many; 0 for none.
        tail: whether channels may be left over, which are visited with a mask.
        element: takes the number of the first channel, and the mask or None.
    """
    channels, step = k["channels"], vectors * k.target.width
    full = k.sub(channels, k.rem(channels, step)) if step and tail else channels
    if step:
        with k.loop(0, full, step=k.target.width) as loop:
            element(loop.index, None)
    if tail:
        with k.loop(full if step else 0, channels, step=k.target.width) as loop:
            element(loop.index, k.lanes_below(k.sub(channels, loop.index), k.target.width))


def slots_of(pattern: Pattern, *, dense: bool, scratch: bool) -> tuple[Slot, ...]:
    """The slots of a kernel: what the grid is, scratch memory if wanted, then each operand with its strides."""
    grid = ("count",) if dense else ("items", "rows", "pixels", "channels")
    slots = [Slot(name, "i64") for name in grid]
    if scratch:
        slots += [Slot("scratch", "ptr"), Slot("scratch.thread", "i64")]
    for operand in pattern.operands:
        slots.append(Slot(operand.name, "f32" if operand.layout == "number" else "ptr"))
        strides: list[str] = []
        if operand.layout in ("full", "strided", "pixel") and not dense:
            strides += ["item", "row", "pixel"]
            if operand.shifted:
                strides += ["down", "right"]
        strides += {
            "partials": ["shard"],
            "moments": ["shard", "groups", "count"],
            "item": ["item"],
            "strided": ["channel"],
            "table": ["row", "rows"],
        }.get(operand.layout, [])
        slots += [Slot(f"{operand.name}.{stride}", "i64") for stride in strides]
    return tuple(slots)

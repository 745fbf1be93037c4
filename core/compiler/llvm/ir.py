"""`Writer`: one kernel's LLVM IR as text: numbered names, blocks, loops with carried values, memory, vectors.

The writer folds integer constants and leaves the rest as it is written: kernels are written the way they shall run,
and need no passes of LLVM's before its code generator. A loop tests at its end, and once before it unless it is told
that there is a first turn.

    k = Writer("scale", target, slots=(Slot("x", "ptr"), Slot("n", "i64"), Slot("by", "f32")))
    lo, hi = k.share(k["n"])
    with k.loop(lo, hi) as i:
        place = k.at(k["x"], i.index)
        k.store(k.fmul(k.load(place), k["by"]), place)
    kernel = k.kernel()
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from .kernel import SLOT_BYTES, Kernel, Slot
from .target import Target

FLOAT = "float"
INT = "i64"
BOOL = "i1"
POINTER = "ptr"
FLOAT_BYTES = 4
CACHE_LINE = 64


@dataclass(frozen=True, slots=True)
class Value:
    """A name or constant of the text, and its type."""

    text: str
    type: str


Operand = Value | int | float
NOTHING = Value("", "")


def vector(lanes: int, element: str = FLOAT) -> str:
    """The type of `lanes` elements; one lane is the element itself."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def lanes_of(type: str) -> int:
    """How many elements a value of the type holds."""
    return int(type[1:].split(" ")[0]) if type[0] == "<" else 1


def element_of(type: str) -> str:
    """The type of one element."""
    return type[1:-1].split(" x ")[1] if type[0] == "<" else type


def number(value: float, type: str) -> Value:
    """A constant; of a vector, the same in each lane. Floats are rounded to float32 first."""
    element = element_of(type)
    if element == FLOAT:
        (rounded,) = struct.unpack("<f", struct.pack("<f", value))
        text = f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"
    elif element == BOOL:
        text = "true" if value else "false"
    else:
        text = str(int(value))
    return Value(text if element == type else f"splat ({element} {text})", type)


def integer(value: Value) -> int | None:
    """The number that an i64 constant is; None for a name."""
    return int(value.text) if value.type == INT and value.text.lstrip("-").isdigit() else None


@dataclass(slots=True)
class Loop:
    """A loop being written: its index, and the values that one turn hands to the next.

    Attributes:
        index: of this turn.
        values: what the last turn handed over.
        results: after the loop, what its last turn handed over (or what came in, where there was no turn).
    """

    index: Value
    values: tuple[Value, ...]
    results: tuple[Value, ...] = ()
    handed: tuple[Value, ...] = ()

    def carry(self, *values: Value) -> None:
        """Hand values to the next turn, in the order of `values`; once in a turn."""
        self.handed = values


@dataclass
class Writer:
    """The text of one kernel, written from top to bottom.

    Args:
        name: of the kernel.
        target: the CPU it is for.
        slots: its arguments; `writer["x"]` is the value of one, read once at the start.
        flags: fast-math flags of float arithmetic; products may be fused into sums unless told otherwise.
    """

    name: str
    target: Target
    slots: tuple[Slot, ...]
    flags: str = "contract"
    lines: list[str] = field(default_factory=list[str])
    entry: list[str] = field(default_factory=list[str])
    declares: dict[str, None] = field(default_factory=dict[str, None])
    arguments: dict[str, Value] = field(default_factory=dict[str, Value])
    block: str = "start"
    count: int = 0

    # Names and blocks

    def define(self, text: str, type: str) -> Value:
        """Name what an instruction yields."""
        self.count += 1
        name = f"%v{self.count}"
        self.lines.append(f"  {name} = {text}")
        return Value(name, type)

    def label(self, what: str = "b") -> str:
        """A new name for a block."""
        self.count += 1
        return f"{what}{self.count}"

    def begin(self, label: str) -> None:
        """Start a block; the one before must have ended."""
        self.lines.append(f"{label}:")
        self.block = label

    def jump(self, label: str) -> None:
        """End the block: go on at another."""
        self.lines.append(f"  br label %{label}")

    def branch(self, condition: Value, then: str, otherwise: str) -> None:
        """End the block: go on at one of two."""
        self.lines.append(f"  br i1 {condition.text}, label %{then}, label %{otherwise}")

    def phi(self, *incoming: tuple[Value, str]) -> Value:
        """The value that belongs to the block we came from."""
        type = incoming[0][0].type
        return self.define(f"phi {type} " + ", ".join(f"[{value.text}, %{block}]" for value, block in incoming), type)

    # Arguments and work

    def __getitem__(self, slot: str) -> Value:
        """The value of a slot; read in the first block, so it may be used everywhere."""
        if slot not in self.arguments:
            place, kind = next((place, s.kind) for place, s in enumerate(self.slots) if s.name == slot)
            type = {"ptr": POINTER, "i64": INT, "f32": FLOAT}[kind]
            self.entry.append(f"  %{slot}.at = getelementptr i8, ptr %args, i64 {place * SLOT_BYTES}")
            self.entry.append(f"  %{slot} = load {type}, ptr %{slot}.at, align 8")
            self.arguments[slot] = Value(f"%{slot}", type)
        return self.arguments[slot]

    @property
    def tid(self) -> Value:
        """The number of this thread."""
        return Value("%tid", INT)

    @property
    def nt(self) -> Value:
        """The number of threads."""
        return Value("%nt", INT)

    def share(self, items: Operand) -> tuple[Value, Value]:
        """Of so many items, the first of this thread and the first of the next."""
        lo = self.div(self.mul(items, self.tid), self.nt)
        return lo, self.div(self.mul(items, self.add(self.tid, 1)), self.nt)

    def stack(self, floats: int) -> Value:
        """A piece of the stack for so many floats, aligned to a cache line."""
        self.count += 1
        name = f"%v{self.count}"
        self.entry.append(f"  {name} = alloca [{floats} x float], align {CACHE_LINE}")
        return Value(name, POINTER)

    # Control

    @contextmanager
    def loop(
        self,
        start: Operand,
        stop: Operand,
        *,
        step: Operand = 1,
        carried: Sequence[Value] = (),
        runs: bool = False,
    ) -> Generator[Loop]:
        """Count from `start` to below `stop`.

        Args:
            start: the first index.
            stop: where it ends.
            step: what is added to the index; > 0.
            carried: what the first turn is handed; then `Loop.carry` says what the next one gets.
            runs: it is known that there is a first turn.
        """
        first, end = self.whole(start), self.whole(stop)
        top, after, before = self.label("loop"), self.label("after"), self.block
        if runs:
            self.jump(top)
        else:
            self.branch(self.compare("slt", first, end), top, after)
        self.begin(top)
        index = Value(f"%{top}.i", INT)
        place = len(self.lines)
        names = tuple(Value(f"%{top}.{at}", value.type) for at, value in enumerate(carried))
        loop = Loop(index=index, values=names)
        yield loop
        handed = loop.handed or names
        assert [value.type for value in handed] == [value.type for value in carried], f"{self.name}: carried values"
        following = self.define(f"add nsw i64 {index.text}, {self.whole(step).text}", INT)
        last = self.block
        phis = [f"  {index.text} = phi i64 [{first.text}, %{before}], [{following.text}, %{last}]"]
        for name, old, new in zip(names, carried, handed, strict=True):
            phis.append(f"  {name.text} = phi {name.type} [{old.text}, %{before}], [{new.text}, %{last}]")
        self.lines[place:place] = phis
        self.branch(self.compare("slt", following, end), top, after)
        self.begin(after)
        if runs:
            loop.results = tuple(handed)
        else:
            pairs = zip(carried, handed, strict=True)
            loop.results = tuple(self.phi((old, before), (new, last)) for old, new in pairs)

    @contextmanager
    def when(self, condition: Value) -> Generator[None]:
        """Do what is written inside only if the condition holds."""
        then, after = self.label("then"), self.label("after")
        self.branch(condition, then, after)
        self.begin(then)
        yield
        self.jump(after)
        self.begin(after)

    def choose(
        self, condition: Value, then: Callable[[], Sequence[Value]], otherwise: Callable[[], Sequence[Value]]
    ) -> tuple[Value, ...]:
        """Write two ways, of which one runs; the values that it yields. Both yield as many, of the same types."""
        yes, no, after = self.label("then"), self.label("else"), self.label("after")
        self.branch(condition, yes, no)
        ways: list[tuple[Sequence[Value], str]] = []
        for label, write in ((yes, then), (no, otherwise)):
            self.begin(label)
            values = write()
            ways.append((values, self.block))
            self.jump(after)
        self.begin(after)
        (first, from_yes), (second, from_no) = ways
        return tuple(self.phi((a, from_yes), (b, from_no)) for a, b in zip(first, second, strict=True))

    # Integers

    def whole(self, operand: Operand) -> Value:
        """An i64 operand as a value."""
        return operand if isinstance(operand, Value) else number(operand, INT)

    def add(self, *terms: Operand) -> Value:
        """Sum of i64."""
        total = self.whole(terms[0])
        for term in map(self.whole, terms[1:]):
            a, b = integer(total), integer(term)
            if a is not None and b is not None:
                total = number(a + b, INT)
            elif b == 0 or a == 0:
                total = term if a == 0 else total
            else:
                total = self.define(f"add nsw i64 {total.text}, {term.text}", INT)
        return total

    def sub(self, left: Operand, right: Operand) -> Value:
        """Difference of i64."""
        a, b = self.whole(left), self.whole(right)
        if (x := integer(a)) is not None and (y := integer(b)) is not None:
            return number(x - y, INT)
        return a if integer(b) == 0 else self.define(f"sub nsw i64 {a.text}, {b.text}", INT)

    def mul(self, *factors: Operand) -> Value:
        """Product of i64."""
        product = self.whole(factors[0])
        for factor in map(self.whole, factors[1:]):
            a, b = integer(product), integer(factor)
            if a is not None and b is not None:
                product = number(a * b, INT)
            elif 0 in (a, b):
                product = number(0, INT)
            elif 1 in (a, b):
                product = factor if a == 1 else product
            elif b is not None and b > 0 and b & (b - 1) == 0:
                product = self.define(f"shl nsw i64 {product.text}, {b.bit_length() - 1}", INT)
            else:
                product = self.define(f"mul nsw i64 {product.text}, {factor.text}", INT)
        return product

    def div(self, left: Operand, right: Operand) -> Value:
        """Quotient of i64, neither negative, rounded down."""
        a, b = self.whole(left), self.whole(right)
        if (x := integer(a)) is not None and (y := integer(b)) is not None:
            return number(x // y, INT)
        divisor = integer(b)
        if divisor is not None and divisor > 0 and divisor & (divisor - 1) == 0:
            return a if divisor == 1 else self.define(f"lshr i64 {a.text}, {divisor.bit_length() - 1}", INT)
        return self.define(f"udiv i64 {a.text}, {b.text}", INT)

    def rem(self, left: Operand, right: Operand) -> Value:
        """Remainder of i64, neither negative."""
        a, b = self.whole(left), self.whole(right)
        if (x := integer(a)) is not None and (y := integer(b)) is not None:
            return number(x % y, INT)
        return self.define(f"urem i64 {a.text}, {b.text}", INT)

    def least(self, left: Operand, right: Operand) -> Value:
        """The smaller of two i64."""
        return self.call("llvm.smin", INT, self.whole(left), self.whole(right))

    def most(self, left: Operand, right: Operand) -> Value:
        """The larger of two i64."""
        return self.call("llvm.smax", INT, self.whole(left), self.whole(right))

    # Arithmetic on any type

    def typed(self, operand: Operand, like: str) -> Value:
        """An operand as a value of a type."""
        return operand if isinstance(operand, Value) else number(operand, like)

    def binary(self, op: str, left: Operand, right: Operand) -> Value:
        """An instruction of two operands of one type, such as "fadd" (with the writer's flags), "and", "shl"."""
        type = left.type if isinstance(left, Value) else right.type if isinstance(right, Value) else INT
        a, b = self.typed(left, type), self.typed(right, type)
        flags = f"{self.flags} " if op[0] == "f" and self.flags else ""
        return self.define(f"{op} {flags}{type} {a.text}, {b.text}", type)

    def fadd(self, left: Operand, right: Operand) -> Value:
        """Sum of floats."""
        return self.binary("fadd", left, right)

    def fsub(self, left: Operand, right: Operand) -> Value:
        """Difference of floats."""
        return self.binary("fsub", left, right)

    def fmul(self, left: Operand, right: Operand) -> Value:
        """Product of floats."""
        return self.binary("fmul", left, right)

    def fdiv(self, left: Operand, right: Operand) -> Value:
        """Quotient of floats."""
        return self.binary("fdiv", left, right)

    def fma(self, left: Operand, right: Operand, plus: Operand) -> Value:
        """`left` * `right` + `plus`, rounded once where the CPU can."""
        type = next(operand.type for operand in (left, right, plus) if isinstance(operand, Value))
        return self.call(self.target.fused, type, *(self.typed(operand, type) for operand in (left, right, plus)))

    def compare(self, how: str, left: Operand, right: Operand) -> Value:
        """One bit a lane: `how` is LLVM's: "slt", "eq", "ult", ... of integers; "ogt", "une", "uno", ... of floats."""
        type = left.type if isinstance(left, Value) else right.type if isinstance(right, Value) else INT
        op = "fcmp" if element_of(type) == FLOAT else "icmp"
        a, b = self.typed(left, type), self.typed(right, type)
        return self.define(f"{op} {how} {type} {a.text}, {b.text}", vector(lanes_of(type), BOOL))

    def select(self, condition: Value, then: Operand, otherwise: Operand) -> Value:
        """One of two values, lane by lane (or as a whole, where the condition is one bit)."""
        type = next(operand.type for operand in (then, otherwise) if isinstance(operand, Value))
        a, b = self.typed(then, type), self.typed(otherwise, type)
        return self.define(
            f"select {condition.type} {condition.text}, {type} {a.text}, {type} {b.text}",
            type,
        )

    def cast(self, how: str, value: Value, type: str) -> Value:
        """Another type: `how` is LLVM's: "bitcast", "fptosi", "sitofp", "zext", "trunc", ..."""
        return self.define(f"{how} {value.type} {value.text} to {type}", type)

    def call(self, intrinsic: str, type: str, *arguments: Value, overloads: Sequence[str] | None = None) -> Value:
        """The value of an intrinsic that is named after its type, as in `llvm.sqrt` of "<8 x float>".

        Args:
            intrinsic: without the types in its name.
            type: of the result.
            arguments: of any types.
            overloads: the types in its name, where they are not just the result's.
        """
        full = self.intrinsic(intrinsic, type, arguments, overloads)
        passed = ", ".join(f"{value.type} {value.text}" for value in arguments)
        return self.define(f"call {type} @{full}({passed})", type)

    def perform(self, intrinsic: str, *arguments: Value, overloads: Sequence[str] = ()) -> None:
        """Call an intrinsic that yields nothing."""
        full = self.intrinsic(intrinsic, "void", arguments, overloads)
        passed = ", ".join(f"{value.type} {value.text}" for value in arguments)
        self.lines.append(f"  call void @{full}({passed})")

    def intrinsic(self, name: str, type: str, arguments: Sequence[Value], overloads: Sequence[str] | None) -> str:
        """The full name of an intrinsic; declares it."""
        full = ".".join((name, *map(mangled, (type,) if overloads is None else overloads)))
        self.declares[f"declare {type} @{full}({', '.join(value.type for value in arguments)})"] = None
        return full

    # Memory

    def at(self, pointer: Value, *offsets: Operand, element: str = FLOAT) -> Value:
        """The address so many elements further on; each offset is added on its own, in order."""
        for offset in map(self.whole, offsets):
            if integer(offset) != 0:
                pointer = self.define(f"getelementptr {element}, ptr {pointer.text}, i64 {offset.text}", POINTER)
        return pointer

    def load(self, pointer: Value, type: str = FLOAT, *, align: int = FLOAT_BYTES, note: str = "") -> Value:
        """What stands at an address. `note` is metadata, such as "!nontemporal !0" (declare the node yourself)."""
        return self.define(f"load {type}, ptr {pointer.text}, align {align}{', ' + note if note else ''}", type)

    def store(self, value: Value, pointer: Value, *, align: int = FLOAT_BYTES, note: str = "") -> None:
        """Write to an address."""
        tail = f", {note}" if note else ""
        self.lines.append(f"  store {value.type} {value.text}, ptr {pointer.text}, align {align}{tail}")

    def masked_load(self, pointer: Value, type: str, mask: Value) -> Value:
        """Load only the lanes of the mask; zeros elsewhere. Memory of the other lanes is not touched."""
        return self.call(
            "llvm.masked.load",
            type,
            pointer,
            number(FLOAT_BYTES, "i32"),
            mask,
            Value("zeroinitializer", type),
            overloads=(type, POINTER),
        )

    def masked_store(self, value: Value, pointer: Value, mask: Value) -> None:
        """Write only the lanes of the mask."""
        align = number(FLOAT_BYTES, "i32")
        self.perform("llvm.masked.store", value, pointer, align, mask, overloads=(value.type, POINTER))

    def prefetch(self, pointer: Value, *, write: bool = False) -> None:
        """Bring the cache line at an address nearer; any address is right."""
        hints = (number(int(write), "i32"), number(3, "i32"), number(1, "i32"))
        self.perform("llvm.prefetch", pointer, *hints, overloads=(POINTER,))

    # Vectors

    def splat(self, value: Value, lanes: int) -> Value:
        """A vector with one value in every lane."""
        if lanes == 1:
            return value
        type = vector(lanes, value.type)
        one = self.define(f"insertelement {type} poison, {value.type} {value.text}, i64 0", type)
        return self.define(
            f"shufflevector {type} {one.text}, {type} poison, {vector(lanes, 'i32')} zeroinitializer", type
        )

    def lane(self, value: Value, place: int) -> Value:
        """One lane of a vector."""
        return self.define(f"extractelement {value.type} {value.text}, i64 {place}", element_of(value.type))

    def shuffle(self, left: Value, right: Value, places: Sequence[int]) -> Value:
        """Lanes picked out of two vectors of one type, numbered through both; -1 for one that may be anything."""
        type = vector(len(places), element_of(left.type))
        picks = ", ".join(f"i32 {place}" if place >= 0 else "i32 poison" for place in places)
        mask = f"{vector(len(places), 'i32')} <{picks}>"
        return self.define(
            f"shufflevector {left.type} {left.text}, {right.type} {right.text}, {mask}",
            type,
        )

    def lanes_below(self, count: Value, lanes: int) -> Value:
        """A mask of the first `count` lanes: none if it is negative, all if it is large."""
        numbers = Value("<" + ", ".join(f"i32 {lane}" for lane in range(lanes)) + ">", vector(lanes, "i32"))
        few = self.cast("trunc", self.least(self.most(count, 0), lanes), "i32")
        return self.compare("slt", numbers, self.splat(few, lanes))

    def total(self, value: Value) -> Value:
        """The sum of the lanes, by halves: always in the same order."""
        lanes = lanes_of(value.type)
        while lanes > 2:
            lanes //= 2
            low, high = (self.shuffle(value, value, range(first, first + lanes)) for first in (0, lanes))
            value = self.fadd(low, high)
        if lanes == 2:
            value = self.fadd(self.lane(value, 0), self.lane(value, 1))
        return value

    # The end

    def kernel(self) -> Kernel:
        """The finished kernel. Writing ends here."""
        bits = 32 * self.target.width
        head = (
            f"define void @{self.name}(ptr noalias %args, i64 %tid, i64 %nt) nounwind "
            f'"min-legal-vector-width"="{max(bits, 128)}" {{'
        )
        text = "\n".join((head, "start:", *self.entry, *self.lines, "  ret void", "}"))
        return Kernel(name=self.name, ir=text, slots=self.slots, declares=tuple(self.declares))


def mangled(type: str) -> str:
    """A type as it stands in the name of an intrinsic."""
    if type == POINTER:
        return "p0"
    element = {FLOAT: "f32", "double": "f64"}.get(element_of(type), element_of(type))
    return element if type[0] != "<" else f"v{lanes_of(type)}{element}"

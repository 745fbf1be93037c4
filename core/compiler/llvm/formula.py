"""`Formula`: what a fused kernel computes, written as arithmetic on terms; `Pattern`: the same as a value to be kept.

A kernel runs over a grid of pixels with channels last, [lines][pixels][channels]; each operand is the same along some
of the axes. Terms know along which axes they vary, so that an emitter computes each as far out as it can: what does not
vary once per thread, what varies by channel only once per channel, sums over a row of channels once per pixel.

    f = Formula()
    x, scale, shift = f.full("x"), f.channel("scale"), f.channel("shift")
    y = (x * scale + shift).relu()
    f.store("y", y)                                  # everywhere
    f.channel_sum("sums", y)                         # per channel over all pixels, through SHARDS partial sums
    centred = y - y.row_sum() * f.number("inverse")  # y less its mean over the channels of a pixel
    pattern = f.pattern()

Everything is float32 unless a method says otherwise; integers come and go as int32 or int64, truths as bytes.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

SHARDS = 16  # sums over a batch are made of this many partial sums, whatever the number of threads is
CHANNELS, PIXELS = 1, 2  # axes along which a term varies, as bits

DType = Literal["f32", "i32", "i64", "bool"]
Layout = Literal[
    "full", "strided", "table", "channel", "pixel", "item", "scalar", "number", "partials", "moments", "total"
]
Number = float | int
Shift = tuple[int, int]

VARIES: dict[Layout, int] = {
    "full": CHANNELS | PIXELS,
    "strided": CHANNELS | PIXELS,
    "table": CHANNELS | PIXELS,
    "channel": CHANNELS,
    "pixel": PIXELS,
    "item": CHANNELS | PIXELS,
    "scalar": 0,
    "number": 0,
    "partials": CHANNELS,
    "moments": CHANNELS,
    "total": 0,
}
ARITHMETIC = frozenset({"add", "sub", "mul", "div", "max", "min", "and", "or", "xor", "pow", "atan2", "copysign"})
BITWISE = frozenset({"and", "or", "xor"})
FLOAT_ONLY = frozenset({"div", "pow", "atan2", "copysign"})
COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})
FUNCTIONS = frozenset(
    {"neg", "abs", "sqrt", "rsqrt", "exp", "expm1", "log", "log1p", "log2", "tanh", "erf", "sigmoid"}
    | {"floor", "ceil", "round", "trunc", "sin", "cos", "tan", "asin", "acos", "atan"}
)
REDUCTIONS = frozenset({"row_sum", "row_max", "row_min", "row_bound"})


def float_literal(value: float) -> str:
    """A number as LLVM writes a float: the bits of the float64 that equals the nearest float32."""
    try:
        nearest = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:  # beyond the largest float32
        nearest = float("inf") if value > 0 else float("-inf")
    return f"0x{struct.unpack('<Q', struct.pack('<d', nearest))[0]:016X}"


@dataclass(frozen=True, slots=True)
class Operand:
    """Memory that a kernel reads or writes.

    Attributes:
        name: of its slots: `name` points to its first element.
        layout: "full": an element per pixel and channel; the slots `name.item`, `name.row` and `name.pixel` hold its
            strides, in elements, and channels are adjacent; if it is read with shifts, `name.down` and `name.right`
            hold what one step is. "strided": the same with channels `name.channel` elements apart: slow, for what is
            laid out otherwise. "table": `[name.rows][channels]`, rows `name.row` elements apart, one of which belongs
            to each pixel. "channel": `[channels]`. "pixel": an element per pixel, with strides, the same for
            its channels. "item": sums of `Formula.item_sum`, `[items][channels]`, rows `name.item` elements apart (read
            them as full with strides 0). "scalar": one element. "number": a float32 that is the slot itself.
            "partials": the sum of `[SHARDS][channels]`, SHARDS rows that are `name.shard` elements apart, in order.
            "moments": `[SHARDS][2][channels]`, of every shard the mean and the sum of squared deviations from it, rows
            `name.shard` apart; `name.groups` lines or images were shared among the shards, `name.count` elements per
            channel. "total": the sum of SHARDS numbers.
        dtype: of the elements.
        shifted: whether a shift other than (0, 0) occurs.
    """

    name: str
    layout: Layout
    dtype: DType = "f32"
    shifted: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a pattern; its inputs are numbers of earlier steps."""

    op: str
    inputs: tuple[int, ...]
    dtype: DType
    varies: int
    operand: int = -1  # of a load
    shift: Shift = (0, 0)  # of a load: rows down, pixels to the right
    literal: str = ""  # of a constant: as LLVM writes it, so that 0.0 and -0.0 differ


@dataclass(frozen=True, slots=True)
class Store:
    """A result: step `value` written to an operand, where `kind` is "store"; or added up into it.

    "channel_sum": partial sums over pixels, "partials"; "channel_moments": partial means and squared deviations,
    "moments"; "item_sum": sums over the pixels of an item, "item"; "total": partial sums over everything, "total".
    """

    kind: Literal["store", "channel_sum", "channel_moments", "item_sum", "total"]
    operand: int
    value: int
    shift: Shift = (0, 0)


@dataclass(frozen=True)
class Pattern:
    """A formula as a value: equal for equal formulas."""

    operands: tuple[Operand, ...]
    steps: tuple[Step, ...]
    stores: tuple[Store, ...]

    @cached_property
    def key(self) -> str:
        """A short readable name: what is computed last, and a hash of everything."""
        ops = [step.op for step in self.steps if step.op not in ("load", "constant")]
        text = repr((self.operands, self.steps, self.stores))
        return "_".join([*ops[-4:], hashlib.sha256(text.encode()).hexdigest()[:12]])

    @cached_property
    def stages(self) -> tuple[int, ...]:
        """Of every step, after how many passes over its row it can be computed: a reduction needs one more."""
        stages: list[int] = []
        for step in self.steps:
            before = max((stages[number] for number in step.inputs), default=0)
            stages.append(before + (step.op in REDUCTIONS))
        return tuple(stages)


class Term:
    """One value in a formula; Python's operators and the methods here make others of it."""

    __slots__ = ("formula", "number")
    __hash__ = None  # pyright: ignore[reportAssignmentType] - `==` makes a term

    def __init__(self, formula: Formula, number: int) -> None:
        self.formula = formula
        self.number = number

    @property
    def step(self) -> Step:
        """What makes it."""
        return self.formula.steps[self.number]

    @property
    def dtype(self) -> DType:
        """Of its elements."""
        return self.step.dtype

    def _binary(self, op: str, other: Term | Number, *, swap: bool = False) -> Term:
        return self.formula.binary(op, other if swap else self, self if swap else other)

    def __add__(self, other: Term | Number) -> Term:
        return self._binary("add", other)

    def __radd__(self, other: Number) -> Term:
        return self._binary("add", other, swap=True)

    def __sub__(self, other: Term | Number) -> Term:
        return self._binary("sub", other)

    def __rsub__(self, other: Number) -> Term:
        return self._binary("sub", other, swap=True)

    def __mul__(self, other: Term | Number) -> Term:
        return self._binary("mul", other)

    def __rmul__(self, other: Number) -> Term:
        return self._binary("mul", other, swap=True)

    def __truediv__(self, other: Term | Number) -> Term:
        return self._binary("div", other)

    def __rtruediv__(self, other: Number) -> Term:
        return self._binary("div", other, swap=True)

    def __lt__(self, other: Term | Number) -> Term:
        return self._binary("lt", other)

    def __le__(self, other: Term | Number) -> Term:
        return self._binary("le", other)

    def __gt__(self, other: Term | Number) -> Term:
        return self._binary("gt", other)

    def __ge__(self, other: Term | Number) -> Term:
        return self._binary("ge", other)

    def equals(self, other: Term | Number) -> Term:
        """Truth: equal, elementwise; NaN equals nothing."""
        return self._binary("eq", other)

    def differs(self, other: Term | Number) -> Term:
        """Truth: not equal, elementwise; NaN differs from all."""
        return self._binary("ne", other)

    def __and__(self, other: Term) -> Term:
        return self._binary("and", other)

    def __or__(self, other: Term) -> Term:
        return self._binary("or", other)

    def __xor__(self, other: Term) -> Term:
        return self._binary("xor", other)

    def __neg__(self) -> Term:
        return self.formula.function("neg", self)

    def maximum(self, other: Term | Number) -> Term:
        """The larger; NaN where one of them is NaN."""
        return self._binary("max", other)

    def minimum(self, other: Term | Number) -> Term:
        """The smaller; NaN where one of them is NaN."""
        return self._binary("min", other)

    def relu(self) -> Term:
        """max(x, 0); NaN stays."""
        return self.maximum(0.0)

    def absolute(self) -> Term:
        """|x|."""
        return self.formula.function("abs", self)

    def sqrt(self) -> Term:
        """The square root, correctly rounded."""
        return self.formula.function("sqrt", self)

    def rsqrt(self) -> Term:
        """1 / sqrt(x), two roundings."""
        return self.formula.function("rsqrt", self)

    def exp(self) -> Term:
        """e^x."""
        return self.formula.function("exp", self)

    def expm1(self) -> Term:
        """e^x - 1, also for small x."""
        return self.formula.function("expm1", self)

    def log(self) -> Term:
        """The natural logarithm."""
        return self.formula.function("log", self)

    def log1p(self) -> Term:
        """log(1 + x), also for small x."""
        return self.formula.function("log1p", self)

    def tanh(self) -> Term:
        """The hyperbolic tangent."""
        return self.formula.function("tanh", self)

    def erf(self) -> Term:
        """The error function."""
        return self.formula.function("erf", self)

    def sigmoid(self) -> Term:
        """1 / (1 + e^-x)."""
        return self.formula.function("sigmoid", self)

    def floor(self) -> Term:
        """The next integer below, as a float."""
        return self.formula.function("floor", self)

    def ceil(self) -> Term:
        """The next integer above, as a float."""
        return self.formula.function("ceil", self)

    def round(self) -> Term:
        """The nearest integer, ties to even, as a float."""
        return self.formula.function("round", self)

    def pow(self, exponent: Term | Number) -> Term:
        """X to a power, as in C; `power` is better for small integers."""
        return self._binary("pow", exponent)

    def atan2(self, x: Term | Number) -> Term:
        """The angle of the point (x, this)."""
        return self._binary("atan2", x)

    def copysign(self, sign: Term | Number) -> Term:
        """With the sign of another."""
        return self._binary("copysign", sign)

    def select(self, yes: Term | Number, no: Term | Number) -> Term:
        """`yes` where this truth holds, else `no`."""
        return self.formula.select(self, yes, no)

    def cast(self, dtype: DType) -> Term:
        """As another dtype: floats towards zero, within the integers' range; truths as 0 and 1; not 0 is true."""
        return self.formula.cast(self, dtype)

    def power(self, exponent: int) -> Term:
        """X times itself, for an exponent >= 1."""
        assert exponent >= 1, f"power: expected an exponent >= 1, got {exponent}"
        half = self.power(exponent // 2) if exponent > 1 else None
        square = half * half if half is not None else None
        if square is None:
            return self
        return square * self if exponent % 2 else square

    def row_sum(self) -> Term:
        """The sum over the channels of each pixel."""
        return self.formula.reduction("row_sum", self)

    def row_max(self) -> Term:
        """The largest over the channels of each pixel; NaN if one is."""
        return self.formula.reduction("row_max", self)

    def row_bound(self) -> Term:
        """`row_max` for rows without NaN, in a third of the time; of a row with one, any number."""
        return self.formula.reduction("row_bound", self)

    def row_min(self) -> Term:
        """The smallest over the channels of each pixel; NaN if one is."""
        return self.formula.reduction("row_min", self)


class Formula:
    """A formula that grows: operands are declared, terms made, results stored. Equal terms are made once."""

    def __init__(self) -> None:
        self.operands: list[Operand] = []
        self.steps: list[Step] = []
        self.stores: list[Store] = []
        self._known: dict[Step, int] = {}

    def pattern(self) -> Pattern:
        """The formula as it is now, without what no result needs."""
        return _pruned(self.operands, self.steps, self.stores)

    # --- operands ---

    def operand(self, name: str, layout: Layout, dtype: DType = "f32") -> Term:
        """An operand's elements where the kernel is; see `Operand`."""
        return self._load(self._operand(name, layout, dtype), (0, 0))

    def full(self, name: str, dtype: DType = "f32") -> Term:
        """An operand with an element per pixel and channel."""
        return self.operand(name, "full", dtype)

    def channel(self, name: str, dtype: DType = "f32") -> Term:
        """An operand with an element per channel."""
        return self.operand(name, "channel", dtype)

    def pixel(self, name: str, dtype: DType = "f32") -> Term:
        """An operand with an element per pixel."""
        return self.operand(name, "pixel", dtype)

    def scalar(self, name: str, dtype: DType = "f32") -> Term:
        """One element in memory."""
        return self.operand(name, "scalar", dtype)

    def number(self, name: str) -> Term:
        """A float32 slot."""
        return self.operand(name, "number")

    def partials(self, name: str) -> Term:
        """The sum of SHARDS partial sums per channel."""
        return self.operand(name, "partials")

    def moments(self, name: str) -> tuple[Term, Term]:
        """Mean and (biased) variance per channel, out of those of SHARDS parts."""
        operand = self._operand(name, "moments")
        mean = self._step(Step("mean", (), "f32", CHANNELS, operand))
        return mean, self._step(Step("variance", (mean.number,), "f32", CHANNELS, operand))

    def total(self, name: str) -> Term:
        """The sum of SHARDS partial sums."""
        return self.operand(name, "total")

    def strided(self, name: str, dtype: DType = "f32") -> Term:
        """An operand with an element per pixel and channel, the channels any distance apart."""
        return self.operand(name, "strided", dtype)

    def table(self, name: str, row: Term) -> Term:
        """The row of a table that an int32 term, the same for all channels, has the number of.

        A number beyond the table takes its nearest row: nothing else in memory is ever read.
        """
        assert row.dtype == "i32", f"{name}: expected int32 numbers of rows, got {row.dtype}"
        assert not row.step.varies & CHANNELS, f"{name}: a row per channel"
        return self._step(Step("row", (row.number,), "f32", VARIES["table"], self._operand(name, "table")))

    def window(self, name: str, down: int, right: int, dtype: DType = "f32") -> Term:
        """A full operand's elements some rows below and pixels to the right; the memory around it must be there."""
        return self._load(self._operand(name, "full", dtype, shifted=True), (down, right))

    def constant(self, value: Number, dtype: DType = "f32") -> Term:
        """A number known now: part of the kernel."""
        literal = float_literal(value) if dtype == "f32" else str(int(value))
        return self._step(Step("constant", (), dtype, 0, literal=literal))

    def channels(self) -> Term:
        """How many channels there are, as a float."""
        return self._step(Step("channels", (), "f32", 0))

    def channel_index(self) -> Term:
        """The number of the channel, int32."""
        return self._step(Step("channel_index", (), "i32", CHANNELS))

    def row_index(self) -> Term:
        """The number of the row within its item, int32."""
        return self._step(Step("row_index", (), "i32", PIXELS))

    def pixel_index(self) -> Term:
        """The number of the pixel within its row, int32."""
        return self._step(Step("pixel_index", (), "i32", PIXELS))

    # --- results ---

    def store(self, name: str, term: Term | Number, *, dtype: DType = "f32", layout: Layout = "full") -> None:
        """Write a term to an operand; an operand that is read, too, is updated in place.

        Args:
            name: of the operand.
            term: a number is written everywhere. It may not vary along axes that the operand does not have.
            dtype: of the operand; the term is cast.
            layout: "full", "strided", "pixel", "channel" or "scalar".
        """
        self._store(name, term, dtype, layout, (0, 0), shifted=False)

    def store_window(self, name: str, down: int, right: int, term: Term | Number) -> None:
        """Write a term to where `window` of that operand would read."""
        self._store(name, term, "f32", "full", (down, right), shifted=True)

    def channel_sum(self, name: str, term: Term | Number) -> None:
        """Partial sums of a term over the pixels, per channel: see `Store`."""
        term = self.cast(self._term(term, "f32"), "f32")
        self.stores.append(Store("channel_sum", self._operand(name, "partials"), term.number))

    def channel_moments(self, name: str, term: Term) -> None:
        """Mean and squared deviations of a term over the pixels, per channel and shard, merged line by line.

        Nothing cancels, however large the mean is beside the deviations. In kernels for images only.

        Source: Chan, Golub & LeVeque 1983, https://doi.org/10.1080/00031305.1983.10483115.
        """
        term = self.cast(term, "f32")
        self.stores.append(Store("channel_moments", self._operand(name, "moments"), term.number))

    def item_sum(self, name: str, term: Term) -> None:
        """The sum of a term over the pixels of each item, per channel."""
        term = self.cast(term, "f32")
        self.stores.append(Store("item_sum", self._operand(name, "item"), term.number))

    def total_sum(self, name: str, term: Term) -> None:
        """Partial sums of a term over pixels and, if it varies along them, channels: see `Store`."""
        term = self.cast(term, "f32")
        self.stores.append(Store("total", self._operand(name, "total"), term.number))

    # --- steps ---

    def binary(self, op: str, a: Term | Number, b: Term | Number) -> Term:
        """A term of two, of one dtype; a Python number takes that of the other."""
        if not isinstance(a, Term):
            assert isinstance(b, Term)
            a = self._term(a, b.dtype)
        b = self._term(b, a.dtype)
        assert op in ARITHMETIC or op in COMPARISONS, f"unknown operation {op!r}"
        assert a.dtype == b.dtype, f"{op}: expected two terms of one dtype, got {a.dtype} and {b.dtype}"
        assert (a.dtype == "f32") is not (op in BITWISE) or op not in BITWISE | FLOAT_ONLY, f"{op} of {a.dtype}"
        dtype: DType = "bool" if op in COMPARISONS else a.dtype
        return self._step(Step(op, (a.number, b.number), dtype, a.step.varies | b.step.varies))

    def function(self, op: str, x: Term) -> Term:
        """A function of one term."""
        assert op in FUNCTIONS, f"unknown function {op!r}"
        assert x.dtype == "f32" or op in ("neg", "abs"), f"{op} of {x.dtype}: cast it first"
        return self._step(Step(op, (x.number,), x.dtype, x.step.varies))

    def select(self, condition: Term, yes: Term | Number, no: Term | Number) -> Term:
        """`yes` where the truth holds, else `no`."""
        assert condition.dtype == "bool", f"select: expected a truth, got {condition.dtype}"
        if not isinstance(yes, Term):
            yes = self._term(yes, no.dtype if isinstance(no, Term) else "f32")
        no = self._term(no, yes.dtype)
        assert yes.dtype == no.dtype, f"select: expected two terms of one dtype, got {yes.dtype} and {no.dtype}"
        varies = condition.step.varies | yes.step.varies | no.step.varies
        return self._step(Step("select", (condition.number, yes.number, no.number), yes.dtype, varies))

    def cast(self, x: Term, dtype: DType) -> Term:
        """As another dtype."""
        assert dtype in get_args(DType), f"unknown dtype {dtype!r}"
        return x if x.dtype == dtype else self._step(Step("cast", (x.number,), dtype, x.step.varies))

    def reduction(self, op: str, x: Term) -> Term:
        """Over the channels of each pixel; of a term that is the same along them, it counts as often as there are."""
        assert x.dtype == "f32", f"{op} of {x.dtype}: cast it first"
        return self._step(Step(op, (x.number,), "f32", PIXELS))

    def _term(self, x: Term | Number, dtype: DType) -> Term:
        return x if isinstance(x, Term) else self.constant(x, dtype)

    def _step(self, step: Step) -> Term:
        number = self._known.get(step)
        if number is None:
            number = self._known[step] = len(self.steps)
            self.steps.append(step)
        return Term(self, number)

    def _operand(self, name: str, layout: Layout, dtype: DType = "f32", *, shifted: bool = False) -> int:
        for number, known in enumerate(self.operands):
            if known.name == name:
                assert (known.layout, known.dtype) == (layout, dtype), f"{name} is {known.layout} {known.dtype}"
                if shifted and not known.shifted:
                    self.operands[number] = Operand(name, layout, dtype, True)
                return number
        self.operands.append(Operand(name, layout, dtype, shifted))
        return len(self.operands) - 1

    def _load(self, operand: int, shift: Shift) -> Term:
        known = self.operands[operand]
        return self._step(Step("load", (), known.dtype, VARIES[known.layout], operand, shift))

    def _store(
        self, name: str, term: Term | Number, dtype: DType, layout: Layout, shift: Shift, *, shifted: bool
    ) -> None:
        assert layout in ("full", "strided", "pixel", "channel", "scalar"), f"nothing can be stored as {layout}"
        term = self.cast(self._term(term, dtype), dtype)
        assert not term.step.varies & ~VARIES[layout], f"{name}: a {layout} operand for a term that varies more"
        self.stores.append(Store("store", self._operand(name, layout, dtype, shifted=shifted), term.number, shift))


def _pruned(operands: list[Operand], steps: list[Step], stores: list[Store]) -> Pattern:
    """Only the steps and operands that the results need, renumbered in order."""
    needed = {store.value for store in stores}
    for number in reversed(range(len(steps))):
        if number in needed:
            needed.update(steps[number].inputs)
    kept = sorted(needed)
    place = {number: position for position, number in enumerate(kept)}
    used = {steps[number].operand for number in kept} | {store.operand for store in stores}
    used.discard(-1)
    names = {number: position for position, number in enumerate(sorted(used))}
    renumbered = tuple(
        Step(
            step.op,
            tuple(place[number] for number in step.inputs),
            step.dtype,
            step.varies,
            names.get(step.operand, -1),
            step.shift,
            step.literal,
        )
        for step in (steps[number] for number in kept)
    )
    return Pattern(
        tuple(operands[number] for number in sorted(used)),
        renumbered,
        tuple(Store(store.kind, names[store.operand], place[store.value], store.shift) for store in stores),
    )

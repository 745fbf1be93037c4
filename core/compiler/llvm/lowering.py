"""How steps of a pattern become instructions: each computed once where it is known, on vectors of channels.

What an emitter decides is where it stands, by a `Place`. `Lowering.value` writes the instructions of a step and of all
it needs that is not there yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .formula import REDUCTIONS, Step
from .ir import FLOAT, Value, number
from .mathematics import BINARY, FUNCTIONS
from .memory import ELEMENTS, Memory, Place

FLOAT_COMPARISONS = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}
WHOLE_COMPARISONS = {"lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge", "eq": "eq", "ne": "ne"}

Known = dict[int, Value]


@dataclass
class Lowering(Memory):
    """Writes the steps of one pattern.

    Attributes:
        prepared: steps that are in scratch memory, with their rows.
    """

    prepared: dict[int, int] = field(default_factory=dict[int, int])

    def value(self, step_number: int, place: Place | None, *known: Known) -> Value:
        """The vector of a step, written now unless one of the scopes has it.

        Args:
            step_number: which.
            place: where the vector is; None while only what does not vary is asked for.
            known: scopes of values that are there, the innermost first; what is written joins that one.
        """
        for scope in known:
            if step_number in scope:
                return scope[step_number]
        step = self.pattern.steps[step_number]
        assert step.op not in REDUCTIONS, "a reduction is known before it is used"
        if step_number in self.prepared and place is not None:
            value = self.load_scratch(self.prepared[step_number], place)
        else:
            inputs = [self.value(number, place, *known) for number in step.inputs]
            value = self._written(step, inputs, place)
        known[0][step_number] = value
        return value

    def everywhere(self) -> Known:
        """The steps that vary along no axis, written now."""
        known: Known = {}
        for step_number, step in enumerate(self.pattern.steps):
            if step.varies == 0:
                self.value(step_number, None, known)
        return known

    def _written(self, step: Step, inputs: list[Value], place: Place | None) -> Value:
        k, type = self.k, self.in_type(step.dtype)
        match step.op:
            case "load":
                return self.loaded(step, place)
            case "constant":
                literal = {"0": "false", "1": "true"}[step.literal] if step.dtype == "bool" else step.literal
                return Value(f"splat ({ELEMENTS[step.dtype]} {literal})", type)
            case "channel_index":
                assert place is not None
                lanes = ", ".join(f"i32 {lane}" for lane in range(self.width))
                first = k.splat(k.cast("trunc", place.channel, "i32"), self.width)
                return k.binary("add", first, Value(f"<{lanes}>", type))
            case "row_index" | "pixel_index":
                assert place is not None
                index = place.row if step.op == "row_index" else place.pixel
                assert index is not None, f"{step.op} in a kernel without rows"
                return k.splat(k.cast("trunc", index, "i32"), self.width)
            case "channels":
                count = next(k[slot.name] for slot in k.slots if slot.name in ("channels", "count"))
                return k.splat(k.cast("sitofp", count, FLOAT), self.width)
            case "row":
                assert place is not None
                return self.row_of_table(step, inputs[0], place)
            case "mean" | "variance":
                assert place is not None
                return self.moment(step, inputs, place)
            case "select":
                return k.select(*inputs)
            case "cast":
                return self._cast(inputs[0], step)
            case "lt" | "le" | "gt" | "ge" | "eq" | "ne":
                of_floats = inputs[0].type == self.floats
                return k.compare((FLOAT_COMPARISONS if of_floats else WHOLE_COMPARISONS)[step.op], *inputs)
            case "and" | "or" | "xor":
                return k.binary(step.op, *inputs)
            case _:
                return self._float(step, inputs) if step.dtype == "f32" else self._whole(step, inputs, type)

    def _float(self, step: Step, inputs: list[Value]) -> Value:
        k = self.k
        match step.op:
            case "add" | "sub" | "mul" | "div":
                return k.binary(f"f{step.op}", *inputs)
            case "max" | "min" | "pow" | "atan2" | "copysign":
                return BINARY[step.op](k, *inputs)
            case _:
                return FUNCTIONS[step.op](k, inputs[0])

    def _whole(self, step: Step, inputs: list[Value], type: str) -> Value:
        k = self.k
        match step.op:
            case "add" | "sub" | "mul":
                return k.binary(step.op, *inputs)
            case "max" | "min":
                return k.call(f"llvm.s{step.op}", type, *inputs)
            case "neg":
                return k.binary("sub", number(0, type), inputs[0])
            case "abs":
                return k.call("llvm.abs", type, inputs[0], Value("false", "i1"))
            case _:
                raise AssertionError(f"{step.op} of integers")

    def _cast(self, x: Value, step: Step) -> Value:
        k, type = self.k, self.in_type(step.dtype)
        from_bool, from_float = x.type == self.in_type("bool"), x.type == self.floats
        match step.dtype:
            case "bool":
                return k.compare("une" if from_float else "ne", x, number(0, x.type))
            case "f32" if from_bool:
                return k.select(x, number(1.0, type), 0.0)
            case "f32":
                return k.cast("sitofp", x, type)
            case _ if from_float:
                return k.call("llvm.fptosi.sat", type, x, overloads=(type, x.type))
            case _ if from_bool:
                return k.cast("zext", x, type)
            case _:
                return k.cast("sext" if step.dtype == "i64" else "trunc", x, type)

"""What it takes to compute a step: decides between computing again and keeping, and what is prepared per channel."""

from __future__ import annotations

from collections.abc import Iterable

from .formula import CHANNELS, PIXELS, Pattern

# Beside an addition, roughly; 1 for what is not here.
COSTS: dict[str, int] = {"constant": 0, "div": 4, "sqrt": 6, "rsqrt": 10}
COSTS.update({"exp": 14, "expm1": 14, "sigmoid": 18, "erf": 18, "tanh": 20, "log": 20, "log1p": 26})
COSTS.update({"log2": 20, "pow": 90, "atan2": 60, "sin": 60, "cos": 60, "tan": 120, "asin": 70, "acos": 70, "atan": 60})


def cost_of(pattern: Pattern, step_number: int, free: Iterable[int] = ()) -> int:
    """What it takes to compute a step again, beside additions; steps in `free` cost a load."""
    free = set(free)
    seen: set[int] = set()
    total = 0
    waiting = [step_number]
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        step = pattern.steps[each]
        total += 1 if each in free else COSTS.get(step.op, 1)
        if each not in free:
            waiting.extend(number for number in step.inputs if pattern.steps[number].varies & CHANNELS)
    return total


def prepared_steps(pattern: Pattern) -> dict[int, int]:
    """Steps that vary by channel only and are worth a pass over the channels before all else, with scratch rows.

    Those are the outermost of them that take partial sums or more than a few operations.
    """
    used_inside = {
        number
        for step in pattern.steps
        if step.varies & PIXELS
        for number in step.inputs
        if pattern.steps[number].varies == CHANNELS
    }
    used_inside |= {
        store.value
        for store in pattern.stores
        if pattern.steps[store.value].varies == CHANNELS and pattern.operands[store.operand].layout != "channel"
    }
    dear = [
        number for number in sorted(used_inside) if pattern.steps[number].dtype == "f32" and _is_dear(pattern, number)
    ]
    return {number: row for row, number in enumerate(dear)}


def _is_dear(pattern: Pattern, step_number: int) -> bool:
    waiting, seen = [step_number], set[int]()
    while waiting:
        each = waiting.pop()
        if each not in seen:
            seen.add(each)
            step = pattern.steps[each]
            if step.operand >= 0 and pattern.operands[step.operand].layout in ("partials", "moments"):
                return True
            waiting.extend(step.inputs)
    return cost_of(pattern, step_number) > 4

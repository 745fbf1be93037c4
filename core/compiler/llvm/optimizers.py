"""Steps of optimisers over one flat vector of parameters: each a kernel that reads and writes everything once.

Settings and what changes from step to step are float32 slots, so one kernel serves all steps of all models. The
gradient may be clipped on the way: by `squares`, SHARDS partial sums of its squares, which `emit_squares` leaves.
The formulas are those of `core/optim`.
"""

from __future__ import annotations

from functools import lru_cache

from .elementwise import emit_flat
from .formula import Formula, Pattern, Term
from .kernel import Kernel
from .step import Method, Step
from .target import Target


@lru_cache(256)
def step_pattern(step: Step) -> Pattern:
    """The arithmetic of a step."""
    f = Formula()
    w, g, rate = f.full("parameters"), f.full("gradient"), f.number("rate")
    if step.clips:
        g = g * clip_factor(f.total("squares"), f.number("bound"))
    if step.decays:
        g = g + w * f.number("decay")
    if step.method == "adamw":
        w = w * f.number("shrink")
    f.store("parameters", w - _direction(f, step.method, g) * rate)
    return f.pattern()


@lru_cache(256)
def emit_step(target: Target, step: Step) -> Kernel:
    """The kernel of a step, for a run of elements; the state and the parameters are updated in place."""
    return emit_flat(target, step_pattern(step))


@lru_cache(8)
def emit_squares(target: Target) -> Kernel:
    """The sum of squares of a vector: slots `count`, `gradient`, `squares` (SHARDS partial sums)."""
    f = Formula()
    g = f.full("gradient")
    f.total_sum("squares", g * g)
    return emit_flat(target, f.pattern())


def clip_factor(squares: Term, bound: Term) -> Term:
    """What makes a gradient's norm at most `bound`; 1 if it is that already, or not finite."""
    norm = squares.sqrt()
    return ((norm > bound) & (norm < float("inf"))).select(bound / norm, 1.0)


def _direction(f: Formula, method: Method, g: Term) -> Term:
    """What is subtracted from the parameters, but for the rate; the state is stored on the way."""
    match method:
        case "sgd":
            return g
        case "momentum" | "nesterov":
            velocity = _kept(f, "velocity", f.full("velocity") * f.number("momentum") + g)
            return g + velocity * f.number("momentum") if method == "nesterov" else velocity
        case "adam" | "adamw":
            first = _average(f, "first", g, f.number("beta1"))
            second = _average(f, "second", g * g, f.number("beta2"))
            return first / (second.sqrt() * f.number("correction") + f.number("epsilon"))
        case "adagrad":
            return g / (_kept(f, "sum", f.full("sum") + g * g).sqrt() + f.number("epsilon"))
        case "rmsprop" | "rmsprop_momentum":
            scaled = g / (_average(f, "second", g * g, f.number("alpha")).sqrt() + f.number("epsilon"))
            if method == "rmsprop":
                return scaled
            return _kept(f, "velocity", f.full("velocity") * f.number("momentum") + scaled)


def _average(f: Formula, name: str, new: Term, memory: Term) -> Term:
    return _kept(f, name, f.full(name) * memory + new * (1.0 - memory))


def _kept(f: Formula, name: str, value: Term) -> Term:
    f.store(name, value)
    return value

"""Steps of optimisers as launches: the gradients become one vector, and one kernel updates parameters and moments.

What changes from step to step, the rate and the corrections of averages, Python computes before each run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod, sqrt
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from ...device import Array
from ...optim.adam import Adam, AdamW
from ...optim.adaptive import Adagrad, RMSprop
from ...optim.optimizer import ElementwiseOptimizer, OptimizerState, checked_rate
from ...optim.sgd import SGD
from ..graph import Effect, Graph, Value
from ..llvm.launch import Launch
from ..llvm.optimisers import Step, emit_step
from ..llvm.program import Program, Scalar
from .place import Buffer, Place

if TYPE_CHECKING:
    from .lower import Lowering

Numbers = dict[str, float]


@dataclass(frozen=True, slots=True)
class Method:
    """An optimiser's step as a kernel.

    Attributes:
        step: which kernel.
        numbers: its numbers at a step, from 1, and a learning rate.
        moments: its pointers to the optimiser's moments, by name.
    """

    step: Step
    numbers: Callable[[int, float], Numbers]
    moments: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeStep:
    """A step that is part of a program.

    Attributes:
        state: the optimiser's, which is one step on after each run.
        method: what is computed.
        rate: the learning rate, or the argument that holds it.
        names: of the program's scalars, by those of the kernel.
        vectors: what is bound, by the names of buffers.
        known: the numbers as the program has them.
    """

    state: OptimizerState
    method: Method
    rate: float | Value
    names: dict[str, str]
    vectors: dict[str, Array]
    known: Numbers = field(default_factory=dict[str, float])

    def prepare(self, program: Program, read: Callable[[Value], Array]) -> None:
        """Before a run.

        Args:
            program: whose numbers are set.
            read: the array of an argument.

        Raises:
            ConfigError: the learning rate is no such.
        """
        rate = checked_rate(float(read(self.rate)) if isinstance(self.rate, Value) else self.rate)
        for name, value in self.method.numbers(self.state.step + 1, rate).items():
            if self.known.get(name) != value:
                program.set(self.names[name], value)
                self.known[name] = value


def native_steps(graph: Graph) -> list[Effect]:
    """The effects, from the first on, that programs do themselves."""
    found: list[Effect] = []
    written = {id(array) for effect in graph.effects for array in effect.touches}
    sources = {capture.value: capture for capture in graph.captures}
    kept = (value for value in [*graph.results, *(update.value for update in graph.updates)])
    if any(value in sources and id(sources[value].read()) in written for value in kept):
        return []  # a result is a parameter as it was before the step
    for effect in graph.effects:
        if _method(effect) is None or (isinstance(rate := _rate(effect), Value) and rate not in graph.arguments):
            break
        found.append(effect)
    return found


def lower_step(outer: Lowering, effect: Effect, number: int) -> NativeStep:
    """The launches of a step that `native_steps` gave.

    Args:
        outer: of the whole graph, all of whose nodes are lowered.
        effect: it.
        number: of the step.
    """
    method = _method(effect)
    assert method is not None
    _, state = cast("tuple[ElementwiseOptimizer, OptimizerState]", effect.subject[:2])
    gradient = _gathered(outer, effect, state)
    vectors = {"parameters": state.parameters, **{name: state.moments[name] for name in method.moments}}
    buffers = {name: Buffer(f"step{number}.{name}", vector.size) for name, vector in vectors.items()}
    names = {name: f"step{number}.{name}" for name in method.numbers(1, 0.0)}
    numbers: dict[str, int | float | Scalar] = {"count": state.buffer.size}
    numbers |= {name: Scalar(scalar) for name, scalar in names.items()}
    kernel = emit_step(outer.target, method.step)
    launch = Launch(kernel=kernel, numbers=numbers, offsets={"gradient": gradient.origin, **dict.fromkeys(vectors, 0)})
    outer.barrier()
    outer.add(launch, {"gradient": gradient.buffer, **buffers}, list(vectors), effect.name)
    outer.barrier()
    bound = {buffer.name: vectors[name] for name, buffer in buffers.items()}
    return NativeStep(state=state, method=method, rate=_rate(effect), names=names, vectors=bound)


def target_places(outer: Lowering, effect: Effect) -> None:
    """Let gradients be made where the step will read them."""
    _, state = cast("tuple[ElementwiseOptimizer, OptimizerState]", effect.subject[:2])
    given = effect.inputs[: len(effect.inputs) - isinstance(_rate(effect), Value)]
    if _is_vector(given, state):
        return
    vector = outer.new(state.buffer.size)
    vector.in_parts = True
    outer.vectors[effect] = vector
    for value, segment in zip(_distinct(given, state), state.buffer.segments, strict=True):
        outer.targets.setdefault(value, Place.dense(vector, value.shape, origin=segment.start))


def _gathered(outer: Lowering, effect: Effect, state: OptimizerState) -> Place:
    """All gradients in one vector."""
    given = effect.inputs[: len(effect.inputs) - isinstance(_rate(effect), Value)]
    if _is_vector(given, state):
        place = outer.place(given[0])
        return place if place.is_dense else outer.dense_copy(place)
    vector = outer.vectors[effect]
    for value, segment in zip(_distinct(given, state), state.buffer.segments, strict=True):
        target = Place.dense(vector, value.shape, origin=segment.start)
        if outer.place(value) != target and prod(value.shape):
            outer.copied(outer.place(value), target)
    return Place.dense(vector, (state.buffer.size,))


def _is_vector(given: Sequence[Value], state: OptimizerState) -> bool:
    return len(given) == 1 and given[0].shape == (state.buffer.size,) and len(state.buffer.segments) != 1


def _distinct(given: Sequence[Value], state: OptimizerState) -> list[Value]:
    return [given[position] for position in state.buffer.positions]


def _rate(effect: Effect) -> float | Value:
    rate: float | None = effect.subject[2]
    optimizer: ElementwiseOptimizer = effect.subject[0]
    if rate is None and effect.subject[3]:
        return effect.inputs[-1]
    return optimizer.learning_rate if rate is None else rate


def _method(effect: Effect) -> Method | None:
    """How a step is computed natively; None if it is not."""
    if effect.subject is None:
        return None
    optimizer, state = cast("tuple[ElementwiseOptimizer, OptimizerState]", effect.subject[:2])
    make = METHODS.get(type(optimizer))
    plain = state.parameters.dtype == np.float32 and not state.buffer.is_mixed
    return make(optimizer) if make is not None and plain and state.buffer.device.kind == "cpu" else None


def _sgd(of: SGD) -> Method:
    name = "nesterov" if of.nesterov else "momentum" if of.momentum else "sgd"
    more = {"momentum": of.momentum} if of.momentum else {}
    more |= _decay(of.weight_decay)
    step = Step(method=name, decays=bool(of.weight_decay))
    return Method(step, lambda count, rate: {"rate": rate, **more}, ("velocity",) if of.momentum else ())


def _adam(of: Adam | AdamW) -> Method:
    decoupled = isinstance(of, AdamW)
    fixed = {"beta1": of.beta1, "beta2": of.beta2, "epsilon": of.epsilon}
    fixed |= {} if decoupled else _decay(of.weight_decay)

    def numbers(count: int, rate: float) -> Numbers:
        shrink = {"shrink": 1 - rate * of.weight_decay} if decoupled else {}
        correction = 1 / sqrt(1 - of.beta2**count)
        return {**fixed, **shrink, "rate": rate / (1 - of.beta1**count), "correction": correction}

    step = Step(method="adamw" if decoupled else "adam", decays=bool(of.weight_decay) and not decoupled)
    return Method(step, numbers, ("first", "second"))


def _adagrad(of: Adagrad) -> Method:
    fixed = {"epsilon": of.epsilon, **_decay(of.weight_decay)}
    step = Step(method="adagrad", decays=bool(of.weight_decay))
    return Method(step, lambda count, rate: {**fixed, "rate": rate / (1 + (count - 1) * of.rate_decay)}, ("sum",))


def _rmsprop(of: RMSprop) -> Method | None:
    if of.centered:
        return None
    fixed = {"alpha": of.alpha, "epsilon": of.epsilon, **_decay(of.weight_decay)}
    fixed |= {"momentum": of.momentum} if of.momentum else {}
    step = Step(method="rmsprop_momentum" if of.momentum else "rmsprop", decays=bool(of.weight_decay))
    moments = ("second", "velocity") if of.momentum else ("second",)
    return Method(step, lambda count, rate: {**fixed, "rate": rate}, moments)


def _decay(weight_decay: float) -> Numbers:
    return {"decay": weight_decay} if weight_decay else {}


METHODS: Final[dict[type, Callable[[Any], Method | None]]] = {
    SGD: _sgd,
    Adam: _adam,
    AdamW: _adam,
    Adagrad: _adagrad,
    RMSprop: _rmsprop,
}

"""Steps of optimisers that programs do themselves: which ones, their kernels, and what Python computes before each run,
the rate and the corrections of averages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Final, cast

import numpy as np

from ...device import Array
from ...optim.adam import Adam, AdamW
from ...optim.adaptive import Adagrad, RMSprop
from ...optim.optimizer import ElementwiseOptimizer, OptimizerState, checked_rate
from ...optim.sgd import SGD
from ..graph import Effect, Graph, Value
from ..llvm.program import Program
from ..llvm.step import Step

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
        number: of the step; its vectors and numbers bear it in their names, see `name_of`.
        rate: the learning rate of a run, from its arguments.
        settled: whether the numbers of all steps are those of the first.
        known: the numbers as the program has them.
    """

    state: OptimizerState
    method: Method
    number: int
    rate: Callable[[Sequence[Array]], float]
    settled: bool
    known: Numbers = field(default_factory=dict[str, float])

    @property
    def vectors(self) -> dict[str, Array]:
        """What is bound, by the names of buffers."""
        return {name_of(self.number, name): array for name, array in vectors_of(self.state, self.method).items()}

    def prepare(self, program: Program, arguments: Sequence[Array]) -> None:
        """Before a run.

        Args:
            program: whose numbers are set.
            arguments: of the run.

        Raises:
            ConfigError: the learning rate is no such.
        """
        if self.settled and self.known:
            return
        rate = checked_rate(self.rate(arguments))
        for name, value in self.method.numbers(self.state.step + 1, rate).items():
            if self.known.get(name) != value:
                program.set(name_of(self.number, name), value)
                self.known[name] = value


def native_step(effect: Effect, number: int, argument: int | None) -> NativeStep:
    """An effect that `native_steps` gave.

    Args:
        effect: it.
        number: among those.
        argument: of the graph, if one holds the learning rate.
    """
    method, fixed = method_of(effect), rate_of(effect)
    assert method is not None

    def rate(arguments: Sequence[Array]) -> float:
        return float(arguments[argument]) if argument is not None else cast("float", fixed)

    settled = isinstance(fixed, float | int) and method.numbers(1, fixed) == method.numbers(2, fixed)
    return NativeStep(state=state_of(effect), method=method, number=number, rate=rate, settled=settled)


def native_steps(graph: Graph) -> list[Effect]:
    """The effects, from the first on, that programs do themselves."""
    found: list[Effect] = []
    for effect in graph.effects:
        if method_of(effect) is None or (isinstance(rate := rate_of(effect), Value) and rate not in graph.arguments):
            break
        found.append(effect)
    return found


def name_of(number: int, name: str) -> str:
    """What a vector or a number of a step is called in a program."""
    return f"step{number}.{name}"


def vectors_of(state: OptimizerState, method: Method) -> dict[str, Array]:
    """What a step changes, by the names of the kernel's pointers."""
    return {"parameters": state.parameters, **{name: state.moments[name] for name in method.moments}}


def state_of(effect: Effect) -> OptimizerState:
    """Of an optimiser's step, the state."""
    return cast("OptimizerState", effect.subject[1])


def rate_of(effect: Effect) -> float | Value:
    """Of an optimiser's step, the learning rate, or who holds it."""
    rate: float | None = effect.subject[2]
    optimizer: ElementwiseOptimizer = effect.subject[0]
    if rate is None and effect.subject[3]:
        return effect.inputs[-1]
    return optimizer.learning_rate if rate is None else rate


def method_of(effect: Effect) -> Method | None:
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

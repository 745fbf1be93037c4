"""Steps of optimisers as launches: the gradients become one vector, and one kernel updates parameters and moments."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from ...optim.optimizer import OptimizerState
from ..graph import Effect, Value
from ..llvm.launch import Launch
from ..llvm.optimizers import emit_step
from ..llvm.program import Scalar
from .place import Buffer, Place
from .steps import method_of, name_of, rate_of, state_of, vectors_of

if TYPE_CHECKING:
    from .lower import Lowering


def lower_step(outer: Lowering, effect: Effect, number: int) -> None:
    """The launches of a step that `native_steps` gave.

    Args:
        outer: of the whole graph, all of whose nodes are lowered.
        effect: it.
        number: of the step.
    """
    method, state = method_of(effect), state_of(effect)
    assert method is not None
    gradient = _gathered(outer, effect, state)
    vectors = vectors_of(state, method)
    buffers = {name: Buffer(name_of(number, name), vector.size) for name, vector in vectors.items()}
    numbers: dict[str, int | float | Scalar] = {"count": state.buffer.size}
    numbers |= {name: Scalar(name_of(number, name)) for name in method.numbers(1, 0.0)}
    kernel = emit_step(outer.target, method.step)
    launch = Launch(kernel=kernel, numbers=numbers, offsets={"gradient": gradient.origin, **dict.fromkeys(vectors, 0)})
    outer.barrier()
    outer.add(launch, {"gradient": gradient.buffer, **buffers}, list(vectors), effect.name)
    outer.barrier()


def target_places(outer: Lowering, effect: Effect) -> None:
    """Let gradients be made where the step will read them."""
    state = state_of(effect)
    given = effect.inputs[: len(effect.inputs) - isinstance(rate_of(effect), Value)]
    if _is_vector(given, state):
        return
    vector = outer.new(state.buffer.size)
    vector.in_parts = True
    outer.vectors[effect] = vector
    for value, segment in zip(_distinct(given, state), state.buffer.segments, strict=True):
        outer.targets.setdefault(value, Place.dense(vector, value.shape, origin=segment.start))


def _gathered(outer: Lowering, effect: Effect, state: OptimizerState) -> Place:
    """All gradients in one vector."""
    given = effect.inputs[: len(effect.inputs) - isinstance(rate_of(effect), Value)]
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

"""What an optimiser is, where it stands, and the loop over cache-sized blocks that most of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from math import inf
from typing import Protocol, cast

from ..device import Array, ArrayModule
from ..errors import ConfigError, FormatError
from ..state import current_stage
from ..tensor import Tensor, wrap
from .buffer import ParameterBuffer

# Elements that one operation of a step covers. Measured on Zen 4 (Adam, float32): with 5 million parameters 1.3 times
# faster than whole vectors, which the caches do not hold; below 2**15 the calls themselves cost more than their work.
BLOCK = 1 << 18


@dataclass(slots=True, eq=False)
class OptimizerState:
    """Where an optimiser stands. It is changed in place by the next step.

    Attributes:
        step: steps taken.
        buffer: the parameters and their gradient.
        moments: running averages by name; of shape (n,) unless the optimiser says otherwise.
        blocks: views of the vectors above and of scratch memory, as the optimiser's step wants them.
        tensors: the same tensor by tensor, for optimisers that need norms or rows and columns.
    """

    step: int
    buffer: ParameterBuffer
    moments: Mapping[str, Array]
    blocks: Sequence[tuple[Array, ...]] = ()
    tensors: Sequence[tuple[Array, ...]] = ()

    @property
    def parameters(self) -> Array:
        """All parameters in one vector, shape (n,)."""
        return self.buffer.vector

    def gather(self, gradients: Sequence[Tensor] | Array) -> Array:
        """The gradients as one vector, for clipping or unscaling before a step; see `ParameterBuffer.gather`."""
        return self.buffer.gather(gradients)

    def advanced(self) -> OptimizerState:
        """The state one step on: itself."""
        self.step += 1
        return self

    def arrays(self) -> dict[str, Array]:
        """Everything that changes but `step`, by name; not copied."""
        return {"parameters": self.buffer.vector, **{f"moment.{name}": array for name, array in self.moments.items()}}

    def restored(self, step: int, arrays: Mapping[str, Array]) -> OptimizerState:
        """The state with the values of another one: `arrays` are what `arrays()` gave there, and are copied in place.

        Raises:
            FormatError: names, shapes or dtypes differ; nothing was changed then.
        """
        own = self.arrays()
        if own.keys() != arrays.keys():
            raise FormatError(f"the optimiser's arrays are {', '.join(own)}, got {', '.join(arrays) or 'none'}")
        for name, array in own.items():
            if (arrays[name].shape, arrays[name].dtype) != (array.shape, array.dtype):
                raise FormatError(
                    f"the optimiser's {name!r} is {array.dtype} {array.shape}, "
                    f"got {arrays[name].dtype} {arrays[name].shape}"
                )
        for name, array in own.items():
            array[...] = self.buffer.device.put(arrays[name])
        self.buffer.publish()
        self.step = step
        return self


class Optimizer(Protocol):
    """What the training loop asks of an optimiser."""

    @property
    def learning_rate(self) -> float:
        """The step size before any schedule."""
        ...

    def init(self, parameters: Sequence[Tensor]) -> OptimizerState:
        """Fresh state; the parameters become views of one buffer."""
        ...

    def step(
        self, state: OptimizerState, gradients: Sequence[Tensor] | Array, *, learning_rate: float | None = None
    ) -> OptimizerState:
        """Update the parameters in place."""
        ...


Step = Callable[..., OptimizerState]


def staged(step: Step) -> Step:
    """The `step` of an optimiser, which waits for the end of each run in a function that is being compiled."""

    @wraps(step)
    def call(
        self: Optimizer,
        state: OptimizerState,
        gradients: Sequence[Tensor] | Array | Tensor,
        *,
        learning_rate: float | None = None,
    ) -> OptimizerState:
        stage = current_stage()
        if stage is None:
            return step(self, state, gradients, learning_rate=learning_rate)
        single = not isinstance(gradients, Sequence)  # one vector
        given = [gradients] if single else list(cast("Sequence[Tensor]", gradients))
        rates = [learning_rate] if isinstance(learning_rate, Tensor) else []

        def run(*arrays: Array) -> None:
            found = arrays[0] if single else [wrap(array) for array in arrays[: len(given)]]
            step(self, state, found, learning_rate=float(arrays[-1]) if rates else learning_rate)

        stage.effect(
            f"{type(self).__name__}.step",
            run,
            [*given, *rates],
            touches=[state.parameters, *(parameter.data for parameter in state.buffer.parameters)],
            subject=(self, state, None if rates else learning_rate, bool(rates)),
        )
        return state

    return call


# (parameters, gradient, scratch, scratch, *moments) of one block, each of shape (<= BLOCK,). Updates the parameters and
# moments in place, may use the scratch arrays, leaves the gradient as it is.
Rule = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementwiseOptimizer(ABC):
    """An optimiser that treats every element alike: a sub-class names its moments and gives the rule of one step."""

    learning_rate: float

    @abstractmethod
    def _moments(self) -> tuple[str, ...]:
        """The names of the running averages, in the order the rule takes them."""

    @abstractmethod
    def _rule(self, xp: ArrayModule, count: int, rate: float) -> Rule:
        """How step number `count`, from 1, changes a block at a learning rate."""

    def init(self, parameters: Sequence[Tensor]) -> OptimizerState:
        """Fresh state, moments zero; the parameters become views of one buffer. See `ParameterBuffer`."""
        buffer = ParameterBuffer(parameters)
        moments = zero_moments(buffer, self._moments())
        return OptimizerState(0, buffer, moments, blocks=blocks_of(buffer, moments))

    @staged
    def step(
        self, state: OptimizerState, gradients: Sequence[Tensor] | Array, *, learning_rate: float | None = None
    ) -> OptimizerState:
        """Update the parameters in place.

        Args:
            state: changed in place too: go on with what is returned.
            gradients: one per parameter, or one vector; see `ParameterBuffer.gather`.
            learning_rate: the optimiser's own by default.
        """
        rate = checked_rate(self.learning_rate if learning_rate is None else learning_rate)
        state.gather(gradients)
        rule = self._rule(state.buffer.xp, state.step + 1, rate)
        for block in state.blocks:
            rule(*block)
        state.buffer.publish()
        return state.advanced()


def zero_moments(buffer: ParameterBuffer, names: Sequence[str]) -> dict[str, Array]:
    """Vectors of zeros like the buffer's, by name."""
    moments = {name: buffer.empty(buffer.size) for name in names}
    for moment in moments.values():
        moment[...] = 0
    return moments


def blocks_of(
    buffer: ParameterBuffer, moments: Mapping[str, Array], *, update: Array | None = None
) -> list[tuple[Array, ...]]:
    """Views of parameters, gradient, two scratch arrays and moments, block by block; one block on a GPU.

    Args:
        buffer: holds the first two.
        moments: each of shape (n,).
        update: a vector of shape (n,) in place of the second scratch array, where all of it is wanted in the end.
    """
    length = BLOCK if buffer.device.kind == "cpu" else max(1, buffer.size)
    scratch = [buffer.empty(min(length, buffer.size)) for _ in range(2)]
    blocks: list[tuple[Array, ...]] = []
    for start in range(0, buffer.size, length):
        part = slice(start, min(start + length, buffer.size))
        first = scratch[0][: part.stop - part.start]
        second = scratch[1][: part.stop - part.start] if update is None else update[part]
        kept = (moment[part] for moment in moments.values())
        blocks.append((buffer.vector[part], buffer.gradient[part], first, second, *kept))
    return blocks


def decayed(xp: ArrayModule, parameters: Array, gradient: Array, weight_decay: float, scratch: Array) -> Array:
    """`gradient + weight_decay * parameters` in `scratch`: decay as part of the loss. Without decay the gradient."""
    if not weight_decay:
        return gradient
    xp.multiply(parameters, weight_decay, out=scratch)
    return xp.add(scratch, gradient, out=scratch)


def checked_rate(rate: float) -> float:
    """A learning rate that is finite and not negative.

    Raises:
        ConfigError: it is not.
    """
    if not 0 <= rate < inf:
        raise ConfigError(f"expected learning_rate >= 0 and finite, got {rate}", hint="check the schedule")
    return rate


def check_range(**values: float) -> None:
    """Each value is finite and not negative.

    Raises:
        ConfigError: one is not.
    """
    for name, value in values.items():
        if not 0 <= value < inf:
            raise ConfigError(f"expected {name} >= 0 and finite, got {value}")


def check_below_one(**values: float) -> None:
    """Each value lies in [0, 1).

    Raises:
        ConfigError: one does not.
    """
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ConfigError(f"expected 0 <= {name} < 1, got {value}")

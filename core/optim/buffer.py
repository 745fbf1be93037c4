"""`ParameterBuffer`: all parameters of a model in one vector, of which they are views, and one for their gradients."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ..device import Array, ArrayModule, Device
from ..dispatch import Traced
from ..errors import ConfigError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor

CACHE_LINE = 64  # bytes
# By name: NumPy knows bfloat16 only where ml_dtypes is imported.
HALF = frozenset({"float16", "bfloat16"})


@dataclass(frozen=True, slots=True)
class Segment:
    """Where one parameter lies in the vector: `vector[start:stop].reshape(shape)`."""

    start: int
    stop: int
    shape: tuple[int, ...]


# Position among the parameters given, parameter, the array it must hold, its shape and dtype, its part of `gradient`.
_Slot = tuple[int, Tensor, Array, tuple[int, ...], Any, Array]


class ParameterBuffer:
    """The parameters of a model in one vector of shape (n,), in the order given.

    A parameter of the vector's dtype becomes a view of it. One of float16 or bfloat16 keeps an array of its own, to
    compute with, and the vector holds its float32 master copy (Micikevicius et al. 2018,
    https://arxiv.org/abs/1710.03740, section 3.1); `publish` rounds the master into it.

    Args:
        parameters: all float64, or float32 mixed with float16 and bfloat16 at will, on one device. The same tensor
            given twice (tied weights) is placed once. Arrays of the caller are copied, not kept.

    Attributes:
        vector: the parameters, shape (n,), float64 or float32.
        gradient: of the same shape and dtype; what `gather` filled last.
        segments: where each distinct parameter lies.
        device: where all of it lives.

    Raises:
        ConfigError: there are no parameters, or two of them share memory without being the same tensor.
        DTypeError: dtypes other than those above.
        DeviceError: the parameters live on different devices.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        if not parameters:
            raise ConfigError("there are no parameters to optimise", hint="check that the model has trainable layers")
        self.device = _one_device(parameters)
        dtype = _master_dtype(parameters)
        first_position: dict[int, int] = {}
        for position, parameter in enumerate(parameters):
            first_position.setdefault(id(parameter), position)
        _refuse_shared_memory([parameters[position] for position in first_position.values()])
        self._given = len(parameters)
        size = sum(parameters[position].size for position in first_position.values())
        self.vector: Array = self.empty(size, dtype)
        self.gradient: Array = self.empty(size, dtype)
        self.gradient[...] = 0
        segments: list[Segment] = []
        self._slots: list[_Slot] = []
        self._halves: list[tuple[Array, Array]] = []  # (array to compute with, its master)
        start = 0
        for position in first_position.values():
            parameter = parameters[position]
            segment = Segment(start, start + parameter.size, parameter.shape)
            segments.append(segment)
            start = segment.stop
            master = self.part(self.vector, segment)
            master[...] = parameter.data
            if parameter.dtype == dtype:
                parameter.data = master
            else:
                parameter.data = parameter.data.copy()
                self._halves.append((parameter.data, master))
            self._slots.append(_slot(position, parameter, self.part(self.gradient, segment)))
        self.segments = tuple(segments)

    @property
    def xp(self) -> ArrayModule:
        """The array module of the buffer's device."""
        return self.device.xp

    @property
    def parameters(self) -> list[Tensor]:
        """The distinct parameters, in the order of their segments."""
        return [slot[1] for slot in self._slots]

    @property
    def positions(self) -> list[int]:
        """Of the parameters given, those that are distinct: which gradient belongs to each segment."""
        return [slot[0] for slot in self._slots]

    @property
    def is_mixed(self) -> bool:
        """Whether some parameters are rounded copies of their masters in the vector."""
        return bool(self._halves)

    @property
    def size(self) -> int:
        """The number of elements, n."""
        return int(self.vector.size)

    def empty(self, size: int, dtype: Any = None) -> Array:
        """A vector of any content on the buffer's device; of its dtype by default.

        On the CPU it begins at a cache line, which NumPy's own need not: vector instructions over lines cost more
        (measured on Zen 4: steps of Adam take 0.9 of the time).
        """
        dtype = self.vector.dtype if dtype is None else np.dtype(dtype)
        if self.device.kind != "cpu":
            return self.xp.empty(size, dtype)
        spare = np.empty(size + CACHE_LINE // dtype.itemsize, dtype)
        start = -spare.ctypes.data % CACHE_LINE // dtype.itemsize
        return spare[start : start + size]

    def part(self, vector: Array, segment: Segment) -> Array:
        """A view of one parameter's elements in a vector of shape (n,), in the parameter's shape."""
        return vector[segment.start : segment.stop].reshape(segment.shape)

    def gather(self, gradients: Sequence[Tensor] | Array) -> Array:
        """Write gradients into `gradient` and return it.

        Args:
            gradients: one tensor per parameter given to the constructor, in the same order, each of its parameter's
                shape and dtype (that of a tied parameter counts once); or a vector of the buffer's shape and dtype.
                Not modified, unless it is `gradient` itself.

        Raises:
            ShapeError: as many gradients as parameters were expected, of the same shapes.
            DTypeError: a gradient's dtype is not its parameter's.
            ConfigError: a parameter's array was exchanged since, so that training it would have no effect.
        """
        if not isinstance(gradients, Sequence):
            return self._take(gradients)
        given = cast(Sequence[Any], gradients)
        if len(given) != self._given:
            raise ShapeError(
                f"expected {self._given} gradients, got {len(given)}",
                hint="pass one gradient per parameter given to init, in the same order",
            )
        if any(isinstance(gradient, Traced) for gradient in given):
            return self._traced(given)
        for slot in self._slots:
            position, parameter, array, shape, dtype, target = slot
            try:
                gradient = given[position].data
                fits = gradient.shape == shape and gradient.dtype == dtype and parameter.data is array
            except AttributeError:
                fits, gradient = False, None
            if not fits:
                raise _misfit(slot, given[position])
            target[...] = gradient
        return self.gradient

    def publish(self) -> None:
        """Round the masters into the half-precision parameters, if there are any. Values beyond their range become
        infinite.
        """
        if self._halves:
            with np.errstate(over="ignore"):
                for half, master in self._halves:
                    half[...] = master

    @contextmanager
    def lowered(self, dtype: np.dtype[Any]) -> Generator[None]:
        """Compute in half precision for the length of the block: float32 parameters become copies in `dtype`, which
        `publish` refreshes; afterwards they are views of the vector again.

        Raises:
            DTypeError: `dtype` is neither float16 nor bfloat16, or the buffer is not float32.
        """
        if dtype.name not in HALF or self.vector.dtype != np.float32:
            raise DTypeError(f"expected a buffer of float32 and float16 or bfloat16, got {self.vector.dtype}, {dtype}")
        slots, halves = self._slots, self._halves
        self._slots, self._halves = [], list(halves)
        with np.errstate(over="ignore"):
            for position, parameter, array, _, _, target in slots:
                if array.dtype == np.float32:
                    half = array.astype(dtype)
                    _exchange(parameter, half)
                    self._halves.append((half, array))
                self._slots.append(_slot(position, parameter, target))
        try:
            yield
        finally:
            self._slots, self._halves = slots, halves
            for _, parameter, array, *_ in slots:
                _exchange(parameter, array)

    def _traced(self, given: Sequence[Tensor]) -> Tensor:
        """The gradients as one vector, where a function is being compiled."""
        from ..ops import concatenate  # which imports the optimisers' base

        for slot in self._slots:
            position, _, _, shape, dtype, _ = slot
            if given[position].shape != shape or given[position].dtype != dtype:
                raise _misfit(slot, given[position])
        flat = [given[slot[0]].reshape(-1).astype(self.vector.dtype) for slot in self._slots]
        return concatenate(*flat, axis=0)

    def _take(self, vector: Array) -> Array:
        if vector is self.gradient:
            return vector
        if vector.shape != self.gradient.shape:
            raise ShapeError(f"expected gradients of shape {self.gradient.shape}, got {vector.shape}")
        if vector.dtype != self.gradient.dtype:
            raise DTypeError(f"expected gradients of dtype {self.gradient.dtype}, got {vector.dtype}")
        self.gradient[...] = vector
        return self.gradient


def _slot(position: int, parameter: Tensor, target: Array) -> _Slot:
    return position, parameter, parameter.data, parameter.shape, parameter.dtype, target


def _misfit(slot: _Slot, given: object) -> ConfigError | DTypeError | ShapeError:
    """What is wrong with a gradient or its parameter."""
    position, parameter, array, shape, dtype, _ = slot
    if not isinstance(given, Tensor):
        return DTypeError(f"expected tensors, gradient {position} is {type(given).__name__}")
    if parameter.data is not array:
        return ConfigError(
            f"the array of parameter {position} was exchanged after init: its training would have no effect",
            hint="change parameters in place (load_state does), or call init again",
        )
    if given.shape != shape:
        return ShapeError(f"gradient {position} has shape {given.shape}, its parameter {shape}")
    return DTypeError(
        f"gradient {position} has dtype {given.dtype}, its parameter {dtype}",
        hint="convert it with astype where that is meant",
    )


def _exchange(parameter: Tensor, array: Array) -> None:
    """Give a parameter another array, and gradients of its dtype."""
    if array.dtype != parameter.dtype:
        parameter.data = array
        if parameter.requires_grad:  # made anew, a leaf knows its dtype
            parameter.requires_grad = False
            parameter.requires_grad = True


def _one_device(parameters: Sequence[Tensor]) -> Device:
    places = {str(parameter.device): parameter.device for parameter in parameters}
    if len(places) > 1:
        raise DeviceError(
            f"the parameters live on different devices: {', '.join(places)}", hint="move the model with .to()"
        )
    return parameters[0].device


def _master_dtype(parameters: Sequence[Tensor]) -> type[np.floating[Any]]:
    names = {parameter.dtype.name for parameter in parameters}
    if names == {"float64"}:
        return np.float64
    if names <= HALF | {"float32"}:
        return np.float32
    raise DTypeError(
        f"expected parameters all float64, or all of float32, float16 and bfloat16, got {', '.join(sorted(names))}",
        hint="convert them with astype before init",
    )


def _refuse_shared_memory(parameters: Sequence[Tensor]) -> None:
    """Two tensors over one array would be torn apart: each gets a place of its own."""
    seen: dict[int, int] = {}
    for position, parameter in enumerate(parameters):
        array = parameter.data
        if parameter.size:
            pointer: int = array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
            other = seen.setdefault(pointer, position)
            if other != position:
                raise ConfigError(
                    f"parameters {other} and {position} share memory but are different tensors",
                    hint="tie weights by assigning the same Parameter in both places",
                )

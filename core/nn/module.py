"""`Module`: a network as an ordinary Python object, whose parameters are found by looking at its attributes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any, Self, cast

import numpy as np

from ..device import Array, Device
from ..errors import FormatError
from ..tensor import Tensor


class Parameter(Tensor):
    """A tensor that training changes."""

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(data, requires_grad=True)


class Buffer(Tensor):
    """A tensor that belongs to a module's state but has no gradient, such as a running mean."""

    __slots__ = ()


class Module:
    """Base of all layers and networks.

    Assign parameters, buffers and sub-modules (or lists of them) as attributes and write `forward`; the order of
    assignment is the order of the state. Nothing is registered, so a module can be changed while it runs.
    """

    training: bool = True

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output; sub-classes say for which shapes."""
        raise NotImplementedError(f"{type(self).__name__} is abstract: it has no forward")

    def __call__(self, x: Tensor) -> Tensor:
        """Run `forward`."""
        return self.forward(x)

    def children(self) -> Generator[tuple[str, Module]]:
        """Direct sub-modules with their names; those in a list are named `list.0`, `list.1`, ..."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list | tuple):
                items = cast(Iterable[object], value)
                yield from ((f"{name}.{i}", item) for i, item in enumerate(items) if isinstance(item, Module))

    def modules(self) -> Generator[Module]:
        """The module itself and all below it."""
        yield self
        for _, child in self.children():
            yield from child.modules()

    def named_tensors(self, kind: type[Tensor] = Tensor, prefix: str = "") -> Generator[tuple[str, Tensor]]:
        """Parameters and buffers (or only those of `kind`) with dotted names, in a fixed order."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter | Buffer) and isinstance(value, kind):
                yield prefix + name, value
        for name, child in self.children():
            yield from child.named_tensors(kind, f"{prefix}{name}.")

    def parameters(self) -> list[Tensor]:
        """The tensors that training changes."""
        return [tensor for _, tensor in self.named_tensors(Parameter)]

    def state(self) -> dict[str, Array]:
        """Copies of all parameters and buffers by name."""
        return {name: tensor.data.copy() for name, tensor in self.named_tensors()}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Overwrite all parameters and buffers in place; nothing changes unless every name, shape and dtype fits.

        Raises:
            FormatError: names are missing or unknown, or a shape or dtype differs.
        """
        own = dict(self.named_tensors())
        if own.keys() != state.keys():
            missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
            raise FormatError(f"the state does not belong to this model: {missing=}, {unknown=}")
        for name, tensor in own.items():
            if tensor.shape != state[name].shape:
                raise FormatError(f"the state's {name!r} has shape {state[name].shape}, the model's {tensor.shape}")
            if tensor.dtype != state[name].dtype:
                raise FormatError(f"the state's {name!r} has dtype {state[name].dtype}, the model's {tensor.dtype}")
        for name, tensor in own.items():
            tensor.data[...] = tensor.device.put(state[name])

    def to(self, target: Device) -> Self:
        """Move all parameters and buffers to a device, in place."""
        for _, tensor in self.named_tensors():
            tensor.data = target.put(tensor.data)
        return self

    def train(self, enabled: bool = True) -> Self:
        """Switch between training and evaluation: batch statistics or running ones, dropout or none."""
        for module in self.modules():
            module.training = enabled
        return self

    def eval(self) -> Self:
        """Switch to evaluation."""
        return self.train(False)


class Sequential(Module):
    """Modules one after the other."""

    def __init__(self, *layers: Module) -> None:
        self.layers = list(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Apply every layer in order."""
        for layer in self.layers:
            x = layer(x)
        return x


def he_normal(shape: tuple[int, ...], fan_in: int, rng: np.random.Generator) -> np.ndarray:
    """Normal with variance 2 / fan_in, float32. Source: He et al. 2015, https://arxiv.org/abs/1502.01852, eq. 10."""
    return (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)

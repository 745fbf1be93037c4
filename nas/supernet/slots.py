"""Slots: where the weights of a network lie in those of a supernet.

A weight belongs to the place in the template that its layer stands at. Networks that have a layer at the same place
share it, each at its own size: the first units and channels of the largest, the middle of the largest kernel (Cai et
al. 2020, once-for-all, https://arxiv.org/abs/1908.09791), the first units of every gate of a recurrent layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ...core import Tensor, nn
from ...core.nn import Module, Parameter, Sequential
from ..space import Expanded

Shape = tuple[int, ...]
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True, slots=True)
class Slot:
    """One weight of a network.

    Attributes:
        key: the place of its layer and its name there; equal keys of two networks share.
        shape: that it has in this network.
        owner: the module it belongs to.
        name: the attribute of the owner.
        gates: equal parts of its first axis, each with its own first units; 1 but for recurrent layers.
        centred: whether the axes after the second are a kernel.
    """

    key: str
    shape: Shape
    owner: Module
    name: str
    gates: int = 1
    centred: bool = False

    def part(self, shared: Tensor) -> Tensor:
        """What of the shared weight this network uses; gradients flow into it."""
        if shared.shape == self.shape:
            return shared
        if self.gates == 1:
            return shared[self._index(shared.shape)]
        split = shared.reshape(self.gates, shared.shape[0] // self.gates, *shared.shape[1:])
        inner = (slice(0, length) for length in (self.shape[0] // self.gates, *self.shape[1:]))
        return split[(slice(None), *inner)].reshape(*self.shape)

    def put(self, shared: np.ndarray, values: np.ndarray) -> None:
        """Overwrite in an array of the shared shape what this network uses."""
        if self.gates == 1:
            shared[self._index(shared.shape)] = values
            return
        split = shared.reshape(self.gates, shared.shape[0] // self.gates, *shared.shape[1:])
        inner = (slice(0, length) for length in (self.shape[0] // self.gates, *self.shape[1:]))
        split[(slice(None), *inner)] = values.reshape(self.gates, -1, *self.shape[1:])

    def _index(self, largest: Shape) -> tuple[slice, ...]:
        starts = [
            (whole - length) // 2 if self.centred and axis >= 2 else 0
            for axis, (whole, length) in enumerate(zip(largest, self.shape, strict=True))
        ]
        return tuple(slice(start, start + length) for start, length in zip(starts, self.shape, strict=True))


def slots_of(network: Sequential, layers: Sequence[Expanded]) -> list[Slot]:
    """Every weight of a network.

    Args:
        network: built of `layers`.
        layers: with their places, as `Space.expanded` gives them.
    """
    walk = _Walk()
    walk.chain(network.layers, layers, "")
    return walk.found


class _Walk:
    """One pass through a network, side by side with where its layers come from."""

    def __init__(self) -> None:
        self.found: list[Slot] = []
        self._visited: set[int] = set()
        self._times: dict[str, int] = {}

    def chain(self, modules: Sequence[Module], layers: Sequence[Expanded], prefix: str) -> None:
        for module, layer in zip(modules, layers, strict=True):
            self.layer(module, layer, prefix)

    def layer(self, module: Module, layer: Expanded, prefix: str) -> None:
        place = f"{prefix}{layer.path}"
        # A decision with a name may stand at several places under one path: each has weights of its own.
        self._times[place] = times = self._times.get(place, 0) + 1
        place = place if times == 1 else f"{place}#{times}"
        for name, inner in layer.inside.items():
            held = module.find(name)
            modules = held.layers if isinstance(held, Sequential) else [held]
            self.chain(modules, inner, f"{place}>")
        self.found += self._own(module, place)

    def _own(self, module: Module, place: str) -> Iterator[Slot]:
        """The weights that belong to the layer itself, not to layers inside of it."""
        gates: dict[int, int] = {}
        for path, owner in module.named_modules():
            if id(owner) in self._visited:
                continue
            self._visited.add(id(owner))
            if isinstance(owner, nn.RNN | nn.GRU | nn.LSTM):
                gates |= {id(cell): owner.gates for cell in owner.cells}
            for name, value in vars(owner).items():
                if isinstance(value, Parameter):
                    key = f"{place}:{path}.{name}" if path else f"{place}:{name}"
                    kernel = isinstance(owner, _CONVOLUTIONS)
                    yield Slot(key, value.shape, owner, name, gates.get(id(owner), 1), kernel)


def largest_shape(first: Shape, second: Shape) -> Shape:
    """The longer of two along every axis."""
    return tuple(cast(Any, map(max, first, second)))

"""`Supernet`: the weights of all networks of a space at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self, cast

import numpy as np

from ...core import ConfigError, FormatError, load_tensors, nn, no_grad, read_tensor_header, save_tensors
from ...core.nn import Buffer, Parameter, Sequential, build_layers
from ..space import Expanded, Flat, Space
from .extremes import check_networks, covering, extreme
from .slots import Shape, Slot, largest_shape, slots_of

FORMAT = "nasturtium.supernet"


class Supernet:
    """One tensor for every weight of every place of a space, at the largest size that a network gives it.

    A network of the space uses parts of them, see `slots`. Statistics of batch norms belong to no place, because they
    differ from network to network: `recalibrate` measures them.

    Args:
        space: with networks.
        rng: of the initial weights, and of the points looked at.
        points: how many random points are looked at to find all places; a space of no more networks is known entirely.

    Attributes:
        weights: by key, in the order they were found.
        largest, smallest: the points with the most and the fewest parameters.

    Raises:
        ConfigError: the space is a table of decisions.
    """

    def __init__(self, space: Space, rng: np.random.Generator, *, points: int = 256) -> None:
        check_networks(space)
        if points < 1:
            raise ConfigError(f"expected points >= 1, got {points}")
        self.space = space
        self.largest = extreme(space, rng, largest=True)
        self.smallest = extreme(space, rng, largest=False)
        base = extreme(space, rng, largest=True, constrained=False) if space.constraints else self.largest
        shapes: dict[str, Shape] = {}
        sizes: dict[str, int] = {}
        origin: dict[str, tuple[Expanded, ...]] = {}  # the network with the most of each weight
        seen: set[str] = set()
        for flat in (self.largest, self.smallest, *covering(space, base, rng, points)):
            layers = _expanded(space, flat)
            if layers is None or space.network_id(flat) in seen:
                continue
            seen.add(space.network_id(flat))
            for slot in slots_of(self._skeleton(layers), layers):
                size = int(np.prod(slot.shape))
                shapes[slot.key] = largest_shape(shapes.get(slot.key, slot.shape), slot.shape)
                if size > sizes.get(slot.key, 0):
                    sizes[slot.key], origin[slot.key] = size, layers
        self.weights = self._initial(shapes, origin, rng)

    def covers(self, flat: Flat) -> bool:
        """Whether the weights of a point's network are all here, at least as large."""
        layers = _expanded(self.space, flat)
        return layers is not None and all(
            slot.key in self.weights
            and largest_shape(slot.shape, self.weights[slot.key].shape) == self.weights[slot.key].shape
            for slot in slots_of(self._skeleton(layers), layers)
        )

    def path(self, flat: Flat, rng: np.random.Generator) -> tuple[Sequential, list[Parameter]]:
        """The network of a point, computing with the shared weights, and those of them it uses.

        Gradients of what it computes flow into the shared weights; it is made for one step, and then made again.

        Args:
            flat: a point.
            rng: of dropout.

        Raises:
            ConfigError: a weight is not among those that were found.
            FormatError: the point's layers do not fit each other.
        """
        layers = self.space.expanded(flat)
        network = self._skeleton(layers, rng)
        used: dict[str, Parameter] = {}
        for slot in slots_of(network, layers):
            used[slot.key] = shared = self._shared(slot)
            setattr(slot.owner, slot.name, slot.part(shared))
        _start_statistics(network)
        return network, list(used.values())

    def inherit(self, flat: Flat, rng: np.random.Generator) -> Sequential:
        """The network of a point with copies of its weights: an ordinary network, to be evaluated or trained on.

        Batch norms have the statistics of an untrained network, see `recalibrate`. Arguments and errors as for `path`.
        """
        layers = self.space.expanded(flat)
        network = self._skeleton(layers, rng)
        with no_grad():
            for slot in slots_of(network, layers):
                setattr(slot.owner, slot.name, Parameter(slot.part(self._shared(slot)).data.copy()))
        _start_statistics(network)
        return network

    def save(self, path: Path | str) -> Path:
        """Write the weights to a safetensors file."""
        return save_tensors(path, self.weights, metadata={"format": FORMAT, "space": self.space.sha256})

    def load(self, path: Path | str) -> Self:
        """Take the weights of a file that `save` wrote for the same space.

        Raises:
            FormatError: of another space, or damaged; nothing was changed then.
        """
        said = read_tensor_header(path)
        if said.metadata.get("format") != FORMAT or said.metadata.get("space") != self.space.sha256:
            raise FormatError(
                f"{path}: not the supernet of space {self.space.name!r}",
                hint="make it with the space it was saved with",
            )
        arrays = load_tensors(path, device="cpu")
        own = {name: (tensor.shape, tensor.dtype) for name, tensor in self.weights.items()}
        if own != {name: (array.shape, array.dtype) for name, array in arrays.items()}:
            raise FormatError(f"{path}: its weights differ from those of the space", hint="make it with as many points")
        for name, tensor in self.weights.items():
            tensor.data[...] = arrays[name]
        return self

    def _shared(self, slot: Slot) -> Parameter:
        shared = self.weights.get(slot.key)
        if shared is None or largest_shape(shared.shape, slot.shape) != shared.shape:
            had = "is missing" if shared is None else f"has shape {shared.shape}"
            raise ConfigError(
                f"the supernet's {slot.key!r} {had}: expected at least {slot.shape}",
                hint="make the supernet with more points",
            )
        return shared

    def _skeleton(self, layers: Sequence[Expanded], rng: np.random.Generator | None = None) -> Sequential:
        """A network whose weights take no memory."""
        assert self.space.task is not None
        specs = [layer.spec for layer in layers]
        with nn.init.weightless(), np.errstate(all="ignore"):  # zeros are no sensible weights
            return build_layers(specs, self.space.task.input_shape, np.random.default_rng(0) if rng is None else rng)

    def _initial(
        self, shapes: dict[str, Shape], origin: dict[str, tuple[Expanded, ...]], rng: np.random.Generator
    ) -> dict[str, Parameter]:
        """Weights as the network with the most of each starts them, and beyond it more numbers like those."""
        assert self.space.task is not None
        found: dict[str, np.ndarray] = {}
        for layers in {id(layers): layers for layers in origin.values()}.values():
            network = build_layers([layer.spec for layer in layers], self.space.task.input_shape, rng)
            for slot in slots_of(network, layers):
                if origin[slot.key] is layers and slot.key not in found:
                    values = cast(np.ndarray, getattr(slot.owner, slot.name).data)
                    whole = rng.choice(values.reshape(-1), shapes[slot.key])
                    slot.put(whole, values)
                    found[slot.key] = whole
        return {key: Parameter(np.ascontiguousarray(found[key])) for key in shapes}


def _expanded(space: Space, flat: Flat) -> tuple[Expanded, ...] | None:
    try:
        return space.expanded(flat)
    except FormatError:
        return None


def _start_statistics(network: Sequential) -> None:
    """Buffers that can be written: those of a network without memory are views of one number."""
    for module in network.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, Buffer):
                start = 1.0 if name == "running_var" else 0.0
                setattr(module, name, Buffer(np.full(value.shape, start, np.float32)))

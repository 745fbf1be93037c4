"""Where the tensors of a network lie among weights that a space shares, for those who keep such weights elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.nn import build_layers, init
from ..space import Flat, Space
from .extremes import check_networks
from .slots import slots_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPlace:
    """Where one tensor lies.

    Attributes:
        tensor: its name in the network that is built of the space's specification.
        key, gates, centred: see `Slot`.
    """

    tensor: str
    key: str
    gates: int
    centred: bool


def shared_places(space: Space, flat: Flat) -> tuple[SharedPlace, ...]:
    """The places of all parameters of a point's network.

    Raises:
        ConfigError: the space is a table of decisions.
        FormatError: the point's layers do not fit each other.
    """
    check_networks(space)
    assert space.task is not None
    layers = space.expanded(flat)
    with init.weightless(), np.errstate(all="ignore"):
        network = build_layers([layer.spec for layer in layers], space.task.input_shape, np.random.default_rng(0))
    names = {id(tensor): name for name, tensor in network.named_tensors()}
    return tuple(
        SharedPlace(
            tensor=names[id(getattr(slot.owner, slot.name))], key=slot.key, gates=slot.gates, centred=slot.centred
        )
        for slot in slots_of(network, layers)
    )

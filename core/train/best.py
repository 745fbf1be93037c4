"""The best epoch so far, and a copy of the model then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isnan

import numpy as np

from ..device import Array
from ..errors import ConfigError
from ..nn.module import Module
from ..optim import ParameterBuffer
from ..tensor import Tensor
from .snapshot import SnapshotReader


class BestModel:
    """Keeps the model of the best epoch: one copy, written anew for each better one.

    Args:
        model: what is copied.
        buffer: holds the model's trained parameters.
        keep: False remembers the epoch only.
        maximize: the highest value is the best, not the lowest.

    Attributes:
        epoch: the best one, 0 where there was none yet.
        value: of that epoch; NaN where there was none.
    """

    def __init__(self, model: Module, buffer: ParameterBuffer, *, keep: bool, maximize: bool) -> None:
        self.epoch = 0
        self.value = float("nan")
        self._model = model
        self._buffer = buffer
        self._keep = keep
        self._maximize = maximize
        self._copies: dict[str, Array] = {}

    def offer(self, epoch: int, value: float) -> None:
        """Take the model as it is, where `value` is better than all before; NaN never is."""
        better = value > self.value if self._maximize else value < self.value
        if better or (isnan(self.value) and not isnan(value)):
            self.epoch, self.value = epoch, value
            for name, array in self._live().items() if self._keep else ():
                if name in self._copies:
                    self._copies[name][...] = array
                else:
                    self._copies[name] = array.copy()

    def put_back(self) -> None:
        """Make the model the best one again; nothing happens where there was none.

        Raises:
            ConfigError: it was not kept.
        """
        if self.epoch and not self._keep:
            raise ConfigError("the model of the best epoch was not kept", hint="make the trainer with keep_best=True")
        live = self._live()
        for name, array in self._copies.items():
            live[name][...] = array
        self._buffer.publish()

    def arrays(self) -> dict[str, Array]:
        """What a checkpoint holds of this; not copied."""
        return {"best.value": np.array([self.value]), **{f"best.{name}": a for name, a in self._copies.items()}}

    def restoring(self, found: SnapshotReader, epoch: int) -> Callable[[], None]:
        """Check what a checkpoint holds; the function returned puts it into place, and cannot fail.

        Raises:
            FormatError: it does not fit.
        """
        value = float(found.like("best.value", np.zeros(1))[0])
        wanted: Mapping[str, Array] = self._live() if self._keep and epoch else {}
        copies = {name: self._buffer.device.put(found.like(f"best.{name}", array)) for name, array in wanted.items()}

        def apply() -> None:
            self.epoch, self.value = epoch, value
            self._copies = {name: array.copy() for name, array in copies.items()}

        return apply

    def _live(self) -> dict[str, Array]:
        untrained = untrained_tensors(self._model, self._buffer)
        return {"parameters": self._buffer.vector, **{f"model.{name}": t.data for name, t in untrained.items()}}


def untrained_tensors(model: Module, buffer: ParameterBuffer) -> dict[str, Tensor]:
    """What belongs to a model and not to the optimiser's buffer: running means, frozen parameters; by name."""
    trained = {id(parameter) for parameter in buffer.parameters}
    return {name: tensor for name, tensor in model.named_tensors() if id(tensor) not in trained}

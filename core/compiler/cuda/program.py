"""The `cuda` back end: a graph as kernels over one block of device memory, queued without waiting."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any, Final

import numpy as np

from ...device import Array, ArrayModule, Device, device_of
from ...errors import DeviceError
from ..graph import Graph, Value
from ..native.arena import plan
from ..native.group import Unsupported
from ..native.place import Buffer
from ..passes import optimize
from .decompose import decompose
from .kernel import Kernel, Parameter, Work, module_source
from .lower import Lowering, touched
from .replay import Launch, Multiply, Replay, Slot, Step, View

MODULES: Final = 64  # compiled sources that are kept

_modules: OrderedDict[tuple[ArrayModule, Device, str], Any] = OrderedDict()
_modules_lock = Lock()


class CudaProgram:
    """A graph ready to run on a GPU.

    Args:
        graph: verified.
        device: a CUDA device.

    Attributes:
        source: the CUDA C++ of all kernels.
        arena_bytes: device memory that the program keeps.

    Raises:
        Unsupported: the graph has something that there are no kernels for, or the device is none of CUDA.
    """

    def __init__(self, graph: Graph, device: Device) -> None:
        if device.kind != "cuda":
            raise Unsupported(f"the device {device}")
        self._device = device
        self._graph = graph = optimize(decompose(optimize(graph)))
        self._lowered = lowered = Lowering(graph).result
        # What is handed in or drawn is copied to where it stays from run to run: addresses are part of a CUDA graph.
        self._copied = [*graph.arguments, *(draw.value for draw in graph.draws if draw.value is not None)]
        self._bound_values = [*(capture.value for capture in graph.captures), *graph.constants]
        self._slots = {lowered.sources[value]: Slot(number) for number, value in enumerate(self._bound_values)}
        touched(lowered)
        moved = [lowered.sources[value] for value in self._copied]
        for buffer in moved:
            buffer.touch(0)
        self.arena_bytes = plan([*lowered.buffers, *moved])
        self.source = module_source(lowered.works)
        with device.active():
            self._arena = device.xp.empty(max(self.arena_bytes, 1), np.uint8)
            self._constants = [self._put(array) for array in graph.constants.values()]
            module = compiled(device, self.source) if any(isinstance(work, Kernel) for work in self.works) else None
            self._replay = Replay(device.xp, [self._step(work, module) for work in self.works])
        self._dense: dict[Value, Array] = {}  # copies of captures that are not contiguous

    @property
    def works(self) -> Sequence[Work]:
        """The launches, in order."""
        return self._lowered.works

    @property
    def graphs(self) -> int:
        """How many CUDA graphs a run consists of; 0 until it was captured."""
        return self._replay.graphs

    def __call__(self, arguments: Sequence[Array]) -> list[Array]:
        """Run it. What it returns is nobody else's memory.

        Args:
            arguments: arrays of the graph's arguments, of any layout; numbers may lie on the host.

        Raises:
            DeviceError: an array lies elsewhere.
        """
        graph = self._graph
        with self._device.active():
            for value, array in zip(graph.arguments, arguments, strict=True):
                self._copy(value, array)
            bound = [self._contiguous(capture.value, capture.read()) for capture in graph.captures]
            bound += self._constants
            for draw in graph.draws:
                made = draw.make()
                if draw.value is not None:
                    self._copy(draw.value, made)
            self._replay.run(bound)
            results = [self._read(value, bound).copy() for value in graph.results]
            values = [self._read(update.value, bound).copy() for update in graph.updates]
            for update, array in zip(graph.updates, values, strict=True):
                update.target.read()[...] = array
            for effect in graph.effects:
                effect.run(*(self._read(value, bound) for value in effect.inputs))
        return results

    # --- memory ---

    def _put(self, array: Array) -> Array:
        """A constant on the device, contiguous."""
        return self._device.xp.ascontiguousarray(self._device.put(array))

    def _part(self, buffer: Buffer, dtype: np.dtype[Any]) -> Array:
        """The elements of a buffer in the arena."""
        return self._arena[buffer.offset : buffer.offset + buffer.nbytes].view(dtype)

    def _copy(self, value: Value, array: Array) -> None:
        place = device_of(array)
        if place != self._device and array.shape != ():
            raise DeviceError(
                f"an argument lies on {place}, the function was compiled for {self._device}",
                hint="move it with .to()",
            )
        target = self._part(self._lowered.sources[value], value.dtype).reshape(value.shape)
        target[...] = array if place == self._device else array.item()

    def _contiguous(self, value: Value, array: Array) -> Array:
        if array.flags.c_contiguous:
            return array
        if value not in self._dense:
            self._dense[value] = self._device.xp.empty(value.shape, value.dtype)
        self._dense[value][...] = array
        return self._dense[value]

    def _read(self, value: Value, bound: Sequence[Array]) -> Array:
        buffer = self._lowered.places[value].buffer
        slot = self._slots.get(buffer)
        array = self._part(buffer, value.dtype) if slot is None else bound[slot.number]
        return array.reshape(value.shape)

    # --- steps ---

    def _step(self, work: Work, module: Any) -> Step:
        arguments = tuple(self._argument(parameter) for parameter in work.parameters)
        if isinstance(work, Kernel):
            return Launch(module.get_function(work.name), work.grid, work.block, arguments)
        views = map(View, work.shapes, work.strides, work.origins)
        return Multiply(self._device.xp, tuple(zip(arguments, views, strict=True)))

    def _argument(self, parameter: Parameter) -> Array | Slot:
        return self._slots.get(parameter.buffer) or self._part(parameter.buffer, parameter.dtype)


def compiled(device: Device, source: str) -> Any:
    """The module of a source on a device, compiled once."""
    key = (device.xp, device, source)
    with _modules_lock:
        known = _modules.get(key)
        if known is None:
            known = _modules[key] = device.xp.RawModule(code=source)
        _modules.move_to_end(key)
        while len(_modules) > MODULES:
            _modules.popitem(last=False)
    return known

"""`nwot`: how differently a network's units are switched by the rows of a minibatch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...core import Tensor, nn, no_grad
from .probe import Probe
from .registry import zero_cost

_FUNCTIONS = {id(function) for function in nn.ACTIVATIONS.values()}
_SWITCHES = (nn.LeakyReLU, nn.ELU, nn.PReLU)  # activations with an option of their own
_STATES = (nn.RNN, nn.GRU, nn.LSTM, nn.Leaky, nn.Synaptic, nn.Alpha, nn.AdaptiveLeaky)


@zero_cost("nwot", source="Mellor et al. 2021, https://arxiv.org/abs/2006.04647")
def nwot(probe: Probe) -> float:
    """Log-determinant of I + K, K[i, j] = the number of units that rows i and j switch alike.

    A unit's code is the sign of what goes into its activation: for ReLU that is the paper's code. A gated unit is
    switched by its gate, a recurrent one by the sign of its state at each step, a spiking one by its spikes.

    The paper has no identity in it, and minus infinity for rows that no unit tells apart. Ours gives 0 to a network
    without activations, and is the paper's number where K is well conditioned (its diagonal is the number of units).
    """
    kernel = np.eye(len(probe.inputs))

    def record(switches: np.ndarray) -> None:
        signs = np.where(switches.reshape(len(switches), -1) > 0, 1.0, -1.0)
        kernel[...] += (signs @ signs.T + signs.shape[1]) / 2

    with no_grad(), _recorded(probe.model, record):
        probe.model(Tensor(probe.inputs))
    return float(np.linalg.slogdet(kernel)[1])


@contextmanager
def _recorded(model: nn.Module, record: Callable[[np.ndarray], None]) -> Generator[None]:
    """A block in which `record` sees what switches the units, shape (N, ...), as the model computes."""
    changed: list[tuple[nn.Module, str, Any]] = []
    removals: list[Callable[[], None]] = []
    for module in model.modules():
        if isinstance(module, _SWITCHES):
            removals.append(module.add_hook(lambda _, inputs, __: record(inputs[0].data)))
        elif isinstance(module, _STATES):
            removals.append(module.add_hook(lambda _, __, output: record(output.data)))
        elif isinstance(module, nn.Gate):
            gate_last = module.function is nn.GATES["glu"]
            removals.append(module.add_hook(lambda _, inputs, __, last=gate_last: record(_gate(inputs[0].data, last))))
        for name, value in list(vars(module).items()):
            if id(value) in _FUNCTIONS:  # blocks hold their activations as functions
                changed.append((module, name, value))
                setattr(module, name, _seen(value, record))
    try:
        yield
    finally:
        for module, name, function in changed:
            setattr(module, name, function)
        for remove in removals:
            remove()


def _seen(function: Callable[[Tensor], Tensor], record: Callable[[np.ndarray], None]) -> Callable[[Tensor], Tensor]:
    def activation(x: Tensor) -> Tensor:
        record(x.data)
        return function(x)

    return activation


def _gate(x: np.ndarray, last: bool) -> np.ndarray:
    half = x.shape[-1] // 2
    return x[..., half:] if last else x[..., :half]

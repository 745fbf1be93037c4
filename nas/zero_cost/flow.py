"""`synflow`: how much flows through a network's weights, whatever the data."""

from __future__ import annotations

from math import log

import numpy as np

from ...core import Tensor, grad, nn, ops
from .probe import Probe, Shadow, shadowed
from .registry import zero_cost

_NEUTRAL = (
    nn.Activation,
    nn.LeakyReLU,
    nn.ELU,
    nn.PReLU,
    nn.Softmax,
    nn.SqueezeExcite,
    nn.PositionalEncoding,
    nn.BatchNorm,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
    nn.InstanceNorm,
    nn.LocalResponseNorm,
    nn.Leaky,
    nn.Synaptic,
    nn.Alpha,
    nn.AdaptiveLeaky,
)
_FUNCTIONS = {id(function) for function in nn.ACTIVATIONS.values()}


@zero_cost("synflow", source="Tanaka et al. 2020, https://arxiv.org/abs/2006.05467; Abdelfattah et al. 2021")
def synflow(probe: Probe) -> float:
    """Logarithm of the sum over all weights of |w| dR/d|w|, R the sum of the outputs for an input of ones.

    All weights are taken by their size and biases as 0. What is no path is neutral: normalisations, activations (ReLU
    on a network without negative numbers is the identity, and so the paper's), squeeze and excitation and positions;
    halves of a gated unit are added. A recurrent layer counts the paths of a row that pass its state at most once.

    Behind every layer of the network the flow is divided by its largest element, whose logarithm is added to the
    result: R is homogeneous in it, so that the score is the same, and does not overflow however deep the network is.
    """
    tensors = {name: Tensor(np.zeros_like(tensor.data)) for name, tensor in probe.model.named_tensors()}
    weights = {name: Tensor(np.abs(tensor.data), requires_grad=True) for name, tensor in probe.weights.items()}
    if not weights:
        return 0.0
    scales: list[float] = []

    def run(x: Tensor) -> Tensor:
        for layer in probe.model.layers:
            x = layer(x)
            largest = float(x.data.max())
            if 0 < largest < np.inf:
                scales.append(log(largest))
                x = x / largest
        return x

    ones = np.ones((1, *probe.spec.input_shape)) if probe.inputs.dtype.kind == "f" else probe.inputs[:1]
    functions = _swap_functions(probe.model)
    try:
        with shadowed([(probe.model, run), *_neutral(probe.model)]):
            flow = nn.functional_call(probe.model, {**tensors, **weights}, Tensor(ones)).sum()
    finally:
        for module, name, function in functions:
            setattr(module, name, function)
    if not flow.requires_grad:
        return log(np.finfo(np.float64).tiny)  # no weight lies on a path
    gradients = grad(flow, list(weights.values()))
    total = sum(
        float((weight.data * gradient.data).sum()) for weight, gradient in zip(weights.values(), gradients, strict=True)
    )
    return log(max(total, np.finfo(np.float64).tiny)) + sum(scales)


def _neutral(model: nn.Module) -> list[tuple[nn.Module, Shadow]]:
    """What modules compute in place of their own functions."""
    found: list[tuple[nn.Module, Shadow]] = []
    for module in model.modules():
        if isinstance(module, _NEUTRAL):
            found.append((module, _same))
        elif isinstance(module, nn.Gate):
            found.append((module, _both_halves))
        elif isinstance(module, nn.RNN | nn.GRU | nn.LSTM):
            found.append((module, lambda x, of=module: _pass_states(of, x)))
    return found


def _swap_functions(model: nn.Module) -> list[tuple[nn.Module, str, object]]:
    """Make activations that blocks hold as functions the identity; returns what to put back."""
    found = [
        (module, name, value)
        for module in model.modules()
        for name, value in vars(module).items()
        if id(value) in _FUNCTIONS
    ]
    for module, name, _ in found:
        setattr(module, name, _same)
    return found


def _same(x: Tensor) -> Tensor:
    return x


def _both_halves(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x[..., :half] + x[..., half:]


def _pass_states(layer: nn.RNN | nn.GRU | nn.LSTM, x: Tensor) -> Tensor:
    """Every path into the states of a step, (N, T, features) -> (N, T, directions * hidden), all gates open."""
    for level in range(0, len(layer.cells), layer.directions):
        outputs: list[Tensor] = []
        for cell in layer.cells[level : level + layer.directions]:
            entering = _over_gates(x @ cell.input_weight.T, layer.hidden)
            outputs.append(entering + _over_gates(entering @ cell.state_weight.T, layer.hidden))
        x = outputs[0] if len(outputs) == 1 else ops.concatenate(*outputs, axis=-1)
    return x if layer.sequences else x[:, -1]


def _over_gates(x: Tensor, hidden: int) -> Tensor:
    return x.reshape(*x.shape[:-1], x.shape[-1] // hidden, hidden).sum(-2)

"""Scores from the gradient of one minibatch, and from the size of the network alone."""

from __future__ import annotations

import numpy as np

from .probe import Probe
from .registry import zero_cost


@zero_cost("snip", source="Lee et al. 2019, https://arxiv.org/abs/1810.02340; Abdelfattah et al. 2021")
def snip(probe: Probe) -> float:
    """Sum over all weights of |w dL/dw|: what the loss would change, to first order, without each of them."""
    pairs = zip(probe.weights.values(), probe.weight_gradients, strict=True)
    return float(sum(np.abs(weight.data * gradient).sum() for weight, gradient in pairs))


@zero_cost("grad_norm", source="Abdelfattah et al. 2021, https://arxiv.org/abs/2101.08134")
def grad_norm(probe: Probe) -> float:
    """Sum over all layers of the L2 norm of the loss' gradient by their weights."""
    return float(sum(np.linalg.norm(gradient) for gradient in probe.weight_gradients))


@zero_cost("parameters", source="Ning et al. 2021, https://arxiv.org/abs/2008.03064, as a baseline")
def parameters(probe: Probe) -> float:
    """How many trainable numbers the network has."""
    return float(probe.spec.plan().parameters)


@zero_cost("macs", source="Ning et al. 2021, https://arxiv.org/abs/2008.03064, as a baseline")
def macs(probe: Probe) -> float:
    """Multiply-accumulates of one sample."""
    return float(probe.spec.plan().macs)

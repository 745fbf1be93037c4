"""Statistics of batch norms, measured anew for a network whose weights were trained in others."""

from __future__ import annotations

import numpy as np

from ...core import Tensor, nn, no_grad


def recalibrate(network: nn.Module, inputs: np.ndarray, *, batch_size: int = 128) -> None:
    """Set the running statistics of every batch norm to the mean over the batches of some rows.

    Args:
        network: in evaluation mode afterwards; nothing else of it changes.
        inputs: training rows as the network gets them, shape (N, ...); some hundreds are enough.
        batch_size: rows of a batch.

    Source: Yu & Huang 2019, https://arxiv.org/abs/1903.05134, section 3.1.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm)]
    network.eval()
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.training = True
    with no_grad():
        for number, start in enumerate(range(0, len(inputs), batch_size)):
            for norm in norms:
                norm.momentum = 1 / (number + 1)  # the running statistics are the mean of those seen so far
            network(Tensor(inputs[start : start + batch_size]))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.training = False

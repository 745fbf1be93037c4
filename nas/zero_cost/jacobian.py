"""`jacov`: whether a network answers a change of its input differently from row to row."""

from __future__ import annotations

import numpy as np

from ...core import ConfigError, Tensor, grad
from .probe import Probe
from .registry import zero_cost

_OFFSET = 1e-5  # of the paper's code: what keeps the logarithm of an eigenvalue finite


@zero_cost("jacov", source="Mellor et al. 2020, https://arxiv.org/abs/2006.04647v1; Abdelfattah et al. 2021")
def jacov(probe: Probe) -> float:
    """Minus the sum of log(v + k) + 1 / (v + k) over the eigenvalues v of the rows' Jacobians' correlation; k = 1e-5.

    A row's Jacobian is the derivative of the sum of its outputs by its input. Rows whose Jacobian is constant have no
    correlation; here they are all like each other and unlike the rest, so that a network that tells no rows apart has
    the lowest score there is.

    Raises:
        ConfigError: the inputs are no real numbers, of which there is a derivative.
    """
    if probe.inputs.dtype.kind != "f":
        raise ConfigError(
            f"jacov: expected inputs that are real numbers, got {probe.inputs.dtype}", hint="use another score"
        )
    inputs = Tensor(probe.inputs, requires_grad=True)
    jacobians = grad(probe.model(inputs).sum(), [inputs])[0].numpy().reshape(len(probe.inputs), -1)
    centred = jacobians - jacobians.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    # Relative to the row: what rounding leaves of a constant one is not a direction.
    constant = lengths <= 1e-12 * np.linalg.norm(jacobians, axis=1, keepdims=True)
    directions = np.where(constant, 0.0, centred / np.where(constant, 1.0, lengths))
    directions = np.concatenate((directions, constant), axis=1)
    eigenvalues = np.maximum(np.linalg.eigvalsh(directions @ directions.T), 0.0) + _OFFSET
    return float(-(np.log(eigenvalues) + 1 / eigenvalues).sum())

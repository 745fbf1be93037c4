"""The sum of the gradients of records, none of which can change it by more than a bound: what noise can hide.

Threat model: any record may be made by whoever wants to tell whether another is there. It may be as long, short or odd
as floating-point numbers allow; what its owner cannot do is change the model's code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from ...core import Tensor, clipped_gradients

Array = Any  # of NumPy or CuPy
logger = logging.getLogger(__name__)
CLIP_SLACK: Final = 2.0**-10  # gradients are clipped to that much less than the bound, for what rounding adds


def clipped_sum(
    losses: Callable[..., Tensor], parameters: Sequence[Tensor], *samples: Array, clip_norm: float
) -> tuple[float, list[Tensor]]:
    """The sum over records of their gradients, each clipped to an L2 norm of at most `clip_norm` over all parameters.

    A record whose loss or gradient is not finite is left out. So one record more or less changes the sum by at most
    `clip_norm`, whatever the record is, up to rounding. For that, gradients are clipped to 1/1024 less than the bound,
    and the rounding of float32 takes no more, but in three cases, which hardly matter where parameters are float64:

    - A sum of n records may be off by 6e-8 n**2 bounds in the worst case, which is 1/2048 for 90 records, and usually
      is by far less. `PrivateTrainer` adds its micro-batches in float64.
    - The norms of convolutions and of linear maps of sequences may come out too small where the parts of a gradient
      cancel each other to less than a hundredth of their size.
    - In a batch of another size, the gradients of all other records are rounded otherwise. One that is little left over
      of large numbers may change by its own length.

    Args:
        losses: gives one loss per record, shape (N,), for `samples`.
        parameters: leaves that require a gradient.
        samples: arrays with N records along their leading axis, N >= 0.
        clip_norm: > 0.

    Returns:
        The sum of the losses, and one summed gradient per parameter, of its shape.

    Raises:
        GradientError: an op mixes records, as batch norm does; names what to use instead.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        while len(samples[0]):
            values, norms, gradients = clipped_gradients(
                losses, parameters, *samples, max_norm=clip_norm * (1 - CLIP_SLACK)
            )
            finite = norms.device.xp.isfinite(norms.data + values.data)
            if bool(finite.all()):
                return float(values.data.sum(dtype=np.float64)), gradients
            kept = tuple(array[finite] for array in samples)
            logger.warning("%d records without a finite loss and gradient are left out", len(samples[0]) - len(kept[0]))
            samples = kept
    return 0.0, [Tensor(parameter.device.xp.zeros_like(parameter.data)) for parameter in parameters]

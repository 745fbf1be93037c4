"""`TrainingConfig`: how to train, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Literal, get_args

import numpy as np

from ..errors import ConfigError

ScheduleName = Literal["cosine", "constant"]
Precision = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How to train.

    Attributes:
        learning_rate: the highest of the schedule, > 0.
        schedule: "cosine" warms up and then falls to zero over `epochs`; "constant" stays.
        weight_decay: decoupled, >= 0.
        batch_size: rows a step, >= 1.
        micro_batch_size: rows at once, >= 1: a step averages the gradients of its micro-batches, so that a batch need
            not fit into memory. None takes the whole batch.
        epochs: the length of the schedule; training may stop before.
        patience: stop after this many epochs in which `monitor` did not get better; None never stops early.
        monitor: the curve that tells the best epoch.
        maximize: the best epoch is that with the highest value, not with the lowest.
        label_smoothing: in [0, 1); see `ops.cross_entropy`.
        clip_norm: scale gradients down to this L2 norm, > 0; None does not.
        precision: what a step computes in; the parameters themselves stay float32.
    """

    learning_rate: float = 2e-3
    schedule: ScheduleName = "cosine"
    weight_decay: float = 1e-3
    batch_size: int = 64
    micro_batch_size: int | None = None
    epochs: int = 30
    patience: int | None = 8
    monitor: str = "val_loss"
    maximize: bool = False
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if not (0 < self.learning_rate < inf and 0 <= self.weight_decay < inf):
            raise ConfigError(
                f"expected learning_rate > 0 and weight_decay >= 0, got {self.learning_rate} and {self.weight_decay}"
            )
        if self.batch_size < 1 or self.epochs < 1 or (self.patience is not None and self.patience < 1):
            raise ConfigError(
                f"expected batch_size, epochs and patience >= 1, "
                f"got {self.batch_size}, {self.epochs} and {self.patience}"
            )
        if self.micro_batch_size is not None and self.micro_batch_size < 1:
            raise ConfigError(f"expected micro_batch_size >= 1, got {self.micro_batch_size}")
        if self.clip_norm is not None and not 0 < self.clip_norm < inf:
            raise ConfigError(f"expected clip_norm > 0 and finite, got {self.clip_norm}")
        if self.schedule not in get_args(ScheduleName):
            raise ConfigError(f"expected a schedule of {', '.join(get_args(ScheduleName))}, got {self.schedule!r}")
        if self.precision not in get_args(Precision):
            raise ConfigError(f"expected a precision of {', '.join(get_args(Precision))}, got {self.precision!r}")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"expected 0 <= label_smoothing < 1, got {self.label_smoothing}")


def half_dtype(precision: Precision) -> np.dtype[Any]:
    """The dtype of that name. NumPy knows bfloat16 through ml_dtypes only, which is loaded when it is wanted."""
    if precision == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(precision)

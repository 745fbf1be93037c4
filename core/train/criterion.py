"""What is minimised, and what is measured on validation rows: classification and regression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from .. import ops
from ..device import Array
from ..errors import ConfigError, DTypeError, ShapeError
from ..tensor import Tensor
from .evaluation import count_correct

# (outputs of the model, targets) -> a number; both NumPy arrays with N rows.
Metric = Callable[[np.ndarray, np.ndarray], float]


class Criterion(Protocol):
    """A training goal."""

    def loss(self, outputs: Tensor, targets: Array | Tensor) -> Tensor:
        """What is minimised: a mean over the rows, a tensor with one element."""
        ...

    def measure(self, outputs: np.ndarray, targets: np.ndarray) -> Mapping[str, float]:
        """Figures of rows not trained on; "loss" is always among them, without regularisation."""
        ...


@runtime_checkable
class RowCriterion(Criterion, Protocol):
    """A training goal that can be told apart by rows, as gradients of single rows need it."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each row, shape (N,), of which `loss` is the mean; by ops that keep the rows apart."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEntropy:
    """Classification: logits of shape (N, classes), integer labels of shape (N,). Measures loss and accuracy.

    Args:
        label_smoothing: of the training loss, in [0, 1).
        metrics: more figures by name, functions of logits and labels.
    """

    label_smoothing: float = 0.0
    metrics: Mapping[str, Metric] = field(default_factory=dict[str, Metric])

    def __post_init__(self) -> None:
        _check_names(self.metrics, {"loss", "accuracy"})

    def loss(self, outputs: Tensor, targets: Array | Tensor) -> Tensor:
        """Mean cross-entropy in nats; see `ops.cross_entropy`."""
        return ops.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each row in nats, shape (N,)."""
        return _row_means(ops.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing, reduction="none"))

    def measure(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Loss in nats without smoothing, accuracy, and the metrics asked for."""
        counts = count_correct(outputs, targets)
        extra = {name: metric(outputs, targets) for name, metric in self.metrics.items()}
        return {"loss": counts.loss, "accuracy": counts.accuracy, **extra}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanSquaredError:
    """Regression: outputs (N, ...) and targets of the same shape, or outputs (N, 1) and targets (N,). Measures loss
    and mean absolute error.

    Args:
        metrics: more figures by name, functions of outputs and targets, of equal shape.
    """

    metrics: Mapping[str, Metric] = field(default_factory=dict[str, Metric])

    def __post_init__(self) -> None:
        _check_names(self.metrics, {"loss", "mae"})

    def loss(self, outputs: Tensor, targets: Array | Tensor) -> Tensor:
        """Mean of the squared differences, over rows and outputs.

        Raises:
            ShapeError: the shapes differ.
            DTypeError: the targets' dtype is not the outputs'.
        """
        difference = _difference(outputs, targets if isinstance(targets, Tensor) else Tensor(targets))
        return (difference * difference).mean()

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean of the squared differences of each row, shape (N,); raises as `loss`."""
        difference = _difference(outputs, targets)
        return _row_means(difference * difference)

    def measure(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Mean squared error, mean absolute error, and the metrics asked for."""
        outputs = outputs.reshape(_common_shape(outputs.shape, targets.shape))
        difference = outputs.astype(np.float64) - targets
        extra = {name: metric(outputs, targets) for name, metric in self.metrics.items()}
        return {"loss": float((difference**2).mean()), "mae": float(np.abs(difference).mean()), **extra}


def _difference(outputs: Tensor, targets: Tensor) -> Tensor:
    if targets.dtype != outputs.dtype:
        raise DTypeError(
            f"mean squared error: expected targets of the outputs' dtype {outputs.dtype}, got {targets.dtype}",
            hint="use targets.astype('float32')",
        )
    return outputs.reshape(*_common_shape(outputs.shape, targets.shape)) - targets


def _row_means(values: Tensor) -> Tensor:
    """The mean of each row, shape (N,)."""
    return values.mean(tuple(range(1, len(values.shape)))) if len(values.shape) > 1 else values


def _common_shape(outputs: tuple[int, ...], targets: tuple[int, ...]) -> tuple[int, ...]:
    """The targets' shape. Without this, (N, 1) and (N,) would broadcast to N x N differences."""
    if outputs not in {targets, (*targets, 1)}:
        raise ShapeError(f"mean squared error: expected outputs of the targets' shape {targets}, got {outputs}")
    return targets


def _check_names(metrics: Mapping[str, Metric], taken: set[str]) -> None:
    if taken & metrics.keys():
        raise ConfigError(f"these names are measured already: {', '.join(sorted(taken & metrics.keys()))}")

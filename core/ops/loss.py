"""Losses, composed from ops."""

from __future__ import annotations

from ..device import Array
from ..errors import DTypeError, ShapeError
from ..tensor import Tensor
from .reduce import log_softmax


def cross_entropy(logits: Tensor, labels: Array, *, label_smoothing: float = 0.0) -> Tensor:
    """Mean softmax cross-entropy in nats.

    Args:
        logits: unnormalised log-probabilities, shape (N, classes), floating.
        labels: class indices in [0, classes), shape (N,), an integer array.
        label_smoothing: part of each target spread evenly over all classes, in [0, 1).

    Raises:
        ShapeError: the shapes do not fit, or a label is out of range.
        DTypeError: the labels are not integers.

    Source: Szegedy et al. 2016 for the smoothing, https://arxiv.org/abs/1512.00567, section 7.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ShapeError(
            f"cross_entropy: expected logits (N, classes) and labels (N,), got {logits.shape} and {labels.shape}"
        )
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"cross_entropy: expected integer labels, got {labels.dtype}", hint="use labels.astype(int)")
    rows, classes = logits.shape
    if rows and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
        raise ShapeError(
            f"cross_entropy: labels must lie in [0, {classes}), got {int(labels.min())} to {int(labels.max())}"
        )
    xp = logits.device.xp
    target = xp.full((rows, classes), label_smoothing / classes, logits.dtype)
    target[xp.arange(rows), labels] += 1 - label_smoothing
    return -(log_softmax(logits, axis=-1) * Tensor(target)).sum() * (1.0 / max(rows, 1))

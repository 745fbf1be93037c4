"""Losses that end a network: their value and their gradient in one pass over the logits."""

from __future__ import annotations

from dataclasses import dataclass

from .formula import Formula, Term


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of each row, and its gradient.

    Attributes:
        row: one number per pixel.
        gradient: of the logits, times the weight of the row's loss in the whole.
    """

    row: Term
    gradient: Term


def cross_entropy(
    f: Formula,
    logits: Term,
    labels: Term,
    *,
    scale: Term | float,
    smoothing: float = 0.0,
    weight: Term | None = None,
    ignored: int | None = None,
) -> Loss:
    """Softmax cross-entropy of class numbers, in nats.

    Args:
        f: the formula.
        logits: full; a row of channels holds the classes.
        labels: per pixel, int32 or int64.
        scale: what the gradient is multiplied by: 1 / rows for a mean.
        smoothing: part of each target that is spread over all classes.
        weight: per channel: of each class. The sum of losses is not divided by the weights: that is up to `scale`.
        ignored: a label whose rows count nothing.

    Returns:
        The losses, not scaled, and the gradient, scaled.
    """
    shifted = logits - logits.row_bound()
    powers = shifted.exp()
    total = powers.row_sum()
    hot = f.channel_index().equals(labels.cast("i32"))
    log_total = total.log()
    target = hot.select(1.0 - smoothing, 0.0)
    if smoothing:
        target = target + smoothing / f.channels()
    if weight is not None:
        target = target * weight
    if smoothing or weight is not None:
        mass = target.row_sum()
        row = log_total * mass - (target * shifted).row_sum()
        gradient = powers * (mass / total) - target
    else:
        row = log_total - hot.select(shifted, 0.0).row_sum()
        gradient = powers * (1.0 / total) - target
    gradient = gradient * scale
    if ignored is not None:
        seen = labels.cast("i32").differs(ignored)
        row, gradient = seen.select(row, 0.0), seen.select(gradient, 0.0)
    return Loss(row, gradient)

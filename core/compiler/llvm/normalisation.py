"""Layer, root-mean-square and batch normalisation and their gradients, as terms of fused kernels.

Along a row (layer norm) the sums are reductions over channels, so forward and backward are one pass over memory each,
and whatever stands before or after joins them. Over a batch they are moments or partial sums of an earlier kernel:
what follows from these is computed once per channel by every thread, and needs no kernel of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from .formula import PIXELS, Formula, Term


@dataclass(frozen=True, slots=True)
class Standardised:
    """What has mean 0 and variance 1.

    Attributes:
        centred: x - mean.
        inverse: 1 / sqrt(variance + epsilon).
        mean: of x; 0 for root mean squares.
        variance: biased; the mean square for root mean squares.
    """

    centred: Term
    inverse: Term
    mean: Term
    variance: Term

    @property
    def value(self) -> Term:
        """(x - mean) * inverse."""
        return self.centred * self.inverse

    def affine(self, weight: Term | None, bias: Term | None) -> Term:
        """Scaled and shifted. Where the inverse belongs to channels, as the weight does, the two are one factor."""
        if weight is not None and not self.inverse.step.varies & PIXELS:
            y = self.centred * (self.inverse * weight)
        else:
            y = self.value if weight is None else self.value * weight
        return y if bias is None else y + bias


def standardise_row(x: Term, epsilon: float) -> Standardised:
    """Over the channels of each pixel, in two passes: the variance is that of what is left when the mean is gone."""
    count = x.formula.channels()
    mean = x.row_sum() / count
    centred = x - mean
    variance = (centred * centred).row_sum() / count
    inverse = (variance + epsilon).rsqrt()
    return Standardised(centred, inverse, mean, variance)


def root_mean_square_row(x: Term, epsilon: float) -> Standardised:
    """X over the root of its mean square along the channels of each pixel."""
    square = (x * x).row_sum() / x.formula.channels()
    inverse = (square + epsilon).rsqrt()
    return Standardised(x, inverse, x.formula.constant(0.0), square)


def standardise_row_gradient(g: Term, of: Standardised, *, centred: bool = True) -> Term:
    """The gradient of x from that of `of.value`; `centred` is false for root mean squares."""
    count = g.formula.channels()
    along = of.value * ((g * of.value).row_sum() / count)
    return of.inverse * (g - g.row_sum() / count - along if centred else g - along)


def standardise_batch(f: Formula, x: Term, moments: str, epsilon: float) -> Standardised:
    """Over all pixels, per channel, by moments that an earlier kernel left in operand `moments`."""
    mean, variance = f.moments(moments)
    return standardise_by(x, mean, variance, epsilon)


def standardise_by(x: Term, mean: Term, variance: Term, epsilon: float) -> Standardised:
    """By any mean and variance per channel: those of a batch, or running ones."""
    inverse = (variance + epsilon).rsqrt()
    return Standardised(x - mean, inverse, mean, variance)


def batch_gradient_sums(f: Formula, g: Term, of: Standardised, sum_g: str, sum_along: str) -> None:
    """The first pass of the gradient: per channel the sums of g (the gradient of the bias) and of g times the
    standardised x (the gradient of the weight), as partial sums in two operands.
    """
    f.channel_sum(sum_g, g)
    f.channel_sum(sum_along, g * of.value)


def standardise_batch_gradient(
    f: Formula, g: Term, of: Standardised, sum_g: str, sum_along: str, inverse_count: Term, weight: Term | None
) -> Term:
    """The second pass: the gradient of x.

    Args:
        f: the formula.
        g: the gradient of weight * of.value + bias.
        of: from `standardise_batch`.
        sum_g, sum_along: operands that `batch_gradient_sums` filled.
        inverse_count: one over the number of pixels.
        weight: per channel; None for 1.
    """
    scale = of.inverse if weight is None else of.inverse * weight
    # scale * (g - mean g - xhat * mean along), with all that belongs to channels multiplied out: three factors.
    slope = scale * of.inverse * (f.partials(sum_along) * inverse_count)
    offset = scale * (f.partials(sum_g) * inverse_count)
    return g * scale - offset - of.centred * slope


def updated_statistic(old: Term, new: Term, momentum: float) -> Term:
    """A running mean or variance after one more batch."""
    return old * (1.0 - momentum) + new * momentum

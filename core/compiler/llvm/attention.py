"""Softmax along rows and its gradient, as terms: the middle of attention, and the end of classifiers.

What is subtracted before the exponential need not be the maximum where a row has NaN: its sum is NaN all the same.
"""

from __future__ import annotations

from .formula import Term


def softmax(x: Term) -> Term:
    """Over the channels of each pixel; a row that is minus infinity throughout is NaN, as in NumPy."""
    powers = (x - x.row_bound()).exp()
    return powers * (1.0 / powers.row_sum())


def log_softmax(x: Term) -> Term:
    """The logarithm of `softmax`, without its rounding to 0."""
    shifted = x - x.row_bound()
    return shifted - shifted.exp().row_sum().log()


def softmax_gradient(g: Term, y: Term) -> Term:
    """The gradient of x from those of y = softmax(x)."""
    return y * (g - (g * y).row_sum())


def log_softmax_gradient(g: Term, y: Term) -> Term:
    """The gradient of x from those of y = log_softmax(x)."""
    return g - y.exp() * g.row_sum()


def causal(scores: Term) -> Term:
    """Scores of queries (rows) and keys (channels), minus infinity where the key comes after the query."""
    f = scores.formula
    return (f.channel_index() <= f.row_index()).select(scores, float("-inf"))

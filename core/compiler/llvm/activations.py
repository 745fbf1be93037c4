"""Activation functions of several operations, and their slopes, as terms."""

from __future__ import annotations

from math import pi, sqrt

from .formula import Term

ROOT_HALF = sqrt(0.5)
DENSITY = 1 / sqrt(2 * pi)
TANH_SCALE = sqrt(2 / pi)
TANH_CUBE = 0.044715


def gelu(x: Term) -> Term:
    """X times the normal distribution function of x."""
    return x * _below(x)


def gelu_slope(x: Term) -> Term:
    """The derivative of `gelu`; shares the error function with it."""
    return _below(x) + x * (x * x * -0.5).exp() * DENSITY


def gelu_tanh(x: Term) -> Term:
    """`gelu`, approximately. Source: Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415."""
    return x * 0.5 * (_inner(x).tanh() + 1.0)


def gelu_tanh_slope(x: Term) -> Term:
    """The derivative of `gelu_tanh`."""
    t = _inner(x).tanh()
    slope = (x * x * (3 * TANH_CUBE) + 1.0) * TANH_SCALE
    return (t + 1.0) * 0.5 + x * (1.0 - t * t) * slope * 0.5


def silu(x: Term) -> Term:
    """X times its sigmoid."""
    return x * x.sigmoid()


def silu_slope(x: Term) -> Term:
    """The derivative of `silu`."""
    s = x.sigmoid()
    return s + x * s * (1.0 - s)


def softplus(x: Term) -> Term:
    """log(1 + e^x) without overflow; its slope is the sigmoid."""
    return x.relu() + (-x.absolute()).exp().log1p()


def _below(x: Term) -> Term:
    """The normal distribution function."""
    return ((x * ROOT_HALF).erf() + 1.0) * 0.5


def _inner(x: Term) -> Term:
    return x * (x * x * TANH_CUBE + 1.0) * TANH_SCALE

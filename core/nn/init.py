"""Initial weights: float32 arrays drawn from an explicit generator, by the papers that found them.

Shapes are (out, in, *kernel), as the layers keep their weights: fan in is in * kernel, fan out is out * kernel.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod

import numpy as np

from ..errors import ConfigError

Shape = tuple[int, ...]

_weightless: ContextVar[bool] = ContextVar("weightless", default=False)


@contextmanager
def weightless() -> Generator[None]:
    """A block in which initial weights take no memory: every one is a view of a single zero. For looking at a network
    without building it; such a network cannot be trained.
    """
    token = _weightless.set(True)
    try:
        yield
    finally:
        _weightless.reset(token)


def fans(shape: Shape) -> tuple[int, int]:
    """Inputs and outputs of one unit of a weight (out, in, *kernel).

    Raises:
        ConfigError: fewer than two axes.
    """
    if len(shape) < 2:
        raise ConfigError(f"expected a weight of shape (out, in, *kernel), got {shape}")
    kernel = prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def constant(shape: Shape, value: float) -> np.ndarray:
    """The same value everywhere."""
    return _empty(shape) if _weightless.get() else np.full(shape, value, np.float32)


def zeros(shape: Shape) -> np.ndarray:
    """Zeros: biases."""
    return constant(shape, 0.0)


def ones(shape: Shape) -> np.ndarray:
    """Ones: the scale of norms."""
    return constant(shape, 1.0)


def normal(shape: Shape, rng: np.random.Generator, *, std: float = 1.0, mean: float = 0.0) -> np.ndarray:
    """Normal with a mean and standard deviation."""
    if _weightless.get():
        return _empty(shape)
    return (rng.standard_normal(shape) * std + mean).astype(np.float32)


def uniform(shape: Shape, rng: np.random.Generator, *, low: float, high: float) -> np.ndarray:
    """Uniform in [low, high)."""
    return _empty(shape) if _weightless.get() else rng.uniform(low, high, shape).astype(np.float32)


def truncated_normal(shape: Shape, rng: np.random.Generator, *, std: float = 0.02, cut: float = 2.0) -> np.ndarray:
    """Normal with what lies beyond `cut` standard deviations drawn again; the usual start of transformers."""
    if _weightless.get():
        return _empty(shape)
    values = rng.standard_normal(shape)
    while (far := np.abs(values) > cut).any():
        values[far] = rng.standard_normal(int(far.sum()))
    return (values * std).astype(np.float32)


def he_normal(shape: Shape, fan_in: int, rng: np.random.Generator) -> np.ndarray:
    """Normal with variance 2 / fan_in. Source: He et al. 2015, https://arxiv.org/abs/1502.01852, eq. 10."""
    if _weightless.get():
        return _empty(shape)
    return (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)


def he_uniform(shape: Shape, rng: np.random.Generator, *, gain: float = np.sqrt(2.0)) -> np.ndarray:
    """Uniform with variance gain^2 / fan_in. Source: He et al. 2015, https://arxiv.org/abs/1502.01852."""
    bound = gain * np.sqrt(3.0 / fans(shape)[0])
    return uniform(shape, rng, low=-bound, high=bound)


def xavier_normal(shape: Shape, rng: np.random.Generator, *, gain: float = 1.0) -> np.ndarray:
    """Normal with variance 2 gain^2 / (fan_in + fan_out). Source: Glorot & Bengio 2010, AISTATS."""
    return normal(shape, rng, std=gain * float(np.sqrt(2.0 / sum(fans(shape)))))


def xavier_uniform(shape: Shape, rng: np.random.Generator, *, gain: float = 1.0) -> np.ndarray:
    """Uniform with variance 2 gain^2 / (fan_in + fan_out). Source: Glorot & Bengio 2010, AISTATS, eq. 16."""
    bound = gain * float(np.sqrt(6.0 / sum(fans(shape))))
    return uniform(shape, rng, low=-bound, high=bound)


def lecun_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Normal with variance 1 / fan_in, for self-normalising networks. Sources: LeCun et al. 1998, Efficient BackProp;
    Klambauer et al. 2017, https://arxiv.org/abs/1706.02515.
    """
    return normal(shape, rng, std=float(np.sqrt(1.0 / fans(shape)[0])))


def orthogonal(shape: Shape, rng: np.random.Generator, *, gain: float = 1.0) -> np.ndarray:
    """A random matrix with orthonormal rows or columns, whichever are fewer, the trailing axes taken together.

    Source: Saxe et al. 2014, https://arxiv.org/abs/1312.6120.
    """
    if len(shape) < 2:
        raise ConfigError(f"expected a weight of shape (out, in, *kernel), got {shape}")
    if _weightless.get():
        return _empty(shape)
    rows, columns = shape[0], prod(shape[1:])
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform over orthogonal matrices
    return (gain * (q if rows >= columns else q.T).reshape(shape)).astype(np.float32)


def _empty(shape: Shape) -> np.ndarray:
    return np.broadcast_to(np.zeros((), np.float32), shape)

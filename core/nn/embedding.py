"""Layers that make sequences of vectors: embeddings of tokens and of places. Samples are (T,) and (T, features)."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..tensor import Tensor
from .expect import expect, sequence
from .init import normal
from .layer import LayerPlan, Shape, layer
from .module import Module, Parameter


@layer("embedding")
class Embedding(Module):
    """A vector for each token: integers (N, T) in [0, tokens) -> (N, T, features).

    Args:
        tokens: how many there are.
        features: of a vector.
        padding: the token that fills up short sequences: its vector starts as zeros and gets no gradient.
        rng: of the initial vectors, standard normal.
    """

    def __init__(self, tokens: int, features: int, *, padding: int | None = None, rng: np.random.Generator) -> None:
        weight = normal((tokens, features), rng)
        if padding is not None and weight.flags.writeable:
            weight[padding] = 0
        self.weight = Parameter(weight)
        self.padding = padding

    @classmethod
    def plan(cls, shape: Shape, *, tokens: int, features: int, padding: int | None = None) -> LayerPlan:
        """One vector for each element."""
        expect(min(tokens, features) >= 1, f"expected tokens and features >= 1, got {tokens} and {features}")
        expect(padding is None or 0 <= padding < tokens, f"expected padding in [0, {tokens}), got {padding}")
        return LayerPlan((*shape, features), tokens * features, tensors=1)

    @classmethod
    def build(
        cls, shape: Shape, rng: np.random.Generator, *, tokens: int, features: int, padding: int | None = None
    ) -> Self:
        """For sequences of any length."""
        return cls(tokens, features, padding=padding, rng=rng)

    def forward(self, x: Tensor | Any) -> Tensor:
        """Look up integers of any shape."""
        return ops.embedding(self.weight, x, padding=self.padding)


def sinusoids(steps: int, features: int) -> np.ndarray:
    """A wave for each pair of features, from 2 pi to 20000 pi steps long: float32, shape (steps, features).

    Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.5.
    """
    rates = 10000.0 ** (-np.arange(0, features, 2) / features)
    angles = np.arange(steps)[:, None] * rates
    waves = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(steps, -1)
    return waves[:, :features].astype(np.float32)


@layer("positional_encoding")
class PositionalEncoding(Module):
    """Add to each step of a sequence a vector for its place: waves that are fixed, or vectors that are learned.

    Args:
        steps: of the longest sequence.
        features: of a step.
        learned: vectors instead of waves, which start normal with standard deviation 0.02.
        rng: of learned vectors.
    """

    def __init__(self, steps: int, features: int, *, learned: bool = False, rng: np.random.Generator) -> None:
        self.weight = Parameter(normal((steps, features), rng, std=0.02)) if learned else None
        self.steps = steps

    @classmethod
    def plan(cls, shape: Shape, *, learned: bool = False) -> LayerPlan:
        """Shape unchanged."""
        steps, features = sequence(shape)
        return LayerPlan(shape, steps * features * learned, tensors=int(learned))

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, learned: bool = False) -> Self:
        """For sequences up to the length in `shape`."""
        return cls(shape[0], shape[1], learned=learned, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        """Add to (N, T, features)."""
        if x.shape[1] > self.steps:
            raise ShapeError(f"positional encoding: expected at most {self.steps} steps, got shape {x.shape}")
        if self.weight is not None:
            return x + self.weight[: x.shape[1]]
        return x + Tensor(x.device.put(sinusoids(x.shape[1], x.shape[2]).astype(x.dtype)))

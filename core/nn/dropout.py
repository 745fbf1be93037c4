"""Dropout layers: what they drop is drawn in training from a generator of their own; in evaluation they do nothing."""

from __future__ import annotations

from typing import Self

import numpy as np

from .. import ops
from ..random import key_from
from ..shapes import Spec
from ..state import drawn
from ..tensor import Tensor
from .expect import expect
from .layer import LayerPlan, Shape, layer
from .module import Module


@layer("dropout")
class Dropout(Module):
    """In training, zero each element with probability `rate` and scale the rest by 1 / (1 - rate).

    Source: Srivastava et al. 2014, in its inverted form.
    """

    def __init__(self, rate: float, *, rng: np.random.Generator) -> None:
        self.rate = rate
        self.rng = rng

    @classmethod
    def plan(cls, shape: Shape, *, rate: float) -> LayerPlan:
        """Shape unchanged."""
        expect(0 <= rate < 1, f"expected 0 <= rate < 1, got {rate}")
        return LayerPlan(shape)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, rate: float) -> Self:
        """With a counter-based generator of its own, keyed by `rng`."""
        return cls(rate, rng=np.random.Generator(np.random.Philox(rng.integers(2**63))))

    def forward(self, x: Tensor) -> Tensor:
        """Drop in training, pass through in evaluation."""
        if not self.training or self.rate == 0:
            return x
        return self.drop(x)

    def drop(self, x: Tensor) -> Tensor:
        """Drop. The numbers come from the generator itself, one float32 each, as they did in the first release."""
        shape, place = x.shape, x.device
        kept = drawn(lambda: place.put(self.rng.random(shape, np.float32) >= self.rate), Spec(shape, np.dtype(bool)))
        return ops.dropped(x, kept, float(np.float32(1) / np.float32(1 - self.rate)))


@layer("channel_dropout")
class ChannelDropout(Dropout):
    """In training, zero whole channels of (N, C, ...) with probability `rate`, and scale the rest.

    Source: Tompson et al. 2014, https://arxiv.org/abs/1411.4280.
    """

    def drop(self, x: Tensor) -> Tensor:
        """Drop channels."""
        return ops.dropout(x, key=key_from(self.rng), rate=self.rate, shared=tuple(range(2, x.ndim)))


@layer("alpha_dropout")
class AlphaDropout(Dropout):
    """Dropout for networks of `selu`, which keeps their mean and variance.

    Source: Klambauer et al. 2017, https://arxiv.org/abs/1706.02515.
    """

    def drop(self, x: Tensor) -> Tensor:
        """Put the saturated value in place of what is dropped."""
        return ops.alpha_dropout(x, key=key_from(self.rng), rate=self.rate)


@layer("stochastic_depth")
class StochasticDepth(Dropout):
    """In training, zero whole samples with probability `rate`, and scale the rest: behind the body of a residual block,
    it skips the block. Source: Huang et al. 2016, https://arxiv.org/abs/1603.09382.
    """

    def drop(self, x: Tensor) -> Tensor:
        """Drop samples."""
        return ops.dropout(x, key=key_from(self.rng), rate=self.rate, shared=tuple(range(1, x.ndim)))

"""Normalisation layers. Samples are (features,), (T, features) or (C, ...); `ops.norm` has the functions."""

from __future__ import annotations

from math import prod
from typing import Self

import numpy as np

from .. import ops
from ..forward import primal
from ..state import set_state
from ..tensor import Tensor
from .expect import expect
from .init import ones, zeros
from .layer import LayerPlan, Shape, layer
from .module import Buffer, Module, Parameter


@layer("batch_norm")
class BatchNorm(Module):
    """Normalise each feature (rows) or channel (images) over the batch, then scale and shift.

    Training uses the batch's statistics and moves the running ones by `momentum`; evaluation uses the running ones.
    The running variance is the unbiased one. It mixes the samples of a batch: where each is to be on its own, as for
    per-sample gradients, differential privacy or small batches, use `GroupNorm`.

    Source: Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167.
    """

    def __init__(self, features: int, *, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        self.weight = Parameter(ones((features,)))
        self.bias = Parameter(zeros((features,)))
        self.running_mean = Buffer(zeros((features,)))
        self.running_var = Buffer(ones((features,)))
        self.momentum = momentum
        self.epsilon = epsilon

    @classmethod
    def plan(cls, shape: Shape, *, momentum: float = 0.1, epsilon: float = 1e-5) -> LayerPlan:
        """Shape unchanged."""
        expect(0 <= momentum <= 1, f"expected 0 <= momentum <= 1, got {momentum}")
        expect(epsilon > 0, f"expected epsilon > 0, got {epsilon}")
        return LayerPlan(shape, 2 * shape[0], prod(shape), tensors=2, buffers=2 * shape[0])

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, momentum: float = 0.1, epsilon: float = 1e-5) -> Self:
        """For samples of `shape`."""
        return cls(shape[0], momentum=momentum, epsilon=epsilon)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, features) or (N, C, ...)."""
        if not self.training:
            seen = (self.running_mean, self.running_var)
            return ops.batch_norm(x, self.weight, self.bias, statistics=seen, epsilon=self.epsilon)
        y = ops.batch_norm(x, self.weight, self.bias, epsilon=self.epsilon)
        self._follow(primal(x), (0, *range(2, x.ndim)))
        return y

    def _follow(self, x: Tensor, over: tuple[int, ...]) -> None:
        count = x.size // x.shape[1]
        mean, variance = ops.moments(x.detach(), over)
        unbiased = variance * (count / max(count - 1, 1))
        for running, batch in ((self.running_mean, mean), (self.running_var, unbiased)):
            set_state(running, running + self.momentum * (batch - running))


@layer("layer_norm")
class LayerNorm(Module):
    """Normalise each sample, then scale and shift.

    Args:
        features: length of `weight` and `bias`: of axis 1, or of the last one.
        over: "sample" normalises over all elements of a sample and scales along axis 1 (features of rows, channels of
            images); "last" normalises each row of the last axis and scales along it, as transformers do.
        epsilon: added to the variance.

    Source: Ba et al. 2016, https://arxiv.org/abs/1607.06450.
    """

    def __init__(self, features: int, *, over: str = "sample", epsilon: float = 1e-5) -> None:
        self.weight = Parameter(ones((features,)))
        self.bias = Parameter(zeros((features,)))
        self.over = over
        self.epsilon = epsilon

    @classmethod
    def plan(cls, shape: Shape, *, over: str = "sample", epsilon: float = 1e-5) -> LayerPlan:
        """Shape unchanged."""
        expect(over in ("sample", "last"), f"expected over 'sample' or 'last', got {over!r}")
        expect(epsilon > 0, f"expected epsilon > 0, got {epsilon}")
        return LayerPlan(shape, 2 * shape[0 if over == "sample" else -1], 2 * prod(shape), tensors=2)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, over: str = "sample", epsilon: float = 1e-5) -> Self:
        """For samples of `shape`."""
        return cls(shape[0 if over == "sample" else -1], over=over, epsilon=epsilon)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, features), (N, T, features) or (N, C, ...)."""
        if self.over == "last":
            return ops.layer_norm(x, self.weight, self.bias, epsilon=self.epsilon)
        spread = (-1, *(1,) * (x.ndim - 2))
        y = ops.standardize(x, axis=tuple(range(1, x.ndim)), epsilon=self.epsilon)
        return y * self.weight.reshape(*spread) + self.bias.reshape(*spread)


@layer("rms_norm")
class RMSNorm(Module):
    """Divide each row of the last axis by its root mean square, then scale.

    Source: Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467.
    """

    def __init__(self, features: int, *, epsilon: float = 1e-5) -> None:
        self.weight = Parameter(ones((features,)))
        self.epsilon = epsilon

    @classmethod
    def plan(cls, shape: Shape, *, epsilon: float = 1e-5) -> LayerPlan:
        """Shape unchanged."""
        expect(epsilon > 0, f"expected epsilon > 0, got {epsilon}")
        return LayerPlan(shape, shape[-1], 2 * prod(shape), tensors=1)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, epsilon: float = 1e-5) -> Self:
        """For samples of `shape`."""
        return cls(shape[-1], epsilon=epsilon)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, ..., features)."""
        return ops.rms_norm(x, self.weight, epsilon=self.epsilon)


@layer("group_norm")
class GroupNorm(Module):
    """Normalise each sample over `groups` runs of channels, then scale and shift per channel: the replacement of
    `BatchNorm` where samples must not mix. Source: Wu & He 2018, https://arxiv.org/abs/1803.08494.
    """

    def __init__(self, channels: int, groups: int, *, epsilon: float = 1e-5) -> None:
        self.weight = Parameter(ones((channels,)))
        self.bias = Parameter(zeros((channels,)))
        self.groups = groups
        self.epsilon = epsilon

    @classmethod
    def plan(cls, shape: Shape, *, groups: int, epsilon: float = 1e-5) -> LayerPlan:
        """Shape unchanged."""
        expect(
            groups >= 1 and shape[0] % groups == 0,
            f"expected a number of groups that divides {shape[0]} channels, got {groups}",
        )
        expect(epsilon > 0, f"expected epsilon > 0, got {epsilon}")
        return LayerPlan(shape, 2 * shape[0], 2 * prod(shape), tensors=2)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, groups: int, epsilon: float = 1e-5) -> Self:
        """For samples of `shape`."""
        return cls(shape[0], groups, epsilon=epsilon)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, ...)."""
        return ops.group_norm(x, self.groups, self.weight, self.bias, epsilon=self.epsilon)


@layer("instance_norm")
class InstanceNorm(Module):
    """Normalise each channel of each sample over its positions, then scale and shift per channel.

    Source: Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022.
    """

    def __init__(self, channels: int, *, epsilon: float = 1e-5) -> None:
        self.weight = Parameter(ones((channels,)))
        self.bias = Parameter(zeros((channels,)))
        self.epsilon = epsilon

    @classmethod
    def plan(cls, shape: Shape, *, epsilon: float = 1e-5) -> LayerPlan:
        """Shape unchanged."""
        expect(len(shape) >= 2, f"expected samples of shape (C, ...) with positions, got {shape}")
        expect(epsilon > 0, f"expected epsilon > 0, got {epsilon}")
        return LayerPlan(shape, 2 * shape[0], 2 * prod(shape), tensors=2)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, epsilon: float = 1e-5) -> Self:
        """For samples of `shape`."""
        return cls(shape[0], epsilon=epsilon)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, ...)."""
        return ops.instance_norm(x, self.weight, self.bias, epsilon=self.epsilon)


@layer("local_response_norm")
class LocalResponseNorm(Module):
    """Divide each element by (k + alpha times the mean square of `size` neighbouring channels) ** beta.

    Source: Krizhevsky et al. 2012, ImageNet classification with deep convolutional neural networks, section 3.3.
    """

    def __init__(self, size: int = 5, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    @classmethod
    def plan(cls, shape: Shape, *, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> LayerPlan:
        """Shape unchanged."""
        expect(len(shape) >= 2, f"expected samples of shape (C, ...) with positions, got {shape}")
        expect(size >= 1, f"expected size >= 1, got {size}")
        return LayerPlan(shape, macs=size * prod(shape))

    @classmethod
    def build(
        cls,
        shape: Shape,
        rng: np.random.Generator,
        *,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 1.0,
    ) -> Self:
        """For any images."""
        return cls(size, alpha=alpha, beta=beta, k=k)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, ...)."""
        return ops.local_response_norm(x, size=self.size, alpha=self.alpha, beta=self.beta, k=self.k)

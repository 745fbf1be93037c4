"""The plain layers: affine maps, elementwise functions, changes of shape. Samples are rows (features,), sequences
(T, features) or images (C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Self

import numpy as np

from .. import ops
from ..tensor import Tensor
from .expect import expect, image
from .init import constant, he_normal, zeros
from .layer import LayerPlan, Shape, layer
from .module import Module, Parameter

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": ops.relu,
    "gelu": ops.gelu,
    "silu": ops.silu,
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
    "gelu_erf": ops.gelu_erf,
    "leaky_relu": ops.leaky_relu,
    "relu6": ops.relu6,
    "elu": ops.elu,
    "selu": ops.selu,
    "celu": ops.celu,
    "softplus": ops.softplus,
    "softsign": ops.softsign,
    "mish": ops.mish,
    "hardswish": ops.hardswish,
    "hardsigmoid": ops.hardsigmoid,
    "hardtanh": ops.hardtanh,
    "tanhshrink": ops.tanhshrink,
    "logsigmoid": ops.logsigmoid,
}
GATES: dict[str, Callable[[Tensor], Tensor]] = {"glu": ops.glu, "swiglu": ops.swiglu, "geglu": ops.geglu}


@layer("linear")
class Linear(Module):
    """Affine map of rows, x @ weight.T + bias: (N, in_features) -> (N, out_features), or of each step of a sequence."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True, rng: np.random.Generator) -> None:
        self.weight = Parameter(he_normal((out_features, in_features), in_features, rng))
        self.bias = Parameter(zeros((out_features,))) if bias else None

    @classmethod
    def plan(cls, shape: Shape, *, out_features: int, bias: bool = True) -> LayerPlan:
        """Rows in, rows out; steps in, steps out."""
        expect(len(shape) in (1, 2), f"expected samples of shape (features,), got {shape}; flatten images first")
        expect(out_features >= 1, f"expected out_features >= 1, got {out_features}")
        weights = shape[-1] * out_features
        out = (*shape[:-1], out_features)
        return LayerPlan(out, weights + out_features * bias, weights * prod(shape[:-1]), tensors=1 + bias)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, out_features: int, bias: bool = True) -> Self:
        """For samples of `shape`."""
        return cls(shape[-1], out_features, bias=bias, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        """Map every row."""
        return x @ self.weight.T if self.bias is None else ops.linear(x, self.weight, self.bias)


@layer("activation")
class Activation(Module):
    """An elementwise function by name."""

    def __init__(self, function: str) -> None:
        self.function = ACTIVATIONS[function]

    @classmethod
    def plan(cls, shape: Shape, *, function: str) -> LayerPlan:
        """Shape unchanged."""
        expect(function in ACTIVATIONS, f"unknown activation {function!r}, known: {', '.join(ACTIVATIONS)}")
        return LayerPlan(shape)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, function: str) -> Self:
        """For any shape."""
        return cls(function)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return self.function(x)


@layer("leaky_relu")
class LeakyReLU(Module):
    """ReLU with a fixed slope below 0."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    @classmethod
    def plan(cls, shape: Shape, *, slope: float = 0.01) -> LayerPlan:
        """Shape unchanged."""
        return LayerPlan(shape)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, slope: float = 0.01) -> Self:
        """For any shape."""
        return cls(slope)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return ops.leaky_relu(x, slope=self.slope)


@layer("elu")
class ELU(Module):
    """Exponential linear unit, which tends to -alpha below 0; alpha > 0."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    @classmethod
    def plan(cls, shape: Shape, *, alpha: float = 1.0) -> LayerPlan:
        """Shape unchanged."""
        expect(alpha > 0, f"expected alpha > 0, got {alpha}")
        return LayerPlan(shape)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, alpha: float = 1.0) -> Self:
        """For any shape."""
        return cls(alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return ops.elu(x, alpha=self.alpha)


@layer("prelu")
class PReLU(Module):
    """ReLU with a learned slope below 0, one per feature or channel, or one for all.

    Source: He et al. 2015, https://arxiv.org/abs/1502.01852.
    """

    def __init__(self, features: int = 1, *, slope: float = 0.25) -> None:
        self.weight = Parameter(constant((features,), slope))

    @classmethod
    def plan(cls, shape: Shape, *, shared: bool = False, slope: float = 0.25) -> LayerPlan:
        """Shape unchanged."""
        return LayerPlan(shape, 1 if shared else shape[0], tensors=1)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, shared: bool = False, slope: float = 0.25) -> Self:
        """For samples of `shape`."""
        return cls(1 if shared else shape[0], slope=slope)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (N, features) or (N, C, ...)."""
        return ops.prelu(x, self.weight.reshape(-1, *(1,) * (x.ndim - 2)))


@layer("gate")
class Gate(Module):
    """A gated linear unit by name, "glu", "swiglu" or "geglu": half of the features times a function of the others."""

    def __init__(self, function: str = "swiglu") -> None:
        self.function = GATES[function]

    @classmethod
    def plan(cls, shape: Shape, *, function: str = "swiglu") -> LayerPlan:
        """Half as many features."""
        expect(function in GATES, f"unknown gate {function!r}, known: {', '.join(GATES)}")
        expect(len(shape) in (1, 2), f"expected samples of shape (features,) or (T, features), got {shape}")
        expect(shape[-1] % 2 == 0, f"expected an even number of features, got {shape[-1]}")
        return LayerPlan((*shape[:-1], shape[-1] // 2))

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, function: str = "swiglu") -> Self:
        """For any shape."""
        return cls(function)

    def forward(self, x: Tensor) -> Tensor:
        """Gate (N, ..., features)."""
        return self.function(x)


@layer("softmax")
class Softmax(Module):
    """Probabilities along the features of rows or the channels of images; a loss on logits needs none."""

    @classmethod
    def plan(cls, shape: Shape) -> LayerPlan:
        """Shape unchanged."""
        return LayerPlan(shape)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator) -> Self:
        """For any shape."""
        return cls()

    def forward(self, x: Tensor) -> Tensor:
        """Normalise along axis 1."""
        return ops.softmax(x, axis=1)


@layer("flatten")
class Flatten(Module):
    """Each sample as one row."""

    @classmethod
    def plan(cls, shape: Shape) -> LayerPlan:
        """The product of all axes."""
        return LayerPlan((prod(shape),))

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator) -> Self:
        """For any shape."""
        return cls()

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, features)."""
        return x.reshape(x.shape[0], prod(x.shape[1:]))


@layer("reshape")
class Reshape(Module):
    """Each sample in another shape, its elements in C order."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    @classmethod
    def plan(cls, given: Shape, /, *, shape: tuple[int, ...]) -> LayerPlan:
        """As asked for; the number of elements stays."""
        fits = shape and min(shape) >= 1 and prod(shape) == prod(given)
        expect(bool(fits), f"expected a shape of {prod(given)} elements, as in {given}, got {shape}")
        return LayerPlan(shape)

    @classmethod
    def build(cls, given: Shape, rng: np.random.Generator, /, *, shape: tuple[int, ...]) -> Self:
        """For samples of as many elements."""
        return cls(shape)

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, *shape)."""
        return x.reshape(x.shape[0], *self.shape)


@layer("zeros")
class Zeros(Module):
    """Nothing of what comes in: a branch that a search switched off."""

    @classmethod
    def plan(cls, shape: Shape) -> LayerPlan:
        """Shape unchanged."""
        return LayerPlan(shape)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator) -> Self:
        """For any shape."""
        return cls()

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of the same shape; not x * 0, which is no number where x is infinite."""
        return ops.where(x < -np.inf, x, 0.0)


@layer("image_to_sequence")
class ImageToSequence(Module):
    """Pixels as the steps of a sequence, channels as their features: (N, C, H, W) -> (N, H * W, C)."""

    @classmethod
    def plan(cls, shape: Shape) -> LayerPlan:
        """Pixels in rows, the first row first."""
        channels, height, width = image(shape)
        return LayerPlan((height * width, channels))

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator) -> Self:
        """For images of any size."""
        return cls()

    def forward(self, x: Tensor) -> Tensor:
        """Rearrange."""
        return x.reshape(*x.shape[:2], x.shape[2] * x.shape[3]).transpose(0, 2, 1)


@layer("sequence_mean")
class SequenceMean(Module):
    """Mean over the steps of a sequence: (N, T, ...) -> (N, ...). The firing rate of spiking neurons."""

    @classmethod
    def plan(cls, shape: Shape) -> LayerPlan:
        """Without the axis of time."""
        expect(len(shape) >= 2, f"expected samples of shape (T, ...), got {shape}")
        return LayerPlan(shape[1:])

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator) -> Self:
        """For sequences of any length."""
        return cls()

    def forward(self, x: Tensor) -> Tensor:
        """Average."""
        return x.mean(1)

"""The layers, each with its cost and its construction from data. Samples are (C, H, W) images or (features,) rows."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Self

import numpy as np

from .. import ops
from ..errors import FormatError
from ..forward import primal
from ..tensor import Tensor
from .layer import LayerPlan, LayerSpec, Shape, build_layers, layer, plan_layers
from .init import he_normal
from .module import Buffer, Module, Parameter, Sequential

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": ops.relu,
    "gelu": ops.gelu,
    "silu": ops.silu,
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
}


def _expect(condition: bool, message: str) -> None:
    if not condition:
        raise FormatError(message)


def _image(shape: Shape) -> Shape:
    _expect(len(shape) == 3, f"expected samples of shape (C, H, W), got {shape}")
    return shape


@layer("linear")
class Linear(Module):
    """Affine map of rows, x @ weight.T + bias: (N, in_features) -> (N, out_features)."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True, rng: np.random.Generator) -> None:
        self.weight = Parameter(he_normal((out_features, in_features), in_features, rng))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None

    @classmethod
    def plan(cls, shape: Shape, *, out_features: int, bias: bool = True) -> LayerPlan:
        """Rows in, rows out."""
        _expect(len(shape) == 1, f"expected samples of shape (features,), got {shape}; flatten images first")
        _expect(out_features >= 1, f"expected out_features >= 1, got {out_features}")
        weights = shape[0] * out_features
        return LayerPlan((out_features,), weights + out_features * bias, weights)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, out_features: int, bias: bool = True) -> Self:
        """For rows of `shape`."""
        return cls(shape[0], out_features, bias=bias, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        """Map every row."""
        y = x @ self.weight.T
        return y if self.bias is None else y + self.bias


@layer("conv2d")
class Conv2d(Module):
    """Two-dimensional convolution, (N, C, H, W) -> (N, O, OH, OW); `padding` defaults to kernel // 2."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = True,
        rng: np.random.Generator,
    ) -> None:
        fan_in = in_channels * kernel * kernel
        self.weight = Parameter(he_normal((out_channels, in_channels, kernel, kernel), fan_in, rng))
        self.bias = Parameter(np.zeros((out_channels, 1, 1), np.float32)) if bias else None
        self.stride = stride
        self.padding = kernel // 2 if padding is None else padding

    @classmethod
    def plan(cls, shape: Shape, *, out_channels: int, kernel: int, stride: int = 1, bias: bool = True) -> LayerPlan:
        """Same size out for stride 1 and an odd kernel."""
        channels, height, width = _image(shape)
        _expect(min(out_channels, kernel, stride) >= 1, "expected out_channels, kernel and stride >= 1")
        padding = kernel // 2
        out = tuple((length + 2 * padding - kernel) // stride + 1 for length in (height, width))
        _expect(min(out) >= 1, f"kernel {kernel} is larger than the padded image {height} x {width}")
        weights = channels * out_channels * kernel * kernel
        return LayerPlan((out_channels, *out), weights + out_channels * bias, weights * out[0] * out[1])

    @classmethod
    def build(
        cls,
        shape: Shape,
        rng: np.random.Generator,
        *,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        bias: bool = True,
    ) -> Self:
        """For images of `shape`."""
        return cls(shape[0], out_channels, kernel, stride=stride, bias=bias, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        y = ops.conv2d(x, self.weight, stride=self.stride, padding=self.padding)
        return y if self.bias is None else y + self.bias


@layer("batch_norm")
class BatchNorm(Module):
    """Normalise each feature (rows) or channel (images) over the batch, then scale and shift.

    Training uses the batch's statistics and moves the running ones by `momentum`; evaluation uses the running ones.
    The running variance is the unbiased one. Source: Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167.
    """

    def __init__(self, features: int, *, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        self.weight = Parameter(np.ones(features, np.float32))
        self.bias = Parameter(np.zeros(features, np.float32))
        self.running_mean = Buffer(np.zeros(features, np.float32))
        self.running_var = Buffer(np.ones(features, np.float32))
        self.momentum = momentum
        self.epsilon = epsilon

    @classmethod
    def plan(cls, shape: Shape) -> LayerPlan:
        """Shape unchanged."""
        return LayerPlan(shape, 2 * shape[0], prod(shape))

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator) -> Self:
        """For samples of `shape`."""
        return cls(shape[0])

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, features) or (N, C, H, W)."""
        over = (0, *range(2, x.ndim))
        spread = (-1, *(1,) * (x.ndim - 2))
        if self.training:
            y = ops.standardize(x, axis=over, epsilon=self.epsilon)
            self._follow(primal(x), over)
            return y * self.weight.reshape(*spread) + self.bias.reshape(*spread)
        scale = self.weight * (self.running_var + self.epsilon) ** -0.5
        shift = self.bias - self.running_mean * scale
        return x * scale.reshape(*spread) + shift.reshape(*spread)

    def _follow(self, x: Tensor, over: tuple[int, ...]) -> None:
        xp = x.device.xp
        count = x.size // x.shape[1]
        mean, variance = ops.moments(xp, x.data, over)
        unbiased = variance * (count / max(count - 1, 1))
        for running, batch in ((self.running_mean, mean), (self.running_var, unbiased)):
            running.data += self.momentum * (batch - running.data)


@layer("layer_norm")
class LayerNorm(Module):
    """Normalise each sample over all its elements, then scale and shift per feature or channel.

    Source: Ba et al. 2016, https://arxiv.org/abs/1607.06450.
    """

    def __init__(self, features: int, *, epsilon: float = 1e-5) -> None:
        self.weight = Parameter(np.ones(features, np.float32))
        self.bias = Parameter(np.zeros(features, np.float32))
        self.epsilon = epsilon

    @classmethod
    def plan(cls, shape: Shape) -> LayerPlan:
        """Shape unchanged."""
        return LayerPlan(shape, 2 * shape[0], 2 * prod(shape))

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator) -> Self:
        """For samples of `shape`."""
        return cls(shape[0])

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, features) or (N, C, H, W)."""
        spread = (-1, *(1,) * (x.ndim - 2))
        y = ops.standardize(x, axis=tuple(range(1, x.ndim)), epsilon=self.epsilon)
        return y * self.weight.reshape(*spread) + self.bias.reshape(*spread)


@layer("activation")
class Activation(Module):
    """An elementwise function by name."""

    def __init__(self, function: str) -> None:
        self.function = ACTIVATIONS[function]

    @classmethod
    def plan(cls, shape: Shape, *, function: str) -> LayerPlan:
        """Shape unchanged."""
        _expect(function in ACTIVATIONS, f"unknown activation {function!r}, known: {', '.join(ACTIVATIONS)}")
        return LayerPlan(shape)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, function: str) -> Self:
        """For any shape."""
        return cls(function)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return self.function(x)


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
        _expect(0 <= rate < 1, f"expected 0 <= rate < 1, got {rate}")
        return LayerPlan(shape)

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, rate: float) -> Self:
        """With a counter-based generator of its own, keyed by `rng`."""
        return cls(rate, rng=np.random.Generator(np.random.Philox(rng.integers(2**63))))

    def forward(self, x: Tensor) -> Tensor:
        """Drop in training, pass through in evaluation."""
        if not self.training or self.rate == 0:
            return x
        mask = (self.rng.random(x.shape, np.float32) >= self.rate) / np.float32(1 - self.rate)
        return x * Tensor(x.device.put(mask))


@layer("max_pool2d")
class MaxPool2d(Module):
    """Largest element of each window, (N, C, H, W); `stride` is `size` by default."""

    def __init__(self, size: int) -> None:
        self.size = size

    @classmethod
    def plan(cls, shape: Shape, *, size: int = 2) -> LayerPlan:
        """Each side divided by `size`, rounded down."""
        channels, height, width = _image(shape)
        _expect(1 <= size <= min(height, width), f"expected 1 <= size <= {min(height, width)}, got {size}")
        return LayerPlan((channels, height // size, width // size))

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, size: int = 2) -> Self:
        """For images of `shape`."""
        return cls(size)

    def forward(self, x: Tensor) -> Tensor:
        """Pool."""
        return ops.max_pool2d(x, size=self.size)


@layer("avg_pool2d")
class AvgPool2d(MaxPool2d):
    """Mean of each window, (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool."""
        return ops.avg_pool2d(x, size=self.size, stride=self.size)


@layer("global_avg_pool")
class GlobalAvgPool(Module):
    """Mean of each channel over the image: (N, C, H, W) -> (N, C)."""

    @classmethod
    def plan(cls, shape: Shape) -> LayerPlan:
        """Images to rows."""
        return LayerPlan((_image(shape)[0],))

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator) -> Self:
        """For images of any size."""
        return cls()

    def forward(self, x: Tensor) -> Tensor:
        """Average."""
        return x.mean((2, 3))


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


@layer("residual")
class Residual(Module):
    """`body(x) + shortcut(x)`; an empty shortcut is the identity.

    Source: He et al. 2016, https://arxiv.org/abs/1512.03385.
    """

    def __init__(self, body: Sequential, shortcut: Sequential) -> None:
        self.body = body
        self.shortcut = shortcut

    @classmethod
    def plan(cls, shape: Shape, *, body: tuple[LayerSpec, ...], shortcut: tuple[LayerSpec, ...] = ()) -> LayerPlan:
        """Both branches must give the same shape."""
        main, side = plan_layers(body, shape), plan_layers(shortcut, shape)
        _expect(
            main.output_shape == side.output_shape,
            f"the branches differ: body gives {main.output_shape}, shortcut {side.output_shape}",
        )
        return LayerPlan(main.output_shape, main.parameters + side.parameters, main.macs + side.macs)

    @classmethod
    def build(
        cls,
        shape: Shape,
        rng: np.random.Generator,
        *,
        body: tuple[LayerSpec, ...],
        shortcut: tuple[LayerSpec, ...] = (),
    ) -> Self:
        """For samples of `shape`."""
        return cls(build_layers(body, shape, rng), build_layers(shortcut, shape, rng))

    def forward(self, x: Tensor) -> Tensor:
        """Add the branches."""
        return self.body(x) + self.shortcut(x)

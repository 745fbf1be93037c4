"""Blocks that networks are composed of: residual connections, squeeze and excitation, mobile inverted bottlenecks."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Self

import numpy as np

from ..tensor import Tensor
from .conv import Conv2d
from .dropout import StochasticDepth
from .expect import expect, image
from .layer import LayerPlan, LayerSpec, Shape, build_layers, in_sequence, layer, plan_layers
from .layers import ACTIVATIONS
from .module import Module, Sequential
from .norm import BatchNorm


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
        expect(
            main.output_shape == side.output_shape,
            f"the branches differ: body gives {main.output_shape}, shortcut {side.output_shape}",
        )
        inputs, out = prod(shape), prod(main.output_shape)
        return LayerPlan(
            main.output_shape,
            main.parameters + side.parameters,
            main.macs + side.macs,
            main.tensors + side.tensors,
            main.buffers + side.buffers,
            # The body while the input waits, the shortcut while the body's output waits, and the sum of both.
            max(main.peak_for(inputs, kept=True), side.peak + out, 3 * out),
            max(side.late_peak + out, 3 * out) if shortcut else 0,
        )

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


@layer("squeeze_excite")
class SqueezeExcite(Module):
    """Scale each channel by a gate in (0, 1), computed from the means of all channels: (N, C, H, W) -> the same.

    Args:
        channels: C.
        hidden: features of the layer in between.
        activation: of that layer, a name in `ACTIVATIONS`.
        gate: the function that makes the gates, likewise; "hardsigmoid" in MobileNetV3.
        rng: of the initial weights.

    Source: Hu et al. 2017, https://arxiv.org/abs/1709.01507.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        *,
        activation: str = "relu",
        gate: str = "sigmoid",
        rng: np.random.Generator,
    ) -> None:
        self.squeeze = Conv2d(channels, hidden, 1, rng=rng)
        self.excite = Conv2d(hidden, channels, 1, rng=rng)
        self.activation = ACTIVATIONS[activation]
        self.gate = ACTIVATIONS[gate]

    @classmethod
    def plan(cls, shape: Shape, *, ratio: float = 0.25, activation: str = "relu", gate: str = "sigmoid") -> LayerPlan:
        """Shape unchanged. `ratio` is that of hidden features to channels, rounded to at least one."""
        channels = image(shape)[0]
        expect(ratio > 0, f"expected ratio > 0, got {ratio}")
        for name in (activation, gate):
            expect(name in ACTIVATIONS, f"unknown activation {name!r}, known: {', '.join(ACTIVATIONS)}")
        hidden = _share(channels, ratio)
        return _plan_gates(shape, hidden)

    @classmethod
    def build(
        cls,
        shape: Shape,
        rng: np.random.Generator,
        *,
        ratio: float = 0.25,
        activation: str = "relu",
        gate: str = "sigmoid",
    ) -> Self:
        """For images of `shape`."""
        return cls(shape[0], _share(shape[0], ratio), activation=activation, gate=gate, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the channels."""
        means = x.mean((2, 3), keepdims=True)
        return x * self.gate(self.excite(self.activation(self.squeeze(means))))


def _plan_gates(shape: Shape, hidden: int) -> LayerPlan:
    """Cost of squeeze and excite: all channels are there while one number for each is computed."""
    channels = shape[0]
    return LayerPlan(
        shape,
        2 * channels * hidden + channels + hidden,
        2 * channels * hidden + prod(shape),
        tensors=4,
        peak=max(2 * prod(shape) + channels, prod(shape) + channels + hidden),
    )


def _share(channels: int, ratio: float) -> int:
    return max(1, int(channels * ratio))


@layer("mbconv")
class MBConv(Module):
    """Mobile inverted bottleneck: widen by a 1 x 1 convolution, convolve each channel on its own, squeeze and excite,
    narrow again; with a residual connection where the shape stays. Batch norm behind every convolution.

    Args:
        in_channels, out_channels: of the images.
        kernel: of the depthwise convolution.
        stride: likewise.
        expand: how many times as many channels there are in between; 1 leaves the first convolution out.
        ratio: hidden features of squeeze and excite per input channel of the block, 0 for none.
        activation: a name in `ACTIVATIONS`.
        drop: chance that training skips the block for a sample, where there is a residual connection.
        rng: of the initial weights, and of what is dropped.

    Sources: Sandler et al. 2018, https://arxiv.org/abs/1801.04381; Tan & Le 2019, https://arxiv.org/abs/1905.11946.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        expand: int = 4,
        ratio: float = 0.25,
        activation: str = "silu",
        drop: float = 0.0,
        rng: np.random.Generator,
    ) -> None:
        wide = in_channels * expand
        self.expand = Conv2d(in_channels, wide, 1, bias=False, rng=rng) if expand > 1 else None
        self.expand_norm = BatchNorm(wide) if expand > 1 else None
        self.depthwise = Conv2d(wide, wide, kernel, stride=stride, groups=wide, bias=False, rng=rng)
        self.depthwise_norm = BatchNorm(wide)
        self.squeeze_excite = (
            SqueezeExcite(wide, _share(in_channels, ratio), activation=activation, rng=rng) if ratio else None
        )
        self.project = Conv2d(wide, out_channels, 1, bias=False, rng=rng)
        self.project_norm = BatchNorm(out_channels)
        self.activation = ACTIVATIONS[activation]
        self.residual = stride == 1 and in_channels == out_channels
        self.drop = StochasticDepth(drop, rng=rng.spawn(1)[0]) if drop else None

    @classmethod
    def plan(
        cls,
        shape: Shape,
        *,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        expand: int = 4,
        ratio: float = 0.25,
        activation: str = "silu",
        drop: float = 0.0,
    ) -> LayerPlan:
        """Height and width divided by the stride."""
        channels = image(shape)[0]
        expect(expand >= 1, f"expected expand >= 1, got {expand}")
        expect(kernel % 2 == 1, f"expected an odd kernel, got {kernel}")
        expect(ratio >= 0, f"expected ratio >= 0, got {ratio}")
        expect(0 <= drop < 1, f"expected 0 <= drop < 1, got {drop}")
        expect(activation in ACTIVATIONS, f"unknown activation {activation!r}, known: {', '.join(ACTIVATIONS)}")
        wide = channels * expand
        parts: list[LayerPlan] = []
        if expand > 1:
            parts += [Conv2d.plan(shape, out_channels=wide, kernel=1, bias=False), BatchNorm.plan((wide, *shape[1:]))]
        parts.append(
            Conv2d.plan((wide, *shape[1:]), out_channels=wide, kernel=kernel, stride=stride, groups=wide, bias=False)
        )
        inner = parts[-1].output_shape
        parts.append(BatchNorm.plan(inner))
        if ratio:
            parts.append(_plan_gates(inner, _share(channels, ratio)))
        parts.append(Conv2d.plan(inner, out_channels=out_channels, kernel=1, bias=False))
        parts.append(BatchNorm.plan(parts[-1].output_shape))
        whole = in_sequence(parts, prod(shape), shape)
        if stride != 1 or whole.output_shape != shape:
            return whole
        peak = max(whole.peak_for(prod(shape), kept=True), 3 * prod(shape))  # the input waits for the sum
        return replace(whole, peak=peak, late_peak=0)

    @classmethod
    def build(
        cls,
        shape: Shape,
        rng: np.random.Generator,
        *,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        expand: int = 4,
        ratio: float = 0.25,
        activation: str = "silu",
        drop: float = 0.0,
    ) -> Self:
        """For images of `shape`."""
        return cls(
            shape[0],
            out_channels,
            kernel,
            stride=stride,
            expand=expand,
            ratio=ratio,
            activation=activation,
            drop=drop,
            rng=rng,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform images."""
        y = x
        if self.expand is not None and self.expand_norm is not None:
            y = self.activation(self.expand_norm(self.expand(y)))
        y = self.activation(self.depthwise_norm(self.depthwise(y)))
        if self.squeeze_excite is not None:
            y = self.squeeze_excite(y)
        y = self.project_norm(self.project(y))
        if not self.residual:
            return y
        return x + (y if self.drop is None else self.drop(y))

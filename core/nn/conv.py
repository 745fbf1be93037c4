"""Convolutions over one, two and three axes, and their transposes. Samples are (C, L), (C, H, W) and (C, D, H, W)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, ClassVar, Self

import numpy as np

from .. import ops
from ..tensor import Tensor
from .expect import expect, inferred
from .init import he_normal, zeros
from .layer import LayerPlan, Shape, layer
from .module import Module, Parameter

PerAxis = int | tuple[int, ...]


def _each(value: PerAxis, rank: int, name: str) -> tuple[int, ...]:
    """One number for every axis."""
    lengths = (value,) * rank if isinstance(value, int) else value
    expect(len(lengths) == rank, f"expected one {name} or {rank}, got {value}")
    return lengths


class _Convolution(Module):
    """What convolutions over any number of axes share."""

    rank: ClassVar[int]
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: PerAxis,
        *,
        stride: PerAxis = 1,
        padding: PerAxis | None = None,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        rng: np.random.Generator,
    ) -> None:
        size = _each(kernel, self.rank, "kernel")
        shape = (out_channels, in_channels // groups, *size)
        self.weight = Parameter(he_normal(shape, prod(shape[1:]), rng))
        self.bias = Parameter(zeros((out_channels, *(1,) * self.rank))) if bias else None
        self.stride = stride
        self.padding = self._usual_padding(size, dilation) if padding is None else padding
        self.dilation = dilation
        self.groups = groups

    @classmethod
    def _usual_padding(cls, size: tuple[int, ...], dilation: PerAxis) -> tuple[int, ...]:
        """Half the kernel: odd kernels keep the size of the image."""
        steps = _each(dilation, cls.rank, "dilation")
        return tuple(k // 2 * d for k, d in zip(size, steps, strict=True))

    @classmethod
    def plan(
        cls,
        shape: Shape,
        *,
        out_channels: int,
        kernel: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis | None = None,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> LayerPlan:
        """Same size out for stride 1 and an odd kernel, unless `padding` says otherwise."""
        axes = ("L", "H, W", "D, H, W")[cls.rank - 1]
        expect(len(shape) == cls.rank + 1, f"expected samples of shape (C, {axes}), got {shape}")
        size, strides = _each(kernel, cls.rank, "kernel"), _each(stride, cls.rank, "stride")
        steps = _each(dilation, cls.rank, "dilation")
        expect(
            min(out_channels, *size, *strides, *steps) >= 1,
            "expected out_channels, kernel and stride >= 1, and so the dilation",
        )
        expect(
            groups >= 1 and shape[0] % groups == 0 and out_channels % groups == 0,
            f"expected groups that divide {shape[0]} and {out_channels} channels, got {groups}",
        )
        sides = cls._usual_padding(size, dilation) if padding is None else _each(padding, cls.rank, "padding")
        weight = (out_channels, shape[0] // groups, *size)
        options = {"stride": strides, "padding": sides, "dilation": steps, "groups": groups}
        out = inferred(partial(cls.function, **options), shape, weight)
        return LayerPlan(out, prod(weight) + out_channels * bias, prod(weight) * prod(out[1:]), tensors=1 + bias)

    @classmethod
    def build(
        cls, shape: Shape, rng: np.random.Generator, *, out_channels: int, kernel: PerAxis, **options: Any
    ) -> Self:
        """For samples of `shape`; options as for `plan`."""
        return cls(shape[0], out_channels, kernel, rng=rng, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, ...)."""
        y = type(self).function(
            x, self.weight, stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups
        )
        return y if self.bias is None else y + self.bias


@layer("conv1d")
class Conv1d(_Convolution):
    """Convolution of signals, (N, C, L) -> (N, O, OL); options as for `Conv2d`."""

    rank = 1
    function = staticmethod(ops.conv1d)


@layer("conv2d")
class Conv2d(_Convolution):
    """Convolution of images, (N, C, H, W) -> (N, O, OH, OW).

    Args:
        in_channels, out_channels: C and O.
        kernel: its height and width, one number or two.
        stride, padding, dilation: one number or one per axis; `padding` defaults to half the (dilated) kernel, which
            keeps the size of images where the kernel is odd and the stride 1.
        groups: parts of the channels that are convolved on their own; as many as channels are a depthwise convolution.
        bias: one number per output channel is added.
        rng: of the initial weights, normal by He et al. 2015.
    """

    rank = 2
    function = staticmethod(ops.conv2d)


@layer("conv3d")
class Conv3d(_Convolution):
    """Convolution of volumes, (N, C, D, H, W) -> (N, O, OD, OH, OW); options as for `Conv2d`."""

    rank = 3
    function = staticmethod(ops.conv3d)


class _Transposed(Module):
    """What transposed convolutions over any number of axes share."""

    rank: ClassVar[int]
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: PerAxis,
        *,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        output_padding: PerAxis = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        rng: np.random.Generator,
    ) -> None:
        size = _each(kernel, self.rank, "kernel")
        # Every element of the result is a sum over this many: kernels are `stride` apart.
        fan_in = in_channels // groups * prod(size) / prod(_each(stride, self.rank, "stride"))
        self.weight = Parameter(he_normal((in_channels, out_channels // groups, *size), max(1, round(fan_in)), rng))
        self.bias = Parameter(zeros((out_channels, *(1,) * self.rank))) if bias else None
        self.options = {
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "dilation": dilation,
            "groups": groups,
        }

    @classmethod
    def plan(
        cls,
        shape: Shape,
        *,
        out_channels: int,
        kernel: PerAxis,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        output_padding: PerAxis = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> LayerPlan:
        """Along each axis (length - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1."""
        axes = ("L", "H, W", "D, H, W")[cls.rank - 1]
        expect(len(shape) == cls.rank + 1, f"expected samples of shape (C, {axes}), got {shape}")
        size, strides = _each(kernel, cls.rank, "kernel"), _each(stride, cls.rank, "stride")
        steps = _each(dilation, cls.rank, "dilation")
        expect(min(out_channels, *size, *strides, *steps) >= 1, "expected out_channels, kernel and stride >= 1")
        expect(
            groups >= 1 and shape[0] % groups == 0 and out_channels % groups == 0,
            f"expected groups that divide {shape[0]} and {out_channels} channels, got {groups}",
        )
        options: dict[str, Any] = {
            "stride": strides,
            "padding": _each(padding, cls.rank, "padding"),
            "output_padding": _each(output_padding, cls.rank, "output_padding"),
            "dilation": steps,
            "groups": groups,
        }
        weight = (shape[0], out_channels // groups, *size)
        out = inferred(partial(cls.function, **options), shape, weight)
        return LayerPlan(out, prod(weight) + out_channels * bias, prod(weight) * prod(shape[1:]), tensors=1 + bias)

    @classmethod
    def build(
        cls, shape: Shape, rng: np.random.Generator, *, out_channels: int, kernel: PerAxis, **options: Any
    ) -> Self:
        """For samples of `shape`; options as for `plan`."""
        return cls(shape[0], out_channels, kernel, rng=rng, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Spread (N, C, ...)."""
        y = type(self).function(x, self.weight, **self.options)
        return y if self.bias is None else y + self.bias


@layer("conv_transpose1d")
class ConvTranspose1d(_Transposed):
    """Transposed convolution of signals, (N, C, L) -> (N, O, OL); options as for `ConvTranspose2d`."""

    rank = 1
    function = staticmethod(ops.conv_transpose1d)


@layer("conv_transpose2d")
class ConvTranspose2d(_Transposed):
    """Transposed convolution of images, (N, C, H, W) -> (N, O, OH, OW): what makes small images large.

    Args:
        in_channels, out_channels: C and O.
        kernel: its height and width, one number or two.
        stride: by how much the image grows, one number or two.
        padding: what is cut off each side of the result.
        output_padding: rows and columns more at its end, less than the stride.
        dilation: the distance between the elements of the kernel.
        groups: parts of the channels that are convolved on their own.
        bias: one number per output channel is added.
        rng: of the initial weights.
    """

    rank = 2
    function = staticmethod(ops.conv_transpose2d)


@layer("conv_transpose3d")
class ConvTranspose3d(_Transposed):
    """Transposed convolution of volumes, (N, C, D, H, W) -> (N, O, OD, OH, OW); options as for `ConvTranspose2d`."""

    rank = 3
    function = staticmethod(ops.conv_transpose3d)

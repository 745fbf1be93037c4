"""Layers that make images smaller or larger without weights. Samples are (C, L), (C, H, W) or (C, D, H, W)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np

from .. import ops
from ..tensor import Tensor
from .expect import expect, image, inferred
from .layer import LayerPlan, Shape, layer
from .module import Module

PerAxis = int | tuple[int, ...]


class _Pool(Module):
    """What pooling over any number of axes shares."""

    rank: ClassVar[int]
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        size: PerAxis = 2,
        *,
        stride: PerAxis | None = None,
        padding: PerAxis = 0,
        ceil_mode: bool = False,
        **more: Any,
    ) -> None:
        self.options = {"size": size, "stride": stride, "padding": padding, "ceil_mode": ceil_mode, **more}

    @classmethod
    def _plan(cls, shape: Shape, **options: Any) -> LayerPlan:
        axes = ("L", "H, W", "D, H, W")[cls.rank - 1]
        expect(len(shape) == cls.rank + 1, f"expected samples of shape (C, {axes}), got {shape}")
        size = options["size"]
        if isinstance(size, int) and not options["padding"]:
            expect(1 <= size <= min(shape[1:]), f"expected 1 <= size <= {min(shape[1:])}, got {size}")
        return LayerPlan(inferred(partial(cls.function, **options), shape))

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, **options: Any) -> Self:
        """For samples of `shape`; options as for `plan`."""
        return cls(**options)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (N, C, ...)."""
        return type(self).function(x, **self.options)


class _MaxPool(_Pool):
    @classmethod
    def plan(
        cls,
        shape: Shape,
        *,
        size: PerAxis = 2,
        stride: PerAxis | None = None,
        padding: PerAxis = 0,
        ceil_mode: bool = False,
    ) -> LayerPlan:
        """Each side divided by the stride, rounded down."""
        return cls._plan(shape, size=size, stride=stride, padding=padding, ceil_mode=ceil_mode)


class _AvgPool(_Pool):
    @classmethod
    def plan(
        cls,
        shape: Shape,
        *,
        size: PerAxis = 2,
        stride: PerAxis | None = None,
        padding: PerAxis = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> LayerPlan:
        """Each side divided by the stride, rounded down."""
        return cls._plan(
            shape, size=size, stride=stride, padding=padding, ceil_mode=ceil_mode, count_include_pad=count_include_pad
        )


@layer("max_pool1d")
class MaxPool1d(_MaxPool):
    """Largest element of each window, (N, C, L); options as for `MaxPool2d`."""

    rank = 1
    function = staticmethod(ops.max_pool1d)


@layer("max_pool2d")
class MaxPool2d(_MaxPool):
    """Largest element of each window, (N, C, H, W).

    Args:
        size: of the window, one number or two.
        stride: by how much it moves; its size by default.
        padding: around the image, never the largest element.
        ceil_mode: a window for rows and columns left over, too; they are left out otherwise.
    """

    rank = 2
    function = staticmethod(ops.max_pool2d)


@layer("max_pool3d")
class MaxPool3d(_MaxPool):
    """Largest element of each window, (N, C, D, H, W); options as for `MaxPool2d`."""

    rank = 3
    function = staticmethod(ops.max_pool3d)


@layer("avg_pool1d")
class AvgPool1d(_AvgPool):
    """Mean of each window, (N, C, L); options as for `AvgPool2d`."""

    rank = 1
    function = staticmethod(ops.avg_pool1d)


@layer("avg_pool2d")
class AvgPool2d(_AvgPool):
    """Mean of each window, (N, C, H, W); options as for `MaxPool2d`, and whether `padding` counts as elements."""

    rank = 2
    function = staticmethod(ops.avg_pool2d)


@layer("avg_pool3d")
class AvgPool3d(_AvgPool):
    """Mean of each window, (N, C, D, H, W); options as for `AvgPool2d`."""

    rank = 3
    function = staticmethod(ops.avg_pool3d)


@layer("global_avg_pool")
class GlobalAvgPool(Module):
    """Mean of each channel over the image: (N, C, H, W) -> (N, C)."""

    @classmethod
    def plan(cls, shape: Shape) -> LayerPlan:
        """Images to rows."""
        return LayerPlan((image(shape)[0],))

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator) -> Self:
        """For images of any size."""
        return cls()

    def forward(self, x: Tensor) -> Tensor:
        """Average."""
        return x.mean((2, 3))


@layer("global_max_pool")
class GlobalMaxPool(GlobalAvgPool):
    """Largest element of each channel of the image: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Compare."""
        return x.max((2, 3))


@layer("adaptive_avg_pool2d")
class AdaptiveAvgPool2d(Module):
    """Means over as many, nearly equal, windows as make an image of a given size, one number or two."""

    def __init__(self, size: PerAxis) -> None:
        self.size = size

    @classmethod
    def plan(cls, shape: Shape, *, size: PerAxis) -> LayerPlan:
        """Of the given size, whatever the image's."""
        image(shape)
        return LayerPlan(inferred(partial(ops.adaptive_avg_pool2d, size=size), shape))

    @classmethod
    def build(cls, shape: Shape, rng: np.random.Generator, *, size: PerAxis) -> Self:
        """For images of any size."""
        return cls(size)

    def forward(self, x: Tensor) -> Tensor:
        """Average."""
        return ops.adaptive_avg_pool2d(x, size=self.size)


@layer("upsample")
class Upsample(Module):
    """Resize (N, C, *spatial).

    Args:
        scale: how many times as long each axis becomes, > 0.
        mode: "nearest", "nearest-exact", "linear", "cubic" or "area"; see `ops.interpolate`.
        align_corners: for "linear" and "cubic".
    """

    def __init__(self, scale: float = 2.0, *, mode: str = "nearest", align_corners: bool = False) -> None:
        self.scale = scale
        self.mode = mode
        self.align_corners = align_corners

    @classmethod
    def plan(cls, shape: Shape, *, scale: float = 2.0, mode: str = "nearest", align_corners: bool = False) -> LayerPlan:
        """Every side times `scale`, rounded down."""
        expect(len(shape) >= 2, f"expected samples of shape (C, ...), got {shape}")
        made = cls(scale, mode=mode, align_corners=align_corners)
        return LayerPlan(inferred(made.forward, shape))

    @classmethod
    def build(
        cls,
        shape: Shape,
        rng: np.random.Generator,
        *,
        scale: float = 2.0,
        mode: str = "nearest",
        align_corners: bool = False,
    ) -> Self:
        """For images of any size."""
        return cls(scale, mode=mode, align_corners=align_corners)

    def forward(self, x: Tensor) -> Tensor:
        """Resample."""
        return ops.interpolate(x, scale_factor=self.scale, mode=self.mode, align_corners=self.align_corners)

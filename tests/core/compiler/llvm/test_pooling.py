"""Pooling kernels and formulas against our own ops in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nasturtium.core import Tensor, ops, vjp
from nasturtium.core.compiler.llvm import pooling
from nasturtium.core.compiler.llvm.elementwise import emit_image, tile_for
from nasturtium.core.compiler.llvm.formula import Formula
from nasturtium.core.compiler.llvm.kernel import Kernel

from .fused import Array, bound, run, strides, target

WINDOWS = [
    {"size": (2, 2), "stride": (2, 2), "padding": (0, 0)},
    {"size": (3, 3), "stride": (1, 1), "padding": (1, 1)},
    {"size": (3, 2), "stride": (2, 3), "padding": (1, 0)},
    {"size": (3, 3), "stride": (2, 2), "padding": (1, 1)},
    {"size": (1, 5), "stride": (1, 2), "padding": (0, 2)},
    {"size": (7, 6), "stride": (7, 6), "padding": (0, 0)},
]
DILATED = {"size": (2, 2), "stride": (1, 2), "padding": (0, 1), "dilation": (3, 2)}


def images(*shape: int, seed: int = 0) -> Array:
    """Few different numbers, so that maxima are shared."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def first_axis_last(x: Array) -> Tensor:
    return Tensor(x.astype(np.float64).transpose(0, 3, 1, 2))


def pooled(
    kernel: Kernel, window: dict[str, Any], shape: tuple[int, ...], outputs: tuple[int, ...], **arrays: Any
) -> None:
    geometry = {"items": shape[0], "channels": shape[3], "in_rows": shape[1], "in_pixels": shape[2]}
    geometry |= {"out_rows": outputs[0], "out_pixels": outputs[1]}
    names = {"size": ("size_rows", "size_pixels"), "stride": ("stride_rows", "stride_pixels")}
    names |= {"padding": ("top", "left"), "dilation": ("dilation_rows", "dilation_pixels")}
    for name, values in {"dilation": (1, 1), **window}.items():
        geometry |= dict(zip(names[name], values, strict=True))
    for name, array in arrays.items():
        geometry |= strides(name, array) if array.ndim == 4 else {}
    run(kernel, {**geometry, **arrays}, threads=3)


@pytest.mark.parametrize(
    "window", [*WINDOWS, {"size": (2, 2), "stride": (1, 2), "padding": (0, 1), "dilation": (3, 2)}]
)
@pytest.mark.parametrize("channels", [1, 33])
def test_max_pool(window: dict[str, Any], channels: int):
    shape, tile = (4, 7, 6, channels), tile_for(target(), channels)
    x = images(*shape)
    value, pull = vjp(lambda x: ops.max_pool2d(x, **window), first_axis_last(x))
    y = np.full((4, *value.shape[2:], channels), np.nan, np.float32)
    pooled(pooling.emit_max_pool(target(), tile), window, shape, value.shape[2:], x=x, y=y)
    np.testing.assert_array_equal(y, value.numpy().transpose(0, 2, 3, 1))
    g = images(*y.shape, seed=1)
    padded = np.full((4, 9, 8, channels), 7.0, np.float32)
    dx = padded[:, 1:8, 1:7]
    pooled(pooling.emit_max_pool_gradient(target(), tile), window, shape, value.shape[2:], x=x, y=y, g=g, dx=dx)
    np.testing.assert_array_equal(dx, pull(first_axis_last(g))[0].numpy().transpose(0, 2, 3, 1))
    dx[...] = 7.0
    assert (padded == 7.0).all()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("channels", [1, 33])
def test_average_pool(window: dict[str, Any], count_include_pad: bool, channels: int):
    shape, tile = (4, 7, 6, channels), tile_for(target(), channels)
    x = images(*shape)

    def pool(x: Tensor) -> Tensor:
        return ops.avg_pool2d(x, **window, count_include_pad=count_include_pad)

    value, pull = vjp(pool, first_axis_last(x))
    ones, sums = np.ones((1, 1, 7, 6)), ops.avg_pool2d(Tensor(np.ones((1, 1, 7, 6))), **window)
    share = pool(Tensor(ones)).numpy() / (sums.numpy() * np.prod(window["size"]))  # what a window's sum is divided by
    inverse = share[0, 0].astype(np.float32)
    y = np.full((4, *value.shape[2:], channels), np.nan, np.float32)
    pooled(pooling.emit_average_pool(target(), tile), window, shape, value.shape[2:], x=x, y=y, inverse=inverse)
    np.testing.assert_allclose(y, value.numpy().transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-6)
    g, dx = images(*y.shape, seed=1), np.full(shape, np.nan, np.float32)
    kernel = pooling.emit_average_pool_gradient(target(), tile)
    pooled(kernel, window, shape, value.shape[2:], g=g, dx=dx, inverse=inverse)
    np.testing.assert_allclose(dx, pull(first_axis_last(g))[0].numpy().transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(2, 2), (3, 2)])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("channels", [3, 16])
def test_windows_side_by_side_are_formulas(size: tuple[int, int], largest: bool, channels: int):
    x, g = images(2, size[0] * 3, size[1] * 4, channels), images(2, 3, 4, channels, seed=1)
    f = Formula()
    f.store("y", (pooling.largest_of if largest else pooling.mean_of)(f, "x", size))
    if largest:
        pooling.give_to_largest(f, "x", "dx", f.full("g"), size)
    else:
        pooling.give_to_all(f, "dx", f.full("g"), size)
    pattern, y, dx = f.pattern(), np.zeros_like(g), np.full_like(x, np.nan)
    windows = {"x": x[:, :: size[0], :: size[1]], "dx": dx[:, :: size[0], :: size[1]]}
    slots = bound(pattern, {**windows, "y": y, "g": g}, g.shape)
    for name in windows:
        slots |= {f"{name}.down": x.strides[1] // 4, f"{name}.right": channels}
    run(emit_image(target(), pattern, tile_for(target(), channels)), slots, threads=2)
    op = ops.max_pool2d if largest else ops.avg_pool2d
    value, pull = vjp(lambda x: op(x, size=size), first_axis_last(x))
    np.testing.assert_allclose(y, value.numpy().transpose(0, 2, 3, 1), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(dx, pull(first_axis_last(g))[0].numpy().transpose(0, 2, 3, 1), rtol=1e-6, atol=1e-6)

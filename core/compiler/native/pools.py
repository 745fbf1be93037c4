"""Pools of images as launches.

Windows whose elements lie in memory, the zeros around an image included, are formulas over shifted operands, with as
many taps as a window has elements, and run at the speed of memory. Any others go to kernels that know edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...device import Array
from ..graph import Node, Value
from ..llvm.elementwise import Tile, tile_for
from ..llvm.formula import Formula
from ..llvm.fusion import Where, fuse
from ..llvm.geometry import Border
from ..llvm.kernel import Kernel
from ..llvm.launch import Images, Launch
from ..llvm.pooling import (
    emit_average_pool,
    emit_average_pool_gradient,
    emit_max_pool,
    emit_max_pool_gradient,
    give_to_all,
    give_to_largest,
    largest_of,
    mean_of,
)
from ..llvm.target import Target
from .place import Buffer

if TYPE_CHECKING:
    from .images import ImageLowering

MOST_TAPS: Final = 25  # of a window that is written out
Size = tuple[int, int]


class PoolLowering:
    """Lowers pools and their gradients.

    Args:
        images: gives and makes images.
    """

    def __init__(self, images: ImageLowering) -> None:
        self._images = images
        self._pooled: dict[tuple[Any, ...], Value] = {}

    def lower(self, node: Node) -> None:
        """The launches of one node."""
        match node.op.name:
            case "max_pool":
                self._max_pool(node)
            case "pool_scatter":
                self._max_pool_back(node)
            case "avg_pool":
                self._average(node)
            case _:
                self._spread(node)

    def _max_pool(self, node: Node) -> None:
        (value,) = node.values
        x, x_images = self._images.images(value, border=False)
        y, y_images = self._images.made(node.outputs[0])
        self._largest(node, (x, x_images), (y, y_images))
        self._images.outer.clear_border(y, y_images)
        self._pooled[(value, *node.params.values())] = node.outputs[0]

    def _largest(self, node: Node, x: tuple[Buffer, Images], y: tuple[Buffer, Images]) -> None:
        window = windows_of(node)
        if _written_out(window) and not any(window["padding"]) and _inside(window, x[1], y[1]):
            f = Formula()
            f.store("y", largest_of(f, "x", window["size"]))
            self._fuse(node, f, window, {"x": x}, {"y": y})
            return
        launch = _pool(self._images.outer.target, emit_max_pool, node, x[1], y[1], {"x": x[1], "y": y[1]})
        self._images.outer.add(launch, {"x": x[0], "y": y[0]}, ["y"], "max_pool")

    def _max_pool_back(self, node: Node) -> None:
        outer = self._images.outer
        gradient, value = node.values
        g, g_images = self._images.images(gradient, border=False)
        x, x_images = self._images.images(value, border=False)
        window = windows_of(node)
        if _side_by_side(window, x_images, g_images):
            dx, dx_images = self._images.made(node.outputs[0])
            f = Formula()
            give_to_largest(f, "x", "dx", f.full("g"), window["size"])
            self._fuse(node, f, window, {"x": (x, x_images), "dx": (dx, dx_images)}, {"g": (g, g_images)})
            outer.clear_border(dx, dx_images)
            return
        pooled = self._pooled.get((value, *node.params.values()))
        if pooled is not None:
            y, y_images = self._images.images(pooled, border=False)
        else:
            size = g_images.count, g_images.height, g_images.width, g_images.channels
            y, y_images = outer.new_images(*size, (0, 0, 0, 0))
            self._largest(node, (x, x_images), (y, y_images))
        dx, dx_images = self._images.made(node.outputs[0])
        operands = {"x": x_images, "y": y_images, "g": g_images, "dx": dx_images}
        launch = _pool(outer.target, emit_max_pool_gradient, node, x_images, y_images, operands)
        outer.add(launch, {"x": x, "y": y, "g": g, "dx": dx}, ["dx"], "max_pool gradient")
        outer.clear_border(dx, dx_images)

    def _average(self, node: Node) -> None:
        outer = self._images.outer
        (value,) = node.values
        if averages_are_even(node):
            window = windows_of(node)
            x = self._images.images(value)
            y = self._images.made(node.outputs[0])
            f = Formula()
            f.store("y", mean_of(f, "x", window["size"]))
            self._fuse(node, f, window, {"x": x}, {"y": y})
            outer.clear_border(*y)
            return
        x, x_images = self._images.images(value, border=False)
        y, y_images = self._images.made(node.outputs[0])
        self._with_edges(node, emit_average_pool, x_images, y_images, {"x": (x, x_images), "y": (y, y_images)}, "y")

    def _spread(self, node: Node) -> None:
        outer = self._images.outer
        (value,) = node.values
        window = windows_of(node)
        g = self._images.images(value, border=window["stride"] == (1, 1))
        dx = self._images.made(node.outputs[0])
        f = Formula()
        if averages_are_even(node) and _side_by_side(window, dx[1], g[1]):
            give_to_all(f, "dx", f.full("g"), window["size"])
            self._fuse(node, f, window, {"dx": dx}, {"g": g})
        elif averages_are_even(node) and window["stride"] == (1, 1):  # the sum of the windows that an element is in
            f.store("dx", mean_of(f, "g", window["size"]))
            (top, left), (rows, columns) = window["padding"], window["size"]
            window = {**window, "padding": (rows - 1 - top, columns - 1 - left)}
            self._fuse(node, f, window, {"g": g}, {"dx": dx})
        else:
            self._with_edges(node, emit_average_pool_gradient, dx[1], g[1], {"g": g, "dx": dx}, "dx")
            return
        outer.clear_border(*dx)

    def _with_edges(
        self,
        node: Node,
        emit: Callable[[Target, Tile], Kernel],
        whole: Images,
        parts: Images,
        operands: dict[str, tuple[Buffer, Images]],
        written: str,
    ) -> None:
        outer = self._images.outer
        inverse = outer.table(1.0 / counts_of(node, (whole.height, whole.width), (parts.height, parts.width)))
        launch = _pool(outer.target, emit, node, whole, parts, {name: image for name, (_, image) in operands.items()})
        memory = {name: buffer for name, (buffer, _) in operands.items()}
        outer.add(launch, {**memory, "inverse": inverse}, [written], node.op.name)
        outer.clear_border(*operands[written])

    def _fuse(
        self,
        node: Node,
        f: Formula,
        window: dict[str, Size],
        windows: dict[str, tuple[Buffer, Images]],
        elements: dict[str, tuple[Buffer, Images]],
    ) -> None:
        """A launch of a formula over windows.

        Args:
            node: what it is for.
            f: it.
            window: size, stride and padding.
            windows: operands that step from window to window.
            elements: operands with an element for each.
        """
        outer = self._images.outer
        where: dict[str, Where] = {name: images for name, (_, images) in elements.items()}
        for name, (_, images) in windows.items():
            down, right = window["stride"]
            top, left = window["padding"]
            where[name] = replace(
                images,
                row=images.row * down,
                pixel=images.pixel * right,
                origin=images.origin - top * images.row - left * images.pixel,
            )
            where |= {f"{name}.down": images.row, f"{name}.right": images.pixel}
        _, first = next(iter(elements.values()))
        fused = fuse(outer.target, f.pattern(), (first.count, first.height, first.width, first.channels), where)
        memory = {name: buffer for name, (buffer, _) in {**windows, **elements}.items()}
        written = [name for name in ("y", "dx") if name in memory]
        outer.add(fused.launch, memory, written, node.op.name)


def windows_of(node: Node) -> dict[str, Size]:
    """Size, stride, padding before and dilation of windows, in rows and pixels; of a line there is one row."""
    params = node.params
    line = len(params["size"]) == 1
    lows = tuple(low for low, _ in params["padding"])
    found = {"size": params["size"], "stride": params["stride"], "padding": lows}
    found["dilation"] = params.get("dilation", (1,) * len(lows))
    fill = {"size": 1, "stride": 1, "padding": 0, "dilation": 1}
    return {name: (fill[name], *pair) if line else tuple(pair) for name, pair in found.items()}


def averages_are_even(node: Node) -> bool:
    """Whether every window is divided by its size, and may be written out."""
    return bool(node.params["count_include_pad"]) and not node.params["ceil_mode"] and _written_out(windows_of(node))


def pool_border(node: Node) -> Border:
    """The zeros that a pool's formula reads around its input."""
    whole, parts = next(node.values).shape, node.outputs[0].shape
    if node.op.name not in ("avg_pool", "pool_spread") or not averages_are_even(node):
        return (0, 0, 0, 0)
    window = windows_of(node)
    if node.op.name == "pool_spread" and window["stride"] != (1, 1):
        return (0, 0, 0, 0)
    sides: list[int] = []
    for axis in (0, 1):
        size, stride, low = (window[name][axis] for name in ("size", "stride", "padding"))
        low = size - 1 - low if node.op.name == "pool_spread" else low
        length, outputs = (1, 1) if len(whole) == 3 and axis == 0 else (whole[axis - 2], parts[axis - 2])
        sides += [max(low, 0), max(0, (outputs - 1) * stride + size - low - length)]
    return (sides[0], sides[1], sides[2], sides[3])


def counts_of(node: Node, whole: Size, parts: Size) -> Array:
    """How many elements each window is the mean of, shape (rows, pixels)."""
    params, window = node.params, windows_of(node)
    ends = [high for _, high in params["padding"]]
    ends = [0, *ends] if len(ends) == 1 else ends
    axes: list[Array] = []
    for axis in (0, 1):
        size, stride, low = (window[name][axis] for name in ("size", "stride", "padding"))
        starts = np.arange(parts[axis]) * stride - low
        first, last = (-low, whole[axis] + ends[axis]) if params["count_include_pad"] else (0, whole[axis])
        axes.append(np.minimum(starts + size, last) - np.maximum(starts, first))
    return reduce(np.multiply.outer, axes).astype(np.float64)


def _written_out(window: dict[str, Size]) -> bool:
    return prod(window["size"]) <= MOST_TAPS and window["dilation"] == (1, 1)


def _inside(window: dict[str, Size], whole: Images, parts: Images) -> bool:
    """Whether no window reaches beyond the image, as the last one may."""
    ends = [
        (count - 1) * stride + size
        for count, stride, size in zip((parts.height, parts.width), window["stride"], window["size"], strict=True)
    ]
    return ends[0] <= whole.height and ends[1] <= whole.width


def _side_by_side(window: dict[str, Size], whole: Images, parts: Images) -> bool:
    """Whether the windows cover an image without overlap."""
    rows, columns = window["size"]
    covered = (parts.height * rows, parts.width * columns) == (whole.height, whole.width)
    return _written_out(window) and window["stride"] == window["size"] and not any(window["padding"]) and covered


def _pool(
    target: Target,
    emit: Callable[[Target, Tile], Kernel],
    node: Node,
    whole: Images,
    parts: Images,
    operands: dict[str, Images],
) -> Launch:
    window = windows_of(node)
    numbers: dict[str, int | float] = {"items": whole.count, "channels": whole.channels}
    numbers |= {"in_rows": whole.height, "in_pixels": whole.width, "out_rows": parts.height, "out_pixels": parts.width}
    numbers |= {"top": window["padding"][0], "left": window["padding"][1]}
    for name in ("size", "stride", "dilation"):
        numbers |= dict(zip((f"{name}_rows", f"{name}_pixels"), window[name], strict=True))
    for name, image in operands.items():
        numbers |= {f"{name}.item": image.image, f"{name}.row": image.row, f"{name}.pixel": image.pixel}
    kernel = emit(target, tile_for(target, whole.channels))
    offsets = {name: image.origin for name, image in operands.items()}
    if "inverse" in kernel.index:
        offsets["inverse"] = 0
    return Launch(kernel=kernel, numbers={n: v for n, v in numbers.items() if n in kernel.index}, offsets=offsets)

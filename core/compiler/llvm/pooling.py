"""Pooling over windows of images: largest or mean element, and the gradients.

Windows that do not overlap and lie inside the image are a matter of formulas (`largest_of`, `give_to_largest`), which
fuse with what stands around them. The kernels here take any size, stride, padding and dilation, and read no borders:
padding only shortens windows. A mean is a sum times a number per window, which the caller gives, so any rule of what
counts is right. The mean of a whole image is `Formula.item_sum`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from .elementwise import Tile
from .formula import Formula, Term
from .ir import Value, Writer, number, vector
from .kernel import Kernel, Slot
from .mathematics import maximum
from .memory import over_channels
from .target import Target

Size = tuple[int, int]
GEOMETRY = (
    *("items", "channels", "in_rows", "in_pixels", "out_rows", "out_pixels"),
    *("size_rows", "size_pixels", "stride_rows", "stride_pixels", "top", "left", "dilation_rows", "dilation_pixels"),
)


def largest_of(f: Formula, name: str, size: Size) -> Term:
    """The largest element of each window of operand `name`, which steps from window to window."""
    parts = [f.window(name, down, right) for down in range(size[0]) for right in range(size[1])]
    largest = parts[0]
    for part in parts[1:]:
        largest = largest.maximum(part)
    return largest


def mean_of(f: Formula, name: str, size: Size) -> Term:
    """The mean of each window of operand `name`."""
    total = f.window(name, 0, 0)
    for down in range(size[0]):
        for right in range(size[1]):
            total = total + f.window(name, down, right) if (down, right) != (0, 0) else total
    return total * (1.0 / (size[0] * size[1]))


def give_to_largest(f: Formula, source: str, target: str, g: Term, size: Size) -> None:
    """Write the gradient of `largest_of`: g at the first of equal maxima of each window, zero elsewhere."""
    largest, left = largest_of(f, source, size), g
    for down in range(size[0]):
        for right in range(size[1]):
            hit = f.window(source, down, right).equals(largest)
            f.store_window(target, down, right, hit.select(left, 0.0))
            left = hit.select(0.0, left)


def give_to_all(f: Formula, target: str, g: Term, size: Size) -> None:
    """Write the gradient of `mean_of`: each element's share of g."""
    part = g * (1.0 / (size[0] * size[1]))
    for down in range(size[0]):
        for right in range(size[1]):
            f.store_window(target, down, right, part)


@lru_cache(256)
def emit_max_pool(target: Target, tile: Tile) -> Kernel:
    """Y is the largest element of each window of x; NaN if one is.

    Returns:
        Slots: `GEOMETRY`; `x` and `y`, each with `name.item`, `name.row` and `name.pixel`.
    """
    p = _Pool("max_pool", target, tile, ("x", "y"))

    def window(channel: Value, mask: Value | None) -> None:
        (largest,) = p.over_window(
            channel, mask, [number(float("-inf"), p.floats)], lambda taken, x, _: [maximum(p.k, taken[0], x)]
        )
        p.write(largest, p.here("y"), channel, mask)

    p.over_outputs(window)
    return p.k.kernel()


@lru_cache(256)
def emit_average_pool(target: Target, tile: Tile) -> Kernel:
    """Y is the sum of each window of x times the window's element of `inverse`, `[out_rows][out_pixels]`.

    Returns:
        Slots: `GEOMETRY`; `x` and `y` with strides; `inverse`.
    """
    p = _Pool("average_pool", target, tile, ("x", "y"), ("inverse",))

    def window(channel: Value, mask: Value | None) -> None:
        zero = number(0.0, p.floats)
        (total,) = p.over_window(channel, mask, [zero], lambda taken, x, _: [p.k.fadd(taken[0], x)])
        p.write(p.k.fmul(total, p.inverse(p.row, p.pixel)), p.here("y"), channel, mask)

    p.over_outputs(window)
    return p.k.kernel()


@lru_cache(256)
def emit_max_pool_gradient(target: Target, tile: Tile) -> Kernel:
    """Dx is, of each window, g added at the first of equal maxima; a thread takes whole items.

    Returns:
        Slots: `GEOMETRY`; `x`, `y` (the maxima), `g` and `dx`, each with strides.
    """
    p = _Pool("max_pool_gradient", target, tile, ("x", "y", "g", "dx"))
    k = p.k

    def window(channel: Value, mask: Value | None) -> None:
        largest, g = (p.read(p.here(name), channel, mask) for name in ("y", "g"))

        def visit(taken: tuple[Value, ...], x: Value, place: Value) -> list[Value]:
            hit = k.compare("oeq", x, largest)
            pointer = k.at(k["dx"], place)
            p.write(k.fadd(p.read(pointer, channel, mask), k.select(hit, taken[0], 0.0)), pointer, channel, mask)
            return [k.select(hit, number(0.0, p.floats), taken[0])]

        p.over_window(channel, mask, [g], visit, second="dx")

    with k.loop(*k.share(k["items"])) as items:
        p.item = items.index
        p.clear("dx")
        with k.loop(0, k["out_rows"]) as rows:
            p.outputs_of_row(rows.index, window)
    return k.kernel()


@lru_cache(256)
def emit_average_pool_gradient(target: Target, tile: Tile) -> Kernel:
    """Dx is the sum of g times `inverse` over the windows that an element is in; dilation is 1.

    Returns:
        Slots: `GEOMETRY`; `g` and `dx` with strides; `inverse`.
    """
    p = _Pool("average_pool_gradient", target, tile, ("g", "dx"), ("inverse",))
    k = p.k
    with k.loop(*k.share(k.mul(k["items"], k["in_rows"]))) as lines:
        item, row = k.div(lines.index, k["in_rows"]), k.rem(lines.index, k["in_rows"])
        first_row, last_row = p.windows_over(row, "rows", "top")
        source = k.at(k["g"], k.mul(item, k["g.item"]))
        with k.loop(0, k["in_pixels"]) as pixels:
            first, last = p.windows_over(pixels.index, "pixels", "left")
            to = k.at(k["dx"], k.mul(item, k["dx.item"]), k.mul(row, k["dx.row"]), k.mul(pixels.index, k["dx.pixel"]))

            def element(
                channel: Value, mask: Value | None, to: Value = to, first: Value = first, last: Value = last
            ) -> None:
                with k.loop(first_row, last_row, carried=[number(0.0, p.floats)]) as rows:
                    along = k.at(source, k.mul(rows.index, k["g.row"]))
                    with k.loop(first, last, carried=rows.values) as windows:
                        g = p.read(k.at(along, k.mul(windows.index, k["g.pixel"])), channel, mask)
                        windows.carry(k.fma(g, p.inverse(rows.index, windows.index), windows.values[0]))
                    rows.carry(*windows.results)
                p.write(rows.results[0], to, channel, mask)

            p.over_channels(element)
    return k.kernel()


Element = Callable[[Value, "Value | None"], None]


class _Pool:
    """What the kernels share: where windows lie, and the loops over them."""

    def __init__(
        self, name: str, target: Target, tile: Tile, images: tuple[str, ...], pointers: tuple[str, ...] = ()
    ) -> None:
        slots = [Slot(each, "i64") for each in GEOMETRY]
        for image in images:
            slots += [Slot(image, "ptr"), *(Slot(f"{image}.{each}", "i64") for each in ("item", "row", "pixel"))]
        slots += [Slot(each, "ptr") for each in pointers]
        full = f"{name}_w{target.width}x{tile.vectors}{'t' if tile.tail else ''}"
        self.k = Writer(full, target, tuple(slots))
        self.width, self.floats, self.tile = target.width, vector(target.width), tile
        self.item = self.row = self.pixel = number(0, "i64")

    def read(self, pointer: Value, channel: Value, mask: Value | None) -> Value:
        """Channels of a pixel."""
        place = self.k.at(pointer, channel)
        return self.k.load(place, self.floats) if mask is None else self.k.masked_load(place, self.floats, mask)

    def write(self, value: Value, pointer: Value, channel: Value, mask: Value | None) -> None:
        """Channels of a pixel."""
        place = self.k.at(pointer, channel)
        if mask is None:
            self.k.store(value, place)
        else:
            self.k.masked_store(value, place, mask)

    def here(self, image: str) -> Value:
        """The pixel of the output that is being computed."""
        k = self.k
        places = ((self.item, "item"), (self.row, "row"), (self.pixel, "pixel"))
        return k.at(k[image], *(k.mul(at, k[f"{image}.{axis}"]) for at, axis in places))

    def inverse(self, row: Value, pixel: Value) -> Value:
        """What the sum of a window is multiplied by."""
        k = self.k
        return k.splat(k.load(k.at(k["inverse"], k.add(k.mul(row, k["out_pixels"]), pixel))), self.width)

    def over_channels(self, element: Element) -> None:
        """Visit the channels of a pixel, a vector at a time."""
        over_channels(self.k, self.tile.vectors, self.tile.tail, element)

    def over_outputs(self, element: Element) -> None:
        """Visit every window; threads share the lines of the output."""
        k = self.k
        with k.loop(*k.share(k.mul(k["items"], k["out_rows"]))) as lines:
            self.item = k.div(lines.index, k["out_rows"])
            self.outputs_of_row(k.rem(lines.index, k["out_rows"]), element)

    def outputs_of_row(self, row: Value, element: Element) -> None:
        """Visit the windows of a line."""
        with self.k.loop(0, self.k["out_pixels"]) as pixels:
            self.row, self.pixel = row, pixels.index
            self.bounds = (self._taps(row, "rows", "top"), self._taps(pixels.index, "pixels", "left"))
            self.over_channels(element)

    def over_window(
        self,
        channel: Value,
        mask: Value | None,
        start: list[Value],
        visit: Callable[[tuple[Value, ...], Value, Value], list[Value]],
        *,
        second: str = "x",
    ) -> tuple[Value, ...]:
        """Visit the elements of the window inside the image, in order.

        Args:
            channel, mask: which channels.
            start: what the first visit is handed.
            visit: takes what the last one left, an element of x, and the offset of the same pixel in image `second`;
                what it returns is handed on.
            second: an image of the shape of x.
        """
        k = self.k
        (origin_row, first_row, last_row), (origin, first, last) = self.bounds
        with k.loop(first_row, last_row, carried=start) as rows:
            row = k.add(origin_row, k.mul(rows.index, k["dilation_rows"]))
            offsets = {
                image: k.add(k.mul(self.item, k[f"{image}.item"]), k.mul(row, k[f"{image}.row"]))
                for image in dict.fromkeys(("x", second))
            }
            with k.loop(first, last, carried=rows.values) as taps:
                pixel = k.add(origin, k.mul(taps.index, k["dilation_pixels"]))
                at = {image: k.add(offset, k.mul(pixel, k[f"{image}.pixel"])) for image, offset in offsets.items()}
                taps.carry(*visit(taps.values, self.read(k.at(k["x"], at["x"]), channel, mask), at[second]))
            rows.carry(*taps.results)
        return rows.results

    def windows_over(self, place: Value, axis: str, before: str) -> tuple[Value, Value]:
        """The first window that an element is in, and the one after the last."""
        k, stride = self.k, self.k[f"stride_{axis}"]
        end = k.add(place, k[before])
        lowest = k.most(k.sub(k.add(end, stride), k[f"size_{axis}"]), 0)  # of a window that starts behind end - size
        return k.div(lowest, stride), k.least(k.add(k.div(end, stride), 1), k[f"out_{axis}"])

    def _taps(self, window: Value, axis: str, before: str) -> tuple[Value, Value, Value]:
        """Where a window starts, perhaps outside, and its first element inside and the one after the last."""
        k, step = self.k, self.k[f"dilation_{axis}"]
        start = k.sub(k.mul(window, k[f"stride_{axis}"]), k[before])
        first = k.div(k.add(k.most(k.sub(0, start), 0), k.sub(step, 1)), step)
        inside = k.div(k.add(k.most(k.sub(k[f"in_{axis}"], start), 0), k.sub(step, 1)), step)
        return start, first, k.least(inside, k[f"size_{axis}"])

    def clear(self, image: str) -> None:
        """Write zeros to an item of an image of the input's shape."""
        k = self.k
        with k.loop(0, k["in_rows"]) as rows, k.loop(0, k["in_pixels"]) as pixels:
            offsets = ((self.item, "item"), (rows.index, "row"), (pixels.index, "pixel"))
            place = k.at(k[image], *(k.mul(at, k[f"{image}.{axis}"]) for at, axis in offsets))
            self.over_channels(lambda channel, mask: self.write(number(0.0, self.floats), place, channel, mask))

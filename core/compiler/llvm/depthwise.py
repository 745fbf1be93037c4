"""Depthwise convolutions: every channel by itself, so vectors hold neighbouring channels and nothing is broadcast.

Taps are unrolled: a kernel is made for so many rows and columns of taps, and each weight is loaded once for all pixels
of a tile. Where taps of neighbouring pixels fall on the same pixels, each is loaded once for all
pixels of a tile. Weights lie as [tap rows][tap columns][channels]; the gradient of the input reads them backwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from .geometry import Convolution, interleaved, residues
from .ir import Value, Writer, number, vector
from .kernel import Kernel
from .launch import Images, Launch
from .sharding import SHARD_NUMBERS, WeightGradient, each_item, planned, shard_numbers, shards_for
from .target import Target
from .tile_launch import GROUP_BYTES, IMAGE_BYTES
from .tiling import (
    PLAIN,
    TILE_COUNTS,
    Epilogue,
    Moments,
    Place,
    Tiling,
    moments_row,
    output_slots,
    slots_of,
    strides_of,
)

MOST_PIXELS = 8
X_STRIDES = ("x_image", "x_row", "x_pixel", "x_tap_row", "x_tap_column", "x_ahead")
W_STRIDES = ("w_tap_row", "w_tap_column")

CHAINS = 8  # sums that must grow side by side, for a product takes four cycles and two begin in each
GRADIENT_COUNTS = ("height", "width", "channels", "tap_rows")
GRADIENT_STRIDES = ("x_image", "x_row", "x_pixel", "x_tap_row", "x_tap_column", "y_image", "y_row", "y_pixel")


@cache
def emit_depthwise(
    target: Target, *, rows: int, columns: int, pixels: int, shared: bool, epilogue: Epilogue = PLAIN
) -> Kernel:
    """The kernel of so many taps.

    Args:
        target: the CPU.
        rows: of taps; with no taps, the sums are zeros.
        columns: of taps.
        pixels: of a tile, at most the width of the output's rows.
        shared: `x_pixel` equals `x_tap_column`.
        epilogue: what is done to the sums.

    The slots are those of `emit_tile`, without weights per image or block, counts of taps and depth. Up to `width of a
    vector` floats behind the last channel of `x`, `w` and `bias` are read and not used.
    """
    name = f"depthwise_{rows}x{columns}_{pixels}{'_shared' if shared else ''}_{epilogue.name}_v{target.width}"
    pointers, numbers = output_slots(epilogue)
    slots = slots_of(["x", "w", *pointers], [*TILE_COUNTS, *X_STRIDES, *W_STRIDES, *numbers])
    return _Depthwise(Writer(name, target, slots), pixels, 1, epilogue, rows, columns, shared).write()


@dataclass(slots=True)
class _Depthwise(Tiling):
    """Sums over unrolled taps."""

    rows: int
    columns: int
    shared: bool

    def channels(self) -> Value:
        return self.k["channels"]

    def begin(self, channel: Value) -> None:
        """Weights are read as they are used: once for all pixels of a tile."""

    def tile(self, place: Place, moments: Moments | None) -> None:
        self.keep(self.sums(place), place, moments)

    def sums(self, place: Place) -> list[Value]:
        """The vectors of a tile, pixel by pixel."""
        k, wide = self.k, vector(self.lanes)
        x, w = k.at(place.of(k, "x"), place.channel), k.at(k["w"], place.channel)
        for pixel in range(self.pixels):
            k.prefetch(k.at(x, k["x_ahead"], k.mul(k["x_pixel"], pixel)))
        sums = [Value("zeroinitializer", wide)] * self.pixels
        for row in range(self.rows):
            steps = ((k.mul(k["w_tap_row"], row), k.mul(k["w_tap_column"], column)) for column in range(self.columns))
            weights = [k.load(k.at(w, *step), wide) for step in steps]
            start = k.at(x, k.mul(k["x_tap_row"], row))
            if self.shared:
                for at in range(self.pixels + self.columns - 1):
                    value = k.load(k.at(start, k.mul(k["x_pixel"], at)), wide)
                    for pixel in range(max(0, at - self.columns + 1), min(at + 1, self.pixels)):
                        sums[pixel] = k.fma(value, weights[at - pixel], sums[pixel])
            else:
                for pixel in range(self.pixels):
                    here = k.at(start, k.mul(k["x_pixel"], pixel))
                    for column, weight in enumerate(weights):
                        value = k.load(k.at(here, k.mul(k["x_tap_column"], column)), wide)
                        sums[pixel] = k.fma(value, weight, sums[pixel])
        return sums


@cache
def emit_depthwise_weight_gradient(target: Target, *, rows: int, columns: int, pixels: int, shared: bool) -> Kernel:
    """The kernel of the gradient of the weights.

    Args:
        target: the CPU.
        rows: of taps that are summed at once; divides `tap_rows`.
        columns: of taps.
        pixels: that are gone through at once; what is left of a row goes one by one.
        shared: `x_pixel` equals `x_tap_column`.

    The slots are those of `emit_weight_gradient`; the result is [tap rows][tap columns][channels] without gaps.
    """
    name = f"depthwise_weight_gradient_{rows}x{columns}_{pixels}{'_shared' if shared else ''}_v{target.width}"
    slots = slots_of(["x", "y", "result"], [*SHARD_NUMBERS, *GRADIENT_COUNTS, *GRADIENT_STRIDES])
    return _Gradient(Writer(name, target, slots), rows, columns, pixels, shared).write()


@dataclass(slots=True)
class _Gradient:
    """The parts of the kernel. Threads share vectors of channels and rows of taps; images come in order."""

    k: Writer
    rows: int
    columns: int
    pixels: int
    shared: bool

    @property
    def lanes(self) -> int:
        return self.k.target.width

    @property
    def taps(self) -> int:
        return self.rows * self.columns

    @property
    def sets(self) -> int:
        """Few taps are summed in so many sums each, over every so manieth pixel."""
        sets = 1
        while sets < self.pixels and sets * self.taps < CHAINS:
            sets *= 2
        return sets

    def write(self) -> Kernel:
        k = self.k
        parts = k.div(k["tap_rows"], self.rows)
        vectors = k.div(k.add(k["channels"], self.lanes - 1), self.lanes)

        def write_item(item: Value, first: Value, end: Value, fresh: Value, result: Value) -> None:
            channel, row = k.mul(k.div(item, parts), self.lanes), k.mul(k.rem(item, parts), self.rows)
            sums = self.sums(channel, row, first, end)
            mask = k.lanes_below(k.sub(k["channels"], channel), self.lanes)
            result = k.at(result, k.mul(row, k["channels"], self.columns), channel)
            for tap, value in enumerate(sums):
                place = k.at(result, k.mul(k["channels"], tap))
                before = k.masked_load(place, value.type, mask)
                k.masked_store(k.fadd(k.select(fresh, 0.0, before), value), place, mask)

        each_item(k, k.mul(vectors, parts), write_item)
        return k.kernel()

    def sums(self, channel: Value, row: Value, first: Value, end: Value) -> list[Value]:
        """Of each tap, the sum over the images from `first` to before `end`."""
        k = self.k
        x = k.at(k["x"], k.mul(row, k["x_tap_row"]), channel, k.mul(first, k["x_image"]))
        y = k.at(k["y"], channel, k.mul(first, k["y_image"]))
        count = k.mul(k.sub(end, first), k["height"])
        back = k.sub(k["height"], 1)
        x_next = k.sub(k["x_image"], k.mul(back, k["x_row"]))
        y_next = k.sub(k["y_image"], k.mul(back, k["y_row"]))
        zeros = [Value("zeroinitializer", vector(self.lanes))] * (self.taps * self.sets)
        whole = k.sub(k["width"], k.rem(k["width"], self.pixels))
        with k.loop(0, count, carried=[x, y, number(0, "i64"), *zeros], runs=True) as rows:
            x, y, at_row, *sums = rows.values
            with k.loop(0, whole, step=self.pixels, carried=sums) as pixels:
                pixels.carry(*self.step(x, y, pixels.index, self.pixels, list(pixels.values)))
            with k.loop(whole, k["width"], carried=pixels.results) as rest:
                rest.carry(*self.step(x, y, rest.index, 1, list(rest.values)))
            at_row = k.add(at_row, 1)
            ends = k.compare("eq", at_row, k["height"])
            x = k.at(x, k.select(ends, x_next, k["x_row"]))
            y = k.at(y, k.select(ends, y_next, k["y_row"]))
            rows.carry(x, y, k.select(ends, 0, at_row), *rest.results)
        sums = rows.results[3:]
        totals = list(sums[: self.taps])
        for more in range(1, self.sets):
            totals = [k.fadd(a, b) for a, b in zip(totals, sums[more * self.taps :], strict=False)]
        return totals

    def step(self, x: Value, y: Value, pixel: Value, pixels: int, sums: list[Value]) -> list[Value]:
        """The sums after some more pixels of a row."""
        k, wide = self.k, vector(self.lanes)
        x, y = k.at(x, k.mul(pixel, k["x_pixel"])), k.at(y, k.mul(pixel, k["y_pixel"]))
        gradients = [k.load(k.at(y, k.mul(k["y_pixel"], p)), wide) for p in range(pixels)]
        for row in range(self.rows):
            start = k.at(x, k.mul(k["x_tap_row"], row))
            seen: dict[tuple[int, int], Value] = {}
            for p in range(pixels):
                for column in range(self.columns):
                    key = (p + column, 0) if self.shared else (p, column)
                    if key not in seen:
                        place = k.at(start, k.mul(k["x_pixel"], key[0]), k.mul(k["x_tap_column"], key[1]))
                        seen[key] = k.load(place, wide)
                    at = p % self.sets * self.taps + row * self.columns + column
                    sums[at] = k.fma(seen[key], gradients[p], sums[at])
        return sums


def depthwise_forward(
    target: Target,
    conv: Convolution,
    x: Images,
    y: Images,
    *,
    epilogue: Epilogue = PLAIN,
    others: Mapping[str, Images] | None = None,
) -> list[Launch]:
    """The launches of a depthwise convolution; see `convolution.forward`."""
    start = x.origin - conv.padding[0] * x.row - conv.padding[1] * x.pixel
    return [
        _launch(
            target,
            taps=conv.kernel,
            x_strides=(x.image, x.row * conv.stride[0], x.pixel * conv.stride[1]),
            tap_strides=(conv.dilation[0] * x.row, conv.dilation[1] * x.pixel),
            w_strides=(conv.kernel[1] * conv.inputs, conv.inputs),
            starts=(start, 0),
            y=y,
            epilogue=epilogue,
            others=others or {},
        )
    ]


def depthwise_input_gradient(
    target: Target,
    conv: Convolution,
    dy: Images,
    dx: Images,
    *,
    epilogue: Epilogue = PLAIN,
    others: Mapping[str, Images] | None = None,
) -> list[Launch]:
    """The launches of the gradient of the input; see `convolution.input_gradient`. `w` are the weights as they are."""
    launches: list[Launch] = []
    for down in residues(conv, 0, dx.height):
        for right in residues(conv, 1, dx.width):
            # `residues` counts taps of the turned kernel.
            row, column = conv.kernel[0] - 1 - down.tap, conv.kernel[1] - 1 - right.tap
            part = {
                name: interleaved(image, conv, down, right, 0) for name, image in {"y": dx, **(others or {})}.items()
            }
            launches.append(
                _launch(
                    target,
                    taps=(down.taps, right.taps) if down.taps and right.taps else (0, 0),
                    x_strides=(dy.image, dy.row, dy.pixel),
                    tap_strides=(down.step * dy.row, right.step * dy.pixel),
                    w_strides=(-down.tap_step * conv.kernel[1] * conv.inputs, -right.tap_step * conv.inputs),
                    starts=(
                        dy.origin + down.start * dy.row + right.start * dy.pixel,
                        (row * conv.kernel[1] + column) * conv.inputs,
                    ),
                    y=part.pop("y"),
                    epilogue=epilogue,
                    others=part,
                )
            )
    return launches


def _launch(
    target: Target,
    *,
    taps: tuple[int, int],
    x_strides: tuple[int, int, int],
    tap_strides: tuple[int, int],
    w_strides: tuple[int, int],
    starts: tuple[int, int],
    y: Images,
    epilogue: Epilogue,
    others: Mapping[str, Images],
) -> Launch:
    rows, columns = taps
    shared = columns > 1 and tap_strides[1] == x_strides[2]
    pixels = _pixels(target, y.width, columns)
    tiles = -(-y.width // pixels)
    at_once = y.height if epilogue.moments else min(y.height, max(1, IMAGE_BYTES // (4 * abs(x_strides[1]) or 1)))
    numbers: dict[str, int | float] = {
        "images": y.count,
        "height": y.height,
        "width": y.width,
        "tiles": tiles,
        "chunk": tiles * at_once,
        "channels": y.channels,
        "x_tap_row": tap_strides[0],
        "x_tap_column": tap_strides[1],
        "x_ahead": max(1, rows) * tap_strides[0],
        "w_tap_row": w_strides[0],
        "w_tap_column": w_strides[1],
    }
    numbers |= dict(zip(strides_of("x"), x_strides, strict=True))
    offsets = {"x": starts[0], "w": starts[1]}
    outputs = {name: others.get(name, y) for name in ("mask", "add") if getattr(epilogue, name)}
    for name, image in {"y": y, **outputs}.items():
        numbers |= dict(zip(strides_of(name), (image.image, image.row, image.pixel), strict=True))
        offsets[name] = image.origin
    if epilogue.bias:
        offsets["bias"] = 0
    if epilogue.moments:
        offsets["moments"] = 0
        numbers["moments_shard"] = moments_row(y.channels)
    kernel = emit_depthwise(target, rows=rows, columns=columns, pixels=pixels, shared=shared, epilogue=epilogue)
    return Launch(kernel=kernel, numbers=numbers, offsets=offsets)


def _pixels(target: Target, width: int, columns: int) -> int:
    """Pixels of a tile: as many as fit beside a row of weights, and into the rows, evenly."""
    most = min(MOST_PIXELS, max(4, target.registers - columns - 2), width)
    return -(-width // -(-width // most))


def depthwise_weight_gradient(
    target: Target, conv: Convolution, x: Images, dy: Images, *, accumulate: bool = False
) -> WeightGradient:
    """The launches of the gradient of the weights; see `weight_gradient.weight_gradient`."""
    rows, columns = conv.kernel
    shared = columns > 1 and conv.dilation[1] == conv.stride[1]
    together = rows if rows * columns <= target.registers - 8 else 1  # all rows at once load less
    size = rows * columns * conv.inputs
    shards = shards_for(-(-conv.inputs // target.width) * (rows // together), dy.count, size)
    group = max(1, GROUP_BYTES // (4 * (x.image + dy.image)))
    numbers = shard_numbers(images=dy.count, group=group, shards=shards, size=size, accumulate=accumulate)
    numbers |= {
        "height": dy.height,
        "width": dy.width,
        "channels": conv.inputs,
        "tap_rows": rows,
        "x_image": x.image,
        "x_row": x.row * conv.stride[0],
        "x_pixel": x.pixel * conv.stride[1],
        "x_tap_row": x.row * conv.dilation[0],
        "x_tap_column": x.pixel * conv.dilation[1],
        "y_image": dy.image,
        "y_row": dy.row,
        "y_pixel": dy.pixel,
    }
    start = x.origin - conv.padding[0] * x.row - conv.padding[1] * x.pixel
    kernel = emit_depthwise_weight_gradient(target, rows=together, columns=columns, pixels=4, shared=shared)
    launch = Launch(kernel=kernel, numbers=numbers, offsets={"x": start, "y": dy.origin, "result": 0})
    return planned(target, [launch], shards=shards, size=size, accumulate=accumulate)

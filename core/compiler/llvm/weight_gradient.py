"""Gradients of weights, as launches of a kernel that keeps a tile of them in registers.

    result[block, tap row, tap column, depth, channel % 16] (+)= sum over images, rows, pixels of
        x[image, row, pixel, tap row, tap column, depth] * dy[image, row, pixel, channel]

A tile is P neighbouring places of the depth by Q blocks of 16 channels. Threads share the tiles, and where these are
few, shards of the images (`sharding`); each goes through its images in order, so the sum does not depend on the number
of threads. Groups of images that fit into the cache are finished for all tiles of a thread before the next; between
them, tiles wait in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from .convolution import forward_taps
from .depthwise import depthwise_weight_gradient
from .geometry import Convolution
from .ir import NOTHING, Value, Writer, number, vector
from .kernel import Kernel
from .launch import Images, Launch
from .packing import packed_size
from .panel_gradient import in_panels, panel_launches
from .panels import choose_item
from .sharding import (
    SHARD_NUMBERS,
    WeightGradient,
    each_item,
    gradient_offsets,
    planned,
    shard_numbers,
    shards_for,
)
from .target import Target
from .tile import BLOCK
from .tile_launch import GROUP_BYTES, Taps, blocks_of
from .tiling import slots_of

LONGEST_ROW = 512  # of matrices, which are cut up
PLACES = (14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)

COUNTS = ("height", "width", "channels", "tap_rows", "tap_columns", "depth", "tiles")
STRIDES = ("x_image", "x_row", "x_pixel", "x_tap_row", "x_tap_column", "y_image", "y_row", "y_pixel", "w_block")


@cache
def emit_weight_gradient(target: Target, *, places: int, blocks: int, rows: int = 1, packed: bool = True) -> Kernel:
    """The kernel of one tile size.

    Args:
        target: the CPU.
        places: P, along the depth; at most 16.
        blocks: Q; a whole multiple of it is computed.
        rows: of taps that one tile covers; divides `tap_rows`. For convolutions of few channels.
        packed: else the result is a matrix, `w_place` floats from a row (a place) to the next, with one tap, and the
            pointers are named as those of the tile kernel: it is the product x.T @ w = y.

    The slots:
        x, y, result: pointers to the first element of the input, the gradient of the output, the gradient of the
            weights, where up to 16 floats behind the last are read and not used.
        images, height, width: of the gradient of the output.
        group: images that are gone through for all tiles before the next ones.
        channels: of the output; if packed, lanes of the last block that have no channel become zero.
        tap_rows, tap_columns, depth: of the weights.
        tiles: along the depth, ceil(depth / P).
        accumulate: 0 begins at zero, 1 at what is in `result`.
        shards, result_shard: into how many the images are cut, and floats from one's result to the next.
        x_image, ..., y_pixel, w_block: strides in floats; the result's taps and places are adjacent. Up to 16 floats
            behind the last depth of `x` and the last channel of `y` are read and not used.
    """
    pointers = ["x", "y", "result"] if packed else ["x", "w", "y"]
    slots = slots_of(pointers, [*SHARD_NUMBERS, *COUNTS, *STRIDES, *([] if packed else ["w_place"])])
    what = "weight_gradient" if packed else "transposed_product"
    name = f"{what}_{rows}x{places}x{blocks * BLOCK}_v{target.width}"
    return _Gradient(Writer(name, target, slots), places, blocks, rows, packed).write()


@dataclass(slots=True)
class _Gradient:
    """The parts of the kernel, in the order in which they nest."""

    k: Writer
    places: int
    blocks: int
    rows: int
    packed: bool
    per_block: Value = NOTHING  # items of each group of blocks

    @property
    def lanes(self) -> int:
        return self.k.target.width

    @property
    def place_floats(self) -> Value | int:
        """From a place of the depth to the next in the result."""
        return BLOCK if self.packed else self.k["w_place"]

    @property
    def vectors(self) -> int:
        """Vectors per place of the depth."""
        return self.blocks * BLOCK // self.lanes

    def write(self) -> Kernel:
        k = self.k
        groups = k.div(k.div(k.add(k["channels"], BLOCK - 1), BLOCK), self.blocks)
        self.per_block = k.mul(k.div(k["tap_rows"], self.rows), k["tap_columns"], k["tiles"])
        each_item(k, k.mul(groups, self.per_block), self.tile, result="result" if self.packed else "y")
        return k.kernel()

    def tile(self, item: Value, first: Value, end: Value, fresh: Value, result: Value) -> None:
        """One tile over the images from `first` to before `end`; `fresh` if it begins at zero."""
        k, lanes = self.k, self.lanes
        block, rest = k.mul(k.div(item, self.per_block), self.blocks), k.rem(item, self.per_block)
        rest, tile = k.div(rest, k["tiles"]), k.rem(rest, k["tiles"])
        row, column = k.mul(k.div(rest, k["tap_columns"]), self.rows), k.rem(rest, k["tap_columns"])
        place = k.mul(tile, self.places)
        x = k.at(k["x"], k.mul(row, k["x_tap_row"]), k.mul(column, k["x_tap_column"]), place)
        y = k.at(k["y" if self.packed else "w"], k.mul(block, BLOCK))
        row_floats = k.mul(k["tap_columns"], k["depth"], BLOCK)
        before = k.mul(k.add(k.mul(row, k["tap_columns"]), column), k["depth"])  # places of earlier taps
        result = k.at(result, k.mul(block, k["w_block"]), k.mul(k.add(before, place), self.place_floats))
        there = k.least(k.sub(k["depth"], place), self.places)
        last = k.sub(there, 1)
        starts = [k.at(result, k.mul(k.least(p, last) if p else 0, self.place_floats)) for p in range(self.places)]
        at = [
            k.at(start, k.mul(row_floats, r), k.mul(k["w_block"], q), i * lanes)
            for r in range(self.rows)
            for start in starts
            for q in range(self.blocks)
            for i in range(BLOCK // lanes)
        ]
        begin = k.choose(
            fresh,
            lambda: [Value("zeroinitializer", vector(lanes))] * len(at),
            lambda: [k.load(place, vector(lanes)) for place in at],
        )
        sums = self.sums(x, y, first, end, begin)
        left = k.sub(k["channels"], k.mul(block, BLOCK))
        whole = k.binary("and", k.compare("sge", left, self.blocks * BLOCK), k.compare("eq", there, self.places))
        yes, no, after = k.label("whole"), k.label("part"), k.label("after")
        k.branch(whole, yes, no)
        k.begin(yes)
        for value, place in zip(sums, at, strict=True):
            k.store(value, place)
        k.jump(after)
        k.begin(no)
        self.store_part(sums, result, row_floats, there, left)
        k.jump(after)
        k.begin(after)

    def sums(self, x: Value, y: Value, first: Value, end: Value, begin: Sequence[Value]) -> Sequence[Value]:
        """The tile after the images from `first` to before `end`."""
        k, lanes = self.k, self.lanes
        x, y = k.at(x, k.mul(first, k["x_image"])), k.at(y, k.mul(first, k["y_image"]))
        count = k.mul(k.sub(end, first), k["height"])
        # Images and rows in one loop: the last row of an image is followed by the first of the next.
        back = k.sub(k["height"], 1)
        x_next = k.sub(k["x_image"], k.mul(back, k["x_row"]))
        y_next = k.sub(k["y_image"], k.mul(back, k["y_row"]))
        with k.loop(0, count, carried=[x, y, number(0, "i64"), *begin], runs=True) as rows:
            x, y, row, *sums = rows.values
            with k.loop(0, k["width"], carried=[x, y, *sums], runs=True) as pixels:
                here, gradient, *sums = pixels.values
                vectors = [k.load(k.at(gradient, i * lanes), vector(lanes)) for i in range(self.vectors)]
                new: list[Value] = []
                for r in range(self.rows):
                    start = k.at(here, k.mul(k["x_tap_row"], r))
                    for p in range(self.places):
                        value = k.splat(k.load(k.at(start, p)), lanes)
                        new += [k.fma(value, each, sums[len(new) + i]) for i, each in enumerate(vectors)]
                pixels.carry(k.at(here, k["x_pixel"]), k.at(gradient, k["y_pixel"]), *new)
            row = k.add(row, 1)
            ends = k.compare("eq", row, k["height"])
            x = k.at(x, k.select(ends, x_next, k["x_row"]))
            y = k.at(y, k.select(ends, y_next, k["y_row"]))
            rows.carry(x, y, k.select(ends, 0, row), *pixels.results[2:])
        return rows.results[3:]

    def store_part(self, sums: Sequence[Value], result: Value, row_floats: Value, there: Value, left: Value) -> None:
        """Only the places that are `there` go to memory; lanes without a channel do not, or as zeros if packed."""
        k, lanes = self.k, self.lanes
        wide = self.vectors * lanes
        kept = k.stack(self.rows * self.places * wide)
        for i, value in enumerate(sums):
            k.store(value, k.at(kept, i * lanes), align=4 * lanes)
        for r in range(self.rows):
            with k.loop(0, there, runs=True) as place:
                row = k.at(kept, r * self.places * wide, k.mul(place.index, wide))
                to = k.at(result, k.mul(row_floats, r), k.mul(place.index, self.place_floats))
                for i in range(self.vectors):
                    value = k.load(k.at(row, i * lanes), vector(lanes), align=4 * lanes)
                    mask = k.lanes_below(k.sub(left, i * lanes), lanes)
                    block, part = divmod(i * lanes, BLOCK)
                    target = k.at(to, k.mul(k["w_block"], block), part)
                    if self.packed:
                        k.store(k.select(mask, value, 0.0), target)
                    else:
                        k.masked_store(value, target, mask)


def weight_gradient(
    target: Target, conv: Convolution, x: Images, dy: Images, *, accumulate: bool = False
) -> WeightGradient:
    """The launches of the gradient of a convolution's weights.

    Args:
        target: the CPU.
        conv: the sizes.
        x: the input, with its border of zeros.
        dy: the gradient of the output.
        accumulate: add to what is in `result`; else it is written.

    `result` is packed like the weights, with `16 * 16` floats behind it; zeros where the weights are filled up.
    """
    if conv.depthwise:
        return depthwise_weight_gradient(target, conv, x, dy, accumulate=accumulate)
    inputs, outputs = conv.group_inputs, conv.group_outputs
    taps = forward_taps(conv, x)
    x_strides = (x.image, x.row * conv.stride[0], x.pixel * conv.stride[1])
    y_strides = (dy.image, dy.row, dy.pixel)
    size = dy.count, dy.height, dy.width
    if conv.pointwise and x.images_join and dy.images_join:
        size = _split(dy.count * dy.height * dy.width, x.pixel + dy.pixel)
        x_strides, y_strides = ((size[2] * each.pixel, 0, each.pixel) for each in (x, dy))
    elif conv.pointwise and x.rows_join and dy.rows_join:
        size = dy.count, 1, dy.height * dy.width
    start = x.origin - conv.padding[0] * x.row - conv.padding[1] * x.pixel
    floats = packed_size(conv)
    item = choose_item(target, taps.rows * taps.columns, inputs, outputs) if in_panels(inputs, outputs) else None
    if item is None:
        shards = shards_for(_items(target, taps, outputs), size[0], floats)
    else:
        shards = item.shards(inputs, outputs, images=size[0], size=floats)
    common = shard_numbers(
        images=size[0],
        group=max(1, GROUP_BYTES // (4 * (abs(x_strides[2]) + dy.pixel) * size[1] * size[2])),
        shards=shards,
        size=floats,
        accumulate=accumulate,
    )
    common |= {"height": size[1], "width": size[2]}
    common |= dict(zip(("x_image", "x_row", "x_pixel"), x_strides, strict=True))
    common |= dict(zip(("y_image", "y_row", "y_pixel"), y_strides, strict=True))
    launches: list[Launch] = []
    for group in range(conv.groups):
        offsets = start + group * inputs, dy.origin + group * outputs, group * blocks_of(outputs) * taps.w_block
        if item is None:
            launches += _launches(target, taps, outputs, common, offsets)
        else:
            launches += panel_launches(target, taps, outputs, common, offsets, item)
    return planned(target, launches, shards=shards, size=floats, accumulate=accumulate)


def transposed_product(
    target: Target, a: Images, b: Images, c: Images, *, threads: int = 1, accumulate: bool = False
) -> list[Launch]:
    """The launches of c = a.T @ b for one matrix of each, or c += with `accumulate`. Operands: `x`, `w`, `y`.

    A long depth, rows of a and b, is gone through in pieces that stay in the cache. See `multiply` for `threads`.
    """
    images, _, width = _split(a.width, a.pixel + b.pixel)
    group = max(1, GROUP_BYTES // (4 * (a.pixel + b.pixel) * width))
    common = shard_numbers(images=images, group=group, shards=1, size=0, accumulate=accumulate)
    common |= {"height": 1, "width": width, "w_place": c.pixel}
    for name, matrix in (("x", a), ("y", b)):
        common |= {f"{name}_image": width * matrix.pixel, f"{name}_row": 0, f"{name}_pixel": matrix.pixel}
    taps = Taps(rows=1, columns=1, depth=a.channels, x_row=0, x_column=0, w_block=BLOCK, w_row=0, w_column=0)
    offsets = a.origin, b.origin, c.origin
    if c.channels % BLOCK == 0 and in_panels(a.channels, c.channels):
        item = choose_item(target, 1, a.channels, c.channels, threads=threads)
        return panel_launches(target, taps, c.channels, common, offsets, item, packed=False)
    return _launches(target, taps, c.channels, common, offsets, packed=False)


def _split(pixels: int, floats: int) -> tuple[int, int, int]:
    """Evenly spaced pixels as images of one row, so that a few rows at a time stay in the cache."""
    longest = max(1, min(LONGEST_ROW, GROUP_BYTES // (4 * floats)))
    width = next((width for width in range(longest, longest // 8, -1) if pixels % width == 0), pixels)
    return pixels // width, 1, width


def _items(target: Target, taps: Taps, channels: int) -> int:
    """Tiles of the weights of one group of channels."""
    places, together, rows = choose_gradient_tile(target, taps, blocks_of(channels))
    return blocks_of(channels) // together * (taps.rows // rows) * taps.columns * -(-taps.depth // places)


def _launches(
    target: Target,
    taps: Taps,
    channels: int,
    common: dict[str, int | float],
    offsets: tuple[int, int, int],
    *,
    packed: bool = True,
) -> list[Launch]:
    """The launches for all blocks of one group of channels."""
    blocks = blocks_of(channels)
    launches: list[Launch] = []
    done = 0
    while done < blocks:
        places, together, rows = choose_gradient_tile(target, taps, blocks - done)
        here = (blocks - done) // together * together
        kernel = emit_weight_gradient(target, places=places, blocks=together, rows=rows, packed=packed)
        channels_here = min(channels - done * BLOCK, here * BLOCK)
        numbers = common | taps.numbers | {"channels": channels_here, "tiles": -(-taps.depth // places)}
        starts = gradient_offsets(offsets, done, taps.w_block, packed=packed)
        launches.append(Launch(kernel=kernel, numbers=numbers, offsets=starts))
        done += here
    return launches


def choose_gradient_tile(target: Target, taps: Taps, blocks: int) -> tuple[int, int, int]:
    """Places, blocks and rows of taps of the tile that should be fastest; see `choose_tile`."""
    parts = BLOCK // target.width
    best: tuple[float, tuple[int, int, int]] | None = None
    for together in (2, 1):
        if together > blocks:
            continue
        for rows in (1, taps.rows):
            for places in PLACES:
                vectors = together * parts
                products = rows * places * vectors
                if places > taps.depth or products + vectors + 1 > target.registers:
                    continue
                cycles = max(products, rows * places + vectors, 8) / 2 + 0.5
                useful = taps.depth / -(-taps.depth // places) * rows * together
                whole = (blocks - blocks % together) / blocks
                cost = cycles / useful * (2 - whole)
                if best is None or cost < best[0] * 0.999:
                    best = cost, (places, together, rows)
    assert best is not None
    return best[1]

"""Convolutions by minimal filtering (`winograd`), as launches of a kernel that goes from images to images.

A tile is a run of squares of 2 x 2 outputs, row after row and image after image, by a group of channels. A thread makes
the planes of the inputs of a chunk of tiles, in memory of its own that stays in the cache, and with them, for one group
of channels after the other, the matrix products of all frequencies and from these the outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from .formula import SHARDS
from .geometry import Pair
from .ir import FLOAT_BYTES, INT, Operand, Value, Writer, number, vector
from .kernel import Kernel
from .launch import Images, Launch
from .squares import corner, find_square, load_window, next_square, prefetch_below
from .target import Target
from .tile import BLOCK, add_products, whole_groups
from .tile_launch import blocks_of, choose_tile, output_numbers, output_offsets
from .tiling import (
    LINE_FLOATS,
    PLAIN,
    TILE_COUNTS,
    Epilogue,
    Moments,
    Place,
    Tiling,
    output_slots,
    slots_of,
    strides_of,
)
from .winograd import ALL_FREQUENCIES, FREQUENCIES, OUTPUTS, Planes, outputs, rounded

NEAR_BYTES = 24 * 1024  # of what a thread has made of a chunk of tiles, to stay in the nearest cache
AT_ONCE = 2  # places of the depth, of which there are whole blocks
FEW_VECTORS = 16  # of a tile: fewer keep the arithmetic waiting
NUMBERS = (
    "run",
    "rows",
    "columns",
    "inputs",
    "depth",
    "x_image",
    "x_row",
    "x_pixel",
    "w_block",
    "chunk_floats",
    "scratch.thread",
)


@cache
def emit_minimal_tile(
    target: Target, *, kernel: Pair, squares: int, blocks: int, epilogue: Epilogue = PLAIN, partial: bool = False
) -> Kernel:
    """The kernel of one tile size.

    Args:
        target: the CPU.
        kernel: taps.
        squares: of a tile.
        blocks: of 16 channels; a whole multiple of it is computed.
        epilogue: what is done to the sums.
        partial: whether `inputs` may be no multiple of 16.

    The slots, as those of `tile`, but for:
        x: the first input that the first output sees, in the border perhaps; w: weights as planes.
        images, height, width: 1, 1, and all squares; with moments, runs of `run` images, 1, and the squares of a run.
        rows, columns: squares of an image.
        inputs: channels of x; depth: the same, rounded up to a multiple of 16.
        x_row, x_pixel: strides of single rows and pixels.
        chunk_floats: of the planes of a chunk; scratch: that, and a tile's frequencies, for every thread.
    """
    shape = f"{Planes(kernel).name}_{squares}x{blocks * BLOCK}{'_partial' if partial else ''}"
    pointers, numbers = output_slots(epilogue)
    slots = slots_of(["x", "w", "scratch", *pointers], [*TILE_COUNTS, *NUMBERS, *numbers])
    k = Writer(f"minimal_{shape}_{epilogue.name}_v{target.width}", target, slots)
    return _MinimalTile(k, squares, blocks * BLOCK // target.width, epilogue, Planes(kernel), partial).write()


@dataclass(slots=True)
class _MinimalTile(Tiling):
    """From a run of windows to a run of squares."""

    planes: Planes
    partial: bool

    @property
    def blocks(self) -> int:
        return self.wide // BLOCK

    @property
    def frequencies_floats(self) -> int:
        """From one square's frequencies to the next's."""
        return _frequencies_floats(self.blocks)

    def channels(self) -> Value:
        return whole_groups(self.k, self.blocks)

    def begin(self, channel: Value) -> None:
        """Weights are read as they are used."""

    def step(self, operand: str, pixel: Operand) -> Value:
        k, (_, row, column) = self.k, strides_of(operand)
        return k.add(k.mul(k[row], k.div(pixel, OUTPUTS)), k.mul(k[column], k.rem(pixel, OUTPUTS)))

    def pixels_of(self, tiles: Value) -> Value:
        return self.k.mul(Tiling.pixels_of(self, tiles), OUTPUTS**2)

    def tile(self, place: Place, moments: Moments | None) -> None:
        k = self.k
        scratch = k.at(k["scratch"], k.mul(k.tid, k["scratch.thread"]))
        data_floats = k.add(k.mul(k["depth"], self.planes.count), LINE_FLOATS)
        data = k.at(scratch, k.mul(place.number, data_floats, self.pixels))
        with k.when(k.compare("eq", place.channel, 0)):
            self.make_planes(place, data, data_floats)
        with k.loop(place.done, self.pixels, carried=self.square(place, place.done), runs=True) as square:
            self.prefetch_outputs(self.from_square(place, *square.values), OUTPUTS**2)
            square.carry(*next_square(k, *square.values))
        frequencies = k.at(scratch, k["chunk_floats"])
        self.multiply(place, data, data_floats, frequencies)
        with k.loop(place.done, self.pixels, carried=self.square(place, place.done), runs=True) as square:
            start = self.from_square(place, *square.values)
            start.first = k.binary("and", place.first, k.compare("eq", square.index, place.done))
            self.keep(self.finished(k.at(frequencies, k.mul(square.index, self.frequencies_floats))), start, moments)
            square.carry(*next_square(k, *square.values))

    def square(self, place: Place, at: Operand) -> tuple[Value, Value, Value]:
        """The image, the row and the column of a square of a tile."""
        image, row, column = find_square(self.k, self.k.add(place.pixel, at))
        return self.k.add(self.k.mul(place.image, self.k["run"]), image), row, column

    def from_square(self, place: Place, image: Value, row: Value, column: Value) -> Place:
        """The place of the outputs of a square of a tile."""
        pixel, row = (self.k.mul(at, OUTPUTS) for at in (column, row))
        return replace(place, image=image, row=row, pixel=pixel, done=number(0, INT))

    def make_planes(self, place: Place, data: Value, data_floats: Value) -> None:
        """The planes of the windows of a tile."""
        k, lanes = self.k, self.lanes
        with k.loop(0, self.pixels, carried=[*self.square(place, 0), data], runs=True) as square:
            image, row, column, data = square.values
            x = corner(k, "x", (image, row, column))
            with k.loop(0, k["depth"], step=BLOCK, runs=True) as channel:
                prefetch_below(k, k.at(x, channel.index), self.planes.window[0])
            with k.loop(0, k["depth"], step=lanes, runs=True) as channel:
                mask = k.lanes_below(k.sub(k["inputs"], channel.index), lanes) if self.partial else None
                window = load_window(k, k.at(x, channel.index), self.planes.window, mask)
                values = self.planes.data(k, window)
                for plane, value in enumerate(values):
                    k.store(value, k.at(data, k.mul(k["depth"], plane), channel.index))
            square.carry(*next_square(k, image, row, column), k.at(data, data_floats))

    def multiply(self, place: Place, data: Value, data_floats: Value, frequencies: Value) -> None:
        """The frequencies of a tile, for a group of channels."""
        k, lanes = self.k, self.lanes
        w = k.at(k["w"], k.mul(k.div(place.channel, BLOCK), k["w_block"]))
        zeros = [Value("zeroinitializer", vector(lanes))] * (self.pixels * self.vectors)
        with k.loop(0, ALL_FREQUENCIES, carried=[data, w, frequencies], runs=True) as frequency:
            data, w, to = frequency.values
            depth = k.mul(k["depth"], self.planes.counts(k, frequency.index))
            starts = [k.at(data, k.mul(data_floats, p)) for p in range(self.pixels)]
            sums = add_products(k, zeros, starts, w, depth=depth, at_once=AT_ONCE)
            for at, value in enumerate(sums):
                p, i = divmod(at, self.vectors)
                k.store(value, k.at(to, p * self.frequencies_floats + i * lanes))
            frequency.carry(k.at(data, depth), k.at(w, k.mul(depth, BLOCK)), k.at(to, self.wide))

    def finished(self, frequencies: Value) -> list[Value]:
        """The four outputs of a square, pixel by pixel."""
        k, lanes = self.k, self.lanes
        found: list[list[Value]] = []
        for i in range(self.vectors):
            m = [k.load(k.at(frequencies, f * self.wide + i * lanes), vector(lanes)) for f in range(ALL_FREQUENCIES)]
            columns = [outputs(k, m[right::FREQUENCIES]) for right in range(FREQUENCIES)]  # two rows of each
            found.append([value for row in zip(*columns, strict=True) for value in outputs(k, row)])
        return [value for pixel in zip(*found, strict=True) for value in pixel]


def _frequencies_floats(blocks: int) -> int:
    return ALL_FREQUENCIES * blocks * BLOCK + LINE_FLOATS


def minimal_launches(
    target: Target,
    kernel: Pair,
    *,
    x: Images,
    x_start: int,
    inputs: int,
    w_start: int,
    y: Images,
    epilogue: Epilogue = PLAIN,
    others: Mapping[str, Images] | None = None,
    first_channel: int = 0,
    all_channels: int | None = None,
) -> list[Launch]:
    """The launches that compute all outputs of a convolution.

    Args:
        target: the CPU.
        kernel: taps.
        x: the input.
        x_start: where the first input is that the first output sees.
        inputs: channels that are read.
        w_start: where the weights begin, as planes.
        y: the output, of an even height and width.
        epilogue: what is done to the sums.
        others: of `mask` and `add`, how they lie; default: like `y`.
        first_channel: the place of the first channel in `bias` and `moments`.
        all_channels: how many channels `moments` has, where `y` is only some of them.
    """
    planes, depth, blocks = Planes(kernel), rounded(inputs), blocks_of(y.channels)
    rows, columns = y.height // OUTPUTS, y.width // OUTPUTS
    count = (SHARDS if y.count % SHARDS == 0 else y.count) if epilogue.moments else 1
    width = y.count // count * rows * columns
    images = {name: (others or {}).get(name, y) for name in ("mask", "add") if getattr(epilogue, name)} | {"y": y}
    w_block, data_floats = planes.count * depth * BLOCK, planes.count * depth + LINE_FLOATS

    def fits(squares: int, group: int) -> bool:
        """Whether a tile stays in the nearest cache; a small one matters more than that."""
        floats = squares * (data_floats + _frequencies_floats(group))
        return floats <= NEAR_BYTES // FLOAT_BYTES or squares * group * BLOCK // target.width <= FEW_VECTORS

    launches: list[Launch] = []
    done = 0
    while done < blocks:
        squares, group = choose_tile(target, width, blocks - done, fits=fits)
        here = (blocks - done) // group * group
        tiles = -(-width // squares)
        tile_floats = squares * data_floats
        chunk = max(1, min((NEAR_BYTES // FLOAT_BYTES - squares * _frequencies_floats(group)) // tile_floats, tiles))
        channel = done * BLOCK
        scratch = chunk * tile_floats + squares * _frequencies_floats(group)
        numbers: dict[str, int | float] = {
            "images": count,
            "height": 1,
            "width": width,
            "run": y.count // count,
            "rows": rows,
            "columns": columns,
            "tiles": tiles,
            "chunk": chunk,
            "channels": min(y.channels - channel, here * BLOCK),
            "inputs": inputs,
            "depth": depth,
            "x_image": x.image,
            "x_row": x.row,
            "x_pixel": x.pixel,
            "w_block": w_block,
            "chunk_floats": chunk * tile_floats,
            "scratch.thread": scratch,
        }
        numbers |= output_numbers(images, epilogue, all_channels or y.channels)
        offsets = {"x": x_start, "w": w_start + done * w_block, "scratch": 0}
        offsets |= output_offsets(images, epilogue, channel, first_channel)
        made = emit_minimal_tile(
            target, kernel=kernel, squares=squares, blocks=group, epilogue=epilogue, partial=inputs % BLOCK > 0
        )
        launches.append(
            Launch(kernel=made, numbers=numbers, offsets=offsets, scratch=scratch, products=planes.products)
        )
        done += here
    return launches

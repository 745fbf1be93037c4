"""Gradients of weights by minimal filtering: the transpose of `winograd_tile`, as launches.

    gradient of a plane [depth, channel] = sum over images and squares of
        B' d [plane, depth] * A dy [frequency of the plane, channel]

A thread takes 16 places of the depth and some blocks of channels, makes both factors of a batch of squares in memory of
its own that stays in the cache, and adds their products, plane by plane, to the sums in memory. Where there are few
such items, the images are cut into shards (`sharding`). What comes out are planes of the gradient of the weights, from
which `winograd_weights.from_planes` makes the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from .geometry import Convolution, Pair
from .ir import FLOAT_BYTES, Value, Writer, vector
from .kernel import Kernel
from .launch import Images, Launch
from .sharding import MOST_PARTIALS, SHARD_NUMBERS, WeightGradient, each_item, planned, shard_numbers, shard_size
from .target import Target
from .tile import BLOCK
from .tile_launch import GROUP_BYTES, blocks_of
from .tiling import slots_of
from .winograd import ALL_FREQUENCIES, FREQUENCIES, OUTPUTS, Planes, output_gradient, rounded
from .winograd_tile import corner, find_square, load_window, next_square
from .winograd_weights import planes_size

FEWEST_PLACES = 8  # that are worth several blocks
PIECES = 8  # of the work, that threads can share
BATCH_BYTES = 32 * 1024  # of both factors
COUNTS = ("rows", "columns", "channels", "inputs", "depth", "batch")
STRIDES = ("x_image", "x_row", "x_pixel", "y_image", "y_row", "y_pixel", "w_block", "scratch.thread")


@cache
def emit_minimal_gradient(target: Target, *, kernel: Pair, blocks: int, partial: bool = False) -> Kernel:
    """The kernel for some blocks of channels.

    Args:
        target: the CPU.
        kernel: taps.
        blocks: of 16 channels; a whole multiple of it is computed.
        partial: whether `inputs` or `channels` may be no multiples of 16.

    The slots:
        x: the first input that the first output sees; y: the gradient of the output; result: planes, and where there
            are shards, those of the first.
        images, group, accumulate, shards, result_shard: see `sharding`.
        rows, columns: squares of an image; channels: of y.
        inputs: channels of x; depth: the same, rounded up to a multiple of 16.
        batch: squares whose factors are made at a time; scratch: they, for every thread.
        x_image, ..., y_pixel: strides in floats; w_block: from a block of channels to the next in the result.
    """
    planes = Planes(kernel)
    slots = slots_of(["x", "y", "result", "scratch"], [*SHARD_NUMBERS, *COUNTS, *STRIDES])
    name = f"minimal_gradient_{planes.name}_{blocks * BLOCK}{'_partial' if partial else ''}_v{target.width}"
    return _MinimalGradient(Writer(name, target, slots), planes, blocks, partial).write()


@dataclass(slots=True)
class _MinimalGradient:
    """The parts of the kernel, in the order in which they nest."""

    k: Writer
    planes: Planes
    blocks: int
    partial: bool

    @property
    def lanes(self) -> int:
        return self.k.target.width

    @property
    def wide(self) -> int:
        """Channels of an item."""
        return self.blocks * BLOCK

    @property
    def places(self) -> int:
        """Of the depth, whose sums are in registers at a time."""
        return places_for(self.k.target, self.blocks)

    def write(self) -> Kernel:
        k = self.k
        groups = k.div(k.div(k.add(k["channels"], BLOCK - 1), BLOCK), self.blocks)
        each_item(k, k.mul(groups, k.div(k["depth"], BLOCK)), self.item)
        return k.kernel()

    def item(self, item: Value, first: Value, end: Value, fresh: Value, result: Value) -> None:
        """The squares of the images from `first` to before `end`; `fresh` if the sums begin at zero."""
        k = self.k
        depths = k.div(k["depth"], BLOCK)
        block, place = k.mul(k.div(item, depths), self.blocks), k.mul(k.rem(item, depths), BLOCK)
        result = k.at(result, k.mul(block, k["w_block"]), k.mul(place, BLOCK))
        with k.when(fresh):
            self.clear(result)
        first, end = (k.mul(image, k["rows"], k["columns"]) for image in (first, end))
        with k.loop(first, end, step=k["batch"]) as batch:
            stop = k.least(k.add(batch.index, k["batch"]), end)
            self.make_factors(batch.index, stop, place, k.mul(block, BLOCK))
            self.add(k.sub(stop, batch.index), result)

    def clear(self, result: Value) -> None:
        """Zeros for the sums."""
        k, zero = self.k, Value("zeroinitializer", vector(self.lanes))
        with k.loop(0, self.planes.count, runs=True) as plane, k.loop(0, BLOCK, runs=True) as place:
            row = k.at(result, k.mul(plane.index, k["depth"], BLOCK), k.mul(place.index, BLOCK))
            for q in range(self.blocks):
                for part in range(0, BLOCK, self.lanes):
                    k.store(zero, k.at(row, k.mul(k["w_block"], q), part))

    @property
    def factors(self) -> tuple[Value, Value]:
        """Where this thread has them: [planes][batch][16] of the inputs, [frequencies][batch][wide] of the gradients.

        Products read them in order. With steps between squares, the CPU's guesses of what is read next would reach
        into what another thread writes, and slow down both.
        """
        k = self.k
        scratch = k.at(k["scratch"], k.mul(k.tid, k["scratch.thread"]))
        return scratch, k.at(scratch, k.mul(k["batch"], self.planes.count * BLOCK))

    def make_factors(self, first: Value, stop: Value, place: Value, channel: Value) -> None:
        """Both factors of some squares."""
        k, lanes = self.k, self.lanes
        data, gradients = self.factors
        with k.loop(first, stop, carried=[*find_square(k, first), data, gradients], runs=True) as square:
            *at, data, gradients = square.values
            x, y = k.at(corner(k, "x", *at), place), k.at(corner(k, "y", *at), channel)
            for part in range(0, BLOCK, lanes):
                mask = self.mask("inputs", k.add(place, part))
                window = load_window(k, k.at(x, part), self.planes.window, mask)
                for plane, value in enumerate(self.planes.data(k, window)):
                    k.store(value, k.at(data, k.mul(k["batch"], plane * BLOCK), part))
            for part in range(0, self.wide, lanes):
                mask = self.mask("channels", k.add(channel, part))
                for frequency, value in enumerate(self.frequencies(k.at(y, part), mask)):
                    k.store(value, k.at(gradients, k.mul(k["batch"], frequency * self.wide), part))
            square.carry(*next_square(k, *at), k.at(data, BLOCK), k.at(gradients, self.wide))

    def mask(self, count: str, first: Value) -> Value | None:
        """The lanes from `first` on that are there."""
        k = self.k
        return k.lanes_below(k.sub(k[count], first), self.lanes) if self.partial else None

    def frequencies(self, start: Value, mask: Value | None) -> list[Value]:
        """A dy of a square."""
        k = self.k
        square = load_window(k, start, (OUTPUTS, OUTPUTS), mask, operand="y")
        columns = [output_gradient(k, column) for column in zip(*square, strict=True)]
        return [
            value for down in range(FREQUENCIES) for value in output_gradient(k, [column[down] for column in columns])
        ]

    def add(self, squares: Value, result: Value) -> None:
        """Add the products of both factors to the sums."""
        k = self.k
        data, gradients = self.factors
        with k.loop(0, ALL_FREQUENCIES, carried=[data, result], runs=True) as frequency:
            here = k.at(gradients, k.mul(frequency.index, k["batch"], self.wide))
            count = self.planes.counts(k, frequency.index)
            with k.loop(0, count, carried=frequency.values, runs=True) as plane:
                data, result = plane.values
                with k.loop(0, BLOCK, step=self.places, runs=True) as place:
                    row = k.at(result, k.mul(place.index, BLOCK))
                    self.add_rows(squares, k.at(data, place.index), here, row)
                plane.carry(k.at(data, k.mul(k["batch"], BLOCK)), k.at(result, k.mul(k["depth"], BLOCK)))
            frequency.carry(*plane.results)

    def add_rows(self, squares: Value, data: Value, gradients: Value, result: Value) -> None:
        """The same for some places of the depth in one plane."""
        k, wide = self.k, vector(self.lanes)
        parts = range(0, BLOCK, self.lanes)
        rows = [k.at(result, p * BLOCK) for p in range(self.places)]
        at = [k.at(row, k.mul(k["w_block"], q), part) for row in rows for q in range(self.blocks) for part in parts]
        sums: Sequence[Value] = [k.load(place, wide) for place in at]
        with k.loop(0, squares, carried=[data, gradients, *sums], runs=True) as square:
            data, gradients, *sums = square.values
            vectors = [k.load(k.at(gradients, i), wide) for i in range(0, self.wide, self.lanes)]
            new: list[Value] = []
            for p in range(self.places):
                value = k.splat(k.load(k.at(data, p)), self.lanes)
                new += [k.fma(value, each, sums[len(new) + i]) for i, each in enumerate(vectors)]
            square.carry(k.at(data, BLOCK), k.at(gradients, self.wide), *new)
        for value, place in zip(square.results[2:], at, strict=True):
            k.store(value, place)


def places_for(target: Target, blocks: int) -> int:
    """How many places of the depth have their sums for some blocks of channels in the registers."""
    vectors = blocks * BLOCK // target.width
    return next((n for n in (16, 8, 4, 2) if n * vectors + vectors < target.registers), 1)


def minimal_weight_gradient(target: Target, conv: Convolution, x: Images, dy: Images) -> WeightGradient:
    """The launches of the gradient of the planes of a convolution's weights.

    Args:
        target: the CPU.
        conv: the sizes.
        x: the input, with its border of zeros.
        dy: the gradient of the output, of an even height and width.

    `result`: [groups] of what `planes_size` says.
    """
    planes, inputs, outputs = Planes(conv.kernel), conv.group_inputs, conv.group_outputs
    depth, blocks = rounded(inputs), blocks_of(outputs)
    most = 2 if blocks > 1 and places_for(target, 2) >= FEWEST_PLACES else 1
    items = depth // BLOCK * -(-blocks // most)
    size = conv.groups * planes_size(conv.kernel, inputs, outputs)
    shards = max(1, min(dy.count, PIECES // items, MOST_PARTIALS // shard_size(size)))
    image_bytes = FLOAT_BYTES * (x.pixel + dy.pixel) * dy.height * dy.width
    common = shard_numbers(
        images=dy.count, group=max(1, GROUP_BYTES // image_bytes), shards=shards, size=size, accumulate=False
    )
    common |= {"rows": dy.height // OUTPUTS, "columns": dy.width // OUTPUTS, "inputs": inputs, "depth": depth}
    common |= {"x_image": x.image, "x_row": x.row, "x_pixel": x.pixel}
    common |= {"y_image": dy.image, "y_row": dy.row, "y_pixel": dy.pixel}
    w_block = planes.count * depth * BLOCK
    start = x.origin - conv.padding[0] * x.row - conv.padding[1] * x.pixel
    launches: list[Launch] = []
    for group in range(conv.groups):
        done = 0
        while done < blocks:
            together = min(most, blocks - done)
            here = (blocks - done) // together * together
            channels = min(outputs - done * BLOCK, here * BLOCK)
            partial = inputs % BLOCK > 0 or channels % BLOCK > 0
            floats = BLOCK * (planes.count + ALL_FREQUENCIES * together)
            batch = BATCH_BYTES // (FLOAT_BYTES * floats) | 1  # odd, so that planes do not meet in the cache
            numbers = common | {"channels": channels, "batch": batch, "w_block": w_block}
            launches.append(
                Launch(
                    kernel=emit_minimal_gradient(target, kernel=conv.kernel, blocks=together, partial=partial),
                    numbers=numbers | {"scratch.thread": batch * floats},
                    offsets={
                        "x": start + group * inputs,
                        "y": dy.origin + group * outputs + done * BLOCK,
                        "result": group * planes_size(conv.kernel, inputs, outputs) + done * w_block,
                        "scratch": 0,
                    },
                    scratch=batch * floats,
                    products=planes.products,
                )
            )
            done += here
    return planned(target, launches, shards=shards, size=size, accumulate=False)

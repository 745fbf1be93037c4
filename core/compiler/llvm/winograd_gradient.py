"""Gradients of weights by minimal filtering: the transpose of `winograd_tile`, as launches.

    gradient of a plane [depth, channel] = sum over images and squares of
        B' d [plane, depth] * A dy [frequency of the plane, channel]

A thread takes some blocks of the depth and of channels, makes both factors of a batch of squares in memory of its own
that stays in the cache, and adds their products, plane by plane, to the sums in memory. Where there are few such items,
the images are cut into shards (`sharding`). What comes out are planes of the gradient of the weights, from which
`winograd_weights.from_planes` makes the gradient.
"""

from __future__ import annotations

from collections import Counter
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
from .winograd_tile import corner, find_square, load_window, next_square, prefetch_below
from .winograd_weights import planes_size

FEWEST_PLACES = 8  # that are worth several blocks
PIECES = 8  # of the work, that threads can share
BATCH_BYTES = 128 * 1024  # of both factors
SUMS_BYTES = 128 * 1024  # of the sums of an item
TOGETHER = 2  # blocks of the depth, and groups of blocks of channels, of an item
COUNTS = ("rows", "columns", "channels", "inputs", "depth", "item_depths", "item_groups", "batch")
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
        item_depths, item_groups: of an item, blocks of the depth and groups of `blocks`.
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

    def write(self) -> Kernel:
        k = self.k
        items = (k.div(k.add(count, k.sub(each, 1)), each) for count, each in self.sides)
        each_item(k, k.mul(*items), self.item)
        return k.kernel()

    @property
    def sides(self) -> tuple[tuple[Value, Value], tuple[Value, Value]]:
        """Groups of blocks of channels and blocks of the depth: all, and those of an item."""
        k = self.k
        groups = k.div(k.div(k.add(k["channels"], BLOCK - 1), BLOCK), self.blocks)
        return (groups, k["item_groups"]), (k.div(k["depth"], BLOCK), k["item_depths"])

    def item(self, item: Value, first: Value, end: Value, fresh: Value, result: Value) -> None:
        """The squares of the images from `first` to before `end`; `fresh` if the sums begin at zero."""
        k = self.k
        (groups, each_group), (depths, each_depth) = self.sides
        across = k.div(k.add(depths, k.sub(each_depth, 1)), each_depth)
        group, depth = k.mul(k.div(item, across), each_group), k.mul(k.rem(item, across), each_depth)
        there = k.least(k.sub(depths, depth), each_depth), k.least(k.sub(groups, group), each_group)
        block, place = k.mul(group, self.blocks), k.mul(depth, BLOCK)
        result = k.at(result, k.mul(block, k["w_block"]), k.mul(place, BLOCK))
        with k.when(fresh):
            self.clear(result, *there)
        first, end = (k.mul(image, k["rows"], k["columns"]) for image in (first, end))
        with k.loop(first, end, step=k["batch"]) as batch:
            stop = k.least(k.add(batch.index, k["batch"]), end)
            self.make_factors(batch.index, stop, place, k.mul(block, BLOCK), *there)
            self.add(k.sub(stop, batch.index), result, *there)

    def clear(self, result: Value, depths: Value, groups: Value) -> None:
        """Zeros for the sums."""
        k, zero = self.k, Value("zeroinitializer", vector(self.lanes))
        with (
            k.loop(0, k.mul(groups, self.blocks), runs=True) as block,
            k.loop(0, self.planes.count, runs=True) as plane,
            k.loop(0, k.mul(depths, BLOCK), runs=True) as place,
        ):
            row = k.at(result, k.mul(block.index, k["w_block"]), k.mul(plane.index, k["depth"], BLOCK))
            for part in range(0, BLOCK, self.lanes):
                k.store(zero, k.at(row, k.mul(place.index, BLOCK), part))

    @property
    def factors(self) -> tuple[Value, Value]:
        """Where this thread has them: of the inputs [block of the depth][plane][batch][16], of the gradients
        [group][frequency][batch][wide].

        Products read them in order. With steps between squares, the CPU's guesses of what is read next would reach
        into what another thread writes, and slow down both.
        """
        k = self.k
        scratch = k.at(k["scratch"], k.mul(k.tid, k["scratch.thread"]))
        return scratch, k.at(scratch, k.mul(k["batch"], k["item_depths"], self.planes.count * BLOCK))

    def make_factors(
        self, first: Value, stop: Value, place: Value, channel: Value, depths: Value, groups: Value
    ) -> None:
        """Both factors of some squares."""
        k, lanes = self.k, self.lanes
        data, gradients = self.factors
        with k.loop(first, stop, carried=[*find_square(k, first), data, gradients], runs=True) as square:
            *at, data, gradients = square.values
            x, y = k.at(corner(k, "x", *at), place), k.at(corner(k, "y", *at), channel)
            with k.loop(0, depths, carried=[x, data], runs=True) as depth:
                here, to = depth.values
                prefetch_below(k, here, self.planes.window[0])
                for part in range(0, BLOCK, lanes):
                    mask = self.mask("inputs", k.add(place, k.mul(depth.index, BLOCK), part))
                    window = load_window(k, k.at(here, part), self.planes.window, mask)
                    for plane, value in enumerate(self.planes.data(k, window)):
                        k.store(value, k.at(to, k.mul(k["batch"], plane * BLOCK), part))
                depth.carry(k.at(here, BLOCK), k.at(to, k.mul(k["batch"], self.planes.count * BLOCK)))
            with k.loop(0, groups, carried=[y, gradients], runs=True) as group:
                here, to = group.values
                for part in range(0, self.wide, BLOCK):
                    prefetch_below(k, k.at(here, part), OUTPUTS, operand="y")
                for part in range(0, self.wide, lanes):
                    mask = self.mask("channels", k.add(channel, k.mul(group.index, self.wide), part))
                    for frequency, value in enumerate(self.frequencies(k.at(here, part), mask)):
                        k.store(value, k.at(to, k.mul(k["batch"], frequency * self.wide), part))
                group.carry(k.at(here, self.wide), k.at(to, k.mul(k["batch"], ALL_FREQUENCIES * self.wide)))
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

    def add(self, squares: Value, result: Value, depths: Value, groups: Value) -> None:
        """Add the products of both factors to the sums."""
        k = self.k
        data, gradients = self.factors
        across = k.mul(k["batch"], self.planes.count * BLOCK), k.mul(k["batch"], ALL_FREQUENCIES * self.wide)
        with k.loop(0, ALL_FREQUENCIES, carried=[data, gradients, result], runs=True) as frequency:
            data, gradients, result = frequency.values
            count = self.planes.counts(k, frequency.index)
            with k.loop(0, count, carried=[data, result], runs=True) as plane:
                data, result = plane.values
                with k.loop(0, depths, runs=True) as depth, k.loop(0, groups, runs=True) as group:
                    row = k.at(result, k.mul(group.index, k["w_block"], self.blocks), k.mul(depth.index, BLOCK * BLOCK))
                    factors = k.at(data, k.mul(depth.index, across[0])), k.at(gradients, k.mul(group.index, across[1]))
                    self.add_block(squares, *factors, row)
                plane.carry(k.at(data, k.mul(k["batch"], BLOCK)), k.at(result, k.mul(k["depth"], BLOCK)))
            frequency.carry(plane.results[0], k.at(gradients, k.mul(k["batch"], self.wide)), plane.results[1])

    def add_block(self, squares: Value, data: Value, gradients: Value, result: Value) -> None:
        """The same for a block of the depth and a group of blocks of channels, in one plane."""
        k, first = self.k, 0
        for places, times in Counter(places_for(k.target, self.blocks)).items():
            with k.loop(first, first + places * times, step=places, runs=True) as place:
                self.add_rows(
                    places, squares, k.at(data, place.index), gradients, k.at(result, k.mul(place.index, BLOCK))
                )
            first += places * times

    def add_rows(self, places: int, squares: Value, data: Value, gradients: Value, result: Value) -> None:
        """The same for some places of the depth, whose sums are in registers."""
        k, wide = self.k, vector(self.lanes)
        parts = range(0, BLOCK, self.lanes)
        rows = [k.at(result, p * BLOCK) for p in range(places)]
        at = [k.at(row, k.mul(k["w_block"], q), part) for row in rows for q in range(self.blocks) for part in parts]
        sums: Sequence[Value] = [k.load(place, wide) for place in at]
        with k.loop(0, squares, carried=[data, gradients, *sums], runs=True) as square:
            data, gradients, *sums = square.values
            vectors = [k.load(k.at(gradients, i), wide) for i in range(0, self.wide, self.lanes)]
            new: list[Value] = []
            for p in range(places):
                value = k.splat(k.load(k.at(data, p)), self.lanes)
                new += [k.fma(value, each, sums[len(new) + i]) for i, each in enumerate(vectors)]
            square.carry(k.at(data, BLOCK), k.at(gradients, self.wide), *new)
        for value, place in zip(square.results[2:], at, strict=True):
            k.store(value, place)


def places_for(target: Target, blocks: int) -> list[int]:
    """A block of the depth in as few parts as have their sums for some blocks of channels in the registers."""
    vectors = blocks * BLOCK // target.width
    most = max(1, (target.registers - vectors - 1) // vectors)
    parts = -(-BLOCK // most)
    return [BLOCK // parts + (part < BLOCK % parts) for part in range(parts)]


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
    most = 2 if blocks > 1 and max(places_for(target, 2)) >= FEWEST_PLACES else 1
    depths, groups = min(TOGETHER, depth // BLOCK), min(TOGETHER, max(1, blocks // most))
    if FLOAT_BYTES * planes.count * depths * groups * most * BLOCK**2 > SUMS_BYTES:
        depths = 1
    items = -(-depth // BLOCK // depths) * -(-blocks // most // groups)
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
            floats = BLOCK * (planes.count * depths + ALL_FREQUENCIES * together * groups)
            batch = BATCH_BYTES // (FLOAT_BYTES * floats) | 1  # odd, so that planes do not meet in the cache
            numbers = common | {"channels": channels, "batch": batch, "w_block": w_block}
            numbers |= {"item_depths": depths, "item_groups": groups}
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

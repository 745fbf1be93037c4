"""Gradients of weights as products of two factors that a thread has made in the cache.

    gradient of a plane [depth, channel] = sum over images and squares of
        data of the plane [square, depth] * gradient of its frequency [square, channel]

A thread takes some blocks of the depth and of channels, makes both factors of a batch of squares in memory of its own,
and adds their products, plane by plane, to the sums in memory. There the products read them in order, whatever the
strides of the images are. Where there are few such items, the images are cut into shards (`sharding`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .ir import FLOAT_BYTES, Operand, Value, Writer, vector
from .kernel import Kernel, Slot
from .sharding import MOST_PARTIALS, SHARD_NUMBERS, each_item, shard_size
from .squares import corner, find_square, next_square
from .target import Target
from .tile import BLOCK
from .tile_launch import blocks_of
from .tiling import slots_of

FEWEST_PLACES = 8  # that are worth several blocks
PIECES = 8  # of the work, that threads can share, whoever they are
BATCH_BYTES = 192 * 1024  # of both factors
SUMS_BYTES = 128 * 1024  # of the sums of an item
TOGETHER = 16  # blocks of the depth, and groups of blocks of channels, of an item, at most
FAIR = 4  # items of each thread, at least, where not all have as many
LONGEST_BATCH = 129  # squares: a block of both factors in one plane stays in the nearest cache
NAMES = ("x", "y", "result")
COUNTS = ("rows", "columns", "channels", "depth", "item_depths", "item_groups", "batch")
STRIDES = ("x_image", "x_row", "x_pixel", "y_image", "y_row", "y_pixel", "w_block", "w_place", "scratch.thread")


def panel_slots(*numbers: str, of: Sequence[str] = NAMES) -> tuple[Slot, ...]:
    """The slots of a kernel, and further ones; the first three pointers may have other names.

    x: the first input that the first output sees; y: the gradient of the output; result, and where there are
        shards, that of the first.
    images, group, accumulate, shards, result_shard: see `sharding`.
    rows, columns: squares of an image; channels: of y; depth: of the result, a multiple of 16.
    item_depths, item_groups: of an item, blocks of the depth and groups of blocks of channels.
    batch: squares whose factors are made at a time; scratch: they, for every thread.
    x_image, ..., y_pixel: strides in floats; w_block, w_place: in the result, from a block of channels to the next,
        and from a place of the depth.
    """
    return slots_of([*of, "scratch"], [*SHARD_NUMBERS, *COUNTS, *STRIDES, *numbers])


@dataclass(slots=True)
class Panels(ABC):
    """Writes a kernel; a subclass says what the factors are. The parts come in the order in which they nest.

    Attributes:
        k: what is written to, with `panel_slots`.
        blocks: of 16 channels, whose sums are in registers together.
        partial: whether the last block of channels may not be full.
        names: of the slots x, y and result.
    """

    k: Writer
    blocks: int
    partial: bool
    names: tuple[str, str, str]

    @property
    @abstractmethod
    def plane_count(self) -> Operand:
        """Of planes."""

    @property
    @abstractmethod
    def frequency_count(self) -> int:
        """Of frequencies."""

    @abstractmethod
    def planes_of(self, frequency: Value) -> Operand:
        """How many planes take a frequency."""

    @property
    @abstractmethod
    def square_size(self) -> int:
        """Outputs along an axis of a square."""

    @abstractmethod
    def make_data(self, start: Value, to: Value, place: Value) -> None:
        """The data of a square: 16 places of the depth of every plane; a plane begins 16 * `batch` floats behind
        the one before it.
        """

    @abstractmethod
    def make_gradients(self, start: Value, to: Value, channel: Value) -> None:
        """The gradients of a square: `wide` channels of every frequency; a frequency begins `wide` * `batch` floats
        behind the one before it.
        """

    @property
    def lanes(self) -> int:
        """Of a vector."""
        return self.k.target.width

    @property
    def wide(self) -> int:
        """Channels of a group."""
        return self.blocks * BLOCK

    def write(self) -> Kernel:
        """The kernel."""
        k = self.k
        items = (k.div(k.add(count, k.sub(each, 1)), each) for count, each in self._sides())
        each_item(k, k.mul(*items), self._item, result=self.names[2])
        return k.kernel()

    def mask(self, count: str, first: Value) -> Value | None:
        """The lanes from `first` on that are there, where some may not be."""
        return self.k.lanes_below(self.k.sub(self.k[count], first), self.lanes) if self.partial else None

    def _sides(self) -> tuple[tuple[Value, Value], tuple[Value, Value]]:
        """Groups of blocks of channels and blocks of the depth: all, and those of an item."""
        k = self.k
        groups = k.div(k.div(k.add(k["channels"], BLOCK - 1), BLOCK), self.blocks)
        return (groups, k["item_groups"]), (k.div(k["depth"], BLOCK), k["item_depths"])

    def _item(self, item: Value, first: Value, end: Value, fresh: Value, result: Value) -> None:
        """The squares of the images from `first` to before `end`; `fresh` if the sums begin at zero."""
        k = self.k
        (groups, each_group), (depths, each_depth) = self._sides()
        across = k.div(k.add(depths, k.sub(each_depth, 1)), each_depth)
        group, depth = k.mul(k.div(item, across), each_group), k.mul(k.rem(item, across), each_depth)
        there = k.least(k.sub(depths, depth), each_depth), k.least(k.sub(groups, group), each_group)
        block, place = k.mul(group, self.blocks), k.mul(depth, BLOCK)
        result = k.at(result, k.mul(block, k["w_block"]), k.mul(place, k["w_place"]))
        with k.when(fresh):
            self._clear(result, *there)
        first, end = (k.mul(image, k["rows"], k["columns"]) for image in (first, end))
        with k.loop(first, end, step=k["batch"]) as batch:
            stop = k.least(k.add(batch.index, k["batch"]), end)
            self._make_factors(batch.index, stop, place, k.mul(block, BLOCK), *there)
            self._add(k.sub(stop, batch.index), result, *there)

    def _clear(self, result: Value, depths: Value, groups: Value) -> None:
        """Zeros for the sums."""
        k, zero = self.k, Value("zeroinitializer", vector(self.lanes))
        with (
            k.loop(0, k.mul(groups, self.blocks), runs=True) as block,
            k.loop(0, self.plane_count, runs=True) as plane,
            k.loop(0, k.mul(depths, BLOCK), runs=True) as place,
        ):
            row = k.at(result, k.mul(block.index, k["w_block"]), k.mul(plane.index, k["depth"], k["w_place"]))
            for part in range(0, BLOCK, self.lanes):
                k.store(zero, k.at(row, k.mul(place.index, k["w_place"]), part))

    def _factors(self) -> tuple[Value, Value]:
        """Where this thread has them: data [block of the depth][plane][batch][16], gradients
        [group][frequency][batch][wide].

        Products read them in order. With steps between squares, the CPU's guesses of what is read next would reach
        into what another thread writes, and slow down both.
        """
        k = self.k
        scratch = k.at(k["scratch"], k.mul(k.tid, k["scratch.thread"]))
        return scratch, k.at(scratch, k.mul(k["item_depths"], self._steps()[0]))

    def _steps(self) -> tuple[Value, Value]:
        """From the data of a block of the depth to those of the next, and from a group's gradients."""
        k = self.k
        return k.mul(k["batch"], self.plane_count, BLOCK), k.mul(k["batch"], self.frequency_count * self.wide)

    def _make_factors(
        self, first: Value, stop: Value, place: Value, channel: Value, depths: Value, groups: Value
    ) -> None:
        """Both factors of some squares."""
        k = self.k
        data, gradients = self._factors()
        next_depth, next_group = self._steps()
        with k.loop(first, stop, carried=[*find_square(k, first), data, gradients], runs=True) as square:
            *at, data, gradients = square.values
            x, y = (
                corner(k, name, at, size=self.square_size, start=k[slot])
                for name, slot in zip("xy", self.names[:2], strict=True)
            )
            x, y = k.at(x, place), k.at(y, channel)
            with k.loop(0, depths, carried=[x, data], runs=True) as depth:
                here, to = depth.values
                self.make_data(here, to, k.add(place, k.mul(depth.index, BLOCK)))
                depth.carry(k.at(here, BLOCK), k.at(to, next_depth))
            with k.loop(0, groups, carried=[y, gradients], runs=True) as group:
                here, to = group.values
                self.make_gradients(here, to, k.add(channel, k.mul(group.index, self.wide)))
                group.carry(k.at(here, self.wide), k.at(to, next_group))
            image, row, column = at
            square.carry(*next_square(k, image, row, column), k.at(data, BLOCK), k.at(gradients, self.wide))

    def _add(self, squares: Value, result: Value, depths: Value, groups: Value) -> None:
        """Add the products of both factors to the sums."""
        k = self.k
        data, gradients = self._factors()
        next_depth, next_group = self._steps()
        with k.loop(0, self.frequency_count, carried=[data, gradients, result], runs=True) as frequency:
            data, gradients, result = frequency.values
            with k.loop(0, self.planes_of(frequency.index), carried=[data, result], runs=True) as plane:
                data, result = plane.values
                with k.loop(0, depths, runs=True) as depth, k.loop(0, groups, runs=True) as group:
                    block = k.mul(group.index, k["w_block"], self.blocks)
                    row = k.at(result, block, k.mul(depth.index, k["w_place"], BLOCK))
                    of_depth, of_group = k.mul(depth.index, next_depth), k.mul(group.index, next_group)
                    self._add_block(squares, k.at(data, of_depth), k.at(gradients, of_group), row)
                plane.carry(k.at(data, k.mul(k["batch"], BLOCK)), k.at(result, k.mul(k["depth"], k["w_place"])))
            frequency.carry(plane.results[0], k.at(gradients, k.mul(k["batch"], self.wide)), plane.results[1])

    def _add_block(self, squares: Value, data: Value, gradients: Value, result: Value) -> None:
        """The same for a block of the depth and a group of blocks of channels, in one plane."""
        k, first = self.k, 0
        for places, times in Counter(places_for(k.target, self.blocks)).items():
            with k.loop(first, first + places * times, step=places, runs=True) as place:
                row = k.at(result, k.mul(place.index, k["w_place"]))
                self._add_rows(places, squares, k.at(data, place.index), gradients, row, begins=first == 0)
            first += places * times

    def _add_rows(
        self, places: int, squares: Value, data: Value, gradients: Value, result: Value, *, begins: bool
    ) -> None:
        """The same for some places of the depth, whose sums are in registers; where the block `begins`, the factors of
        the next one are brought nearer: of the next plane, or, where there is one, other channels of the same data.
        """
        k, wide = self.k, vector(self.lanes)
        parts = range(0, BLOCK, self.lanes)
        rows = [k.at(result, k.mul(k["w_place"], p)) for p in range(places)]
        at = [k.at(row, k.mul(k["w_block"], q), part) for row in rows for q in range(self.blocks) for part in parts]
        sums: Sequence[Value] = [k.load(place, wide) for place in at]
        with k.loop(0, squares, carried=[data, gradients, *sums], runs=True) as square:
            data, gradients, *sums = square.values
            if begins and self.plane_count != 1:
                k.prefetch(k.at(data, k.mul(k["batch"], BLOCK)))
            if begins:
                k.prefetch(k.at(gradients, k.mul(k["batch"], self.wide)))
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


@dataclass(frozen=True, slots=True)
class Item:
    """How much of the result an item is.

    Attributes:
        blocks: of channels, whose sums are in registers together; where fewer are left, these.
        depths: blocks of the depth.
        groups: of blocks of channels.
    """

    blocks: int
    depths: int
    groups: int

    def count(self, depth: int, channels: int) -> int:
        """Of items."""
        return -(-depth // BLOCK // self.depths) * -(-blocks_of(channels) // self.blocks // self.groups)

    def shards(self, depth: int, channels: int, *, images: int, size: int) -> int:
        """Into how many shards to cut the images, so that threads have enough pieces; `size`: floats of the result."""
        return max(1, min(images, PIECES // self.count(depth, channels), MOST_PARTIALS // shard_size(size)))

    def runs(self, blocks: int) -> Iterator[tuple[int, int, int]]:
        """Of each launch for so many blocks of channels: the first, those in registers together, and how many."""
        done = 0
        while done < blocks:
            together = min(self.blocks, blocks - done)
            here = (blocks - done) // together * together
            yield done, together, here
            done += here

    def numbers(self, planes: int, frequencies: int, blocks: int) -> dict[str, int | float]:
        """The slots that say how large items and batches are; `scratch.thread` is what a thread needs.

        Args:
            planes: of the data.
            frequencies: of the gradients.
            blocks: of channels in registers, at most `self.blocks`.
        """
        floats = BLOCK * (planes * self.depths + frequencies * blocks * self.groups)
        batch = min(
            LONGEST_BATCH, BATCH_BYTES // (FLOAT_BYTES * floats) | 1
        )  # odd, so that planes do not meet in the cache
        return {
            "item_depths": self.depths,
            "item_groups": self.groups,
            "batch": batch,
            "scratch.thread": batch * floats,
        }


def choose_item(target: Target, planes: int, depth: int, channels: int, *, threads: int = 1) -> Item:
    """As large as stays in the cache: each factor is made anew for every item.

    Args:
        target: the CPU.
        planes: of the data.
        depth: a multiple of 16.
        channels: of the output.
        threads: that share the items. The sums do not depend on them.
    """
    blocks = blocks_of(channels)
    most = 2 if blocks > 1 and max(places_for(target, 2)) >= FEWEST_PLACES else 1
    depths, groups = min(TOGETHER, depth // BLOCK), min(TOGETHER, max(1, blocks // most))
    pairs = max(1, SUMS_BYTES // (FLOAT_BYTES * planes * most * BLOCK**2))
    while depths * groups > 1:
        item = Item(most, depths, groups)
        if depths * groups <= pairs and _is_fair(item.count(depth, channels), threads):
            return item
        depths, groups = (-(-depths // 2), groups) if depths >= groups else (depths, -(-groups // 2))
    return Item(most, depths, groups)


def _is_fair(items: int, threads: int) -> bool:
    """Whether threads have about as many items each."""
    return items % threads == 0 or items >= FAIR * threads

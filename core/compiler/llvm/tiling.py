"""What all kernels that go through an output tile by tile share: the way through it, epilogues, moments.

A tile is some neighbouring pixels of one row by a group of channels. A thread goes through a run of tiles in chunks,
and in each chunk through the groups of channels, so that a group's weights stay in the cache for a chunk. With moments,
threads share shards of the images instead of tiles. The last tile of a row overlaps the one before it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from .formula import SHARDS
from .ir import FLOAT, INT, Operand, Value, Writer, number, vector
from .kernel import Kernel, Slot

LINE_FLOATS = 16  # of a cache line
CHAINS = 4  # sums that are made side by side: one addition waits for the one before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Epilogue:
    """What happens to a sum before it is stored, in this order.

    Attributes:
        bias: add the channel's bias; `bias` is padded to whole blocks.
        mask: zero where `mask`, which has the shape of the output, is not positive: the gradient of a ReLU.
        add: add `add`, which has the shape of the output and may be the output itself: residual branches, and
            gradients of a value used twice.
        relu: max(v, 0).
        moments: keep mean and sum of squared deviations of what is stored, per channel and shard of the images, as
            `formula.Operand` says: [SHARDS][2][channels], rows `moments_row` floats apart.
    """

    bias: bool = False
    mask: bool = False
    add: bool = False
    relu: bool = False
    moments: bool = False

    @property
    def name(self) -> str:
        """The parts that are there."""
        parts = [part for part in ("bias", "mask", "add", "relu", "moments") if getattr(self, part)]
        return "_".join(parts) or "plain"


PLAIN = Epilogue()
TILE_COUNTS = ("images", "height", "width", "tiles", "chunk", "channels")


def moments_row(channels: int) -> int:
    """Floats from the means of a shard to its squared deviations, and from there to the next shard."""
    return -(-(channels + LINE_FLOATS - 1) // LINE_FLOATS) * LINE_FLOATS  # the last block of a group may begin anywhere


def strides_of(operand: str) -> tuple[str, str, str]:
    """The slots with the strides of an operand that has the shape of the output."""
    return f"{operand}_image", f"{operand}_row", f"{operand}_pixel"


def output_slots(epilogue: Epilogue) -> tuple[list[str], list[str]]:
    """Names of the pointers and numbers of an output and its epilogue."""
    like_output = ["y", *(name for name in ("mask", "add") if getattr(epilogue, name))]
    pointers = list(like_output)
    numbers = [name for operand in like_output for name in strides_of(operand)]
    if epilogue.bias:
        pointers.append("bias")
    if epilogue.moments:
        pointers.append("moments")
        numbers.append("moments_shard")
    return pointers, numbers


def slots_of(pointers: Sequence[str], numbers: Sequence[str]) -> tuple[Slot, ...]:
    """Slots of pointers and whole numbers."""
    return (*(Slot(name, "ptr") for name in pointers), *(Slot(name, "i64") for name in numbers))


@dataclass(slots=True)
class Place:
    """Where a tile is.

    Attributes:
        channel: the first one.
        pixel: the first one, in its row.
        row: in its image.
        image: its number.
        number: of the tile in its chunk.
        done: how many of its pixels the tile before has computed.
        first: whether it is the very first that this thread, or this shard, computes.
    """

    channel: Value
    pixel: Value
    row: Value
    image: Value
    number: Value
    done: Value
    first: Value

    def of(self, k: Writer, operand: str) -> Value:
        """Where an operand is that has strides per image, row and pixel."""
        strides = strides_of(operand)
        steps = zip((self.image, self.row, self.pixel), strides, strict=True)
        return k.at(k[operand], *(k.mul(at, k[stride]) for at, stride in steps))


@dataclass(slots=True)
class Tiling(ABC):
    """Writes a kernel; a subclass says what a tile computes.

    Args:
        k: what is written to.
        pixels: of a tile.
        vectors: of a tile's channels.
        epilogue: what is done to its sums.
    """

    k: Writer
    pixels: int
    vectors: int
    epilogue: Epilogue

    @property
    def lanes(self) -> int:
        """Of a vector."""
        return self.k.target.width

    @property
    def wide(self) -> int:
        """Channels of a tile."""
        return self.vectors * self.lanes

    @property
    def one_row(self) -> bool:
        """Whether all images have one row: a tile then takes less to find its way."""
        return False

    @property
    def is_exact(self) -> bool:
        """Whether all channels fill groups."""
        return False

    @abstractmethod
    def channels(self) -> Value:
        """The channel before which groups end; a last group begins at most `wide` before it."""

    @abstractmethod
    def begin(self, channel: Value) -> None:
        """Before the tiles of a group of channels in a chunk."""

    @abstractmethod
    def tile(self, place: Place, moments: Moments | None) -> None:
        """One tile: its sums, then `keep`."""

    def step(self, operand: str, pixel: Operand) -> Value:
        """How far a pixel of a tile is from its first, in an operand that has the shape of the output."""
        return self.k.mul(self.k[f"{operand}_pixel"], pixel)

    def pixels_of(self, tiles: Value) -> Value:
        """How many pixels so many tiles have, from the start of a row."""
        k = self.k
        rows, more = k.div(tiles, k["tiles"]), k.mul(k.rem(tiles, k["tiles"]), self.pixels)
        return k.add(k.mul(rows, k["width"]), k.least(more, k["width"]))

    def write(self) -> Kernel:
        """The kernel."""
        k = self.k
        per_image = k.mul(k["height"], k["tiles"])
        if self.epilogue.moments:
            first, last = k.share(SHARDS)
            with k.loop(first, last) as shard:
                lo, hi = (k.div(k.mul(k["images"], n), SHARDS) for n in (shard.index, k.add(shard.index, 1)))
                start, stop = k.mul(lo, per_image), k.mul(hi, per_image)
                with k.loop(start, stop, step=k["chunk"]) as chunk:
                    self.chunk(chunk.index, stop, per_image, shard.index, start)
        else:
            start, stop = k.share(k.mul(k["images"], per_image))
            with k.loop(start, stop, step=k["chunk"]) as chunk:
                self.chunk(chunk.index, stop, per_image, None, start)
        return k.kernel()

    def chunk(self, first: Value, stop: Value, per_image: Value, shard: Value | None, start: Value) -> None:
        """For each group of channels, the tiles from `first` on, at most a chunk and before `stop`."""
        k = self.k
        end = k.least(k.add(first, k["chunk"]), stop)
        zero = number(0, INT)
        image, within = k.div(first, per_image), k.rem(first, per_image)
        row, tile = (zero, within) if self.one_row else (k.div(within, k["tiles"]), k.rem(within, k["tiles"]))
        with k.loop(0, self.channels(), step=self.wide) as group:
            self.begin(group.index)
            moments = None
            if shard is not None:
                moments = Moments(self, shard, group.index, k.stack(3 * self.wide), k.sub(first, start))
                moments.clear()
            carried = [tile, image] if self.one_row else [tile, image, row]
            with k.loop(first, end, carried=carried, runs=True) as tiles:
                at_tile, at_image, *rows = tiles.values
                at_row = zero if self.one_row else rows[0]
                pixel = k.least(k.mul(at_tile, self.pixels), k.sub(k["width"], self.pixels))
                done = k.sub(k.mul(at_tile, self.pixels), pixel)
                in_chunk, is_first = k.sub(tiles.index, first), k.compare("eq", tiles.index, start)
                place = Place(group.index, pixel, at_row, at_image, in_chunk, done, is_first)
                self.tile(place, moments)
                ends_row = k.compare("eq", k.add(at_tile, 1), k["tiles"])
                next_tile = k.select(ends_row, 0, k.add(at_tile, 1))
                if self.one_row:
                    tiles.carry(next_tile, k.select(ends_row, k.add(at_image, 1), at_image))
                else:
                    next_row = k.select(ends_row, k.add(at_row, 1), at_row)
                    ends_image = k.compare("eq", next_row, k["height"])
                    next_image = k.select(ends_image, k.add(at_image, 1), at_image)
                    tiles.carry(next_tile, next_image, k.select(ends_image, 0, next_row))
            if moments is not None:
                moments.end(tiles=k.sub(end, first))

    @property
    def operands(self) -> list[str]:
        """The output, and what has its shape."""
        return ["y", *(name for name in ("mask", "add") if getattr(self.epilogue, name))]

    def prefetch_outputs(self, place: Place, pixels: int) -> None:
        """Bring nearer what `keep` will write and read for so many pixels, while the sums are made."""
        k = self.k
        for name in self.operands:
            start = k.at(place.of(k, name), place.channel)
            for pixel in range(pixels):
                for part in range(0, self.wide, LINE_FLOATS):
                    k.prefetch(k.at(start, self.step(name, pixel), part), write=name == "y")

    def keep(self, sums: Sequence[Value], place: Place, moments: Moments | None) -> None:
        """The way of sums to memory, from those of pixel `place.done` on."""
        k = self.k
        outputs = {name: k.at(place.of(k, name), place.channel) for name in self.operands}
        if self.epilogue.bias:
            bias = k.at(k["bias"], place.channel)
            biases = [k.load(k.at(bias, i * self.lanes), vector(self.lanes)) for i in range(self.vectors)]
            sums = [k.fadd(value, biases[i % self.vectors]) for i, value in enumerate(sums)]
        if moments is not None:
            with k.when(place.first):
                moments.guess(sums)
        once = self.epilogue.add or self.epilogue.moments  # what the tile before has done must not be done again
        if self.is_exact and not once:
            self.store_whole(sums, outputs, moments)
            return
        left = k.sub(k["channels"], place.channel)
        whole = k.compare("sge", left, self.wide)
        done = number(0, INT)
        if once:
            done = place.done
            whole = k.binary("and", whole, k.compare("eq", done, 0))
        yes, no, after = k.label("whole"), k.label("part"), k.label("after")
        k.branch(whole, yes, no)
        k.begin(yes)
        self.store_whole(sums, outputs, moments)
        k.jump(after)
        k.begin(no)
        self.store_part(sums, outputs, moments, done, left)
        k.jump(after)
        k.begin(after)

    def store_whole(self, sums: Sequence[Value], outputs: dict[str, Value], moments: Moments | None) -> None:
        """All of a tile goes to memory, straight from the registers."""
        k = self.k
        stored: list[list[Value]] = []
        for p in range(len(sums) // self.vectors):
            places = {name: k.at(pointer, self.step(name, p)) for name, pointer in outputs.items()}
            stored.append([])
            for i in range(self.vectors):
                here = {name: k.at(pointer, i * self.lanes) for name, pointer in places.items()}
                stored[p].append(self.finish(sums[p * self.vectors + i], here, None))
        if moments is not None:
            for i in range(self.vectors):
                moments.take(i, [row[i] for row in stored])

    def store_part(
        self,
        sums: Sequence[Value],
        outputs: dict[str, Value],
        moments: Moments | None,
        done: Value,
        left: Value,
    ) -> None:
        """Only pixels from `done` on and `left` channels go to memory; by way of the stack, to keep this short."""
        k, lanes = self.k, self.lanes
        kept = k.stack(len(sums) * lanes)
        for i, value in enumerate(sums):
            k.store(value, k.at(kept, i * lanes), align=4 * lanes)
        with k.loop(done, len(sums) // self.vectors, runs=True) as pixel:
            places = {name: k.at(pointer, self.step(name, pixel.index)) for name, pointer in outputs.items()}
            row = k.at(kept, k.mul(pixel.index, self.wide))
            for i in range(self.vectors):
                here = {name: k.at(pointer, i * lanes) for name, pointer in places.items()}
                mask = k.lanes_below(k.sub(left, i * lanes), lanes)
                value = k.load(k.at(row, i * lanes), vector(lanes), align=4 * lanes)
                value = self.finish(value, here, mask)
                if moments is not None:
                    moments.take(i, [value])

    def finish(self, value: Value, places: dict[str, Value], lanes: Value | None) -> Value:
        """The epilogue of one vector, and its store; returns what was stored."""
        k = self.k

        def load(name: str) -> Value:
            if lanes is None:
                return k.load(places[name], value.type)
            return k.masked_load(places[name], value.type, lanes)

        if self.epilogue.mask:
            value = k.select(k.compare("ogt", load("mask"), 0.0), value, 0.0)
        if self.epilogue.add:
            value = k.fadd(value, load("add"))
        if self.epilogue.relu:
            value = k.select(k.compare("olt", value, 0.0), 0.0, value)  # NaN stays
        if lanes is None:
            k.store(value, places["y"])
        else:
            k.masked_store(value, places["y"], lanes)
        return value


@dataclass(slots=True)
class Moments:
    """Mean and squared deviations of a shard, of one chunk after the other.

    Within a chunk, deviations from a guess of the mean are summed: from the mean so far, or, in the first chunk, from
    that of the first tile. Chunks are merged by the formula of Chan, Golub and LeVeque (1983), so that no large
    squares are subtracted.
    """

    of: Tiling
    shard: Value
    channel: Value
    sums: Value  # on the stack
    before: Value  # so many tiles of the shard are done

    @property
    def parts(self) -> list[int]:
        """The first channel of every vector."""
        return [i * self.of.lanes for i in range(self.of.vectors)]

    def row(self, which: int, at: int) -> Value:
        """Where the guess (0), the sum of deviations (1), or that of their squares (2) is kept."""
        return self.of.k.at(self.sums, which * self.of.wide + at)

    def result(self, which: int, at: int) -> Value:
        """Where the shard's means (0) or squared deviations (1) are."""
        k = self.of.k
        row = k.mul(k.add(k.mul(self.shard, 2), which), k["moments_shard"])
        return k.at(k["moments"], row, self.channel, at)

    def clear(self) -> None:
        """Before the tiles of a chunk."""
        k, wide = self.of.k, vector(self.of.lanes)
        for at in self.parts:
            k.store(k.load(self.result(0, at), wide), self.row(0, at))
            for which in (1, 2):
                k.store(number(0.0, wide), self.row(which, at))

    def guess(self, sums: Sequence[Value]) -> None:
        """In the first tile of a shard, a first guess of the mean: that of the tile."""
        k, vectors = self.of.k, self.of.vectors
        for i, at in enumerate(self.parts):
            total = reduce(k.fadd, sums[i::vectors])
            k.store(k.fmul(total, vectors / len(sums)), self.row(0, at))

    def take(self, part: int, values: Sequence[Value]) -> None:
        """Count values of one part of the channels."""
        k, wide = self.of.k, vector(self.of.lanes)
        at = part * self.of.lanes
        guess, total, squares = (k.load(self.row(which, at), wide) for which in range(3))
        deviations = [k.fsub(value, guess) for value in values]
        sums, products = deviations[:CHAINS], [k.fmul(value, value) for value in deviations[:CHAINS]]
        for after, value in enumerate(deviations[CHAINS:]):
            chain = after % CHAINS
            sums[chain] = k.fadd(sums[chain], value)
            products[chain] = k.fma(value, value, products[chain])
        k.store(k.fadd(total, _added(k, sums)), self.row(1, at))
        k.store(k.fadd(squares, _added(k, products)), self.row(2, at))

    def end(self, tiles: Value) -> None:
        """After the tiles of a chunk, so many of them: merge them into the shard's results."""
        k, lanes = self.of.k, self.of.lanes
        done, now = (self.of.pixels_of(count) for count in (self.before, k.add(self.before, tiles)))
        old, new = (k.cast("sitofp", count, FLOAT) for count in (done, k.sub(now, done)))
        share = k.fdiv(new, k.fadd(old, new))
        inverse, share, weight = (k.splat(v, lanes) for v in (k.fdiv(1.0, new), share, k.fmul(old, share)))
        empty = k.compare("eq", self.before, 0)
        for at in self.parts:
            guess, total, squares = (k.load(self.row(which, at), vector(lanes)) for which in range(3))
            shift = k.fmul(total, inverse)
            mean, deviations = (k.select(empty, 0.0, k.load(self.result(which, at), vector(lanes))) for which in (0, 1))
            delta = k.fsub(k.fadd(guess, shift), mean)
            inner = k.fsub(squares, k.fmul(total, shift))
            k.store(k.fma(delta, share, mean), self.result(0, at))
            k.store(k.fma(k.fmul(delta, delta), weight, k.fadd(deviations, inner)), self.result(1, at))


def _added(k: Writer, values: Sequence[Value]) -> Value:
    """The sum of values, by pairs."""
    while len(values) > 1:
        pairs = [k.fadd(a, b) for a, b in zip(values[::2], values[1::2], strict=False)]
        values = [*pairs, *values[2 * len(pairs) :]]
    return values[0]

"""The micro-kernel behind convolutions and matrix products: a tile of pixels x channels that stays in registers.

For each tile, over all taps and input channels: broadcast one float per pixel, load the vectors of one row of weights,
multiply and add. A tile is P pixels of one row by Q blocks of 16 channels; its accumulators fill the registers. Weights
lie packed, [O/16][taps][I][16], so that a row of a block is one cache line and is read in order.

What a tile computes is described by counts and strides only, all of them slots, in floats:

    y[image, row, pixel, channel] = epilogue(sum over tap row, tap column, depth of
        x[image, row, pixel, tap row, tap column, depth] * w[image, block, tap row, tap column, depth, channel % 16])

so one kernel serves convolutions of any size, stride and dilation, the gradients of their inputs (taps run backwards,
`x` and `w` step with the strides of a residue class), linear layers (one image, one row, a pixel per example) and
batched matrix products (an image per matrix).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, reduce

from .formula import SHARDS
from .ir import FLOAT, INT, Value, Writer, number, vector
from .kernel import Kernel, Slot
from .target import Target

BLOCK = 16  # channels that lie side by side in packed weights: one cache line


@dataclass(frozen=True, slots=True, kw_only=True)
class Epilogue:
    """What happens to a sum before it is stored, in this order.

    Attributes:
        bias: add the channel's bias; `bias` is padded to whole blocks.
        mask: zero where `mask`, which has the shape of the output, is not positive: the gradient of a ReLU.
        add: add `add`, which has the shape of the output and may be the output itself: residual branches, and
            gradients of a value used twice.
        relu: max(v, 0).
        statistics: mean and sum of squared deviations of what is stored, per channel and shard of the images; see
            `statistics.py`.
    """

    bias: bool = False
    mask: bool = False
    add: bool = False
    relu: bool = False
    statistics: bool = False

    @property
    def name(self) -> str:
        """The parts that are there."""
        parts = [part for part in ("bias", "mask", "add", "relu", "statistics") if getattr(self, part)]
        return "_".join(parts) or "plain"


PLAIN = Epilogue()
COUNTS = ("images", "height", "width", "tiles", "chunk", "channels", "tap_rows", "tap_columns", "depth")
X_STRIDES = ("x_image", "x_row", "x_pixel", "x_tap_row", "x_tap_column", "x_ahead")
W_STRIDES = ("w_image", "w_block", "w_tap_row", "w_tap_column")


def statistics_row(channels: int) -> int:
    """Floats from the means of a shard to its squared deviations, and from there to the next shard."""
    return -(-(channels + BLOCK - 1) // BLOCK) * BLOCK  # the last block of a group may begin anywhere


def strides_of(operand: str) -> tuple[str, str, str]:
    """The slots with the strides of an operand that has the shape of the output."""
    return f"{operand}_image", f"{operand}_row", f"{operand}_pixel"


def tile_slots(epilogue: Epilogue, strided: bool) -> tuple[Slot, ...]:
    """The slots of a tile kernel: pointers, counts, strides."""
    like_output = ["y", *(name for name in ("mask", "add") if getattr(epilogue, name))]
    pointers = ["x", "w", *like_output]
    numbers = [*COUNTS, *X_STRIDES, *W_STRIDES, *(name for operand in like_output for name in strides_of(operand))]
    if epilogue.bias:
        pointers.append("bias")
    if epilogue.statistics:
        pointers.append("statistics")
        numbers.append("statistics_shard")
    if strided:
        numbers += ["x_depth", "w_depth"]
    return (*(Slot(name, "ptr") for name in pointers), *(Slot(name, "i64") for name in numbers))


@cache
def emit_tile(target: Target, *, pixels: int, blocks: int, epilogue: Epilogue = PLAIN, strided: bool = False) -> Kernel:
    """The kernel of one tile size.

    Args:
        target: the CPU.
        pixels: P, at most the width of the output's rows.
        blocks: Q, at most the number of blocks of the output; a whole multiple of it is computed, so the caller
            launches what is left over with a smaller one.
        epilogue: what is done to the sums.
        strided: steps of `x` and `w` along the depth are the slots `x_depth` and `w_depth` instead of 1 and 16: for
            matrices that are not packed.

    The slots:
        x, w, y: pointers to the first element that is used; `bias`, `mask`, `add`, `statistics` with the epilogue.
        images, height, width: of the output. A matrix is one row.
        tiles: tiles per row, ceil(width / P); the last one overlaps the one before it.
        chunk: tiles that are computed for one group of blocks before the next: what keeps weights in the cache. With
            statistics, a multiple of `height * tiles`.
        channels: of the output, of which the last block may have fewer than 16.
        tap_rows, tap_columns, depth: what is summed over; no taps make zeros.
        x_ahead: from a tile to what will be wanted soon, in floats: a pixel's first cache line is prefetched there.
        x_image, x_row, x_pixel, x_tap_row, x_tap_column; w_image, w_block, w_tap_row, w_tap_column; y_image, y_row,
        y_pixel, the same for `mask` and `add`; statistics_shard; x_depth, w_depth: strides in floats. Where a depth
        or the channels of a block end, up to 16 floats behind them are read and not used.
    """
    shape = f"{pixels}x{blocks * BLOCK}{'_strided' if strided else ''}"
    name = f"tile_{shape}_{epilogue.name}_v{target.width}"
    return _Tile(Writer(name, target, tile_slots(epilogue, strided)), pixels, blocks, epilogue, strided).write()


@dataclass(slots=True)
class _Place:
    """Where a tile is: `block` its first block, `tile` its number in its row."""

    block: Value
    tile: Value
    row: Value
    image: Value
    first: Value  # whether it is the very first that this thread, or this shard, computes


@dataclass(slots=True)
class _Tile:
    """The parts of a tile kernel, in the order in which they nest."""

    k: Writer
    pixels: int
    blocks: int
    epilogue: Epilogue
    strided: bool

    @property
    def lanes(self) -> int:
        return self.k.target.width

    @property
    def vectors(self) -> int:
        """Vectors per pixel."""
        return self.blocks * BLOCK // self.lanes

    def write(self) -> Kernel:
        k = self.k
        per_image = k.mul(k["height"], k["tiles"])
        if self.epilogue.statistics:
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
        """For each group of blocks, the tiles from `first` on, at most a chunk and before `stop`."""
        k = self.k
        end = k.least(k.add(first, k["chunk"]), stop)
        image, within = k.div(first, per_image), k.rem(first, per_image)
        row, tile = k.div(within, k["tiles"]), k.rem(within, k["tiles"])
        count = k.div(k.add(k["channels"], BLOCK - 1), BLOCK)
        last_group = k.sub(count, self.blocks - 1)
        with k.loop(0, last_group, step=self.blocks) as block:
            statistics = None
            if shard is not None:
                sums = k.stack(3 * self.blocks * BLOCK)
                statistics = _Statistics(self, shard, block.index, per_image, sums, k.sub(first, start))
                statistics.clear()
            with k.loop(first, end, carried=[tile, row, image], runs=True) as tiles:
                at_tile, at_row, at_image = tiles.values
                place = _Place(block.index, at_tile, at_row, at_image, k.compare("eq", tiles.index, start))
                self.tile(place, statistics)
                ends_row = k.compare("eq", k.add(place.tile, 1), k["tiles"])
                next_row = k.select(ends_row, k.add(place.row, 1), place.row)
                ends_image = k.compare("eq", next_row, k["height"])
                tiles.carry(
                    k.select(ends_row, 0, k.add(place.tile, 1)),
                    k.select(ends_image, 0, next_row),
                    k.select(ends_image, k.add(place.image, 1), place.image),
                )
            if statistics is not None:
                statistics.end(tiles=k.sub(end, first))

    def tile(self, place: _Place, statistics: _Statistics | None) -> None:
        """One tile: its sums, then their way to memory."""
        k = self.k
        pixel = k.least(k.mul(place.tile, self.pixels), k.sub(k["width"], self.pixels))
        x = k.at(k["x"], k.mul(place.image, k["x_image"]), k.mul(place.row, k["x_row"]), k.mul(pixel, k["x_pixel"]))
        w = k.at(k["w"], k.mul(place.image, k["w_image"]), k.mul(place.block, k["w_block"]))
        for p in range(self.pixels):
            k.prefetch(k.at(x, k["x_ahead"], k.mul(k["x_pixel"], p)))
        sums = self.sums(x, w)
        outputs = {
            name: k.at(
                k[name],
                *(
                    k.mul(at, k[stride])
                    for at, stride in zip((place.image, place.row, pixel), strides_of(name), strict=True)
                ),
                k.mul(place.block, BLOCK),
            )
            for name in ("y", "mask", "add")
            if name == "y" or getattr(self.epilogue, name)
        }
        if self.epilogue.bias:
            bias = k.at(k["bias"], k.mul(place.block, BLOCK))
            biases = [k.load(k.at(bias, i * self.lanes), vector(self.lanes)) for i in range(self.vectors)]
            sums = [k.fadd(value, biases[i % self.vectors]) for i, value in enumerate(sums)]
        if statistics is not None:
            with k.when(place.first):
                statistics.guess(sums)
        left = k.sub(k["channels"], k.mul(place.block, BLOCK))
        whole = k.compare("sge", left, self.blocks * BLOCK)
        done = number(0, INT)
        if self.epilogue.add or self.epilogue.statistics:  # what the tile before has done must not be done again
            done = k.sub(k.mul(place.tile, self.pixels), pixel)
            whole = k.binary("and", whole, k.compare("eq", done, 0))
        yes, no, after = k.label("whole"), k.label("part"), k.label("after")
        k.branch(whole, yes, no)
        k.begin(yes)
        self.store_whole(sums, outputs, statistics)
        k.jump(after)
        k.begin(no)
        self.store_part(sums, outputs, statistics, done, left)
        k.jump(after)
        k.begin(after)

    def sums(self, x: Value, w: Value) -> list[Value]:
        """The accumulators of a tile, pixel by pixel."""
        k, lanes = self.k, self.lanes
        zeros = [Value("zeroinitializer", vector(lanes))] * (self.pixels * self.vectors)
        count = k.mul(k["tap_rows"], k["tap_columns"])
        with k.loop(0, count, carried=[x, w, number(0, INT), *zeros]) as taps:
            x, w, column, *sums = taps.values
            starts = [k.at(x, k.mul(k["x_pixel"], p)) for p in range(self.pixels)]
            with k.loop(0, k["depth"], carried=sums, runs=True) as depth:
                x_step, w_step = depth.index, k.mul(depth.index, BLOCK)
                if self.strided:
                    x_step, w_step = k.mul(depth.index, k["x_depth"]), k.mul(depth.index, k["w_depth"])
                rows = [k.at(w, w_step, k.mul(k["w_block"], q)) for q in range(self.blocks)]
                parts = BLOCK // lanes
                weights = [k.load(k.at(row, i * lanes), vector(lanes)) for row in rows for i in range(parts)]
                sums = list(depth.values)
                for p, start in enumerate(starts):
                    value = k.splat(k.load(k.at(start, x_step)), lanes)
                    for i, weight in enumerate(weights):
                        at = p * self.vectors + i
                        sums[at] = k.fma(value, weight, sums[at])
                depth.carry(*sums)
            # The last column of taps is followed by the first one of the next row.
            column = k.add(column, 1)
            ends = k.compare("eq", column, k["tap_columns"])
            back = k.sub(k["tap_columns"], 1)
            next_x = k.select(ends, k.sub(k["x_tap_row"], k.mul(back, k["x_tap_column"])), k["x_tap_column"])
            next_w = k.select(ends, k.sub(k["w_tap_row"], k.mul(back, k["w_tap_column"])), k["w_tap_column"])
            taps.carry(k.at(x, next_x), k.at(w, next_w), k.select(ends, 0, column), *depth.results)
        return list(taps.results[3:])

    def store_whole(self, sums: Sequence[Value], outputs: dict[str, Value], statistics: _Statistics | None) -> None:
        """All of a tile goes to memory, straight from the registers."""
        k = self.k
        stored: list[list[Value]] = []
        for p in range(self.pixels):
            places = {name: k.at(pointer, k.mul(k[f"{name}_pixel"], p)) for name, pointer in outputs.items()}
            stored.append([])
            for i in range(self.vectors):
                here = {name: k.at(pointer, i * self.lanes) for name, pointer in places.items()}
                stored[p].append(self.finish(sums[p * self.vectors + i], here, None))
        if statistics is not None:
            for i in range(self.vectors):
                statistics.take(i, [row[i] for row in stored])

    def store_part(
        self,
        sums: Sequence[Value],
        outputs: dict[str, Value],
        statistics: _Statistics | None,
        done: Value,
        left: Value,
    ) -> None:
        """Only pixels from `done` on and `left` channels go to memory; by way of the stack, to keep this short."""
        k, lanes = self.k, self.lanes
        wide = self.vectors * lanes
        kept = k.stack(self.pixels * wide)
        for i, value in enumerate(sums):
            k.store(value, k.at(kept, i * lanes), align=4 * lanes)
        with k.loop(done, self.pixels, runs=True) as pixel:
            places = {name: k.at(pointer, k.mul(k[f"{name}_pixel"], pixel.index)) for name, pointer in outputs.items()}
            row = k.at(kept, k.mul(pixel.index, wide))
            for i in range(self.vectors):
                here = {name: k.at(pointer, i * lanes) for name, pointer in places.items()}
                mask = k.lanes_below(k.sub(left, i * lanes), lanes)
                value = k.load(k.at(row, i * lanes), vector(lanes), align=4 * lanes)
                value = self.finish(value, here, mask)
                if statistics is not None:
                    statistics.take(i, [value])

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
class _Statistics:
    """Mean and squared deviations of a shard, a chunk at a time.

    Within a chunk, deviations from a guess of the mean are summed: from the mean so far, or, in the first chunk, from
    that of the first tile. Chunks are merged by the formula of Chan, Golub and LeVeque (1983), so that no large
    squares are subtracted.
    """

    of: _Tile
    shard: Value
    block: Value
    per_image: Value
    sums: Value  # on the stack
    before: Value  # so many tiles of the shard are done

    @property
    def parts(self) -> list[int]:
        return [i * self.of.lanes for i in range(self.of.vectors)]

    def row(self, which: int, at: int) -> Value:
        """Where the guess (0), the sum of deviations (1), or that of their squares (2) is kept."""
        return self.of.k.at(self.sums, which * self.of.blocks * BLOCK + at)

    def result(self, which: int, at: int) -> Value:
        """Where the shard's means (0) or squared deviations (1) are."""
        k = self.of.k
        row = k.mul(k.add(k.mul(self.shard, 2), which), k["statistics_shard"])
        return k.at(k["statistics"], row, k.mul(self.block, BLOCK), at)

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
            k.store(k.fmul(total, 1 / self.of.pixels), self.row(0, at))

    def take(self, part: int, values: Sequence[Value]) -> None:
        """Count values of one part of the channels."""
        k, wide = self.of.k, vector(self.of.lanes)
        at = part * self.of.lanes
        guess, total, squares = (k.load(self.row(which, at), wide) for which in range(3))
        for value in values:
            deviation = k.fsub(value, guess)
            total = k.fadd(total, deviation)
            squares = k.fma(deviation, deviation, squares)
        k.store(total, self.row(1, at))
        k.store(squares, self.row(2, at))

    def end(self, tiles: Value) -> None:
        """After the tiles of a chunk, so many of them: merge them into the shard's results."""
        k, lanes = self.of.k, self.of.lanes
        area = k.mul(k["height"], k["width"])
        old, new = (
            k.cast("sitofp", k.mul(k.div(count, self.per_image), area), FLOAT) for count in (self.before, tiles)
        )
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

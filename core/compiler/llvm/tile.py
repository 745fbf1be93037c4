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
from functools import cache

from .ir import INT, Operand, Value, Writer, number, vector
from .kernel import Kernel
from .target import Target
from .tiling import LINE_FLOATS, PLAIN, TILE_COUNTS, Epilogue, Moments, Place, Tiling, output_slots, slots_of

BLOCK = LINE_FLOATS  # channels that lie side by side in packed weights

TAP_COUNTS = ("tap_rows", "tap_columns", "depth")
X_STRIDES = ("x_image", "x_row", "x_pixel", "x_tap_row", "x_tap_column", "x_ahead")
W_STRIDES = ("w_image", "w_block", "w_tap_row", "w_tap_column")


@cache
def emit_tile(
    target: Target,
    *,
    pixels: int,
    blocks: int,
    epilogue: Epilogue = PLAIN,
    strided: bool = False,
    matrices: bool = False,
    exact: bool = False,
) -> Kernel:
    """The kernel of one tile size.

    Args:
        target: the CPU.
        pixels: P, at most the width of the output's rows.
        blocks: Q, at most the number of blocks of the output; a whole multiple of it is computed, so the caller
            launches what is left over with a smaller one.
        epilogue: what is done to the sums.
        strided: steps of `x` and `w` along the depth are the slots `x_depth` and `w_depth` instead of 1 and 16: for
            matrices that are not packed.
        matrices: `height`, `tap_rows` and `tap_columns` are 1. A tile then takes less beside its products, which
            small matrices notice.
        exact: `channels` is a multiple of 16.

    The slots:
        x, w, y: pointers to the first element that is used; `bias`, `mask`, `add`, `moments` with the epilogue.
        images, height, width: of the output. A matrix is one row.
        tiles: tiles per row, ceil(width / P); the last one overlaps the one before it.
        chunk: tiles that are computed for one group of blocks before the next: what keeps weights in the cache.
        channels: of the output, of which the last block may have fewer than 16.
        tap_rows, tap_columns, depth: what is summed over; no taps make zeros.
        x_ahead: from a tile to what will be wanted soon, in floats: a pixel's first cache line is prefetched there.
        x_image, x_row, x_pixel, x_tap_row, x_tap_column; w_image, w_block, w_tap_row, w_tap_column; y_image, y_row,
        y_pixel, the same for `mask` and `add`; moments_shard; x_depth, w_depth: strides in floats. Where a depth
        or the channels of a block end, up to 16 floats behind them are read and not used.
    """
    shape = f"{pixels}x{blocks * BLOCK}{'_strided' if strided else ''}"
    kind = f"{'_rows' if matrices else ''}{'_exact' if exact else ''}"
    name = f"tile_{shape}{kind}_{epilogue.name}_v{target.width}"
    pointers, numbers = output_slots(epilogue)
    steps = ("x_depth", "w_depth") if strided else ()
    slots = slots_of(["x", "w", *pointers], [*TILE_COUNTS, *TAP_COUNTS, *X_STRIDES, *W_STRIDES, *numbers, *steps])
    k, vectors = Writer(name, target, slots), blocks * BLOCK // target.width
    return _Tile(k, pixels, vectors, epilogue, strided, matrices, exact).write()


@dataclass(slots=True)
class _Tile(Tiling):
    """Sums of products over taps and depth. The fields are those of `emit_tile`."""

    strided: bool
    matrices: bool
    exact: bool

    @property
    def one_row(self) -> bool:
        return self.matrices

    @property
    def is_exact(self) -> bool:
        return self.exact

    @property
    def blocks(self) -> int:
        return self.wide // BLOCK

    def channels(self) -> Value:
        return whole_groups(self.k, self.blocks)

    def begin(self, channel: Value) -> None:
        """Weights are read as they are used."""

    def tile(self, place: Place, moments: Moments | None) -> None:
        self.keep(self.sums(place), place, moments)

    def sums(self, place: Place) -> list[Value]:
        """The vectors of a tile, pixel by pixel."""
        k, lanes = self.k, self.lanes
        x = place.of(k, "x")
        w = k.at(k["w"], k.mul(place.image, k["w_image"]), k.mul(k.div(place.channel, BLOCK), k["w_block"]))
        for p in range(self.pixels):
            k.prefetch(k.at(x, k["x_ahead"], k.mul(k["x_pixel"], p)))
        zeros = [Value("zeroinitializer", vector(lanes))] * (self.pixels * self.vectors)
        steps = (k["x_depth"], k["w_depth"]) if self.strided else (1, BLOCK)
        if self.matrices:
            starts = [k.at(x, k.mul(k["x_pixel"], p)) for p in range(self.pixels)]
            return list(add_products(k, zeros, starts, w, depth=k["depth"], steps=steps))
        count = k.mul(k["tap_rows"], k["tap_columns"])
        with k.loop(0, count, carried=[x, w, number(0, INT), *zeros]) as taps:
            x, w, column, *sums = taps.values
            starts = [k.at(x, k.mul(k["x_pixel"], p)) for p in range(self.pixels)]
            added = add_products(k, sums, starts, w, depth=k["depth"], steps=steps)
            # The last column of taps is followed by the first one of the next row.
            column = k.add(column, 1)
            ends = k.compare("eq", column, k["tap_columns"])
            back = k.sub(k["tap_columns"], 1)
            next_x = k.select(ends, k.sub(k["x_tap_row"], k.mul(back, k["x_tap_column"])), k["x_tap_column"])
            next_w = k.select(ends, k.sub(k["w_tap_row"], k.mul(back, k["w_tap_column"])), k["w_tap_column"])
            taps.carry(k.at(x, next_x), k.at(w, next_w), k.select(ends, 0, column), *added)
        return list(taps.results[3:])


def whole_groups(k: Writer, blocks: int) -> Value:
    """The channel before which groups of so many blocks end; `channels` is a slot."""
    count = k.div(k.add(k["channels"], BLOCK - 1), BLOCK)
    return k.mul(k.sub(count, blocks - 1), BLOCK)


def add_products(
    k: Writer,
    sums: Sequence[Value],
    starts: Sequence[Value],
    w: Value,
    *,
    depth: Value,
    steps: tuple[Operand, Operand] = (1, BLOCK),
    at_once: int = 1,
) -> tuple[Value, ...]:
    """Add to every sum the products along the depth of its pixel and its channels.

    Args:
        k: what is written to; with a slot `w_block`, if there are several blocks.
        sums: vectors of blocks of channels, pixel by pixel.
        starts: where the depth of every pixel begins.
        w: where the weights begin.
        depth: how long it is, > 0.
        steps: along it, in x and w.
        at_once: places of the depth in a turn of the loop; it is a multiple of that.
    """
    lanes, vectors = k.target.width, len(sums) // len(starts)
    parts = BLOCK // lanes
    with k.loop(0, depth, step=at_once, carried=sums, runs=True) as at:
        sums = at.values
        for more in range(at_once):
            x_step, w_step = (k.mul(k.add(at.index, more), step) for step in steps)
            rows = [k.at(w, w_step, k.mul(k["w_block"], q) if q else 0) for q in range(vectors // parts)]
            weights = [k.load(k.at(row, i * lanes), vector(lanes)) for row in rows for i in range(parts)]
            new: list[Value] = []
            for start in starts:
                value = k.splat(k.load(k.at(start, x_step)), lanes)
                new += [k.fma(value, weight, sums[len(new) + i]) for i, weight in enumerate(weights)]
            sums = new
        at.carry(*sums)
    return at.results

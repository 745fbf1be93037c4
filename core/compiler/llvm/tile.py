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

from dataclasses import dataclass
from functools import cache

from .ir import INT, Value, Writer, number, vector
from .kernel import Kernel
from .target import Target
from .tiling import LINE_FLOATS, PLAIN, TILE_COUNTS, Epilogue, Place, Tiling, output_slots, slots_of

BLOCK = LINE_FLOATS  # channels that lie side by side in packed weights

TAP_COUNTS = ("tap_rows", "tap_columns", "depth")
X_STRIDES = ("x_image", "x_row", "x_pixel", "x_tap_row", "x_tap_column", "x_ahead")
W_STRIDES = ("w_image", "w_block", "w_tap_row", "w_tap_column")


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
        x, w, y: pointers to the first element that is used; `bias`, `mask`, `add`, `moments` with the epilogue.
        images, height, width: of the output. A matrix is one row.
        tiles: tiles per row, ceil(width / P); the last one overlaps the one before it.
        chunk: tiles that are computed for one group of blocks before the next: what keeps weights in the cache. With
            moments, a multiple of `height * tiles`.
        channels: of the output, of which the last block may have fewer than 16.
        tap_rows, tap_columns, depth: what is summed over; no taps make zeros.
        x_ahead: from a tile to what will be wanted soon, in floats: a pixel's first cache line is prefetched there.
        x_image, x_row, x_pixel, x_tap_row, x_tap_column; w_image, w_block, w_tap_row, w_tap_column; y_image, y_row,
        y_pixel, the same for `mask` and `add`; moments_shard; x_depth, w_depth: strides in floats. Where a depth
        or the channels of a block end, up to 16 floats behind them are read and not used.
    """
    shape = f"{pixels}x{blocks * BLOCK}{'_strided' if strided else ''}"
    name = f"tile_{shape}_{epilogue.name}_v{target.width}"
    pointers, numbers = output_slots(epilogue)
    steps = ("x_depth", "w_depth") if strided else ()
    slots = slots_of(["x", "w", *pointers], [*TILE_COUNTS, *TAP_COUNTS, *X_STRIDES, *W_STRIDES, *numbers, *steps])
    return _Tile(Writer(name, target, slots), pixels, blocks * BLOCK // target.width, epilogue, strided).write()


@dataclass(slots=True)
class _Tile(Tiling):
    """Sums of products over taps and depth."""

    strided: bool

    @property
    def blocks(self) -> int:
        return self.wide // BLOCK

    def channels(self) -> Value:
        k = self.k
        blocks = k.div(k.add(k["channels"], BLOCK - 1), BLOCK)
        return k.mul(k.sub(blocks, self.blocks - 1), BLOCK)  # whole groups of blocks

    def begin(self, channel: Value) -> None:
        """Weights are read as they are used."""

    def sums(self, place: Place) -> list[Value]:
        k, lanes = self.k, self.lanes
        x = place.of(k, "x")
        w = k.at(k["w"], k.mul(place.image, k["w_image"]), k.mul(k.div(place.channel, BLOCK), k["w_block"]))
        for p in range(self.pixels):
            k.prefetch(k.at(x, k["x_ahead"], k.mul(k["x_pixel"], p)))
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

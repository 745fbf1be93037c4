"""Gradients of weights whose factors are copies: of windows of the input, and of the gradient of the output.

Beside `weight_gradient`, which reads both where they lie, this costs a copy for each block of the other side, and is
faster where there are several: strides between pixels make cache lines meet, and each line is read for some of its
floats only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .ir import Operand, Value, Writer, vector
from .kernel import Kernel
from .launch import Launch
from .panels import Item, Panels, panel_slots
from .sharding import gradient_offsets
from .target import Target
from .tile import BLOCK
from .tile_launch import Taps, blocks_of

FEWEST_CHANNELS = 32  # of each side, that are worth copies
AHEAD = 8  # outputs, so far before they are copied what is copied is prefetched
TAPS = ("tap_rows", "tap_columns", "x_tap_row", "x_tap_column", "x_ahead", "y_ahead")


@cache
def emit_panel_gradient(
    target: Target, *, blocks: int, partial: bool = False, pointwise: bool = True, packed: bool = True
) -> Kernel:
    """The kernel for some blocks of channels.

    Args:
        target: the CPU.
        blocks: of 16 channels; a whole multiple of it is computed.
        partial: whether `channels` may be no multiple of 16.
        pointwise: there is one tap.
        packed: else the result is a matrix, and the pointers are named as those of the tile kernel: it is the product
            x.T @ w = y.

    The slots are those of `panel_slots`, a square being one output, and:
        tap_rows, tap_columns: of the weights, [block of channels][taps][depth][16] if packed.
        x_tap_row, x_tap_column: strides in floats; x_row and x_pixel are those between outputs.
        x_ahead, y_ahead: from what is copied to what will be wanted soon, in floats.
    """
    names = ("x", "y", "result") if packed else ("x", "w", "y")
    kinds = {"pointwise": pointwise and packed, "partial": partial}
    what = ["panel_gradient" if packed else "panel_product", *(kind for kind, there in kinds.items() if there)]
    k = Writer(f"{'_'.join(what)}_{blocks * BLOCK}_v{target.width}", target, panel_slots(*TAPS, of=names))
    return _PanelGradient(k, blocks, partial, names, pointwise).write()


@dataclass(slots=True)
class _PanelGradient(Panels):
    """A plane for each tap, and one frequency."""

    pointwise: bool

    @property
    def plane_count(self) -> Operand:
        if self.pointwise:
            return 1
        return self.k.mul(self.k["tap_rows"], self.k["tap_columns"])

    @property
    def frequency_count(self) -> int:
        return 1

    def planes_of(self, frequency: Value) -> Operand:
        return self.plane_count

    @property
    def square_size(self) -> int:
        return 1

    def make_data(self, start: Value, to: Value, place: Value) -> None:
        """What the taps see."""
        k = self.k
        if self.pointwise:
            self._copy(start, to)
            return
        with k.loop(0, k["tap_rows"], carried=[start, to], runs=True) as row:
            line, to = row.values
            with k.loop(0, k["tap_columns"], carried=[line, to], runs=True) as column:
                here, to = column.values
                self._copy(here, to)
                column.carry(k.at(here, k["x_tap_column"]), k.at(to, k.mul(k["batch"], BLOCK)))
            row.carry(k.at(line, k["x_tap_row"]), column.results[1])

    def _copy(self, start: Value, to: Value) -> None:
        k = self.k
        k.prefetch(k.at(start, k["x_ahead"]))
        for part in range(0, BLOCK, self.lanes):
            k.store(k.load(k.at(start, part), vector(self.lanes)), k.at(to, part))

    def make_gradients(self, start: Value, to: Value, channel: Value) -> None:
        """The gradient of one output."""
        k, wide = self.k, vector(self.lanes)
        for part in range(0, self.wide, BLOCK):
            k.prefetch(k.at(start, k["y_ahead"], part))
        for part in range(0, self.wide, self.lanes):
            mask, at = self.mask("channels", k.add(channel, part)), k.at(start, part)
            k.store(k.load(at, wide) if mask is None else k.masked_load(at, wide, mask), k.at(to, part))


def in_panels(inputs: int, outputs: int) -> bool:
    """Whether the gradient of weights between so many channels is computed this way."""
    return inputs % BLOCK == 0 and min(inputs, outputs) >= FEWEST_CHANNELS


def panel_launches(
    target: Target,
    taps: Taps,
    channels: int,
    common: dict[str, int | float],
    offsets: tuple[int, int, int],
    item: Item,
    *,
    packed: bool = True,
) -> list[Launch]:
    """The launches for all blocks of one group of channels.

    Args:
        target: the CPU.
        taps: of the weights.
        channels: of the output.
        common: what is the same for all launches: how images lie and are shared.
        offsets: of the input, the gradient of the output and the result.
        item: how much a thread takes.
        packed: see `emit_panel_gradient`.
    """
    blocks, planes = blocks_of(channels), taps.rows * taps.columns
    common = {name: value for name, value in common.items() if name not in ("height", "width")} | {
        "rows": common["height"],
        "columns": common["width"],
        "x_ahead": AHEAD * common["x_pixel"],
        "y_ahead": AHEAD * common["y_pixel"],
        "w_place": common.get("w_place", BLOCK),
    }
    launches: list[Launch] = []
    for done, together, here in item.runs(blocks):
        there = min(channels - done * BLOCK, here * BLOCK)
        numbers = common | taps.numbers | item.numbers(planes, 1, together) | {"channels": there}
        starts = gradient_offsets(offsets, done, taps.w_block, packed=packed)
        launches.append(
            Launch(
                kernel=emit_panel_gradient(
                    target, blocks=together, partial=there % BLOCK > 0, pointwise=planes == 1, packed=packed
                ),
                numbers=numbers,
                offsets=starts | {"scratch": 0},
                scratch=int(numbers["scratch.thread"]),
            )
        )
    return launches

"""The gradient of rows taken from a table: rows of gradients added up by the number of the row they came from.

Each thread owns a part of the table, reads all numbers, and adds those that are its own, in order: no two threads write
one row, and the sum of a row does not depend on how many there are. The forward pass is `Formula.table`.
"""

from __future__ import annotations

from functools import lru_cache

from .elementwise import Tile
from .ir import INT, Value, Writer, number, vector
from .kernel import Kernel, Slot
from .memory import over_channels
from .target import Target


@lru_cache(64)
def emit_row_gradient(target: Target, tile: Tile) -> Kernel:
    """A table of sums of rows. Negative numbers count from its end; those beyond the table add to its nearest row.

    Returns:
        Slots: `count` rows of gradients, `rows` of the table, `channels`; `numbers`, `[count]` int64; `g` and `table`,
        each with `name.row`, the distance of its rows in elements.
    """
    slots = [Slot(name, "i64") for name in ("count", "rows", "channels")] + [Slot("numbers", "ptr")]
    for name in ("g", "table"):
        slots += [Slot(name, "ptr"), Slot(f"{name}.row", "i64")]
    k = Writer(f"row_gradient_w{target.width}x{tile.vectors}{'t' if tile.tail else ''}", target, tuple(slots))
    floats = vector(target.width)

    def read(pointer: Value, mask: Value | None) -> Value:
        return k.load(pointer, floats) if mask is None else k.masked_load(pointer, floats, mask)

    def write(value: Value, pointer: Value, mask: Value | None) -> None:
        if mask is None:
            k.store(value, pointer)
        else:
            k.masked_store(value, pointer, mask)

    first, end = k.share(k["rows"])
    with k.loop(first, end) as rows:
        cleared = k.at(k["table"], k.mul(rows.index, k["table.row"]))
        over_channels(
            k, tile.vectors, tile.tail, lambda channel, mask: write(number(0.0, floats), k.at(cleared, channel), mask)
        )
    with k.loop(0, k["count"]) as gradients:
        row = k.load(k.at(k["numbers"], gradients.index, element=INT), INT, align=8)
        row = k.select(k.compare("slt", row, 0), k.add(row, k["rows"]), row)
        row = k.most(k.least(row, k.sub(k["rows"], 1)), 0)
        with k.when(k.binary("and", k.compare("sge", row, first), k.compare("slt", row, end))):
            source = k.at(k["g"], k.mul(gradients.index, k["g.row"]))
            into = k.at(k["table"], k.mul(row, k["table.row"]))

            def add(channel: Value, mask: Value | None) -> None:
                total = k.fadd(read(k.at(into, channel), mask), read(k.at(source, channel), mask))
                write(total, k.at(into, channel), mask)

            over_channels(k, tile.vectors, tile.tail, add)
    return k.kernel()

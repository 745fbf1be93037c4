"""Squares of neighbouring outputs, and the windows that they see: how kernels go from one to the next and read them."""

from __future__ import annotations

from collections.abc import Sequence

from .geometry import Pair
from .ir import Value, Writer, vector
from .tiling import strides_of
from .winograd import OUTPUTS


def find_square(k: Writer, at: Value) -> tuple[Value, Value, Value]:
    """The image, the row and the column of a square; of images of `rows` x `columns` squares, two slots."""
    line, column = k.div(at, k["columns"]), k.rem(at, k["columns"])
    return k.div(line, k["rows"]), k.rem(line, k["rows"]), column


def next_square(k: Writer, image: Value, row: Value, column: Value) -> tuple[Value, Value, Value]:
    """Those of the square behind one."""
    column, next_row = k.add(column, 1), k.add(row, 1)
    ends = k.compare("eq", column, k["columns"])
    last = k.binary("and", ends, k.compare("eq", next_row, k["rows"]))
    return (
        k.select(last, k.add(image, 1), image),
        k.select(last, 0, k.select(ends, next_row, row)),
        k.select(ends, 0, column),
    )


def corner(
    k: Writer, operand: str, square: Sequence[Value], *, size: int = OUTPUTS, start: Value | None = None
) -> Value:
    """Where a square of `size` x `size` pixels begins in an operand; `start` where it is called otherwise."""
    steps = zip(square, strides_of(operand), (1, size, size), strict=True)
    return k.at(start or k[operand], *(k.mul(at, k[stride], times) for at, stride, times in steps))


def load_window(
    k: Writer, start: Value, window: Pair, mask: Value | None = None, *, operand: str = "x"
) -> list[list[Value]]:
    """A vector of channels of every pixel of a window; only some lanes of them with a mask, and zeros."""
    wide = vector(k.target.width)
    rows: list[list[Value]] = []
    for row in range(window[0]):
        line = k.at(start, k.mul(k[f"{operand}_row"], row))
        places = [k.at(line, k.mul(k[f"{operand}_pixel"], column)) for column in range(window[1])]
        rows.append([k.load(at, wide) if mask is None else k.masked_load(at, wide, mask) for at in places])
    return rows


def prefetch_below(k: Writer, start: Value, rows: int, *, operand: str = "x") -> None:
    """Bring nearer what the square below this one sees beyond its rows: a cache line of channels of each pixel."""
    for row in range(rows, rows + OUTPUTS):
        line = k.at(start, k.mul(k[f"{operand}_row"], row))
        for column in range(OUTPUTS):
            k.prefetch(k.at(line, k.mul(k[f"{operand}_pixel"], column)))

"""Curves on a terminal, in braille: two by four dots a character."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

_BLANK: Final = 0x2800
# The bit of the dot in column 0 or 1 and row 0 to 3 of a character.
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def line_chart(values: Sequence[float], steps: Sequence[int], width: int = 80, height: int = 16) -> str:
    """A curve as lines of text: the highest and lowest value at the left, the first and last step below.

    Args:
        values: of the curve; where one is NaN or infinite there is a gap, and a line below says how many there are.
        steps: of the values, ascending.
        width: columns of the whole, at least 20.
        height: lines of the curve, at least 2.
    """
    width, height = max(width, 20), max(height, 2)
    points = [(step, value) for step, value in zip(steps, values, strict=True) if math.isfinite(value)]
    gaps = len(values) - len(points)
    if not points:
        return "no points" if not gaps else f"none of {gaps:,} points is finite"
    low, high = min(value for _, value in points), max(value for _, value in points)
    top, bottom = _say(high), _say(low)
    margin = max(len(top), len(bottom))
    columns = width - margin - 2
    grid = _draw(values, steps, columns, height, low, high)
    lines: list[str] = []
    for row in range(height):
        label = top if row == 0 else bottom if row == height - 1 else ""
        if low == high:
            label = top if row == height // 2 else ""
        tick = "┤" if label else "│"
        lines.append(f"{label:>{margin}} {tick}{''.join(chr(_BLANK + cell) for cell in grid[row])}".rstrip("\u2800 "))
    first, last = f"{steps[0]:,}", f"{steps[-1]:,}"
    lines.append(" " * (margin + 1) + "└" + "─" * columns)
    between = columns - len(first) - len(last)
    below = first if steps[0] == steps[-1] else first + " " * between + last if between > 0 else f"{first}..{last}"
    lines.append(" " * (margin + 2) + below)
    if gaps:
        lines.append(" " * (margin + 2) + f"{gaps:,} of {len(values):,} points are not finite")
    return "\n".join(lines)


def _draw(
    values: Sequence[float], steps: Sequence[int], columns: int, rows: int, low: float, high: float
) -> list[list[int]]:
    """The bits of the braille characters, by row and column."""
    grid = [[0] * columns for _ in range(rows)]
    wide, tall = columns * 2 - 1, rows * 4 - 1
    span_x, span_y = (steps[-1] - steps[0]) or 1, high - low

    def place(step: int, value: float) -> tuple[int, int]:
        # Halved before they are subtracted: the span of the largest floats is infinite.
        share = 0.5 if span_y == 0 else (value / 2 - low / 2) / (high / 2 - low / 2)
        return round((step - steps[0]) / span_x * wide), tall - round(share * tall)

    before: tuple[int, int] | None = None
    for step, value in zip(steps, values, strict=True):
        if not math.isfinite(value):
            before = None
            continue
        here = place(step, value)
        for x, y in _line(before or here, here):
            grid[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
        before = here
    return grid


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots from one place to another."""
    (x0, y0), (x1, y1) = start, end
    length = max(abs(x1 - x0), abs(y1 - y0), 1)
    return [(round(x0 + (x1 - x0) * i / length), round(y0 + (y1 - y0) * i / length)) for i in range(length + 1)]


def _say(value: float) -> str:
    """A value in at most five digits."""
    return f"{value:,.0f}" if value.is_integer() and 10 <= abs(value) < 1e6 else f"{value:.5g}"

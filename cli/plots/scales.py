"""Axes of figures: logarithmic where they span decades, and ticks as people say them."""

# matplotlib's stubs leave keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import (
    FixedLocator,
    Formatter,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from .words import MINUS, say_number

DECADES = 1.0  # from which span on an axis is logarithmic


def spans_decades(values: Sequence[float], decades: float = DECADES) -> bool:
    """Whether positive values span that many powers of ten; never where one is zero or below."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) >= 10**decades


def scale_axis(
    axes: Axes,
    which: Literal["x", "y"],
    values: Sequence[float],
    *,
    say: Callable[[float], str] = say_number,
    decades: float = DECADES,
    margin: float = 0.06,
) -> None:
    """Limits, scale and ticks of an axis that shows all of `values`, with some room at both ends.

    Args:
        axes: what the axis belongs to.
        which: the axis.
        values: finite ones are shown.
        say: writes a tick.
        decades: from how many on the axis is logarithmic.
        margin: room at each end, as a share of the span.
    """
    finite = [value for value in values if math.isfinite(value)]
    axis = axes.xaxis if which == "x" else axes.yaxis
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if spans_decades(finite, decades):
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        room = (high / low) ** margin
        set_limits(low / room, high * room)
        span = math.log10(high / low)
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 2 else (1,), numticks=12))
        axis.set_minor_locator(LogLocator(subs=tuple(range(2, 10)), numticks=40) if span < 6 else NullLocator())
    else:
        room = (high - low) * margin or abs(high) * 0.05 or 0.5
        set_limits(low - room, high + room)
        one = bool(finite) and low == high
        axis.set_major_locator(FixedLocator([low]) if one else MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axis.set_minor_locator(NullLocator())
    even = axis.get_scale() == "linear" and say is say_number
    axis.set_major_formatter(EvenFormatter() if even else _saying(say))
    axis.set_minor_formatter(NullFormatter())


class EvenFormatter(Formatter):
    """Ticks of one axis with the same number of decimals: 0.90 beside 0.85."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """One tick."""
        return self.format_ticks([x])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """All ticks."""
        if not len(values) or max(map(abs, values)) >= 1_000 or 0 < max(map(abs, values)) < 1e-3:
            return [say_number(value) for value in values]
        decimals = max(len(f"{value:.6g}".partition(".")[2]) for value in values)
        return [f"{value:.{decimals}f}".replace("-", MINUS) for value in values]


def count_axis(axes: Axes, low: float, high: float, *, which: Literal["x", "y"] = "x", room: float = 0.02) -> None:
    """An axis of whole numbers: epochs, rounds, releases."""
    pad = (high - low) * room or 0.5
    (axes.set_xlim if which == "x" else axes.set_ylim)(low - pad, high + pad)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(9, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(_saying(lambda value: f"{value:,.0f}" if abs(value) < 1e5 else say_number(value)))


def _saying(say: Callable[[float], str]) -> FuncFormatter:
    def tick(value: float, _: int | None) -> str:
        return say(value)

    return FuncFormatter(tick)

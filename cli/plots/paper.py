"""Charts on paper: titles above, panels whose labels fit, the run and its date below."""

# matplotlib's stubs leave keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from ...core import ConfigError
from ...storage import RunRecord
from .style import DARK, DPI, LIGHT, SMALL, TEXT, TINY, TITLE, Theme, drawing, dress
from .words import say_run, shorten

# Inches.
WIDTH = 9.0
MARGIN = 0.3
GAP = 0.3  # between panels
_TITLE_LINE, _TEXT_LINE, _KEY_LINE, _SPACE = 0.27, 0.185, 0.25, 0.1
_FOOTER = 0.42
_LETTERS = 134  # of a line of text as wide as the page


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart before it is on paper.

    Attributes:
        title: what it shows, of which run, on which data.
        subtitle: counts, and how to read it.
        height: inches for the panels and the labels of their axes.
        draw: draws into the frame it is given.
        keyed: room is kept for a key above the panels.
    """

    title: str
    subtitle: str
    height: float
    draw: Callable[[Frame], None]
    keyed: bool = False


class Stacked(tuple[Artist, ...]):
    """Marks that a key shows on top of each other."""

    __slots__ = ()


class Frame:
    """The part of a page that one chart may fill.

    Args:
        figure: the page.
        theme: its colours.
        box: left, bottom, right and top in inches.
        key_top: where a key would stand, inches from the bottom.
    """

    def __init__(self, figure: Figure, theme: Theme, box: tuple[float, float, float, float], key_top: float) -> None:
        self.figure = figure
        self.theme = theme
        self._box = box
        self._key_top = key_top
        self._panels: list[list[Axes]] = []
        self._heights: Sequence[float] = ()
        self._widths: Sequence[float] = ()
        self._gap = GAP
        self._later: list[Callable[[RendererAgg], None]] = []

    def panels(
        self,
        heights: Sequence[float] = (1,),
        widths: Sequence[float] = (1,),
        *,
        grid: str | None = None,
        share_x: bool = False,
        gap: float = GAP,
    ) -> list[list[Axes]]:
        """Rows of axes, their heights and widths in these proportions; called once per frame."""
        first: Axes | None = None
        for _ in heights:
            row: list[Axes] = []
            for _ in widths:
                axes = self.figure.add_axes((0.1, 0.1, 0.8, 0.8), sharex=first if share_x else None, label=str(id(row)))
                first = first or axes
                row.append(dress(axes, self.theme, grid=grid))
            self._panels.append(row)
        self._heights, self._widths, self._gap = heights, widths, gap
        self._spread([[(0.4, 0.3, 0.1, 0.1)] * len(widths)] * len(heights))
        return self._panels

    def later(self, action: Callable[[RendererAgg], None]) -> None:
        """Call `action` when the panels have their places: what it draws can go by pixels."""
        self._later.append(action)

    def key(self, entries: Sequence[tuple[Any, str]]) -> None:
        """What marks mean, in one line above the panels. A tuple of marks is shown as a sequence."""
        from matplotlib.legend_handler import HandlerTuple

        width, height = self.figure.get_size_inches()
        marks: list[Artist | tuple[Artist, ...]] = [mark for mark, _ in entries]
        legend = self.figure.legend(
            marks,  # pyright: ignore[reportArgumentType]
            [label for _, label in entries],
            loc="upper left",
            bbox_to_anchor=(self._box[0] / width, self._key_top / height),
            ncols=len(entries),
            frameon=False,
            borderpad=0,
            borderaxespad=0,
            handletextpad=0.5,
            columnspacing=1.8,
            fontsize=SMALL,
            labelcolor=self.theme.muted,
            handler_map={tuple: HandlerTuple(ndivide=None, pad=0.1), Stacked: HandlerTuple(ndivide=1)},
        )
        legend.set_in_layout(False)

    def settle(self, renderer: RendererAgg) -> None:
        """Give the panels their places, so that their labels stay in the frame; then do what was put off."""
        for _ in range(3):  # labels of ticks change with the size
            self._spread([[self._overhang(axes, renderer) for axes in row] for row in self._panels])
        for action in self._later:
            action(renderer)

    def _overhang(self, axes: Axes, renderer: RendererAgg) -> tuple[float, float, float, float]:
        """How far labels stick out of the axes: left, below, right, above, in inches."""
        axes.apply_aspect()
        inner, outer = axes.get_window_extent(renderer), axes.get_tightbbox(renderer)
        if outer is None:
            return (0, 0, 0, 0)
        sides = (inner.x0 - outer.x0, inner.y0 - outer.y0, outer.x1 - inner.x1, outer.y1 - inner.y1)
        left, below, right, above = (max(0.0, side / self.figure.dpi) for side in sides)
        return left, below, right, above

    def _spread(self, overhangs: Sequence[Sequence[tuple[float, float, float, float]]]) -> None:
        page_width, page_height = self.figure.get_size_inches()
        left, bottom, right, top = self._box
        lefts = [max(row[c][0] for row in overhangs) for c in range(len(self._widths))]
        rights = [max(row[c][2] for row in overhangs) for c in range(len(self._widths))]
        belows = [max(cell[1] for cell in row) for row in overhangs]
        aboves = [max(cell[3] for cell in row) for row in overhangs]
        wide = right - left - sum(lefts) - sum(rights) - self._gap * (len(lefts) - 1)
        high = top - bottom - sum(belows) - sum(aboves) - self._gap * 0.5 * (len(belows) - 1)
        wide, high = max(wide, 0.5), max(high, 0.5)
        y = top
        for r, row in enumerate(self._panels):
            height = high * self._heights[r] / sum(self._heights)
            y -= aboves[r] + height
            x = left
            for c, axes in enumerate(row):
                width = wide * self._widths[c] / sum(self._widths)
                x += lefts[c]
                axes.set_position((x / page_width, y / page_height, width / page_width, height / page_height))
                x += width + rights[c] + self._gap
            y -= belows[r] + self._gap * 0.5


def page(charts: Sequence[Chart], *, run: RunRecord, dark: bool = False) -> Figure:
    """Charts one below the other on one page.

    Args:
        charts: at least one.
        run: named at the foot with the time it started, so that a figure is found again.
        dark: light ink on dark paper.
    """
    if not charts:
        raise ConfigError("expected at least one chart, got none")
    theme = DARK if dark else LIGHT
    subtitles = [textwrap.wrap(chart.subtitle, _LETTERS) for chart in charts]
    heads = [
        _TITLE_LINE + _TEXT_LINE * len(lines) + (_KEY_LINE if chart.keyed else 0) + _SPACE
        for chart, lines in zip(charts, subtitles, strict=True)
    ]
    between = 0.3 * (len(charts) - 1)
    height = MARGIN + sum(heads) + sum(chart.height for chart in charts) + between + _FOOTER
    with drawing():
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=theme.paper)
        renderer = FigureCanvasAgg(figure).get_renderer()
        top = height - MARGIN
        for chart, lines, head in zip(charts, subtitles, heads, strict=True):
            title = _write(figure, chart.title, top, size=TITLE, color=theme.ink, weight="bold")
            letters = len(chart.title)
            while title.get_window_extent(renderer).width > (WIDTH - 2 * MARGIN) * DPI:
                letters -= 3
                title.set_text(shorten(chart.title, letters))
            for number, line in enumerate(lines):
                _write(figure, line, top - _TITLE_LINE - _TEXT_LINE * number, size=TEXT, color=theme.muted)
            bottom = top - head - chart.height
            key_top = top - _TITLE_LINE - _TEXT_LINE * len(lines) - 0.04
            frame = Frame(figure, theme, (MARGIN, bottom, WIDTH - MARGIN, top - head), key_top)
            chart.draw(frame)
            frame.settle(renderer)
            top = bottom - 0.3
        started = f"{run.started:%Y-%m-%d %H:%M} UTC"
        name = f"{run.kind if run.number is None else say_run(run)}  ·  {run.uid}"
        _write(figure, f"{name}  ·  {started}", 0.26, size=TINY, color=theme.muted)
        figure.text(1 - MARGIN / WIDTH, 0.26 / height, "nasturtium", ha="right", va="top", size=TINY, color=theme.muted)
    return figure


def _write(figure: Figure, text: str, top: float, **style: Any) -> Text:
    return figure.text(MARGIN / WIDTH, top / figure.get_size_inches()[1], text, ha="left", va="top", **style)

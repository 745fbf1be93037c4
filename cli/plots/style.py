"""How figures look: paper and ink, colours that people with any colour vision tell apart, one font, thin lines."""

# matplotlib's stubs leave keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap

# Sizes in points.
TITLE, TEXT, SMALL, TINY = 11.5, 8.5, 8.0, 7.0
DPI = 150  # of PNG files, and of what is drawn as pixels in the others
MAX_VECTORS = 2_000  # more points or lines than this are drawn as pixels, or an SVG file would have megabytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """A palette.

    Attributes:
        paper: the background.
        ink, muted, faint, grid: from what is read first to what is hardly seen.
        colours: of lines side by side, also under colour blindness; the first is the main one.
        alarm: refused, spent, wrong.
        ramp: colours of an order or a figure, from low (near the paper) to high.
        shades: one colour in strengths, for cells with text on them.
    """

    paper: str
    ink: str
    muted: str
    faint: str
    grid: str
    colours: tuple[str, ...]
    alarm: str
    ramp: tuple[str, ...]
    shades: tuple[str, ...]

    def colour(self, index: int) -> str:
        """The colour of line `index`; they repeat after the last."""
        return self.colours[index % len(self.colours)]

    def ramp_map(self) -> Colormap:
        """The ramp as a colour map."""
        return LinearSegmentedColormap.from_list("ramp", self.ramp)

    def shade_map(self) -> Colormap:
        """The shades as a colour map."""
        return LinearSegmentedColormap.from_list("shades", self.shades)


# The series differ under every simulated colour blindness, in lightness too, and text in them is readable (both are
# tested); the ramps are pieces of viridis, turned so that high figures stand out from the paper.
LIGHT = Theme(
    paper="#ffffff",
    ink="#1a1f26",
    muted="#5c6670",
    faint="#b4bcc5",
    grid="#e9ecef",
    colours=("#0064a6", "#d25300", "#17936c", "#7d2a6a", "#4d4a12", "#3b9acb"),
    alarm="#c2410c",
    ramp=("#9fda3a", "#4ac16d", "#1fa187", "#277f8e", "#365c8d", "#46327e", "#440154"),
    shades=("#cfe3f3", "#a9cce8", "#79b0d8", "#3d87bd", "#155a8f"),
)
DARK = Theme(
    paper="#12161c",
    ink="#e8ebee",
    muted="#9aa5b1",
    faint="#4d5864",
    grid="#232a33",
    colours=("#62b6f2", "#f2762a", "#149a72", "#edb4da", "#f6e6a5", "#8b84f0"),
    alarm="#ff7a45",
    ramp=("#6a5acd", "#4673b8", "#2b94a6", "#22b394", "#57cf78", "#a8e04a", "#fde725"),
    shades=("#1c3f61", "#215382", "#28618f", "#3f8bc4", "#7cc0f2"),
)

_OF_PROGRAMS = (
    "backend",
    "date.epoch",
    "docstring",
    "interactive",
    "savefig.directory",
    "timezone",
    "tk.",
    "toolbar",
    "webagg",
)
_SETTINGS: Any = {
    **{key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith(_OF_PROGRAMS)},
    "font.family": ["DejaVu Sans", "sans-serif"],  # the second is for viewers of an SVG file
    "font.size": TEXT,
    "text.parse_math": False,  # a dollar sign in a name is one
    "axes.unicode_minus": True,
    "path.simplify": True,
    "svg.fonttype": "none",  # text stays text: searchable, and small
    "svg.hashsalt": "nasturtium",  # the same figure, the same bytes
    "pdf.fonttype": 42,
}


@contextmanager
def drawing() -> Generator[None]:
    """Our settings instead of the user's matplotlibrc, for as long as something is built or written."""
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # Names may be in any script; an SVG viewer has the letters that our font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def dress(axes: Axes, theme: Theme, *, grid: str | None = None) -> Axes:
    """Thin spines at the left and below, quiet ticks, and a grid where one reads values off: "x", "y" or "both"."""
    axes.set_facecolor(theme.paper)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(theme.faint)
        spine.set_linewidth(0.8)
    axes.tick_params(which="major", length=3, width=0.8, color=theme.faint, labelcolor=theme.muted, labelsize=SMALL)
    axes.tick_params(which="minor", length=2, width=0.6, color=theme.faint, labelcolor=theme.muted, labelsize=TINY)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(theme.ink)
        axis.label.set_fontsize(TEXT)
    if grid is not None:
        axes.grid(visible=True, which="major", axis=grid, color=theme.grid, linewidth=0.8)  # pyright: ignore[reportArgumentType]
        axes.set_axisbelow(True)
    return axes

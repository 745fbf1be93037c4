"""The rounds of a federated training: what each site gave to each, how the model fared, what travelled."""

# matplotlib's stubs leave keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from ...storage import ContributionRecord, FederatedRecord, RoundRecord
from .labels import End, label_ends
from .paper import MARGIN, WIDTH, Chart, Frame, Stacked
from .scales import scale_axis
from .style import MAX_VECTORS, SMALL, TINY, Theme
from .words import count, nothing, say_bytes, say_counts, say_figure, say_number, say_run, shorten

_ROW: Final = (0.055, 0.25)  # inches a site has at least, and at most
_MAX_HEAT: Final = 6.0  # inches for all sites
_CURVES: Final = 1.35
_BYTES: Final = 1.35
_READABLE: Final = 0.3  # inches a cell is wide where it says its seconds
_MARKED: Final = 0.09  # inches a cell is wide and high where marks on it are seen
_NAMED: Final = 0.11  # inches a row is high where its site is named

_PLAIN: Final[dict[str, Any]] = {"lw": 1.2, "ls": (0, (3, 1.5))}

Floats = NDArray[np.float64]


class _Found(NamedTuple):
    """What stands in the cells of the heat map."""

    seconds: Floats  # sites by rounds; NaN where nothing was accepted
    rejected: Sequence[tuple[int, int]]
    clipped: Sequence[tuple[int, int]]  # those that are marked


def rounds_chart(
    federated: FederatedRecord,
    rounds: Sequence[RoundRecord],
    contributions: Mapping[int, Sequence[ContributionRecord]],
) -> Chart:
    """Accuracy and loss, sites by rounds, and bytes, on one axis of rounds.

    Args:
        federated: the training.
        rounds: in order.
        contributions: by the number of the round.

    Raises:
        ConfigError: there is no round yet.
    """
    if not rounds:
        raise nothing(federated.run, "no round", "wait until the first is over")
    sites = list(dict.fromkeys(given.client for each in rounds for given in contributions.get(each.number, ())))
    sites.sort(key=lambda site: (len(site), site))  # site-2 before site-10
    row = min(_ROW[1], max(_ROW[0], _MAX_HEAT / max(len(sites), 1)))
    heat = row * len(sites)
    curves = sum(any(getattr(each, name) is not None for each in rounds) for name in ("accuracy", "loss"))
    heights = [_CURVES] * curves + ([heat] if sites else []) + [_BYTES]
    return Chart(
        title=f"Rounds: {say_run(federated.run)} on {shorten(federated.run.name, 40)}",
        subtitle=_summary(federated, rounds, contributions, sites),
        height=sum(heights) + 0.3 * len(heights) + 0.45,
        keyed=True,
        draw=lambda frame: _draw(frame, rounds, contributions, sites, heights),
    )


def _summary(
    federated: FederatedRecord,
    rounds: Sequence[RoundRecord],
    contributions: Mapping[int, Sequence[ContributionRecord]],
    sites: Sequence[str],
) -> str:
    given = [each for number in contributions for each in contributions[number]]
    states = Counter("clipped" if each.clipped and each.state == "accepted" else each.state for each in given)
    missing = len(sites) * len(rounds) - len(given)
    accepted = states["accepted"] + states["clipped"]
    clipped = f"accepted ({states['clipped']:,} of them clipped)" if states["clipped"] else "accepted"
    counts = say_counts({clipped: accepted, "rejected": states["rejected"], "missing": missing})
    failed = sum(each.state == "failed" for each in rounds)
    reasons = Counter(shorten(each.reason, 50) for each in given if each.state == "rejected" and each.reason)
    why = "; ".join(f"{reason} ({number})" for reason, number in reasons.most_common(3))
    parts = [
        f"{count(len(sites) or federated.clients, 'site')}, {len(rounds):,} of {count(federated.rounds, 'round')}, "
        f"{federated.strategy}, updates under {federated.scheme}"
    ]
    parts += [f"updates: {counts}"] if counts else []
    parts += [f"{count(failed, 'round')} failed"] if failed else []
    parts += [f"rejected for: {why}"] if why else []
    return "; ".join(parts) + "."


def _draw(
    frame: Frame,
    rounds: Sequence[RoundRecord],
    contributions: Mapping[int, Sequence[ContributionRecord]],
    sites: Sequence[str],
    heights: Sequence[float],
) -> None:
    numbers = [each.number for each in rounds]
    first, last = min(numbers), max(numbers)
    panels = [row[0] for row in frame.panels(heights, share_x=True, gap=0.32)]
    below = iter(panels)
    for name, title, colour in (("accuracy", "validation\naccuracy", 0), ("loss", "validation\nloss", 1)):
        if any(getattr(each, name) is not None for each in rounds):
            axes = next(below)
            _curve(frame, axes, rounds, name, frame.theme.colours[colour])
            axes.set_ylabel(title)
    found = _heat(frame, next(below), numbers, contributions, sites) if sites else None
    _key(frame, found, rounds)
    bottom = next(below)
    _bytes(frame, bottom, rounds)
    bottom.set_xlabel("round")
    for axes in panels:
        axes.set_xlim(first - 0.5, last + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(15, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axes.xaxis.set_minor_locator(NullLocator())
        if axes is not bottom:
            axes.tick_params(labelbottom=False, bottom=False)
    frame.figure.align_ylabels(panels)
    failed = [each.number for each in rounds if each.state == "failed"]
    for number in failed[:200]:
        for axes in panels:
            axes.axvspan(number - 0.5, number + 0.5, color=frame.theme.alarm, alpha=0.08, lw=0, zorder=0)


def _curve(frame: Frame, axes: Axes, rounds: Sequence[RoundRecord], name: str, colour: str) -> None:
    known = [(each.number, value) for each in rounds if (value := getattr(each, name)) is not None]
    x = np.array([number for number, _ in known], np.float64)
    y = np.array([value for _, value in known], np.float64)
    finite = np.isfinite(y)
    dots: dict[str, Any] = {"marker": "o", "ms": 3} if len(x) <= 60 else {}
    axes.plot(x, np.where(finite, y, np.nan), color=colour, lw=1.6 if len(x) <= 200 else 1.0, **dots)
    axes.grid(visible=True, axis="y", color=frame.theme.grid, lw=0.8)
    if not finite.all():
        edge = axes.get_xaxis_transform()
        axes.scatter(x[~finite], np.full(int((~finite).sum()), 0.06), s=20, marker="x", color=colour, transform=edge)
    scale_axis(axes, "y", list(y), decades=math.inf if name == "accuracy" else 2.0, margin=0.15)
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    if finite.any():
        end = End(x=x[finite][-1], y=y[finite][-1], text=say_figure(name, y[finite][-1]), colour=colour, bold=True)
        label_ends(frame, axes, [end])


def _heat(
    frame: Frame,
    axes: Axes,
    numbers: Sequence[int],
    contributions: Mapping[int, Sequence[ContributionRecord]],
    sites: Sequence[str],
) -> _Found:
    theme = frame.theme
    first = numbers[0]
    width = max(numbers) - first + 1
    row = {site: index for index, site in enumerate(sites)}
    seconds = np.full((len(sites), width), np.nan)
    colours = np.tile(np.array(_missing(theme)), (len(sites), width, 1))
    rejected: list[tuple[int, int]] = []
    clipped: list[tuple[int, int]] = []
    for number in numbers:
        for given in contributions.get(number, ()):
            place = (row[given.client], number - first)
            if given.state == "rejected":
                rejected.append(place)
                continue
            seconds[place] = given.seconds
            if given.clipped:
                clipped.append(place)
    shares = _shares(seconds)
    shade = theme.shade_map()
    known = np.isfinite(shares)
    colours[known] = shade(shares[known])
    for place in rejected:
        colours[place] = to_rgba(theme.alarm)
    left, right = first - 0.5, first + width - 0.5
    axes.imshow(colours, extent=(left, right, len(sites) - 0.5, -0.5), aspect="auto", interpolation="nearest")
    axes.set_ylim(len(sites) - 0.5, -0.5)
    cell_wide = (WIDTH - 2 * MARGIN - 1.6) / width
    cell_high = min(_ROW[1], max(_ROW[0], _MAX_HEAT / len(sites)))
    if cell_high > 0.1 and cell_wide > 0.06:
        for edge in range(1, len(sites)):
            axes.axhline(edge - 0.5, color=theme.paper, lw=1.2)
        for edge in range(1, width):
            axes.axvline(first + edge - 0.5, color=theme.paper, lw=1.2)
    marked = min(cell_wide, cell_high) >= _MARKED
    if marked:
        _marks(axes, theme, rejected, clipped, first, min(cell_wide, cell_high))
    if cell_wide >= _READABLE and cell_high >= 0.15:
        for y, x in zip(*np.nonzero(known), strict=True):
            ink = _readable(theme, tuple(colours[y, x]))
            axes.text(
                first + x, y, _say_seconds(float(seconds[y, x])), ha="center", va="center", fontsize=TINY, color=ink
            )
    every = max(1, math.ceil(_NAMED / cell_high))
    axes.set_yticks(range(0, len(sites), every), [shorten(site, 18) for site in sites[::every]])
    axes.tick_params(axis="y", length=0, labelsize=SMALL if cell_high >= 0.16 else TINY * 0.9)
    axes.spines[["left", "bottom"]].set_visible(False)
    return _Found(seconds, rejected, clipped if marked else [])


def _shares(seconds: Floats) -> Floats:
    """Seconds as strengths of shade, by their logarithm where they span a decade."""
    known = seconds[np.isfinite(seconds)]
    if not len(known):
        return seconds
    low, high = float(known.min()), float(known.max())
    if high <= low:
        return np.where(np.isfinite(seconds), 0.45, np.nan)
    if low > 0 and high / low >= 10:
        return np.log(seconds / low) / math.log(high / low)
    return (seconds - low) / (high - low)


def _marks(
    axes: Axes,
    theme: Theme,
    rejected: Sequence[tuple[int, int]],
    clipped: Sequence[tuple[int, int]],
    first: int,
    cell: float,
) -> None:
    """A cross on what was refused, a corner on what was clipped: seen also without colours."""
    size = (cell * 72 * 0.45) ** 2
    corner = MarkerStyle("^")
    cross = MarkerStyle("x")
    for places, mark, colour in ((rejected, cross, theme.paper), (clipped, corner, theme.colours[1])):
        if places:
            y, x = np.array(places, np.float64).T
            if mark is corner:
                x, y, size = x + 0.39, y - 0.3, size * 0.25
            x += first
            axes.scatter(x, y, s=size, marker=mark, color=colour, linewidths=1.1, rasterized=len(x) > MAX_VECTORS)


def _readable(theme: Theme, cell: tuple[float, ...]) -> str:
    """Ink or paper, whichever is seen better on a cell."""

    def light(colour: Any) -> float:
        red, green, blue, _ = to_rgba(colour)
        return 0.299 * red + 0.587 * green + 0.114 * blue

    return max((theme.ink, theme.paper), key=lambda colour: abs(light(colour) - light(cell)))


def _say_seconds(seconds: float) -> str:
    return f"{seconds:.2g}" if seconds < 10 else say_number(round(seconds))


def _key(frame: Frame, found: _Found | None, rounds: Sequence[RoundRecord]) -> None:
    """What the marks mean of those that there are."""
    theme = frame.theme
    entries: list[tuple[Any, str]] = []
    if found is not None:
        known = found.seconds[np.isfinite(found.seconds)]
        if len(known):
            low, high = float(known.min()), float(known.max())
            shade = theme.shade_map()
            blocks = tuple(Patch(color=shade(share), lw=0) for share in (0.0, 0.33, 0.67, 1.0))
            span = f"{_say_seconds(low)} to {_say_seconds(high)} s" if high > low else f"{_say_seconds(low)} s"
            entries.append((blocks, f"accepted, after {span}"))
        if found.clipped:
            entries.append((Line2D([], [], ls="none", marker="^", ms=5, color=theme.colours[1]), "clipped"))
        if found.rejected:
            cross = Line2D([], [], ls="none", marker="x", ms=4.5, mew=1.2, color=theme.paper)
            entries.append((Stacked((Patch(color=theme.alarm, lw=0), cross)), "rejected"))
        if len(found.rejected) + len(known) < found.seconds.size:
            entries.append((Patch(facecolor=_missing(theme), edgecolor=theme.faint, lw=0.6), "no answer"))
    if any(each.state == "failed" for each in rounds):
        entries.append((Patch(color=theme.alarm, alpha=0.15, lw=0), "round failed"))
    figures = [figure for each in rounds for figure in (each.accuracy, each.loss) if figure is not None]
    if not all(map(math.isfinite, figures)):
        entries.append((Line2D([], [], ls="none", marker="x", ms=5, color=theme.ink), "not finite"))
    if any(each.bytes_plain is not None for each in rounds):
        entries.append((Line2D([], [], color=theme.muted, **_PLAIN), "float32: the updates in the clear"))
    if entries:
        frame.key(entries)


def _missing(theme: Theme) -> tuple[float, float, float, float]:
    return to_rgba(theme.grid, 0.55)


def _bytes(frame: Frame, axes: Axes, rounds: Sequence[RoundRecord]) -> None:
    theme = frame.theme
    x = [each.number for each in rounds]
    up, down = [float(each.bytes_up) for each in rounds], [float(each.bytes_down) for each in rounds]
    lines: list[tuple[str, list[float], str, dict[str, Any]]] = [
        ("up", up, theme.colours[2], {"lw": 2.6}),  # seen also where the other lies on it
        ("down", down, theme.colours[3], {"lw": 1.2}),
    ]
    if any(each.bytes_plain is not None for each in rounds):
        plain = [math.nan if each.bytes_plain is None else float(each.bytes_plain) for each in rounds]
        lines.append(("float32", plain, theme.muted, _PLAIN))
    ends: list[End] = []
    dots: dict[str, Any] = {"marker": "o", "ms": 3} if len(x) <= 60 else {}
    if len(x) > 200:
        lines = [(name, values, colour, {**style, "lw": 0.8}) for name, values, colour, style in lines]
    for name, values, colour, style in lines:
        axes.plot(x, values, color=colour, **style, **dots)
        number, value = [point for point in zip(x, values, strict=True) if math.isfinite(point[1])][-1]
        ends.append(End(x=number, y=value, text=f"{name} {say_bytes(value)}", colour=colour))
    axes.grid(visible=True, axis="y", color=theme.grid, lw=0.8)
    finite = [[value for value in line if math.isfinite(value)] for _, line, _, _ in lines]
    values = [value for line in finite for value in line]
    usual = [float(np.median(line)) for line in finite]
    wide = min(usual) > 0 and max(usual) / min(usual) >= 30
    shown = [value for value in values if value > 0] if wide else [0.0, *values]
    scale_axis(axes, "y", shown, say=say_bytes, decades=1 if wide else 99, margin=0.12)
    if not wide:
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.set_ylim(bottom=0)
    axes.set_ylabel("bytes\na round")
    label_ends(frame, axes, ends)

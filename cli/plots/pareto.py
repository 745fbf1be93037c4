"""The goal against size, or against the other goals: every trial of a search, and the front of those unbeaten."""

# matplotlib's stubs leave keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ...storage import SearchRecord, TrialRecord
from ..fronts import figure_of
from .labels import Label, place_labels
from .paper import Chart, Frame
from .scales import scale_axis
from .style import MAX_VECTORS, SMALL
from .trials import Shown, count_states, front, last_attempts, with_value
from .words import command_for, count, nothing, say_counts, say_metric, say_run, shorten


def pareto_chart(search: SearchRecord, trials: Sequence[TrialRecord]) -> Chart:
    """The first goal of a search against the others; where there are less than two others, against size as well.

    Args:
        search: what was searched.
        trials: its trials, all attempts.

    Raises:
        ConfigError: no trial is completed.
    """
    once = last_attempts(trials)
    completed = with_value(search, once, "completed")
    pruned = with_value(search, once, "pruned")
    if not completed:
        raise nothing(
            search.run, "no completed trial", f"let it go on, or see what failed with: {command_for(search.run)}"
        )
    members = front(search, completed)
    goal, across = search.objectives[0][0], _across(search)
    said = _capital(say_metric(goal).removeprefix("validation "))
    against = "size" if all(axis.size for axis in across) else say_metric(across[0].name)
    subtitle = (
        f"{count(len(once), 'trial')} of space {shorten(search.space, 24)} by {shorten(search.sampler, 24)}: "
        f"{say_counts(count_states(once))}. Numbers are trials."
    )
    return Chart(
        title=f"{said} against {against}: {say_run(search.run)} on {shorten(search.run.name, 40)}",
        subtitle=subtitle,
        height=4.0,
        keyed=True,
        draw=lambda frame: _draw(frame, search, across, completed, pruned, members),
    )


@dataclass(frozen=True, slots=True)
class _Across:
    """What a panel has along its horizontal axis; `sign` is -1 where less of it is better."""

    name: str
    sign: int

    @property
    def size(self) -> bool:
        """Whether it is one of the sizes that every network has."""
        return self.name in _SIZES


_SIZES = ("parameters", "macs")
_ALL = {2: "both", 3: "all three"}


def _across(search: SearchRecord) -> tuple[_Across, _Across]:
    others = {name: _Across(name, 1 if direction == "maximize" else -1) for name, direction in search.objectives[1:]}
    every = others | {name: _Across(name, -1) for name in _SIZES if name not in (search.objectives[0][0], *others)}
    first, second = [*every.values(), _Across(_SIZES[0], -1)][:2]
    return first, second


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _draw(
    frame: Frame,
    search: SearchRecord,
    across: Sequence[_Across],
    completed: Sequence[Shown],
    pruned: Sequence[Shown],
    members: Sequence[Shown],
) -> None:
    [[left, right]] = frame.panels(widths=(1, 1), grid="y", gap=0.25)
    worst, best = _range(completed, members)
    for axes, axis in ((left, across[0]), (right, across[1])):
        told = [[each for each in shown if _is_told(each, axis.name)] for shown in (completed, pruned, members)]
        if told[0]:
            _panel(frame, axes, axis, told[0], told[1], told[2], worst)
            scale_axis(axes, "x", [_figure(each, axis.name) for each in (*told[0], *told[1])])
        scale_axis(axes, "y", sorted((worst, best)), decades=9, margin=0.09)
        axes.set_xlabel(say_metric(axis.name))
    left.set_ylabel(say_metric(search.objectives[0][0]))
    right.tick_params(left=False, labelleft=False)
    figures = 3 if len(search.objectives) == 1 else len(search.objectives)
    _key(frame, bool(pruned), len(completed) > 1, figures=figures, by_size=across[0].sign < 0)


def _figure(shown: Shown, name: str) -> float:
    return float(figure_of(shown.trial, name) or 0.0)


def _is_told(shown: Shown, name: str) -> bool:
    value = figure_of(shown.trial, name)
    return value is not None and math.isfinite(value)


def _range(completed: Sequence[Shown], members: Sequence[Shown]) -> tuple[float, float]:
    """The worst and the best value that is shown: the front and all but stragglers, by Tukey's fence."""
    merits = np.array([each.merit for each in completed])
    lower, upper = np.quantile(merits, [0.25, 0.75])
    fence = lower - 1.5 * (upper - lower)
    shown = [*merits[merits >= fence], *(each.merit for each in members)]
    sign = completed[0].sign
    return sign * float(min(shown)), sign * float(max(shown))


def _panel(
    frame: Frame,
    axes: Axes,
    axis: _Across,
    completed: Sequence[Shown],
    pruned: Sequence[Shown],
    members: Sequence[Shown],
    worst: float,
) -> None:
    theme = frame.theme
    main = theme.colours[1]
    sign = completed[0].sign

    def places(shown: Sequence[Shown]) -> NDArray[np.float64]:
        return np.array([(_figure(each, axis.name), each.value) for each in shown], np.float64).reshape(-1, 2)

    done, stopped = places(completed), places(pruned)
    pixels = len(done) + len(stopped) > MAX_VECTORS
    size = 16 if len(done) <= 200 else 7
    inside, beyond = sign * stopped[:, 1] >= sign * worst, sign * stopped[:, 1] < sign * worst
    axes.scatter(
        *stopped[inside].T,
        s=size,
        facecolors="none",
        edgecolors=theme.muted,
        linewidths=0.7,
        rasterized=pixels,
        zorder=2,
    )
    order = np.linspace(0, 1, len(done))  # trials come by number
    look: dict[str, Any] = {"cmap": theme.ramp_map(), "vmin": 0, "vmax": 1, "alpha": 0.7, "linewidths": 0}
    axes.scatter(*done.T, c=order, s=size, rasterized=pixels, zorder=3, **look)
    _mark_beyond(frame, axes, done[sign * done[:, 1] < sign * worst], stopped[beyond], worst, sign, pixels=pixels)
    steps = _staircase(done, axis.sign, sign)
    far = _far_end(np.concatenate([done[:, 0], stopped[:, 0]]), axis.sign)
    corners = _corners(np.concatenate([steps, [[far, steps[-1, 1]]]]))
    axes.plot(*corners.T, color=main, lw=1.4, solid_joinstyle="miter", zorder=4)
    chosen = places(members)
    axes.scatter(*chosen.T, s=20, color=main, edgecolors=theme.paper, linewidths=0.7, zorder=5)
    labels: list[Label] = []
    if members:
        best = members[0]
        star: dict[str, Any] = {"s": 150, "marker": "*", "color": main, "edgecolors": theme.paper, "linewidths": 0.8}
        axes.scatter(_figure(best, axis.name), best.value, zorder=6, **star)
        labels = [
            Label(
                x=_figure(each, axis.name),
                y=each.value,
                text=f"{each.name}: {each.value:.4f}" if each is best else each.name,
                colour=theme.ink,
                bold=each is best,
            )
            for each in members
        ]
    around = np.concatenate([done, stopped[inside]])
    place_labels(frame, axes, labels, avoid=around[-MAX_VECTORS:], lines=[corners])


def _staircase(points: NDArray[np.float64], across: int, up: int) -> NDArray[np.float64]:
    """The points that no other beats in these two figures, from the best along to the best up.

    Args:
        points: shape (n, 2).
        across, up: 1 where more of a figure is better, -1 where less is.
    """
    along, merit = -across * points[:, 0], up * points[:, 1]
    ordered = np.lexsort((-merit, along))
    best = np.maximum.accumulate(merit[ordered])
    return points[ordered[np.concatenate([[True], best[1:] > best[:-1]])]]


def _far_end(along: NDArray[np.float64], sign: int) -> float:
    """Where the staircase ends: past the point that is the worst along."""
    low, high = float(along.min()), float(along.max())
    if sign < 0:
        return high + 0.5 * abs(high)
    return low / 1.5 if low > 0 else low - 0.5 * ((high - low) or 1.0)


def _corners(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """A staircase through points: along first, then up."""
    corners = np.repeat(steps, 2, axis=0)
    corners[1:, 1] = np.repeat(steps[:, 1], 2)[:-1]
    return corners[:-1]


def _mark_beyond(
    frame: Frame,
    axes: Axes,
    completed: NDArray[np.float64],
    pruned: NDArray[np.float64],
    worst: float,
    sign: int,
    *,
    pixels: bool,
) -> None:
    """Trials worse than what is shown: a triangle each at the edge they are beyond, and how many they are."""
    if not len(completed) + len(pruned):
        return
    muted = frame.theme.muted
    for points, face in ((completed, muted), (pruned, "none")):
        axes.scatter(
            points[:, 0],
            np.full(len(points), 0.018 if sign > 0 else 0.982),
            s=14,
            marker="v" if sign > 0 else "^",
            transform=axes.get_xaxis_transform(),
            facecolors=face,
            edgecolors=muted,
            linewidths=0.7,
            rasterized=pixels,
            zorder=2,
        )
    counts = say_counts({"completed": len(completed), "pruned": len(pruned)}).replace(", ", " and ")
    axes.text(
        0.99,
        0.035 if sign > 0 else 0.965,
        f"{counts} {'below' if sign > 0 else 'above'} {worst:.3g}",
        transform=axes.transAxes,
        ha="right",
        va="bottom" if sign > 0 else "top",
        fontsize=SMALL,
        color=muted,
        bbox={"facecolor": frame.theme.paper, "edgecolor": "none", "pad": 1.5},
    )


def _key(frame: Frame, pruned: bool, several: bool, *, figures: int, by_size: bool) -> None:
    theme = frame.theme
    ramp, main = theme.ramp_map(), theme.colours[1]

    def mark(**style: Any) -> Line2D:
        look: dict[str, Any] = {"marker": "o", "ls": "none", "ms": 4.5, "mew": 0, **style}
        return Line2D([], [], **look)

    shares = (0.0, 0.25, 0.5, 0.75, 1.0) if several else (0.5,)
    completed = tuple(mark(color=ramp(share), alpha=0.8) for share in shares)
    entries: list[tuple[Any, str]] = [(completed, "completed, first to last" if several else "completed")]
    if pruned:
        entries.append((mark(mfc="none", mec=theme.muted, mew=0.8), "pruned (when stopped)"))
    entries.append((Line2D([], [], color=main, lw=1.4), "best up to each size" if by_size else "best from there on"))
    entries.append((mark(color=main, ms=5.5), f"unbeaten in {_ALL.get(figures, 'all')} figures"))
    entries.append((mark(marker="*", color=main, ms=10), "best"))
    frame.key(entries)

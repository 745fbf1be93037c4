"""Accuracy against size: every trial of a search, and the front of those that no smaller network beats."""

# matplotlib's stubs leave keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ...storage import SearchRecord, TrialRecord
from .labels import Label, place_labels
from .paper import Chart, Frame
from .scales import scale_axis
from .style import MAX_VECTORS, SMALL
from .trials import Shown, count_states, front, last_attempts, with_accuracy
from .words import count, nothing, say_counts, say_metric, say_run, shorten


def pareto_chart(search: SearchRecord, trials: Sequence[TrialRecord]) -> Chart:
    """Validation accuracy against parameters, and against multiply-accumulates.

    Args:
        search: what was searched.
        trials: its trials, all attempts.

    Raises:
        ConfigError: no trial is completed.
    """
    once = last_attempts(trials)
    completed = with_accuracy(once, "completed")
    pruned = with_accuracy(once, "pruned")
    if not completed:
        raise nothing(
            search.run, "no completed trial", "let it go on, or see what failed with: nasturtium history show"
        )
    members = front(completed)
    subtitle = (
        f"{count(len(once), 'trial')} of space {shorten(search.space, 24)} by {shorten(search.sampler, 24)}: "
        f"{say_counts(count_states(once))}. Numbers are trials."
    )
    return Chart(
        title=f"Accuracy against size: {say_run(search.run)} on {shorten(search.run.name, 40)}",
        subtitle=subtitle,
        height=4.0,
        keyed=True,
        draw=lambda frame: _draw(frame, completed, pruned, members),
    )


def _draw(frame: Frame, completed: Sequence[Shown], pruned: Sequence[Shown], members: Sequence[Shown]) -> None:
    [[left, right]] = frame.panels(widths=(1, 1), grid="y", gap=0.25)
    floor, ceiling = _range(completed, members)
    for axes, figure in ((left, "parameters"), (right, "macs")):
        _panel(frame, axes, figure, completed, pruned, members, floor)
        scale_axis(axes, "x", [getattr(each, figure) for each in (*completed, *pruned)])
        scale_axis(axes, "y", [floor, ceiling], decades=9, margin=0.09)
        axes.set_xlabel(say_metric(figure))
    left.set_ylabel(say_metric("val_accuracy"))
    right.tick_params(left=False, labelleft=False)
    _key(frame, bool(pruned), len(completed) > 1)


def _range(completed: Sequence[Shown], members: Sequence[Shown]) -> tuple[float, float]:
    """From where to where accuracy is shown: the front and all but stragglers, by Tukey's fence."""
    values = np.array([each.accuracy for each in completed])
    lower, upper = np.quantile(values, [0.25, 0.75])
    fence = lower - 1.5 * (upper - lower)
    shown = [*values[values >= fence], *(each.accuracy for each in members)]
    return float(min(shown)), float(max(shown))


def _panel(
    frame: Frame,
    axes: Axes,
    figure: str,
    completed: Sequence[Shown],
    pruned: Sequence[Shown],
    members: Sequence[Shown],
    floor: float,
) -> None:
    theme = frame.theme
    main = theme.colours[1]

    def places(shown: Sequence[Shown]) -> NDArray[np.float64]:
        return np.array([(getattr(each, figure), each.accuracy) for each in shown], np.float64).reshape(-1, 2)

    done, stopped, best = places(completed), places(pruned), members[0]
    pixels = len(done) + len(stopped) > MAX_VECTORS
    size = 16 if len(done) <= 200 else 7
    inside, below = stopped[:, 1] >= floor, stopped[:, 1] < floor
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
    _mark_below(frame, axes, done[done[:, 1] < floor], stopped[below], floor, pixels=pixels)
    steps = _staircase(places(completed))
    right_edge = np.array([[max(done[:, 0].max(), stopped[:, 0].max(initial=0)) * 1.5, steps[-1, 1]]])
    corners = _corners(np.concatenate([steps, right_edge]))
    axes.plot(*corners.T, color=main, lw=1.4, solid_joinstyle="miter", zorder=4)
    chosen = places(members)
    axes.scatter(*chosen.T, s=20, color=main, edgecolors=theme.paper, linewidths=0.7, zorder=5)
    axes.scatter(
        getattr(best, figure),
        best.accuracy,
        s=150,
        marker="*",
        color=main,
        edgecolors=theme.paper,
        linewidths=0.8,
        zorder=6,
    )
    labels = [
        Label(
            x=getattr(each, figure),
            y=each.accuracy,
            text=f"{each.name}: {each.accuracy:.4f}" if each is best else each.name,
            colour=theme.ink,
            bold=each is best,
        )
        for each in members
    ]
    around = np.concatenate([done, stopped[inside]])
    place_labels(frame, axes, labels, avoid=around[-MAX_VECTORS:], lines=[corners])


def _staircase(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points that no other beats in these two figures, from small to large."""
    ordered = points[np.lexsort((-points[:, 1], points[:, 0]))]
    best = np.maximum.accumulate(ordered[:, 1])
    return ordered[np.concatenate([[True], best[1:] > best[:-1]])]


def _corners(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """A staircase through points: along first, then up."""
    corners = np.repeat(steps, 2, axis=0)
    corners[1:, 1] = np.repeat(steps[:, 1], 2)[:-1]
    return corners[:-1]


def _mark_below(
    frame: Frame,
    axes: Axes,
    completed: NDArray[np.float64],
    pruned: NDArray[np.float64],
    floor: float,
    *,
    pixels: bool,
) -> None:
    """Trials below the shown range: a triangle each at the lower edge, and how many they are."""
    if not len(completed) + len(pruned):
        return
    muted = frame.theme.muted
    for points, face in ((completed, muted), (pruned, "none")):
        axes.scatter(
            points[:, 0],
            np.full(len(points), 0.018),
            s=14,
            marker="v",
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
        0.035,
        f"{counts} below {floor:.3g}",
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        fontsize=SMALL,
        color=muted,
        bbox={"facecolor": frame.theme.paper, "edgecolor": "none", "pad": 1.5},
    )


def _key(frame: Frame, pruned: bool, several: bool) -> None:
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
    entries.append((Line2D([], [], color=main, lw=1.4), "best up to each size"))
    entries.append((mark(color=main, ms=5.5), "unbeaten in all three figures"))
    entries.append((mark(marker="*", color=main, ms=10), "best"))
    frame.key(entries)

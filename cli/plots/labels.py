"""Texts beside what they name: none over another, none outside, and rather left out than unreadable."""

# matplotlib's stubs leave keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cos, hypot, pi, sin
from typing import Final, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox, offset_copy
from numpy.typing import NDArray

from .paper import Frame
from .style import SMALL

# Right, above right, above, ... in the order in which places are liked; distances in points.
_DIRECTIONS: Final = (1, 0, 2, 7, 3, 5, 6, 4)
_DISTANCES: Final = (6.0, 10.0, 16.0, 24.0, 34.0)
_POINT: Final = 1 / 72  # inch


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A text for a point, in data coordinates."""

    x: float
    y: float
    text: str
    colour: str
    bold: bool = False


def place_labels(
    frame: Frame,
    axes: Axes,
    labels: Sequence[Label],
    *,
    avoid: NDArray[np.float64],
    lines: Sequence[NDArray[np.float64]] = (),
) -> None:
    """Put each label near its point where there is room; one without room is left out.

    Args:
        frame: of the axes; the places are found when it settles.
        axes: what the points are in.
        labels: the most important first.
        avoid: shape (n, 2), data coordinates: points that should stay visible.
        lines: corners of lines that should stay visible, each of shape (n, 2), data coordinates.
    """

    def place(renderer: RendererAgg) -> None:
        to_pixels = axes.transData.transform
        soft = [np.empty((0, 2)), np.asarray(to_pixels(avoid)) if len(avoid) else np.empty((0, 2))]
        soft += [_dots(np.asarray(to_pixels(line))) for line in lines if len(line) > 1]
        crowd = np.concatenate(soft)
        anchors = np.asarray(to_pixels(np.array([[label.x, label.y] for label in labels]).reshape(-1, 2)))
        field = axes.get_window_extent(renderer).padded(-2)
        taken: list[Bbox] = []
        point = axes.figure.dpi * _POINT
        for label, anchor in zip(labels, anchors, strict=True):
            text = axes.annotate(
                label.text,
                (label.x, label.y),
                xytext=(0, 0),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=SMALL,
                color=label.colour,
                weight="bold" if label.bold else "normal",
                zorder=10,
                bbox={"facecolor": frame.theme.paper, "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            )
            text.set_in_layout(False)
            extent = text.get_window_extent(renderer)
            best: tuple[float, tuple[float, float], Bbox] | None = None
            for rank, (shift, distance) in enumerate(_places(extent.width / point, extent.height / point)):
                box = _box(anchor + np.array(shift) * point, extent.width, extent.height).padded(0.6 * point)
                inside = field.x0 <= box.x0 and box.x1 <= field.x1 and field.y0 <= box.y0 and box.y1 <= field.y1
                if not inside or any(box.overlaps(other) for other in taken) or _covers(box, anchors, 2.5 * point):
                    continue
                cost = 2.0 * _count(box.padded(1.5 * point), crowd) + 0.8 * (distance - _DISTANCES[0]) + 0.15 * rank
                if best is None or cost < best[0]:
                    best = (cost, shift, box)
            if best is None:
                text.remove()
                continue
            _, shift, box = best
            text.set_position(shift)
            taken.append(box)
            nearest = np.clip(anchor, [box.x0, box.y0], [box.x1, box.y1])
            if hypot(*(nearest - anchor)) > 1.5 * _DISTANCES[0] * point:
                corners = axes.transData.inverted().transform([anchor, nearest])
                axes.plot(*np.asarray(corners).T, color=frame.theme.muted, lw=0.6, zorder=5.5)

    frame.later(place)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The last point of a line, and what the line is called."""

    x: float
    y: float
    text: str
    colour: str
    bold: bool = False


def label_ends(frame: Frame, axes: Axes, ends: Sequence[End]) -> None:
    """Write the names of lines at the right of the axes, at the height of their ends or as near as there is room.

    Args:
        frame: of the axes.
        axes: what the lines are in.
        ends: the most important first: where there is no room for all, the others are counted.
    """
    anchor = offset_copy(axes.transAxes, cast("None", axes.figure), x=5, y=0, units="points")
    texts = [
        axes.text(
            1,
            0.5,
            end.text,
            transform=anchor,
            ha="left",
            va="center",
            fontsize=SMALL,
            color=end.colour,
            weight="bold" if end.bold else "normal",
        )
        for end in ends
    ]

    def place(renderer: RendererAgg) -> None:
        field = axes.get_window_extent(renderer)
        if not texts:
            return
        high = max(text.get_window_extent(renderer).height for text in texts) * 1.12
        room = max(1, int((field.height + high) // high))
        shown = list(range(len(ends)))
        if len(ends) > room:
            shown = shown[: max(room - 1, 0)]
            for text in texts[len(shown) + 1 :]:
                text.remove()
            _count_others(texts[len(shown)], len(ends) - len(shown), frame.theme.muted)
        points = axes.transData.transform(np.array([[ends[i].x, ends[i].y] for i in shown]).reshape(-1, 2))
        wanted = np.clip(np.asarray(points)[:, 1], field.y0, field.y1)
        low = field.y0 + (high if len(shown) < len(ends) else 0)
        heights = spread(wanted, high, low - high * 0.25, field.y1 + high * 0.25)
        for i, y, (x_end, y_end) in zip(shown, heights, np.asarray(points), strict=True):
            texts[i].set_y((y - field.y0) / field.height)
            if field.x1 - x_end > 0.05 * field.width or abs(y - y_end) > 0.45 * high:
                corners = axes.transAxes.inverted().transform([(x_end, y_end), (field.x1 + 0.05 * axes.figure.dpi, y)])
                axes.plot(
                    *np.asarray(corners).T,
                    transform=axes.transAxes,
                    color=ends[i].colour,
                    lw=0.6,
                    ls=(0, (1, 2)),
                    clip_on=False,
                )

    frame.later(place)


def _count_others(text: Text, others: int, colour: str) -> None:
    text.set_text(f"… {others} more")
    text.set_y(0)
    text.set_fontweight("normal")
    text.set_color(colour)


def spread(wanted: NDArray[np.float64], gap: float, low: float, high: float) -> NDArray[np.float64]:
    """Places at least `gap` apart and between `low` and `high`, as near to `wanted` as that allows (least squares).

    They are where groups of crowded neighbours have their means, which pooling adjacent violators finds.
    """
    order = np.argsort(wanted, kind="stable")
    groups: list[tuple[float, int]] = []  # mean of the starts, members
    for rank, value in enumerate(np.asarray(wanted)[order]):
        mean, size = float(value) - rank * gap, 1
        while groups and groups[-1][0] > mean:
            before, members = groups.pop()
            mean, size = (before * members + mean * size) / (members + size), members + size
        groups.append((mean, size))
    starts = np.concatenate([np.full(size, mean) for mean, size in groups]) if groups else np.empty(0)
    top = high - max(len(starts) - 1, 0) * gap
    placed = np.clip(starts, min(low, top), max(low, top)) + np.arange(len(starts)) * gap
    result = np.empty(len(starts))
    result[order] = placed
    return result


def _places(width: float, height: float) -> list[tuple[tuple[float, float], float]]:
    """Shifts of a label's centre from its point, in points, and the distance between the two."""
    places: list[tuple[tuple[float, float], float]] = []
    for distance in _DISTANCES:
        for turn in _DIRECTIONS:
            across, up = cos(turn * pi / 4), sin(turn * pi / 4)
            shift = (across * distance + width / 2 * _sign(across), up * distance + height / 2 * _sign(up))
            places.append((shift, distance))
        # Above and below also with the text mostly to one side: near the edge the middle has no room.
        for side in (1, -1):
            over = side * (width / 2 - 4)
            places += [((over, distance + height / 2), distance), ((over, -distance - height / 2), distance)]
    return places


def _sign(value: float) -> int:
    return 0 if abs(value) < 1e-9 else 1 if value > 0 else -1


def _box(centre: NDArray[np.float64], width: float, height: float) -> Bbox:
    return Bbox.from_bounds(centre[0] - width / 2, centre[1] - height / 2, width, height)


def _covers(box: Bbox, points: NDArray[np.float64], margin: float) -> bool:
    return _count(box.padded(margin), points) > 0


def _count(box: Bbox, points: NDArray[np.float64]) -> int:
    inside = (points[:, 0] > box.x0) & (points[:, 0] < box.x1) & (points[:, 1] > box.y0) & (points[:, 1] < box.y1)
    return int(inside.sum())


def _dots(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """A line as points a few pixels apart."""
    steps: list[NDArray[np.float64]] = [
        np.linspace(a, b, max(2, int(np.hypot(*(b - a)) / 5))) for a, b in pairwise(corners)
    ]
    return np.concatenate(steps)

"""Parallel coordinates: each completed trial is a line through its parameters to the goal."""

# matplotlib's stubs leave keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from ...core import MissingExtraError
from ...storage import SearchRecord, TrialRecord
from ..fronts import figure_of
from .importance import MIN_TRIALS, importances
from .paper import Chart, Frame
from .scales import EvenFormatter
from .style import MAX_VECTORS, SMALL, TINY
from .trials import Scalar, Setting, Shown, front, last_attempts, varying_settings, with_value
from .words import command_for, count, nothing, say_metric, say_number, say_run, shorten

MAX_AXES: Final = 12  # parameters, size and the goals together
_ABSENT: Final = -0.13  # the height of trials that do not have a parameter
_MAX_TICKS: Final = 9
_BEND: Final = 240  # points of a line, where it is bent

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Axis:
    """A vertical axis: a height in [0, 1] per trial, or `_ABSENT`; its name, and its ticks by height."""

    name: str
    heights: Floats
    ticks: tuple[tuple[float, str], ...]


def parallel_chart(search: SearchRecord, trials: Sequence[TrialRecord]) -> Chart:
    """Parameters, size and goals of the completed trials, coloured by the first goal.

    Args:
        search: what was searched.
        trials: its trials, all attempts.

    Raises:
        ConfigError: no trial is completed, or all are alike.
    """
    shown = with_value(search, last_attempts(trials), "completed")
    if not shown:
        raise nothing(
            search.run, "no completed trial", f"let it go on, or see what failed with: {command_for(search.run)}"
        )
    best = front(search, shown)[0]
    shown = sorted(shown, key=lambda each: (each is best, each.merit))  # the best is drawn last
    varying = varying_settings(shown)
    size = [
        _number_axis(name, np.array(values, np.float64))
        for name, values in (
            ("parameters", [each.parameters for each in shown]),
            ("macs", [each.macs for each in shown]),
            *((say_metric(name), [_told(each, name) for each in shown]) for name in _others(search)),
        )
        if len(set(values)) > 1 and not all(map(math.isnan, values))
    ]
    if not varying and not size:
        raise nothing(search.run, "no two completed trials that differ", "search with more --trials")
    chosen, how = _most_important(varying, shown, MAX_AXES - len(size) - 1)
    merits = np.array([each.merit for each in shown])
    last = _number_axis(say_metric(search.objectives[0][0]), np.array([each.value for each in shown]))
    axes = [*(_setting_axis(setting, merits) for setting in chosen), *size, last]
    subtitle = (
        f"{count(len(shown), 'completed trial')} of space {shorten(search.space, 24)}, a line each; "
        f"the bold one is trial {best.name}, the best. {how}"
    )
    return Chart(
        title=f"Trials by their parameters: {say_run(search.run)} on {shorten(search.run.name, 40)}",
        subtitle=subtitle.strip(),
        height=4.2,
        draw=lambda frame: _draw(frame, axes, merits),
    )


def _others(search: SearchRecord) -> list[str]:
    """Goals besides the first that are no size."""
    return [name for name, _ in search.objectives[1:] if name not in {"parameters", "macs"}]


def _told(shown: Shown, name: str) -> float:
    value = figure_of(shown.trial, name)
    return math.nan if value is None or not math.isfinite(value) else float(value)


def _most_important(varying: Sequence[Setting], shown: Sequence[Shown], room: int) -> tuple[list[Setting], str]:
    """The parameters there is room for, in their usual order, and how they were chosen."""
    if len(varying) <= room:
        return list(varying), ""
    try:
        shares = importances(shown) if len(shown) >= MIN_TRIALS else {}
    except MissingExtraError:  # a figure of the first ones is better than none
        shares = {}
    if not shares:
        return list(varying[:room]), f"The first {room} of {len(varying)} varying parameters."
    kept = set(list(shares)[:room])
    return (
        [setting for setting in varying if setting.name in kept],
        f"The {room} most important of {len(varying)} varying parameters.",
    )


def _setting_axis(setting: Setting, merits: Floats) -> _Axis:
    present = np.array([value is not None for value in setting.values])
    if setting.choices:
        return _choice_axis(setting, merits)
    numbers = np.array([value if isinstance(value, int | float) else math.nan for value in setting.values], np.float64)
    axis = _number_axis(setting.name, numbers, logarithmic=setting.logarithmic)
    heights = np.where(present, axis.heights, _ABSENT)
    return _Axis(axis.name, heights, axis.ticks if present.all() else ((_ABSENT, "none"), *axis.ticks))


def _choice_axis(setting: Setting, merits: Floats) -> _Axis:
    """Choices at even heights; trials with the same one side by side in a band, the best last."""
    choices = setting.choices
    step = 1 / max(len(choices) - 1, 1)
    base = {choice: index * step if len(choices) > 1 else 0.5 for index, choice in enumerate(choices)}
    heights = np.array([_ABSENT if value is None else base[value] for value in setting.values])
    band = min(0.32 * step, 0.07)
    for height in np.unique(heights):
        members = np.flatnonzero(heights == height)
        rank = np.argsort(np.argsort(merits[members], kind="stable"), kind="stable")
        width = (0.05 if height == _ABSENT else band) * min(1.0, len(members) / 12)
        heights[members] += width * (rank / max(len(members) - 1, 1) - 0.5) if len(members) > 1 else 0.0
    every = math.ceil(len(choices) / _MAX_TICKS)
    ticks = [(base[choice], _say(choice)) for choice in choices[::every]]
    return _Axis(setting.name, heights, tuple([(_ABSENT, "none")] * (None in setting.values) + ticks))


def _number_axis(name: str, numbers: Floats, *, logarithmic: bool | None = None) -> _Axis:
    low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
    if high == low:
        return _Axis(name, np.where(np.isnan(numbers), np.nan, 0.5), ((0.5, say_number(low)),))
    if logarithmic is None:
        logarithmic = low > 0 and high / low >= 10
    scale: Callable[[Floats | float], Floats] = np.log if logarithmic else np.asarray
    start, span = float(scale(low)), float(scale(high) - scale(low))
    heights = (scale(numbers) - start) / span
    inner = _log_ticks(low, high) if logarithmic else _even_ticks(low, high)
    words = [say_number(value) for value in inner] if logarithmic else EvenFormatter().format_ticks(inner)
    ticks = [((float(scale(value)) - start) / span, word) for value, word in zip(inner, words, strict=True)]
    return _Axis(name, heights, tuple(ticks))


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1,), (1, 3), (1, 2, 5)):
        ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            return ticks[:: math.ceil(len(ticks) / _MAX_TICKS)]
    return [low, *ticks, high] if len(ticks) < 2 else ticks


def _even_ticks(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    ticks = [float(tick) for tick in MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    return [tick for tick in ticks if low <= tick <= high]


def _say(choice: Scalar) -> str:
    if isinstance(choice, bool):
        return "yes" if choice else "no"
    return shorten(choice, 14) if isinstance(choice, str) else say_number(choice)


def _draw(frame: Frame, every: Sequence[_Axis], merits: Floats) -> None:
    theme = frame.theme
    [[axes]] = frame.panels()
    axes.set_axis_off()
    low, high = float(merits.min()), float(merits.max())
    heights = np.column_stack([column.heights for column in every])
    ramp = theme.ramp_map()
    shares = (merits - low) / (high - low) if high > low else np.ones(len(merits))
    lines = (
        _bent(heights)
        if len(heights) <= MAX_VECTORS
        else [np.column_stack([np.arange(len(row)), row]) for row in heights]
    )
    many = len(lines)
    axes.add_collection(
        LineCollection(
            lines[:-1],
            colors=[ramp(float(share)) for share in shares[:-1]],
            linewidths=1.1 if many <= 100 else 0.7 if many <= 1000 else 0.4,
            alpha=0.8 if many <= 50 else 0.55 if many <= 300 else 0.3 if many <= MAX_VECTORS else 0.15,
            rasterized=many > MAX_VECTORS,
            zorder=2,
        )
    )
    axes.plot(*lines[-1].T, color=theme.paper, lw=4.4, zorder=3, solid_capstyle="round")
    axes.plot(*lines[-1].T, color=ramp(float(shares[-1])), lw=2.4, zorder=3.1, solid_capstyle="round")
    for place, column in enumerate(every):
        _axis(frame, axes, place, column, len(every), labels_right=place == len(every) - 1)
    axes.imshow(
        np.linspace(0, 1, 128)[:, None],
        cmap=ramp,
        extent=(len(every) - 1, len(every) - 1 + 0.008 * len(every), 0, 1),
        aspect="auto",
        origin="lower",
        interpolation="bilinear",
        zorder=3.5,
    )
    axes.set_xlim(-0.25, len(every) - 1 + 0.25)
    lowest = min(0.0, float(heights.min()))
    axes.set_ylim(lowest - 0.05, 1.05)


def _bent(heights: Floats) -> list[Floats]:
    """Lines that meet the axes at right angles, so that the eye can follow one through."""
    t = np.linspace(0, 1, _BEND // (heights.shape[1] - 1), endpoint=False)
    ease = t * t * (3 - 2 * t)
    last = heights.shape[1] - 1
    across = np.append(np.repeat(np.arange(last, dtype=np.float64), len(t)) + np.tile(t, last), last)
    steps = heights[:, :-1, None] + (heights[:, 1:, None] - heights[:, :-1, None]) * ease
    up = np.concatenate([steps.reshape(len(heights), -1), heights[:, -1:]], axis=1)
    return [np.column_stack([across, row]) for row in up]


def _axis(frame: Frame, axes: Axes, place: int, column: _Axis, total: int, *, labels_right: bool) -> None:
    theme = frame.theme
    axes.plot([place, place], [0, 1], color=theme.ink, lw=0.9, zorder=4)
    for height, text in column.ticks:
        absent = height == _ABSENT
        axes.plot(place, height, marker="_", ms=5, mew=0.9, color=theme.ink, zorder=4)
        axes.annotate(
            text,
            (place, height),
            xytext=(9 if labels_right else 5, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=TINY if total > 8 else SMALL,
            color=theme.muted if absent else theme.ink,
            style="italic" if absent else "normal",
            zorder=6,
            bbox={"facecolor": theme.paper, "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
        )
    axes.annotate(
        _fold(column.name, max(12, 100 // total)),
        (place, 1),
        xytext=(0, 13),
        textcoords="offset points",
        ha="center",
        va="baseline",
        fontsize=TINY if total > 8 else SMALL,
        color=theme.ink,
        linespacing=1.15,
        weight="bold" if labels_right else "normal",
    )


def _fold(name: str, letters: int) -> str:
    """A name in at most three lines of so many letters, broken after dots, slashes, underscores and spaces."""
    lines = [""]
    for piece in re.findall(r"[^._/ ]+[._/ ]*|[._/ ]+", name):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > letters:
            lines.append("")
        lines[-1] += piece
    lines = [shorten(line, letters) for line in lines]
    return "\n".join(lines if len(lines) <= 3 else [lines[0], "…", lines[-1]])

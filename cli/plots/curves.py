"""Learning curves: a panel per quantity, the best point marked, names at the ends of the lines."""

# matplotlib's stubs leave keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ...core import ConfigError
from ...storage import Curve, RunRecord
from .labels import End, Label, label_ends, place_labels
from .paper import Chart, Frame
from .scales import count_axis, scale_axis
from .style import MAX_VECTORS
from .words import command_for, direction, nothing, say_figure, say_metric, say_rows, say_run, shorten, split_metric

By = Literal["step", "seconds"]
Role = Literal["shown", "trial", "pruned"]
MAX_PANELS = 12
_BUCKETS = 500  # a curve of more than two points per bucket is drawn as the mean and the range of its buckets
_DECADES = 2.0
_DASHES: Final[Mapping[str, Any]] = {"train": (0, (4, 2)), "test": (0, (1, 1.5))}
_FIRST: Final = ("accuracy", "loss")  # quantities people look at first
_INF = float("inf")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveSet:
    """The curves of one run.

    Attributes:
        label: what the run is called at the ends of its lines.
        curves: by metric.
        role: "shown" lines are coloured and named; "trial" lines stand behind them, "pruned" ones end with a mark.
    """

    label: str
    curves: Mapping[str, Curve]
    role: Role = "shown"


def curves_chart(
    run: RunRecord,
    sets: Sequence[CurveSet],
    *,
    metrics: Sequence[str] = (),
    by: By = "step",
    step: str = "epoch",
    remark: str = "",
    data: str | None = None,
) -> Chart:
    """Curves of one run, of several beside each other, or of the trials of a search behind its best.

    Args:
        run: whose figure it is.
        sets: the curves; those that are "shown" in the order of their colours.
        metrics: the metrics to draw; all by default, up to `MAX_PANELS` quantities.
        by: what the horizontal axis is.
        step: what a step is: "epoch", "round".
        remark: the subtitle's first words.
        data: what the title says it was on; by default the run's data.

    Raises:
        ConfigError: there is nothing to draw, or no curve of a name in `metrics`.
    """
    known = list(dict.fromkeys(name for each in sets for name, curve in each.curves.items() if len(curve)))
    if not known:
        raise nothing(run, "no curve", f"it has final figures only: {command_for(run)}")
    unknown = [name for name in metrics if name not in known]
    if unknown:
        raise ConfigError(
            f"{say_run(run)} has no curve {unknown[0]!r}", hint=f"its curves are {', '.join(sorted(known)[:20])}"
        )
    if by == "seconds":
        sets = [replace(each, curves={name: _timed(curve) for name, curve in each.curves.items()}) for each in sets]
        if not any(len(curve) for each in sets for curve in each.curves.values()):
            raise nothing(run, "no times of its points", "draw it by step")
    panels = _panels(metrics or known)
    left_out = len(panels) - MAX_PANELS
    panels = dict(list(panels.items())[:MAX_PANELS])
    parts = [remark] if remark else []
    if left_out > 0:
        parts.append(f"{MAX_PANELS} of {MAX_PANELS + left_out} quantities: choose others with --metric")
    shown = [each.label for each in sets if each.role == "shown"]
    names = say_run(run) if len(shown) < 2 else f"{len(shown)} runs" if len(shown) > 3 else ", ".join(shown)
    rows = (len(panels) + 1) // 2
    return Chart(
        title=f"Learning curves: {names} on {shorten(run.name if data is None else data, 40)}",
        subtitle=". ".join(parts),
        height=3.9 if rows == 1 else 2.9 * rows,
        keyed=bool(_entries(sets, panels)),
        draw=lambda frame: _draw(frame, sets, panels, by, step),
    )


def _timed(curve: Curve) -> Curve:
    known = np.isfinite(curve.seconds)
    return Curve(curve.name, curve.steps[known], curve.values[known], curve.seconds[known])


def _panels(names: Sequence[str]) -> dict[str, list[str]]:
    """Metrics by quantity: what was measured on several sets of rows shares a panel."""
    panels: dict[str, list[str]] = {}
    for name in names:
        panels.setdefault(split_metric(name)[1], []).append(name)
    order = sorted(panels, key=lambda quantity: _FIRST.index(quantity) if quantity in _FIRST else len(_FIRST))
    return {quantity: sorted(panels[quantity], key=_rank) for quantity in order}


def _rank(name: str) -> int:
    """The metric that counts first: the validation rows'."""
    rows = split_metric(name)[0]
    return ("val", "", "test", "train").index(rows)


def _draw(frame: Frame, sets: Sequence[CurveSet], panels: Mapping[str, Sequence[str]], by: By, step: str) -> None:
    rows = (len(panels) + 1) // 2
    grid = frame.panels(heights=(1,) * rows, widths=(1, 1) if len(panels) > 1 else (1,), grid="y", gap=0.25)
    fields = [axes for row in grid for axes in row]
    xs = [_x(curve, by) for each in sets for names in panels.values() for curve in _chosen(each, names)]
    reach = np.concatenate(xs)
    for axes, (quantity, names) in zip(fields, panels.items(), strict=False):
        _panel(frame, axes, sets, quantity, names, by, step)
        if by == "step":
            count_axis(axes, float(reach.min()), float(reach.max()))
        else:
            scale_axis(axes, "x", [float(reach.min()), float(reach.max())], decades=_INF, margin=0.02)
        axes.set_xlabel(step if by == "step" else "seconds")
    for axes in fields[len(panels) :]:
        axes.set_axis_off()
    entries = _entries(sets, panels, frame)
    if entries:
        frame.key(entries)


def _chosen(each: CurveSet, names: Sequence[str]) -> list[Curve]:
    """The curves of a run that a panel shows: all of a run that is shown, of others the one that counts."""
    found = [each.curves[name] for name in names if name in each.curves and len(each.curves[name])]
    return found if each.role == "shown" else found[:1]


def _x(curve: Curve, by: By) -> Floats:
    return np.asarray(curve.steps if by == "step" else curve.seconds, np.float64)


def _panel(
    frame: Frame, axes: Axes, sets: Sequence[CurveSet], quantity: str, names: Sequence[str], by: By, step: str
) -> None:
    shown = [each for each in sets if each.role == "shown"]
    behind = [(each, curve) for each in sets if each.role != "shown" for curve in _chosen(each, names[:1])]
    values = _behind(frame, axes, behind, by)
    ends: list[End] = []
    bests: list[Label] = []
    lines: list[Floats] = []
    alone = len(shown) == 1
    by_rows = alone and not behind
    for index, each in enumerate(shown):
        for rank, curve in enumerate(_chosen(each, names)):
            colour = frame.theme.colour(rank if by_rows else index)
            x, y, low, high = _line(curve, by)
            finite = np.isfinite(y)
            values += [*low[finite], *high[finite]]
            lines += [np.column_stack(part) for part in _parts(x, y)]
            style: dict[str, Any] = {"lw": 1.9 if rank == 0 else 1.1}
            if len(curve) == 1 or (len(curve) <= 25 and rank == 0):
                style |= {"marker": "o", "ms": 3}
            if not by_rows:
                style |= {"ls": _DASHES.get(split_metric(curve.name)[0], "-")}
            axes.plot(x, y, color=colour, zorder=4 - rank * 0.1, solid_capstyle="round", **style)
            if low is not y:
                axes.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0, zorder=1.5)
            _mark_gaps(axes, curve, _x(curve, by), colour)
            label = _end_label(each, curve, rank, alone=alone, by_rows=by_rows, several=len(names) > 1)
            if finite.any() and label:
                bold = rank == 0 and not by_rows
                ends.append(End(x=x[finite][-1], y=y[finite][-1], text=label, colour=colour, bold=bold))
            best = _best(curve) if rank == 0 else None
            if best is not None:
                bests.append(_mark_best(frame, axes, curve, best, by, step, colour))
    better = direction(names[0])
    scale_axis(axes, "y", values, decades=_INF if better > 0 else _DECADES, margin=0.08)
    axes.set_ylabel(say_metric(names[0]) if len(names) == 1 else say_metric(quantity))
    if not values:
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", color=frame.theme.muted)
    if alone:
        place_labels(frame, axes, bests, avoid=np.empty((0, 2)), lines=lines)
    label_ends(frame, axes, sorted(ends, key=lambda end: not end.bold))


def _line(curve: Curve, by: By) -> tuple[Floats, Floats, Floats, Floats]:
    return thin(_x(curve, by), np.asarray(curve.values, np.float64))


def _end_label(each: CurveSet, curve: Curve, rank: int, *, alone: bool, by_rows: bool, several: bool) -> str:
    rows = say_rows(split_metric(curve.name)[0])
    if by_rows:
        return rows if several else ""
    if rank == 0:
        best = _best(curve)
        figure = "" if alone or best is None else f"  {say_figure(curve.name, float(curve.values[best]))}"
        return shorten(each.label, 22) + figure
    return f"its {rows}" if alone else ""


def _behind(frame: Frame, axes: Axes, lines: Sequence[tuple[CurveSet, Curve]], by: By) -> list[float]:
    """The faint lines; which values the panel should show of them."""
    if not lines:
        return []
    thinned = [_line(curve, by)[:2] for _, curve in lines]
    segments = [np.column_stack(part) for line in thinned for part in _parts(*line)]
    pixels = len(segments) > MAX_VECTORS
    many = len(lines) > 200
    axes.add_collection(
        LineCollection(
            segments,
            colors=frame.theme.faint,
            linewidths=0.4 if many else 0.8,
            alpha=0.35 if many else 0.7,
            rasterized=pixels,
            zorder=1,
        )
    )
    stops = [
        (x[good][-1], y[good][-1])
        for (each, _), (x, y) in zip(lines, thinned, strict=True)
        if each.role == "pruned" and (good := np.isfinite(y)).any()
    ]
    if stops:
        axes.scatter(
            *np.array(stops).T, s=14, marker="x", color=frame.theme.muted, linewidths=0.8, rasterized=pixels, zorder=2
        )
    every = np.concatenate([y[np.isfinite(y)] for _, y in thinned])
    return list(np.quantile(every, [0.05, 0.95])) if len(every) else []


def _parts(x: Floats, y: Floats) -> list[tuple[Floats, Floats]]:
    """A curve's pieces between values that are not finite."""
    bad = np.flatnonzero(~np.isfinite(y))
    pieces = [np.delete(piece, 0) if i else piece for i, piece in enumerate(np.split(np.arange(len(x)), bad))]
    return [(x[piece], y[piece]) for piece in pieces if len(piece)]


def thin(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """A long curve in buckets: where they start, and their mean, lowest and highest value. A short one is itself.

    A bucket without a finite value has NaN, so gaps that are wide enough to be seen stay gaps.
    """
    if len(x) <= 2 * _BUCKETS:
        y = np.where(np.isfinite(y), y, np.nan)  # a logarithmic axis would draw what is infinite
        return x, y, y, y
    starts = np.linspace(0, len(x), _BUCKETS + 1).astype(np.int64)[:-1]
    good = np.isfinite(y)
    counts = np.add.reduceat(good, starts, dtype=np.int64)
    sums = np.add.reduceat(np.where(good, y, 0.0), starts)
    empty = np.where(counts > 0, 0.0, np.nan)
    low = np.minimum.reduceat(np.where(good, y, _INF), starts)
    high = np.maximum.reduceat(np.where(good, y, -_INF), starts)
    means = sums / np.maximum(counts, 1)
    return x[starts], means + empty, np.where(counts > 0, low, np.nan), np.where(counts > 0, high, np.nan)


def _mark_gaps(axes: Axes, curve: Curve, x: Floats, colour: str) -> None:
    """A cross at the lower edge where a value is NaN, at the upper where it is infinite."""
    for bad, height in ((np.isnan(curve.values), 0.03), (np.isinf(curve.values), 0.97)):
        places = np.unique(x[bad])
        if len(places) > _BUCKETS:
            places = places[:: len(places) // _BUCKETS]
        if len(places):
            edge = axes.get_xaxis_transform()
            heights = np.full(len(places), height)
            axes.scatter(places, heights, s=18, marker="x", color=colour, linewidths=1, transform=edge, zorder=5)


def _best(curve: Curve) -> int | None:
    """The index of the best value; None where a curve's name does not say what is better, or nothing is finite."""
    better = direction(curve.name)
    scores = np.where(np.isfinite(curve.values), better * curve.values, -_INF)
    return int(scores.argmax()) if better and np.isfinite(scores).any() else None


def _mark_best(frame: Frame, axes: Axes, curve: Curve, best: int, by: By, step: str, colour: str) -> Label:
    x, y = float(_x(curve, by)[best]), float(curve.values[best])
    axes.scatter(x, y, s=52, facecolors=frame.theme.paper, edgecolors=colour, linewidths=1.6, zorder=6)
    when = f"{step} {curve.steps[best]:,}" if by == "step" else f"{x:,.4g} s"
    text = f"best {say_figure(curve.name, y)} at {when}"
    return Label(x=x, y=y, text=text, colour=frame.theme.ink, bold=True)


def _entries(
    sets: Sequence[CurveSet], panels: Mapping[str, Sequence[str]], frame: Frame | None = None
) -> list[tuple[Artist, str]]:
    """The key: only what no label says. Without a frame, to count."""
    ink, muted, faint = ("k", "k", "k") if frame is None else (frame.theme.ink, frame.theme.muted, frame.theme.faint)
    roles = {each.role for each in sets}
    shown = [each for each in sets if each.role == "shown"]
    names = {name for group in panels.values() for name in group}
    drawn = [curve for each in shown for name, curve in each.curves.items() if name in names]
    entries: list[tuple[Artist, str]] = []
    if len(shown) > 1 and {split_metric(curve.name)[0] for curve in drawn} >= {"train", "val"}:
        entries.append((Line2D([], [], color=ink, lw=1.9), "validation"))
        entries.append((Line2D([], [], color=ink, lw=1.1, ls=_DASHES["train"]), "training"))
    if len(shown) > 1 and any(_best(curve) is not None for curve in drawn):
        entries.append((Line2D([], [], ls="none", marker="o", mfc="none", mec=ink, mew=1.4, ms=6), "best"))
    if any(len(curve) > 2 * _BUCKETS for curve in drawn):
        entries.append((Patch(color=muted, alpha=0.4, lw=0), "lowest to highest of neighbouring points"))
    if "trial" in roles or "pruned" in roles:
        entries.append((Line2D([], [], color=faint, lw=1.0), "other trials"))
    if "pruned" in roles:
        entries.append((Line2D([], [], ls="none", color=muted, marker="x", ms=4.5), "pruned there"))
    if any(not np.isfinite(curve.values).all() for curve in drawn):
        entries.append(
            (Line2D([], [], ls="none", color=ink, marker="x", ms=5), "not finite: NaN below, infinite above")
        )
    return entries

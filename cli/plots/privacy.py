"""Privacy spent, release by release, against its budget; what was released without noise is shown as what it is."""

# matplotlib's stubs leave keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ...storage import RunRecord
from .labels import End, Label, label_ends, place_labels
from .paper import Chart, Frame
from .scales import count_axis, scale_axis
from .style import SMALL, TITLE
from .words import count, nothing, say_number, say_run, shorten

MAX_PANELS: Final = 6
_AHEAD: Final = 0.6  # of the releases until now: how far ahead a forecast is drawn at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release of something computed from a subject's data.

    Attributes:
        total: epsilon of all releases of the subject until this one; infinite from the first one without noise on.
        noisy: whether it had noise; without, its own epsilon is infinite.
        run: ULID; None where it names no run.
        round: of that run.
    """

    total: float
    noisy: bool
    run: str | None
    round: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where a subject stands.

    Attributes:
        subject: whose privacy: the fingerprint of a data set, ...
        name: what people call it; may be empty.
        releases: in order.
        budget: epsilon that may be spent in all; None: nobody set one.
        delta: of the budget, else of what was spent.
        rounds_left: how many rounds of a new run like the last one the budget lasts; None: no end is known.
    """

    subject: str
    name: str
    releases: Sequence[Release]
    budget: float | None
    delta: float
    rounds_left: int | None


def privacy_chart(run: RunRecord, accounts: Sequence[Account]) -> Chart:
    """A panel per subject: epsilon spent over its releases, the budget, and how long it will last.

    Args:
        run: whose releases are in colour.
        accounts: of the subjects whose data it used.

    Raises:
        ConfigError: nothing was released.
    """
    released = [account for account in accounts if account.releases]
    if not released:
        raise nothing(run, "no release in the privacy ledger", "only trainings that release something spend privacy")
    shown = released[:MAX_PANELS]
    parts = [f"{count(sum(len(each.releases) for each in released), 'release')} in the privacy ledger"]
    if len(released) > 1:
        parts[0] += f", of {count(len(released), 'subject')}"
    if len(released) > len(shown):
        parts.append(f"the first {len(shown)} are drawn")
    return Chart(
        title=f"Privacy spent: {say_run(run)} on {shorten(run.name, 40)}",
        subtitle="; ".join(parts) + ". A step is a release: something computed from the data that left its site.",
        height=3.2 if len(shown) == 1 else 2.5 * len(shown),
        keyed=_has_others(run, shown),
        draw=lambda frame: _draw(frame, run, shown),
    )


def _has_others(run: RunRecord, accounts: Sequence[Account]) -> bool:
    """Whether some steps that are drawn are not the run's: then a key tells them apart."""
    drawn = [release for each in accounts for release in each.releases if math.isfinite(release.total)]
    return any(release.run != run.uid for release in drawn)


def _draw(frame: Frame, run: RunRecord, accounts: Sequence[Account]) -> None:
    panels = [row[0] for row in frame.panels((1,) * len(accounts), grid="y", gap=0.5)]
    for axes, account in zip(panels, accounts, strict=True):
        _panel(frame, axes, run, account)
    panels[-1].set_xlabel("release")
    if _has_others(run, accounts):
        theme = frame.theme
        mine = Line2D([], [], color=theme.colours[0], lw=2.2, marker="o", ms=3.5)
        others = Line2D([], [], color=theme.muted, lw=1.4, marker="o", ms=3.5)
        frame.key([(mine, f"releases of {say_run(run)}"), (others, "releases of other runs")])


def _panel(frame: Frame, axes: Axes, run: RunRecord, account: Account) -> None:
    theme = frame.theme
    totals = np.array([0.0, *(release.total for release in account.releases)])
    finite = np.isfinite(totals)
    bounded = int(finite.sum()) - 1  # releases with a finite total: they come first
    releases = len(account.releases)
    ends: list[End] = []
    budget = account.budget if account.budget is not None and math.isfinite(account.budget) else None
    forecast = _forecast(axes, frame, account, totals) if bounded == releases else np.empty((0, 2))
    last = max([releases, 1, *forecast[:, 0].tolist()])
    for index in range(bounded):
        mine = account.releases[index].run == run.uid
        colour = theme.colours[0] if mine else theme.muted
        x, y = [index, index + 1, index + 1], [totals[index], totals[index], totals[index + 1]]
        axes.plot(x, y, color=colour, lw=2.0 if mine else 1.4, zorder=3, solid_joinstyle="miter")
        axes.fill_between([index, index + 1], totals[index], color=colour, alpha=0.12, lw=0)
        if releases <= 60:
            axes.plot(index + 1, totals[index + 1], marker="o", ms=3.5, color=colour, zorder=4)
    if bounded and bounded == releases:
        spent = f"spent {say_number(totals[bounded])} in {count(bounded, 'release')}"
        label = Label(x=bounded, y=totals[bounded], text=spent, colour=theme.ink, bold=True)
        steps = np.column_stack([np.arange(bounded + 1.0), totals])
        line = np.array([[0.0, budget], [last, budget]]) if budget is not None else np.empty((0, 2))
        place_labels(frame, axes, [label], avoid=steps, lines=[line, steps, forecast])
    if budget is not None:
        axes.axhline(budget, color=theme.alarm, lw=1.3, ls=(0, (5, 2)), zorder=2)
        ends.append(End(x=last, y=budget, text=f"budget {say_number(budget)}", colour=theme.alarm, bold=True))
    scale_axis(axes, "y", [0.0, *totals[finite], *([budget] if budget is not None else [])], decades=99, margin=0.1)
    top = axes.get_ylim()[1] if bounded or budget is not None else 1.0
    axes.set_ylim(0, top)
    count_axis(axes, 0, last, room=0.01)
    if bounded < releases:
        _unbounded(frame, axes, run, account, bounded)
        if not bounded and budget is None:
            axes.set_yticks([])
    axes.set_ylabel(f"epsilon (delta {account.delta:.3g})".replace("e-0", "e-"))
    axes.set_title(_say_subject(account), loc="left", fontsize=SMALL, color=theme.muted, pad=5)
    label_ends(frame, axes, ends)


def _forecast(axes: Axes, frame: Frame, account: Account, totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """A dashed line on to the budget, as far ahead as is drawn; its two ends, or none."""
    if account.rounds_left is None or account.budget is None or not math.isfinite(account.budget):
        return np.empty((0, 2))
    theme = frame.theme
    step, each = _last_round(account, totals)
    ahead = account.rounds_left * each
    words = f"the budget lasts {count(account.rounds_left, 'more round')} like the last"
    if not account.rounds_left:
        words = "the budget does not last for one more round like the last"
    axes.set_title(words, loc="right", fontsize=SMALL, color=theme.ink, pad=5)
    x, y = len(account.releases), float(totals[-1])
    drawn = min(ahead, max(4, round(_AHEAD * x)))
    if step <= 0 or not drawn:
        return np.empty((0, 2))
    reached = min(drawn, (account.budget - y) * each / step)
    line = np.array([(x, y), (x + reached, y + step * reached / each)], np.float64)
    axes.plot(*line.T, color=theme.colours[0], lw=1.4, ls=(0, (2, 2)), zorder=2)
    return line


def _last_round(account: Account, totals: NDArray[np.float64]) -> tuple[float, int]:
    """What the last round cost, and how many releases it was."""
    last = account.releases[-1]
    each = 1
    if last.round is not None:
        for release in reversed(account.releases[:-1]):
            if (release.run, release.round) != (last.run, last.round):
                break
            each += 1
    return float(totals[-1] - totals[-1 - each]), each


def _unbounded(frame: Frame, axes: Axes, run: RunRecord, account: Account, bounded: int) -> None:
    """The releases from the first without noise on: no figure bounds what was lost."""
    theme = frame.theme
    releases = len(account.releases)
    silent = sum(not release.noisy for release in account.releases)
    edge = axes.get_xaxis_transform()
    axes.axvspan(bounded, releases, facecolor=theme.alarm, alpha=0.1, lw=0, zorder=0)
    arrow = {"arrowstyle": "-|>", "color": theme.alarm, "lw": 2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (bounded, 1.0), (bounded, 0.0), xycoords=edge, textcoords=edge, arrowprops=arrow)
    mine = sum(not release.noisy and release.run == run.uid for release in account.releases)
    said = f"{silent:,} of {count(releases, 'release')} without noise"
    if mine < silent:
        said += f" ({mine:,} of them by {say_run(run)})"
    axes.annotate(
        "∞",
        (bounded, 1.0),
        xycoords=edge,
        xytext=(6, -3),
        textcoords="offset points",
        ha="left",
        va="top",
        fontsize=TITLE,
        color=theme.alarm,
    )
    since = f", from release {bounded + 1:,} on" if bounded else ""
    axes.annotate(
        f"no noise: epsilon is unbounded\n{said}{since}",
        (0.5, 0.5),
        xycoords="axes fraction",
        ha="center",
        va="center",
        fontsize=SMALL + 1,
        color=theme.alarm,
        weight="bold",
        linespacing=1.5,
        zorder=6,
        bbox={"facecolor": theme.paper, "edgecolor": "none", "alpha": 0.75, "pad": 4},
    )


def _say_subject(account: Account) -> str:
    subject = shorten(account.subject, 30)
    return f"{shorten(account.name, 30)}  ·  {subject}" if account.name else subject

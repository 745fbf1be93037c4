"""What decides how good a search's trials are: its parameters by how much they explain."""

# matplotlib's stubs leave keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ...core import ConfigError, MissingExtraError
from ...storage import SearchRecord, TrialRecord
from .paper import Chart, Frame
from .style import SMALL
from .trials import Setting, Shown, last_attempts, varying_settings, with_value
from .words import count, say_metric, say_run, shorten

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MIN_TRIALS = 8
_FEW: Final = 30  # trials, below which the order of the bars is a hint
_TOP: Final = 5  # how many trials the best should be at least, as the authors of the method advise
_MAX_BARS: Final = 20
_SEEN: Final = 0.005  # share that is worth a bar


def importances(shown: Sequence[Shown]) -> dict[str, float]:
    """How much each parameter explains of whether a trial is among the best, as shares of one; the largest first.

    Constant parameters are left out. Empty where nothing is to be explained: all trials are alike.

    Args:
        shown: completed trials.

    Raises:
        MissingExtraError: Optuna is not installed.

    Source: PED-ANOVA, Watanabe et al. 2023, https://arxiv.org/abs/2304.10255, as Optuna implements it; parameters that
    only some trials have are treated as in its conditional form, https://arxiv.org/abs/2601.20800.
    """
    varying = varying_settings(shown)
    if not varying or len({each.value for each in shown}) == 1:
        return {}
    try:
        import optuna
    except ModuleNotFoundError as exc:
        raise MissingExtraError("telling which parameters matter", "search") from exc

    spaces = {setting.name: _distribution(setting) for setting in varying}
    trials = [
        optuna.trial.create_trial(
            value=each.merit,
            params={
                setting.name: str(value) if setting.choices else value
                for setting in varying
                if (value := setting.values[index]) is not None
            },
            distributions={
                setting.name: spaces[setting.name] for setting in varying if setting.values[index] is not None
            },
        )
        for index, each in enumerate(shown)
    ]
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=_share(len(shown)))
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # or it reports a new study, which is nobody's
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of trials that are all alike: then the answer is empty
            study = optuna.create_study(direction="maximize")
            study.add_trials(trials)
            found = optuna.importance.get_param_importances(study, evaluator=evaluator, normalize=False)
    finally:
        optuna.logging.set_verbosity(verbosity)
    total = sum(found.values())
    if not (math.isfinite(total) and total > 0):
        return {}
    return dict(sorted(((name, value / total) for name, value in found.items()), key=lambda item: -item[1]))


def _share(trials: int) -> float:
    """Which part of the trials are the best: a tenth, but at least `_TOP` of them, and at most half."""
    return min(0.5, max(0.1, _TOP / trials))


def _distribution(setting: Setting) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if setting.choices:
        return CategoricalDistribution(list(dict.fromkeys(map(str, setting.choices))))
    numbers = [value for value in setting.values if isinstance(value, int | float)]
    low, high = min(numbers), max(numbers)
    if all(isinstance(value, int) for value in numbers):
        return IntDistribution(int(low), int(high), log=setting.logarithmic)
    return FloatDistribution(float(low), float(high), log=setting.logarithmic)


def importance_chart(search: SearchRecord, trials: Sequence[TrialRecord]) -> Chart:
    """A bar per parameter: its share of what decides whether a trial is among the best.

    Args:
        search: what was searched.
        trials: its trials, all attempts.

    Raises:
        ConfigError: fewer than `MIN_TRIALS` trials are completed, or all of them are alike.
    """
    goal = say_metric(search.objectives[0][0])
    shown = with_value(search, last_attempts(trials), "completed")
    if len(shown) < MIN_TRIALS:
        raise ConfigError(
            f"{say_run(search.run)} has {count(len(shown), 'completed trial')}, too few to tell what decides: "
            f"expected at least {MIN_TRIALS}",
            hint="search with more --trials",
        )
    shares = importances(shown)
    if not shares:
        raise ConfigError(
            f"the {len(shown)} completed trials of {say_run(search.run)} do not differ in {goal} or in parameters: "
            "there is nothing to explain",
            hint="search with more --trials",
        )
    best = math.ceil(_share(len(shown)) * len(shown))
    caution = " With so few trials the order is a hint." if len(shown) < _FEW else ""
    bars = _bars(shares)
    return Chart(
        title=f"What decides the {goal}: {say_run(search.run)} on {shorten(search.run.name, 40)}",
        subtitle=(
            f"Share of each parameter in what sets the best {best} of {count(len(shown), 'completed trial')} apart "
            f"in {goal} (PED-ANOVA).{caution}"
        ),
        height=0.45 + 0.27 * len(bars),
        draw=lambda frame: _draw(frame, bars),
    )


def _bars(shares: Mapping[str, float]) -> dict[str, float]:
    """At most `_MAX_BARS`: the small ones together are the last."""
    seen = [name for name, share in shares.items() if share >= _SEEN][: _MAX_BARS - 1]
    others = [share for name, share in shares.items() if name not in seen]
    if len(others) < 2:
        return {shorten(name, 36): share for name, share in shares.items()}
    return {**{shorten(name, 36): shares[name] for name in seen}, count(len(others), "other"): sum(others)}


def _draw(frame: Frame, bars: Mapping[str, float]) -> None:
    theme = frame.theme
    [[axes]] = frame.panels()
    places = range(len(bars))
    shares = list(bars.values())
    largest = max(shares)
    colours = [theme.colours[0]] * len(bars)
    axes.barh(places, shares, height=0.62, color=colours)
    for place, share in zip(places, shares, strict=True):
        text = f"{share:.0%}" if share >= 0.01 else "< 1%"
        axes.annotate(
            text,
            (share, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=theme.ink,
        )
    axes.set_yticks(places, list(bars), color=theme.ink)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, largest * 1.08)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)

"""`nasturtium history plot`: a run as a figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..core import ConfigError, MissingExtraError
from ..storage import Curve, History, Ledger, RunRecord, TrialRecord
from .options import Db, Json, argument, option
from .output import print_json, stderr, stdout

if TYPE_CHECKING:
    from .plots import Account, Chart, CurveSet

_STEPS = "step/"  # what trials had reached at their rungs: for the scheduler of a search
_BESIDE = ("train_", "train/", _STEPS)  # curves of trials that stand behind the best one's only where asked for
MAX_TRIALS = 1_000  # whose curves stand behind the best one's


class Kind(StrEnum):
    """What to draw."""

    PARETO = "pareto"
    CURVES = "curves"
    PARALLEL = "parallel"
    IMPORTANCE = "importance"
    ROUNDS = "rounds"
    PRIVACY = "privacy"
    ALL = "all"


class By(StrEnum):
    """What the horizontal axis of curves is."""

    STEP = "step"
    SECONDS = "seconds"


# What fits a kind of run, in the order of a page with all of it; the first is the default.
FITTING = {
    "search": (Kind.PARETO, Kind.CURVES, Kind.PARALLEL, Kind.IMPORTANCE),
    "federated": (Kind.ROUNDS, Kind.CURVES, Kind.PRIVACY),
}
OTHERS = (Kind.CURVES, Kind.PRIVACY)


def plot(
    run: Annotated[str, argument(help="The run.")],
    output: Annotated[Path, option("--output", "-o", help="The file: .svg, .png or .pdf.")],
    kind: Annotated[
        Kind | None,
        option("--kind", help="What to draw.", show_default="pareto, rounds or curves, by the run"),
    ] = None,
    metric: Annotated[
        list[str] | None, option("--metric", help="A metric of the curves; as often as may be.", show_default="all")
    ] = None,
    compare: Annotated[
        list[str] | None, option("--compare", help="A run whose curves to draw, too; as often as may be.")
    ] = None,
    by: Annotated[By, option("--by", help="Curves by step, or by seconds.")] = By.STEP,
    dark: Annotated[bool, option("--dark", help="Light on dark.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Draw a run: its Pareto front, curves, parameters, rounds, or the privacy it spent."""
    from . import library
    from .plots import check_target, page, save_figure

    check_target(output)
    with library.open_history(db) as past:
        found = past.find(run)
        drawn = draw_charts(past, found, kind=kind, metrics=metric or (), compare=compare or (), by=by)
    path = save_figure(page(list(drawn.charts.values()), run=found, dark=dark), output)
    for name, reason in drawn.left_out.items():
        stderr().print(f"{name} left out: {reason}", soft_wrap=True)
    if as_json:
        print_json({"path": str(path), "charts": list(drawn.charts), "left_out": drawn.left_out})
    else:
        stdout().print(str(path), soft_wrap=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Charts by their kind, and why others that fit the run are not among them."""

    charts: dict[str, Chart]
    left_out: dict[str, str]


def draw_charts(
    past: History,
    run: RunRecord,
    *,
    kind: Kind | str | None = None,
    metrics: Sequence[str] = (),
    compare: Sequence[str | int] = (),
    by: By | str = By.STEP,
) -> Drawn:
    """The charts of a run, for `plots.page`.

    Args:
        past: where the run is in.
        run: what to draw.
        kind: one of `Kind`; by default the first that fits the run, or curves where `metrics` or `compare` are given.
        metrics: of the curves; all by default.
        compare: runs whose curves are drawn beside, as `History.find` takes them.
        by: "step" or "seconds", for curves.

    Raises:
        ConfigError: the kind does not fit the run, or there is nothing to draw.
        UnknownRunError: a run to compare with is not there.
        MissingExtraError: matplotlib is not installed.
    """
    fitting = FITTING.get(run.kind, OTHERS)
    chosen = Kind(kind) if kind is not None else Kind.CURVES if metrics or compare else fitting[0]
    if chosen is not Kind.ALL and chosen not in fitting:
        raise ConfigError(
            f"a figure of kind {chosen} does not fit a run of kind {run.kind}",
            hint=f"what fits it: {', '.join(fitting)}, all",
        )
    if (metrics or compare) and chosen not in {Kind.CURVES, Kind.ALL}:
        raise ConfigError(f"--metric and --compare are for curves, not for {chosen}", hint="leave them out")
    draw: dict[Kind, Callable[[], Chart]] = {
        Kind.PARETO: lambda: _of_trials(past, run, "pareto"),
        Kind.PARALLEL: lambda: _of_trials(past, run, "parallel"),
        Kind.IMPORTANCE: lambda: _of_trials(past, run, "importance"),
        Kind.CURVES: lambda: _curves(past, run, metrics, compare, By(by)),
        Kind.ROUNDS: lambda: _rounds(past, run),
        Kind.PRIVACY: lambda: _privacy(past, run),
    }
    if chosen is not Kind.ALL:
        return Drawn(charts={chosen: draw[chosen]()}, left_out={})
    charts: dict[str, Chart] = {}
    left_out: dict[str, str] = {}
    for each in fitting:
        if each is Kind.CURVES and Kind.ROUNDS in charts and not _has_more(past, run):
            continue
        try:
            charts[each] = draw[each]()
        except ConfigError as exc:
            left_out[each] = exc.message
        except MissingExtraError as exc:
            if exc.extra != "search":  # without matplotlib there is no figure at all
                raise
            left_out[each] = str(exc)
    if not charts:
        raise ConfigError(f"there is nothing to draw yet: {'; '.join(left_out.values())}")
    return Drawn(charts=charts, left_out=left_out)


def _has_more(past: History, run: RunRecord) -> bool:
    """Whether a federated run has curves that the chart of its rounds does not show."""
    return any(
        each.points for name, each in past.summaries(run.uid).items() if name not in {"val_loss", "val_accuracy"}
    )


def _of_trials(past: History, run: RunRecord, name: str) -> Chart:
    from .plots import importance_chart, parallel_chart, pareto_chart

    make = {"pareto": pareto_chart, "parallel": parallel_chart, "importance": importance_chart}[name]
    return make(past.search(run.uid), past.trials(run.uid))


def _rounds(past: History, run: RunRecord) -> Chart:
    from .plots import rounds_chart

    return rounds_chart(past.federated(run.uid), past.rounds(run.uid), past.all_contributions(run.uid))


def _curves(past: History, run: RunRecord, metrics: Sequence[str], compare: Sequence[str | int], by: By) -> Chart:
    from .plots import CurveSet, curves_chart
    from .plots.words import say_run

    others = {found.uid: found for found in map(past.find, compare)}
    others.pop(run.uid, None)
    if others:
        runs = [run, *others.values()]
        same = len({each.name for each in runs}) == 1
        labels = [say_run(each) if same else f"{say_run(each)}, {each.name}" for each in runs]
        sets = [
            CurveSet(label=label, curves=_own_or_best(past, each)) for label, each in zip(labels, runs, strict=True)
        ]
        step = " or ".join(dict.fromkeys(map(_step, runs)))
        data = run.name if same else "several data sets"
        return curves_chart(run, sets, metrics=metrics, by=by.value, step=step, data=data)
    if run.kind == "search":
        sets, remark = _search_curves(past, run, metrics)
        return curves_chart(run, sets, metrics=metrics, by=by.value, remark=remark)
    own = [CurveSet(label=say_run(run), curves=_all_curves(past, run.uid))]
    return curves_chart(run, own, metrics=metrics, by=by.value, step=_step(run))


def _step(run: RunRecord) -> str:
    """What a step of a run's curves is."""
    return {"federated": "round", "search": "epoch", "trial": "epoch", "retrain": "epoch"}.get(run.kind, "step")


def _all_curves(past: History, uid: str) -> dict[str, Curve]:
    return {
        name: past.curve(uid, name)
        for name, summary in past.summaries(uid).items()
        if summary.points and not name.startswith(_STEPS)
    }


def _own_or_best(past: History, run: RunRecord) -> dict[str, Curve]:
    """The curves of a run; those of its best trial where it is a search."""
    best = _best(past, run, past.trials(run.uid)) if run.kind == "search" else None
    return _all_curves(past, run.uid if best is None else best.uid)


def _best(past: History, run: RunRecord, trials: Sequence[TrialRecord]) -> TrialRecord | None:
    from .plots.trials import front, last_attempts, with_value

    search = past.search(run.uid)
    completed = with_value(search, last_attempts(trials), "completed")
    return front(search, completed)[0].trial if completed else None


def _search_curves(past: History, run: RunRecord, metrics: Sequence[str]) -> tuple[list[CurveSet], str]:
    """The best trial's curves before those of the others, and what the figure should say of them."""
    from .plots import CurveSet
    from .plots.trials import count_states, last_attempts
    from .plots.words import count, say_counts

    trials = last_attempts(past.trials(run.uid))
    best = _best(past, run, trials)
    others = [trial for trial in trials if best is None or trial.uid != best.uid]
    drawn = others[:: -(-len(others) // MAX_TRIALS)] if others else []
    sets: list[CurveSet] = []
    remark = f"{count(len(trials), 'trial')}: {say_counts(count_states(trials))}"
    if best is not None:
        sets.append(CurveSet(label=f"trial {best.number + 1}", curves=_all_curves(past, best.uid)))
        remark += f". The bold line is trial {best.number + 1}, the best"
    if len(drawn) < len(others):
        remark += f". {len(drawn):,} of the others are drawn, evenly chosen"
    for trial in drawn:
        found = past.summaries(trial.uid)
        wanted = [name for name in found if name in metrics or (not metrics and not name.startswith(_BESIDE))]
        curves = {name: past.curve(trial.uid, name) for name in wanted if found[name].points}
        sets.append(CurveSet(label="", curves=curves, role="pruned" if trial.state == "pruned" else "trial"))
    return sets, remark


def _privacy(past: History, run: RunRecord) -> Chart:
    from .plots import privacy_chart

    ledger = Ledger(past.database)
    names = {entry.fingerprint: role.removeprefix("site/") for role, entry in past.datasets(run.uid).items()}
    data = past.dataset(run.uid)
    if data is not None:
        names[data.fingerprint] = data.name
    subjects = dict.fromkeys([*names, *(entry.subject for entry in ledger.entries(run=run.uid) if entry.subject)])
    return privacy_chart(run, [_account(ledger, subject, names.get(subject, "")) for subject in subjects])


def _account(ledger: Ledger, subject: str, name: str) -> Account:
    from .plots import Account, Release

    account = ledger.account(subject)
    releases: list[Release] = []
    for entry in ledger.entries(subject=subject, kind="spend"):
        body: Any = entry.body
        releases.append(
            Release(
                total=float(body["total"]["epsilon"]),  # an infinite one is the text "inf"
                noisy=body["epsilon"] != "inf",
                run=entry.run,
                round=body["round"],
            )
        )
    return Account(
        subject=subject,
        name=name,
        releases=releases,
        budget=None if account.budget is None else account.budget.epsilon,
        delta=account.spent.delta if account.budget is None else account.budget.delta,
        rounds_left=account.rounds_left,
    )

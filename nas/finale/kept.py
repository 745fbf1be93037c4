"""`conclude_kept`: the end of a search whose rows are elsewhere, and whose model stays there.

The winner is the best trial by the figures that its trainer measured. It is trained once more, as the model, and that
is all: there are no rows here to test it on, and no weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ...core import Candidate, ConfigError, Evaluation, ModelSpec, SavedModel, derive_seed
from ...core.data import Task
from ...storage import Database, History, SearchRecord, Tracker, TrialRecord
from ..objectives import figures_of
from .conclude import Concluded, check_found, front_rows
from .keep import keep_report
from .options import FinaleOptions
from .report import ScoredModel, SearchReport
from .selection import best_trials
from .testing import MODEL, metric_of

_PHASE: Final = "kept elsewhere"
_NOTE: Final = (
    "Candidates and the model were trained and measured where the rows are, and the model stays there, but for what is "
    "given out: the winner is the best trial by one training, and its figures are those it was chosen by."
)


def conclude_kept(
    name: str,
    task: Task,
    options: FinaleOptions,
    database: Database,
    tracker: Tracker,
    search: SearchRecord,
    trials: Sequence[TrialRecord],
    control: Sequence[TrialRecord],
    *,
    train: Callable[[Candidate], SavedModel | Evaluation],
    spent: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
    say: Callable[[str], None] = lambda message: None,
) -> Concluded:
    """Have the best trial trained as the model where the rows are; the search is completed with what is measured there.

    A training that was interrupted is gone on with, under the same run.

    Args:
        name: of the data.
        task: what is learned.
        options: the goals and constraints, and the seed.
        database, tracker, search, trials, control, spent, notes, say: see `conclude`.
        train: see `BatchEvaluator.train`.

    Raises:
        NothingFoundError: no trial can be taken, see `check_found`.
        NasturtiumError: it cannot be trained again.
    """
    check_found(trials, options, search)
    [best] = best_trials(trials, options, 1)
    figures = _train(best, options, database, tracker, search, train, say)
    searched = [trial for trial in trials if trial.state in {"completed", "pruned", "failed"}]
    number = best.number + 1
    report = SearchReport(
        data=name,
        metric=metric_of(task),
        rows={},
        goals=tuple(str(goal) for goal in options.goals),
        constraints=tuple(str(constraint) for constraint in options.constraints),
        front=tuple(front_rows(trials, options)),
        seeds=({"trial": float(number), "seed": 0.0} | {name: figures[name] for name in _told(figures)},),
        winner=number,
        members=({"trial": float(number), "seed": 0.0, "weight": 1.0},),
        models=(ScoredModel(name=MODEL, what=f"trial {number}", validation=figures, test={}),),
        comparisons=(),
        trials={"searched": len(searched), "random": len(control)},
        spent=dict(spent or {}),
        notes=(*notes, _against_random(best, control, options), _NOTE),
    )
    keep_report(tracker, search.uid, report)
    tracker.finish(search.uid, state="completed", metrics=figures)
    return Concluded(report, None)


def _train(
    trial: TrialRecord,
    options: FinaleOptions,
    database: Database,
    tracker: Tracker,
    search: SearchRecord,
    train: Callable[[Candidate], SavedModel | Evaluation],
    say: Callable[[str], None],
) -> dict[str, float]:
    """What was measured of a trial's network trained as the model: now, or by an earlier process."""
    config = {"phase": _PHASE, "trial": trial.uid}
    seed = derive_seed(options.seed, "finale", trial.number, 0)
    known = [child for child in History(database).children(search.uid, "retrain") if dict(child.config) == config]
    done = [child.uid for child in known if child.state == "completed"]
    if done:
        return History(database).metrics(done[0])
    say(f"training the model: trial {trial.number + 1}")
    if begun := [child.uid for child in known if child.state != "failed"]:
        tracker.resume_child(begun[-1])
        try:
            return _train_as(begun[-1], trial, seed, tracker, train)
        except ConfigError as exc:  # as where those who train it have another key by now
            say(f"training the model again: {exc.message}")
    uid = tracker.start_child(search.uid, kind="retrain", seed=seed, config=config, origin=trial.uid)
    return _train_as(uid, trial, seed, tracker, train)


def _train_as(
    uid: str,
    trial: TrialRecord,
    seed: int,
    tracker: Tracker,
    train: Callable[[Candidate], SavedModel | Evaluation],
) -> dict[str, float]:
    """Train under a run."""
    spec = ModelSpec.from_dict(trial.architecture.spec)
    candidate = Candidate(
        id=uid, spec=spec, hyperparameters=dict(trial.hyperparameters), seed=seed, flat=trial.flat or {}
    )
    try:
        evaluation = train(candidate)
    except ConfigError as exc:
        tracker.finish(uid, state="failed", metrics={}, error=exc.message)
        raise
    except BaseException:
        tracker.finish(uid, state="interrupted", metrics={})
        raise
    if isinstance(evaluation, SavedModel):
        raise ConfigError("expected figures of a model that stays where it was trained, got the model")
    plan = spec.plan()
    figures = {**evaluation.objectives, "parameters": float(plan.parameters), "macs": float(plan.macs)}
    tracker.finish(uid, state="completed", metrics=figures)
    return figures


def _told(figures: Mapping[str, float]) -> list[str]:
    return [name for name in figures if name.startswith("val_")]


def _against_random(best: TrialRecord, control: Sequence[TrialRecord], options: FinaleOptions) -> str:
    """What random search has found, by the figures that the winner was chosen by."""
    random = best_trials(control, options, 1)
    if not random:
        return "There is no random search to compare with: none of its trials can be taken."
    if random[0].uid == best.uid:
        return "The winner is one of the random trials: the search found nothing better."
    goal = options.goals[0]
    ours, theirs = (goal.value(figures_of(trial)) for trial in (best, random[0]))
    return (
        f"As a trial the winner has {goal.name} {ours:.4g}, the best of {len(control)} random trials {theirs:.4g}: "
        "figures of validation rows that both were chosen by."
    )

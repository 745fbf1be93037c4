"""`conclude_elsewhere`: the end of a search whose candidates are trained by somebody else, who has the rows.

The winner is the best trial by the figures that its trainer measured: there are no rows here to train it on again with
several seeds, to average networks over, or to fit simple models to. It is trained once more, as the model, and so is
the best of the trials that were proposed at random; both are tested together, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core import Candidate, ConfigError, Evaluation, ModelSpec, SavedModel, derive_seed, load_model, save_model
from ...core import device as find_device
from ...storage import Database, History, ModelRegistry, SearchRecord, Tracker, TrialRecord, model_name
from .conclude import Concluded, check_found, front_rows
from .keep import read_run, record
from .members import Fitted, Member
from .options import FinaleData, FinaleOptions
from .report import CONTROL, WINNER, SearchReport
from .selection import best_trials
from .testing import MODEL, Entrants, find_test, metric_of, touch_test

_PHASE = "trained elsewhere"


@dataclass(frozen=True, slots=True, eq=False)
class _Trained:
    """A trial's network, trained as a model: the run of that, what came of it, and its figures on validation rows."""

    trial: TrialRecord
    uid: str
    saved: SavedModel

    @property
    def fitted(self) -> Fitted:
        return Fitted(Member(self.trial, 0), self.uid, self.saved.spec, self.saved.model)

    @property
    def figures(self) -> dict[str, float]:
        return {name: float(value) for name, value in self.saved.metadata.items() if name.startswith("val_")}


def conclude_elsewhere(
    data: FinaleData,
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
    """Have the best trial trained as the model, test it once, save and publish it; the search is completed with it.

    What a killed process had trained is kept.

    Args:
        data: of it the test rows alone are looked at.
        options: the goals and constraints; what is said there of several seeds, averages and references is not done.
        database, tracker, search, trials, control, spent, notes, say: see `conclude`.
        train: see `BatchEvaluator.train`; figures in the metadata whose names begin with val_ are of validation rows.

    Raises:
        NothingFoundError: no trial can be taken, see `check_found`.
        NasturtiumError: it cannot be trained again.
        SplitUsedError: the test rows were looked at before, for something else.
    """
    check_found(trials, options, search)
    [best] = best_trials(trials, options, 1)
    winner = _train(best, data, options, database, tracker, search, train, say)
    done = find_test(database, search.uid)
    if done is not None:
        report = read_run(database, done)
    else:
        random = best_trials(control, options, 1)
        rival: _Trained | None = None
        told: list[str] = []
        if random and random[0].uid == best.uid:
            rival = winner
            told.append("The winner is one of the random trials: the search found nothing better.")
        elif random:
            rival = _train(random[0], data, options, database, tracker, search, train, say)
        else:
            told.append("There is no random search to compare with: none of its trials can be taken.")
        say("testing once")
        seed = derive_seed(options.seed, "test")
        entrants = _entrants(winner, rival, len(control))
        tested = touch_test(
            data.test, entrants, database, tracker, search, seed=seed, device=find_device(options.device)
        )
        searched = [trial for trial in trials if trial.state in {"completed", "pruned", "failed"}]
        report = SearchReport(
            data=data.name,
            metric=metric_of(data.test.task),
            rows={"train and validation": len(data.train) + len(data.validation), "test": len(data.test)},
            goals=tuple(str(goal) for goal in options.goals),
            constraints=tuple(str(constraint) for constraint in options.constraints),
            front=tuple(front_rows(trials, options)),
            seeds=({"trial": float(best.number + 1), "seed": 0.0} | winner.figures,),
            winner=best.number + 1,
            members=({"trial": float(best.number + 1), "seed": 0.0, "weight": 1.0},),
            models=tuple(tested.models),
            comparisons=tuple(tested.comparisons),
            trials={"searched": len(searched), "random": len(control)},
            spent=dict(spent or {}),
            notes=(*notes, *told, _NOTE),
        )
        record(tracker, tested.uid, report)
    return Concluded(report, _save(winner, report, data, database, tracker, search))


_NOTE = (
    "Candidates and the model were trained where the rows are: the winner is the best trial by one training, there is "
    "no average of networks, and no simple model to compare with."
)


def _train(
    trial: TrialRecord,
    data: FinaleData,
    options: FinaleOptions,
    database: Database,
    tracker: Tracker,
    search: SearchRecord,
    train: Callable[[Candidate], SavedModel | Evaluation],
    say: Callable[[str], None],
) -> _Trained:
    """A trial's network trained as a model, or what the history has of that."""
    config: dict[str, Any] = {"phase": _PHASE, "trial": trial.uid}
    for child in History(database).children(search.uid, "retrain"):
        folder = database.models_dir / child.uid
        if child.state == "completed" and dict(child.config) == config and folder.is_dir():
            return _Trained(trial, child.uid, load_model(folder))
    say(f"training the model: trial {trial.number + 1}")
    seed = derive_seed(options.seed, "finale", trial.number, 0)
    uid = tracker.start_child(search.uid, kind="retrain", seed=seed, config=config, origin=trial.uid)
    with tracker.ending(uid):
        candidate = Candidate(
            id=uid,
            spec=ModelSpec.from_dict(trial.architecture.spec),
            hyperparameters=dict(trial.hyperparameters),
            seed=seed,
            flat=trial.flat or {},
        )
        saved = train(candidate)
        if not isinstance(saved, SavedModel):
            raise ConfigError("expected the model, to be tested on the rows that are here, got figures of it")
        if saved.preprocessing.task != data.test.task:
            raise ConfigError(
                "the model was trained for another task than the test rows are of: "
                f"{saved.preprocessing.task!r:.200} and {data.test.task!r:.200}"
            )
        folder = database.models_dir / uid
        origin = {"run": search.uid, "data": data.name, "dataset": data.fingerprint, "trial": trial.uid}
        save_model(folder, saved.spec, saved.model, saved.preprocessing, {**saved.metadata, **origin})
        tracker.record_model(uid, folder)
        kept = load_model(folder)
        figures = {name: float(value) for name, value in kept.metadata.items() if _is_figure(value)}
        tracker.finish(uid, state="completed", metrics=figures)
    return _Trained(trial, uid, kept)


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _entrants(winner: _Trained, rival: _Trained | None, random: int) -> Entrants:
    name = f"trial {winner.trial.number + 1}"
    against = "" if rival is None else f"trial {rival.trial.number + 1}, the best of {random} random ones"
    return Entrants(
        model=[(winner.fitted, 1.0)],
        winner=[winner.fitted],
        control=[] if rival is None else [rival.fitted],
        references=[],
        preprocessing=winner.saved.preprocessing,
        validation={
            MODEL: winner.figures,
            WINNER: winner.figures,
            CONTROL: {} if rival is None else rival.figures,
        },
        what={MODEL: name, WINNER: name, CONTROL: against},
    )


def _save(
    winner: _Trained, report: SearchReport, data: FinaleData, database: Database, tracker: Tracker, search: SearchRecord
) -> Path:
    """Save and publish the model, and complete the search; doing it twice is harmless."""
    saved, folder = winner.saved, database.models_dir / search.uid
    plan = saved.spec.plan()
    figures = {f"test_{name}": value for name, value in report.model.test.items()} | winner.figures
    figures |= {"parameters": float(plan.parameters), "macs": float(plan.macs)}
    save_model(folder, saved.spec, saved.model, saved.preprocessing, {**saved.metadata, "run": search.uid, **figures})
    tracker.record_model(search.uid, folder)
    ModelRegistry(database).register(model_name(data.name), search.uid, signature=saved.preprocessing.task.to_dict())
    tracker.finish(search.uid, state="completed", metrics=figures)
    return folder

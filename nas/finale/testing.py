"""The one place where the test rows are looked at, for everything that is reported of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from ...core import CPU, ConfigError, Device, canonical_json, derive_rng, predict_logits
from ...core.data import Dataset, Preprocessing, Task
from ...storage import Database, History, SearchRecord, Tracker
from ..training import all_figures, predictions
from .ensemble import average
from .members import Fitted
from .references import ChosenReference, Model, flat, in_units, score_figures
from .report import CONTROL, WINNER, Comparison, ScoredModel
from .significance import PairedTest, mcnemar, sign_flip, wilcoxon

MODEL = "model"
_PHASE = "test"


class SplitUsedError(ConfigError):
    """The test rows of this search were looked at before: another look would be a choice made by them."""


@dataclass(frozen=True, slots=True, eq=False)
class Entrants:
    """Everything that is going to be tested; nothing can be added later.

    Attributes:
        model: networks of the saved model, with their weights.
        winner: the winning candidate, seed by seed.
        control: the best candidate of those proposed at random, seed by seed.
        references: simple models, with what each was chosen as.
        preprocessing: fitted on all rows but the test rows, which all of them were trained on.
        validation: figures on validation rows by name: "model", "winner" and "random search".
        what: each is, in words, by the same names.
    """

    model: Sequence[tuple[Fitted, float]]
    winner: Sequence[Fitted]
    control: Sequence[Fitted]
    references: Sequence[tuple[ChosenReference, Model, Mapping[str, float], str]]
    preprocessing: Preprocessing
    validation: Mapping[str, Mapping[str, float]]
    what: Mapping[str, str]

    def plan(self) -> dict[str, object]:
        """What is going to be tested, as JSON: written before the test rows are looked at."""
        return {
            "phase": _PHASE,
            MODEL: [{"run": fitted.uid, "weight": weight} for fitted, weight in self.model],
            WINNER: [fitted.uid for fitted in self.winner],
            CONTROL: [fitted.uid for fitted in self.control],
            "references": {chosen.name: dict(chosen.settings) for chosen, *_ in self.references},
        }


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """What came of the test: the record of it in the history, every model, and the comparisons."""

    uid: str
    models: Sequence[ScoredModel]
    comparisons: Sequence[Comparison]


def metric_of(task: Task) -> str:
    """What models are compared by in a report."""
    return "r2" if task.kind == "regression" else "accuracy"


def find_test(database: Database, search: str) -> str | None:
    """The run of the history that says that the test rows of a search were looked at; None where they were not."""
    children = History(database).children(search, "eval")
    done = [child.uid for child in children if child.config.get("phase") == _PHASE and child.state == "completed"]
    return done[0] if done else None


def was_tested(database: Database, search: str) -> bool:
    """Whether the test rows of a search were looked at, or were about to be."""
    return any(child.config.get("phase") == _PHASE for child in History(database).children(search, "eval"))


def touch_test(
    test: Dataset,
    entrants: Entrants,
    database: Database,
    tracker: Tracker,
    search: SearchRecord,
    *,
    seed: int,
    device: Device = CPU,
) -> Tested:
    """Measure all entrants on the test rows, once for each search.

    What is going to be tested is in the history before the rows are looked at. A process that was killed in between
    may do the same again, with the same result; anything else may not.

    Args:
        test: rows that nothing was chosen by.
        entrants: what to measure.
        database, tracker, search: where it is recorded. The run is left open: `Tracker.finish` it with the report.
        seed: of the resampling in the paired tests.
        device: where networks are.

    Raises:
        SplitUsedError: the rows were looked at before.
    """
    plan = entrants.plan()
    for child in History(database).children(search.uid, "eval"):
        before = dict(child.config)
        if before.get("phase") == _PHASE and (child.state == "completed" or not _same(before, plan)):
            raise SplitUsedError(
                f"search {search.run.number}: its test rows were looked at already, in run {child.uid}",
                hint="start a new search with another seed, which keeps other rows for the test",
            )
    uid = tracker.start_child(search.uid, kind="eval", seed=seed, config=plan)
    with tracker.ending(uid):
        models, comparisons = _measure(test, entrants, derive_rng(seed, "paired tests"), device)
    return Tested(uid, models, comparisons)


def _same(before: Mapping[str, object], plan: Mapping[str, object]) -> bool:
    return canonical_json(before) == canonical_json(plan)


def _measure(
    test: Dataset, entrants: Entrants, rng: np.random.Generator, device: Device
) -> tuple[list[ScoredModel], list[Comparison]]:
    preprocessing, task = entrants.preprocessing, test.task
    inputs = preprocessing.apply(test.inputs)

    def said(fitted: Fitted) -> np.ndarray:
        return predictions(predict_logits(fitted.model.to(device), inputs, device=device), preprocessing)

    outputs = {fitted.uid: said(fitted) for fitted in _networks(entrants)}
    weights = [weight for _, weight in entrants.model]
    joined = average([outputs[fitted.uid] for fitted, _ in entrants.model], weights)
    by_name = {
        MODEL: [joined],
        WINNER: [outputs[fitted.uid] for fitted in entrants.winner],
        CONTROL: [outputs[fitted.uid] for fitted in entrants.control],
    }
    models = [
        _tested(name, entrants.what[name], entrants.validation[name], [_figures(rows, test) for rows in seeds])
        for name, seeds in by_name.items()
        if seeds
    ]
    simple: dict[str, np.ndarray] = {}
    for chosen, model, validation, what in entrants.references:
        rows = model(flat(inputs))
        simple[chosen.name] = in_units(rows, preprocessing)
        models.append(_tested(chosen.name, what, validation, [score_figures(simple[chosen.name], test.labels, task)]))
    comparisons: list[Comparison] = []
    if by_name[CONTROL]:
        first = by_name[CONTROL][0]
        comparisons.append(Comparison(first=MODEL, second=CONTROL, test=_compare(joined, first, test, rng)))
        over_seeds = _gains(by_name[WINNER], by_name[CONTROL], test)
        comparisons.append(Comparison(first=WINNER, second=CONTROL, test=sign_flip(over_seeds, rng)))
    if simple:
        metric = f"val_{metric_of(task)}"
        best = max(entrants.references, key=lambda entry: entry[2][metric])[0].name
        comparisons.append(Comparison(first=MODEL, second=best, test=_compare(joined, simple[best], test, rng)))
    return models, comparisons


def _networks(entrants: Entrants) -> list[Fitted]:
    every = [*(fitted for fitted, _ in entrants.model), *entrants.winner, *entrants.control]
    return list({fitted.uid: fitted for fitted in every}.values())


def _figures(predicted: np.ndarray, test: Dataset) -> dict[str, float]:
    regression = test.task.kind == "regression"
    scale = test.labels.astype(np.float64).std(0) if regression else np.ones(())
    return all_figures(predicted, test.labels, test.task, np.where(scale > 0, scale, 1.0))


def _tested(
    name: str, what: str, validation: Mapping[str, float], figures: Sequence[Mapping[str, float]]
) -> ScoredModel:
    shared = [key for key in figures[0] if all(key in one for one in figures)]
    return ScoredModel(
        name=name,
        what=what,
        validation=dict(validation),
        test={key: fmean(one[key] for one in figures) for key in shared},
        deviation={key: stdev(one[key] for one in figures) for key in shared} if len(figures) > 1 else {},
        seeds=len(figures),
    )


def _compare(first: np.ndarray, second: np.ndarray, test: Dataset, rng: np.random.Generator) -> PairedTest:
    if test.task.kind == "regression":
        return wilcoxon(_errors(first, test), _errors(second, test), rng)
    return mcnemar(first.argmax(-1) == test.labels, second.argmax(-1) == test.labels)


def _gains(first: Sequence[np.ndarray], second: Sequence[np.ndarray], test: Dataset) -> np.ndarray:
    """By how much the seeds of the first are better on each row, on average."""
    if test.task.kind == "regression":
        own, other = ([_errors(rows, test) for rows in seeds] for seeds in (first, second))
        return np.mean(other, axis=0) - np.mean(own, axis=0)
    own, other = ([rows.argmax(-1) == test.labels for rows in seeds] for seeds in (first, second))
    return np.mean(own, axis=0) - np.mean(other, axis=0)


def _errors(predicted: np.ndarray, test: Dataset) -> np.ndarray:
    """Mean absolute error of each row, in units of the targets."""
    return np.abs(predicted - test.labels).mean(-1)

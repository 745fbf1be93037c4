"""An architecture search from data to a saved model: propose, train, prune, retrain the best, test it once.

Everything that counts is in the database as soon as it is known, so a search can be killed anywhere and resumed; what
is lost is the trial in flight, which is then proposed and trained again with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path
from typing import Literal

from optuna.study import Study
from optuna.trial import Trial, TrialState

from ..core import Budget, Candidate, ConfigError, Evaluation, Metrics, NasturtiumError, derive_seed
from ..storage import (
    DEFAULT_EXPERIMENT,
    ArchitectureEntry,
    Database,
    DatasetEntry,
    History,
    SearchRecord,
    SystemSampler,
    Tracker,
    TrialRecord,
)
from .architecture import Architecture
from .evaluate import Evaluator, LocalEvaluator
from .events import RetrainStarted, SearchObserver, SearchStarted, SpaceUsedUp, TrialFinished, TrialProgress
from .pareto import choose_best, front_of
from .retrain import retrain
from .setup import SearchConfig, SearchSetup
from .strategies import SpaceUsedUpError, distributions
from .study import PRUNER, count_finished, open_study, settle

REDUCTION = 3  # each rung trains this many times longer than the one before
MAX_FAILURES = 3  # trials in a row; one that fails costs one trial, a broken machine fails them all


class TrialFailedError(NasturtiumError, RuntimeError):
    """The evaluator raised: a candidate that cannot be trained here, as for lack of memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """A finished search.

    Attributes:
        search: its record in the history.
        front: completed trials that no other beats in accuracy, parameters and MACs; most accurate first.
        best: the trial whose architecture was retrained.
        test: the retrained model on rows that nothing was chosen by.
        model: the folder of the saved model.
    """

    search: SearchRecord
    front: Sequence[TrialRecord]
    best: TrialRecord
    test: Metrics
    model: Path


def run_search(
    setup: SearchSetup,
    database: Database,
    *,
    evaluator: Evaluator | None = None,
    observe: SearchObserver = lambda event: None,
    experiment: str = DEFAULT_EXPERIMENT,
    monitor: float | None = None,
) -> SearchResult:
    """Run a search to its end.

    Args:
        setup: what to search.
        database: keeps trials, results and Optuna's study; stays the caller's.
        evaluator: trains the candidates; by default in this process, on the setup's rows.
        observe: called with every `SearchEvent`, in this thread.
        experiment: the name to gather it under in the history.
        monitor: seconds between samples of CPU, memory and GPUs; None takes none.
    """
    config, data, space = setup.config, setup.data, setup.space
    with Tracker(database, experiment=experiment) as tracker:
        search = tracker.start_search(
            name=data.name,
            seed=config.seed,
            config=asdict(config),
            dataset=DatasetEntry(
                fingerprint=data.fingerprint, name=data.name, rows=len(data), body=data.task.to_dict()
            ),
            space=space.name,
            space_sha256=setup.space_sha256,
            sampler=config.strategy,
            pruner=PRUNER,
            trials=config.trials,
        )
        return _Run(setup, database, tracker, search, evaluator, observe, monitor).finish()


def resume_search(
    uid: str,
    database: Database,
    *,
    data: str | None = None,
    evaluator: Evaluator | None = None,
    observe: SearchObserver = lambda event: None,
    monitor: float | None = None,
) -> SearchResult:
    """Go on with a search that was interrupted, as if it had not been; see `run_search`.

    Args:
        data: where its data lies by now, if it was moved.

    Raises:
        ConfigError: it is finished, or its data or its space changed.
        RunBusyError: another process runs it.
    """
    search = History(database).search(uid)
    config = SearchConfig.from_dict(search.run.config)
    setup = SearchSetup.load(config if data is None else replace(config, data=data))
    known = History(database).dataset(uid)
    if known is None or setup.data.fingerprint != known.fingerprint:
        raise ConfigError(
            f"search {search.run.number} cannot go on: {setup.config.data} is not the data it started with",
            hint="restore the file, or start a new search",
        )
    if setup.space_sha256 != search.space_sha256:
        raise ConfigError(
            f"search {search.run.number} cannot go on: space {search.space!r} has changed since it was started",
            hint="go on with the version of nasturtium that started it, or start a new search",
        )
    with Tracker(database) as tracker:
        tracker.resume(uid)
        return _Run(setup, database, tracker, search, evaluator, observe, monitor).finish()


def rungs(epochs: int) -> list[int]:
    """After how many epochs a trial is compared with the others, before it is trained for all of `epochs`."""
    return sorted({ceil(epochs / REDUCTION**2), ceil(epochs / REDUCTION)} - {epochs})


def budgets(epochs: int) -> list[Budget]:
    """The steps in which a trial is trained: its rungs, and every tenth of the way so that a watcher sees it move."""
    tenths = range(max(1, epochs // 10), epochs, max(1, epochs // 10))
    return [Budget(epochs=step, total=epochs) for step in sorted({*rungs(epochs), *tenths, epochs})]


class _Run:
    """One process's hold on a search."""

    def __init__(
        self,
        setup: SearchSetup,
        database: Database,
        tracker: Tracker,
        search: SearchRecord,
        evaluator: Evaluator | None,
        observe: SearchObserver,
        monitor: float | None,
    ) -> None:
        self._setup = setup
        self._config = setup.config
        self._space = setup.space
        self._database = database
        self._search = search
        self._observe = observe
        self._evaluator = evaluator or LocalEvaluator(setup.train, setup.validation, device=setup.device)
        self._tracker = tracker
        self._history = History(database)
        self._monitor = monitor
        self._best: float | None = None  # the highest validation accuracy of the completed trials
        self._failures = 0  # trials in a row that could not be trained
        self._logged: set[tuple[str, int]] = set()  # points of the trial's curves that are in the history

    def finish(self) -> SearchResult:
        """Run the trials that are missing, then retrain the best. Whatever stops it is in the history."""
        uid = self._search.uid
        with self._tracker.ending(uid), self._watch(uid):
            trials = self._history.trials(uid)
            accuracies = [trial.metrics["val_accuracy"] for trial in trials if trial.state == "completed"]
            finished = {trial.number for trial in trials if trial.state in {"completed", "pruned", "failed"}}
            self._best = max(accuracies, default=None)
            self._observe(SearchStarted(self._search, len(finished), self._best))
            with open_study(self._database, self._search, self._space) as study:
                self._run_trials(study)
            trials = self._history.trials(uid)
            best = choose_best(trials)
            self._observe(RetrainStarted(best.number))
            retrained = retrain(self._setup, self._database, self._tracker, self._search, best)
        return SearchResult(
            search=self._history.search(uid),
            front=front_of(trials),
            best=best,
            test=retrained.test,
            model=retrained.model,
        )

    def _watch(self, uid: str) -> AbstractContextManager[object]:
        if self._monitor is None:
            return nullcontext()
        return SystemSampler(self._database, uid, interval=self._monitor)

    def _run_trials(self, study: Study) -> None:
        trials = self._history.trials(self._search.uid)
        settle(study, trials)
        ended = {trial.number for trial in trials if trial.state in {"completed", "pruned", "failed"}}
        if count_finished(study) < len(ended):
            raise ConfigError(
                f"search {self._search.run.number} cannot go on: its Optuna study knows {count_finished(study)} of"
                f" {len(ended)} ended trials",
                hint="studies are not part of an export: go on where it was started, or start a new search",
            )
        try:
            while (number := count_finished(study)) < self._config.trials:
                self._run_trial(study, number)
        except SpaceUsedUpError:
            settle(study, self._history.trials(self._search.uid))
            self._observe(SpaceUsedUp(count_finished(study), self._config.trials))

    def _run_trial(self, study: Study, number: int) -> None:
        trial = study.ask(distributions(self._space))
        candidate = self._start_trial(trial, number)
        self._logged = set()
        try:
            with self._tracker.ending(candidate.id):
                evaluation, state = self._climb(trial, candidate, number)
        except TrialFailedError as exc:
            # It counts and is not proposed again, or resuming would meet it for ever.
            study.tell(trial, state=TrialState.PRUNED)
            self._observe(TrialFinished(number, "failed", None, self._best))
            self._failures += 1
            if self._failures == MAX_FAILURES:
                raise NasturtiumError(f"{MAX_FAILURES} trials in a row failed, the last one with {exc}") from exc
            return
        except BaseException:
            study.tell(trial, state=TrialState.FAIL)
            raise
        self._failures = 0
        accuracy = evaluation.objectives.get("val_accuracy")
        # Ours first: `settle` tells Optuna what it missed, should the process die in between.
        self._tracker.finish(
            candidate.id,
            state=state,
            metrics=evaluation.objectives,
            error="the loss was not finite" if evaluation.diverged else None,
        )
        if state == "completed":
            study.tell(trial, accuracy)
            self._best = max(x for x in (accuracy, self._best) if x is not None)
        else:
            study.tell(trial, state=TrialState.PRUNED)
        self._observe(TrialFinished(number, state, accuracy, self._best))

    def _start_trial(self, trial: Trial, number: int) -> Candidate:
        choices, hyperparameters = self._space.decode(trial.params)
        architecture = Architecture.of(self._space, choices)
        spec = architecture.to_spec(self._space)
        plan = spec.plan()
        seed = derive_seed(self._config.seed, "candidate", number)
        uid = self._tracker.start_trial(
            self._search.uid,
            number=number,
            architecture=ArchitectureEntry(
                sha256=architecture.id,
                space=architecture.space,
                choices=choices,
                spec=spec.to_dict(),
                parameters=plan.parameters,
                macs=plan.macs,
            ),
            hyperparameters=hyperparameters,
            seed=seed,
            optuna_number=trial.number,
        )
        return Candidate(id=uid, spec=spec, hyperparameters=hyperparameters, seed=seed)

    def _climb(
        self, trial: Trial, candidate: Candidate, number: int
    ) -> tuple[Evaluation, Literal["completed", "pruned"]]:
        """Train a candidate step by step; the last evaluation, and whether it was stopped early or diverged."""
        compared = rungs(self._config.epochs)
        *lower, full = budgets(self._config.epochs)
        for budget in lower:
            evaluation = self._evaluate(candidate, budget, number)
            if evaluation.diverged:
                return evaluation, "pruned"
            if evaluation.epochs < budget.epochs:
                return evaluation, "completed"  # its patience ran out: more budget would change nothing
            if budget.epochs in compared:
                trial.report(evaluation.objectives["val_accuracy"], step=budget.epochs)
                if trial.should_prune():
                    return evaluation, "pruned"
        evaluation = self._evaluate(candidate, full, number)
        return evaluation, "pruned" if evaluation.diverged else "completed"

    def _log(self, uid: str, evaluation: Evaluation) -> None:
        """Log what the curves have grown by since the last budget."""
        steps: dict[int, dict[str, float]] = {}
        for name, curve in evaluation.curves.items():
            for step, value in curve.items():
                if (name, step) not in self._logged:
                    self._logged.add((name, step))
                    steps.setdefault(step, {})[name] = value
        for step, figures in sorted(steps.items()):
            self._tracker.log(uid, figures, step=step)

    def _evaluate(self, candidate: Candidate, budget: Budget, number: int) -> Evaluation:
        try:
            evaluation = self._evaluator.evaluate(candidate, budget)
        except Exception as exc:
            raise TrialFailedError(f"{type(exc).__name__}: {exc}") from exc
        self._log(candidate.id, evaluation)
        if not evaluation.diverged:
            accuracy = evaluation.objectives["val_accuracy"]
            self._observe(TrialProgress(number, evaluation.epochs, budget.total, accuracy))
        return evaluation

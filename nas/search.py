"""An architecture search from data to a saved model: propose, train, prune, retrain the best, test it once.

Everything that counts is in the database as soon as it is known, so a search can be killed anywhere and resumed; what
is lost is the trial in flight, which is then proposed and trained again with the same result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path

from optuna.study import Study
from optuna.trial import Trial, TrialState

from ..core import (
    Budget,
    Candidate,
    ConfigError,
    Device,
    Evaluation,
    Metrics,
    ModelSpec,
    NasturtiumError,
    Trainer,
    build,
    canonical_json,
    derive_rng,
    derive_seed,
    device,
    evaluate,
    save_model,
    weights_file,
)
from ..core.data import Dataset, Preprocessing, load_dataset, stratified_split
from ..storage import (
    ArchitectureEntry,
    Database,
    DatasetEntry,
    EndState,
    History,
    SearchRecord,
    Tracker,
    TrialRecord,
)
from . import spaces as _spaces  # noqa: F401 - fills SPACES  # pyright: ignore[reportUnusedImport]
from .architecture import Architecture
from .evaluate import Evaluator, LocalEvaluator, training_config
from .events import RetrainStarted, SearchObserver, SearchStarted, SpaceUsedUp, TrialFinished, TrialProgress
from .pareto import pareto_front
from .space import SPACES, Space
from .strategies import STRATEGIES, SpaceUsedUpError, distributions
from .study import PRUNER, count_finished, open_study, settle

SPLIT = (0.6, 0.2, 0.2)  # train, validation, test
REDUCTION = 3  # each rung trains this many times longer than the one before


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """What to search and how. The history keeps it; a resumed search reads it back.

    Attributes:
        data: a bundled data set or a path, see `load_dataset`.
        target: the column or array with the classes, for a file.
        trials: architectures to train, >= 1.
        seed: decides the split, the proposals and the weights.
        space: a name of `SPACES`; None takes "cnn" for images and "mlp" for tables.
        strategy: a name of `STRATEGIES`.
        epochs: the longest a trial is trained, >= 1.
        device: where to train.
    """

    data: str
    target: str | None = None
    trials: int = 20
    seed: int = 0
    space: str | None = None
    strategy: str = "tpe"
    epochs: int = 30
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.trials < 1 or self.epochs < 1:
            raise ConfigError(f"expected trials >= 1 and epochs >= 1, got {self.trials} and {self.epochs}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"expected 0 <= seed < 2**63, got {self.seed}")
        if self.space is not None:
            SPACES.find(self.space)
        STRATEGIES.find(self.strategy)


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


@dataclass(frozen=True, slots=True)
class SearchSetup:
    """All a search needs before it touches a database: checked, loaded, split.

    Attributes:
        config: with an absolute path to the data, because resuming may start elsewhere.
        data: all rows.
        train, validation, test: its parts.
        space: made for the data's task.
        device: where to train.
    """

    config: SearchConfig
    data: Dataset
    train: Dataset
    validation: Dataset
    test: Dataset
    space: Space
    device: Device

    @classmethod
    def load(cls, config: SearchConfig) -> SearchSetup:
        """Load and check everything.

        Raises:
            ConfigError: the request cannot be served.
            DataError: the data cannot be learned from.
        """
        place = device(config.device)
        data = load_dataset(config.data, config.target)
        space = SPACES[config.space or ("cnn" if data.task.is_image else "mlp")](data.task)
        if Path(config.data).exists():
            config = replace(config, data=str(Path(config.data).resolve()))
        train, validation, test = stratified_split(data, SPLIT, derive_rng(config.seed, "split"))
        return cls(config, data, train, validation, test, space, place)


def run_search(
    setup: SearchSetup,
    database: Database,
    *,
    evaluator: Evaluator | None = None,
    observe: SearchObserver = lambda event: None,
) -> SearchResult:
    """Run a search to its end.

    Args:
        setup: what to search.
        database: keeps trials, results and Optuna's study; stays the caller's.
        evaluator: trains the candidates; by default in this process, on the setup's rows.
        observe: called with every `SearchEvent`, in this thread.
    """
    config, data, space = setup.config, setup.data, setup.space
    search = Tracker(database).start_search(
        name=data.name,
        seed=config.seed,
        config=asdict(config),
        dataset=DatasetEntry(fingerprint=data.fingerprint, name=data.name, rows=len(data), body=data.task.to_dict()),
        space=space.name,
        space_sha256=hashlib.sha256(canonical_json(space.to_dict()).encode()).hexdigest(),
        sampler=config.strategy,
        pruner=PRUNER,
        trials=config.trials,
    )
    return _Run(setup, database, search, evaluator, observe).finish()


def resume_search(
    uid: str,
    database: Database,
    *,
    evaluator: Evaluator | None = None,
    observe: SearchObserver = lambda event: None,
) -> SearchResult:
    """Go on with a search that was interrupted, as if it had not been; see `run_search`.

    Raises:
        ConfigError: it is finished, or its data changed.
        RunBusyError: another process runs it.
    """
    search = History(database).search(uid)
    setup = SearchSetup.load(SearchConfig(**search.run.config))
    known = History(database).dataset(uid)
    if known is None or setup.data.fingerprint != known.fingerprint:
        raise ConfigError(
            f"search {search.run.number} cannot go on: {setup.config.data} is not the data it started with",
            hint="restore the file, or start a new search",
        )
    Tracker(database).resume(uid)
    return _Run(setup, database, search, evaluator, observe).finish()


def rungs(epochs: int) -> list[Budget]:
    """The budgets at which a trial is compared with the others, the last one being all of it."""
    steps = sorted({ceil(epochs / REDUCTION**2), ceil(epochs / REDUCTION), epochs})
    return [Budget(epochs=step, total=epochs) for step in steps]


def choose_best(trials: Sequence[TrialRecord]) -> TrialRecord:
    """The completed trial with the highest validation accuracy; of equals the lower loss, then the smaller network.

    Raises:
        NasturtiumError: no trial completed.
    """
    completed = [trial for trial in trials if trial.state == "completed"]
    if not completed:
        raise NasturtiumError(
            f"none of {len(trials)} trials could be trained: the loss was never finite",
            hint="check the scale of the features",
        )
    return max(completed, key=lambda t: (t.metrics["val_accuracy"], -t.metrics["val_loss"], -t.metrics["parameters"]))


def front_of(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The Pareto front of the completed trials."""
    completed = [trial for trial in trials if trial.state == "completed"]
    return pareto_front(completed, [trial.metrics for trial in completed])


class _Run:
    """One process's hold on a search."""

    def __init__(
        self,
        setup: SearchSetup,
        database: Database,
        search: SearchRecord,
        evaluator: Evaluator | None,
        observe: SearchObserver,
    ) -> None:
        self._setup = setup
        self._config = setup.config
        self._space = setup.space
        self._database = database
        self._search = search
        self._observe = observe
        self._evaluator = evaluator or LocalEvaluator(setup.train, setup.validation, device=setup.device)
        self._tracker = Tracker(database)
        self._history = History(database)
        self._best: float | None = None  # the highest validation accuracy of the completed trials

    def finish(self) -> SearchResult:
        """Run the trials that are missing, then retrain the best. Whatever stops it is in the history."""
        uid = self._search.uid
        try:
            with open_study(self._database, self._search, self._space) as study:
                self._run_trials(study)
            return self._retrain()
        except BaseException as exc:
            state: EndState = "failed" if isinstance(exc, Exception) else "interrupted"
            self._tracker.finish(uid, state=state, metrics={}, error=_describe(exc))
            raise

    def _run_trials(self, study: Study) -> None:
        trials = self._history.trials(self._search.uid)
        self._best = max((t.metrics["val_accuracy"] for t in trials if t.state == "completed"), default=None)
        settle(study, trials)
        self._observe(SearchStarted(self._search, count_finished(study)))
        try:
            while (number := count_finished(study)) < self._config.trials:
                self._run_trial(study, number)
        except SpaceUsedUpError:
            settle(study, self._history.trials(self._search.uid))
            self._observe(SpaceUsedUp(count_finished(study), self._config.trials))

    def _run_trial(self, study: Study, number: int) -> None:
        trial = study.ask(distributions(self._space))
        choices, hyperparameters = self._space.decode(trial.params)
        architecture = Architecture(self._space.name, choices)
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
        candidate = Candidate(id=uid, spec=spec, hyperparameters=hyperparameters, seed=seed)
        try:
            evaluation, pruned = self._climb(trial, candidate, number)
        except BaseException as exc:
            state: EndState = "failed" if isinstance(exc, Exception) else "interrupted"
            self._tracker.finish(uid, state=state, metrics={}, error=_describe(exc))
            study.tell(trial, state=TrialState.FAIL)
            raise
        # Ours first: `settle` tells Optuna what it missed, should the process die in between.
        self._tracker.finish(
            uid,
            state="pruned" if pruned else "completed",
            metrics=evaluation.objectives,
            curves=evaluation.curves,
            error="the loss was not finite" if evaluation.diverged else None,
        )
        accuracy = evaluation.objectives.get("val_accuracy")
        if pruned:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, accuracy)
            self._best = max(x for x in (accuracy, self._best) if x is not None)
        self._observe(TrialFinished(number, "pruned" if pruned else "completed", accuracy, self._best))

    def _climb(self, trial: Trial, candidate: Candidate, number: int) -> tuple[Evaluation, bool]:
        """Train a candidate rung by rung; the last evaluation, and whether it was stopped early or diverged."""
        *lower, full = rungs(self._config.epochs)
        for budget in lower:
            evaluation = self._evaluate(candidate, budget, number)
            if evaluation.diverged:
                return evaluation, True
            trial.report(evaluation.objectives["val_accuracy"], step=budget.epochs)
            if trial.should_prune():
                return evaluation, True
        evaluation = self._evaluate(candidate, full, number)
        return evaluation, evaluation.diverged

    def _evaluate(self, candidate: Candidate, budget: Budget, number: int) -> Evaluation:
        evaluation = self._evaluator.evaluate(candidate, budget)
        if not evaluation.diverged:
            accuracy = evaluation.objectives["val_accuracy"]
            self._observe(TrialProgress(number, evaluation.epochs, budget.total, accuracy))
        return evaluation

    def _retrain(self) -> SearchResult:
        trials = self._history.trials(self._search.uid)
        best = choose_best(trials)
        self._observe(RetrainStarted(best.number))
        seed = derive_seed(self._config.seed, "retrain")
        uid = self._tracker.start_child(self._search.uid, kind="retrain", seed=seed, config={"trial": best.uid})
        spec = ModelSpec.from_dict(best.architecture.spec)
        rows, held_out = self._setup.train.join(self._setup.validation), self._setup.test
        preprocessing = Preprocessing.fit(rows.inputs, rows.task)
        candidate = Candidate(id=uid, spec=spec, hyperparameters=best.hyperparameters, seed=seed)
        trainer = Trainer(
            build(spec, derive_rng(seed, "weights")),
            # No rows are left to stop early by: the schedule's end is the end.
            training_config(candidate, Budget(epochs=self._config.epochs, total=self._config.epochs), patience=None),
            derive_rng(seed, "shuffle"),
            device=self._setup.device,
        )
        trainer.fit(preprocessing.apply(rows.inputs), rows.labels)
        test = evaluate(trainer.model, preprocessing.apply(held_out.inputs), held_out.labels, device=trainer.device)
        figures = {
            "val_accuracy": best.metrics["val_accuracy"],
            "test_accuracy": test.accuracy,
            "test_loss": test.loss,
            "parameters": best.metrics["parameters"],
            "macs": best.metrics["macs"],
        }
        folder = save_model(
            self._database.models_dir / self._search.uid,
            spec,
            trainer.model,
            preprocessing,
            {
                "run": self._search.uid,
                "trial": best.uid,
                "data": self._setup.data.name,
                "dataset": self._setup.data.fingerprint,
                "architecture": best.architecture.sha256,
                **figures,
            },
        )
        weights = weights_file(folder)
        self._tracker.record_artifact(
            self._search.uid,
            role="model",
            path=folder.name,
            sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
            size_bytes=weights.stat().st_size,
        )
        self._tracker.finish(uid, state="completed", metrics=figures, curves=trainer.curves)
        self._tracker.finish(self._search.uid, state="completed", metrics={**figures, "trials": len(trials)})
        return SearchResult(
            search=self._history.search(self._search.uid), front=front_of(trials), best=best, test=test, model=folder
        )


def _describe(exc: BaseException) -> str:
    return "interrupted" if isinstance(exc, KeyboardInterrupt) else f"{type(exc).__name__}: {exc}"
